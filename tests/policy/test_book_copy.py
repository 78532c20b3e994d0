"""A copied book and its original change apart."""

from decimal import Decimal
from random import Random
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


def test_orders_counted_one_by_one_add_up_to_all_counted_again() -> None:
    """Orders come, go, come again under their old id, while prices and holdings move: as a book that counts everything anew."""
    draw, now = Random(20261128), state(position(qty="5"), position("BETA", qty="-7", mark="20"), position("NEW"))
    book, ids = Book(now), [f"o{n}" for n in range(12)]
    for _ in range(400):
        symbol, name = draw.choice(["ACME", "BETA", "NEW", "UNKNOWN"]), draw.choice(ids)
        kind, limit = draw.choice(["order", "stop"]), draw.choice([None, "90", "101.5"])
        made = order(str(draw.randint(1, 30)), draw.choice(["buy", "sell"]), symbol, id=name, kind=kind, limit_price=limit)
        happens = draw.random()
        if happens < 0.6 or symbol not in book.lines:
            book.work(made)
        elif happens < 0.8:
            book.cancel(symbol, name)
        elif happens < 0.9:
            book.mark(symbol, draw.choice([None, Decimal(95), Decimal(103)]), book.now + 1)
        else:
            book.fill(symbol, draw.choice(["buy", "sell"]), Decimal(3), Decimal(99))
        oldest, again = book.oldest_price(), book.copy()
        for line in again.lines.values():
            again._change(line, lambda: None)
        assert again.oldest_price() == oldest and seen(again) == seen(book)
