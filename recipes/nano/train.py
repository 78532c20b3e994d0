"""Pretraining: one plain loop. The learning rate depends on the step alone, so that the same machine and threads give the same weights."""

# ruff: noqa: E501
from __future__ import annotations

import csv
import hashlib
import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recipes.nano.corpus import ROW, VOCABULARY, Corpus

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


def native_bf16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    import torch

    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@dataclass(frozen=True)
class Recipe:
    """Settings of pretraining. Units: `batch` rows of 512 tokens a step; `decay` share of the steps at the end."""

    steps: int
    batch: int = 4
    lr: float = 2e-3
    warmup: int = 100
    decay: float = 0.4
    floor: float = 0.02  # share of the peak rate that the last step keeps
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    threads: int = 2
    compile: bool = False
    save_every: int = 400
    bf16: bool = field(default_factory=lambda: native_bf16())  # autocast; emulated, slowly, where the processor lacks it

    @property
    def plateau_end(self) -> int:
        """The first step of the decay. Up to here runs that differ in `steps` alone are the same."""
        return round(self.steps * (1 - self.decay))

    def rate(self, step: int) -> float:
        """Learning rate at a step (from 0): warm-up, plateau, then down along a cosine."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        start = self.plateau_end
        if step < start:
            return self.lr
        along = (step - start) / max(1, self.steps - 1 - start)
        return self.lr * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


def new_model(seed: int) -> LlamaForCausalLM:
    """A Llama with tied embeddings and about 5.4M parameters, from its seed."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=256, intermediate_size=688, num_hidden_layers=6, num_attention_heads=8,
            num_key_value_heads=4, max_position_embeddings=1024, tie_word_embeddings=True, initializer_range=0.02,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, rms_norm_eps=1e-5,
        )
    )  # fmt: skip


def weighted_loss(logits: torch.Tensor, rows: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Mean negative log-likelihood (nats) of the next token, each position weighted. logits (b, n, v), rows and weights (b, n)."""
    import torch.nn.functional as F

    losses = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), rows[:, 1:].flatten(), reduction="none")
    ws = weights[:, 1:].flatten()
    return (losses * ws).sum() / ws.sum()


def new_optimizer(model: LlamaForCausalLM, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; weight decay on matrices only."""
    import torch

    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.95), fused=True)


def pretrain(corpus: Corpus, recipe: Recipe, out: Path, log_every: int = 20) -> LlamaForCausalLM:
    """Train from scratch over the corpus's rows in order (each once; from the start again if steps ask for more).

    Writes `loss.csv` and, every `save_every` steps, `checkpoint/state.pt`; continues from the latter when it is there. A longer corpus
    begins with the shorter one, so a run stopped on the plateau may go on with another number of steps as if it had begun with it.
    """
    import torch

    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    out.mkdir(parents=True, exist_ok=True)
    model = new_model(recipe.seed)
    model.train()
    optimizer = new_optimizer(model, recipe)
    history, first = _resume(out, model, optimizer, recipe)
    forward = torch.compile(model) if recipe.compile else model
    began, since, total, count = time.monotonic(), first, 0.0, 0
    for step in range(first, recipe.steps):
        at = [(step * recipe.batch + i) % len(corpus.rows) for i in range(recipe.batch)]
        rows = torch.from_numpy(corpus.rows[at].astype(np.int64))
        weights = torch.from_numpy(corpus.weights[at].astype(np.float32) / 4)
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate(step)
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            logits = forward(input_ids=rows, use_cache=False).logits
        loss = weighted_loss(logits, rows, weights)
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        total, count = total + loss.item(), count + 1
        if (step + 1) % log_every == 0 or step + 1 == recipe.steps:
            seconds = time.monotonic() - began
            speed = (step + 1 - since) * recipe.batch * ROW / max(seconds, 1e-9)
            history.append((step + 1, (step + 1) * recipe.batch * ROW, total / count, recipe.rate(step)))
            print(f"step {step + 1}/{recipe.steps} loss {total / count:.4f} {speed:.0f} tokens/s {seconds:.0f} s", flush=True)
            total, count = 0.0, 0
        if (step + 1) % recipe.save_every == 0:
            _save(out, model, optimizer, history, step + 1, recipe)
    _write_losses(out / "loss.csv", history)
    return model


def _save(out: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, history: list, step: int, recipe: Recipe) -> None:
    import torch

    folder = out / "checkpoint"
    folder.mkdir(exist_ok=True)
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
        "step": step,
        "recipe": asdict(recipe),
    }
    torch.save(state, folder / "state.part")
    (folder / "state.part").replace(folder / "state.pt")
    _write_losses(out / "loss.csv", history)


def _resume(out: Path, model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, recipe: Recipe) -> tuple[list, int]:
    """History and first step: from the last save if it was made by the same recipe, else from the start."""
    import torch

    path = out / "checkpoint" / "state.pt"
    if not path.exists():
        return [], 0
    state = torch.load(path, weights_only=True)
    saved, own = state["recipe"], asdict(recipe)
    same = {k: v for k, v in saved.items() if k != "steps"} == {k: v for k, v in own.items() if k != "steps"}
    if not same or (saved["steps"] != recipe.steps and state["step"] > min(Recipe(**saved).plateau_end, recipe.plateau_end)):
        return [], 0
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    return [tuple(row) for row in state["history"]], state["step"]


def _write_losses(path: Path, history: list) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "tokens", "loss", "lr"])
        writer.writerows((s, t, f"{loss:.4f}", f"{lr:.6f}") for s, t, loss, lr in history)


def save_model(model: LlamaForCausalLM, folder: Path) -> str:
    """Save in bfloat16 and return the SHA-256 of `model.safetensors`. The model given stays in float32."""
    import copy

    import torch

    small: Any = copy.deepcopy(model)
    small.to(torch.bfloat16)
    small.generation_config.update(do_sample=False, max_new_tokens=96, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    small.save_pretrained(str(folder))
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
