"""The reference model's log-probabilities: the base with its adapter off, computed once and kept on disk.

There is never a second model in memory. The file's name is a hash of base, template, data and precision; when it is read,
a few pairs are computed again, and a file that disagrees is thrown away.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solon.models.base import content_hash
from solon.models.shares import in_shares, shares_for
from solon.training.callbacks import write_atomically
from solon.training.collate import Layout, attention_for, forward_logprobs, pack_examples, sequence_sums
from solon.training.encode import Example, data_hash
from solon.training.loop import evaluating

SPOT_CHECKS = 4
# nats over a whole reply; bfloat16 kernels differ between batch shapes
TOLERANCE = {False: 1e-3, True: 0.5}


@torch.no_grad()
def pair_logprobs(model: Any, examples: Sequence[Example], budget: int, layout: Layout, autocast: Any) -> Tensor:
    """(pairs, parts) sums of reply log-probabilities in nats, on the CPU, without dropout."""
    parts = len(examples[0].parts) if examples else 2
    device = next(model.parameters()).device
    count = shares_for(model, len(examples))
    packs = pack_examples(examples, budget, pieces=count)

    def share(at: int, told: Any = None) -> list[tuple[list[int], list[list[float]]]]:
        """(rows, their sums) of every so many packs."""
        found = []
        for pack in packs[at::count]:
            here = pack.to(device)
            with autocast():
                values = sequence_sums(here, forward_logprobs(model, here, layout))
            found.append((pack.rows, values.float().cpu().view(-1, parts).tolist()))
        return found

    sums = torch.zeros(len(examples), parts, dtype=torch.float32)
    with attention_for(model, layout), evaluating(model):
        for found in in_shares(share, count) if count > 1 else [share(0)]:
            for rows, values in found:
                sums[rows] = torch.tensor(values, dtype=torch.float32)
    return sums


def adapter_off(model: Any) -> Any:
    """Within the block the model is its own base (a model without adapters is that already)."""
    return model.disable_adapter() if hasattr(model, "disable_adapter") else nullcontext()


def reference_logprobs(loaded: Any, examples: Sequence[Example], budget: int, layout: Layout, folder: Path) -> tuple[Tensor, str]:
    """(pairs, 2) log-probabilities of chosen and rejected under the reference, and a note on where they came from.

    For a model without adapters call this before the first update: the reference is then the starting model.
    """
    key = content_hash([loaded.identity, "adapter off", str(loaded.tokenizer.chat_template), data_hash(examples), loaded.bf16, 1])
    path = folder / f"{key[:32]}.json"

    def compute(chosen: Sequence[Example]) -> Tensor:
        with adapter_off(loaded.model):
            return pair_logprobs(loaded.model, chosen, budget, layout, loaded.autocast)

    note = "computed"
    if path.exists():
        stored = _read(path, len(examples))
        if stored is not None and _agrees(stored, examples, compute, TOLERANCE[loaded.bf16]):
            return stored, f"reference log-probabilities: read from {path.name}, {min(SPOT_CHECKS, len(examples))} pairs checked"
        note = "computed again: the stored file did not agree"
    values = compute(examples)
    write_atomically(path, json.dumps({"key": key, "values": values.tolist()}))
    return values, f"reference log-probabilities: {note} for {len(examples)} pairs"


def _read(path: Path, pairs: int) -> Tensor | None:
    try:
        values = torch.tensor(json.loads(path.read_text(encoding="utf-8"))["values"], dtype=torch.float32)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return values if values.shape == (pairs, 2) and bool(torch.isfinite(values).all()) else None


def _agrees(stored: Tensor, examples: Sequence[Example], compute: Any, tolerance: float) -> bool:
    """Spot check: pairs spread over the data set, computed again."""
    places = sorted({round(i * (len(examples) - 1) / max(SPOT_CHECKS - 1, 1)) for i in range(SPOT_CHECKS)})
    fresh = compute([examples[i] for i in places])
    return bool((fresh - stored[places]).abs().max() <= tolerance)
