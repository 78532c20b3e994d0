"""Portfolio measures on a stream of marks: drawdown, losses over a day and 24 hours, flash crashes, volatility and correlation.

Money and unit value are integers of 1e-18, times are microseconds since 1970 UTC; what is compared with a limit is an exact
fraction. Statistics that need logarithms and roots are computed in binary floating point and handed over as decimals rounded up,
against the agent. None stands for UNKNOWN: too few points, a constant series, a window shorter than the bar. Definitions:
peers-runtime §6.1.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ATTO = 10**18
MINUTE = 60_000_000
DAY = 1440 * MINUTE
BASIS = 10_000
Loss = tuple[int, int]  # fall, start
_GONE: Loss = (1, 1)  # of nothing, or less, all is lost
MARKET_HALTS = ((2000, 3), (1300, 2), (700, 1))  # fall of the index in basis points, level


def upward(value: float, places: int = 4) -> Decimal:
    """A float as a decimal rounded up, after removing the last two digits of float noise."""
    return Decimal(f"{value:.12g}").quantize(Decimal(1).scaleb(-places), rounding=ROUND_CEILING)


@dataclass
class UnitNav:
    """Unitised net asset value: deposits and withdrawals buy and sell units, so that only results move the value of a unit.

    `units` in 1e-18. The unit value is rounded down, against the agent. (The practice of fund accounting; GIPS calls it
    time-weighted.)
    """

    units: int

    @classmethod
    def start(cls, equity: int, unit: int = ATTO) -> UnitNav:
        """Issue units for the first equity (1e-18) at a first unit value."""
        return cls(equity * ATTO // unit)

    def value(self, equity: int) -> int:
        """Value of one unit (1e-18); 0 or less when the equity is gone."""
        return equity * ATTO // self.units if self.units > 0 else 0

    def flow(self, amount: int, equity_before: int) -> None:
        """Money comes in (positive) or goes out, at the unit value before it.

        Raises:
            ValueError: the account has no positive equity, or more is taken out than there is.
        """
        if equity_before <= 0 or equity_before + amount <= 0:
            raise ValueError("expected positive equity before and after a flow")
        self.units += amount * self.units // equity_before


@dataclass
class HighWater:
    """Persistent high-water mark: HWM = max(HWM, U). It starts at the starting unit value and never resets by itself."""

    mark: int

    def update(self, unit: int) -> tuple[int, int]:
        """Take a new unit value; returns the drawdown as (fall, mark)."""
        self.mark = max(self.mark, unit)
        return (self.mark - unit, self.mark) if self.mark > 0 else (1, 1)

    def rebase(self, unit: int) -> None:
        """Set the mark anew. Only after a k-of-n decision: the caller proves that."""
        self.mark = unit


def basis_points(part: int, whole: int) -> int:
    """part / whole in basis points, rounded up."""
    return -(-part * BASIS // whole)


def utc_day(at: int) -> int:
    """Trading day of a 24-hour market: the UTC date."""
    return at // DAY


@dataclass
class Losses:
    """Loss since the day's open and over rolling 24 hours, of unit value; realised, unrealised and fees are all in it.

    `day_of` maps a time to its trading day where `update` is not told it (calendar and time zone are the caller's, explicit). The
    open of a day is the last value of the day before. The rolling loss compares with the last value at least 24 hours old, or the
    first there is.
    """

    day_of: Callable[[int], int] = utc_day
    _day: object = None
    _open: int = 0
    _last: tuple[int, int] | None = None
    _window: deque[tuple[int, int]] = field(default_factory=deque)

    def update(self, at: int, unit: int, day: object = None) -> tuple[Loss, Loss]:
        """Take a unit value at a time not before the last; returns daily and 24-hour loss, each as (fall, start), gains negative.

        Raises:
            ValueError: time runs backwards.
        """
        if self._last is not None and at < self._last[0]:
            raise ValueError("expected times in order")
        day = self.day_of(at) if day is None else day
        if day != self._day:
            self._day, self._open = day, self._last[1] if self._last is not None else unit
        self._last = last = (at, unit)
        window, begin = self._window, at - DAY
        window.append(last)
        while len(window) > 1 and window[1][0] <= begin:
            window.popleft()
        opened, earlier = self._open, window[0][1]
        return (
            (opened - unit, opened) if opened > 0 else _GONE,
            (earlier - unit, earlier) if earlier > 0 else _GONE,
        )


@dataclass
class FlashCrash:
    """1 - P / max of P over the window >= theta, or the same upwards for a short (then P / min - 1).

    `window` and `bar` in microseconds; prices are positive integers of any scale. `prints`: the price is the median of that many
    last ones (5 for single trades, against one bad print; 1 for bars). When nothing but the newest price lies in the window, as
    after a gap at the open, the last price before it is the reference. A bar longer than the window cannot tell: None.
    """

    window: int
    theta: Fraction
    bar: int = 0
    prints: int = 5
    _last: deque[int] = field(default_factory=deque)
    _high: deque[tuple[int, int]] = field(default_factory=deque)
    _low: deque[tuple[int, int]] = field(default_factory=deque)
    _before: tuple[int, int] | None = None

    def update(self, at: int, price: int) -> tuple[Fraction, Fraction] | None:
        """Take a price; returns (fall from the window's high, rise from its low), or None when the window cannot be seen."""
        self._last.append(price)
        if len(self._last) > self.prints:
            self._last.popleft()
        middle = sorted(self._last)[(len(self._last) - 1) // 2] if len(self._last) % 2 else _mean_middle(self._last)
        self._slide(at, middle)
        if self.bar > self.window:
            return None
        high, low = self._high[0][1], self._low[0][1]
        return Fraction(high - middle, high), Fraction(middle - low, low)

    def _slide(self, at: int, price: int) -> None:
        """Sliding maximum and minimum in O(1) amortised; the newest price that fell out stays as the prior close."""
        for queue, beats in ((self._high, int.__le__), (self._low, int.__ge__)):
            while queue and queue[0][0] < at - self.window:
                gone = queue.popleft()
                if self._before is None or gone[0] > self._before[0]:
                    self._before = gone
            if not queue and self._before is not None and self._before[0] < at:
                queue.append((at - self.window, self._before[1]))
            while queue and beats(queue[-1][1], price):
                queue.pop()
            queue.append((at, price))
        self._before = (at, price) if self.bar else self._before

    def fires(self, reading: tuple[Fraction, Fraction] | None, short: bool = False) -> bool | None:
        """Whether a reading is a crash for a long position (a short one); None when it cannot be told."""
        return None if reading is None else reading[1 if short else 0] >= self.theta


def _mean_middle(values: Sequence[int] | deque[int]) -> int:
    ordered = sorted(values)
    half = len(ordered) // 2
    return (ordered[half - 1] + ordered[half]) // 2


def market_halt(index: int, prior_close: int) -> int:
    """Level 0..3 of a market-wide fall from the prior close: 7, 13, 20 %. Prices are positive integers of one scale."""
    for threshold, level in MARKET_HALTS:
        if (prior_close - index) * BASIS >= threshold * prior_close:
            return level
    return 0


@dataclass
class VolatilityRatio:
    """Realised volatility now over what is usual at this time of day.

    sigma_short: zero-mean realised volatility of the last `short` log returns. sigma_long: the median of sigma_short at the same
    time of day on the `least`..`most` days before, this one excluded; at least `floor`. `bar` in microseconds; `offset` moves the
    day's start from UTC midnight. A bar longer than `longest_bar` cannot show a spike: always None.
    """

    bar: int
    short: int = 12
    least: int = 20
    most: int = 60
    floor: float = 1e-5
    offset: int = 0
    longest_bar: int = 60 * MINUTE
    _price: float | None = None
    _at: int = 0
    _squares: deque[float] = field(default_factory=deque)
    _usual: dict[int, deque[float]] = field(default_factory=dict)

    def update(self, at: int, price: Decimal | float) -> Decimal | None:
        """Take a bar's close; returns the ratio rounded up to four places, or None when it cannot be told."""
        value = float(price)
        if not math.isfinite(value) or value <= 0:
            self._price = None
            self._squares.clear()
            return None
        gap = self._price is None or (at + self.offset) // DAY != (self._at + self.offset) // DAY
        if gap:
            self._squares.clear()  # the return over night is not a five-minute return
        else:
            self._squares.append(math.log(value / (self._price or value)) ** 2)
        self._price, self._at = value, at
        if len(self._squares) > self.short:
            self._squares.popleft()
        return self._ratio(at) if len(self._squares) == self.short and self.bar <= self.longest_bar else None

    def _ratio(self, at: int) -> Decimal | None:
        sigma = math.sqrt(math.fsum(self._squares) / self.short)
        slot = (at + self.offset) % DAY // self.bar
        usual = self._usual.setdefault(slot, deque(maxlen=self.most))
        ratio = upward(sigma / max(self.floor, statistics.median(usual))) if len(usual) >= self.least else None
        usual.append(sigma)
        return ratio


class Correlations:
    """Pairwise Pearson correlation of log returns over the last `window` bars, updated in O(assets^2) per bar without drift.

    Returns are kept as integers of 1e-8, so that adding and removing them is exact. A pair uses the bars at which both have a
    return (both were priced at this bar and the one before); fewer than `least` of them, or a constant series, is None.
    """

    SCALE = 10**8
    LARGEST = 3.0  # a log return beyond e^3 within a bar is no price; the asset counts as missing there

    def __init__(self, symbols: Sequence[str], window: int = 60, least: int = 30) -> None:
        import numpy as np

        self.symbols, self.window, self.least = list(symbols), window, least
        self._index = {symbol: i for i, symbol in enumerate(self.symbols)}
        count = len(self.symbols)
        self._logs: np.ndarray = np.full(count, np.nan)
        self._rows: deque[tuple[np.ndarray, np.ndarray]] = deque()
        self._n, self._x, self._xx, self._xy = (np.zeros((count, count), dtype=np.int64) for _ in range(4))

    def update(self, prices: Mapping[str, Decimal | float | None]) -> None:
        """Take one bar: a price for each symbol; missing, None and not positive prices count as missing."""
        import numpy as np

        logs = np.full(len(self.symbols), np.nan)
        for symbol, price in prices.items():
            if price is not None and math.isfinite(float(price)) and price > 0:
                logs[self._index[symbol]] = math.log(float(price))
        returns = logs - self._logs
        self._logs = logs
        there = np.abs(returns) <= self.LARGEST
        row = np.where(there, np.rint(np.where(there, returns, 0.0) * self.SCALE), 0).astype(np.int64)
        self._rows.append((row, there.astype(np.int64)))
        self._add(*self._rows[-1], 1)
        if len(self._rows) > self.window:
            self._add(*self._rows.popleft(), -1)

    def _add(self, row: np.ndarray, there: np.ndarray, sign: int) -> None:
        import numpy as np

        self._n += sign * np.outer(there, there)
        self._x += sign * np.outer(row, there)
        self._xx += sign * np.outer(row * row, there)
        self._xy += sign * np.outer(row, row)

    def matrix(self) -> np.ndarray:
        """Correlations as floats, NaN where they cannot be told; the diagonal is not looked at."""
        import numpy as np

        n, x = self._n.astype(float), self._x.astype(float) / self.SCALE
        xx, xy = self._xx.astype(float) / self.SCALE**2, self._xy.astype(float) / self.SCALE**2
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = xx - x * x / n
            rho = (xy - x * x.T / n) / np.sqrt(variance * variance.T)
        flat = variance <= 1e-13 * np.maximum(xx, 1e-300)
        rho[(self._n < self.least) | flat | flat.T] = np.nan
        return np.clip(rho, -1.0, 1.0)

    def pair(self, first: str, second: str) -> Decimal | None:
        """Correlation of one pair, rounded up to four places."""
        value = float(self.matrix()[self._index[first], self._index[second]])
        return None if math.isnan(value) else upward(value)

    def of_book(self, weights: Mapping[str, float], smallest: float = 0.001) -> BookCorrelation:
        """Highest and weighted mean correlation of held pairs.

        `weights` are signed shares of equity; pairs of a long and a short count with the sign turned. Positions below `smallest`
        are left out. Any pair that cannot be told makes both None; fewer than two positions give None and are no pair at all.
        """
        import numpy as np

        held = [s for s, w in weights.items() if abs(w) >= smallest]
        if len(held) < 2 or any(s not in self._index for s in held):
            return BookCorrelation(None, None, len(held), ())
        places = [self._index[s] for s in held]
        w = np.array([weights[s] for s in held])
        rho = self.matrix()[np.ix_(places, places)] * np.sign(np.outer(w, w))
        upper = np.triu_indices(len(held), 1)
        if np.isnan(rho[upper]).any():
            return BookCorrelation(None, None, len(held), ())
        products = np.abs(np.outer(w, w))[upper]
        top = int(np.argmax(rho[upper]))
        mean = float((products * rho[upper]).sum() / products.sum())
        pair = (held[upper[0][top]], held[upper[1][top]])
        return BookCorrelation(upward(float(rho[upper][top])), upward(mean), len(held), pair)


@dataclass(frozen=True)
class BookCorrelation:
    """Highest pairwise and weighted mean correlation (None: cannot be told), number of positions, and the highest pair."""

    highest: Decimal | None
    weighted: Decimal | None
    positions: int
    pair: tuple[str, ...]

    def measures(self) -> dict[str, Decimal | None]:
        """For `State.measures`; empty below two positions, as there is no pair to measure."""
        if self.positions < 2:
            return {}
        return {"max_pair_correlation": self.highest, "weighted_correlation": self.weighted}
