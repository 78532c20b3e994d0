"""The largest order that passes: a closed form per limit (each is linear in quantity), then verified by the checks themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from solon.policy.book import ATTO, UNIT
from solon.policy.limits import BREACH, OK, Bound, CheckFunction, enough_positions
from solon.policy.rules import BASIS, Rules
from solon.policy.trade import Trade
from solon.policy.types import Severity

FINEST = 10**10  # 1e-8 of a unit: the step where whole steps of the order's own precision would leave nothing
Room = Callable[[Trade, int, Rules], int | None]


@dataclass(frozen=True, slots=True)
class Sizing:
    """The limits that size can break or cure, picked out once: `keys` of all; of those that block an order the closed forms
    (`exposures`: attributes of a trade that are capped in proportion to equity; `rooms`: the others) and `checks`, which verify
    what these give. Each with its bound.
    """

    keys: frozenset[str]
    exposures: tuple[tuple[str, int], ...]
    rooms: tuple[tuple[Room, int], ...]
    checks: tuple[tuple[CheckFunction, int], ...]

    @classmethod
    def of(cls, checks: tuple[Bound, ...]) -> Sizing:
        sized = [(check, bound) for check, bound in checks if check.sized]
        blocking = [(check, bound) for check, bound in sized if check.blocks]
        return cls(
            frozenset(check.key for check, _ in sized),
            tuple((EXPOSURES[check.key], bound) for check, bound in blocking if check.key in EXPOSURES),
            tuple((ROOMS[check.key], bound) for check, bound in blocking if check.key in ROOMS),
            tuple((check.function, bound) for check, bound in blocking),
        )

    def room(self, trade: Trade, rules: Rules) -> int | None:
        """The largest quantity (1e-18) by the closed forms; None where nothing bounds it from above."""
        least = None
        for group, bound in self.exposures:
            most = _exposure_room(trade, bound, getattr(trade, group))
            if least is None or most < least:
                least = most
        for room, bound in self.rooms:
            found = room(trade, bound, rules)
            if found is not None and (least is None or found < least):
                least = found
        return least


def reducible(trade: Trade) -> int:
    """How much of the position an order of this side may still close (quantity, 1e-18); 0 where it would add."""
    line = trade.line
    if line is None or line.qty == 0 or (line.qty > 0) == trade.buy:
        return 0
    working = line.stops if trade.action.kind == "stop" else line.buys if trade.buy else line.sells
    return max(0, abs(line.qty) - working)


def smallest(trade: Trade, rules: Rules) -> int:
    """The quantity (1e-18) from which on an opening order is large enough, rounded up to the precision of its quantity; 0 where
    no limit says so, or it cannot be told.
    """
    bound = rules.bounds.get("min_position_size_pct")
    if bound is None or trade.blind or not trade.rate:
        return 0
    missing = -(-bound * (trade.equity_before or 0) // BASIS) - trade.near
    step = _step(trade.action.qty)
    return max(0, -(-missing * UNIT // (trade.rate * step)) * step)


def largest(trade: Trade, rules: Rules, sizing: Sizing) -> int:
    """The largest quantity (1e-18) of this order that breaks no sized limit, rounded down to the precision of its quantity.

    0 where no quantity does. Checks that size cannot cure are not looked at.
    """
    if trade.blind or not trade.price:
        return 0
    bound = sizing.room(trade, rules)
    if bound is None:
        bound = trade.qty  # nothing bounds it from above: look no further than what was asked for
    step = _step(trade.action.qty)
    quantity = bound // step * step or bound // FINEST * FINEST
    for candidate in (quantity, quantity - min(step, quantity)):
        if candidate > 0 and fits(trade, candidate, rules, sizing):
            return candidate
    return _search(trade, quantity, step, rules, sizing) if rules.custom else 0


def _step(qty: Decimal) -> int:
    """One in the last place of a quantity as it is written (1e-18)."""
    text = str(qty)  # a tenth of the time that `as_tuple` takes
    places = -int(qty.as_tuple().exponent) if "E" in text else len(text.partition(".")[2])
    return int(10 ** max(0, 18 - places))


def _search(trade: Trade, most: int, step: int, rules: Rules, sizing: Sizing) -> int:
    """The largest multiple of `step` up to `most` that passes, by halving: custom limits have no closed form, but all grow
    with size.
    """
    low, high = 0, most // step
    while low < high:
        middle = (low + high + 1) // 2
        if fits(trade, middle * step, rules, sizing):
            low = middle
        else:
            high = middle - 1
    return low * step


def fits(trade: Trade, quantity: int, rules: Rules, sizing: Sizing) -> bool:
    """Whether the same order with this quantity passes every sized limit."""
    smaller = trade.resized(quantity)
    for check, bound in sizing.checks:
        if check(smaller, bound, rules)[0] != OK:
            return False
    for rule in rules.custom:
        measured = rule.measured(smaller)
        if rule.severity >= Severity.medium and (measured is None or not rule.holds(measured)):
            return False
    return True


# --- rooms: the largest quantity under one limit; None where the limit does not bound quantity from above -----------------------
# They are asked only about a trade that is not blind, at a price above 0: equity, line, factor and rate are known.


def _exposure_room(trade: Trade, bound: int, group: int) -> int:
    """Largest q with (group + spare + v(q)) * 10^4 <= bound * (equity - slip(q)); v and slip are linear in q."""
    free = bound * (trade.equity_before or 0) - (group + trade.spare) * BASIS
    return free * UNIT // (trade.rate * BASIS + bound * trade.slip_rate) if free > 0 else 0


def _breadth_room(trade: Trade, bound: int, rules: Rules) -> int | None:
    """With too few positions gross exposure may come to the invested share of equity."""
    if enough_positions(trade, bound, rules)[0] != BREACH:
        return None
    return _exposure_room(trade, rules.invested, trade.gross_before)


def _leveraged_room(trade: Trade, bound: int, rules: Rules) -> int | None:
    """As `_exposure_room`, with exposure times the product's leverage L (1e-18)."""
    line = trade.line
    if line is None or line.leverage is None or line.leverage <= ATTO:
        return None
    base = trade.book.issuers_leveraged[line.issuer] * ATTO + line.leverage * trade.spare
    free = bound * (trade.equity_before or 0) * ATTO - base * BASIS
    if free <= 0:
        return 0
    return free * UNIT // (trade.rate * line.leverage * BASIS + bound * trade.slip_rate * ATTO)


