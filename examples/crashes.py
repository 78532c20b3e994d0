"""How a book of twice its equity fares in real crashes, with and without the trading constitution.

    python examples/crashes.py PRICES_FOLDER --out crashes

PRICES_FOLDER holds the CSV files named in CASES (date or datetime, symbol, close; or value). For every case: the states of both
books, which `solon replay` reads, the replay of the free one, a figure, and the numbers. Assumptions, all of them crude: orders
fill at the bar's close without costs, each instrument is a sector of its own, stops lie 9.9 % below the entry and fill at the
close of the bar that reaches them, nothing is bought after the first bar. Daily and hourly bars show less than happened.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from pathlib import Path

from solon.constitution import load
from solon.governance.replay import replay
from solon.policy.assess import Judge
from solon.policy.book import Book, atto
from solon.policy.emergency import emergency_plan
from solon.policy.ladder import LadderState, Observation, step
from solon.policy.parsing import state_record, time_text
from solon.policy.types import Action, Ladder, Position, State

START = Decimal(100_000)
STOP = Decimal("0.901")
ONE = Decimal(1)
DAY = 86_400_000_000
Bars = list[tuple[int, dict[str, Decimal]]]


@dataclass(frozen=True)
class Case:
    """A crash: files with (name, column of the price), symbols, first and last day."""

    name: str
    files: tuple[tuple[str, str], ...]
    symbols: tuple[str, ...]
    first: str
    last: str


US, CRYPTO = ("lean_us_daily_ohlcv_1998_2021.csv.gz", "close"), ("crypto_value_daily_2010_2025.csv.gz", "value")
CASES = (
    Case("1987-10 index, daily", (("gspc_daily_1927_2023.csv.gz", "Close"),), ("GSPC",), "1987-08-25", "1987-12-31"),
    Case("2010-05-06, hourly", (("lean_spy_hourly_1998_2021.csv.gz", "close"),), ("SPY",), "2010-05-03", "2010-05-14"),
    Case(
        "2020-03, shares and cryptocurrencies, daily", (US, CRYPTO),
        ("SPY", "QQQ", "IWM", "EEM", "AAPL", "IBM", "BAC", "BTCUSD", "ETHUSD"), "2020-02-19", "2020-04-30",
    ),
)  # fmt: skip


def read(folder: Path, case: Case) -> Bars:
    """Closing prices by time; a time counts when all symbols have a price, or keep their last one."""
    found: dict[int, dict[str, Decimal]] = {}
    for name, column in case.files:
        with gzip.open(folder / name, "rt", newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                day = row.get("date") or row.get("Date") or row["datetime"]
                symbol = row.get("symbol", "GSPC")
                if symbol in case.symbols and case.first <= day[:10] <= case.last:
                    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
                    price = Decimal(row[column]).quantize(Decimal("0.000001"))
                    found.setdefault(int(moment.timestamp()) * 1_000_000, {})[symbol] = price
    bars: Bars = []
    last: dict[str, Decimal] = {}
    for at in sorted(found):
        last = {**last, **found[at]}
        if len(last) == len(case.symbols):
            bars.append((at, dict(last)))
    return bars


class Account:
    """Cash and quantities at closing prices."""

    def __init__(self) -> None:
        self.cash = START
        self.qty: dict[str, Decimal] = {}
        self.high = ONE
        self.stops: dict[str, Decimal] = {}
        self.day_open: Decimal | None = None

    def state(self, at: int, prices: dict[str, Decimal], rung: Ladder = Ladder.normal) -> State:
        held = tuple(
            Position(name, name, f"sector {name}", self.qty.get(name, Decimal(0)), price, ONE, ONE, ONE, at)
            for name, price in prices.items()
        )
        unit = (self.equity(prices) / START).quantize(Decimal("1e-12"))
        self.high = max(self.high, unit)
        return State(at, "USD", self.cash, Decimal(0), unit, self.high, self.day_open or self.equity(prices), rung, held)

    def equity(self, prices: dict[str, Decimal]) -> Decimal:
        return self.cash + sum((qty * prices[name] for name, qty in self.qty.items()), Decimal(0))

    def trade(self, name: str, qty: Decimal, price: Decimal) -> None:
        self.qty[name] = self.qty.get(name, Decimal(0)) + qty
        self.cash -= qty * price


def wanted(prices: dict[str, Decimal]) -> dict[str, Decimal]:
    """Twice the equity, in equal parts, in hundredths of a unit."""
    part = 2 * START / len(prices)
    return {name: (part / price).quantize(Decimal("0.01"), ROUND_DOWN) for name, price in prices.items()}


def free(bars: Bars) -> Iterator[State]:
    """Buy twice the equity and hold."""
    account = Account()
    for name, qty in wanted(bars[0][1]).items():
        account.trade(name, qty, bars[0][1][name])
    for at, prices in bars:
        yield account.state(at, prices)


def governed(bars: Bars, judge: Judge) -> Iterator[State]:
    """The same wishes through the judge; afterwards stops, the ladder and its plans act."""
    account, ladder = Account(), LadderState()
    at, prices = bars[0]
    for number, (name, qty) in enumerate(wanted(prices).items()):
        order = Action(
            f"o{number}", "example", "order", name, "buy", qty, None, (prices[name] * STOP).quantize(Decimal("1e-6")), at
        )
        result = judge.assess(order, Book(account.state(at, prices)))
        size = result.largest_allowed
        bought = qty if result.allowed else min(qty, Decimal(size.qty)) if size is not None else Decimal(0)
        account.trade(name, bought, prices[name])
        account.stops[name] = prices[name] * STOP
    for number, (at, prices) in enumerate(bars):
        if number and at // DAY != bars[number - 1][0] // DAY:
            account.day_open = account.equity(bars[number - 1][1])
        for name, stop in account.stops.items():
            if account.qty.get(name) and prices[name] <= stop:
                account.trade(name, -account.qty[name], prices[name])
        now = account.state(at, prices)
        fall = (atto(now.high_water_mark or ONE) - atto(now.nav_unit or ONE), atto(now.high_water_mark or ONE))
        ladder, _ = step(ladder, Observation(at, fall), judge.rules)
        if ladder.rung >= Ladder.reduce:
            plan = emergency_plan(Book(account.state(at, prices, ladder.rung)), judge, target=Fraction(1, 2))
            for planned in plan.steps:
                if planned.action is not None and planned.kind in ("reduce", "rebalance"):
                    account.trade(planned.action.symbol, -planned.action.qty, prices[planned.action.symbol])
        yield account.state(at, prices, ladder.rung)


def write_states(path: Path, states: list[State]) -> None:
    """The CSV that `solon replay` reads."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["ts", "symbol", "sector", "qty", "mark", "cash", "maintenance_margin", "nav_unit"])
        for state in states:
            record = state_record(state)
            for p in record["positions"]:
                cells = [p["symbol"], p["sector"], p["qty"], p["mark"], record["cash"], "0", record["nav_unit"]]
                writer.writerow([time_text(state.as_of), *cells])


