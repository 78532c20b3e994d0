"""Quorum certificates: enough signed yes-votes on one proposal, checked offline with nothing but the registry.

With n voters, f = floor((n-1)/3) and q = floor((n+f)/2)+1, two certificates for different proposals in one slot share at
least 2q - n >= f + 1 voters, so at least one honest voter would have signed twice. For n < 4, f is 0: no Byzantine tolerance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from solon.errors import CheckFailed, IntegrityError
from solon.governance.registry import Registry
from solon.governance.votes import SKEW, Vote, VoteRefused, check, vote_in, vote_of
from solon.ledger.dsse import Envelope, read

FIELDS = {"network", "epoch", "registry", "constitution", "slot", "proposal", "votes"}


class Vetoed(CheckFailed):
    """Among the votes is a veto: no certificate is made, whatever the quorum."""

    code = "veto"


class NoQuorum(CheckFailed):
    """The votes are too few, or of too little weight."""

    code = "no_quorum"


@dataclass(frozen=True)
class Certified:
    """What a certificate shows: the proposal's digest in its slot, the voters' names, and until when all their votes hold."""

    slot: str
    proposal: str
    constitution: str
    epoch: int
    voters: tuple[str, ...]
    expires_at: int
    claim: str


def make(
    votes: Iterable[Any],
    registry: Registry,
    constitution: str,
    slot: str,
    proposal: str,
    at: int,
    *,
    share: Fraction | None = None,
) -> dict[str, Any]:
    """A certificate of the yes-votes among these (envelopes, or their JSON form) that count; others, and all of a key that signs
    two ways, are left out.

    Raises:
        Vetoed: one of them is a veto that counts.
        NoQuorum: what counts does not reach the quorum and the thresholds.
    """
    kept = _yes(votes, registry, constitution, slot, proposal, at)
    certificate = {
        "network": registry.network,
        "epoch": registry.epoch,
        "registry": registry.digest,
        "constitution": constitution,
        "slot": slot,
        "proposal": proposal,
        "votes": [kept[key].as_dict() for key in sorted(kept)],
    }
    verify(certificate, registry, at=at, share=share)
    return certificate


def _yes(votes: Iterable[Any], registry: Registry, constitution: str, slot: str, proposal: str, at: int) -> dict[str, Envelope]:
    """The yes-votes that count, by key."""
    kept: dict[str, Envelope] = {}
    said: dict[str, set[tuple[str, str, str, str]]] = {}
    for given in votes:
        try:
            envelope, vote = vote_in(given)
            if (vote.network, vote.epoch, vote.slot) == (registry.network, registry.epoch, slot):
                said.setdefault(vote.key, set()).add(vote.meaning)
            check(vote, registry, constitution, at)
        except VoteRefused:
            continue
        if (vote.slot, vote.proposal, vote.decision) == (slot, proposal, "veto"):
            raise Vetoed(f"certificate: vetoed by {registry.by_key[vote.key].id}", mend="put another proposal to the vote")
        if (vote.slot, vote.proposal, vote.decision) == (slot, proposal, "yes"):
            kept.setdefault(vote.key, envelope)
    return {key: envelope for key, envelope in kept.items() if len(said[key]) == 1}


def verify(
    certificate: Mapping[str, Any], registry: Registry, *, at: int | None = None, share: Fraction | None = None
) -> Certified:
    """Check a certificate. Every vote in it must hold: junk beside a quorum is refused, not skipped.

    Args:
        at: the time of the log at which it was used (microseconds); None asks only that there was a time at which all votes held.
        share: the share of yes-votes that the constitution asks for, where that is more than the registry's.

    Raises:
        NoQuorum: too few keys or too little weight.
        IntegrityError: malformed, of another registry, or with a vote that does not fit.
    """
    if not isinstance(certificate, Mapping) or set(certificate) != FIELDS or not isinstance(certificate["votes"], list):
        raise IntegrityError(
            f"certificate: expected the fields {', '.join(sorted(FIELDS))}", mend="take it as it was made", code="malformed"
        )
    if certificate["registry"] != registry.digest:
        raise IntegrityError(
            "certificate: of another registry or epoch", mend="verify it with the registry of its epoch", code="epoch"
        )
    votes = _votes(certificate["votes"])
    together = max((vote.issued_at for vote in votes), default=0) - SKEW  # the first instant at which none is early
    for vote in votes:
        _fits(vote, certificate, registry, together if at is None else at)
    keys = {vote.key for vote in votes}
    if len(keys) != len(votes):
        raise IntegrityError("certificate: a key votes twice", mend="take it as it was made", code="duplicate")
    members = [registry.by_key[key] for key in sorted(keys)]
    n, q = registry.quorum.n, registry.quorum.q
    wanted = max(registry.share, share or Fraction(0))
    if len(keys) < q or Fraction(len(keys), n) < wanted:
        raise NoQuorum(
            f"certificate: {len(keys)} of {n} keys say yes; needed are {q} keys and a share of {wanted}",
            mend="collect more votes",
        )
    total = sum((Fraction(member.weight) for member in registry.voters if member.weight), Fraction(0))
    yes = sum((Fraction(member.weight) for member in members if member.weight), Fraction(0))
    if any(member.weight for member in registry.voters) and (not total or yes / total < wanted):
        raise NoQuorum(f"certificate: weight {yes} of {total} says yes; needed a share of {wanted}", mend="collect more votes")
    return Certified(
        certificate["slot"], certificate["proposal"], certificate["constitution"], registry.epoch,
        tuple(member.id for member in members), min(vote.expires_at for vote in votes), registry.quorum.claim,
    )  # fmt: skip


def _votes(items: list[Any]) -> list[Vote]:
    try:
        return [vote_of(read(item, "vote")) for item in items]
    except VoteRefused as error:
        raise _holding_not(error) from error


def _holding_not(error: VoteRefused) -> IntegrityError:
    return IntegrityError(f"certificate: {error.what}", mend=error.mend, code=error.code)


def _fits(vote: Vote, certificate: Mapping[str, Any], registry: Registry, at: int) -> None:
    try:
        check(vote, registry, certificate["constitution"], at)
    except VoteRefused as error:
        raise _holding_not(error) from error
    named = (certificate["network"], certificate["epoch"], certificate["slot"], certificate["proposal"])
    if (vote.network, vote.epoch, vote.slot, vote.proposal) != named or vote.decision != "yes":
        raise IntegrityError("certificate: a vote is on something else, or is no yes", mend="take it as it was made", code="vote")
