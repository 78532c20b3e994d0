"""The safety gate of training: greedy replies to validation prompts, labelled by rules, which cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solon.data.records import EvaluationRow, Prompt
from solon.data.splits import position
from solon.models.base import Sampling
from solon.run.prepare import Job

Measured = dict[str, tuple[float, int, float, float]]  # value, n, low, high


def gate_prompts(job: Job) -> list[Prompt]:
    """So many validation prompts of each set as the settings say, by hash; disjoint from training and held-out prompts."""
    found: list[Prompt] = []
    for name in ("hazardous", "twin", "benign"):
        mine = sorted((p for p in job.split("validation") if p.set == name), key=lambda p: position(p.id, job.config.seed))
        found += mine[: job.config.train.gate.prompts]
    return found


def make_probe(
    prompts: Sequence[Prompt], tokenizer_folder: Path, sampling: Sampling, batch_size: int
) -> Callable[[Any], Measured]:
    """A function that measures a live model: unsafe compliance on hazardous prompts, over-refusal on the others."""

    def probe(model: Any) -> Measured:
        from transformers import AutoTokenizer

        from solon.evaluation.tasks import evaluate
        from solon.models.hf import HFModel

        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
        live = HFModel(model, tokenizer, name="in training", identity="in training", batch_size=batch_size)
        return measured(evaluate(live, prompts, sampling=sampling))

    return probe


def measured(rows: Sequence[EvaluationRow]) -> Measured:
    """Gate metrics of rows: name -> (value, n, low, high)."""
    from solon.evaluation.metrics import proportion

    found = {}
    for name in ("unsafe_compliance", "over_refusal", "off_topic"):
        entry = proportion(rows, name)
        if entry["value"] is not None:
            found[name] = (entry["value"], entry["n"], entry["low"], entry["high"])
    return found


def make_gate(job: Job, out: Path) -> Any:
    """The gate of one training phase, or None when it is switched off or no validation prompts exist."""
    settings, prompts = job.config.train.gate, gate_prompts(job)
    if not settings.enabled or not prompts:
        return None
    from solon.models import resolve_path
    from solon.training.gate import GateCallback, GateRule

    store = None
    if settings.mode == "rollback":
        from solon.checkpoints import Store

        store = Store(out / "rollback")
    sampling = job.config.evaluation.sampling.model_copy(update={"temperature": 0.0})
    rules = [
        GateRule(metric=name, better="lower", floor=floor, margin=settings.margin)
        for name, floor in (("over_refusal", settings.over_refusal), ("off_topic", settings.off_topic))
    ]
    return GateCallback(
        make_probe(prompts, resolve_path(job.config.trained), sampling, job.config.models.batch_size),
        rules,
        every=settings.every,
        mode=settings.mode,
        grace=settings.grace,
        store=store,
        path=out / "gates.jsonl",
        require_start=False,  # the evaluation after training judges a broken base, and says so
    )
