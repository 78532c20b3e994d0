"""When things go wrong: less memory, another checkpoint, the base weights; and what a killed process left behind."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints.errors import CheckpointError, UnknownCheckpoint
from solon.errors import EnvironmentRefused, IntegrityError

T = TypeVar("T")
log = logging.getLogger("solon.lab")


def free_memory() -> None:
    """Collect garbage and hand cached accelerator memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out. PyTorch has a class of its own for accelerators; on the CPU, and below cuBLAS,
    it is a RuntimeError that only its words tell apart.
    """
    words = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(word in str(error) for word in words)


def with_less_memory(action: Callable[[int], T], batch_size: int, *, to_cpu: Callable[[], None] | None = None) -> T:
    """Run `action(batch_size)`; when memory runs out: free caches, halve the batch down to 1, then `to_cpu()` and once more.

    Raises:
        EnvironmentRefused: memory ran out at every step. Any other error of `action` as it is.
    """
    size, moved = max(1, batch_size), False
    while True:
        try:
            return action(size)
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            free_memory()
            if size > 1:
                size //= 2
                log.warning("out of memory: trying batches of %d", size)
            elif to_cpu is not None and not moved:
                moved = True
                log.warning("out of memory at batches of 1: moving to the CPU")
                to_cpu()
            else:
                raise EnvironmentRefused(
                    f"out of memory even at batches of 1 ({error})", mend="use a smaller model or shorter texts"
                ) from error


def move_to_cpu(model: nn.Module) -> None:
    """Move parameters and buffers to the CPU; each shared storage moves once, so ties of separate objects hold as well.

    Parameter objects stay the same, so optimizers keep referring to them.
    """
    from solon.checkpoints.tensors import model_slots, modules

    homes = {name: slot.tensor.detach().cpu() for slot in model_slots(model) for name in slot.names}
    for path, module in modules(model):
        for leaf, parameter in module._parameters.items():
            if parameter is not None:
                parameter.data = homes[f"{path}.{leaf}" if path else leaf]
        for leaf, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[leaf] = homes[f"{path}.{leaf}" if path else leaf]


def restore_any(
    store: Store, model: nn.Module, preferred: str | None = None, *, base: Callable[[nn.Module], None] | None = None
) -> tuple[str, list[str]]:
    """Restore the preferred checkpoint, else the newest older ones that are healthy and verify, else the base weights.

    Args:
        base: puts the base weights into the model, in place.

    Returns:
        (what was restored: an id or "base weights", each step tried, as sentences).

    Raises:
        UnknownCheckpoint: nothing could be restored; the model is unchanged, or marked unusable by the store.
    """
    steps: list[str] = []
    candidates = [info.id for info in reversed(store.log()) if not info.poisoned]
    order = [preferred, *(c for c in candidates if c != preferred)] if preferred else candidates
    for name in order:
        try:
            done = store.restore(str(name), model, undo=True)
        except CheckpointError as error:
            steps.append(f"{name}: {error}")
            log.error("restore of %s failed: %s", name, error)
            continue
        steps.append(f"{done.id}: restored")
        return done.id, steps
    if base is not None:
        base(model)
        store.track(model).torn = ()
        steps.append("base weights loaded")
        return "base weights", steps
    raise UnknownCheckpoint(
        f"{store.path}: no checkpoint could be restored: {'; '.join(steps) or 'the store is empty'}",
        mend="load the base weights again",
    )


def process_identity() -> dict[str, Any]:
    """Who runs here, such that a reused process number is noticed."""
    import platform

    import psutil

    return {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": platform.node()}


def is_running(identity: dict[str, Any]) -> bool:
    """Whether that very process still runs. A process of another host counts as running: nobody here can know."""
    import platform

    import psutil

    if identity.get("host") != platform.node():
        return True
    try:
        return abs(psutil.Process(int(identity["pid"])).create_time() - float(identity["started"])) < 1.0
    except (psutil.NoSuchProcess, KeyError, ValueError):
        return False


def interrupted(store: Store) -> list[dict[str, Any]]:
    """Experiments that were opened and neither closed nor still running."""
    return [record for record in _by_state(store)[0] if not is_running(record.get("process", {}))]


def _by_state(store: Store) -> tuple[list[dict[str, Any]], set[str]]:
    """(opening records without a closing one, ids of closed experiments)."""
    opened: dict[str, dict[str, Any]] = {}
    closed: set[str] = set()
    for record in store.journal.records():
        if record.get("kind") == "experiment_open":
            opened[record["experiment"]] = record
        elif record.get("kind") == "experiment_close":
            closed.add(record["experiment"])
    return [record for name, record in opened.items() if name not in closed], closed


def recover(store: Store, model: nn.Module | None = None) -> list[dict[str, Any]]:
    """Roll interrupted experiments back: verify the baseline, restore `model` when given, record the rollback, release the pin.

    Returns:
        One record per experiment, oldest first: experiment, name, baseline, verified, restored, error. One whose baseline does
        not verify stays open and pinned.

    Raises:
        WrongModel, TiesChanged: `model` is not the one that was edited; that experiment stays open.
    """
    for name in _by_state(store)[1] & set(store.pins()):  # killed between the closing record and the release of the pin
        store.unpin(name)
    return [_recover_one(store, model, record) for record in interrupted(store)]


def _recover_one(store: Store, model: nn.Module | None, record: dict[str, Any]) -> dict[str, Any]:
    name, baseline = record["experiment"], record["baseline"]
    found = {"experiment": name, "name": record.get("name", ""), "baseline": baseline, "verified": False, "restored": False}
    try:
        store.verify(baseline)
        if model is not None:
            store.restore(baseline, model, undo=True)
    except (IntegrityError, UnknownCheckpoint) as error:
        log.error("experiment %s stays open: %s", name, error)
        return {**found, "error": str(error)}
    found.update(verified=True, restored=model is not None)
    store.journal.append({"kind": "experiment_close", "outcome": "rolled_back", "recovered": True, **found})
    if name in store.pins():
        store.unpin(name)
    return {**found, "error": None}
