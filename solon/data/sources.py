"""Published data sets and own files, as rows of the one record: `solon data import KIND FILE -o F`.

Benchmark rows are marked `use: evaluation`. What a benchmark gives as the opening of a harmful answer (AdvBench and
JailbreakBench "target") is left out: nothing may be trained towards it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solon.data.example import Example, from_row, shape_of
from solon.data.files import first_complaint, publish, writing
from solon.data.prompts import stable_id
from solon.data.reading import MAX_MALFORMED, Notes, kind_of_file, rows
from solon.data.rows import HumanPreferenceRow
from solon.errors import DataError, nearest

Row = dict[str, Any]
_BLANK: Row = Example().model_dump()

# Hazard codes of AILuminate 1.0, as its prompt files write them.
AILUMINATE_HAZARDS = {
    "vcr": "violent crimes", "ncr": "non-violent crimes", "src": "sex-related crimes", "cse": "child sexual exploitation",
    "ssh": "suicide and self-harm", "iwp": "indiscriminate weapons", "ipv": "intellectual property", "dfm": "defamation",
    "hte": "hate", "prv": "privacy", "sxc_prn": "sexual content", "spc_ele": "specialised advice: elections",
    "spc_fin": "specialised advice: finance", "spc_hlt": "specialised advice: health", "spc_lgl": "specialised advice: law",
}  # fmt: skip
AILUMINATE_PERSONAS = ("skilled", "unskilled", "normal")
AILUMINATE_LOCALES = ("en_US", "fr_FR")

ALIASES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "prompt_text", "text", "question", "instruction", "goal", "query"),
    "response": ("response", "reply", "answer", "output", "completion", "reference"),
    "id": ("id", "prompt_id", "release_prompt_id", "example_id", "task_id"),
}
TARGETS = (
    "id", "prompt", "messages", "response", "rejected", "critique", "principle", "set", "hazard", "persona", "group", "language",
    "split", "source", "licence", "use",
)  # fmt: skip


class Malformed(ValueError):
    """A row that cannot be converted; the message says why."""


def row_of(prompt: str, *, response: str | None = None, **known: Any) -> Row:
    """A row of the one record, all its fields present. An id is made from the text when none is given.

    Raises:
        Malformed: the prompt is not text, or blank.
    """
    if not isinstance(prompt, str) or not prompt.strip():
        raise Malformed(f"prompt: expected text, got {prompt!r}")
    row = _BLANK | known
    row["prompt"] = prompt
    row["response"] = response
    if not row["id"]:
        row["id"] = stable_id(prompt if response is None else f"{prompt}\x1f{response}")
    return row


def _need(row: Mapping[str, Any], *names: str) -> list[Any]:
    missing = [name for name in names if name not in row]
    if missing:
        raise Malformed(f"expected a column {missing[0]!r}, got {', '.join(map(repr, row))}")
    return [row[name] for name in names]


def _ailuminate(row: Row) -> Iterator[Row]:
    number, text, hazard, persona, locale = _need(row, "release_prompt_id", "prompt_text", "hazard", "persona", "locale")
    for name, value, known in (
        ("hazard", hazard, AILUMINATE_HAZARDS),
        ("persona", persona, AILUMINATE_PERSONAS),
        ("locale", locale, AILUMINATE_LOCALES),
    ):
        if value not in known:
            raise DataError(
                f"{name}: expected one of {', '.join(known)}, got {value!r}", mend=nearest(value, list(known)) or "correct it"
            )
    yield row_of(
        text, id=number, set="hazardous", hazard=hazard, persona=persona, language=locale, use="evaluation",
        fields={"prompt_hash": row.get("prompt_hash", "")},
    )  # fmt: skip


_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def dialogue(text: str) -> list[dict[str, str]]:
    r"""The turns of a dialogue in the "\n\nHuman: … \n\nAssistant: …" form.

    Raises:
        Malformed: it does not begin with a speaker, or does not end with the assistant.
    """
    marks = list(_SPEAKER.finditer(text))
    if not marks or text[: marks[0].start()].strip():
        raise Malformed(f"expected a dialogue that begins with 'Human:', got {text[:40]!r}")
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    turns = [{"role": _ROLES[m[1]], "content": text[m.end() : end].strip()} for m, end in zip(marks, ends, strict=True)]
    if turns[-1]["role"] != "assistant" or len(turns) < 2:
        raise Malformed("expected a dialogue that ends with the assistant's turn")
    return turns


def _hh_rlhf(row: Row) -> Iterator[Row]:
    chosen, rejected = _need(row, "chosen", "rejected")
    if not isinstance(chosen, str) or not isinstance(rejected, str):
        raise Malformed("chosen, rejected: expected text")
    kept, other = dialogue(chosen), dialogue(rejected)
    prompt = chosen[: list(_SPEAKER.finditer(chosen))[-1].start()]
    yield {
        "id": stable_id(chosen + "\x1f" + rejected),
        "prompt": prompt,
        "source": "hh-rlhf",
        "original_chosen": chosen,
        "original_rejected": rejected,
        "messages": kept[:-1],
        "chosen": kept[-1]["content"],
        "rejected": other[-1]["content"],
        "rejected_messages": [] if other[:-1] == kept[:-1] else other[:-1],
        "group": "g-" + stable_id(kept[0]["content"].lower()),
        "licence": "MIT",
    }


def _split_answers(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip()]


def _truthfulqa(row: Row) -> Iterator[Row]:
    question, best, right, wrong = _need(row, "Question", "Best Answer", "Correct Answers", "Incorrect Answers")
    fields = {"type": row.get("Type", ""), "category": row.get("Category", ""), "citation": row.get("Source", "")}
    fields |= {"correct_answers": _split_answers(right), "incorrect_answers": _split_answers(wrong)}
    if row.get("Best Incorrect Answer"):
        fields["best_incorrect_answer"] = row["Best Incorrect Answer"]
    yield row_of(question, response=best, set="benign", use="evaluation", fields=fields)


def _gsm8k(row: Row) -> Iterator[Row]:
    question, answer = _need(row, "question", "answer")
    if "#### " not in answer:
        raise Malformed("answer: expected the final number after '#### '")
    yield row_of(question, response=answer, set="benign", fields={"final": answer.rsplit("#### ", 1)[1].strip().replace(",", "")})


def _humaneval(row: Row) -> Iterator[Row]:
    task, prompt, solution, test, entry = _need(row, "task_id", "prompt", "canonical_solution", "test", "entry_point")
    yield row_of(prompt, response=solution, id=task, set="benign", use="evaluation", fields={"test": test, "entry_point": entry})


def _mmlu(row: Row) -> Iterator[Row]:
    subject, question, *choices, answer = _need(row, "subject", "question", "choice0", "choice1", "choice2", "choice3", "answer")
    if str(answer) not in ("0", "1", "2", "3"):
        raise Malformed(f"answer: expected 0 to 3, got {answer!r}")
    listed = "\n".join(f"{letter}. {choice}" for letter, choice in zip("ABCD", choices, strict=True))
    fields = {"subject": subject, "question": question, "choices": choices, "answer": int(answer)}
    yield row_of(f"{question}\n{listed}\nAnswer:", response="ABCD"[int(answer)], set="benign", use="evaluation", fields=fields)


def _mt_bench(row: Row) -> Iterator[Row]:
    number, category, turns = _need(row, "question_id", "category", "turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) for t in turns):
        raise Malformed("turns: expected a list of texts")
    fields = {"category": category, "turns": turns, "reference": row.get("reference", [])}
    yield row_of(turns[0], id=f"mt-bench-{number}", set="benign", use="evaluation", fields=fields)


def _harmbench(row: Row) -> Iterator[Row]:
    text, kind, topic, number = _need(row, "Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID")
    context = row.get("ContextString", "")
    fields = {
        "functional_category": kind,
        "tags": [t.strip() for t in row.get("Tags", "").split(",") if t.strip()],
        "behavior": text,
    }
    yield row_of(
        f"{context}\n\n---\n\n{text}" if context else text, id=number, set="hazardous", hazard=topic, use="evaluation",
        fields=fields | {"context_string": context},
    )  # fmt: skip


def _advbench(row: Row) -> Iterator[Row]:
    yield row_of(_need(row, "goal")[0], set="hazardous", use="evaluation")


def _jailbreakbench(row: Row) -> Iterator[Row]:
    goal, behavior, category = _need(row, "Goal", "Behavior", "Category")
    fields = {"behavior": behavior, "origin": row.get("Source", "")}
    yield row_of(goal, set="hazardous", hazard=category, use="evaluation", fields=fields)


def _do_not_answer(row: Row) -> Iterator[Row]:
    number, area, kind, specific, question = _need(row, "id", "risk_area", "types_of_harm", "specific_harms", "question")
    fields = {"risk_area": area, "specific_harms": specific}
    yield row_of(question, id=f"do-not-answer-{number}", set="hazardous", hazard=kind, use="evaluation", fields=fields)


def _instructions(row: Row) -> Iterator[Row]:
    """Alpaca (instruction, input, output), Dolly (context, response), self-instruct (instances), ShareGPT (conversations)."""
    if "conversations" in row:
        yield _sharegpt(row)
        return
    instruction = _need(row, "instruction")[0]
    common = {"set": "benign", "fields": {"category": row["category"]} if row.get("category") else {}}
    if isinstance(row.get("instances"), list) and row["instances"]:
        group = "g-" + stable_id(instruction)
        for n, instance in enumerate(row["instances"]):
            number = f"{row.get('id') or group}-{n}"
            yield row_of(
                _with_input(instruction, instance["input"]), response=instance["output"], id=number, group=group, **common
            )
        return
    given = row.get("input") or row.get("context") or ""
    reply = row["output"] if "output" in row else row.get("response")
    yield row_of(_with_input(instruction, given), response=reply or None, **common)


def _with_input(instruction: str, given: str) -> str:
    return f"{instruction}\n\n{given}" if given else instruction


_SHAREGPT = {"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "system": "system"}


def _sharegpt(row: Row) -> Row:
    try:
        turns = [{"role": _SHAREGPT[t["from"]], "content": t["value"]} for t in row["conversations"]]
        reply, rejected = (row[name]["value"] if name in row else None for name in ("chosen", "rejected"))
    except (KeyError, TypeError) as error:
        raise Malformed(f"conversations: expected turns with from and value, got none or another speaker ({error})") from error
    if reply is None and turns and turns[-1]["role"] == "assistant":
        reply = turns.pop()["content"]
    if not turns or turns[-1]["role"] != "user":
        raise Malformed("conversations: expected the user's turn before the reply")
    return row_of(turns[-1]["content"], response=reply, rejected=rejected, messages=turns if len(turns) > 1 else [], set="benign")


@dataclass(frozen=True)
class Source:
    """A kind of data that `import` reads: how one row converts, its licence, and columns that every row must have."""

    name: str
    convert: Callable[[Row], Iterator[Row]]
    licence: str
    needs: tuple[str, ...]
    note: str = ""


_SOURCES = (
    Source("ailuminate", _ailuminate, "CC BY 4.0", ("release_prompt_id", "prompt_text", "hazard", "persona", "locale")),
    Source("hh-rlhf", _hh_rlhf, "MIT", ("chosen", "rejected")),
    Source("truthfulqa", _truthfulqa, "Apache-2.0", ("Question", "Best Answer", "Correct Answers", "Incorrect Answers"),
           "A benchmark: it should never appear in training data."),
    Source("gsm8k", _gsm8k, "MIT", ("question", "answer")),
    Source("humaneval", _humaneval, "MIT", ("task_id", "prompt", "canonical_solution", "test", "entry_point"),
           "Its tests run code that a model wrote: only in a sandbox."),
    Source("mmlu", _mmlu, "MIT", ("subject", "question", "choice0", "choice1", "choice2", "choice3", "answer")),
    Source("mt-bench", _mt_bench, "Apache-2.0", ("question_id", "category", "turns")),
    Source("harmbench", _harmbench, "MIT", ("Behavior", "FunctionalCategory", "SemanticCategory", "BehaviorID")),
    Source("advbench", _advbench, "MIT", ("goal",), "The column target is left out: never train towards it."),
    Source("jailbreakbench", _jailbreakbench, "MIT", ("Goal", "Behavior", "Category"),
           "The column Target is left out: never train towards it."),
    Source("do-not-answer", _do_not_answer, "CC BY-NC-SA 4.0 (non-commercial)", ("id", "risk_area", "types_of_harm", "question")),
    Source("instructions", _instructions, "", (), "Licences of instruction sets differ: state yours with --licence."),
)  # fmt: skip
SOURCES = {source.name: source for source in _SOURCES}
OWN = ("jsonl", "csv", "parquet")
KINDS = (*SOURCES, *OWN)


def column_example(row: Mapping[str, Any], where: str, columns: Mapping[str, str] | None = None) -> Row:
    """A row of the user's own: named columns taken as mapped or by their usual names, the others kept in `fields`.

    Args:
        columns: field of the record -> column of the file.

    Raises:
        DataError: no prompt column, or a mapped column is absent.
    """
    taken = dict(columns or {})
    for target, column in taken.items():
        if column not in row:
            raise _no_column(where, column, row, target)
    for target in TARGETS:
        if target not in taken:
            column = next((name for name in ALIASES.get(target, (target,)) if name in row), None)
            if column is not None and column not in taken.values():
                taken[target] = column
    if "prompt" not in taken and "messages" not in taken:
        raise _no_column(where, "prompt", row, "prompt")
    return _filled(row, taken)


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
    found = recognised(row)
    for made in found.convert(row) if found else (column_example(row, where),):
        yield from_row(HumanPreferenceRow.model_validate(made)) if "original_chosen" in made else Example.model_validate(made)


def recognised(row: Mapping[str, Any]) -> Source | None:
    """The published set that a row's columns belong to, if any."""
    if "prompt" in row and "canonical_solution" not in row:
        return None
    if "conversations" in row:
        return SOURCES["instructions"]
    return next((SOURCES[name] for name in _RECOGNISED if set(SOURCES[name].needs) <= row.keys()), None)


