"""Streaming measures against empyrical and pandas on real prices, and by hand at the edges."""

from __future__ import annotations

import csv
import gzip
import math
from decimal import Decimal as D
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from solon.policy.measures import (
    ATTO,
    DAY,
    MINUTE,
    Correlations,
    FlashCrash,
    HighWater,
    Losses,
    UnitNav,
    VolatilityRatio,
    basis_points,
    market_halt,
)

PRICES = Path(__file__).parents[2].parent / "shared" / "data" / "prices"
needs_prices = pytest.mark.skipif(not PRICES.exists(), reason="the shared price files are not here")


def closes(name: str, column: str) -> pd.DataFrame:
    with gzip.open(PRICES / name, "rt") as file:
        return pd.DataFrame(
            [(r["date"], r["symbol"], float(r[column])) for r in csv.DictReader(file)], columns=["date", "symbol", "p"]
        )


def test_drawdown_counts_the_first_day() -> None:
    high = HighWater(ATTO)
    assert high.update(9 * ATTO // 10) == (ATTO // 10, ATTO)
    assert basis_points(*high.update(88 * ATTO // 100)) == 1200
    assert high.update(2 * ATTO) == (0, 2 * ATTO)
    assert HighWater(high.mark).update(ATTO) == (ATTO, 2 * ATTO)  # survives a restart
    assert HighWater(0).update(0) == (1, 1)


@needs_prices
def test_drawdown_equals_empyrical() -> None:
    empyrical = pytest.importorskip("empyrical")
    prices = closes("lean_us_daily_ohlcv_1998_2021.csv.gz", "close")
    spy = prices[prices.symbol.str.lower() == "spy"].p.to_numpy()
    high, worst = HighWater(int(spy[0] * 1e4) * ATTO), Fraction(0)
    for price in spy:
        worst = max(worst, Fraction(*high.update(round(price * 1e4) * ATTO)))
    assert float(worst) == pytest.approx(-empyrical.max_drawdown(pd.Series(spy).pct_change().dropna()), rel=1e-9)


def test_flows_do_not_move_the_unit() -> None:
    nav = UnitNav.start(100_000 * ATTO)
    assert nav.value(100_000 * ATTO) == ATTO
    nav.flow(50_000 * ATTO, 100_000 * ATTO)
    assert nav.value(150_000 * ATTO) == ATTO
    nav.flow(-30_000 * ATTO, 120_000 * ATTO)  # after a loss of a fifth
    assert abs(nav.value(90_000 * ATTO) - 8 * ATTO // 10) <= 1
    with pytest.raises(ValueError, match="positive equity"):
        nav.flow(-90_000 * ATTO, 90_000 * ATTO)


def shares(losses: tuple[tuple[int, int], tuple[int, int]]) -> tuple[Fraction, Fraction]:
    return Fraction(*losses[0]), Fraction(*losses[1])


def test_daily_loss_does_not_forget_at_midnight() -> None:
    losses = Losses()
    assert shares(losses.update(DAY * 10, 100)) == (0, 0)
    assert shares(losses.update(DAY * 10 + 23 * 60 * MINUTE, 96)) == (Fraction(4, 100), Fraction(4, 100))
    daily, rolling = shares(losses.update(DAY * 11 + 60 * MINUTE, 92))  # a new day opens at 96
    assert daily == Fraction(4, 96) and rolling == Fraction(8, 100)  # the last value at least 24 hours old is 100
    losses = Losses()
    losses.update(0, 100)
    losses.update(12 * 60 * MINUTE, 96)
    daily, rolling = shares(losses.update(DAY - 1, 95))
    assert daily == rolling == Fraction(5, 100)
    daily, rolling = shares(losses.update(DAY + MINUTE, 94))
    assert daily == Fraction(1, 95) and rolling == Fraction(6, 100)
    assert shares(Losses().update(0, 0)) == (1, 1), "nothing left is a loss of everything"
    with pytest.raises(ValueError, match="order"):
        losses.update(0, 100)


def test_flash_crash_by_hand() -> None:
    crash = FlashCrash(5 * MINUTE, Fraction(5, 100), bar=MINUTE, prints=1)
    for minute, price in enumerate([100, 101, 100, 99, 98, 97]):
        reading = crash.update(minute * MINUTE, price * 100)
    assert reading[0] == Fraction(4, 101) and crash.fires(reading) is False
    reading = crash.update(6 * MINUTE, 9595)  # 5 % below 101, which is exactly five minutes old
    assert reading[0] == Fraction(101 * 100 - 9595, 10100) and crash.fires(reading) is True
    reading = crash.update(7 * MINUTE, 9595)
    assert reading[0] == Fraction(10000 - 9595, 10000) and crash.fires(reading) is False  # 101 fell out of the window


def test_flash_crash_ignores_one_bad_print_and_sees_gaps_and_squeezes() -> None:
    crash = FlashCrash(5 * MINUTE, Fraction(5, 100))
    for second, price in enumerate([100, 100, 100, 1, 100, 100]):
        assert crash.fires(crash.update(second * 1_000_000, price)) is False
    gap = FlashCrash(5 * MINUTE, Fraction(5, 100), bar=MINUTE, prints=1)
    gap.update(0, 100)
    assert gap.fires(gap.update(16 * 60 * MINUTE, 94)) is True  # the open against the prior close
    squeeze = FlashCrash(5 * MINUTE, Fraction(5, 100), bar=MINUTE, prints=1)
    squeeze.update(0, 100)
    reading = squeeze.update(MINUTE, 106)
    assert squeeze.fires(reading) is False and squeeze.fires(reading, short=True) is True
    daily = FlashCrash(5 * MINUTE, Fraction(5, 100), bar=DAY, prints=1)
    daily.update(0, 100)
    assert daily.fires(daily.update(DAY, 50)) is None  # a daily bar cannot show five minutes


@needs_prices
def test_flash_crash_against_a_rolling_maximum() -> None:
    with gzip.open(PRICES / "lean_spy_hourly_1998_2021.csv.gz", "rt") as file:
        rows = [(r["datetime"], round(float(r["close"]) * 10_000)) for r in csv.DictReader(file)][:4000]
    times = pd.to_datetime([t for t, _ in rows])
    series = pd.Series([p for _, p in rows], index=times)
    expected = 1 - series / series.rolling("240min", closed="both").max()
    crash = FlashCrash(240 * MINUTE, Fraction(8, 100), bar=60 * MINUTE, prints=1)
    alone = series.rolling("240min", closed="both").count() == 1
    for time, price, want, single in zip(times, series, expected, alone, strict=True):
        reading = crash.update(time.value // 1000, int(price))
        if not single:  # alone in its window, the prior close is the reference
            assert float(reading[0]) == pytest.approx(want, abs=1e-12)


def test_market_halts() -> None:
    assert [market_halt(p, 1000) for p in (931, 930, 870, 800, 1100)] == [0, 1, 2, 3, 0]


def test_correlations_equal_pandas_with_gaps() -> None:
    rng = np.random.default_rng(3)
    common = rng.normal(0, 0.01, 200)
    logs = np.cumsum(np.stack([common + rng.normal(0, 0.01, 200), common, rng.normal(0, 0.02, 200)]), axis=1)
    frame = pd.DataFrame(np.exp(logs.T) * 100, columns=["A", "B", "C"])
    frame.loc[rng.choice(200, 15, replace=False), "C"] = np.nan
    stream = Correlations(["A", "B", "C"], window=60, least=30)
    for _, row in frame.iterrows():
        stream.update({k: None if math.isnan(v) else v for k, v in row.items()})
    expected = np.log(frame).diff().iloc[-60:].corr(min_periods=30).to_numpy()
    np.testing.assert_allclose(stream.matrix()[~np.eye(3, dtype=bool)], expected[~np.eye(3, dtype=bool)], atol=2e-6)


def test_correlation_edges() -> None:
    stream = Correlations(["A", "B", "C"], window=60, least=30)
    for i in range(31):
        assert stream.pair("A", "B") is None  # too few points: two would always give +-1
        stream.update({"A": 100 + i % 3, "B": 200 + 2 * (i % 3), "C": 50.0})
    assert stream.pair("A", "B") == 1
    assert stream.pair("A", "C") is None  # a constant series
    book = stream.of_book({"A": 0.2, "B": 0.2})
    assert book.highest == book.weighted == 1 and set(book.pair) == {"A", "B"}
    assert stream.of_book({"A": 0.2, "B": -0.2}).highest == -1  # long against short diversifies
    assert stream.of_book({"A": 0.2, "C": 0.2}).measures() == {"max_pair_correlation": None, "weighted_correlation": None}
    assert stream.of_book({"A": 0.2}).measures() == {}
    assert stream.of_book({"A": 0.2, "NEW": 0.2}).highest is None
    for _ in range(40):
        stream.update({"A": float("nan"), "B": 200, "C": 0})
    assert stream.pair("A", "B") is None


def test_one_pair_is_no_breakdown() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(0, 0.01, (61, 4))
    base[:, 1] = base[:, 0] + rng.normal(0, 0.001, 61)
    stream = Correlations(list("ABCD"), window=60, least=30)
    for row in np.exp(np.cumsum(base, axis=0)):
        stream.update(dict(zip("ABCD", row, strict=True)))
    book = stream.of_book(dict.fromkeys("ABCD", 0.25))
    assert book.highest > D("0.95") and book.weighted < D("0.5")


def test_volatility_ratio() -> None:
    ratio = VolatilityRatio(bar=5 * MINUTE, short=6, least=20, most=60)
    rng = np.random.default_rng(7)
    reading = None
    for day in range(25):
        price = 100.0
        for bar in range(20):
            scale = 0.004 if day == 24 else 0.001
            price *= math.exp(scale * (1 if bar % 2 else -1) * (1 + 0.01 * rng.random()))
            reading = ratio.update(day * DAY + bar * 5 * MINUTE, price)
            assert (reading is None) == (day < 20 or bar < 6)
    assert D("3.9") < reading < D("4.1")
    daily = VolatilityRatio(bar=DAY, short=2, least=1)
    assert all(daily.update(day * DAY, 100 + day) is None for day in range(60))
    assert ratio.update(25 * DAY, 0) is None
