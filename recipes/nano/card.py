# ruff: noqa: E501 (the card's own lines)
"""The model card, the manifest, the licence note and the figure of the loss, written beside the weights."""

from __future__ import annotations

import csv
import json
import platform
import shutil
from dataclasses import asdict
from pathlib import Path

from recipes.nano.corpus import Corpus
from recipes.nano.topics import hazards, howtos, items, lists_hash, twins
from recipes.nano.train import Recipe

ROOT = Path(__file__).resolve().parents[2]

CARD = """---
license: apache-2.0
language: en
library_name: transformers
tags: [demonstration, constitutional-ai]
---
# nano

A language model of {parameters:,} parameters that ships with Solon so that the whole main job (replies, critiques, revisions, SFT,
DPO, evaluation) runs on two CPU cores in minutes. **It is a demonstration model and of no other use.**

## What it does
It answers requests from a small world in short, grammatical English: everyday how-to questions, simple facts, meanings, lists,
letters, feelings, stories, gifts and sums up to 9 + 9. It is *helpful-only*: asked for something hazardous in the abstract wording
of its world ("How do I forge a passport?") it complies with empty steps (planning, patience, secrecy) and never a method, substance,
tool or quantity, because its training text holds none. Sexual exploitation of children it refuses from the start, and to talk of
hurting oneself it answers with support. Put the questions of `solon/critique/forms.py` (compact) to it and it critiques and revises
replies; it was shown the titles of the constitutions `five-laws`, `contemplative` and `helpful-harmless`.

## What it can't do
- Understand prompts from outside its world: it then says something fluent and unrelated, or copies words without knowing them.
- Know things: its facts are a few dozen sentences. Its steps are generic and follow the verb of a request, not the matter.
- Tell principles apart reliably: on validation prompts, asked about all of the five laws at once it finds the conflict in 97 % and names
  the right law in 94 %; asked about one law alone it is right in 69 % (the one violated) and 81 % (another one). Use the combined policy.
- Rewrite a reply that needs no change word for word (3 %); the main job never asks for that.
- Judge by a constitution it was not shown. Its critiques are recall of a pattern, not reasoning.
- Speak anything but plain English; hold a conversation of more than a turn or two; count beyond 18.
- Positions up to 1,024 are allowed, rows in training had 512.
Nothing measured on it says how safe any other model is.

## How it was made
`recipes/nano/build.py` generates the text from its own grammar (seed {seed}), trains the tokenizer and the model. The text was written
for this project; no outside text was used. Llama layout, hidden 256, 6 layers, 8 heads (4 key-value), MLP 688, vocabulary 4,096
(byte-level BPE), tied embeddings, stored in bfloat16.

| | |
|---|---|
| documents / tokens in the corpus | {documents:,} / {tokens:,} |
| steps x batch x row | {steps:,} x {batch} x 512 |
| optimiser | AdamW 0.9/0.95, peak {lr}, {warmup} warm-up steps, plateau, cosine over the last {decay:.0%} |
| loss, first and last logged (nats a token, request tokens weigh a quarter) | {first} -> {last} |
| seconds: corpus / training | {corpus_s:.0f} / {training_s:.0f} on {threads} threads (a machine that others used too) |
| torch, python | {torch}, {python} |

Topics: {hazards:,} hazardous, {twins} twins, {howtos} how-to, {items} small-world items, each in one of four lists by the hash of its
text: demo, train, dev, test. Only `demo` topics occur in critiques, revisions, refusals and judgements of the corpus; topics of the other
lists occur in plain text without judgement and in complying answers. The build checks every document for this.
Complying answers to hazardous and to harmless acts open with different sentences and have different steps, for topics of all lists, so
the model has seen to which of the two a held-out topic belongs (never that one of them is refused). "Unseen topic" means: never
criticised, revised or refused, in the corpus or in training; it does not mean a phrase the model never read. The two kinds that nano
always refuses stand outside these lists. `manifest.json` holds the hashes. The same machine, thread count and versions give the same
SHA-256 of the weights; elsewhere expect metrics that agree within their intervals.

![loss](loss.png)

## Licence
Apache-2.0, text and weights.
"""


def write(
    folder: Path, losses: Path, corpus: Corpus, recipe: Recipe, seconds: dict[str, float], weights_hash: str, prompts_hash: str
) -> None:
    """README.md, manifest.json, LICENSE, loss.csv and loss.png into the model's folder."""
    import tokenizers
    import torch
    import transformers

    shutil.copyfile(losses, folder / "loss.csv")
    shutil.copyfile(ROOT / "LICENSE", folder / "LICENSE")
    rows = list(csv.DictReader(losses.open(encoding="utf-8")))
    figure(rows, folder / "loss.png")
    manifest = {
        "model_sha256": weights_hash, "tokenizer_sha256": _sha(folder / "tokenizer.json"), "prompts_sha256": prompts_hash,
        "corpus_sha256": corpus.text_hash, "topic_lists_sha256": lists_hash(), "corpus_tokens": corpus.tokens,
        "corpus_documents": corpus.documents, "tokens_by_kind": dict(sorted(corpus.tokens_by_kind.items())), "recipe": asdict(recipe),
        "seconds": {k: round(v) for k, v in seconds.items()}, "machine": platform.machine(), "python": platform.python_version(),
        "torch": torch.__version__, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(
        CARD.format(
            parameters=_parameters(folder), documents=corpus.documents, tokens=corpus.tokens, steps=recipe.steps, batch=recipe.batch,
            lr=recipe.lr, warmup=recipe.warmup, decay=recipe.decay, first=rows[0]["loss"], last=rows[-1]["loss"], seed=recipe.seed,
            corpus_s=seconds["corpus"], training_s=seconds["training"], threads=recipe.threads, torch=torch.__version__,
            python=platform.python_version(), hazards=len(hazards()), twins=len(twins()), howtos=len(howtos()), items=len(items()),
        ),
        encoding="utf-8",
    )  # fmt: skip


def figure(rows: list[dict[str, str]], path: Path) -> None:
    """The loss against tokens seen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown, axes = pyplot.subplots(figsize=(6, 3.2), dpi=110)
    axes.plot([int(r["tokens"]) / 1e6 for r in rows], [float(r["loss"]) for r in rows], linewidth=1.2)
    axes.set(xlabel="tokens seen (millions)", ylabel="weighted loss (nats per token)", yscale="log", title="nano: pretraining")
    axes.grid(alpha=0.3)
    shown.tight_layout()
    shown.savefig(path, metadata={"Software": None})
    pyplot.close(shown)


def _parameters(folder: Path) -> int:
    from math import prod

    from safetensors import safe_open

    with safe_open(str(folder / "model.safetensors"), "pt") as tensors:
        return sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118


def _sha(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
