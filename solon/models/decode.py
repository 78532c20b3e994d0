"""Decoding of one batch: each row draws from its own generator, and rows that are done leave the batch.

A written-out loop instead of `generate`: rows have their own temperature, nucleus, seed and length, finished rows cost
nothing, and keys and values are written into buffers with room ahead instead of being copied at every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

ROOM = 64  # positions that a buffer gains when it is full
CHECK_EVERY = {"cpu": 1}  # steps between looks at which rows are done; elsewhere a look stalls the device
CHECK_ELSEWHERE = 8


@dataclass(frozen=True)
class Row:
    """One prompt to continue. `prompt` holds token ids; `temperature` 0 is greedy."""

    prompt: list[int]
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


class BufferedLayer(DynamicLayer):
    """Keys and values [rows, heads, positions, width] in a buffer that grows by `ROOM` positions."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.key_buffer, self.value_buffer = key_states[:, :, :0], value_states[:, :, :0]
        if end > self.key_buffer.shape[-2]:
            self.key_buffer = _grown(self.key_buffer, start, end + ROOM)
            self.value_buffer = _grown(self.value_buffer, start, end + ROOM)
        self.key_buffer[:, :, start:end] = key_states
        self.value_buffer[:, :, start:end] = value_states
        return self._show(end)

    def _show(self, end: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = self.key_buffer[:, :, :end], self.value_buffer[:, :, :end]
        self.keys, self.values = keys, values
        return keys, values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self.get_seq_length() > 0:
            end = self.get_seq_length()
            self.key_buffer, self.value_buffer = self.key_buffer[indices], self.value_buffer[indices]
            self._show(end)


def _grown(buffer: torch.Tensor, used: int, size: int) -> torch.Tensor:
    rows, heads, _, width = buffer.shape
    larger = buffer.new_empty((rows, heads, size, width))
    larger[:, :, :used] = buffer[:, :, :used]
    return larger


def new_cache(config: Any) -> DynamicCache:
    """A cache for the architecture, with buffers for its full-attention layers."""
    cache = DynamicCache(config=config)
    cache.layers = [BufferedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class Draw:
    """Draws one token per row and step. A row's draws depend on its seed alone.

    Each row's generator gives one uniform number per step; the token is where it falls in the cumulative distribution.
    """

    def __init__(self, rows: list[Row], steps: int, device: torch.device) -> None:
        uniform = torch.zeros(len(rows), steps)
        for at, row in enumerate(rows):
            if row.temperature > 0:
                uniform[at, : row.max_new_tokens] = torch.rand(
                    row.max_new_tokens, generator=torch.Generator().manual_seed(row.seed)
                )
        self.uniform = uniform.to(device)
        self.temperature = torch.tensor([row.temperature for row in rows], device=device)[:, None]
        # 2 = no nucleus: a bound of exactly 1 could cut the tail by rounding.
        self.top_p = torch.tensor([row.top_p if row.top_p < 1 else 2.0 for row in rows], device=device)[:, None]
        self._survey()

    def _survey(self) -> None:
        self.sampled = bool((self.temperature > 0).any())
        self.greedy = bool((self.temperature == 0).any())
        self.nucleus = bool((self.top_p < 1).any())

    def keep(self, rows: torch.Tensor) -> None:
        self.uniform, self.temperature, self.top_p = self.uniform[rows], self.temperature[rows], self.top_p[rows]
        self._survey()

    def __call__(self, logits: torch.Tensor, step: int) -> torch.Tensor:
        """Token ids [rows] from logits [rows, vocabulary]."""
        if not self.sampled:
            return logits.argmax(-1)
        drawn = self._sample(logits.float() / self.temperature.clamp_min(1e-6), self.uniform[:, step, None])
        return torch.where(self.temperature[:, 0] > 0, drawn, logits.argmax(-1)) if self.greedy else drawn

    def _sample(self, scaled: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        probabilities = scaled.softmax(-1)
        if not self.nucleus:
            return _invert(probabilities, uniform)
        ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        kept = ordered.masked_fill(before >= self.top_p, 0.0)  # the smallest set whose mass reaches top_p
        return index.gather(-1, _invert(kept, uniform)[:, None])[:, 0]


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The index where `uniform` of the total weight is passed; never an index of weight 0."""
    wide = torch.float32 if weights.device.type == "mps" else torch.float64
    cumulative = weights.cumsum(-1, dtype=wide)
    at = torch.searchsorted(cumulative, uniform.to(wide) * cumulative[:, -1:], right=True)
    return at[:, 0].clamp_max(weights.shape[-1] - 1)


@dataclass
class _Batch:
    """The rows still decoded: `place` is each one's number in the batch as it was given."""

    place: torch.Tensor
    mask: torch.Tensor
    position: torch.Tensor
    budget: torch.Tensor
    done: torch.Tensor
    width: int

    def keep(self, rows: torch.Tensor) -> None:
        self.place, self.mask, self.position = self.place[rows], self.mask[rows], self.position[rows]
        self.budget, self.done = self.budget[rows], self.done[rows]


def pad_left(prompts: list[list[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [rows, longest], prompts at the right edge."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for at, prompt in enumerate(prompts):
        ids[at, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[at, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()  # not inference_mode: a gate may borrow a model that is being trained
def decode(model: Any, rows: list[Row], *, stop_ids: frozenset[int], pad: int) -> list[list[int]]:
    """Continue every row until a stop token (kept as its last token) or its `max_new_tokens`.

    Args:
        model: a causal language model of transformers, in evaluation mode.

    Returns: new token ids of each row, in the order of `rows`.
    """
    device = model.device
    steps = max(row.max_new_tokens for row in rows)
    ids, mask = pad_left([row.prompt for row in rows], pad, device)
    draw, cache = Draw(rows, steps, device), new_cache(model.config)
    stops = torch.tensor(sorted(stop_ids) or [-1], device=device)
    written = torch.full((len(rows), steps), -1, dtype=torch.long, device=device)
    batch = _Batch(
        place=torch.arange(len(rows), device=device), mask=torch.cat([mask, mask.new_ones(len(rows), steps)], dim=1),
        position=mask.sum(1, keepdim=True) - 1, budget=torch.tensor([row.max_new_tokens for row in rows], device=device),
        done=torch.zeros(len(rows), dtype=torch.bool, device=device), width=ids.shape[1],
    )  # fmt: skip
    positions = (mask.cumsum(1) - 1).clamp_min(0)
    logits = _forward(model, ids, mask, positions, cache)
    for step in range(steps):
        token = draw(logits, step)
        written[batch.place, step] = torch.where(batch.done, -1, token)
        batch.done |= torch.isin(token, stops) | (batch.budget <= step + 1)
        if (step + 1) % CHECK_EVERY.get(device.type, CHECK_ELSEWHERE) == 0 or step + 1 == steps:
            token = _drop_done(batch, draw, cache, token)
            if not len(token):
                break
        batch.position = batch.position + 1
        logits = _forward(model, token[:, None], batch.mask[:, : batch.width + step + 1], batch.position, cache)
    return [[token for token in row if token >= 0] for row in written.tolist()]


def _drop_done(batch: _Batch, draw: Draw, cache: DynamicCache, token: torch.Tensor) -> torch.Tensor:
    """Take finished rows out, once they are an eighth of the batch: taking them out copies the cache."""
    done = int(batch.done.sum())
    if done == len(token):
        return token[:0]
    if done * 8 < len(token) or not all(hasattr(layer, "batch_select_indices") for layer in cache.layers):
        return token
    rows = (~batch.done).nonzero()[:, 0]
    batch.keep(rows)
    draw.keep(rows)
    cache.batch_select_indices(rows)
    return token[rows]


def _forward(model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """Logits [rows, vocabulary] at the last position."""
    out = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    return out.logits[:, -1]
