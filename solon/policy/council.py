"""Votes counted: quorum and threshold by exact fractions, veto, conflicts, and which of two proposals is the more conservative.

Approve iff yes-keys >= q and yes-keys / eligible >= threshold (an abstention counts against) and, where weights are declared,
weight(yes) / weight(registered) >= threshold. Confidence is never multiplied in: it orders ties and is reported. Signatures,
slots and epochs are checked before (governance); this module only counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from solon.policy.types import Outcome

Decision = Literal["yes", "no", "abstain", "veto"]
Mode = Literal["risk_manager_veto", "most_conservative", "majority", "human_escalation"]
DECISIONS: tuple[Decision, ...] = ("yes", "no", "abstain", "veto")
RISK_MANAGER = "risk_manager"

# From the most conservative to the least; a constitution's `action_order` replaces it. Names on one line mean the same.
ACTION_ORDER: tuple[tuple[str, ...], ...] = (
    ("halt", "stop"),
    ("flatten", "close_all", "liquidate"),
    ("strong_sell",),
    ("sell", "close"),
    ("reduce_exposure", "reduce", "trim", "de_leverage"),
    ("hedge",),
    ("hold", "neutral", "wait", "none"),
    ("accumulate",),
    ("buy",),
    ("strong_buy",),
)


@dataclass(frozen=True)
class Voter:
    """Someone registered: `weight` None unless weights are declared for all; `veto` None where the role says who may veto."""

    id: str
    role: str = ""
    weight: Fraction | None = None
    suspended: bool = False
    veto: bool | None = None

    @property
    def may_veto(self) -> bool:
        """By a power of its own where a registry states one, else as a risk manager."""
        return self.role == RISK_MANAGER if self.veto is None else self.veto


@dataclass(frozen=True)
class Vote:
    """One vote on a proposal. `confidence` 0..100 percent is only reported and orders ties."""

    voter: str
    decision: Decision
    proposed_action: str = ""
    confidence: Decimal | None = None
    late: bool = False


@dataclass(frozen=True)
class Quorum:
    """What n voters can promise: `f` Byzantine voters tolerated, `q` distinct keys needed; tolerance is claimed for n >= 4
    only.
    """

    n: int

    @property
    def f(self) -> int:
        return (self.n - 1) // 3 if self.n else 0

    @property
    def q(self) -> int:
        return (self.n + self.f) // 2 + 1

    @property
    def claim(self) -> str:
        """What may be said about faulty voters."""
        if self.n < 4:
            return f"n = {self.n}, f = {self.f}, q = {self.q}: no Byzantine tolerance (that needs at least 4 voters)"
        return f"n = {self.n}, f = {self.f}, q = {self.q}: safe while no more than {self.f} of them sign two ways or keep silent"


@dataclass(frozen=True)
class Counted:
    """One vote and whether, and why, it counted."""

    vote: Vote
    counted: bool
    why: str


@dataclass(frozen=True)
class Tally:
    """The result. `action` is what may be done (empty: nothing); `outcome` allow, modify (another action imposed), escalate
    or deny.
    """

    approved: bool
    outcome: Outcome
    action: str
    escalate: bool
    quorum: Quorum
    threshold: Fraction
    counts: dict[str, int]
    supporters: dict[str, int]
    votes: tuple[Counted, ...]
    shares: dict[str, Fraction] = field(default_factory=dict)
    vetoed_by: tuple[str, ...] = ()
    path: tuple[str, ...] = ()

    def explanation(self) -> str:
        """Every vote and why it counted or not, the sums, the path."""
        lines = [
            " ".join(filter(None, (f"{c.vote.voter}:", c.vote.decision, c.vote.proposed_action)))
            + f" - {'counted' if c.counted else 'NOT counted'}: {c.why}"
            for c in self.votes
        ]
        sums = ", ".join(f"{name} {count}" for name, count in self.supporters.items()) or "nobody for anything"
        lines.append(f"For: {sums}; eligible {self.quorum.n}; needed {self.quorum.q} keys and {self.threshold} of them.")
        lines += [
            f"Confidence share (reported, never counted): {name} {_percent(share)} %" for name, share in self.shares.items()
        ]
        return "\n".join([*lines, self.quorum.claim, *self.path, f"Result: {self.outcome} {self.action}".rstrip()])


def _percent(share: Fraction) -> str:
    return f"{round(share * 1000) / 10:.1f}"


class ActionOrder:
    """A total order on proposed actions, from the most conservative to the least."""

    def __init__(self, order: Sequence[str] | None = None) -> None:
        groups = [(name,) for name in order] if order else ACTION_ORDER
        self._place = {_plain(name): place for place, group in enumerate(groups) for name in group}

    def knows(self, action: str) -> bool:
        return _plain(action) in self._place

    def place(self, action: str) -> int:
        """Its place, 0 the most conservative; an unknown action stands after all others."""
        return self._place.get(_plain(action), len(self._place))

    def most_conservative(self, actions: Iterable[str]) -> str:
        """The most conservative of some actions; empty for none."""
        return min(actions, key=self.place, default="")

    def direction(self, action: str) -> str:
        """buy, sell or hold, by the side of `hold` on which it stands."""
        hold = self.place("hold")
        return "hold" if self.place(action) == hold else "sell" if self.place(action) < hold else "buy"


PROPOSAL = "proposal"  # what a yes without an action of its own is for; it has no place in the order, so that it adds risk


def _plain(action: str) -> str:
    return action.strip().lower().replace("-", "_").replace(" ", "_")


def tally(
    votes: Sequence[Vote],
    voters: Sequence[Voter],
    *,
    threshold: Fraction = Fraction(2, 3),
    mode: Mode = "risk_manager_veto",
    order: ActionOrder | None = None,
    proposal: str = "",
    n: int | None = None,
) -> Tally:
    """Count votes on one proposal. `proposal` is the action put to the vote; without it every yes supports its `proposed_action`.

    Eligible are all registered voters who are not suspended, present or not. Of several votes of one voter the first counts.
    `n` is given where voters were suspended since the quorum was fixed: their votes no longer count, their seats still do.
    """
    order = order or ActionOrder()
    eligible = {voter.id: voter for voter in voters if not voter.suspended}
    counted = _admit(votes, voters, order)
    valid = [c.vote for c in counted if c.counted]
    quorum = Quorum(len(eligible) if n is None else n)
    support = _support(valid, proposal)
    winner = _winner(support, eligible, quorum, threshold)
    vetoes = tuple(v.voter for v in valid if v.decision == "veto")
    result = _resolve(valid, eligible, winner, vetoes, mode, order, support, quorum)
    action, outcome, escalate, path = result
    return Tally(
        approved=outcome == "allow",
        outcome=outcome,
        action=action,
        escalate=escalate,
        quorum=quorum,
        threshold=threshold,
        counts={name: sum(v.decision == name for v in valid) for name in DECISIONS},
        supporters={name: len(found) for name, found in support.items()},
        votes=counted,
        shares=_confidence_shares(valid),
        vetoed_by=vetoes,
        path=path,
    )


def _admit(votes: Sequence[Vote], voters: Sequence[Voter], order: ActionOrder) -> tuple[Counted, ...]:
    """Each vote with whether it counts: registered, not suspended, in time, the voter's first, well-formed."""
    known = {voter.id: voter for voter in voters}
    seen: set[str] = set()
    found = []
    for vote in votes:
        why = _objection(vote, known, seen, order)
        seen.add(vote.voter)
        found.append(Counted(vote, not why, why or "registered, in time, once"))
    return tuple(found)


