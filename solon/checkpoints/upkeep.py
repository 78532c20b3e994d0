"""Retention, garbage collection, checking and disk usage."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from solon.checkpoints.catalogue import CheckpointInfo
from solon.checkpoints.errors import CorruptStore
from solon.checkpoints.files import fsync_folder, named_os_errors, require_space
from solon.checkpoints.journal import Journal
from solon.checkpoints.manifest import Manifest
from solon.checkpoints.packs import ChunkReader, Index, PackWriter, pack_problems
from solon.errors import InputError

REWRITE_BELOW = 0.5  # live share of a pack's bytes under which its live chunks move to a new pack


@dataclass(frozen=True)
class Retention:
    """What to keep besides baselines, tags, rollback targets and the newest.

    `keep_last` N newest; `keep_every` k: each k-th by sequence; `keep_best`: (metadata key, how many, "min" or "max"), where NaN
    and absent values are never best.

    Raises:
        InputError: a negative count, or another direction.
    """

    keep_last: int | None = None
    keep_every: int | None = None
    keep_best: tuple[str, int, str] | None = None

    def __post_init__(self) -> None:
        counts = {"keep_last": (self.keep_last, 0), "keep_every": (self.keep_every, 1)}
        if self.keep_best is not None:
            if len(self.keep_best) != 3 or self.keep_best[2] not in ("min", "max"):
                raise InputError(
                    f"keep_best: expected (key, count, 'min' or 'max'), got {self.keep_best!r}", mend="('loss', 3, 'min')"
                )
            counts["keep_best"] = (self.keep_best[1], 0)
        for name, (count, least) in counts.items():
            if count is not None and (not isinstance(count, int) or count < least):
                raise InputError(f"{name}: expected a whole number from {least}, got {count!r}", mend="or leave it out")

    def keep(self, infos: Sequence[CheckpointInfo]) -> set[str]:
        """Ids to keep. Without any rule, all."""
        if self.keep_last is None and self.keep_every is None and self.keep_best is None:
            return {info.id for info in infos}
        kept: set[str] = set()
        if self.keep_last:
            kept |= {info.id for info in infos[-self.keep_last :]}
        if self.keep_every:
            kept |= {info.id for info in infos if info.sequence % self.keep_every == 0}
        if self.keep_best:
            key, count, direction = self.keep_best
            scored = [(info.metadata.get(key), info.id) for info in infos]
            numbers = [(v, i) for v, i in scored if isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)]
            kept |= {i for _, i in sorted(numbers, reverse=direction == "max")[:count]}
        return kept


@dataclass
class GcReport:
    """Checkpoints deleted, packs moved to the trash or rewritten, their bytes, and the bytes of trash really freed."""

    deleted: list[str] = field(default_factory=list)
    trashed_packs: list[str] = field(default_factory=list)
    rewritten_packs: list[str] = field(default_factory=list)
    trashed_bytes: int = 0
    freed_bytes: int = 0
    dry_run: bool = False
    note: str = ""


@dataclass
class FsckReport:
    """`problems` are sentences; `damaged` the ids of checkpoints that cannot be restored. False when there are problems."""

    packs: int = 0
    chunks: int = 0
    checkpoints: int = 0
    problems: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok


def collect(root: Path, index: Index, live: set[str], keep_all: bool, grace_s: float, dry_run: bool) -> GcReport:
    """Sweep, under both exclusive locks. With `keep_all` (a manifest is damaged) nothing is swept: its needs are unknown."""
    report = GcReport(dry_run=dry_run)
    if keep_all:
        report.note = "a manifest is damaged, so nothing was swept: run fsck and move it away first"
        return report
    if not dry_run:
        _remove_unfinished(root)
    dead, thin = [], []
    for path, entries in index.packs.items():
        needed = sum(length for name, _, length in entries if name in live and index[name].pack == path)
        total = sum(length for _, _, length in entries)
        if needed == 0:
            dead.append(path)
        elif needed < REWRITE_BELOW * total:
            thin.append(path)
    report.trashed_packs = [p.name for p in dead + thin]
    report.rewritten_packs = [p.name for p in thin]
    report.trashed_bytes = sum(p.stat().st_size for p in dead + thin)
    if dry_run:
        return report
    for path in thin:
        _rewrite(root, index, path, live)
    _to_trash(root, dead + thin)
    report.freed_bytes = _empty_trash(root, grace_s)
    return report


def _remove_unfinished(root: Path) -> None:
    """Temporary files are nobody's while both locks are held."""
    for folder in ("packs", "manifests", "refs/heads", "refs/tags", "refs/pins"):
        for file in (root / folder).glob("*.tmp"):
            with contextlib.suppress(OSError):
                file.unlink()


