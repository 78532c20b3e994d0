"""The two phases of the loop: what work a step holds, what its loss is, and how progress is measured on a fixed set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from solon.training.batches import cycle, schedule
from solon.training.collate import Layout, Pack, forward_logprobs, pack_examples, sequence_sums
from solon.training.config import DpoSettings, PhaseSettings
from solon.training.encode import Example
from solon.training.loading import Loaded
from solon.training.loop import rows_per_process, world_size
from solon.training.losses import dpo_loss
from solon.training.reference import pair_logprobs
from solon.training.result import Measurement


def ahead(margins: Tensor) -> Tensor:
    """1 where the chosen reply is ahead, 0 where it is behind, 1/2 where neither is (at the reference every margin is 0)."""
    return (margins > 0).float() + 0.5 * (margins == 0).float()


def _most(settings: PhaseSettings) -> int | None:
    return settings.micro_batch if isinstance(settings.micro_batch, int) else None


def _items(rows: int, settings: PhaseSettings) -> list[list[int]]:
    """Row numbers for each item of the data loader: with n processes, each step is n items in a row, some maybe empty."""
    here = rows_per_process(settings.batch)
    steps = schedule(rows, settings.epochs, settings.batch, settings.seed)
    return [step[i * here : (i + 1) * here] for step in steps for i in range(world_size())]


def _whole(items: list[list[int]], item: int) -> list[int]:
    """The rows of the whole step, over all processes, to which an item belongs."""
    first = item - item % world_size()
    return [row for part in items[first : first + world_size()] for row in part]


@dataclass
class Work:
    """One forward pass: a pack, what to divide by, and (DPO) the pairs' reference sums.

    count, tokens: pairs and trained tokens of the whole step, divided by the number of processes, whose gradients
    are averaged; so n processes give the gradient of one. idle: this process has no rows in a short last step.
    """

    pack: Pack
    count: float
    tokens: float
    reference: Tensor | None = None
    retain: bool = False
    idle: bool = False

    @property
    def size(self) -> int:
        """Tokens."""
        return sum(self.pack.lengths)


@dataclass
class SftPhase:
    """Mean negative log-likelihood per reply token of the step's rows."""

    loaded: Loaded
    settings: PhaseSettings
    layout: Layout
    rows: list[Example]
    validation: list[Example]
    items: list[list[int]] = field(init=False)
    pieces: int = field(init=False, default=1)  # into which a step's rows are divided, one for each process that shares it

    def __post_init__(self) -> None:
        self.items = _items(len(self.rows), self.settings)
        self.steps = len(self.items) // world_size()

    def work(self, item: int) -> list[Work]:
        mine, step = self.items[item], _whole(self.items, item)
        rows = [self.rows[i] for i in mine or step[:1]]
        tokens = sum(self.rows[i].parts[0].targets for i in step) / world_size()
        packs = pack_examples(rows, self.settings.pack_tokens, _most(self.settings), self.pieces)
        return [Work(pack, len(step) / world_size(), tokens, idle=not mine) for pack in packs]

    def loss(self, model: Any, work: Work) -> tuple[Tensor, dict[str, float]]:
        pack = work.pack.to(self.loaded.device)
        value = -forward_logprobs(model, pack, self.layout).sum() / max(work.tokens, 1) * (0.0 if work.idle else 1.0)
        return value, {"tokens": float(sum(pack.lengths))}

    def evaluate(self, model: Any) -> dict[str, float]:
        return {"loss": self.measure(self.validation, "validation").loss}

    def tokens(self, steps: int) -> int:
        return sum(len(self.rows[i]) for item in self.items[: steps * world_size()] for i in item)

    def measure(self, rows: Sequence[Example], source: str) -> Measurement:
        sums = pair_logprobs(self.loaded.model, rows, self.settings.pack_tokens, self.layout, self.loaded.autocast)[:, 0]
        counts = torch.tensor([row.parts[0].targets for row in rows], dtype=torch.float32)
        items = (-sums / counts).tolist()
        return Measurement(n=len(rows), source=source, loss=float(-sums.sum() / counts.sum()), items=items)