def _objection(vote: Vote, known: dict[str, Voter], seen: set[str], order: ActionOrder) -> str:
    voter = known.get(vote.voter)
    if voter is None:
        return "not registered"
    if voter.suspended:
        return "suspended"
    if vote.late:
        return "late"
    if vote.voter in seen:
        return "this voter has voted already"
    if vote.decision not in DECISIONS:
        return f"expected one of {', '.join(DECISIONS)}"
    if vote.decision == "veto" and not voter.may_veto:
        return "only a risk manager, or who has the power, may veto"
    if vote.proposed_action and not order.knows(vote.proposed_action):
        return f"{vote.proposed_action!r} has no place in the order of actions"
    return ""


def _support(valid: Sequence[Vote], proposal: str) -> dict[str, list[Vote]]:
    support: dict[str, list[Vote]] = {}
    for vote in valid:
        if vote.decision == "yes":
            support.setdefault(_plain(proposal or vote.proposed_action) or PROPOSAL, []).append(vote)
    return support


def _winner(support: dict[str, list[Vote]], eligible: dict[str, Voter], quorum: Quorum, threshold: Fraction) -> str:
    """The action that enough distinct voters, and enough weight, stand behind; empty when none is."""
    passing = [action for action, votes in support.items() if action and _passes(votes, eligible, quorum, threshold)]
    return max(passing, key=lambda action: (len(support[action]), _confidence(support[action])), default="")


