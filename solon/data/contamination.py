"""Do these rows share text with a benchmark? Shared 13-grams of words, and prompts that are near-duplicates.

13 words is the length that Brown et al. (2020), "Language Models are Few-Shot Learners", appendix C, takes for such checks. A
benchmark prompt that is shorter is looked for whole when it has at least 6 words, and by equality when it has fewer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from solon.data.example import Example
from solon.data.near import NEAR, near_duplicates, words

GRAM = 13
LEAST = 6


class Overlap(BaseModel):
    """A row that shares text with a benchmark: how, with which prompt of which file, and the shared words."""

    row: int
    id: str
    field: str
    kind: Literal["13-gram", "whole", "near"]
    against: str
    benchmark_id: str
    shared: str


def _grams(tokens: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def overlaps(examples: Sequence[Example], benchmarks: Mapping[str, Sequence[Example]]) -> list[Overlap]:
    """The first overlap of each kind in each row's fields, in the order of the rows.

    Args:
        benchmarks: name -> rows whose user turns must not occur in `examples`.
    """
    index: dict[tuple[str, ...], tuple[str, str]] = {}
    for name, rows in benchmarks.items():
        for row in rows:
            for turn in row.conversation():
                if turn.role == "user":
                    tokens = words(turn.content)
                    for gram in _grams(tokens, min(GRAM, len(tokens))) if tokens else ():
                        index.setdefault(gram, (name, row.id))
    sizes = sorted({len(gram) for gram in index})
    found = [hit for number, row in enumerate(examples, 1) for hit in _row_overlaps(number, row, index, sizes)]
    found += _near(examples, benchmarks)
    return sorted(found, key=lambda hit: (hit.row, hit.field, hit.kind))


def _row_overlaps(
    number: int, row: Example, index: dict[tuple[str, ...], tuple[str, str]], sizes: list[int]
) -> Iterator[Overlap]:
    for field, text in _texts(row):
        tokens = words(text)
        for size in sizes:
            grams: Iterable[tuple[str, ...]] = _grams(tokens, size)
            if size < LEAST:
                grams = [tuple(tokens)] if len(tokens) == size else []
            gram = next((gram for gram in grams if gram in index), None)
            if gram is not None:
                name, other = index[gram]
                kind = "13-gram" if size == GRAM else "whole"
                yield Overlap(
                    row=number, id=row.id, field=field, kind=kind, against=name, benchmark_id=other, shared=" ".join(gram)
                )
                break


def _texts(row: Example) -> Iterator[tuple[str, str]]:
    for turn in row.conversation():
        yield ("prompt" if turn.role == "user" else turn.role), turn.content
    for field in ("response", "rejected"):
        if getattr(row, field):
            yield field, getattr(row, field)


def _near(examples: Sequence[Example], benchmarks: Mapping[str, Sequence[Example]]) -> Iterator[Overlap]:
    theirs = [(name, row) for name, rows in benchmarks.items() for row in rows]
    texts = [row.prompt for _, row in theirs] + [example.prompt for example in examples]
    for i, j in near_duplicates(texts, NEAR):
        if i < len(theirs) <= j:
            name, row = theirs[i]
            number = j - len(theirs)
            shared = f"similarity of at least {NEAR}"
            yield Overlap(
                row=number + 1,
                id=examples[number].id,
                field="prompt",
                kind="near",
                against=name,
                benchmark_id=row.id,
                shared=shared,
            )
