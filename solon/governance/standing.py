"""How an account stands against its limits when nobody proposes anything: which are breached, which cannot be told.

The same numbers and boundaries as for an action (`solon.policy.limits`), read from the book's aggregates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Literal

from solon.policy.book import Book
from solon.policy.rules import BASIS, Rules

# (measure, limit, whether it fires at its level or only beyond it)
MEASURED = (
    ("max_pair_correlation", "max_correlation_critical", False),
    ("weighted_correlation", "correlation_breakdown_threshold", True),
    ("volatility_ratio", "volatility_spike_multiplier", True),
    ("flash_crash", "flash_crash_detection", True),
)


@dataclass(frozen=True)
class Standing:
    """One finding: the limit's key, breach or unknown, and measured basis points (None where it cannot be told)."""

    code: str
    status: Literal["breach", "unknown"]
    measured_bp: int | None


def standing(book: Book, rules: Rules, stated: Collection[str] = ()) -> tuple[Standing, ...]:
    """Every hard limit that the account breaks, or that cannot be told, as it is.

    `stated`: the fields of the state that are given, so that None in one of them is UNKNOWN and not merely left out.
    """
    return tuple(_findings(book, rules, stated))


def measured(measures: Mapping[str, Decimal | None], rules: Rules, stated: Collection[str] = ()) -> tuple[Standing, ...]:
    """The same for what a monitor measures, or the state gives; a measure that is not given, and not to be had, is left out."""
    found: list[Standing] = []
    for name, key, fires in MEASURED:
        bound = BASIS if key == "flash_crash_detection" and rules.flag(key) else rules.bounds.get(key)
        if bound is None or name not in measures:
            continue
        value = measures[name]
        if value is None:
            found += [Standing(key, "unknown", None)] if name in stated else []
        elif value * BASIS > bound or (fires and value * BASIS == bound):
            found.append(Standing(key, "breach", int((value * BASIS).to_integral_value(ROUND_CEILING))))
    return tuple(found)


def _equity(book: Book, rules: Rules) -> int | None:
    """Equity after bad fills; None where a price is missing or stale."""
    oldest = book.oldest_price()
    stale = oldest is None or book.now - oldest > rules.max_price_age
    return None if book.equity is None or stale else book.equity - book.slip


def _findings(book: Book, rules: Rules, stated: Collection[str]) -> Iterator[Standing]:
    equity = _equity(book, rules)
    shares = (
        ("max_leverage", book.gross),
        ("max_position_size_pct", max(book.issuers.values(), default=0)),
        ("max_position_size_leveraged_pct", max(book.issuers_leveraged.values(), default=0)),
        ("max_sector_concentration_pct", max(book.sectors.values(), default=0)),
    )
    for key, amount in shares:
        bound = rules.bounds.get(key)
        if bound is not None and (equity is None or equity <= 0 or amount * BASIS > bound * equity):
            yield _finding(key, None if equity is None else amount, equity)
    bound = rules.bounds.get("margin_buffer")
    margin = book.maintenance_margin
    if bound is not None and margin is None and "maintenance_margin" in stated:
        yield _finding("margin_buffer", None, None)
    if bound is not None and margin is not None and equity is not None:
        free = equity - margin
        if equity <= 0 or free * BASIS < bound * equity:
            yield _finding("margin_buffer", free, equity)
    yield from _losses(book, rules, equity, stated)


def _losses(book: Book, rules: Rules, equity: int | None, stated: Collection[str]) -> Iterator[Standing]:
    parts, bound = book.drawdown_parts(), rules.bounds.get("max_portfolio_drawdown_pct")
    if bound is not None and parts is not None and parts[0] * BASIS > bound * parts[1]:
        yield _finding("max_portfolio_drawdown_pct", parts[0], parts[1])
    if bound is not None and parts is None:
        yield Standing("max_portfolio_drawdown_pct", "unknown", None)
    bound = rules.bounds.get("max_daily_loss_pct")
    if bound is not None and book.day_open is None and "day_open_equity" in stated:
        yield _finding("max_daily_loss_pct", None, None)
    for start in (book.day_open, book.day_ago):
        if bound is None or start is None:
            continue
        if equity is None or start <= 0:
            yield Standing("max_daily_loss_pct", "unknown", None)
        elif (start - equity) * BASIS > bound * start:
            yield _finding("max_daily_loss_pct", start - equity, start)


def _finding(key: str, amount: int | None, whole: int | None) -> Standing:
    if amount is None or whole is None:
        return Standing(key, "unknown", None)
    return Standing(key, "breach", -(-amount * BASIS // whole) if whole > 0 else None)


def leverage_bp(book: Book) -> int | None:
    """Gross exposure over equity in basis points, rounded up; None where undefined."""
    equity = book.equity
    return None if equity is None or equity <= 0 else -(-book.gross * BASIS // equity)


def equity_gone(book: Book) -> bool:
    """Whether no equity is left (an account that cannot be priced is not known to be gone)."""
    return book.equity is not None and book.equity - book.slip <= 0 and (book.gross > 0 or book.equity < 0)


def unit_of(book: Book) -> int | None:
    """The unit value to watch: as reported, else the account's equity (right while nothing is paid in or out)."""
    return book.nav if book.nav is not None else book.equity


def shares_of(book: Book) -> dict[str, float] | None:
    """Exposure over equity of every holding, negative for shorts; None where equity cannot be told or is gone."""
    equity = book.equity
    if equity is None or equity <= 0:
        return None
    held = (line for line in book.lines.values() if line.qty)
    return {line.symbol: (line.long_side - line.buys_value) / equity for line in held}
