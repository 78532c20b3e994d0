"""The account in memory: positions and working orders with aggregates kept incrementally, in integers of 1e-18.

A change of one price, fill or order costs the same however many positions there are; a decision reads only aggregates.
Exposure is counted as the worst case: everything working fills, on the bad side (peers-runtime §6.0; RTS 6 Art. 15(2)).
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict, deque
from collections.abc import Callable
from copy import copy
from decimal import Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction

from solon.policy.types import MICROSECONDS, Action, Ladder, Position, State

ATTO = 10**18
UNIT = 10**54  # quantity (1e-18) x price (1e-18) x multiplier (1e-18) x fx (1e-18), back to 1e-18
MINUTE = 60 * MICROSECONDS
LONGEST_WINDOW = 86_400 * MICROSECONDS
UNKNOWN_SECTOR = "(unknown sector)"


_EXACT = Context(prec=60, traps=[Inexact, InvalidOperation])
_TIMES, _E18 = _EXACT.multiply, Decimal("1E+18")


def atto(value: Decimal) -> int:
    """An exact decimal with at most 18 places in units of 1e-18."""
    return int(_TIMES(value, _E18))


def _optional_atto(value: Decimal | None) -> int | None:
    return None if value is None else atto(value)


def _price(value: Decimal | None, otherwise: int | None) -> int | None:
    return atto(value) if value is not None and value > 0 else otherwise


def ceil_div(numerator: int, denominator: int) -> int:
    """Integer division rounded up."""
    return -(-numerator // denominator)


class Line:
    """One instrument: what is held, what is working, and what both contribute to the aggregates.

    Prices are in 1e-18; `factor` is multiplier x fx in 1e-36; None where unknown. `long_side` and `short_side` are the
    signed value of the position plus everything that could still be bought, or sold; `stops` the quantity of the working stops
    that close the position.
    """

    __slots__ = (
        "ask", "bid", "buys", "buys_value", "equity", "factor", "issuer", "leverage", "long_side", "margin_rate", "mark",
        "opened_at", "orders", "priced_at", "qty", "sector", "sells", "sells_value", "short_side", "slip", "stops", "symbol",
        "worst",
    )  # fmt: skip

    def __init__(self, position: Position) -> None:
        self.symbol = position.symbol
        self.issuer = position.issuer or position.symbol
        self.sector = position.sector or UNKNOWN_SECTOR
        self.qty = atto(position.qty)
        self.set_prices(position.mark, position.bid, position.ask, position.priced_at)
        known = position.multiplier is not None and position.fx is not None and position.multiplier > 0 and position.fx > 0
        self.factor = atto(position.multiplier) * atto(position.fx) if known else None  # type: ignore[arg-type]
        leverage = position.product_leverage
        self.leverage = atto(leverage) if leverage is not None and leverage > 0 else None
        self.margin_rate = _optional_atto(position.margin_rate)
        self.opened_at = position.opened_at
        self.orders: dict[str, Action] = {}
        self.buys = self.sells = self.buys_value = self.sells_value = self.slip = self.stops = 0
        self.equity = self.worst = self.long_side = self.short_side = 0

    def copy(self) -> Line:
        """A line that changes apart from this one."""
        made = copy(self)
        made.orders = dict(self.orders)
        return made

    def set_prices(self, mark: Decimal | None, bid: Decimal | None, ask: Decimal | None, at: int | None) -> None:
        """Take prices of time `at`; one that is not positive is none, and the mark stands for a side that has none."""
        self.mark = _price(mark, None)
        self.bid, self.ask = _price(bid, self.mark), _price(ask, self.mark)
        self.priced_at = at

    @property
    def active(self) -> bool:
        return self.qty != 0 or bool(self.orders)

    @property
    def priced(self) -> bool:
        return self.mark is not None and self.factor is not None

    def order_price(self, buy: bool, limit: int | None) -> int:
        """The price at which an order counts as exposure: the worse of the market's side and its limit."""
        side = (self.ask if buy else self.bid) or 0
        return max(side, limit) if limit is not None else max(side, self.mark or 0)

    def slip_per_unit(self, buy: bool, limit: int | None) -> int:
        """Equity lost at once, per unit of quantity, if the order fills at its limit (1e-18 of price)."""
        if limit is None or self.mark is None:
            return 0
        return max(0, limit - self.mark) if buy else max(0, self.mark - limit)

    def recount(self) -> None:
        """Recompute what this line contributes. Of protective stops, taken together, only what exceeds the position counts."""
        factor = self.factor or 0
        price = (self.bid if self.qty > 0 else self.ask) or 0
        self.equity = self.qty * price * factor // UNIT
        self.buys = self.sells = self.buys_value = self.sells_value = self.slip = self.stops = 0
        closing: list[Action] = []
        for order in self.orders.values():
            if self.closed_by(order):
                closing.append(order)
            else:
                self._count(order, 1)
        if closing:
            self._count_stops(closing)
        self._settle()

    def closed_by(self, order: Action) -> bool:
        """Whether it is a stop on the side that closes the position."""
        return order.kind == "stop" and self.qty != 0 and (self.qty < 0) == (order.side == "buy")

    def _count_stops(self, closing: list[Action]) -> None:
        """The position covers the cheapest first, so that what exceeds it counts at the worst price."""
        free = abs(self.qty)
        for order in sorted(closing, key=lambda order: order.limit_price or 0):
            qty = atto(order.qty)
            self.stops += qty
            self._count(order, 1, covered=min(qty, free))
            free -= min(qty, free)

    def add(self, order: Action) -> None:
        """One more order works; the sums of `recount`, without counting the others again."""
        self.remove(order.id)
        self.orders[order.id] = order
        if self.closed_by(order):
            self.recount()
        else:
            self._count(order, 1)
            self._settle()

    def remove(self, order_id: str) -> None:
        """An order no longer works, if it did."""
        order = self.orders.pop(order_id, None)
        if order is not None and self.closed_by(order):
            self.recount()
        elif order is not None:
            self._count(order, -1)
            self._settle()

    def _settle(self) -> None:
        """The sides, from what is held and what the orders add up to."""
        price = (self.bid if self.qty > 0 else self.ask) or 0
        held = ceil_div(abs(self.qty) * price * (self.factor or 0), UNIT)
        signed = held if self.qty > 0 else -held
        self.long_side = signed + self.buys_value
        self.short_side = -signed + self.sells_value
        self.worst = max(self.long_side, self.short_side)

    def _count(self, order: Action, sign: int, covered: int = 0) -> None:
        """Add an order to the sums (sign 1) or take it out of them (-1); `covered` of its quantity only closes the position."""
        factor = self.factor or 0
        qty, buy = atto(order.qty) - covered, order.side == "buy"
        limit = _optional_atto(order.limit_price)
        value = sign * ceil_div(qty * self.order_price(buy, limit) * factor, UNIT)
        self.slip += sign * ceil_div(qty * self.slip_per_unit(buy, limit) * factor, UNIT)
        qty *= sign
        if buy:
            self.buys, self.buys_value = self.buys + qty, self.buys_value + value
        else:
            self.sells, self.sells_value = self.sells + qty, self.sells_value + value


