"""The queue of what a person must decide: bound to one action, used once, denied when nobody answers in time.

    ticket = queue.request(action_record, reason="…", severity="high", exposure=Decimal(25000), agent="buffett")
    queue.answer(signed_envelope)         # by people who may approve; one denial denies
    queue.use(ticket.id, action_record)   # once, for exactly that action, before the deadline

Highest severity first, then the larger exposure. Within an hour only so many tickets are taken; beyond that the least of them are
parked and denied, so that a flood of small requests cannot bury a large one. All of it is in the ledger.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from solon.errors import CheckFailed, InputError, IntegrityError
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.ledger.canonical import digest
from solon.ledger.clocks import Steady, clock, uptime
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import AlreadyUsed, Ledger
from solon.policy.types import Severity

Outcome = Literal["PENDING", "APPROVED", "DENIED", "EXPIRED", "PARKED"]
HOUR = 3_600_000_000
DEADLINE = 900_000_000
FIELDS = {"network", "ticket", "action", "answer", "issued_at"}


class NotApproved(CheckFailed):
    """The action may not go ahead: no approval, another action, used before, or too late."""


class AnswerRefused(InputError):
    """An answer that does not count. `code` is one of `power, other_action, decided, malformed`."""

    def __init__(self, code: str, what: str, *, mend: str = "") -> None:
        super().__init__(what, mend=mend)
        self.code = code


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
    """Tickets over a ledger. `cap` tickets an hour are taken in all, `cap_agent` of one agent."""

    def __init__(
        self,
        ledger: Ledger,
        registry: Registry,
        *,
        cap: int = 30,
        cap_agent: int = 10,
        now: Callable[[], int] = clock,
        ticks: Callable[[], int] = uptime,
    ) -> None:
        self.ledger, self.registry, self.cap, self.cap_agent = ledger, registry, cap, cap_agent
        self.now = Steady(now, ticks, least=ledger.last_time)
        self.tickets: dict[str, Ticket] = {}
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
        """Ask. The ticket may come back PARKED, which is a denial. `needed`: distinct approvers (default: the registry's)."""
        with self._lock:
            at, bound = self.now(), digest(dict(action))
            number = sum(1 for ticket in self.tickets.values() if ticket.bound == bound)
            ticket = Ticket(
                digest([bound, number])[:16], dict(action), bound, reason, Severity[severity], exposure, agent, at, at + lifetime,
                self.registry.needed("approve") if needed is None else needed,
            )  # fmt: skip
            self.ledger.append("review", _body(ticket), once=f"review:{ticket.id}")
            self.tickets[ticket.id] = ticket
            self._park(at, ticket)
            return ticket

    def _park(self, at: int, newest: Ticket) -> None:
        """Beyond a cap the lowest-ranked open ticket gives way, whether it is the newest or not."""
        recent = [t for t in self.tickets.values() if t.opened > at - HOUR and t.outcome(at) == "PENDING"]
        own = [t for t in recent if t.agent == newest.agent]
        for group, cap in ((own, self.cap_agent), (recent, self.cap)):
            while len([t for t in group if not t.parked]) > cap:
                least = min((t for t in group if not t.parked), key=lambda t: t.rank)
                self.ledger.append("review_parked", {"ticket": least.id, "why": f"more than {cap} an hour"})
                least.parked, least.decided = True, at

    def answer(self, envelope: Envelope) -> Ticket:
        """Take a signed answer.

        Raises:
            AnswerRefused: not signed by people who may approve, about another action, or too late.
        """
        with self._lock, refusal_logged(self.ledger, answer=envelope):
            record = self._read(envelope)
            ticket = self.ticket(record["ticket"])
            at = self.now()
            people = self.registry.holders("approve", envelope.signers)
            if not people:
                raise AnswerRefused("power", "answer: expected a signature of a member who may approve", mend="let one sign")
            if record["action"] != ticket.bound:
                raise AnswerRefused(
                    "other_action", "answer: it names another action than the ticket", mend="read it and sign anew"
                )
            if ticket.outcome(at) != "PENDING":
                raise AnswerRefused("decided", f"answer: the ticket is {ticket.outcome(at)}", mend="ask again with a new ticket")
            self.ledger.append(
                "review_answer", {"answer": envelope.as_dict(), "at": at}, once=f"answer:{digest(envelope.as_dict())}"
            )
            self._apply(ticket, record, [(member.id, member.key) for member in people], at)
            return ticket

    def _read(self, envelope: Envelope) -> dict[str, Any]:
        try:
            read(envelope.as_dict(), "approval")
            record = envelope.record
        except IntegrityError as error:
            raise AnswerRefused("malformed", f"answer: {error.what}", mend="sign it anew") from error
        sound = isinstance(record, dict) and set(record) == FIELDS and record["answer"] in ("approve", "deny")
        if not sound or not envelope.clean or record["network"] != self.registry.network:
            raise AnswerRefused("malformed", "answer: expected approve or deny, signed, of this network", mend="solon review")
        return record

    def _apply(self, ticket: Ticket, record: Mapping[str, Any], people: list[tuple[str, str]], at: int) -> None:
        if record["answer"] == "deny":
            ticket.denied_by = people[0][0]
        else:
            ticket.approvals.update({key: at for _, key in people})
        if ticket.denied_by or len(ticket.approvals) >= ticket.needed:
            ticket.decided = at

    def use(self, name: str, action: Mapping[str, Any]) -> int:
        """Claim the approval for this action; returns the ledger index. Works once.

        Raises:
            NotApproved: with why.
        """
        with self._lock:
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
                ticket = _ticket(body)
                self.tickets[ticket.id] = ticket
            elif kind == "review_parked":
                self.tickets[body["ticket"]].parked = True
            elif kind == "review_used":
                self.tickets[body["ticket"]].used = True
            else:
                envelope = read(body["answer"], "approval")
                answered = envelope.record
                people = self.registry.holders("approve", envelope.signers)
                if people:
                    self._apply(self.tickets[answered["ticket"]], answered, [(m.id, m.key) for m in people], body["at"])


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
