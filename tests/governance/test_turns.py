"""Turns: every job judged once and in order, crowds judged together, few callers not kept waiting, nobody left behind."""

from __future__ import annotations

import threading
import time

import pytest

from solon.governance.turns import GAP, SIBLINGS, Turns


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
