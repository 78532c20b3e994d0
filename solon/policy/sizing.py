"""The largest order that passes: a closed form per limit (each is linear in quantity), then verified by the checks themselves."""

from __future__ import annotations

from solon.policy.book import ATTO, UNIT, Trade
from solon.policy.limits import BREACH, OK, Bound
from solon.policy.rules import BASIS, Rules
from solon.policy.types import Severity

FINEST = 10**10  # 1e-8 of a unit: the step where whole steps of the order's own precision would leave nothing


def reducible(trade: Trade) -> int:
    """How much of the position an order of this side may still close (quantity, 1e-18); 0 where it would add."""
    line = trade.line
    if line is None or line.qty == 0 or (line.qty > 0) == trade.buy:
        return 0
    working = line.buys if trade.buy else line.sells
    return max(0, abs(line.qty) - working)


def largest(trade: Trade, rules: Rules, sized: tuple[Bound, ...]) -> int:
    """The largest quantity (1e-18) of this order that breaks no sized limit, rounded down to the precision of its quantity.

    0 where no quantity does. Checks that size cannot cure are not looked at.
    """
    if trade.blind or trade.equity is None or trade.line is None or not trade.price:
        return 0
    bound = min((room for pair in sized if (room := _room(trade, pair, rules)) is not None), default=None)
    if bound is None:
        bound = trade.qty  # nothing bounds it from above: look no further than what was asked for
    step = 10 ** max(0, 18 + int(trade.action.qty.as_tuple().exponent))
    quantity = bound // step * step or bound // FINEST * FINEST
    for candidate in (quantity, quantity - min(step, quantity)):
        if candidate > 0 and fits(trade, candidate, rules, sized):
            return candidate
    return _search(trade, quantity, step, rules, sized) if rules.custom else 0


def _search(trade: Trade, most: int, step: int, rules: Rules, sized: tuple[Bound, ...]) -> int:
    """The largest multiple of `step` up to `most` that passes, by halving: custom limits have no closed form, but all grow
    with size.
    """
    low, high = 0, most // step
    while low < high:
        middle = (low + high + 1) // 2
        if fits(trade, middle * step, rules, sized):
            low = middle
        else:
            high = middle - 1
    return low * step


def fits(trade: Trade, quantity: int, rules: Rules, sized: tuple[Bound, ...]) -> bool:
    """Whether the same order with this quantity passes every sized limit."""
    smaller = Trade(trade.book, trade.action, rules.max_price_age, rules.max_state_age, quantity)
    for check, bound in sized:
        if check.severity >= Severity.medium and check.function(smaller, bound, rules)[0] != OK:
            return False
    for rule in rules.custom:
        measured = rule.measured(smaller)
        if rule.severity >= Severity.medium and (measured is None or not rule.holds(measured)):
            return False
    return True


def _room(trade: Trade, pair: Bound, rules: Rules) -> int | None:
    """Largest quantity under one limit; None where the limit does not bound quantity from above."""
    check, bound = pair
    if check.severity < Severity.medium:
        return None
    line, key = trade.line, check.key
    assert line is not None
    if key == "max_order_volume":
        return bound * ATTO
    if key == "max_order_value":
        return bound * UNIT // (trade.price * (line.factor or 1))
    if key == "max_risk_per_trade_pct":
        return _risk_room(trade, bound, rules)
    if key == "max_position_size_pct":
        return _exposure_room(trade, bound, trade.issuer_before)
    if key == "max_sector_concentration_pct":
        return _exposure_room(trade, bound, trade.sector_before)
    if key == "max_leverage":
        return _exposure_room(trade, bound, trade.gross_before)
    if key == "max_position_size_leveraged_pct" and line.leverage is not None and line.leverage > ATTO:
        return _exposure_room(trade, bound, trade.book.issuers_leveraged[line.issuer], line.leverage)
    if key == "margin_buffer":
        return _margin_room(trade, bound)
    if key == "min_positions" and check.function(trade, bound, rules)[0] == BREACH:
        return _exposure_room(trade, rules.invested, trade.gross_before)
    return None


def _equity(trade: Trade) -> int:
    return (trade.equity or 0) + trade.slip


def _slip_rate(trade: Trade) -> int:
    """Equity lost per quantity, in 1e-54 (as value = quantity x rate / UNIT)."""
    line = trade.line
    assert line is not None
    return line.slip_per_unit(trade.buy, trade.limit) * (line.factor or 0)


def _exposure_room(trade: Trade, bound: int, group: int, leverage: int = ATTO) -> int:
    """Largest q with (group + L*(near + v(q) - worst)) * 10^4 <= bound * (equity - slip(q)); v and slip are linear in q."""
    line = trade.line
    assert line is not None
    near = line.long_side if trade.buy else line.short_side
    base = group * ATTO + leverage * (near - line.worst)
    free = bound * _equity(trade) * ATTO - base * BASIS
    if free <= 0:
        return 0
    per_unit = trade.price * (line.factor or 0) * leverage * BASIS + bound * _slip_rate(trade) * ATTO
    return free * UNIT // per_unit


def _risk_room(trade: Trade, bound: int, rules: Rules) -> int:
    line, stop = trade.line, trade.stop
    assert line is not None
    if stop is None or (stop >= trade.entry) == trade.buy:
        return 0
    factor = line.factor or 0
    per_unit = abs(trade.entry - stop) * factor * BASIS + trade.price * factor * (rules.fees + rules.slippage)
    per_unit += bound * _slip_rate(trade)
    return max(0, bound * _equity(trade)) * UNIT // per_unit


def _margin_room(trade: Trade, bound: int) -> int | None:
    line, book = trade.line, trade.book
    assert line is not None
    if book.maintenance_margin is None:
        return 0
    free = (BASIS - bound) * _equity(trade) - book.maintenance_margin * BASIS
    if free < 0:
        return 0
    if not line.margin_rate:
        return None
    near = line.long_side if trade.buy else line.short_side
    slack = free * ATTO + line.margin_rate * BASIS * (line.worst - near)
    per_unit = trade.price * (line.factor or 0) * line.margin_rate * BASIS + (BASIS - bound) * _slip_rate(trade) * ATTO
    return max(0, slack) * UNIT // per_unit
