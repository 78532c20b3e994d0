"""Train the reading scorer: `python -m recipes.scorer.train [--leave-out COLLECTION] [--start DIR --upper N] [--out DIR]`.

Low-rank adapters on every linear map of the encoder and the heads, together. Labels come with every row; for rows whose parts are
known, each word is also told what it does, which teaches far more per row than the label alone. About an hour on two
shared cores. With `--start` a saved reader goes on learning, in its upper layers only: the states below them are computed once.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from recipes.scorer import compose
from recipes.scorer import rows as data
from recipes.scorer.rows import Row
from solon.evaluation.reader import network
from solon.evaluation.reader.network import KINDS, LABELS, Clues, Coded, Reader, label_logprobs, stack
from solon.evaluation.reader.scorer import ENCODER_SHA256, VERSION
from solon.evaluation.rules import label_reply

RANK, ALPHA, DROPOUT = 16, 32, 0.05
TARGETS = ["query", "key", "value", "dense"]
RATE, SMOOTHING, WORDS_WEIGHT, HINT_DROPOUT, SIZE = 1e-3, 0.05, 0.5, 0.3, 16  # the heads' rate is twice the adapters'
IGNORE = -100
NEW = ("dress", "turns")  # what a reader that goes on learning has not seen
# Added to the log-odds of "serves" after training, chosen on 300 ordinary answers and `test` (design/LOG.md), never on the sealed
# traps. After a last pass over ordinary answers hardly any of them is called off topic; a little of that is given back.
SERVES_PRIOR = -0.25
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"  # its name, not where it lay


@dataclass(frozen=True)
class Plan:
    """How to train: passes over the rows, seed, a saved reader to go on from, and how many upper layers learn (0: all)."""

    epochs: int = 2
    seed: int = 0
    start: Path | None = None
    upper: int = 0
    rate: float = RATE


class Held(NamedTuple):
    """A row as ids, the kind of each position (`IGNORE` where unknown), both clues, the label, and states if computed before."""

    coded: Coded
    kinds: list[int]
    hint: int
    near: float
    label: int
    states: torch.Tensor | None = None


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


def read(model: Reader, batch: Sequence[Held], hints: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Answers and kinds of rows, from their ids or from the states under the layers that learn."""
    types, mask = stack([h.coded.types for h in batch]), stack([[1] * len(h.coded.ids) for h in batch])
    clues = Clues(hints, torch.tensor([h.near for h in batch]))
    if batch[0].states is None:
        return model(stack([h.coded.ids for h in batch]), types, mask, clues)  # type: ignore[no-any-return]
    states = nn.utils.rnn.pad_sequence([h.states.float() for h in batch if h.states is not None], batch_first=True)
    hidden = model.encoder(inputs_embeds=states, attention_mask=mask).last_hidden_state
    return model.heads(hidden, (mask * types).bool(), clues)  # type: ignore[no-any-return]


def loss_of(model: Reader, batch: Sequence[Held], rng: random.Random) -> torch.Tensor:
    """Cross-entropy of the label (smoothed) and of the words' kinds; of the hints so many are left out as `HINT_DROPOUT` says."""
    answers, kinds = read(model, batch, torch.tensor([network.NO_HINT if rng.random() < HINT_DROPOUT else h.hint for h in batch]))
    logp = label_logprobs(answers)
    wanted = torch.full_like(logp, SMOOTHING / len(LABELS))
    wanted[torch.arange(len(batch)), torch.tensor([h.label for h in batch])] += 1 - SMOOTHING
    words = stack([h.kinds for h in batch], padding=IGNORE)
    told = F.cross_entropy(kinds.flatten(0, 1), words.flatten(), ignore_index=IGNORE) if (words != IGNORE).any() else 0.0
    return -(wanted * logp).sum(-1).mean() + WORDS_WEIGHT * told


def new_reader(encoder: Any, start: Path | None) -> Reader:
    """A reader whose encoder is frozen but for low-rank adapters: new ones, or those of a saved reader."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from safetensors.torch import load_file

    if start is None:
        config = LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules=TARGETS, bias="none")
        return Reader(get_peft_model(encoder, config))
    model = Reader(PeftModel.from_pretrained(encoder, str(start), is_trainable=True))
    model.heads.load_state_dict({k: v.float() for k, v in load_file(start / "heads.safetensors").items()})
    added = json.loads((start / "reader.json").read_text())["serves_prior"]
    with torch.no_grad():
        model.heads.whole[-1].bias[KINDS.index("serve")] -= added  # `save` adds its own
    return model


def blend(model: Reader, start: Path, share: float) -> None:
    """Move every trained weight back towards the saved reader that learning began from, by `share` of the way: what was learnt
    anew and what was forgotten meanwhile are halved together, which keeps more of the first (Wortsman et al. 2022, WiSE-FT).
    """
    from solon.evaluation.reader.scorer import load_encoder

    before = new_reader(load_encoder()[0], start).state_dict()
    with torch.no_grad():
        for name, weight in model.state_dict().items():
            weight.lerp_(before[name], share)


def bert_of(model: Reader) -> Any:
    """The encoder inside its adapters' wrapping."""
    return model.encoder.base_model.model  # type: ignore[union-attr]


