"""The ladder at its boundaries, its latches, its confirmations; and the emergency plan."""

from __future__ import annotations

import os
from dataclasses import replace
from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.emergency import emergency_plan, unprotected
from solon.policy.ladder import (
    CASCADE_WINDOW,
    COOL_DOWN,
    MINUTE,
    LadderState,
    Observation,
    herding,
    state_of,
    state_record,
    step,
)
from solon.policy.rules import compile_rules
from solon.policy.types import Ladder

from .samples import LIMITS, NOW, position, state

RULES = compile_rules(LIMITS)
N, W, R, X, K = Ladder.normal, Ladder.warn, Ladder.reduce, Ladder.no_new, Ladder.killed


def run(*seen: Observation, start: LadderState | None = None, rules=RULES) -> tuple[LadderState, list[str]]:
    now, kinds = start or LadderState(), []
    for one in seen:
        now, events = step(now, one, rules)
        kinds += [event.kind for event in events]
    return now, kinds


def dd(bp: int, at: int = 0, source: str = "primary", **more) -> Observation:
    return Observation(at, (bp, 10_000), source, **more)


@pytest.mark.parametrize(("bp", "rung"), [(1199, N), (1200, R), (1399, R), (1400, X), (1499, X), (1500, X)])
def test_boundaries_on_one_reading(bp: int, rung: Ladder) -> None:
    assert run(dd(bp))[0].rung == rung


def test_a_warning_comes_and_goes() -> None:
    rules = compile_rules({**LIMITS, "warn_drawdown_threshold": "10"})
    assert run(dd(1000), rules=rules)[0].rung == W
    assert run(dd(1000), dd(999, 1), rules=rules)[0].rung == N
    assert run(dd(1000), Observation(1), rules=rules)[0].rung == W  # unknown lowers nothing


def test_kill_needs_three_marks_in_a_row_or_two_sources() -> None:
    assert run(dd(1500), dd(1500, 1))[0].rung == X
    assert run(dd(1500), dd(1500, 1), dd(1500, 2))[0].rung == K
    assert run(dd(1500), dd(1499, 1), dd(1500, 2), dd(1500, 3))[0].rung == X  # one good mark begins anew
    assert run(dd(1500), dd(1500, 1, "broker"))[0].rung == K
    assert run(dd(1500), dd(1500, 4 * MINUTE, "broker"))[0].rung == X  # too far apart
    assert "unconfirmed_kill" in run(dd(1500))[1]
    gone = [Observation(i, None, equity_gone=True) for i in range(3)]
    assert run(*gone)[0].rung == K
    off = compile_rules({**LIMITS, "kill_switch_enabled": False})
    assert run(dd(1600), dd(1600, 1), dd(1600, 2), rules=off)[0].rung == X


def test_a_person_stops_at_once_and_rungs_latch() -> None:
    assert run(Observation(0, (0, 1), command="stop"))[0].rung == K
    stopped = run(dd(1400), dd(0, 1))[0]
    assert stopped.rung == X  # no way down by itself
    assert run(dd(0, COOL_DOWN - 1, command="relax"), start=stopped) == (
        replace(stopped, now=COOL_DOWN - 1, supported=N, recent=()),
        ["refused"],
    )
    relaxed, kinds = run(dd(0, COOL_DOWN + 1, command="relax"), start=stopped)
    assert relaxed.rung == N and kinds == ["rung"]
    assert run(dd(1300, COOL_DOWN + 1, command="relax"), start=stopped)[0].rung == R  # to what is measured
    assert run(dd(1450, COOL_DOWN + 1, command="relax"), start=stopped)[1][-1] == "refused"


def test_killed_is_left_by_resume_alone() -> None:
    killed = run(dd(1500), dd(1500, 1), dd(1500, 2))[0]
    for bp, command in ((0, ""), (0, "relax"), (1500, "resume")):
        assert run(dd(bp, 10 * COOL_DOWN, command=command), start=killed)[0].rung == K
    assert run(Observation(10 * COOL_DOWN, None, command="resume"), start=killed)[0].rung == K
    assert run(dd(1300, 10 * COOL_DOWN, command="resume"), start=killed)[0].rung == R
    assert run(dd(0, 10 * COOL_DOWN, command="resume", rebased=True), start=killed)[0].rung == N


def test_correlation_needs_two_readings_volatility_one() -> None:
    assert run(dd(0, correlation=D("0.92")))[0].rung == N
    assert run(dd(0, correlation=D("0.9")), dd(0, 1, correlation=D("0.9")))[0].rung == R
    assert run(dd(0, correlation=D("0.92")), dd(0, 1, correlation=D("0.8999")), dd(0, 2, correlation=D("0.92")))[0].rung == N
    assert run(dd(0, volatility=D("2.9999")))[0].rung == N
    assert run(dd(0, volatility=D("3")))[0].rung == R
    assert run(dd(0, flash_crash=True))[0].rung == X
    assert run(dd(0, flash_crash=None))[0].rung == N


def test_cascades_count_causes() -> None:
    assert run(dd(1200, volatility=D("3")))[0].rung == X  # two triggers, two causes
    one_cause = {"drawdown": "fed", "volatility_spike": "fed"}
    assert run(dd(1200, volatility=D("3"), causes=one_cause))[0].rung == R
    apart = run(dd(1200), dd(0, CASCADE_WINDOW + 1, volatility=D("3")))
    assert apart[0].rung == R
    near = run(dd(1200), dd(0, CASCADE_WINDOW - 1, volatility=D("3")))
    assert near[0].rung == X
    herd = dd(0, correlation=D("0.91"), agents_one_way=Fraction(3, 4))
    assert run(herd)[0].rung == X
    assert run(replace(herd, agents_one_way=Fraction(2, 3)))[0].rung == N
    assert herding({"a": "sell", "b": "sell", "c": "hold", "d": "sell"}) == Fraction(3, 4)
    assert herding({}) == 0


