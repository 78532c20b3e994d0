"""Export formats that other trainers read. A rejected reply (`response_harmful`) never reaches one that teaches by imitation.

alpaca          instruction, input, output; earlier turns of a conversation in `history`, a system turn in `system`
chat            messages, the reply last
completion      prompt (text) and completion (text)
trl-sft         prompt (messages) and completion (messages)
trl-preference  prompt, chosen, rejected (messages)
parquet         the record's columns with messages and response; `fields` as JSON text
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from solon.data.example import Example
from solon.data.files import Output, publish, refuse_scripted, writing
from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.data.rows import Turn
from solon.data.sources import read_examples
from solon.errors import DataError, nearest

Row = dict[str, Any]


def alternating(turns: Sequence[Turn]) -> list[dict[str, str]]:
    """Messages whose roles alternate, as chat templates demand: neighbours of the same role become one, a blank line between."""
    merged: list[dict[str, str]] = []
    for turn in turns:
        if merged and merged[-1]["role"] == turn.role:
            merged[-1]["content"] += "\n\n" + turn.content
        else:
            merged.append(turn.message())
    return merged


def _reply(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def alpaca(example: Example) -> Row:
    """`input` is empty: what a source gave as input stands in the instruction already."""
    messages = alternating(example.conversation())
    row: Row = {"instruction": messages[-1]["content"], "input": "", "output": example.response}
    before = [m for m in messages[:-1] if m["role"] != "system"]
    row["system"] = next((m["content"] for m in messages if m["role"] == "system"), "")
    if len(before) % 2:  # the assistant spoke first
        before.insert(0, {"role": "user", "content": ""})
    row["history"] = [[before[i]["content"], before[i + 1]["content"]] for i in range(0, len(before), 2)]
    return row


def chat(example: Example) -> Row:
    """All turns, the reply last."""
    return {"messages": alternating(example.conversation()) + _reply(example.response or "")}


_SPEAKERS = {"system": "System", "user": "User", "assistant": "Assistant"}


def completion(example: Example) -> Row:
    """The conversation as a transcript that ends with "Assistant:", and the reply after a space; one turn stays as it is."""
    messages = alternating(example.conversation())
    if len(messages) == 1:
        return {"prompt": messages[0]["content"] + "\n", "completion": example.response}
    text = "\n\n".join(f"{_SPEAKERS[m['role']]}: {m['content']}" for m in messages)
    return {"prompt": f"{text}\n\nAssistant:", "completion": f" {example.response}"}


def trl_sft(example: Example) -> Row:
    """Conversational prompt and completion: the loss falls on the reply alone."""
    return {"prompt": alternating(example.conversation()), "completion": _reply(example.response or "")}


def trl_preference(example: Example) -> Row:
    """Conversational preference row."""
    return {
        "prompt": alternating(example.conversation()),
        "chosen": _reply(example.response or ""),
        "rejected": _reply(example.rejected or ""),
    }


def record(example: Example) -> Row:
    """The record's columns, without the rejected reply."""
    row = example.model_dump(exclude={"rejected", "fields"})
    row["messages"] = alternating(example.conversation())
    kept = {
        k: v
        for k, v in example.fields.items()
        if k not in ("rejected", "original_rejected", "rejected_messages", "original_chosen")
    }
    return row | {"fields": json.dumps(kept, ensure_ascii=False, sort_keys=True)}


FORMATS: dict[str, Callable[[Example], Row]] = {
    "alpaca": alpaca,
    "chat": chat,
    "completion": completion,
    "trl-preference": trl_preference,
    "trl-sft": trl_sft,
    "parquet": record,
}


# Generated rows note a harmful reply in brackets instead of writing one; nobody should learn to avoid brackets.
_NOT_WRITTEN_OUT = re.compile(r"\[[^\[\]]*\]")


