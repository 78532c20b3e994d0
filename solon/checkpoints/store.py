"""The content-addressed store of checkpoints.

root/FORMAT                 {"chunk", "format", "hash", "store_id"}
root/packs/*.pack           chunks of at most 16 MiB, named by blake3 (see packs.py)
root/manifests/<id>.json    one per checkpoint (see manifest.py); its rename is the commit point
root/refs/{heads,tags,pins}/<name>   an id and a newline, replaced by rename; pins are rollback targets of open experiments
root/journal/*.jsonl        hash-chained record of edits and upkeep (see journal.py)
root/trash/<epoch>/         what gc removed, until its grace is over
root/lock, root/gc.lock     flock: one committer; savers and readers shared against gc
"""

from __future__ import annotations

import datetime
import json
import os
import re
import secrets
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from solon.checkpoints import changes, restoring, saving
from solon.checkpoints.changes import Track, UndeclaredEdit
from solon.checkpoints.compare import Diff, compare
from solon.checkpoints.errors import (
    CheckpointError,
    CorruptManifest,
    MissingChunk,
    Protected,
    ReadOnlyStore,
    UnhealthyModel,
    UnknownCheckpoint,
)
from solon.checkpoints.files import fsync_folder, locked, named_os_errors, require_space, write_durably
from solon.checkpoints.health import Health
from solon.checkpoints.journal import Journal
from solon.checkpoints.manifest import FORMAT, Entry, Manifest, load, plain
from solon.checkpoints.packs import ChunkReader, Index, PackWriter
from solon.checkpoints.restoring import Restored
from solon.checkpoints.tensors import CHUNK, Bytes, model_slots
from solon.checkpoints.upkeep import FsckReport, GcReport, Retention, collect, fsck_store, usage
from solon.errors import InputError, nearest

