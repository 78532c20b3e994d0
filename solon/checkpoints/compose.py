"""Checkpoints made from checkpoints, without a model: only manifests are written."""

from __future__ import annotations

import datetime
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from solon.checkpoints.errors import WrongModel
from solon.checkpoints.manifest import Manifest, plain

if TYPE_CHECKING:
    from solon.checkpoints.shelf import Shelf


def graft(store: Shelf, onto: str, source: str, names: list[str], metadata: dict[str, Any] | None = None) -> str:
    """A new checkpoint: `onto`, with the tensors `names` as `source` has them. Parts (optimizer and so on) are left out.

    Raises:
        UnknownCheckpoint, UnknownTensor. WrongModel: another shape or dtype there. CorruptStore: what is needed is damaged.
    """
    with store.reading() as reader:
        made = grafted(store, onto, source, names, metadata)
        for chunk in sorted(made.chunks()):
            reader.read(chunk)
        return store.commit(made)


def grafted(store: Shelf, onto: str, source: str, names: list[str], metadata: dict[str, Any] | None = None) -> Manifest:
    """The manifest that `graft` commits."""
    base, donor = store.manifest(onto), store.manifest(source)
    entries = {name: entry for name, entry in base.entries.items() if entry.kind != "part"}
    for name in names:
        old, new = base.entry(name), donor.entry(name)
        if (old.shape, old.dtype) != (new.shape, new.dtype):
            raise WrongModel(
                f"{name}: {base.id} has {old.dtype} {old.shape}, {donor.id} {new.dtype} {new.shape}",
                mend="take it from another checkpoint",
            )
        entries[base.names()[name]] = new
    text = {"state": "modified", "purpose": f"{', '.join(names)} from {donor.id}", **(metadata or {})}
    poisoned = any(entry.health is not None and not entry.health.finite for entry in entries.values())
    name, created = new_identity()
    return replace(
        base, id=name, created=created, entries=entries, parts={}, metadata=plain(text), parent=base.id, poisoned=poisoned,
        ties=base.model_ties,
    )  # fmt: skip


def new_identity() -> tuple[str, str]:
    """(a fresh id, its time in UTC)."""
    now = datetime.datetime.now(datetime.UTC)
    stamp = now.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return f"checkpoint_{now:%Y%m%d_%H%M%S}_{secrets.token_hex(4)}", stamp
