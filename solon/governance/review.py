"""The queue of what a person must decide: bound to one action, used once, denied when nobody answers in time.

    ticket = queue.request(action_record, reason="…", severity="high", exposure=Decimal(25000), agent="buffett")
    queue.answer(signed_envelope)         # by people who may approve; one denial denies
    queue.use(ticket.id, action_record)   # once, for exactly that action, before the deadline

One process writes the ledger. People at other terminals leave their answers in its inbox, where every use and every look at what
is pending takes them up.

Highest severity first, then the larger exposure. Of the tickets of an hour, decided or not, only so many of the highest are put
before people; the rest is parked, which is a denial. So a flood of small requests neither wears people out nor keeps a large one
from them. All of it is in the ledger.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from solon.errors import CheckFailed, InputError, IntegrityError, NamedRefusal
from solon.governance.inbox import Inbox
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Member, Registry
from solon.governance.votes import SKEW
from solon.ledger.canonical import digest
from solon.ledger.clocks import Steady, clock, uptime
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import AlreadyUsed, Ledger
from solon.policy.types import Severity

Outcome = Literal["PENDING", "APPROVED", "DENIED", "EXPIRED", "PARKED"]
HOUR = 3_600_000_000
DEADLINE = 900_000_000
LONGEST = 24 * HOUR
KINDS = {"network": str, "ticket": str, "action": str, "answer": str, "issued_at": int}


class NotApproved(CheckFailed):
    """The action may not go ahead: no approval, another action, used before, or too late."""

    code = "not_approved"


class AnswerRefused(NamedRefusal):
    """An answer that does not count. `code` is one of `power, other_action, decided, malformed, early`."""


@dataclass
class Ticket:
    """One question. `action` is the record asked about, `bound` its digest; times are microseconds since 1970."""

    id: str
    action: dict[str, Any]
    bound: str
    reason: str
    severity: Severity
    exposure: Decimal
    agent: str
    opened: int
    deadline: int
    needed: int
    approvals: dict[str, int] = field(default_factory=dict)
    denied_by: str = ""
    parked: bool = False
    used: bool = False
    decided: int | None = None

    def outcome(self, now: int) -> Outcome:
        """How it stands at `now`. Silence is denial: after the deadline it is EXPIRED, and stays so."""
        if self.parked:
            return "PARKED"
        if self.denied_by:
            return "DENIED"
        if len(self.approvals) >= self.needed:
            return "APPROVED"
        return "EXPIRED" if now >= self.deadline else "PENDING"

    @property
    def rank(self) -> tuple[int, Decimal, int]:
        """Highest first: severity, exposure, then whoever waits longest."""
        return (int(self.severity), self.exposure, -self.opened)


class ReviewQueue:
    """Tickets over a ledger. The `cap` highest of an hour are put before people, of one agent the `cap_agent` highest."""

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        *,
        cap: int = 30,
        cap_agent: int = 10,
        inbox: Path | None = None,
        now: Callable[[], int] = clock,
        ticks: Callable[[], int] = uptime,
    ) -> None:
        self.ledger, self.registry, self.cap, self.cap_agent = ledger, registry, cap, cap_agent
        self.inbox = Inbox(inbox) if inbox is not None else None
        self.now = Steady(now, ticks, least=ledger.last_time)
        self.tickets: dict[str, Ticket] = {}
        self._asked: Counter[str] = Counter()  # tickets for one action
        self._recent: list[Ticket] = []  # what was put before people within the hour, and perhaps before
        self._lock = threading.RLock()
        self._rebuild()

    def request(
        self,
        action: Mapping[str, Any],
        *,
        reason: str,
        severity: str = "high",
        exposure: Decimal = Decimal(0),
        agent: str = "",
        lifetime: int = DEADLINE,
        needed: int | None = None,
    ) -> Ticket:
        """Ask. The ticket may come back PARKED, which is a denial.

        Args:
            exposure: what is at stake, for the rank.
            lifetime: microseconds until silence denies, a day at most.
            needed: distinct approvers; never fewer than the registry asks for.

        Raises:
            InputError: one of these is out of range.
        """
        if severity not in Severity.__members__ or not (isinstance(exposure, Decimal) and exposure.is_finite()):
            raise InputError(
                f"review: expected a severity and a finite exposure, got {severity!r}, {exposure!r}", mend="correct it"
            )
        if not 0 < lifetime <= LONGEST or (needed is not None and needed < 1):
            raise InputError(
                f"review: expected a lifetime of up to a day and an approver, got {lifetime} us, {needed}", mend="ask so"
            )
        with self._lock:
            at, bound, asked_for = self.now(), digest(dict(action)), self.registry.needed("approve")
            ticket = Ticket(
                digest([bound, self._asked[bound]])[:16], dict(action), bound, reason, Severity[severity], exposure, agent, at,
                at + lifetime, asked_for if needed is None else max(needed, asked_for),
            )  # fmt: skip
            self.ledger.append("review", _body(ticket), once=f"review:{ticket.id}")
            self._keep(ticket)
            self._park(at, ticket)
            return ticket

    def _keep(self, ticket: Ticket) -> None:
        self.tickets[ticket.id] = ticket
        self._asked[ticket.bound] += 1
        self._recent.append(ticket)

    def _park(self, at: int, newest: Ticket) -> None:
        """What waits and is not among the highest of its hour gives way, whether it is the newest or not."""
        self._recent = [t for t in self._recent if t.opened > at - HOUR and not t.parked]
        own = [t for t in self._recent if t.agent == newest.agent]
        for group, cap in ((own, self.cap_agent), (self._recent, self.cap)):
            highest = sorted((t for t in group if not t.parked), key=lambda t: t.rank, reverse=True)
            for least in highest[cap:]:
                if least.outcome(at) == "PENDING":
                    self.ledger.append("review_parked", {"ticket": least.id, "why": f"more than {cap} an hour"})
                    least.parked, least.decided = True, at

    def answer(self, envelope: Envelope) -> Ticket:
        """Take a signed answer.

        Raises:
            AnswerRefused: not signed by people who may approve, about another action, or too late.
        """
        with self._lock, refusal_logged(self.ledger, answer=envelope):
            record, ticket, people, at = self._check(envelope)
            by = [member.id for member in people]
            body = {"answer": envelope.as_dict(), "at": at, "by": by}
            self.ledger.append("review_answer", body, once=f"answer:{digest(envelope.as_dict())}")
            self._apply(ticket, record, by, [member.key for member in people], at)
            return ticket

    def hand_in(self, envelope: Envelope) -> bool:
        """`answer`, or leave the answer in the inbox where another process writes the ledger. Returns whether it was taken."""
        if self.ledger.key is not None or self.inbox is None:
            self.answer(envelope)
            return True
        self._check(envelope)
        self.inbox.leave(envelope)
        return False

    def _collect(self) -> None:
        """Take up what was left in the inbox."""
        if self.inbox is not None and self.ledger.key is not None:
            self.inbox.take_up(self.ledger, {"approval": self.answer})

    def _read(self, envelope: Envelope) -> dict[str, Any]:
        try:
            read(envelope.as_dict(), "approval")
            record = envelope.record
        except IntegrityError as error:
            raise AnswerRefused("malformed", f"answer: {error.what}", mend="sign it anew") from error
        sound = isinstance(record, dict) and set(record) == set(KINDS) and all(type(record[k]) is v for k, v in KINDS.items())
        if (
            not sound
            or record["answer"] not in ("approve", "deny")
            or not envelope.clean
            or record["network"] != self.registry.network
        ):
            raise AnswerRefused("malformed", "answer: expected approve or deny, signed, of this network", mend="solon review")
        return record

    def _check(self, envelope: Envelope) -> tuple[dict[str, Any], Ticket, tuple[Member, ...], int]:
        """The answer, its ticket, who answers, and when."""
        record = self._read(envelope)
        ticket, at = self.ticket(record["ticket"]), self.now()
        people = self.registry.holders("approve", envelope.signers)
        if not people:
            raise AnswerRefused("power", "answer: expected a signature of a member who may approve", mend="let one sign")
        if record["action"] != ticket.bound:
            raise AnswerRefused("other_action", "answer: it names another action than the ticket", mend="read it and sign anew")
        if record["issued_at"] > at + SKEW:
            raise AnswerRefused("early", "answer: it comes from the future", mend="set the clock")
        if ticket.outcome(at) != "PENDING":
            raise AnswerRefused("decided", f"answer: the ticket is {ticket.outcome(at)}", mend="ask again with a new ticket")
        return record, ticket, people, at

    def _apply(self, ticket: Ticket, record: Mapping[str, Any], names: list[str], keys: list[str], at: int) -> None:
        """A denial stays whoever left since; approvals are counted by keys that may approve now."""
        if record["answer"] == "deny":
            ticket.denied_by = ", ".join(names)
        else:
            ticket.approvals.update(dict.fromkeys(keys, at))
        if ticket.denied_by or len(ticket.approvals) >= ticket.needed:
            ticket.decided = at

    def use(self, name: str, action: Mapping[str, Any]) -> int:
        """Claim the approval for this action; returns the ledger index. Works once.

        Raises:
            NotApproved: with why.
        """
        with self._lock:
            self._collect()
            ticket, at = self.ticket(name), self.now()
            outcome = ticket.outcome(at)
            if outcome != "APPROVED":
                raise NotApproved(f"ticket {name}: {outcome}", mend="only an approved action goes ahead")
            if digest(dict(action)) != ticket.bound:
                raise NotApproved(f"ticket {name}: approved for another action", mend="an approval fits one action only")
            if at >= ticket.deadline:
                raise NotApproved(f"ticket {name}: the approval has expired", mend="ask again")
            try:
                index = self.ledger.append("review_used", {"ticket": name}, once=f"review-used:{name}")
            except AlreadyUsed as error:
                raise NotApproved(f"ticket {name}: used before", mend="an approval is used once") from error
            ticket.used = True
            return index

    def ticket(self, name: str) -> Ticket:
        """By id. Raises InputError."""
        if name not in self.tickets:
            raise InputError(f"ticket {name!r}: expected a known ticket", mend="solon review list")
        return self.tickets[name]

    def pending(self) -> list[Ticket]:
        """What waits for a person, most dangerous first."""
        with self._lock:
            self._collect()
        at = self.now()
        return sorted((t for t in self.tickets.values() if t.outcome(at) == "PENDING"), key=lambda t: t.rank, reverse=True)

    def times(self) -> dict[str, Any]:
        """Tickets by outcome, and how long people took to decide (seconds; median and longest), parked ones not counted."""
        at = self.now()
        counts: dict[str, int] = {}
        for ticket in self.tickets.values():
            counts[ticket.outcome(at)] = counts.get(ticket.outcome(at), 0) + 1
        took = [(t.decided - t.opened) / 1e6 for t in self.tickets.values() if t.decided is not None and not t.parked]
        return {
            "counts": counts,
            "decided": len(took),
            "median_s": statistics.median(took) if took else None,
            "longest_s": max(took, default=None),
        }

    def _rebuild(self) -> None:
        for entry in self.ledger.of_kind("review", "review_parked", "review_answer", "review_used"):
            record = entry.record
            body, kind = record["body"], record["kind"]
            if kind == "review":
                self._keep(_ticket(body))
            elif kind == "review_parked":
                self.tickets[body["ticket"]].parked = True  # when is of no use: parked tickets count in no time
            elif kind == "review_used":
                self.tickets[body["ticket"]].used = True
            else:
                envelope = read(body["answer"], "approval")
                answered = envelope.record
                people = self.registry.holders("approve", envelope.signers)
                names = body.get("by") or [m.id for m in people]
                self._apply(self.tickets[answered["ticket"]], answered, names, [m.key for m in people], body["at"])


def sign_answer(network: str, ticket: Ticket, answer: Literal["approve", "deny"], keys: list[PrivateKey], now: int) -> Envelope:
    """A person's answer, bound to the ticket's action."""
    record = {"network": network, "ticket": ticket.id, "action": ticket.bound, "answer": answer, "issued_at": now}
    return seal("approval", record, keys)


def _body(ticket: Ticket) -> dict[str, Any]:
    return {
        "ticket": ticket.id, "action": ticket.action, "reason": ticket.reason, "severity": ticket.severity.name,
        "exposure": format(ticket.exposure, "f"), "agent": ticket.agent, "opened": ticket.opened, "deadline": ticket.deadline,
        "needed": ticket.needed,
    }  # fmt: skip


def _ticket(body: Mapping[str, Any]) -> Ticket:
    return Ticket(
        body["ticket"], body["action"], digest(body["action"]), body["reason"], Severity[body["severity"]],
        Decimal(body["exposure"]), body["agent"], body["opened"], body["deadline"], body["needed"],
    )  # fmt: skip
