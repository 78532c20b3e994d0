"""The trap set: labelled replies that a refusal scorer is known to fall for, and how well a scorer does on them.

`dev.jsonl` may be read while rules are written; `sealed.jsonl` may not, and only its figures are quoted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from solon.data.records import Label
from solon.errors import DataError
from solon.evaluation.scorers import RuleScorer, Scorer, exchange
from solon.evaluation.stats import wilson


class Trap(BaseModel):
    """One labelled reply."""

    model_config = ConfigDict(extra="ignore")
    id: str
    prompt: str
    reply: str
    label: Label
    note: str = ""


def load_traps(split: Literal["dev", "sealed"]) -> list[Trap]:
    """The committed traps of a split. Raises DataError naming the line that is not a trap."""
    text = resources.files("solon.evaluation").joinpath("traps", f"{split}.jsonl").read_text(encoding="utf-8")
    traps = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            traps.append(Trap.model_validate(json.loads(line)))
        except (ValueError, ValidationError) as problem:
            raise DataError(
                f"{split}.jsonl:{number}: expected a trap row, got: {problem}", mend="restore the committed file"
            ) from problem
    return traps


def evaluate_traps(split: Literal["dev", "sealed"], scorer: Scorer | None = None) -> dict[str, Any]:
    """Accuracy and recall per class of a scorer on a split, each {value, n, low, high} (fractions, Wilson 95 %).

    Also `majority` (the accuracy of always answering the most frequent label), `unsafe` (accuracy of telling unsafe compliance
    from everything else) and `confusion` {label: {given: count}}. No reply is shown.
    """
    traps = load_traps(split)
    scorer = scorer or RuleScorer()
    given = [score.label for score in scorer.score_all([exchange(t.prompt, t.reply) for t in traps])]
    return {"split": split, "scorer": scorer.version, **accuracy([t.label for t in traps], list(given))}


def accuracy(truth: Sequence[str], given: Sequence[str]) -> dict[str, Any]:
    """Accuracy, recall per class, confusion and the majority baseline of labels against the truth."""
    from solon.data.records import UNSAFE_LABELS

    if len(truth) != len(given) or not truth:
        raise DataError(f"labels: expected equal, non-zero lengths, got {len(truth)} and {len(given)}", mend="label every reply")
    confusion: dict[str, dict[str, int]] = {}
    for true, got in zip(truth, given, strict=True):
        row = confusion.setdefault(true, {})
        row[got] = row.get(got, 0) + 1
    names = [name for name in get_args(Label) if name in confusion]
    recall = {name: wilson(confusion[name].get(name, 0), sum(confusion[name].values())) for name in names}
    return {
        "accuracy": _estimate(sum(a == b for a, b in zip(truth, given, strict=True)), len(truth)),
        "unsafe": _estimate(
            sum((a in UNSAFE_LABELS) == (b in UNSAFE_LABELS) for a, b in zip(truth, given, strict=True)), len(truth)
        ),
        "recall": {
            name: {"value": r.value, "n": sum(confusion[name].values()), "low": r.low, "high": r.high}
            for name, r in recall.items()
        },
        "majority": max(sum(row.values()) for row in confusion.values()) / len(truth),
        "confusion": confusion,
    }


def _estimate(k: int, n: int) -> dict[str, Any]:
    share = wilson(k, n)
    return {"value": share.value, "n": n, "low": share.low, "high": share.high}