def test_the_documented_crisis() -> None:
    """A13: the market falls 8 % within 15 minutes, drawdown 12 %."""
    now, kinds = run(dd(1200, flash_crash=True))
    assert now.rung == X and "call_person" in kinds


def test_clock_and_restart() -> None:
    now, kinds = run(dd(1400, 100), dd(0, 50))
    assert kinds[-1] == "clock" and now.now == 100 and now.rung == X
    assert state_of(state_record(now)) == now
    with pytest.raises(KeyError):
        state_of({})


OBSERVED = st.builds(
    Observation,
    st.integers(0, 10**10),
    st.one_of(st.none(), st.tuples(st.integers(0, 3000), st.just(10_000))),
    st.sampled_from(["a", "b"]),
    correlation=st.one_of(st.none(), st.decimals(0, 1, places=2)),
    volatility=st.one_of(st.none(), st.decimals(0, 5, places=1)),
    flash_crash=st.sampled_from([None, False, True]),
    command=st.sampled_from(["", "", "", "stop", "relax"]),
)


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("SOLON_LADDERS", "60")), deadline=None, derandomize=True)
@given(st.lists(OBSERVED, max_size=30))
def test_killed_absorbs_without_resume_and_rungs_never_fall_by_themselves(seen: list[Observation]) -> None:
    now = LadderState()
    for one in seen:
        before, now = now, step(now, one, RULES)[0]
        if before.rung == K:
            assert now.rung == K
        if one.command != "relax" and before.rung >= R:
            assert now.rung >= before.rung
        assert state_of(state_record(now)) == now


def test_every_step_of_the_plan_passes() -> None:
    working = [
        {"id": "w1", "agent": "x", "symbol": "A", "side": "buy", "qty": "10", "ts": NOW},
        {"id": "s1", "agent": "x", "kind": "stop", "symbol": "A", "side": "sell", "qty": "1000", "ts": NOW},
    ]
    held = [position("A", "1000"), position("B", "-400", product_leverage="3"), position("C", "300")]
    book = Book(state(*held, working_orders=working, cash="10000", ladder="reduce", nav_unit="0.87"))  # equity 100,000
    judge = Judge.of(LIMITS)
    plan = emergency_plan(book, judge, target=Fraction(1, 2), slice_volume={"A": D(300)})
    assert plan.leverage_before == Fraction(171, 100) and plan.leverage_after <= Fraction(1, 2)
    assert not plan.open_points and len(book.lines["A"].orders) == 2  # the book itself is as it was
    orders = [s.action for s in plan.steps if s.action and s.action.kind != "cancel"]
    assert orders[0].symbol == "B" and orders[0].side == "buy"  # 40,000 x 3 is the largest risk
    assert all(a.qty <= 300 for a in orders if a.symbol == "A" and a.kind == "order")
    replayed = Book(state(*held, working_orders=[working[1]], cash="10000", ladder="reduce", nav_unit="0.87"))
    for action in orders:
        if action.kind == "stop":
            replayed.cancel("A", action.id)
            assert action.qty <= D(replayed.lines["A"].qty).scaleb(-18)
            replayed.work(action)
            continue
        assert judge.assess(action, replayed).outcome == "allow"
        replayed.fill(action.symbol, action.side, action.qty, D(100))
    assert {s.phase for s in plan.steps} == {1, 2, 3}
    assert all(
        low <= s.minute <= (high or 999) for s in plan.steps for low, high in [{1: (0, 5), 2: (5, 30), 3: (30, None)}[s.phase]]
    )
    assert "Phase 3 (30+ min)" in plan.text()


def test_a_killed_account_is_flattened_only_with_approval() -> None:
    book = Book(state(position("A", "100"), position("B", "-50", None), cash="90000", ladder="killed"))
    judge = Judge.of(LIMITS)
    plan = emergency_plan(book, judge, flatten=True)
    orders = [s.action for s in plan.steps if s.kind == "reduce"]
    assert {(a.symbol, a.side, a.qty, a.kind) for a in orders} == {
        ("A", "sell", D(100), "flatten"),
        ("B", "buy", D(50), "flatten"),
    }
    for action in orders:
        assert judge.assess(action, book).outcome == "halt"
        assert judge.assess(action, book, approved=True).outcome == "allow"


def test_unprotected_positions() -> None:
    stop = {"id": "s", "agent": "x", "kind": "stop", "symbol": "A", "side": "sell", "qty": "100", "ts": NOW}
    held = position("A", "100", opened_at="2026-11-20T15:28:00Z")
    for working, found in (
        ([], ("A",)),
        ([stop], ("A",)),
        ([{**stop, "acknowledged": NOW}], ()),
        ([{**stop, "acknowledged": NOW, "qty": "99"}], ("A",)),
    ):
        assert unprotected(Book(state(held, working_orders=working)), 60_000_000) == found
    fresh = position("A", "100", opened_at="2026-11-20T15:29:30Z")
    assert unprotected(Book(state(fresh)), 60_000_000) == ()
