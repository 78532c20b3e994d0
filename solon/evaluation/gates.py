"""Gates: numbers about an evaluated checkpoint that a constitution demands. A gate passes by the bound of the interval that is
on its bad side, so that luck in a small sample cannot pass it. What was not measured fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from solon.errors import ConfigError, nearest
from solon.evaluation.metrics import NAMES


class Gate(BaseModel):
    """One demand: `metric` (of `split`, or of every split that it was measured on) `at_most` or `at_least` a number.

    Shares are fractions; perplexity is a number, or with `relative` a ratio tuned/base. `by` says what must keep the bound: the
    interval's bad side, or the value itself.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: str
    split: str = ""
    at_most: float | None = None
    at_least: float | None = None
    relative: bool = False
    by: Literal["bound", "point"] = "bound"

    @model_validator(mode="after")
    def _one_bound(self) -> Gate:
        if self.metric not in NAMES:
            raise ConfigError(
                f"gate: expected a metric name, got {self.metric!r}", mend=nearest(self.metric, NAMES) or ", ".join(NAMES)
            )
        if (self.at_most is None) == (self.at_least is None):
            raise ConfigError(
                f"gate {self.metric}: expected exactly one of at_most and at_least", mend="write one bound per gate"
            )
        return self


def _bounds(entry: Mapping[str, Any], gate: Gate) -> Mapping[str, Any]:
    """The interval that a gate looks at: the tuned model's, or the ratio to the base when `relative`."""
    if gate.relative:
        return entry.get("difference", {}).get("ratio") or {"value": None}
    return entry.get("tuned", entry)


def _check(gate: Gate, split: str, found: Mapping[str, Any] | None) -> dict[str, Any]:
    result: dict[str, Any] = {"metric": gate.metric, "split": split, "at_most": gate.at_most, "at_least": gate.at_least}
    if found is None or found.get("value") is None:
        reason = "not in the evaluation" if found is None else found.get("reason", "not measured")
        return {**result, "value": None, "bound": None, "n": 0, "status": "not_measured", "passed": False, "reason": reason}
    bound = found["value"] if gate.by == "point" else found["high"] if gate.at_most is not None else found["low"]
    passed = bound <= gate.at_most if gate.at_most is not None else bound >= gate.at_least
    word = "value" if gate.by == "point" else "upper bound" if gate.at_most is not None else "lower bound"
    side = f"{word} {bound:.4g} {'<=' if passed else '>'} {gate.at_most:g}" if gate.at_most is not None else (
        f"{word} {bound:.4g} {'>=' if passed else '<'} {gate.at_least:g}"
    )  # fmt: skip
    status = "pass" if passed else "fail"
    return {
        **result,
        "value": found["value"],
        "bound": bound,
        "n": found.get("n"),
        "status": status,
        "passed": passed,
        "reason": side,
    }


def check_gates(metrics: Sequence[Mapping[str, Any]], gates: Iterable[Gate]) -> list[dict[str, Any]]:
    """Each gate on each split it speaks of: `metric, split, at_most, at_least, value, bound, n, status, passed, reason`.

    Args:
        metrics: `measure(rows)` of one model, or the `metrics` of `compare` (then the tuned model is judged).

    Returns:
        status `pass`, `fail` or `not_measured`; only `pass` has `passed` true.
    """
    results = []
    for gate in gates:
        entries = [e for e in metrics if e["name"] == gate.metric and gate.split in ("", e["split"])]
        if not entries:
            results.append(_check(gate, gate.split, None))
        results += [_check(gate, e["split"], _bounds(e, gate)) for e in entries]
    return results
