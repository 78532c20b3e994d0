"""How a book of twice its equity fares in real crashes, without and with the trading constitution.

    python examples/crashes.py PRICES_FOLDER --out crashes

PRICES_FOLDER holds the CSV files named in CASES (columns date or datetime, symbol, and the price). All books want the same on
the first bar: twice the equity in equal parts. `without` buys it and holds. `ladder only` buys it as well, and from the reduce
rung on follows the emergency plan down to a leverage of one half (flat once killed; a person approves at once). `constitution`
does so too, but asks before every order and keeps stops 9.9 % below the entry. For every case: the states of the books, which
`solon replay` reads, their replays, a figure, and the numbers. Crude on purpose: orders fill at the close of a bar, without costs
and in any size; stops fill at the close of the bar that reaches them; nothing is bought after the first bar. Daily and hourly
bars show less than happened.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from solon.constitution import load
from solon.governance.plots import moment, shade, steps
from solon.governance.replay import replay
from solon.governance.standing import shares_of
from solon.policy.assess import Judge
from solon.policy.book import Book, atto
from solon.policy.emergency import emergency_plan
from solon.policy.ladder import LadderState, Observation, step
from solon.policy.monitor import Monitor
from solon.policy.parsing import state_record, time_text
from solon.policy.types import Action, Ladder, Position, State

START, ONE, STOP = Decimal(100_000), Decimal(1), Decimal("0.901")
Prices = dict[str, Decimal]
Bars = list[tuple[int, Prices]]
CENT = Decimal("0.000001")
LADDER = "ladder only"


@dataclass(frozen=True)
class File:
    """A file of prices: its column of the price, and how long after its stamp a price was known."""

    name: str
    column: str
    later: timedelta


@dataclass(frozen=True)
class Case:
    """A crash: files, symbol -> sector, first and last day. Earlier days of `history` warm the monitor up."""

    name: str
    files: tuple[File, ...]
    sectors: dict[str, str]
    history: str
    first: str
    last: str


INDEX = File("gspc_daily_1927_2023.csv.gz", "Close", timedelta(hours=21))  # the close in New York, in UTC
SHARES = File("lean_us_daily_ohlcv_1998_2021.csv.gz", "close", timedelta(hours=21))
HOURLY = File("lean_spy_hourly_1998_2021.csv.gz", "close", timedelta(hours=5))  # starts of hours, New York in summer: +1 +4
CRYPTO = File("crypto_value_daily_2010_2025.csv.gz", "value", timedelta(hours=0))  # one value a day, stamped like its start
FUNDS = dict.fromkeys(("SPY", "QQQ", "IWM", "EEM"), "share funds")
MIXED = {**FUNDS, "AAPL": "technology", "IBM": "technology", "BAC": "banks", "BTCUSD": "crypto", "ETHUSD": "crypto"}
CASES = (
    Case("1987 index daily", (INDEX,), {"GSPC": "index"}, "1987-05-01", "1987-08-25", "1987-12-31"),
    Case("2010-05-06 hourly", (HOURLY,), {"SPY": "share funds"}, "2010-04-01", "2010-05-03", "2010-05-14"),
    Case("2020-03 shares and crypto daily", (SHARES, CRYPTO), MIXED, "2019-10-01", "2020-02-19", "2020-04-30"),
)


def read(folder: Path, case: Case) -> Bars:
    """Closing prices by time, in UTC. A time is one at which the first file has a price; others lend their last one."""
    found: dict[int, Prices] = {}
    for number, file in enumerate(case.files):
        with gzip.open(folder / file.name, "rt", newline="", encoding="utf-8") as text:
            for row in csv.DictReader(text):
                day, symbol = row.get("date") or row.get("Date") or row["datetime"], row.get("symbol", "GSPC")
                if symbol in case.sectors and case.history <= day[:10] <= case.last:
                    at = datetime.fromisoformat(day).replace(tzinfo=UTC) + file.later
                    price = Decimal(row[file.column]).quantize(CENT)
                    found.setdefault(int(at.timestamp()) * 1_000_000, {})[symbol if not number else f"*{symbol}"] = price
    last: Prices = {}
    bars: Bars = []
    for at in sorted(found):
        last |= {name.removeprefix("*"): price for name, price in found[at].items()}
        if len(last) == len(case.sectors) and any(not name.startswith("*") for name in found[at]):
            bars.append((at, dict(last)))
    return bars


def begin(bars: Bars, case: Case) -> int:
    """The place of the first bar of the books."""
    return next(i for i, (at, _) in enumerate(bars) if f"{moment(at):%Y-%m-%d}" >= case.first)


class Account:
    """Cash and quantities at closing prices; a unit value of 1 at the start."""

    def __init__(self, sectors: dict[str, str]) -> None:
        self.cash, self.high, self.sectors = START, ONE, sectors
        self.qty = dict.fromkeys(sectors, Decimal(0))
        self.day, self.closed, self.opened = "", START, START  # equity at the last bar, and at the end of the day before

    def equity(self, prices: Prices) -> Decimal:
        return self.cash + sum((qty * prices[name] for name, qty in self.qty.items()), Decimal(0))

    def trade(self, name: str, qty: Decimal, price: Decimal) -> None:
        self.qty[name] += qty
        self.cash -= (qty * price).quantize(CENT)

    def mark(self, at: int, prices: Prices) -> None:
        """A new bar: the day's open and the high-water mark move on."""
        day = f"{moment(at):%Y-%m-%d}"
        self.opened = self.closed if day != self.day else self.opened
        self.day, self.closed = day, self.equity(prices)
        self.high = max(self.high, self._unit(prices))

    def _unit(self, prices: Prices) -> Decimal:
        return (self.equity(prices) / START).quantize(Decimal("1e-12"))

    def state(self, at: int, prices: Prices, rung: Ladder = Ladder.normal) -> State:
        held = tuple(
            Position(name, name, self.sectors[name], self.qty[name], price, ONE, ONE, ONE, at) for name, price in prices.items()
        )
        return State(at, "USD", self.cash, Decimal(0), self._unit(prices), self.high, self.opened, rung, held)


