"""An experiment: a block in which a model may be edited, and after which it is either better or bit for bit what it was.

    with lab.experiment(model, test=lab.perplexity(tokenizer)) as edit:
        edit.scale("model.layers.5.self_attn.o_proj.weight", 1.1)
    edit.outcome, edit.findings

The baseline is stored and pinned before the block is entered and an open record is in the journal, so that `recover` finds what a
killed process left. Every way out of the block other than `kept` rolls back: errors, Ctrl-C, SIGTERM, ill health, a test that
fails, and an improvement whose interval does not lie above zero.
"""

from __future__ import annotations

import logging
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Literal

import torch
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints.errors import CheckpointError
from solon.checkpoints.manifest import plain
from solon.checkpoints.restoring import deferred_signals
from solon.checkpoints.tensors import Writer, logical_bytes, model_slots
from solon.errors import EnvironmentRefused, InputError, SolonError
from solon.lab import checklists
from solon.lab.activations import ActivationWatch
from solon.lab.alerts import severity
from solon.lab.constitution import gate_findings
from solon.lab.edits import Edits
from solon.lab.measure import Comparison, Scores, as_scores, compare_scores
from solon.lab.memory import MemorySystem
from solon.lab.monitor import SafetyMonitor
from solon.lab.recovery import process_identity
from solon.lab.structure import Structure
from solon.policy.types import Severity

log = logging.getLogger("solon.lab")
Outcome = Literal["open", "kept", "rolled_back", "errored"]


@dataclass(frozen=True)
class Finding:
    """One thing an experiment found, with the severity of policies and health."""

    severity: str
    code: str
    text: str


