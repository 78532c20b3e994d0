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

import os
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from solon.checkpoints import changes, restoring, saving
from solon.checkpoints.catalogue import Catalogue, CheckpointInfo, check_ref_name, info
from solon.checkpoints.changes import Track, UndeclaredEdit
from solon.checkpoints.compare import Diff, compare
from solon.checkpoints.compose import new_identity
from solon.checkpoints.describe import describe
from solon.checkpoints.errors import MissingChunk, Protected, ReadOnlyStore, UnhealthyModel
from solon.checkpoints.files import locked, require_space
from solon.checkpoints.health import Health
from solon.checkpoints.journal import Journal
from solon.checkpoints.layout import open_folder
from solon.checkpoints.manifest import Entry, Manifest, load, plain
from solon.checkpoints.packs import ChunkReader, Index, PackWriter
from solon.checkpoints.restoring import Restored
from solon.checkpoints.tensors import Arena, Bytes, model_slots
from solon.checkpoints.upkeep import FsckReport, GcReport, Retention, collect, fsck_store, usage


@dataclass
class Pending:
    """A save that runs in the background. `result()` waits for it and gives the id, or raises what went wrong."""

    future: Future[str] = field(repr=False)

    def result(self, timeout_s: float | None = None) -> str:
        return self.future.result(timeout_s)

    def done(self) -> bool:
        return self.future.done()


