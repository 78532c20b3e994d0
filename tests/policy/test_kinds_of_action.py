"""What an action calls itself never lifts a limit: stops protect and no more, cancels belong to an owner, advice is the least."""

from __future__ import annotations

from typing import Any

import pytest

from solon.errors import ConstitutionError
from solon.policy.assess import assess
from solon.policy.book import ATTO, Book
from solon.policy.rules import compile_rules
from solon.policy.types import Action

from .samples import LIMITS, NOW, order, position, state

LONG = position("ACME", "100")


def stop(qty: str, name: str = "s", side: str = "sell", **more: Any) -> Action:
    return order(qty, side, id=name, kind="stop", stop=None, **more)


def working(*orders: tuple[str, str, str]) -> list[dict[str, str]]:
    return [
        {"id": f"w{n}", "agent": "buffett", "kind": kind, "symbol": "ACME", "side": side, "qty": qty, "ts": NOW}
        for n, (kind, side, qty) in enumerate(orders)
    ]


@pytest.mark.parametrize(
    ("held", "working_stops", "asked", "outcome"),
    [
        ("100", "0", "100", "allow"), ("100", "0", "100.1", "deny"), ("100", "60", "40", "allow"), ("100", "60", "40.1", "deny"),
        ("100", "100", "1", "deny"), ("0", "0", "1", "deny"), ("-100", "0", "1", "deny"),
    ],
)  # fmt: skip
def test_stops_together_close_a_position_and_no_more(held: str, working_stops: str, asked: str, outcome: str) -> None:
    there = working(("stop", "sell", working_stops)) if working_stops != "0" else []
    for rung in ("normal", "no_new"):
        now = state(position("ACME", held), working_orders=there, ladder=rung, cash="90000")
        result = assess(stop(asked), now, LIMITS)
        assert result.outcome == outcome, result.verdict.path
        assert outcome == "allow" or result.verdict.failing[0].code == "stop_exceeds_position"


def test_stops_beyond_the_position_count_as_exposure() -> None:
    """Two stops of 100 upon 100 held leave 100 short if both are hit; three leave 200 short."""
    for count, gross in ((1, 100), (2, 100), (3, 100), (4, 200)):
        book = Book(state(LONG, working_orders=working(*[("stop", "sell", "100")] * count), cash="90000"))
        assert book.gross == gross * 100 * ATTO, count
        assert (book.lines["ACME"].stops, book.lines["ACME"].sells) == (count * 100 * ATTO, (count - 1) * 100 * ATTO)
    book.cancel("ACME", "w0")
    assert book.gross == 100 * 100 * ATTO


def test_to_be_called_a_stop_does_not_spare_an_opening_order_its_stop() -> None:
    only = {"stop_loss_required": True, "max_position_size_pct": "20"}
    assert assess(stop("10", side="buy"), state(), only).outcome == "deny"
    assert assess(order("10", stop="95"), state(), only).outcome == "allow"


def test_a_cancel_is_its_owners() -> None:
    now = state(LONG, working_orders=working(("stop", "sell", "100")), agents=["buffett", "lynch"], cash="90000")
    for agent, outcome, code in (("buffett", "allow", ""), ("lynch", "deny", "not_owner"), ("nobody", "deny", "unknown_agent")):
        result = assess(order("100", "sell", id="w0", kind="cancel", agent=agent, stop=None), now, LIMITS)
        assert (result.outcome, [r.code for r in result.verdict.failing]) == (outcome, [code] if code else [])


def test_advice_for_an_order_that_is_too_small() -> None:
    """0.1 % of 100,000 is one share; who sells a little more than is held is told to close, not to go short in earnest."""
    small = assess(order("0.99"), state(), LIMITS)
    assert (small.outcome, small.remedy.qty) == ("deny", 1)
    assert small.recommendation.startswith("Buy at least 1 and at most 200 ACME")
    assert assess(small.remedy, state(), LIMITS).outcome == "allow"
    held = state(position("ACME", "10"), cash="99000")
    crossing = assess(order("10.01", "sell"), held, LIMITS)
    assert (crossing.outcome, crossing.remedy.qty) == ("deny", 10)
    assert crossing.recommendation.startswith("Sell at most 10 ACME")
    assert assess(crossing.remedy, held, LIMITS).outcome == "allow"


@pytest.mark.parametrize(
    ("measure", "unit", "wants"),
    [("order_qty", "percent", "count"), ("order_value", "seconds", "money or percent"), ("drawdown", "money", "percent or frac")],
)  # fmt: skip
def test_a_limit_of_ones_own_has_a_unit_of_its_measure(measure: str, unit: str, wants: str) -> None:
    with pytest.raises(ConstitutionError, match=f"own: unit: expected {wants}"):
        compile_rules({"own": {"measure": measure, "value": "1", "unit": unit}})
    compile_rules({"own": {"measure": "fact(anything)", "value": "1", "unit": unit}})


def test_what_misses_a_minimum_by_little_does_not_look_as_if_it_kept_it() -> None:
    """A purchase of 10.000000001 shares leaves a ten-millionth less than the 99,000 that must be left."""
    least = {"own": {"measure": "cash_after", "value": "99000", "unit": "money", "comparison": ">="}}
    (reason,) = assess(order("10.000000001"), state(), least).verdict.failing
    assert (reason.status, reason.measured) == ("breach", "98999.999999")
