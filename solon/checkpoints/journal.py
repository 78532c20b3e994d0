"""An append-only journal: one JSON line per event, each carrying the hash of the line before it.

    {"hash": blake3 of the line with this field empty, "previous": hash of the line before, "record": {...}, "time": RFC 3339}

A line is durable (fdatasync) before `append` returns. A last line cut short by a crash is ignored and overwritten; any other
damage is an error.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import blake3
import rfc8785

from solon.checkpoints.errors import CorruptStore
from solon.checkpoints.files import fsync_folder, locked, named_os_errors, write_all
from solon.checkpoints.manifest import plain

START = "0" * 64


def _digest(line: dict[str, Any]) -> str:
    return blake3.blake3(rfc8785.dumps({**line, "hash": ""})).hexdigest()


class Journal:
    """Events of one store, in order, in `folder`/00000001.jsonl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "00000001.jsonl"

    def append(self, record: dict[str, Any]) -> str:
        """Add one record; returns its hash once it is durable.

        Raises:
            CorruptStore: the journal so far is damaged. DiskFull, ReadOnlyStore, WriteFailed
        """
        with named_os_errors(self.file):
            self.folder.mkdir(exist_ok=True)
        with locked(self.folder / "lock"):
            previous, size = self._tip()
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
            line = {"hash": "", "previous": previous, "record": plain(record), "time": now}
            line["hash"] = _digest(line)
            with named_os_errors(self.file):
                new = not self.file.exists()
                fd = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o644)
                try:
                    os.ftruncate(fd, size)
                    os.lseek(fd, size, os.SEEK_SET)
                    write_all(fd, memoryview(rfc8785.dumps(line) + b"\n"))
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
                if new:
                    fsync_folder(self.folder)
            return line["hash"]

    def _tip(self) -> tuple[str, int]:
        """(hash of the last whole line, file size up to its end)."""
        if not self.file.exists():
            return START, 0
        with open(self.file, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            reach = 1 << 16
            while True:
                start = max(0, end - reach)
                file.seek(start)
                data = file.read(end - start)
                stop = data.rfind(b"\n")
                begin = data.rfind(b"\n", 0, max(stop, 0))
                if stop < 0 and start == 0:
                    return START, 0
                if stop >= 0 and (begin >= 0 or start == 0):
                    return self._check(data[begin + 1 : stop])["hash"], start + stop + 1
                reach *= 4

    def _check(self, data: bytes) -> dict[str, Any]:
        try:
            line = json.loads(data)
            if _digest(line) != line["hash"]:
                raise ValueError("its hash does not match")
            return line
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptStore(
                f"{self.file}: a line is damaged ({error})", mend="keep the file as evidence; move it away to go on"
            ) from error

    def lines(self) -> Iterator[dict[str, Any]]:
        """Every whole line, oldest first, with hashes and chain checked.

        Raises:
            CorruptStore
        """
        if not self.file.exists():
            return
        previous = START
        with open(self.file, "rb") as file:
            for data in file:
                if not data.endswith(b"\n"):
                    return
                line = self._check(data[:-1])
                if line["previous"] != previous:
                    raise CorruptStore(
                        f"{self.file}: a line is missing or moved", mend="keep the file as evidence; move it away to go on"
                    )
                previous = line["hash"]
                yield line

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The records (of one `kind`), each with its `time` and `hash`."""
        return [
            {**line["record"], "time": line["time"], "hash": line["hash"]}
            for line in self.lines()
            if kind is None or line["record"].get("kind") == kind
        ]
