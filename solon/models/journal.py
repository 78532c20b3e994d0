"""A durable journal of completions: what a model has answered stays answered, whatever happens to the process.

SQLite in WAL mode with synchronous=FULL: a batch is committed whole, or not at all. One process holds a journal at a time
(an exclusive lock that the system drops when the process dies); within a process, everyone shares one connection.
The first answer to a key stays: later answers to the same key are not stored, so that a run that is continued reads what the
run that was interrupted read.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from solon.errors import EnvironmentRefused, IntegrityError
from solon.models.base import Completion

SCHEMA = "CREATE TABLE completions (key TEXT PRIMARY KEY, body TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID"
FORMAT = 1  # PRAGMA user_version
_open: dict[Path, Journal] = {}
_guard = threading.Lock()


class Journal:
    """Completions by key, on disk. Open with `Journal.at(path)`; close each that was opened.

    Raises, from every method:
        IntegrityError: the file is no journal, or a stored completion does not match its digest.
        EnvironmentRefused: another process holds it, the disk is full, or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._holders = 1
        self._lock = threading.Lock()
        with self._named_errors():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    @classmethod
    def at(cls, path: Path) -> Journal:
        """The journal at `path`: made if absent, shared if this process has it open already."""
        resolved = path.resolve()
        with _guard:
            if resolved in _open:
                _open[resolved]._holders += 1
            else:
                _open[resolved] = cls(resolved)
            return _open[resolved]

    def close(self) -> None:
        """Let go; the last holder closes the file."""
        with _guard:
            self._holders -= 1
            if self._holders == 0:
                _open.pop(self.path, None)
                self._db.close()

    def _prepare(self) -> None:
        # The order matters: exclusive locking set before WAL keeps the lock from the first read to the end of the process.
        self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("BEGIN IMMEDIATE")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if version == 0 and not tables:
            self._db.execute(SCHEMA)
            self._db.execute(f"PRAGMA user_version={FORMAT}")
        elif version != FORMAT or "completions" not in tables:
            raise IntegrityError(
                f"{self.path}: expected a completion journal of format {FORMAT}, got another database", mend="name another file"
            )
        self._db.execute("COMMIT")
        fault = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if fault != "ok":
            raise sqlite3.DatabaseError(fault)

    def get(self, key: str) -> Completion | None:
        """The stored completion, or None."""
        with self._lock, self._named_errors():
            return self._get(key)

    def _get(self, key: str) -> Completion | None:
        row = self._db.execute("SELECT body, digest FROM completions WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if _digest(key, row[0]) != row[1]:
            raise sqlite3.DatabaseError(f"the completion {key[:12]} does not match its digest")
        return Completion.model_validate_json(row[0])

    def put(self, answers: Sequence[tuple[str, Completion]]) -> list[Completion]:
        """Store these in one transaction; returns what the journal holds for each key now (the first answer stays)."""
        with self._lock, self._named_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                for key, completion in answers:
                    body = completion.model_dump_json()
                    self._db.execute("INSERT OR IGNORE INTO completions VALUES (?, ?, ?)", (key, body, _digest(key, body)))
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back already
                    self._db.execute("ROLLBACK")
                raise
            kept = [self._get(key) for key, _ in answers]
        return [completion for completion in kept if completion is not None]

    def __len__(self) -> int:
        with self._lock, self._named_errors():
            return self._db.execute("SELECT count(*) FROM completions").fetchone()[0]

    @contextlib.contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise self._environment(error) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityError(
                f"{self.path}: the journal is damaged ({error})",
                mend="move it away to start afresh; its replies will be generated again",
            ) from error

    def _environment(self, error: Exception) -> EnvironmentRefused:
        text = str(error)
        if "locked" in text:
            return EnvironmentRefused(
                f"{self.path}: another process holds this journal", mend="wait for it, end it, or use another --out"
            )
        if "full" in text:
            return EnvironmentRefused(
                f"{self.path}: the disk is full", mend="free some space and start again: what was finished is kept"
            )
        return EnvironmentRefused(f"{self.path}: the journal cannot be written ({text})", mend="check the folder's permissions")


def _digest(key: str, body: str) -> str:
    return hashlib.sha256(f"{key}\n{body}".encode()).hexdigest()
