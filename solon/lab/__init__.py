"""The self-modification laboratory: edit a model's weights and know that you can go back.

    from solon import lab

    with lab.experiment(model, test=lab.perplexity(tokenizer)) as edit:
        edit.scale("model.layers.5.self_attn.o_proj.weight", 1.1)
    print(edit.outcome, edit.findings)

Attributes load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_WHERE = {
    "CheckpointManager": "checkpointing",
    "AutoCheckpointer": "checkpointing",
    "SafetyMonitor": "monitor",
    "WeightInspector": "inspector",
    "MemorySystem": "memory",
    "ModelManager": "loading",
    "run_benchmarks": "measure",
    "load_baseline_metrics": "measure",
    "save_baseline_metrics": "measure",
    "perplexity": "measure",
    "safe_modification_experiment": "guide",
    "get_safety_dashboard": "guide",
    "experiment": "experiments",
    "Experiment": "experiments",
    "Finding": "experiments",
    "Edits": "edits",
    "recover": "recovery",
    "interrupted": "recovery",
    "restore_any": "recovery",
    "with_less_memory": "recovery",
    "move_to_cpu": "recovery",
    "dashboard": "dashboards",
    "blame": "history",
    "bisect": "history",
    "bisect_tensors": "history",
    "revert": "history",
}

if TYPE_CHECKING:
    from solon.lab.checkpointing import AutoCheckpointer, CheckpointManager
    from solon.lab.dashboards import dashboard
    from solon.lab.edits import Edits
    from solon.lab.experiments import Experiment, Finding, experiment
    from solon.lab.guide import get_safety_dashboard, safe_modification_experiment
    from solon.lab.history import bisect, bisect_tensors, blame, revert
    from solon.lab.inspector import WeightInspector
    from solon.lab.loading import ModelManager
    from solon.lab.measure import load_baseline_metrics, perplexity, run_benchmarks, save_baseline_metrics
    from solon.lab.memory import MemorySystem
    from solon.lab.monitor import SafetyMonitor
    from solon.lab.recovery import interrupted, move_to_cpu, recover, restore_any, with_less_memory


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


__all__ = [
    "AutoCheckpointer",
    "CheckpointManager",
    "Edits",
    "Experiment",
    "Finding",
    "MemorySystem",
    "ModelManager",
    "SafetyMonitor",
    "WeightInspector",
    "bisect",
    "bisect_tensors",
    "blame",
    "dashboard",
    "experiment",
    "get_safety_dashboard",
    "interrupted",
    "load_baseline_metrics",
    "move_to_cpu",
    "perplexity",
    "recover",
    "restore_any",
    "revert",
    "run_benchmarks",
    "safe_modification_experiment",
    "save_baseline_metrics",
    "with_less_memory",
]
