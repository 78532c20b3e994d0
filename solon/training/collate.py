"""Many sequences in one forward pass without padding: packs, and the forward passes that read them.

A pack lays sequences end to end. Three layouts read the same pack and give the same numbers:

- `segments`: one row; linear layers see no padding, and our attention (registered with transformers) computes each
  sequence on its own, so its cost is the sum of squares of the lengths and not the square of the sum;
- `positions`: one row with position ids that restart; transformers builds the block-diagonal mask from them, and
  FlashAttention its variable-length call;
- `padded`: one row per sequence, the plain way, for models that the other two don't fit.

`choose_layout` runs the real model both ways before training and takes the fastest layout that agrees with `padded`.
The head is computed only at positions that predict a trained token.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from solon.errors import ModelError
from solon.training.batches import divide
from solon.training.encode import Encoded, Example
from solon.training.losses import token_logprobs

Layout = Literal["segments", "positions", "padded"]
ATTENTION = "solon_segments"


@dataclass
class Pack:
    """Sequences end to end. T tokens, K positions that predict a trained token, S sequences.

    tokens, positions: (T,) ids and places within the own sequence. keep: (K,) indices into T whose *next* token is trained;
    targets: (K,) those tokens; owner: (K,) the sequence each belongs to. lengths: S token counts.
    rows: for each example of the pack, its index in the batch it was made from.
    """

    tokens: Tensor
    positions: Tensor
    keep: Tensor
    targets: Tensor
    owner: Tensor
    lengths: list[int]
    rows: list[int]

    def to(self, device: torch.device | str) -> Pack:
        """The pack with its tensors on `device`."""
        tokens, positions, keep = self.tokens.to(device), self.positions.to(device), self.keep.to(device)
        return Pack(tokens, positions, keep, self.targets.to(device), self.owner.to(device), self.lengths, self.rows)


def make_pack(parts: Sequence[Encoded], rows: Sequence[int] = ()) -> Pack:
    """Lay sequences end to end. A sequence's first token is never a target: nothing predicts it."""
    tokens: list[int] = []
    positions: list[int] = []
    keep: list[int] = []
    owner: list[int] = []
    for number, part in enumerate(parts):
        start = len(tokens)
        tokens += part.ids
        positions += range(len(part))
        inside = [start + i - 1 for i, trained in enumerate(part.trained) if trained and i]
        keep += inside
        owner += [number] * len(inside)
    ids = torch.tensor(tokens, dtype=torch.long)
    kept = torch.tensor(keep, dtype=torch.long)
    return Pack(
        ids, torch.tensor(positions), kept, ids[kept + 1], torch.tensor(owner, dtype=torch.long),
        [len(part) for part in parts], list(rows),
    )  # fmt: skip


def plan_packs(lengths: Sequence[int], budget: int, most: int | None = None) -> list[list[int]]:
    """Put items into packs of at most `budget` tokens (an item larger than that gets its own), at most `most` each.

    First-fit decreasing: deterministic, and never more than 11/9 of the optimum plus one pack (Johnson 1973).
    """
    packs: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        for number, space in enumerate(room):
            if lengths[index] <= space and (most is None or len(packs[number]) < most):
                packs[number].append(index)
                room[number] -= lengths[index]
                break
        else:
            packs.append([index])
            room.append(budget - lengths[index])
    return packs


def pack_examples(examples: Sequence[Example], budget: int, most: int | None = None, pieces: int = 1) -> list[Pack]:
    """Pack examples; the parts of one example (a pair's chosen and rejected) always share a pack, in order.

    `pieces`: divide the examples into so many of about equal length first, so that as many processes have work.
    """
    result = []
    for piece in divide([len(e) for e in examples], pieces):
        for places in plan_packs([len(examples[i]) for i in piece], budget, most):
            group = [piece[place] for place in places]
            result.append(make_pack([part for index in group for part in examples[index].parts], group))
    return result


@dataclass(frozen=True)
class Segments:
    """How to lift a pack's tokens into rows of similar length, and back.

    grids: index tensors (sequences, longest) into the pack, padded with the sequence's last token, longest group first;
    back: (T,) for each token of the pack, where it stands in the grids laid end to end.
    """

    grids: tuple[Tensor, ...]
    back: Tensor


def segments(lengths: Sequence[int], device: torch.device | str = "cpu") -> Segments:
    """Group sequences by the next power of two, so that padding inside attention never doubles a row."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(max(length - 1, 1).bit_length(), []).append(index)
    grids = []
    back = torch.zeros(starts[-1], dtype=torch.long)
    offset = 0
    for _, members in sorted(groups.items(), reverse=True):
        longest = max(lengths[i] for i in members)
        place = torch.arange(longest)
        start = torch.tensor([starts[i] for i in members])[:, None]
        last = torch.tensor([lengths[i] - 1 for i in members])[:, None]
        real = place[None, :] <= last
        grid = start + torch.minimum(place[None, :], last)
        back[grid[real]] = offset + torch.arange(grid.numel()).view_as(grid)[real]
        offset += grid.numel()
        grids.append(grid.to(device))
    return Segments(tuple(grids), back.to(device))


def segment_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    solon_segments: Segments | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each sequence of a pack; (1, heads, T, width) in, (1, T, heads, width) out.

    Padding stands at the end of a row, where causality already hides it from every real token; so no mask is needed
    and the fused kernels apply.
    """
    if solon_segments is None:
        raise ModelError("packed attention: the model did not pass the pack's segments to its attention layers")
    unusual = [name for name in ("softcap", "position_bias", "s_aux") if kwargs.get(name) is not None]
    window = kwargs.get("sliding_window")
    if unusual or (window and any(grid.shape[1] > window for grid in solon_segments.grids)):
        raise ModelError(f"packed attention: not for attention with {', '.join(unusual) or 'a sliding window'}")
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = (t.repeat_interleave(groups, dim=1) for t in (key, value))
    flat = [t[0].transpose(0, 1) for t in (query, key, value)]
    pieces = []
    for grid in solon_segments.grids:
        q, k, v = (t[grid].transpose(1, 2) for t in flat)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True, scale=scaling)
        pieces.append(out.transpose(1, 2).flatten(0, 1))
    return torch.cat(pieces)[solon_segments.back].unsqueeze(0), None


