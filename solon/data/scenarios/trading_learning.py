"""Trading examples of an agent's own record: is a change of win rate or Sharpe ratio evidence, and how fast to adapt.

Win rates with Wilson intervals (1927) and Fisher's exact test; Sharpe ratios with the standard error of Lo (2002), "The Statistics
of Sharpe Ratios": for daily returns SE = sqrt((1 + s^2 / 2) / T) of the daily ratio s, times sqrt(252) when annualised. The two tests
are corrected together (Bonferroni). Learning may shrink a position by itself and never enlarges a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from solon.data.scenarios.trading_account import Account, Desk, Draft, account, numbers
from solon.data.scenarios.trading_numbers import against_plain, number, percent, product, ratio, share, total

CATEGORY = "meta_learning"
DAYS_A_YEAR = 252
DAYS = (63, 126, 252, 504)
LEVEL = 0.05
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """An agent's record before and after: wins of trades, annualised Sharpe ratio over days, volatility in percent."""

    agent: str
    wins: tuple[int, int]
    trades: tuple[int, int]
    sharpe: tuple[Fraction, Fraction]
    days: tuple[int, int]
    volatility: tuple[Fraction, Fraction]

    @property
    def better(self) -> bool:
        return Fraction(self.wins[1], self.trades[1]) > Fraction(self.wins[0], self.trades[0])


def review(desk: Desk, given: Given | None = None) -> Draft:
    """A performance review: trajectory, root cause, adaptation, and what to unlearn."""
    record = _record(desk, given or {})
    group = desk.keep(f"learning {record.wins} {record.trades} {[str(s) for s in record.sharpe]}")
    made = account(desk, None)
    evidence = _evidence(record)
    rate = _rate(desk, record, evidence["established"])
    sections = [
        ("META-LEARNING ANALYSIS", _trajectory(record, evidence)),
        ("ROOT CAUSE ANALYSIS", _cause(desk, record)),
        ("ADAPTATION STRATEGY", _strategy(desk, made, record, rate, evidence["established"])),
        ("LEARNING-TO-LEARN PRINCIPLE", desk.words("unlearn_up" if record.better else "unlearn_down")),
    ]
    instruction = desk.told("review", **_record_words(record), question=desk.question(CATEGORY))
    context = {
        "category": CATEGORY, "scenario": "acceleration" if record.better else "degradation", "agent": record.agent,
        **numbers(
            wins_before=record.wins[0], trades_before=record.trades[0], wins_after=record.wins[1], trades_after=record.trades[1],
            sharpe_before=record.sharpe[0], sharpe_after=record.sharpe[1], days_before=record.days[0], days_after=record.days[1],
            volatility_before_pct=record.volatility[0], volatility_after_pct=record.volatility[1], adaptation_rate_pct=rate,
        ),
        **evidence, "recommended": made.options, "state": made.state,
    }  # fmt: skip
    return Draft(instruction, sections, context, group)


def documented(desk: Desk) -> list[Draft]:
    """The two documented reviews; the number of trades and days, which the document leaves open, is 50 and 126."""
    common = {"trades": (50, 50), "days": (126, 126)}
    fell = {
        "agent": "buffett",
        "wins": (29, 20),
        "sharpe": (Fraction("0.42"), Fraction("-0.85")),
        "volatility": (Fraction(14), Fraction(27)),
    }
    rose = {
        "agent": "lynch",
        "wins": (26, 35),
        "sharpe": (Fraction("0.28"), Fraction("1.25")),
        "volatility": (Fraction(18), Fraction(13)),
    }
    return [review(desk, {**common, **fell}), review(desk, {**common, **rose})]


