"""Decoding with a fixed number of slots: each row draws from its own generator, and a row that is done makes room for the next.

A written-out loop instead of `generate`: rows have their own temperature, nucleus, seed and length, finished rows cost nothing,
and keys and values are written into buffers with room ahead instead of being copied at every step. With the same rows in the
same order, the same steps are taken: on a CPU with a fixed number of threads the result is the same to the bit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from solon.models.base import Progress

ROOM = 64  # positions that a buffer gains when it is full
SHARE = 8  # rows are taken out and let in when an eighth of the slots is concerned: both copy the cache
AT_ONCE = 4096  # tokens of prompts that a CPU runs together: what passes between layers then stays in its caches
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
    """Keys and values [rows, heads, positions, width] in a buffer that grows by `ROOM` positions.

    Positions `first` to `end` of the buffer are in use. Rows can be replaced by others in place.
    """

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.key_buffer, self.value_buffer = key_states[:, :, :0], value_states[:, :, :0]
        self.first = self.end = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        gain = key_states.shape[-2]
        if self.end + gain > self.key_buffer.shape[-2]:
            self._move(room=gain + ROOM)
        self.key_buffer[:, :, self.end : self.end + gain] = key_states
        self.value_buffer[:, :, self.end : self.end + gain] = value_states
        self.end += gain
        return self._show()

    def _show(self) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (buffer[:, :, self.first : self.end] for buffer in (self.key_buffer, self.value_buffer))
        self.keys, self.values = keys, values
        return keys, values

    def _move(self, *, before: int = 0, room: int) -> None:
        """Into larger buffers, with `before` zeros at the left and `room` positions to spare at the right."""
        used = self.end - self.first
        for name in ("key_buffer", "value_buffer"):
            old = getattr(self, name)
            new = old.new_empty((*old.shape[:2], before + used + room, old.shape[3]))
            new[:, :, :before] = 0  # masked, but 0 x garbage may be NaN
            new[:, :, before : before + used] = old[:, :, self.first : self.end]
            setattr(self, name, new)
        self.first, self.end = 0, before + used

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        if self.is_initialized:
            self.key_buffer, self.value_buffer = self.key_buffer[indices], self.value_buffer[indices]
            self._show()

    def join(self, others: Sequence[BufferedLayer]) -> None:
        """Put the rows of `others`, of the same length, below its own."""
        for name in ("key_buffer", "value_buffer"):
            setattr(self, name, torch.cat([getattr(layer, name) for layer in (self, *others)]))
        self._show()

    def forget(self, positions: int) -> None:
        """Leave the first `positions` out from now on."""
        self.first += positions
        self._show()

    def replace(self, rows: torch.Tensor, other: BufferedLayer) -> None:
        """Put the rows of `other` in the place of `rows`, ends aligned. What lies before their start must be masked."""
        theirs = other.get_seq_length()
        if theirs > self.end - self.first:
            self._move(before=theirs - (self.end - self.first), room=ROOM)
        self.key_buffer[rows, :, self.end - theirs : self.end] = other.key_buffer[:, :, :theirs]
        self.value_buffer[rows, :, self.end - theirs : self.end] = other.value_buffer[:, :, :theirs]
        self._show()


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
        if not work.taken:
            work.admit(waiting[:slots])
            del waiting[:slots]
        work.draw_tokens()
        if work.steps % CHECK_EVERY.get(model.device.type, CHECK_ELSEWHERE):
            work.forward()
            continue
        done = int(work.done.sum())
        if waiting and work.replaceable and done * SHARE >= work.taken > done:
            work.forward()
            work.replace(waiting[:done], progress)
            del waiting[:done]
        else:
            work.drop_done(done, progress)
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
        self.replaceable = all(isinstance(layer, BufferedLayer) for layer in self.cache.layers)
        self.droppable = all(hasattr(layer, "batch_select_indices") for layer in self.cache.layers)
        self.steps = 0
        self._clear()

    def _clear(self) -> None:
        empty = torch.zeros(0, dtype=torch.long, device=self.device)
        self.place = self.count = self.position = self.token = empty
        self.done = empty.bool()

    @property
    def taken(self) -> int:
        return len(self.place)

    def _prompts(self, numbers: list[int]) -> tuple[torch.Tensor, DynamicCache, torch.Tensor]:
        """Run the prompts of these rows: (mask, cache, logits at the last position). On a CPU in parts that its caches hold."""
        ids, mask = pad_left([self.rows[number].prompt for number in numbers], self.pad, self.device)
        positions = (mask.cumsum(1) - 1).clamp_min(0)
        most = max(1, AT_ONCE // ids.shape[1]) if self.replaceable and self.device.type == "cpu" else len(ids)
        parts = [slice(at, at + most) for at in range(0, len(ids), most)]
        caches = [new_cache(self.model.config) for _ in parts]
        logits = [
            _forward(self.model, ids[part], mask[part], positions[part], cache) for part, cache in zip(parts, caches, strict=True)
        ]
        if len(caches) > 1:
            for layers in zip(*(cache.layers for cache in caches), strict=True):
                layers[0].join(layers[1:])
        return mask, caches[0], torch.cat(logits)

    def admit(self, numbers: list[int]) -> None:
        """Fill empty slots with these rows."""
        self.mask, self.cache, self.logits = self._prompts(numbers)
        self.place = torch.tensor(numbers, device=self.device)
        self.count, self.done = torch.zeros_like(self.place), torch.zeros_like(self.place, dtype=torch.bool)
        self.position = self.mask.sum(1) - 1

    def replace(self, numbers: list[int], progress: Progress | None) -> None:
        """Put these rows in the place of as many finished ones."""
        out = self.done.nonzero()[: len(numbers), 0]
        if progress:
            progress(len(numbers), int(self.count[out].sum()))
        mask, cache, self.logits[out] = self._prompts(numbers)
        for layer, other in zip(self.cache.layers, cache.layers, strict=True):
            assert isinstance(layer, BufferedLayer) and isinstance(other, BufferedLayer)  # `replaceable`
            layer.replace(out, other)
        width = max(self.mask.shape[1], mask.shape[1])
        self.mask, theirs = (torch.nn.functional.pad(part, (width - part.shape[1], 0)) for part in (self.mask, mask))
        self.mask[out] = theirs
        self._forget_unused()
        self.place[out] = torch.tensor(numbers, device=self.device)
        self.count[out], self.done[out], self.position[out] = 0, False, mask.sum(1) - 1

    def _forget_unused(self) -> None:
        """Leave out the positions that no row uses any more."""
        unused = int(self.mask.argmax(1).min())
        if unused:
            self.mask = self.mask[:, unused:]
            for layer in self.cache.layers:
                assert isinstance(layer, BufferedLayer)
                layer.forget(unused)

    def draw_tokens(self) -> None:
        """One token for every row; rows that are done write nothing."""
        self.token = self.draw(self.logits, self.place, self.count)
        self.written[self.place, self.count] = torch.where(self.done, -1, self.token)
        self.count = self.count + (~self.done).long()
        self.done = self.done | torch.isin(self.token, self.stops) | (self.count >= self.budget[self.place])
        self.steps += 1

    def drop_done(self, done: int, progress: Progress | None) -> None:
        """Take the finished rows, `done` in number, out, once they are enough to be worth it."""
        if done < self.taken and (not self.droppable or done * SHARE < self.taken):
            return
        if progress and done:
            progress(done, int(self.count[self.done].sum()))
        if done == self.taken:
            self._clear()
            return
        rows = (~self.done).nonzero()[:, 0]
        self.place, self.count, self.position, self.token = (x[rows] for x in (self.place, self.count, self.position, self.token))
        self.done, self.mask = self.done[rows], self.mask[rows]
        self.cache.batch_select_indices(rows)

    def forward(self) -> None:
        """Logits of what follows the tokens just drawn."""
        if not self.taken:
            return
        self.position = self.position + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(self.taken, 1)], dim=1)
        self.logits = _forward(self.model, self.token[:, None], self.mask, self.position[:, None], self.cache)

    def replies(self) -> list[list[int]]:
        return [[token for token in row if token >= 0] for row in self.written.tolist()]


def _forward(model: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: DynamicCache) -> torch.Tensor:
    """Logits [rows, vocabulary] at the last position."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    kept = {_cache_argument(type(inner).forward): cache}
    out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1, **kept)
    return out.logits[:, -1]


@lru_cache(maxsize=32)
def _cache_argument(forward: Callable[..., Any]) -> str:
    """What a model class calls its cache: `cache` since transformers 5.24, `past_key_values` before and in a model's own code."""
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"