class Book:
    """An account whose aggregates stay current under `mark`, `fill`, `work`, `cancel`, `clock` and `cashflow`."""

    def __init__(self, state: State) -> None:
        self.currency = state.currency
        self.now = state.as_of
        self.ladder = state.ladder
        self.cash = atto(state.cash) + atto(state.accrued) - atto(state.fees)
        self.maintenance_margin = _optional_atto(state.maintenance_margin)
        self.nav = _optional_atto(state.nav_unit)
        self.high_water_mark = _optional_atto(state.high_water_mark)
        self.day_open = _optional_atto(state.day_open_equity)
        self.day_ago = _optional_atto(state.equity_24h_ago)
        self.measures, self.facts, self.agents = dict(state.measures), dict(state.facts), frozenset(state.agents)
        self.lines: dict[str, Line] = {}
        self.issuers: dict[str, int] = defaultdict(int)
        self.issuers_leveraged: dict[str, int] = defaultdict(int)
        self.sectors: dict[str, int] = defaultdict(int)
        self.held: dict[str, int] = {}
        self.gross = self.net = self.holdings = self.slip = 0
        self.unpriced: set[str] = set()
        self.throttled: set[tuple[str, str]] = set()
        self._oldest: int | None = None
        self._oldest_known = False
        self._messages: dict[str, list[int]] = defaultdict(list)
        self._recent: deque[tuple[int, Action, int | None]] = deque()
        self._seen: dict[tuple[object, ...], int] = {}
        self._ids: set[str] = set()
        self._executions: dict[tuple[str, str], list[int]] = defaultdict(list)
        for position in state.positions:
            self._add(Line(position))
        for order in state.working_orders:
            self.work(order)
        for action in sorted(state.recent, key=lambda a: a.ts):
            self.note(action)
        for action in sorted(state.executions, key=lambda a: a.ts):
            self.note_execution(action)

    def copy(self) -> Book:
        """A book that changes apart from this one. Actions are immutable and shared."""
        made = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, dict | set | deque):
                setattr(made, name, copy(value))
        made.lines = {symbol: line.copy() for symbol, line in self.lines.items()}
        for name in ("_messages", "_executions"):
            kept: dict[str, list[int]] = getattr(made, name)
            for key, times in kept.items():
                kept[key] = list(times)
        return made

    # --- changes ---------------------------------------------------------------------------------------------------------

    def _add(self, line: Line) -> None:
        self.lines[line.symbol] = line
        line.recount()
        self._contribute(line, 1)

    def _contribute(self, line: Line, sign: int) -> None:
        self.holdings += sign * line.equity
        self.slip += sign * line.slip
        self.net += sign * (line.long_side - line.buys_value)
        self.gross += sign * line.worst
        self.issuers[line.issuer] += sign * line.worst
        self.sectors[line.sector] += sign * line.worst
        if line.leverage is not None and line.leverage > ATTO:
            self.issuers_leveraged[line.issuer] += sign * ceil_div(line.worst * line.leverage, ATTO)
        if line.qty:
            count = self.held.get(line.issuer, 0) + sign
            self.held[line.issuer] = count
            if not count:
                del self.held[line.issuer]
        if line.active and not line.priced:
            (self.unpriced.add if sign > 0 else self.unpriced.discard)(line.symbol)

    def _change(self, line: Line, change: Callable[[], object], *, prices: bool = True) -> None:
        """Change a line, and its contribution with it; `prices` says that what orders are worth may change too."""
        was_active = line.active
        self._contribute(line, -1)
        change()
        if prices:
            line.recount()
        self._contribute(line, 1)
        if prices or line.active != was_active:
            self._oldest_known = False

    def mark(self, symbol: str, mark: Decimal | None, at: int, bid: Decimal | None = None, ask: Decimal | None = None) -> None:
        """A new price at time `at` (microseconds); None or a price that is not positive makes the line unpriced."""
        line = self.lines[symbol]
        self._change(line, lambda: line.set_prices(mark, bid, ask, at))
        self.clock(at)

    def fill(self, symbol: str, side: str, qty: Decimal, price: Decimal, fees: Decimal = Decimal(0)) -> None:
        """A fill: quantity moves, cash pays price x multiplier x fx, fees are taken."""
        line = self.lines[symbol]
        signed = atto(qty) if side == "buy" else -atto(qty)

        def change() -> None:
            line.qty += signed

        self._change(line, change)
        self.cash -= signed * atto(price) * (line.factor or 0) // UNIT + atto(fees)

    def work(self, order: Action) -> None:
        """An order went to the venue. An instrument that the book does not know is unpriced."""
        line = self.lines.get(order.symbol)
        if line is None:
            line = Line(Position(order.symbol))
            self._add(line)
        self._change(line, lambda: line.add(order), prices=False)
        self._ids.add(order.id)

    def cancel(self, symbol: str, order_id: str) -> None:
        """An order no longer works (cancelled, rejected or filled)."""
        line = self.lines[symbol]
        self._change(line, lambda: line.remove(order_id), prices=False)

    def cashflow(self, amount: Decimal) -> None:
        """Cash came in (positive) or went out."""
        self.cash += atto(amount)

    def clock(self, now: int) -> None:
        """Time passes; it never runs backwards."""
        self.now = max(self.now, now)

    def message(self, action: Action) -> None:
        """An agent sent something, whatever became of it."""
        insort(self._messages[action.agent], action.ts)

    def note(self, action: Action) -> None:
        """An action was accepted: it counts as a message and with its value; an equal one soon after is a duplicate."""
        line = self.lines.get(action.symbol)
        value = order_value(line, action) if line is not None else None
        self.message(action)
        self._recent.append((action.ts, action, value))
        self._seen[same(action)] = action.ts
        self._ids.add(action.id)
        while self._recent and self._recent[0][0] < action.ts - LONGEST_WINDOW:
            _, old, _ = self._recent.popleft()
            self._ids.discard(old.id)
            if self._seen.get(same(old)) == old.ts:
                del self._seen[same(old)]

    def note_execution(self, action: Action) -> None:
        """An order of an agent was executed; counts for the repeated-execution throttle."""
        insort(self._executions[action.agent, action.symbol], action.ts)

    def throttle(self, agent: str, symbol: str) -> None:
        """Disable an agent in an instrument until `re_enable` (RTS 6 Art. 15(1))."""
        self.throttled.add((agent, symbol))

    def re_enable(self, agent: str, symbol: str) -> None:
        """A designated person lifts the throttle; the count begins again."""
        self.throttled.discard((agent, symbol))
        self._executions.pop((agent, symbol), None)

    # --- readings --------------------------------------------------------------------------------------------------------

    @property
    def equity(self) -> int | None:
        """Cash + holdings + accrued - fees (1e-18 of account currency); None where a held instrument has no price."""
        return None if self.unpriced else self.cash + self.holdings

    def oldest_price(self) -> int | None:
        """When the most stale price in use was taken (microseconds); None where an active line has no time."""
        if not self._oldest_known:
            times = [line.priced_at for line in self.lines.values() if line.active]
            self._oldest = None if None in times else min(times, default=self.now)  # type: ignore[type-var]
            self._oldest_known = True
        return self._oldest

    def drawdown(self) -> Fraction | None:
        """(HWM - U) / HWM of unit value, HWM at least U; None where unknown."""
        parts = self.drawdown_parts()
        return None if parts is None else Fraction(*parts)

    def drawdown_parts(self) -> tuple[int, int] | None:
        """The drawdown as (fall, high-water mark); None where it can't be told: no unit was ever worth 0 at its best."""
        nav, high = self.nav, self.high_water_mark
        if nav is None or high is None or high <= 0 < nav:
            return None
        high = max(high, nav)
        return (high - nav, high) if high > 0 else (1, 1)

    def daily_loss(self) -> Fraction | None:
        """Loss since the day's open as a share of it (negative for a gain); None where unknown."""
        equity = self.equity
        if self.day_open is None or equity is None or self.day_open <= 0:
            return None
        return Fraction(self.day_open - equity, self.day_open)

    def messages(self, agent: str, since: int) -> int:
        """Messages of an agent after `since`."""
        times = self._messages.get(agent)
        return 0 if not times else _count_after(times, since)

    def executions(self, agent: str, symbol: str, since: int) -> int:
        """Executions of an agent in an instrument after `since`."""
        times = self._executions.get((agent, symbol))
        return 0 if not times else _count_after(times, since)

    def recent_value(self, agent: str, since: int) -> int | None:
        """Value of an agent's actions after `since` (1e-18); None where one had no price."""
        values = [value for at, action, value in self._recent if at > since and action.agent == agent]
        return None if None in values else sum(values)  # type: ignore[arg-type]

    def last_equal(self, action: Action) -> int | None:
        """When an equal action (agent, symbol, side, quantity, prices) was last proposed or placed."""
        line = self.lines.get(action.symbol)
        orders = line.orders if line is not None else None
        if not orders and not self._seen:
            return None
        wanted = same(action)
        last = self._seen.get(wanted)
        for order in orders.values() if orders else ():
            if (last is None or order.ts > last) and same(order) == wanted:
                last = order.ts
        return last

    def knows(self, action_id: str) -> bool:
        """Whether an action of this id was already proposed or is working."""
        return action_id in self._ids


