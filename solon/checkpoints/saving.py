"""Saving: each line only after the one before it is durable. The rename of the manifest is the commit point.

The bytes of a changed chunk are copied before they are hashed, and the copy is what is written, so a chunk always matches its
name even when another thread edits the model meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import blake3
import numpy as np
import torch

from solon.checkpoints import parts as typed
from solon.checkpoints.changes import Track, same_form
from solon.checkpoints.hashing import fingerprint, running_fingerprint
from solon.checkpoints.health import BLOCK, Health, bytes_health
from solon.checkpoints.manifest import Entry
from solon.checkpoints.packs import PackWriter
from solon.checkpoints.tensors import CHUNK, DTYPE_NAMES, Arena, Bytes, Slot, add_alias, model_slots, modules, read_chunks


@dataclass
class Piece:
    """One chunk of a capture: either already stored under `name`, or `data` still to be named; `own` says that it is a copy."""

    name: str | None
    data: Bytes | None = None
    own: bool = False


@dataclass
class Captured:
    """A slot's description and its pieces, which may be produced lazily."""

    slot: Slot
    dtype: str
    shape: list[int]
    pieces: Iterable[Piece]
    unchanged: Entry | None = None  # trusted as it was; nothing is read


class Buffers:
    """Two halves of the store's reused memory: one is being written while the other is filled."""

    def __init__(self, arena: Arena, largest: int) -> None:
        self.size, self.turn, self.arena = min(CHUNK, largest), 0, arena

    def next(self, size: int) -> Bytes:
        """`size` bytes to fill."""
        return self.arena.take(2 * self.size)[self.turn * self.size :][:size]

    def swap(self) -> None:
        self.turn ^= 1


def part_slots(parts: dict[str, Any]) -> tuple[dict[str, Any], list[Slot]]:
    """(typed trees by part name, one slot per distinct tensor of the parts).

    Raises:
        UnsupportedState, UnsupportedTensor
    """
    trees: dict[str, Any] = {}
    slots: dict[Any, Slot] = {}
    for name, part in parts.items():
        tensors: dict[str, torch.Tensor] = {}
        trees[name] = typed.encode(typed.snapshot(name, part), f"@{name}", tensors)
        for path, tensor in tensors.items():
            add_alias(slots, "part", path, tensor)
    return trees, list(slots.values())


def capture(
    slots: list[Slot], track: Track, known: Callable[[str], bool], trusted: bool, *, copies: bool = False
) -> Iterator[Captured]:
    """Describe each slot. With `trusted`, tensors that no declared edit names are taken as they were, unread.

    With `copies` the changed bytes are private; otherwise they are the live memory, to be copied before they are named.
    """
    for slot in slots:
        entry = track.entries.get(slot.name)
        if entry is not None and not same_form(entry, slot.tensor):
            entry = None
        described = Captured(slot, DTYPE_NAMES[slot.tensor.dtype], list(slot.tensor.shape), ())
        if (
            trusted
            and entry is not None
            and slot.kind != "part"
            and slot.name not in track.dirty
            and all(map(known, entry.chunks))
        ):
            described.unchanged = entry
        else:
            described.pieces = _pieces(slot, entry, track, known, copies)
        yield described


def _pieces(slot: Slot, entry: Entry | None, track: Track, known: Callable[[str], bool], copies: bool) -> Iterator[Piece]:
    dtype, declared = slot.tensor.dtype, not track.dirty.isdisjoint(slot.names)
    for index, data in read_chunks(slot.tensor):
        if entry is not None and not declared:  # what was declared is taken to have changed; equal bytes get an equal name
            name = entry.chunks[index]
            if track.prints.get(name) == fingerprint(data) and known(name):
                if len(entry.chunks) > 1 and (name, DTYPE_NAMES[dtype]) not in track.health:
                    track.health[(name, DTYPE_NAMES[dtype])] = bytes_health(data, dtype)
                yield Piece(name)
                continue
        yield Piece(None, data.copy() if copies else data, copies)


def absorb(source: Bytes, target: Bytes | None, dtype: torch.dtype) -> tuple[str, bytes, Health]:
    """(name, fingerprint, health) of a chunk, copied into `target` block by block, so that memory is read once."""
    name, mark, total = blake3.blake3(), running_fingerprint(), Health()
    for start in range(0, len(source), BLOCK):
        block = source[start : start + BLOCK]
        if target is not None:
            np.copyto(target[start : start + BLOCK], block)
            block = target[start : start + BLOCK]
        name.update(block.data)
        mark.update(block.data)
        total += bytes_health(block, dtype)
    return name.hexdigest(), mark.digest(), total


def write_pieces(
    captured: Captured, track: Track, known: Callable[[str], bool], writer: PackWriter, buffers: Buffers
) -> tuple[Entry, bool]:
    """(entry, whether it differs from the last one), putting chunks that nobody has into the pack."""
    if captured.unchanged is not None:
        return captured.unchanged, False
    names: list[str] = []
    total, changed = Health(), False
    for piece in captured.pieces:
        name = piece.name
        if name is None:
            changed = True
            name = _write_piece(piece, captured, track, known, writer, buffers)
        total += track.health.get((name, captured.dtype), Health())
        names.append(name)
    if not changed and captured.slot.name in track.entries:
        return track.entries[captured.slot.name], False
    return Entry(names, captured.dtype, captured.shape, captured.slot.kind, total), True


def _write_piece(
    piece: Piece, captured: Captured, track: Track, known: Callable[[str], bool], writer: PackWriter, buffers: Buffers
) -> str:
    assert piece.data is not None
    target = None if piece.own else buffers.next(len(piece.data))
    name, mark, health = absorb(piece.data, target, captured.slot.tensor.dtype)
    track.prints[name], track.health[(name, captured.dtype)] = mark, health
    if not known(name) and name not in writer:
        writer.add(name, piece.data if target is None else target)
        buffers.swap()
    return name


def flags_of(model: torch.nn.Module) -> dict[str, Any]:
    """Train/eval mode of every module and requires_grad of every parameter, as a default and its exceptions."""
    training = {path: module.training for path, module in modules(model)}
    grads = {name: parameter.requires_grad for name, parameter in _parameters(model)}
    return {"training": _compact(training), "requires_grad": _compact(grads)}


def _parameters(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Parameter]]:
    for path, module in modules(model):
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                yield f"{path}.{leaf}" if path else leaf, parameter


def _compact(values: dict[str, bool]) -> dict[str, Any]:
    default = 2 * sum(values.values()) >= len(values)
    return {"default": default, "except": [name for name, value in values.items() if value != default]}


def set_flags(model: torch.nn.Module, flags: dict[str, Any]) -> None:
    """The inverse of `flags_of`."""
    training, grads = flags.get("training"), flags.get("requires_grad")
    if training:
        odd = set(training["except"])
        for name, module in modules(model):
            wanted = training["default"] != (name in odd)
            if module.training != wanted:
                module.training = wanted
    if grads:
        odd = set(grads["except"])
        for name, parameter in _parameters(model):
            wanted = grads["default"] != (name in odd)
            if parameter.requires_grad != wanted:
                parameter.requires_grad_(wanted)


def everything(model: torch.nn.Module, parts: dict[str, Any]) -> tuple[list[Slot], dict[str, Any]]:
    """(slots of model and parts, typed trees). See `model_slots` and `part_slots` for what is raised."""
    trees, extra = part_slots(parts)
    return [*model_slots(model), *extra], trees
