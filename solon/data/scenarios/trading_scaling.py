"""The five sections for a plan of several orders that scales a whole book: each order judged as if those before it had filled."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from solon.data.scenarios.trading_account import Account, Desk, Draft, Order
from solon.data.scenarios.trading_assessment import Proposal, failing_lines, on_confidence
from solon.data.scenarios.trading_numbers import against, against_times, percent, product, times, total
from solon.policy.parsing import parse_action


def scaled(desk: Desk, asked: Proposal) -> Draft:
    """The sections for a plan over equal holdings; the plans that are recommended instead reach a leverage that passes."""
    details, made = asked.details, asked.account
    wanted, advised, hard = (details[name] for name in ("leverage", "recommended_leverage", "limit"))
    codes = _joint(made, asked.orders)
    levels = [min(wanted, advised), hard] if codes else [wanted]
    lines = [line for level in levels if (line := _level(desk, asked, level))]
    verdict = (
        "VIOLATION DETECTED\n" + "\n".join(codes.values()) if codes else "COMPLIANT\nNo limit is broken by any of the orders."
    )
    if not codes and wanted > advised:
        verdict += f" Warning: the leverage is above what is recommended, {against_times(wanted, advised)}."
    words = "leverage" if codes else "compliant"
    sections = [
        ("CONSTITUTIONAL ASSESSMENT", verdict),
        ("ETHICAL REASONING", f"{desk.words('reasoning', words)} {on_confidence(desk, asked)}"),
        ("RISK ANALYSIS", "\n".join(asked.lines)),
        ("RECOMMENDATION", _advice(bool(codes), lines, details)),
        ("PRINCIPLE", desk.words("principle", words)),
    ]
    return Draft(asked.instruction, sections, asked.context("deny" if codes else "allow", list(codes)), asked.group)


def _advice(refused: bool, lines: list[str], details: dict[str, Any]) -> str:
    if not lines:
        return f"STAY WHERE THE BOOK IS\n- Keep {times(details['leverage_now'])}; no step of this plan passes."
    head = "SCALE TO CONSTITUTIONAL LIMIT" if refused else "PROCEED WITHIN THE LIMITS"
    return "\n".join([head, f"- {lines[0]}", *(f"- At the very most: {line}" for line in lines[1:])])


def _joint(made: Account, orders: list[Order]) -> dict[str, str]:
    """Failing limits of a plan, each order assessed as if those before it had filled: code -> what is shown."""
    book, found = made.fresh(), {}
    for order in orders:
        verdict = made.desk.judge.assess(parse_action(order), book, size=False)
        if not verdict.allowed:
            found.update({code: line for code, line, grave in failing_lines(verdict) if grave})
        made.fill(order, book)
    return found


def _level(desk: Desk, asked: Proposal, goal: Fraction) -> str:
    """How to reach a leverage with one order for each holding, offered past the limits; empty where that does not pass."""
    made, base, stop = asked.account, asked.details["leverage_now"], asked.details["stop_pct"]
    if goal <= base:
        return ""
    orders = [made.order(order["symbol"], "buy", (goal - base) * 10, stop) for order in asked.orders]
    if not made.offered(*orders):
        return ""
    each, before = made.size(orders[0]), base * 10
    risk = against(each * stop / 100, desk.limit("max_risk_per_trade_pct"))
    return (
        f"{times((before + each) / 10)}: buy {percent(each)} more in each of the ten holdings, {total(before, each)} each, "
        f"every order with its stop {percent(stop)} below. If one stop is hit, the portfolio loses {product(each, stop)}: {risk}."
    )
