"""One pass over a tensor: exact NaN and Inf counts and the largest finite magnitude, optionally sums.

For sign-magnitude floats the order of magnitudes is the order of the low bits as integers. So the maximum of the signed view is
the largest positive value, and the maximum of the unsigned view, less its sign bit, the largest negative one. A result at or
above the all-ones exponent says that NaN or Inf is there; only then is that block counted. Two integer reductions over a block
that stays in the cache cost little more than reading the memory once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from solon.checkpoints.tensors import Bytes, Slot, model_slots, read_chunks, refuse_unsupported

BLOCK = 2**20  # bytes: small enough for the second-level cache


@dataclass(frozen=True)
class Health:
    """What one pass found. `absmax` is over finite elements (0.0 when there is none); sums are None unless asked for.

    For complex tensors real and imaginary parts count as elements.
    """

    count: int = 0
    nan: int = 0
    inf: int = 0
    absmax: float = 0.0
    sum: float | None = None
    square_sum: float | None = None

    @property
    def finite(self) -> bool:
        return not (self.nan or self.inf)

    @property
    def rms(self) -> float | None:
        """Root mean square over finite elements; None when sums were not asked for or nothing is finite."""
        good = self.count - self.nan - self.inf
        return None if self.square_sum is None or good <= 0 else math.sqrt(self.square_sum / good)

    def __add__(self, other: Health) -> Health:
        if not self.count:
            return other
        if not other.count:
            return self
        both = self.sum is not None and other.sum is not None
        return Health(
            self.count + other.count,
            self.nan + other.nan,
            self.inf + other.inf,
            max(self.absmax, other.absmax),
            self.sum + other.sum if both else None,  # type: ignore[operator]
            self.square_sum + other.square_sum if both else None,  # type: ignore[operator]
        )


@dataclass(frozen=True)
class _Float:
    signed: Any
    unsigned: Any
    inf: int  # code of +Inf, or one below the only NaN code where there is no Inf
    has_inf: bool = True


_FLOATS: dict[torch.dtype, _Float] = {
    torch.bfloat16: _Float(np.int16, np.uint16, 0x7F80),
    torch.float16: _Float(np.int16, np.uint16, 0x7C00),
    torch.float32: _Float(np.int32, np.uint32, 0x7F800000),
    torch.float64: _Float(np.int64, np.uint64, 0x7FF0000000000000),
    torch.float8_e5m2: _Float(np.int8, np.uint8, 0x7C),
    torch.float8_e4m3fn: _Float(np.int8, np.uint8, 0x7E, has_inf=False),
}
_PARTS = {torch.complex32: torch.float16, torch.complex64: torch.float32, torch.complex128: torch.float64}
_NUMPY_INTEGERS = {
    torch.bool: np.uint8, torch.uint8: np.uint8, torch.int8: np.int8, torch.int16: np.int16, torch.int32: np.int32,
    torch.int64: np.int64, torch.uint16: np.uint16, torch.uint32: np.uint32, torch.uint64: np.uint64,
}  # fmt: skip


def bytes_health(data: Bytes, dtype: torch.dtype, *, sums: bool = False) -> Health:
    """Health of raw little-endian bytes, whose length is a multiple of the element size."""
    dtype = _PARTS.get(dtype, dtype)
    total = Health()
    for start in range(0, len(data), BLOCK):
        total += _block(data[start : start + BLOCK], dtype, sums)
    return total


def _block(data: Bytes, dtype: torch.dtype, sums: bool) -> Health:
    if dtype in _FLOATS:
        return _float_block(data, dtype, _FLOATS[dtype], sums)
    if dtype in _NUMPY_INTEGERS:
        return _integer_block(data.view(_NUMPY_INTEGERS[dtype]), sums)
    return _odd_block(torch.from_numpy(data).view(dtype), sums)


def _float_block(data: Bytes, dtype: torch.dtype, form: _Float, sums: bool) -> Health:
    unsigned, signed = data.view(form.unsigned), data.view(form.signed)
    mask = (1 << (unsigned.itemsize * 8 - 1)) - 1
    top_signed, top_unsigned = int(signed.max()), int(unsigned.max())
    top = max(top_signed, 0)
    if top_unsigned > mask:
        top = max(top, top_unsigned & mask)
    nan = inf = 0
    if top > form.inf or (top == form.inf and form.has_inf):
        magnitude = unsigned & form.unsigned(mask)
        nan = int(np.count_nonzero(magnitude > form.inf))
        inf = int(np.count_nonzero(magnitude == form.inf)) if form.has_inf else 0
        finite = magnitude[magnitude < form.inf] if form.has_inf else magnitude[magnitude <= form.inf]
        top = int(finite.max(initial=0))
    absmax = _value(top, dtype, form)
    if not sums:
        return Health(len(unsigned), nan, inf, absmax)
    values = _as_float64(data, dtype)
    if nan or inf:
        values = values[np.isfinite(values)]
    with np.errstate(over="ignore"):  # float64 near its limit: the sum of squares is then inf, and says so
        return Health(len(unsigned), nan, inf, absmax, float(values.sum()), float(np.dot(values, values)))


def _value(code: int, dtype: torch.dtype, form: _Float) -> float:
    if dtype is torch.float64:
        return float(np.array([code], np.int64).view(np.float64)[0])
    if dtype is torch.float32:
        return float(np.array([code], np.int32).view(np.float32)[0])
    if dtype is torch.float16:
        return float(np.array([code], np.int16).view(np.float16)[0])
    if dtype is torch.bfloat16:
        return float(np.array([code << 16], np.int32).view(np.float32)[0])
    return float(torch.tensor([code], dtype=torch.uint8).view(dtype).float())


def _as_float64(data: Bytes, dtype: torch.dtype) -> Any:
    if dtype is torch.bfloat16:
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    names = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}
    if dtype in names:
        return data.view(names[dtype]).astype(np.float64)
    return torch.from_numpy(data.copy()).view(dtype).to(torch.float64).numpy()


def _integer_block(values: Any, sums: bool) -> Health:
    absmax = float(max(abs(int(values.max())), abs(int(values.min()))))
    if not sums:
        return Health(values.size, absmax=absmax)
    wide = values.astype(np.float64)
    return Health(values.size, absmax=absmax, sum=float(wide.sum()), square_sum=float(np.dot(wide, wide)))


def _odd_block(values: torch.Tensor, sums: bool) -> Health:
    """The rare 8-bit floats without a sign-magnitude order: by their values."""
    wide = values.to(torch.float64).numpy()
    finite = wide[np.isfinite(wide)]
    nan, inf = int(np.isnan(wide).sum()), int(np.isinf(wide).sum())
    absmax = float(np.abs(finite).max(initial=0.0))
    if not sums:
        return Health(wide.size, nan, inf, absmax)
    return Health(wide.size, nan, inf, absmax, float(finite.sum()), float(np.dot(finite, finite)))


def tensor_health(tensor: torch.Tensor, *, sums: bool = False) -> Health:
    """Health of one tensor of any shape, on any device, without leaving the device when it is not the CPU.

    Raises:
        UnsupportedTensor: quantised, sparse, meta, nested or sharded.
    """
    refuse_unsupported("tensor", tensor)
    if tensor.numel() == 0:
        return Health(sum=0.0, square_sum=0.0) if sums else Health()
    if tensor.device.type != "cpu":
        return _device_health([tensor.detach()], sums)[0]
    total = Health()
    for _, data in read_chunks(tensor):
        total += bytes_health(data, tensor.dtype, sums=sums)
    return total


def model_health(model: torch.nn.Module, *, sums: bool = False) -> dict[str, Health]:
    """Canonical name -> health, each shared tensor once. All tensors of a device are read back with one synchronisation.

    Raises:
        UnsupportedTensor
    """
    slots = model_slots(model)
    found = {slot.name: tensor_health(slot.tensor, sums=sums) for slot in slots if slot.tensor.device.type == "cpu"}
    away = [slot for slot in slots if slot.tensor.device.type != "cpu"]
    for device in {slot.tensor.device for slot in away}:
        there = [slot for slot in away if slot.tensor.device == device]
        for slot, health in zip(there, _device_health([s.tensor.detach() for s in there], sums), strict=True):
            found[slot.name] = health
    return {slot.name: found[slot.name] for slot in slots}


def summary(slots: list[Slot], found: dict[str, Health]) -> Health:
    """All of `slots` together."""
    total = Health()
    for slot in slots:
        total += found[slot.name]
    return total


def _device_health(tensors: list[torch.Tensor], sums: bool) -> list[Health]:
    """Minimum and maximum in one reading (NaN propagates, Inf shows); exact counts only where that trips."""
    plain = [torch.view_as_real(t) if t.is_complex() else t for t in tensors]
    ranges = [_device_range(t) for t in plain]
    low_high = torch.stack([torch.stack(r) for r in ranges]).cpu() if ranges else torch.empty(0, 2)
    found = []
    for tensor, (low, high) in zip(plain, low_high.tolist(), strict=True):
        nan = inf = 0
        absmax = max(abs(low), abs(high))
        if not math.isfinite(absmax):
            wide = tensor.float() if tensor.element_size() < 4 else tensor
            nan, inf = int(torch.isnan(wide).sum()), int(torch.isinf(wide).sum())
            absmax = float(torch.nan_to_num(wide, nan=0.0, posinf=0.0, neginf=0.0).abs().max())
        total = squares = None
        if sums:
            wide = torch.nan_to_num(tensor.double(), nan=0.0, posinf=0.0, neginf=0.0)
            total, squares = float(wide.sum()), float((wide * wide).sum())
        found.append(Health(tensor.numel(), nan, inf, absmax, total, squares))
    return found


def _device_range(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(minimum, maximum) as float64 scalars on the device; integers beyond 2^53 are rounded."""
    if tensor.numel() == 0:
        zero = torch.zeros((), dtype=torch.float64, device=tensor.device)
        return zero, zero
    if tensor.dtype in (torch.float8_e4m3fn, torch.float8_e5m2) or (
        tensor.dtype.is_floating_point and tensor.element_size() == 1
    ):
        tensor = tensor.float()
    elif tensor.dtype in (torch.bool, torch.uint16, torch.uint32, torch.uint64):
        tensor = tensor.to(torch.float64)
    low, high = torch.aminmax(tensor)
    return low.double(), high.double()
