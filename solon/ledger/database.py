"""The database file of a ledger: its tables, how it is opened, and whether it is what this module would have made."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from functools import lru_cache
from pathlib import Path

from solon.errors import EnvironmentRefused, IntegrityError
from solon.ledger.canonical import parse, quote

APPLICATION_ID = 0x534F4C4E  # "SOLN"

SCHEMA = f"""
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
CREATE TABLE entries (
    number INTEGER PRIMARY KEY, leaf BLOB NOT NULL, once TEXT UNIQUE, body BLOB NOT NULL,
    kind TEXT AS (json_extract(CAST(body AS TEXT), '$.kind')) VIRTUAL
);
CREATE INDEX by_kind ON entries (kind, number);
CREATE TABLE tip (id INTEGER PRIMARY KEY CHECK (id = 1), note TEXT NOT NULL);
"""
_TABLES = "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name"


FOLDED_AT = 4 << 20  # bytes of the log, SQLite's own measure (1,000 pages)
TOUCHED = 32 << 10  # bytes of pages that every commit writes, whatever it holds
_NOT_WRITABLE = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


def connect(path: Path, more: str = "") -> sqlite3.Connection:
    """Connect; `more` are parameters of SQLite's URI. Nothing is read yet."""
    uri = f"{path.resolve().as_uri()}?{more}"
    return sqlite3.connect(uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False, cached_statements=256)


def make_durable(connection: sqlite3.Connection, path: Path) -> None:
    """What is committed is on disk, and readers never wait. Raises EnvironmentRefused: another program holds the file."""
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # `fold` does it
    except sqlite3.DatabaseError as error:
        raise EnvironmentRefused(f"{path}: cannot be written: {error}", mend="close what else has it open") from error


def fold(connection: sqlite3.Connection) -> None:
    """Carry the log's pages into the file. SQLite would do it inside a commit, and whoever waits for that would wait 10 to 30 ms
    more. Where it fails the log only grows: what is committed is safe in it.
    """
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing. Where SQLite can make no shared memory, as on a medium that is read only, the file is
    read as it lies, provided that no log of newer pages is beside it.

    Raises:
        EnvironmentRefused: there is such a log.
    """
    connection, log = connect(path), Path(f"{path.resolve()}-wal")
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:  # what is damaged, the check at loading names
        if error.sqlite_errorcode & 0xFF in _NOT_WRITABLE:
            connection.close()
            if log.exists() and log.stat().st_size:
                raise EnvironmentRefused(
                    f"{path}: expected a folder that can be written, as {log.name} beside it holds the newest entries",
                    mend="copy the ledger with all files of its name to another folder",
                ) from None
            connection = connect(path, "immutable=1")
    connection.execute("PRAGMA query_only = ON")
    return connection


def is_ledger(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the file says that it is a ledger. Raises IntegrityError: it is no database."""
    try:
        with closing(connection.execute("PRAGMA application_id")) as found:
            return found.fetchone()[0] == APPLICATION_ID
    except sqlite3.DatabaseError as error:
        raise IntegrityError(f"{path}: cannot be read as a ledger: {error}", mend="restore the newest copy") from error


@lru_cache(maxsize=1)
def _own_tables() -> list[tuple[str, ...]]:
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(SCHEMA)
        return fresh.execute(_TABLES).fetchall()


def check_tables(connection: sqlite3.Connection, path: Path) -> None:
    """The tables and indexes are those of a ledger, nothing beside them, and every index agrees with its table: another `kind`,
    a trigger or a missing line of an index would hide entries. Raises IntegrityError.
    """
    if not is_ledger(connection, path):
        raise IntegrityError(f"{path}: expected a Solon ledger, got another file", mend="restore the file")
    if connection.execute(_TABLES).fetchall() != _own_tables():
        raise IntegrityError(f"{path}: its tables are not those of a ledger", mend="restore the newest copy")
    problem = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if problem != "ok":
        raise IntegrityError(f"{path}: damaged: {problem}", mend="restore the whole file from its newest copy")


def is_named(body: bytes, once: object) -> bool:
    """Whether `once` is the name that the entry's own bytes hold; a canonical record ends with it."""
    if once is None:
        return b',"once":"' not in body or "once" not in parse(body)
    return isinstance(once, str) and body.endswith(f',"once":{quote(once)}}}'.encode())
