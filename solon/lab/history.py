"""Questions about the past: which edit last touched a tensor, which checkpoint or tensor broke a test; and going partly back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints.compose import graft, grafted
from solon.checkpoints.manifest import Manifest
from solon.checkpoints.tensors import model_slots
from solon.errors import InputError


def lineage(store: Store, ref: str) -> list[str]:
    """Ids from the root to `ref` along parents that still exist."""
    known = {info.id: info.parent for info in store.log()}
    first = store.manifest(ref)
    chain, name = [first.id], first.parent
    while name in known and name not in chain:
        chain.append(str(name))
        name = known[str(name)]
    return chain[::-1]


def blame(store: Store, tensor: str, ref: str = "head") -> dict[str, Any]:
    """Which checkpoint of the lineage of `ref` brought the tensor's present contents, and the journal's edits recorded with it.

    Returns:
        `tensor`, `aliases`, `checkpoint`, `created`, `metadata`, `edits`, `first` (it is as old as the lineage).

    Raises:
        UnknownCheckpoint, UnknownTensor
    """
    manifest = store.manifest(ref)
    entry = manifest.entry(tensor)
    found = manifest.id
    for name in reversed(lineage(store, ref)):
        older = store.manifest(name)
        names = older.names()
        if tensor not in names or older.entries[names[tensor]].chunks != entry.chunks:
            break
        found = name
    maker = store.manifest(found)
    canonical = manifest.names()[tensor]
    aliases = [name for name, home in manifest.names().items() if home == canonical and name != tensor]
    edits = [
        record
        for record in store.journal.records("edit")
        if record.get("checkpoint") == found and {tensor, *aliases} & {*record["targets"], *record["coupled"]}
    ]
    return {
        "tensor": tensor,
        "aliases": aliases,
        "checkpoint": found,
        "created": maker.created,
        "metadata": maker.metadata,
        "edits": edits,
        "first": found == lineage(store, ref)[0],
    }


def bisect(store: Store, good: str, bad: str, passes: Callable[[str], bool]) -> dict[str, Any]:
    """The first checkpoint, between a good and a bad one in the order of saving, at which `passes(id)` is false.

    Both ends are tested first, so a wrong claim is refused rather than bisected.

    Returns:
        `first_bad`, `last_good`, `tested` {id: passed}.

    Raises:
        UnknownCheckpoint. InputError: the ends are in the wrong order, or do not behave as claimed.
    """
    order = [info.id for info in store.log()]
    low, high = order.index(store.resolve(good)), order.index(store.resolve(bad))
    if low >= high:
        raise InputError(
            f"bisect: expected a checkpoint and a later one, got {good} and {bad}", mend="give the older, good one first"
        )
    tested = {order[low]: passes(order[low]), order[high]: passes(order[high])}
    if not tested[order[low]] or tested[order[high]]:
        ends = ", ".join(f"{name} {'passes' if ok else 'fails'}" for name, ok in tested.items())
        raise InputError(
            f"bisect: expected the first to pass and the last to fail; {ends}", mend="choose other ends or another test"
        )
    while high - low > 1:
        middle = (low + high) // 2
        tested[order[middle]] = passes(order[middle])
        low, high = (middle, high) if tested[order[middle]] else (low, middle)
    return {"first_bad": order[high], "last_good": order[low], "tested": tested}


def bisect_tensors(store: Store, good: str, bad: str, model: nn.Module, passes: Callable[[nn.Module], bool]) -> list[str]:
    """A smallest set of changed tensors that alone makes `passes(model)` false when taken from `bad` onto `good`.

    Delta debugging (ddmin; Zeller and Hildebrandt 2002) over the tensors that differ. The model is left at `good`.

    Raises:
        InputError: `good` fails, or all changes together pass.
    """
    names = store.diff(good, bad, stats=False).names
    target = {name: store.tensor(bad, name) for name in names}

    def fails(subset: list[str]) -> bool:
        store.restore(good, model, changed_only=True)
        slots = {alias: slot for slot in model_slots(model) for alias in slot.names}
        with torch.no_grad():
            for name in subset:
                slots[name].tensor.copy_(target[name])
        return not passes(model)

    try:
        return _guilty(names, fails)
    finally:
        store.restore(good, model, changed_only=True)


def bisect_stored_tensors(store: Store, good: str, bad: str, passes: Callable[[Manifest], bool]) -> list[str]:
    """As `bisect_tensors`, without a model: `passes` gets manifests of `good` with some tensors of `bad`, committed nowhere."""
    names = store.diff(good, bad, stats=False).names
    return _guilty(names, lambda subset: not passes(grafted(store, good, bad, subset)))


def _guilty(names: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    if fails([]) or not fails(names):
        raise InputError(
            "bisect: expected the good one to pass and all changes together to fail", mend="choose other ends or another test"
        )
    return _ddmin(names, fails)


def _ddmin(names: list[str], fails: Callable[[list[str]], bool]) -> list[str]:
    pieces = 2
    while len(names) > 1:
        size = -(-len(names) // pieces)
        subsets = [names[i : i + size] for i in range(0, len(names), size)]
        for subset in subsets:
            rest = [name for name in names if name not in subset]
            if fails(subset):
                names, pieces = subset, 2
                break
            if len(subsets) > 2 and fails(rest):
                names, pieces = rest, max(pieces - 1, 2)
                break
        else:
            if pieces >= len(names):
                break
            pieces = min(len(names), 2 * pieces)
    return names


def revert(store: Store, source: str, tensors: Iterable[str], onto: str = "head") -> str:
    """A new checkpoint: `onto` with the given tensors (and what is tied to them) as they were in `source`. Needs no model.

    Raises:
        UnknownCheckpoint, UnknownTensor, WrongModel: shapes differ.
    """
    names = list(tensors)
    new = graft(store, onto, source, names)
    store.journal.append({"kind": "revert", "source": store.resolve(source), "tensors": names, "checkpoint": new})
    return new