def wanted(prices: Prices) -> dict[str, Decimal]:
    """Twice the equity, in equal parts, in hundredths of a unit."""
    part = 2 * START / len(prices)
    return {name: (part / price).quantize(Decimal("0.01"), ROUND_DOWN) for name, price in prices.items()}


def free(bars: Bars, case: Case) -> Iterator[State]:
    """Buy twice the equity and hold."""
    account, first = Account(case.sectors), begin(bars, case)
    for name, qty in wanted(bars[first][1]).items():
        account.trade(name, qty, bars[first][1][name])
    for at, prices in bars[first:]:
        account.mark(at, prices)
        yield account.state(at, prices)


class Governed:
    """The same wishes, through the judge if it `asks`; afterwards stops, the ladder and its plans act. `log`: what was bought."""

    def __init__(self, bars: Bars, case: Case, judge: Judge, asks: bool = True) -> None:
        self.bars, self.case, self.judge, self.asks = bars, case, judge, asks
        self.account, self.monitor, self.ladder = Account(case.sectors), Monitor(), LadderState()
        self.stops: dict[str, Decimal] = {}
        self.log: list[str] = []

    def run(self) -> Iterator[State]:
        first = begin(self.bars, self.case)
        for at, prices in self.bars[:first]:
            self.monitor.update(at, prices=prices, shares=dict.fromkeys(prices, 0.1))
        self._enter(*self.bars[first])
        for at, prices in self.bars[first:]:
            self.account.mark(at, prices)
            self._stop_out(prices)
            self._watch(at, prices)
            yield self.account.state(at, prices, self.ladder.rung)

    def _enter(self, at: int, prices: Prices) -> None:
        """Ask for each part; buy the largest part of it that passes. Correlation is that of the book it would make."""
        self.monitor.update(at, prices=prices, shares=dict.fromkeys(prices, 0.1))
        for number, (name, qty) in enumerate(wanted(prices).items()):
            price = prices[name]
            if not self.asks:
                self.account.trade(name, qty, price)
                continue
            shares = {held: 0.1 for held, amount in self.account.qty.items() if amount or held == name}
            measures = self.monitor.correlation(shares)
            state = replace(self.account.state(at, prices), measures=measures)
            order = Action(f"o{number}", "example", "order", name, "buy", qty, None, (price * STOP).quantize(CENT), at)
            result = self.judge.assess(order, Book(state))
            size = result.largest_allowed
            bought = qty if result.allowed else min(qty, Decimal(size.qty)) if size is not None else Decimal(0)
            self.account.trade(name, bought, price)
            self.stops[name] = price * STOP
            codes = [r.code for r in result.verdict.reasons if r.status != "ok" and r.severity >= 2]
            self.log.append(f"{name}: {bought:f} of {qty:f}" + (f" ({', '.join(codes)})" if codes else ""))

    def _stop_out(self, prices: Prices) -> None:
        for name, stop in self.stops.items():
            if self.account.qty[name] and prices[name] <= stop:
                self.account.trade(name, -self.account.qty[name], prices[name])

    def _watch(self, at: int, prices: Prices) -> None:
        """Move the ladder by unit value and account, which are two sources, and follow the plan of the rung that holds."""
        state = self.account.state(at, prices, self.ladder.rung)
        book = Book(state)
        unit, high = atto(state.nav_unit or ONE), atto(state.high_water_mark or ONE)
        seen = self.monitor.update(at, unit=unit, prices=prices, shares=shares_of(book))
        for source in ("unit value", "account"):
            observation = Observation(
                at, (high - unit, high), source, correlation=seen.measures.get("weighted_correlation"),
                volatility=seen.measures.get("volatility_ratio"),
            )  # fmt: skip
            self.ladder, _ = step(self.ladder, observation, self.judge.rules)
        if self.ladder.rung >= Ladder.reduce:
            book = Book(self.account.state(at, prices, self.ladder.rung))
            killed = self.ladder.rung == Ladder.killed
            for planned in emergency_plan(book, self.judge, target=Fraction(1, 2), flatten=killed).steps:
                if planned.action is not None and planned.kind in ("reduce", "rebalance"):
                    self.account.trade(planned.action.symbol, -planned.action.qty, prices[planned.action.symbol])


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
    """Final and lowest unit value, largest fall from the mark, worst bar, gross leverage at the start and at most."""
    units = [state.nav_unit or ONE for state in states]
    falls = [1 - unit / (state.high_water_mark or ONE) for unit, state in zip(units, states, strict=True)]
    moves = [now / before - 1 for before, now in pairwise(units) if before > 0]
    books = [Book(state) for state in states]
    gross = [book.gross / book.equity if book.equity and book.equity > 0 else float("inf") for book in books]
    return {
        "final": f"{units[-1]:.4f}", "lowest": f"{min(units):.4f}", "largest drawdown": f"{max(falls):.2%}",
        "worst bar": f"{min(moves):.2%}", "leverage at the start": f"{gross[0]:.2f}", "highest leverage": f"{max(gross):.2f}",
    }  # fmt: skip


