"""Verdicts and recommended orders of trading rows, worked out again from the documented state with nothing of Solon's policy."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from solon.data.rows import TradingRow
from solon.data.scenarios.trading import generate

pytestmark = pytest.mark.slow

LIMITS = {
    "max_position_size_pct": 20, "max_position_size_leveraged_pct": 15, "max_sector_concentration_pct": 30, "max_leverage": 2,
    "max_risk_per_trade_pct": 2,
}  # fmt: skip
WORKED_OUT = {*LIMITS, "stop_loss_required"}
Record = dict[str, Any]


@pytest.fixture(scope="module")
def rows() -> list[TradingRow]:
    return generate(600, seed=7)


def broken(state: Record, orders: Sequence[Record]) -> set[str]:
    """Limits that the account breaks once these orders have filled at the marks; risk of a trade as loss at its stop."""
    held = {p["symbol"]: {**p, "qty": Fraction(p["qty"])} for p in state["positions"]}

    def worth(p: Record) -> Fraction:
        return abs(p["qty"]) * Fraction(p["mark"]) * Fraction(p["multiplier"]) * Fraction(p["fx"])

    def exposure(p: Record) -> Fraction:
        return worth(p) * Fraction(p["product_leverage"])

    equity = Fraction(state["cash"]) + sum(worth(p) for p in held.values())
    found: dict[str, Fraction] = {}
    missing = False
    for order in orders:
        position = held[order["symbol"]]
        before = abs(position["qty"])
        position["qty"] += Fraction(order["qty"]) * (1 if order["side"] == "buy" else -1)
        if abs(position["qty"]) <= before:
            continue
        if order.get("stop_price") is None:
            missing = True
            continue
        loss = Fraction(order["qty"]) * abs(Fraction(position["mark"]) - Fraction(order["stop_price"])) * 100 / equity
        found["max_risk_per_trade_pct"] = max(found.get("max_risk_per_trade_pct", Fraction(0)), loss)
    for symbol in {order["symbol"] for order in orders}:
        position = held[symbol]
        sector = sum(worth(p) for p in held.values() if p["sector"] == position["sector"])
        measured = {
            "max_position_size_pct": worth(position) * 100 / equity,
            "max_sector_concentration_pct": sector * 100 / equity,
        }
        if Fraction(position["product_leverage"]) > 1:
            measured["max_position_size_leveraged_pct"] = exposure(position) * 100 / equity
        for code, value in measured.items():
            found[code] = max(found.get(code, Fraction(0)), value)
    found["max_leverage"] = sum((exposure(p) for p in held.values()), Fraction(0)) / equity
    return {code for code, value in found.items() if value > LIMITS[code]} | (
        {"stop_loss_required", "max_risk_per_trade_pct"} if missing else set()
    )


def test_verdicts_name_exactly_the_limits_that_break(rows: list[TradingRow]) -> None:
    judged = 0
    for row in rows:
        known = row.context.model_extra or {}
        if row.context.category != "constitutional_compliance":
            continue
        refused = row.response.startswith("CONSTITUTIONAL ASSESSMENT: VIOLATION DETECTED")
        assert refused == (known["outcome"] != "allow"), row.instruction
        if known["outcome"] != "halt":
            assert broken(known["state"], known["proposed"]) == set(known["violated"]) & WORKED_OUT, row.instruction
            judged += 1
    assert judged > 250


def test_every_recommended_order_passes(rows: list[TradingRow]) -> None:
    checked = 0
    for row in rows:
        known = row.context.model_extra or {}
        for orders in known["recommended"]:
            assert broken(known["state"], orders) == set(), row.instruction
            checked += 1
    assert checked > 400


def test_the_checker_sees_what_it_should() -> None:
    position = {"symbol": "A", "sector": "s", "qty": "0", "mark": "10", "multiplier": "1", "fx": "1", "product_leverage": "1"}
    state = {"cash": "1000", "positions": [position]}
    order = {"symbol": "A", "side": "buy", "qty": "20", "stop_price": "9"}
    assert broken(state, [order]) == set()  # 20 %, and at its stop 2 %
    assert broken(state, [{**order, "qty": "21"}]) == {"max_position_size_pct", "max_risk_per_trade_pct"}
    assert broken(state, [{**order, "stop_price": None}]) == {"stop_loss_required", "max_risk_per_trade_pct"}
    doubled = {"cash": "1000", "positions": [{**position, "product_leverage": "3"}]}
    assert broken(doubled, [{**order, "qty": "6", "stop_price": "9.5"}]) == {"max_position_size_leveraged_pct"}
