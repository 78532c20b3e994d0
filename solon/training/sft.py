"""Supervised fine-tuning on accepted revisions mixed with retain rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solon.data.records import Pair
from solon.training.callbacks import ProgressFn
from solon.training.config import SftSettings
from solon.training.encode import data_hash
from solon.training.loading import load_for_training, start_from, start_name
from solon.training.loop import fingerprint, prepare_folder, refuse_tracking, run_loop
from solon.training.phases import SftPhase
from solon.training.plan import make_plan
from solon.training.result import TrainResult, judge, paired_change
from solon.training.runs import encode_for, finish, finished, kept_measurement, pick_layout, require_rows, show_plan

MEASURED_ROWS = 128


def mix_retain(rows: Sequence[Pair], share: float, seed: int) -> tuple[list[Pair], list[str]]:
    """Pairs plus so many retain rows that these are `share` of all; a seeded draw keeps the order of the file.

    Without pairs all retain rows are taken. With too few retain rows all are used and a note says which share came out.
    """
    pairs = [row for row in rows if row.kind == "pair"]
    retain = [row for row in rows if row.kind == "retain"]
    if not pairs or share >= 1:
        return (retain or pairs), []
    wanted = round(len(pairs) * share / (1 - share))
    if wanted <= len(retain):
        kept = set(random.Random(seed).sample(range(len(retain)), wanted))
        retain = [row for index, row in enumerate(retain) if index in kept]
        return [*pairs, *retain], []
    real = len(retain) / (len(pairs) + len(retain))
    note = f"benign_share {share:g} asks for {wanted} retain rows, there are {len(retain)}: the share is {real:.2f}"
    return [*pairs, *retain], [note]


def train_sft(
    model_path: str | Path,
    rows: Sequence[Pair],
    out: Path,
    settings: SftSettings | None = None,
    *,
    adapter: Path | None = None,
    validation: Sequence[Pair] | None = None,
    gate: Any = None,
    resume: bool = True,
    progress: ProgressFn | None = None,
    announce: Any = None,
) -> TrainResult:
    """Fine-tune on the `chosen` replies of `rows` (pairs and retain rows together; `settings.benign_share` mixes them).

    Writes into `out`: adapter/ (or model/), checkpoints/, metrics.jsonl, tensorboard/, plan.json, result.json.

    Args:
        model_path: `nano`, a folder or a hub id. adapter: continue this one (without LoRA: a full model folder).
        validation: held-out rows for early stopping.
        gate: a `GateCallback`. resume: continue the newest whole save in `out`. announce: called with the `Plan` first.

    Raises:
        DataError, ConfigError, ModelError, EnvironmentRefused: refused before anything is trained.
        TrainingInterrupted: a signal came; the state is saved.
    """
    settings = settings or SftSettings()
    out = Path(out)
    require_rows(rows, "any", "sft rows")
    refuse_tracking(settings)
    mixed, notes = mix_retain(rows, settings.benign_share, settings.seed)
    loaded = load_for_training(model_path, settings, adapter)
    start_from(loaded, adapter)
    train = encode_for(loaded, settings, mixed, pairs=False, name="sft rows")
    held = encode_for(loaded, settings, list(validation or []), pairs=False, name="validation rows")
    layout, why = pick_layout(loaded, settings, train.examples)
    phase = SftPhase(loaded, settings, layout, train.examples, held.examples)
    plan = make_plan(
        settings, len(train.examples), phase="SFT", validation=len(held.examples), gate_every=gate.every if gate else None
    )
    plan.learning_rate, plan.trainable, plan.parameters = settings.rate(loaded.parameters), loaded.trainable, loaded.parameters
    plan.adapts, plan.layout, plan.tokens = loaded.adapts, why, phase.tokens(plan.steps)
    plan.notes = notes + _length_note(len(train.too_long), len(held.too_long))
    name = fingerprint(
        settings, phase="sft", base=loaded.identity, start=start_name(adapter), data=data_hash(train.examples),
        held=data_hash(held.examples),
    )  # fmt: skip
    if done := finished(out, name, resume):
        return done
    save = prepare_folder(out, name, resume)
    show_plan(plan, out, announce)
    fixed, source = (held.examples, "validation") if len(held.examples) >= 2 else (train.examples[:MEASURED_ROWS], "train")
    step0 = kept_measurement(out, lambda: phase.measure(fixed, source))
    outcome = run_loop(phase, loaded, settings, plan, out, layout, save=save, gate=gate, progress=progress)
    final = phase.measure(fixed, source)
    change = paired_change("nats per reply token", step0.items, final.items, seed=settings.seed)
    return finish(
        "SFT", loaded, str(model_path), out, plan, outcome, step0=step0, final=final, change=change,
        judged=judge(change, upwards=False), tokens=phase.tokens(outcome.steps), dropped=len(train.too_long),
        resumed=save, gate=gate,
    )  # fmt: skip


def _length_note(train: int, held: int) -> list[str]:
    return [f"left out for their length: {train} training rows, {held} validation rows"] if train or held else []
