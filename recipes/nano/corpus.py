"""From documents to training rows: the tokenizer, the token stream, and rows of 512 tokens that hold whole documents."""

# ruff: noqa: E501
from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recipes.nano.documents import MIX, Document, judges_only_demo

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BOS, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = {role: f"<|{role}|>" for role in ("system", "user", "assistant")}
SPECIAL = (PAD, BOS, END, *ROLES.values())
VOCABULARY = 4096
ROW = 512  # tokens
USER_WEIGHT = 0.25  # share of the loss on tokens that the model will not have to write
TEMPLATE = (
    "{{ '<|begin|>' }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
UNTAUGHT = frozenset({"copy"})  # kinds the tokenizer does not learn from, so that their words fall into pieces that are copied


@dataclass
class Corpus:
    """Rows (n, 512) of token ids, their loss weights (uint8, 0 pad, 1 user, 4 rest: quarters), and what is in them."""

    rows: np.ndarray
    weights: np.ndarray
    tokens: int
    documents: int
    tokens_by_kind: Counter[str] = field(default_factory=Counter)
    text_hash: str = ""


def make_document(kind: str, index: int, seed: int) -> Document:
    """The document of a kind at a place in the corpus: a pure function of these three."""
    return MIX[kind][1](random.Random(f"{seed} {index} {kind}"))


def kinds(shares: dict[str, float], count: int, seed: int) -> list[str]:
    """The kinds of `count` documents, drawn in proportion to `shares` (of documents)."""
    rng = random.Random(f"kinds {seed}")
    return rng.choices(list(shares), list(shares.values()), k=count)


def train_tokenizer(seed: int, documents: int = 30_000) -> Tokenizer:
    """A byte-level BPE tokenizer of 4,096 entries, trained on documents of a seed of its own."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False, min_frequency=2,
    )  # fmt: skip
    shares = {kind: share for kind, (share, _) in MIX.items() if kind not in UNTAUGHT}
    drawn = kinds(shares, documents, seed + 1)
    texts = (text for i, kind in enumerate(drawn) for _, text in make_document(kind, i, seed + 1).messages)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Save with the chat template, in the layout that `AutoTokenizer` loads."""
    from transformers import PreTrainedTokenizerFast

    whole = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=BOS, eos_token=END, pad_token=PAD, model_max_length=1024,
        additional_special_tokens=list(ROLES.values()), clean_up_tokenization_spaces=False,
    )  # fmt: skip
    whole.chat_template = TEMPLATE
    whole.save_pretrained(str(folder))


def _token(tokenizer: Tokenizer, name: str) -> int:
    found = tokenizer.token_to_id(name)
    assert found is not None, f"the tokenizer has no {name}"
    return found


def encode(document: Document, tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Token ids and loss weights in quarters. The text after a role token starts a new word, as the chat template renders it."""
    ids = [_token(tokenizer, BOS)]
    weights = [1]
    end = _token(tokenizer, END)
    for role, text in document.messages:
        part = tokenizer.encode(text, add_special_tokens=False).ids
        if role in ROLES:
            ids.append(_token(tokenizer, ROLES[role]))
            weights.append(1)
        weight = 1 if role in ("user", "system") else 4
        ids += [*part, end]
        weights += [weight] * (len(part) + 1)
    return ids, weights


def mean_tokens(tokenizer: Tokenizer, seed: int, sample: int = 200) -> dict[str, float]:
    """Mean tokens of a document, by kind."""
    found = {}
    for kind in MIX:
        lengths = [len(encode(make_document(kind, i, seed + 2), tokenizer)[0]) for i in range(sample)]
        found[kind] = sum(lengths) / sample
    return found


def build(tokenizer: Tokenizer, tokens: int, seed: int) -> Corpus:
    """A corpus of about `tokens` tokens (padding not counted), packed.

    Raises:
        AssertionError: a critique, revision or refusal names a topic outside the demo list.
    """
    means = mean_tokens(tokenizer, seed)
    shares = {kind: share / means[kind] for kind, (share, _) in MIX.items()}
    per_document = sum(share for share, _ in MIX.values()) / sum(shares.values())
    drawn = kinds(shares, int(tokens / per_document), seed)
    digest, packer, by_kind = hashlib.sha256(), _Packer(_token(tokenizer, PAD)), Counter[str]()
    for index, kind in enumerate(drawn):
        document = make_document(kind, index, seed)
        assert judges_only_demo(document), f"judges a topic outside the demo list: {document}"
        ids, weights = encode(document, tokenizer)
        packer.add(ids, weights)
        by_kind[kind] += len(ids)
        digest.update(repr(document.messages).encode())
    rows, row_weights = packer.close()
    return Corpus(rows, row_weights, sum(by_kind.values()), len(drawn), by_kind, digest.hexdigest())


class _Packer:
    """First fit into the last eight open rows; a row that never fills is padded."""

    def __init__(self, pad: int) -> None:
        self.pad = pad
        self.open: list[tuple[list[int], list[int]]] = []
        self.done: list[tuple[list[int], list[int]]] = []

    def add(self, ids: list[int], weights: list[int]) -> None:
        ids, weights = ids[:ROW], weights[:ROW]
        for row in self.open:
            if len(row[0]) + len(ids) <= ROW:
                row[0].extend(ids)
                row[1].extend(weights)
                break
        else:
            self.open.append((list(ids), list(weights)))
            if len(self.open) > 8:
                self.done.append(self.open.pop(0))

    def close(self) -> tuple[np.ndarray, np.ndarray]:
        every = [*self.done, *self.open]
        rows = np.full((len(every), ROW), self.pad, dtype=np.uint16)
        weights = np.zeros((len(every), ROW), dtype=np.uint8)
        for i, (ids, ws) in enumerate(every):
            rows[i, : len(ids)] = ids
            weights[i, : len(ws)] = ws
        return rows, weights
