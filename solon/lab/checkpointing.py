"""The guide's names for the checkpoint store: CheckpointManager and AutoCheckpointer."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from solon.checkpoints import Store
from solon.checkpoints.tensors import model_slots
from solon.errors import InputError, SolonError

log = logging.getLogger("solon.lab")


class CheckpointManager:
    """Checkpoints of one model, with the guide's methods and returns.

    Args:
        model: what is saved and restored.
        checkpoint_dir: folder of the store (`.store`).
        parts: further state to keep with every checkpoint: optimizer=, scheduler=, rng=True, ... (see Store.save).
    """

    def __init__(self, model: nn.Module, checkpoint_dir: str | Path = "data/checkpoints", **parts: Any) -> None:
        self.model = model
        self.store = Store(checkpoint_dir)
        self.parts = parts
        self.last_error: SolonError | None = None

    def save_checkpoint(self, metadata: dict[str, Any] | None = None) -> str:
        """Save; returns `checkpoint_YYYYMMDD_HHMMSS_<8 hex>` (UTC).

        Raises:
            CheckpointError: see Store.save. Nothing was committed.
        """
        return self.store.save(self.model, metadata=metadata, **self.parts)

    def restore_checkpoint(self, checkpoint_id: str) -> bool:
        """Put the model, in place, into the saved state. False when that failed: the model is then as it was before the call,
        and `last_error` says why.
        """
        try:
            self.store.restore(checkpoint_id, self.model, changed_only=True, undo=True, **self.parts)
        except SolonError as error:
            self.last_error = error
            log.error("restore of %s failed: %s", checkpoint_id, error)
            return False
        self.last_error = None
        return True

    def list_checkpoints(self) -> list[dict[str, Any]]:
        """Oldest first: `id`, `metadata` (with `timestamp`), `parent`, `tags`, `size_bytes`, `healthy`."""
        return [
            {
                "id": info.id,
                "metadata": {"timestamp": info.created, **info.metadata},
                "parent": info.parent,
                "tags": list(info.tags),
                "size_bytes": info.bytes,
                "healthy": not info.poisoned,
            }
            for info in self.store.log()
        ]

    def compare_checkpoints(self, checkpoint_id_1: str, checkpoint_id_2: str) -> dict[str, Any]:
        """`num_differences` and `differences` [layer, change, aliases, l2, largest, fraction], largest change first.

        `change`: L2 norm of the difference over that of the first tensor; inf where a tensor came, went or changed shape.
        """
        found = self.store.diff(checkpoint_id_1, checkpoint_id_2)
        rows: list[dict[str, Any]] = [
            {
                "layer": one.name,
                "change": float("inf") if one.relative is None else one.relative,
                "aliases": list(one.aliases),
                "l2": one.l2,
                "largest": one.largest,
                "fraction": one.fraction,
            }
            for one in found.changed
        ]
        rows += [{"layer": name, "change": float("inf"), "aliases": []} for name in (*found.added, *found.removed)]
        rows.sort(key=lambda row: -row["change"])
        return {"num_differences": len(rows), "differences": rows, "flags_changed": found.flags_changed}

    def get_disk_usage(self) -> int:
        """Bytes of all files of the store."""
        use = self.store.disk_usage()
        return int(use["physical"] + use["trash"])


class AutoCheckpointer:
    """Saves on every `frequency`-th modification while it is entered, and keeps the newest `max_checkpoints`.

    What counts as one modification, by the first of these that occurs inside the `with` block:

    - `auto.step()` was called: each call counts.
    - an `optimizer` was given: each of its steps counts.
    - otherwise each call from the block that writes into the model's memory in place (`mul_`, `add_`, `copy_`, also through
      `.data`), however many tensors it writes; a write that stands in the block itself is one of its own. The checkpoint is made
      when the next modification begins, or the block ends, so that it never holds half of one. Writes through NumPy or raw
      pointers are not seen; call `step()` for those.

    On entry the present state is saved as a baseline, which retention never deletes.

    Args:
        frequency: modifications per checkpoint. max_checkpoints: how many automatic ones stay, besides the baseline.
        parts: see Store.save.
    """

    def __init__(
        self,
        model: nn.Module,
        checkpoint_dir: str | Path = "data/auto_checkpoints",
        frequency: int = 10,
        max_checkpoints: int = 20,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        **parts: Any,
    ) -> None:
        if not all(isinstance(n, int) and n >= 1 for n in (frequency, max_checkpoints)):
            raise InputError(
                f"frequency and max_checkpoints: expected whole numbers from 1, got {frequency!r}, {max_checkpoints!r}",
                mend="10 and 20 are the defaults",
            )
        self.frequency, self.max_checkpoints = frequency, max_checkpoints
        self.parts = {**parts, **({"optimizer": optimizer} if optimizer is not None else {})}
        self.checkpointer = CheckpointManager(model, checkpoint_dir, **self.parts)
        self.store, self.model, self.optimizer = self.checkpointer.store, model, optimizer
        self.modifications = self._saved = 0
        self.checkpoints: list[str] = []
        self.baseline: str | None = None
        self._explicit = False
        self._writes: _Writes | None = None
        self._hook: Any = None

    def __enter__(self) -> AutoCheckpointer:
        self.baseline = self.checkpointer.save_checkpoint({"state": "baseline", "purpose": "before automatic checkpoints"})
        if self.optimizer is not None:
            self._hook = self.optimizer.register_step_post_hook(lambda *_: self._count())
        else:
            self._writes = _Writes(self.model, sys._getframe(1), self._begin)
            self._writes.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._writes is not None:
            self._writes.__exit__(*error)
            self._writes = None
            self._save_if_due()
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def step(self) -> str | None:
        """Count one modification; returns the checkpoint's id when this one was saved."""
        if not self._explicit:
            self._explicit = True
            self.modifications = 0
            self.__exit__(None, None, None)  # no longer counted by themselves
        before = len(self.checkpoints)
        self._count()
        return self.checkpoints[-1] if len(self.checkpoints) > before else None

    def _count(self) -> None:
        self.modifications += 1
        self._save_if_due()

    def _begin(self) -> None:
        """A modification begins: the one before it is complete."""
        self._save_if_due()
        self.modifications += 1

    def _save_if_due(self) -> None:
        if self.modifications % self.frequency == 0 and self.modifications > self._saved:
            metadata = {"state": "testing", "purpose": "automatic", "modification": self.modifications}
            self.checkpoints.append(self.checkpointer.save_checkpoint(metadata))
            self._saved = self.modifications
            self._retain()

    def _retain(self) -> None:
        """The new checkpoint is durable before an old one goes."""
        automatic = [info.id for info in self.store.log() if info.metadata.get("purpose") == "automatic"]
        protected = self.store.protected()
        gone = [self.store.delete(name) for name in automatic[: -self.max_checkpoints] if name not in protected]
        if gone:
            self.store.gc(grace_s=0)


