"""An account to rehearse with, and for each limit an order just within it and one just beyond it.

The account has 100,000 in cash and could trade one instrument at 100, so that one share is ten basis points of equity.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal

from solon.policy.assess import Assessment, Judge
from solon.policy.book import ATTO, Book
from solon.policy.custom import CustomRule
from solon.policy.limits import FLAGS
from solon.policy.rules import BASIS
from solon.policy.types import MICROSECONDS, Action, Position, State

NOW = 1_763_652_600_000_000
CASH = Decimal(100_000)
MARK = Decimal(100)
Case = tuple[Action, State]


def drill_state(**changes: Any) -> State:
    """An account of 100,000 in cash that could trade one instrument at 100."""
    base: dict[str, Any] = {
        "as_of": NOW, "currency": "USD", "cash": CASH, "maintenance_margin": Decimal(0), "nav_unit": Decimal(1),
        "high_water_mark": Decimal(1), "day_open_equity": CASH, "positions": (drill_position(),),
    }  # fmt: skip
    return State(**{**base, **changes})


def drill_position(symbol: str = "DRILL", qty: Decimal = Decimal(0), mark: Decimal | None = MARK) -> Position:
    """A holding of the drill's account, in its own currency."""
    one = Decimal(1)
    return Position(symbol, symbol, f"sector of {symbol}", qty, mark, one, one, one, NOW)


def drill_order(qty: Decimal, name: str = "drill-1", side: Literal["buy", "sell"] = "buy", symbol: str = "DRILL") -> Action:
    """An order of the drill, its stop 1 % from the mark."""
    stop = MARK * Decimal("0.99") if side == "buy" else MARK * Decimal("1.01")
    return Action(name, "drill", "order", symbol, side, qty, None, stop, NOW)


SMALL = drill_order(Decimal(10))


def _sized(bp: int) -> Case:
    """The account's only position, of so many basis points of equity."""
    return drill_order(Decimal(bp) * CASH / BASIS / MARK), drill_state()


def _geared(bp: int) -> Case:
    """The same in a product with a leverage of two."""
    return drill_order(Decimal(bp) * CASH / BASIS / MARK / 2), drill_state(
        positions=(replace(drill_position(), product_leverage=Decimal(2)),)
    )


def _margin(bp: int) -> Case:
    return SMALL, drill_state(maintenance_margin=CASH * (BASIS - bp) / BASIS)


def _fallen(bp: int) -> Case:
    return SMALL, drill_state(nav_unit=Decimal(BASIS - bp) / BASIS, day_open_equity=None)


def _lost(bp: int) -> Case:
    """Down since the open of a day that began with ten thousand times 100."""
    now = Decimal(BASIS - bp) * MARK
    return replace(SMALL, qty=Decimal(1)), drill_state(cash=now, day_open_equity=BASIS * MARK)


def _risked(bp: int) -> Case:
    """The stop at half the price, so that twice as much is bought as may be lost."""
    return replace(drill_order(CASH * bp / BASIS / (MARK / 2)), stop_price=MARK / 2), drill_state()


def _unstopped(bare: int) -> Case:
    return (replace(SMALL, stop_price=None) if bare else SMALL), drill_state()


def _measured(name: str) -> Callable[[int], Case]:
    held = (drill_position("HELD", Decimal(10)), drill_position())
    return lambda bp: (SMALL, drill_state(cash=CASH - 1000, positions=held, measures={name: Decimal(bp) / BASIS}))


def _spread(count: int) -> Case:
    """All but a hundredth invested in so many positions, and more of one of them."""
    each = CASH * 99 / 100 / MARK / count
    held = tuple(drill_position(f"HELD{number}", each) for number in range(count))
    return replace(SMALL, symbol="HELD0"), drill_state(cash=CASH / 100, positions=held)


def _priced(bp: int) -> Case:
    return replace(SMALL, limit_price=MARK * (BASIS + bp) / BASIS), drill_state()


def _repeated(age: int) -> Case:
    return SMALL, drill_state(recent=(replace(SMALL, id="earlier", ts=NOW - age),))


def _before(name: str) -> Callable[[int], Case]:
    """With this order there are so many of them."""
    return lambda count: (
        SMALL,
        drill_state(**{name: tuple(replace(SMALL, id=f"m{n}", qty=Decimal(n + 1)) for n in range(count - 1))}),
    )


