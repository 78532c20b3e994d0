"""The one loop. `transformers.Trainer` steps, schedules, saves and resumes; a phase says what a step's loss is.

An item of the data loader is the number of an optimiser step, so the order of data is a pure function of the settings;
within a step the phase's packs are run forward and backward one after another, each scaled by the whole step's counts, so
that the result does not depend on how the step was divided (micro-batches, packs).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import Dataset, SequentialSampler
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback, TrainingArguments

from solon.errors import ConfigError, DataError, EnvironmentRefused
from solon.models.base import content_hash
from solon.models.shares import threads
from solon.training.callbacks import (
    JsonlLog,
    LeaveOnSignal,
    MarkSaves,
    ProgressFn,
    ShowProgress,
    Signals,
    StopEarly,
    TensorBoardLog,
    TrainingInterrupted,
    latest_save,
    write_atomically,
)
from solon.training.collate import Layout, attention_for
from solon.training.config import PhaseSettings
from solon.training.loading import Loaded, quiet
from solon.training.partners import Partners, added, partners_for, summed
from solon.training.plan import Plan

OPTIMISER = "adamw_torch"


class Phase(Protocol):
    """What differs between SFT and DPO."""

    steps: int
    pieces: int

    def work(self, item: int) -> list[Any]:
        """The forward passes of one optimiser step (of this process)."""
        ...

    def loss(self, model: Any, work: Any) -> tuple[torch.Tensor, dict[str, float]]:
        """The part of the step's loss that one forward pass contributes, and what it adds to the step's logged numbers."""
        ...

    def evaluate(self, model: Any) -> dict[str, float]:
        """Validation numbers; `loss` is the one that early stopping and the best save go by."""
        ...

    def tokens(self, steps: int) -> int:
        """Tokens read in the first `steps` optimiser steps."""
        ...


class Items(Dataset[int]):
    """The numbers 0 .. n - 1."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.n:
            raise IndexError(index)
        return index


class StepTrainer(Trainer):
    """transformers' Trainer with steps made by a phase."""

    def __init__(self, phase: Phase, loaded: Loaded, **options: Any) -> None:
        super().__init__(model=loaded.model, **options)
        self.phase, self.loaded = phase, loaded
        self.pending: list[dict[str, float]] = []
        self.partners: Partners | None = None
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)  # type: ignore[arg-type]  # the phase has shuffled already

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        model.train()
        item = int(inputs["step"])
        if self.phase.pieces > 1:
            total, logged = self._shared_step(model, item)
        else:
            total, logged = summed(model, self.phase.work(item), self._loss, self.accelerator.backward, _syncing(model))
        self.pending.append(logged)
        return torch.zeros((), device=self.args.device) + total

    def _loss(self, model: Any, part: Any) -> tuple[torch.Tensor, dict[str, float]]:
        with self.loaded.autocast():
            return self.phase.loss(model, part)

    def _shared_step(self, model: Any, item: int) -> tuple[Any, dict[str, float]]:
        if self.partners is None:
            self.partners = Partners(model, self.phase.work, self._loss, self.phase.pieces)
        with threads(1):  # the other cores are the partners'
            mine = self.partners.begin(item, self.phase.work(item))
            total, logged = summed(model, mine, self._loss, self.accelerator.backward)
            theirs, numbers = self.partners.finish()
        return total + theirs, added(logged, numbers)

    @contextmanager
    def with_partners(self) -> Iterator[None]:
        """The partners that the first step called in are gone after this block."""
        try:
            yield
        finally:
            if self.partners is not None:
                self.partners.end()

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if "loss" in logs and self.pending:
            names = {name for step in self.pending for name in step}
            logs |= {name: sum(step.get(name, 0.0) for step in self.pending) / len(self.pending) for name in sorted(names)}
            self.pending = []
        super().log(logs, *args, **kwargs)

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> dict[str, float]:
        with evaluating(self.model), self.loaded.autocast():
            metrics = {f"{metric_key_prefix}_{name}": value for name, value in self.phase.evaluate(self.model).items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Without gradients and dropout within the block; then as before."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def _syncing(model: Any) -> Any:
    """Processes of torchrun average gradients once, after the last part of a step."""
    return lambda last: model.no_sync() if hasattr(model, "no_sync") and not last else nullcontext()


def _one(items: list[int]) -> dict[str, int]:
    return {"step": items[0]}


def world_size() -> int:
    """Processes that train together (torchrun sets WORLD_SIZE)."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


def rows_per_process(batch: int) -> int:
    """A step's rows on each process. Raises ConfigError when the batch does not divide."""
    if batch % world_size():
        raise ConfigError(f"batch: expected a multiple of {world_size()} processes, got {batch}", mend="change batch")
    return batch // world_size()


def arguments(settings: PhaseSettings, plan: Plan, out: Path, parameters: int, device: str) -> TrainingArguments:
    """Our settings in transformers' words. Precision is ours (`Loaded.autocast`), so that reference and policy share it."""
    best = settings.load_best and bool(plan.evaluations)
    args = TrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=plan.steps,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        learning_rate=plan.learning_rate,
        lr_scheduler_type=settings.schedule if plan.warmup_steps or settings.schedule != "constant" else "constant",
        warmup_steps=plan.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip,
        optim=OPTIMISER,
        logging_steps=1 if plan.steps <= 2000 else 10,
        eval_strategy="steps" if plan.evaluations else "no",
        eval_steps=plan.eval_every,
        save_strategy="steps",
        save_steps=plan.save_every,
        save_total_limit=settings.keep_saves,
        load_best_model_at_end=best,
        metric_for_best_model="eval_loss" if best else None,
        greater_is_better=False if best else None,
        seed=settings.seed,
        report_to=["wandb"] if "wandb" in settings.tracking else [],
        use_cpu=device == "cpu",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
    )
    args._n_gpu = min(args.n_gpu, 1)  # several GPUs in one process would split packs; torchrun starts one process each
    return args


