"""Decoding with a fixed number of slots: each row draws from its own generator, and a row that is done makes room for the next.

A written-out loop instead of `generate`: rows have their own temperature, nucleus, seed and length, finished rows cost nothing,
and keys and values are written into buffers with room ahead instead of being copied at every step. With the same rows in the
same order, the same steps are taken: on a CPU with a fixed number of threads the result is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from solon.models.base import Progress

ROOM = 64  # positions that a buffer gains when it is full
SHARE = 8  # rows are taken out and let in when an eighth of the slots is concerned: both copy the cache
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

    def join(self, other: BufferedLayer, drop: int) -> None:
        """Append the rows of `other`, ends aligned, after forgetting the first `drop` positions of this layer."""
        ours, theirs = self.get_seq_length(), other.get_seq_length()
        self.key_buffer = _joined(self.key_buffer[:, :, drop:ours], other.key_buffer[:, :, :theirs])
        self.value_buffer = _joined(self.value_buffer[:, :, drop:ours], other.value_buffer[:, :, :theirs])
        self._show(max(ours - drop, theirs))


def _grown(buffer: torch.Tensor, used: int, size: int) -> torch.Tensor:
    rows, heads, _, width = buffer.shape
    larger = buffer.new_empty((rows, heads, size, width))
    larger[:, :, :used] = buffer[:, :, :used]
    return larger


def _joined(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """One buffer with both sets of rows, ends aligned."""
    used = max(ours.shape[-2], theirs.shape[-2])
    buffer = ours.new_empty((len(ours) + len(theirs), ours.shape[1], used + ROOM, ours.shape[-1]))
    for part, rows in ((ours, buffer[: len(ours)]), (theirs, buffer[len(ours) :])):
        start = used - part.shape[-2]
        rows[:, :, :start] = 0  # masked, but 0 x garbage may be NaN
        rows[:, :, start:used] = part
    return buffer


def new_cache(config: Any) -> DynamicCache:
    """A cache for the architecture, with buffers for its full-attention layers."""
    cache = DynamicCache(config=config)
    cache.layers = [BufferedLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class Draw:
    """Draws one token per row. A row's draws depend on its seed alone.

    Each row's generator gives one uniform number per step; the token is where it falls in the cumulative distribution.
    """

    def __init__(self, rows: Sequence[Row], device: torch.device) -> None:
        uniform = torch.zeros(len(rows), max(row.max_new_tokens for row in rows) + CHECK_ELSEWHERE)
        for at, row in enumerate(rows):
            if row.temperature > 0:
                generator = torch.Generator().manual_seed(row.seed)
                uniform[at, : row.max_new_tokens] = torch.rand(row.max_new_tokens, generator=generator)
        self.uniform = uniform.to(device)
        self.temperature = torch.tensor([row.temperature for row in rows], device=device)
        # 2 = no nucleus: a bound of exactly 1 could cut the tail by rounding.
        self.top_p = torch.tensor([row.top_p if row.top_p < 1 else 2.0 for row in rows], device=device)
        self.sampled = any(row.temperature > 0 for row in rows)
        self.greedy = any(row.temperature == 0 for row in rows)
        self.nucleus = any(row.top_p < 1 and row.temperature > 0 for row in rows)

    def __call__(self, logits: torch.Tensor, place: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """Token ids [n] from logits [n, vocabulary], for the rows numbered `place` [n], each at its own `step` [n]."""
        if not self.sampled:
            return logits.argmax(-1)
        temperature = self.temperature[place]
        scaled = logits.float() / temperature.clamp_min(1e-6)[:, None]
        drawn = self._sample(scaled, self.uniform[place, step][:, None], self.top_p[place][:, None])
        return torch.where(temperature > 0, drawn, logits.argmax(-1)) if self.greedy else drawn

    def _sample(self, scaled: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
        probabilities = scaled.softmax(-1)
        if not self.nucleus:
            return _invert(probabilities, uniform)
        ordered, index = probabilities.sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        kept = ordered.masked_fill(before >= top_p, 0.0)  # the smallest set whose mass reaches top_p
        return index.gather(-1, _invert(kept, uniform)[:, None])[:, 0]


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The index where `uniform` of the total weight is passed; never an index of weight 0."""
    wide = torch.float32 if weights.device.type == "mps" else torch.float64
    cumulative = weights.cumsum(-1, dtype=wide)
    at = torch.searchsorted(cumulative, uniform.to(wide) * cumulative[:, -1:], right=True)
    return at[:, 0].clamp_max(weights.shape[-1] - 1)


