"""The watch over a model's health: weights, gradients, activations, outputs, memory and time.

A CRITICAL issue runs the emergency callback and, when armed, rolls the model back to its baseline. The documented responses of
the other severities are log records at their level.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from solon.checkpoints import Health, tensor_health
from solon.checkpoints.health import model_health
from solon.checkpoints.tensors import model_slots, refuse_no_module
from solon.errors import ConfigError, InputError, nearest
from solon.lab.activations import ActivationWatch
from solon.lab.alerts import Alerts, issue, status
from solon.lab.inspector import dead_rows
from solon.policy.types import Severity

THRESHOLDS: dict[str, float | None] = {
    "nan_tolerance": 0,  # elements
    "inf_tolerance": 0,  # elements
    "max_weight_value": None,  # absolute magnitude; off by default, since healthy models have outlier columns above 10
    "max_relative_growth": 4.0,  # times the tensor's own magnitude in the baseline
    "max_new_dead_rows": 0.01,  # share of rows that were alive in the baseline
    "gradient_clip": 5.0,  # L2 norm over all gradients at which the alarm sounds; nothing is clipped here
    "zero_gradient_fraction": 0.0,  # share of parameters with an all-zero gradient that is still fine
    "max_activation": 1e4,  # absolute magnitude
    "saturation_fraction": 0.5,  # share of outputs stuck within 1 % of a bounded function's ends
    "dead_unit_fraction": 0.9,  # share of output units that were zero for the whole batch
    "activation_drift": 4.0,  # shift of a module's mean, in reference standard deviations
    "min_entropy": 0.05,  # nats per token
    "max_repetition": 0.6,  # share of repeated 3-grams
    "memory_fraction": 0.95,  # of RAM, or of the accelerator's memory
}


class SafetyMonitor:
    """Health checks with thresholds, alerts and an emergency response.

    Needs no model; `arm` connects it to one with a baseline to go back to.
    """

    def __init__(self, history: int = 1000) -> None:
        self.thresholds = dict(THRESHOLDS)
        self.alerts = Alerts(history)
        self._baseline: dict[str, Health] = {}
        self._baseline_dead: dict[str, int] = {}
        self._callback: Callable[[], Any] | None = None
        self._rollback: Callable[[], Any] | None = None
        self._responding = False

    # -- settings ------------------------------------------------------------------------------------------------------

    def set_threshold(self, name: str, value: float | None) -> None:
        """Set a threshold by name; None switches an optional check off.

        Raises:
            ConfigError: unknown name, or not a number.
        """
        if name not in self.thresholds:
            raise ConfigError(
                f"threshold {name!r} is unknown", mend=nearest(name, set(self.thresholds)) or ", ".join(self.thresholds)
            )
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 0):
            raise ConfigError(f"threshold {name}: expected a number of at least 0, or None, got {value!r}", mend="give a number")
        self.thresholds[name] = value

    def set_emergency_callback(self, callback: Callable[[], Any]) -> None:
        """Run `callback()` whenever a CRITICAL issue is found. It is not entered again while it runs.

        Raises:
            ConfigError: it cannot be called.
        """
        if not callable(callback):
            raise ConfigError(f"emergency callback: expected a function, got {type(callback).__name__}", mend="pass a function")
        self._callback = callback

    def set_baseline(self, model: nn.Module) -> None:
        """Remember each tensor's magnitude and dead rows: what growth and death are measured against."""
        self._baseline = model_health(model)
        self._baseline_dead = {slot.name: len(dead_rows(slot.tensor)) for slot in model_slots(model) if slot.kind == "param"}

    def arm(self, model: nn.Module, checkpointer: Any, baseline_id: str | None = None) -> str:
        """Roll `model` back automatically on a CRITICAL issue. Returns the baseline's id.

        Args:
            checkpointer: a CheckpointManager or Store.
            baseline_id: default: the newest checkpoint whose metadata call it a baseline.

        Raises:
            InputError: there is no baseline to go back to, or it is poisoned.
        """
        store = getattr(checkpointer, "store", checkpointer)
        infos = {info.id: info for info in store.log()}
        baselines = [info.id for info in infos.values() if info.baseline and not info.poisoned]
        target = store.resolve(baseline_id) if baseline_id else (baselines[-1] if baselines else None)
        if target is None or target not in infos:
            raise InputError(
                "the monitor cannot be armed without a baseline checkpoint", mend='save one with metadata={"state": "baseline"}'
            )
        if infos[target].poisoned:
            raise InputError(f"{target} holds NaN or Inf and cannot be a rollback target", mend="save a healthy baseline")
        self._baseline = {**self._baseline, **store.health(target)}
        self._rollback = lambda: store.restore(target, model, changed_only=True, undo=True)
        return target

    def disarm(self) -> None:
        """Stop rolling back automatically."""
        self._rollback = None

    # -- weights ---------------------------------------------------------------------------------------------------------

    def check_tensor_health(self, tensor: torch.Tensor, name: str = "tensor") -> dict[str, Any]:
        """NaN, Inf and magnitude of one tensor, and its gradient when it has one.

        Returns:
            `status` (OK, WARNING, CRITICAL), `issues` [severity, code, message], `name`, `nan_count`, `inf_count`, `absmax`.
        """
        health = tensor_health(tensor)
        issues = self._tensor_issues(name, health)
        if isinstance(tensor, nn.Parameter) and tensor.grad is not None:
            issues += self._gradient_issues({name: tensor.grad})
        found = {"name": name, "nan_count": health.nan, "inf_count": health.inf, "absmax": health.absmax}
        return self._conclude(issues, found)

    def check_model_health(self, model: nn.Module, *, deep: bool = True) -> dict[str, Any]:
        """All tensors once, all gradients there are, and memory. `deep` also looks for newly dead rows.

        Returns:
            `status`, `message`, `issues`, `nan_count`, `inf_count`, `absmax`, `tensors`.
        """
        found = model_health(model)
        issues = [one for name, health in found.items() for one in self._tensor_issues(name, health)]
        if deep:
            issues += self._dead_row_issues(model)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        issues += self._gradient_issues(gradients) if gradients else []
        issues += self._memory_issues()
        counts = {
            "tensors": len(found),
            "nan_count": sum(h.nan for h in found.values()),
            "inf_count": sum(h.inf for h in found.values()),
            "absmax": max((h.absmax for h in found.values()), default=0.0),
        }
        return self._conclude(issues, counts)

    def _tensor_issues(self, name: str, health: Health) -> list[dict[str, Any]]:
        limit, growth = self.thresholds["max_weight_value"], self.thresholds["max_relative_growth"]
        issues = []
        for code, count in (("nan", health.nan), ("inf", health.inf)):
            if count > (self.thresholds[f"{code}_tolerance"] or 0):
                label = "NaN" if code == "nan" else "Inf"
                issues.append(issue(Severity.critical, code, f"{name}: {count} {label} values of {health.count}", tensor=name))
        if limit is not None and health.absmax > limit:
            issues.append(
                issue(
                    Severity.medium, "magnitude", f"{name}: largest magnitude {health.absmax:g} is above {limit:g}", tensor=name
                )
            )
        before = self._baseline.get(name)
        if growth is not None and before is not None and before.absmax > 0 and health.absmax > growth * before.absmax:
            text = f"{name}: largest magnitude {health.absmax:g} is {health.absmax / before.absmax:.3g} times its baseline"
            issues.append(issue(Severity.high, "growth", text, tensor=name))
        return issues

    def _dead_row_issues(self, model: nn.Module) -> list[dict[str, Any]]:
        bound, issues = self.thresholds["max_new_dead_rows"], []
        if bound is None or not self._baseline_dead:
            return []
        for slot in model_slots(model):
            before = self._baseline_dead.get(slot.name)
            if before is None or slot.tensor.dim() < 2:
                continue
            new, rows = len(dead_rows(slot.tensor)) - before, slot.tensor.shape[0]
            if new > bound * max(rows - before, 1):
                text = f"{slot.name}: {new} rows of {rows} have become zero"
                issues.append(issue(Severity.high, "dead_rows", text, tensor=slot.name))
        return issues

    # -- gradients -------------------------------------------------------------------------------------------------------

    def check_gradients(self, model: nn.Module) -> dict[str, Any]:
        """NaN, Inf, exploding and all-zero gradients.

        Raises:
            InputError: there are no gradients; absence is not health.
        """
        refuse_no_module(model)
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        if not gradients:
            raise InputError("the model has no gradients to check", mend="call it between backward() and zero_grad()")
        return self._conclude(self._gradient_issues(gradients), {"tensors": len(gradients)})

    def _gradient_issues(self, gradients: dict[str, torch.Tensor]) -> list[dict[str, Any]]:
        issues, squares, zero = [], 0.0, []
        for name, gradient in gradients.items():
            health = tensor_health(gradient, sums=True)
            squares += health.square_sum or 0.0
            if not health.finite:
                text = f"gradient of {name}: {health.nan} NaN, {health.inf} Inf"
                issues.append(issue(Severity.critical, "gradient_not_finite", text, tensor=name))
            elif health.count and health.absmax == 0.0:
                zero.append(name)
        norm, alarm = squares**0.5, self.thresholds["gradient_clip"]
        if alarm is not None and norm > alarm:
            text = f"gradient norm {norm:g} is above {alarm:g}: exploding"
            issues.append(issue(Severity.high, "gradient_explosion", text, norm=norm))
        allowed = self.thresholds["zero_gradient_fraction"]
        if zero and allowed is not None and len(zero) > allowed * len(gradients):
            text = f"all-zero gradients (dead or detached): {', '.join(zero[:5])}" + (
                f" and {len(zero) - 5} more" if len(zero) > 5 else ""
            )
            issues.append(issue(Severity.medium, "zero_gradient", text, tensors=zero))
        return issues

    # -- activations, outputs, memory, time ----------------------------------------------------------------------------------

    @contextmanager
    def watch(self, model: nn.Module, reference: ActivationWatch | None = None) -> Iterator[ActivationWatch]:
        """Hook every leaf module for the duration of the block; issues are raised at its end.

        with monitor.watch(model) as reference: model(good_batch)
        with monitor.watch(model, reference) as seen: model(batch)
        seen.issues
        """
        watch = ActivationWatch(model)
        with watch:
            yield watch
        watch.issues = watch.judge(self.thresholds, reference)
        self._conclude(watch.issues, {})

    def check_outputs(self, logits: torch.Tensor, tokens: torch.Tensor | list[int] | None = None) -> dict[str, Any]:
        """Entropy of the next-token distributions (natural log; last dimension is the vocabulary) and repetition of `tokens`."""
        issues = []
        if not tensor_health(logits).finite:
            issues.append(issue(Severity.critical, "output_not_finite", "the outputs hold NaN or Inf"))
            return self._conclude(issues, {"entropy": None, "repetition": None})
        probabilities = torch.log_softmax(logits.detach().float(), dim=-1)
        entropy = float(-(probabilities.exp() * probabilities).sum(-1).mean())
        if self.thresholds["min_entropy"] is not None and entropy < self.thresholds["min_entropy"]:
            issues.append(issue(Severity.high, "collapse", f"mean entropy {entropy:.4f} nats: the output has collapsed"))
        repeated = repetition([int(t) for t in tokens]) if tokens is not None else None
        if (
            repeated is not None
            and self.thresholds["max_repetition"] is not None
            and repeated > self.thresholds["max_repetition"]
        ):
            issues.append(issue(Severity.high, "repetition", f"{100 * repeated:.0f} % of 3-grams repeat earlier ones"))
        return self._conclude(issues, {"entropy": entropy, "repetition": repeated})

    def check_memory(self) -> dict[str, Any]:
        """RAM and accelerator memory in use, as shares."""
        return self._conclude(self._memory_issues(), _memory_shares())

    def _memory_issues(self) -> list[dict[str, Any]]:
        bound = self.thresholds["memory_fraction"]
        return [
            issue(Severity.high, "memory", f"{100 * share:.0f} % of {place} is in use: out of memory is near")
            for place, share in _memory_shares().items()
            if bound is not None and share > bound
        ]

    @contextmanager
    def timed(self, what: str, limit_s: float) -> Iterator[None]:
        """Alert when the block takes longer than `limit_s` seconds."""
        start = time.monotonic()
        yield
        took = time.monotonic() - start
        if took > limit_s:
            self._conclude([issue(Severity.medium, "time", f"{what} took {took:.1f} s, limit {limit_s:g} s")], {})

    # -- alerts ------------------------------------------------------------------------------------------------------------

    def get_alert_history(self) -> list[dict[str, Any]]:
        """All kept alerts, oldest first: `timestamp`, `severity`, `code`, `message`."""
        return self.alerts.all()

    def get_alerts_by_severity(self, severity: str) -> list[dict[str, Any]]:
        """Alerts of exactly one severity (CRITICAL, HIGH, MEDIUM, LOW, INFO)."""
        return self.alerts.by_severity(severity)

    def _conclude(self, issues: list[dict[str, Any]], found: dict[str, Any]) -> dict[str, Any]:
        for one in issues:
            self.alerts.add(one)
        state = status(issues)
        if state == "CRITICAL":
            self._respond()
        first = issues[0]["message"] if issues else "no issues"
        more = f" (and {len(issues) - 1} more)" if len(issues) > 1 else ""
        return {"status": state, "message": first + more, "issues": issues, **found}

    def _respond(self) -> None:
        """Roll back when armed, then call the callback; each failure is itself an alert, and is raised."""
        if self._responding:
            return
        self._responding = True
        try:
            for what, action in (("automatic rollback", self._rollback), ("emergency callback", self._callback)):
                if action is None:
                    continue
                try:
                    action()
                except Exception as error:
                    self.alerts.add(issue(Severity.critical, "response_failed", f"the {what} failed: {error}"))
                    raise
                self.alerts.add(issue(Severity.info, "response", f"the {what} ran"))
        finally:
            self._responding = False


def repetition(tokens: list[int], n: int = 3) -> float:
    """Share of n-grams that occurred before; 0.0 for texts shorter than n + 1 tokens."""
    grams = [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if len(grams) > 1 else 0.0


def _memory_shares() -> dict[str, float]:
    import psutil

    shares = {"RAM": psutil.virtual_memory().percent / 100}
    if torch.cuda.is_available():
        for device in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(device)
            shares[f"cuda:{device}"] = 1 - free / total
    return shares
