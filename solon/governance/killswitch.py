"""The kill switch: one signature or one trigger stops; k-of-n distinct keys resume; a lease makes stopping sure.

A guarded process holds a lease of a second or so and renews it. While anything is stopped no lease is renewed, so a process that
does not hear of the stop loses its right to act anyway. Every doubt (file gone, unreadable, damaged) counts as stopped.

The stop takes effect first and is logged second: stopping never waits for the ledger. Resuming is logged first.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solon.errors import CheckFailed, EnvironmentRefused, InputError, IntegrityError, NamedRefusal
from solon.governance.registry import Registry
from solon.ledger.canonical import digest
from solon.ledger.clocks import clock, uptime
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import AlreadyUsed, Ledger

Status = Literal["ACTIVE", "REQUESTED", "CONFIRMED", "UNCONFIRMED"]
LEASE = 1_000_000  # microseconds
LONGEST_LEASE = 60_000_000
RESUME_LIFETIME = 900_000_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS stops (id TEXT PRIMARY KEY, record TEXT NOT NULL, at INTEGER NOT NULL, ended INTEGER);
CREATE TABLE IF NOT EXISTS leases (name TEXT PRIMARY KEY, boot TEXT NOT NULL, until INTEGER NOT NULL, heard INTEGER NOT NULL);
"""
_UNLOGGED = "CREATE TABLE IF NOT EXISTS unlogged (id TEXT PRIMARY KEY, record TEXT NOT NULL)"  # stops that no ledger has yet


class Stopped(CheckFailed):
    """Everything is stopped, or it cannot be told whether it is."""

    exit_code = 5


class StopRefused(NamedRefusal):
    """A stop or resume that was not accepted; `code` is one of `signature, power, replayed, network, malformed`."""


MENDS = {
    "too_few": "give one --key for each signer, or let them sign one after the other with --signed FILE",
    "nothing": "nothing to do; where the ladder alone stands at killed, stop first",
}


class ResumeRefused(StopRefused):
    """A resume that was not accepted; further codes `nothing, other_stop, expired, too_few, early, ladder`."""


@dataclass(frozen=True)
class SwitchState:
    """Where the switch stands: `stop` is the digest that a resume must name; `waiting` the processes not known to be idle."""

    status: Status
    stop: str
    reasons: tuple[str, ...]
    waiting: tuple[str, ...]
    since: int | None

    @property
    def stopped(self) -> bool:
        return self.status != "ACTIVE"