def _record(desk: Desk, given: Given) -> Record:
    if given:
        return Record(**given)
    rng, step = desk.rng, int(desk.limit("performance_review_interval_trades"))
    trades = (step * rng.choice((2, 3, 5, 10, 20)), step * rng.choice((1, 2, 3, 5, 10)))
    falls = rng.random() < 0.5
    low, high = Fraction(rng.randint(30, 50), 100), Fraction(rng.randint(52, 75), 100)
    rates = (high, low) if falls else (low + Fraction(1, 10), high + Fraction(1, 10))
    wins = (round(rates[0] * trades[0]), round(rates[1] * trades[1]))
    if Fraction(wins[0], trades[0]) == Fraction(wins[1], trades[1]):
        return _record(desk, given)
    bad, good = Fraction(rng.randint(-150, 40), 100), Fraction(rng.randint(45, 220), 100)
    rose = Fraction(wins[1], trades[1]) > Fraction(wins[0], trades[0])
    sharpe = (bad, good) if rose else (good, bad)
    volatility = (Fraction(rng.randint(8, 25)), Fraction(rng.randint(8, 60)))
    return Record(desk.words("agents"), wins, trades, sharpe, (rng.choice(DAYS), rng.choice(DAYS)), volatility)


def _record_words(record: Record) -> dict[str, str]:
    """The raw record, as the slots of an instruction: the suffix says before (0) or now (1)."""
    words = {"agent": record.agent}
    for i in (0, 1):
        wins, trades = record.wins[i], record.trades[i]
        words |= {
            f"wins{i}": str(wins), f"trades{i}": str(trades), f"rate{i}": percent(Fraction(100 * wins, trades)),
            f"sharpe{i}": number(record.sharpe[i]), f"days{i}": str(record.days[i]), f"vol{i}": percent(record.volatility[i]),
        }  # fmt: skip
    return words


def _evidence(record: Record) -> dict[str, Any]:
    """Intervals, p-values and whether the change is established: the smaller p times 2 below 0.05."""
    p_wins = round(_fisher(*record.wins, *record.trades), 4)
    errors = [_sharpe_error(s, d) for s, d in zip(record.sharpe, record.days, strict=True)]
    z = float(record.sharpe[1] - record.sharpe[0]) / math.hypot(*errors)
    p_sharpe = round(math.erfc(abs(z) / math.sqrt(2)), 4)
    return {
        "win_rate_intervals_pct": [_wilson(w, n) for w, n in zip(record.wins, record.trades, strict=True)],
        "sharpe_standard_errors": [round(error, 2) for error in errors],
        "p_win_rate": p_wins, "p_sharpe": p_sharpe, "p_corrected": min(1.0, round(2 * min(p_wins, p_sharpe), 4)),
        "established": 2 * min(p_wins, p_sharpe) < LEVEL,
    }  # fmt: skip


