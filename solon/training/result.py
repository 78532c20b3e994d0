"""What a training run returns, and the measurement of whether anything was learned."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from solon.evaluation.stats import paired_bootstrap
from solon.training.plan import Plan


class Change(BaseModel):
    """Mean change of a per-item quantity from step 0 to the end, with a paired bootstrap interval over the items."""

    model_config = ConfigDict(extra="forbid")
    metric: str
    n: int
    value: float
    low: float
    high: float

    @property
    def includes_zero(self) -> bool:
        return self.low <= 0.0 <= self.high


def paired_change(metric: str, before: list[float], after: list[float], *, seed: int = 0) -> Change:
    """95 % percentile bootstrap of the mean of after - before over items, seeded.

    Fewer than two items give an interval from minus to plus infinity: nothing can be said.
    """
    if len(before) < 2:
        value = after[0] - before[0] if before else 0.0
        return Change(metric=metric, n=len(before), value=value, low=-math.inf, high=math.inf)
    found = paired_bootstrap(before, after, seed)
    return Change(metric=metric, n=len(before), value=found.value, low=found.low, high=found.high)


class Measurement(BaseModel):
    """A fixed set of items measured once, without dropout. `items` holds the per-item quantity that `Change` compares.

    DPO: loss, margin = mean of beta * ((policy - reference) of chosen minus that of rejected), accuracy = share of margins
    above 0, ties counted half; items are margins. SFT: loss in nats per reply token; items are per-row means. `source`: train
    or validation.
    """

    model_config = ConfigDict(extra="forbid")
    n: int
    source: str
    loss: float
    margin: float | None = None
    accuracy: float | None = None
    items: list[float] = Field(default_factory=list)

    def numbers(self) -> dict[str, Any]:
        """Without the items, for summaries."""
        return self.model_dump(exclude={"items"}, exclude_none=True)


class TrainResult(BaseModel):
    """The outcome of one phase. Paths are where things were written; `seconds` is wall time of this call's loop.

    no_learning: the interval of the change includes 0. verdict: `learned`, `no learning` or `moved the wrong way`.
    tokens: training tokens read, prompts included, over the whole run. dropped_long: rows left out for their length.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    phase: str
    out: Path
    adapter: Path | None = None
    model: Path | None = None
    plan: Plan
    history: list[dict[str, Any]]
    step0: Measurement
    final: Measurement
    change: Change
    no_learning: bool
    verdict: str
    steps: int
    best_step: int | None = None
    stopped_early: bool = False
    gates: list[dict[str, Any]] = Field(default_factory=list)
    gate_failed: bool = False
    seconds: float
    tokens: int
    trainable: int
    parameters: int
    dropped_long: int = 0
    resumed_from: int | None = None
    notes: list[str] = Field(default_factory=list)

    def text(self) -> str:
        """One paragraph in words."""
        a, b, c = self.step0, self.final, self.change
        margin = (
            f", margin {a.margin:.3f} -> {b.margin:.3f}, accuracy {a.accuracy:.2f} -> {b.accuracy:.2f}"
            if a.margin is not None
            else ""
        )
        return (
            f"{self.phase}: {self.verdict}. Loss {a.loss:.4f} -> {b.loss:.4f}{margin} on {a.n} fixed {a.source} rows;"
            f" change of {c.metric} {c.value:+.4f} [{c.low:+.4f}, {c.high:+.4f}]; {self.steps} steps, {self.tokens:,} tokens,"
            f" {self.seconds:.1f} s."
        )


def judge(change: Change, *, upwards: bool) -> tuple[bool, str]:
    """(no_learning, verdict) from the interval of the change."""
    if change.includes_zero:
        return True, "no learning"
    return False, "learned" if (change.value > 0) == upwards else "moved the wrong way"
