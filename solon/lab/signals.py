"""Ctrl-C and SIGTERM while an experiment is open: at once in the user's code, only after the decision or rollback in ours."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Interruptions:
    """Stands before the handlers that were there, and holds a signal back while `holding`.

    Python may run a handler between the end of a `with` block and the first line of its `__exit__`; `door` names that function's
    code, so that a signal there is held back as well. Only the main thread may set handlers; elsewhere none interrupts anyway.

    Attributes:
        pending: the first signal held back and not yet delivered.
    """

    def __init__(self, door: CodeType) -> None:
        self.door, self.holding = door, False
        self.pending: int | None = None
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take the handlers over."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in NUMBERS:
            before = signal.getsignal(number)
            if before is not None:  # None: set outside Python, and so nobody's to replace
                self._before[number] = before
                signal.signal(number, self._handle)

    def release(self) -> None:
        """Give the handlers back, then deliver what was held back."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before, self.holding = {}, False
        if self.pending is not None:
            number, self.pending = self.pending, None
            _deliver(number, None, signal.getsignal(number))

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Within our own code, a stretch of the user's: signals act at once."""
        held, self.holding = self.holding, False
        try:
            yield
        finally:
            self.holding = held

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.holding or (frame is not None and frame.f_code is self.door):
            self.pending = self.pending or number
        else:
            _deliver(number, frame, self._before.get(number))


def _deliver(number: int, frame: FrameType | None, handler: Any) -> None:
    if callable(handler):
        handler(number, frame)
    elif handler is signal.SIG_DFL and number == signal.SIGTERM:
        raise SystemExit(128 + number)
    elif handler is signal.SIG_DFL:
        raise KeyboardInterrupt
