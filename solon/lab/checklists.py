"""The guide's three checklists, executed: each item says whether it held and why, and is recorded with the experiment."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from solon.checkpoints.files import free_bytes
from solon.checkpoints.tensors import model_slots
from solon.lab.inspector import WeightInspector

if TYPE_CHECKING:
    from solon.lab.experiments import Experiment

GUIDE_SPACE = 5 * 10**9  # bytes the guide asks for; what is really needed is twice the model


@dataclass(frozen=True)
class Item:
    """One line of a checklist. `required` items that do not hold stop the experiment."""

    name: str
    ok: bool
    detail: str = ""
    required: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def before(experiment: Experiment) -> list[Item]:
    """Seven items, after the baseline was saved and measured."""
    shared = WeightInspector(experiment.model).get_shared_weights()
    free = free_bytes(experiment.store.path)
    size = sum(slot.nbytes for slot in model_slots(experiment.model))
    healthy = not any(info.poisoned for info in experiment.store.log() if info.id == experiment.baseline)
    scores = experiment.before
    space = f"{_size(free)} free, {_size(2 * size)} needed"
    if free < GUIDE_SPACE:
        space += "; below the guide's 5 GB"
    return [
        Item("baseline checkpoint created", bool(experiment.baseline) and healthy, str(experiment.baseline), required=True),
        Item("current metrics recorded", scores is not None, f"{scores.value:g}" if scores else "no test was given"),
        Item(
            "safety monitoring enabled", experiment.monitor is not None, "weights, and whatever test and edit run", required=True
        ),
        Item("weight sharing documented", True, "; ".join(" = ".join(group) for group in shared) or "nothing is shared"),
        Item("plan documented", bool(experiment.plan), experiment.plan or "no plan= was given"),
        Item(
            "rollback ready",
            experiment.store.pins().get(experiment.id) == experiment.baseline,
            "the baseline is pinned",
            required=True,
        ),
        Item("disk space", free > 2 * size, space, required=True),
    ]


def during(experiment: Experiment, changed: list[str], health: dict[str, Any]) -> list[Item]:
    """Six items, once the edit is made."""
    targets = [name for record in experiment.records for name in record["targets"]]
    return [
        Item("NaN and Inf watched", True, f"{health['nan_count']} NaN, {health['inf_count']} Inf"),
        Item("activations checked", experiment.activations is not None, _activation_text(experiment)),
        Item(
            "observations recorded",
            experiment.memory is not None,
            "in the memory" if experiment.memory else "no memory= was given",
        ),
        Item("incremental checkpoints", True, "the journal and the pinned baseline; a kept edit is saved"),
        Item("compared with the baseline", True, f"{len(changed)} tensors differ: {', '.join(changed[:5])}"),
        Item("changes logged", set(changed) <= experiment.declared(), f"declared: {', '.join(targets[:5]) or 'nothing'}"),
    ]


def after(experiment: Experiment, outcome: str, checkpoint: str | None) -> list[Item]:
    """Seven items, at the end."""
    comparison = experiment.comparison
    coupled = sorted({name for record in experiment.records for name in record["coupled"]})
    return [
        Item(
            "benchmark run", experiment.after is not None, f"{experiment.after.value:g}" if experiment.after else "not measured"
        ),
        Item(
            "compared with baseline metrics",
            comparison is not None,
            f"{comparison.improvement:+.2f} %" if comparison else "not compared",
        ),
        Item(
            "sharing side-effects checked",
            True,
            f"also changed: {', '.join(coupled)}" if coupled else "no shared tensor was edited",
        ),
        Item("sensible text", experiment.sample is not None, experiment.sample or "no generate= was given"),
        Item("final checkpoint saved", checkpoint is not None or outcome != "kept", checkpoint or "rolled back to the baseline"),
        Item("findings documented", True, f"{len(experiment.findings)} findings in the journal"),
        Item(
            "theories formed", experiment.memory is not None, "patterns updated" if experiment.memory else "no memory= was given"
        ),
    ]


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.2f} MB"


def _activation_text(experiment: Experiment) -> str:
    watch = experiment.activations
    return f"{len(watch.seen)} modules, {len(watch.issues)} issues" if watch is not None else "the test ran no module"
