"""The account behind a trading example, the limits it stands under, and the only way into a recommendation: past the limits.

States and orders are kept in the documented form (decimal strings) in the row's context; anyone can give them to `solon decide`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import cache, cached_property, lru_cache
from random import Random
from typing import Any, Literal

from solon.constitution import Constitution
from solon.data.scenarios.topics import read_yaml
from solon.data.scenarios.trading_numbers import written
from solon.data.splits import position as split_position
from solon.errors import CheckFailed, DataError
from solon.policy.assess import Assessment, Judge
from solon.policy.book import Book
from solon.policy.parsing import parse_action, parse_state
from solon.policy.types import State

NOW = "2026-03-02T15:00:00Z"
PRICES = (10, 20, 25, 40, 50, 100, 125, 200, 250)
FINE_PRICES = (10, 20, 25)  # of what is proposed, so that whole units come close to a limit
EQUITIES = (50_000, 100_000, 200_000, 250_000, 500_000, 1_000_000)
NEEDED = (
    "max_position_size_pct", "max_position_size_leveraged_pct", "max_leverage", "recommended_leverage",
    "max_portfolio_drawdown_pct",
    "max_daily_loss_pct", "max_risk_per_trade_pct", "max_sector_concentration_pct", "max_correlation", "max_correlation_critical",
    "emergency_deleverage_threshold", "halt_trading_threshold", "correlation_breakdown_threshold", "volatility_spike_multiplier",
    "consensus_threshold", "performance_review_interval_trades", "adaptation_rate_range", "poor_performance_threshold_sharpe",
    "kill_switch_drawdown",
)  # fmt: skip
HELD_OUT = 0.2  # share of the scenarios that only the evaluation part draws
Order = dict[str, Any]
Split = Literal["train", "evaluation"]


@dataclass(frozen=True)
class Draft:
    """A row before it is written: `group` names what the example is about, which decides its side of the split."""

    instruction: str
    sections: list[tuple[str, str]]
    context: dict[str, Any]
    group: str

    @property
    def response(self) -> str:
        """The sections as one text."""
        return "\n\n".join(f"{title}: {body}" for title, body in self.sections)


class OtherSide(Exception):
    """A drawn scenario belongs to the other part of the split; a signal within the generator, never seen outside."""


def side_of(group: str) -> Split:
    """On which side of the split a scenario lies, by the hash of what it is about."""
    return "evaluation" if split_position(f"trading {group}") < HELD_OUT else "train"


class Desk:
    """A constitution's limits compiled once, with the seeded choice and the words that the scenarios share."""

    def __init__(self, constitution: Constitution, rng: Random, split: Split = "train") -> None:
        missing = [key for key in NEEDED if constitution.value(key) is None]
        if missing:
            raise DataError(
                f"trading: expected a constitution with all trading limits, got {constitution.id!r} without {', '.join(missing)}",
                mend="use --constitution trading, or add the limits",
            )
        self.constitution, self.rng, self.split = constitution, rng, split
        self.documented = False  # while the documented examples are written
        self.judge = Judge.of(constitution)
        self.hash = constitution.hash
        self._limits: dict[str, Fraction] = {}
        self._ask = texts()["held_out" if split == "evaluation" else "ask"]

    def keep(self, group: str) -> str:
        """The group, if it lies on this desk's side of the split; a documented scenario belongs to training whatever its hash.

        Raises:
            OtherSide: it does not; drawn again.
        """
        if not self.documented and side_of(group) != self.split:
            raise OtherSide(group)
        return group

    def limit(self, key: str) -> Fraction:
        """A limit's number in its own unit (percent for percent keys)."""
        if key not in self._limits:
            self._limits[key] = Fraction(self.constitution.value(key))
        return self._limits[key]

    def one(self, values: Any) -> Any:
        """One of them, by the seeded choice."""
        return self.rng.choice(values)

    def step(self, low: Fraction, high: Fraction, step: str = "0.5") -> Fraction:
        """A multiple of `step` in [low, high]."""
        unit, over = _ratio(step)
        first = -(-low.numerator * over // (low.denominator * unit))
        last = high.numerator * over // (high.denominator * unit)
        return Fraction(unit * self.rng.randint(first, max(first, last)), over)

    def question(self, category: str) -> str:
        """What is asked at the end of an instruction; each side of the split has questions of its own."""
        return self.one(self._ask[category])

    def words(self, *path: str) -> str:
        """A sentence from the pool at this path; of a documented example the first."""
        found = self.pool(*path)
        return found[0] if self.documented else self.one(found)

    def pool(self, *path: str) -> list[str]:
        """All sentences at this path."""
        found: Any = texts()
        for name in path:
            found = found[name]
        return found

    def told(self, scenario: str, **values: str) -> str:
        """An instruction in one of the wordings of its scenario, filled in."""
        return self.words("told", scenario).format(**values)


@dataclass
class Account:
    """A STATE in the documented form and its book. `equity` in account currency."""

    state: dict[str, Any]
    equity: Fraction
    desk: Desk
    options: list[list[Order]] = field(default_factory=list)

    @cached_property
    def book(self) -> Book:
        """The book as it is now; never filled."""
        return self.fresh()

    @cached_property
    def _parsed(self) -> State:
        return parse_state(self.state)

    def fresh(self) -> Book:
        """A new book of the state as it was."""
        return Book(self._parsed)

    def held(self, symbol: str) -> Mapping[str, Any]:
        """The position record of a symbol."""
        return next(p for p in self.state["positions"] if p["symbol"] == symbol)

    def largest_held(self) -> str:
        """The symbol of the largest holding."""
        return max(self.state["positions"], key=lambda p: Decimal(p["qty"]) * Decimal(p["mark"]))["symbol"]

    def size(self, order: Order) -> Fraction:
        """An order's value in percent of equity."""
        (qty, of), (mark, over) = _ratio(order["qty"]), _ratio(self.held(order["symbol"])["mark"])
        return Fraction(qty * mark * 100 * self.equity.denominator, of * over * self.equity.numerator)

    def order(self, symbol: str, side: str, size: Fraction, stop: Fraction | None = None, agent: str = "desk") -> Order:
        """An order over `size` percent of equity with a stop `stop` percent from the price."""
        mark = Fraction(self.held(symbol)["mark"])
        made: Order = {
            "id": f"{agent}-{symbol}-{side}", "agent": agent, "kind": "order", "symbol": symbol, "side": side,
            "qty": _quantity(size, self.equity, mark), "ts": NOW,
        }  # fmt: skip
        if stop is not None:
            sign = -1 if side == "buy" else 1
            made["stop_price"] = decimal_text(mark * (1 + sign * stop / 100))
        return made

    def assess(self, order: Order) -> Assessment:
        """The verdict on an order, with the largest size that passes."""
        return self.desk.judge.assess(parse_action(order), self.book)

    def fill(self, order: Order, book: Book) -> None:
        """Pretend that an order filled at the mark."""
        book.fill(order["symbol"], order["side"], Decimal(order["qty"]), Decimal(self.held(order["symbol"])["mark"]))

    def largest(self, order: Order) -> Order | None:
        """The same order as large as the limits allow, at most as asked; None where no size passes."""
        found = self.assess(order)
        if found.allowed:
            return order
        return None if found.remedy is None else self._as_order(order, found)

    @staticmethod
    def _as_order(order: Order, found: Assessment) -> Order:
        remedy = found.remedy
        assert remedy is not None
        stop = {} if remedy.stop_price is None else {"stop_price": format(remedy.stop_price, "f")}
        return {**order, "qty": format(remedy.qty.normalize(), "f"), **stop}

    def offer(self, *orders: Order) -> None:
        """Recommend these orders together, one after the other. With `offered` the only way into `recommended`.

        Raises:
            CheckFailed: one of them does not pass the limits; nothing that does not is ever written.
        """
        complaints = self._complaints(orders)
        if complaints:
            raise CheckFailed(f"trading: expected a recommendation that passes the limits, got {complaints[0]}")
        self.options.append(list(orders))

    def offered(self, *orders: Order) -> bool:
        """Recommend these orders together if all of them pass; whether they do."""
        passing = not self._complaints(orders)
        if passing:
            self.options.append(list(orders))
        return passing

    def _complaints(self, orders: Sequence[Order]) -> list[str]:
        return breaches(self.state, orders, self.desk.judge, self.book if len(orders) == 1 else self.fresh())


def breaches(state: Mapping[str, Any], orders: Sequence[Order], judge: Judge, book: Book | None = None) -> list[str]:
    """What the limits say against these orders, each assessed on the book as those before it leave it. Empty when all pass.

    A `book` that is given is filled with every order but the last.
    """
    book = book or Book(parse_state(dict(state)))
    marks = {p["symbol"]: Decimal(p["mark"]) for p in state["positions"]}
    found = []
    for number, order in enumerate(orders, 1):
        action = parse_action(order)
        verdict = judge.assess(action, book, size=False)
        if not verdict.allowed:
            found.append(f"{order['side']} {order['qty']} {order['symbol']}: " + "; ".join(verdict.reasoning))
        if number < len(orders):
            book.fill(action.symbol, action.side, action.qty, marks[action.symbol])
    return found


def account(
    desk: Desk,
    target: Mapping[str, Any] | None = None,
    *,
    sizes: Sequence[Fraction] | None = None,
    sectors: Sequence[str] | None = None,
    drawdown: Fraction = Fraction(0),
    daily_loss: Fraction = Fraction(0),
    ladder: str = "normal",
    measures: Mapping[str, Fraction] | None = None,
    leverage: int = 1,
) -> Account:
    """An account with diversified holdings and, with no quantity, the reference data of `target` (symbol, sector).

    Args:
        sizes: holdings in percent of equity; by default six between 4 % and 8 %.
        sectors: their sectors, where they matter.
        drawdown, daily_loss: in percent, from the high-water mark and from the day's open.
        leverage: product leverage of the target.
    """
    rng = desk.rng
    open_equity = Fraction(rng.choice(EQUITIES))
    equity = open_equity * (1 - daily_loss / 100)
    sizes = sizes or [desk.step(Fraction(4), Fraction(8)) for _ in range(6)]
    names = rng.sample(texts()["holdings"], len(sizes))
    positions = []
    for index, ((symbol, sector), size) in enumerate(zip(names, sizes, strict=True)):
        price = rng.choice(PRICES)
        own = sectors[index] if sectors and index < len(sectors) else sector
        positions.append(_position(symbol, own, price, _quantity(size, equity, price)))
    if target is not None:
        positions.append(_position(target["symbol"], target["sector"], rng.choice(FINE_PRICES), "0", leverage))
    gross = sum(sizes, Fraction(0)) * equity / 100
    state: dict[str, Any] = {
        "as_of": NOW, "currency": "USD", "cash": decimal_text(equity - gross), "maintenance_margin": decimal_text(gross / 10),
        "nav_unit": decimal_text(1 - drawdown / 100), "high_water_mark": "1", "day_open_equity": decimal_text(open_equity),
        "ladder": ladder, "positions": positions, "working_orders": [],
    }  # fmt: skip
    if measures:
        state["measures"] = {name: decimal_text(value) for name, value in measures.items()}
    return Account(state, equity, desk)


def _position(symbol: str, sector: str, price: int, qty: str, leverage: int = 1) -> dict[str, Any]:
    return {
        "symbol": symbol, "issuer": symbol, "sector": sector, "qty": qty, "mark": str(price), "multiplier": "1",
        "fx": "1", "product_leverage": str(leverage), "priced_at": NOW,
    }  # fmt: skip


def asset(desk: Desk, kind: str = "assets") -> dict[str, Any]:
    """A seeded asset with one of its symbols."""
    found = desk.one(texts()[kind])
    return {**found, "symbol": desk.one(found["symbols"])}


@lru_cache(maxsize=4096)
def _ratio(text: str) -> tuple[int, int]:
    """Decimal text as numerator and denominator."""
    return Decimal(text).as_integer_ratio()


def _quantity(size: Fraction, equity: Fraction, price: Fraction | int) -> str:
    """How much of something at `price` makes up `size` percent of equity, as decimal text."""
    top = size.numerator * equity.numerator * price.denominator
    return decimal_text(Fraction(top, size.denominator * equity.denominator * price.numerator * 100))


def decimal_text(value: Fraction) -> str:
    """Exact decimal text.

    Raises:
        DataError: the value has no finite decimal form of at most 18 places.
    """
    numerator, denominator = value.as_integer_ratio()
    scaled, rest = divmod(numerator * 10**18, denominator)
    if rest:
        raise DataError(f"trading: expected a decimal number, got {value}", mend="choose numbers that divide evenly")
    return written(scaled, 18).rstrip("0").rstrip(".")


def numbers(**values: Fraction | int | str | bool | None) -> dict[str, Any]:
    """Numbers of a context as JSON numbers; fractions that are no decimals are rounded to 6 places."""
    return {name: _json(value) for name, value in values.items() if value is not None}


def _json(value: Fraction | int | str | bool) -> Any:
    if not isinstance(value, Fraction):
        return value
    return value.numerator if value.denominator == 1 else round(float(value), 6)


@cache
def texts() -> Mapping[str, Any]:
    """The words of the trading generator, read once."""
    return read_yaml("trading_texts.yaml")
