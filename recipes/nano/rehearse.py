"""A quick rehearsal of the main job on the train split (pairs, LoRA SFT, DPO), measured on validation: is the base model fit for it?

The product has its own, tested implementations; this one is short so that the corpus can be mended before a full pretraining.

    python recipes/nano/rehearse.py MODEL_FOLDER --prompts FILE
"""

# ruff: noqa: E501
from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from recipes.nano import answers  # noqa: E402
from recipes.nano.evaluate import ask, labels, load, read_prompts, report  # noqa: E402
from solon.critique import COMPACT_CRITIQUE, COMPACT_REVISION  # noqa: E402
from solon.data.records import Prompt  # noqa: E402

if TYPE_CHECKING:
    import torch

Row = tuple[str, str]  # prompt, reply
RETAIN = {"twin": 0.30, "howto": 0.40, "harm": 0.12, "small": 0.18}


def make_pairs(model: Any, tokenizer: Any, prompts: list[Prompt]) -> list[tuple[str, str, str]]:
    """(prompt, chosen, rejected): critic finds a conflict in the reply, none in the revision, and the revision refuses."""
    titles = "; ".join(answers.FIVE_LAWS)
    asked = [p.prompt for p in prompts]
    replies = [text for text, _ in ask(model, tokenizer, asked, temperature=0.7)]

    def judge(texts: list[str]) -> list[str]:
        return [
            t
            for t, _ in ask(
                model,
                tokenizer,
                [COMPACT_CRITIQUE.format(request=q, reply=r, titles=titles) for q, r in zip(asked, texts, strict=True)],
            )
        ]

    critiques = judge(replies)
    questions = [
        COMPACT_REVISION.format(request=q, reply=r, critique=c) for q, r, c in zip(asked, replies, critiques, strict=True)
    ]
    revised = ask(model, tokenizer, questions)
    again = judge([text for text, _ in revised])
    kinds = labels(prompts, revised)
    return [
        (q, new, old)
        for q, old, c, (new, _), c2, kind in zip(asked, replies, critiques, revised, again, kinds, strict=True)
        if c.startswith("Conflict") and c2.startswith("No conflict") and kind == "refusal" and new != old
    ]


def make_retain(model: Any, tokenizer: Any, prompts: list[Prompt], count: int) -> list[Row]:
    """The model's own complying replies to harmless training prompts, in the recommended shares."""
    kind_of = {"why": "harm", "protect": "harm"}
    pools: dict[str, list[Prompt]] = {name: [] for name in RETAIN}
    for p in prompts:
        if p.set != "hazardous":
            first = p.topic.split(":")[0] if ":" in p.topic else ""
            pools["twin" if p.set == "twin" else kind_of.get(first, "small" if first else "howto")].append(p)
    chosen = [p for name, share in RETAIN.items() for p in pools[name][: round(share * count)]]
    replies = ask(model, tokenizer, [p.prompt for p in chosen], temperature=0.7)
    kinds = labels(chosen, replies)
    return [(p.prompt, text) for p, (text, _), k in zip(chosen, replies, kinds, strict=True) if k.startswith("compliance")]


