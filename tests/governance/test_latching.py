"""What `decide` sees of an account moves the ladder, and with a ledger it stays moved: over better states, and over restarts."""

from __future__ import annotations

from pathlib import Path

import pytest

from solon.governance.governor import Governor
from solon.governance.killswitch import Switch
from solon.governance.rerun import rerun
from solon.ledger.dsse import seal
from solon.ledger.storage import Ledger
from solon.policy.parsing import time_text
from solon.policy.types import State
from tests.governance.people import Clock, key, ledger, registry
from tests.policy.samples import order, position, state


@pytest.fixture
def book(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = ledger(tmp_path)
    yield made
    made.close()


def at(minute: int, nav: str, **more: object) -> State:
    now = f"2026-11-20T15:{minute:02d}:00Z"
    return state(position(priced_at=now), as_of=now, nav_unit=nav, **more)


class Desk:
    """A governor that is asked for one share in one state after another; opened anew for each if `restarts`."""

    def __init__(self, book: Ledger | None, restarts: bool = False, **more: object) -> None:
        self.book, self.restarts, self.more, self.count = book, restarts, more, 0
        self.clock = Clock()
        self.governor = self._open()

    def _open(self) -> Governor:
        return Governor("trading", ledger=self.book, now=self.clock, **self.more)  # type: ignore[arg-type]

    def ask(self, seen: State, seconds: float = 60) -> tuple[str, str]:
        self.count += 1
        self.clock.turn(seconds)
        if self.restarts:
            self.governor = self._open()
        verdict = self.governor.decide(order("1", id=f"o{self.count}", ts=time_text(seen.as_of)), seen)
        return verdict.outcome, verdict.ladder.name


@pytest.mark.parametrize("restarts", [False, True])
def test_rungs_reached_by_states_stay(book: Ledger, restarts: bool) -> None:
    """12 % reduces, 14 % opens nothing new, 15 % kills once a third mark in a row says so; no recovery lifts any of it."""
    desk = Desk(book, restarts)
    course = ["1", "0.8801", "0.88", "0.95", "0.86", "1", "0.85", "0.85", "0.85", "1"]
    assert [desk.ask(at(minute, nav)) for minute, nav in enumerate(course)] == [
        ("allow", "normal"), ("allow", "normal"), ("deny", "reduce"), ("deny", "reduce"), ("deny", "no_new"), ("deny", "no_new"),
        ("halt", "no_new"), ("halt", "no_new"), ("halt", "killed"), ("halt", "killed"),
    ]  # fmt: skip
    assert rerun(book).same == rerun(book).decisions == len(course)


@pytest.mark.parametrize("restarts", [False, True])
def test_one_mark_asked_about_three_times_is_one_mark(book: Ledger, restarts: bool) -> None:
    desk = Desk(book, restarts)
    asked = [desk.ask(at(0, "0.85", cash=cash), 1) for cash in ("100000", "100001", "100002", "100003")]
    assert asked == [("halt", "no_new")] * 4, "the same time and unit value, whatever else changed"
    assert desk.ask(at(1, "0.85")) == ("halt", "no_new") and desk.ask(at(0, "0.84"), 1) == ("halt", "no_new"), "an older one"
    assert desk.ask(at(2, "0.85"), 1) == ("halt", "killed"), "the third that came after another"


def test_a_correlation_that_breaks_down_counts_its_readings_over_restarts(book: Ledger) -> None:
    desk = Desk(book, restarts=True)
    high = {"measures": {"weighted_correlation": "0.90"}}
    assert desk.ask(at(0, "1", **high)) == ("deny", "normal"), "the limit itself"
    assert desk.ask(at(1, "1", **high)) == ("deny", "reduce"), "the second reading"
    assert desk.ask(at(2, "1")) == ("deny", "reduce")


def test_without_a_ledger_there_is_nothing_to_latch_in() -> None:
    desk = Desk(None)
    assert [desk.ask(at(minute, nav))[0] for minute, nav in enumerate(["0.88", "0.8801"])] == ["deny", "allow"]


def test_a_kill_by_states_stops_the_switch_and_a_risk_manager_relaxes_less(tmp_path: Path, book: Ledger) -> None:
    people = registry("abcd", manager="a")
    desk = Desk(book, registry=people, switch=Switch.create(tmp_path / "switch.db"))
    assert desk.ask(at(0, "0.88")) == ("deny", "reduce")
    desk.clock.turn(1801)
    record = {"network": "test", "rung": "reduce", "since": desk.governor.ladder.since}
    desk.governor.relax(seal("relax", record, [key("a")]), (5, 100))
    assert desk.ask(at(1, "0.95")) == ("allow", "normal")
    for minute in (2, 3, 4):
        desk.ask(at(minute, "0.85"))
    assert desk.governor.switch is not None and desk.governor.switch.stopped
    assert [entry.record["body"]["reason"] for entry in book.of_kind("stop")] == ["ladder"]
