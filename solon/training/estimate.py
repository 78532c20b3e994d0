"""Memory that a training run needs, counted in bytes before anything is loaded."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from solon.training.config import DpoSettings, PhaseSettings
from solon.training.targets import choose_targets, lora_parameters

WEIGHT_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0, "nf4": 0.53}  # nf4: 4 bits plus doubly quantised scales
ADAM_BYTES = 8  # two float32 moments for each trained parameter
GRAD_BYTES = 4


class Memory(BaseModel):
    """Bytes by purpose. `activations` is for one forward and backward pass of `pack_tokens` tokens; a rough upper estimate."""

    model_config = ConfigDict(extra="forbid")
    parameters: int
    trainable: int
    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Everything at once, in bytes."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def estimate_memory(config: Any, settings: PhaseSettings, *, precision: str = "fp32", tokens: int | None = None) -> Memory:
    """Count from a transformers configuration alone (the model is laid out on the meta device; no weights are read).

    Activations per token and layer, in elements: about 16 hidden widths plus 3 MLP widths (all linear inputs, norms,
    residuals and attention without its matrix, which fused kernels don't keep), 1 hidden width with checkpointing.
    Logits: float32, twice (value and gradient), for reply tokens, taken as half of all.

    Args:
        config: a `PretrainedConfig`. precision: of weights and activations. tokens: per forward pass; default `pack_tokens`.
    """
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    parameters = sum(p.numel() for p in model.parameters())
    lora = settings.lora
    trainable = lora_parameters(model, choose_targets(model, lora.targets), lora.r) if lora.enabled else parameters
    kind = settings.quantise if settings.quantise != "none" else (precision if lora.enabled else "fp32")
    count = tokens or settings.pack_tokens
    hidden, layers = int(config.hidden_size), int(config.num_hidden_layers)
    mlp = int(getattr(config, "intermediate_size", None) or 4 * hidden)
    width = 2 if precision == "bf16" else 4
    per_token = layers * (hidden if settings.gradient_checkpointing else 16 * hidden + 3 * mlp)
    if settings.gradient_checkpointing:
        per_token += 16 * hidden + 3 * mlp  # the one layer being recomputed
    replies = count if isinstance(settings, DpoSettings) else (count + 1) // 2
    return Memory(
        parameters=parameters,
        trainable=trainable,
        weights=int(parameters * WEIGHT_BYTES[kind]) + (4 * trainable if lora.enabled else 0),
        gradients=GRAD_BYTES * trainable,
        optimizer=ADAM_BYTES * trainable,
        activations=count * per_token * width,
        logits=2 * 4 * replies * int(config.vocab_size),
    )
