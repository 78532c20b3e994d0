"""The gate: its rules by hand, its modes on a running training, and a rollback that is exact to the bit."""

from __future__ import annotations

import json
import signal

import pytest
import torch
from pydantic import ValidationError

from solon.checkpoints import Store
from solon.errors import CheckFailed, ConfigError
from solon.training.callbacks import TrainingInterrupted
from solon.training.config import DpoSettings
from solon.training.dpo import train_dpo
from solon.training.gate import UNMEASURED, GateCallback, GateRule, Trainables, violations
from tests.training.conftest import build_model, make_pairs
from tests.training.test_train import StopAfter, same, weights

pytestmark = pytest.mark.slow

PAIRS = make_pairs(24)
SETTINGS = DpoSettings(device="cpu", tracking=["jsonl"], batch=8, epochs=4, learning_rate=2e-3)  # 12 steps
FLOOR, MARGIN = GateRule(metric="kept", floor=0.9), GateRule(metric="kept", margin=0.05)


Numbers = dict[str, tuple[float, int, float, float]]


def m(value: float, low: float | None = None, high: float | None = None, n: int = 20) -> Numbers:
    return {"kept": (value, n, value if low is None else low, value if high is None else high)}


def test_floor() -> None:
    assert violations([FLOOR], m(0.9, low=0.7), {}, in_grace=False) == []
    assert violations([FLOOR], m(0.89), {}, in_grace=True) == []
    assert violations([FLOOR], m(0.89), {}, in_grace=False) == ["kept: value 0.89 is worse than the floor 0.9"]
    strict = GateRule(metric="kept", floor=0.9, floor_on="bound")
    assert violations([strict], m(0.95, low=0.85), {}, in_grace=False) == ["kept: bound 0.85 is worse than the floor 0.9"]


def test_regression_compares_bounds_with_bounds() -> None:
    """Best bound 0.80, margin 0.05: a bound of 0.75 passes, 0.74 does not; grace does not excuse a regression."""
    best = {"kept": 0.80}
    assert violations([MARGIN], m(0.9, low=0.75), best, in_grace=False) == []
    assert len(violations([MARGIN], m(0.9, low=0.74), best, in_grace=True)) == 1
    assert violations([MARGIN], m(0.1, low=0.0), {}, in_grace=False) == []


def test_lower_is_better() -> None:
    """Over-refusal: the cautious bound is the upper one."""
    rule = GateRule(metric="kept", better="lower", floor=0.15, margin=0.05)
    assert violations([rule], m(0.10, high=0.2), {"kept": 0.18}, in_grace=False) == []
    found = violations([rule], m(0.16, high=0.25), {"kept": 0.18}, in_grace=False)
    assert [f.split(":")[1][:7] for f in found] == [" value ", " bound "]


def test_not_measured_fails() -> None:
    for measured in ({}, m(float("nan")), m(1.0, n=0)):
        assert violations([FLOOR], measured, {}, in_grace=True) == ["kept: not measured"]


def test_refused_gates() -> None:
    with pytest.raises(ValidationError, match="a floor, a margin or both"):
        GateRule(metric="kept")
    with pytest.raises(ConfigError, match="checkpoint store"):
        GateCallback(lambda model: m(1), [FLOOR], mode="rollback")
    with pytest.raises(ConfigError, match="at least one rule"):
        GateCallback(lambda model: m(1), [])
    with pytest.raises(ConfigError, match="every >= 1"):
        GateCallback(lambda model: m(1), [FLOOR], every=0)


class Falls:
    """A probe that answers 1.0 for the first `good` calls and 0.0 afterwards, and keeps the trained weights it saw."""

    def __init__(self, *values: float) -> None:
        self.values = list(values)
        self.seen: list[dict[str, torch.Tensor]] = []

    def __call__(self, model) -> Numbers:
        assert not model.training
        self.seen.append({n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad})
        value = self.values[min(len(self.seen) - 1, len(self.values) - 1)]
        return m(value)