class Store:
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
        self.path = Path(path)
        self.read_only = read_only
        self.lock_timeout_s = lock_timeout_s
        self.on_undeclared = on_undeclared
        self.format = open_folder(self.path, read_only, lock_timeout_s)
        self.index = Index(self.path / "packs")
        self.journal = Journal(self.path / "journal")
        self.last_undeclared: list[str] = []
        self._arena = Arena()
        self.catalogue = Catalogue(self.path)
        self._tracks: weakref.WeakKeyDictionary[torch.nn.Module, Track] = weakref.WeakKeyDictionary()
        self._inflight: Future[str] | None = None

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnlyStore(f"{self.path}: opened read-only", mend="open it without read_only")

    def _shared(self) -> Any:
        return locked(self.path / "gc.lock", shared=True, timeout_s=self.lock_timeout_s, writable=not self.read_only)

    def _exclusive(self) -> Any:
        return locked(self.path / "lock", timeout_s=self.lock_timeout_s)

    def track(self, model: torch.nn.Module) -> Track:
        """What this process knows about `model` in this store."""
        return self._tracks.setdefault(model, Track())

    def _settle(self) -> None:
        """Wait for a background save, whose own error its Pending reports."""
        if self._inflight is not None:
            self._inflight.exception()
            self._inflight = None

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
        track = self._ready_to_save(model, tag)
        slots, trees = saving.everything(model, parts)
        buffers = saving.Buffers(self._arena, max((slot.nbytes for slot in slots), default=0))
        with self._shared():
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
        track = self._ready_to_save(model, tag)
        slots, trees = saving.everything(model, parts)
        with ExitStack() as stack:
            stack.enter_context(self._shared())
            self.index.refresh()
            captured = list(saving.capture(slots, track, self.index.__contains__, trust_journal, copies=True))
            for one in captured:
                one.pieces = list(one.pieces)
            draft = self._draft(model, trees, metadata, track)
            declared = set(track.dirty)
            held = stack.pop_all()

        def finish() -> str:
            with held:
                return self._write(draft, captured, track, saving.Buffers(self._arena, 0), declared, tag, refuse_unhealthy)

        thread = ThreadPoolExecutor(1)
        self._inflight = thread.submit(finish)
        thread.shutdown(wait=False)
        return Pending(self._inflight)

    def _ready_to_save(self, model: torch.nn.Module, tag: str | None) -> Track:
        self._settle()
        self._refuse_read_only()
        if tag:
            check_ref_name(tag)
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
            writer.finish()
        self.index.refresh()
        self.commit(draft, tag)
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

    def commit(self, draft: Manifest, tag: str | None = None) -> str:
        """List a manifest whose chunks are all stored; returns its id.

        Raises:
            MissingChunk, StoreBusy, DiskFull, ReadOnlyStore, WriteFailed
        """
        self._refuse_read_only()
        with self._exclusive():
            lost = [chunk for chunk in draft.chunks() if chunk not in self.index]
            if lost:
                raise MissingChunk(f"{len(lost)} chunks vanished while saving; nothing was committed", mend="save again")
            self.catalogue.add(draft)
            if tag:
                self.catalogue.set_ref("tags", tag, draft.id)
        return draft.id

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

    def tensor(self, ref: str, name: str) -> torch.Tensor:
        """A stored tensor as a fresh CPU tensor, verified.

        Raises:
            UnknownCheckpoint, UnknownTensor, CorruptStore
        """
        with self.reading() as reader:
            return restoring.load_tensor(self.manifest(ref).entry(name), reader)

    @contextmanager
    def reading(self) -> Iterator[ChunkReader]:
        """A reader of verified chunks, during which nothing is collected."""
        self._settle()
        with self._shared():
            self.index.refresh()
            with ChunkReader(self.index) as reader:
                yield reader

    def verify(self, ref: str) -> Manifest:
        """Read every chunk of a checkpoint; returns its manifest.

        Raises:
            UnknownCheckpoint, CorruptManifest, CorruptPack, CorruptChunk, MissingChunk
        """
        with self.reading() as reader:
            manifest = load(self.path / "manifests" / f"{self.resolve(ref)}.json")
            for chunk in sorted(manifest.chunks()):
                reader.read(chunk)
        return manifest

    # -- names ---------------------------------------------------------------------------------------------------------

    def manifest(self, ref: str) -> Manifest:
        """The manifest that `ref` names. Raises UnknownCheckpoint, CorruptManifest."""
        return self.catalogue.manifest(ref)

    def resolve(self, ref: str) -> str:
        """Id, tag, `head`, or unique prefix -> id. Raises UnknownCheckpoint."""
        return self.catalogue.resolve(ref)

    def head(self) -> str | None:
        """The newest checkpoint's id; None in an empty store."""
        return self.catalogue.head()

    def log(self) -> list[CheckpointInfo]:
        """Complete checkpoints, oldest first. Those with damaged manifests or missing chunks are left out; `fsck` names them."""
        self._settle()
        self.index.refresh()
        tags: dict[str, list[str]] = {}
        for tag, name in self.tags().items():
            tags.setdefault(name, []).append(tag)
        listed = sorted(self.catalogue.manifests().values(), key=lambda m: (m.sequence, m.id))
        return [info(m, tuple(sorted(tags.get(m.id, ())))) for m in listed if all(chunk in self.index for chunk in m.chunks())]

    def tag(self, ref: str, name: str) -> str:
        """Name a checkpoint; a tag protects it. Returns the id. Raises UnknownCheckpoint, InputError."""
        return self._point("tags", ref, name)

    def pin(self, ref: str, name: str) -> str:
        """Hold a checkpoint as a rollback target until `unpin`. Returns the id."""
        return self._point("pins", ref, name)

    def untag(self, name: str) -> None:
        """Remove a tag. Raises UnknownCheckpoint."""
        self._drop("tags", name)

    def unpin(self, name: str) -> None:
        """Release a rollback target. Raises UnknownCheckpoint."""
        self._drop("pins", name)

    def tags(self) -> dict[str, str]:
        """Tag -> id."""
        return self.catalogue.refs("tags")

    def pins(self) -> dict[str, str]:
        """Pin -> id."""
        return self.catalogue.refs("pins")

    def _point(self, kind: str, ref: str, name: str) -> str:
        self._refuse_read_only()
        check_ref_name(name)
        target = self.resolve(ref)
        with self._exclusive():
            self.catalogue.set_ref(kind, name, target)
        return target

    def _drop(self, kind: str, name: str) -> None:
        self._refuse_read_only()
        with self._exclusive():
            self.catalogue.drop_ref(kind, name)

    # -- comparing and upkeep --------------------------------------------------------------------------------------------

    def diff(self, a: str, b: str, *, stats: bool = True) -> Diff:
        """What differs between two checkpoints, without a model. `stats=False` reads no tensor.

        Raises:
            UnknownCheckpoint, CorruptStore
        """
        with self.reading() as reader:
            return compare(self.manifest(a), self.manifest(b), reader if stats else None)

    def protected(self) -> dict[str, str]:
        """Id -> why it may not be deleted."""
        return self.catalogue.protected()

    def delete(self, ref: str) -> str:
        """Move one checkpoint to the trash; its chunks are freed by `gc`.

        Raises:
            UnknownCheckpoint, Protected
        """
        self._settle()
        self._refuse_read_only()
        target = self.resolve(ref)
        with self._exclusive():
            why = self.protected().get(target)
            if why:
                raise Protected(f"{target} is protected: {why}", mend="remove the tag or pin; a baseline and the newest stay")
            self.catalogue.remove(target, self.path / "trash" / str(int(time.time())))
        return target

    def prune(self, retention: Retention) -> list[str]:
        """Delete what `retention` does not keep; baselines, tags, rollback targets and the newest always stay."""
        kept = retention.keep(self.log()) | set(self.protected())
        return [self.delete(one.id) for one in self.log() if one.id not in kept]

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False) -> GcReport:
        """Move packs that nothing needs to the trash, rewrite those less than half needed, empty trash older than `grace_s`.

        Raises:
            StoreBusy: a save or restore is running. ReadOnlyStore, DiskFull
        """
        self._settle()
        self._refuse_read_only()
        # savers hold gc.lock before they take lock, so the order here must be the same
        with locked(self.path / "gc.lock", timeout_s=self.lock_timeout_s), self._exclusive():
            self.index.refresh()
            live = {chunk for m in self.catalogue.manifests().values() for chunk in m.chunks()}
            report = collect(self.path, self.index, live, bool(self.catalogue.corrupt), grace_s, dry_run)
            self.index.refresh()
        return report

    def fsck(self) -> FsckReport:
        """Check every byte: packs, manifests, references, refs, journal. Damaged chunks are written anew by the next save."""
        self._settle()
        with self._shared():
            self.index.refresh()
            self.catalogue.forget()
            manifests = dict(self.catalogue.manifests())
            refs = {
                f"{kind}/{name}": target
                for kind in ("heads", "tags", "pins")
                for name, target in self.catalogue.refs(kind).items()
            }
            return fsck_store(self.path, self.index, manifests, dict(self.catalogue.corrupt), refs, self.journal)

    def disk_usage(self) -> dict[str, Any]:
        """Bytes: `physical` (files), `logical` (sum over checkpoints), `shared`, `trash`, `unique` by checkpoint id."""
        self._settle()
        self.index.refresh()
        return usage(self.path, self.catalogue.manifests())

    def health(self, ref: str) -> dict[str, Health]:
        """Tensor name -> health as recorded when saved."""
        return {name: e.health for name, e in self.manifest(ref).entries.items() if e.health and e.kind != "part"}

    def images(self, model: torch.nn.Module) -> dict[str, Bytes]:
        """Private copies of all live tensors' bytes, for an undo in memory."""
        return restoring.images_of(model_slots(model))
