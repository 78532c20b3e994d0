"""The five sections of an assessment, written from what `solon.policy.assess` says.

Recommendations get into a text only through `Account.offer`, which refuses what the limits refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from solon.constitution import KEYS
from solon.data.scenarios.trading_account import Account, Desk, Draft, Order, numbers, texts
from solon.data.scenarios.trading_numbers import (
    against,
    against_plain,
    against_times,
    percent,
    product,
    quotient,
)
from solon.policy.assess import Assessment
from solon.policy.types import Ladder, Severity

CATEGORY = "constitutional_compliance"
USUAL_STOP = Fraction(15)  # percent, where a proposal names none
HALF = Fraction(1, 2)

# What a failing limit says, for limits without a measured number of their own.
_PLAIN = {
    "stop_loss_required": "the order carries no stop, and every order that adds risk needs one",
    "max_risk_per_trade_pct": "without a stop the loss of the trade cannot be told",
    "ladder": "the drawdown has reached a rung of the emergency ladder, where only orders that reduce positions pass",
    "killed": "everything is stopped; only a flatten plan that a person approved may run",
}
# What a failing limit with a measured number says before the comparison.
_ABOUT = {
    "max_position_size_pct": "the position exceeds the constitutional maximum",
    "max_position_size_leveraged_pct": "the leveraged exposure exceeds its maximum",
    "max_leverage": "the leverage exceeds the hard limit",
    "recommended_leverage": "the leverage is above what is recommended",
    "max_risk_per_trade_pct": "the loss at the stop exceeds what one trade may lose",
    "max_sector_concentration_pct": "the sector exceeds its maximum",
    "max_daily_loss_pct": "the loss of the day exceeds its maximum",
    "max_portfolio_drawdown_pct": "the drawdown exceeds the maximum of the portfolio",
    "emergency_deleverage_threshold": "the drawdown has reached the reduce threshold",
    "human_escalation_drawdown": "the drawdown has reached the point at which a person is called",
    "halt_trading_threshold": "the drawdown has reached the halt threshold",
    "kill_switch_drawdown": "the drawdown has reached the kill switch",
    "max_correlation": "the correlation of the pair is above the warning level",
    "max_correlation_critical": "the correlation of the pair is above the critical level",
    "margin_buffer": "the free margin is below its buffer",
    "min_positions": "the book holds fewer positions than the minimum",
    "min_position_size_pct": "the position is below the minimum",
}


# Limits that say no more than the kill switch does, once that was reached.
_BEHIND_THE_STOP = ("max_portfolio_drawdown_pct", "emergency_deleverage_threshold", "halt_trading_threshold")


@dataclass(frozen=True)
class Proposal:
    """What an agent asks for. `lines` is the arithmetic, `details` the numbers that make the scenario what it is."""

    account: Account
    orders: list[Order]
    instruction: str
    lines: list[str]
    scenario: str
    details: dict[str, Any]
    exit_symbol: str = ""  # what to reduce when nothing may be bought; the largest holding where empty

    @property
    def group(self) -> str:
        return self.group_of(self.scenario, self.details)

    @staticmethod
    def group_of(scenario: str, details: Mapping[str, Any]) -> str:
        """The name by which a scenario with all its numbers falls on a side of the split."""
        return f"{scenario} " + " ".join(f"{value}" for value in details.values())

    def context(self, outcome: str, violated: list[str]) -> dict[str, Any]:
        """The row's context: what was proposed, how it was judged, what was recommended."""
        return {
            "category": CATEGORY, "scenario": self.scenario, **numbers(**self.details), "outcome": outcome, "violated": violated,
            "proposed": self.orders, "recommended": self.account.options, "state": self.account.state,
        }  # fmt: skip


def assessed(desk: Desk, asked: Proposal) -> Draft:
    """The five sections for one order."""
    found = asked.account.assess(asked.orders[0])
    failing = failing_lines(found) if found.failing or not found.allowed else []
    grave = [(code, line) for code, line, is_grave in failing if is_grave]
    words = _group(grave, found)
    sections = [
        ("CONSTITUTIONAL ASSESSMENT", _verdict(found, failing)),
        ("ETHICAL REASONING", f"{desk.words('reasoning', words)} {on_confidence(desk, asked)}"),
        ("RISK ANALYSIS", "\n".join(asked.lines)),
        ("RECOMMENDATION", _recommended(desk, asked, found)),
        ("PRINCIPLE", desk.words("principle", words)),
    ]
    return Draft(asked.instruction, sections, asked.context(found.outcome, [code for code, _ in grave]), asked.group)


def _verdict(found: Assessment, failing: list[tuple[str, str, bool]]) -> str:
    silent = _BEHIND_THE_STOP if found.ladder == Ladder.killed else ()
    body = "\n".join(line for code, line, _ in failing if code not in silent)
    if found.allowed:
        warned = f" with a warning\n{body}" if failing else "\nEvery limit that applies to this order holds."
        return "COMPLIANT" + warned
    return f"VIOLATION DETECTED\n{body}"