def _passes(votes: list[Vote], eligible: dict[str, Voter], quorum: Quorum, threshold: Fraction) -> bool:
    count = len(votes)
    if count < quorum.q or not quorum.n or Fraction(count, quorum.n) < threshold:
        return False
    weights = {voter.id: voter.weight for voter in eligible.values()}
    if all(weight is None for weight in weights.values()):
        return True
    total = sum((weight or Fraction(0)) for weight in weights.values())
    yes = sum((weights[vote.voter] or Fraction(0)) for vote in votes)
    return total > 0 and yes / total >= threshold


def _confidence(votes: list[Vote]) -> Decimal:
    return sum((vote.confidence or Decimal(0) for vote in votes), Decimal(0))


def _confidence_shares(valid: Sequence[Vote]) -> dict[str, Fraction]:
    stated: dict[str, Decimal] = {}
    for vote in valid:
        if vote.confidence is not None and vote.proposed_action:
            stated[_plain(vote.proposed_action)] = stated.get(_plain(vote.proposed_action), Decimal(0)) + vote.confidence
    total = sum(stated.values(), Decimal(0))
    return {name: Fraction(value) / Fraction(total) for name, value in stated.items()} if total else {}


def _resolve(
    valid: Sequence[Vote],
    eligible: dict[str, Voter],
    winner: str,
    vetoes: tuple[str, ...],
    mode: Mode,
    order: ActionOrder,
    support: dict[str, list[Vote]],
    quorum: Quorum,
) -> tuple[str, Outcome, bool, tuple[str, ...]]:
    """(action, outcome, call a person, path). A veto comes before everything; agreement before conflict."""
    proposals = [vote.proposed_action for vote in valid if vote.proposed_action] + ([winner] if winner else [])
    if vetoes:
        named = [vote.proposed_action for vote in valid if vote.decision == "veto" and vote.proposed_action]
        imposed = _plain(order.most_conservative(named + ([winner] if winner else []))) if named else ""
        path = (f"veto of {', '.join(vetoes)}: blocks{f' and imposes {imposed}' if imposed else ''}",)
        return (imposed, "modify" if imposed else "deny", not imposed, path)
    if winner:
        return (winner, "allow", False, (f"{winner}: quorum and threshold reached",))
    if not valid:
        return ("", "deny", False, ("no valid vote",))
    return _conflict(valid, eligible, proposals, mode, order, support, quorum)


def _conflict(
    valid: Sequence[Vote],
    eligible: dict[str, Voter],
    proposals: list[str],
    mode: Mode,
    order: ActionOrder,
    support: dict[str, list[Vote]],
    quorum: Quorum,
) -> tuple[str, Outcome, bool, tuple[str, ...]]:
    """Nothing reached its thresholds: the mode decides. But for a plain majority, none adds risk: who said no, or nothing, meant
    at most to hold.
    """
    safest = _plain(order.most_conservative([*proposals, "hold"] if order.knows("hold") else proposals))
    managers = [vote for vote in valid if eligible[vote.voter].role == RISK_MANAGER and vote.proposed_action]
    if mode == "human_escalation":
        return ("", "escalate", True, ("no agreement: a person decides",))
    if mode == "majority":
        leading = max(support, key=lambda action: (len(support[action]), _confidence(support[action])), default="")
        if leading and 2 * len(support[leading]) > quorum.n:
            return (leading, "modify", False, (f"no quorum; a plain majority of {quorum.n} is for {leading}",))
        return ("", "escalate", True, ("neither quorum nor majority: a person decides",))
    if mode == "risk_manager_veto" and managers:
        chosen = _plain(order.most_conservative(vote.proposed_action for vote in managers))
        return (chosen, "modify" if chosen else "deny", False, (f"no agreement: the risk manager's {chosen} prevails",))
    if mode == "risk_manager_veto":
        why = f"no agreement, and no risk manager names an action: {safest or 'nothing'}, and a person is called"
        return (safest, "escalate", True, (why,))
    return (safest, "modify" if safest else "deny", False, (f"no agreement: the most conservative proposal, {safest or 'none'}",))


def voters_of(constitution: Any) -> tuple[Voter, ...]:
    """The voters a constitution declares; weights only if all have one."""
    weighed = constitution.voters and all(voter.weight is not None for voter in constitution.voters)
    return tuple(Voter(v.id, v.role, Fraction(v.weight) if weighed else None) for v in constitution.voters)
