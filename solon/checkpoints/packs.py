"""Packs: append-once files of chunks, and the index over them.

Layout: magic (8 bytes), the chunks back to back, the footer (JSON list of [blake3 hex, offset, length]), then a 48-byte tail:
blake3 of the footer (32), footer length (8, little-endian), end magic (8). Every byte of the file is covered by a hash or a
constant. A pack is written under a `.tmp` name, synced, renamed, and its folder synced; it never changes afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import blake3
import numpy as np

from solon.checkpoints.errors import CorruptChunk, CorruptPack, MissingChunk
from solon.checkpoints.files import DIRECT_AFTER, Appender, fsync_folder, named_os_errors, require_space
from solon.checkpoints.hashing import chunk_name, fingerprint
from solon.checkpoints.tensors import CHUNK, Bytes

MAGIC = b"SOLNPK1\n"
END = b"SOLNEND\n"
TAIL = struct.Struct("<32sQ8s")
SPACE_CHECK = 256 * 2**20  # look at the free space again after writing this many bytes


class Place(NamedTuple):
    """Where a chunk lies."""

    pack: Path
    offset: int
    length: int


class PackWriter:
    """Writes one pack. Large ones are written on a thread, one chunk behind the caller, who hashes the next one meanwhile; for a
    few chunks that would cost more in handing over than it saves.

    The array given to `add` must stay unchanged until the next `add` returns. Leaving the `with` block by an exception removes
    the unfinished file; nothing of it was visible.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / f"{time.time_ns():016x}{secrets.token_hex(4)}.pack"
        self.temp = self.path.with_suffix(".pack.tmp")
        self.entries: list[tuple[str, int, int]] = []
        self.places: dict[str, Place] = {}
        self.offset = 0
        self._fd = -1
        self._unchecked = SPACE_CHECK
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if self._thread:
            self._thread.shutdown(wait=True)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            with contextlib.suppress(OSError):
                os.unlink(self.temp)

    def __contains__(self, name: str) -> bool:
        return name in self.places

    def add(self, name: str, data: Bytes) -> None:
        """Queue one chunk.

        Raises:
            DiskFull, ReadOnlyStore, WriteFailed: of this or of the previous chunk.
        """
        self._open()
        self._wait()
        self._check_space(len(data))
        self.entries.append((name, self.offset, len(data)))
        self.places[name] = Place(self.path, self.offset, len(data))
        self.offset += len(data)
        if self.offset < DIRECT_AFTER:
            self._write(data)
        else:
            assert self._thread is not None
            self._pending = self._thread.submit(self._write, data)

    def finish(self, meanwhile: Callable[[], None] | None = None) -> None:
        """Make the pack durable and visible; without any chunk, no file appears. `meanwhile` runs while the disk works."""
        self._wait()
        if self._thread is not None:
            self._pending = self._thread.submit(self._complete)
        if meanwhile is not None:
            meanwhile()
        self._wait()
        if self._fd < 0:
            return
        with named_os_errors(self.path):
            os.close(self._fd)
            self._fd = -1
            os.rename(self.temp, self.path)
            fsync_folder(self.folder)

    def _complete(self) -> None:
        footer = json.dumps(self.entries, separators=(",", ":")).encode()
        tail = footer + TAIL.pack(blake3.blake3(footer).digest(), len(footer), END)
        with named_os_errors(self.path):
            self._out.write(memoryview(tail))
            self._out.finish()

    def _open(self) -> None:
        if self._fd >= 0:
            return
        with named_os_errors(self.temp):
            self._fd = os.open(self.temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            fcntl.flock(self._fd, fcntl.LOCK_EX)  # dies with the process: see remove_orphans
            self._out = Appender(self._fd)
            self._out.write(memoryview(MAGIC))
        self.offset = len(MAGIC)
        self._thread = ThreadPoolExecutor(1)

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _check_space(self, size: int) -> None:
        self._unchecked += size
        if self._unchecked >= SPACE_CHECK:
            require_space(self.folder, size)
            self._unchecked = 0

    def _write(self, data: Bytes) -> None:
        with named_os_errors(self.temp):
            self._out.write(data.data)


def remove_orphans(folder: Path, older_than_s: float = 60.0) -> list[Path]:
    """Remove unfinished packs whose writer is gone, killed or crashed; returns their paths. Nobody needs to hold a lock."""
    gone = []
    for path in folder.glob("*.pack.tmp"):
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if time.time() - os.fstat(fd).st_mtime > older_than_s:  # a writer locks its file just after making it
                    os.unlink(path)
                    gone.append(path)
            finally:
                os.close(fd)
    return gone


def read_footer(path: Path) -> list[tuple[str, int, int]]:
    """(name, offset, length) of each chunk of a pack.

    Raises:
        CorruptPack: wrong magic, truncated, or the footer does not match its hash.
    """
    try:
        with open(path, "rb") as file:
            magic = file.read(len(MAGIC))
            size = os.fstat(file.fileno()).st_size
            if magic != MAGIC or size < len(MAGIC) + TAIL.size:
                raise CorruptPack(f"{path}: not a pack, or cut short ({size} bytes)", mend="run fsck; restore another checkpoint")
            file.seek(size - TAIL.size)
            digest, length, end = TAIL.unpack(file.read(TAIL.size))
            start = size - TAIL.size - length
            if end != END or start < len(MAGIC):
                raise CorruptPack(f"{path}: its end is damaged or missing", mend="run fsck; restore another checkpoint")
            file.seek(start)
            footer = file.read(length)
    except OSError as error:
        raise CorruptPack(f"{path}: cannot be read ({error.strerror})", mend="run fsck; restore another checkpoint") from error
    if blake3.blake3(footer).digest() != digest:
        raise CorruptPack(f"{path}: its table of chunks does not match its hash", mend="run fsck; restore another checkpoint")
    entries = [(str(name), int(offset), int(length)) for name, offset, length in json.loads(footer)]
    if any(length < 0 or offset < len(MAGIC) or offset + length > start for _, offset, length in entries):
        raise CorruptPack(f"{path}: its table of chunks points outside the file", mend="run fsck; restore another checkpoint")
    return entries


class Index:
    """Chunk name -> place, rebuilt from the packs' own footers; later packs win, so a rewritten chunk heals a damaged one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packs: dict[Path, list[tuple[str, int, int]]] = {}
        self.damaged: dict[Path, str] = {}
        self.bad: set[tuple[str, Path]] = set()
        self._places: dict[str, Place] = {}

    def refresh(self) -> None:
        """Look for packs that came or went since the last call."""
        present = (
            {self.folder / name for name in os.listdir(self.folder) if name.endswith(".pack")} if self.folder.is_dir() else set()
        )
        gone = set(self.packs) - present
        new = sorted(present - set(self.packs) - set(self.damaged))
        for path in gone:
            del self.packs[path]
        for path in set(self.damaged) - present:
            del self.damaged[path]
        for path in new:
            try:
                self.packs[path] = read_footer(path)
            except CorruptPack as error:
                self.damaged[path] = str(error)
        if gone or new:
            self._rebuild()

    def mark_bad(self, name: str) -> None:
        """Forget a chunk whose bytes were found wrong, so that the next save of the same bytes writes it anew."""
        place = self._places.get(name)
        if place is not None:
            self.bad.add((name, place.pack))
            self._rebuild()

    def _rebuild(self) -> None:
        self._places = {
            name: Place(path, offset, length)
            for path in sorted(self.packs)
            for name, offset, length in self.packs[path]
            if (name, path) not in self.bad
        }

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> Place:
        try:
            return self._places[name]
        except KeyError:
            detail = "; ".join(self.damaged.values())
            raise MissingChunk(
                f"chunk {name[:16]}… is in no readable pack{f' ({detail})' if detail else ''}",
                mend="run fsck; restore another checkpoint",
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)


class ChunkReader:
    """Reads chunks into one reused buffer and checks each against its name. Use as a context manager."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._files: dict[Path, int] = {}
        self._buffer: Bytes = np.empty(0, np.uint8)

    def __enter__(self) -> ChunkReader:
        return self

    def __exit__(self, *error: object) -> None:
        for fd in self._files.values():
            os.close(fd)
        self._files.clear()

    def read(self, name: str, into: Bytes | None = None, *, known: bytes | None = None) -> Bytes:
        """The chunk's bytes, in `into` or in this reader's buffer (then valid until the next call).

        Args:
            known: fingerprint of these very bytes from this process; it is then compared instead of the name, which costs less.

        Raises:
            MissingChunk, CorruptPack: it is not there. CorruptChunk: cut short, or the bytes do not match the name.
        """
        place = self.index[name]
        if into is None:
            if len(self._buffer) < place.length:
                self._buffer = np.empty(max(place.length, min(CHUNK, 1 << 20)), np.uint8)
            into = self._buffer[: place.length]
        if place.length != len(into):
            raise CorruptChunk(f"chunk {name[:16]}… holds {place.length} bytes, {len(into)} expected", mend="run fsck")
        self._fill(place, into)
        if (fingerprint(into) != known) if known is not None else (chunk_name(into) != name):
            self.index.mark_bad(name)
            raise CorruptChunk(
                f"{place.pack.name}: chunk {name[:16]}… at byte {place.offset} does not match its hash",
                mend="restore another checkpoint; saving the same weights again writes the chunk anew",
            )
        return into

    def _fill(self, place: Place, into: Bytes) -> None:
        view, offset = into.data, place.offset
        fd = self._open(place.pack)
        while view.nbytes:
            try:
                got = os.preadv(fd, [view], offset)
            except OSError as error:
                raise CorruptChunk(
                    f"{place.pack.name}: byte {offset} cannot be read ({error.strerror})", mend="run fsck"
                ) from error
            if got == 0:
                raise CorruptChunk(f"{place.pack.name}: cut short at byte {offset}", mend="run fsck; restore another checkpoint")
            view, offset = view[got:], offset + got

    def _open(self, path: Path) -> int:
        if path not in self._files:
            try:
                self._files[path] = os.open(path, os.O_RDONLY)
            except OSError as error:
                raise CorruptPack(
                    f"{path}: cannot be opened ({error.strerror})", mend="run fsck; restore another checkpoint"
                ) from error
        return self._files[path]


def pack_problems(path: Path) -> list[tuple[str | None, str]]:
    """(chunk or None, complaint) for everything wrong in one pack; reads the whole file."""
    problems: list[tuple[str | None, str]] = []
    expected = len(MAGIC)
    try:
        entries = read_footer(path)
        with open(path, "rb") as file:
            for name, offset, length in entries:
                if offset != expected:
                    problems.append((name, f"{path.name}: a gap before byte {offset}"))
                file.seek(offset)
                if chunk_name(np.frombuffer(file.read(length), np.uint8)) != name:
                    problems.append((name, f"{path.name}: chunk {name[:16]}… at byte {offset} does not match its hash"))
                expected = offset + length
    except (CorruptPack, OSError) as error:
        problems.append((None, str(error)))
    return problems
