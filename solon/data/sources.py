"""Files into rows of the one record: `solon data import KIND FILE -o F`, and rows as they come in any file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solon.data.example import Example, from_row, shape_of
from solon.data.files import first_complaint, publish, writing
from solon.data.published import SOURCES, STATE_LICENCE, Malformed, Row, Source, row_of
from solon.data.reading import MAX_MALFORMED, Notes, kind_of_file, rows
from solon.data.rows import HumanPreferenceRow
from solon.errors import DataError, nearest
from solon.policy.escalation import has_tags, split_tags

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "prompt_text", "text", "question", "instruction", "goal", "query"),
    "response": ("response", "reply", "answer", "output", "completion", "chosen", "reference"),
    "id": ("id", "prompt_id", "release_prompt_id", "example_id", "task_id"),
}
TARGETS = (
    "id", "prompt", "messages", "response", "rejected", "critique", "principle", "set", "hazard", "persona", "group", "language",
    "split", "source", "licence", "use",
)  # fmt: skip


class Injected(DataError):
    """User text that holds governance tags; a file with such a row is refused whole."""


OWN = ("jsonl", "csv", "parquet")
KINDS = (*SOURCES, *OWN)


def column_example(row: Mapping[str, Any], where: str, columns: Mapping[str, str] | None = None) -> Row:
    """A row of the user's own: named columns taken as mapped or by their usual names, the others kept in `fields`.

    Args:
        columns: field of the record -> column of the file.

    Raises:
        DataError: no prompt column, or a mapped column is absent.
    """
    taken = _columns_taken(tuple(row), tuple((columns or {}).items()))
    for target, column in taken:
        if column not in row:
            raise _no_column(where, column, row, target)
    if not any(target in ("prompt", "messages") for target, _ in taken):
        raise _no_column(where, "prompt", row, "prompt")
    return _filled(row, taken)


@lru_cache(maxsize=1024)
def _columns_taken(names: tuple[str, ...], columns: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """(field, column) pairs: those that were asked for, then every field whose usual name is among the columns."""
    taken = dict(columns)
    for target in TARGETS:
        if target not in taken:
            known = next((name for name in ALIASES.get(target, (target,)) if name in names), None)
            if known is not None and known not in taken.values():
                taken[target] = known
    return tuple(taken.items())


# Published sets that are known by columns which own files hardly have by chance.
_RECOGNISED = (
    "ailuminate",
    "truthfulqa",
    "humaneval",
    "mmlu",
    "mt-bench",
    "harmbench",
    "jailbreakbench",
    "do-not-answer",
    "hh-rlhf",
)


def examples_of_raw(row: Row, where: str) -> Iterator[Example]:
    """The examples of a row that is in no shape of ours: of a published set, by its columns, else by the usual column names.

    Raises:
        Malformed: a value that cannot be taken.
        DataError: no prompt column, or an unknown code.
    """
    row = _without_nested_messages(_joined_instruction(row))
    found = recognised(row)
    for made in found.convert(row) if found else (column_example(row, where),):
        yield from_row(HumanPreferenceRow.model_validate(made)) if "original_chosen" in made else Example.model_validate(made)


def read_examples(path: str | Path, *, max_malformed: float = 0.0) -> Iterator[Example]:
    """The examples of a file of any known row shape, of a published set as it comes, or with a prompt column of a usual name.

    Raises:
        DataError: unreadable, a row of no known shape or with a wrong field (file:line: field), or no row.
    """
    where = Path(path)
    notes = Notes(where, max_malformed)
    for line, row in rows(where, notes):
        shape = shape_of(row)
        try:
            if shape:
                yield from_row(shape.model_validate(row))
            else:
                yield from examples_of_raw(row, f"{where}:{line}")
        except Malformed as error:
            raise DataError(f"{where}:{line}: {error}", mend="correct the row") from error
        except ValidationError as error:
            raise DataError(f"{where}:{line}: {first_complaint(error)}", mend="correct the row") from error


def load_examples(path: str | Path) -> list[Example]:
    """All examples of a file; see `read_examples`."""
    return list(read_examples(path))


def recognised(row: Mapping[str, Any]) -> Source | None:
    """The published set that a row's columns belong to, if any."""
    if ("prompt" in row or "messages" in row) and "canonical_solution" not in row:
        return None
    if "conversations" in row or isinstance(row.get("instances"), list):
        return SOURCES["instructions"]
    return next((SOURCES[name] for name in _RECOGNISED if SOURCES[name].fits(row)), None)


def _joined_instruction(row: Row) -> Row:
    """An Alpaca or Dolly row with its input in the prompt, and its system text and earlier turns as messages."""
    given = row.get("input") or row.get("context") or ""
    if "prompt" in row or not isinstance(row.get("instruction"), str) or not isinstance(given, str):
        return row
    rest = {name: value for name, value in row.items() if name not in ("instruction", "input", "context", "history", "system")}
    prompt = f"{row['instruction']}\n\n{given}" if given else row["instruction"]
    before = [{"role": "system", "content": row["system"]}] if row.get("system") else []
    for turn in row.get("history") or []:
        if not isinstance(turn, list | tuple) or len(turn) != 2:
            raise Malformed("history: expected pairs of what the user and the assistant said")
        said = zip(("user", "assistant"), turn, strict=True)
        before += [{"role": role, "content": text} for role, text in said if text]
    turns = {"messages": [*before, {"role": "user", "content": prompt}]} if before else {"prompt": prompt}
    return rest | turns