def test_stop(folder, tmp_path) -> None:
    gate = GateCallback(Falls(1, 1, 0), [FLOOR], every=2, mode="stop")
    result = train_dpo(folder, PAIRS, [], tmp_path, SETTINGS, gate=gate)
    assert (result.steps, result.gate_failed) == (4, True)
    assert [(e["step"], e["action"]) for e in result.gates] == [(0, "start"), (2, "passed"), (4, "stopped")]
    assert result.plan.gate_every == 2
    assert [json.loads(line) for line in (tmp_path / "gates.jsonl").read_text().splitlines()] == result.gates


def test_warn_goes_on(folder, tmp_path) -> None:
    gate = GateCallback(Falls(1, 0), [FLOOR], every=6, mode="warn")
    result = train_dpo(folder, PAIRS, [], tmp_path, SETTINGS, gate=gate)
    assert result.steps == 12
    assert [e["action"] for e in result.gates] == ["start", "warned", "warned"]


def test_a_base_that_cannot_be_measured_is_only_recorded(folder, tmp_path) -> None:
    """Every reply of a broken base is empty, say: training goes on, and no gate counts as passed."""
    gate = GateCallback(lambda model: {}, [FLOOR], every=6, mode="stop", require_start=False)
    result = train_dpo(folder, PAIRS, [], tmp_path, SETTINGS, gate=gate)
    assert (result.steps, result.gate_failed) == (12, False)
    assert [e["action"] for e in result.gates] == [UNMEASURED, "warned", "warned"]
    assert not any(e["good"] for e in result.gates)


def test_grace(folder, tmp_path) -> None:
    """An untrained model below the floor does not stop training within the grace period, and does after it."""
    gate = GateCallback(Falls(0), [FLOOR], every=3, mode="stop", grace=6)
    result = train_dpo(folder, PAIRS, [], tmp_path, SETTINGS, gate=gate)
    assert [(e["step"], e["action"]) for e in result.gates] == [(0, "start"), (3, "passed"), (6, "passed"), (9, "stopped")]


def test_a_gate_that_only_looks_changes_nothing(folder, tmp_path) -> None:
    def nosy(model):
        torch.rand(7)
        ids = torch.tensor([[6, 7, 8]])
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=3, do_sample=False)
        return m(1.0)

    plain = train_dpo(folder, PAIRS, [], tmp_path / "a", SETTINGS)
    looked = train_dpo(folder, PAIRS, [], tmp_path / "b", SETTINGS, gate=GateCallback(nosy, [FLOOR], every=2))
    assert same(weights(plain.adapter), weights(looked.adapter))


def test_rollback_is_exact(folder, tmp_path) -> None:
    """Fails at 6, 8, 10 and 12: each time back to the weights of step 4; at the end these are what is left."""
    probe = Falls(1, 1, 1, 0)
    gate = GateCallback(probe, [FLOOR], every=2, mode="rollback", store=Store(tmp_path / "store"), max_rollbacks=10)
    result = train_dpo(folder, PAIRS, [], tmp_path / "run", SETTINGS, gate=gate)
    actions = [(e["step"], e["action"]) for e in result.gates]
    assert actions == [(0, "start"), (2, "passed"), (4, "passed"), *((s, "rolled back") for s in (6, 8, 10, 12))]
    good = probe.seen[2]
    for name, value in weights(result.adapter).items():
        assert torch.equal(value, good[name.replace(".weight", ".default.weight")]), name
    assert not torch.equal(*(next(iter(seen.values())) for seen in (probe.seen[2], probe.seen[3])))
    assert not result.gate_failed