class Experiment(Edits):
    """See the module. Use `lab.experiment(...)` to make one.

    Attributes, after the block:
        outcome: `kept`, `rolled_back` or `errored`. findings: Finding list. checklists: the executed items by phase.
        comparison: improvement in percent with its interval. checkpoint: id of the kept state. error: what was raised.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        test: Callable[[nn.Module], Any] | None,
        store: Store,
        name: str,
        plan: str,
        lower_is_better: bool,
        min_effect: float,
        require_interval: bool,
        constitution: Any,
        memory: MemorySystem | None,
        monitor: SafetyMonitor | None,
        generate: Callable[[nn.Module], str] | None,
        seed: int,
        parts: dict[str, Any],
    ) -> None:
        super().__init__(model, store)
        self.test, self.name, self.plan, self.lower = test, name, plan, lower_is_better
        self.min_effect, self.require_interval = min_effect, require_interval
        self.constitution, self.memory, self.generate, self.seed, self.parts = constitution, memory, generate, seed, parts
        self.monitor = monitor if monitor is not None else SafetyMonitor()
        self.id = f"experiment-{secrets.token_hex(6)}"
        self.outcome: Outcome = "open"
        self.findings: list[Finding] = []
        self.checklists: dict[str, list[dict[str, Any]]] = {}
        self.baseline: str | None = None
        self.checkpoint: str | None = None
        self.before: Scores | None = None
        self.after: Scores | None = None
        self.comparison: Comparison | None = None
        self.activations: ActivationWatch | None = None
        self.sample: str | None = None
        self.error: BaseException | None = None
        self.changed: list[str] = []
        self._usual: list[dict[str, Any]] = []
        self._journalled = False
        self._old_handler: Any = None

    # -- entering ------------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Experiment:
        self._catch_sigterm()
        try:
            self._open()
        except BaseException:
            self._release()
            raise
        return self

    def _open(self) -> None:
        metadata = {"state": "baseline", "experiment": self.name, "purpose": f"before experiment {self.name}"}
        self.baseline = self.store.save(self.model, metadata=metadata, refuse_unhealthy=True, **self.parts)
        self.store.pin(self.baseline, self.id)
        opened = {
            "kind": "experiment_open",
            "experiment": self.id,
            "name": self.name,
            "baseline": self.baseline,
            "plan": self.plan,
            "process": process_identity(),
            "constitution": getattr(self.constitution, "hash", None),
            "environment": environment(self.seed),
        }
        self.store.journal.append(opened)
        self.structure = Structure(self.model)
        self._journalled = self.store.track(self.model).journalled
        try:
            self.before = self._measure()
            self._remember("baseline", 0.5, f"Baseline metrics: {_metrics(self.before)}", {"checkpoint": self.baseline})
            self._put_back()  # a test may leave another mode or buffers behind
            self.monitor.set_baseline(self.model)
            self._check_before()
        except BaseException as error:
            with deferred_signals():
                self._put_back()
                self._close("errored", error)
            raise

    def _check_before(self) -> None:
        items = checklists.before(self)
        self.checklists["before"] = [item.to_json() for item in items]
        for item in items:
            if not item.ok and item.required:
                raise EnvironmentRefused(
                    f"experiment {self.name}: {item.name}: {item.detail}", mend="nothing was edited; mend this first"
                )
            if not item.ok:
                self._find(Severity.low, "checklist", f"{item.name}: {item.detail}")

    def _measure(self) -> Scores | None:
        if self.test is None:
            return None
        with ActivationWatch(self.model) as watch:
            scores = as_scores(self.test(self.model), lower=self.lower)
        if watch.seen:
            reference = self.activations
            issues = watch.judge(self.monitor.thresholds, reference)
            known = {(one["code"], one["module"]) for one in self._usual if "module" in one}
            watch.issues = [one for one in issues if (one["code"], one.get("module")) not in known]
            if reference is None:
                self._usual = issues  # what the unmodified model does is no finding
            self.activations = watch
        return scores

    # -- leaving -------------------------------------------------------------------------------------------------------------

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if error is not None:
                self._end("errored", error)
                return
            try:
                keep = self._judge()
            except Exception as failure:  # noqa: BLE001  (whatever a test function raises is a result: roll back and report)
                self._find(Severity.high, "test_failed", f"{type(failure).__name__}: {failure}")
                self._end("errored", failure)
                return
            except BaseException as stop:
                self._end("errored", stop)
                raise
            self._end("kept" if keep else "rolled_back", None)
        finally:
            self._release()

    def _judge(self) -> bool:
        """Whether to keep the edit; every reason against is a finding."""
        if self.structure.changed():
            self._find(
                Severity.high, "structure", "modules, ties or parameters were replaced: the checkpoint cannot describe that"
            )
            return False
        self.changed = self.store.changed(self.model, self.baseline)
        self._report_coupling()
        if not self.changed:
            self._find(Severity.info, "nothing_changed", "no tensor differs from the baseline")
            return False
        health = self.monitor.check_model_health(self.model)
        self._adopt(health["issues"])
        healthy = health["status"] != "CRITICAL"
        better = self._test_after() if healthy else False
        self.checklists["during"] = [item.to_json() for item in checklists.during(self, self.changed, health)]
        gates = gate_findings(self.constitution, self.before, self.after) if healthy else []
        self.findings += [Finding(*finding) for finding in gates]
        return healthy and better and not gates

    def _test_after(self) -> bool:
        if self.test is None:
            self._find(Severity.medium, "no_test", "no test was given, so nothing shows that the edit helps")
            return False
        held = {slot.name: _image(slot.tensor) for slot in model_slots(self.model) if slot.kind != "param"}
        self.after = self._measure()
        if self.store.changed(self.model, self.baseline) != self.changed:
            self._restore_buffers(held)
        if self.activations is not None:
            self._adopt(self.activations.issues)
            if any(severity(one["severity"]) is Severity.critical for one in self.activations.issues):
                return False
        if self.generate is not None:
            self.sample = str(self.generate(self.model))[:200]
        assert self.before is not None and self.after is not None
        self.comparison = compare_scores(self.before, self.after, self.seed)
        return self._good_enough(self.comparison)

    def _restore_buffers(self, held: dict[str, Any]) -> None:
        """Buffers that the test itself moved (running statistics, caches) go back to what the edit left."""
        for slot in model_slots(self.model):
            if slot.name in held:
                writer = Writer(slot.name, slot.tensor)
                writer.write(0, held[slot.name])
                writer.close()

    def _good_enough(self, comparison: Comparison) -> bool:
        if comparison.low is None:
            mend = "let the test return one loss per item, as lab.perplexity does" + (
                ", or pass require_interval=False" * self.require_interval
            )
            self._find(
                Severity.medium, "no_interval", f"change {comparison.improvement:+.3f} % has no interval, it may be noise; {mend}"
            )
            return not self.require_interval and comparison.improvement > self.min_effect
        text = f"{comparison.improvement:+.3f} % [{comparison.low:+.3f}, {comparison.high:+.3f}], n {comparison.n}"
        shown = comparison.low > self.min_effect
        good = shown if self.require_interval else comparison.improvement > self.min_effect
        if good and not shown:
            self._find(Severity.medium, "uncertain", "the interval includes no improvement: it may be noise")
        word = "improved" if good else f"no improvement above {self.min_effect:g} % is shown"
        self._find(Severity.info if good else Severity.medium, "comparison", f"{word}: {text}")
        return good

    def _report_coupling(self) -> None:
        for record in self.records:
            if record["coupled"]:
                text = f"editing {', '.join(record['targets'])} also edits {', '.join(record['coupled'])}: one tensor"
                self._find(Severity.medium, "coupled", text)
        outside = [name for name in self.changed if name not in self.declared()]
        if self.records and outside:
            self._find(Severity.high, "undeclared", f"changed without being declared: {', '.join(outside)}")

    def declared(self) -> set[str]:
        """All names that declared edits cover."""
        return {name for record in self.records for name in (*record["targets"], *record["coupled"])}

    # -- ending --------------------------------------------------------------------------------------------------------------

    def _end(self, outcome: Outcome, error: BaseException | None) -> None:
        with deferred_signals():
            norms = self._norms()
            if outcome == "kept":
                try:
                    self._keep()
                except SolonError as failure:
                    self._find(Severity.high, "not_saved", f"the improved state could not be saved, so it is not kept: {failure}")
                    outcome, error = "errored", failure
            if outcome != "kept":
                self._put_back()
            self._close(outcome, error, norms)

    def _keep(self) -> None:
        assert self.comparison is not None
        metadata = {
            "state": "modified",
            "experiment": self.name,
            "baseline": self.baseline,
            "improvement": self.comparison.improvement,
        }
        with self._no_alarm():
            self.checkpoint = self.store.save(self.model, metadata=metadata, refuse_unhealthy=True, **self.parts)

    def _put_back(self) -> None:
        """Roll back in place: structure, then declared edits from memory, then every byte that still differs, from the store."""
        assert self.baseline is not None
        self.structure.put_back()
        self.put_images_back()
        with self._no_alarm():  # undeclared edits are findings already
            self.store.restore(self.baseline, self.model, changed_only=True, **self.parts)

    @contextmanager
    def _no_alarm(self) -> Iterator[None]:
        alarm, self.store.on_undeclared = self.store.on_undeclared, lambda names: None
        try:
            yield
        finally:
            self.store.on_undeclared = alarm

    def _norms(self) -> dict[str, dict[str, float]]:
        """L2 norm of each changed tensor's change, absolute and relative to its baseline."""
        if self.baseline is None or self.structure.changed():
            return {}
        live = {slot.name: slot.tensor.detach() for slot in model_slots(self.model)}
        found = {}
        for name in self.changed:
            try:
                found[name] = _change(self.store.tensor(self.baseline, name), live[name])
            except CheckpointError as error:  # the numbers are a comfort; the rollback must not wait for them
                self._find(Severity.medium, "norms", f"{name}: the change could not be measured: {error}")
        return found

    def _close(self, outcome: Outcome, error: BaseException | None, norms: dict[str, Any] | None = None) -> None:
        self.outcome, self.error = outcome, error
        if error is not None:
            self._find(Severity.high, "error", f"{type(error).__name__}: {error}")
        self.checklists["after"] = [item.to_json() for item in checklists.after(self, outcome, self.checkpoint)]
        metrics = {"before": _metrics(self.before), "after": _metrics(self.after)}
        for record in self.records:
            entry = {"kind": "edit", "experiment": self.id, **record, "verdict": outcome, "baseline": self.baseline}
            self.store.journal.append(
                {**entry, "checkpoint": self.checkpoint, "norms": norms or {}, "metrics": metrics, "seed": self.seed}
            )
            self._remember_edit(record, outcome)
        self._remember(_CATEGORY[outcome], 0.8, f"experiment {self.name}: {outcome}", {"metrics": metrics})
        self.store.journal.append(
            {
                "kind": "experiment_close",
                "experiment": self.id,
                "name": self.name,
                "outcome": outcome,
                "baseline": self.baseline,
                "checkpoint": self.checkpoint,
                "findings": [asdict(finding) for finding in self.findings],
                "checklists": self.checklists,
                "comparison": asdict(self.comparison) if self.comparison else None,
                "changed": self.changed,
            }
        )
        if self.id in self.store.pins():
            self.store.unpin(self.id)

    def _remember(self, category: str, importance: float, text: str, metadata: dict[str, Any]) -> None:
        if self.memory is not None:
            self.memory.record_observation(text, category=category, importance=importance, metadata=plain(metadata))

    def _remember_edit(self, record: dict[str, Any], outcome: Outcome) -> None:
        if self.memory is None or outcome == "errored":
            return
        improvement = self.comparison.improvement if self.comparison else None
        for name in record["targets"]:
            self.memory.record_modification(
                name, {"method": record["method"], **record["params"]}, experiment=self.id, improvement=improvement
            )
        self.memory.detect_patterns()

    def _find(self, level: Severity, code: str, text: str) -> None:
        self.findings.append(Finding(level.name, code, text))
        log.info("experiment %s: %s", self.name, text)

    def _adopt(self, issues: list[dict[str, Any]]) -> None:
        for one in issues:
            self._find(severity(one["severity"]), one["code"], one["message"])

    # -- signals ---------------------------------------------------------------------------------------------------------------

    def _catch_sigterm(self) -> None:
        """Make SIGTERM an exception, unless somebody has already given it a meaning."""
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            self._old_handler = signal.signal(signal.SIGTERM, _leave)

    def _release(self) -> None:
        if self._old_handler is not None:
            signal.signal(signal.SIGTERM, self._old_handler)
            self._old_handler = None
        self.store.track(self.model).journalled = self._journalled


