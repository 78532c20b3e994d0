"""Reviews of an agent's trades: what changed, whether the market did, and how far to adapt. Learning tightens, never loosens.

    review = review_trades(returns, constitution)      # newest last; compares the last ten with all before
    review.text(); review.adaptation_rate; review.tightening

`solon.governance.performance` reviews every tenth trade of an agent, and lets the governor judge by what was tightened.

Ten trades prove little, so "not enough evidence" is a common and proper answer. Intervals: Wilson (1927) for the win rate; Lo
(2002), "The Statistics of Sharpe Ratios", for the Sharpe ratio. Change of win rate: Fisher's exact test. Change of regime: the
permutation CUSUM test (Antoch and Huskova, 2001) for the mean and for the size of returns, each at half the stated false-alarm
rate; exact for exchangeable returns, and too eager where volatility clusters, as in daily prices it does. The rate is that of one
look: whoever looks at a steady series every ten trades sees a false alarm sooner or later.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any, Literal

from solon.constitution.keys import KEYS
from solon.errors import InputError

Finding = Literal["degraded", "improved", "no_evidence", "too_few"]
CONFIDENCE = 0.95
FALSE_ALARMS = 0.05
PERMUTATIONS = 1999
_NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
LEAST_REGIME, MOST_REGIME = 20, 500  # returns that the test for a change of regime looks at


@dataclass(frozen=True)
class Window:
    """Some trades: how many, how many won, win rate and Sharpe ratio per trade with intervals; None where undefined."""

    n: int
    wins: int
    win_rate: float | None
    win_interval: tuple[float, float] | None
    sharpe: float | None
    sharpe_error: float | None
    sharpe_interval: tuple[float, float] | None

    def text(self) -> str:
        win = "win rate undefined" if self.win_rate is None else f"win rate {self.win_rate:.0%} {_span(self.win_interval, '.0%')}"
        sharpe = "Sharpe undefined" if self.sharpe is None else f"Sharpe {self.sharpe:.2f} {_span(self.sharpe_interval, '.2f')}"
        return f"{self.n} trades: {win}; {sharpe}"


def _span(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else f"[{interval[0]:{form}}, {interval[1]:{form}}]"


@dataclass(frozen=True)
class Regime:
    """Whether the returns changed. `p` is the smaller of the two p-values, doubled; `at` where the change is most likely."""

    changed: bool
    p: float | None
    what: Literal["mean", "size", ""]
    at: int | None
    false_alarm_rate: float
    text: str


@dataclass(frozen=True)
class Review:
    """One review: four sections as data and as text. `tightening` maps limits to tighter values (decimal text), mostly empty."""

    finding: Finding
    before: Window
    now: Window
    p: float | None
    poor: bool
    regime: Regime
    adaptation_rate: Fraction
    tightening: dict[str, str]
    reasons: tuple[str, ...]

    def text(self) -> str:
        """Trajectory, root cause, strategy, principle."""
        rate = f"{float(self.adaptation_rate):.0%}"
        tighter = ", ".join(f"{key} to {value}" for key, value in self.tightening.items()) or "no limit changes"
        parts = [
            ("TRAJECTORY", f"before {self.before.text()}\nnow    {self.now.text()}\n{self.reasons[0]}"),
            ("ROOT CAUSE", self.regime.text),
            ("ADAPTATION STRATEGY", "\n".join([f"Adapt by {rate} per review; {tighter}.", *self.reasons[1:]])),
            ("PRINCIPLE", "Learning may tighten a limit by itself and never loosens one; success is no reason to risk more."),
        ]
        return "\n\n".join(f"{title}\n{body}" for title, body in parts)


def window(returns: Sequence[float], periods: float = 1.0) -> Window:
    """Win rate and Sharpe ratio (times the root of `periods`) of trade returns, with 95 % intervals.

    Under ten trades, or with a standard deviation of 0, the Sharpe ratio is undefined, which is not 0. Its standard error is
    sqrt((1 + SR^2 / 2) / n) (Lo 2002, independent returns).
    """
    from scipy import stats

    from solon.evaluation.stats import wilson

    n = len(returns)
    _finite(returns)
    wins = sum(value > 0 for value in returns)
    if not n:
        return Window(0, 0, None, None, None, None, None)
    span = wilson(wins, n, CONFIDENCE)
    mean = math.fsum(returns) / n
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in returns) / (n - 1)) if n > 1 else 0.0
    interval = (span.low, span.high)
    if n < 10 or deviation <= 1e-12 * max(1.0, abs(mean)):
        return Window(n, wins, wins / n, interval, None, None, None)
    ratio = mean / deviation
    error = math.sqrt((1 + ratio * ratio / 2) / n)
    z, scale = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)), math.sqrt(periods)
    bounds = ((ratio - z * error) * scale, (ratio + z * error) * scale)
    return Window(n, wins, wins / n, interval, ratio * scale, error * scale, bounds)


def _finite(returns: Sequence[float]) -> None:
    for place, value in enumerate(returns):
        if not math.isfinite(value):
            raise InputError(f"returns[{place}]: expected a finite number, got {value}", mend="leave such trades out")


def regime(returns: Sequence[float], *, false_alarm_rate: float = FALSE_ALARMS, seed: int = 0) -> Regime:
    """Whether mean or size of the last 500 returns changed at some point (permutation CUSUM test; see the module).

    Raises:
        InputError: a return that is not finite.
    """
    import numpy as np

    _finite(returns)
    if len(returns) < LEAST_REGIME:
        return Regime(
            False, None, "", None, false_alarm_rate,
            f"Not enough evidence: {len(returns)} returns, the test for a change of regime needs {LEAST_REGIME}.",
        )  # fmt: skip
    earlier = max(0, len(returns) - MOST_REGIME)
    values = np.asarray(returns[earlier:], dtype=float)
    series = {"mean": values, "size": np.abs(values - np.median(values))}
    rng = np.random.default_rng(seed)
    found = {what: _permutation(row, rng) for what, row in series.items()}
    what = min(found, key=lambda name: found[name][0])
    p, place = min(1.0, 2 * found[what][0]), earlier + found[what][1]
    if p > false_alarm_rate:
        often = f"at most {false_alarm_rate:.0%} of steady series at one look"
        text = f"No change of regime shown (p = {p:.3f}; false alarms in {often})."
        return Regime(False, p, "", None, false_alarm_rate, text)
    text = (
        f"The {'level' if what == 'mean' else 'size'} of returns changed after trade {place} (p = {p:.3f}; false alarms in "
        f"at most {false_alarm_rate:.0%} of steady series at one look). Lag so far: {len(returns) - place} trades."
    )
    return Regime(True, p, what, place, false_alarm_rate, text)  # type: ignore[arg-type]


def _permutation(values: Any, rng: Any) -> tuple[float, int]:
    """p-value and place of the largest weighted CUSUM among random orders of the same values."""
    import numpy as np

    n = len(values)
    steps = np.arange(1, n)
    weight = 1 / np.sqrt(steps * (n - steps) / n)
    centred = values - values.mean()
    observed = np.abs(np.cumsum(centred)[:-1]) * weight
    orders = rng.permuted(np.tile(centred, (PERMUTATIONS, 1)), axis=1)
    largest = (np.abs(np.cumsum(orders, axis=1)[:, :-1]) * weight).max(axis=1)
    # a tie counts against the finding; the tolerance covers sums taken in another order
    beyond = int((largest >= observed.max() - 1e-12 * (1 + observed.max())).sum())
    return (1 + beyond) / (PERMUTATIONS + 1), int(observed.argmax()) + 1


def review_trades(
    returns: Sequence[float],
    constitution: Any,
    *,
    rate: Fraction | None = None,
    periods: float = 1.0,
    tightened: Mapping[str, str] | None = None,
) -> Review:
    """Review the last interval of trades against all before it.

    Args:
        returns: one number per closed trade, oldest first.
        constitution: supplies the interval, the range of the rate, the Sharpe threshold; may switch the regime test off.
        rate: the current adaptation rate; the middle of the range where None.
        tightened: limits that earlier reviews tightened (decimal text); this one goes on from there.

    Raises:
        InputError: a return that is not finite, or a rate outside the range.
    """
    interval = int(constitution.value("performance_review_interval_trades", Decimal(10)))
    low, high = (Fraction(bound) for bound in constitution.value("adaptation_rate_range", (Decimal("0.1"), Decimal("0.5"))))
    current = (low + high) / 2 if rate is None else rate
    if not low <= current <= high:
        raise InputError(f"rate: expected {low} to {high}, got {current}", mend="take the rate of the last review")
    before, now = window(returns[:-interval], periods), window(returns[-interval:], periods)
    finding, p, why = _compare(before, now, interval)
    poor = _poor(now, constitution)
    steady = Regime(False, None, "", None, FALSE_ALARMS, "The constitution switches the test for a change of regime off.")
    shift = regime(returns) if constitution.value("regime_detection_enabled", True) else steady
    chosen, reasons = _adapt(finding, poor, shift, (low, current, high))
    tightening = _tighter(constitution, chosen, tightened or {}) if poor or finding == "degraded" else {}
    return Review(finding, before, now, p, poor, shift, chosen, tightening, (why, *reasons))


def _compare(before: Window, now: Window, interval: int) -> tuple[Finding, float | None, str]:
    from scipy import stats

    if now.n < interval or before.n < interval:
        return "too_few", None, f"Not enough evidence: a comparison needs {interval} trades on both sides."
    table = [[now.wins, now.n - now.wins], [before.wins, before.n - before.wins]]
    p = float(stats.fisher_exact(table).pvalue)
    change = f"Win rate {before.win_rate:.0%} -> {now.win_rate:.0%} (Fisher's exact test: p = {p:.2f})"
    if p > 1 - CONFIDENCE:
        return "no_evidence", p, f"{change}: not enough evidence of a change."
    worse = (now.win_rate or 0) < (before.win_rate or 0)
    return ("degraded" if worse else "improved"), p, f"{change}: {'degradation' if worse else 'acceleration'}."


def _poor(now: Window, constitution: Any) -> bool:
    """Poor only when the whole interval of the Sharpe ratio lies below the threshold."""
    threshold = constitution.value("poor_performance_threshold_sharpe")
    return threshold is not None and now.sharpe_interval is not None and now.sharpe_interval[1] < float(threshold)


def _adapt(finding: Finding, poor: bool, shift: Regime, rates: tuple[Fraction, Fraction, Fraction]) -> tuple[Fraction, list[str]]:
    """To the upper end when performance falls or the regime changed, to the lower when it rises, else stay."""
    low, current, high = rates
    if finding == "degraded" or poor or shift.changed:
        return high, ["Performance fell or the market changed: unlearn faster; judge again after the next review."]
    if finding == "improved":
        return low, ["Performance rose: change little, and see whether the gain survives a change of regime."]
    return current, ["Nothing is shown: keep the rate, gather more trades."]


def _tighter(constitution: Any, rate: Fraction, tightened: Mapping[str, str]) -> dict[str, str]:
    """Size and risk per trade reduced by the adaptation rate (never below the key's plausible range)."""
    found = {}
    for key in ("max_risk_per_trade_pct", "max_position_size_pct"):
        value = constitution.value(key)
        if value is not None:
            aim = Fraction(tightened.get(key, value)) * (1 - rate)
            new = (Decimal(aim.numerator) / aim.denominator).quantize(Decimal("0.01"), rounding=ROUND_FLOOR)
            new = max(new, KEYS[key].low or new)
            if new < Fraction(tightened.get(key, value)):
                found[key] = format(new, "f")
    return check_tightening(constitution, found, tightened)


def check_tightening(constitution: Any, changes: Mapping[str, str], tightened: Mapping[str, str] | None = None) -> dict[str, str]:
    """The changes, when each of them tightens; the gate through which learning alone may go.

    Args:
        tightened: values that were tightened before, and that count instead of the constitution's.

    Raises:
        InputError: one would loosen a limit, add an unknown one, or has no tighter direction; that takes k-of-n signatures.
    """
    before = tightened or {}
    for key, text in changes.items():
        known, old = KEYS.get(key), before.get(key, constitution.value(key)) if key in KEYS else None
        if (
            known is None
            or old is None
            or isinstance(old, bool)
            or known.shape != "scalar"
            or known.tighter not in ("lower", "higher")
        ):
            raise InputError(f"{key}: expected a numeric limit that the constitution sets", mend="let k-of-n sign the change")
        if not _NUMBER.fullmatch(text):
            raise InputError(f"{key}: expected a decimal number, got {text!r}", mend="write it like 12.5")
        new, was = Fraction(text), Fraction(old)
        if (new > was) if known.tighter == "lower" else (new < was):
            raise InputError(
                f"{key}: expected a value no looser than {old}, got {text}",
                mend="loosening takes k-of-n signatures, not learning",
            )
    return dict(changes)


def weight_proposal(records: dict[str, tuple[int, int]], weights: dict[str, Fraction], rate: Fraction) -> dict[str, str]:
    """New weights by track record (voter -> right calls, all calls), each moved by `rate` towards its Wilson lower bound.

    A proposal only: weights change by a registry that old and new thresholds signed. Voters without ten calls keep their weight.
    """
    from solon.evaluation.stats import wilson

    proposal = {}
    for voter, weight in weights.items():
        right, calls = records.get(voter, (0, 0))
        if calls < 10:
            proposal[voter] = str(weight)
            continue
        skill = Decimal(wilson(right, calls, CONFIDENCE).low)
        target = Fraction(skill.quantize(Decimal("0.001"), rounding=ROUND_CEILING))
        proposal[voter] = str((weight + rate * (target - weight)).limit_denominator(1000))
    return proposal
