"""The shape of a module tree, kept so that replaced modules, rebound parameters and hooks can be undone."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Structure:
    """A shallow picture of every module's class and own attributes, and of the memory behind every parameter and buffer.

    It holds references, not copies: until a tensor is rebound it costs nothing.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._attributes = [(module, _shallow(module.__dict__)) for module in model.modules()]
        self._kinds = [type(module) for module, _ in self._attributes]
        tensors = [t for m in model.modules() for t in (*m._parameters.values(), *m._buffers.values()) if t is not None]
        self._memory = [(tensor, tensor.data) for tensor in tensors]

    def changed(self) -> bool:
        """Whether a module, parameter or its memory was replaced since."""
        seen = list(self.model.modules())
        if [id(m) for m in seen] != [id(m) for m, _ in self._attributes]:
            return True
        if [type(module) for module, _ in self._attributes] != self._kinds:
            return True
        for module, kept in self._attributes:
            for registry in ("_parameters", "_buffers", "_modules"):
                now, then = module.__dict__[registry], kept[registry]
                if [(k, id(v)) for k, v in now.items()] != [(k, id(v)) for k, v in then.items()]:
                    return True
        return any(not _same_memory(tensor, data) for tensor, data in self._memory)

    def put_back(self) -> None:
        """Make every module's attributes, and every tensor's memory, the remembered ones again."""
        for (module, kept), kind in zip(self._attributes, self._kinds, strict=True):
            if type(module) is not kind:  # parametrizations give a module a class of its own
                module.__class__ = kind
            module.__dict__.clear()
            module.__dict__.update(_shallow(kept))
        for tensor, data in self._memory:
            if not _same_memory(tensor, data):
                tensor.data = data


def _shallow(attributes: dict[str, Any]) -> dict[str, Any]:
    """A copy one level deeper than `dict.copy`: registries (parameters, children, hooks) are copied, their members are not."""
    return {
        key: value.copy() if isinstance(value, (dict, set)) and key.startswith("_") else value
        for key, value in attributes.items()
    }


def _same_memory(tensor: torch.Tensor, data: torch.Tensor) -> bool:
    return (
        tensor.device == data.device
        and tensor.dtype == data.dtype
        and tensor.shape == data.shape
        and tensor.stride() == data.stride()
        and tensor.data_ptr() == data.data_ptr()
    )
