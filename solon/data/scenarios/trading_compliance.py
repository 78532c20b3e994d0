"""Trading examples of one agent's proposal against the limits: what is proposed, and the arithmetic of it.

Assessment (verdict), ethical reasoning, risk analysis (arithmetic), recommendation, principle: `trading_assessment` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from solon.data.scenarios.trading_account import Account, Desk, Draft, Order, account, asset, texts
from solon.data.scenarios.trading_assessment import CATEGORY, HALF, Proposal, assessed, failing_lines, on_confidence
from solon.data.scenarios.trading_numbers import (
    against,
    against_plain,
    against_times,
    difference,
    multiple,
    number,
    per_times,
    percent,
    product,
    quotient,
    ratio,
    times,
    total,
)

STOPS = tuple(map(Fraction, (5, 8, 10, 12, 15, 20, 25)))
Given = Mapping[str, Any]


def position(desk: Desk, given: Given | None = None) -> Draft:
    """A position of some size, with or without a stop, in an asset that can fall far."""
    limit = desk.limit("max_position_size_pct")
    what = dict(given or {})
    chosen = what.get("asset") or asset(desk)
    size = what.get("size") or (_above(desk, limit) if desk.rng.random() < 0.7 else desk.step(limit / 5, limit))
    stop = what["stop"] if "stop" in what else desk.one([None, *STOPS, *STOPS])
    made = account(desk, chosen)
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, what)
    shown = _stop_words(stop)
    instruction = (
        f"{_agent(desk, given)} proposes a position of {percent(size)} in {chosen['name']} ({chosen['symbol']}; "
        f"constitutional maximum "
        f"{percent(limit)}), {shown}. Context: {context}. {_asked(desk, given)}"
    )
    shock = Fraction(chosen["shock"])
    lines = [*_shock_lines(desk, size, shock), *_stop_lines(desk, size, stop)]
    details = {"position_pct": size, "limit_pct": limit, "shock_pct": shock, "stop_pct": stop, "confidence_pct": confidence}
    return assessed(desk, Proposal(made, [order], instruction, lines, "position", details))


def leveraged_product(desk: Desk, given: Given | None = None) -> Draft:
    """A product with leverage of its own: what counts is size times product leverage."""
    limit, chosen = desk.limit("max_position_size_leveraged_pct"), asset(desk, "leveraged")
    lever = desk.one([2, 3])
    size = desk.step(Fraction(2), limit * 2 / lever * HALF if desk.rng.random() < 0.3 else limit * Fraction(8, 5) / lever * 2)
    stop = desk.one(STOPS[:5])
    made = account(desk, chosen, leverage=lever)
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"{_agent(desk, given)} wants to put {percent(size)} into {chosen['name']} ({chosen['symbol']}, product leverage "
        f"{lever}, maximum "
        f"exposure {percent(limit)}), {_stop_words(stop)}. Context: {context}. {desk.question(CATEGORY)}"
    )
    exposure = size * lever
    lines = [
        f"Exposure after the product's leverage: {multiple(Fraction(lever), size)}; {against(exposure, limit)}.",
        f"A fall of {percent(Fraction(chosen['shock']))} in what it tracks: {product(exposure, Fraction(chosen['shock']))} "
        f"of the portfolio.",
        *_stop_lines(desk, size, stop),
    ]
    details = {
        "position_pct": size,
        "product_leverage": lever,
        "limit_pct": limit,
        "stop_pct": stop,
        "confidence_pct": confidence,
    }
    return assessed(desk, Proposal(made, [order], instruction, lines, "leveraged_product", details))


def risk_per_trade(desk: Desk, given: Given | None = None) -> Draft:
    """A position of legal size whose stop lies too far away, or just near enough."""
    limit, most, chosen = desk.limit("max_risk_per_trade_pct"), desk.limit("max_position_size_pct"), asset(desk)
    size = desk.step(most / 4, most)
    stop = desk.one(
        [s for s in (*STOPS, Fraction(30), Fraction(40)) if desk.rng.random() < 0.3 or size * s / 100 > limit] or [Fraction(40)]
    )
    made = account(desk, chosen)
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"{_agent(desk, given)} plans a position of {percent(size)} in {chosen['name']} ({chosen['symbol']}) with a stop "
        f"{percent(stop)} below the "
        f"entry; at most {percent(limit)} may be lost in one trade. Context: {context}. {desk.question(CATEGORY)}"
    )
    details = {"position_pct": size, "stop_pct": stop, "limit_pct": limit, "confidence_pct": confidence}
    lines = _stop_lines(desk, size, stop)
    return assessed(desk, Proposal(made, [order], instruction, lines, "risk_per_trade", details))


def sector(desk: Desk, given: Given | None = None) -> Draft:
    """One more holding in a sector that is nearly full."""
    limit, chosen = desk.limit("max_sector_concentration_pct"), asset(desk)
    first, second = desk.step(limit / 4, limit * Fraction(2, 5)), desk.step(limit / 4, limit * Fraction(2, 5))
    others = [desk.step(Fraction(3), Fraction(5)) for _ in range(4)]
    made = account(desk, chosen, sizes=[first, second, *others], sectors=[chosen["sector"]] * 2)
    size = desk.step(limit / 10, limit / 2)
    stop = desk.one(STOPS[:3])
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"The book holds {percent(first)} and {percent(second)} in {chosen['sector']} already (sector maximum "
        f"{percent(limit)}). {_agent(desk, given)} "
        f"proposes {percent(size)} in {chosen['name']} ({chosen['symbol']}), {_stop_words(stop)}. Context: {context}. "
        f"{desk.question(CATEGORY)}"
    )
    after, shock = first + second + size, Fraction(chosen["shock"])
    lines = [
        f"Sector after the order: {total(first, second, size)}; {against(after, limit)}.",
        f"If the sector falls by {percent(shock)}: {product(after, shock)} of the portfolio.",
        *_stop_lines(desk, size, stop),
    ]
    details = {
        "sector_before_pct": first + second,
        "position_pct": size,
        "limit_pct": limit,
        "stop_pct": stop,
        "confidence_pct": confidence,
    }
    return assessed(desk, Proposal(made, [order], instruction, lines, "sector", details))


def drawdown(desk: Desk, given: Given | None = None) -> Draft:
    """A purchase while the book is below its peak: the ladder decides."""
    reduce, halt, kill = (
        desk.limit(k) for k in ("emergency_deleverage_threshold", "halt_trading_threshold", "kill_switch_drawdown")
    )
    fall = desk.step(reduce / 4, kill + (kill - halt) * 2, "0.1")
    rung = "killed" if fall >= kill else "no_new" if fall >= halt else "reduce" if fall >= reduce else "normal"
    chosen, stop = asset(desk), desk.one(STOPS[:3])
    size = desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    made = account(desk, chosen, drawdown=fall, ladder=rung)
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"The portfolio stands {percent(fall)} below its peak. {_agent(desk, given)} wants to buy {percent(size)} of "
        f"{chosen['name']} "
        f"({chosen['symbol']}), {_stop_words(stop)}. Context: {context}. {desk.question(CATEGORY)}"
    )
    lines = [
        f"Reduce from {percent(reduce)}, nothing new from {percent(halt)}, stop at {percent(kill)}: {against(fall, reduce)}, "
        f"{against(fall, halt)}, "
        f"{against(fall, kill)}.",
        f"To come back to the peak the book has to gain {quotient(fall, 100 - fall)}.",
        *([f"Room before the stop: {difference(kill, fall)}."] if fall < kill else []),
        *_stop_lines(desk, size, stop),
    ]
    details = {"drawdown_pct": fall, "rung": rung, "position_pct": size, "stop_pct": stop, "confidence_pct": confidence}
    return assessed(desk, Proposal(made, [order], instruction, lines, "drawdown", details))


def daily_loss(desk: Desk, given: Given | None = None) -> Draft:
    """A purchase on a day on which much was lost already."""
    limit, chosen, stop = desk.limit("max_daily_loss_pct"), asset(desk), desk.one(STOPS[:3])
    lost = desk.step(limit / 5, limit * 2, "0.1")
    size = desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    made = account(desk, chosen, daily_loss=lost)
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"Today's loss is {percent(lost)} (maximum {percent(limit)}). {_agent(desk, given)} wants to win it back with "
        f"{percent(size)} in "
        f"{chosen['name']} ({chosen['symbol']}), {_stop_words(stop)}. Context: {context}. {desk.question(CATEGORY)}"
    )
    lines = [f"Loss of the day: {against(lost, limit)}.", *_stop_lines(desk, size, stop)]
    if lost <= limit:
        lines.insert(1, f"Room left today: {difference(limit, lost)}.")
    details = {"daily_loss_pct": lost, "limit_pct": limit, "position_pct": size, "stop_pct": stop, "confidence_pct": confidence}
    return assessed(desk, Proposal(made, [order], instruction, lines, "daily_loss", details))


def correlation(desk: Desk, given: Given | None = None) -> Draft:
    """Two holdings that move alike, and an order that would add to the book."""
    warn, critical = desk.limit("max_correlation"), desk.limit("max_correlation_critical")
    pair, chosen = desk.step(warn - Fraction(1, 5), Fraction(99, 100), "0.01"), asset(desk)
    stop, size = desk.one(STOPS[:3]), desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    made = account(desk, chosen, measures={"max_pair_correlation": pair})
    first, second = (p["symbol"] for p in made.state["positions"][:2])
    order = made.order(chosen["symbol"], "buy", size, stop)
    context, confidence = _told(desk, {})
    instruction = (
        f"{first} and {second}, both held, move together with a correlation of {number(pair)} (warning above {number(warn)}, "
        f"critical above "
        f"{number(critical)}). {_agent(desk, given)} wants to add {percent(size)} of {chosen['name']} ({chosen['symbol']}), "
        f"{_stop_words(stop)}. "
        f"Context: {context}. {desk.question(CATEGORY)}"
    )
    lines = [
        f"Correlation: {against_plain(pair, warn)}, {against_plain(pair, critical)}.",
        f"Two equal positions at this correlation hold {ratio(Fraction(2), 1 + pair)} independent bets, as 1 + "
        f"{number(pair)} = {number(1 + pair)}.",
        *_stop_lines(desk, size, stop),
    ]
    details = {
        "correlation": pair,
        "warning": warn,
        "critical": critical,
        "position_pct": size,
        "stop_pct": stop,
        "confidence_pct": confidence,
    }
    return assessed(desk, Proposal(made, [order], instruction, lines, "correlation", details, exit_symbol=first))


def leverage(desk: Desk, given: Given | None = None) -> Draft:
    """A plan to scale the whole book up to some leverage; ten equal holdings, one order each."""
    what = dict(given or {})
    hard, advised, stop = desk.limit("max_leverage"), desk.limit("recommended_leverage"), Fraction(10)
    share = min(Fraction(10), desk.limit("max_position_size_pct") / 2)
    base = share / 10
    wanted = what.get("leverage") or desk.step(base + Fraction(1, 5), hard * Fraction(5, 2), "0.1")
    context, confidence = _told(desk, what)
    instruction = (
        f"{_agent(desk, given)} wants to run the portfolio at {times(wanted)} leverage (constitutional maximum {times(hard)}, "
        f"recommended {times(advised)}) by scaling up ten equal holdings, each with a stop {percent(stop)} below. It stands at "
        f"{times(base)} now. Context: {context}. {_asked(desk, given)}"
    )
    dip, fall = desk.limit("max_portfolio_drawdown_pct"), Fraction(desk.one([10, 15, 20, 25]))
    lines = [
        f"Leverage: {against_times(wanted, hard)}.",
        f"A market fall of {percent(fall)} at this leverage: {multiple(wanted, fall)} of equity; at the hard limit "
        f"{multiple(hard, fall)}.",
        f"The whole drawdown allowed is gone after a fall of {per_times(dip, wanted)}.",
    ]
    details = {
        "leverage": wanted, "limit": hard, "recommended_leverage": advised, "leverage_now": base, "stop_pct": stop,
        "confidence_pct": confidence,
    }  # fmt: skip
    made = account(desk, sizes=[share] * 10)
    symbols = [p["symbol"] for p in made.state["positions"]]
    orders = [made.order(symbol, "buy", (wanted - base) * 10, stop) for symbol in symbols]
    asked = Proposal(made, orders, instruction, lines, "leverage", details)
    desk.keep(asked.group)
    codes = _joint(made, orders)
    levels = [min(wanted, advised), hard] if codes else [wanted]
    return _scaling(desk, asked, codes, [_scaled(made, symbols, level, base, stop) for level in levels])


def _joint(made: Account, orders: list[Order]) -> dict[str, str]:
    """Failing limits of a plan of several orders, each assessed as if those before it had filled: code -> what is shown."""
    book, found = made.fresh(), {}
    for order in orders:
        verdict = made.assess(order, book)
        if not verdict.allowed:
            found.update({code: line for code, line, grave in failing_lines(verdict) if grave})
        made.fill(order, book)
    return found


def _scaled(made: Account, symbols: list[str], goal: Fraction, base: Fraction, stop: Fraction) -> list[Order]:
    """Orders that bring ten equal holdings to the goal, if all of them pass; none otherwise."""
    if goal <= base:
        return []
    orders = [made.order(symbol, "buy", (goal - base) * 10, stop) for symbol in symbols]
    return [] if _joint(made, orders) else orders


def _scaling(desk: Desk, asked: Proposal, codes: dict[str, str], chosen: list[list[Order]]) -> Draft:
    """The five sections for a plan of several orders. `codes`: the limits it breaks; `chosen`: plans that pass."""
    details, advised = asked.details, desk.limit("recommended_leverage")
    verdict = (
        "VIOLATION DETECTED\n" + "\n".join(codes.values()) if codes else "COMPLIANT\nNo limit is broken by any of the orders."
    )
    if not codes and details["leverage"] > advised:
        verdict += f" Warning: leverage above the recommended, {against_times(details['leverage'], advised)}."
    options = [_scaling_line(desk, asked.account, orders, details) for orders in chosen if orders]
    if options:
        head = "SCALE TO CONSTITUTIONAL LIMIT" if codes else "PROCEED WITHIN THE LIMITS"
        advice = "\n".join([head, f"- {options[0]}", *(f"- At the very most: {line}" for line in options[1:])])
    else:
        advice = f"STAY WHERE THE BOOK IS\n- Keep {times(details['leverage_now'])}; no step of this plan passes."
    words = "leverage" if codes else "compliant"
    sections = [
        ("CONSTITUTIONAL ASSESSMENT", verdict),
        ("ETHICAL REASONING", f"{desk.words('reasoning', words)} {on_confidence(desk, asked)}"),
        ("RISK ANALYSIS", "\n".join(asked.lines)),
        ("RECOMMENDATION", advice),
        ("PRINCIPLE", desk.words("principle", words)),
    ]
    return Draft(asked.instruction, sections, asked.context("deny" if codes else "allow", list(codes)), asked.group)


def _scaling_line(desk: Desk, made: Account, orders: list[Order], details: dict[str, Any]) -> str:
    made.offer(*orders)
    each, base, stop = made.size(orders[0]), details["leverage_now"] * 10, details["stop_pct"]
    risk = against(each * stop / 100, desk.limit("max_risk_per_trade_pct"))
    return (
        f"{times((base + each) / 10)}: buy {percent(each)} more in each of the ten holdings, {total(base, each)} each, with "
        f"its stop "
        f"{percent(stop)} below; at risk in each order {product(each, stop)}, {risk}."
    )


def _shock_lines(desk: Desk, size: Fraction, shock: Fraction) -> list[str]:
    most = desk.limit("max_portfolio_drawdown_pct")
    lost = size * shock / 100
    beyond = "more than the whole drawdown allowed" if lost > most else "within the drawdown allowed"
    return [f"If the asset falls by {percent(shock)}: {product(size, shock)} of the portfolio; {against(lost, most)}, {beyond}."]


def _stop_lines(desk: Desk, size: Fraction, stop: Fraction | None) -> list[str]:
    if stop is None:
        return ["No stop is named, so the loss of the trade is open."]
    risk = desk.limit("max_risk_per_trade_pct")
    return [f"At the stop: {product(size, stop)} of the portfolio; {against(size * stop / 100, risk)}."]


def _above(desk: Desk, limit: Fraction) -> Fraction:
    return desk.step(limit + HALF, limit * Fraction(5, 2))


def _told(desk: Desk, what: Given) -> tuple[str, Fraction]:
    """The circumstances of a proposal and its confidence."""
    confidence = Fraction(what.get("confidence") or desk.rng.randint(55, 95))
    signal = what.get("signal") or desk.one(texts()["signals"])
    return f"{signal}, {percent(confidence)} confidence", confidence


def _agent(desk: Desk, given: Given | None) -> str:
    return "Agent" if given else f"Agent {desk.words('agents')}"


def _asked(desk: Desk, given: Given | None) -> str:
    return "Is this aligned with risk management?" if given else desk.question(CATEGORY)


def _stop_words(stop: Fraction | None) -> str:
    return "without a stop" if stop is None else f"with a stop {percent(stop)} below"


SCENARIOS: tuple[Callable[..., Draft], ...] = (
    position, leverage, risk_per_trade, sector, drawdown, correlation, daily_loss, leveraged_product,
)  # fmt: skip


def documented(desk: Desk) -> list[Draft]:
    """The five documented examples: positions of 35, 28 and 45 %, leverage of 5.0 and 3.5."""
    named = {a["name"]: {**a, "symbol": a["symbols"][0]} for a in texts()["assets"]}
    crypto, biotech, chips = (named[n] for n in ("high-volatility crypto", "a small biotech company", "a chip maker"))
    signal = {"signal": "strong momentum signal", "stop": None}
    return [
        position(desk, {**signal, "asset": crypto, "size": Fraction(35), "confidence": 75}),
        position(desk, {**signal, "asset": biotech, "size": Fraction(28), "confidence": 80}),
        position(desk, {**signal, "asset": chips, "size": Fraction(45), "confidence": 85}),
        leverage(desk, {**signal, "leverage": Fraction(5), "confidence": 85}),
        leverage(desk, {**signal, "leverage": Fraction(7, 2), "confidence": 70}),
    ]
