"""Confidence and yes/no decisions against the truth, always beside what a constant predictor gets.

Three things that are all called calibration have three names here: `state_calibration` (stated confidence against the state it
should reflect), `expected_calibration_error` and `brier` (stated confidence against being right; Naeini et al. 2015, Brier 1950).
A figure that a constant reaches too is no skill: see `skill`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from solon.errors import InputError
from solon.evaluation.stats import bootstrap_mean, wilson


def _fractions(name: str, values: Sequence[float], length: int | None = None) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim != 1 or len(array) == 0 or (length is not None and len(array) != length):
        raise InputError(f"{name}: expected {length or 'one or more'} numbers, got {len(array)}", mend="pair every item")
    if not ((array >= 0) & (array <= 1)).all():
        raise InputError(
            f"{name}: expected fractions from 0 to 1, got {array.min():g} to {array.max():g}", mend="divide percent by 100"
        )
    return array


def brier(confidence: Sequence[float], correct: Sequence[bool]) -> dict[str, Any]:
    """Mean squared distance of confidence from being right: value, n, bootstrap low and high, and `skill` over the base rate."""
    stated = _fractions("confidence", confidence)
    right = _fractions("correct", [float(c) for c in correct], len(stated))
    loss = bootstrap_mean((stated - right) ** 2)
    constant = float(((right.mean() - right) ** 2).mean())
    return {
        "value": loss.value,
        "n": len(stated),
        "low": loss.low,
        "high": loss.high,
        "constant": constant,
        "skill": skill(loss.value, constant),
    }


def expected_calibration_error(confidence: Sequence[float], correct: Sequence[bool], bins: int = 10) -> float:
    """Mean distance of confidence from accuracy over equal-width bins, weighted by how many items a bin holds."""
    stated = _fractions("confidence", confidence)
    right = _fractions("correct", [float(c) for c in correct], len(stated))
    place = np.minimum((stated * bins).astype(int), bins - 1)
    total = 0.0
    for b in range(bins):
        inside = place == b
        if inside.any():
            total += inside.mean() * abs(float(stated[inside].mean() - right[inside].mean()))
    return float(total)


def state_calibration(stated: Sequence[float], target: Sequence[float]) -> dict[str, Any]:
    """1 - |stated - target|, averaged, with the best constant answer (the median of the targets) and the skill over it."""
    said = _fractions("stated confidence", stated)
    wanted = _fractions("target", target, len(said))
    distance = bootstrap_mean(np.abs(said - wanted))
    constant = float(np.abs(np.median(wanted) - wanted).mean())
    return {
        "value": 1 - distance.value,
        "n": len(said),
        "low": 1 - distance.high,
        "high": 1 - distance.low,
        "constant": 1 - constant,
        "skill": skill(distance.value, constant),
    }


def skill(loss: float, constant_loss: float) -> float | None:
    """Share of the constant predictor's loss that is taken away: 1 is perfect, 0 no better than a constant, below 0 worse.

    None when the constant is already perfect, so that nothing can be shown.
    """
    return None if constant_loss == 0 else 1 - loss / constant_loss


def decisions(truth: Sequence[bool], predicted: Sequence[bool]) -> dict[str, Any]:
    """A yes/no decision against the truth (escalated or not, say): accuracy, precision, recall and F1 with intervals.

    Precision and recall count true positives only. What has no denominator is None with a reason. `trivial` holds the accuracy
    and F1 of always and of never saying yes; `balanced` is the mean of both recalls, 0.5 for any constant.
    """
    if len(truth) != len(predicted) or not truth:
        raise InputError(
            f"decisions: expected equal, non-zero lengths, got {len(truth)} and {len(predicted)}", mend="pair every item"
        )
    hits = sum(t and p for t, p in zip(truth, predicted, strict=True))
    yes, said, n = sum(map(bool, truth)), sum(map(bool, predicted)), len(truth)
    rejected = sum(not t and not p for t, p in zip(truth, predicted, strict=True))
    recall, specificity = (
        _share(hits, yes, "nothing was to be decided yes"),
        _share(rejected, n - yes, "nothing was to be decided no"),
    )
    both = recall["value"] is not None and specificity["value"] is not None
    return {
        "n": n,
        "accuracy": _share(hits + rejected, n, ""),
        "precision": _share(hits, said, "yes was never said"),
        "recall": recall,
        "specificity": specificity,
        "f1": 2 * hits / (yes + said) if yes + said else None,
        "balanced": (recall["value"] + specificity["value"]) / 2 if both else None,
        "trivial": {
            "always": {"accuracy": yes / n, "f1": 2 * yes / (yes + n) if yes else 0.0},
            "never": {"accuracy": (n - yes) / n, "f1": 0.0},
        },
    }


def _share(k: int, n: int, reason: str) -> dict[str, Any]:
    if n == 0:
        return {"value": None, "n": 0, "low": None, "high": None, "reason": reason}
    share = wilson(k, n)
    return {"value": share.value, "n": n, "low": share.low, "high": share.high}
