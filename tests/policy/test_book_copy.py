"""A copied book and its original change apart."""

from decimal import Decimal
from typing import Any

from solon.policy.book import Book
from tests.policy.samples import order, position, state


def seen(book: Book) -> dict[str, Any]:
    """Everything that a book holds, lines spelled out."""
    lines = {symbol: {name: getattr(line, name) for name in line.__slots__} for symbol, line in book.lines.items()}
    lines = {symbol: {**line, "orders": dict(line["orders"])} for symbol, line in lines.items()}
    kept = {name: dict(value) if isinstance(value, dict) else value for name, value in vars(book).items()}
    kept |= {name: {key: list(times) for key, times in kept[name].items()} for name in ("_messages", "_executions")}
    return {**kept, "_recent": list(book._recent), "_ids": set(book._ids), "unpriced": set(book.unpriced), "lines": lines}


def test_a_copy_equals_its_book_and_changes_apart() -> None:
    book = Book(state(position(qty="5"), position("BETA", qty="7", mark="20")))
    book.note(order(id="noted"))
    book.note_execution(order(id="filled"))
    before = seen(book)
    other = book.copy()
    assert seen(other) == before
    other.fill("ACME", "sell", Decimal(5), Decimal(90))
    other.work(order(symbol="BETA", id="working"))
    other.note(order(id="later"))
    other.note_execution(order(id="later still"))
    assert seen(book) == before
    assert seen(other) != before