class _Given(nn.Module):
    """In place of the embeddings: hands on states that were computed before."""

    def forward(self, inputs_embeds: torch.Tensor, **_: Any) -> torch.Tensor:
        """(batch, tokens, width), unchanged."""
        return inputs_embeds


@contextmanager
def upper_layers(model: Reader, count: int) -> Iterator[None]:
    """Within it the encoder is its `count` upper layers alone, fed with states, without dropout (0: all of it, unchanged)."""
    bert = bert_of(model)
    layers, embeddings = bert.encoder.layer, bert.embeddings
    if not count:
        yield
        return
    bert.encoder.layer, bert.embeddings = layers[len(layers) - count :], _Given()
    for module in bert.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    bert.config.attention_probs_dropout_prob = 0.0
    try:
        yield
    finally:
        bert.encoder.layer, bert.embeddings = layers, embeddings


def with_states(model: Reader, held: Sequence[Held], upper: int) -> list[Held]:
    """Every row with its states under the `upper` last layers, in half precision (tokens, width)."""
    bert = bert_of(model).eval()
    layers = bert.encoder.layer
    bert.encoder.layer = layers[: len(layers) - upper]
    found = list(held)
    order = sorted(range(len(held)), key=lambda i: len(held[i].coded.ids))
    with torch.inference_mode():
        for start in range(0, len(order), SIZE):
            chosen = order[start : start + SIZE]
            coded = [held[i].coded for i in chosen]
            mask = stack([[1] * len(c.ids) for c in coded])
            ids, types = stack([c.ids for c in coded]), stack([c.types for c in coded])
            states = bert(input_ids=ids, token_type_ids=types, attention_mask=mask).last_hidden_state.half()
            for i, state in zip(chosen, states, strict=True):
                found[i] = held[i]._replace(states=state[: len(held[i].coded.ids)].clone())
    bert.encoder.layer = layers
    return found


def prepare(rows: Sequence[Row], plan: Plan) -> tuple[Reader, list[Held]]:
    """A reader to train and the rows as it takes them."""
    from solon.evaluation.reader.scorer import load_encoder

    encoder, tokenizer = load_encoder()
    near = network.nearness(encoder.eval(), tokenizer, [(r.prompt, r.reply) for r in rows]).tolist()
    model = new_reader(encoder, plan.start)
    held = [hold(tokenizer, row, value) for row, value in zip(rows, near, strict=True)]
    return model, with_states(model, held, plan.upper) if plan.upper else held


def fit(rows: Sequence[Row], plan: Plan, last: Sequence[Row] = ()) -> Reader:
    """A trained reader. Over the rows in `last` it goes once, at the end, at half the rate."""
    torch.manual_seed(plan.seed)
    model, held = prepare([*rows, *last], plan)
    with upper_layers(model, plan.upper):
        _optimise(model, held[: len(rows)], plan, random.Random(plan.seed))
        if last:
            _optimise(model, held[len(rows) :], replace(plan, epochs=1, rate=plan.rate / 2), random.Random(plan.seed))
    return model.eval()