def test_too_many_rollbacks_stop(folder, tmp_path) -> None:
    gate = GateCallback(Falls(1, 0), [FLOOR], every=2, mode="rollback", store=Store(tmp_path / "store"), max_rollbacks=2)
    result = train_dpo(folder, PAIRS, [], tmp_path / "run", SETTINGS, gate=gate)
    assert [(e["step"], e["action"]) for e in result.gates][1:] == [
        (2, "rolled back"), (4, "rolled back"), (6, "rolled back and stopped"),
    ]  # fmt: skip
    assert result.verdict == "no learning"  # back at the start, to the bit
    assert result.change.low == result.change.high == 0


def test_optimizer_and_schedule_come_back(tmp_path, tokenizer) -> None:
    """Two updates, a good gate, two more, a failing gate: then the next update equals the one after the good gate."""
    torch.manual_seed(0)
    model = build_model(tokenizer)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    ids = torch.tensor([[6, 7, 8, 9]])

    def update() -> None:
        optimizer.zero_grad()
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        scheduler.step()

    class State:
        global_step, max_steps, best_model_checkpoint = 0, 100, None

    class Control:
        should_training_stop = False

    gate = GateCallback(Falls(1, 1, 0), [FLOOR], every=2, mode="rollback", store=Store(tmp_path))
    tell = {"model": model, "optimizer": optimizer, "lr_scheduler": scheduler}
    gate.on_train_begin(None, State, Control, **tell)
    update(), update()
    State.global_step = 2
    gate.on_step_end(None, State, Control, **tell)
    update()
    after_good = [p.detach().clone() for p in model.parameters()]
    update()
    State.global_step = 4
    gate.on_step_end(None, State, Control, **tell)
    assert scheduler.last_epoch == 2
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / 3)
    update()
    assert all(torch.equal(a, b) for a, b in zip(after_good, model.parameters(), strict=True))


def test_best_save_that_fails_the_gate_is_not_kept(folder, tmp_path) -> None:
    """The best validation loss is late, where the gate fails: the last look restores the last good weights."""
    probe = Falls(1, 1, 0)
    gate = GateCallback(probe, [FLOOR], every=6, mode="rollback", store=Store(tmp_path / "store"))
    settings = SETTINGS.model_copy(update={"eval_steps": 2, "save_steps": 2})
    result = train_dpo(folder, PAIRS, [], tmp_path / "run", settings, gate=gate, validation=make_pairs(6, 9))
    assert result.gates[-1]["action"] in ("rolled back", "rolled back at the end")
    for name, value in weights(result.adapter).items():
        assert torch.equal(value, probe.seen[1][name.replace(".weight", ".default.weight")])


def test_a_probe_that_misses_its_metric_is_refused_at_once(folder, tmp_path) -> None:
    with pytest.raises(CheckFailed, match="kept: not measured"):
        train_dpo(folder, PAIRS, [], tmp_path, SETTINGS, gate=GateCallback(lambda model: {}, [FLOOR], every=2))


def test_resume_keeps_the_gate_history(folder, tmp_path) -> None:
    def gate() -> GateCallback:
        return GateCallback(lambda model: m(1.0), [FLOOR, MARGIN], every=2, mode="rollback", store=Store(tmp_path / "store"))

    settings = SETTINGS.model_copy(update={"save_steps": 2})
    with pytest.raises(TrainingInterrupted):
        train_dpo(folder, PAIRS, [], tmp_path / "run", settings, gate=gate(), progress=StopAfter(5, signal.SIGTERM))
    second = gate()
    result = train_dpo(folder, PAIRS, [], tmp_path / "run", settings, gate=second)
    assert [e["step"] for e in result.gates] == [0, 2, 4, 6, 8, 10, 12]
    assert second.best == {"kept": 1.0}


def test_trainables_share_storage(model) -> None:
    shared = Trainables(model)
    with torch.no_grad():
        next(shared.parameters()).fill_(3.0)
    assert next(model.parameters()).flatten()[0].item() == 3.0
    assert sum(p.numel() for p in shared.parameters()) == sum(p.numel() for p in model.parameters())
