"""How long one assessment takes: every order limit, post-trade worst case, largest allowed size; 100 positions in memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from benchmarks.page import table, write
from solon.constitution.parse import load
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.parsing import parse_action, parse_state
from solon.policy.rules import compile_rules

NOW = "2026-11-20T15:30:00Z"
ROUNDS, IN_ROUND = 40, 500
EXTRA = {
    "price_collar_pct": "5",
    "max_order_value": "100000",
    "max_order_volume": "5000",
    "duplicate_order_window_seconds": "10",
    "max_messages_per_minute": "100",
    "max_repeated_executions": "10",
}


def book(positions: int = 100) -> Book:
    """An account of about 90,000 in as many positions, in twelve sectors."""
    held = [
        {
            "symbol": f"S{i}", "issuer": f"I{i}", "sector": f"sector {i % 12}", "qty": str(5 + i % 7), "mark": str(90 + i % 20),
            "multiplier": "1", "fx": "1", "product_leverage": "1", "priced_at": NOW,
        }
        for i in range(positions)
    ]  # fmt: skip
    base = {
        "as_of": NOW,
        "currency": "USD",
        "cash": "20000",
        "maintenance_margin": "10000",
        "nav_unit": "1",
        "high_water_mark": "1",
    }
    return Book(replace(parse_state({**base, "positions": held}), day_open_equity=Decimal(80_000)))


def judge() -> Judge:
    """The shipped trading constitution, with the order controls that it leaves to the account."""
    rules, extra = compile_rules(load("trading")), compile_rules(EXTRA)
    both = replace(rules, bounds={**rules.bounds, **extra.bounds}, shown={**rules.shown, **extra.shown})
    return Judge.of(both)


def order(qty: str, side: str = "buy", **more: str) -> dict[str, str]:
    return {"id": "a1", "agent": "buffett", "symbol": "S3", "side": side, "qty": qty, "stop_price": "88", "ts": NOW, **more}


def measure(deciding: Judge, account: Book, records: Mapping[str, dict[str, str]]) -> dict[str, tuple[str, list[list[float]]]]:
    """For each order its outcome and, of each round, the times in microseconds; orders take turns, as machines change speed."""
    actions = {name: parse_action(record) for name, record in records.items()}
    found: dict[str, tuple[str, list[list[float]]]] = {}
    for _ in range(ROUNDS):
        for name, action in actions.items():
            times = []
            for _ in range(IN_ROUND):
                start = time.perf_counter_ns()
                result = deciding.assess(action, account)
                times.append((time.perf_counter_ns() - start) / 1000)
            found.setdefault(name, (result.outcome, []))[1].append(sorted(times))
    return found


def row(name: str, outcome: str, rounds: list[list[float]]) -> tuple[str, ...]:
    """A line of the table: median of all, medians of the quickest and the slowest round, p99 of all."""
    every = sorted(t for times in rounds for t in times)
    middles = sorted(statistics.median(times) for times in rounds)
    p50, p99 = statistics.median(every), every[int(0.99 * len(every))]
    return name, outcome, f"{p50:.1f}", f"{middles[0]:.1f} to {middles[-1]:.1f}", f"{p99:.1f}"


def main() -> None:
    """Measure and write the page."""
    deciding, account = judge(), book()
    cases = {
        "a buy within every limit": order("10"),
        "a buy far too large (sized down)": order("1000"),
        "a limit order": order("10", limit_price="94"),
        "a sized exit": order("3", "sell"),
    }
    rows = [row(name, *found) for name, found in measure(deciding, account, cases).items()]
    start = time.perf_counter()
    for i in range(5000):
        account.mark(f"S{i % 100}", Decimal(90 + i % 20), account.now)
    change = (time.perf_counter() - start) / 5000 * 1e6
    text = f"{len(deciding.checks)} limits looked at for each order, 100 positions, one thread, {ROUNDS} rounds of {IN_ROUND} "
    text += "in turns.\n\n"
    text += "Targets: p50 50 µs, p99 1,000 µs.\n\n"
    text += (
        table(("order", "outcome", "p50 µs", "p50 of single rounds µs", "p99 µs"), rows)
        + f"\nOne new price in the book: {change:.1f} µs.\n"
    )
    print(text)
    write("policy", "Assessment of an order", text, "python -m benchmarks.policy")


if __name__ == "__main__":
    main()
