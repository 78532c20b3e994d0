"""Direct preference optimisation on accepted pairs, holding benign behaviour by a likelihood term on retain rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from solon.data.records import Pair
from solon.training.callbacks import ProgressFn
from solon.training.config import DpoSettings
from solon.training.encode import data_hash
from solon.training.loading import load_for_training, start_from, start_name
from solon.training.loop import fingerprint, prepare_folder, refuse_tracking, run_loop
from solon.training.phases import DpoPhase
from solon.training.plan import Plan, make_plan
from solon.training.reference import reference_logprobs
from solon.training.result import TrainResult, judge, paired_change
from solon.training.runs import encode_for, finish, finished, kept_measurement, pick_layout, require_rows, show_plan


def train_dpo(
    model_path: str | Path,
    pairs: Sequence[Pair],
    retain: Sequence[Pair],
    out: Path,
    settings: DpoSettings | None = None,
    *,
    adapter: Path | None = None,
    validation: Sequence[Pair] | None = None,
    gate: Any = None,
    resume: bool = True,
    progress: ProgressFn | None = None,
    announce: Any = None,
) -> TrainResult:
    """Train on `pairs`; `retain` rows enter only as a likelihood term (`settings.retain_weight`).

    The reference is the base with the adapter off, also when `adapter` (from SFT; without LoRA a full model folder) is
    where training starts; loss, margin and accuracy are therefore compared with their values at step 0, not with ln 2, 0
    and 1/2.

    Args and what is written: as `train_sft`. validation: held-out pairs (retain rows among them are left aside).

    Raises:
        DataError, ConfigError, ModelError, EnvironmentRefused: refused before anything is trained.
        TrainingInterrupted: a signal came; the state is saved.
    """
    settings = settings or DpoSettings()
    out = Path(out)
    require_rows(pairs, "pair", "dpo pairs")
    if retain:
        require_rows(retain, "retain", "retain rows")
    refuse_tracking(settings)
    loaded = load_for_training(model_path, settings, adapter)
    train = encode_for(loaded, settings, pairs, pairs=True, name="dpo pairs")
    kept = encode_for(loaded, settings, retain, pairs=False, name="retain rows")
    held = encode_for(loaded, settings, [r for r in validation or [] if r.kind == "pair"], pairs=True, name="validation pairs")
    layout, why = pick_layout(loaded, settings, train.examples)
    plan = make_plan(
        settings, len(train.examples), phase="DPO", validation=len(held.examples), gate_every=gate.every if gate else None
    )
    name = fingerprint(
        settings, phase="dpo", base=loaded.identity, start=start_name(adapter), data=data_hash(train.examples),
        retain=data_hash(kept.examples), held=data_hash(held.examples),
    )  # fmt: skip
    if done := finished(out, name, resume):
        return done
    save = prepare_folder(out, name, resume)
    everything, note = reference_logprobs(
        loaded, [*train.examples, *held.examples], settings.pack_tokens, layout, out / "reference"
    )
    start_from(loaded, adapter)
    reference, held_reference = everything[: len(train.examples)], everything[len(train.examples) :]
    phase = DpoPhase(loaded, settings, layout, train.examples, reference, kept.examples, held.examples, held_reference)
    _complete(plan, settings, loaded, phase, why, note, (len(train.too_long), len(kept.too_long), len(held.too_long)))
    show_plan(plan, out, announce)
    fixed, fixed_reference, source = _fixed_set(phase, settings.probe_pairs)
    step0 = kept_measurement(out, lambda: phase.measure(fixed, fixed_reference, source))
    outcome = run_loop(phase, loaded, settings, plan, out, layout, save=save, gate=gate, progress=progress)
    final = phase.measure(fixed, fixed_reference, source)
    change = paired_change("margin", step0.items, final.items, seed=settings.seed)
    return finish(
        "DPO", loaded, str(model_path), out, plan, outcome, step0=step0, final=final, change=change,
        judged=judge(change, upwards=True), tokens=phase.tokens(outcome.steps), dropped=len(train.too_long),
        resumed=save, gate=gate,
    )  # fmt: skip


def _fixed_set(phase: DpoPhase, most: int) -> tuple[list[Any], torch.Tensor, str]:
    """The pairs on which step 0 and the end are measured: held-out ones if there are at least two, else training pairs."""
    if len(phase.validation) >= 2:
        return phase.validation[:most], phase.validation_reference[:most], "validation"
    return phase.pairs[:most], phase.reference[:most], "train"


def _complete(
    plan: Plan, settings: DpoSettings, loaded: Any, phase: DpoPhase, why: str, note: str, long: tuple[int, int, int]
) -> None:
    plan.learning_rate, plan.trainable, plan.parameters = settings.rate(loaded.parameters), loaded.trainable, loaded.parameters
    plan.adapts, plan.layout, plan.tokens = loaded.adapts, why, phase.tokens(plan.steps)
    plan.notes = [note]
    if any(long):
        plan.notes.append("left out for their length: {} pairs, {} retain rows, {} validation pairs".format(*long))
    if not phase.retain or settings.retain_weight == 0:
        plan.warnings.append("no retain rows in DPO: when all chosen replies are refusals, it learns to refuse everything")
    else:
        plan.notes.append(
            f"retain rows: {len(phase.retain)}, {settings.retain_batch} in each step, weight {settings.retain_weight:g}"
        )
