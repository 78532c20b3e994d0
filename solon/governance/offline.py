"""Signed votes counted away from any council: the same checks, from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from solon.constitution import Constitution
from solon.governance.change import consensus_needed
from solon.governance.registry import Registry
from solon.governance.votes import Vote, VoteRefused, check, evidence, other_way, vote_in
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope
from solon.ledger.storage import clock
from solon.policy.council import PROPOSAL, ActionOrder, Counted, Tally, tally
from solon.policy.council import Vote as Ballot


def count(
    votes: Sequence[Any],
    registry: Registry,
    constitution: Constitution,
    slot: str,
    proposal: dict[str, Any],
    *,
    at: int | None = None,
) -> tuple[Tally, dict[str, Any]]:
    """The tally of signed votes on a proposal, and the same as a record with evidence of equivocation where there is any.

    Args:
        votes: envelopes, or their JSON form; what is neither is listed as malformed.
        at: time of counting (microseconds; default now); votes that have expired by then do not count.
    """
    sorted_out = _Sorted(registry, constitution.hash, slot, digest(proposal), clock() if at is None else at)
    for vote in votes:
        sorted_out.take(vote)
    order = constitution.value("action_order")
    result = tally(
        [vote.ballot(registry.by_key[key].id) for key, vote in sorted_out.kept.items()],
        registry.suspend(*sorted_out.guilty).eligible,
        threshold=consensus_needed(registry, constitution),
        mode=constitution.value("conflict_resolution_mode", "risk_manager_veto"),
        order=ActionOrder(order) if order else ActionOrder(),
        proposal=str(proposal.get("action") or PROPOSAL),
        n=registry.quorum.n,
    )
    result = replace(result, votes=(*result.votes, *sorted_out.refused))
    if sorted_out.guilty:
        path = (*result.path, "a key signed two ways: a person decides")
        result = replace(result, approved=False, outcome="escalate", escalate=True, action="", path=path)
    return result, _record(result, slot, sorted_out.proposal, sorted_out.proofs)


@dataclass
class _Sorted:
    """Votes sorted into those that count and those that do not, with why, and evidence against keys that signed two ways."""

    registry: Registry
    constitution: str
    slot: str
    proposal: str
    at: int
    kept: dict[str, Vote] = field(default_factory=dict)
    signed: dict[str, tuple[Envelope, Vote]] = field(default_factory=dict)
    refused: list[Counted] = field(default_factory=list)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    guilty: set[str] = field(default_factory=set)

    def take(self, given: Any) -> None:
        name, said = "?", ("", "")
        try:
            envelope, vote = vote_in(given)
            member = self.registry.by_key.get(vote.key)
            name, said = member.id if member else f"{vote.key[:12]}…", (vote.decision, vote.proposed_action)
            self._one_way(envelope, vote)
            check(vote, self.registry, self.constitution, self.at)
            self._here(vote)
        except VoteRefused as error:
            why = f"{error.code}: {error.what.removeprefix('vote: ')}"
            self.refused.append(Counted(Ballot(name, *said), False, why))  # type: ignore[arg-type]
            return
        self.kept[vote.key] = vote

    def _one_way(self, envelope: Envelope, vote: Vote) -> None:
        first = other_way(self.signed, envelope, vote, self.registry) if vote.slot == self.slot else None
        if first is not None:
            self.proofs.append(evidence(first, envelope))
            self.guilty.add(vote.key)
            raise VoteRefused("equivocation", "vote: signed two ways", mend="suspend the key")

    def _here(self, vote: Vote) -> None:
        if vote.slot != self.slot:
            raise VoteRefused("slot", f"vote: on the slot {vote.slot!r}", mend="give votes of one slot")
        if vote.proposal != self.proposal:
            raise VoteRefused("proposal", "vote: on another proposal", mend="give votes of one proposal")
        if vote.key in self.kept:
            raise VoteRefused("duplicate", "vote: the same vote again", mend="give each vote once")


def _record(result: Tally, slot: str, proposal: str, proofs: list[dict[str, Any]]) -> dict[str, Any]:
    votes = [
        {"voter": c.vote.voter, "decision": c.vote.decision, "counted": c.counted, "why": c.why, "action": c.vote.proposed_action}
        for c in result.votes
    ]
    return {
        "slot": slot, "proposal": proposal, "outcome": result.outcome, "approved": result.approved, "action": result.action,
        "n": result.quorum.n, "f": result.quorum.f, "q": result.quorum.q, "claim": result.quorum.claim,
        "threshold": str(result.threshold), "counts": result.counts, "supporters": result.supporters,
        "confidence_pct": {name: f"{float(100 * share):.1f}" for name, share in result.shares.items()},
        "escalate": result.escalate, "vetoed_by": list(result.vetoed_by), "votes": votes, "path": list(result.path),
        "equivocations": proofs,
    }  # fmt: skip
