"""What changed since the last save or restore: the declared edits, joined with a scan of the live memory.

The scan compares fingerprints that this process holds (see hashing.py); nothing is read from the disk.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from solon.checkpoints.errors import ModelUnusable, UnknownTensor
from solon.checkpoints.hashing import chunk_name, fingerprint
from solon.checkpoints.health import Health
from solon.checkpoints.manifest import Entry
from solon.checkpoints.tensors import DTYPE_NAMES, Slot, read_chunks, sharing
from solon.errors import nearest


class UndeclaredEdit(UserWarning):
    """A tensor changed that no declared edit names."""


@dataclass
class Track:
    """What one process knows about one live model in one store."""

    base: str | None = None  # checkpoint that the model equalled last
    entries: dict[str, Entry] = field(default_factory=dict)  # what it held then
    prints: dict[str, bytes] = field(default_factory=dict)  # chunk name -> fingerprint of the same bytes
    health: dict[tuple[str, str], Health] = field(default_factory=dict)  # (chunk name, dtype)
    dirty: set[str] = field(default_factory=set)  # declared since `base`, with everything that shares their memory
    journalled: bool = False  # edits are being declared, so that others are worth an alarm
    torn: tuple[str, ...] = ()  # tensors a failed restore had written

    def refuse_torn(self) -> None:
        """Raise ModelUnusable while a failed restore has not been followed by a successful one."""
        if self.torn:
            raise ModelUnusable(
                f"the model is half written: an earlier restore failed after writing {', '.join(self.torn[:5])}"
                + (f" and {len(self.torn) - 5} more" if len(self.torn) > 5 else ""),
                mend="restore a good checkpoint in full, or load the base weights again",
            )


def declare(track: Track, slots: list[Slot], names: Iterable[str]) -> None:
    """Note that `names` are about to change; whatever shares their memory changes with them.

    Raises:
        UnknownTensor
    """
    shared = sharing(slots)
    for name in names:
        if name not in shared:
            raise UnknownTensor(
                f"expected the name of a tensor of the model, got {name!r}",
                mend=nearest(name, set(shared)) or "see model.named_parameters()",
            )
        track.dirty |= shared[name]
    track.journalled = True


def same_form(entry: Entry, tensor: torch.Tensor) -> bool:
    """Whether a live tensor has the stored dtype and shape."""
    return entry.dtype == DTYPE_NAMES[tensor.dtype] and entry.shape == list(tensor.shape)


def differing_chunks(slot: Slot, entry: Entry, track: Track) -> list[int]:
    """Indices of the chunks in which the live tensor differs from `entry`.

    Chunks whose fingerprint this process has never seen are compared by name, which also teaches it.
    """
    found = []
    for index, data in read_chunks(slot.tensor):
        want, live = entry.chunks[index], fingerprint(data)
        if want not in track.prints and chunk_name(data) == want:
            track.prints[want] = live
        if track.prints.get(want) != live:
            found.append(index)
    return found


def changed_names(slots: list[Slot], track: Track, entries: dict[str, Entry] | None = None) -> list[str]:
    """Canonical names of the live tensors that differ from `entries` (default: from the last save or restore)."""
    entries = track.entries if entries is None else entries
    return [
        slot.name
        for slot in slots
        if slot.name not in entries
        or not same_form(entries[slot.name], slot.tensor)
        or differing_chunks(slot, entries[slot.name], track)
    ]


def undeclared(changed: Iterable[str], track: Track) -> list[str]:
    """Those of `changed` that no declaration covers; empty while edits are not being declared."""
    return [name for name in changed if name not in track.dirty] if track.journalled else []
