"""Which layers get adapters, and exactly how many parameters that trains."""

from __future__ import annotations

from typing import Any

from torch import nn

from solon.errors import ConfigError, nearest


def _is_linear(module: nn.Module) -> bool:
    """nn.Linear and its quantised children, and GPT-2's transposed Conv1D."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _shape(module: Any) -> tuple[int, int]:
    """(inputs, outputs) of a linear layer."""
    if type(module).__name__ == "Conv1D":
        return int(module.weight.shape[0]), int(module.weight.shape[1])
    return int(module.in_features), int(module.out_features)


def linear_layers(model: Any) -> dict[str, nn.Module]:
    """Every linear layer by its full name, without the output head (which may share the embedding's weights)."""
    head = model.get_output_embeddings()
    return {name: m for name, m in model.named_modules() if _is_linear(m) and m is not head}


def matches(name: str, target: str) -> bool:
    """PEFT's rule: a target names a module if it is the whole name or a dotted suffix of it."""
    return name == target or name.endswith(f".{target}")


def choose_targets(model: Any, wanted: str | list[str]) -> list[str]:
    """Module suffixes to adapt: for `auto`, the last name part of every linear layer except the head.

    Raises:
        ConfigError: a wanted name matches no linear layer, or there is none at all.
    """
    layers = linear_layers(model)
    known = sorted({name.rsplit(".", 1)[-1] for name in layers})
    if not layers:
        raise ConfigError("lora.targets: this model has no linear layers to adapt", mend="set lora.enabled: false")
    if wanted == "auto":
        head = {name.rsplit(".", 1)[-1] for name, m in model.named_modules() if m is model.get_output_embeddings()}
        return known if not head & set(known) else sorted(layers)  # full names where a suffix would catch the head too
    for target in wanted:
        if not any(matches(name, target) for name in layers):
            mend = nearest(target, known) or f"this model's linear layers are {', '.join(known)}"
            raise ConfigError(f"lora.targets: expected names of linear layers, got {target!r}, which matches none", mend=mend)
    return sorted(set(wanted))


def lora_parameters(model: Any, targets: list[str], r: int) -> int:
    """Trainable parameters of rank-r adapters: r * (inputs + outputs) for each matched layer; exact, works on meta tensors."""
    layers = linear_layers(model).items()
    return sum(r * sum(_shape(m)) for name, m in layers if any(matches(name, t) for t in targets))


def describe_targets(model: Any, targets: list[str], r: int) -> str:
    """One line for the plan: what is trained, how many parameters, and their share of the model."""
    count = lora_parameters(model, targets, r)
    total = sum(p.numel() for p in model.parameters())
    return f"LoRA r {r} on {', '.join(targets)}: {count:,} trainable parameters ({count / total:.2%} of {total:,})"
