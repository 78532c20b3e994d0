"""Clocks in microseconds: the wall clock, one that nobody can set, and one that deadlines can be trusted to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def clock() -> int:
    """Microseconds since 1970 UTC, as the machine's wall clock says; it may be set, also backwards."""
    return time.time_ns() // 1000


def uptime() -> int:
    """Microseconds on a clock that no one can set, running through sleep."""
    source = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(source) // 1000


class Steady:
    """Wall time that never stands still and never goes back: a clock that is set back cannot stretch a deadline.

    It is the wall clock, or what has passed since the start on the clock that no one can set, whichever is later. Set forward it
    jumps, so deadlines come early, which is denial. `least` is the latest time known from before (a ledger's last entry).
    """

    def __init__(self, wall: Callable[[], int] = clock, ticks: Callable[[], int] = uptime, least: int = 0) -> None:
        self._wall, self._ticks = wall, ticks
        self._lock = threading.Lock()
        self._latest, self._tick = max(wall(), least), ticks()

    def __call__(self) -> int:
        with self._lock:
            tick = self._ticks()
            self._latest = max(self._wall(), self._latest + max(0, tick - self._tick))
            self._tick = tick
            return self._latest