class _Writes(TorchDispatchMode):
    """Calls `begins` before the first write into the model's memory by each call from the frame `home`."""

    def __init__(self, model: nn.Module, home: FrameType, begins: Callable[[], None]) -> None:
        super().__init__()
        self.model, self.home, self.begins = model, home, begins
        self.memory = self._addresses()
        self._last: FrameType | None = None  # held, so that no later frame can be mistaken for it

    def _addresses(self) -> set[int]:
        return {slot.tensor.untyped_storage().data_ptr() for slot in model_slots(self.model) if slot.tensor.numel()}

    def _call(self, frame: FrameType | None) -> FrameType | None:
        """The frame that was called from `home` and leads to this operation; None for one that stands in `home`, or elsewhere."""
        while frame is not None and frame is not self.home:
            if frame.f_back is self.home:
                return frame
            frame = frame.f_back
        return None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func._schema.is_mutable or not any(at in self.memory for at in _written(func, args, kwargs or {})):
            return func(*args, **(kwargs or {}))
        call = self._call(sys._getframe(1))
        if call is None or call is not self._last:
            self.begins()
            self._last = call
        result = func(*args, **(kwargs or {}))
        self.memory = self._addresses()
        return result


def _written(func: Any, args: Any, kwargs: dict[str, Any]) -> list[int]:
    """Addresses of the storages that an operation's schema says it writes."""
    found = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        for tensor in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(tensor, torch.Tensor) and not tensor.is_meta:
                found.append(tensor.untyped_storage().data_ptr())
    return found