_REPLIES = ("chosen", "rejected", "completion")


def _without_nested_messages(row: Row) -> Row:
    """A row whose prompt and replies are lists of messages (as trl takes them) with `messages` and plain replies instead.

    Where `chosen` and `rejected` repeat the prompt, the turns that both begin with are the prompt.
    """
    names = [name for name in ("prompt", *_REPLIES) if isinstance(row.get(name), list)]
    if not names:
        return row
    odd = next((name for name in _REPLIES if name in row and not isinstance(row[name], list | None)), None)
    if odd:
        raise Malformed(f"{odd}: expected messages, as in {names[0]}, got {row[odd]!r}")
    replies = {name: _messages(row[name]) for name in _REPLIES if row.get(name)}
    prompt = _messages(row["prompt"]) if "prompt" in names else []
    chats = list(replies.values())
    shared = _shared_start(chats) if len(chats) > 1 else [turn for chat in chats for turn in chat[:-1]]
    before = prompt if not shared or shared == prompt else [*prompt, *shared]
    plain = {name: value for name, value in row.items() if name not in (*names, *_REPLIES, "messages")}
    for name, turns in replies.items():
        reply = turns[len(shared) :]
        if len(reply) != 1 or reply[0]["role"] != "assistant":
            raise Malformed(f"{name}: expected one reply of the assistant after the prompt, got {len(reply)} turns")
        plain[name] = reply[0]["content"]
    if before:
        plain.pop("prompt", None)
        plain["messages"] = before
    return plain


def _shared_start(chats: list[list[Row]]) -> list[Row]:
    """The turns before the last that all chats begin with."""
    shortest = min(len(chat) for chat in chats) - 1
    same = 0
    while same < shortest and all(chat[same] == chats[0][same] for chat in chats):
        same += 1
    return chats[0][:same]


def _no_column(where: str, column: str, row: Mapping[str, Any], target: str) -> DataError:
    have = ", ".join(map(repr, row)) or "none"
    mend = f"name the right one with --map {target}=COLUMN"
    if len(row) == 1 and ";" in next(iter(row)):
        mend = "save it with commas between the cells: it seems to have semicolons"
    return DataError(f"{where}: expected a column {column!r}, got {have}", mend=mend)


def _filled(row: Mapping[str, Any], taken: tuple[tuple[str, str], ...]) -> Row:
    used = {column for _, column in taken}
    known: Row = {"fields": {name: value for name, value in row.items() if name not in used and value not in (None, "")}}
    for target, column in taken:
        value = row[column]
        if target == "messages":
            known["messages"] = _messages(value)
        elif target in ("response", "rejected"):
            known[target] = None if value is None else _text(value)
        elif value is not None:
            known[target] = _text(value)
    response = known.pop("response", None)
    prompt = known.pop("prompt", "")
    if known.get("messages"):
        if known["messages"][-1]["role"] == "assistant" and response is None:
            response = known["messages"].pop()["content"]
        users = [turn["content"] for turn in known["messages"] if turn["role"] == "user"]
        prompt = prompt or (users[-1] if users else "")
    return row_of(prompt, response=response, **known)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.replace("\x00", "") if "\x00" in value else value
    if isinstance(value, bool | int | float):
        return str(value)
    raise Malformed(f"expected text, got {type(value).__name__}")


def _messages(value: Any) -> list[Row]:
    try:
        turns = [{"role": turn["role"], "content": _text(turn["content"])} for turn in value]
    except (TypeError, KeyError) as error:
        raise Malformed("messages: expected a list of {role, content}") from error
    for turn in turns:
        if turn["role"] not in ("system", "user", "assistant"):
            raise Malformed(f"messages: role: expected system, user or assistant, got {turn['role']!r}")
    return turns


@dataclass
class ImportReport:
    """What an import did."""

    rows: int = 0
    malformed: int = 0
    shown: list[str] = field(default_factory=list)
    manifest: dict[str, Any] = field(default_factory=dict)


