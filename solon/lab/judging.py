"""Deciding whether an edit stays: health, the test on the same items, activations, gates. Every reason against is a finding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn

from solon.checkpoints.hashing import fingerprint
from solon.checkpoints.restoring import images_of
from solon.checkpoints.saving import flags_of, set_flags
from solon.checkpoints.tensors import Bytes, Slot, Writer, model_slots, read_chunks
from solon.lab import checklists
from solon.lab.activations import ActivationWatch
from solon.lab.alerts import severity
from solon.lab.constitution import gate_findings
from solon.lab.inspector import WeightInspector
from solon.lab.measure import Comparison, Scores, as_scores, compare_scores
from solon.policy.types import Severity

if TYPE_CHECKING:
    from solon.lab.experiments import Experiment


def judge(e: Experiment) -> bool:
    """Whether to keep what the block did to the model."""
    if e.structure.changed():
        e.find(Severity.high, "structure", "modules, ties or parameters were replaced: the checkpoint cannot describe that")
        return False
    e.changed = e.differing()
    report_coupling(e)
    if not e.changed:
        e.find(Severity.info, "nothing_changed", "no tensor differs from the baseline")
        return False
    health = e.monitor.check_model_health(e.model)
    adopt(e, health["issues"])
    healthy = health["status"] != "CRITICAL"
    better = test_again(e) if healthy else False
    e.checklists["during"] = [item.to_json() for item in checklists.during(e, e.changed, health)]
    gates = gate_findings(e.constitution, e.before, e.after) if healthy else []
    for level, code, text in gates:
        e.find(severity(level), code, text)
    return healthy and better and not gates


def measure(e: Experiment) -> Scores | None:
    """Run the test with hooks on every leaf module; modes that it changes are put back. Ctrl-C acts at once while it runs."""
    if e.test is None:
        return None
    flags = flags_of(e.model)
    with ActivationWatch(e.model) as watch, e.signals.let_through():
        result = e.test(e.model)
    set_flags(e.model, flags)
    if watch.seen:
        e.activations, watch.issues = watch, unusual(e, watch)
    return as_scores(result, lower=e.lower)


def unusual(e: Experiment, watch: ActivationWatch) -> list[dict[str, Any]]:
    """Issues of a watch, less those that the unmodified model has too."""
    issues = watch.judge(e.monitor.thresholds, e.activations)
    if e.activations is None:
        e.usual = {(one["code"], one["module"]) for one in issues if "module" in one}
    return [one for one in issues if (one["code"], one.get("module")) not in e.usual]


def test_again(e: Experiment) -> bool:
    """Measure the edited model on the same items. A test that edits weights itself has not measured the edit."""
    if e.test is None:
        e.find(Severity.medium, "no_test", "no test was given, so nothing shows that the edit helps")
        return False
    slots = model_slots(e.model)
    prints, buffers = _prints(slots), images_of([slot for slot in slots if slot.kind != "param"])
    e.after = measure(e)
    if e.generate is not None:
        with e.signals.let_through():
            e.sample = str(e.generate(e.model))[:200]
    moved = [name for name, value in _prints(model_slots(e.model)).items() if prints.get(name) != value]
    _put_buffers_back(e.model, {name: image for name, image in buffers.items() if name in moved})
    weights = [name for name in moved if name not in buffers]
    if weights or e.structure.changed():
        text = f"the test itself changed {', '.join(weights[:5]) or 'modules'}: its result is not that of the edited model"
        e.find(Severity.high, "test_edits", text)
        return False
    issues = e.activations.issues if e.activations is not None else []
    adopt(e, issues)
    if any(severity(one["severity"]) is Severity.critical for one in issues):
        return False
    assert e.before is not None and e.after is not None
    e.comparison = compare_scores(e.before, e.after, e.seed)
    return good_enough(e, e.comparison)


def _prints(slots: Iterable[Slot]) -> dict[str, list[bytes]]:
    return {slot.name: [fingerprint(data) for _, data in read_chunks(slot.tensor)] for slot in slots}


def _put_buffers_back(model: nn.Module, images: dict[str, Bytes]) -> None:
    """Buffers that the test moved (running statistics, caches) go back to what the edit left."""
    for slot in model_slots(model):
        if slot.name in images:
            writer = Writer(slot.name, slot.tensor)
            writer.write(0, images[slot.name])
            writer.close()


def good_enough(e: Experiment, comparison: Comparison) -> bool:
    """Whether the improvement is shown: its interval lies above the minimum effect (or just the point, where that may decide)."""
    if comparison.low is None:
        mend = "let the test return one loss per item, as lab.perplexity does"
        mend += ", or pass require_interval=False" * e.require_interval
        e.find(Severity.medium, "no_interval", f"change {comparison.improvement:+.3f} % has no interval, it may be noise; {mend}")
        return not e.require_interval and comparison.improvement > e.min_effect
    text = f"{comparison.improvement:+.3f} % [{comparison.low:+.3f}, {comparison.high:+.3f}], n {comparison.n}"
    shown = comparison.low > e.min_effect
    good = shown if e.require_interval else comparison.improvement > e.min_effect
    if good and not shown:
        e.find(Severity.medium, "uncertain", "the interval includes no improvement: it may be noise")
    word = "improved" if good else f"no improvement above {e.min_effect:g} % is shown"
    e.find(Severity.info if good else Severity.medium, "comparison", f"{word}: {text}")
    return good


def report_coupling(e: Experiment) -> None:
    """Ties that an edit touched, and changes that nobody declared."""
    couplings = WeightInspector(e.model).couplings()
    for record in e.records:
        if record["coupled"]:
            tied = [name for name in record["targets"] if not couplings[name].isdisjoint(record["coupled"])]
            text = f"editing {some(tied)} also edits {some(record['coupled'])}: one tensor"
            e.find(Severity.medium, "coupled", text)
    outside = [name for name in e.changed if name not in e.declared()]
    if e.records and outside:
        e.find(Severity.high, "undeclared", f"changed without being declared: {some(outside)}")


def some(names: list[str], most: int = 8) -> str:
    """Names for people; of many, the first and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def adopt(e: Experiment, issues: list[dict[str, Any]]) -> None:
    """Make the monitor's issues findings."""
    for one in issues:
        e.find(severity(one["severity"]), one["code"], one["message"])
