"""A store without models: folder, locks, names, comparisons and upkeep. `Store` adds saving from and restoring into models."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from solon.checkpoints.catalogue import Catalogue, CheckpointInfo, check_ref_name, info
from solon.checkpoints.compare import Diff, compare
from solon.checkpoints.errors import MissingChunk, Protected, ReadOnlyStore
from solon.checkpoints.files import locked
from solon.checkpoints.health import Health
from solon.checkpoints.journal import Journal
from solon.checkpoints.layout import open_folder
from solon.checkpoints.manifest import Manifest, load
from solon.checkpoints.packs import ChunkReader, Index, PackWriter
from solon.checkpoints.restoring import load_tensor
from solon.checkpoints.upkeep import FsckReport, GcReport, Retention, collect, fsck_store, usage
from solon.errors import InputError


class Shelf:
    """The checkpoints in one folder. See `Store` for the arguments."""

    def __init__(self, path: str | os.PathLike[str], read_only: bool, lock_timeout_s: float) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self.lock_timeout_s = lock_timeout_s
        self.format = open_folder(self.path, read_only, lock_timeout_s)
        self.index = Index(self.path / "packs")
        self.journal = Journal(self.path / "journal")
        self.catalogue = Catalogue(self.path)
        self._inflight: Future[str] | None = None

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ReadOnlyStore(f"{self.path}: opened read-only", mend="open it without read_only")

    def _shared(self) -> Any:
        return locked(self.path / "gc.lock", shared=True, timeout_s=self.lock_timeout_s, writable=not self.read_only)

    def _exclusive(self) -> Any:
        return locked(self.path / "lock", timeout_s=self.lock_timeout_s)

    def _settle(self) -> None:
        """Wait for a background save, whose own error its Pending reports."""
        if self._inflight is not None:
            self._inflight.exception()
            self._inflight = None

    # -- reading -------------------------------------------------------------------------------------------------------

    def tensor(self, ref: str, name: str) -> torch.Tensor:
        """A stored tensor as a fresh CPU tensor, verified.

        Raises:
            UnknownCheckpoint, UnknownTensor, CorruptStore
        """
        with self.reading() as reader:
            return load_tensor(self.manifest(ref).entry(name), reader)

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

    def unlisted(self) -> list[str]:
        """Ids that `log` leaves out: damaged manifests, and checkpoints of which chunks are missing."""
        manifests = self.catalogue.manifests()
        return sorted({*manifests, *self.catalogue.corrupt} - {one.id for one in self.log()})

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

    def prune(self, retention: Retention, *, dry_run: bool = False) -> list[str]:
        """Delete what `retention` does not keep, and return the ids; baselines, tags, rollback targets and the newest stay."""
        listed = self.log()
        kept = retention.keep(listed) | set(self.protected())
        gone = [one.id for one in listed if one.id not in kept]
        return gone if dry_run else [self.delete(name) for name in gone]

    def gc(self, *, grace_s: float = 3600.0, dry_run: bool = False, retention: Retention | None = None) -> GcReport:
        """Move packs that nothing needs to the trash, rewrite those less than half needed, empty trash older than `grace_s`.

        With `retention`, first `prune`. A dry run says what would go, and changes nothing.

        Raises:
            StoreBusy: a save or restore is running. ReadOnlyStore, DiskFull. InputError: a grace that is no time.
        """
        if not grace_s >= 0:
            raise InputError(f"grace: expected seconds from 0, got {grace_s!r}", mend="3600 keeps the trash for an hour")
        self._settle()
        self._refuse_read_only()
        gone = self.prune(retention, dry_run=dry_run) if retention is not None else []
        # savers hold gc.lock before they take lock, so the order here must be the same
        with locked(self.path / "gc.lock", timeout_s=self.lock_timeout_s), self._exclusive():
            self.index.refresh()
            staying = [m for m in self.catalogue.manifests().values() if m.id not in gone]
            live = {chunk for m in staying for chunk in m.chunks()}
            report = collect(self.path, self.index, live, bool(self.catalogue.corrupt), grace_s, dry_run)
            self.index.refresh()
        report.deleted = gone
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

    def commit(self, draft: Manifest, tag: str | None = None, writer: PackWriter | None = None) -> str:
        """List a manifest whose chunks are all stored, or in `writer`, whose pack is made durable first; returns its id.

        Raises:
            MissingChunk, StoreBusy, DiskFull, ReadOnlyStore, WriteFailed: nothing is then listed.
        """
        self._refuse_read_only()

        def ready(sync: Callable[[], None]) -> None:
            if writer is not None:
                writer.finish(sync)
            else:
                sync()
            self.index.refresh()
            lost = [chunk for chunk in draft.chunks() if chunk not in self.index]
            if lost:
                raise MissingChunk(f"{len(lost)} chunks vanished while saving; nothing was committed", mend="save again")

        with self._exclusive():
            self.catalogue.add(draft, ready)
            try:
                if tag:
                    self.catalogue.set_ref("tags", tag, draft.id)
            except BaseException:
                self.catalogue.withdraw(draft.id)
                raise
        return draft.id
