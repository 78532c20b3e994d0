"""The guide's two functions, with its returns, on top of experiments and the store."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from solon.checkpoints import model_health
from solon.checkpoints.tensors import model_slots
from solon.errors import InputError, SolonError
from solon.lab.checkpointing import CheckpointManager
from solon.lab.experiments import experiment
from solon.lab.memory import MemorySystem
from solon.lab.monitor import SafetyMonitor

log = logging.getLogger("solon.lab")


def safe_modification_experiment(
    model: nn.Module,
    modification_fn: Callable[[nn.Module], Any],
    test_fn: Callable[[nn.Module], dict[str, Any]],
    experiment_name: str,
    *,
    checkpoint_dir: str | Path = "data/checkpoints",
    memory_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Modify, test, keep if perplexity fell, else roll back bit for bit.

    Unlike `lab.experiment` any improvement above 0 is kept, with a warning when no interval shows that it is more than noise.
    Ctrl-C and SIGTERM roll back as well and are then raised again.

    Args:
        test_fn: returns a dict with `perplexity`. memory_dir: default data/memory/<experiment_name>.

    Returns:
        {success: True, checkpoint, improvement} when kept; {success: False, improvement} when not better;
        {success: False, error} when anything failed. `improvement`: percent by which perplexity fell.
    """
    memory = MemorySystem(memory_dir or Path("data/memory") / experiment_name)
    block = experiment(
        model,
        test=_needs_perplexity(test_fn),
        store=checkpoint_dir,
        name=experiment_name,
        require_interval=False,
        monitor=SafetyMonitor(),
    )
    try:
        with block:
            metrics = block.before.metrics if block.before else {}
            memory.record_observation(
                f"Baseline metrics: {metrics}", category="baseline", metadata={"checkpoint": block.baseline, **(metrics or {})}
            )
            modification_fn(model)
    except Exception as error:  # noqa: BLE001  (the guide reports every failure as a result; the model is already rolled back)
        return _failed(memory, error)
    if block.outcome == "errored":
        return _failed(memory, block.error or InputError("the experiment failed"))
    return _decided(memory, block)


def _decided(memory: MemorySystem, block: Any) -> dict[str, Any]:
    tests = (block.after.metrics or {}) if block.after else {}
    if block.outcome == "kept":
        improvement = block.comparison.improvement
        _warn_of_noise(block)
        metadata = {"checkpoint": block.checkpoint, "baseline": block.baseline, **tests}
        memory.record_observation(f"Modification successful: {improvement:+.2f}% improvement", "success", 0.9, metadata)
        return {"success": True, "checkpoint": block.checkpoint, "improvement": improvement}
    critical = [f.text for f in block.findings if f.severity == "critical"]
    if critical:
        return _failed(memory, RuntimeError(f"Critical safety issue: {critical[0]}"))
    if block.comparison is None and block.changed:
        return _failed(memory, RuntimeError("; ".join(f.text for f in block.findings) or "not measured"))
    improvement = block.comparison.improvement if block.comparison else 0.0
    metadata = {"rolled_back": True, **tests}
    memory.record_observation(f"Modification unsuccessful: {improvement:+.2f}% change", "failure", 0.7, metadata)
    return {"success": False, "improvement": improvement}


class MayBeNoise(UserWarning):
    """An edit was kept although no interval shows that it helped."""


def _warn_of_noise(block: Any) -> None:
    comparison = block.comparison
    if comparison.low is not None and comparison.low > 0:
        return
    interval = "no interval" if comparison.low is None else f"the interval [{comparison.low:+.2f}, {comparison.high:+.2f}]"
    text = f"the improvement of {comparison.improvement:+.2f} % has {interval}: it may be noise"
    log.warning(text)
    warnings.warn(text, MayBeNoise, stacklevel=4)


def _failed(memory: MemorySystem, error: BaseException) -> dict[str, Any]:
    text = error.what if isinstance(error, SolonError) else str(error)
    memory.record_observation(f"Experiment failed with exception: {text}", category="error", importance=0.8)
    return {"success": False, "error": text}


def _needs_perplexity(test_fn: Callable[[nn.Module], Any]) -> Callable[[nn.Module], Any]:
    def test(model: nn.Module) -> Any:
        result = test_fn(model)
        if not isinstance(result, dict) or "perplexity" not in result:
            raise InputError(
                f"the test returned {type(result).__name__}: expected a dict with 'perplexity'", mend="see run_benchmarks"
            )
        return result

    return test


def get_safety_dashboard(model: nn.Module, checkpointer: CheckpointManager, safety: SafetyMonitor) -> dict[str, Any]:
    """The guide's dashboard: `checkpoints` {total, latest, disk_usage_gb}, `health`, `alerts` {critical, high, medium},
    `weights` {nan_count, inf_count} over parameters, each shared one once. `latest` is None in an empty store.
    """
    listed = checkpointer.list_checkpoints()
    health = safety.check_model_health(model)
    found = model_health(model)
    parameters = [found[slot.name] for slot in model_slots(model) if slot.kind == "param"]
    return {
        "checkpoints": {
            "total": len(listed),
            "latest": listed[-1]["id"] if listed else None,
            "disk_usage_gb": checkpointer.get_disk_usage() / 1e9,
        },
        "health": health,
        "alerts": {level: len(safety.get_alerts_by_severity(level)) for level in ("critical", "high", "medium")},
        "weights": {"nan_count": sum(h.nan for h in parameters), "inf_count": sum(h.inf for h in parameters)},
    }


__all__ = ["get_safety_dashboard", "safe_modification_experiment"]
