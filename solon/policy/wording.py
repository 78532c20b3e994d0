"""Findings and sums in words, for reasons and for the five sections of an assessment."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from solon.policy.book import ATTO, UNIT
from solon.policy.custom import CustomRule
from solon.policy.limits import BREACH, OK, UNKNOWN, Check, Finding, shown
from solon.policy.rules import PER_UNIT, Rules
from solon.policy.trade import Trade
from solon.policy.types import Reason, Status

STATUS: tuple[Status, ...] = ("ok", "breach", "unknown")
UPWARD = {"min_position_size_pct", "margin_buffer", "min_positions"}  # measured rounds down, against the agent


def reason(check: Check, finding: Finding, rules: Rules, trade: Trade) -> Reason:
    """One finding in words."""
    status, numerator, denominator = finding
    key = check.key
    text, unit = rules.shown[key]
    begin, suffix, end = _words(key, check.about, text, unit, status)
    measured = _measured(key, numerator, denominator, unit) if denominator else None
    if status == UNKNOWN:
        message = f"{begin}cannot be told ({trade.why_blind or _missing(key)}){end}"
    elif measured is None:
        message = f"{begin}{_plain_state(key, status)}{end}"
    else:
        message = f"{begin}{measured}{suffix}{end}"
    if status != OK and trade.reducing:
        message += " (not applied: the order only reduces)"
    return Reason(key, key, measured, text, unit, STATUS[status], message, check.severity)


@lru_cache(maxsize=1024)
def _words(key: str, about: str, text: str, unit: str, status: int) -> tuple[str, str, str]:
    """What every reason of a limit shares: its beginning, the unit's suffix, its end."""
    suffix = {"percent": " %", "ratio": " x", "seconds": " s"}.get(unit, "")
    word = "" if status == UNKNOWN else ": holds" if status == OK else ": fires" if _is_trigger(key) else ": violated"
    return f"{key}: {about}: ", suffix, f"; limit {text}{suffix}{word}"


def _measured(key: str, numerator: int, denominator: int, unit: str) -> str:
    if unit == "seconds":
        return str(numerator * PER_UNIT["seconds"] // denominator // PER_UNIT["seconds"])
    return shown(numerator, denominator, "ratio" if unit == "flag" else unit, up=key not in UPWARD)


def _is_trigger(key: str) -> bool:
    return key.endswith(("_threshold", "_multiplier", "_detection")) or "kill" in key or key == "human_escalation_drawdown"


def _plain_state(key: str, status: int) -> str:
    if key in ("stop_loss_required", "max_risk_per_trade_pct") and status == BREACH:
        return "there is none, or it lies on the wrong side of the entry"
    return "not applicable or as it should be" if status == OK else "undefined, as no equity is left"


def _missing(key: str) -> str:
    return {
        "max_risk_per_trade_pct": "the order carries no stop price",
        "margin_buffer": "the state carries no maintenance margin",
        "max_daily_loss_pct": "the state carries no equity of the day's open",
        "max_position_size_leveraged_pct": "the product's leverage is not known",
    }.get(key, "the state does not carry what is measured, or only null")


def custom_reason(rule: CustomRule, measured: Fraction | None) -> Reason:
    """One limit of the user's own in words; `measured` None is UNKNOWN."""
    status: Status = "unknown" if measured is None else "ok" if rule.holds(measured) else "breach"
    value = None if measured is None else _fraction_text(measured, up=rule.comparison in ("<=", "<"))
    note = f" ({rule.text})" if rule.text else ""
    written = rule.measure + (f"({rule.argument})" if rule.argument else "")
    must = f"must be {rule.comparison} {_fraction_text(rule.bound)}"
    message = f"{rule.key}: {written} = {value or 'cannot be told'}; {must}{note}: {status}"
    return Reason(rule.key, rule.key, value, _fraction_text(rule.bound), rule.unit, status, message, rule.severity)


def _fraction_text(value: Fraction, up: bool = True) -> str:
    """Decimal text with at most six places, rounded against the agent: up for a maximum, down for a minimum."""
    exact = value.numerator * 10**6
    millionths = -(-exact // value.denominator) if up else exact // value.denominator
    return format(Decimal(millionths).scaleb(-6).normalize(), "f")


def quantity_text(amount: int) -> str:
    """A quantity of 1e-18 as decimal text."""
    text = f"{amount // ATTO}.{amount % ATTO:018d}".rstrip("0").rstrip(".")
    return text or "0"


def arithmetic(trade: Trade) -> tuple[str, ...]:
    """Equity, exposure, what a fall of half costs, what the stop costs."""
    if trade.blind or trade.equity is None or trade.line is None or trade.value is None:
        return (f"Not computed: {trade.why_blind or 'values are missing'}.",)
    equity, line = trade.equity, trade.line
    slip = shown(trade.working_slip + trade.slip, ATTO, "money", up=True)
    factor = Decimal(line.factor or 0).scaleb(-36).normalize()
    sums = (
        f"cash {_money(trade.cash)} + holdings {_money(trade.holdings)} - bad fills {slip} = {_money(equity)}",
        f"{quantity_text(trade.qty)} x {quantity_text(trade.price)} x multiplier and fx {factor:f}",
    )
    lines = [f"Equity: {sums[0]}.", f"Order: {sums[1]} = {shown(trade.value, ATTO, 'money', up=True)}."]
    if equity > 0:
        lines += _shares(trade, equity)
    return tuple(lines)


def _shares(trade: Trade, equity: int) -> list[str]:
    line = trade.line
    assert line is not None
    percent, half = (shown(trade.issuer_after, part * equity, "percent", up=True) for part in (1, 2))
    gross, net = (shown(amount, equity, "ratio", up=True) for amount in (trade.gross_after, trade.net_after))
    exposure = shown(trade.issuer_after, ATTO, "money", up=True)
    lines = [
        f"Exposure to {line.issuer} after it, worst case: {exposure} / equity = {percent} %.",
        f"If that halves: {percent} % x 50 % = {half} % of equity lost.",
        f"Leverage after it: gross {gross} x, net {net} x.",
    ]
    if trade.stop is not None and not trade.reducing:
        loss = abs(trade.entry - trade.stop) * trade.qty * (line.factor or 0)
        risk, gap = (shown(times * loss, equity * UNIT, "percent", up=True) for times in (1, 2))
        lines.append(
            f"At the stop {quantity_text(trade.stop)}: {risk} % of equity lost; {gap} % if the price gaps to twice that distance."
        )
    return lines


def _money(amount: int) -> str:
    return shown(amount, ATTO, "money", up=False)
