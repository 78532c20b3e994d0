"""Rows of JSONL, JSON, CSV and Parquet files, one at a time, gzip or plain, in memory that does not grow with the file.

A row that can't be read does not stop the reading: it is noted with its line and counted, and `Notes.settle` refuses the file
when too large a share of it is such rows. Nothing is skipped unseen.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic_core import from_json

from solon.errors import DataError

SHOWN = 10  # malformed rows that are shown; all are counted
MAX_MALFORMED = 0.01  # share of malformed rows above which a file is refused
CHUNK = 1 << 20
LONGEST_TOKEN = 64  # characters that a cut-off number, escape or word of JSON may have
_BETWEEN = re.compile(r"[ \t\r\n,]*")
SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".txt": "txt",
}  # fmt: skip


@dataclass
class Notes:
    """What was seen while reading: rows read, malformed ones (the first few with line and reason), NUL characters removed."""

    path: Path
    max_malformed: float = MAX_MALFORMED
    rows: int = 0
    malformed: int = 0
    shown: list[str] = field(default_factory=list)
    nul_rows: int = 0

    def bad(self, line: int, reason: str) -> None:
        """Note a malformed row."""
        self.malformed += 1
        if len(self.shown) < SHOWN:
            self.shown.append(f"{self.path}:{line}: {reason}")

    def settle(self) -> None:
        """At the end of a file.

        Raises:
            DataError: no row at all, or more than `max_malformed` of the rows are malformed.
        """
        total = self.rows + self.malformed
        if not total:
            raise DataError(f"{self.path}: expected rows, got an empty file", mend="check that the file is the right one")
        if self.malformed > self.max_malformed * total or not self.rows:
            raise DataError(
                f"{self.path}: expected at most {self.max_malformed:.2%} malformed rows, got {self.malformed} of {total}: "
                + "; ".join(self.shown[:5]),
                mend="mend these lines, or leave them out with `solon data import … --max-malformed SHARE`",
            )


def kind_of_file(path: Path) -> str:
    """jsonl, json, csv, tsv, parquet or txt, by the ending (a `.gz` after it is looked through).

    Raises:
        DataError: another ending.
    """
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path}: expected one of {', '.join(SUFFIXES)} (or with .gz), got {suffix or 'no ending'!r}",
            mend="rename or convert it",
        )
    return SUFFIXES[suffix]


def open_binary(path: Path) -> IO[bytes]:
    """The file's bytes, gunzipped when they are gzip, whatever the name says.

    Raises:
        DataError: missing, a folder, or not permitted.
    """
    if not path.exists():
        raise DataError(f"{path}: expected a file, got nothing there", mend="check the path")
    if path.is_dir():
        raise DataError(f"{path}: expected a file, got a folder", mend="name a file in it")
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", mend="check its permissions") from error


def encoding_of(path: Path, encoding: str | None = None) -> str:
    """The encoding that was asked for, else what the byte order mark says, else UTF-8 (a UTF-8 mark is dropped).

    Raises:
        DataError: an encoding that Python does not know.
    """
    if encoding:
        try:
            "".encode(encoding)  # finds the names of codecs that are no encodings of text too (base64, zlib)
            return codecs.lookup(encoding).name
        except LookupError as error:
            raise DataError(
                f"encoding: expected one that Python knows, got {encoding!r}", mend="for example utf-8, cp1252"
            ) from error
    with open_binary(path) as file:
        start = file.read(4)
    if start[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    return "utf-16" if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def rows(
    path: Path, notes: Notes, *, encoding: str | None = None, fields: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a file by its ending; `notes` counts as it goes and is settled at the end.

    Args:
        fields: columns to take from a Parquet file; all when empty.

    Raises:
        DataError: the file is missing, of an unknown kind, damaged, or has too many malformed rows.
    """
    kind = kind_of_file(path)
    try:
        if kind == "parquet":
            found = _parquet(path, fields)
        elif kind in ("csv", "tsv"):
            found = _csv(path, notes, encoding_of(path, encoding), "\t" if kind == "tsv" else ",")
        elif kind == "json":
            found = _json(path, notes, encoding_of(path, encoding))
        elif kind == "txt":
            found = ((n, {"prompt": line}) for n, line in _text_lines(path, notes, encoding_of(path, encoding)) if line.strip())
        else:
            found = _jsonl(path, notes, encoding_of(path, encoding))
        for line, row in found:
            notes.rows += 1
            yield line, row
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, got a damaged one ({error})", mend="fetch or make it again"
        ) from error
    notes.settle()


def _jsonl(path: Path, notes: Notes, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in _byte_lines(path, encoding):
        if b"\x00" in line:
            notes.nul_rows += 1
            line = line.replace(b"\x00", b"")
        if not line.strip():
            continue
        try:
            row = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            notes.bad(number, f"expected a JSON object, got {line[:40].decode('utf-8', 'replace')!r} ({error})")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            notes.bad(number, f"expected a JSON object, got a JSON {type(row).__name__}")


def _byte_lines(path: Path, encoding: str) -> Iterator[tuple[int, bytes]]:
    """Lines as UTF-8 bytes. Only a line feed ends a line, so that U+2028 and the like inside strings do not."""
    with open_binary(path) as file:
        if encoding in ("utf-8-sig", "utf-8"):
            for number, line in enumerate(file, 1):
                yield number, line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            return
        text = io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="\n")
        for number, decoded in enumerate(text, 1):
            yield number, decoded.encode("utf-8", "surrogateescape")


