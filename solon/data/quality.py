"""Filters that a training file passes, and balance over what its rows are about.

What a refusal or a preamble looks like is known by `solon.evaluation`, which stands below this part; whoever calls hands these
judgements in (`Judges`).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from solon.data.example import Example
from solon.data.near import words
from solon.errors import DataError
from solon.models.base import derive_seed

Reason = Literal["preamble", "no_change", "refusal_in_sft", "length_ratio", "language", "repetition", "below_minimum"]
REASONS: tuple[Reason, ...] = ("preamble", "no_change", "refusal_in_sft", "length_ratio", "language", "repetition")
LONGEST_RATIO = 20.0  # chosen to rejected length, either way, in words
LEAST_WORDS = 8  # a reply this short has no ratio and no language to speak of

# Words that are frequent in one language and rare in the others.
_EN = "the and of to is that it for you with are this have not be can from they was your what will"
_FR = "le la les des de du un une au à et est que qui dans pour vous ne pas en sur avec ce il je nous sont plus être"
_DE = "der die das und ist nicht ein eine mit für auf ich sie wir zu von den im auch sich dem"
_ES = "el la los las un una de que y en por con para es del se no como su más pero al lo hay este"
_FREQUENT = {name: frozenset(listed.split()) for name, listed in (("en", _EN), ("fr", _FR), ("de", _DE), ("es", _ES))}


@dataclass(frozen=True)
class Judges:
    """What decides the filters that need an eye for replies; one that is None is not run, and is reported as not run.

    Attributes:
        preamble: does a reply talk about being a revision?
        refuses: (prompt, reply) -> does the reply refuse?
        differs: (rejected, response) -> did the revision change enough?
        repeats: does a text loop?
    """

    preamble: Callable[[str], bool] | None = None
    refuses: Callable[[str, str], bool] | None = None
    differs: Callable[[str, str], bool] | None = None
    repeats: Callable[[str], bool] | None = None


class Finding(BaseModel):
    """A row that a filter would leave out. Rows count from 1."""

    row: int
    id: str
    reason: Reason
    detail: str = ""


def language_of(text: str) -> str:
    """en, fr, de or es by their most frequent words; empty when the text is short, or no language leads clearly."""
    tokens = words(text)
    if len(tokens) < LEAST_WORDS:
        return ""
    scores = sorted(((sum(t in known for t in tokens), name) for name, known in _FREQUENT.items()), reverse=True)
    (best, name), (second, _) = scores[0], scores[1]
    return name if best >= 0.08 * len(tokens) and best >= 1.5 * second else ""


def finding(example: Example, row: int, judges: Judges, language: str = "") -> Finding | None:
    """The first filter that an example does not pass, in the order of `REASONS`; None when it passes all that are run."""
    for reason in REASONS:
        detail = _TESTS[reason](example, judges, language)
        if detail is not None:
            return Finding(row=row, id=example.id, reason=reason, detail=detail)
    return None


def _preamble(example: Example, judges: Judges, language: str) -> str | None:
    reply = example.response or ""
    return reply[:60] if judges.preamble and reply and judges.preamble(reply) else None


def _no_change(example: Example, judges: Judges, language: str) -> str | None:
    if not judges.differs or example.response is None or example.rejected is None:
        return None
    return None if judges.differs(example.rejected, example.response) else "the reply is the rejected one again"


def _refusal_in_sft(example: Example, judges: Judges, language: str) -> str | None:
    """A refusal where nothing is hazardous teaches over-refusal."""
    harmless = example.set in ("benign", "twin")
    refused = harmless and judges.refuses and example.response and judges.refuses(example.prompt, example.response)
    return f"a {example.set} prompt is refused" if refused else None


def _length_ratio(example: Example, judges: Judges, language: str) -> str | None:
    if not example.response or not example.rejected:
        return None
    ours, theirs = len(words(example.response)), len(words(example.rejected))
    if max(ours, theirs) < LEAST_WORDS or max(ours, theirs) <= LONGEST_RATIO * max(1, min(ours, theirs)):
        return None
    return f"{ours} words against {theirs}"


def _language(example: Example, judges: Judges, language: str) -> str | None:
    expected = language or example.language[:2].lower()
    found = language_of(example.response or "") if expected in _FREQUENT else ""
    return f"expected {expected}, got {found}" if found and found != expected else None


def _repetition(example: Example, judges: Judges, language: str) -> str | None:
    return "the reply loops" if judges.repeats and example.response and judges.repeats(example.response) else None


_TESTS: dict[Reason, Callable[[Example, Judges, str], str | None]] = {
    "preamble": _preamble,
    "no_change": _no_change,
    "refusal_in_sft": _refusal_in_sft,
    "length_ratio": _length_ratio,
    "language": _language,
    "repetition": _repetition,
}


def screen(examples: Iterable[Example], judges: Judges, language: str = "") -> tuple[list[Example], list[Finding]]:
    """(the examples that pass every filter, one finding for each that does not).

    Raises:
        DataError: a language whose words are not known.
    """
    if language and language not in _FREQUENT:
        raise DataError(f"language: expected one of {', '.join(sorted(_FREQUENT))}, got {language!r}", mend="use one of these")
    kept, left_out = [], []
    for number, example in enumerate(examples, 1):
        found = finding(example, number, judges, language)
        if found:
            left_out.append(found)
        else:
            kept.append(example)
    return kept, left_out


def screened(
    examples: Sequence[Example], judges: Judges, language: str, minimums: Mapping[str, float]
) -> tuple[list[Example], list[Finding]]:
    """`at_least` and `screen` together; of a row that fails both, what `screen` found. Raises as they do."""
    low = at_least(examples, minimums)[1]
    found = {finding.row: finding for finding in (*low, *screen(examples, judges, language)[1])}
    return [e for row, e in enumerate(examples, 1) if row not in found], [found[row] for row in sorted(found)]


def selected(examples: Sequence[Example], wanted: Mapping[str, Sequence[str]]) -> list[Example]:
    """The rows whose facets (see `facet`) have one of the wanted values, each of them.

    Raises:
        DataError: a facet or a value that no row has, or no row that has them together.
    """
    for name, values in wanted.items():
        known = sorted({facet(example, name) for example in examples} - {""})
        for value in values:
            if value not in known:
                there = ", ".join(known[:20]) or "no row with that field"
                raise DataError(f"select: {name}: expected a value that rows have, got {value!r}", mend=f"there are: {there}")
    kept = [example for example in examples if all(facet(example, name) in values for name, values in wanted.items())]
    if not kept:
        raise DataError("select: expected rows with all of these values, got none", mend="leave out one of them")
    return kept


def at_least(examples: Iterable[Example], minimums: Mapping[str, float]) -> tuple[list[Example], list[Finding]]:
    """Split by numbers that rows carry, such as a safety score: (rows that reach every minimum, one finding for each other row).

    Args:
        minimums: facet name (see `facet`) -> the least value that is kept.

    Raises:
        DataError: a row lacks one of the numbers: what was not measured is neither good nor bad.
    """
    kept, left_out = [], []
    for number, example in enumerate(examples, 1):
        low = next((name for name, least in minimums.items() if _number(example, name, number) < least), "")
        if low:
            detail = f"{low} {facet(example, low)} is below {minimums[low]:g}"
            left_out.append(Finding(row=number, id=example.id, reason="below_minimum", detail=detail))
        else:
            kept.append(example)
    return kept, left_out


def _number(example: Example, name: str, row: int) -> float:
    text = facet(example, name)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(
            f"filter: row {row} ({example.id or 'no id'}): expected a number as {name}, got {repr(text) if text else 'none'}",
            mend="measure every row first, or leave --min out",
        )
    return value


def facet(example: Example, name: str) -> str:
    """The value of a facet by name: a field of the record, or one that its `fields` hold (also inside context or telemetry)."""
    if name in Example.model_fields and name != "fields":
        value = getattr(example, name)
    else:
        inner: Mapping[str, Any] = example.fields
        nested = (inner.get(key) for key in ("context", "training_metadata", "metadata"))
        value = next((part[name] for part in (inner, *nested) if isinstance(part, Mapping) and name in part), "")
    return "" if value is None else str(value)


def cells(examples: Iterable[Example], over: Sequence[str]) -> Counter[tuple[str, ...]]:
    """How many rows each combination of facet values has."""
    return Counter(tuple(facet(example, name) for name in over) for example in examples)


def balanced(
    examples: Sequence[Example],
    over: Sequence[str] = ("hazard", "principle", "persona"),
    *,
    per_cell: int | None = None,
    seed: int = 0,
    present_only: bool = False,
) -> list[Example]:
    """The same number of rows for every combination of facet values, chosen by seeded hash, in the file's order.

    Args:
        per_cell: rows per combination; the smallest combination's count when None.
        present_only: leave combinations without rows aside instead of refusing.

    Raises:
        DataError: a facet that no row has, a combination without rows, or with fewer than `per_cell`.
    """
    if not over:
        raise DataError("balance: expected at least one field to balance over, got none", mend="write --over hazard,persona")
    have = cells(examples, over)
    for position, name in enumerate(over):
        if not any(cell[position] for cell in have):
            raise DataError(f"balance: expected rows with a {name!r}, got none", mend="leave it out of --over")
    values = [sorted({cell[position] for cell in have}) for position in range(len(over))]
    wanted = list(have) if present_only else list(itertools.product(*values))
    least = min(have[cell] for cell in wanted) if per_cell is None else per_cell
    short = [cell for cell in wanted if have[cell] < max(1, least)]
    if short:
        shown = "; ".join(f"{' x '.join(c or '(none)' for c in cell)}: {have[cell]}" for cell in short[:5])
        raise DataError(
            f"balance: expected at least {max(1, least)} rows in each of {len(wanted)} combinations of {' x '.join(over)}, "
            f"got fewer in {len(short)}: {shown}",
            mend="make more of these, lower --per-cell, or use --present-only",
        )
    return _chosen(examples, over, set(wanted), least, seed)


def _chosen(
    examples: Sequence[Example], over: Sequence[str], wanted: set[tuple[str, ...]], each: int, seed: int
) -> list[Example]:
    groups: dict[tuple[str, ...], list[int]] = {cell: [] for cell in wanted}
    for number, example in enumerate(examples):
        cell = tuple(facet(example, name) for name in over)
        if cell in groups:
            groups[cell].append(number)
    order = {
        n: derive_seed("balance", seed, examples[n].id, examples[n].key(), n) for members in groups.values() for n in members
    }
    taken = {n for members in groups.values() for n in sorted(members, key=order.__getitem__)[:each]}
    return [example for number, example in enumerate(examples) if number in taken]
