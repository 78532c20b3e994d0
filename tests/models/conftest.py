"""A tiny Llama with random weights and its own tokenizer, saved as a folder that `from_pretrained` loads."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from solon.models.base import Message, Request, Sampling

TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = "the quick brown fox asks how to bake bread, walk to the lake, write a letter and count seven stones . ? ! :"
WORDS = CORPUS.split()


def save_tiny(folder: Path, *, seed: int = 0, template: str | None = TEMPLATE, context: int = 256, hidden: int = 32) -> Path:
    """A two-layer Llama with grouped-query attention and about 300 tokens of vocabulary."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator([CORPUS] * 8, trainers.BpeTrainer(vocab_size=330, special_tokens=special, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<|pad|>", eos_token="<|end|>", chat_template=template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, tie_word_embeddings=True, initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, bos_token_id=None,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def request(number: int, text: str, **sampling: float | int) -> Request:
    """A one-turn request whose seed is its number."""
    settings = {"temperature": 1.0, "max_new_tokens": 12, **sampling}
    return Request(
        id=f"r{number:03d}", messages=(Message(role="user", content=text),), sampling=Sampling(**settings), seed=number
    )


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):
    from solon.models import open_model

    logging.getLogger("transformers").setLevel(logging.ERROR)
    return open_model(str(tiny_folder), device="cpu", batch_size=8)