_CATEGORY = {"kept": "success", "rolled_back": "failure", "errored": "error", "open": "baseline"}


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)


def _image(tensor: torch.Tensor) -> Any:
    return logical_bytes(tensor).to("cpu", copy=True).numpy()


def environment(seed: int) -> dict[str, Any]:
    """What a repetition needs to know: versions, machine and the seed of the comparison."""
    import platform

    import solon

    versions = {"solon": solon.__version__, "torch": torch.__version__, "python": platform.python_version()}
    return {**versions, "machine": platform.platform(), "threads": torch.get_num_threads(), "seed": seed}


def _change(before: torch.Tensor, after: torch.Tensor) -> dict[str, float]:
    """L2 norm of after - before, and relative to before, in float64, four million elements at a time."""
    squares = norm = 0.0
    parts = (torch.view_as_real(t).reshape(-1) if t.is_complex() else t.reshape(-1) for t in (before, after.cpu()))
    for a, b in zip(*(part.split(1 << 22) for part in parts), strict=True):
        wide = a.double()
        squares += float((b.double() - wide).square().sum())
        norm += float(wide.square().sum())
    return {"l2": squares**0.5, "relative": (squares / norm) ** 0.5 if norm else squares**0.5}


def _metrics(scores: Scores | None) -> dict[str, Any] | None:
    return None if scores is None else {"value": scores.value, "n": len(scores.losses) or 1, "lower_is_better": scores.lower}


