"""One-pass health against the obvious computation, over every dtype."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.checkpoints import health as module
from solon.checkpoints import model_health, tensor_health
from solon.checkpoints.errors import UnsupportedTensor
from solon.checkpoints.tensors import DTYPES

FLOATS = [torch.bfloat16, torch.float16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2]


def obvious(tensor: torch.Tensor) -> tuple[int, int, float]:
    wide = tensor.to(torch.float64)
    finite = wide[torch.isfinite(wide)]
    return int(torch.isnan(wide).sum()), int(torch.isinf(wide).sum()), float(finite.abs().max()) if finite.numel() else 0.0


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@given(data=st.binary(min_size=8, max_size=400))
@settings(max_examples=60, deadline=None)
def test_any_bits_agree_with_the_obvious_computation(dtype: torch.dtype, data: bytes) -> None:
    size = dtype.itemsize
    tensor = torch.frombuffer(bytearray(data[: len(data) // size * size]), dtype=dtype)
    found = tensor_health(tensor, sums=True)
    assert (found.nan, found.inf, found.absmax) == obvious(tensor)
    finite = tensor.double()[torch.isfinite(tensor.double())]
    if math.isfinite(float((finite * finite).sum())):
        assert found.sum == pytest.approx(float(finite.sum()), rel=1e-9, abs=1e-300)
        assert found.square_sum == pytest.approx(float((finite * finite).sum()), rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64], ids=str)
def test_values_by_hand(dtype: torch.dtype) -> None:
    found = tensor_health(torch.tensor([[1.0, -3.0], [float("nan"), -0.0], [float("inf"), -float("inf")]], dtype=dtype))
    assert (found.count, found.nan, found.inf, found.absmax) == (6, 1, 2, 3.0)


def test_largest_magnitude_may_be_negative_in_a_tensor_without_positives() -> None:
    assert tensor_health(torch.tensor([-1.0, -7.5, -2.0])).absmax == 7.5


def test_sums_by_hand() -> None:
    found = tensor_health(torch.tensor([1.0, -3.0, float("nan"), 2.0], dtype=torch.bfloat16), sums=True)
    assert (found.sum, found.square_sum) == (0.0, 14.0)
    assert found.rms == pytest.approx(math.sqrt(14 / 3))


def test_blocks_and_chunks_add_up() -> None:
    tensor = torch.zeros(5 * module.BLOCK, dtype=torch.float32)  # 20 MiB: two chunks, twenty blocks
    tensor[3] = float("nan")
    tensor[-1] = float("inf")
    tensor[module.BLOCK] = -8.0
    assert tensor_health(tensor) == module.Health(tensor.numel(), 1, 1, 8.0)


@pytest.mark.parametrize("name", sorted(DTYPES))
def test_every_stored_dtype_empty_scalar_and_strided(name: str) -> None:
    assert tensor_health(torch.empty(0, dtype=DTYPES[name])).count == 0
    tensor = torch.ones((), dtype=torch.uint8).to(DTYPES[name])
    assert tensor_health(tensor).absmax == 1.0
    assert tensor_health(tensor.expand(3, 4)).nan == 0


def test_complex_parts_count() -> None:
    found = tensor_health(torch.tensor([complex(1, float("nan")), complex(-4, 2)]))
    assert (found.count, found.nan, found.absmax) == (4, 1, 4.0)


def test_integers_have_extremes() -> None:
    assert tensor_health(torch.tensor([-128, 5], dtype=torch.int8)).absmax == 128.0


def test_model_counts_shared_tensors_once() -> None:
    model = torch.nn.Sequential(torch.nn.Embedding(4, 4), torch.nn.Linear(4, 4, bias=False))
    model[1].weight = model[0].weight
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    found = model_health(model)
    assert list(found) == ["0.weight"]
    assert found["0.weight"].nan == 1


def test_device_path_agrees_with_the_cpu_path() -> None:
    """The path for accelerators, run here on CPU tensors."""
    for dtype in (torch.bfloat16, torch.float32, torch.float8_e5m2, torch.int32):
        tensor = torch.tensor([1.0, -6.0, 2.0]).to(dtype)
        for value in (tensor, torch.cat([tensor.float(), torch.tensor([float("nan"), float("-inf")])]).to(dtype)):
            want, got = tensor_health(value, sums=True), module._device_health([value], True)[0]
            if dtype is not torch.int32 or value is tensor:
                assert (got.nan, got.inf, got.absmax, got.sum) == (want.nan, want.inf, want.absmax, want.sum)


def test_unsupported_is_named() -> None:
    with pytest.raises(UnsupportedTensor, match="meta"):
        tensor_health(torch.empty(3, device="meta"))
    with pytest.raises(UnsupportedTensor, match="to_dense"):
        tensor_health(torch.eye(3).to_sparse())
