"""Work shared out to forked processes: the same replies, nothing left behind, failures told."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from solon.errors import ModelError
from solon.models import open_model
from solon.models.shares import in_shares, shares_for
from tests.models.test_hf import some_requests

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="work is shared out by fork, on Linux only")]


def test_shares_return_in_order_and_tell_their_progress() -> None:
    told = []

    def work(share: int, tell: Any) -> tuple[int, int, int]:
        tell(share + 1, 10)
        return share, torch.get_num_threads(), os.getpid()

    found = in_shares(work, 3, lambda count, tokens: told.append((count, tokens)))
    assert [share for share, _, _ in found] == [0, 1, 2]
    assert {threads for _, threads, _ in found} == {1}
    assert len({os.getpid(), *(pid for _, _, pid in found)}) == 4
    assert sorted(told) == [(1, 10), (2, 10), (3, 10)]
    assert not multiprocessing.active_children()


def test_replies_are_those_of_one_process(two_threads: None, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = some_requests(50, max_new_tokens=20)
    model = open_model(str(tiny_folder), device="cpu")
    assert shares_for(model.model, len(requests)) == 2
    told = []
    shared = model.generate(requests, lambda count, tokens: told.append((count, tokens)))
    assert model.generate(requests) == shared
    monkeypatch.setattr("solon.models.hf.shares_for", lambda model, requests: 1)
    alone = model.generate(requests)
    assert [c.id for c in shared] == [r.id for r in requests]
    assert sum(a == b for a, b in zip(alone, shared, strict=True)) >= 48  # a tie in the last bits may fall either way
    assert sum(count for count, _ in told) == 50 and sum(tokens for _, tokens in told) == sum(c.completion_tokens for c in shared)


def test_one_process_where_sharing_does_not_pay(two_threads: None, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shares_for(tiny.model, 15) == 1
    monkeypatch.setattr("solon.models.shares.SMALL", 1000)
    assert shares_for(tiny.model, 500) == 1
    monkeypatch.undo()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert shares_for(tiny.model, 500) == 1
    monkeypatch.undo()
    torch.set_num_threads(1)
    assert shares_for(tiny.model, 500) == 1


def test_an_adapter_is_folded_in_for_the_share_alone(two_threads: None, tiny_folder: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = open_model(str(tiny_folder), device="cpu")
    base = model.generate(some_requests(40))
    torch.manual_seed(0)
    wrapped = get_peft_model(model.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    model.model = wrapped.eval()
    before = {name: p.clone() for name, p in wrapped.named_parameters()}
    adapted = model.generate(some_requests(40))
    assert sum(a.text != b.text for a, b in zip(base, adapted, strict=True)) > 20
    assert all(torch.equal(before[name], p) for name, p in wrapped.named_parameters())
    with model.adapter_disabled():
        assert model.generate(some_requests(40)) == base


def test_a_failure_names_what_failed_and_stops_the_others() -> None:
    def work(share: int, tell: Any) -> None:
        if share == 0:
            raise ValueError("no such row")
        time.sleep(60)

    started = time.monotonic()
    with pytest.raises(ModelError, match="ValueError: no such row"):
        in_shares(work, 2)
    assert time.monotonic() - started < 20
    assert not multiprocessing.active_children()


def test_a_killed_process_is_told() -> None:
    with pytest.raises(ModelError, match="was killed"):
        in_shares(lambda share, tell: os.kill(os.getpid(), signal.SIGKILL), 2)


def test_an_interruption_ends_the_shares() -> None:
    def interrupted(count: int, tokens: int) -> None:
        raise KeyboardInterrupt

    def work(share: int, tell: Any) -> None:
        tell(1, 1)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        in_shares(work, 2, interrupted)
    assert not multiprocessing.active_children()


def test_a_lock_is_free_as_soon_as_its_owner_is_killed(tmp_path: Path) -> None:
    """A share holds no copy of its parent's open files, so it cannot keep a dead run's folder locked, and ends by itself."""
    lock = tmp_path / "lock"
    script = textwrap.dedent(
        """
        import fcntl, os, signal, sys, time
        from solon.models.shares import in_shares
        file = open(sys.argv[1], "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        def work(share, tell):
            while True:
                tell(1, 1)
                time.sleep(0.1)
        in_shares(work, 2, lambda count, tokens: os.kill(os.getpid(), signal.SIGKILL))
        """
    )
    ended = subprocess.run([sys.executable, "-c", script, str(lock)], timeout=120, stdout=subprocess.DEVNULL)
    assert ended.returncode == -signal.SIGKILL
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