@lru_cache(maxsize=4096)
def _wilson(k: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest

    found = binomtest(k, n).proportion_ci(0.95, method="wilson")
    return round(float(found.low) * 100, 1), round(float(found.high) * 100, 1)


@lru_cache(maxsize=4096)
def _fisher(w0: int, w1: int, n0: int, n1: int) -> float:
    """Two-sided Fisher's exact test of w0 of n0 against w1 of n1: the tables no likelier than this one, counted exactly.

    The same as scipy.stats.fisher_exact (a test says so) in a small part of its time.
    """
    won = w0 + w1
    first = max(0, won - n1)
    tables = [math.comb(n0, first) * math.comb(n1, won - first)]
    for k in range(first, min(n0, won)):  # each from the one before it, without a remainder
        tables.append(tables[-1] * (n0 - k) * (won - k) // ((k + 1) * (n1 - won + k + 1)))
    seen = tables[w0 - first]
    return sum(table for table in tables if table <= seen) / math.comb(n0 + n1, won)


def _sharpe_error(annual: Fraction, days: int) -> float:
    """Standard error of an annualised Sharpe ratio over `days` daily returns that are independent (Lo 2002, equation 9)."""
    daily = float(annual) / math.sqrt(DAYS_A_YEAR)
    return math.sqrt((1 + daily * daily / 2) / days) * math.sqrt(DAYS_A_YEAR)


def _trajectory(record: Record, evidence: Mapping[str, Any]) -> str:
    name = "ACCELERATED LEARNING" if record.better else "PERFORMANCE DEGRADATION"
    lines = [f"Performance trajectory: {name}" + ("" if evidence["established"] else ", NOT ESTABLISHED")]
    for when, wins, trades, (low, high) in zip(
        ("Before", "Now"), record.wins, record.trades, evidence["win_rate_intervals_pct"], strict=True
    ):
        lines.append(f"{when}: win rate {share(wins, trades)} (95% interval {low:g}% to {high:g}%, n = {trades}).")
    before, after = (percent(Fraction(100 * w, n)) for w, n in zip(record.wins, record.trades, strict=True))
    errors = evidence["sharpe_standard_errors"]
    lines += [
        f"Sharpe ratio: {number(record.sharpe[0])} (standard error {errors[0]:g}) before, {number(record.sharpe[1])} (standard "
        f"error {errors[1]:g}) now.",
        f"Fisher's exact test of the win rates, {before} against {after}, gives {_p(evidence['p_win_rate'])}; the Sharpe ratios "
        f"differ with {_p(evidence['p_sharpe'])}.",
        f"The smaller of both, doubled for two tests: {_p(evidence['p_corrected'])}. "
        + ("That is evidence of a change." if evidence["established"] else "So few data do not show a change; it may be chance."),
    ]
    return "\n".join(lines)


def _p(value: float) -> str:
    return f"p = {value:g}" if value else "p < 0.0001"


def _cause(desk: Desk, record: Record) -> str:
    before, after = record.volatility
    spike = desk.limit("volatility_spike_multiplier")
    jump = after / before
    told = f"Regime shift: volatility is {ratio(after, before)} times what it was; {against_plain(jump, spike)}, "
    if jump >= spike:
        told += "a spike, so a shift is taken as given."
    elif jump >= Fraction(3, 2) or jump <= Fraction(2, 3):
        told += "no spike, and still a different market: a shift is likely."
    else:
        told += "and much the same market as before: no shift is visible here."
    interval = desk.limit("performance_review_interval_trades")
    reviews = Fraction(record.trades[1]) / interval
    lag = (
        f"Adaptation lag: the new window holds {ratio(Fraction(record.trades[1]), interval)} review{'s' * (reviews != 1)} of "
        f"{number(interval)} trades, and only a review changes what the agent does."
    )
    return "\n".join([told, lag, desk.words("tailwind" if record.better else "regime")])


def _range(desk: Desk) -> tuple[Fraction, Fraction]:
    """The adaptation range in percent of change per review."""
    low, high = desk.constitution.value("adaptation_rate_range")
    return Fraction(low) * 100, Fraction(high) * 100


def _rate(desk: Desk, record: Record, established: bool) -> Fraction:
    """Share of change for this review, in percent: the top of the range for an established fall, its middle for one that is not,
    the bottom for a rise."""
    low, high = _range(desk)
    if record.better:
        return low
    return high if established else (low + high) / 2


def _strategy(desk: Desk, made: Account, record: Record, rate: Fraction, established: bool) -> str:
    low, high = _range(desk)
    symbol = made.largest_held()
    held = Fraction(made.held(symbol)["qty"]) * Fraction(made.held(symbol)["mark"]) / made.equity * 100
    within = f"within {percent(low)} to {percent(high)} per review"
    if record.better:
        return "\n".join([
            f"DECREASE LEARNING RATE to {percent(rate)}, {within}.",
            f"Keep the largest holding, {symbol}, at {percent(held)}. No limit is loosened by success.",
            _sharpe_line(desk, record),
        ])  # fmt: skip
    order = made.order(symbol, "sell", held * rate / 100)
    made.offer(order)
    kept = held * (100 - rate) / 100
    doubt = "" if established else ", the middle, as the fall is not established"
    return "\n".join([
        f"INCREASE LEARNING RATE to {percent(rate)}, {within}{doubt}.",
        f"Cut the largest holding, {symbol}, by as much: sell {order['qty']} {symbol}, which is {product(held, rate)} of the portfolio; "
        f"what stays is {percent(kept)}, as {total(kept, held - kept)}.",
        _sharpe_line(desk, record),
    ])  # fmt: skip


def _sharpe_line(desk: Desk, record: Record) -> str:
    threshold = desk.limit("poor_performance_threshold_sharpe")
    poor = record.sharpe[1] < threshold
    after = "which counts as poor performance: no new positions until the next review." if poor else "no poor performance."
    return f"Sharpe ratio against its threshold: {against_plain(record.sharpe[1], threshold)}, {after} Review again after {_interval(desk)} trades."


def _interval(desk: Desk) -> str:
    return number(desk.limit("performance_review_interval_trades"))