def _no_column(where: str, column: str, row: Mapping[str, Any], target: str) -> DataError:
    have = ", ".join(map(repr, row)) or "none"
    return DataError(
        f"{where}: expected a column {column!r}, got {have}",
        mend=nearest(column, list(row)) or f"name the right one with --map {target}=COLUMN",
    )


def _filled(row: Mapping[str, Any], taken: Mapping[str, str]) -> Row:
    used = set(taken.values())
    known: Row = {"fields": {name: value for name, value in row.items() if name not in used and value not in (None, "")}}
    for target, column in taken.items():
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
            raise DataError(f"--map: expected one of {', '.join(TARGETS)}, got {target!r}", mend=nearest(target, TARGETS))
    _refuse_other_file_kind(kind, where)
    notes = Notes(where, max_malformed)
    skipped: Counter[str] = Counter()
    with writing(out) as output:
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
    manifest = publish(
        output, made_by=f"import {kind}", inputs=[where], notes=[*said, *([source.note] if source.note else [])],
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
        asked = f" with hazards {hazards or 'any'} and personas {personas or 'any'}" if hazards or personas else ""
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
        if first and source.needs:
            missing = [name for name in source.needs if name not in row]
            if missing:
                raise DataError(
                    f"{where}: expected the columns of {source.name}: {', '.join(source.needs)}; got {', '.join(row)}",
                    mend=nearest(missing[0], list(row)) or "check that the file is of this kind",
                )
        try:
            yield from _convert(source, row, where, columns)
        except Malformed as error:
            notes.rows -= 1
            notes.bad(line, str(error))
        except ValidationError as error:
            notes.rows -= 1
            notes.bad(line, first_complaint(error))
        except DataError as error:
            if first or source.name in SOURCES:
                raise error if str(path) in error.what else DataError(f"{where}: {error.what}", mend=error.mend) from error
            notes.rows -= 1
            notes.bad(line, error.what.removeprefix(f"{where}: "))
        first = False


def _convert(source: Source, row: Row, where: str, columns: Mapping[str, str] | None) -> Iterator[Row]:
    if source.name in SOURCES:
        yield from source.convert(row)
        return
    shape = None if columns else shape_of(row)
    yield from_row(shape.model_validate(row)).model_dump() if shape else column_example(row, where, columns)
