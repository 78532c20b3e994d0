"""Makes all of nano: the prompt set, the corpus, the tokenizer, the weights, the card.

    OMP_WAIT_POLICY=PASSIVE GOMP_SPINCOUNT=0 python recipes/nano/build.py --out work/nano --steps 3900 --threads 2

The passive waiting keeps two threads from stalling each other when something else uses a core.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from recipes.nano import card, corpus, prompts, train  # noqa: E402


def build(out: Path, steps: int, threads: int, seed: int, compiled: bool, batch: int) -> str:
    """Everything into `out`; returns the SHA-256 of the weights."""
    out.mkdir(parents=True, exist_ok=True)
    rows = prompts.write(out / "prompts.jsonl", seed)
    print(f"{len(rows)} prompts", flush=True)
    began = time.monotonic()
    tokenizer = corpus.train_tokenizer(seed)
    text = corpus.build(tokenizer, round(steps * batch * corpus.ROW * 0.99), seed)
    made = time.monotonic() - began
    print(f"{text.documents} documents, {text.tokens} tokens, {len(text.rows)} rows in {made:.0f} s", flush=True)
    recipe = train.Recipe(steps=steps, threads=threads, seed=seed, compile=compiled, batch=batch)
    began = time.monotonic()
    model = train.pretrain(text, recipe, out)
    seconds = time.monotonic() - began
    folder = out / "model"
    corpus.save_tokenizer(tokenizer, folder)
    digest = train.save_model(model, folder)
    prompts_hash = hashlib.sha256((out / "prompts.jsonl").read_bytes()).hexdigest()
    card.write(folder, out / "loss.csv", text, recipe, {"corpus": made, "training": seconds}, digest, prompts_hash)
    print(f"model.safetensors sha256 {digest}", flush=True)
    return digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3900)
    parser.add_argument("--batch", type=int, default=4, help="rows of 512 tokens a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="torch.compile: faster, needs a C++ compiler")
    arguments = parser.parse_args()
    build(arguments.out, arguments.steps, arguments.threads, arguments.seed, arguments.compile, arguments.batch)


if __name__ == "__main__":
    main()
