"""Tensors as bytes: which can be stored, which share memory, and how to read and write them chunk by chunk.

The stored form of a tensor is its elements in logical (row-major) order, little-endian, whatever its strides are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from solon.checkpoints.errors import UnsupportedTensor
from solon.errors import InputError

CHUNK = 16 * 2**20  # bytes

Bytes = NDArray[np.uint8]

_NAMES = """
    bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 complex32 complex64 complex128
    float8_e4m3fn float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu
""".split()  # noqa: SIM905
DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in _NAMES if hasattr(torch, name)}
DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_PLAIN_SAVE, _PLAIN_EXTRA = torch.nn.Module._save_to_state_dict, torch.nn.Module.get_extra_state
_PLAIN = (torch.Tensor, torch.nn.Parameter)
_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass
class Slot:
    """One stored tensor: all names that alias exactly the same elements, and the live tensor.

    `kind` is `param`, `buffer`, `transient` (a buffer that state dicts leave out) or `part`. `names[0]` is the canonical name.
    """

    names: list[str]
    kind: str
    tensor: torch.Tensor
    storage: tuple[Any, ...] = field(default=())

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def nbytes(self) -> int:
        return self.tensor.numel() * self.tensor.element_size()


def refuse_unsupported(name: str, tensor: torch.Tensor) -> None:
    """Raise UnsupportedTensor unless `tensor` is plain strided memory of a known dtype."""
    known = type(tensor) in _PLAIN and tensor.layout is torch.strided and tensor.dtype in DTYPE_NAMES
    if known and not tensor.is_meta and not tensor.is_nested:
        return
    if not isinstance(tensor, torch.Tensor):
        raise UnsupportedTensor(f"{name}: expected a tensor, got {type(tensor).__name__}", mend="pass a torch.Tensor")
    reason, mend = _unsupported(tensor)
    if reason:
        raise UnsupportedTensor(f"{name}: expected a plain strided tensor, got {reason}", mend=mend)


def _unsupported(tensor: torch.Tensor) -> tuple[str, str]:
    kind = type(tensor)
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):  # type: ignore[attr-defined]
        return "an uninitialised (lazy) tensor", "run one forward pass first"
    if kind.__name__ in ("DTensor", "ShardedTensor"):
        return f"a sharded tensor ({kind.__name__})", "gather it (full_tensor()), or use torch.distributed.checkpoint"
    if tensor.is_meta:
        return "a meta tensor, which has no data", "load the weights before saving"
    if tensor.is_quantized or kind.__name__ in ("Params4bit", "Int8Params"):
        return (
            f"a quantised tensor ({kind.__name__}, {tensor.dtype})",
            "dequantise it, or keep checkpoints of the unquantised model",
        )
    if tensor.is_nested:
        return "a nested tensor", "pad it to a dense tensor"
    if tensor.layout != torch.strided:
        return f"a sparse tensor ({tensor.layout})", "call to_dense() on it"
    if kind not in _PLAIN:
        return f"the tensor subclass {kind.__module__}.{kind.__name__}", "convert it to a plain torch.Tensor or nn.Parameter"
    if tensor.dtype not in DTYPE_NAMES:
        return f"dtype {tensor.dtype}", f"use one of {', '.join(DTYPES)}"
    return "", ""


def refuse_no_module(model: Any) -> None:
    """Raise InputError unless `model` is a module."""
    if not isinstance(model, torch.nn.Module):
        raise InputError(
            f"expected a torch.nn.Module, got {type(model).__name__}", mend="pass the model; other values go in as parts"
        )


def model_slots(model: torch.nn.Module) -> list[Slot]:
    """Parameters and buffers, grouped so that each set of exact aliases is one slot, in the module's own order.

    Raises:
        UnsupportedTensor: also for a module with state that is neither. InputError: no module.
    """
    refuse_no_module(model)
    found: dict[Any, Slot] = {}
    for path, module in modules(model):
        _refuse_hidden_state(path, module)
        for kind, registry in (("param", module._parameters), ("buffer", module._buffers)):
            for leaf, tensor in registry.items() if registry else ():
                if tensor is not None:
                    name = f"{path}.{leaf}" if path else leaf
                    refuse_unsupported(name, tensor)
                    transient = kind == "buffer" and leaf in module._non_persistent_buffers_set
                    add_alias(found, "transient" if transient else kind, name, tensor)
    return list(found.values())


def _refuse_hidden_state(path: str, module: torch.nn.Module) -> None:
    """A module that writes more into its state dict than parameters and buffers (packed quantised weights, extra state) would be
    stored without it, and nobody would know.

    Raises:
        UnsupportedTensor
    """
    kind = type(module)
    if kind._save_to_state_dict is _PLAIN_SAVE and kind.get_extra_state is _PLAIN_EXTRA:
        return
    written: dict[str, Any] = {}
    module._save_to_state_dict(written, "", True)
    hidden = sorted(set(written) - set(module._parameters) - set(module._buffers))
    if hidden:
        raise UnsupportedTensor(
            f"{path or 'the model'}: {kind.__module__}.{kind.__name__} keeps {', '.join(hidden)} outside parameters and buffers",
            mend="dequantise a quantised model; other state can go in as a part of its own",
        )


def modules(model: torch.nn.Module, path: str = "") -> list[tuple[str, torch.nn.Module]]:
    """(dotted path, module), as `named_modules(remove_duplicate=False)` without its slow nested generators.

    The wrapper that torch.compile puts around a module is passed over, so a model has the same names compiled or not.
    """
    found, waiting = [], [(path, model)]
    while waiting:
        path, module = waiting.pop()
        found.append((path, module))
        if module._modules:
            children = [(_below(path, name), child) for name, child in module._modules.items() if child is not None]
            waiting += reversed(children)
    return found


def _below(path: str, name: str) -> str:
    if name == "_orig_mod":
        return path
    return f"{path}.{name}" if path else name


def add_alias(found: dict[Any, Slot], kind: str, name: str, tensor: torch.Tensor) -> None:
    """File `tensor` under its identity: memory, offset, shape, stride and dtype."""
    storage = storage_key(tensor)
    flipped = tensor.is_neg() or (tensor.is_complex() and tensor.is_conj())
    key = (storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype, flipped)
    if key in found:
        found[key].names.append(name)
    else:
        found[key] = Slot([name], kind, tensor, storage)


def storage_key(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Equal for tensors that live in one allocation. Empty tensors have no memory, so each stands for itself."""
    if tensor.numel() == 0:
        return ("empty", id(tensor))
    return (tensor.device, tensor.untyped_storage().data_ptr())