REF_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class CheckpointInfo:
    """One line of the log. `bytes` are logical: each shared tensor once, whatever is shared with other checkpoints."""

    id: str
    sequence: int
    created: str
    parent: str | None
    metadata: dict[str, Any]
    tags: tuple[str, ...]
    bytes: int
    poisoned: bool
    baseline: bool


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
        self.format = self._open_format()
        self.index = Index(self.path / "packs")
        self.journal = Journal(self.path / "journal")
        self.last_undeclared: list[str] = []
        self._manifests: dict[str, Manifest] = {}
        self._corrupt: dict[str, str] = {}
        self._tracks: weakref.WeakKeyDictionary[torch.nn.Module, Track] = weakref.WeakKeyDictionary()
        self._inflight: Future[str] | None = None

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open_format(self) -> dict[str, Any]:
        file = self.path / "FORMAT"
        if not file.exists():
            self._create(file)
        try:
            found = json.loads(file.read_text())
            if found["format"] != FORMAT or found["hash"] != "blake3" or found["chunk"] != CHUNK:
                raise ValueError(f"expected format {FORMAT}, blake3, chunks of {CHUNK}; found {found}")
            uuid.UUID(found["store_id"])
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{file}: {error}", mend="use another folder, or the version that wrote it") from error
        return found

    def _create(self, file: Path) -> None:
        if self.read_only:
            raise UnknownCheckpoint(f"{self.path}: no store here", mend="check the path")
        if (
            self.path.is_dir()
            and any(p.name not in ("lost+found",) for p in self.path.iterdir())
            and not (self.path / "packs").is_dir()
        ):
            raise InputError(f"{self.path}: expected an empty folder or a store, found other files", mend="name another folder")
        with named_os_errors(self.path):
            for name in ("packs", "manifests", "refs/heads", "refs/tags", "refs/pins", "journal", "trash"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            fsync_folder(self.path)
        record = {"format": FORMAT, "hash": "blake3", "chunk": CHUNK, "store_id": str(uuid.uuid4())}
        with locked(self.path / "lock", timeout_s=self.lock_timeout_s):
            if not file.exists():
                write_durably(file, json.dumps(record, sort_keys=True).encode() + b"\n")

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
        self._settle()
        self._refuse_read_only()
        if tag:
            self._check_ref_name(tag)
        track = self.track(model)
        track.refuse_torn()
        slots, trees = saving.everything(model, parts)
        buffers = saving.Buffers(max((slot.nbytes for slot in slots), default=0))
        with self._shared():
            self.index.refresh()
            if not self.index.packs:
                require_space(self.path, sum(slot.nbytes for slot in slots))
            stream = saving.capture(slots, track, self.index.__contains__, trust_journal, buffers.copy)
            draft = self._draft(model, trees, metadata, track)
            return self._write(draft, stream, track, buffers.swap, set(track.dirty), tag, refuse_unhealthy)

    def save_async(
        self, model: torch.nn.Module, *, metadata: dict[str, Any] | None = None, tag: str | None = None,
        trust_journal: bool = False, refuse_unhealthy: bool = False, **parts: Any,
    ) -> Pending:  # fmt: skip
        """Like `save`, but returns once the changed chunks are copied in memory; hashing and writing follow on a thread.

        The checkpoint is listed only when it is durable. A later save or restore of this store waits for it.
        """
        self._settle()
        self._refuse_read_only()
        if tag:
            self._check_ref_name(tag)
        track = self.track(model)
        track.refuse_torn()
        slots, trees = saving.everything(model, parts)
        with ExitStack() as stack:
            stack.enter_context(self._shared())
            self.index.refresh()
            captured = list(saving.capture(slots, track, self.index.__contains__, trust_journal, lambda data: data.copy()))
            for one in captured:
                one.pieces = list(one.pieces)
            draft = self._draft(model, trees, metadata, track)
            declared = set(track.dirty)
            held = stack.pop_all()

        def finish() -> str:
            with held:
                return self._write(draft, captured, track, lambda: None, declared, tag, refuse_unhealthy)

        thread = ThreadPoolExecutor(1)
        self._inflight = thread.submit(finish)
        thread.shutdown(wait=False)
        return Pending(self._inflight)

    def _draft(self, model: torch.nn.Module, trees: dict[str, Any], metadata: dict[str, Any] | None, track: Track) -> Manifest:
        now = datetime.datetime.now(datetime.UTC)
        return Manifest(
            id=f"checkpoint_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(4)}",
            sequence=0,
            created=now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            parent=track.base or self.head(),
            entries={},
            ties=[],
            flags=saving.flags_of(model),
            parts=trees,
            metadata=plain(metadata or {}),
            model_class=type(model).__name__,
        )

    def _write(
        self, draft: Manifest, stream: Iterable[saving.Captured], track: Track, wrote: Callable[[], None],
        declared: set[str], tag: str | None, refuse_unhealthy: bool,
    ) -> str:  # fmt: skip
        changed: list[str] = []
        with PackWriter(self.path / "packs") as writer:
            for captured in stream:
                slot = captured.slot
                entry, differs = saving.write_pieces(captured, track, self.index.__contains__, writer, wrote)
                draft.entries[slot.name] = entry
                if len(slot.names) > 1:
                    draft.ties.append(list(slot.names))
                if differs and slot.kind != "part":
                    changed.append(slot.name)
            self._judge_health(draft, refuse_unhealthy)
            writer.finish()
        self.index.refresh()
        self._commit(draft, tag)
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

    def _commit(self, draft: Manifest, tag: str | None) -> None:
        with self._exclusive():
            lost = [chunk for chunk in draft.chunks() if chunk not in self.index]
            if lost:
                raise MissingChunk(f"{len(lost)} chunks vanished while saving; nothing was committed", mend="save again")
            draft.sequence = 1 + max((m.sequence for m in self._all_manifests().values()), default=0)
            write_durably(self.path / "manifests" / f"{draft.id}.json", draft.to_bytes())
            self._manifests[draft.id] = draft
            self._set_ref("heads", "main", draft.id)
            if tag:
                self._set_ref("tags", tag, draft.id)

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
                behind = changes.undeclared((n.slot.name for n in needs if self._moved(n, track)), track) if partial else []
                work = restoring.run(
                    manifest, model, slots, track, reader, needs=needs, ties=ties, undo=undo, flags=flags, parts=parts
                )
        restoring.remember(track, manifest, model_slots(model) if ties else slots)
        self._alarm(behind)
        ignored = tuple(sorted(set(manifest.parts) - set(parts)))
        return Restored(manifest.id, tuple(work.written), work.total, tuple(behind), ignored)

    @staticmethod
    def _moved(need: restoring.Need, track: Track) -> bool:
        """Whether the live tensor itself moved, rather than only the target being another checkpoint."""
        entry = track.entries.get(need.slot.name)
        return entry is not None and bool(changes.differing_chunks(need.slot, entry, track))

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
        with self._shared(), ChunkReader(self._fresh_index()) as reader:
            return restoring.load_tensor(self.manifest(ref).entry(name), reader)

    def verify(self, ref: str) -> Manifest:
        """Read every chunk of a checkpoint; returns its manifest.

        Raises:
            UnknownCheckpoint, CorruptManifest, CorruptPack, CorruptChunk, MissingChunk
        """
        with self._shared(), ChunkReader(self._fresh_index()) as reader:
            manifest = load(self.path / "manifests" / f"{self.resolve(ref)}.json")
            for chunk in sorted(manifest.chunks()):
                reader.read(chunk)
        return manifest

    def _fresh_index(self) -> Index:
        self._settle()
        self.index.refresh()
        return self.index

    # -- names ---------------------------------------------------------------------------------------------------------

    def _all_manifests(self) -> dict[str, Manifest]:
        """Every readable manifest by id; damaged ones are put into `_corrupt`. Files are read once: they never change."""
        present = {p.removesuffix(".json") for p in os.listdir(self.path / "manifests") if p.endswith(".json")}
        for gone in set(self._manifests) - present:
            del self._manifests[gone]
        self._corrupt = {name: text for name, text in self._corrupt.items() if name in present}
        for name in present - set(self._manifests) - set(self._corrupt):
            try:
                manifest = load(self.path / "manifests" / f"{name}.json")
                if manifest.id != name:
                    raise CorruptManifest(f"{name}.json calls itself {manifest.id}", mend="put the file back under its own name")
                self._manifests[name] = manifest
            except CorruptManifest as error:
                self._corrupt[name] = str(error)
        return self._manifests

    def manifest(self, ref: str) -> Manifest:
        """The manifest that `ref` names.

        Raises:
            UnknownCheckpoint, CorruptManifest
        """
        name = self.resolve(ref)
        if name in self._corrupt:
            raise CorruptManifest(self._corrupt[name])
        return self._manifests[name]

    def resolve(self, ref: str) -> str:
        """Id, tag, `head` (or `latest`), or unique prefix -> id.

        Raises:
            UnknownCheckpoint
        """
        manifests = self._all_manifests()
        known = set(manifests) | set(self._corrupt)
        if ref in known:
            return ref
        target = self._refs("tags").get(ref) or (self.head() if ref in ("head", "latest") else None)
        if target in known:
            return target
        matches = sorted(name for name in known if ref and (name.startswith(ref) or name.endswith(f"_{ref}")))
        if len(matches) == 1:
            return matches[0]
        hint = f"{len(matches)} ids begin so" if matches else nearest(str(ref), known | set(self._refs("tags")))
        raise UnknownCheckpoint(f"{self.path}: no checkpoint {ref!r}", mend=hint or "`log` lists them")

    def log(self) -> list[CheckpointInfo]:
        """Complete checkpoints, oldest first. Those with damaged manifests or missing chunks are left out; `fsck` names them."""
        self._settle()
        self.index.refresh()
        tags: dict[str, list[str]] = {}
        for tag, name in self._refs("tags").items():
            tags.setdefault(name, []).append(tag)
        return [
            CheckpointInfo(
                m.id,
                m.sequence,
                m.created,
                m.parent,
                m.metadata,
                tuple(sorted(tags.get(m.id, ()))),
                m.logical_bytes,
                m.poisoned,
                is_baseline(m),
            )
            for m in sorted(self._all_manifests().values(), key=lambda m: (m.sequence, m.id))
            if all(chunk in self.index for chunk in m.chunks())
        ]

    def head(self) -> str | None:
        """The newest checkpoint's id; None in an empty store. The ref is a hint: when it dangles the manifests decide."""
        name = self._refs("heads").get("main")
        manifests = self._all_manifests()
        if name in manifests:
            return name
        return max(manifests.values(), key=lambda m: m.sequence).id if manifests else None

    def tag(self, ref: str, name: str) -> str:
        """Name a checkpoint; a tag protects it. Returns the id.

        Raises:
            UnknownCheckpoint, InputError: not a possible tag name.
        """
        self._refuse_read_only()
        self._check_ref_name(name)
        target = self.resolve(ref)
        with self._exclusive():
            self._set_ref("tags", name, target)
        return target

    def untag(self, name: str) -> None:
        """Remove a tag.

        Raises:
            UnknownCheckpoint
        """
        self._drop_ref("tags", name)

    def tags(self) -> dict[str, str]:
        """Tag -> id."""
        return self._refs("tags")

    def pin(self, ref: str, name: str) -> None:
        """Hold a checkpoint as a rollback target until `unpin`."""
        self._refuse_read_only()
        self._check_ref_name(name)
        target = self.resolve(ref)
        with self._exclusive():
            self._set_ref("pins", name, target)

    def unpin(self, name: str) -> None:
        """Release a rollback target."""
        self._drop_ref("pins", name)

    def pins(self) -> dict[str, str]:
        """Pin -> id."""
        return self._refs("pins")

    def _check_ref_name(self, name: str) -> None:
        if not REF_NAME.fullmatch(name):
            raise InputError(f"tag {name!r}: expected letters, digits, '.', '_' or '-', at most 100", mend="choose another name")

    def _set_ref(self, kind: str, name: str, target: str) -> None:
        folder = self.path / "refs" / kind
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / name, f"{target}\n".encode())

    def _drop_ref(self, kind: str, name: str) -> None:
        self._refuse_read_only()
        file = self.path / "refs" / kind / name
        with self._exclusive(), named_os_errors(file):
            if not file.exists():
                raise UnknownCheckpoint(
                    f"no {kind[:-1]} {name!r}", mend=nearest(name, set(self._refs(kind))) or "nothing of that name"
                )
            os.unlink(file)
            fsync_folder(file.parent)

    def _refs(self, kind: str) -> dict[str, str]:
        folder = self.path / "refs" / kind
        if not folder.is_dir():
            return {}
        return {f.name: f.read_text(errors="replace").strip() for f in sorted(folder.iterdir()) if not f.name.endswith(".tmp")}

    # -- comparing and upkeep --------------------------------------------------------------------------------------------

    def diff(self, a: str, b: str, *, stats: bool = True) -> Diff:
        """What differs between two checkpoints, without a model. `stats=False` reads no tensor.

        Raises:
            UnknownCheckpoint, CorruptStore
        """
        with self._shared(), ChunkReader(self._fresh_index()) as reader:
            return compare(self.manifest(a), self.manifest(b), reader if stats else None)

    def protected(self) -> dict[str, str]:
        """Id -> why it may not be deleted."""
        reasons = {m.id: "baseline" for m in self._all_manifests().values() if is_baseline(m)}
        reasons.update({name: f"rollback target {pin}" for pin, name in self._refs("pins").items()})
        reasons.update({name: f"tag {tag}" for tag, name in self._refs("tags").items()})
        head = self.head()
        if head:
            reasons.setdefault(head, "newest")
        return reasons

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
            trash = self._new_trash()
            with named_os_errors(trash):
                os.rename(self.path / "manifests" / f"{target}.json", trash / f"{target}.json")
                fsync_folder(self.path / "manifests")
            self._manifests.pop(target, None)
        return target

    def _new_trash(self) -> Path:
        import time

        trash = self.path / "trash" / str(int(time.time()))
        with named_os_errors(trash):
            trash.mkdir(parents=True, exist_ok=True)
        return trash

    def prune(self, retention: Retention) -> list[str]:
        """Delete what `retention` does not keep; baselines, tags, rollback targets and the newest always stay. Returns the ids."""
        kept = retention.keep(self.log()) | set(self.protected())
        return [self.delete(info.id) for info in self.log() if info.id not in kept]

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False) -> GcReport:
        """Move packs that nothing needs to the trash, rewrite those less than half needed, empty trash older than `grace_s`.

        Raises:
            StoreBusy: a save or restore is running. ReadOnlyStore, DiskFull
        """
        self._settle()
        self._refuse_read_only()
        with self._exclusive(), locked(self.path / "gc.lock", timeout_s=self.lock_timeout_s):
            self.index.refresh()
            live = {chunk for m in self._all_manifests().values() for chunk in m.chunks()}
            report = collect(self.path, self.index, live, bool(self._corrupt), grace_s, dry_run)
            self.index.refresh()
        return report

    def fsck(self) -> FsckReport:
        """Check every byte: packs, manifests, references, refs, journal. Damaged chunks are written anew by the next save."""
        self._settle()
        with self._shared():
            self.index.refresh()
            self._manifests.clear()
            self._corrupt.clear()
            manifests = dict(self._all_manifests())
            refs = {f"{kind}/{name}": target for kind in ("heads", "tags", "pins") for name, target in self._refs(kind).items()}
            return fsck_store(self.path, self.index, manifests, dict(self._corrupt), refs, self.journal)

    def disk_usage(self) -> dict[str, Any]:
        """Bytes: `physical` (files), `logical` (sum over checkpoints), `shared`, `trash`, `unique` by checkpoint id."""
        self._settle()
        self.index.refresh()
        return usage(self.path, self._all_manifests())

    def health(self, ref: str) -> dict[str, Health]:
        """Tensor name -> health as recorded when saved."""
        return {name: e.health for name, e in self.manifest(ref).entries.items() if e.health and e.kind != "part"}

    def images(self, model: torch.nn.Module) -> dict[str, Bytes]:
        """Private copies of all live tensors' bytes, for an undo in memory."""
        return restoring.images_of(model_slots(model))


def is_baseline(manifest: Manifest) -> bool:
    """Whether the metadata call this checkpoint a baseline."""
    return manifest.metadata.get("state") == "baseline" or bool(manifest.metadata.get("baseline"))


__all__ = ["CheckpointError", "CheckpointInfo", "Pending", "Store", "is_baseline"]
