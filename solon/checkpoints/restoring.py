"""Restoring into the live model, in place.

First everything is compared and every chunk verified; only then is the first byte written. Small restores hold the verified
bytes in memory; large ones read twice, and check each chunk again as it is copied. Nothing is ever rebound, so optimizers,
hooks, compiled graphs and ties keep referring to the same storage.
"""

from __future__ import annotations

import contextlib
import copy
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solon.checkpoints import parts as typed
from solon.checkpoints.changes import Track, differing_chunks, same_form, undeclared
from solon.checkpoints.errors import CorruptChunk, TiesChanged, TornRestore, WrongModel
from solon.checkpoints.hashing import fingerprint
from solon.checkpoints.manifest import Entry, Manifest
from solon.checkpoints.packs import ChunkReader
from solon.checkpoints.saving import set_flags
from solon.checkpoints.tensors import (
    CHUNK,
    DTYPE_NAMES,
    DTYPES,
    Arena,
    Bytes,
    Slot,
    Writer,
    empty_like_stored,
    flat_bytes,
    logical_bytes,
    model_slots,
    modules,
    read_chunks,
    refuse_overlapping_itself,
)
from solon.errors import nearest

HOLD = 48 * 2**20  # bytes of verified chunks kept in memory instead of being read twice


@dataclass(frozen=True)
class Restored:
    """What a restore did. `ignored_parts` were stored but not asked for; `undeclared` had changed behind the journal's back."""

    id: str
    written: tuple[str, ...]
    bytes_written: int
    undeclared: tuple[str, ...] = ()
    ignored_parts: tuple[str, ...] = ()


@dataclass
class Need:
    """A slot and the indices of its chunks that must be written."""

    slot: Slot
    entry: Entry
    indices: list[int]


def check_model(manifest: Manifest, slots: list[Slot], *, retie: bool = False) -> list[list[str]]:
    """Refuse a model that the checkpoint does not fit; returns the tie groups that must be made again (with `retie`).

    Raises:
        WrongModel, TiesChanged, UnsupportedTensor
    """
    live = {name: slot for slot in slots for name in slot.names}
    stored = manifest.names()
    problems = [f"missing in the model: {name}" for name in stored if name not in live]
    problems += [
        f"unknown to the checkpoint: {name} ({nearest(name, set(stored)) or 'no near name'})"
        for name in live
        if name not in stored
    ]
    for name, canonical in stored.items():
        if name in live and not same_form(manifest.entries[canonical], live[name].tensor):
            entry, tensor = manifest.entries[canonical], live[name].tensor
            problems.append(
                f"{name}: stored {entry.dtype} {entry.shape}, the model has {DTYPE_NAMES[tensor.dtype]} {list(tensor.shape)}"
            )
    if problems:
        more = f" and {len(problems) - 8} more" if len(problems) > 8 else ""
        raise WrongModel(
            f"{manifest.id} does not fit this model ({manifest.model_class}): {'; '.join(problems[:8])}{more}",
            mend="build the same model and dtype (and the same adapters); nothing was written",
        )
    for slot in slots:
        refuse_overlapping_itself(slot.name, slot.tensor)
    return _broken_ties(manifest, slots, retie)


def _broken_ties(manifest: Manifest, slots: list[Slot], retie: bool) -> list[list[str]]:
    want = {frozenset(group) for group in manifest.model_ties}
    have = {frozenset(slot.names) for slot in slots if len(slot.names) > 1}
    if want == have:
        return []
    broken, extra = sorted(map(sorted, want - have)), sorted(map(sorted, have - want))
    text = "; ".join(
        [f"tied in the checkpoint only: {' = '.join(g)}" for g in broken]
        + [f"tied in the model only: {' = '.join(g)}" for g in extra]
    )
    subsets_only = all(any(set(group) < set(whole) for whole in broken) for group in extra)
    if not retie or not subsets_only:
        raise TiesChanged(
            f"{manifest.id}: {text}; nothing was written",
            mend="restore with retie=True" if subsets_only else "untie the model's tensors first",
        )
    return [group for group in manifest.model_ties if frozenset(group) in want - have]


def make_ties(model: torch.nn.Module, groups: list[list[str]]) -> None:
    """Point every alias of a group at its first member again."""
    tensors = {name: slot.tensor for slot in model_slots(model) for name in slot.names}
    places = dict(modules(model))
    for canonical, *aliases in groups:
        for alias in aliases:
            path, _, leaf = alias.rpartition(".")
            registry = places[path]._parameters if leaf in places[path]._parameters else places[path]._buffers
            registry[leaf] = tensors[canonical]  # type: ignore[assignment]


