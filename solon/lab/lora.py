"""LoRA adapters (Hu et al. 2021) as PEFT saves them: reading them, and showing that a merge says what the adapter says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from solon.checkpoints.saving import flags_of, set_flags
from solon.checkpoints.tensors import Slot, modules
from solon.errors import CheckFailed, InputError

Updates = dict[str, tuple[torch.Tensor, torch.Tensor, float]]  # weight name -> (B, A, scale)
REFUSED = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "fan_in_fan_out", "lora_bias")
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-4}  # of the largest logit; half precision: a twentieth
IDS = 16


def read(folder: Path) -> Updates:
    """Weight name -> (B, A, scale) of a PEFT LoRA adapter folder.

    Raises:
        InputError: files are missing, or it is another kind of adapter.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config_file, weights_file = folder / "adapter_config.json", folder / "adapter_model.safetensors"
    if not config_file.is_file() or not weights_file.is_file():
        raise InputError(
            f"{folder}: expected adapter_config.json and adapter_model.safetensors", mend="name a PEFT adapter folder"
        )
    try:
        config = json.loads(config_file.read_text(encoding="utf-8"))
        tensors = load_file(weights_file)
    except (ValueError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be read: {error}", mend="download or save the adapter again") from error
    odd = [key for key in REFUSED if config.get(key)]
    if config.get("peft_type") != "LORA" or odd or config.get("bias", "none") != "none":
        raise InputError(
            f"{folder}: expected a plain LoRA adapter, got {config.get('peft_type')} with {', '.join(odd) or 'trained biases'}",
            mend="merge it with peft instead",
        )
    rank = config["r"]
    weight = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    found: Updates = {}
    for name in sorted(tensors):
        if name.endswith(".base_layer.weight"):  # a copy of the base's own weight, which PEFT may store with the adapter
            continue
        if name.endswith(".lora_B.weight") and name.replace(".lora_B.", ".lora_A.") in tensors:
            continue
        if not name.endswith(".lora_A.weight") or name.replace(".lora_A.", ".lora_B.") not in tensors:
            raise InputError(
                f"{weights_file}: {name} is no pair of lora_A and lora_B", mend="merge it with peft, or save the adapter again"
            )
        module = name.removesuffix(".lora_A.weight").removeprefix("base_model.model.")
        found[f"{module}.weight"] = (tensors[name.replace(".lora_A.", ".lora_B.")], tensors[name], weight)
    if not found:
        raise InputError(f"{weights_file}: no lora_A tensors", mend="name a PEFT LoRA adapter")
    return found


def refuse_unfit(what: str, updates: Updates, slots: dict[str, Slot]) -> None:
    """Refuse an adapter made for other shapes, or for a tensor that other names share: merging would change those as well.

    Raises:
        InputError
    """
    for name, (left, right, _) in updates.items():
        slot = slots[name]
        if (left.shape[0], right.shape[1]) != tuple(slot.tensor.shape):
            raise InputError(
                f"{what}: {name}: the adapter is for {(left.shape[0], right.shape[1])}, the model has {tuple(slot.tensor.shape)}",
                mend="use the adapter's own base model",
            )
        if len(slot.names) > 1:
            others = ", ".join(other for other in slot.names if other != name)
            raise InputError(
                f"{what}: {name} is one tensor with {others}: merging would change them too, which the adapter does not",
                mend="untie them first, or keep the adapter beside the model",
            )


def some_ids(model: nn.Module) -> torch.Tensor | None:
    """(1, IDS) token ids spread over the vocabulary; None for a model whose configuration tells no size."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)
    if not isinstance(size, int) or size < 1:
        return None
    device = next(model.parameters()).device
    return torch.linspace(0, size - 1, IDS, device=device).long()[None]


def logits(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """Logits for `ids` in evaluation mode, without gradients."""
    flags = flags_of(model)
    model.eval()
    try:
        with torch.no_grad():
            output = model(ids)
    finally:
        set_flags(model, flags)
    return getattr(output, "logits", output).float()


def logits_with(model: nn.Module, updates: Updates, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the model with the adapter laid over it: each target's output plus scale * B (A x), its weight untouched."""
    places = dict(modules(model))
    handles = [places[name.rpartition(".")[0]].register_forward_hook(_added(*update)) for name, update in updates.items()]
    try:
        return logits(model, ids)
    finally:
        for handle in handles:
            handle.remove()


def _added(left: torch.Tensor, right: torch.Tensor, scale: float) -> Any:
    def hook(_module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        x = inputs[0].float()
        extra = x @ right.to(x.device).float().T @ left.to(x.device).float().T
        return output + (scale * extra).to(output.dtype)

    return hook


def refuse_other_logits(model: nn.Module, wanted: torch.Tensor, ids: torch.Tensor) -> float:
    """The largest difference of the merged model's logits from `wanted`.

    Raises:
        CheckFailed: it is more than rounding.
    """
    difference = float((logits(model, ids) - wanted).abs().max())
    allowed = ROUNDING.get(next(model.parameters()).dtype, 0.05) * max(float(wanted.abs().max()), 1.0)
    if not difference <= allowed:
        raise CheckFailed(
            f"the merged model's logits differ from the adapter's by up to {difference:.3g} ({allowed:.3g} allowed); undone",
            mend="keep the adapter beside the model, or merge in a wider dtype",
        )
    return difference