def plot(path: Path, cases: dict[str, dict[str, list[State]]]) -> None:
    """For each case the unit value of its books, and the rungs of the one that only the ladder governs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(10, 6 * len(cases)), layout="constrained")
    parts = figure.subfigures(len(cases), 1, squeeze=False)[:, 0]
    for part, (name, books) in zip(parts, cases.items(), strict=True):
        _panel(part.subplots(2, 1, sharex=True, height_ratios=(2.2, 1)), name, books)
    figure.savefig(path, dpi=110 if len(cases) == 1 else 80)
    plt.close(figure)


def _panel(axes: Any, name: str, books: dict[str, list[State]]) -> None:
    top, bottom = axes
    colours = dict(zip(books, ("#a04040", "#c9a227", "#1f5f8b"), strict=True))
    for label, states in books.items():
        times = [moment(state.as_of) for state in states]
        top.plot(times, [float(state.nav_unit or 0) for state in states], label=label, color=colours[label], linewidth=1.6)
    rungs = [int(state.ladder) for state in books[LADDER]]
    for axis in axes:
        shade(axis, times, rungs)
        axis.grid(alpha=0.25)
        axis.margins(x=0.01)
    steps(bottom, times, rungs)
    bottom.set_title(f"rung, {LADDER}", loc="left", fontsize=9)
    top.axhline(1, color="black", linewidth=0.6)
    top.set_ylabel("unit value")
    top.set_title(f"{name}: a wish for twice the equity", loc="left", fontsize=11)
    top.legend()


def run(case: Case, prices: Path, out: Path, judge: Judge, plots: bool = True) -> tuple[dict[str, Any], dict[str, list[State]]]:
    """One case into a folder of its own: its numbers, and its books."""
    folder = out / case.name.replace(" ", "_")
    folder.mkdir(parents=True)
    bars = read(prices, case)
    governed = Governed(bars, case, judge)
    books = {
        "without": list(free(bars, case)),
        LADDER: list(Governed(bars, case, judge, asks=False).run()),
        "constitution": list(governed.run()),
    }
    rungs: dict[str, dict[str, str]] = {}
    for label, states in books.items():
        name = label.split()[0]
        write_states(folder / f"{name}.csv", states)
        rungs[label] = replay(folder / f"{name}.csv", "trading", out=folder / f"replay-{name}", plots=plots).rungs
    if plots:
        plot(folder / "books.png", {case.name: books})
    numbers = {
        "bars": len(books["without"]), **{label: figures(states) for label, states in books.items()},
        "ladder, as the replay sees each book": rungs, "bought under the constitution": governed.log,
    }  # fmt: skip
    return numbers, books


def table(found: dict[str, dict[str, Any]]) -> str:
    """The figures of all cases as a Markdown table."""
    lines = [
        "| case | book | leverage at the start | final | lowest | largest drawdown | worst bar |",
        "|---|---|---|---|---|---|---|",
    ]
    for case, result in found.items():
        for label in ("without", LADDER, "constitution"):
            f = result[label]
            cells = [f[key] for key in ("leverage at the start", "final", "lowest", "largest drawdown", "worst bar")]
            lines.append(f"| {' | '.join([case, label, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    """Run every case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prices", type=Path)
    parser.add_argument("--out", type=Path, default=Path("crashes"))
    given = parser.parse_args()
    if given.out.exists():
        parser.error(f"{given.out}: expected a new folder, got one that exists; name another with --out")
    judge = Judge.of(load("trading"))
    ran = {case.name: run(case, given.prices, given.out, judge) for case in CASES}
    found = {name: numbers for name, (numbers, _) in ran.items()}
    plot(given.out / "crashes.png", {name: books for name, (_, books) in ran.items()})
    (given.out / "summary.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    print(table(found))


if __name__ == "__main__":
    main()
