"""What is legal in a constitution but probably not meant (`lint`), what is refused outright (`refuse_disorder`), and what
follows from its numbers (`consequences`)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from solon.constitution.canonical import number_text
from solon.constitution.keys import KEYS
from solon.constitution.tree import reduced
from solon.constitution.types import Constitution, Limit

LADDER = ("warn_drawdown_threshold", "emergency_deleverage_threshold", "halt_trading_threshold", "kill_switch_drawdown")
CORRELATIONS = ("max_correlation", "max_correlation_critical", "correlation_breakdown_threshold")
RISING = (LADDER, CORRELATIONS, ("min_position_size_pct", "max_position_size_pct"))
EXPECTED_RISING = (
    ("recommended_leverage", "max_leverage", "the recommended leverage is never reached before the limit"),
    ("max_position_size_leveraged_pct", "max_position_size_pct", "a leveraged position may be larger than a plain one"),
    ("max_daily_loss_pct", "max_portfolio_drawdown_pct", "the drawdown limit is reached before the daily limit"),
)
STOP_PCT = 15  # the stop-loss distance of the published worked example

Refuse = Callable[[str, str, str, str], None]  # key, expected, got, mend


def shown(value: Fraction | Decimal, places: int = 2) -> str:
    """A number for reading: at most two decimals."""
    return number_text(Decimal(str(round(float(value), places))))


def refuse_disorder(limits: dict[str, Limit], refuse: Refuse) -> None:
    """Refuse ladders whose later step comes earlier: warn <= de-lever <= halt <= kill, and so on."""
    for ladder in RISING:
        steps = [limits[name] for name in ladder if name in limits]
        for earlier, later in pairwise(steps):
            if earlier.exact > later.exact:
                expected = f"{earlier.key} <= {later.key}"
                got = f"{shown(earlier.exact)} > {shown(later.exact)}"
                refuse(later.key, expected, got, f"order: {' <= '.join(step.key for step in steps)}")


def lint(c: Constitution) -> list[str]:
    """Warnings, each with its consequence."""
    found = [*_thresholds(c), *_order(c), *_aliases(c), *_stops(c), *_council(c), *_words(c), *_gates(c)]
    return [*c.warnings, *(w for w in found if w not in c.warnings)]


def _thresholds(c: Constitution) -> list[str]:
    found = []
    for key in ("consensus_threshold", "resume_threshold"):
        limit = c.limit(key)
        if limit is None:
            continue
        value = limit.exact
        for text, meant in (("2/3", Fraction(2, 3)), ("1/3", Fraction(1, 3))):
            if value != meant and abs(value - meant) < Fraction(1, 100):
                verb = "fails" if value > meant else "passes"
                found.append(f'{key} {shown(value, 4)} is not {text}: {text[0]} of 3 {verb} it; write "{text}" if that is meant')
        if value <= Fraction(1, 2) and key == "consensus_threshold":
            found.append(f"{key} {shown(value, 4)}: two opposite proposals can both reach it; use more than 1/2")
    return found


def _order(c: Constitution) -> list[str]:
    found = []
    for low, high, consequence in EXPECTED_RISING:
        a, b = c.limit(low), c.limit(high)
        if a and b and a.exact > b.exact:
            found.append(f"{low} {shown(a.exact)} > {high} {shown(b.exact)}: {consequence}")
    return found


def _aliases(c: Constitution) -> list[str]:
    found = []
    for limit in c.limits:
        other = c.limit(KEYS[limit.key].alias_of) if limit.key in KEYS and KEYS[limit.key].alias_of else None
        if other and other.exact != limit.exact:
            found.append(
                f"{limit.key} {shown(limit.exact)} and {other.key} {shown(other.exact)} are two names of one threshold "
                f"and disagree: each acts at its own number"
            )
    return found


def _stops(c: Constitution) -> list[str]:
    size, risk = c.limit("max_position_size_pct"), c.limit("max_risk_per_trade_pct")
    if not size or not risk:
        return []
    lost = size.exact * STOP_PCT / 100
    if lost <= risk.exact:
        return []
    widest, largest = risk.exact / size.exact * 100, risk.exact / STOP_PCT * 100
    return [
        f"a {shown(size.exact)} % position with a {STOP_PCT} % stop risks {shown(lost)} % > {shown(risk.exact)} % "
        f"(max_risk_per_trade_pct): at that size the stop must lie within {shown(widest)} %, "
        f"at that stop the position within {shown(largest, 1)} %"
    ]


def _council(c: Constitution) -> list[str]:
    found = []
    n = len(c.voters)
    if 0 < n < 4:
        found.append(f"{n} voters: no Byzantine tolerance (n >= 3f + 1 needs 4 for f = 1); one lying voter can decide")
    weights = [v.weight is not None for v in c.voters]
    if any(weights) and not all(weights):
        found.append("some voters have weights and some have none: those without count as weight 0")
    roles = {v.role for v in c.voters}
    if n and c.value("conflict_resolution_mode") == "risk_manager_veto" and "risk_manager" not in roles:
        found.append("risk_manager_veto, but no voter has the role risk_manager: every conflict goes to a person")
    return found


def _words(c: Constitution) -> list[str]:
    found = []
    if not c.principles and not c.limits and not c.domains and not c.gates:
        found.append("neither principles nor limits, gates or domains: nothing can be trained, measured or enforced with it")
    seen: dict[str, str] = {}
    for p in c.principles:
        for text in filter(None, (p.text, *(d.text for d in p.directives))):
            owner = seen.setdefault(text.casefold(), p.id)
            if owner != p.id:
                found.append(f"{p.id} repeats a text of {owner}: {text[:60]!r}")
        if not (p.text or p.directives or "critique_template" not in p.synthesised):
            found.append(f"{p.id}: a title and nothing else; critiques will rest on the title alone")
        for e in p.examples:
            if e.assistant == e.revision:
                found.append(f"{p.id}: an example conversation whose revision equals the reply teaches nothing")
    if c.precedence == "ordered" and [p.rank for p in c.principles] != sorted(p.rank for p in c.principles):
        found.append("precedence is ordered, but the principles stand in another order than their numbers; the numbers decide")
    return found


def _gates(c: Constitution) -> list[str]:
    upper = {g.metric for g in c.gates if g.comparison == "<="}
    if "unsafe_compliance" in upper and "over_refusal" not in upper:
        return ["gate on unsafe_compliance without one on over_refusal: a model that refuses everything passes"]
    return []


def consequences(c: Constitution) -> list[str]:
    """What the numbers imply, for reading; nothing to mend."""
    found = []
    sector = c.limit("max_sector_concentration_pct")
    if sector and sector.exact:
        least_sectors = -(-100 // sector.exact)
        found.append(f"sectors of at most {shown(sector.exact)} %: full investment needs at least {least_sectors} sectors")
    size, least = c.limit("max_position_size_pct"), c.limit("min_positions")
    if size and least:
        reach = reduced(size.exact * least.exact)
        found.append(f"{shown(least.exact)} positions of at most {shown(size.exact)} % make at most {shown(reach)} % of equity")
    if threshold := c.limit("consensus_threshold"):
        need = ", ".join(f"{-(-threshold.exact * n // 1)} of {n}" for n in (3, 4, 5, 7))
        found.append(f"consensus {number_text(reduced(threshold.exact))}: {need} eligible voters")
    if n := len(c.voters):
        f = (n - 1) // 3
        found.append(f"{n} voters: f = {f} faulty ones tolerated, quorum q = {(n + f) // 2 + 1}")
    groups = [limit.group for limit in c.limits if limit.group != "custom"]
    if groups:
        found.append(f"{len(groups)} limit keys in {len(set(groups))} groups, {len(c.limits) - len(groups)} custom")
    return found