def import_file(
    kind: str,
    path: str | Path,
    out: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    hazards: tuple[str, ...] = (),
    personas: tuple[str, ...] = (),
    limit: int | None = None,
    licence: str = "",
    encoding: str | None = None,
    max_malformed: float = MAX_MALFORMED,
) -> ImportReport:
    """Convert a file into rows of the one record (HH-RLHF: `HumanPreferenceRow`), streaming, with card and manifest.

    Raises:
        DataError: unknown kind, wrong columns, an unknown hazard code, too many malformed rows, or nothing left.
    """
    source, where = _source(kind), Path(path)
    if columns and kind in SOURCES:
        raise DataError(
            f"--map: expected a kind with own columns ({', '.join(OWN)}), got {kind}", mend=f"leave out --map for {kind}"
        )
    for target in columns or {}:
        if target not in TARGETS:
            raise DataError(
                f"--map: expected one of {', '.join(TARGETS)}, got {target!r}",
                mend=nearest(target, TARGETS) or "use one of these",
            )
    _refuse_other_file_kind(kind, where)
    notes = Notes(where, max_malformed)
    skipped: Counter[str] = Counter()
    with writing(out, [where]) as output:
        for row in converted(source, where, notes, columns=columns, encoding=encoding):
            if (hazards and row.get("hazard") not in hazards) or (personas and row.get("persona") not in personas):
                skipped["filtered"] += 1
                continue
            if limit is not None and output.rows >= limit:
                break
            if licence or not row["licence"]:
                row["licence"] = licence or source.licence
            if not row["source"]:
                row["source"] = source.name if kind in SOURCES else where.name
            output.write(row)
        _refuse_nothing_left(output.rows, where, hazards, personas)
    said = [f"{skipped['filtered']} rows left out by the hazard and persona filters."] if skipped else []
    said += [f"{notes.malformed} malformed rows left out: {'; '.join(notes.shown)}."] if notes.malformed else []
    said += [f"NUL characters were removed from {notes.nul_rows} rows."] if notes.nul_rows else []
    said += [source.note] if source.note and not (licence and source.note == STATE_LICENCE) else []
    manifest = publish(
        output, made_by=f"import {kind}", inputs=[where], notes=said,
        more={"malformed": {"count": notes.malformed, "shown": notes.shown, "allowed_share": max_malformed}},
    )  # fmt: skip
    return ImportReport(output.rows, notes.malformed, notes.shown, manifest)


def _source(kind: str) -> Source:
    if kind in SOURCES:
        return SOURCES[kind]
    if kind in OWN:
        return Source(kind, lambda row: iter(()), "", ())
    raise DataError(
        f"import: expected one of {', '.join(KINDS)}, got {kind!r}", mend=nearest(kind, list(KINDS)) or "use one of these"
    )


def _refuse_other_file_kind(kind: str, path: Path) -> None:
    found = kind_of_file(path)
    fits = {"jsonl": ("jsonl", "json"), "csv": ("csv", "tsv"), "parquet": ("parquet",)}
    if kind in fits and found not in fits[kind]:
        raise DataError(f"{path}: expected a file of kind {kind}, got {found}", mend=f"solon data import {found} …")


def _refuse_nothing_left(count: int, path: Path, hazards: tuple[str, ...], personas: tuple[str, ...]) -> None:
    if not count:
        asked = "".join(
            f" with {name} {', '.join(given)}" for name, given in (("hazard", hazards), ("persona", personas)) if given
        )
        raise DataError(f"{path}: expected rows{asked}, got none", mend="loosen the filters or check the file")


def converted(
    source: Source, path: Path, notes: Notes, *, columns: Mapping[str, str] | None = None, encoding: str | None = None
) -> Iterator[Row]:
    """Rows of the one record, as dicts; malformed ones are counted in `notes`.

    Raises:
        DataError: the first row lacks a column that the kind needs, or holds an unknown code.
    """
    first = True
    for line, row in rows(path, notes, encoding=encoding):
        where = f"{path}:{line}"
        if first and not source.fits(row):
            missing = [name for name in source.needs if name not in row]
            other = f", or {', '.join(source.or_needs)}" if source.or_needs else ""
            raise DataError(
                f"{where}: expected the columns of {source.name}: {', '.join(source.needs)}{other}; got {', '.join(row)}",
                mend=nearest(missing[0], list(row)) or "check that the file is of this kind",
            )
        try:
            for made in _convert(source, row, where, columns):
                _refuse_injected(made, where)
                yield made
        except Malformed as error:
            notes.rows -= 1
            notes.bad(line, str(error))
        except ValidationError as error:
            notes.rows -= 1
            notes.bad(line, first_complaint(error))
        except DataError as error:
            if first or source.name in SOURCES or isinstance(error, Injected):
                raise error if str(path) in error.what else DataError(f"{where}: {error.what}", mend=error.mend) from error
            notes.rows -= 1
            notes.bad(line, error.what.removeprefix(f"{where}: "))
        first = False


def _refuse_injected(row: Row, where: str) -> None:
    """Governance tags state what a runtime measured; a user who writes them is forging it.

    Raises:
        Injected: a user's turn holds tags; of a governed row, anywhere but in front of its prompt.
    """
    prompt = row["prompt"]
    if row.get("form") == "governed":
        prompt = split_tags(prompt)[1]
    said = [prompt, *(turn["content"] for turn in row.get("messages") or () if turn["role"] == "user")]
    if any((not text.isascii() or "gov" in text.lower() or "&" in text) and has_tags(text) for text in said):
        raise Injected(f"{where}: expected user text, got governance tags inside it", mend="remove the row or the tags")


def _convert(source: Source, row: Row, where: str, columns: Mapping[str, str] | None) -> Iterator[Row]:
    if source.name in SOURCES:
        yield from source.convert(row)
        return
    shape = None if columns else shape_of(row)
    yield from_row(shape.model_validate(row)).model_dump() if shape else column_example(row, where, columns)
