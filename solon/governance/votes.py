"""Signed votes. A vote names network, epoch, constitution, slot, proposal, decision, sequence and its end; all of it is signed.

A voter remembers what it signed for a slot before it signs, and refuses a second, different vote on that slot. Two different
votes of one key on one slot are evidence that anyone can check.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from solon.errors import InputError, IntegrityError, NamedRefusal
from solon.governance.registry import Member, Registry
from solon.ledger.canonical import canonical, digest, parse
from solon.ledger.dsse import Envelope, payload_type, read, seal
from solon.ledger.keys import PrivateKey
from solon.policy.council import DECISIONS
from solon.policy.council import Vote as Ballot

LIFETIME = 300_000_000  # microseconds for which a vote holds unless said otherwise
LONGEST = 7 * 86_400_000_000  # and the longest that it may
SKEW = 30_000_000  # how far clocks may differ
FIELDS = (
    "network", "epoch", "constitution", "slot", "proposal", "decision", "proposed_action", "confidence_bp", "key", "seq",
    "issued_at", "expires_at",
)  # fmt: skip


class VoteRefused(NamedRefusal):
    """A vote that does not count; `code` says why, in one word.

    Codes: `malformed, signature, network, epoch, constitution, slot, proposal, unknown_voter, suspended, no_veto_power, late,
    early, replayed, duplicate, equivocation, closed`.
    """


@dataclass(frozen=True)
class Vote:
    """A vote. `proposal` is the digest of what is voted on, `proposed_action` the action the voter would take; `confidence_bp` is
    0 to 10,000; times are microseconds since 1970 UTC; `seq` rises with every vote of a key.
    """

    network: str
    epoch: int
    constitution: str
    slot: str
    proposal: str
    decision: str
    key: str
    seq: int
    issued_at: int
    expires_at: int
    proposed_action: str = ""
    confidence_bp: int | None = None

    @property
    def record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in FIELDS}

    @property
    def meaning(self) -> tuple[str, str, str, str]:
        """What two votes of one key on one slot must agree in."""
        return (self.proposal, self.decision, self.proposed_action, self.constitution)

    def ballot(self, voter: str, late: bool = False) -> Ballot:
        """The vote as the tally counts it."""
        confidence = None if self.confidence_bp is None else Decimal(self.confidence_bp) / 100
        return Ballot(voter, self.decision, self.proposed_action, confidence, late)  # type: ignore[arg-type]


def vote_of(envelope: Envelope) -> Vote:
    """The vote in an envelope that its key, and nobody else, signed.

    Raises:
        VoteRefused: codes `malformed`, `signature`.
    """
    if envelope.type != payload_type("vote"):
        raise VoteRefused("malformed", f"vote: expected {payload_type('vote')}, got {envelope.type}", mend="give a vote")
    try:
        record = envelope.record
        vote = Vote(**record)
        sound = record.keys() == set(FIELDS) and not [name for name, kind in _KINDS.items() if type(record[name]) is not kind]
    except (TypeError, IntegrityError) as error:
        raise VoteRefused("malformed", f"vote: expected the documented fields, got {error}", mend="sign it anew") from error
    if not sound or vote.decision not in DECISIONS or not _confident(vote.confidence_bp):
        raise VoteRefused("malformed", "vote: a field is of the wrong kind", mend="sign it anew: solon vote sign")
    if not (vote.slot and vote.proposal and vote.seq > 0 and 0 < vote.expires_at - vote.issued_at <= LONGEST):
        raise VoteRefused(
            "malformed",
            "vote: expected a slot, a proposal, a sequence from 1, and an end within seven days of its beginning",
            mend="sign it anew: solon vote sign",
        )
    if envelope.signers != (vote.key,) or not envelope.clean:
        raise VoteRefused("signature", "vote: expected one signature, by the key it names, that holds", mend="sign it anew")
    return vote


def vote_in(given: Any) -> tuple[Envelope, Vote]:
    """An envelope, or its JSON form, with its vote. Raises VoteRefused: see `vote_of`."""
    try:
        envelope = given if isinstance(given, Envelope) else read(given)
    except IntegrityError as error:
        raise VoteRefused("malformed", f"vote: {error.what}", mend=error.mend) from error
    return envelope, vote_of(envelope)


def other_way(signed: dict[str, tuple[Envelope, Vote]], envelope: Envelope, vote: Vote, registry: Registry) -> Envelope | None:
    """The first vote of this key, where it says something else. Whoever may vote signs one way, also where neither vote counts:
    on another proposal, late, closed. `signed` keeps the first of each key.
    """
    here = (vote.network, vote.epoch) == (registry.network, registry.epoch)
    if not here or not any(member.key == vote.key for member in registry.voters):
        return None
    first, earlier = signed.setdefault(vote.key, (envelope, vote))
    return first if earlier.meaning != vote.meaning else None


_KINDS: dict[str, type] = {
    name: int if name in ("epoch", "seq", "issued_at", "expires_at") else str for name in FIELDS if name != "confidence_bp"
}


def _confident(value: Any) -> bool:
    return value is None or (type(value) is int and 0 <= value <= 10_000)


def check(vote: Vote, registry: Registry, constitution: str, at: int) -> None:
    """Whether the vote belongs here and now; `at` is the time of the log (microseconds), not of the voter.

    Raises:
        VoteRefused: codes `network, epoch, constitution, unknown_voter, suspended, no_veto_power, late, early`.
    """
    member = registry.by_key.get(vote.key)
    if vote.network != registry.network:
        raise VoteRefused("network", f"vote: of network {vote.network!r}, expected {registry.network!r}", mend="vote here")
    if vote.epoch != registry.epoch:
        raise VoteRefused("epoch", f"vote: of epoch {vote.epoch}, expected {registry.epoch}", mend="sign it anew")
    if vote.constitution != constitution:
        raise VoteRefused("constitution", "vote: under another constitution", mend="read the current one and sign anew")
    if member is None or "vote" not in member.powers:
        raise VoteRefused("unknown_voter", f"vote: the key {vote.key[:12]}… is not registered to vote", mend="register it")
    _check_powers(member, vote.decision)
    if at >= vote.expires_at:
        raise VoteRefused("late", f"vote: of {member.id} had expired", mend="sign it anew")
    if vote.issued_at > at + SKEW:
        raise VoteRefused("early", f"vote: of {member.id} comes from the future", mend="set the clock")


def check_voter(registry: Registry, key: PrivateKey, decision: str) -> None:
    """Whether a vote of this key could count at all; asked before it is signed.

    Raises:
        VoteRefused: codes `unknown_voter, suspended, no_veto_power`.
    """
    member = registry.by_key.get(key.id)
    if member is None or "vote" not in member.powers:
        voters = ", ".join(voter.id for voter in registry.voters) or "nobody"
        raise VoteRefused(
            "unknown_voter", f"vote: {key.name}'s key is not registered to vote; {voters} may", mend="solon keys register"
        )
    _check_powers(member, decision)


def _check_powers(member: Member, decision: str) -> None:
    if member.suspended:
        raise VoteRefused("suspended", f"vote: {member.id} is suspended", mend="solon keys suspend --lift, or rotate its key")
    if decision == "veto" and "veto" not in member.powers:
        raise VoteRefused("no_veto_power", f"vote: {member.id} may not veto", mend="vote no")


class VoterMemory:
    """What one key has signed, in a file: written, and on disk, before the signature exists."""

    def __init__(self, path: Path | str) -> None:
        fresh = not Path(path).exists()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(path, isolation_level=None)
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = FULL")
        self._base.execute("CREATE TABLE IF NOT EXISTS signed (seq INTEGER PRIMARY KEY, place TEXT UNIQUE, record BLOB NOT NULL)")
        if fresh:
            os.chmod(path, 0o600)

    def close(self) -> None:
        self._base.close()

    def sign(
        self,
        key: PrivateKey,
        registry: Registry,
        *,
        constitution: str,
        slot: str,
        proposal: str,
        decision: str,
        now: int,
        proposed_action: str = "",
        confidence_bp: int | None = None,
        lifetime: int = LIFETIME,
    ) -> Envelope:
        """Sign a vote. The same vote again gives the same bytes again.

        Raises:
            VoteRefused: `equivocation`: this key signed another vote on this slot; `malformed`: no such decision, or a lifetime
                of more than seven days.
        """
        if not 0 < lifetime <= LONGEST:
            raise VoteRefused("malformed", f"lifetime: expected up to {LONGEST} us, got {lifetime}", mend="correct it")
        if decision not in DECISIONS:
            raise VoteRefused(
                "malformed", f"decision: expected one of {', '.join(DECISIONS)}; got {decision!r}", mend="correct it"
            )
        place = digest([registry.network, registry.epoch, slot, key.id])
        self._base.execute("BEGIN IMMEDIATE")
        try:
            row = self._base.execute("SELECT record FROM signed WHERE place = ?", (place,)).fetchone()
            if row is None:
                seq = self._base.execute("SELECT coalesce(max(seq), 0) + 1 FROM signed").fetchone()[0]
                vote = Vote(
                    registry.network, registry.epoch, constitution, slot, proposal, decision, key.id, seq, now, now + lifetime,
                    proposed_action, confidence_bp,
                )  # fmt: skip
                self._base.execute("INSERT INTO signed VALUES (?, ?, ?)", (seq, place, canonical(vote.record)))
            else:
                vote = Vote(**parse(row[0]))
            self._base.execute("COMMIT")
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        if vote.meaning != (proposal, decision, proposed_action, constitution):
            raise VoteRefused(
                "equivocation",
                f"vote: this key signed {vote.decision} on slot {slot!r} before",
                mend="one vote a slot; wait for the next",
            )
        return seal("vote", vote.record, [key])


def evidence(first: Envelope, second: Envelope) -> dict[str, Any]:
    """Two different votes of one key on one slot, as a record that proves it to anyone.

    Raises:
        InputError: they do not conflict.
    """
    record = {"first": first.as_dict(), "second": second.as_dict()}
    guilty(record)
    return record


def guilty(record: Mapping[str, Any]) -> str:
    """The key (hex) that the evidence convicts.

    Raises:
        InputError: the two votes do not conflict. VoteRefused, IntegrityError: they are not well-signed votes.
    """
    a, b = (vote_of(read(record[name], "vote")) for name in ("first", "second"))
    same = (a.key, a.network, a.epoch, a.slot) == (b.key, b.network, b.epoch, b.slot)
    if not same or a.meaning == b.meaning:
        raise InputError("evidence: expected two different votes of one key on one slot", mend="keep both envelopes as received")
    return a.key
