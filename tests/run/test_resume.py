"""Killed at random moments, a run goes on to the same bytes. Many more kills: `python -m benchmarks.proof_resume`."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.run.small import ENVIRONMENT, command, finish, prompt_file

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("resume")]
SETTINGS = ("models.batch_size=4", "split.test=0.2")


def test_pairs_after_kill_9_are_the_same_bytes(tmp_path: Path) -> None:
    prompts = prompt_file(tmp_path, 10, 8)
    whole = ["pairs", "--prompts", str(prompts), "--out", str(tmp_path / "whole"), *SETTINGS]
    done = finish(*whole)
    assert done.returncode == 0, done.stderr
    expected = (tmp_path / "whole/pairs.jsonl").read_bytes()
    assert expected.count(b"\n") > 8

    rng, kills = random.Random(0), 0
    journal = tmp_path / "cut/journal.sqlite-wal"
    words = command("pairs", "--prompts", str(prompts), "--out", str(tmp_path / "cut"), *SETTINGS)
    for _ in range(2):
        process = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        start_size = journal.stat().st_size if journal.exists() else 0
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.stat().st_size > start_size:
                time.sleep(rng.uniform(0.0, 0.6))
                break
            time.sleep(0.02)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if (tmp_path / "cut/pairs.jsonl").exists():
            break
    assert kills, "the run ended before it could be killed"
    again = finish("pairs", "--prompts", str(prompts), "--out", str(tmp_path / "cut"), *SETTINGS)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "cut/pairs.jsonl").read_bytes() == expected
    assert (tmp_path / "cut/dropped.jsonl").read_bytes() == (tmp_path / "whole/dropped.jsonl").read_bytes()
