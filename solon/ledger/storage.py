"""A ledger in a file: SQLite in WAL mode with synchronous=FULL, one writer, group commit, a signed tip.

    with Ledger.open("decisions.db", key) as ledger:
        index = ledger.append("decision", {"outcome": "deny"}, once="action:a-17")   # on disk when this returns

Order of a commit: entries and signed tip in one transaction, then the tip again in `FILE.tip` (the tip witness, which may lie on
another disk), then the callers are told. So a database that is cut, or is restored from an old copy, is shorter than its witness
and is refused; entries that someone without the key adds lie beyond the signed tip and are refused as well.
How the database is made, opened and found undamaged is in `database.py`.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from solon.errors import EnvironmentRefused, InputError, IntegrityError, SolonError
from solon.ledger import checkpoint as tips
from solon.ledger.canonical import entry_bytes, parse
from solon.ledger.checkpoint import Checkpoint
from solon.ledger.clocks import clock
from solon.ledger.database import (
    FOLDED_AT,
    SCHEMA,
    TOUCHED,
    check_tables,
    connect,
    connect_for_reading,
    fold,
    is_ledger,
    is_named,
    make_durable,
)
from solon.ledger.keys import PrivateKey, PublicKey
from solon.ledger.receipts import Receipt, settle_all
from solon.ledger.tree import Tree, leaf_hash

ORIGIN = "solon/ledger"
LARGEST_BATCH = 1024
LARGEST_QUEUE = 65_536

_INSERT = "INSERT INTO entries (number, leaf, once, body) VALUES (?, ?, ?, ?)"
_USED = "SELECT once FROM entries WHERE once IN (?"
ROWS = 64  # entries in one statement
_TIP = "INSERT INTO tip (id, note) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET note = excluded.note"
_ALL = "SELECT number, leaf, once, body FROM entries ORDER BY number"
_RANGE = "SELECT number, body FROM entries WHERE number >= ? AND number < ? ORDER BY number"


class AlreadyUsed(SolonError):
    """The `once` name of an entry was used before: the decision, vote or approval exists already. Nothing was written."""

    exit_code, code = 2, "used_before"


class LedgerClosed(EnvironmentRefused):
    """The ledger takes no entries: it was closed, a write failed before, or its queue is full. Nothing was written."""


@dataclass(frozen=True)
class Entry:
    """One entry: its place, the exact bytes that the tree covers, and their record."""

    index: int
    data: bytes

    @property
    def record(self) -> dict[str, Any]:
        """`kind`, `at` (UTC), `body`, and `once` where given. Raises IntegrityError when the bytes are not canonical."""
        return parse(self.data)


Job = tuple[bytes, str | None, Receipt]


def micros_of(text: str) -> int:
    """The inverse of `time_text`."""
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def time_text(micros: int) -> str:
    """Microseconds since 1970 as ISO 8601 in UTC, always with six places."""
    seconds, fraction = divmod(micros, 1_000_000)
    return f"{_second_text(seconds)}.{fraction:06d}Z"


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


class Ledger:
    """An append-only, signed log. Make one with `Ledger.open`, read one with `Ledger.read`; both refuse what does not verify."""

    def __init__(self, path: Path, key: PrivateKey | None, public: PublicKey, witness: Path, now: Callable[[], int]) -> None:
        self.path, self.key, self.public, self.witness, self.now = path, key, public, witness, now
        self.origin = ORIGIN
        self.tree = Tree()
        self.note = ""
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._waiting = 0  # entries in the queue
        self._unfolded = 0  # bytes in the log since it was folded
        self._failed = ""  # why the writer gave up
        self._refusing = ""  # why no new entry is taken
        self._guard: int | None = None
        self._reading = threading.Lock()
        self._writer: sqlite3.Connection
        self._reader: sqlite3.Connection
        self._thread: threading.Thread

    # --- opening -------------------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: Path | str,
        key: PrivateKey,
        *,
        witness: Path | str | None = None,
        wait: float = 10.0,
        now: Callable[[], int] = clock,
    ) -> Ledger:
        """Open for writing, or begin a new ledger. One writer at a time holds it.

        Args:
            key: signs the tips; the same key as before.
            witness: where the tip is kept beside the database (default FILE.tip).
            wait: seconds to wait for another writer.

        Raises:
            IntegrityError: cut, changed, restored from an old copy, or signed by another key.
            EnvironmentRefused: another process holds it.
        """
        ledger = cls(Path(path), key, key.public, _witness(path, witness), now)
        ledger.path.parent.mkdir(parents=True, exist_ok=True)
        ledger._guard = _hold(ledger.path, wait)
        try:
            fresh = not ledger.path.exists()
            if fresh and ledger.witness.exists():
                raise _lost(ledger.path, ledger.witness)
            ledger._writer = connect(ledger.path)
            if fresh or not is_ledger(ledger._writer, ledger.path):
                ledger._begin()
            make_durable(ledger._writer, ledger.path)
            ledger._load(ledger._writer)
            ledger._write_witness()
        except BaseException:
            if hasattr(ledger, "_writer"):
                ledger._writer.close()
            os.close(ledger._guard)
            raise
        ledger._reader = connect_for_reading(ledger.path)
        ledger._thread = threading.Thread(target=ledger._write_forever, name=f"ledger {ledger.path.name}", daemon=True)
        ledger._thread.start()
        return ledger

    @classmethod
    def read(cls, path: Path | str, public: PublicKey, *, witness: Path | str | None = None) -> Ledger:
        """Open for reading, while another process may write.

        Raises:
            IntegrityError: as for `open`. InputError: there is no such file.
        """
        ledger = cls(Path(path), None, public, _witness(path, witness), clock)
        if not ledger.path.is_file():
            if ledger.witness.exists():
                raise _lost(ledger.path, ledger.witness)
            raise InputError(f"{path}: expected a ledger, got no file", mend="name the file given with --ledger")
        ledger._reader = connect_for_reading(ledger.path)
        ledger._refusing = "it is open for reading only"
        try:
            ledger._load(ledger._reader)
        except BaseException:
            ledger._reader.close()
            raise
        return ledger

    def _begin(self) -> None:
        assert self.key is not None
        found = self._writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if found or self.witness.exists():
            raise IntegrityError(f"{self.path}: expected a Solon ledger, got another database", mend="name another file")
        note = tips.sign(Checkpoint(self.origin, 0, self.tree.root()), self.key)
        self._writer.executescript(f"BEGIN; {SCHEMA}")  # all of it or nothing, whenever the process ends
        self._writer.execute(_TIP, (note,))
        self._writer.execute("COMMIT")

    def _load(self, connection: sqlite3.Connection) -> None:
        """Read and check: the tables as they were made, every entry's bytes and name, the signed tip, the witness."""
        # The witness is read first: whoever writes meanwhile commits before renewing it, so the database is never behind.
        seen = _read_witness(self.witness, self.public)
        try:
            connection.execute("BEGIN")
            check_tables(connection, self.path)
            note = connection.execute("SELECT note FROM tip").fetchone()
            for expected, (number, leaf, once, body) in enumerate(connection.execute(_ALL)):
                if number != expected or type(body) is not bytes or leaf_hash(body) != leaf or not is_named(body, once):
                    raise IntegrityError(
                        f"{self.path}: entry {expected} is missing or was changed", mend="restore the newest copy"
                    )
                self.tree.append(leaf)
            connection.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            raise IntegrityError(f"{self.path}: cannot be read: {error}", mend="restore the newest copy of the file") from error
        self._check_tip(note[0] if note else "", seen)

    def _check_tip(self, note: str, seen: Checkpoint | None) -> None:
        tip = tips.read(note, [self.public])
        self.origin, self.note = tip.origin, note
        if tip.size != self.tree.size or tip.root != self.tree.root():
            raise IntegrityError(
                f"{self.path}: the signed tip says {tip.size} entries and another root than the {self.tree.size} entries found",
                mend="entries were added, removed or changed without the key; restore the newest copy",
            )
        if seen is None and self.tree.size:
            raise IntegrityError(
                f"{self.path}: expected the tip witness {self.witness}, got no file",
                mend="restore it; without it a copy from the past could not be told from the present",
            )
        if seen is not None and (seen.size > self.tree.size or seen.root != self.tree.root(seen.size)):
            raise IntegrityError(
                f"{self.path}: holds {self.tree.size} entries, but {self.witness} has seen {seen.size} with another history",
                mend="this is an old or foreign copy: restore the newest one",
            )

    # --- writing -------------------------------------------------------------------------------------------------------

    def append(self, kind: str, body: Any, *, once: str | None = None) -> int:
        """Add an entry; returns its index once it is on disk.

        Args:
            once: a name that may be used by one entry only, for what is single use (an action, a slot, an approval).

        Raises:
            AlreadyUsed: `once` was used. NotCanonical: the body holds a float. LedgerClosed: nothing can be written.
        """
        return self.submit(kind, body, once=once, receipt=Receipt(awaited=True)).result()

    def submit(self, kind: str, body: Any, *, once: str | None = None, receipt: Receipt | None = None) -> Receipt:
        """`append` without waiting: the receipt (a new one, or the one given) gives the index once the entry is on disk."""
        job = self.job(kind, body, once=once, receipt=receipt)
        self.submit_all([job])
        return job[2]

    def job(self, kind: str, body: Any, *, once: str | None = None, receipt: Receipt | None = None) -> Job:
        """An entry of this moment for `submit_all`. Raises NotCanonical."""
        return entry_bytes(kind, time_text(self.now()), body, once), once, receipt or Receipt()

    def submit_all(self, jobs: list[Job]) -> None:
        """`submit` of several, which stay together and in order. Raises LedgerClosed: then none is written."""
        with self._lock:  # not while `close` puts its last word
            if self._refusing:
                raise LedgerClosed(f"{self.path}: takes no entries: {self._refusing}", mend="mend the cause and open it again")
            if self._waiting >= LARGEST_QUEUE:
                raise LedgerClosed(f"{self.path}: {LARGEST_QUEUE} entries wait already", mend="slow down; deny meanwhile")
            self._waiting += len(jobs)
            self._queue.put(jobs)

    def _write_forever(self) -> None:
        group: list[Job] | None = []
        while group is not None:
            group = self._queue.get()
            batch: list[Job] = []
            while group is not None:
                batch += group
                if len(batch) >= LARGEST_BATCH or self._queue.empty():
                    break
                group = self._queue.get()
            if batch:
                with self._lock:
                    self._waiting -= len(batch)
                self._commit(batch)
                self._fold(batch)

    def _fold(self, jobs: list[Job]) -> None:
        """Once in a while, after the callers were let go, make the write-ahead log short again."""
        self._unfolded += TOUCHED + sum(len(data) for data, _, _ in jobs)
        if self._unfolded >= FOLDED_AT:
            self._unfolded = 0
            fold(self._writer)

    def _commit(self, jobs: list[Job]) -> None:
        """One transaction for a batch; callers are told after both fsyncs. A failure closes the ledger to writing."""
        before = self.tree.size
        try:
            if self._failed:
                raise LedgerClosed(self._failed)
            self._writer.execute("BEGIN")
            answers = self._insert(jobs)
            if self.tree.size > before:
                assert self.key is not None
                self.note = tips.sign(Checkpoint(self.origin, self.tree.size, self.tree.root()), self.key)
                self._writer.execute(_TIP, (self.note,))
            self._writer.execute("COMMIT")
            if self.tree.size > before:
                self._write_witness()
        except Exception as error:  # noqa: BLE001 - whatever failed, no caller may believe in its entry
            self._give_up(jobs, before, error)
            return
        settle_all((receipt for _, _, receipt in jobs), answers)

    def _insert(self, jobs: list[Job]) -> list[int | AlreadyUsed]:
        """Put entries into tree and table; their indices, or the error where the name was used.

        Many rows a statement: between two statements another thread may take the interpreter for milliseconds.
        """
        used = self._names_used([once for _, once, _ in jobs if once is not None])
        answers: list[int | AlreadyUsed] = []
        values: list[Any] = []
        for data, once, _ in jobs:
            if once in used:
                answers.append(AlreadyUsed(f"{once}: was used by an earlier entry", mend="nothing to do: it is logged"))
                continue
            if once is not None:
                used.add(once)
            leaf = leaf_hash(data)
            number = self.tree.append(leaf)
            answers.append(number)
            values += (number, leaf, once, data)
        for start in range(0, len(values), 4 * ROWS):
            piece = values[start : start + 4 * ROWS]
            self._writer.execute(_INSERT + ", (?, ?, ?, ?)" * (len(piece) // 4 - 1), piece)
        return answers

    def _names_used(self, names: list[str]) -> set[str]:
        found: set[str] = set()
        for start in range(0, len(names), ROWS):
            piece = names[start : start + ROWS]
            found |= {name for (name,) in self._writer.execute(_USED + ", ?" * (len(piece) - 1) + ")", piece)}
        return found

    def _give_up(self, jobs: list[Job], before: int, error: Exception) -> None:
        with self._lock:
            self._failed = self._refusing = self._failed or f"a write failed: {error}"
        self.tree.cut(before)
        refusals = (LedgerClosed(f"{self.path}: {self._failed}", mend="mend the cause and open it again") for _ in jobs)
        settle_all((receipt for _, _, receipt in jobs), refusals)

    def _write_witness(self) -> None:
        fresh = self.witness.with_name(self.witness.name + ".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.write(handle, self.note.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(fresh, self.witness)

    def close(self) -> None:
        """Write what waits, then let the file go."""
        with self._lock:
            self._refusing = self._refusing or "it was closed"
        if self._guard is not None:
            self._queue.put(None)
            self._thread.join()
            self._writer.close()
            os.close(self._guard)
            self._guard = None
        self._reader.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- reading -------------------------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        return self.tree.size

    @property
    def last_time(self) -> int:
        """When the last entry was made (microseconds since 1970); 0 where there is none."""
        return micros_of(self.entry(self.size - 1).record["at"]) if self.size else 0

    @property
    def tip(self) -> Checkpoint:
        """Size and root as last signed."""
        return tips.read(self.note, [self.public])

    def entries(self, start: int = 0, stop: int | None = None, *, step: int = 1000) -> Iterator[Entry]:
        """Entries in order, read in pieces; each checked against its leaf. Raises IntegrityError."""
        stop = self.size if stop is None else min(stop, self.size)
        while start < stop:
            with self._reading:
                rows = self._reader.execute(_RANGE, (start, min(start + step, stop))).fetchall()
            for number, body in rows:
                if number != start or not isinstance(body, bytes) or leaf_hash(body) != self.tree.leaf(number):
                    raise IntegrityError(f"{self.path}: entry {start} is missing or was changed", mend="restore the newest copy")
                yield Entry(number, body)
                start += 1
            if not rows:
                raise IntegrityError(f"{self.path}: entry {start} is missing", mend="restore the newest copy")

    def entry(self, index: int) -> Entry:
        """One entry. Raises InputError: there is no such entry."""
        if not 0 <= index < self.size:
            raise InputError(f"entry {index}: expected 0 to {self.size - 1}", mend="solon ledger show lists the entries")
        return next(self.entries(index, index + 1))

    def of_kind(self, *kinds: str, newest: int | None = None) -> list[Entry]:
        """Entries of these kinds in order; `newest` N gives the last N only."""
        marks = ", ".join("?" * len(kinds))
        query = f"SELECT number FROM entries WHERE kind IN ({marks}) AND number < ? ORDER BY number DESC LIMIT ?"
        with self._reading:
            rows = self._reader.execute(query, (*kinds, self.size, -1 if newest is None else newest)).fetchall()
        return [self.entry(number) for (number,) in reversed(rows)]

    def used(self, once: str) -> int | None:
        """The index of the entry that used this name, or None."""
        with self._reading:
            row = self._reader.execute("SELECT number FROM entries WHERE once = ?", (once,)).fetchone()
        return row[0] if row else None


def _witness(path: Path | str, witness: Path | str | None) -> Path:
    return Path(witness) if witness is not None else Path(f"{path}.tip")


@contextmanager
def held(path: Path, wait: float = 10.0) -> Iterator[None]:
    """Nobody else writes this ledger meanwhile. Raises EnvironmentRefused: another process holds it."""
    handle = _hold(path, wait)
    try:
        yield
    finally:
        os.close(handle)


def _hold(path: Path, wait: float) -> int:
    """Lock FILE.lock for this process; the lock ends with the process, however it ends."""
    handle = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
        except OSError:
            if time.monotonic() >= deadline:
                os.close(handle)
                raise EnvironmentRefused(
                    f"{path}: another process writes this ledger", mend="wait for it, or use another ledger", code="in_use"
                ) from None
            time.sleep(0.005)


def _read_witness(path: Path, public: PublicKey) -> Checkpoint | None:
    if not path.exists():
        return None
    try:
        return tips.read(path.read_text(encoding="utf-8"), [public])
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path}: expected a signed tip, got other bytes", mend="restore it") from error


def _lost(path: Path, witness: Path) -> IntegrityError:
    return IntegrityError(
        f"{path}: expected the ledger whose tip {witness} has seen, got no file",
        mend="restore it; to begin another ledger, name another file",
    )
