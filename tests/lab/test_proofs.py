"""The randomised proofs of benchmarks/proof_lab.py at small counts with fixed seeds; `make proof` runs them in full."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest

from benchmarks import proof_lab as proof


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.getLogger("solon").setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.getLogger("solon").setLevel(logging.NOTSET)


def test_every_way_out() -> None:
    assert proof.prove_exits(18, seed=5).failures == []


@pytest.mark.slow
def test_killed_experiments_are_recovered() -> None:
    assert proof.prove_experiment_kills(8, seed=5).failures == []


@pytest.mark.slow
def test_processes_share_a_store() -> None:
    assert proof.prove_processes(2, seed=5).failures == []


def test_disks_that_fill_up() -> None:
    assert proof.prove_full_disks(15, seed=5).failures == []


def test_wrong_models_are_refused_untouched() -> None:
    assert proof.prove_wrong_models(20, seed=5).failures == []


def test_loading_runs_no_code() -> None:
    assert proof.prove_no_code(5, seed=5).failures == []