@dataclass
class DpoPhase:
    """DPO loss on the step's pairs, plus likelihood terms on chosen replies and on retain rows."""

    loaded: Loaded
    settings: DpoSettings
    layout: Layout
    pairs: list[Example]
    reference: Tensor  # (pairs, 2)
    retain: list[Example]
    validation: list[Example]
    validation_reference: Tensor
    items: list[list[int]] = field(init=False)
    pieces: int = field(init=False, default=1)  # as in `SftPhase`

    def __post_init__(self) -> None:
        self.items = _items(len(self.pairs), self.settings)
        self.steps = len(self.items) // world_size()
        keep = self.settings.retain_weight > 0
        share = max(1, self.settings.retain_batch // world_size())
        self.retained = cycle(len(self.retain) if keep else 0, share, len(self.items), self.settings.seed + 1)

    def work(self, item: int) -> list[Work]:
        mine, step, n = self.items[item], _whole(self.items, item), world_size()
        chosen = mine or step[:1]
        tokens = sum(self.pairs[i].parts[0].targets for i in step) / n
        result = []
        pairs = [self.pairs[i] for i in chosen]
        for pack in pack_examples(pairs, self.settings.pack_tokens, _most(self.settings), self.pieces):
            reference = self.reference[[chosen[row] for row in pack.rows]]
            result.append(Work(pack, len(step) / n, tokens, reference, idle=not mine))
        kept = sum(self.retain[i].parts[0].targets for i in _whole(self.retained, item)) / n
        rows = [self.retain[i] for i in self.retained[item]]
        packs = pack_examples(rows, self.settings.pack_tokens, pieces=self.pieces)
        return result + [Work(pack, len(rows), kept, retain=True) for pack in packs]

    def loss(self, model: Any, work: Work) -> tuple[Tensor, dict[str, float]]:
        pack = work.pack.to(self.loaded.device)
        logprobs = forward_logprobs(model, pack, self.layout)
        numbers = {"tokens": float(sum(pack.lengths))}
        if work.retain:
            value = -logprobs.sum() / max(work.tokens, 1)
            return self.settings.retain_weight * value, {**numbers, "retain_nll": float(value.detach())}
        assert work.reference is not None
        sums = sequence_sums(pack, logprobs).view(-1, 2)
        reference = work.reference.to(sums.device)
        parts = dpo_loss(
            sums[:, 0], sums[:, 1], reference[:, 0], reference[:, 1], self.settings.beta, self.settings.label_smoothing
        )
        loss = parts.loss.sum() / work.count * (0.0 if work.idle else 1.0)
        margins = parts.chosen_reward - parts.rejected_reward
        numbers |= {
            "dpo_loss": float(loss.detach()),
            "margin": float(margins.sum()) / work.count,
            "accuracy": float(ahead(margins).sum()) / work.count,
            "chosen_reward": float(parts.chosen_reward.sum()) / work.count,
            "rejected_reward": float(parts.rejected_reward.sum()) / work.count,
        }
        if self.settings.sft_term:
            value = -sums[:, 0].sum() / max(work.tokens, 1)
            loss = loss + self.settings.sft_term * value
            numbers["chosen_nll"] = float(value.detach())
        return loss, numbers

    def evaluate(self, model: Any) -> dict[str, float]:
        found = self.measure(self.validation, self.validation_reference, "validation")
        return {"loss": found.loss, "margin": found.margin or 0.0, "accuracy": found.accuracy or 0.0}

    def tokens(self, steps: int) -> int:
        upto = steps * world_size()
        pairs = sum(len(self.pairs[i]) for item in self.items[:upto] for i in item)
        return pairs + sum(len(self.retain[i]) for item in self.retained[:upto] for i in item)

    def measure(self, pairs: Sequence[Example], reference: Tensor, source: str) -> Measurement:
        sums = pair_logprobs(self.loaded.model, pairs, self.settings.pack_tokens, self.layout, self.loaded.autocast)
        settings = self.settings
        parts = dpo_loss(sums[:, 0], sums[:, 1], reference[:, 0], reference[:, 1], settings.beta, settings.label_smoothing)
        margins = parts.chosen_reward - parts.rejected_reward
        return Measurement(
            n=len(pairs), source=source, loss=float(parts.loss.mean()), margin=float(margins.mean()),
            accuracy=float(ahead(margins).mean()), items=margins.tolist(),
        )  # fmt: skip
