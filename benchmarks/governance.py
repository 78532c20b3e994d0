"""Speeds of ledger, certificates, decisions and replay, each beside what the machine itself can do."""

from __future__ import annotations

import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from benchmarks.page import table, write
from solon.governance import certificate as certificates
from solon.governance.drills import drill_order, drill_registry, drill_state
from solon.governance.governor import Governor
from solon.governance.killswitch import Switch
from solon.governance.replay import replay
from solon.governance.votes import Vote
from solon.ledger.dsse import seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import Ledger
from solon.ledger.tree import Tree

Row = tuple[str, str, str]
HUGE = Decimal(1_000_000)


def tree() -> list[Row]:
    """Appending canonical bytes, and proofs in a million entries."""
    entries, grown = [b"%08d" % n * 50 for n in range(100_000)], Tree()
    start = time.perf_counter()
    for entry in entries:
        grown.add(entry)
    rate = len(entries) / (time.perf_counter() - start)
    for number in range(900_000):
        grown.append(number.to_bytes(32, "big"))
    start = time.perf_counter()
    for number in range(200):
        grown.inclusion(number * 4999)
    proof = (time.perf_counter() - start) / 200 * 1000
    return [
        ("append 400-byte entries to the tree", f"{rate:,.0f}/s", "100,000/s"),
        ("inclusion proof in a million entries", f"{proof:.3f} ms", "1 ms"),
    ]


def certificate() -> list[Row]:
    """Five votes, verified offline."""
    keys = {name: PrivateKey.generate(name) for name in "abcde"}
    registry, now = drill_registry(keys), 1_700_000_000_000_000
    votes = [
        seal("vote", Vote("drill", 1, "c" * 64, "s", "p", "yes", key.id, 1, now, now + 10**6).record, [key])
        for key in keys.values()
    ]
    made = certificates.make(votes, registry, "c" * 64, "s", "p", now)
    times = timed(lambda: certificates.verify(made, registry), 500)
    return [("verify a certificate of 5 votes", f"{statistics.median(times):.3f} ms p50, {times[-5]:.3f} ms p99", "1 ms")]


def timed(call: Callable[[], object], rounds: int) -> list[float]:
    """Sorted milliseconds."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        found.append((time.perf_counter() - start) * 1000)
    return sorted(found)


def machine_commits(folder: Path, rows: int, rounds: int) -> list[float]:
    """Milliseconds of a plain SQLite commit (WAL, FULL) of so many 2 kB rows."""
    base = sqlite3.connect(folder / f"plain{rows}.db", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE t (b BLOB)")

    def commit() -> None:
        base.execute("BEGIN")
        base.executemany("INSERT INTO t VALUES (?)", [(b"x" * 2000,)] * rows)
        base.execute("COMMIT")

    return timed(commit, rounds)


def decisions(folder: Path) -> list[Row]:
    """64 callers against one at a time, and the machine's own 64-row commit, in the same run."""
    plain = machine_commits(folder, 64, 100)
    state, took = drill_state(), []
    order = drill_order
    with Ledger.open(folder / "ledger.db", PrivateKey.generate("bench")) as ledger:
        governor = Governor("trading", ledger=ledger)
        governor.decide(order(HUGE, "warm"), state)
        start = time.perf_counter()
        for number in range(60):
            governor.decide(order(HUGE, f"one{number}"), state)
        alone = 60 / (time.perf_counter() - start)

        def caller(name: int) -> None:
            for number in range(40):
                begun = time.perf_counter()
                governor.decide(order(HUGE, f"m{name}-{number}"), state)
                took.append((time.perf_counter() - begun) * 1000)

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(64)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        many = len(took) / (time.perf_counter() - start)
    took.sort()
    return [
        ("durable decisions, one caller", f"{alone:,.0f}/s", ""),
        ("durable decisions, 64 callers", f"{many:,.0f}/s, {many / alone:.1f} x one caller", "15 x"),
        (
            "p99 of a decision at 64 callers",
            f"{took[int(len(took) * 0.99)]:.1f} ms",
            f"3 x {plain[-2]:.1f} ms (64-row commit p99)",
        ),
    ]


def replays(folder: Path) -> list[Row]:
    """100,000 portfolio-level rows, without and with the ledger."""
    rng, unit, at = random.Random(1), 1.0, datetime(2026, 1, 1, tzinfo=UTC)
    states = folder / "states.csv"
    with states.open("w") as file:
        file.write("ts,nav_unit\n")
        for _ in range(100_000):
            unit *= 1 + rng.gauss(0, 0.0003)
            at += timedelta(minutes=1)
            file.write(f"{at:%Y-%m-%dT%H:%M:%SZ},{unit:.8f}\n")
    found = []
    for ledger, target in ((False, "50,000 rows/s"), (True, "5,000 rows/s")):
        start = time.perf_counter()
        replay(states, "trading", out=folder / f"out{ledger}", ledger=ledger, plots=False)
        rate = 100_000 / (time.perf_counter() - start)
        found.append((f"replay {'with' if ledger else 'without'} ledger", f"{rate:,.0f} rows/s", target))
    return found


def kill_flag(folder: Path) -> list[Row]:
    """How long until four other processes see a stop."""
    switch = Switch.create(folder / "switch.db")
    code = (
        "import sys,time\nfrom solon.governance.killswitch import Switch\nl=Switch(sys.argv[1]).lease(sys.argv[2],30_000_000)\n"
        "print('ready',flush=True)\nwhile l.holds: time.sleep(0.002)\nprint(time.monotonic_ns(),flush=True)"
    )
    words = [sys.executable, "-c", code, str(switch.path)]
    watchers = [subprocess.Popen([*words, str(n)], stdout=subprocess.PIPE, text=True) for n in range(4)]
    pipes = [watcher.stdout for watcher in watchers if watcher.stdout is not None]
    for pipe in pipes:
        pipe.readline()
    start = time.monotonic_ns()
    switch.trigger("bench", {})
    seen = [(int(pipe.readline()) - start) / 1e6 for pipe in pipes]
    for watcher in watchers:
        watcher.wait()
    return [("kill flag seen by the last of 4 processes", f"{max(seen):.1f} ms", "100 ms")]


def main() -> None:
    """Measure and write the page."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("SOLON_BENCH_DIR")) as name:
        folder = Path(name)
        rows = [*tree(), *certificate(), *decisions(folder), *replays(folder), *kill_flag(folder)]
    text = table(["what", "measured", "target"], [list(row) for row in rows])
    print(text)
    write("governance", "Ledger and governance", text, "python -m benchmarks.governance")


if __name__ == "__main__":
    main()
