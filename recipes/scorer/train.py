"""Train the reading scorer: `python -m recipes.scorer.train [--leave-out COLLECTION] [--out DIR]`.

Low-rank adapters on every linear map of the encoder and the heads, together. Labels come with every row; for rows whose parts are
known, each word is also told what it does, which teaches far more per row than the label alone. About an hour on two
shared cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F

from recipes.scorer import rows as data
from recipes.scorer.rows import Row
from solon.evaluation.reader import network
from solon.evaluation.reader.network import KINDS, LABELS, Clues, Coded, Reader, label_logprobs, stack
from solon.evaluation.reader.scorer import ENCODER_SHA256, VERSION
from solon.evaluation.rules import label_reply

RANK, ALPHA, DROPOUT = 16, 32, 0.05
TARGETS = ["query", "key", "value", "dense"]
RATE, HEAD_RATE, SMOOTHING, WORDS_WEIGHT, HINT_DROPOUT, SIZE = 1e-3, 2e-3, 0.05, 0.5, 0.3, 16
IGNORE = -100
# Added to the log-odds of "serves" after training: answers that miss are a third of the rows and seldom in life. Chosen on 300
# ordinary answers and the same answers shuffled (design/LOG.md), never on the sealed traps.
SERVES_PRIOR = 1.0
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # its name, not where it lay


class Held(NamedTuple):
    """A row as ids, the kind of each position (`IGNORE` where unknown), both clues, and the label."""

    coded: Coded
    kinds: list[int]
    hint: int
    near: float
    label: int


def hold(tokenizer: Any, row: Row, near: float) -> Held:
    """A row ready to train on. Rows that the rules were written on get no hint."""
    asked = network.shortened(tokenizer.encode(row.prompt, add_special_tokens=False), network.MOST_REQUEST, 1 / 3)
    said, kinds = [], []
    for part in row.parts:
        ids = tokenizer.encode(part.text, add_special_tokens=False)
        said += ids
        kinds += [KINDS.index(part.kind) if part.kind else IGNORE] * len(ids)
    room = network.MOST_TOKENS - len(asked) - 3
    said, kinds = (network.shortened(x, room, 3 / 5) for x in (said, kinds))
    hint = network.NO_HINT if row.collection == "traps" else network.hint_of(label_reply(row.prompt, row.reply)[0])
    marked = [IGNORE] * (len(asked) + 2) + kinds + [IGNORE]
    return Held(network.joined(tokenizer, asked, said), marked, hint, near, LABELS.index(row.label))


def batches(lengths: Sequence[int], size: int, rng: random.Random) -> Iterator[list[int]]:
    """Every index once, in batches of similar length, in random order."""
    order = list(range(len(lengths)))
    rng.shuffle(order)
    groups = []
    for start in range(0, len(order), size * 32):
        chunk = sorted(order[start : start + size * 32], key=lengths.__getitem__)
        groups += [chunk[i : i + size] for i in range(0, len(chunk), size)]
    rng.shuffle(groups)
    yield from groups


def loss_of(model: Reader, batch: Sequence[Held], rng: random.Random) -> torch.Tensor:
    """Cross-entropy of the label (smoothed) and of the words' kinds; of the hints so many are left out as `HINT_DROPOUT` says."""
    ids, types = stack([h.coded.ids for h in batch]), stack([h.coded.types for h in batch])
    mask = stack([[1] * len(h.coded.ids) for h in batch])
    hints = torch.tensor([network.NO_HINT if rng.random() < HINT_DROPOUT else h.hint for h in batch])
    answers, kinds = model(ids, types, mask, Clues(hints, torch.tensor([h.near for h in batch])))
    logp = label_logprobs(answers)
    wanted = torch.full_like(logp, SMOOTHING / len(LABELS))
    wanted[torch.arange(len(batch)), torch.tensor([h.label for h in batch])] += 1 - SMOOTHING
    words = stack([h.kinds for h in batch], padding=IGNORE)
    told = F.cross_entropy(kinds.flatten(0, 1), words.flatten(), ignore_index=IGNORE) if (words != IGNORE).any() else 0.0
    return -(wanted * logp).sum(-1).mean() + WORDS_WEIGHT * told


