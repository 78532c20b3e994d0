"""Trading examples of a systemic crisis: the five sections of the emergency protocol, with the right rung and phase.

The rung comes from `solon.policy.book.ladder_of`, the exits from `solon.policy.emergency`; each was assessed on the book as those
before it leave it. Phase 1 lasts to minute 5, phase 2 to minute 30, phase 3 from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from solon.data.scenarios.trading_account import Account, Desk, Draft, account, numbers, texts
from solon.data.scenarios.trading_numbers import (
    against,
    against_fraction,
    against_plain,
    difference,
    number,
    per_times,
    percent,
    quotient,
    ratio,
)
from solon.policy.book import ladder_of
from solon.policy.emergency import PHASE_MINUTES, emergency_plan
from solon.policy.ladder import HERD_SHARE
from solon.policy.types import Ladder

CATEGORY = "systemic_risk"
RUNGS = {
    Ladder.normal: ("HIGH", "the drawdown is below every rung, and the trigger alone forbids what adds risk"),
    Ladder.warn: ("HIGH", "the drawdown calls for attention, and the trigger forbids what adds risk"),
    Ladder.reduce: ("SEVERE", "the ladder stands at reduce: only orders that reduce positions pass, and a person is called"),
    Ladder.no_new: ("CRITICAL", "the ladder stands at no new positions: only sized reductions pass"),
    Ladder.killed: ("EMERGENCY STOP", "everything is stopped; only a flatten plan that a person approved may run"),
}
# What each phase does; and once everything is stopped, when a person decides about every step.
STEPS = (
    "halt new positions, de-leverage, raise cash",
    "hedge only through the ordinary gate, rebalance within the caps, coordinate the agents",
    "monitor; selective re-entry once a risk manager has signed; learn from it",
)
STOPPED = (
    "halt new positions; de-leverage and raise cash only as steps of a plan that a person approved",
    "hedge and rebalance only within that plan, coordinate the agents",
    "monitor; selective re-entry only after enough signatures have lifted the stop; learn from it",
)
PHASE_NAMES = {1: "immediate", 2: "stabilisation", 3: "recovery"}
Given = Mapping[str, Any]


def flash_crash(desk: Desk, given: Given | None = None) -> Draft:
    """The market falls fast; the drawdown decides the rung."""
    what = given or {}
    fall = what.get("fall") or desk.step(Fraction(5), Fraction(15))
    minutes = what.get("minutes") or desk.one([3, 5, 8, 10, 12, 15, 20])
    return _crisis(
        desk, what, "flash_crash", {"flash_crash": Fraction(1)},
        f"The market fell {percent(fall)} within {minutes} minutes.",
        [f"The fall came at a speed of {per_times(fall, Fraction(minutes))} a minute."],
        {"fall_pct": fall, "fall_minutes": minutes},
    )  # fmt: skip


def correlation_breakdown(desk: Desk, given: Given | None = None) -> Draft:
    """Assets that used to move apart move together: the book is one position."""
    what = given or {}
    threshold = desk.limit("correlation_breakdown_threshold")
    mean = what.get("correlation") or desk.step(threshold, Fraction(99, 100), "0.01")
    count = what.get("assets") or desk.rng.randint(6, 20)
    spread = 1 + (count - 1) * mean
    return _crisis(
        desk, what, "correlation", {"weighted_correlation": mean},
        f"{count} formerly uncorrelated assets now move together with a correlation of {percent(mean * 100)}.",
        [
            f"Mean correlation against the breakdown threshold: {against_plain(mean, threshold)}, and the trigger fires at it.",
            f"{count} equal positions at this correlation are only {ratio(Fraction(count), spread)} independent bets.",
        ],
        {"correlation": mean, "threshold": threshold, "assets": count},
    )  # fmt: skip


def volatility_spike(desk: Desk, given: Given | None = None) -> Draft:
    """Volatility at a multiple of its usual level."""
    limit = desk.limit("volatility_spike_multiplier")
    usual = Fraction(desk.rng.randint(8, 20))
    now = usual * desk.step(limit, limit * 2, "0.25")
    return _crisis(
        desk, given or {}, "volatility", {"volatility_ratio": now / usual},
        f"Volatility rose to {percent(now)} from its usual {percent(usual)}.",
        [
            f"Volatility is {ratio(now, usual)} times its usual level; {against_plain(now / usual, limit)}, and the trigger fires "
            f"at {number(limit)} and beyond."
        ],
        {"volatility_pct": now, "usual_volatility_pct": usual, "multiplier": limit},
    )  # fmt: skip


def deep_drawdown(desk: Desk, given: Given | None = None) -> Draft:
    """No trigger but the fall itself, on one of the rungs."""
    reduce, kill = desk.limit("emergency_deleverage_threshold"), desk.limit("kill_switch_drawdown")
    drop = desk.step(reduce, kill + 3, "0.1")
    return _crisis(desk, given or {}, "drawdown", {}, desk.words("losses"), [], {}, drop)


def documented(desk: Desk) -> list[Draft]:
    """The two documented crises. What the document leaves open is chosen: minutes, who sells, the drawdown of the second (6 %)."""
    crash = {"fall": Fraction(8), "minutes": 15, "drawdown": Fraction(12), "minute": 2, "sellers": 6, "agents": 8}
    together = {"correlation": Fraction("0.92"), "drawdown": Fraction(6), "assets": 10, "minute": 12, "sellers": 5, "agents": 7}
    return [flash_crash(desk, crash), correlation_breakdown(desk, together)]


def phase_of(minute: int) -> int:
    """The phase of a minute since the alarm: 1 before minute 5, 2 before minute 30, 3 from then on."""
    return next(phase for phase, (start, end) in PHASE_MINUTES.items() if minute >= start and (end is None or minute < end))


def _crisis(
    desk: Desk,
    what: Given,
    scenario: str,
    measures: Mapping[str, Fraction],
    event: str,
    lines: list[str],
    details: dict[str, Any],
    drop: Fraction | None = None,
) -> Draft:
    drop = what.get("drawdown") or drop or desk.step(Fraction(2), desk.limit("kill_switch_drawdown") + 2, "0.1")
    minute = (
        what["minute"] if "minute" in what else desk.rng.choice([0, 1, 2, 3, 4, 5, 6, 10, 15, 20, 25, 29, 30, 35, 45, 60, 90])
    )
    group = desk.keep(f"{scenario} " + " ".join(f"{value}" for value in (*details.values(), drop, minute)))
    agents = what.get("agents") or desk.rng.randint(4, 12)
    sellers = what.get("sellers") or desk.rng.randint(1, agents)
    ladder = "killed" if drop >= desk.limit("kill_switch_drawdown") else "normal"
    sizes = [desk.step(Fraction(10), Fraction(18)) for _ in range(8)]
    made = account(desk, None, sizes=sizes, drawdown=drop, ladder=ladder, measures=measures)
    rung = max(ladder_of(made.book, desk.judge.rules.rungs), made.book.ladder)
    phase = phase_of(minute)
    selling = f"{sellers} of {agents} agents {'is' if sellers == 1 else 'are'} selling"
    instruction = desk.told(
        "crisis", event=event, drop=percent(drop), selling=selling, minute=str(minute), question=desk.question(CATEGORY)
    )
    severity, meaning = RUNGS[rung]
    name = texts()["systemic_names"][scenario]
    sections = [
        ("SYSTEMIC RISK PROTOCOL ACTIVATED", f"Trigger: {name}. {event}"),
        ("CRISIS CLASSIFICATION", "\n".join([f"Severity: {severity}; {meaning}.", *_drop_lines(desk, drop), *lines])),
        ("CASCADE FAILURE RISK", _cascade(desk, sellers, agents)),
        ("EMERGENCY ACTION SEQUENCE", _sequence(desk, made, sizes, rung, minute, phase)),
        ("CONSTITUTIONAL OVERRIDE JUSTIFICATION", f"{desk.words('override')} {desk.words('override_after')}"),
    ]
    context = {
        "category": CATEGORY, "scenario": scenario,
        **numbers(**details, drawdown_pct=drop, minute=minute, phase=phase, sellers=sellers, agents=agents),
        "rung": rung.name, "severity": severity, "recommended": made.options, "state": made.state,
    }  # fmt: skip
    return Draft(instruction, sections, context, group)


def _drop_lines(desk: Desk, drop: Fraction) -> list[str]:
    reduce, halt, kill = (
        desk.limit(k) for k in ("emergency_deleverage_threshold", "halt_trading_threshold", "kill_switch_drawdown")
    )
    lines = [
        f"On the ladder the drawdown stands at {against(drop, reduce)} (reduce), {against(drop, halt)} (halt), "
        f"{against(drop, kill)} (stop); a rung counts as reached at its number."
    ]
    if drop < kill:
        lines.append(f"The room left before the stop is {difference(kill, drop)}.")
    return [*lines, f"To come back to its peak the book has to gain {quotient(drop, 100 - drop)}."]


def _cascade(desk: Desk, sellers: int, agents: int) -> str:
    herd = Fraction(sellers, agents) >= HERD_SHARE
    found = "herding is detected" if herd else "no herding yet, but it is watched"
    told = f"The share of agents who sell is {against_fraction(Fraction(sellers), agents, HERD_SHARE)}: {found}."
    return f"{told} {desk.words('herding')}"


def _sequence(desk: Desk, made: Account, sizes: list[Fraction], rung: Ladder, minute: int, phase: int) -> str:
    """The three phases with their steps; exits only where the rung leaves them to the agents."""
    gross = sum(sizes, Fraction(0)) / 100
    exits, after = ([], gross) if rung == Ladder.killed else _exits(desk, made, gross)
    steps = dict(zip(PHASE_MINUTES, STOPPED if rung == Ladder.killed else STEPS, strict=True))
    lines = [_phase_line(1, steps, phase), *(f"- {step}" for step in exits), *_cash_lines(gross, after, bool(exits), rung)]
    lines += [_phase_line(2, steps, phase), _phase_line(3, steps, phase)]
    lines.append(f"It is minute {minute}: phase {phase}." + (" What phase 1 left undone comes first." if phase > 1 else ""))
    return "\n".join(lines)


def _phase_line(number_of: int, steps: Mapping[int, str], current: int) -> str:
    start, end = PHASE_MINUTES[number_of]
    span = f"{start}+" if end is None else f"{start}-{end}"
    return f"Phase {number_of} ({span} min), {PHASE_NAMES[number_of]}: {steps[number_of]}.{'  <- now' if number_of == current else ''}"


def _exits(desk: Desk, made: Account, gross: Fraction) -> tuple[list[str], Fraction]:
    """Exits of the emergency plan down to two thirds of the present exposure, offered past the limits."""
    target = gross * 2 / 3
    plan = emergency_plan(made.book, desk.judge, target=target)
    orders = [
        {"id": s.action.id, "agent": s.action.agent, "kind": "order", "symbol": s.action.symbol, "side": s.action.side,
         "qty": format(s.action.qty.normalize(), "f"), "ts": made.state["as_of"]}
        for s in plan.steps if s.action is not None and s.action.kind == "order"
    ]  # fmt: skip
    if not orders:
        return [], gross
    made.offer(*orders)
    sold = sum((made.size(order) for order in orders), Fraction(0))
    return [
        f"Sell {o['qty']} {o['symbol']}, which is {percent(made.size(o))} of the portfolio." for o in orders
    ], gross - sold / 100


def _cash_lines(gross: Fraction, after: Fraction, sold: bool, rung: Ladder) -> list[str]:
    if rung == Ladder.killed:
        return ["- Cancel working orders; call a person, who alone may approve a flatten plan."]
    lines = (
        [
            f"- Exposure goes from {percent(gross * 100)} to {percent(after * 100)}: "
            f"{difference(gross * 100, (gross - after) * 100)}."
        ]
        if sold
        else []
    )
    return [*lines, "- Call the person on duty." if rung >= Ladder.reduce else "- Tell the person on duty."]


SCENARIOS: tuple[Callable[..., Draft], ...] = (flash_crash, correlation_breakdown, volatility_spike, deep_drawdown)
