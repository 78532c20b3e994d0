"""Durable files and locks: what must be on disk before the next line may run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from solon.checkpoints.errors import DiskFull, ReadOnlyStore, StoreBusy, WriteFailed
from solon.errors import NO_ROOM

CLOSED = {errno.EROFS, errno.EACCES, errno.EPERM}
DIRECT_AFTER = 64 * 2**20  # bytes; a multiple of every file system's block
STAGE = 8 * 2**20  # bytes written at a time past the cache
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
        if error.errno in NO_ROOM:
            raise DiskFull(
                f"{path}: the disk is full ({error.strerror}); nothing was committed",
                mend="free space, or delete checkpoints and run gc, then save again",
            ) from error
        if error.errno in CLOSED:
            raise ReadOnlyStore(
                f"{path}: cannot be written ({error.strerror})", mend="use another folder, or change its permissions"
            ) from error
        raise WriteFailed(
            f"{path}: {error.strerror or error}; nothing was committed", mend="check the path and the disk, then try again"
        ) from error


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class NewFile:
    """A small file on its way: written beside its place, made durable there (`sync`), then put into place by rename (`publish`).

    After a crash the place holds the whole new file, or what was there before. Whoever makes one must `publish` or `discard` it.
    """

    def __init__(self, path: Path, data: bytes, mode: int = 0o644) -> None:
        self.path = path
        self.temp = path.with_name(f"{path.name}.{secrets.token_hex(4)}.tmp")
        self._placed = False
        with named_os_errors(path):
            self._fd = os.open(self.temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            try:
                write_all(self._fd, memoryview(data))
            except BaseException:
                self.discard()
                raise

    def sync(self) -> None:
        """Make the contents durable, under the temporary name."""
        with named_os_errors(self.path):
            os.fsync(self._fd)

    def publish(self, *, durable: bool = True) -> None:
        """Put the file into its place, for good unless not `durable`."""
        with named_os_errors(self.path):
            os.close(self._fd)
            self._fd = -1
            os.replace(self.temp, self.path)
            self._placed = True
            if durable:
                fsync_folder(self.path.parent)

    def discard(self) -> None:
        """Leave nothing of it, wherever it has got to."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with contextlib.suppress(OSError):
            os.unlink(self.path if self._placed else self.temp)


def write_durably(path: Path, data: bytes, *, hint: bool = False, mode: int = 0o644) -> None:
    """Write a small file so that after a crash it is there whole, or its predecessor is: temp, fsync, rename, folder fsync.

    A `hint`, which can be rebuilt from the rest, is replaced by rename only.
    """
    new = NewFile(path, data, mode)
    try:
        if not hint:
            new.sync()
        new.publish(durable=not hint)
    except BaseException:
        new.discard()
        raise


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


class Appender:
    """Appends to a new file; what exceeds DIRECT_AFTER bytes goes past the page cache (O_DIRECT) where the file system allows it.

    A large checkpoint would otherwise push everything else out of the cache, and be copied and flushed for it: measured, direct
    writing of a gigabyte takes half the time or less. Small files stay in the cache, where the next restore finds them.
    """

    def __init__(self, fd: int) -> None:
        self.fd, self.size = fd, 0
        self._stage: mmap.mmap | None = None  # page-aligned, as O_DIRECT demands
        self._filled = 0
        self._refused = not hasattr(os, "O_DIRECT")

    def write(self, data: memoryview) -> None:
        """Append; errors may also be those of earlier bytes."""
        while data.nbytes:
            if self._stage is None:
                data = self._write_cached(data)
                continue
            taken = min(data.nbytes, STAGE - self._filled)
            self._stage[self._filled : self._filled + taken] = data[:taken]
            self._filled, data = self._filled + taken, data[taken:]
            if self._filled == STAGE:
                self._flush(STAGE)

    def _write_cached(self, data: memoryview) -> memoryview:
        """Write up to the point where direct writing begins, or everything; returns the rest."""
        room = data.nbytes if self._refused else max(DIRECT_AFTER - self.size, 0)
        part = data[:room]
        write_all(self.fd, part)
        self.size += part.nbytes
        if not self._refused and self.size >= DIRECT_AFTER:
            self._begin_direct()
        return data[part.nbytes :]

    def _begin_direct(self) -> None:
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETFL, fcntl.fcntl(self.fd, fcntl.F_GETFL) | os.O_DIRECT)
            self._stage = mmap.mmap(-1, STAGE)
        except OSError:
            self._refused = True

    def _flush(self, size: int) -> None:
        assert self._stage is not None
        view = memoryview(self._stage)[:size]
        try:
            write_all(self.fd, view)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._end_direct()
            os.lseek(self.fd, self.size, os.SEEK_SET)
            write_all(self.fd, view)
        finally:
            view.release()
        self.size, self._filled = self.size + size, 0

    def _end_direct(self) -> None:
        fcntl.fcntl(self.fd, fcntl.F_SETFL, fcntl.fcntl(self.fd, fcntl.F_GETFL) & ~os.O_DIRECT)

    def finish(self) -> None:
        """Write what is staged, through the cache since its length is not aligned, and make everything durable."""
        if self._stage is not None:
            self._end_direct()
            self._flush(self._filled)
            self._stage.close()
            self._stage = None
            self._refused = True
        os.fsync(self.fd)
