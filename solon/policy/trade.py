"""One action against a book: the figures after the trade, in the worst case, that every limit reads."""

from __future__ import annotations

from solon.policy.book import ATTO, UNIT, Book, Line, atto, ceil_div
from solon.policy.types import MICROSECONDS, Action


class Trade:
    """One action against a book: the post-trade, worst-case figures that every check reads. Money in 1e-18 of account currency.

    `blind`: equity or this instrument's value can't be told (missing, stale, not positive); then, and only then, `equity` is
    None. `reducing`: strictly reduces the position, working orders included, without crossing zero. `value` is the order's own
    value; `rate` and `slip_rate` are value and equity lost per quantity (1e-36). `near` is the worst case on the order's side,
    `spare` that less the instrument's worst case: 0, or below where the other side is the worse.
    """

    __slots__ = (
        "action", "blind", "book", "buy", "cash", "cash_after", "delta", "drawdown", "entry", "equity", "equity_before",
        "gross_after", "gross_before", "holdings", "issuer_after", "issuer_before", "leveraged_after", "limit", "line", "near",
        "net_after", "now", "opens", "position_after", "positions_after", "price", "qty", "rate", "reducing", "sector_after",
        "sector_before", "slip", "slip_rate", "spare", "stale", "stop", "value", "why_blind", "working_slip",
    )  # fmt: skip

    def __init__(self, book: Book, action: Action, max_price_age: int, max_state_age: int) -> None:
        self.book, self.action = book, action
        self.buy = action.side == "buy"
        limit, stop = action.limit_price, action.stop_price
        self.limit = None if limit is None else atto(limit)
        self.stop = None if stop is None else atto(stop)
        self.now = now = max(book.now, action.ts)
        self.line = book.lines.get(action.symbol)
        self.stale = now - book.now > max_state_age
        self.why_blind = self._blindness(max_price_age)
        self.blind = self.why_blind != ""
        self.cash, self.holdings, self.working_slip = book.cash, book.holdings, book.slip
        self.equity_before = None if self.blind else book.cash + book.holdings - book.slip
        self.drawdown = book.drawdown_parts()
        self._begin()
        self._settle(atto(action.qty))

    def resized(self, qty: int) -> Trade:
        """The same action with another quantity (1e-18): what does not depend on quantity is taken over, not looked up again."""
        made = Trade.__new__(Trade)
        made.book, made.action, made.buy, made.limit, made.stop = self.book, self.action, self.buy, self.limit, self.stop
        made.now, made.line, made.stale, made.drawdown = self.now, self.line, self.stale, self.drawdown
        made.why_blind, made.blind, made.equity_before = self.why_blind, self.blind, self.equity_before
        made.cash, made.holdings, made.working_slip = self.cash, self.holdings, self.working_slip
        made.price, made.entry, made.rate, made.slip_rate = self.price, self.entry, self.rate, self.slip_rate
        made.near, made.spare = self.near, self.spare
        made.issuer_before, made.sector_before, made.gross_before = self.issuer_before, self.sector_before, self.gross_before
        made._settle(qty)
        return made

    def _blindness(self, max_age: int) -> str:
        """Why values cannot be told; empty when they can."""
        book, line = self.book, self.line
        if line is None:
            return f"the state has no reference data and price for {self.action.symbol}"
        if line.mark is None or line.factor is None:
            return f"{line.symbol} has no positive price, multiplier and fx"
        if book.unpriced:
            return f"no positive price, multiplier and fx for {', '.join(sorted(book.unpriced))}"
        oldest, own = book.oldest_price(), line.priced_at
        if oldest is None or own is None:
            return "a price carries no time"
        age = self.now - min(oldest, own)
        if age > max_age:
            return f"a price is {age // MICROSECONDS} s old, at most {max_age // MICROSECONDS} s are allowed"
        return "the state is older than allowed" if self.stale else ""

    def _begin(self) -> None:
        """Prices and the exposure before the order; all 0 where the instrument has no value."""
        book, line, limit = self.book, self.line, self.limit
        if line is None or line.mark is None or line.factor is None:
            self.price = self.entry = self.rate = self.slip_rate = self.near = self.spare = 0
            self.issuer_before = self.sector_before = self.gross_before = 0
            return
        self.price = price = line.order_price(self.buy, limit)
        self.rate = price * line.factor
        if limit is None:
            self.entry, self.slip_rate = price, 0
        else:
            self.entry, self.slip_rate = limit, line.slip_per_unit(self.buy, limit) * line.factor
        self.near = near = line.long_side if self.buy else line.short_side
        self.spare = near - line.worst
        self.issuer_before, self.sector_before = book.issuers[line.issuer], book.sectors[line.sector]
        self.gross_before = book.gross

    def _settle(self, qty: int) -> None:
        """Every figure that follows from the quantity; the one place where exposure is added up."""
        line = self.line
        self.qty = qty
        self.reducing = line is not None and self._reduces(line)
        self.positions_after, self.opens = len(self.book.held), False
        if line is None or line.mark is None or line.factor is None:
            self.equity: int | None = None
            self.value: int | None = None
            self.cash_after: int | None = None
            self.slip = self.delta = self.issuer_after = self.sector_after = 0
            self.gross_after = self.net_after = self.leveraged_after = self.position_after = 0
            return
        self.value = -(-qty * self.rate // UNIT)  # rounded up, as `ceil_div` does
        self.slip = -(-qty * self.slip_rate // UNIT) if self.slip_rate else 0
        self.equity = None if self.equity_before is None else self.equity_before - self.slip
        self._expose(line, self.value)

    def _reduces(self, line: Line) -> bool:
        held = line.qty
        if self.action.kind == "stop":
            return line.closed_by(self.action) and self.qty + line.stops <= abs(held)
        if held > 0:
            return not self.buy and self.qty + line.sells <= held
        return held < 0 and self.buy and self.qty + line.buys <= -held

    def _expose(self, line: Line, value: int) -> None:
        """Exposure with an order of this value."""
        book, held, buy = self.book, self.book.held, self.buy
        if self.reducing:  # may not fill, so nothing is credited
            delta, self.position_after = 0, max(0, abs(line.long_side - line.buys_value) - value)
            if self.qty == abs(line.qty) and held.get(line.issuer) == 1:
                self.positions_after -= 1
        else:
            self.position_after = after = self.near + value
            delta = max(after, line.short_side if buy else line.long_side) - line.worst
            if line.issuer not in held:
                self.positions_after += 1
                self.opens = True
        self.delta = delta
        self.issuer_after = self.issuer_before + delta
        self.sector_after = self.sector_before + delta
        self.gross_after = self.gross_before + delta
        signed = value if buy else -value
        self.net_after = book.net + signed
        self.cash_after = self.cash - signed
        leverage = line.leverage
        if leverage is not None and leverage > ATTO:
            self.leveraged_after = book.issuers_leveraged[line.issuer] + ceil_div(delta * leverage, ATTO)
        else:
            self.leveraged_after = 0
