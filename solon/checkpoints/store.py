"""The content-addressed store of checkpoints.

root/FORMAT                 {"chunk", "format", "hash", "seal", "store_id"}
root/packs/*.pack           chunks of at most 16 MiB, named by blake3 (see packs.py)
root/manifests/<id>.json    one per checkpoint (see manifest.py); its rename is the commit point
root/refs/{heads,tags,pins}/<name>   an id and a newline, replaced by rename; pins are rollback targets of open experiments
root/journal/*.jsonl        hash-chained record of edits and upkeep (see journal.py)
root/trash/<epoch>/         what gc removed, until its grace is over
root/lock, root/gc.lock     flock: one committer; savers and readers shared against gc
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from solon.checkpoints import changes, restoring, saving
from solon.checkpoints.catalogue import check_ref_name
from solon.checkpoints.changes import Track, UndeclaredEdit
from solon.checkpoints.compose import new_identity
from solon.checkpoints.describe import describe, environment
from solon.checkpoints.errors import UnhealthyModel
from solon.checkpoints.files import require_space
from solon.checkpoints.manifest import Entry, Manifest, plain
from solon.checkpoints.packs import ChunkReader, PackWriter, remove_orphans
from solon.checkpoints.restoring import Restored
from solon.checkpoints.shelf import Shelf
from solon.checkpoints.tensors import Arena, Bytes, model_slots, refuse_no_module
from solon.errors import InputError

log = logging.getLogger("solon.checkpoints")


@dataclass
class Pending:
    """A save that runs in the background. `result()` waits for it and gives the id, or raises what went wrong."""

    future: Future[str] = field(repr=False)

    def result(self, timeout_s: float | None = None) -> str:
        """The id, once durable; raises what `save` would have raised, or TimeoutError."""
        return self.future.result(timeout_s)

    def done(self) -> bool:
        """Whether `result` would not wait."""
        return self.future.done()


class Store(Shelf):
    """Checkpoints of models in one folder.

    Args:
        path: the folder; created when absent.
        read_only: never write; also the case when the folder's disk refuses writes.
        lock_timeout_s: seconds to wait for another process.
        on_undeclared: called with the names of tensors that changed without being declared (default: an UndeclaredEdit warning).

    Raises:
        ReadOnlyStore: the folder is absent and cannot be made. InputError: the folder holds something else.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, read_only: bool = False, lock_timeout_s: float = 60.0,
        on_undeclared: Callable[[list[str]], None] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(path, read_only, lock_timeout_s)
        self.on_undeclared = on_undeclared
        self.last_undeclared: list[str] = []
        self._arena = Arena()
        self._tracks: weakref.WeakKeyDictionary[torch.nn.Module, Track] = weakref.WeakKeyDictionary()
        self._busy = threading.RLock()  # one save or restore of this object at a time: they share `_arena`

    def track(self, model: torch.nn.Module) -> Track:
        """What this process knows about `model` in this store.

        Raises:
            InputError: it is no module.
        """
        refuse_no_module(model)
        return self._tracks.setdefault(model, Track())

    # -- saving --------------------------------------------------------------------------------------------------------

    def save(
        self, model: torch.nn.Module, *, metadata: dict[str, Any] | None = None, tag: str | None = None,
        trust_journal: bool = False, refuse_unhealthy: bool = False, **parts: Any,
    ) -> str:  # fmt: skip
        """Store the model (parameters, all buffers, modes, requires_grad) and the given parts; returns the id.

        Args:
            metadata: free JSON-able record; `state: baseline` (or `baseline: true`) protects the checkpoint from deletion.
            tag: name the checkpoint, which protects it as well.
            trust_journal: read only tensors that `declare` named; without it all live memory is scanned.
            refuse_unhealthy: raise instead of storing a model with NaN or Inf (it would be marked `poisoned`).
            parts: `optimizer=`, `scheduler=`, any object with a state dict, a torch.Generator, a dict, `rng=True`.

        Raises:
            UnsupportedTensor, UnsupportedState, ModelUnusable, UnhealthyModel, DiskFull, ReadOnlyStore, WriteFailed, StoreBusy
        """
        with self._busy:
            return self._save(model, metadata, tag, trust_journal, refuse_unhealthy, given(parts))

    def _save(
        self, model: torch.nn.Module, metadata: dict[str, Any] | None, tag: str | None, trust_journal: bool,
        refuse_unhealthy: bool, parts: dict[str, Any],
    ) -> str:  # fmt: skip
        track = self._ready_to_save(model, tag, metadata)
        slots, trees = saving.everything(model, parts)
        buffers = saving.Buffers(self._arena, max((slot.nbytes for slot in slots), default=0))
        with self._shared():
            remove_orphans(self.path / "packs")
            self.index.refresh()
            if not self.index.packs:
                require_space(self.path, sum(slot.nbytes for slot in slots))
            stream = saving.capture(slots, track, self.index.__contains__, trust_journal)
            draft = self._draft(model, trees, metadata, track)
            return self._write(draft, stream, track, buffers, set(track.dirty), tag, refuse_unhealthy)

    def save_async(
        self, model: torch.nn.Module, *, metadata: dict[str, Any] | None = None, tag: str | None = None,
        trust_journal: bool = False, refuse_unhealthy: bool = False, **parts: Any,
    ) -> Pending:  # fmt: skip
        """Like `save`, but returns once the changed chunks are copied in memory; hashing and writing follow on a thread.

        The checkpoint is listed only when it is durable. A later save or restore of this store waits for it.
        """
        with ExitStack() as stack, self._busy:
            track = self._ready_to_save(model, tag, metadata)
            slots, trees = saving.everything(model, given(parts))
            stack.enter_context(self._shared())
            self.index.refresh()
            captured = list(saving.capture(slots, track, self.index.__contains__, trust_journal, copies=True))
            for one in captured:
                one.pieces = list(one.pieces)
            draft = self._draft(model, trees, metadata, track)
            declared = set(track.dirty)
            held = stack.pop_all()

            def finish() -> str:
                buffers = saving.Buffers(self._arena, 0)  # of no size: every piece is a copy already
                try:
                    with held:
                        return self._write(draft, captured, track, buffers, declared, tag, refuse_unhealthy)
                except BaseException as error:
                    log.error("a background save failed, nothing was committed: %s", error)  # also when nobody asks for it
                    raise

            thread = ThreadPoolExecutor(1)
            self._inflight = thread.submit(finish)
            thread.shutdown(wait=False)
            return Pending(self._inflight)

    def _ready_to_save(self, model: torch.nn.Module, tag: str | None, metadata: dict[str, Any] | None) -> Track:
        self._settle()
        self._refuse_read_only()
        if tag is not None:
            check_ref_name(tag)
        if metadata is not None and not isinstance(metadata, dict):
            raise InputError(f"metadata: expected a dict, got {type(metadata).__name__}", mend='{"purpose": "…"} for example')
        track = self.track(model)
        track.refuse_torn()
        return track

    def _draft(self, model: torch.nn.Module, trees: dict[str, Any], metadata: dict[str, Any] | None, track: Track) -> Manifest:
        name, created = new_identity()
        return Manifest(
            id=name,
            created=created,
            sequence=0,
            parent=track.base or self.head(),
            entries={},
            ties=[],
            flags=saving.flags_of(model),
            parts=trees,
            metadata=plain(metadata or {}),
            model_class=type(model).__name__,
            description=describe(model),
            environment=environment(),
        )

    def _write(
        self, draft: Manifest, stream: Iterable[saving.Captured], track: Track, buffers: saving.Buffers,
        declared: set[str], tag: str | None, refuse_unhealthy: bool,
    ) -> str:  # fmt: skip
        changed: list[str] = []
        with PackWriter(self.path / "packs") as writer:
            for captured in stream:
                slot = captured.slot
                entry, differs = saving.write_pieces(captured, track, self.index.__contains__, writer, buffers)
                draft.entries[slot.name] = entry
                if len(slot.names) > 1:
                    draft.ties.append(list(slot.names))
                if differs and slot.kind != "part":
                    changed.append(slot.name)
            self._judge_health(draft, refuse_unhealthy)
            self.commit(draft, tag, writer)
        self._alarm(changes.undeclared(changed, Track(dirty=declared, journalled=track.journalled)) if track.base else [])
        track.base, track.entries = draft.id, dict(draft.entries)
        track.dirty -= declared
        return draft.id

    def _judge_health(self, draft: Manifest, refuse: bool) -> None:
        sick = {name: e.health for name, e in draft.entries.items() if e.kind == "param" and e.health and not e.health.finite}
        draft.poisoned = bool(sick)
        if sick and refuse:
            name, health = next(iter(sick.items()))
            raise UnhealthyModel(
                f"{len(sick)} tensors hold NaN or Inf, first {name} ({health.nan} NaN, {health.inf} Inf); nothing was committed",
                mend="restore a healthy checkpoint, or save with refuse_unhealthy=False (it is then marked poisoned)",
            )

    def _alarm(self, names: list[str]) -> None:
        self.last_undeclared = names
        if not names:
            return
        if self.on_undeclared:
            self.on_undeclared(names)
        else:
            warnings.warn(f"changed without being declared: {', '.join(names[:8])}", UndeclaredEdit, stacklevel=4)

    # -- restoring -----------------------------------------------------------------------------------------------------

    def restore(
        self, ref: str, model: torch.nn.Module, *, changed_only: bool = False, trust_journal: bool = False, undo: bool = False,
        retie: bool = False, flags: bool = True, **parts: Any,
    ) -> Restored:  # fmt: skip
        """Put the model, in place, into the stored state. Nothing is written unless everything fits and verifies.

        Args:
            ref: an id, unique prefix of one, tag, or `head`.
            changed_only: write only chunks that differ from the live memory, found by scanning it.
            trust_journal: with `changed_only`, believe `declare` instead of scanning.
            undo: keep pre-images in memory (as large as what is written) and put them back if writing fails.
            retie: make ties again that the model has lost.
            flags: also restore train/eval modes and requires_grad.
            parts: objects to restore, under the names they were saved with.

        Raises:
            UnknownCheckpoint, WrongModel, TiesChanged, MissingPart, UnsupportedTensor: refused; nothing was written.
            CorruptManifest, CorruptPack, CorruptChunk, MissingChunk: found in pass one; nothing was written.
            TornRestore: writing failed; the model is unusable until a restore succeeds.
        """
        with self._busy:
            return self._restore(ref, model, changed_only, trust_journal, undo, retie, flags, given(parts))

    def _restore(
        self, ref: str, model: torch.nn.Module, changed_only: bool, trust_journal: bool, undo: bool, retie: bool, flags: bool,
        parts: dict[str, Any],
    ) -> Restored:  # fmt: skip
        self._settle()
        track = self.track(model)
        with self._shared():
            self.index.refresh()
            manifest = self.manifest(ref)
            slots = model_slots(model)
            ties = restoring.check_model(manifest, slots, retie=retie)
            for name, part in parts.items():
                restoring.typed.check(name, part, manifest.parts)
            partial = changed_only and not ties and not track.torn
            with ChunkReader(self.index) as reader:
                needs = restoring.needed(slots, manifest, track, partial, trust_journal)
                behind = restoring.moved_undeclared(needs, track) if partial and not trust_journal else []
                wanted = restoring.Wanted(needs, ties, undo, flags, parts)
                work = restoring.run(manifest, model, track, reader, self._arena, wanted)
        restoring.remember(track, manifest, model_slots(model) if ties else slots)
        self._alarm(behind)
        ignored = tuple(sorted(set(manifest.parts) - set(parts)))
        return Restored(manifest.id, tuple(work.written), work.total, tuple(behind), ignored)

    def declare(self, model: torch.nn.Module, names: Iterable[str]) -> None:
        """Journal that `names` are about to change (their ties and views with them). From the first call on, other changes alarm.

        Raises:
            UnknownTensor
        """
        changes.declare(self.track(model), model_slots(model), names)

    def changed(self, model: torch.nn.Module, ref: str | None = None) -> list[str]:
        """Canonical names of the live tensors that differ from the last save or restore, or from checkpoint `ref`."""
        self._settle()
        manifest = self.manifest(ref) if ref else None
        entries: dict[str, Entry] | None = None
        if manifest is not None:
            entries = {name: manifest.entries[canonical] for name, canonical in manifest.names_cache.items()}
        return changes.changed_names(model_slots(model), self.track(model), entries)

    def undeclared(self, model: torch.nn.Module) -> list[str]:
        """Tensors that changed since the last save or restore although no `declare` named them."""
        return [name for name in self.changed(model) if name not in self.track(model).dirty]

    def images(self, model: torch.nn.Module) -> dict[str, Bytes]:
        """Private copies of all live tensors' bytes, for an undo in memory."""
        return restoring.images_of(model_slots(model))


def given(parts: dict[str, Any]) -> dict[str, Any]:
    """The parts that are there: `optimizer=None` and `rng=False` say that there is none."""
    return {name: part for name, part in parts.items() if part is not None and part is not False}
