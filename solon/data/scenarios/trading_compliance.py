"""Trading examples of one agent's proposal against the limits: what is proposed, and the arithmetic of it.

Assessment (verdict), ethical reasoning, risk analysis (arithmetic), recommendation, principle: `trading_assessment` writes them,
`trading_scaling` for plans of several orders. The words of the instructions stand in `trading_texts.yaml` under `told`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from solon.data.scenarios.trading_account import Desk, Draft, account, asset, texts
from solon.data.scenarios.trading_assessment import CATEGORY, HALF, Proposal, assessed
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
    with_article,
)
from solon.data.scenarios.trading_scaling import scaled

STOPS = tuple(map(Fraction, (5, 8, 10, 12, 15, 20, 25)))
Given = Mapping[str, Any]


def position(desk: Desk, given: Given | None = None) -> Draft:
    """A position of some size, with or without a stop, in an asset that can fall far."""
    limit, what = desk.limit("max_position_size_pct"), dict(given or {})
    chosen = what.get("asset") or asset(desk)
    size = what.get("size") or (_above(desk, limit) if desk.rng.random() < 0.7 else desk.step(limit / 5, limit))
    stop = what["stop"] if "stop" in what else desk.one([None, *STOPS, *STOPS])
    shock, confidence = Fraction(chosen["shock"]), _confidence(desk, what)
    details = {"position_pct": size, "limit_pct": limit, "shock_pct": shock, "stop_pct": stop, "confidence_pct": confidence}
    told = {"size": percent(size), "a_size": with_article(percent(size)), "limit": percent(limit), "stop": _stop_words(stop)}
    asked = _asked(desk, "position", details, told | _named(chosen), what)
    made = account(desk, chosen)
    order = made.order(chosen["symbol"], "buy", size, stop)
    lines = [*_shock_lines(desk, size, shock), *_stop_lines(desk, size, stop)]
    return assessed(desk, Proposal(made, [order], asked, lines, "position", details))


def leveraged_product(desk: Desk) -> Draft:
    """A product with leverage of its own: what counts is size times product leverage."""
    limit, chosen = desk.limit("max_position_size_leveraged_pct"), asset(desk, "leveraged")
    lever = desk.one([2, 3])
    size = desk.step(Fraction(2), limit * 2 / lever * HALF if desk.rng.random() < 0.3 else limit * Fraction(8, 5) / lever * 2)
    stop, confidence = desk.one(STOPS[:5]), _confidence(desk)
    details = {
        "position_pct": size, "product_leverage": lever, "limit_pct": limit, "stop_pct": stop, "confidence_pct": confidence,
    }  # fmt: skip
    told = {"size": percent(size), "lever": str(lever), "limit": percent(limit), "stop": _stop_words(stop), **_named(chosen)}
    asked = _asked(desk, "leveraged_product", details, told)
    made = account(desk, chosen, leverage=lever)
    exposure, shock = size * lever, Fraction(chosen["shock"])
    lines = [
        f"With the product's own leverage the exposure is {multiple(Fraction(lever), size)}; {against(exposure, limit)}.",
        f"A fall of {percent(shock)} in what it tracks would cost {product(exposure, shock)} of the portfolio.",
        *_stop_lines(desk, size, stop),
    ]
    order = made.order(chosen["symbol"], "buy", size, stop)
    return assessed(desk, Proposal(made, [order], asked, lines, "leveraged_product", details))


def risk_per_trade(desk: Desk) -> Draft:
    """A position of legal size whose stop lies too far away, or just near enough."""
    limit, most, chosen = desk.limit("max_risk_per_trade_pct"), desk.limit("max_position_size_pct"), asset(desk)
    size = desk.step(most / 4, most)
    stop = desk.one(
        [s for s in (*STOPS, Fraction(30), Fraction(40)) if desk.rng.random() < 0.3 or size * s / 100 > limit] or [Fraction(40)]
    )
    details = {"position_pct": size, "stop_pct": stop, "limit_pct": limit, "confidence_pct": _confidence(desk)}
    told = {"size": percent(size), "stop": percent(stop), "limit": percent(limit), **_named(chosen)}
    asked = _asked(desk, "risk_per_trade", details, told)
    made = account(desk, chosen)
    order = made.order(chosen["symbol"], "buy", size, stop)
    return assessed(desk, Proposal(made, [order], asked, _stop_lines(desk, size, stop), "risk_per_trade", details))


def sector(desk: Desk) -> Draft:
    """One more holding in a sector that is nearly full."""
    limit, chosen = desk.limit("max_sector_concentration_pct"), asset(desk)
    first, second = desk.step(limit / 4, limit * Fraction(2, 5)), desk.step(limit / 4, limit * Fraction(2, 5))
    size, stop = desk.step(limit / 10, limit / 2), desk.one(STOPS[:3])
    details = {
        "sector_before_pct": first + second, "position_pct": size, "limit_pct": limit, "stop_pct": stop,
        "confidence_pct": _confidence(desk),
    }  # fmt: skip
    told = {
        "first": percent(first), "second": percent(second), "sector": chosen["sector"], "limit": percent(limit),
        "size": percent(size), "stop": _stop_words(stop), **_named(chosen),
    }  # fmt: skip
    asked = _asked(desk, "sector", details, told)
    others = [desk.step(Fraction(3), Fraction(5)) for _ in range(4)]
    made = account(desk, chosen, sizes=[first, second, *others], sectors=[chosen["sector"]] * 2)
    order = made.order(chosen["symbol"], "buy", size, stop)
    after, shock = first + second + size, Fraction(chosen["shock"])
    lines = [
        f"After the order the sector holds {total(first, second, size)} of the portfolio; {against(after, limit)}.",
        f"If the whole sector falls by {percent(shock)}, that costs {product(after, shock)} of the portfolio.",
        *_stop_lines(desk, size, stop),
    ]
    return assessed(desk, Proposal(made, [order], asked, lines, "sector", details))


def drawdown(desk: Desk) -> Draft:
    """A purchase while the book is below its peak: the ladder decides."""
    reduce, halt, kill = (
        desk.limit(k) for k in ("emergency_deleverage_threshold", "halt_trading_threshold", "kill_switch_drawdown")
    )
    fall = desk.step(reduce / 4, kill + (kill - halt) * 2, "0.1")
    rung = "killed" if fall >= kill else "no_new" if fall >= halt else "reduce" if fall >= reduce else "normal"
    chosen, stop = asset(desk), desk.one(STOPS[:3])
    size = desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    details = {"drawdown_pct": fall, "rung": rung, "position_pct": size, "stop_pct": stop, "confidence_pct": _confidence(desk)}
    told = {"fall": percent(fall), "size": percent(size), "stop": _stop_words(stop), **_named(chosen)}
    asked = _asked(desk, "drawdown", details, told)
    made = account(desk, chosen, drawdown=fall, ladder=rung)
    order = made.order(chosen["symbol"], "buy", size, stop)
    lines = [
        f"On the emergency ladder the drawdown stands at {against(fall, reduce)} (reduce), {against(fall, halt)} (halt), "
        f"{against(fall, kill)} (stop).",
        f"To come back to its peak the book has to gain {quotient(fall, 100 - fall)}.",
        *([f"The room left before the stop is {difference(kill, fall)}."] if fall < kill else []),
        *_stop_lines(desk, size, stop),
    ]
    return assessed(desk, Proposal(made, [order], asked, lines, "drawdown", details))


def daily_loss(desk: Desk) -> Draft:
    """A purchase on a day on which much was lost already."""
    limit, chosen, stop = desk.limit("max_daily_loss_pct"), asset(desk), desk.one(STOPS[:3])
    lost = desk.step(limit / 5, limit * 2, "0.1")
    size = desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    details = {
        "daily_loss_pct": lost, "limit_pct": limit, "position_pct": size, "stop_pct": stop, "confidence_pct": _confidence(desk),
    }  # fmt: skip
    told = {"lost": percent(lost), "limit": percent(limit), "size": percent(size), "stop": _stop_words(stop), **_named(chosen)}
    asked = _asked(desk, "daily_loss", details, told)
    made = account(desk, chosen, daily_loss=lost)
    order = made.order(chosen["symbol"], "buy", size, stop)
    lines = [f"The loss of the day against its maximum: {against(lost, limit)}."]
    if lost <= limit:
        lines.append(f"Room left today: {difference(limit, lost)}.")
    lines += _stop_lines(desk, size, stop)
    return assessed(desk, Proposal(made, [order], asked, lines, "daily_loss", details))


def correlation(desk: Desk) -> Draft:
    """Two holdings that move alike, and an order that would add to the book."""
    warn, critical = desk.limit("max_correlation"), desk.limit("max_correlation_critical")
    pair, chosen = desk.step(warn - Fraction(1, 5), Fraction(99, 100), "0.01"), asset(desk)
    stop, size = desk.one(STOPS[:3]), desk.step(Fraction(3), min(Fraction(10), desk.limit("max_position_size_pct")))
    details = {
        "correlation": pair, "warning": warn, "critical": critical, "position_pct": size, "stop_pct": stop,
        "confidence_pct": _confidence(desk),
    }  # fmt: skip
    made = account(desk, chosen, measures={"max_pair_correlation": pair})
    first, second = (p["symbol"] for p in made.state["positions"][:2])
    told = {
        "first": first, "second": second, "pair": number(pair), "warn": number(warn), "critical": number(critical),
        "size": percent(size), "stop": _stop_words(stop), **_named(chosen),
    }  # fmt: skip
    asked = _asked(desk, "correlation", details, told)
    order = made.order(chosen["symbol"], "buy", size, stop)
    lines = [
        f"The correlation of the pair against the warning and the critical level: {against_plain(pair, warn)}, "
        f"{against_plain(pair, critical)}.",
        f"Two equal positions at this correlation are only {ratio(Fraction(2), 1 + pair)} independent bets, as 1 + "
        f"{number(pair)} = {number(1 + pair)}.",
        *_stop_lines(desk, size, stop),
    ]
    return assessed(desk, Proposal(made, [order], asked, lines, "correlation", details, exit_symbol=first))


def leverage(desk: Desk, given: Given | None = None) -> Draft:
    """A plan to scale the whole book up to some leverage; ten equal holdings, one order each."""
    what = dict(given or {})
    hard, advised, stop = desk.limit("max_leverage"), desk.limit("recommended_leverage"), Fraction(10)
    share = min(Fraction(10), desk.limit("max_position_size_pct") / 2)
    base = share / 10
    wanted = what.get("leverage") or desk.step(base + Fraction(1, 5), hard * Fraction(5, 2), "0.1")
    details = {
        "leverage": wanted, "limit": hard, "recommended_leverage": advised, "leverage_now": base, "stop_pct": stop,
        "confidence_pct": _confidence(desk, what),
    }  # fmt: skip
    told = {
        "wanted": times(wanted), "hard": times(hard), "advised": times(advised), "base": times(base), "stop": percent(stop),
    }  # fmt: skip
    asked = _asked(desk, "leverage", details, told, what)
    dip, fall = desk.limit("max_portfolio_drawdown_pct"), Fraction(desk.one([10, 15, 20, 25]))
    lines = [
        f"The leverage asked for against the hard limit: {against_times(wanted, hard)}.",
        f"A market fall of {percent(fall)} would cost {multiple(wanted, fall)} of equity at this leverage, and "
        f"{multiple(hard, fall)} at the hard limit.",
        f"The whole drawdown allowed would be gone after a market fall of {per_times(dip, wanted)}.",
    ]
    made = account(desk, sizes=[share] * 10)
    orders = [made.order(p["symbol"], "buy", (wanted - base) * 10, stop) for p in made.state["positions"]]
    return scaled(desk, Proposal(made, orders, asked, lines, "leverage", details))


def _shock_lines(desk: Desk, size: Fraction, shock: Fraction) -> list[str]:
    most = desk.limit("max_portfolio_drawdown_pct")
    lost = size * shock / 100
    beyond = "more than the whole drawdown allowed" if lost > most else "within the drawdown allowed"
    return [
        f"If the asset falls by {percent(shock)}, the portfolio loses {product(size, shock)}; that is {beyond}, as "
        f"{against(lost, most)}."
    ]


def _stop_lines(desk: Desk, size: Fraction, stop: Fraction | None) -> list[str]:
    if stop is None:
        return ["No stop is named, so nothing bounds the loss of the trade."]
    risk = desk.limit("max_risk_per_trade_pct")
    return [
        f"If the stop is hit, the portfolio loses {product(size, stop)}, against the loss allowed in one trade: "
        f"{against(size * stop / 100, risk)}."
    ]


def _above(desk: Desk, limit: Fraction) -> Fraction:
    return desk.step(limit + HALF, limit * Fraction(5, 2))


def _confidence(desk: Desk, what: Given | None = None) -> Fraction:
    return Fraction((what or {}).get("confidence") or desk.rng.randint(55, 95))


def _named(chosen: Mapping[str, Any]) -> dict[str, str]:
    return {"asset": chosen["name"], "symbol": chosen["symbol"]}


def _asked(desk: Desk, scenario: str, details: dict[str, Any], told: dict[str, str], what: Given | None = None) -> str:
    """The instruction of a proposal, if it lies on this desk's side of the split; who asks and on what signal is drawn.

    Raises:
        OtherSide: it lies on the other one.
    """
    desk.keep(Proposal.group_of(scenario, details))
    signal = (what or {}).get("signal") or desk.one(texts()["signals"])
    context = f"{signal}, {percent(details['confidence_pct'])} confidence"
    agent = "Agent" if what else f"Agent {desk.words('agents')}"
    question = "Is this aligned with risk management?" if what else desk.question(CATEGORY)
    return desk.told(scenario, **told, agent=agent, context=context, question=question)


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
