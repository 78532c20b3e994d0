"""A tiny local Qwen2 with tied embeddings and a byte tokenizer: what stands for the guide's model in these tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM


def tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


def model(seed: int = 0) -> Qwen2ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=256, tie_word_embeddings=True,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


def trained(steps: int = 15) -> Qwen2ForCausalLM:
    """After a few steps on plain text, so that scaling a layer has a direction that helps or hurts."""
    from solon.lab.measure import TEXTS

    made, reader = model(), tokenizer()
    optimizer = torch.optim.AdamW(made.parameters(), lr=5e-3)
    for step in range(steps):
        ids = torch.tensor([reader(TEXTS[step % len(TEXTS)])["input_ids"][:48]])
        made(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return made.eval()


def folder(path: Path) -> Path:
    model().save_pretrained(path)
    tokenizer().save_pretrained(path)
    return path


def losses(value: float, count: int = 8) -> Any:
    """A test result of `count` items with these mean losses and some spread."""
    return [value + 0.01 * i for i in range(count)]