def figures(states: list[State]) -> dict[str, str]:
    """Final and lowest unit value, largest drawdown, gross leverage at the start and at most."""
    units = [state.nav_unit or ONE for state in states]
    falls = [1 - unit / (state.high_water_mark or ONE) for unit, state in zip(units, states, strict=True)]
    books = [Book(state) for state in states]
    gross = [book.gross / book.equity if book.equity and book.equity > 0 else float("inf") for book in books]
    return {
        "final": f"{units[-1]:.4f}", "lowest": f"{min(units):.4f}", "largest drawdown": f"{max(falls):.2%}",
        "leverage at the start": f"{gross[0]:.2f}", "highest leverage": f"{max(gross):.2f}",
    }  # fmt: skip


def plot(path: Path, name: str, both: dict[str, list[State]]) -> None:
    """Unit value of both books, and the ladder of the governed one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(10, 6), layout="constrained")
    for label, states in both.items():
        times = [datetime.fromtimestamp(state.as_of / 1e6, UTC) for state in states]
        top.plot(times, [float(state.nav_unit or 0) for state in states], label=label)
        if label == "with the constitution":
            bottom.step(times, [int(state.ladder) for state in states], where="post", color="black")
    top.set_ylabel("unit value")
    top.set_title(name)
    top.legend()
    bottom.set_yticks([int(rung) for rung in Ladder], [rung.name for rung in Ladder])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Run every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--out", type=Path, default=Path("crashes"))
    given = parser.parse_args()
    judge, table = Judge.of(load("trading")), {}
    for case in CASES:
        folder = given.out / case.name.replace(" ", "_").replace(",", "")
        folder.mkdir(parents=True)
        bars = read(given.prices, case)
        both = {"without": list(free(bars)), "with the constitution": list(governed(bars, judge))}
        for label, states in both.items():
            write_states(folder / f"{label.split()[0]}.csv", states)
        seen = replay(folder / "without.csv", "trading", out=folder / "replay")
        plot(folder / "both.png", case.name, both)
        rungs = {}
        for state in both["with the constitution"]:
            rungs.setdefault(state.ladder.name, time_text(state.as_of))
        table[case.name] = {
            **{label: figures(states) for label, states in both.items()},
            "ladder of the free book": seen.rungs, "ladder of the governed book": rungs, "bars": len(bars),
        }  # fmt: skip
    (given.out / "summary.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