def lacks(example: Example, form: str) -> str:
    """What a row needs for a format and does not have; empty when it has all. Parquet takes any record, even without a reply."""
    if form == "parquet":
        return ""
    if not example.response:
        return "no reply"
    if example.conversation()[-1].role != "user":
        return "no user turn before the reply"
    if form == "trl-preference" and not example.rejected:
        return "no rejected reply"
    if form == "trl-preference" and _NOT_WRITTEN_OUT.fullmatch((example.rejected or "").strip()):
        return "a rejected reply that is only a note in brackets"
    if form == "trl-preference" and example.hazard.lower() in REFUSAL_ONLY_HAZARDS:
        return "a hazard that serves to measure refusal only"
    return ""


def exported(
    examples: Iterable[Example], form: str, where: str, dropped: list[str] | None = None
) -> Iterator[tuple[Example, Row]]:
    """(example, row in the format).

    Args:
        dropped: where given, rows that lack something are noted there and left out instead of refused.

    Raises:
        DataError: an unknown format, scripted output, or a row that lacks what the format needs.
    """
    if form not in FORMATS:
        raise DataError(
            f"--format: expected one of {', '.join(FORMATS)}, got {form!r}",
            mend=nearest(form, list(FORMATS)) or "use one of these",
        )
    for number, example in enumerate(examples, 1):
        refuse_scripted(example, f"{where}: row {number}")
        lack = lacks(example, form)
        if lack and dropped is None:
            raise DataError(
                f"{where}: row {number} ({example.id or 'no id'}): expected what {form} needs, got {lack}",
                mend="choose a format that fits, complete the rows, or leave such rows out with --only-complete",
            )
        if lack:
            assert dropped is not None
            dropped.append(f"row {number} ({example.id}): {lack}")
            continue
        yield example, FORMATS[form](example)


def export_file(path: str | Path, form: str, out: str | Path, *, only_complete: bool = False) -> dict[str, Any]:
    """Write a file in an export format, with card and manifest; returns the manifest.

    A name ending in .json gives one JSON array, any other (but for parquet) JSON lines.

    Raises:
        DataError: see `exported`; or nothing to export.
    """
    dropped: list[str] | None = [] if only_complete else None
    found = exported(read_examples(path), form, str(path), dropped)
    target = Path(out)
    with writing(target, [path], parquet=form == "parquet") as output:
        if form == "parquet":
            _write_parquet(output, found)
        else:
            as_array = target.name.lower().removesuffix(".gz").endswith(".json")
            _write_json(output, found, as_array)
        if not output.rows:
            raise DataError(
                f"{path}: expected rows to export as {form}, got none",
                mend="check what the rows lack: " + "; ".join((dropped or [])[:3]),
            )
    notes = [f"{len(dropped)} rows left out: {'; '.join(dropped[:5])}" + (" …" if len(dropped) > 5 else "")] if dropped else []
    return publish(output, made_by=f"export --format {form}", inputs=[path], notes=notes, more={"left_out": len(dropped or [])})


def _tally(output: Output, example: Example) -> None:
    output.rows += 1
    output.tally(example.model_dump(exclude={"messages", "response", "rejected", "prompt"}))


def _write_json(output: Output, found: Iterator[tuple[Example, Row]], as_array: bool) -> None:
    if as_array:
        output.file.write(b"[")
    for example, row in found:
        if as_array:
            output.file.write(b"\n" if not output.rows else b",\n")
        output.file.write(json.dumps(row, ensure_ascii=False).encode() + (b"" if as_array else b"\n"))
        _tally(output, example)
    if as_array:
        output.file.write(b"\n]\n")


def _write_parquet(output: Output, found: Iterator[tuple[Example, Row]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    names = [name for name in Example.model_fields if name != "rejected"]
    schema = pa.schema([(name, pa.list_(message) if name == "messages" else pa.string()) for name in names])
    with pq.ParquetWriter(output.file, schema) as writer:
        batch: list[Row] = []
        for example, row in found:
            batch.append(row)
            _tally(output, example)
            if len(batch) == 4096:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch.clear()
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
