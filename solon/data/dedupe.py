"""Removing repeats: exact ones by hash first, then near-duplicates. The first of its kind stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from solon.data.example import Example
from solon.data.near import NEAR, similarity, sketch
from solon.errors import DataError

By = Literal["record", "prompt"]


class Repeat(BaseModel):
    """A row that was left out: which earlier row it repeats, how similar the two are (1 if exact). Rows count from 1."""

    row: int
    id: str
    reason: Literal["exact", "near"]
    of_row: int
    of_id: str
    similarity: float


def text_of(example: Example, by: By = "record") -> str:
    """What is compared: the conversation alone, or with the replies and the principle."""
    parts = [turn.content for turn in example.conversation()]
    if by == "record":
        parts += [example.response or "", example.rejected or "", example.principle]
    return "\n".join(parts)


def dedupe(
    examples: Sequence[Example], *, by: By = "record", near: bool = True, threshold: float = NEAR
) -> tuple[list[Example], list[Repeat]]:
    """(the examples that stay, in order; the repeats). Only rows that stay are compared with, so chains do not swallow a file.

    Raises:
        DataError: a threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise DataError(f"threshold: expected above 0 and at most 1, got {threshold}", mend="0.8 is usual")
    texts = [text_of(example, by) for example in examples]
    same = _exact(texts)
    left = [i for i in range(len(texts)) if i not in same]
    close = _near([texts[i] for i in left], threshold) if near else {}
    found = {i: (j, 1.0, "exact") for i, j in same.items()}
    found |= {left[i]: (left[j], score, "near") for i, (j, score) in close.items()}
    dropped = [_repeat(examples, i, *found[i]) for i in sorted(found)]
    return [example for i, example in enumerate(examples) if i not in found], dropped


def _repeat(examples: Sequence[Example], i: int, j: int, score: float, reason: str) -> Repeat:
    fields = {"row": i + 1, "id": examples[i].id, "of_row": j + 1, "of_id": examples[j].id}
    return Repeat.model_validate(fields | {"reason": reason, "similarity": round(score, 4)})


def _exact(texts: Sequence[str]) -> dict[int, int]:
    """Position of each exact repeat -> position of the first text like it."""
    first: dict[str, int] = {}
    return {i: first[text] for i, text in enumerate(texts) if first.setdefault(text, i) != i}


def _near(texts: Sequence[str], threshold: float) -> dict[int, tuple[int, float]]:
    """Position of each near-duplicate -> (position of the kept text that it is near to, similarity)."""
    found = sketch(texts, threshold)
    first: dict[bytes, int] = {}
    kept: dict[int, list[int]] = {}
    repeats: dict[int, tuple[int, float]] = {}
    for i, own in enumerate(found.hashes):
        name = own.tobytes()
        near = (first[name], 1.0) if name in first else None
        for bucket in () if near else found.buckets[i]:
            scores = ((j, similarity(found.hashes[j], own)) for j in kept.get(bucket, ()))
            near = next((pair for pair in scores if pair[1] >= threshold), None)
            if near:
                break
        if near:
            repeats[i] = near
            continue
        first[name] = i
        for bucket in found.buckets[i]:
            kept.setdefault(bucket, []).append(i)
    return repeats