def sharing(slots: Iterable[Slot]) -> dict[str, frozenset[str]]:
    """Every name -> all names whose memory lies in the same allocation (exact aliases and overlapping views)."""
    groups: dict[tuple[Any, ...], set[str]] = {}
    for slot in slots:
        groups.setdefault(slot.storage, set()).update(slot.names)
    return {name: frozenset(group) for group in groups.values() for name in group}


def as_integers(tensor: torch.Tensor) -> torch.Tensor:
    """The same elements as integers, so that a copy can never touch a NaN payload."""
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    return tensor.view(_INTEGERS[tensor.element_size()])


def flat_bytes(tensor: torch.Tensor) -> torch.Tensor | None:
    """(nbytes,) uint8 view of the tensor's own memory; None when its memory order is not its logical order."""
    tensor = tensor.detach()
    if tensor.is_conj() or tensor.is_neg() or not tensor.is_contiguous():
        return None
    return flatten(tensor).view(torch.uint8)


def flatten(tensor: torch.Tensor) -> torch.Tensor:
    """(numel,) view with stride 1 of a contiguous tensor; `reshape` would keep the odd stride of a lone element."""
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())


def logical_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """(nbytes,) uint8 on the tensor's device: a view where possible, a copy otherwise."""
    flat = flat_bytes(tensor)
    if flat is not None:
        return flat
    plain = tensor.detach().resolve_conj().resolve_neg()
    return flatten(as_integers(plain).contiguous()).view(torch.uint8)


def read_chunks(tensor: torch.Tensor, size: int = CHUNK) -> Iterator[tuple[int, Bytes]]:
    """(index, bytes) of each chunk. On a CPU the bytes are the live memory: copy them before they can change."""
    flat = logical_bytes(tensor)
    for index, start in enumerate(range(0, flat.numel(), size)):
        piece = flat[start : start + size]
        yield index, (piece if piece.device.type == "cpu" else piece.cpu()).numpy()


class Arena:
    """Memory that one store keeps for its copies: fresh pages would cost as much as reading them from a warm file.

    It grows to what was needed, at most 48 MiB.
    """

    def __init__(self) -> None:
        self._memory: Bytes = np.empty(0, np.uint8)

    def take(self, size: int) -> Bytes:
        """`size` bytes, the same ones at each call."""
        if len(self._memory) < size:
            self._memory = np.empty(size, np.uint8)
        return self._memory[:size]


class Writer:
    """Writes chunks into a live tensor in place, without ever rebinding it."""

    def __init__(self, name: str, tensor: torch.Tensor) -> None:
        self.name, self.tensor = name, tensor.detach()
        self.flat = flat_bytes(tensor)
        self.held: torch.Tensor | None = None  # non-contiguous tensors are gathered first and written at `close`
        if self.flat is None:
            self.held = torch.empty(tensor.numel() * tensor.element_size(), dtype=torch.uint8)

    def write(self, start: int, data: Bytes) -> None:
        """Put `data` at byte `start` of the logical bytes."""
        source = torch.from_numpy(data)
        if self.held is not None:
            self.held[start : start + len(data)].copy_(source)
            return
        assert self.flat is not None
        target = self.flat[start : start + len(data)]
        if target.is_inference() and not torch.is_inference_mode_enabled():
            with torch.inference_mode():
                target.copy_(source)
        else:
            target.copy_(source)

    def close(self) -> None:
        """Scatter a gathered tensor into its strided place. A no-op for contiguous tensors."""
        if self.held is None or not self.tensor.numel():
            return
        value = self.held.view(self.tensor.dtype).reshape(self.tensor.shape)
        target = self.tensor
        if target.is_conj() or target.is_neg():
            target.copy_(value)
            return
        for dim, stride in enumerate(target.stride()):  # an expanded dimension is one row in memory
            if stride == 0 and target.shape[dim] > 1:
                target, value = target.narrow(dim, 0, 1), value.narrow(dim, 0, 1)
        as_integers(target).copy_(as_integers(value))


def refuse_overlapping_itself(name: str, tensor: torch.Tensor) -> None:
    """A tensor whose elements overlap one another (as_strided windows) cannot be written element by element.

    Raises:
        UnsupportedTensor
    """
    if tensor.is_contiguous() or tensor.numel() == 0:
        return
    dims = sorted((stride, size) for stride, size in zip(tensor.stride(), tensor.shape, strict=True) if size > 1 and stride != 0)
    reach = 1
    for stride, size in dims:
        if stride < reach:
            raise UnsupportedTensor(
                f"{name}: its elements overlap in memory (strides {tuple(tensor.stride())})", mend="store the base tensor"
            )
        reach = stride * (size - 1) + reach


def empty_like_stored(dtype: str, shape: Iterable[int]) -> torch.Tensor:
    """A fresh CPU tensor for stored bytes."""
    return torch.empty(tuple(shape), dtype=DTYPES[dtype])