def batch_of(tokenizer: Any, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Right-padded ids (b, n) and a mask of the reply's tokens (b, n)."""
    import torch

    sequences, masks = [], []
    for prompt, reply in rows:
        head = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
        start = tokenizer(head, add_special_tokens=False)["input_ids"]
        tail = [*tokenizer(reply, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        sequences.append(start + tail)
        masks.append([0] * len(start) + [1] * len(tail))
    width = max(map(len, sequences))
    ids = torch.tensor([s + [tokenizer.pad_token_id] * (width - len(s)) for s in sequences])
    return ids, torch.tensor([m + [0] * (width - len(m)) for m in masks], dtype=torch.float32)


def logprobs(model: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Sum of log-probabilities of each row's reply, (b,)."""
    import torch

    logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits[:, :-1].log_softmax(-1)
    picked = torch.gather(logits, 2, ids[:, 1:, None])[..., 0]
    return (picked * mask[:, 1:]).sum(1)


def nll(model: Any, tokenizer: Any, rows: list[Row]) -> torch.Tensor:
    """Mean negative log-likelihood a reply token, nats."""
    ids, mask = batch_of(tokenizer, rows)
    return -logprobs(model, ids, mask).sum() / mask[:, 1:].sum()


def schedule(optimizer: Any, step: int, steps: int, lr: float) -> None:
    """Cosine with a tenth of warm-up."""
    import math

    warm = max(1, steps // 10)
    rate = lr * (step + 1) / warm if step < warm else lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    for group in optimizer.param_groups:
        group["lr"] = rate


def sft(model: Any, tokenizer: Any, rows: list[Row], epochs: int, lr: float, seed: int) -> None:
    """Likelihood of pairs' revisions and retain rows."""
    import torch

    rng, batches = random.Random(seed), []
    for _ in range(epochs):
        order = rng.sample(rows, len(rows))
        batches += [order[i : i + 16] for i in range(0, len(order), 16)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0.0)
    for step, rows_ in enumerate(batches):
        schedule(optimizer, step, len(batches), lr)
        optimizer.zero_grad()
        nll(model, tokenizer, rows_).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def dpo(
    model: Any, tokenizer: Any, pairs: list[tuple[str, str, str]], retain: list[Row], lr: float, beta: float, seed: int
) -> None:
    """One epoch of DPO against the adapter-free reference, plus the likelihood of eight retain rows a step."""
    import torch
    import torch.nn.functional as F

    rng = random.Random(seed)
    order = rng.sample(pairs, len(pairs))
    batches = [order[i : i + 16] for i in range(0, len(order), 16)]
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr, weight_decay=0.0)
    for step, part in enumerate(batches):
        schedule(optimizer, step, len(batches), lr)
        ids, mask = batch_of(tokenizer, [(q, c) for q, c, _ in part] + [(q, r) for q, _, r in part])
        with torch.no_grad(), model.disable_adapter():
            reference = logprobs(model, ids, mask)
        margin = logprobs(model, ids, mask) - reference
        loss = -F.logsigmoid(beta * (margin[: len(part)] - margin[len(part) :])).mean()
        optimizer.zero_grad()
        (loss + nll(model, tokenizer, rng.sample(retain, 8))).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def rehearse(folder: Path, prompts: Path, seed: int = 0) -> dict[str, Any]:
    """Pairs, retain rows, SFT, DPO; tuned results on validation after each."""
    import torch
    from peft import LoraConfig, get_peft_model

    began = time.monotonic()
    model, tokenizer = load(folder)
    train, validation = read_prompts(prompts, "train"), read_prompts(prompts, "validation")
    hazardous = [p for p in train if p.set == "hazardous"]
    pairs = make_pairs(model, tokenizer, hazardous)
    retain = make_retain(model, tokenizer, train, 2 * len(hazardous))
    found: dict[str, Any] = {
        "pairs": f"{len(pairs)} of {len(hazardous)}",
        "retain": len(retain),
        "seconds pairs": round(time.monotonic() - began),
    }
    torch.manual_seed(seed)
    tuned = get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.05, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    references = [(p.prompt, p.reference) for p in validation if p.reference][:150]
    with torch.no_grad(), tuned.disable_adapter():
        found["benign nats a token, base"] = round(nll(tuned.eval(), tokenizer, references).item(), 4)
    tuned.train()
    sft(tuned, tokenizer, [(q, c) for q, c, _ in pairs] + retain, 2, 1e-3, seed)
    found["after SFT"] = report(tuned.eval(), tokenizer, validation, tuned=True)
    tuned.train()
    dpo(tuned, tokenizer, pairs, retain, 5e-5, 0.1, seed)
    found["after DPO"] = report(tuned.eval(), tokenizer, validation, tuned=True)
    with torch.no_grad():
        found["benign nats a token, tuned"] = round(nll(tuned, tokenizer, references).item(), 4)
    found["seconds"] = round(time.monotonic() - began)
    found["examples"] = pairs[:5]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--prompts", type=Path, default=ROOT / "solon/data/builtin/prompts.jsonl")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(json.dumps(rehearse(arguments.model, arguments.prompts, arguments.seed), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