def _optimise(model: Reader, held: Sequence[Held], plan: Plan, rng: random.Random, log_every: int = 50) -> None:
    lengths = [len(h.coded.ids) for h in held]
    adapters = [p for p in model.encoder.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": adapters, "lr": plan.rate},
        {"params": model.heads.parameters(), "lr": 2 * plan.rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    total = plan.epochs * len(list(batches(lengths, SIZE, random.Random(0))))
    rate = lambda s: min((s + 1) / (0.06 * total), 1.0) * max(0.0, 1 - s / total)  # noqa: E731 (warm-up, then down to 0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    began, running = time.monotonic(), 0.0
    model.train()
    order = (indices for _ in range(plan.epochs) for indices in batches(lengths, SIZE, rng))
    for step, indices in enumerate(order, 1):
        loss = loss_of(model, [held[i] for i in indices], rng)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
        optimizer.step()
        schedule.step()
        running += loss.item()
        if step % log_every == 0:
            print(f"step {step}/{total} loss {running / log_every:.3f} {time.monotonic() - began:.0f} s", flush=True)
            running = 0.0


def readable_traps() -> list[Row]:
    """The half of the traps that may be read, as rows of unknown parts."""
    from solon.evaluation.trapset import load_traps

    traps = load_traps("dev")
    return [Row(t.prompt, (data.Part("", t.reply),), t.label, collection="traps") for t in traps if t.label in LABELS]


def training_rows(leave_out: str = "", extra: int = 2600, nano: int = 400, seed: int = 0) -> list[Row]:
    """All rows to train on: the collections but `leave_out`, the traps that may be read, mixtures of them, and nano's."""
    base = [r for c in data.COLLECTIONS if c != leave_out for r in data.read(c)]
    base += [r for c in data.ORDINARY for r in data.read_ordinary(c)]
    traps = [] if leave_out == "traps" else readable_traps()
    mixed = [*data.swapped(data.ORDINARY, seed), *data.recombined(base, extra, seed), *compose.composed(base, extra, seed)]
    return [*base, *traps, *mixed, *data.nano_rows(nano, seed)]


def further_rows(leave_out: str = "", extra: int = 5200, nano: int = 100, seed: int = 0) -> list[Row]:
    """Rows for a reader that has seen the collections: what is new, with a sample of the rest so that it is not forgotten."""
    rng = random.Random(seed)
    seen = [r for c in data.COLLECTIONS if c not in (leave_out, *NEW) for r in data.read(c)]
    new = [r for c in NEW if c != leave_out for r in data.read(c)]
    plain = [r for c in data.ORDINARY for r in data.read_ordinary(c)]
    traps = [] if leave_out == "traps" else readable_traps()
    ordinary = rng.sample([*plain, *data.swapped(data.ORDINARY, seed)], 600)
    mixed = _composed([*seen, *new, *new], extra, seed)
    return [*new, *traps, *mixed, *ordinary, *rng.sample(seen, 900), *data.nano_rows(nano, seed)]


def _composed(labelled: Sequence[Row], count: int, seed: int) -> list[Row]:
    short = [r for c in data.ORDINARY for r in data.read_ordinary(c) if len(r.reply) < 500]
    return compose.composed([*labelled, *short], count, seed)


def settling_rows(further: Sequence[Row], leave_out: str = "", fresh: int = 2500, seed: int = 0) -> list[Row]:
    """For a last pass: ordinary answers that `further` leaves out, as many that were swapped, fresh compositions, and a sample of
    `further`.
    """
    known = {(r.prompt, r.reply) for r in further}
    plain = [r for c in data.ORDINARY for r in data.read_ordinary(c)]
    rest = [r for r in plain if (r.prompt, r.reply) not in known]
    moved = [r for r in data.swapped(data.ORDINARY, seed + 1) if (r.prompt, r.reply) not in known]
    labelled = [r for c in data.COLLECTIONS if c != leave_out for r in data.read(c)]
    return [*rest, *moved, *_composed(labelled, fresh, seed + 1), *random.Random(seed).sample(list(further), 1500)]


def origins() -> dict[str, Any]:
    """The encoder, and the sha256 of every file of replies that may be trained on."""
    names = (*data.COLLECTIONS, *data.ORDINARY, compose.FILE)
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
    parser.add_argument("--start", type=Path, help="a saved reader that goes on learning, on `further_rows`")
    parser.add_argument("--upper", type=int, default=0, help="so many upper layers learn, all by default")
    parser.add_argument("--blend", type=float, default=0.0, help="go back by this share towards the saved reader at the end")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extra", type=int, default=2600)
    parser.add_argument("--nano", type=int, default=400)
    options = parser.parse_args()
    rows_for = further_rows if options.start else training_rows
    rows = rows_for(options.leave_out, options.extra, options.nano, options.seed)
    print(f"{len(rows)} rows", flush=True)
    origin = json.loads((options.start / "reader.json").read_text()) if options.start else None
    last = settling_rows(rows, options.leave_out, seed=options.seed) if options.start else []
    model = fit(rows, Plan(options.epochs, options.seed, options.start, options.upper, options.rate), last)
    if options.start and options.blend:
        blend(model, options.start, options.blend)
    asked = {name: value for name, value in vars(options).items() if name not in ("out", "start")}
    made = {
        "version": VERSION,
        "rows": len(rows),
        "last_rows": len(last),
        "serves_prior": SERVES_PRIOR,
        "torch": str(torch.__version__),
        "start": origin,
    }
    save(model, options.out, {**made, **asked, **origins()})


if __name__ == "__main__":
    main()
