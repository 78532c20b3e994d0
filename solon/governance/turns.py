"""Decisions in turn: whoever finds nobody at work judges for all who wait, and what a crowd decides goes to disk together.

Threads that judge one each fight for the interpreter, and with the thread that writes. So where many are inside at once the
worker first waits a little for those who are about to come back (PostgreSQL's `commit_delay` and `commit_siblings`): they were
let go together and mostly return together. Few callers never wait.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

GAP, WINDOW = 0.0025, 0.005  # seconds: without anybody coming, and in all
SIBLINGS = 8  # fewer callers than this are not waited for

J = TypeVar("J")


class Turns(Generic[J]):
    """Jobs in order of arrival, one at a time. `judge` is called for each, `finish` after each group, both under the lock."""

    def __init__(self, judge: Callable[[J], None], finish: Callable[[], None]) -> None:
        self._judge, self._finish = judge, finish
        self._lock = threading.RLock()
        self._jobs: deque[J] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._gathering = False
        self._inside: set[J] = set()  # taken, and not yet left
        self._worker = 0  # the thread that judges

    def take(self, job: J) -> None:
        """Put a job in the line, and judge what waits if nobody does. Whoever takes its answer away calls `leave`."""
        self._inside.add(job)
        self._jobs.append(job)
        if self._gathering and len(self._jobs) >= len(self._inside):
            self._gathering = False
            self._bell.put(None)
        self.work()

    def leave(self, job: J) -> None:
        """The job has its answer."""
        self._inside.discard(job)

    def work(self) -> None:
        """Judge what waits, unless somebody is at it; whoever is looks again after letting go, so that nothing is left behind.

        Within a judgement nothing else is judged: what it has begun would change under it.
        """
        while self._jobs and self._worker != threading.get_ident() and self._lock.acquire(blocking=False):
            try:
                self._gather()
                self._group()
            finally:
                self._lock.release()

    @contextmanager
    def held(self) -> Iterator[None]:
        """The lock, for everything else; jobs that came meanwhile are judged afterwards."""
        try:
            with self._lock:
                yield
        finally:
            self.work()

    def _group(self) -> None:
        self._worker = threading.get_ident()
        try:
            for _ in range(len(self._jobs)):
                self._judge(self._jobs.popleft())
        finally:
            self._worker = 0
            self._finish()

    def _gather(self) -> None:
        """Wait for those who are inside, while they keep coming."""
        end = time.monotonic() + WINDOW
        while SIBLINGS < len(self._inside) > (came := len(self._jobs)) and time.monotonic() < end:
            self._gathering = True
            try:
                self._bell.get(timeout=GAP)
            except queue.Empty:
                if len(self._jobs) == came:
                    break
        self._gathering = False
