"""Differences between two checkpoints, from their manifests and, for the numbers, only the chunks that differ."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from solon.checkpoints.manifest import Entry, Manifest
from solon.checkpoints.packs import ChunkReader
from solon.checkpoints.tensors import DTYPES, Bytes


@dataclass(frozen=True)
class TensorDiff:
    """One tensor that differs. `l2`: norm of the difference; `relative`: l2 over the norm of `a`'s tensor; `largest` |b - a|;
    `cosine` of the angle between both; `fraction`: share of elements that differ. Numbers are None for another shape or dtype,
    and NaN where NaN or Inf take part."""

    name: str
    aliases: tuple[str, ...] = ()
    change: str = "values"
    l2: float | None = None
    relative: float | None = None
    largest: float | None = None
    cosine: float | None = None
    fraction: float | None = None


@dataclass(frozen=True)
class Diff:
    """`changed` by canonical name; `added` and `removed` names (in b, in a only); ties that came or went; flags."""

    a: str
    b: str
    changed: list[TensorDiff] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    tied: list[list[str]] = field(default_factory=list)
    untied: list[list[str]] = field(default_factory=list)
    flags_changed: bool = False

    def __len__(self) -> int:
        return len(self.changed) + len(self.added) + len(self.removed)

    @property
    def names(self) -> list[str]:
        """Names of the changed tensors."""
        return [one.name for one in self.changed]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(a: Manifest, b: Manifest, reader: ChunkReader | None) -> Diff:
    """Compare two manifests; with a reader also measure the tensors that differ.

    Raises:
        CorruptChunk, MissingChunk, CorruptPack: while measuring.
    """
    names_a, names_b = a.names(), b.names()
    aliases = {group[0]: tuple(group[1:]) for group in b.model_ties}
    changed, seen = [], set()
    for name, canonical in names_b.items():
        if name not in names_a or canonical in seen:
            continue
        before, after = a.entries[names_a[name]], b.entries[canonical]
        if (before.chunks, before.dtype, before.shape) != (after.chunks, after.dtype, after.shape):
            seen.add(canonical)
            changed.append(_tensor_diff(name, aliases.get(canonical, ()), before, after, reader))
    ties_a, ties_b = {tuple(g) for g in a.model_ties}, {tuple(g) for g in b.model_ties}
    return Diff(
        a.id,
        b.id,
        changed,
        [n for n in names_b if n not in names_a],
        [n for n in names_a if n not in names_b],
        [list(g) for g in sorted(ties_b - ties_a)],
        [list(g) for g in sorted(ties_a - ties_b)],
        a.flags != b.flags,
    )


def _tensor_diff(name: str, aliases: tuple[str, ...], before: Entry, after: Entry, reader: ChunkReader | None) -> TensorDiff:
    if before.shape != after.shape:
        return TensorDiff(name, aliases, f"shape {before.shape} -> {after.shape}")
    if before.dtype != after.dtype:
        return TensorDiff(name, aliases, f"dtype {before.dtype} -> {after.dtype}")
    if reader is None:
        return TensorDiff(name, aliases)
    total = _Sums()
    for old, new in zip(before.chunks, after.chunks, strict=True):
        x = reader.read(old).copy()
        total.add(x, x if old == new else reader.read(new), DTYPES[before.dtype])
    return total.finish(name, aliases, math.prod(before.shape))


class _Sums:
    """Float64 sums of one pair of tensors, chunk by chunk."""

    def __init__(self) -> None:
        self.dd = self.xx = self.yy = self.xy = self.largest = 0.0
        self.differing = 0

    def add(self, x: Bytes, y: Bytes, dtype: torch.dtype) -> None:
        a, b = _float64(x, dtype), _float64(y, dtype)
        self.xx += float(np.dot(a, a))
        self.yy += float(np.dot(b, b))
        self.xy += float(np.dot(a, b))
        if x is y:
            return
        difference = b - a
        self.dd += float(np.dot(difference, difference))
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0.0)))
        self.differing += int(np.count_nonzero((x != y).reshape(-1, dtype.itemsize).any(axis=1)))

    def finish(self, name: str, aliases: tuple[str, ...], count: int) -> TensorDiff:
        l2, norm = math.sqrt(self.dd), math.sqrt(self.xx)
        angle = math.sqrt(self.xx) * math.sqrt(self.yy)
        return TensorDiff(
            name,
            aliases,
            "values",
            l2,
            l2 / norm if norm else (math.inf if l2 else 0.0),
            self.largest,
            self.xy / angle if angle else None,
            self.differing / count if count else 0.0,
        )


def _float64(data: Bytes, dtype: torch.dtype) -> np.ndarray[Any, np.dtype[np.float64]]:
    tensor = torch.from_numpy(data).view(dtype)
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor).reshape(-1)
    return tensor.to(torch.float64).numpy()
