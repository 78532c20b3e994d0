"""Limits of the user's own, for any domain: a measure of a small closed set, compared with a bound.

A measure is written as a name, or as a name with one argument: `order_value`, `value_in(3600)`, `fact_plus_value(month_spend)`.
Where the unit is percent, fraction or ratio, money is taken relative to equity.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from solon.errors import ConstitutionError, nearest
from solon.policy.types import MICROSECONDS, Severity

if TYPE_CHECKING:
    from solon.policy.trade import Trade

ATTO = 10**18
Kind = Literal["money", "number", "share"]
Value = Fraction | None
Comparison = Literal["<=", "<", ">=", ">"]

HOLDS: dict[str, Callable[[Fraction, Fraction], bool]] = {
    "<=": lambda measured, bound: measured <= bound,
    "<": lambda measured, bound: measured < bound,
    ">=": lambda measured, bound: measured >= bound,
    ">": lambda measured, bound: measured > bound,
}


@dataclass(frozen=True)
class CustomRule:
    """A compiled limit of the user's own: its measure must stand in `comparison` to `bound`. A measure of None is UNKNOWN."""

    key: str
    measure: str
    argument: str
    comparison: Comparison
    bound: Fraction
    unit: str
    severity: Severity
    text: str

    def measured(self, trade: Trade) -> Value:
        """The measure in the rule's unit; None when it cannot be told."""
        kind, read = MEASURES[self.measure]
        value = read(trade, self.argument)
        if value is None or kind == "number":
            return value
        if kind == "money" and self.unit in RELATIVE:
            if trade.equity is None or trade.equity <= 0:
                return None
            value = value * ATTO / trade.equity
            kind = "share"
        return value * 100 if kind == "share" and self.unit == "percent" else value

    def holds(self, measured: Fraction) -> bool:
        return HOLDS[self.comparison](measured, self.bound)


def _money(name: str) -> Callable[[Trade, str], Value]:
    def read(trade: Trade, _: str) -> Value:
        value = getattr(trade, name)
        return None if value is None or trade.blind else Fraction(value, ATTO)

    return read


def _window(argument: str) -> int:
    return int(argument) * MICROSECONDS


def _value_in(trade: Trade, argument: str) -> Value:
    """Value of the agent's orders in the last seconds, this one included."""
    earlier = trade.book.recent_value(trade.action.agent, trade.now - _window(argument))
    return None if earlier is None or trade.value is None else Fraction(earlier + trade.value, ATTO)


def _actions_in(trade: Trade, argument: str) -> Value:
    return Fraction(trade.book.messages(trade.action.agent, trade.now - _window(argument)) + 1)


def _fact(trade: Trade, argument: str) -> Value:
    value = trade.book.facts.get(argument)
    return None if value is None else Fraction(value)


def _fact_plus_value(trade: Trade, argument: str) -> Value:
    fact = _fact(trade, argument)
    return None if fact is None or trade.value is None else fact + Fraction(trade.value, ATTO)


def _fact_plus_qty(trade: Trade, argument: str) -> Value:
    fact = _fact(trade, argument)
    return None if fact is None else fact + Fraction(trade.qty, ATTO)


MEASURES: dict[str, tuple[Kind, Callable[[Trade, str], Value]]] = {
    "order_value": ("money", lambda t, _: None if t.value is None else Fraction(t.value, ATTO)),
    "order_qty": ("number", lambda t, _: Fraction(t.qty, ATTO)),
    "issuer_exposure": ("money", _money("issuer_after")),
    "sector_exposure": ("money", _money("sector_after")),
    "gross_exposure": ("money", _money("gross_after")),
    "net_exposure": ("money", _money("net_after")),
    "cash_after": ("money", _money("cash_after")),
    "equity": ("money", _money("equity")),
    "positions": ("number", lambda t, _: Fraction(t.positions_after)),
    "drawdown": ("share", lambda t, _: t.book.drawdown()),
    "daily_loss": ("share", lambda t, _: t.book.daily_loss()),
    "value_in": ("money", _value_in),
    "actions_in": ("number", _actions_in),
    "fact": ("number", _fact),
    "fact_plus_value": ("number", _fact_plus_value),
    "fact_plus_qty": ("number", _fact_plus_qty),
}
RELATIVE = ("percent", "fraction", "ratio")  # money is then taken relative to equity
UNITS: dict[Kind, tuple[str, ...]] = {"money": ("money", *RELATIVE), "share": RELATIVE, "number": ("count",)}
SECONDS = ("value_in", "actions_in")  # measures over a window of that many seconds
_NEEDS_NAME = ("fact", "fact_plus_value", "fact_plus_qty")
_WRITTEN = re.compile(r"([a-z_]+)(?:\(([A-Za-z0-9_.-]+)\))?")


def _written(name: str) -> str:
    return name + ("(SECONDS)" if name in SECONDS else "(NAME)" if name in _NEEDS_NAME else "")


def compile_custom(limit: Any) -> CustomRule:
    """A custom `Limit` of a constitution as a rule.

    Raises:
        ConstitutionError: the measure is not of the closed set, its argument is missing or wrong, the unit is not one of its own
            (a fact has any), or the bound is no number.
    """
    match = _WRITTEN.fullmatch(limit.measure)
    name, argument = (match.group(1), match.group(2) or "") if match else (limit.measure, "")
    if name not in MEASURES:
        raise ConstitutionError(
            f"{limit.key}: measure: expected one of {', '.join(MEASURES)}; got {limit.measure!r}",
            mend=nearest(name, tuple(MEASURES)) or "choose a measure of the set",
        )
    if (name in SECONDS and not argument.isdigit()) or (name in _NEEDS_NAME) != bool(argument and name not in SECONDS):
        raise ConstitutionError(
            f"{limit.key}: measure: expected {_written(name)}, got {limit.measure!r}",
            mend="write the argument in parentheses",
        )
    units = UNITS[MEASURES[name][0]]
    if name not in _NEEDS_NAME and limit.unit not in units:
        mend = "a fact may have any unit" if units == ("count",) else "write one of these"
        raise ConstitutionError(
            f"{limit.key}: unit: expected {' or '.join(units)} for {limit.measure}, got {limit.unit!r}", mend=mend
        )
    if isinstance(limit.value, bool) or not hasattr(limit.value, "as_integer_ratio"):
        raise ConstitutionError(f"{limit.key}: expected a number as bound, got {limit.value!r}", mend="write a decimal number")
    comparison: Comparison = limit.comparison or "<="
    return CustomRule(
        limit.key, name, argument, comparison, Fraction(limit.value), limit.unit, Severity[limit.severity], limit.text
    )