def _count_after(times: list[int], since: int) -> int:
    return len(times) - bisect_right(times, since)


def same(action: Action) -> tuple[object, ...]:
    """What makes two orders equal for the duplicate check."""
    return (action.agent, action.kind, action.symbol, action.side, action.qty, action.limit_price, action.stop_price)


def order_value(line: Line, action: Action) -> int | None:
    """Value of an order at the worse of market and limit (1e-18); None where the instrument has no price."""
    if not line.priced or line.factor is None:
        return None
    price = line.order_price(action.side == "buy", _optional_atto(action.limit_price))
    return ceil_div(atto(action.qty) * price * line.factor, UNIT)


def book_of(state: State | Book) -> Book:
    """A book of a state; a book as it is."""
    return state if isinstance(state, Book) else Book(state)


def ladder_of(book: Book, rungs: tuple[tuple[int, Ladder, str], ...]) -> Ladder:
    """The rung that binds a decision: the latched one, or a higher one that the drawdown of this instant reaches (at or beyond).

    The kill rung of one reading stays at no-new here: kill is latched only when confirmed (see `solon.policy.ladder`).
    """
    return rung_at(book.ladder, book.drawdown_parts(), rungs)


def rung_at(latched: Ladder, drawdown: tuple[int, int] | None, rungs: tuple[tuple[int, Ladder, str], ...]) -> Ladder:
    """`ladder_of` for a drawdown given as (fall, high-water mark)."""
    rung = latched
    if drawdown is not None:
        fall, high = drawdown
        for bound, reached, _ in rungs:
            if fall * 10_000 >= bound * high:
                rung = max(rung, min(reached, Ladder.no_new))
    return rung
