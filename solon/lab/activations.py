"""Hooks on every leaf module: NaN, size, saturation, dead units, and drift against a reference batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from solon.checkpoints import tensor_health
from solon.checkpoints.tensors import refuse_no_module
from solon.lab.alerts import issue
from solon.policy.types import Severity

BOUNDED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
}


@dataclass
class Seen:
    """One module's outputs over a watch: sums over elements, and which units (last dimension) were ever non-zero."""

    count: int = 0
    nan: int = 0
    inf: int = 0
    absmax: float = 0.0
    sum: float = 0.0
    square_sum: float = 0.0
    saturated: int = 0
    alive: torch.Tensor | None = None

    @property
    def mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    @property
    def std(self) -> float:
        return math.sqrt(max(0.0, self.square_sum / self.count - self.mean**2)) if self.count else 0.0

    @property
    def dead_share(self) -> float:
        return 1 - float(self.alive.float().mean()) if self.alive is not None and self.alive.numel() else 0.0


class ActivationWatch:
    """Records outputs of leaf modules while it is entered. `issues` is filled by SafetyMonitor.watch."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        refuse_no_module(model)
        self.seen: dict[str, Seen] = {}
        self.issues: list[dict[str, Any]] = []
        self._handles: list[Any] = []

    def __enter__(self) -> ActivationWatch:
        for name, module in self.model.named_modules():
            if not list(module.children()):
                self._handles.append(module.register_forward_hook(self._hook(name, module)))
        return self

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _hook(self, name: str, module: nn.Module) -> Any:
        ends = next((ends for kind, ends in BOUNDED.items() if isinstance(module, kind)), None)

        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            for tensor in output if isinstance(output, (tuple, list)) else (output,):
                if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.numel():
                    self._record(self.seen.setdefault(name, Seen()), tensor.detach(), ends)

        return hook

    @staticmethod
    def _record(seen: Seen, tensor: torch.Tensor, ends: tuple[float, float] | None) -> None:
        health = tensor_health(tensor, sums=True)
        seen.count += health.count
        seen.nan += health.nan
        seen.inf += health.inf
        seen.absmax = max(seen.absmax, health.absmax)
        seen.sum += health.sum or 0.0
        seen.square_sum += health.square_sum or 0.0
        if ends:
            margin = 0.01 * (ends[1] - ends[0])
            seen.saturated += int(((tensor < ends[0] + margin) | (tensor > ends[1] - margin)).sum())
        if tensor.dim():
            alive = (tensor != 0).reshape(-1, tensor.shape[-1]).any(dim=0)
            same = seen.alive is not None and seen.alive.shape == alive.shape
            seen.alive = (seen.alive | alive) if same and seen.alive is not None else alive

    def judge(self, thresholds: dict[str, float | None], reference: ActivationWatch | None) -> list[dict[str, Any]]:
        """Issues of all modules seen, in the order of the model. Nothing seen is itself an issue."""
        if not self.seen:
            return [issue(Severity.medium, "nothing_seen", "no module ran while its activations were watched")]
        issues = []
        for name, seen in self.seen.items():
            before = reference.seen.get(name) if reference else None
            issues += list(_judge(name, seen, before, thresholds))
        return issues


def _judge(name: str, seen: Seen, before: Seen | None, limits: dict[str, float | None]) -> list[dict[str, Any]]:
    def over(key: str, value: float) -> bool:
        bound = limits[key]
        return bound is not None and value > bound

    found = []
    if seen.nan or seen.inf:
        text = f"output of {name}: {seen.nan} NaN, {seen.inf} Inf"
        found.append(issue(Severity.critical, "activation_not_finite", text, module=name))
    if over("max_activation", seen.absmax):
        found.append(issue(Severity.medium, "activation_size", f"output of {name} reaches {seen.absmax:g}", module=name))
    if over("saturation_fraction", seen.saturated / seen.count):
        share = 100 * seen.saturated / seen.count
        found.append(issue(Severity.medium, "saturation", f"{share:.0f} % of {name}'s outputs are saturated", module=name))
    if over("dead_unit_fraction", seen.dead_share):
        text = f"{100 * seen.dead_share:.0f} % of {name}'s units stayed zero"
        found.append(issue(Severity.medium, "dead_units", text, module=name))
    if before is not None and before.std > 0 and over("activation_drift", abs(seen.mean - before.mean) / before.std):
        shift = (seen.mean - before.mean) / before.std
        found.append(issue(Severity.medium, "drift", f"mean of {name} moved by {shift:+.1f} reference deviations", module=name))
    return found
