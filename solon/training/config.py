"""Every training setting, with its unit. Unknown keys and impossible values are refused by pydantic.

Two phases share most settings: `SftSettings` (supervised fine-tuning) and `DpoSettings` (direct preference optimisation).
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Below this many parameters a model takes the learning rate that was measured on the embedded one (nano).
SMALL_MODEL_PARAMETERS = 50_000_000
SFT_RATE_SMALL, SFT_RATE = 1e-3, 2e-4


Tracker = Literal["jsonl", "tensorboard", "wandb"]


class Settings(BaseModel):
    """A group of settings that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, validate_assignment=True)


class LoraSettings(Settings):
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685). `enabled: false` trains every weight.

    `r` is the rank; updates are scaled by `alpha / r`; `dropout` is a probability on the adapter's input.
    `targets` `auto` means every linear layer except the output head; a list names module suffixes (`q_proj`, `query_key_value`).
    """

    enabled: bool = True
    r: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=32, gt=0)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: Literal["auto"] | list[str] = "auto"


class EarlyStopping(Settings):
    """Stop after `patience` evaluations in a row without an improvement of the validation loss by more than `threshold`.

    `abs`: the loss must fall by more than `threshold` (nats per token for SFT, the DPO loss for DPO); this is what
    transformers' own callback does. `rel`: by more than `threshold` times the best loss (0.001 = 0.1 %).
    """

    enabled: bool = True
    patience: int = Field(default=3, ge=1)
    threshold: float = Field(default=0.001, ge=0)
    mode: Literal["abs", "rel"] = "abs"


class PhaseSettings(Settings):
    """What both phases share.

    epochs: passes over the rows (a fraction is allowed). batch: rows (DPO: pairs) per optimiser step, over all devices.
    micro_batch: rows or pairs per forward pass; `auto` fills `pack_tokens`. pack_tokens: most tokens in one forward pass.
    learning_rate: peak rate. warmup: fraction of all steps. max_length: tokens of prompt plus reply; `auto` is the model's
    context. too_long: rows beyond max_length are dropped and counted, or refused; never cut.
    packing: `auto` packs when a check on the real model shows that it changes nothing; `on` refuses if it does; `off` pads.
    eval_steps, save_steps: optimiser steps; `auto` is at most 100 and at least five in a run. keep_saves: checkpoints kept.
    precision: `auto` is bf16 on a GPU that has it, otherwise fp32. quantise: hold the frozen base in 8 or 4 bits.
    """

    epochs: float = Field(default=1.0, gt=0)
    batch: int = Field(default=16, ge=1)
    micro_batch: int | Literal["auto"] = "auto"
    pack_tokens: int = Field(default=4096, ge=16)
    learning_rate: float | Literal["auto"] = "auto"
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    max_length: int | Literal["auto"] = "auto"
    too_long: Literal["drop", "refuse"] = "drop"
    packing: Literal["auto", "on", "off"] = "auto"
    eval_steps: int | Literal["auto"] = "auto"
    save_steps: int | Literal["auto"] = "auto"
    keep_saves: int = Field(default=3, ge=1)
    load_best: bool = True
    early_stopping: EarlyStopping = EarlyStopping()
    gradient_checkpointing: bool = False
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    quantise: Literal["none", "int8", "nf4"] = "none"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**32)
    tracking: list[Tracker] = ["jsonl", "tensorboard"]
    lora: LoraSettings = LoraSettings()

    @model_validator(mode="after")
    def _consistent(self) -> PhaseSettings:
        if isinstance(self.micro_batch, int) and (self.micro_batch < 1 or self.batch % self.micro_batch):
            raise ValueError(f"micro_batch: expected a divisor of batch ({self.batch}), got {self.micro_batch}")
        for name in ("eval_steps", "save_steps", "max_length"):
            value = getattr(self, name)
            if isinstance(value, int) and value < 1:
                raise ValueError(f"{name}: expected 'auto' or at least 1, got {value}")
        if isinstance(self.learning_rate, float) and not 0 <= self.learning_rate <= 1:
            raise ValueError(f"learning_rate: expected 0 to 1, got {self.learning_rate}")
        both = isinstance(self.eval_steps, int) and isinstance(self.save_steps, int)
        if both and self.load_best and self.save_steps % self.eval_steps:  # type: ignore[operator]
            raise ValueError(
                f"save_steps: expected a multiple of eval_steps ({self.eval_steps}) so that the best evaluation is a saved one,"
                f" got {self.save_steps}; align them or set load_best: false"
            )
        if self.quantise != "none" and not self.lora.enabled:
            raise ValueError("quantise: a quantised base can't be trained itself; set lora.enabled: true or quantise: none")
        return self


class SftSettings(PhaseSettings):
    """Supervised fine-tuning on chosen replies.

    benign_share: wanted share of `retain` rows among all rows (0 to 1); 0.67 is two retain rows for each pair. More retain
    rows than that are left out by a seeded draw; fewer are all used, and the plan says so. The loss is nats per reply token.
    """

    epochs: float = Field(default=2.0, gt=0)
    benign_share: float = Field(default=0.67, ge=0, le=1)

    def rate(self, parameters: int) -> float:
        """The peak learning rate for a model of this many parameters."""
        if self.learning_rate != "auto":
            return float(self.learning_rate)
        return SFT_RATE_SMALL if parameters < SMALL_MODEL_PARAMETERS else SFT_RATE


class DpoSettings(PhaseSettings):
    """Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290), sigmoid loss, plus likelihood terms.

    beta: strength of the pull towards the reference. label_smoothing: assumed share of flipped labels (cDPO), below 1/2.
    sft_term: weight of the chosen replies' negative log-likelihood (nats per token). retain_weight: the same for retain
    rows, `retain_batch` of them in each step; retain rows are never pairs. probe_pairs: the fixed pairs on which loss,
    margin and accuracy are measured before the first step and after the last.
    """

    epochs: float = Field(default=1.0, gt=0)
    learning_rate: float | Literal["auto"] = 5e-5
    beta: float = Field(default=0.1, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    sft_term: float = Field(default=0.0, ge=0)
    retain_weight: float = Field(default=1.0, ge=0)
    retain_batch: int = Field(default=8, ge=1)
    probe_pairs: int = Field(default=128, ge=2)

    def rate(self, parameters: int) -> float:
        """The peak learning rate; `auto` is 5e-5 whatever the size."""
        return 5e-5 if self.learning_rate == "auto" else float(self.learning_rate)