def _rewrite(root: Path, index: Index, path: Path, live: set[str]) -> None:
    """Copy the live chunks of one pack, verified, into a new one that is durable before the old one moves."""
    wanted = [name for name, _, _ in index.packs[path] if name in live and index[name].pack == path]
    require_space(root, sum(index[name].length for name in wanted))
    with ChunkReader(index) as reader, PackWriter(root / "packs") as writer:
        for name in wanted:
            writer.add(name, np.array(reader.read(name)))
        writer.finish()


def _to_trash(root: Path, paths: list[Path]) -> None:
    if not paths:
        return
    trash = root / "trash" / str(int(time.time()))
    with named_os_errors(trash):
        trash.mkdir(parents=True, exist_ok=True)
        for path in paths:
            os.rename(path, trash / path.name)
        fsync_folder(trash)
        fsync_folder(root / "packs")


def _empty_trash(root: Path, grace_s: float) -> int:
    freed = 0
    with named_os_errors(root / "trash"):
        for folder in (root / "trash").glob("*"):
            if folder.is_dir() and folder.name.isdigit() and time.time() - int(folder.name) >= grace_s:
                freed += _size(folder)
                shutil.rmtree(folder)
    return freed


def _size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def fsck_store(
    root: Path, index: Index, manifests: dict[str, Manifest], corrupt: dict[str, str], refs: dict[str, str], journal: Journal
) -> FsckReport:
    """Read everything and say what is wrong."""
    report = FsckReport(packs=len(index.packs) + len(index.damaged), checkpoints=len(manifests))
    report.problems += list(corrupt.values())
    report.damaged += list(corrupt)
    for path in [*index.packs, *index.damaged]:
        for name, text in pack_problems(path):
            report.problems.append(text)
            if name is not None:
                index.mark_bad(name)
    report.chunks = sum(1 for _ in index)
    for manifest in manifests.values():
        missing = [chunk for chunk in manifest.chunks() if chunk not in index]
        if missing:
            report.damaged.append(manifest.id)
            report.problems.append(f"{manifest.id}: {len(missing)} of its chunks are damaged or missing")
    known = set(manifests) | set(corrupt)
    report.problems += [f"refs/{ref} names {target!r}, which is not there" for ref, target in refs.items() if target not in known]
    for ref, target in refs.items():
        if (root / "refs" / ref).read_bytes() != f"{target}\n".encode():
            report.problems.append(f"refs/{ref}: its bytes are not an id and a newline")
    try:
        for _ in journal.lines():
            pass
    except CorruptStore as error:
        report.problems.append(str(error))
    return report


def usage(root: Path, manifests: dict[str, Manifest]) -> dict[str, Any]:
    """Sizes in bytes; `unique` is what only that checkpoint needs."""
    from solon.checkpoints.restoring import piece_size

    holders: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    for manifest in manifests.values():
        holders.update(manifest.chunks())
        for entry in manifest.entries.values():
            sizes.update({chunk: piece_size(entry, i) for i, chunk in enumerate(entry.chunks)})
    logical = sum(m.logical_bytes for m in manifests.values())
    trash = _size(root / "trash") if (root / "trash").is_dir() else 0
    return {
        "checkpoints": len(manifests),
        "logical": logical,
        "physical": _size(root) - trash,
        "trash": trash,
        "chunks": sum(sizes.values()),
        "shared": sum(size for chunk, size in sizes.items() if holders[chunk] > 1),
        "unique": {
            m.id: sum(sizes[c] for c in m.chunks() if holders[c] == 1)
            for m in sorted(manifests.values(), key=lambda m: m.sequence)
        },
    }
