"""The edits that an experiment offers. Each declares what it is about to change, with everything that shares its memory."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from solon.checkpoints import Store
from solon.checkpoints.errors import UnknownTensor
from solon.checkpoints.tensors import Bytes, Slot, Writer, logical_bytes, model_slots
from solon.errors import InputError, nearest
from solon.lab import lora
from solon.lab.inspector import WeightInspector

Rows = slice | list[int] | torch.Tensor | int | None
MEMORY_UNDO = 256 * 2**20  # bytes of pre-images kept


class Edits:
    """Edits of one model, recorded. An Experiment is one of these; it can also be used alone with a store.

    `records`: one per edit: id, method, targets, coupled, params.
    """

    def __init__(self, model: nn.Module, store: Store) -> None:
        self.model, self.store = model, store
        self.records: list[dict[str, Any]] = []
        self._adapters: dict[str, dict[str, Bytes]] = {}
        self._images: dict[str, Bytes] = {}

    # -- declaring ---------------------------------------------------------------------------------------------------------

    def declare(self, targets: Iterable[str], method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Announce an edit of `targets` before making it by hand; returns its record.

        Raises:
            UnknownTensor: with the nearest names.
        """
        names = [targets] if isinstance(targets, str) else list(targets)
        self.store.declare(self.model, names)
        self._keep_images(names)
        couplings = WeightInspector(self.model).couplings()
        coupled = sorted({other for name in names for other in couplings[name]} - set(names))
        record = {"id": secrets.token_hex(6), "method": method, "targets": names, "coupled": coupled, "params": params or {}}
        self.records.append(record)
        return record

    def _keep_images(self, names: list[str]) -> None:
        """Copies of tensors about to change, for an undo that reads no disk; large ones are left to the store."""
        for name in names:
            slot = self._slot(name)
            held = sum(len(image) for image in self._images.values())
            if slot.name not in self._images and held + slot.nbytes <= MEMORY_UNDO:
                self._images[slot.name] = logical_bytes(slot.tensor).to("cpu", copy=True).numpy()

    def keep_all_images(self) -> None:
        """Copies of the whole model, where it is small enough: then an undo needs no disk at all."""
        slots = model_slots(self.model)
        if sum(slot.nbytes for slot in slots) <= MEMORY_UNDO:
            self._keep_images([slot.name for slot in slots])

    def put_images_back(self) -> None:
        """Undo, from memory, everything whose pre-images were kept."""
        for name, image in self._images.items():
            writer = Writer(name, self._slot(name).tensor)
            writer.write(0, image)
            writer.close()

    def _slot(self, name: str) -> Slot:
        slots = model_slots(self.model)
        for slot in slots:
            if name in slot.names:
                return slot
        known = {n for slot in slots for n in slot.names}
        raise UnknownTensor(
            f"expected the name of a tensor of the model, got {name!r}",
            mend=nearest(str(name), known) or "see WeightInspector(model).layers()",
        )

    def _floats(self, name: str) -> torch.Tensor:
        tensor = self._slot(name).tensor.detach()
        if not (tensor.is_floating_point() or tensor.is_complex()):
            raise InputError(f"{name}: expected a floating-point tensor, got {tensor.dtype}", mend="edit it with apply()")
        return tensor

    # -- edits -------------------------------------------------------------------------------------------------------------

    def scale(self, name: str, factor: float, rows: Rows = None) -> None:
        """Multiply a tensor, or some of its rows (first dimension), by `factor`.

        Raises:
            UnknownTensor. InputError: not a finite number, no such rows, or not a floating-point tensor.
        """
        number = _number(f"scale {name}", factor)
        self._change(name, rows, "scale", {"factor": number}, lambda place: place.mul_(number))

    def add(self, name: str, delta: float | torch.Tensor, rows: Rows = None) -> None:
        """Add a number or a tensor (of the tensor's shape, or of the rows').

        Raises:
            UnknownTensor. InputError: shapes differ, no such rows, or not a floating-point tensor.
        """
        if isinstance(delta, torch.Tensor) and delta.dim():
            tensor = self._floats(name)
            shape = _part(tensor, _index(name, tensor, rows)).shape
            if delta.shape != shape:
                raise InputError(f"add {name}: expected shape {tuple(shape)}, got {tuple(delta.shape)}", mend="reshape the delta")
            self._change(name, rows, "add", {"delta": f"tensor {tuple(shape)}"}, lambda place: place.add_(delta.to(place)))
        else:
            number = _number(f"add {name}", delta)
            self._change(name, rows, "add", {"delta": number}, lambda place: place.add_(number))

    def _change(self, name: str, rows: Rows, method: str, params: dict[str, Any], change: Callable[[torch.Tensor], Any]) -> None:
        """Declare an edit and let `change` work on the rows in place; eight-bit floats are widened for it."""
        tensor = self._floats(name)
        index = _index(name, tensor, rows)
        self.declare([name], method, {**params, "rows": _rows_text(rows)})
        with torch.no_grad():
            if index is None and tensor.element_size() > 1:
                change(tensor)
                return
            part = _part(tensor, index)
            wide = part.float() if part.element_size() == 1 else part.clone()
            change(wide)
            tensor[... if index is None else index] = wide.to(tensor.dtype)

    def low_rank(self, name: str, left: torch.Tensor, right: torch.Tensor, weight: float = 1.0) -> None:
        """Add weight * left @ right, where left is (rows, rank) and right (rank, columns); the product is taken in float32.

        Raises:
            UnknownTensor. InputError: shapes do not fit.
        """
        tensor = self._floats(name)
        if (
            tensor.dim() != 2
            or left.dim() != 2
            or right.dim() != 2
            or (left.shape[0], right.shape[1]) != tuple(tensor.shape)
            or left.shape[1] != right.shape[0]
        ):
            raise InputError(
                f"low_rank {name}: expected (rows, rank) @ (rank, columns) = {tuple(tensor.shape)}, "
                f"got {tuple(left.shape)} @ {tuple(right.shape)}",
                mend="left is LoRA's B, right its A",
            )
        scale = _number(f"low_rank {name}: weight", weight)
        delta = scale * (left.float() @ right.float())
        self._change(name, None, "low_rank", {"rank": left.shape[1], "weight": scale}, lambda place: place.add_(delta.to(place)))

    def apply(self, function: Callable[[nn.Module], Any], targets: Iterable[str] = ()) -> Any:
        """Run any function on the model. Changes outside `targets` raise the undeclared-edit alarm; returns what it returns.

        Raises:
            UnknownTensor: among the targets. InputError: no function. Whatever the function raises.
        """
        if not callable(function):
            raise InputError(f"apply: expected a function of the model, got {type(function).__name__}", mend="pass the function")
        self.declare(targets, getattr(function, "__name__", "function"))
        return function(self.model)

    # -- LoRA --------------------------------------------------------------------------------------------------------------

    def lora_apply(self, folder: str | Path, name: str = "adapter", *, check: torch.Tensor | None = None) -> list[str]:
        """Merge a PEFT LoRA adapter into the weights; returns the tensors changed. `lora_remove` undoes it bit for bit.

        The merged model must give the logits that the model gives with the adapter laid over it, up to rounding; else the merge
        is undone.

        Args:
            check: token ids (batch, length) for that comparison; default: 16 of the vocabulary, where a configuration tells it.

        Raises:
            InputError: no plain LoRA adapter, it does not fit, a target is tied, or `name` is in use. CheckFailed: logits differ.
        """
        if name in self._adapters:
            raise InputError(f"adapter {name!r} is applied already", mend="lora_remove it first, or give another name")
        updates = lora.read(Path(folder))
        slots = {tensor: self._slot(tensor) for tensor in updates}
        lora.refuse_unfit(str(folder), updates, slots)
        ids = lora.some_ids(self.model) if check is None else check
        wanted = None if ids is None else lora.logits_with(self.model, updates, ids)
        self._adapters[name] = {t: logical_bytes(s.tensor).to("cpu", copy=True).numpy() for t, s in slots.items()}
        for tensor, (left, right, weight) in updates.items():
            self.low_rank(tensor, left.to(slots[tensor].tensor.device), right.to(slots[tensor].tensor.device), weight)
        if wanted is not None and ids is not None:
            try:
                self.records[-1]["params"]["logit_difference"] = lora.refuse_other_logits(self.model, wanted, ids)
            except BaseException:
                self.lora_remove(name)
                raise
        return list(updates)

    def lora_remove(self, name: str = "adapter") -> None:
        """Put the weights back as they were before `lora_apply`, bit for bit (edits made to them since are lost as well).

        Raises:
            InputError: no such adapter is applied.
        """
        if name not in self._adapters:
            raise InputError(f"adapter {name!r} is not applied", mend=nearest(name, set(self._adapters)) or "lora_apply it first")
        images = self._adapters.pop(name)
        self.declare(list(images), "lora_remove", {"adapter": name})
        for tensor, image in images.items():
            writer = Writer(tensor, self._slot(tensor).tensor)
            writer.write(0, image)
            writer.close()