def needed(slots: list[Slot], manifest: Manifest, track: Track, changed_only: bool, trust_journal: bool) -> list[Need]:
    """What must be written so that the model equals the checkpoint."""
    needs = []
    for slot in slots:
        entry = manifest.entries[manifest.names_cache[slot.name]]
        if not changed_only:
            indices = list(range(len(entry.chunks)))
        elif trust_journal and slot.name in track.entries:
            indices = _trusted(slot, entry, track)
        else:
            indices = differing_chunks(slot, entry, track)
        if indices and flat_bytes(slot.tensor) is None:  # strided tensors are written whole
            indices = list(range(len(entry.chunks)))
        if indices:
            needs.append(Need(slot, entry, indices))
    return needs


def _trusted(slot: Slot, entry: Entry, track: Track) -> list[int]:
    """Declared edits, and chunks that differ between the last known checkpoint and this one; the memory is not read."""
    if any(name in track.dirty for name in slot.names):
        return list(range(len(entry.chunks)))
    before = track.entries[slot.name].chunks
    return [index for index, name in enumerate(entry.chunks) if before[index] != name]


def piece_size(entry: Entry, index: int) -> int:
    """Bytes of one chunk of an entry."""
    total = int(np.prod(entry.shape, dtype=np.int64)) * DTYPES[entry.dtype].itemsize
    return min(CHUNK, total - index * CHUNK)


class InPlace:
    """The writing half of a restore: pass one verifies, pass two copies."""

    def __init__(self, reader: ChunkReader, arena: Arena, track: Track, needs: list[Need], keep_undo: bool) -> None:
        self.reader, self.track, self.needs = reader, track, needs
        self.total = sum(piece_size(n.entry, i) for n in needs for i in n.indices)
        self.held: dict[str, Bytes] = {}
        self.images: list[tuple[Slot, Bytes]] = []
        self.keep_undo = keep_undo
        self.arena = arena
        self.written: dict[str, None] = {}  # in order

    def verify(self) -> None:
        """Pass one: read and check every chunk; nothing of the model is touched.

        Raises:
            MissingChunk, CorruptPack, CorruptChunk
        """
        hold = self.total <= HOLD
        seen: set[str] = set()
        space, used = self.arena.take(self.total if hold else 0), 0
        for need in self.needs:
            for index in need.indices:
                name = need.entry.chunks[index]
                if name in seen:
                    continue
                seen.add(name)
                size = piece_size(need.entry, index)
                data = self.reader.read(name, space[used : used + size] if hold else None, known=self.track.prints.get(name))
                if len(data) != size:
                    raise CorruptChunk(f"chunk {name[:16]}… holds {len(data)} bytes, {size} expected", mend="run fsck")
                if hold:
                    self.held[name], used = data, used + size
                if name not in self.track.prints:
                    self.track.prints[name] = fingerprint(data)

    def _again(self, name: str) -> Bytes:
        """A chunk that pass one found right, read a second time."""
        try:
            return self.reader.read(name, known=self.track.prints[name])
        except CorruptChunk as error:
            raise TornRestore(f"chunk {name[:16]}… changed between verification and copy") from error

    def write(self) -> None:
        """Pass two: copy into the live tensors, checking again whatever had to be read again."""
        for need in self.needs:
            if self.keep_undo:
                self.images.append((need.slot, logical_bytes(need.slot.tensor).to("cpu", copy=True).numpy()))
            writer = Writer(need.slot.name, need.slot.tensor)
            for index in need.indices:
                name = need.entry.chunks[index]
                data = self.held[name] if name in self.held else self._again(name)
                self.written[need.slot.name] = None
                writer.write(index * CHUNK, data)
            writer.close()

    def undo(self) -> None:
        """Put the pre-images back: the model is then as it was before the call."""
        for slot, image in reversed(self.images):
            writer = Writer(slot.name, slot.tensor)
            writer.write(0, image)
            writer.close()
        self.written.clear()


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block is done, so that Ctrl-C cannot leave a half-written model.

    Only the main thread may set handlers; elsewhere signals do not interrupt anyway.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[tuple[int, Any]] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    own: dict[int, Any] = {int(number): handler for number, handler in before.items() if handler is not None}
    for number in own:
        signal.signal(number, lambda received, frame: caught.append((received, frame)))
    try:
        yield
    finally:
        for number, handler in own.items():
            signal.signal(number, handler)
        for number, _ in caught[:1]:
            signal.raise_signal(number)


