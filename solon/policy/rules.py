"""A constitution's limits compiled for deciding: integers in one scale per unit, read once, used many times.

Scales: percent, fraction and ratio in basis points (1 % = 100, a leverage of 2 = 20,000); money and quantity in units of 1e-18;
seconds in microseconds; counts as they are. A bound that is no whole number of basis points is refused, never rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from solon.constitution.keys import KEYS
from solon.errors import ConstitutionError, nearest
from solon.policy.custom import CustomRule, compile_custom
from solon.policy.types import MICROSECONDS, Ladder

ATTO = 10**18
BASIS = 10_000
PER_UNIT = {"percent": 100, "fraction": BASIS, "ratio": BASIS, "count": 1, "seconds": MICROSECONDS, "money": ATTO}

# Keys whose limit is kept by votes, reviews or the monitor's triggers and not by looking at one order.
KEPT_ELSEWHERE = {
    "consensus_threshold": "the council's tally",
    "conflict_resolution_mode": "the council's tally",
    "resume_threshold": "the kill switch",
    "performance_review_interval_trades": "the performance review",
    "adaptation_rate_range": "the performance review",
    "regime_detection_enabled": "the performance review",
    "poor_performance_threshold_sharpe": "the performance review",
    "cascade_failure_prevention": "the emergency ladder",
}


@dataclass(frozen=True)
class Rules:
    """Compiled limits. `bounds` key -> integer in the scale of its unit; `flags` key -> bool; `shown` key -> (text, unit).

    `max_price_age`, `max_state_age`: microseconds after which a price or a state is stale. `invested`: share of equity (basis
    points) above which `min_positions` applies. `stop_deadline`: microseconds for a protective order to be acknowledged.
    `fees`, `slippage`: allowance in basis points of an order's value, part of the risk of a trade. `require_measures`: a limit
    whose measure nobody supplied counts as UNKNOWN instead of being left to the monitor.
    """

    bounds: dict[str, int] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)
    shown: dict[str, tuple[str, str]] = field(default_factory=dict)
    custom: tuple[CustomRule, ...] = ()
    hash: str = ""
    principles: tuple[tuple[str, str], ...] = ()
    max_price_age: int = 300 * MICROSECONDS
    max_state_age: int = 300 * MICROSECONDS
    invested: int = 5_000
    stop_deadline: int = 60 * MICROSECONDS
    fees: int = 0
    slippage: int = 0
    require_measures: bool = False

    def bound(self, key: str) -> int | None:
        return self.bounds.get(key)

    def flag(self, key: str) -> bool:
        """The flag; False where the constitution does not set it."""
        return self.flags.get(key, False)

    @cached_property
    def rungs(self) -> tuple[tuple[int, Ladder, str], ...]:
        """(drawdown in basis points, rung it leads to, key), lowest first. The kill rung only where the switch is enabled."""
        keys = [
            ("warn_drawdown_threshold", Ladder.warn),
            ("emergency_deleverage_threshold", Ladder.reduce),
            ("halt_trading_threshold", Ladder.no_new),
        ]
        if self.flags.get("kill_switch_enabled", True):
            keys.append(("kill_switch_drawdown", Ladder.killed))
        return tuple((self.bounds[key], rung, key) for key, rung in keys if key in self.bounds)


def compile_rules(constitution: Any, **settings: Any) -> Rules:
    """Compile a `Constitution`, or a mapping of keys (flat, or grouped) to values. `settings` override fields of `Rules`.

    Raises:
        ConstitutionError: unknown key, a value that does not fit its unit, a bound finer than a basis point.
    """
    if isinstance(constitution, Rules):
        return constitution
    limits, digest = _limits(constitution)
    places = getattr(constitution, "places", {})
    bounds: dict[str, int] = {}
    flags: dict[str, bool] = {}
    shown: dict[str, tuple[str, str]] = {}
    custom: list[CustomRule] = []
    for limit in limits:
        try:
            if limit.group == "custom":
                custom.append(compile_custom(limit))
            elif isinstance(limit.value, bool):
                flags[limit.key] = limit.value
            elif isinstance(limit.value, Decimal | Fraction) and limit.unit in PER_UNIT and limit.key not in KEPT_ELSEWHERE:
                bounds[limit.key] = _scaled(limit.key, limit.value, limit.unit)
        except ConstitutionError as error:
            place = f"{places[limit.key]}: " if limit.key in places else ""
            raise ConstitutionError(f"{place}{error.what}", mend=error.mend) from error
        shown[limit.key] = (_shown(limit.value), limit.unit)
    _fill_aliases(bounds, shown)
    principles = tuple((p.id, p.text or p.title) for p in getattr(constitution, "principles", ()))
    return Rules(bounds, flags, shown, tuple(custom), digest, principles, **settings)


def tightened_rules(rules: Rules, values: Mapping[str, str]) -> Rules:
    """The same rules with other values for some bounds (decimal text). Whether they are tighter is for the caller to check.

    Raises:
        ConstitutionError: no bound of these rules, or finer than a basis point.
    """
    bounds, shown = dict(rules.bounds), dict(rules.shown)
    for key, text in values.items():
        if key not in bounds or key not in KEYS:
            raise ConstitutionError(f"{key}: expected a bound that orders are judged by, got another key", mend="remove it")
        unit = KEYS[key].unit
        bounds[key], shown[key] = _scaled(key, _number(key, text), unit), (_shown(Decimal(text)), unit)
    found = replace(rules, bounds=bounds, shown=shown)
    levels = [level for level, _, _ in found.rungs]
    if levels != sorted(levels):
        raise ConstitutionError("the ladder's thresholds: expected them in order, got another", mend="change them together")
    return found


def _limits(constitution: Any) -> tuple[Iterable[Any], str]:
    if isinstance(constitution, Mapping):
        return [_limit(key, value) for key, value in _flat(constitution)], ""
    return constitution.limits, constitution.hash


def _flat(tree: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and "measure" not in value:
            yield from _flat(value)
        else:
            yield key, value


def _limit(key: str, value: Any) -> SimpleNamespace:
    if isinstance(value, Mapping):
        base = {"key": key, "unit": "count", "comparison": "<=", "severity": "high", "text": "", "group": "custom"}
        return SimpleNamespace(**{**base, **value, "value": _number(key, value["value"])})
    if key not in KEYS:
        raise ConstitutionError(f"{key}: expected a known limit, got this key", mend=nearest(key, tuple(KEYS)) or "remove it")
    exact = value if isinstance(value, bool) or KEYS[key].unit == "mode" or KEYS[key].shape != "scalar" else _number(key, value)
    return SimpleNamespace(key=key, value=exact, unit=KEYS[key].unit, group=KEYS[key].group)


def _number(key: str, value: Any) -> Decimal | Fraction:
    if isinstance(value, Decimal | Fraction):
        return value
    try:
        return Fraction(value) if "/" in str(value) else Decimal(str(value))
    except (InvalidOperation, ValueError, ZeroDivisionError) as error:
        raise ConstitutionError(f"{key}: expected a number, got {value!r}", mend="write a decimal number") from error


def _scaled(key: str, value: Decimal | Fraction, unit: str) -> int:
    scaled = Fraction(value) * PER_UNIT[unit]
    if scaled.denominator != 1:
        raise ConstitutionError(
            f"{key}: expected a whole number of basis points or units, got {_shown(value)}", mend="round it yourself"
        )
    return scaled.numerator


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, tuple | list):
        return ", ".join(_shown(item) for item in value)
    return str(value)


def _fill_aliases(bounds: dict[str, int], shown: dict[str, tuple[str, str]]) -> None:
    """`human_escalation_drawdown` and `kill_switch_drawdown` repeat other keys; a file may leave them out."""
    for name, key in KEYS.items():
        if key.alias_of and name not in bounds and key.alias_of in bounds:
            bounds[name], shown[name] = bounds[key.alias_of], shown[key.alias_of]
