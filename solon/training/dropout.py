"""Dropout whose masks are drawn fast enough for a CPU.

`nn.Dropout` draws one double per element from the Mersenne Twister, one after another: of a step of LoRA on a small model that
was a seventh. Here sixteen bits decide, from SFC64 (Doty-Humphrey, PractRand), seeded by one draw of torch's own generator; so
seeds, resumed runs and saved generator states mean what they always do.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LEVELS = 1 << 16


class QuickDropout(nn.Dropout):
    """As `nn.Dropout` on CPU tensors, with `p` rounded to a multiple of 1/65536; other devices' tensors take the usual way."""

    def forward(self, input: Tensor) -> Tensor:
        dropped = round(self.p * LEVELS)
        if not self.training or not 0 < dropped < LEVELS or input.device.type != "cpu":
            return super().forward(input)
        seed = int(torch.randint(1 << 62, ()))
        drawn = np.random.Generator(np.random.SFC64(seed)).integers(0, LEVELS, input.numel(), dtype=np.uint16)
        scale = np.where(drawn >= dropped, np.float32(LEVELS / (LEVELS - dropped)), np.float32(0))
        return input * torch.from_numpy(scale).view(input.shape).to(input.dtype)


def quicken_dropout(model: Any) -> None:
    """Replace the dropout of LoRA layers (PEFT's `lora_dropout`), nothing else."""
    for module in model.modules():
        layers = getattr(module, "lora_dropout", None)
        if isinstance(layers, nn.ModuleDict):
            for name, layer in layers.items():
                if type(layer) is nn.Dropout:
                    layers[name] = QuickDropout(layer.p)
