"""Measuring a language model on short texts, and judging two measurements of the same texts."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from solon.checkpoints.files import named_os_errors, write_durably
from solon.checkpoints.saving import flags_of, set_flags
from solon.checkpoints.tensors import refuse_no_module
from solon.errors import InputError, SolonError

log = logging.getLogger("solon.lab")
BASELINE_FILE = Path("data/baseline_metrics.json")
TEXTS = (
    "The river rises in the hills and reaches the sea after three hundred miles.",
    "She opened the window because the room had grown warm in the afternoon.",
    "Water boils at a lower temperature on a high mountain than at the coast.",
    "The committee met twice in March and published its findings in April.",
    "A square with sides of four metres has an area of sixteen square metres.",
    "He forgot his umbrella, so he waited in the library until the rain stopped.",
    "Bread dough needs time to rise before it goes into the oven.",
    "The train to the north leaves from platform two at half past seven.",
    "If every ticket is sold, the theatre will have to open the balcony.",
    "Most birds build a new nest each spring, but some return to the old one.",
    "The function returns the sum of its two arguments and raises an error for text.",
    "Honest mistakes are easier to mend when they are reported early.",
)


@dataclass(frozen=True)
class Scores:
    """One measurement. `losses` are sums per item (nats for texts), `weights` how much each item counts (tokens).

    `value` is what people read: perplexity for texts, else the weighted mean. `lower` says that less is better.
    """

    value: float
    losses: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    lower: bool = True
    is_perplexity: bool = False
    metrics: dict[str, Any] | None = None

    @property
    def paired(self) -> bool:
        return len(self.losses) > 1


@dataclass(frozen=True)
class Comparison:
    """Improvement of `after` over `before` in percent (positive is better), with a 95 % interval where items can be paired."""

    improvement: float
    low: float | None
    high: float | None
    p: float | None
    n: int


def perplexity(tokenizer: Any, texts: Sequence[str] = TEXTS, *, batch_size: int = 8) -> Callable[[nn.Module], dict[str, Any]]:
    """A test function for experiments: `run_benchmarks` on `texts`, halving the batch when memory runs out."""

    def test(model: nn.Module) -> dict[str, Any]:
        return _measure(model, tokenizer, list(texts), batch_size)

    return test


def run_benchmarks(
    model: nn.Module,
    tokenizer: Any,
    texts: Sequence[str] | None = None,
    *,
    baseline_file: str | Path | None = None,
    batch_size: int = 8,
) -> dict[str, Any]:
    """Perplexity over short English texts.

    The first result in a folder is kept as its baseline, with a warning, so that `load_baseline_metrics` has something to give;
    `save_baseline_metrics` replaces it.

    Returns:
        `perplexity`, `loss` (nats per token), `tokens`, `texts`, `per_text` [{nll, tokens}].

    Raises:
        InputError: a text has fewer than two tokens.
    """
    found = _measure(model, tokenizer, list(texts or TEXTS), batch_size)
    file = Path(baseline_file or BASELINE_FILE)
    if not file.exists() and math.isfinite(found["perplexity"]):
        log.warning("no baseline metrics in %s: this result is kept as the baseline", file)
        try:
            save_baseline_metrics(found, file)
        except SolonError as error:  # a folder that cannot be written; the measurement stands
            log.warning("the baseline could not be kept: %s", error)
    return found


def save_baseline_metrics(metrics: dict[str, Any], path: str | Path | None = None) -> Path:
    """Keep `metrics` as the baseline.

    Raises:
        InputError: its perplexity is not finite.
    """
    value = metrics.get("perplexity") if isinstance(metrics, dict) else metrics
    if value is None or not math.isfinite(_number(value)):
        raise InputError(f"baseline metrics: expected a finite perplexity, got {value!r}", mend="measure a healthy model")
    file = Path(path or BASELINE_FILE)
    with named_os_errors(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(file, json.dumps(metrics, indent=1).encode() + b"\n")
    return file


def load_baseline_metrics(path: str | Path | None = None) -> dict[str, Any]:
    """The baseline metrics of this folder.

    Raises:
        InputError: none were kept, or the file is no such record.
    """
    file = Path(path or BASELINE_FILE)
    if not file.exists():
        raise InputError(
            f"{file}: no baseline metrics", mend="run run_benchmarks(model, tokenizer) on the unmodified model first"
        )
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{file}: no baseline metrics ({error})", mend="delete it and measure the baseline again") from error


def _measure(model: nn.Module, tokenizer: Any, texts: list[str], batch_size: int) -> dict[str, Any]:
    from solon.lab.recovery import with_less_memory

    refuse_no_module(model)
    if not callable(tokenizer) or next(model.parameters(), None) is None:
        raise InputError(
            f"expected a language model and its tokenizer, got {type(model).__name__} and {type(tokenizer).__name__}",
            mend="ModelManager(NAME) has both",
        )
    encoded = [torch.as_tensor(tokenizer(text)["input_ids"]).reshape(-1).tolist() for text in texts]
    short = [text for text, ids in zip(texts, encoded, strict=True) if len(ids) < 2]
    if short:
        raise InputError(f"{short[0]!r}: expected at least two tokens", mend="use longer texts")
    _refuse_foreign_ids(model, encoded)
    flags = flags_of(model)
    model.eval()
    try:
        pairs = with_less_memory(lambda size: _losses(model, encoded, size), batch_size)
    finally:
        set_flags(model, flags)
    nats, tokens = sum(p[0] for p in pairs), sum(p[1] for p in pairs)
    return {
        "perplexity": math.exp(nats / tokens) if nats / tokens < 700 else math.inf,
        "loss": nats / tokens,
        "tokens": tokens,
        "texts": len(texts),
        "per_text": [{"nll": nll, "tokens": count} for nll, count in pairs],
    }


def _refuse_foreign_ids(model: nn.Module, encoded: list[list[int]]) -> None:
    """An id outside the vocabulary would be an index error deep in the model, or on a GPU an abort."""
    known = getattr(getattr(model, "config", None), "vocab_size", None)
    highest = max((max(ids) for ids in encoded), default=0)
    if isinstance(known, int) and highest >= known:
        raise InputError(
            f"the tokenizer gives the id {highest}, the model knows {known}", mend="use the tokenizer of this very model"
        )


def _losses(model: nn.Module, encoded: list[list[int]], batch_size: int) -> list[tuple[float, int]]:
    device = next(model.parameters()).device
    found: list[tuple[float, int]] = []
    for start in range(0, len(encoded), batch_size):
        rows = encoded[start : start + batch_size]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        with torch.no_grad():
            output = model(input_ids=ids, attention_mask=mask)
        logits = getattr(output, "logits", output)
        logs = torch.log_softmax(logits[:, :-1].float(), dim=-1).gather(2, ids[:, 1:, None])[..., 0]
        nll = -(logs * mask[:, 1:]).double().sum(dim=1)
        found += [(float(value), len(row) - 1) for value, row in zip(nll, rows, strict=True)]
    return found


def as_scores(result: Any, *, lower: bool = True) -> Scores:
    """What a test function returned, as Scores.

    Accepted: a dict from `run_benchmarks` (or any with `perplexity`, and `per_text` to allow an interval); a sequence of one loss
    per item; a number.

    Raises:
        InputError: something else, an empty sequence, or a value that is not finite.
    """
    if isinstance(result, Scores):
        scores = result
    elif isinstance(result, dict) and "perplexity" in result:
        losses, weights = _rows(result.get("per_text") or [])
        scores = Scores(_number(result["perplexity"]), losses, weights, True, True, result)
    elif (
        isinstance(result, (list, tuple, Iterator))
        or (isinstance(result, torch.Tensor) and result.dim() == 1)
        or type(result).__name__ == "ndarray"
    ):
        losses = tuple(_number(v) for v in result)
        if not losses:
            raise InputError("the test returned an empty sequence; expected a loss per item", mend="test on at least two items")
        scores = Scores(sum(losses) / len(losses), losses, (1.0,) * len(losses), lower)
    else:
        scores = Scores(_number(result), lower=lower)
    if not all(map(math.isfinite, (scores.value, *scores.losses))):
        raise InputError(f"the test returned {scores.value}: expected finite numbers", mend="NaN or Inf is never an improvement")
    return scores


def _rows(rows: Any) -> tuple[tuple[float, ...], tuple[float, ...]]:
    try:
        return tuple(_number(r["nll"]) for r in rows), tuple(_number(r["tokens"]) for r in rows)
    except (TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"the test returned per_text {str(rows)[:80]}: expected [{{nll, tokens}}, ...]", mend="see lab.perplexity"
        ) from error


def _number(value: Any) -> float:
    if value is None or isinstance(value, (bool, str, bytes)):
        raise InputError(
            f"the test returned {value!r}: expected a number, a loss per item, or a dict with perplexity",
            mend="see lab.perplexity",
        )
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"the test returned {type(value).__name__}: expected a number, a loss per item, or a dict with perplexity",
            mend="see lab.perplexity",
        ) from error


def compare_scores(before: Scores, after: Scores, seed: int = 0) -> Comparison:
    """Relative improvement in percent; for paired items with a bootstrap interval over items.

    Raises:
        InputError: another number of items than before.
    """
    sign = 1.0 if before.lower else -1.0
    if before.value == 0:
        point = 0.0 if after.value == 0 else -sign * math.copysign(math.inf, after.value)
    else:
        point = sign * (before.value - after.value) / abs(before.value) * 100
    if not (before.paired and after.paired):
        return Comparison(point, None, None, None, 1)
    if before.weights != after.weights:
        raise InputError(
            f"the test measured {len(after.losses)} items, {len(before.losses)} before", mend="test on the same items"
        )
    from solon.evaluation.stats import paired_bootstrap

    gain = paired_bootstrap(after.losses, before.losses, seed, weights=before.weights)  # before - after: positive is better
    if before.is_perplexity:
        low, high = (100 * (1 - math.exp(-v)) if v > -700 else -math.inf for v in (gain.low, gain.high))
        return Comparison(point, low, high, gain.p, len(before.losses))
    scale = 100 / abs(before.value) if before.value else math.inf
    low, high = sorted((sign * gain.low * scale, sign * gain.high * scale))
    return Comparison(point, low, high, gain.p, len(before.losses))