def _volume_room(trade: Trade, bound: int, rules: Rules) -> int:
    return bound * ATTO


def _value_room(trade: Trade, bound: int, rules: Rules) -> int:
    return bound * UNIT // trade.rate


def _risk_room(trade: Trade, bound: int, rules: Rules) -> int:
    line, stop = trade.line, trade.stop
    if line is None or stop is None or (stop >= trade.entry) == trade.buy:
        return 0
    per_unit = abs(trade.entry - stop) * (line.factor or 0) * BASIS
    per_unit += trade.rate * (rules.fees + rules.slippage) + bound * trade.slip_rate
    return max(0, bound * (trade.equity_before or 0)) * UNIT // per_unit


def _margin_room(trade: Trade, bound: int, rules: Rules) -> int | None:
    line, margin = trade.line, trade.book.maintenance_margin
    if line is None or margin is None:
        return 0
    free = (BASIS - bound) * (trade.equity_before or 0) - margin * BASIS
    if free < 0:
        return 0
    if not line.margin_rate:
        return None
    slack = free * ATTO - line.margin_rate * BASIS * trade.spare
    per_unit = trade.rate * line.margin_rate * BASIS + (BASIS - bound) * trade.slip_rate * ATTO
    return max(0, slack) * UNIT // per_unit


EXPOSURES = {
    "max_position_size_pct": "issuer_before",
    "max_sector_concentration_pct": "sector_before",
    "max_leverage": "gross_before",
}
ROOMS: dict[str, Room] = {
    "max_position_size_leveraged_pct": _leveraged_room,
    "margin_buffer": _margin_room,
    "max_risk_per_trade_pct": _risk_room,
    "min_positions": _breadth_room,
    "max_order_value": _value_room,
    "max_order_volume": _volume_room,
}
