"""Which checkpoints a store lists, and the names that point at them. Locks are the caller's business."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solon.checkpoints.errors import CheckpointError, CorruptManifest, UnknownCheckpoint
from solon.checkpoints.files import NewFile, fsync_folder, named_os_errors, write_durably
from solon.checkpoints.manifest import Manifest, load
from solon.errors import InputError, nearest

ID = re.compile(r"checkpoint_\d{8}_\d{6}_[0-9a-f]{8}")
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


def info(m: Manifest, tags: tuple[str, ...]) -> CheckpointInfo:
    """The log's line for a manifest."""
    return CheckpointInfo(m.id, m.sequence, m.created, m.parent, m.metadata, tags, m.logical_bytes, m.poisoned, is_baseline(m))


def is_baseline(manifest: Manifest) -> bool:
    """Whether the metadata call this checkpoint a baseline."""
    return manifest.metadata.get("state") == "baseline" or manifest.metadata.get("baseline") is True


def check_ref_name(name: str) -> None:
    """Refuse what cannot be a tag.

    Raises:
        InputError
    """
    if not isinstance(name, str) or not REF_NAME.fullmatch(name) or name in ("head", "latest") or ID.fullmatch(name):
        raise InputError(
            f"tag {name!r}: expected letters, digits, '.', '_' or '-', at most 100, not head, latest or an id",
            mend="choose another name",
        )


class Catalogue:
    """Manifests and refs below `root`. Manifest files never change, so each is read once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.corrupt: dict[str, str] = {}
        self._manifests: dict[str, Manifest] = {}

    def manifests(self) -> dict[str, Manifest]:
        """Every readable manifest by id; damaged ones are put into `corrupt`.

        Raises:
            UnknownCheckpoint: the folder itself cannot be read.
        """
        folder = self.root / "manifests"
        try:
            present = {p.removesuffix(".json") for p in os.listdir(folder) if p.endswith(".json")}
        except OSError as error:
            raise UnknownCheckpoint(f"{folder}: {error.strerror}", mend="was the store moved or deleted?") from error
        for gone in set(self._manifests) - present:
            del self._manifests[gone]
        self.corrupt = {name: text for name, text in self.corrupt.items() if name in present}
        for name in present - set(self._manifests) - set(self.corrupt):
            try:
                manifest = load(folder / f"{name}.json")
                if manifest.id != name:
                    raise CorruptManifest(f"{name}.json calls itself {manifest.id}", mend="put the file back under its own name")
                self._manifests[name] = manifest
            except CorruptManifest as error:
                self.corrupt[name] = str(error)
        return self._manifests

    def forget(self) -> None:
        """Read everything anew next time."""
        self._manifests.clear()
        self.corrupt.clear()

    def add(self, manifest: Manifest, ready: Callable[[Callable[[], None]], None]) -> None:
        """Commit: number the manifest and write it beside its place; `ready(sync)` makes durable all that it needs, and by
        calling `sync` the manifest too; then the rename is the commit point.

        When anything before its end fails, nothing is listed.
        """
        manifest.sequence = 1 + max((m.sequence for m in self.manifests().values()), default=0)
        new = NewFile(self.root / "manifests" / f"{manifest.id}.json", manifest.to_bytes())
        try:
            ready(new.sync)
            new.publish()
        except BaseException:
            new.discard()
            raise
        self._manifests[manifest.id] = manifest
        with contextlib.suppress(CheckpointError):  # for people who look into the folder; the manifests themselves decide
            self.set_ref("heads", "main", manifest.id)

    def withdraw(self, name: str) -> None:
        """Undo an `add` whose checkpoint nobody has been told of yet."""
        with contextlib.suppress(OSError):
            os.unlink(self.root / "manifests" / f"{name}.json")
        self._manifests.pop(name, None)

    def remove(self, name: str, trash: Path) -> None:
        """Move a manifest to the trash."""
        folder = self.root / "manifests"
        with named_os_errors(trash):
            trash.mkdir(parents=True, exist_ok=True)
            os.rename(folder / f"{name}.json", trash / f"{name}.json")
            fsync_folder(folder)
        self._manifests.pop(name, None)

    def manifest(self, ref: str) -> Manifest:
        """The manifest that `ref` names.

        Raises:
            UnknownCheckpoint, CorruptManifest
        """
        name = self.resolve(ref)
        if name in self.corrupt:
            raise CorruptManifest(self.corrupt[name])
        return self._manifests[name]

    def resolve(self, ref: str) -> str:
        """Id, tag, `head` (or `latest`), or unique beginning of an id or of its last eight digits -> id.

        Raises:
            UnknownCheckpoint
        """
        known = set(self.manifests()) | set(self.corrupt)
        ref = ref if isinstance(ref, str) else str(ref)
        if ref in known:
            return ref
        tags = self.refs("tags")
        target = tags.get(ref) or (self.head() if ref in ("head", "latest") else None)
        if target in known:
            return str(target)
        matches = sorted(name for name in known if ref and (name.startswith(ref) or _last(name).startswith(ref)))
        if len(matches) == 1:
            return matches[0]
        if ref in tags:
            raise UnknownCheckpoint(
                f"{self.root}: the tag {ref!r} names {tags[ref]!r}, which is not there", mend="tag another checkpoint so"
            )
        hint = f"{len(matches)} ids begin so: {', '.join(matches[:3])}, …" if matches else nearest(str(ref), known | set(tags))
        damaged = f"{len(self.corrupt)} manifests are damaged: run fsck" if self.corrupt else "`log` lists them"
        raise UnknownCheckpoint(
            f"{self.root}: expected the id or tag of a checkpoint, got no checkpoint {ref!r}", mend=hint or damaged
        )

    def head(self) -> str | None:
        """The newest checkpoint's id; None in an empty store."""
        manifests = self.manifests()
        return max(manifests.values(), key=lambda m: (m.sequence, m.id)).id if manifests else None

    def refs(self, kind: str) -> dict[str, str]:
        """Name -> id, for `heads`, `tags` or `pins`."""
        folder = self.root / "refs" / kind
        if not folder.is_dir():
            return {}
        files = [file for file in sorted(folder.iterdir()) if file.is_file() and not file.name.endswith(".tmp")]
        return {file.name: file.read_text(errors="replace").strip() for file in files}

    def set_ref(self, kind: str, name: str, target: str) -> None:
        """Point a ref at an id, durably."""
        folder = self.root / "refs" / kind
        with named_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / name, f"{target}\n".encode(), hint=kind == "heads")

    def drop_ref(self, kind: str, name: str) -> None:
        """Remove a ref.

        Raises:
            UnknownCheckpoint
        """
        file = self.root / "refs" / kind / name
        if not file.exists():
            known = nearest(name, set(self.refs(kind)))
            raise UnknownCheckpoint(f"no {kind[:-1]} {name!r}", mend=known or "nothing of that name")
        with named_os_errors(file):
            os.unlink(file)
            fsync_folder(file.parent)

    def protected(self) -> dict[str, str]:
        """Id -> why it may not be deleted."""
        reasons = {m.id: "baseline" for m in self.manifests().values() if is_baseline(m)}
        reasons.update({name: f"rollback target {pin}" for pin, name in self.refs("pins").items()})
        reasons.update({name: f"tag {tag}" for tag, name in self.refs("tags").items()})
        head = self.head()
        if head:
            reasons.setdefault(head, "newest")
        return reasons


def _last(name: str) -> str:
    """The random digits of an id."""
    return name.rpartition("_")[2]
