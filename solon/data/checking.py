"""`solon data check`: everything about a file that must not be so, and what deserves a look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from solon.data.contamination import overlaps
from solon.data.dedupe import dedupe
from solon.data.detail import row_details
from solon.data.example import Example
from solon.data.files import is_scripted
from solon.data.quality import Judges, screen
from solon.data.sources import load_examples
from solon.policy.escalation import has_tags, leaks, split_tags

SHOWN = 50  # problems and warnings of a kind that a report lists; all are counted


class Problem(BaseModel):
    """One thing found: which check, in which row (from 1), what."""

    check: str
    row: int
    id: str = ""
    detail: str = ""


def check_file(
    path: str | Path, judges: Judges, *, hazard_detail: bool = False, against: Sequence[str | Path] = (), language: str = ""
) -> dict[str, Any]:
    """Check a file.

    Problems: scripted output, governance tags inside user text, metrics in governed replies, anything but a refusal in rows that
    may only be refused; with `hazard_detail` actionable detail; with `against` text shared with those files.
    Warnings: repeated ids, repeated or near-duplicate rows, rows that a training filter would leave out.

    Returns:
        `rows`, `ok`, `problems` and `warnings` (the first of each kind), `counts` of both by check, `not_run`.

    Raises:
        DataError: the file or one of `against` can't be read.
    """
    examples = load_examples(path)
    benchmarks = {str(other): load_examples(other) for other in against}
    problems = [*_own(examples), *_details(examples, judges, hazard_detail)]
    if benchmarks:
        problems += [_overlap(hit) for hit in overlaps(examples, benchmarks)]
    warnings = list(_warnings(examples, judges, language))
    not_run = [name for name, judge in vars(judges).items() if judge is None]
    not_run += [] if hazard_detail else ["hazard_detail"]
    not_run += [] if against else ["against"]
    return {
        "file": str(path),
        "rows": len(examples),
        "ok": not problems,
        "counts": {"problems": dict(Counter(p.check for p in problems)), "warnings": dict(Counter(w.check for w in warnings))},
        "problems": [p.model_dump() for p in _first(problems)],
        "warnings": [w.model_dump() for w in _first(warnings)],
        "not_run": not_run,
    }


def _first(found: Sequence[Problem]) -> Iterator[Problem]:
    seen: Counter[str] = Counter()
    for problem in found:
        seen[problem.check] += 1
        if seen[problem.check] <= SHOWN:
            yield problem


def _own(examples: Sequence[Example]) -> Iterator[Problem]:
    for row, example in enumerate(examples, 1):
        if is_scripted(example):
            yield Problem(check="scripted", row=row, id=example.id, detail="made by the scripted test double")
        for text in user_texts(example):
            if has_tags(text):
                yield Problem(check="tags_in_user_text", row=row, id=example.id, detail=text[:60])
        if example.form == "governed" and example.response:
            for leak in leaks(example.response):
                yield Problem(check="metric_leak", row=row, id=example.id, detail=str(leak.kind))


def user_texts(example: Example) -> list[str]:
    """What users wrote in an example; of a governed row without the tag line that stands before it."""
    if example.form == "governed":
        return [split_tags(example.prompt)[1]]
    return [turn.content for turn in example.conversation() if turn.role == "user"]


def _details(examples: Sequence[Example], judges: Judges, asked: bool) -> Iterator[Problem]:
    for found in row_details(examples, judges.refuses):
        if asked or found.kind == "refusal_only":
            check = found.kind if found.kind == "refusal_only" else f"hazard_detail_{found.kind}"
            yield Problem(check=check, row=found.row, id=found.id, detail=f"{found.field}: {found.match}")


def _overlap(hit: Any) -> Problem:
    detail = f"{hit.field}: {hit.kind} with {hit.benchmark_id or 'a row'} of {hit.against}: {hit.shared}"
    return Problem(check="benchmark_overlap", row=hit.row, id=hit.id, detail=detail)


def _warnings(examples: Sequence[Example], judges: Judges, language: str) -> Iterator[Problem]:
    ids = Counter(e.id for e in examples if e.id)
    for row, example in enumerate(examples, 1):
        if ids[example.id] > 1:
            yield Problem(check="repeated_id", row=row, id=example.id)
    for repeat in dedupe(examples)[1]:
        detail = f"like row {repeat.of_row} ({repeat.similarity})"
        yield Problem(check=f"{repeat.reason}_duplicate", row=repeat.row, id=repeat.id, detail=detail)
    for found in screen(examples, judges, language)[1]:
        yield Problem(check=found.reason, row=found.row, id=found.id, detail=found.detail)
