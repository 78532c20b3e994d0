"""Steps shared with forked processes: the same gradients, the same to the bit each time, nothing left behind."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from pathlib import Path

import pytest
import torch

from solon.errors import ModelError
from solon.training.batches import divide
from solon.training.callbacks import TrainingInterrupted
from solon.training.config import LoraSettings
from solon.training.dpo import train_dpo
from solon.training.partners import Partners, partners_for
from solon.training.sft import train_sft
from tests.training.conftest import make_pairs, make_retain
from tests.training.test_train import StopAfter, dpo, same, sft, weights

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="steps are shared by fork, on Linux only")]
PAIRS, RETAIN = make_pairs(24), make_retain(12)
STILL = LoraSettings(dropout=0.0)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many processes each training called in."""
    called: list[int] = []
    start = Partners.__init__

    def counted(self: Partners, model, work, loss, count: int) -> None:
        called.append(count - 1)
        start(self, model, work, loss, count)

    monkeypatch.setattr(Partners, "__init__", counted)
    return called


def test_two_processes_learn_what_one_does(two_threads, folder: Path, tmp_path: Path, helpers, monkeypatch) -> None:
    def both(out: Path) -> list[dict[str, torch.Tensor]]:
        first = train_sft(folder, [*PAIRS, *RETAIN], out / "sft", sft(batch=16, lora=STILL))
        second = train_dpo(folder, PAIRS, RETAIN, out / "dpo", dpo(batch=16, lora=STILL), adapter=first.adapter)
        assert all(entry["retain_nll"] > 0 for entry in second.history if "margin" in entry and "loss" in entry)
        return [weights(first.adapter), weights(second.adapter)]

    shared = both(tmp_path / "two")
    assert helpers == [1, 1]
    monkeypatch.setattr("solon.training.loop.partners_for", lambda model, rows: 1)
    alone = both(tmp_path / "one")
    assert helpers == [1, 1]
    for a, b in zip(shared, alone, strict=True):
        assert max(float((a[k] - b[k]).abs().max()) for k in a) < 1e-4
    assert not multiprocessing.active_children()


def test_shared_steps_resume_to_the_same_bits(two_threads, folder: Path, tmp_path: Path, helpers) -> None:
    """With dropout: a partner's masks follow from the trainer's random state, which a save holds."""
    settings = sft(batch=16, epochs=4)
    whole = train_sft(folder, PAIRS, tmp_path / "whole", settings)
    with pytest.raises(TrainingInterrupted):
        train_sft(folder, PAIRS, tmp_path / "parts", settings, progress=StopAfter(2, signal.SIGINT))
    assert not multiprocessing.active_children()
    resumed = train_sft(folder, PAIRS, tmp_path / "parts", settings)
    assert resumed.steps == whole.steps == 6
    assert 1 <= resumed.resumed_from < 6
    assert same(weights(resumed.adapter), weights(whole.adapter))
    assert len(helpers) == 3


def test_a_killed_partner_ends_the_training(two_threads, folder: Path, tmp_path: Path) -> None:
    def kill(step: int, steps: int, metrics: dict[str, float]) -> None:
        for child in multiprocessing.active_children():
            child.kill()
            child.join()

    with pytest.raises(ModelError, match="was killed"):
        train_sft(folder, PAIRS, tmp_path, sft(batch=16), progress=kill)


def test_no_partner_for_small_steps_or_other_numbers(two_threads, model) -> None:
    assert partners_for(model, 16) == 2
    assert partners_for(model, 8) == 1
    assert partners_for(model.to(torch.bfloat16), 16) == 1


def test_divide() -> None:
    assert divide([5, 1, 4, 2], 2) == [[0, 1], [2, 3]]
    assert divide([3], 2) == [[0], []]
    assert divide([], 1) == [[]]
