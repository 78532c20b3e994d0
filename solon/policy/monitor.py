"""What a stream of an account's states shows: losses, flash crashes, volatility and correlation, ready for limits and ladder.

    monitor = Monitor()
    seen = monitor.update(at, unit=unit, prices=prices, shares=shares)
    seen.measures                   # for State.measures; None where it cannot be told
    seen.daily_loss                 # (fall, start)

The bar is the smallest time between two states so far; what needs finer bars, or more of them than there were, is UNKNOWN.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from solon.policy.book import atto
from solon.policy.measures import MINUTE, Correlations, FlashCrash, Loss, Losses, VolatilityRatio

# (window, fall): a fall of 5 % within 5 minutes (the first tier of LULD), and the documented 8 % within 15.
CRASHES = ((5 * MINUTE, Fraction(5, 100)), (15 * MINUTE, Fraction(8, 100)))
LONG, LEAST, SHORT = 60, 30, 20  # bars: for the pair limit, at least, and for a breakdown
HOUR = 60 * MINUTE
COARSEST = 10 * MINUTE  # an hour of coarser bars has too few returns for a volatility


@dataclass(slots=True)
class Seen:
    """One reading. `measures` holds only what applies: pairs need two holdings, crashes need prices."""

    daily_loss: Loss | None = None
    rolling_loss: Loss | None = None
    measures: dict[str, Decimal | None] = field(default_factory=dict)


class Monitor:
    """Streaming: O(1) a state without prices, O(assets^2) with them. Times are microseconds and may not run backwards."""

    def __init__(self) -> None:
        self.bar = 0
        self._last: int | None = None
        self._losses = Losses()
        self._crashes: dict[str, tuple[FlashCrash, ...]] = {}
        self._volatility: VolatilityRatio | None = None
        self._prices: deque[dict[str, Decimal | None]] = deque(maxlen=LONG + 1)
        self._pairs: Correlations | None = None
        self._short: Correlations | None = None

    def update(
        self,
        at: int,
        *,
        unit: int | None = None,
        day: object = None,
        prices: Mapping[str, Decimal | None] | None = None,
        shares: Mapping[str, float] | None = None,
    ) -> Seen:
        """Take one state.

        Args:
            unit: unit value in 1e-18, None where it cannot be told.
            day: the trading day, in any form; the UTC date where it is not given.
            prices: mark by symbol.
            shares: exposure over equity by symbol held, negative for shorts; None where equity cannot be told.
        """
        seen = self.level(at, unit, day)
        if prices:
            seen.measures["flash_crash"] = self._crash(at, prices, shares)
            seen.measures["volatility_ratio"] = self._ratio(at, unit)
            seen.measures |= self._correlation(prices, shares)
        return seen

    def level(self, at: int, unit: int | None, day: object = None) -> Seen:
        """Take one state of which only the unit value is known: losses, and no measures."""
        last, self._last = self._last, at
        if last is not None and at != last and (not self.bar or at - last < self.bar):
            self._finer(at - last)
        if unit is None:
            return Seen()
        daily, rolling = self._losses.update(at, unit, day)
        return Seen(daily, rolling)

    def _finer(self, bar: int) -> None:
        self.bar = bar
        for crash in (crash for pair in self._crashes.values() for crash in pair):
            crash.bar = bar
        fits = bar <= COARSEST
        self._volatility = VolatilityRatio(bar, short=HOUR // bar, longest_bar=COARSEST) if fits else None

    def _crash(self, at: int, prices: Mapping[str, Decimal | None], shares: Mapping[str, float] | None) -> Decimal | None:
        """1 where a holding crashes (a short one: jumps), 0 where none does, None where it cannot be told for some holding."""
        found: list[bool | None] = []
        for symbol, price in prices.items():
            crashes = self._crashes.get(symbol)
            if crashes is None:
                crashes = tuple(FlashCrash(window, theta, self.bar, prints=1) for window, theta in CRASHES)
                self._crashes[symbol] = crashes
            share = (shares or {}).get(symbol, 0.0)
            for crash in crashes:
                reading = crash.update(at, atto(price)) if price is not None and price > 0 else None
                if share or shares is None:
                    found.append(crash.fires(reading, short=share < 0) if self.bar else None)
        return Decimal(1) if any(found) else None if None in found else Decimal(0)

    def _ratio(self, at: int, unit: int | None) -> Decimal | None:
        return self._volatility.update(at, unit / 1e18) if self._volatility is not None and unit is not None else None

    def _correlation(self, prices: Mapping[str, Decimal | None], shares: Mapping[str, float] | None) -> dict[str, Decimal | None]:
        self._prices.append(dict(prices))
        if self._pairs is None or self._short is None or any(symbol not in self._pairs.symbols for symbol in prices):
            self._pairs, self._short = self._begin_pairs()
        else:
            self._pairs.update(prices)
            self._short.update(prices)
        return self.correlation(shares or {})

    def correlation(self, shares: Mapping[str, float]) -> dict[str, Decimal | None]:
        """Highest pair and weighted correlation of holdings of these sizes, also such as are only thought of; empty below two."""
        if self._pairs is None or self._short is None or sum(1 for share in shares.values() if share) < 2:
            return {}
        pairs, short = self._pairs.of_book(shares), self._short.of_book(shares)
        if pairs.positions < 2:
            return {}
        return {"max_pair_correlation": pairs.highest, "weighted_correlation": short.weighted}

    def _begin_pairs(self) -> tuple[Correlations, Correlations]:
        """Anew with every symbol seen, fed with the bars that still matter; a symbol that was not there counts as missing."""
        symbols = sorted({symbol for bar in self._prices for symbol in bar})
        made = Correlations(symbols, LONG, LEAST), Correlations(symbols, SHORT, SHORT)
        for bar in self._prices:
            for one in made:
                one.update(bar)
        return made
