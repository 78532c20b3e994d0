"""Prompt sets: the built-in one, and the user's own as JSONL, CSV (AILuminate's included) or plain text.

Rows are counted by a CSV reader, never by lines: prompts may contain line breaks. A file is refused whole when a row of it cannot
be read; nothing is skipped silently.
"""

from __future__ import annotations

import csv
import hashlib
import io
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import from_json

from solon.data.records import PROBE, Prompt, PromptSplit
from solon.errors import DataError, nearest

BUILTIN = "builtin"
TEXT_COLUMNS = ("prompt", "prompt_text", "text", "question", "instruction", "goal")
ID_COLUMNS = ("id", "prompt_id", "release_prompt_id")
KEPT_COLUMNS = ("set", "group", "hazard", "persona", "principle_id", "topic", "wording", "reference", "split", "source")
# Prompts with this hazard serve to measure refusal only: nothing that complies with them is generated, stored or shown.
REFUSAL_ONLY_HAZARDS = frozenset({"cse"})


def read_text(path: Path) -> str:
    """The file's text: UTF-8 with or without BOM, or UTF-16 with one.

    Raises:
        DataError: the file is missing, a folder, unreadable, or not text.
    """
    if not path.exists():
        raise DataError(f"{path}: expected a file, got nothing there", mend="check the path")
    if path.is_dir():
        raise DataError(f"{path}: expected a file, got a folder", mend="name a file in it")
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", mend="check its permissions") from error
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding).replace("\x00", "")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected UTF-8 text, got byte {raw[error.start]:#04x} at offset {error.start}",
            mend="save the file as UTF-8",
        ) from error


