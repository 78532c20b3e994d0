"""Waiting for the disk: what a ledger hands out for an entry that is not written yet, and how a whole group is let go."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import pairwise

from solon.errors import EnvironmentRefused, SolonError


class Receipt:
    """What `submit` gives: the entry's index once it is on disk. One lock, taken until then, is all that waiting costs.

    `awaited` receipts, which a thread waits for without fail, are let go one by the other: a crowd that is woken at once fights
    for the interpreter and loses half its time.
    """

    __slots__ = ("_answer", "_gate", "_next", "awaited")

    def __init__(self, awaited: bool = False) -> None:
        self._answer: int | SolonError | None = None
        self._gate = threading.Lock()
        self._gate.acquire()
        self._next: Receipt | None = None
        self.awaited = awaited

    def settle(self, answer: int | SolonError | None) -> None:
        """Let go who waits; the first answer stands."""
        if self._gate.locked():
            self._answer = answer
            self._gate.release()

    def wait(self, timeout: float = -1) -> bool:
        """Whether it is settled, within so many seconds (negative: wait for it)."""
        opened = self._answer is None and self._gate.acquire(timeout=timeout)
        if opened:
            self._gate.release()
        settled = opened or self._answer is not None  # the second where who should have let this one go was lost
        if settled and self._next is not None:
            after, self._next = self._next, None
            after._gate.release()
        return settled

    def result(self) -> int:
        """The index, once it is known. Raises what the ledger says instead (AlreadyUsed, LedgerClosed)."""
        while not self.wait(1.0):
            continue
        if isinstance(self._answer, int):
            return self._answer
        raise self._answer or EnvironmentRefused("entry: it was not written", mend="submit it again")


def settle_all(receipts: Iterable[Receipt], answers: Iterable[int | SolonError]) -> None:
    """Settle many: those that are awaited one after the other, the first now."""
    line: list[tuple[Receipt, int | SolonError]] = []
    for receipt, answer in zip(receipts, answers, strict=True):
        if receipt.awaited and receipt._answer is None:
            line.append((receipt, answer))
        else:
            receipt.settle(answer)
    for (receipt, _), (after, _) in pairwise(line):
        receipt._next = after
    for receipt, answer in line:
        receipt._answer = answer
    if line:
        line[0][0]._gate.release()
