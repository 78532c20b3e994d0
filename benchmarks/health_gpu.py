"""Health of a 7B-shaped bf16 model on an accelerator, as a share of its measured memory bandwidth.

    python benchmarks/health_gpu.py [--device cuda] [--layers 32] [--repeats 7] [--json]

The floor is what the device itself reaches when it reads the same tensors once (torch.sum over them as 32-bit integers) and when
it copies them (two bytes moved per byte). Exit 1 when health reads at less than 60 % of the better of both.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import nn

from solon.checkpoints import model_health

GATE = 0.6


def llama(layers: int, device: str) -> nn.Module:
    """The large matrices of a 7B model (hidden 4096, feed-forward 11008), random, bf16."""
    shapes = [(4096, 4096)] * 4 + [(11008, 4096)] * 2 + [(4096, 11008)]
    model = nn.Module()
    for layer in range(layers):
        for number, shape in enumerate(shapes):
            weight = torch.empty(shape, dtype=torch.bfloat16, device=device).normal_(std=0.02)
            model.register_parameter(f"layer{layer}_{number}", nn.Parameter(weight, requires_grad=False))
    return model


def seconds(action: Callable[[], object], device: str, repeats: int) -> float:
    """Median wall time, with the device idle before and after."""
    times = []
    for _ in range(repeats + 1):
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        start = time.perf_counter()
        action()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])  # the first warms up


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    model = llama(options.layers, options.device)
    tensors = list(model.parameters())
    size = sum(t.numel() * t.element_size() for t in tensors)
    scratch = torch.empty_like(max(tensors, key=lambda t: t.numel()).flatten())

    def read() -> None:
        for tensor in tensors:
            tensor.view(torch.int32).sum()

    def copy() -> None:
        for tensor in tensors:
            scratch[: tensor.numel()].copy_(tensor.flatten())

    floor = {
        "read": size / seconds(read, options.device, options.repeats),
        "copy": 2 * size / seconds(copy, options.device, options.repeats),
    }
    took = seconds(lambda: model_health(model), options.device, options.repeats)
    share = size / took / max(floor.values())
    report = {
        "bytes": size,
        "health_s": took,
        "health_GBps": size / took / 1e9,
        "floor_GBps": {k: v / 1e9 for k, v in floor.items()},
        "share": share,
    }
    print(json.dumps(report) if options.json else "\n".join(f"{key}: {value}" for key, value in report.items()))
    return int(share < GATE)


if __name__ == "__main__":
    sys.exit(main())
