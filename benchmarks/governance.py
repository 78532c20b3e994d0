"""Speeds of ledger, certificates, decisions and replay, each beside what the machine itself can do."""

from __future__ import annotations

import gc
import math
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
ALONE, CALLERS, EACH = 200, 64, 100
DELAYS = (1, 5, 10)  # milliseconds
LOAD = os.getloadavg()[0]


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


def late(times: list[float]) -> float:
    """The 99th percentile of sorted times (nearest rank)."""
    return times[math.ceil(0.99 * len(times)) - 1]


class Slowed(Ledger):
    """A ledger each of whose commits takes so many seconds longer before anybody is told, as on a slower disk."""

    delay = 0.0

    def _write_witness(self) -> None:
        time.sleep(self.delay)
        super()._write_witness()


class Durable(NamedTuple):
    """Decisions: ms each with one caller, ms of processor time of that; the same with 64 callers; sorted ms that these took."""

    alone: float
    alone_cpu: float
    many: float
    many_cpu: float
    took: list[float]

    @property
    def multiple(self) -> float:
        return self.alone / self.many


def durable(folder: Path, delay: float = 0.0) -> Durable:
    """One caller whose every decision is synced before the next is asked for, then 64 callers, on one ledger."""
    state, took = drill_state(), list[float]()
    with Slowed.open(folder / f"ledger{delay}.db", PrivateKey.generate("bench")) as ledger:
        ledger.delay = delay  # type: ignore[attr-defined]
        governor = Governor("trading", ledger=ledger)

        def caller(name: str, count: int) -> None:
            for number in range(count):
                begun = time.perf_counter()
                governor.decide(drill_order(HUGE, f"{name}-{number}"), state)
                took.append((time.perf_counter() - begun) * 1000)

        caller("warm", 20)
        gc.collect()
        gc.freeze()  # what importing made, as a service would
        alone, alone_cpu = spent([partial(caller, "alone", ALONE)])
        took.clear()
        many, many_cpu = spent([partial(caller, f"m{n}", EACH) for n in range(CALLERS)])
    total = CALLERS * EACH
    return Durable(alone / ALONE, alone_cpu / ALONE, many / total, many_cpu / total, sorted(took))


def spent(calls: Sequence[Callable[[], None]]) -> tuple[float, float]:
    """Milliseconds of wall time and of processor time of calls in a thread each."""
    threads = [threading.Thread(target=call) for call in calls]
    start, used = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.perf_counter() - start) * 1000, (time.process_time() - used) * 1000


def decisions(folder: Path) -> tuple[list[Row], str]:
    """64 callers against one at a time, and the machine's own 64-row commit, in the same run; the same with slower commits."""
    single, plain = statistics.median(machine_commits(folder, 1, 200)), late(machine_commits(folder, CALLERS, 400))
    runs = {delay: durable(folder, delay / 1000) for delay in (0, *DELAYS)}
    here = runs[0]
    rows = [
        ("durable decisions, one caller", f"{1000 / here.alone:,.0f}/s", ""),
        ("durable decisions, 64 callers", f"{1000 / here.many:,.0f}/s, {here.multiple:.1f} x one caller", "15 x"),
        ("p99 of a decision at 64 callers", f"{late(here.took):.1f} ms", f"3 x {plain:.1f} ms (64-row commit p99)"),
    ]
    return rows, _decomposed(here, single) + _slowed(runs, plain)


def _decomposed(here: Durable, single: float) -> str:
    """Where the time of a decision goes."""
    whole = table(
        ["a decision takes", "one caller, ms", "64 callers, ms"],
        [
            ["in all", f"{here.alone:.3f}", f"{here.many:.3f}"],
            ["of it the processor", f"{here.alone_cpu:.3f}", f"{here.many_cpu:.3f}"],
            ["of it waiting", f"{here.alone - here.alone_cpu:.3f}", f"{max(0.0, here.many - here.many_cpu):.3f}"],
        ],
    )
    needed = here.alone / 15 * 1000
    busy = f"{LOAD:.1f} on {os.cpu_count()} cores"
    return f"""
## Where the time of a durable decision goes

One fsync per decision is one caller: each decision is judged, committed and on disk before the next is asked for. A commit of
the ledger syncs twice, the database's log and the tip beside it, for one decision or for a thousand; a plain SQLite commit of one
row, which syncs once, took {single:.2f} ms (p50). The orders are denied for five reasons each, the dearest kind to log.
What importing made is frozen (`gc.freeze`), as a service would do: to look through it stops every caller for 25 ms, once in a few
thousand decisions.

{whole}
64 callers come back together, are judged one after the other, and go to disk in one commit. What is left of a decision then is
processor time in one interpreter, which runs on one core at a time: judging, writing the record, waking its caller, and a 64th of
a commit. The multiple grows with what a sync costs, not with the callers. For 15 x beside this one caller a decision may
cost {needed:.0f} µs in all.

Load average when this began: {busy}. Where other programs run, a sync waits for the processor as well as for
the disk; that slows one caller more than 64 and makes the multiple higher than a free machine with the same disk would show.
"""


def _slowed(runs: dict[int, Durable], plain: float) -> str:
    """The same with slower commits."""
    first = runs[0]
    rows = []
    for delay, run in runs.items():
        rates = [f"{1000 / took:,.0f}/s" for took in (run.alone, run.many)]
        multiples = [f"{run.multiple:.1f} x", f"{(first.alone + delay) / (first.many + delay / CALLERS):.1f} x"]
        rows.append([f"+{delay} ms", *rates, *multiples, f"{late(run.took):.1f} ms", f"{late(run.took) / (plain + delay):.1f} x"])
    head = ["each commit", "one caller", "64 callers", "measured", "foretold", "p99", "p99 / (64-row commit p99 + delay)"]
    return f"""
## On a slower disk (a delay added to every commit, not a measurement of another disk)

Foretold is (time of one caller here + delay) / (time at 64 callers here + delay / 64). Asked: 15 x and a p99 of 3 x.

{table(head, rows)}"""


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
        decided, explained = decisions(folder)
        rows = [*tree(), *certificate(), *decided, *replays(folder), *kill_flag(folder)]
    text = table(["what", "measured", "target"], [list(row) for row in rows]) + explained
    print(text)
    write("governance", "Ledger and governance", text, "python -m benchmarks.governance")


if __name__ == "__main__":
    main()
