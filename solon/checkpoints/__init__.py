"""Checkpoints: a content-addressed store of tensors, verified, deduplicated, restored in place; and tensor health in one pass.

    from solon.checkpoints import Store
    store = Store("checkpoints")
    id = store.save(model, optimizer=optimizer, rng=True)
    store.restore(id, model, optimizer=optimizer, rng=True)

Attributes load on first use, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

_WHERE = {
    "Store": "store", "CheckpointInfo": "catalogue", "Pending": "store", "Restored": "restoring", "Retention": "upkeep",
    "GcReport": "upkeep", "FsckReport": "upkeep", "Diff": "compare", "TensorDiff": "compare", "UndeclaredEdit": "changes",
    "Health": "health", "tensor_health": "health", "model_health": "health", "Journal": "journal",
}  # fmt: skip

if TYPE_CHECKING:
    from solon.checkpoints.catalogue import CheckpointInfo
    from solon.checkpoints.changes import UndeclaredEdit
    from solon.checkpoints.compare import Diff, TensorDiff
    from solon.checkpoints.health import Health, model_health, tensor_health
    from solon.checkpoints.journal import Journal
    from solon.checkpoints.restoring import Restored
    from solon.checkpoints.store import Pending, Store
    from solon.checkpoints.upkeep import FsckReport, GcReport, Retention


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


__all__ = [
    "CheckpointInfo", "Diff", "FsckReport", "GcReport", "Health", "Journal", "Pending", "Restored", "Retention", "Store",
    "TensorDiff", "UndeclaredEdit", "model_health", "tensor_health",
]  # fmt: skip
