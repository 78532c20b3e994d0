"""Speed must not change a verdict: random accounts and orders are decided as they were before, to the last digit.

The digest was first recorded with the plain implementation (one `Trade` for every quantity tried, no closed form shared), and
anew when stops came to be counted together and minima to be shown rounded down.
A change of what a limit means changes it on purpose; then look at the cases that differ before recording it anew.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.parsing import parse_action, parse_state
from solon.policy.rules import compile_rules
from solon.policy.trade import Trade

from .samples import LIMITS, NOW, position

CASES = 600
RECORDED = "a39b9534b10b6113a78ceffa4b0efaf4b7bf84b0651f67550aeab2e94c9ab3a2"
ORDERS = {
    "price_collar_pct": "5",
    "max_order_value": "30000",
    "max_order_volume": "400",
    "duplicate_order_window_seconds": "10",
    "max_messages_per_minute": "3",
    "max_repeated_executions": "2",
}
EXACT = (
    "value", "slip", "equity", "issuer_after", "sector_after", "gross_after", "net_after", "leveraged_after", "position_after",
    "positions_after", "reducing", "blind",
)  # fmt: skip
OWN: tuple[dict[str, str], ...] = (
    {"measure": "order_value", "value": "20000", "unit": "money", "severity": "medium"},
    {"measure": "sector_exposure", "value": "0.25", "unit": "fraction"},
    {"measure": "cash_after", "value": "-500", "unit": "money", "comparison": ">="},
    {"measure": "value_in(3600)", "value": "30000", "unit": "money"},
    {"measure": "drawdown", "value": "10", "unit": "percent", "severity": "low"},
)


def _number(rng: random.Random, low: float, high: float, places: int) -> str:
    return format(D(rng.randint(round(low * 10**places), round(high * 10**places))).scaleb(-places), "f")


def _order(rng: random.Random, number: int, symbols: list[str], kinds: tuple[str, ...]) -> dict[str, str]:
    side, places = rng.choice(["buy", "sell"]), rng.choice([0, 1, 2, 14])
    made = {
        "id": f"o{number}", "agent": rng.choice(["ann", "ben"]), "kind": rng.choice(kinds), "symbol": rng.choice(symbols),
        "side": side, "qty": _number(rng, 1, rng.choice([20, 80, 400, 5000]), places), "ts": NOW,
    }  # fmt: skip
    if rng.random() < 0.3:
        made["limit_price"] = _number(rng, 80, 120, 2)
    if rng.random() < 0.8:
        below = (side == "buy") == (rng.random() < 0.9)
        made["stop_price"] = _number(rng, *((78, 92) if below else (108, 122)), places)
    return made


def _account(rng: random.Random) -> dict[str, Any]:
    """Mostly sound, each trouble seldom: short positions, leverage, no price, falls of the unit value, what already works."""
    symbols = [f"S{i}" for i in range(rng.choice([1, 3, 7]))]
    held = [
        position(
            symbol, _number(rng, *rng.choice([(0, 0), (0, 60), (-30, 60)]), 1),
            None if rng.random() < 0.01 else _number(rng, 93, 107, 2), issuer=f"I{i // rng.choice([1, 1, 2])}",
            sector=f"x{rng.randint(0, 4)}", product_leverage=rng.choice(["1", "1", "1", "1", "3", None]),
            fx=rng.choice(["1", "1", "1.083217"]), margin_rate=rng.choice([None, None, "0.2"]),
            bid=rng.choice([None, None, "92.5"]), ask=rng.choice([None, None, "107.5"]),
        )
        for i, symbol in enumerate(symbols)
    ]  # fmt: skip
    kinds = ("order", "order", "stop")
    return {
        "as_of": NOW, "currency": "USD", "cash": _number(rng, rng.choice([-5000, 40000, 40000]), 120_000, 2), "positions": held,
        "maintenance_margin": rng.choice(["0", "1000", "30000", None]), "high_water_mark": "1",
        "nav_unit": rng.choice(["1"] * 8 + ["0.9", "0.87", "0.85"]), "ladder": rng.choice(["normal"] * 9 + ["reduce", "killed"]),
        "day_open_equity": rng.choice([None, "1000", "150000"]), "equity_24h_ago": rng.choice([None, None, "90000"]),
        "working_orders": [_order(rng, 100 + i, symbols, kinds) for i in range(rng.choice([0, 0, 1, 3]))],
        "recent": [_order(rng, 200 + i, symbols, kinds) for i in range(rng.choice([0, 0, 2]))],
        "measures": {"max_pair_correlation": rng.choice(["0.5", "0.86", None])} if rng.random() < 0.2 else {},
    }  # fmt: skip


def _judge(rng: random.Random) -> Judge:
    limits: dict[str, Any] = {k: v for k, v in (LIMITS | ORDERS).items() if rng.random() < 0.8 and k != "max_daily_loss_pct"}
    limits |= {"max_daily_loss_pct": "5"} if rng.random() < 0.2 else {}
    limits |= {f"own_{i}": rng.choice(OWN) for i in range(rng.choice([0, 0, 0, 1, 2]))}
    return Judge.of(limits, fees=rng.choice([0, 0, 12]), slippage=rng.choice([0, 0, 30]))


def _decided(seed: int) -> str:
    """What is decided about three orders, without the words."""
    rng = random.Random(seed)
    judge, account = _judge(rng), _account(rng)
    symbols = [p["symbol"] for p in account["positions"]] + ["NONE"] * (rng.random() < 0.1)
    book, lines = Book(parse_state(account)), []
    for number in range(3):
        order = parse_action(_order(rng, number, symbols, ("order",) * 8 + ("spend", "stop", "flatten", "cancel")))
        found = judge.assess(order, book, approved=rng.random() < 0.2)
        reasons = [(r.code, r.status, r.measured) for r in found.reasons()]
        exact = [getattr(found.trade, name) for name in EXACT]
        lines.append(
            repr((found.outcome, found.path, found.ladder.name, found.call_person, found.largest_qty))
            + repr((found.largest_allowed and found.largest_allowed.size_pct, found.remedy, found.not_measured, reasons, exact))
        )
    return "\n".join(lines)


@pytest.mark.slow
def test_random_orders_are_decided_as_before() -> None:
    digest = hashlib.sha256("\n".join(_decided(seed) for seed in range(CASES)).encode()).hexdigest()
    assert digest == RECORDED, "a verdict changed; compare the output of _decided with that of the last version"


QTY = st.decimals(min_value="0.1", max_value="300", places=1)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), quantities=st.lists(QTY, min_size=1, max_size=4))
def test_a_trade_of_another_size_is_as_if_made_anew(seed: int, quantities: list[D]) -> None:
    rng, rules = random.Random(seed), compile_rules(LIMITS)
    account = _account(rng)
    symbols = [p["symbol"] for p in account["positions"]] + ["NONE"]
    book, order = Book(parse_state(account)), parse_action(_order(rng, 0, symbols, ("order", "stop")))
    trade = Trade(book, order, rules.max_price_age, rules.max_state_age)
    for quantity in quantities:
        anew = Trade(book, replace(order, qty=quantity), rules.max_price_age, rules.max_state_age)
        other = trade.resized(anew.qty)
        for name in Trade.__slots__:
            assert name == "action" or getattr(other, name) == getattr(anew, name), name
