"""Durable files and locks: what must be on disk before the next line may run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from solon.checkpoints.errors import DiskFull, ReadOnlyStore, StoreBusy, WriteFailed

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
RESERVE = 0.05  # part of the new bytes that must stay free beside them


@contextlib.contextmanager
def named_os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's write errors into the store's own.

    Raises:
        DiskFull, ReadOnlyStore, WriteFailed
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"{path}: the disk is full ({error.strerror}); nothing was committed",
                mend="free space, or delete checkpoints and run gc, then save again",
            ) from error
        if error.errno in CLOSED:
            raise ReadOnlyStore(
                f"{path}: cannot be written ({error.strerror})", mend="use another folder, or change its permissions"
            ) from error
        raise WriteFailed(
            f"{path}: {error.strerror or error}; nothing was committed", mend="check the disk, then save again"
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_durably(path: Path, data: bytes, *, hint: bool = False) -> None:
    """Write a small file so that after a crash it is there whole, or its predecessor is: temp, fsync, rename, folder fsync.

    A `hint`, which can be rebuilt from the rest, is replaced by rename only.
    """
    temp = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
    with named_os_errors(path):
        try:
            fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                write_all(fd, memoryview(data))
                if not hint:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temp, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temp)
            raise
        if not hint:
            fsync_folder(path.parent)


def write_all(fd: int, data: memoryview) -> None:
    """`os.write` until everything is written; a short write near a full disk is not the end."""
    while data.nbytes:
        data = data[os.write(fd, data) :]


def free_bytes(folder: Path) -> int:
    """Bytes an ordinary user may still write on the disk of `folder`."""
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize


def require_space(folder: Path, needed: int) -> None:
    """Refuse before writing when the disk cannot take `needed` bytes and a twentieth more.

    Raises:
        DiskFull
    """
    free = free_bytes(folder)
    wanted = int(needed * (1 + RESERVE))
    if free < wanted:
        raise DiskFull(
            f"{folder}: {wanted:,} bytes needed, {free:,} free; nothing was written",
            mend="free space, or delete checkpoints and run gc, then save again",
        )


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, timeout_s: float = 60.0, writable: bool = True) -> Iterator[None]:
    """Hold an advisory lock (flock) on `path`, which dies with the process.

    A store that cannot be written may lack the file; its readers then go without, since nobody can collect there either.

    Raises:
        StoreBusy: not free within `timeout_s` seconds.
    """
    try:
        fd = os.open(path, (os.O_RDWR | os.O_CREAT) if writable else os.O_RDONLY, 0o644)
    except OSError as error:
        if shared and (error.errno in CLOSED or error.errno == errno.ENOENT):
            try:
                fd = os.open(path, os.O_RDONLY)
            except OSError:
                yield
                return
        else:
            with named_os_errors(path):
                raise
    try:
        _acquire(fd, path, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, timeout_s)
        yield
    finally:
        os.close(fd)


def _acquire(fd: int, path: Path, kind: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"{path}: held by another process for more than {timeout_s:g} s",
                    mend="wait for it to finish, or raise lock_timeout_s",
                ) from None
            time.sleep(0.005)
