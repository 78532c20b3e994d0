"""The four emergencies of the laboratory, caused on purpose and overcome: NaN, degradation, out of memory, a restore that fails.

    python examples/lab_emergencies.py nano

Any folder of a causal language model will do in place of `nano`. Works in a temporary folder; the model is only read.
"""

from __future__ import annotations

import contextlib
import logging
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import torch

from solon import lab
from solon.checkpoints import Store, model_health
from solon.lab.measure import TEXTS


def measured(model: torch.nn.Module, tokenizer: object) -> dict:
    """Perplexity over the built-in texts, without keeping a baseline file."""
    return lab.perplexity(tokenizer)(model)


def nan_in_the_weights(model: torch.nn.Module, store: Store, baseline: str) -> None:
    """A tensor turns NaN: find it, go back, check."""
    first = next(p for p in model.parameters() if p.is_floating_point())
    with torch.no_grad():
        first.view(-1)[0] = float("nan")
    sick = {name: health.nan for name, health in model_health(model).items() if not health.finite}
    print(f"NaN in {sick}; restoring")
    store.restore(baseline, model, changed_only=True)
    print(f"after the rollback: {lab.SafetyMonitor().check_model_health(model)['status']}")


def degradation(model: torch.nn.Module, tokenizer: object, store: Store, baseline: str, metrics: dict) -> None:
    """An edit ruins the model: measure the same texts, go back, measure again."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.5)
    now = measured(model, tokenizer)
    print(f"perplexity {metrics['perplexity']:.1f} -> {now['perplexity']:.1f}")
    if now["perplexity"] > 1.5 * metrics["perplexity"]:
        store.restore(baseline, model)
    again = measured(model, tokenizer)
    print(f"after the rollback: {again['perplexity']:.1f}, equal: {again['perplexity'] == metrics['perplexity']}")


def out_of_memory(model: torch.nn.Module, tokenizer: object) -> None:
    """A batch that does not fit: its logits take 60 MB, and the process may take 40 MB more than it has. Smaller ones fit."""
    longest = max(len(tokenizer(text)["input_ids"]) for text in TEXTS)  # type: ignore[operator]
    texts = [TEXTS[i % len(TEXTS)] for i in range(60_000_000 // (4 * longest * model.config.vocab_size))]
    with address_space(40_000_000):
        found = lab.perplexity(tokenizer, texts, batch_size=len(texts))(model)
    print(f"measured {found['texts']} texts after halving: {found['perplexity']:.1f}")


@contextlib.contextmanager
def address_space(more: int) -> Iterator[None]:
    """Within the block, at most `more` bytes of memory beyond what is taken now."""
    now = psutil.Process().memory_info().vms
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + more, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def restore_that_fails(model: torch.nn.Module, folder: str, store: Store) -> None:
    """The newest checkpoint is damaged on disk: the next older one that verifies is taken."""
    with torch.no_grad():
        next(model.parameters()).mul_(1.01)
    newest = store.save(model)
    pack = max((store.path / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    base = lab.ModelManager(folder)
    restored, steps = lab.restore_any(Store(store.path), model, newest, base=base.load_weights_into)
    print("\n".join(steps))
    print(f"running on: {restored}")


def main(folder: str) -> None:
    base = lab.ModelManager(folder, dtype="float32")
    model = base.load_model()
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "checkpoints")
        baseline = store.save(model, metadata={"state": "baseline"})
        metrics = measured(model, base.tokenizer)
        nan_in_the_weights(model, store, baseline)
        degradation(model, base.tokenizer, store, baseline, metrics)
        out_of_memory(model, base.tokenizer)
        restore_that_fails(model, folder, store)


if __name__ == "__main__":
    logging.basicConfig(format="%(levelname)s %(message)s")
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
