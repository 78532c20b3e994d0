"""Fast dropout: the rate, the scale, and the same random state as ever."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from solon.training.dropout import QuickDropout, quicken_dropout


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
def test_rate_and_scale(p: float) -> None:
    torch.manual_seed(0)
    out = QuickDropout(p)(torch.ones(500, 400))
    kept = out != 0
    spread = 4 * math.sqrt(p * (1 - p) / out.numel())  # four standard errors
    assert abs(float((~kept).float().mean()) - p) < spread + 1 / 65536
    assert torch.allclose(out[kept], torch.tensor(1 / (1 - p)), rtol=2e-4)


def test_gradients_pass_where_values_do() -> None:
    x = torch.ones(64, 64, requires_grad=True)
    out = QuickDropout(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_masks_follow_from_torchs_seed_and_differ_from_call_to_call() -> None:
    drop, x = QuickDropout(0.5), torch.ones(100, 10)
    torch.manual_seed(7)
    first, state, second = drop(x), torch.get_rng_state(), drop(x)
    assert not torch.equal(first, second)
    torch.set_rng_state(state)
    assert torch.equal(drop(x), second)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_nothing_and_everything(p: float) -> None:
    assert torch.equal(QuickDropout(p)(torch.ones(5, 5)), torch.full((5, 5), 1.0 - p))


def test_none_in_evaluation_and_the_dtype_is_kept() -> None:
    x = torch.randn(8, 8, dtype=torch.bfloat16)
    assert QuickDropout(0.5)(x).dtype == torch.bfloat16
    assert torch.equal(QuickDropout(0.5).eval()(x), x)


def test_adapters_get_it_and_the_base_keeps_its_own(model) -> None:
    from peft import LoraConfig, get_peft_model

    model.model.layers[0].own = nn.Dropout(0.1)
    wrapped = get_peft_model(model, LoraConfig(r=2, lora_dropout=0.05, target_modules=["q_proj"]))
    quicken_dropout(wrapped)
    kinds = [type(m) for name, m in wrapped.named_modules() if isinstance(m, nn.Dropout)]
    assert kinds.count(QuickDropout) == 2 and kinds.count(nn.Dropout) == 1