# How an order at a level of each key is made, and the steps from the bound to a level that holds and to one that does not.
CASES: dict[str, tuple[Callable[[int], Case], int, int]] = {
    "max_position_size_pct": (_sized, 0, 1),
    "max_position_size_leveraged_pct": (_geared, 0, 1),
    "min_position_size_pct": (_sized, 0, -1),
    "max_leverage": (_sized, 0, 1),
    "recommended_leverage": (_sized, 0, 1),
    "max_sector_concentration_pct": (_sized, 0, 1),
    "margin_buffer": (_margin, 0, -1),
    "max_portfolio_drawdown_pct": (_fallen, 0, 1),
    "max_daily_loss_pct": (_lost, 0, 1),
    "max_risk_per_trade_pct": (_risked, 0, 1),
    "stop_loss_required": (_unstopped, -1, 0),
    "max_correlation": (_measured("max_pair_correlation"), 0, 1),
    "max_correlation_critical": (_measured("max_pair_correlation"), 0, 1),
    "min_positions": (_spread, 0, -1),
    "emergency_deleverage_threshold": (_fallen, -1, 0),
    "human_escalation_drawdown": (_fallen, -1, 0),
    "halt_trading_threshold": (_fallen, -1, 0),
    "kill_switch_drawdown": (_fallen, -1, 0),
    "correlation_breakdown_threshold": (_measured("weighted_correlation"), -1, 0),
    "volatility_spike_multiplier": (_measured("volatility_ratio"), -1, 0),
    "flash_crash_detection": (lambda fired: _measured("flash_crash")(fired * BASIS), -1, 0),
    "price_collar_pct": (_priced, 0, 1),
    "max_order_value": (lambda money: (drill_order(Decimal(money) / ATTO / MARK), drill_state()), 0, ATTO),
    "max_order_volume": (lambda qty: (drill_order(Decimal(qty)), drill_state()), 0, 1),
    "duplicate_order_window_seconds": (_repeated, MICROSECONDS, 0),
    "max_messages_per_minute": (_before("recent"), 0, 1),
    "max_repeated_executions": (_before("executions"), 0, 1),
}


def rehearse(judge: Judge) -> tuple[list[str], list[str], list[str]]:
    """Each limit that the rules set, at a level that holds and at one that does not.

    Returns:
        The keys that came out so; what did not, in words; and the keys that no level of this account breaks.
    """
    kept, wrong, left = [], [], []
    for check, bound in judge.checks:
        case, within, beyond = CASES[check.key]
        low, high = bound + within, bound + beyond
        if not _possible(check.key, judge, min(low, high)):
            left.append(check.key)
            continue
        within_it, beyond_it = _assessed(judge, case(low)), _assessed(judge, case(high))
        holds, breaks = _status(within_it, check.key), _status(beyond_it, check.key)
        blocked = not check.blocks or not beyond_it.allowed
        if (holds, breaks, blocked) == ("ok", "breach", True):
            kept.append(check.key)
        else:
            wrong.append(f"{check.key}: {holds} within, {breaks} beyond{'' if blocked else ', yet allowed'}")
    return kept, wrong, left


def _possible(key: str, judge: Judge, level: int) -> bool:
    if key == "kill_switch_drawdown":
        return judge.rules.flags.get("kill_switch_enabled", True)
    return level > 0 or key in (*FLAGS, "max_correlation", "max_correlation_critical")


def _assessed(judge: Judge, case: Case) -> Assessment:
    order, state = case
    return judge.assess(order, Book(state), size=False)


def _status(found: Assessment, key: str) -> str:
    """The status of one limit; those that hold may go without a reason."""
    return next((reason.status for reason in found.verdict.reasons if reason.code == key), "ok")


def rehearse_custom(judge: Judge) -> tuple[list[str], list[str]]:
    """Limits of the domain's own: an order of a thousand times the account, and facts beyond every bound.

    Returns:
        The keys of maxima that it breaks, and of those that it does not.
    """
    facts = {rule.argument: Decimal(10) ** 15 for rule in judge.rules.custom if rule.measure.startswith("fact")}
    huge = _assessed(judge, (drill_order(CASH * 1000 / MARK), drill_state(facts=facts)))
    maxima = [rule.key for rule in judge.rules.custom if _grows(rule)]
    broken = [key for key in maxima if _status(huge, key) == "breach"]
    return broken, [key for key in maxima if key not in broken]


def _grows(rule: CustomRule) -> bool:
    grown = ("order_value", "order_qty", "issuer_exposure", "sector_exposure", "gross_exposure", "net_exposure", "value_in")
    return rule.comparison in ("<", "<=") and (rule.measure in grown or rule.measure.startswith("fact"))
