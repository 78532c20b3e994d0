"""A gate inside training: every N steps a probe measures the model, and what falls short stops, warns or rolls back.

The probe is the user's function `probe(model) -> {metric: (value, n, low, high)}`; deterministic decoding is its job, and
its prompts must be disjoint from the training data. A metric that a rule names and the probe leaves out fails the gate:
not measured is not zero.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, model_validator
from torch import nn
from transformers import TrainerCallback

from solon.errors import CheckFailed, ConfigError
from solon.training.callbacks import write_atomically
from solon.training.collate import attention_for

log = logging.getLogger(__name__)
Probe = Callable[[Any], Mapping[str, tuple[float, int, float, float]]]
Mode = Literal["stop", "warn", "rollback"]
NUMBERS = ("value", "n", "low", "high")


class GateRule(BaseModel):
    """One demand on a probed metric (fractions, perplexity or any number; the unit is the probe's).

    The *cautious bound* is `low` where higher is better, `high` where lower is better.

    floor: the worst value allowed of `floor_on` (`value`, or the cautious `bound`), from the end of the grace period on.
    margin: regression: the cautious bound may be at most this much worse than the best cautious bound seen so far.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: str
    better: Literal["higher", "lower"] = "higher"
    floor: float | None = None
    floor_on: Literal["value", "bound"] = "value"
    margin: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> GateRule:
        if self.floor is None and self.margin is None:
            raise ValueError(f"gate rule {self.metric}: expected a floor, a margin or both")
        if self.margin is not None and self.margin < 0:
            raise ValueError(f"gate rule {self.metric}: expected margin >= 0, got {self.margin}")
        return self

    def bound(self, measured: tuple[float, int, float, float]) -> float:
        """The cautious bound of (value, n, low, high)."""
        return measured[2] if self.better == "higher" else measured[3]

    def worse(self, a: float, b: float) -> bool:
        """Whether a is strictly worse than b."""
        return a < b if self.better == "higher" else a > b


def violations(
    rules: Sequence[GateRule],
    measured: Mapping[str, tuple[float, int, float, float]],
    best: Mapping[str, float],
    *,
    in_grace: bool,
) -> list[str]:
    """What the rules object to, in words; empty when the gate passes. `best` holds the best cautious bound per metric."""
    found = []
    for rule in rules:
        numbers = measured.get(rule.metric)
        if numbers is None or not all(math.isfinite(x) for x in numbers) or numbers[1] < 1:
            found.append(f"{rule.metric}: not measured")
            continue
        bound = rule.bound(numbers)
        tested = bound if rule.floor_on == "bound" else numbers[0]
        if rule.floor is not None and not in_grace and rule.worse(tested, rule.floor):
            found.append(f"{rule.metric}: {rule.floor_on} {tested:.4g} is worse than the floor {rule.floor:g}")
        if rule.margin is not None and rule.metric in best:
            allowed = best[rule.metric] + (-rule.margin if rule.better == "higher" else rule.margin)
            if rule.worse(bound, allowed):
                found.append(f"{rule.metric}: bound {bound:.4g} is worse than {allowed:.4g} (best so far, less the margin)")
    return found


UNMEASURED = "not measured at the start: records only"


class Trainables(nn.Module):
    """The trained parameters of a model under one roof, sharing their storage: what a rollback must save and restore."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        for name, parameter in getattr(model, "module", model).named_parameters():
            if parameter.requires_grad:
                self.register_parameter(name.replace(".", "/"), parameter)


class GateCallback(TrainerCallback):
    """Runs the probe at step 0, at every `every` steps and at the end; judges by `rules`; acts by `mode`.

    mode `warn` records and goes on. `stop` ends training; the weights stay as they are and the result says that the gate
    failed. `rollback` puts back weights, optimizer and schedule of the last good gate (bit-exact) and goes on with new
    data; after `max_rollbacks` it restores once more and stops. Step 0 counts as good whatever the floors say, so that
    there is always something to return to; regressions are measured from it. A model that the probe can't measure at step 0
    (every reply empty, say) leaves nothing to go by: training is refused, or with `require_start` off goes on in mode `warn`.

    grace: steps during which floors are not enforced. store: a `solon.checkpoints.Store`; needed for `rollback`.
    history: one entry per gate {step, metrics, violations, good, action}; kept in `gates.jsonl` when `path` is set.
    """

    def __init__(
        self,
        probe: Probe,
        rules: Sequence[GateRule],
        *,
        every: int = 100,
        mode: Mode = "stop",
        grace: int = 0,
        store: Any = None,
        max_rollbacks: int = 3,
        path: Path | None = None,
        require_start: bool = True,
    ) -> None:
        if every < 1 or grace < 0 or max_rollbacks < 0:
            raise ConfigError(f"gate: expected every >= 1, grace >= 0, max_rollbacks >= 0, got {every}, {grace}, {max_rollbacks}")
        if not rules:
            raise ConfigError("gate: expected at least one rule, got none", mend="add a GateRule or leave the gate out")
        if mode == "rollback" and store is None:
            raise ConfigError("gate: mode rollback needs a checkpoint store", mend="pass store=solon.checkpoints.Store(path)")
        self.probe, self.rules, self.every, self.mode, self.grace = probe, list(rules), every, mode, grace
        self.store, self.max_rollbacks, self.path, self.require_start = store, max_rollbacks, path, require_start
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, float] = {}
        self.good_id: str | None = None
        self.failed = False
        self.interrupted: Callable[[], bool] = lambda: False  # set by the loop: after a signal, no last look

    @property
    def rollbacks(self) -> int:
        """How often training was rolled back so far."""
        return sum("rolled back" in entry["action"] for entry in self.history)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:
            self._recall(state.global_step)
        if not self.history:
            self._gate(state, control, start=True, **kwargs)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step >= state.max_steps:
            self._gate(state, control, **kwargs)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """The best save may have been loaded by now, and early stopping may have ended between gates: look once more."""
        last = self.history[-1] if self.history else None
        loaded = args.load_best_model_at_end and state.best_model_checkpoint and state.best_global_step != state.global_step
        if (last is None or last["step"] != state.global_step or loaded) and not self.failed:
            self._gate(state, control, final=True, **kwargs)

    def _gate(self, state: Any, control: Any, *, start: bool = False, final: bool = False, **kwargs: Any) -> None:
        model = kwargs["model"]
        measured = self._measure(model)
        objections = violations(self.rules, measured, self.best, in_grace=start or state.global_step <= self.grace)
        good = not objections or (start and all(rule.metric in measured for rule in self.rules))
        if start and not good:
            action = self._only_record(objections)
        elif good:
            action = "passed" if not start else "start"
            self._remember(measured)
            if self.mode == "rollback":
                self.good_id = self.store.save(Trainables(model), **_parts(kwargs))
        else:
            action = self._act(model, control, final, kwargs)
        self._record(state.global_step, measured, objections, good, action)

    def _only_record(self, objections: list[str]) -> str:
        """A base that can't be measured leaves nothing to compare with or to return to."""
        if self.require_start:
            raise CheckFailed(
                f"gate: the probe does not measure what the rules name: {'; '.join(objections)}", mend="mend the probe"
            )
        self.mode = "warn"
        log.warning("gate: the model's replies before training: %s; this gate records and does not act", "; ".join(objections))
        return UNMEASURED

    def _measure(self, model: Any) -> dict[str, tuple[float, int, float, float]]:
        """Probe without gradients, dropout or packing, and without disturbing the random streams of training."""
        inner, training = getattr(model, "module", model), model.training
        model.eval()
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=devices), _generating(inner):
                return {name: tuple(numbers) for name, numbers in self.probe(inner).items()}  # type: ignore[misc]
        finally:
            model.train(training)

    def _remember(self, measured: Mapping[str, tuple[float, int, float, float]]) -> None:
        for rule in self.rules:
            bound = rule.bound(measured[rule.metric])
            if rule.metric not in self.best or rule.worse(self.best[rule.metric], bound):
                self.best[rule.metric] = bound

    def _act(self, model: Any, control: Any, final: bool, kwargs: dict[str, Any]) -> str:
        if self.mode == "warn":
            return "warned"
        if self.mode == "stop":
            self.failed = control.should_training_stop = True
            return "stopped"
        self.store.restore(self.good_id, Trainables(model), **({} if final else _parts(kwargs)))
        if self.rollbacks >= self.max_rollbacks and not final:
            control.should_training_stop = True
            return "rolled back and stopped"
        return "rolled back at the end" if final else "rolled back"

    def _record(self, step: int, measured: Mapping[str, Any], objections: list[str], good: bool, action: str) -> None:
        entry = {
            "step": step,
            "metrics": {
                name: dict(zip(("value", "n", "low", "high"), numbers, strict=True)) for name, numbers in measured.items()
            },
            "violations": objections,
            "good": good,
            "action": action,
            "checkpoint": self.good_id,
        }
        self.history.append(entry)
        if objections and action != "start":
            log.warning("gate at step %d: %s; %s", step, action, "; ".join(objections))
        if self.path is not None:
            write_atomically(self.path, "".join(json.dumps(e) + "\n" for e in self.history))

    def _recall(self, step: int) -> None:
        """After a resume: the gates up to that step, the best bounds among the good ones, and the last good checkpoint."""
        if self.path is None or not self.path.exists():
            return
        entries = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line]
        self.history = [entry for entry in entries if entry["step"] <= step]
        for entry in self.history:
            if entry["good"]:
                numbers = {k: (m["value"], m["n"], m["low"], m["high"]) for k, m in entry["metrics"].items()}
                self._remember(numbers)
                self.good_id = entry["checkpoint"]
        if self.history and self.history[0]["action"] == UNMEASURED:
            self.mode = "warn"


def _parts(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What besides weights decides the next update."""
    optimizer = kwargs.get("optimizer")
    inner = getattr(optimizer, "optimizer", optimizer)  # out of accelerate's wrapper
    return {name: part for name, part in (("optimizer", inner), ("scheduler", kwargs.get("lr_scheduler"))) if part is not None}


def _generating(model: Any) -> Any:
    """The attention that generation needs, if the model is one of transformers'."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return attention_for(model, "padded") if hasattr(inner, "config") else nullcontext()
