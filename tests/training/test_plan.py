"""The plan: steps, evaluations, saves and warnings; which rows each step holds; settings that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from solon.run.config import RunConfig, load_config
from solon.training.batches import cycle, schedule, steps_of
from solon.training.config import DpoSettings, EarlyStopping, SftSettings
from solon.training.plan import make_plan


def preset(name: str) -> RunConfig:
    return load_config(Path(__file__).parents[2] / f"examples/presets/{name}.yaml")


def test_trading_run() -> None:
    """3,923 rows / 16 x 3 epochs = 736 steps; an evaluation every 100; patience 3 can act from step 400."""
    trading = preset("trading")
    plan = make_plan(trading.train.settings("sft", trading), 3923, validation=400)
    assert plan.steps == 736
    assert plan.evaluations == [100, 200, 300, 400, 500, 600, 700, 736]
    assert plan.saves == plan.evaluations
    assert plan.patience_from == 400
    assert "can act from step 400" in plan.text()
    assert plan.warnings == []


@pytest.mark.parametrize(("rows", "steps", "warm"), [(5, 1, 0), (20, 2, 1), (160, 10, 1), (1600, 100, 10)])
def test_warm_up_leaves_a_step_to_train_in(rows: int, steps: int, warm: int) -> None:
    plan = make_plan(DpoSettings(warmup=0.1), rows)
    assert (plan.steps, plan.warmup_steps) == (steps, warm)


def test_interval_beyond_the_run() -> None:
    """8,000 / 256 x 3 = 94 steps: evaluating every 250 and saving every 500 never fires before the end."""
    plan = make_plan(SftSettings(epochs=3, batch=256, eval_steps=250, save_steps=500), 8000, validation=100)
    assert plan.steps == 94
    assert plan.evaluations == plan.saves == [94]
    assert [w.split(":")[0] for w in plan.warnings] == [
        "eval_steps 250 exceeds the run's 94 steps", "save_steps 500 exceeds the run's 94 steps", "early stopping can't act",
    ]  # fmt: skip


def test_patience_that_cannot_act() -> None:
    plan = make_plan(SftSettings(epochs=1, eval_steps=10, save_steps=10), 16 * 30, validation=5)
    assert (plan.steps, plan.evaluations, plan.patience_from) == (30, [10, 20, 30], None)
    assert plan.warnings == ["early stopping can't act: patience 3 needs 4 evaluations, this run has 3"]


def test_no_validation() -> None:
    plan = make_plan(DpoSettings(), 382)
    assert plan.steps == 24  # 382 / 16 = 23.9
    assert plan.evaluations == []
    assert "early stopping can't act" in plan.warnings[0]


def test_gate_interval_is_checked() -> None:
    assert "gate every 100 exceeds" in make_plan(DpoSettings(), 160, gate_every=100).warnings[0]


def test_fewer_rows_than_a_batch() -> None:
    plan = make_plan(SftSettings(epochs=1), 5)
    assert plan.steps == 1
    assert any("exceeds the 5 rows" in w for w in plan.warnings)


@given(st.integers(1, 300), st.sampled_from([0.5, 1, 2, 2.5, 3]), st.integers(1, 64), st.integers(0, 9))
def test_schedule(rows: int, epochs: float, batch: int, seed: int) -> None:
    steps = schedule(rows, epochs, batch, seed)
    assert len(steps) == steps_of(rows, epochs, batch)
    assert all(len(step) == batch for step in steps[:-1])
    flat = [row for step in steps for row in step]
    assert len(flat) == max(1, round(rows * epochs))
    counts = [flat.count(row) for row in range(rows)]
    assert max(counts) - min(counts) <= 1
    for epoch in range(int(epochs)):
        assert sorted(flat[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    assert schedule(rows, epochs, batch, seed) == steps


def test_seeds_differ() -> None:
    assert schedule(50, 1, 8, 0) != schedule(50, 1, 8, 1)


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 30))
def test_cycle(rows: int, batch: int, steps: int) -> None:
    found = cycle(rows, batch, steps, 0)
    assert [len(step) for step in found] == [batch] * steps
    counts = [sum(step.count(row) for step in found) for row in range(rows)]
    assert max(counts) - min(counts) <= 1


def test_cycle_of_nothing() -> None:
    assert cycle(0, 8, 3, 0) == [[], [], []]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epocs": 2}, "epocs"),
        ({"batch": 16, "micro_batch": 5}, "expected a divisor of batch"),
        ({"eval_steps": 100, "save_steps": 150}, "expected a multiple of eval_steps"),
        ({"learning_rate": 2.0}, "expected 0 to 1"),
        ({"eval_steps": 0}, "at least 1"),
        ({"quantise": "nf4", "lora": {"enabled": False}}, "can't be trained itself"),
        ({"lora": {"rank": 8}}, "rank"),
        ({"tracking": ["mlflow"]}, "tracking"),
    ],
)
def test_refused_settings(settings: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SftSettings.model_validate(settings)


def test_documented_defaults() -> None:
    sft, dpo = SftSettings(), DpoSettings()
    assert (sft.epochs, sft.batch, sft.warmup, sft.schedule, sft.benign_share) == (2, 16, 0.1, "cosine", 0.67)
    assert (sft.rate(5_400_000), sft.rate(6_900_000_000)) == (1e-3, 2e-4)
    assert (dpo.epochs, dpo.beta, dpo.rate(5_400_000), dpo.retain_weight) == (1, 0.1, 5e-5, 1.0)
    assert (sft.lora.r, sft.lora.alpha, sft.lora.dropout) == (16, 32, 0.05)
    assert (sft.early_stopping.patience, sft.early_stopping.threshold, sft.early_stopping.mode) == (3, 0.001, "abs")


def test_presets_hold_the_documented_values() -> None:
    contemplative, laws, trading = (preset(name) for name in ("contemplative", "laws", "trading"))
    dpo = contemplative.train.settings("dpo", contemplative)
    assert isinstance(dpo, DpoSettings)
    assert (dpo.learning_rate, dpo.beta, dpo.epochs, dpo.max_length, dpo.warmup) == (1e-6, 0.1, 1, 512, 0.1)
    assert (dpo.lora.r, dpo.lora.alpha, dpo.lora.dropout, len(dpo.lora.targets)) == (16, 32, 0.1, 7)
    law = laws.train.settings("sft", laws)
    assert (law.epochs, law.batch, law.micro_batch, law.learning_rate, law.warmup) == (3, 16, 4, 2e-4, 0.03)
    assert law.gradient_checkpointing and law.schedule == "cosine" and law.lora.targets == ["query_key_value", "dense"]
    sft = trading.train.settings("sft", trading)
    assert (sft.quantise, sft.epochs, sft.batch, sft.early_stopping.patience) == ("nf4", 3, 16, 3)


def test_early_stopping_counts() -> None:
    from solon.training.callbacks import exhausted

    absolute = EarlyStopping(patience=3, threshold=0.001)
    assert not exhausted([1.0, 0.9, 0.9, 0.9], absolute)
    assert exhausted([1.0, 0.9, 0.9, 0.9, 0.9], absolute)
    # creeping by less than the threshold each time counts as no improvement, since the best moves along
    assert exhausted([1.0, 0.9995, 0.999, 0.9985], absolute)
    # relative: 0.1 % of a loss of 10 is 0.01
    relative = EarlyStopping(patience=3, threshold=0.001, mode="rel")
    assert exhausted([10.0, 9.995, 9.99, 9.985], relative)
    assert not exhausted([10.0, 9.995, 9.99, 9.985], absolute)