@dataclass
class Wanted:
    """What one restore is asked to do."""

    needs: list[Need]
    ties: list[list[str]]
    undo: bool
    flags: bool
    parts: dict[str, Any]


def moved_undeclared(needs: list[Need], track: Track) -> list[str]:
    """Live tensors that moved without a declaration, rather than only the target being another checkpoint."""
    last = [(need.slot, track.entries.get(need.slot.name)) for need in needs]
    return undeclared([slot.name for slot, entry in last if entry and differing_chunks(slot, entry, track)], track)


def run(manifest: Manifest, model: torch.nn.Module, track: Track, reader: ChunkReader, arena: Arena, wanted: Wanted) -> InPlace:
    """Verify, then write. The model is unchanged unless this returns, or raises TornRestore.

    Raises:
        CorruptStore and below: found before writing. TornRestore: found after.
    """
    work = InPlace(reader, arena, track, wanted.needs, wanted.undo)
    work.verify()
    parts = wanted.parts
    fetch = _part_fetcher(manifest, reader, parts)
    old_parts = {name: copy.deepcopy(typed.snapshot(name, part)) for name, part in parts.items()} if wanted.undo else {}
    with deferred_signals():
        try:
            work.write()
            set_flags(model, manifest.flags if wanted.flags else {})
            for name, part in parts.items():
                typed.apply(name, part, manifest.parts[name], fetch)
            make_ties(model, wanted.ties)
            if wanted.ties or parts:  # else nothing has run that could rebind a tensor since it was checked
                check_model(manifest, model_slots(model))
        except BaseException as error:  # noqa: BLE001  (Ctrl-C too must leave a marked or undone model)
            _fail(error, work, track, wanted.undo, parts, old_parts)
    return work


def _fail(
    error: BaseException, work: InPlace, track: Track, undo: bool, parts: dict[str, Any], old_parts: dict[str, Any]
) -> None:
    """After a failure in pass two: undo when pre-images were kept, else mark the model unusable."""
    if undo:
        work.undo()
        for name, state in old_parts.items():
            tensors: dict[str, torch.Tensor] = {}
            typed.apply(name, parts[name], typed.encode(state, "@", tensors), tensors.__getitem__)
        raise error
    written = tuple(work.written)
    track.torn = written or ("(parts only)",)
    raise TornRestore(
        f"the restore failed after it had begun to write ({error}); written: {', '.join(written[:8]) or 'parts only'}"
        + (f" and {len(written) - 8} more" if len(written) > 8 else ""),
        mend="the model is unusable until a restore succeeds: restore another checkpoint, or load the base weights again",
        written=written,
    ) from error


def _part_fetcher(manifest: Manifest, reader: ChunkReader, parts: dict[str, Any]) -> Callable[[str], torch.Tensor]:
    """Verify all tensors of the wanted parts; returns a function that loads one, verified, as a fresh CPU tensor."""
    canonical = {alias: group[0] for group in manifest.ties for alias in group}
    for name, entry in manifest.entries.items():
        aliases = [name, *(a for a, c in canonical.items() if c == name)] if name in canonical else [name]
        if entry.kind == "part" and any(a == f"@{part}" or a.startswith(f"@{part}/") for a in aliases for part in parts):
            for chunk in entry.chunks:
                reader.read(chunk)

    def fetch(name: str) -> torch.Tensor:
        return load_tensor(manifest.entries[canonical.get(name, name)], reader)

    return fetch


def load_tensor(entry: Entry, reader: ChunkReader) -> torch.Tensor:
    """A stored tensor as a fresh CPU tensor, every chunk verified."""
    tensor = empty_like_stored(entry.dtype, entry.shape)
    if tensor.numel():
        flat = logical_bytes(tensor).numpy()
        for index, chunk in enumerate(entry.chunks):
            start = index * CHUNK
            reader.read(chunk, flat[start : start + piece_size(entry, index)])
    return tensor


def remember(track: Track, manifest: Manifest, slots: list[Slot]) -> None:
    """After success the live model equals the checkpoint."""
    track.base, track.torn = manifest.id, ()
    track.entries = {slot.name: manifest.entries[manifest.names_cache[slot.name]] for slot in slots if slot.kind != "part"}
    track.dirty.clear()


def images_of(slots: list[Slot]) -> dict[str, Bytes]:
    """Canonical name -> private copy of the logical bytes, on the CPU."""
    found = {}
    for slot in slots:
        pieces = [data.copy() for _, data in read_chunks(slot.tensor)]
        found[slot.name] = np.concatenate(pieces) if pieces else np.empty(0, np.uint8)
    return found
