"""Keys, registries and ledgers that the governance tests share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solon.governance.registry import Member, Registry
from solon.governance.votes import VoterMemory
from solon.ledger.dsse import Envelope
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import Ledger

CONSTITUTION = "c" * 64
LEDGER_KEY = PrivateKey("ledger", bytes(range(32)))


class Clock:
    """A clock that tests turn."""

    def __init__(self, start: int = 1_700_000_000_000_000) -> None:
        self.now = start

    def __call__(self) -> int:
        return self.now

    def turn(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


def key(name: str) -> PrivateKey:
    """A key that is the same in every run."""
    return PrivateKey(name, name.encode().ljust(32, b"\0"))


def members(
    names: Sequence[str], roles: dict[str, str] | None = None, weights: dict[str, str] | None = None
) -> tuple[Member, ...]:
    roles, weights = roles or {}, weights or {}
    return tuple(Member(name, roles.get(name, "trader"), key(name).id, weights.get(name, "")) for name in names)


def registry(voters: Sequence[str] = "abcd", *, manager: str = "", **more: Any) -> Registry:  # type: ignore[assignment]
    people = members(["olga", "omar", "oren"], dict.fromkeys(["olga", "omar", "oren"], "operator"))
    agents = members(list(voters), {manager: "risk_manager"} if manager else {})
    return Registry("test", 1, (*agents, *people), more.pop("thresholds", {"change": 2, "resume": 2}), **more)


def ledger(folder: Path, clock: Clock | None = None) -> Ledger:
    return Ledger.open(folder / "ledger.db", LEDGER_KEY, now=clock or Clock())


def signed(
    memory: VoterMemory,
    name: str,
    reg: Registry,
    slot: str,
    proposal: str,
    decision: str = "yes",
    now: int = 1_700_000_000_000_000,
    **more: Any,
) -> Envelope:  # fmt: skip
    return memory.sign(
        key(name),
        reg,
        constitution=more.pop("constitution", CONSTITUTION),
        slot=slot,
        proposal=proposal,
        decision=decision,
        now=now,
        **more,
    )  # fmt: skip
