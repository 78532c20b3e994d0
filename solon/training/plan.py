"""What a training run is going to do, computed before it starts; data and text."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from solon.training.batches import steps_of
from solon.training.config import PhaseSettings

AUTO_INTERVAL = 100  # optimiser steps


class Plan(BaseModel):
    """Steps, evaluations and saves of a run. All positions are optimiser steps, counted from 1.

    tokens: all tokens of the planned rows, prompts included (0 when not yet known). patience_from: the first step at which
    early stopping could act, or None. warnings: intervals that never fire, patience that can't act, and the like.
    """

    model_config = ConfigDict(extra="forbid")
    phase: str
    rows: int
    epochs: float
    batch: int
    steps: int
    warmup_steps: int
    learning_rate: float = 0.0
    eval_every: int
    save_every: int
    evaluations: list[int]
    saves: list[int]
    patience_from: int | None = None
    gate_every: int | None = None
    trainable: int = 0
    parameters: int = 0
    tokens: int = 0
    adapts: str = ""
    layout: str = ""
    notes: list[str] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)

    def text(self) -> str:
        """The plan as a person reads it."""
        lines = [
            f"{self.phase}: {self.rows:,} rows x {self.epochs:g} epochs / {self.batch} = {self.steps:,} optimiser steps"
            f" ({self.warmup_steps} of warm-up), peak learning rate {self.learning_rate:g}",
            self.adapts or f"{self.trainable:,} trainable parameters of {self.parameters:,}",
            f"evaluations: {_positions(self.evaluations)}; saves: {_positions(self.saves)}",
            f"early stopping: {f'can act from step {self.patience_from}' if self.patience_from else 'cannot act'}",
        ]
        if self.gate_every:
            lines.append(f"gate: every {self.gate_every} steps and at the end")
        if self.tokens:
            lines.append(f"tokens: {self.tokens:,} in all")
        lines += [f"packing: {self.layout}"] if self.layout else []
        return "\n".join([*lines, *self.notes, *(f"warning: {w}" for w in self.warnings)])


def _positions(steps: list[int]) -> str:
    if not steps:
        return "none"
    shown = ", ".join(map(str, steps)) if len(steps) <= 4 else f"{steps[0]}, {steps[1]} ... {steps[-1]}"
    return f"{len(steps)} (at {shown})"


def _fires(every: int, steps: int) -> list[int]:
    """Multiples of the interval, and the last step."""
    return sorted({*range(every, steps + 1, every), steps}) if steps else []


def interval(setting: int | str, steps: int) -> int:
    """`auto` is a fifth of the run, at most 100 steps."""
    return int(setting) if isinstance(setting, int) else max(1, min(AUTO_INTERVAL, math.ceil(steps / 5)))


def make_plan(
    settings: PhaseSettings, rows: int, *, phase: str = "training", validation: int = 0, gate_every: int | None = None
) -> Plan:
    """Work out steps, evaluations and saves.

    Args:
        rows: training rows (DPO: pairs). validation: rows of validation, 0 for none.

    The first evaluation only sets the mark, so patience p can act at the (p + 1)-th. Evaluations: each interval, and the end.
    """
    steps = steps_of(rows, settings.epochs, settings.batch)
    # Warm-up starts at rate 0, so a run that is all warm-up would train nothing.
    warmup = min(math.ceil(settings.warmup * steps), max(steps - 1, 0))
    eval_every = interval(settings.eval_steps, steps)
    save_every = interval(settings.save_steps, steps) if settings.save_steps != "auto" else eval_every
    evaluations = _fires(eval_every, steps) if validation else []
    stopping = settings.early_stopping
    acts = stopping.enabled and len(evaluations) > stopping.patience
    plan = Plan(
        phase=phase, rows=rows, epochs=settings.epochs, batch=settings.batch, steps=steps,
        warmup_steps=warmup, eval_every=eval_every, save_every=save_every,
        evaluations=evaluations, saves=_fires(save_every, steps), gate_every=gate_every,
        patience_from=evaluations[stopping.patience] if acts else None,
    )  # fmt: skip
    plan.warnings = _warnings(settings, plan, validation)
    return plan


def _warnings(settings: PhaseSettings, plan: Plan, validation: int) -> list[str]:
    found = []
    for name, every in (("eval_steps", plan.eval_every), ("save_steps", plan.save_every), ("gate every", plan.gate_every)):
        if every and every > plan.steps and (name != "eval_steps" or validation):
            found.append(f"{name} {every} exceeds the run's {plan.steps} steps: it fires only at the end")
    if plan.rows and plan.rows < settings.batch:
        found.append(f"batch {settings.batch} exceeds the {plan.rows} rows: the one step is smaller than asked")
    if settings.early_stopping.enabled:
        if not validation:
            found.append("no validation rows: no evaluation, early stopping can't act, the last weights are kept")
        elif plan.patience_from is None:
            need, have = settings.early_stopping.patience + 1, len(plan.evaluations)
            found.append(f"early stopping can't act: patience {need - 1} needs {need} evaluations, this run has {have}")
        elif plan.patience_from == plan.steps:
            found.append("early stopping can act only at the last step")
    return found