def refuse_tracking(settings: PhaseSettings) -> None:
    """Raises EnvironmentRefused when a wanted tracker is not installed."""
    import importlib.util

    for name in settings.tracking:
        if name != "jsonl" and importlib.util.find_spec(name) is None:
            raise EnvironmentRefused(
                f"tracking: {name} is not installed", mend=f'pip install "solon[{name}]", or leave it out of tracking'
            )


def fingerprint(settings: PhaseSettings, **facts: str) -> str:
    """Names what a run computes; a resumed run must have the same."""
    free = {"tracking", "device", "keep_saves"}
    return content_hash({"settings": settings.model_dump(mode="json", exclude=free), **facts})


def prepare_folder(out: Path, name: str, resume: bool) -> Path | None:
    """The save to resume from, or None. Without `resume`, earlier saves are set aside by refusing.

    Raises:
        DataError: the folder holds a run with other settings, data or base.
    """
    record = out / "training.json"
    save = latest_save(out / "checkpoints")
    if record.exists():
        known = json.loads(record.read_text(encoding="utf-8")).get("fingerprint")
        if known != name and (save or (out / "step0.json").exists()):
            raise DataError(
                f"{out}: holds a run with other settings, data or base model",
                mend="choose another folder, or delete this one to start again",
            )
    if save and not resume:
        raise DataError(f"{out}: already holds {save.name}", mend="resume it, choose another folder, or delete it")
    if is_main():
        write_atomically(record, json.dumps({"fingerprint": name}))
    return save


class Outcome:
    """What the loop leaves: log, counts, times."""

    def __init__(self, trainer: StepTrainer, stop: StopEarly | None, seconds: float) -> None:
        state = trainer.state
        self.history: list[dict[str, Any]] = state.log_history
        self.steps: int = state.global_step
        self.best_step: int | None = state.best_global_step if trainer.args.load_best_model_at_end else None
        self.stopped_early = bool(stop and stop.stopped_at)
        self.seconds = seconds


def run_loop(
    phase: Phase,
    loaded: Loaded,
    settings: PhaseSettings,
    plan: Plan,
    out: Path,
    layout: Layout,
    *,
    save: Path | None,
    gate: Any = None,
    progress: ProgressFn | None = None,
) -> Outcome:
    """Train from `save` (or the start) to the end of the plan.

    Raises:
        TrainingInterrupted: a signal came; the state is saved.
    """
    signals, stop = (
        Signals(),
        StopEarly(settings.early_stopping) if settings.early_stopping.enabled and plan.evaluations else None,
    )
    if gate is not None:
        gate.path = gate.path or out / "gates.jsonl"
        gate.interrupted = lambda: signals.received is not None
    callbacks: list[TrainerCallback] = [c for c in (gate, stop) if c is not None]
    callbacks += [LeaveOnSignal(signals), MarkSaves()]
    callbacks += [JsonlLog(out / "metrics.jsonl")] if "jsonl" in settings.tracking else []
    callbacks += [TensorBoardLog(out / "tensorboard")] if "tensorboard" in settings.tracking else []
    callbacks += [ShowProgress(progress)] if progress else []
    trainer = StepTrainer(
        phase,
        loaded,
        args=arguments(settings, plan, out, loaded.parameters, loaded.device),
        train_dataset=Items(plan.steps * world_size()),
        eval_dataset=Items(1) if plan.evaluations else None,
        data_collator=_one,
        callbacks=callbacks,
    )
    started = time.perf_counter()
    phase.pieces = partners_for(loaded.model, settings.batch) if world_size() == 1 else 1
    with signals.caught(), attention_for(loaded.model, layout), quiet(), trainer.with_partners():
        trainer.train(resume_from_checkpoint=str(save) if save else None)
    if signals.received is not None and trainer.state.global_step < plan.steps:
        raise TrainingInterrupted(signals.received, trainer.state.global_step, out)
    return Outcome(trainer, stop, time.perf_counter() - started)