def register_attention() -> None:
    """Make `segment_attention` known to transformers under the name `solon_segments`."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, segment_attention)


@contextmanager
def attention_for(model: Any, layout: Layout) -> Iterator[None]:
    """Within the block the model's attention is that of `layout`; afterwards it is what it was before.

    Only `segments` changes it. A gate's probe generates and reads padded batches, so it runs inside `attention_for(model,
    "padded")`, which restores the implementation that the model was loaded with.
    """
    inner = base_model(model)
    present = inner.config._attn_implementation
    if present != ATTENTION:
        inner.solon_attention = present  # on the module, not in its configuration, which gets written to disk
    if layout == "segments":
        register_attention()
    inner.config._attn_implementation = ATTENTION if layout == "segments" else inner.solon_attention
    try:
        yield
    finally:
        inner.config._attn_implementation = present


def base_model(model: Any) -> Any:
    """The transformers model inside its wrappers (DistributedDataParallel, PEFT)."""
    inner = getattr(model, "module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def _keeps_logits(model: Any) -> bool:
    return "logits_to_keep" in inspect.signature(base_model(model).forward).parameters


def forward_logprobs(model: Any, pack: Pack, layout: Layout) -> Tensor:
    """log p of each trained token of the pack, shape (K,), float32; differentiable."""
    if layout == "padded":
        return _forward_padded(model, pack)
    extra: dict[str, Any] = {}
    if layout == "segments":
        extra["solon_segments"] = segments(pack.lengths, pack.tokens.device)
    keeps = _keeps_logits(model)
    if keeps:
        extra["logits_to_keep"] = pack.keep
    logits = model(input_ids=pack.tokens[None], position_ids=pack.positions[None], use_cache=False, **extra).logits[0]
    return token_logprobs(logits if keeps else logits[pack.keep], pack.targets)


def _forward_padded(model: Any, pack: Pack) -> Tensor:
    longest, count = max(pack.lengths), len(pack.lengths)
    device = pack.tokens.device
    mask = torch.arange(longest, device=device)[None, :] < torch.tensor(pack.lengths, device=device)[:, None]
    ids = torch.zeros(count, longest, dtype=torch.long, device=device)
    ids[mask] = pack.tokens
    flat = torch.arange(count * longest, device=device).view(count, longest)[mask]
    logits = model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits
    return token_logprobs(logits.flatten(0, 1)[flat[pack.keep]], pack.targets)


def sequence_sums(pack: Pack, logprobs: Tensor) -> Tensor:
    """Per-sequence sums of token log-probabilities, shape (S,)."""
    zeros = torch.zeros(len(pack.lengths), dtype=logprobs.dtype, device=logprobs.device)
    return zeros.index_add(0, pack.owner, logprobs)


@torch.no_grad()
def layout_difference(model: Any, layout: Layout, samples: Sequence[Encoded]) -> float:
    """The largest difference in log-probability (nats) of any trained token between `layout` and `padded`."""
    device = next(model.parameters()).device
    pack = make_pack(samples).to(device)
    training = model.training
    model.eval()
    try:
        with attention_for(model, "padded"):
            padded = forward_logprobs(model, pack, "padded")
        with attention_for(model, layout):
            packed = forward_logprobs(model, pack, layout)
    finally:
        model.train(training)
    return float((padded - packed).abs().max())


def choose_layout(model: Any, samples: Sequence[Encoded], packing: str, tolerance: float) -> tuple[Layout, str]:
    """The fastest layout that agrees with `padded` on a few sequences of the data, and why.

    Raises:
        ModelError: `packing` is `on` and neither packed layout agrees.
    """
    if packing == "off":
        return "padded", "packing is off"
    flash = "flash" in str(base_model(model).config._attn_implementation)
    reasons = []
    for layout in ("positions", "segments") if flash else ("segments", "positions"):
        try:
            difference = layout_difference(model, layout, samples)  # type: ignore[arg-type]
        except (ModelError, TypeError, ValueError, RuntimeError, KeyError) as error:
            reasons.append(f"{layout}: {type(error).__name__}: {str(error)[:120]}")
            continue
        if difference <= tolerance:
            return layout, f"{layout}: packed and padded agree to {difference:.1e}"  # type: ignore[return-value]
        reasons.append(f"{layout}: packed and padded differ by {difference:.1e} (allowed {tolerance:.0e})")
    if packing == "on":
        raise ModelError(f"packing: this model can't be packed exactly ({'; '.join(reasons)})", mend="set packing: auto or off")
    return "padded", "; ".join(reasons)
