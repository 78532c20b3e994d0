"""Turns: every job judged once and in order, crowds judged together, few callers not kept waiting, nobody left behind."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from solon.governance import governor as module
from solon.governance.governor import Governor
from solon.governance.killswitch import Switch
from solon.governance.turns import GAP, SIBLINGS, Turns
from solon.policy.types import Verdict
from tests.governance.people import ledger
from tests.policy.samples import order, state


class Groups:
    """Jobs as they were judged, in groups."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.now: list[int] = []
        self.turns = Turns(self.judge, self.finish)

    def judge(self, job: int) -> None:
        if job < 0:
            raise KeyboardInterrupt
        self.now.append(job)

    def finish(self) -> None:
        self.groups.append(self.now)
        self.now = []


def test_few_are_judged_at_once() -> None:
    line = Groups()
    start = time.perf_counter()
    for job in range(SIBLINGS):  # each still inside when the next comes
        line.turns.take(job)
    assert time.perf_counter() - start < SIBLINGS * GAP
    assert line.groups == [[job] for job in range(SIBLINGS)]


def test_a_crowd_is_waited_for_but_not_for_ever() -> None:
    line = Groups()
    for job in range(SIBLINGS):
        line.turns.take(job)
    start = time.perf_counter()
    line.turns.take(SIBLINGS)  # the others do not come back
    assert GAP <= time.perf_counter() - start < 1
    assert line.groups[-1] == [SIBLINGS]


def test_who_comes_back_together_is_judged_together() -> None:
    line, largest = Groups(), 0
    for job in range(20):
        line.turns.take(job)
    for attempt in range(1, 21):
        barrier = threading.Barrier(20)

        def back(job: int, barrier: threading.Barrier = barrier, attempt: int = attempt) -> None:
            barrier.wait()
            line.turns.leave(job + 20 * (attempt - 1))
            line.turns.take(job + 20 * attempt)

        threads = [threading.Thread(target=back, args=(job,)) for job in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        largest = max(len(group) for group in line.groups)
        if largest >= 10:
            break
    assert largest >= 10
    assert sorted(job for group in line.groups for job in group) == list(range(20 * (attempt + 1)))


def test_who_was_waiting_is_judged_after_an_interruption() -> None:
    line = Groups()
    with line.turns.held():
        thread = threading.Thread(target=line.turns.take, args=(1,))
        thread.start()
        thread.join()
        assert line.groups == []
    assert line.groups == [[1]]
    with pytest.raises(KeyboardInterrupt):
        line.turns.take(-1)
    line.turns.take(2)
    assert line.groups == [[1], [], [2]]


def test_a_stop_stands_in_the_ledger_after_what_was_allowed_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch, now, judge = Switch.create(tmp_path / "switch.db"), state(), module.judged
    with ledger(tmp_path) as book:
        governor = Governor("trading", ledger=book, switch=switch)

        def judged(*given: object) -> Verdict:
            verdict = judge(*given)  # type: ignore[arg-type]
            if not switch.stopped:
                Switch(switch.path).trigger("elsewhere", {})  # as by another process, which cannot log it
            return verdict

        monkeypatch.setattr(module, "judged", judged)
        with governor._turns.held():  # both wait, and are judged in one turn
            threads = [threading.Thread(target=governor.decide, args=(order("1", id=f"o{n}"), now)) for n in range(2)]
            for thread in threads:
                thread.start()
            while len(governor._turns._jobs) < 2:
                time.sleep(0.001)
        for thread in threads:
            thread.join()
        told = [entry.record for entry in book.of_kind("stop", "decision")]
        said = [record["body"]["verdict"]["outcome"] if record["kind"] == "decision" else "stop" for record in told]
        assert said == ["allow", "stop", "halt"]


def test_nothing_else_is_judged_within_a_judgement() -> None:
    """A judgement that takes the lock again, as taking up what people signed does, is finished before the next begins."""
    judged: list[str] = []

    def judge(job: str) -> None:
        judged.append(f"begin {job}")
        if job == "a":
            turns._jobs.extend(["b", "c"])  # two that come meanwhile
            with turns.held():
                pass
        judged.append(f"end {job}")

    turns: Turns[str] = Turns(judge, lambda: None)
    turns.take("a")
    assert judged == ["begin a", "end a", "begin b", "end b", "begin c", "end c"]
