"""The decoding loop against transformers' own `generate`, and its draws against the distribution they claim."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from solon.models.decode import BufferedLayer, Draw, Row, decode


def greedy_rows(count: int, longest: int = 25) -> list[Row]:
    rng = random.Random(3)
    return [
        Row([rng.randrange(5, 300) for _ in range(rng.randint(1, 30))], rng.randint(1, longest), 0.0, 1.0, 0)
        for _ in range(count)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("slots", "at_once"), [(1, 4096), (3, 4096), (8, 4096), (64, 4096), (8, 70), (64, 1)])
def test_greedy_equals_generate_whatever_the_slots(tiny: Any, slots: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows enter, leave and replace each other; each must still read only its own keys and values."""
    monkeypatch.setattr("solon.models.decode.AT_ONCE", at_once)
    rows = greedy_rows(24)
    replies = decode(tiny.model, rows, stop_ids=tiny.stop_ids, pad=tiny.pad, slots=slots)
    for row, reply in zip(rows, replies, strict=True):
        ids = torch.tensor([row.prompt])
        alone = tiny.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=row.max_new_tokens, do_sample=False)
        assert reply == alone[0, len(row.prompt) :].tolist()


def test_progress_counts_every_row_and_token_once(tiny: Any) -> None:
    told: list[tuple[int, int]] = []
    replies = decode(
        tiny.model, greedy_rows(24), stop_ids=tiny.stop_ids, pad=tiny.pad, slots=5, progress=lambda n, t: told.append((n, t))
    )
    assert (sum(n for n, _ in told), sum(t for _, t in told)) == (24, sum(map(len, replies)))


def test_buffers_survive_growth_replacement_and_forgetting() -> None:
    layer = BufferedLayer()
    keys = torch.arange(3 * 2 * 5 * 4.0).reshape(3, 2, 5, 4)
    layer.update(keys, -keys)
    for _ in range(100):  # beyond the room, twice
        layer.update(keys[:, :, :1], -keys[:, :, :1])
    assert layer.get_seq_length() == 105
    assert torch.equal(layer.keys[:, :, :5], keys) and torch.equal(layer.values[:, :, 104], -keys[:, :, 0])
    layer.forget(103)
    other = BufferedLayer()
    other.update(keys[:1] + 1000, keys[:1] + 1000)
    layer.replace(torch.tensor([1]), other)  # the newcomer is longer than what is there
    assert layer.get_seq_length() == 5
    assert torch.equal(layer.keys[1], keys[0] + 1000)
    assert torch.equal(layer.keys[0, :, 3:], keys[0, :, :1].expand(2, 2, 4)) and (layer.keys[0, :, :3] == 0).all()


def drawn(logits: torch.Tensor, draws: int, **settings: float) -> np.ndarray:
    rows = [Row([1], 1, settings.get("temperature", 1.0), settings.get("top_p", 1.0), seed) for seed in range(draws)]
    place = torch.arange(draws)
    tokens = Draw(rows, torch.device("cpu"))(logits.expand(draws, -1), place, torch.zeros_like(place))
    return np.bincount(tokens.numpy(), minlength=logits.shape[-1])


@pytest.mark.slow
def test_draws_follow_the_softmax() -> None:
    """Chi-square of 20,000 draws with 20,000 different seeds against softmax(logits / 0.5)."""
    logits = torch.tensor([0.0, 0.5, 1.0, -1.0, float("-inf")])
    counts = drawn(logits, 20_000, temperature=0.5)
    expected = torch.softmax(logits.double() / 0.5, -1).numpy() * 20_000
    assert counts[4] == 0
    assert stats.chisquare(counts[:4], expected[:4]).pvalue > 0.001


def test_the_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    """Probabilities .5 .3 .15 .05: top_p .75 keeps the first two, in the proportion 5 : 3."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3]).log()
    counts = drawn(logits, 8_000, top_p=0.75)
    assert counts[0] == counts[2] == 0
    assert stats.binomtest(int(counts[1]), 8_000, 0.625).pvalue > 0.001
    assert drawn(logits, 100, top_p=0.01).tolist() == [0, 100, 0, 0]


def test_temperature_0_is_greedy_beside_sampled_rows() -> None:
    rows = [Row([1], 1, 0.0, 1.0, 7), Row([1], 1, 5.0, 1.0, 7), Row([1], 1, 1.0, 0.001, 7)]
    logits = torch.tensor([[0.0, 3.0, 1.0]]).expand(3, -1)
    tokens = Draw(rows, torch.device("cpu"))(logits, torch.arange(3), torch.zeros(3, dtype=torch.long))
    assert tokens[0] == 1 and tokens[2] == 1