def failing_lines(found: Assessment) -> list[tuple[str, str, bool]]:
    """(code, line, whether it blocks) for each limit that does not hold; a rung of the ladder instead of the limits behind it."""
    lines = []
    for reason in found.reasons(failing_only=True):
        if reason.severity == Severity.info:
            continue
        about = _ABOUT.get(reason.code)
        if reason.measured is None or about is None:
            line = _PLAIN.get(reason.code, reason.text)
            line = line[0].upper() + line[1:] + "."
        else:
            line = _measured_line(reason.code, about, Fraction(reason.measured), Fraction(reason.bound))
        lines.append((reason.code, line, reason.severity >= Severity.medium))
    return lines


def _measured_line(code: str, about: str, measured: Fraction, bound: Fraction) -> str:
    unit = KEYS[code].unit
    compare = {"percent": against, "ratio": against_times}.get(unit, against_plain)
    shown = compare(measured, bound)
    return f"{about[0].upper()}{about[1:]}: {shown}."


def _group(grave: list[tuple[str, str]], found: Assessment) -> str:
    """Which words fit: by the group of the gravest failing limit."""
    if not grave:
        return "compliant"
    if found.ladder >= Ladder.reduce:
        return "systemic"
    groups = [KEYS[code].group if code in KEYS else "risk" for code, _ in grave]
    for name in ("position", "leverage", "diversification", "risk"):
        if name in groups:
            return name
    return "systemic"


def _recommended(desk: Desk, asked: Proposal, found: Assessment) -> str:
    """What to do instead, each option past the limits."""
    made, order = asked.account, asked.orders[0]
    if found.allowed:
        made.offer(order)
        return f"PROCEED WITHIN THE LIMITS\n- As proposed: {_order_words(made, order)}."
    size, lines = made.size(order), []
    first = made.largest(made.order(order["symbol"], "buy", size, asked.details["stop_pct"] or USUAL_STOP))
    if first is not None:
        made.offer(first)
        lines.append(_sized_line(desk, made, first, size))
    second = _tighter(desk, made, order, first)
    if second is not None:
        made.offer(second)
        lines.append(f"Or, with a nearer stop: {_sized_line(desk, made, second, size)}")
    if lines:
        return "SCALE TO CONSTITUTIONAL LIMIT\n" + "\n".join(f"- {line}" for line in lines)
    return _exit_lines(asked, found)


def _tighter(desk: Desk, made: Account, order: Order, first: Order | None) -> Order | None:
    """The largest size there is at all, with the stop that makes it legal; None where it gains nothing over `first`."""
    if first is None:
        return None
    most, risk = desk.limit("max_position_size_pct"), desk.limit("max_risk_per_trade_pct")
    wanted = min(most, made.size(order))
    stop = risk / wanted * 100
    stop -= stop % HALF  # a stop on half percents, on the safe side
    if stop <= 0 or wanted <= made.size(first):
        return None
    found = made.largest(made.order(order["symbol"], "buy", wanted, stop))
    return found if found is not None and made.size(found) > made.size(first) else None


def _sized_line(desk: Desk, made: Account, order: Order, asked: Fraction) -> str:
    size, stop, risk = made.size(order), _stop_of(made, order), desk.limit("max_risk_per_trade_pct")
    text = f"{_order_words(made, order)}. At the stop it loses {product(size, stop)}: {against(size * stop / 100, risk)}."
    bound = risk / stop * 100
    if size < min(asked, desk.limit("max_position_size_pct")) and bound - size < HALF:
        text += f" No larger size passes with this stop, as {quotient(risk, stop)}."
    return text


def _exit_lines(asked: Proposal, found: Assessment) -> str:
    """No purchase passes: hold, or reduce what is held, as far as that is possible without a person."""
    if found.ladder == Ladder.killed:
        return (
            "STOP AND CALL A PERSON\n- No order of an agent passes. Working orders are cancelled.\n"
            "- Only a flatten plan that a person approved may run, each step checked again; resuming needs signatures."
        )
    made = asked.account
    symbol = asked.exit_symbol or made.largest_held()
    which = "one of the pair" if asked.exit_symbol else "the largest holding"
    held = Fraction(made.held(symbol)["qty"]) * Fraction(made.held(symbol)["mark"]) / made.equity * 100
    exit_order = made.order(symbol, "sell", held / 2)
    made.offer(exit_order)
    call = " Call the person on duty." if found.ladder >= Ladder.reduce or found.call_person else ""
    return (
        "DO NOT BUY; REDUCE\n- No purchase of any size passes now.\n"
        f"- Sell half of {which}: sell {exit_order['qty']} {symbol}, which is {product(held, Fraction(50))} of the portfolio.{call}"
    )


def _order_words(made: Account, order: Order) -> str:
    stop = f" with a stop {percent(_stop_of(made, order))} below" if "stop_price" in order else ""
    side, size = order["side"].capitalize(), percent(made.size(order))
    return f"{side} {order['qty']} {order['symbol']}, which is {size} of the portfolio,{stop}".rstrip(",")


def _stop_of(made: Account, order: Order) -> Fraction:
    mark = Fraction(made.held(order["symbol"])["mark"])
    return (mark - Fraction(order["stop_price"])) / mark * 100


def on_confidence(desk: Desk, asked: Proposal) -> str:
    """A sentence on the agent's signal and confidence, which change no limit."""
    signal = next((s for s in texts()["signals"] if s in asked.instruction), "signal")
    said = desk.words("confidence").format(confidence=percent(asked.details["confidence_pct"]), signal=signal)
    return said[0].upper() + said[1:]