def stable_id(text: str) -> str:
    """A name for a prompt that has none: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def load_builtin() -> list[Prompt]:
    """The set that was written for this project: hazardous prompts (topics named only), safe twins, benign ones."""
    text = (resources.files("solon.data") / "builtin" / "prompts.jsonl").read_text(encoding="utf-8")
    return [Prompt.model_validate_json(line) for line in text.splitlines() if line]


def load_prompts(source: str | Path) -> list[Prompt]:
    """Prompts of `builtin`, or of a .jsonl, .csv, .tsv or .txt file (one prompt a line).

    A file's rows are taken as hazardous unless a `set` column says otherwise.

    Raises:
        DataError: unreadable, no prompt column, an empty prompt, a repeated id, or no prompt at all.
    """
    if str(source) == BUILTIN:
        return load_builtin()
    path = Path(source)
    prompts = [_prompt(path, where, row) for where, row in _rows(path)]
    if not prompts:
        raise DataError(f"{path}: expected at least one prompt, got none", mend="check that the file is the right one")
    return _with_ids(path, prompts)


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    text = read_text(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        yield from _jsonl_rows(path, text)
    elif suffix in (".csv", ".tsv"):
        yield from _csv_rows(path, text, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".txt":
        yield from ((f"{path}:{n}", {"prompt": line}) for n, line in enumerate(text.splitlines(), 1) if line.strip())
    else:
        raise DataError(
            f"{path}: expected .jsonl, .csv, .tsv or .txt, got {suffix or 'no ending'!r}", mend="rename or convert it"
        )


def _jsonl_rows(path: Path, text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = from_json(line)  # refuses half of a surrogate pair and bottomless nesting, which json.loads lets through
        except ValueError as error:
            raise DataError(
                f"{path}:{number}: expected a JSON object, got {line[:40]!r} ({error})", mend="mend the line"
            ) from error
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}", mend="write one object a line")
        yield f"{path}:{number}", row


def _csv_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default refuses cells over 128 KiB
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader)]
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataError(
                    f"{path}:{reader.line_num}: expected {len(header)} columns, got {len(cells)}",
                    mend="quote cells that contain the separator or line breaks",
                )
            yield f"{path}:{reader.line_num}", dict(zip(header, cells, strict=True))
    except StopIteration:
        return
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as CSV: {error}", mend="quote cells properly") from error


def _prompt(path: Path, where: str, row: dict[str, Any]) -> Prompt:
    column = next((name for name in TEXT_COLUMNS if name in row), None)
    if column is None:
        raise DataError(
            f"{where}: expected a column {', '.join(TEXT_COLUMNS[:3])}, got {', '.join(map(repr, row)) or 'none'}",
            mend=nearest(next(iter(row), ""), TEXT_COLUMNS) or f"rename the prompt column to {TEXT_COLUMNS[0]!r}",
        )
    text = row[column]
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where}: {column}: expected text, got {text!r}", mend="fill the cell or remove the row")
    given = next((str(row[name]) for name in ID_COLUMNS if row.get(name)), "")
    fields = {name: str(row[name]) for name in KEPT_COLUMNS if row.get(name)}
    fields.setdefault("source", path.name)
    if "split" in fields:
        fields["split"] = _split(where, fields["split"])
    try:
        return Prompt(id=given, prompt=text.strip(), **fields)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        wanted = first["msg"].replace("Input should be", "expected")
        raise DataError(f"{where}: {name}: {wanted}, got {first['input']!r}", mend="correct the cell") from error


def _split(where: str, word: str) -> str:
    """A stated split; `test` and `dev` are what others call `file` and `validation`. Edge cases are only measured on."""
    known = get_args(PromptSplit)
    split = {"test": "file", PROBE: "file", "dev": "validation", "valid": "validation"}.get(word.lower(), word)
    if split not in known:
        raise DataError(
            f"{where}: split: expected one of {', '.join(known)} or test, got {word!r}",
            mend=nearest(word, known) or "leave the column out to have one made",
        )
    return split


def _with_ids(path: Path, prompts: Iterable[Prompt]) -> list[Prompt]:
    """Prompts with an id each: the file's own, which must be distinct, else made from the text."""
    found: list[Prompt] = []
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id and prompt.id in seen:
            raise DataError(f"{path}: expected distinct ids, got {prompt.id!r} twice", mend="remove the repeated row")
        name, number = prompt.id or stable_id(prompt.prompt), 2
        while name in seen:  # the same text again
            name, number = f"{stable_id(prompt.prompt)}-{number}", number + 1
        seen.add(name)
        found.append(prompt.model_copy(update={"id": name}))
    return found


def choose(
    prompts: list[Prompt],
    *,
    hazards: Collection[str] = (),
    personas: Collection[str] = (),
    limit: int | None = None,
    seed: int = 0,
) -> list[Prompt]:
    """The prompts with these hazards and personas (all when empty), at most `limit` of each set and split, by seeded hash.

    Raises:
        DataError: a hazard or persona that the data do not have, or nothing left.
    """
    for asked, known, what in (
        (hazards, {p.hazard for p in prompts}, "hazard"),
        (personas, {p.persona for p in prompts}, "persona"),
    ):
        for name in asked:
            if name not in known:
                have = ", ".join(sorted(filter(None, known))) or "none"
                raise DataError(f"{what}: expected one of {have}, got {name!r}", mend=nearest(name, known) or "use one of these")
    kept = [p for p in prompts if (not hazards or p.hazard in hazards) and (not personas or p.persona in personas)]
    if limit is not None:
        order = sorted(kept, key=lambda p: hashlib.sha256(f"{seed}\x1f{p.id}".encode()).digest())
        taken: Counter[tuple[str, str]] = Counter()
        names = set()
        for prompt in order:
            taken[prompt.set, prompt.split] += 1
            if taken[prompt.set, prompt.split] <= limit:
                names.add(prompt.id)
        kept = [p for p in kept if p.id in names]
    if not kept:
        raise DataError(
            "prompts: expected at least one after the filters, got none", mend="loosen hazards, personas or max-prompts"
        )
    return kept