def _text_lines(path: Path, notes: Notes, encoding: str) -> Iterator[tuple[int, str]]:
    for number, line in _byte_lines(path, encoding):
        try:
            yield number, line.decode("utf-8").rstrip("\r\n").replace("\x00", "")
        except UnicodeDecodeError as error:
            notes.bad(number, f"expected UTF-8 text, got byte {line[error.start]:#04x}")


def _csv(path: Path, notes: Notes, encoding: str, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses cells over 128 KiB
    with open_binary(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")
        reader = csv.reader(_without_nul(text, notes), delimiter=delimiter, strict=True)
        header: list[str] | None = None
        start = 1
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end of data" in str(error):
                    raise DataError(
                        f"{path}:{start}: expected a closing quote, got none: a quoted cell that begins here is never closed",
                        mend="close the quote",
                    ) from error
                notes.bad(start, f"not readable as CSV: {error}")
                cells = []
            line, start = start, reader.line_num + 1
            if not cells:
                continue
            if header is None:
                header = _header(path, cells)
            elif len(cells) != len(header):
                notes.bad(line, f"expected {len(header)} columns, got {len(cells)}")
            elif not _encodable(cells):
                notes.bad(line, "expected UTF-8 text, got other bytes (try --encoding cp1252)")
            else:
                yield line, dict(zip(header, cells, strict=True))


def _without_nul(lines: Iterator[str], notes: Notes) -> Iterator[str]:
    for line in lines:
        if "\x00" in line:
            notes.nul_rows += 1
            line = line.replace("\x00", "")
        yield line


def _header(path: Path, cells: list[str]) -> list[str]:
    header = [name.strip() for name in cells]
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise DataError(f"{path}:1: expected distinct column names, got {sorted(twice)[0]!r} twice", mend="rename one of them")
    return header


def _encodable(cells: list[str]) -> bool:
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _json(path: Path, notes: Notes, encoding: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSON array, decoded one at a time from a sliding buffer; `line` is the element's number.

    An element that is a text is taken as a prompt.
    A file that begins with an object is read as JSON lines.
    """
    with open_binary(path) as file:
        text = io.TextIOWrapper(file, encoding=encoding, errors="surrogateescape")
        buffer = text.read(CHUNK).lstrip()
        if buffer.startswith("["):
            yield from _elements(path, notes, text, buffer)
            return
    if not buffer.startswith("{"):
        raise DataError(f"{path}: expected a JSON array of objects, got {buffer[:20]!r}", mend="write [ {...}, {...} ]")
    yield from _jsonl(path, notes, encoding)


def _elements(path: Path, notes: Notes, text: IO[str], buffer: str) -> Iterator[tuple[int, dict[str, Any]]]:
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    at, number = 1, 0
    while True:
        at = _BETWEEN.match(buffer, at).end()  # type: ignore[union-attr]  # matches the empty string too
        if buffer.startswith("]", at):
            return
        try:
            value, at = decoder.raw_decode(buffer, at)
        except RecursionError as error:
            raise DataError(f"{path}: element {number + 1}: expected JSON, got it nested too deeply", mend="mend it") from error
        except json.JSONDecodeError as error:
            more = text.read(max(CHUNK, len(buffer))) if _may_go_on(error, buffer) else ""
            if not more:
                raise DataError(
                    f"{path}: element {number + 1}: expected JSON, got {buffer[at : at + 40]!r} ({error.msg})",
                    mend="mend the file",
                ) from error
            buffer, at = buffer[at:] + more, 0
            continue
        number += 1
        if isinstance(value, dict | str):
            yield number, {"prompt": value} if isinstance(value, str) else value
        else:
            notes.bad(number, f"expected a JSON object, got a JSON {type(value).__name__}")


def _may_go_on(error: json.JSONDecodeError, buffer: str) -> bool:
    """Whether more text could make an element whole: what is wrong lies at the end of what was read, or is a text without end."""
    return error.pos >= len(buffer) - LONGEST_TOKEN or error.msg.startswith("Unterminated string")


def _refuse_constant(name: str) -> float:
    raise DataError(f"expected finite numbers, got {name}", mend="write null where there is no number")


def _parquet(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow.parquet as pq
    from pyarrow.lib import ArrowException

    if not path.is_file():
        raise DataError(f"{path}: expected a file, got {'a folder' if path.is_dir() else 'nothing there'}", mend="check the path")
    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024, columns=list(fields) or None):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _unpacked(row)
    except (ArrowException, OSError) as error:
        raise DataError(f"{path}: expected a Parquet file, got {error}", mend="convert it, or name what it is") from error


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    """A row of our own Parquet export, whose `fields` are JSON text, as it was; others unchanged."""
    if "form" in row and isinstance(row.get("fields"), str):
        return {**row, "fields": json.loads(row["fields"])}
    return row