def experiment(
    model: nn.Module,
    *,
    test: Callable[[nn.Module], Any] | None = None,
    constitution: Any = None,
    store: Store | str | Path = "data/checkpoints",
    name: str = "experiment",
    plan: str = "",
    lower_is_better: bool = True,
    min_effect: float = 0.0,
    require_interval: bool = True,
    memory: MemorySystem | None = None,
    monitor: SafetyMonitor | None = None,
    generate: Callable[[nn.Module], str] | None = None,
    seed: int = 0,
    **parts: Any,
) -> Experiment:
    """A block in which `model` may be edited; afterwards it is better, or bit for bit what it was.

    Args:
        test: model -> one loss per item, a dict with perplexity and per_text (see `lab.perplexity`), or a number. Lower is better
            unless `lower_is_better=False`. Without a test nothing is kept.
        constitution: a name, path or Constitution: each of its gates must hold for the metrics that the test returns.
        store: a Store or its folder. name, plan: recorded. generate: model -> a sample text, for the last checklist.
        min_effect: percent that the interval's lower end must exceed. require_interval: False lets the point estimate decide.
        parts: optimizer=, scheduler=, rng=True, ...: saved and rolled back with the model.

    Raises (on entry, before anything was edited):
        InputError: the test cannot measure the unmodified model. UnhealthyModel, DiskFull, EnvironmentRefused
    """
    if constitution is not None and isinstance(constitution, (str, Path)):
        from solon.constitution import load

        constitution = load(str(constitution))
    if not isinstance(min_effect, (int, float)) or min_effect != min_effect or min_effect < 0:
        raise InputError(
            f"min_effect: expected a percentage of at least 0, got {min_effect!r}", mend="0 keeps any shown improvement"
        )
    return Experiment(
        model,
        test=test,
        store=store if isinstance(store, Store) else Store(store),
        name=name,
        plan=plan,
        lower_is_better=lower_is_better,
        min_effect=float(min_effect),
        require_interval=require_interval,
        constitution=constitution,
        memory=_with_inspector(memory, model),
        monitor=monitor,
        generate=generate,
        seed=seed,
        parts=parts,
    )


def _with_inspector(memory: MemorySystem | None, model: nn.Module) -> MemorySystem | None:
    if memory is not None and memory.inspector is None:
        from solon.lab.inspector import WeightInspector

        memory.set_weight_inspector(WeightInspector(model))
    return memory
