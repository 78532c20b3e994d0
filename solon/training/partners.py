"""A step's forward and backward passes shared with forked processes, for models too small to keep two threads busy.

Before each step a partner takes over the trained weights, computes the gradients of its part of the step, and hands them
back; they are added in a fixed order, so that a step is the same to the bit whenever it is taken. Weights and gradients
travel through memory that both sides see.
"""

from __future__ import annotations

import functools
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection
from typing import Any, Protocol

import torch
from torch import Tensor

from solon.models.shares import Helper, shares_for
from solon.training.batches import divide


class Part(Protocol):
    """One forward pass of a step; `size` is its work, in tokens."""

    @property
    def size(self) -> int: ...


Work = Callable[[int], Sequence[Part]]  # the parts of the step that an item of the data loader names
Loss = Callable[[Any, Any], tuple[Tensor, dict[str, float]]]


def partners_for(model: Any, rows: int) -> int:
    """Into how many processes to divide steps of so many rows; 1 where that does not pay or cannot be.

    A process in which autograd has threads (they belong to other devices than the CPU) must not fork.
    """
    plain = all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)
    return shares_for(model, rows) if plain and not torch.accelerator.is_available() else 1


def summed(
    model: Any, parts: Sequence[Any], loss: Loss, backward: Callable[[Tensor], Any], within: Callable[[bool], Any] | None = None
) -> tuple[Any, dict[str, float]]:
    """Run the parts forward and backward, each inside `within(whether it is the last)`; sums of their losses and numbers."""
    total: Any = 0.0
    numbers: dict[str, float] = {}
    for number, part in enumerate(parts):
        with within(number == len(parts) - 1) if within else nullcontext():
            value, found = loss(model, part)
            backward(value)
        total = total + value.detach()
        numbers = added(numbers, found)
    return total, numbers


def added(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    """Sums by name; a name that is missing counts as 0."""
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in (*a, *(name for name in b if name not in a))}


class Partners:
    """`count - 1` partners of this process in the training of `model`."""

    def __init__(self, model: Any, work: Work, loss: Loss, count: int) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.count = count
        bytes_ = 4 * sum(p.numel() for p in self.parameters)
        self.weights = _shared(bytes_)
        self.gradients = [_shared(bytes_) for _ in range(count - 1)]
        self.helpers: list[Helper] = []
        for number in range(1, count):
            self.helpers.append(Helper(functools.partial(self._serve, model, work, loss, number)))

    def begin(self, item: int, parts: Sequence[Part]) -> list[Part]:
        """Set the partners to work on an item; what is left to this process."""
        _write(self.weights, [p.detach() for p in self.parameters])
        for helper in self.helpers:
            helper.send((item, int(torch.randint(1 << 62, ()))))
        return _mine(parts, 0, self.count)

    def finish(self) -> tuple[float, dict[str, float]]:
        """Wait for the partners and add their gradients; the sums of their losses and numbers.

        Raises:
            ModelError: a partner failed or was killed.
        """
        total = 0.0
        numbers: dict[str, float] = {}
        for helper, gradients in zip(self.helpers, self.gradients, strict=True):
            _, (value, found) = helper.receive()
            total, numbers = total + value, added(numbers, found)
            for parameter, gradient in zip(self.parameters, _views(gradients, self.parameters), strict=True):
                parameter.grad = gradient.clone() if parameter.grad is None else parameter.grad.add_(gradient)
        return total, numbers

    def end(self) -> None:
        """Let the partners go."""
        for helper in self.helpers:
            helper.end()

    def _serve(self, model: Any, work: Work, loss: Loss, number: int, pipe: Connection) -> None:
        """In a partner: steps, until the other side is gone."""
        model.train()
        while True:
            try:
                item, seed = pipe.recv()
            except EOFError:
                return
            torch.manual_seed(seed)
            with torch.no_grad():
                for parameter, weights in zip(self.parameters, _views(self.weights, self.parameters), strict=True):
                    parameter.copy_(weights)
                    parameter.grad = None
            total, numbers = summed(model, _mine(work(item), number, self.count), loss, torch.Tensor.backward)
            _write(self.gradients[number - 1], [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters])
            pipe.send(("done", (float(total), numbers)))


def _mine(parts: Sequence[Part], number: int, count: int) -> list[Part]:
    """The parts of process `number`."""
    return [parts[at] for at in divide([part.size for part in parts], count)[number]]


def _shared(size: int) -> Tensor:
    """Bytes [size] that forked processes see as well."""
    return torch.frombuffer(mmap.mmap(-1, size), dtype=torch.float32)


def _views(flat: Tensor, like: Sequence[Tensor]) -> Iterator[Tensor]:
    """The pieces of a flat tensor, each in the shape of its counterpart."""
    for piece, shape in zip(flat.split([t.numel() for t in like]), like, strict=True):
        yield piece.view(shape.shape)


def _write(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    torch.cat([t.reshape(-1) for t in tensors], out=flat)