def new_reader(encoder: Any) -> Reader:
    """A reader whose encoder is frozen but for low-rank adapters."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=TARGETS, bias="none")
    return Reader(get_peft_model(encoder, config))


def fit(rows: Sequence[Row], epochs: int, seed: int, log_every: int = 50) -> tuple[Reader, Any]:
    """A trained reader and its tokenizer."""
    from solon.evaluation.reader.scorer import load_encoder

    torch.manual_seed(seed)
    rng = random.Random(seed)
    encoder, tokenizer = load_encoder()
    near = network.nearness(encoder.eval(), tokenizer, [(r.prompt, r.reply) for r in rows]).tolist()
    model = new_reader(encoder)
    held = [hold(tokenizer, row, value) for row, value in zip(rows, near, strict=True)]
    lengths = [len(h.coded.ids) for h in held]
    adapters = [p for p in model.encoder.parameters() if p.requires_grad]
    groups = [{"params": adapters, "lr": RATE}, {"params": model.heads.parameters(), "lr": HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    total = epochs * len(list(batches(lengths, SIZE, random.Random(0))))
    rate = lambda s: min((s + 1) / (0.06 * total), 1.0) * max(0.0, 1 - s / total)  # noqa: E731 (warm-up, then down to 0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    began, step, running = time.monotonic(), 0, 0.0
    model.train()
    for _ in range(epochs):
        for indices in batches(lengths, SIZE, rng):
            loss = loss_of(model, [held[i] for i in indices], rng)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
            optimizer.step()
            schedule.step()
            step, running = step + 1, running + loss.item()
            if step % log_every == 0:
                print(f"step {step}/{total} loss {running / log_every:.3f} {time.monotonic() - began:.0f} s", flush=True)
                running = 0.0
    return model.eval(), tokenizer


def training_rows(leave_out: str = "", extra: int = 2600, nano: int = 400, seed: int = 0) -> list[Row]:
    """All rows to train on: the collections but `leave_out`, the traps that may be read, recombined rows, and nano's."""
    from solon.evaluation.trapset import load_traps

    base = [r for c in data.COLLECTIONS if c != leave_out for r in data.read(c)]
    base += [r for c in data.ORDINARY for r in data.read_ordinary(c)]
    traps = [] if leave_out == "traps" else load_traps("dev")
    dev = [Row(t.prompt, (data.Part("", t.reply),), t.label, collection="traps") for t in traps if t.label in LABELS]
    swapped = data.swapped(data.ORDINARY, seed)
    return [*base, *dev, *swapped, *data.recombined(base, extra, seed), *data.nano_rows(nano, seed)]


def origins() -> dict[str, Any]:
    """The encoder, and the sha256 of every file of replies that may be trained on."""
    names = (*data.COLLECTIONS, *data.ORDINARY)
    replies = {name: hashlib.sha256((data.HERE / f"{name}.jsonl").read_bytes()).hexdigest() for name in names}
    return {"encoder": ENCODER, "encoder_sha256": ENCODER_SHA256, "replies_sha256": replies}


def save(model: Reader, folder: Path, facts: dict[str, Any]) -> None:
    """Adapter, heads (half precision) and what they were made from."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model.encoder.peft_config["default"].base_model_name_or_path = ENCODER  # type: ignore[index,union-attr]
    model.encoder.save_pretrained(str(folder))  # type: ignore[operator]
    with torch.no_grad():
        model.heads.whole[-1].bias[KINDS.index("serve")] += SERVES_PRIOR
    save_file({k: v.detach().half().contiguous() for k, v in model.heads.state_dict().items()}, folder / "heads.safetensors")
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "reader.json").write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # the writer makes them private


def main() -> None:
    """Train, save, and print what it gets right on the held-out rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--leave-out", default="", help="a collection (or `traps`) to keep out of training")
    parser.add_argument("--out", type=Path, default=Path("work/scorer"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extra", type=int, default=2600)
    parser.add_argument("--nano", type=int, default=400)
    options = parser.parse_args()
    rows = training_rows(options.leave_out, options.extra, options.nano, options.seed)
    print(f"{len(rows)} rows", flush=True)
    model, _ = fit(rows, options.epochs, options.seed)
    asked = {name: value for name, value in vars(options).items() if name != "out"}
    made = {"version": VERSION, "rows": len(rows), "serves_prior": SERVES_PRIOR, "torch": str(torch.__version__)}
    save(model, options.out, {**made, **asked, **origins()})


if __name__ == "__main__":
    main()
