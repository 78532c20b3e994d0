"""Signed votes counted away from any council: the same checks, from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from solon.constitution import Constitution
from solon.governance.change import consensus_needed
from solon.governance.registry import Registry
from solon.governance.votes import Vote, VoteRefused, check, evidence, vote_of
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope
from solon.ledger.storage import clock
from solon.policy.council import PROPOSAL, ActionOrder, Counted, Tally, tally
from solon.policy.council import Vote as Ballot


def count(
    votes: Sequence[Envelope],
    registry: Registry,
    constitution: Constitution,
    slot: str,
    proposal: dict[str, Any],
    *,
    at: int | None = None,
) -> tuple[Tally, dict[str, Any]]:
    """The tally of signed votes on a proposal, and the same as a record with evidence of equivocation where there is any.

    Args:
        at: time of counting (microseconds; default now); votes that have expired by then do not count.
    """
    now = clock() if at is None else at
    wanted = digest(proposal)
    kept: dict[str, tuple[Envelope, Vote]] = {}
    refused: list[Counted] = []
    proofs: list[dict[str, Any]] = []
    guilty: set[str] = set()
    for envelope in votes:
        name, said = "?", ("", "")
        try:
            vote = vote_of(envelope)
            said = (vote.decision, vote.proposed_action)
            member = registry.by_key.get(vote.key)
            name = member.id if member else f"{vote.key[:12]}…"
            check(vote, registry, constitution.hash, now)
            if vote.slot != slot:
                raise VoteRefused("slot", f"vote: on the slot {vote.slot!r}", mend="give votes of one slot")
            earlier = kept.get(vote.key)
            if earlier is not None and earlier[1].meaning != vote.meaning:
                proofs.append(evidence(earlier[0], envelope))
                guilty.add(vote.key)
                raise VoteRefused("equivocation", "vote: signed two ways", mend="suspend the key")
            if vote.proposal != wanted:
                raise VoteRefused("proposal", "vote: on another proposal", mend="give votes of one proposal")
        except VoteRefused as error:
            refused.append(Counted(Ballot(name, *said), False, f"{error.code}: {error.what.removeprefix('vote: ')}"))  # type: ignore[arg-type]
            continue
        kept.setdefault(vote.key, (envelope, vote))
    order = constitution.value("action_order")
    result = tally(
        [vote.ballot(registry.by_key[key].id) for key, (_, vote) in kept.items()],
        registry.suspend(*guilty).eligible,
        threshold=consensus_needed(registry, constitution),
        mode=constitution.value("conflict_resolution_mode", "risk_manager_veto"),
        order=ActionOrder(order) if order else ActionOrder(),
        proposal=str(proposal.get("action") or PROPOSAL),
    )
    result = replace(result, votes=(*result.votes, *refused))
    if guilty:
        path = (*result.path, "a key signed two ways: a person decides")
        result = replace(result, approved=False, outcome="escalate", escalate=True, action="", path=path)
    return result, _record(result, slot, wanted, proofs)


def _record(result: Tally, slot: str, proposal: str, proofs: list[dict[str, Any]]) -> dict[str, Any]:
    votes = [
        {"voter": c.vote.voter, "decision": c.vote.decision, "counted": c.counted, "why": c.why, "action": c.vote.proposed_action}
        for c in result.votes
    ]
    return {
        "slot": slot, "proposal": proposal, "outcome": result.outcome, "approved": result.approved, "action": result.action,
        "n": result.quorum.n, "f": result.quorum.f, "q": result.quorum.q, "claim": result.quorum.claim,
        "threshold": str(result.threshold), "supporters": result.supporters, "vetoed_by": list(result.vetoed_by), "votes": votes,
        "path": list(result.path), "equivocations": proofs,
    }  # fmt: skip
