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
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints.changes import changed_names
from solon.checkpoints.describe import environment
from solon.checkpoints.errors import CheckpointError
from solon.checkpoints.manifest import Entry, plain
from solon.checkpoints.store import given
from solon.checkpoints.tensors import model_slots
from solon.errors import EnvironmentRefused, InputError, SolonError
from solon.lab import checklists, judging
from solon.lab.activations import ActivationWatch
from solon.lab.edits import Edits
from solon.lab.measure import Comparison, Scores
from solon.lab.memory import MemorySystem
from solon.lab.monitor import SafetyMonitor
from solon.lab.recovery import process_identity
from solon.lab.signals import Interruptions
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
        self.usual: set[tuple[str, str]] = set()
        self.signals = Interruptions(Experiment.__exit__.__code__)
        self._journalled = self._inside = False
        self.entries: dict[str, Entry] = {}

    # -- entering ------------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Experiment:
        if self.baseline is not None or self.outcome != "open":
            raise InputError(f"experiment {self.name}: it has been entered before", mend="make a new one with lab.experiment")
        self.signals.install()
        try:
            self._open()
        except BaseException:
            self._release()
            raise
        self._inside = True
        return self

    def declare(self, targets: Iterable[str], method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """See `Edits.declare`; every edit comes through here.

        Raises:
            UnknownTensor. InputError: outside the `with` block there is nothing to go back to.
        """
        if not self._inside:
            raise InputError(f"experiment {self.name}: {method} outside its block", mend="edit inside `with lab.experiment(...)`")
        return super().declare(targets, method, params)

    def _open(self) -> None:
        metadata = {"state": "baseline", "experiment": self.name, "purpose": f"before experiment {self.name}"}
        self.structure = Structure(self.model)
        self._journalled = self.store.track(self.model).journalled
        self.baseline = self.store.save(self.model, metadata=metadata, refuse_unhealthy=True, **self.parts)
        self.entries = dict(self.store.track(self.model).entries)
        try:
            self._record_opening()  # before the pin: whatever is pinned is known to `recover`
            self.store.pin(self.baseline, self.id)
            self.keep_all_images()
            self.before = judging.measure(self)
            self._remember("baseline", 0.5, f"Baseline metrics: {_metrics(self.before)}", {"checkpoint": self.baseline})
            self._put_back()  # a test may leave buffers or weights behind
            self.monitor.set_baseline(self.model)
            self._check_before()
        except BaseException as error:
            self.signals.holding = True
            self._put_back()
            self._close("errored", error)
            raise

    def _record_opening(self) -> None:
        opened = {
            "kind": "experiment_open",
            "experiment": self.id,
            "name": self.name,
            "baseline": self.baseline,
            "plan": self.plan,
            "process": process_identity(),
            "constitution": getattr(self.constitution, "hash", None),
            "environment": {**environment(), "threads": torch.get_num_threads(), "seed": self.seed},
        }
        self.store.journal.append(opened)

    def _check_before(self) -> None:
        items = checklists.before(self)
        self.checklists["before"] = [item.to_json() for item in items]
        for item in items:
            if not item.ok and item.required:
                raise EnvironmentRefused(
                    f"experiment {self.name}: {item.name}: {item.detail}", mend="nothing was edited; mend this first"
                )
            if not item.ok:
                self.find(Severity.low, "checklist", f"{item.name}: {item.detail}")

    # -- leaving -------------------------------------------------------------------------------------------------------------

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.signals.holding = True
        self._inside = False
        try:
            if error is not None:
                self._end("errored", error)
            else:
                self._decide()
        finally:
            self._release()

    def _decide(self) -> None:
        try:
            keep = judging.judge(self)
        except Exception as failure:  # noqa: BLE001  (whatever a test function raises is a result: roll back and report)
            self.find(Severity.high, "test_failed", f"{type(failure).__name__}: {failure}")
            self._end("errored", failure)
        except BaseException as stop:
            self.signals.holding = True
            self._end("errored", stop)
            raise
        else:
            if self.signals.pending is not None:  # it will be raised when the handlers are given back
                self._end("errored", KeyboardInterrupt("stopped by a signal while the edit was judged"))
            else:
                self._end("kept" if keep else "rolled_back", None)

    def declared(self) -> set[str]:
        """All names that declared edits cover."""
        return {name for record in self.records for name in (*record["targets"], *record["coupled"])}

    # -- ending --------------------------------------------------------------------------------------------------------------

    def _end(self, outcome: Outcome, error: BaseException | None) -> None:
        norms = self._norms()
        if outcome == "kept":
            try:
                self._keep()
            except SolonError as failure:
                self.find(Severity.high, "not_saved", f"the improved state could not be saved, so it is not kept: {failure}")
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
        """Roll back in place: structure, then what is held in memory, then every byte that still differs, from the store.

        A store that fails is no matter when memory alone has made the model what it was.
        """
        assert self.baseline is not None
        self.structure.put_back()
        self.put_images_back()
        try:
            with self._no_alarm():  # undeclared edits are findings already
                self.store.restore(self.baseline, self.model, changed_only=True, **self.parts)
        except SolonError as failure:
            if self.parts or self.differing():
                raise
            self.store.track(self.model).torn = ()
            self.find(Severity.high, "store_failed", f"rolled back from memory alone, since the store failed: {failure}")

    def differing(self) -> list[str]:
        """Canonical names of the tensors that differ from the baseline, by fingerprints that this process holds."""
        return changed_names(model_slots(self.model), self.store.track(self.model), self.entries)

    @contextmanager
    def _no_alarm(self) -> Iterator[None]:
        alarm, self.store.on_undeclared = self.store.on_undeclared, lambda names: None
        try:
            yield
        finally:
            self.store.on_undeclared = alarm

    def _norms(self) -> dict[str, dict[str, float]]:
        """L2 norm of each changed tensor's change, absolute and relative to its baseline."""
        if self.baseline is None or not self.changed or self.structure.changed():
            return {}
        live = {slot.name: slot.tensor.detach() for slot in model_slots(self.model)}
        found = {}
        for name in self.changed:
            try:
                found[name] = _change(self.store.tensor(self.baseline, name), live[name])
            except Exception as error:  # noqa: BLE001  (the numbers are a comfort; the rollback must not wait for them)
                self.find(Severity.medium, "norms", f"{name}: the change could not be measured: {error}")
        return found

    def _close(self, outcome: Outcome, error: BaseException | None, norms: dict[str, Any] | None = None) -> None:
        self.outcome, self.error = outcome, error
        if error is not None:
            self.find(Severity.high, "error", f"{type(error).__name__}: {error}")
        self.checklists["after"] = [item.to_json() for item in checklists.after(self, outcome, self.checkpoint)]
        metrics = {"before": _metrics(self.before), "after": _metrics(self.after)}
        try:
            self._record_closing(outcome, norms or {}, metrics)
            for record in self.records:
                self._remember_edit(record, outcome)
            self._remember(_CATEGORY[outcome], 0.8, f"experiment {self.name}: {outcome}", {"metrics": metrics})
        except (CheckpointError, sqlite3.Error) as failure:  # a full disk, say: the model is what `outcome` says all the same
            self.find(Severity.high, "not_recorded", f"journal or memory could not be written: {failure}")
            log.error("experiment %s: %s, but it could not be recorded: %s", self.name, outcome, failure)

    def _record_closing(self, outcome: Outcome, norms: dict[str, Any], metrics: dict[str, Any]) -> None:
        same = {"experiment": self.id, "baseline": self.baseline, "checkpoint": self.checkpoint}
        for record in self.records:
            numbers = {"norms": norms, "metrics": metrics, "seed": self.seed}
            self.store.journal.append({"kind": "edit", **same, **record, "verdict": outcome, **numbers})
        self.store.journal.append(
            {
                "kind": "experiment_close",
                **same,
                "name": self.name,
                "outcome": outcome,
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

    def find(self, level: Severity, code: str, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(level.name, code, text))
        log.info("experiment %s: %s", self.name, text)

    def _release(self) -> None:
        try:
            self.store.track(self.model).journalled = self._journalled
        finally:
            self.signals.release()


_CATEGORY = {"kept": "success", "rolled_back": "failure", "errored": "error", "open": "baseline"}


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
    _refuse_wrong_kinds(model, test, generate, min_effect)
    _refuse_other_objects(memory, monitor)
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
        parts=given(parts),
    )


def _with_inspector(memory: MemorySystem | None, model: nn.Module) -> MemorySystem | None:
    if memory is not None and (memory.inspector is None or memory.inspector.model is not model):
        from solon.lab.inspector import WeightInspector

        memory.set_weight_inspector(WeightInspector(model))
    return memory


def _refuse_other_objects(memory: Any, monitor: Any) -> None:
    for what, found, needs in (("memory", memory, "record_modification"), ("monitor", monitor, "check_model_health")):
        if found is not None and not hasattr(found, needs):
            kind = {"memory": "MemorySystem", "monitor": "SafetyMonitor"}[what]
            raise InputError(f"{what}: expected a lab.{kind}, got {type(found).__name__}", mend=f"lab.{kind}(…), or leave it out")


def _refuse_wrong_kinds(model: Any, test: Any, generate: Any, min_effect: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InputError(f"model: expected a torch.nn.Module, got {type(model).__name__}", mend="pass the model itself")
    for what, function in (("test", test), ("generate", generate)):
        if function is not None and not callable(function):
            raise InputError(
                f"{what}: expected a function of the model, got {type(function).__name__}", mend="see lab.perplexity"
            )
    if not isinstance(min_effect, (int, float)) or min_effect != min_effect or min_effect < 0:
        raise InputError(
            f"min_effect: expected a percentage of at least 0, got {min_effect!r}", mend="0 keeps any shown improvement"
        )
