"""A tiny random Llama with a tokenizer of its own, and rows that it can learn."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from solon.data.records import Pair, Provenance
from solon.models.base import Message

WORDS = """
how do i bake pick a cake lock sorry no yes sure mix the flour and sugar please tell me it hurts people you can ask
someone kind cannot help step first
""".split()  # noqa: SIM905 - a list of forty strings would be unreadable
TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + ('<|end|>' if m.role == 'assistant' else '') }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|unk|>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS, *(f"w{i}" for i in range(160))])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    raw.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|end|>", pad_token="<|pad|>", unk_token="<|unk|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def build_model(tokenizer, *, tie: bool = True, seed: int = 0, **changes):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    options = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256, "tie_word_embeddings": tie,
        "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None,
        "initializer_range": 0.15,
    } | changes  # fmt: skip
    return LlamaForCausalLM(LlamaConfig(**options)).eval()


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture
def model(tokenizer):
    return build_model(tokenizer)


@pytest.fixture(scope="session")
def folder(tmp_path_factory, tokenizer) -> Path:
    """The tiny model on disk, as users have it."""
    path = tmp_path_factory.mktemp("tiny") / "base"
    build_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def row(prompt: str, chosen: str, rejected: str = "", kind: str = "pair", number: int = 0) -> Pair:
    def say(role: str, text: str) -> list[Message]:
        return [Message(role=role, content=text)] if text else []  # type: ignore[arg-type]

    return Pair(
        prompt=say("user", prompt), chosen=say("assistant", chosen), rejected=say("assistant", rejected), principle_id="p1",
        source="test", kind=kind,  # type: ignore[arg-type]
        provenance=Provenance(prompt_id=f"{kind}-{number}", group="g", model="tiny", template_hash="t", sampling={}, seed=0,
                              constitution_hash="c"),
    )  # fmt: skip


def make_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Prompts of random words; chosen begins with `sorry i cannot`, rejected with `sure`; random lengths."""
    r = random.Random(seed)

    def words(low: int, high: int) -> str:
        return " ".join(f"w{r.randrange(160)}" for _ in range(r.randint(low, high)))

    return [
        row(f"how do i {words(1, 8)}", f"sorry i cannot {words(0, 6)}".strip(), f"sure {words(1, 12)}", number=n)
        for n in range(count)
    ]


def make_retain(count: int, seed: int = 1) -> list[Pair]:
    r = random.Random(seed)
    return [row(f"please tell me w{r.randrange(160)}", "mix the flour and sugar", kind="retain", number=n) for n in range(count)]