def _number(what: str, value: Any) -> float:
    """A finite number; tensors and arrays of one element are numbers too."""
    try:
        number = float("nan") if isinstance(value, (bool, str, bytes)) or value is None else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = float("nan")
    if not np.isfinite(number):
        raise InputError(f"{what}: expected a finite number, got {value!r}", mend="1.1, for example")
    return number


def _index(name: str, tensor: torch.Tensor, rows: Rows) -> slice | torch.Tensor | None:
    """What selects the rows; None for all.

    Raises:
        InputError: the tensor has no rows, or no such ones.
    """
    if rows is None:
        return None
    count = tensor.shape[0] if tensor.dim() else 0
    if isinstance(rows, slice) and count:
        return rows
    try:
        wanted = torch.as_tensor([rows] if isinstance(rows, int) else rows, device=tensor.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: rows: expected row numbers, a mask or a slice, got {rows!r}", mend="[0, 3]") from error
    if wanted.dtype is torch.bool:
        wanted = wanted.nonzero().flatten() if wanted.shape == (count,) else torch.tensor([count])
    if wanted.is_floating_point() or wanted.dim() != 1 or bool(((wanted < -count) | (wanted >= count)).any()):
        raise InputError(f"{name}: rows: expected numbers below {count}, got {rows!r}", mend="rows are the first dimension")
    return wanted.long()


def _part(tensor: torch.Tensor, index: slice | torch.Tensor | None) -> torch.Tensor:
    return tensor if index is None else tensor[index]


def _rows_text(rows: Rows) -> Any:
    return rows if rows is None or isinstance(rows, int) else str(rows) if isinstance(rows, slice) else [int(r) for r in rows]
