"""What a run will take, from a short trial of the model: tokens, time, memory, disk. Nothing is written, no weights trained."""

from __future__ import annotations

import time
from typing import Any

from solon.critique.pairs import critique_messages, lenses, revision_messages
from solon.models import open_model, resolve_path
from solon.models.base import Message, Model, Request, Sampling
from solon.run.config import RunConfig
from solon.run.generate import retain_prompts, settings_of
from solon.run.prepare import Job, prepare

TRIAL = 32  # prompts


def estimate(config: RunConfig) -> dict[str, Any]:
    """Counts and times of each step; `hours` adds them up. Trial figures carry their n.

    Raises:
        SolonError: as `prepare`, or the model can't be opened.
    """
    job = prepare(config)
    s = job.config.models
    model = open_model(job.config.model, device=s.device, dtype=s.dtype, batch_size=s.batch_size, concurrency=s.concurrency)
    trial = _trial(job, model)
    looks = len(lenses(job.constitution, settings_of(job), job.hazardous[0], job.config.seed))
    turns = len(job.hazardous) * (1 + (2 + job.config.critique.revisions) * looks) + len(retain_prompts(job)) * 2
    stages = 3 if len(job.config.train.phases) == 2 else 2
    replies = turns + stages * len(job.held_out)
    tokens = round(replies * trial["tokens_per_reply"])
    generation = tokens / max(trial["tokens_per_second"], 1e-9)
    return {
        "hazardous_prompts": len(job.hazardous),
        "retain_prompts": len(retain_prompts(job)),
        "held_out_prompts": len(job.held_out),
        "critiques_per_prompt": looks,
        "replies_at_most": replies,
        "tokens_at_most": tokens,
        **trial,
        "generation_seconds_at_most": round(generation),
        **_training(job),
        **_sizes(job, replies),
    }


def _trial(job: Job, model: Model) -> dict[str, float]:
    """Tokens per reply and per second, on the replies, critiques and revisions of a few prompts."""
    settings = settings_of(job)
    prompts = job.hazardous[:TRIAL]
    start, tokens, count = time.monotonic(), 0, 0

    def ask(messages: list[tuple[Message, ...]], sampling: Sampling) -> list[str]:
        nonlocal tokens, count
        requests = [Request(id=str(i), messages=m, sampling=sampling, seed=i) for i, m in enumerate(messages)]
        found = model.generate(requests)
        tokens += sum(c.completion_tokens for c in found)
        count += len(found)
        return [c.text for c in found]

    lens = lenses(job.constitution, settings, prompts[0], job.config.seed)[0]
    replies = ask([(Message(role="user", content=p.prompt),) for p in prompts], settings.respond)
    asked = [p.prompt for p in prompts]
    critiques = ask([critique_messages(lens, settings, q, r) for q, r in zip(asked, replies, strict=True)], settings.critique)
    ask([revision_messages(lens, settings, q, r, c) for q, r, c in zip(asked, replies, critiques, strict=True)], settings.revise)
    taken = max(time.monotonic() - start, 1e-9)
    return {"trial_replies": count, "tokens_per_reply": round(tokens / count, 1), "tokens_per_second": round(tokens / taken, 1)}


JOURNAL_BYTES = 2_000  # of one reply: its text, its request's hash, and the row that is written of it
SAVES = 4  # of an adapter with its optimiser, in each phase: those kept, and the best


def _sizes(job: Job, replies: int) -> dict[str, float]:
    """Memory of the larger training phase (GiB) and disk (MiB): journal and rows, saves, and the merged model."""
    from transformers import AutoConfig

    from solon.training.estimate import estimate_memory

    config = AutoConfig.from_pretrained(resolve_path(job.config.trained))
    phases = [job.config.train.settings(name, job.config) for name in job.config.train.phases]
    found = [estimate_memory(config, phase) for phase in phases]
    saves = sum(SAVES * (memory.trainable * 4 + memory.optimizer) for memory in found)
    return {
        "trainable_parameters": found[0].trainable,
        "training_memory_gib": round(max(memory.total for memory in found) / 2**30, 2),
        "disk_mib_at_most": round((replies * JOURNAL_BYTES + saves + 4 * found[0].parameters) / 2**20),
    }


def _training(job: Job) -> dict[str, Any]:
    """Optimiser steps if every pair were accepted."""
    from solon.training.plan import make_plan

    pairs, retain = len(job.hazardous), len(retain_prompts(job))
    found = {}
    for phase in job.config.train.phases:
        settings = job.config.train.settings(phase, job.config)
        rows = pairs + retain if phase == "sft" else pairs
        found[f"{phase}_steps_at_most"] = make_plan(settings, rows, phase=phase.upper()).steps
    return found