def pad_left(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [rows, longest], prompts at the right edge."""
    width = max(len(prompt) for prompt in prompts)
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros((len(prompts), width), dtype=torch.long)
    for at, prompt in enumerate(prompts):
        ids[at, width - len(prompt) :] = torch.tensor(prompt, dtype=torch.long)
        mask[at, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()  # not inference_mode: a gate may borrow a model that is being trained
def decode(
    model: Any, rows: Sequence[Row], *, stop_ids: frozenset[int], pad: int, slots: int = 64, progress: Progress | None = None
) -> list[list[int]]:
    """Continue every row until a stop token (kept as its last token) or its `max_new_tokens`.

    Args:
        model: a causal language model of transformers, in evaluation mode.
        slots: rows decoded together.

    Returns: new token ids of each row, in the order of `rows`.
    """
    work = _Slots(model, rows, stop_ids, pad)
    waiting = list(range(len(rows)))
    while waiting or work.taken:
        room = slots - work.taken
        if waiting and (not work.taken or (work.joinable and room * SHARE >= slots)):
            work.admit(waiting[:room])
            del waiting[:room]
        work.draw_tokens()
        if work.steps % CHECK_EVERY.get(model.device.type, CHECK_ELSEWHERE) == 0:
            work.drop_done(progress)
        if work.taken:
            work.forward()
    return work.replies()


class _Slots:
    """The rows being decoded. `place` is a row's number in the order given, `count` how many tokens it has by now."""

    def __init__(self, model: Any, rows: Sequence[Row], stop_ids: frozenset[int], pad: int) -> None:
        self.model, self.rows, self.pad, self.device = model, rows, pad, model.device
        self.draw = Draw(rows, self.device)
        self.stops = torch.tensor(sorted(stop_ids) or [-1], device=self.device)
        self.budget = torch.tensor([row.max_new_tokens for row in rows], device=self.device)
        self.written = torch.full_like(self.draw.uniform, -1, dtype=torch.long)
        self.cache = new_cache(model.config)
        self.joinable = all(isinstance(layer, BufferedLayer) for layer in self.cache.layers)
        self.droppable = all(hasattr(layer, "batch_select_indices") for layer in self.cache.layers)
        self.taken = self.steps = 0
        self._clear()

    def _clear(self) -> None:
        empty = torch.zeros(0, dtype=torch.long, device=self.device)
        self.place = self.count = self.position = self.token = empty
        self.done, self.mask, self.logits = empty.bool(), empty.reshape(0, 0), empty.float().reshape(0, 0)

    def admit(self, numbers: list[int]) -> None:
        """Run the prompts of these rows and let them in beside the others, all ends aligned."""
        ids, mask = pad_left([self.rows[number].prompt for number in numbers], self.pad, self.device)
        cache = new_cache(self.model.config)
        logits = _forward(self.model, ids, mask, (mask.cumsum(1) - 1).clamp_min(0), cache)
        if self.taken:
            self._join(cache, mask)
            logits = torch.cat([self.logits, logits])
        else:
            self.cache, self.mask = cache, mask
        place = torch.tensor(numbers, device=self.device)
        self.place, self.count = torch.cat([self.place, place]), torch.cat([self.count, torch.zeros_like(place)])
        self.position = torch.cat([self.position, mask.sum(1) - 1])
        self.done = torch.cat([self.done, torch.zeros_like(place, dtype=torch.bool)])
        self.logits, self.taken = logits, self.taken + len(numbers)

    def _join(self, cache: DynamicCache, mask: torch.Tensor) -> None:
        drop = int(self.mask.argmax(1).min())  # positions that no remaining row uses any more
        ours = self.mask[:, drop:]
        width = max(ours.shape[1], mask.shape[1])
        self.mask = torch.cat([torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in (ours, mask)])
        for layer, other in zip(self.cache.layers, cache.layers, strict=True):
            assert isinstance(layer, BufferedLayer) and isinstance(other, BufferedLayer)  # `joinable`
            layer.join(other, drop)

    def draw_tokens(self) -> None:
        """One token for every row; rows that are done write nothing."""
        self.token = self.draw(self.logits, self.place, self.count)
        self.written[self.place, self.count] = torch.where(self.done, -1, self.token)
        self.count = self.count + (~self.done).long()
        self.done = self.done | torch.isin(self.token, self.stops) | (self.count >= self.budget[self.place])
        self.steps += 1

    def drop_done(self, progress: Progress | None) -> None:
        """Take finished rows out, once they are enough to be worth it."""
        done = int(self.done.sum())
        if done < self.taken and (not self.droppable or done * SHARE < self.taken):
            return
        if progress:
            progress(done, int(self.count[self.done].sum()))
        self.taken -= done
        if not self.taken:
            self._clear()
            return
        rows = (~self.done).nonzero()[:, 0]
        self.place, self.count, self.position, self.token = (x[rows] for x in (self.place, self.count, self.position, self.token))
        self.done, self.mask = self.done[rows], self.mask[rows]
        self.cache.batch_select_indices(rows)

    def forward(self) -> None:
        """Logits of what follows the tokens just drawn."""
        self.position = self.position + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.taken, 1)], dim=1)
        self.logits = _forward(self.model, self.token[:, None], self.mask, self.position[:, None], self.cache)

    def replies(self) -> list[list[int]]:
        return [[token for token in row if token >= 0] for row in self.written.tolist()]


def _forward(model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """Logits [rows, vocabulary] at the last position."""
    out = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    return out.logits[:, -1]