def boot_id() -> str:
    """What tells one run of the machine from the next; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class Switch:
    """A switch in a file that several processes share. Only `create` makes the file; a missing one counts as stopped."""

    def __init__(
        self, path: Path | str, *, now: Callable[[], int] = clock, ticks: Callable[[], int] = uptime, boot: str | None = None
    ) -> None:
        self.path, self.now, self.ticks = Path(path), now, ticks
        self.boot = boot_id() if boot is None else boot
        self._kept: sqlite3.Connection | None = None

    @classmethod
    def create(cls, path: Path | str, **clocks: Any) -> Switch:
        """Open, making the file where there is none."""
        switch = cls(path, **clocks)
        switch.path.parent.mkdir(parents=True, exist_ok=True)
        with sqlite3.connect(switch.path) as base:
            base.execute("PRAGMA journal_mode = WAL")
            base.executescript(_SCHEMA)
        base.close()
        return switch

    def _base(self) -> sqlite3.Connection:
        if self._kept is None:
            self._kept = sqlite3.connect(f"file:{self.path}?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
            self._kept.execute("PRAGMA synchronous = FULL")
        return self._kept

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    # --- stopping ------------------------------------------------------------------------------------------------------

    def stop(self, envelope: Envelope, registry: Registry, ledger: Ledger | None = None) -> SwitchState:
        """Stop by one signature of someone who may.

        Raises:
            StopRefused: the signature does not hold, its key may not stop, or this very stop was used before.
        """
        record = _record(envelope, "stop", {"network", "reason", "nonce", "issued_at"})
        if record["network"] != registry.network:
            raise StopRefused(
                "network", f"stop: of network {record['network']!r}, expected {registry.network!r}", mend="sign it here"
            )
        allowed = registry.holders("stop", envelope.signers)
        if not allowed:
            raise StopRefused("power", "stop: expected a signature of a member who may stop, got none", mend="let one sign")
        who = ", ".join(member.id for member in allowed)
        body = {"by": who, "reason": record["reason"], "envelope": envelope.as_dict()}
        return self._stop(body, digest(record), ledger)  # by what was signed: a stranger's signature beside it changes nothing

    def trigger(self, name: str, evidence: Mapping[str, Any], ledger: Ledger | None = None) -> SwitchState:
        """Stop by an automatic trigger; `evidence` (no floats) says what was seen."""
        body = {"by": f"trigger {name}", "reason": name, "evidence": dict(evidence), "nonce": secrets.token_hex(8)}
        return self._stop(body, digest(body), ledger)

    def _stop(self, record: dict[str, Any], name: str, ledger: Ledger | None) -> SwitchState:
        text = f"{record['by']}: {record['reason']}"
        try:
            base = self._base()
            with base:
                base.execute("BEGIN IMMEDIATE")
                base.execute(_UNLOGGED)
                base.execute("INSERT INTO stops (id, record, at) VALUES (?, ?, ?)", (name, text, self.now()))
                base.execute("INSERT INTO unlogged VALUES (?, ?)", (name, json.dumps(record)))
        except sqlite3.IntegrityError as error:
            raise StopRefused("replayed", "stop: this very stop was used before", mend="sign a new one") from error
        except sqlite3.Error as error:
            raise EnvironmentRefused(
                f"{self.path}: the stop could not be written: {error}",
                mend="remove this file: without a switch everything counts as stopped",
            ) from error
        if ledger is not None:
            self.log(ledger)
        return self.state()

    def log(self, ledger: Ledger) -> None:
        """Log the stops that whoever stopped could not log, as another process wrote the ledger."""
        try:
            waiting = self._base().execute("SELECT id, record FROM unlogged ORDER BY rowid").fetchall()
        except sqlite3.Error:  # none was ever kept, or nothing can be read: then all is stopped, and will be looked at
            return
        for name, text in waiting:
            with suppress(AlreadyUsed):
                ledger.append("stop", json.loads(text) | {"stop": name}, once=f"stop:{name}")
            self._base().execute("DELETE FROM unlogged WHERE id = ?", (name,))

    # --- resuming ------------------------------------------------------------------------------------------------------

    def resume(self, envelope: Envelope, registry: Registry, ledger: Ledger, *, needed: int | None = None) -> SwitchState:
        """Resume by k distinct keys over the digest of exactly the stops that stand; `needed` replaces the registry's k.

        Raises:
            ResumeRefused: see its codes. Nothing was changed.
        """
        names, state = self.check_resume(envelope, registry, needed)
        at, name = self.now(), digest(envelope.record)
        ledger.append("resume", {"resume": envelope.as_dict(), "by": names, "stop": state.stop}, once=f"resume:{name}")
        base = self._base()
        base.execute("BEGIN IMMEDIATE")
        if self._standing(base)[0] != state.stop:  # another stop came in between: it stands
            base.execute("ROLLBACK")
            raise ResumeRefused("other_stop", "resume: another stop has come in", mend="sign for all of them")
        base.execute("UPDATE stops SET ended = ? WHERE ended IS NULL", (at,))
        base.execute("COMMIT")
        return self.state()

    def check_resume(self, envelope: Envelope, registry: Registry, needed: int | None) -> tuple[list[str], SwitchState]:
        """Who signed a resume that would be accepted now, and the state that it ends. Raises ResumeRefused as `resume` does."""
        record = _record(envelope, "resume", {"network", "stop", "issued_at", "expires_at", "nonce", "rebase"})
        state, at = self.state(), self.now()
        signed = registry.holders("resume", envelope.signers)
        needed = registry.needed("resume") if needed is None else needed
        problems = [
            ("network", record["network"] != registry.network, "of another network"),
            ("nothing", not state.stopped, "nothing is stopped"),
            ("other_stop", record["stop"] != state.stop, "it names other stops than those that stand"),
            ("expired", at >= record["expires_at"], "it has expired"),
            ("early", record["issued_at"] > at + 30_000_000, "it comes from the future"),
            ("too_few", len(signed) < needed, f"{len(signed)} of {needed} distinct keys that may resume have signed"),
        ]
        for code, holds, why in problems:
            if holds:
                mend = MENDS.get(code, "solon emergency status names the stop to sign for")
                raise ResumeRefused(code, f"resume: {why}", mend=mend)
        return [member.id for member in signed], state

    # --- state ---------------------------------------------------------------------------------------------------------

    @property
    def stopped(self) -> bool:
        """Whether anything is stopped; the fast look before every act. What cannot be read is stopped."""
        try:
            return self._base().execute("SELECT 1 FROM stops WHERE ended IS NULL LIMIT 1").fetchone() is not None
        except sqlite3.Error:
            self.close()
            return True

    def _standing(self, base: sqlite3.Connection) -> tuple[str, list[tuple[str, str, int]]]:
        rows = base.execute("SELECT id, record, at FROM stops WHERE ended IS NULL ORDER BY id").fetchall()
        return (digest([row[0] for row in rows]) if rows else "", rows)

    def state(self) -> SwitchState:
        """CONFIRMED: every guarded process has heard of the stop or lost its lease. REQUESTED: some lease still runs.
        UNCONFIRMED: no guarded process is known, or one acts beyond its time; then somebody must look.
        """
        try:
            stop, rows = self._standing(self._base())
            leases = self._base().execute("SELECT name, boot, until, heard FROM leases ORDER BY name").fetchall()
        except sqlite3.Error as error:
            self.close()
            return SwitchState("UNCONFIRMED", "", (f"the switch cannot be read: {error}",), (), None)
        if not rows:
            return SwitchState("ACTIVE", "", (), (), None)
        since = max(at for _, _, at in rows)
        ticks = self.ticks()
        waiting = tuple(name for name, boot, until, heard in leases if boot == self.boot and until > ticks and heard < len(rows))
        status: Status = "REQUESTED" if waiting else "CONFIRMED" if leases else "UNCONFIRMED"
        if waiting and self.now() - since > LONGEST_LEASE:
            status = "UNCONFIRMED"
        return SwitchState(status, stop, tuple(text for _, text, _ in rows), waiting, since)

    def lease(self, name: str, length: int = LEASE) -> Lease:
        """A lease for a guarded process (`length` microseconds). Raises Stopped."""
        if not 0 < length <= LONGEST_LEASE:
            raise InputError(f"lease: expected at most {LONGEST_LEASE} us, got {length}", mend="renew more often")
        lease = Lease(self, name, length)
        lease.renew()
        return lease


class Lease:
    """The right of one process to act for a short time. Act only where `holds` is true at that instant."""

    def __init__(self, switch: Switch, name: str, length: int) -> None:
        self.switch, self.name, self.length = switch, name, length
        self.until = 0

    def renew(self) -> None:
        """Extend the lease. Raises Stopped, and tells the switch that this process has heard."""
        switch = self.switch
        try:
            base = switch._base()
            base.execute("BEGIN IMMEDIATE")
            standing = base.execute("SELECT count(*) FROM stops WHERE ended IS NULL").fetchone()[0]
            until = 0 if standing else switch.ticks() + self.length
            base.execute(
                "INSERT INTO leases VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
                "boot = excluded.boot, until = excluded.until, heard = excluded.heard",
                (self.name, switch.boot, until, standing),
            )
            base.execute("COMMIT")
        except sqlite3.Error as error:
            switch.close()
            self.until = 0
            raise Stopped(
                f"lease {self.name}: the switch cannot be reached: {error}", mend="restore it; nothing acts until then"
            ) from error
        self.until = until
        if standing:
            raise Stopped(f"lease {self.name}: everything is stopped", mend="solon emergency status")

    @property
    def holds(self) -> bool:
        """Whether this process may act now: the lease runs and no stop stands."""
        return self.switch.ticks() < self.until and not self.switch.stopped


def sign_stop(network: str, reason: str, key: PrivateKey, now: int) -> Envelope:
    """A stop signed by one."""
    return seal("stop", {"network": network, "reason": reason, "nonce": secrets.token_hex(8), "issued_at": now}, [key])


def sign_resume(
    network: str, stop: str, keys: list[PrivateKey], now: int, *, lifetime: int = RESUME_LIFETIME, rebase: bool = False
) -> Envelope:
    """A resume of the stops with this digest; others may add their signatures. `rebase` also sets the high-water mark anew."""
    record = {
        "network": network,
        "stop": stop,
        "issued_at": now,
        "expires_at": now + lifetime,
        "nonce": secrets.token_hex(8),
        "rebase": rebase,
    }
    return seal("resume", record, keys)


def _record(envelope: Envelope, name: str, fields: set[str]) -> dict[str, Any]:
    refusal = ResumeRefused if name == "resume" else StopRefused
    try:
        read(envelope.as_dict(), name)
        record = envelope.record
    except IntegrityError as error:
        raise refusal("malformed", f"{name}: {error.what}", mend="sign it anew") from error
    if envelope.signatures and not envelope.clean:
        raise refusal("signature", f"{name}: a signature does not hold, or a key signed twice", mend="sign it anew")
    sound = isinstance(record, dict) and set(record) == fields
    if not sound or any(not isinstance(record[f], int) for f in fields & {"issued_at", "expires_at"}):
        raise refusal("malformed", f"{name}: expected the fields {', '.join(sorted(fields))}", mend="sign it anew")
    return record
