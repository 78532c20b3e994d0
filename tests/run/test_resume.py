"""Killed at random moments, a run goes on to the same bytes. Many more kills: `python -m benchmarks.proof_resume`."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from tests.run.small import prompt_file
from tests.warm import solon

pytestmark = pytest.mark.slow
SETTINGS = ("models.batch_size=4", "split.test=0.2")


def test_pairs_after_kill_9_are_the_same_bytes(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 10, 8)
    whole = ["pairs", "--prompts", str(prompts), "--out", str(tmp_path / "whole"), *SETTINGS]
    done = solon(tmp_path, *whole)
    assert done.wait() == 0, done.err
    expected = (tmp_path / "whole/pairs.jsonl").read_bytes()
    assert expected.count(b"\n") > 8

    rng, kills = random.Random(0), 0
    journal = tmp_path / "cut/journal.sqlite-wal"
    words = ["pairs", "--prompts", str(prompts), "--out", str(tmp_path / "cut"), *SETTINGS]
    for _ in range(2):
        process = solon(tmp_path, *words)
        start_size = journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 60
        while not process.ended and time.monotonic() < deadline:
            if journal.exists() and journal.stat().st_size > start_size:
                time.sleep(rng.uniform(0.0, 0.6))
                break
            time.sleep(0.02)
        if not process.ended:
            process.send(signal.SIGKILL)
            kills += process.wait() == -signal.SIGKILL
        if (tmp_path / "cut/pairs.jsonl").exists():
            break
    assert kills, "the run ended before it could be killed"
    again = solon(tmp_path, *words)
    assert again.wait() == 0, again.err
    assert (tmp_path / "cut/pairs.jsonl").read_bytes() == expected
    assert (tmp_path / "cut/dropped.jsonl").read_bytes() == (tmp_path / "whole/dropped.jsonl").read_bytes()
