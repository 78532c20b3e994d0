"""Which rows make up which optimiser step: a pure function of counts and the seed, so that a resumed run sees the same."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence


def steps_of(rows: int, epochs: float, batch: int) -> int:
    """Optimiser steps: ceil(rows * epochs / batch). Epochs run into each other; only the last step may be short."""
    return math.ceil(max(1, round(rows * epochs)) / batch) if rows else 0


def schedule(rows: int, epochs: float, batch: int, seed: int) -> list[list[int]]:
    """Row numbers of each step. Each epoch is its own seeded shuffle; every row is seen once before any is seen twice."""
    wanted = max(1, round(rows * epochs)) if rows else 0
    stream: list[int] = []
    generator = random.Random(seed)
    while rows and len(stream) < wanted:
        epoch = list(range(rows))
        generator.shuffle(epoch)
        stream += epoch
    stream = stream[:wanted]
    return [stream[i : i + batch] for i in range(0, len(stream), batch)]


def cycle(rows: int, batch: int, steps: int, seed: int) -> list[list[int]]:
    """`batch` row numbers for each of `steps` steps, going round the rows in seeded shuffles as often as needed."""
    if not rows:
        return [[] for _ in range(steps)]
    taken = schedule(rows, math.ceil(steps * batch / rows), batch, seed)
    flat = [row for step in taken for row in step]
    return [flat[i * batch : (i + 1) * batch] for i in range(steps)]


def divide(sizes: Sequence[int], pieces: int) -> list[list[int]]:
    """Indices into `sizes` in `pieces` lists of about equal sums: the largest first, each to the lightest list (Graham 1969)."""
    result: list[list[int]] = [[] for _ in range(pieces)]
    sums = [0] * pieces
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        lightest = sums.index(min(sums))
        result[lightest].append(index)
        sums[lightest] += sizes[index]
    return [sorted(piece) for piece in result]
