"""The governor: every proposed action judged under one constitution, remembered, and on disk before the answer is given.

    governor = Governor("trading", ledger=ledger)
    verdict = governor.decide(action, state)        # verdict.outcome == "allow" is the only permission

The judging is pure (`solon.policy`); here it meets what must be remembered: the latched ladder, the kill switch, orders that were
allowed but that the state does not show yet, single use of action ids, and the log. Whatever goes wrong, nothing is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from solon.constitution import Constitution, load
from solon.errors import IntegrityError, SolonError
from solon.governance.change import latched_ladder, put_in_force, tightened_since
from solon.governance.deciding import (
    PARKED,
    Given,
    Memory,
    Sent,
    add_pending,
    both_of,
    denial,
    exposure_of,
    judged,
    note,
    observation_of,
    placed,
    plain,
    recall,
    received,
    request_of,
    sent_of,
    shown,
    throttles,
)
from solon.governance.inbox import Inbox
from solon.governance.killswitch import Switch
from solon.governance.learning import check_tightening
from solon.governance.logged import decision_text, state_text
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.governance.review import ReviewQueue
from solon.governance.signed_acts import SignedActs
from solon.governance.turns import Turns
from solon.ledger.canonical import Written, written
from solon.ledger.dsse import Envelope
from solon.ledger.receipts import Receipt
from solon.ledger.storage import AlreadyUsed, Job, Ledger, clock
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.ladder import Event, LadderState, Observation, step
from solon.policy.ladder import state_record as ladder_record
from solon.policy.parsing import action_record, is_request, parse_action, parse_state, request_record, state_record
from solon.policy.precedence import Judged, PrecedenceGovernor
from solon.policy.rules import tightened_rules
from solon.policy.types import Action, Ladder, State, TextRequest, Verdict


class _Job(Receipt):
    """A decision that waits for its turn and then for the disk, and what became of it."""

    __slots__ = ("action", "error", "logged", "state", "ticket", "verdict")

    def __init__(self, action: Action, state: State, ticket: str) -> None:
        super().__init__(awaited=True)
        self.action, self.state, self.ticket = action, state, ticket
        self.verdict: Verdict | None = None
        self.logged = False  # whether the ledger has it, and lets its caller go
        self.error: BaseException | None = None


class Governor(SignedActs):
    """Decides; thread-safe. What it remembers is rebuilt from the ledger when it is opened again."""

    def __init__(
        self,
        constitution: Constitution | str | Path,
        *,
        ledger: Ledger | None = None,
        switch: Switch | None = None,
        registry: Registry | None = None,
        reviews: ReviewQueue | None = None,
        inbox: Inbox | None = None,
        change: Envelope | None = None,
        pinned: str = "",
        now: Callable[[], int] = clock,
    ) -> None:
        """
        Args:
            constitution: itself, a library name or a path.
            ledger: where decisions go; without one nothing is remembered beyond this object.
            inbox: where people leave signed resumes, relaxations and re-enablings while this process holds the ledger.
            change: signatures for a constitution that differs from the ledger's (needed where a registry is given).
            pinned: the hash that the constitution must have.

        Raises:
            ConstitutionError, IntegrityError: not the pinned one, an older version, or a change that was not signed.
        """
        self.constitution = constitution if isinstance(constitution, Constitution) else load(constitution)
        self.hash = self.constitution.hash
        if pinned and pinned != self.hash:
            raise IntegrityError(f"constitution: expected {pinned[:12]}…, got {self.hash[:12]}…", mend="load the pinned version")
        self.judge = Judge.of(self.constitution)
        self.tightened: dict[str, str] = {}
        self.precedence = PrecedenceGovernor(self.constitution)
        self.ledger, self.switch, self.registry, self.reviews, self.now = ledger, switch, registry, reviews, now
        self.inbox, self.ladder = inbox, LadderState()
        self.pending: dict[str, Sent] = {}
        self.throttled: set[tuple[str, str]] = set()
        self._memory = Memory(self.judge.rules)
        self._turns = Turns(self._judge, self._send)
        self._outbox: list[Job] = []
        self._state: State | None = None
        self._book: Book | None = None
        self._state_text, self._state_digest = Written(), ""
        self._shown: tuple[Any, ...] = (-1,)  # the mark of the last state that moved the ladder
        if ledger is not None:
            put_in_force(self.constitution, ledger, self.registry, change, self.now())
            self._remember(ledger)

    # --- opening -------------------------------------------------------------------------------------------------------

    def _remember(self, ledger: Ledger) -> None:
        """The latched ladder, what was tightened under this constitution, and orders allowed lately."""
        for limits in tightened_since(ledger):
            self._tighten(limits)
        self.ladder = latched_ladder(ledger)
        states = ledger.of_kind("state", newest=1)
        if states:
            self._shown = shown(parse_state(states[0].record["body"]["state"]))
        for entry in ledger.of_kind("decision", newest=1000):
            body = entry.record["body"]
            self._keep(sent_of(body, parse_action(body["action"])))
        for entry in ledger.of_kind("throttle", "re_enable"):
            body, held = entry.record["body"], entry.record["kind"] == "throttle"
            (self.throttled.add if held else self.throttled.discard)((body["agent"], body["symbol"]))

    def _keep(self, sent: Sent) -> None:
        """Remember an action; an allowed order counts as working until a state shows it or is later."""
        self._memory.add(sent)
        action, waiting = sent.action, self.pending.get(sent.action.id)
        if sent.allowed and action.kind != "cancel":
            self.pending[action.id] = sent
        elif sent.allowed and waiting is not None and waiting.action.kind == "stop":
            del self.pending[action.id]

    # --- deciding ------------------------------------------------------------------------------------------------------

    def decide(self, action: Action | TextRequest | Given, state: State | Given | None = None, *, ticket: str = "") -> Verdict:
        """Judge an action. When this returns, the decision is in the ledger.

        Args:
            action, state: records, JSON text, or parsed. Give the same state (the object, or an equal one) again while it is
                current: orders allowed meanwhile count against it. A request in words needs none: see `decide_request`.
            ticket: the approved review that lifts an `escalate` (never a deny or a halt).

        Raises:
            Refused: malformed; the refusal is logged.
        """
        if isinstance(action, Action) and isinstance(state, State):
            act, seen = action, state
        elif isinstance(action, TextRequest) or is_request(action):
            return self.decide_request(action)  # type: ignore[arg-type]
        else:
            with refusal_logged(self.ledger, action=action, state=state):
                act, seen = both_of(action, state)
        job = _Job(act, seen, ticket)
        try:
            self._turns.take(job)
            while not job.wait(1.0):
                self._turns.work()
        finally:
            self._turns.leave(job)
        if job.error is not None:
            raise job.error
        assert job.verdict is not None
        return self._durable(act, job.verdict, job) if job.logged else job.verdict

    def _judge(self, job: _Job) -> None:
        try:
            self._safely(job)
        except BaseException as error:
            job.error = error
            raise
        finally:
            if not job.logged:
                job.settle(None)

    def _safely(self, job: _Job) -> None:
        try:
            self._decide(job)
        except Exception as error:  # noqa: BLE001 - fail closed: whatever breaks, the answer is no
            self._broken(job, error)

    def _log(self, kind: str, body: Any, *, once: str | None = None, receipt: Receipt | None = None) -> None:
        """An entry that goes to the ledger with those of the other decisions of this turn."""
        assert self.ledger is not None
        self._outbox.append(self.ledger.job(kind, body, once=once, receipt=receipt))

    def _send(self) -> None:
        """Hand over what this turn has to log: at its end, and before anything else goes to the ledger within it, so that entries
        stand in the order of what happened. Where it fails, whoever waits is told.
        """
        jobs, self._outbox = self._outbox, []
        if not jobs:
            return
        assert self.ledger is not None
        try:
            self.ledger.submit_all(jobs)
        except SolonError as error:
            for _, _, receipt in jobs:
                receipt.settle(error)

    def decide_request(self, request: TextRequest | Given, judged: Sequence[Judged] = ()) -> Verdict:
        """Judge a request in words: hard rules, then what a judge of the principles found. In the ledger when this returns.

        Raises:
            Refused: malformed; the refusal is logged.
        """
        with refusal_logged(self.ledger, request=request):
            asked = request_of(request)
        if self.switch is not None and self.switch.stopped:
            verdict = replace(denial("killed", "everything is stopped", Ladder.killed, self.hash), outcome="halt")
            verdict = replace(verdict, response="refuse")
        else:
            verdict = self.precedence.decide(asked.text, judged).verdict()
        if self.ledger is None:
            return verdict
        told = [vars(item) for item in judged]
        body = {"request": request_record(asked), "judged": told, "verdict": plain(verdict), "constitution": self.hash}
        try:
            return replace(verdict, ledger_index=self.ledger.append("request", body))
        except SolonError as error:
            lost = denial("ledger_unavailable", f"the decision could not be logged: {error}", verdict.ladder, self.hash)
            return replace(lost, response="refuse")

    def _decide(self, job: _Job) -> None:
        action, state, ticket = job.action, job.state, job.ticket
        fresh = self._book is None or (state is not self._state and state != self._state)
        earlier, noted = self._take(state) if fresh else ([], [])
        book = self._book
        assert book is not None
        if fresh:
            self._watch(state, book)
        sent_at = received(action, book)
        stopped = self.switch is not None and self.switch.stopped
        if (stopped or self.ladder.rung > Ladder.warn or self.throttled) and self._heard(book, stopped):
            self._decide(job)
            return
        rung = max(state.ladder, self.ladder.rung, Ladder.killed if stopped else Ladder.normal)
        book.ladder = max(book.ladder, rung)
        approved = self._approved(action, ticket) if ticket and action.kind == "flatten" else False
        verdict = judged(self.judge, action, book, approved)
        if verdict.outcome == "escalate":
            verdict = self._escalate(action, verdict, ticket)
        note(book, action, verdict)
        sent = Sent(self._memory.name(), action, sent_at, verdict.outcome == "allow")
        self._keep(sent)
        job.verdict = verdict
        if self.ledger is not None:
            if fresh:
                self._log("state", state_text(self._state_digest, self._state_text))
            body = decision_text(
                action, verdict, at=sent_at, ladder=book.ladder.name, name=sent.name, state=self._state_digest,
                constitution=self.hash, fresh=fresh, approved=approved, pending=earlier, noted=noted, ticket=ticket,
            )  # fmt: skip
            once = f"allowed:{action.id}" if verdict.outcome == "allow" and action.kind != "cancel" else None
            self._log("decision", body, once=once, receipt=job)
            job.logged = True
        self._throttle(action, book, verdict)

    def _throttle(self, action: Action, book: Book, verdict: Verdict) -> None:
        """Too many executions in a row disable the agent in the instrument until someone designated re-enables it."""
        pair = (action.agent, action.symbol)
        if pair in self.throttled or not throttles(verdict):
            return
        self.throttled.add(pair)
        book.throttle(*pair)
        if self.ledger is not None:
            self._log("throttle", {"agent": action.agent, "symbol": action.symbol})

    def _take(self, state: State) -> tuple[list[str], list[str]]:
        """Make the book of a new state. Orders allowed since its time that it does not show are added as working, what was sent
        lately is counted; returns the ids and the names of both.
        """
        text = written(state_record(state))
        book = Book(state)
        book.throttled |= self.throttled
        known = {order.id for order in (*state.working_orders, *state.recent, *state.executions)}
        self.pending = {name: sent for name, sent in self.pending.items() if sent.at >= state.as_of and name not in known}
        noted = self._memory.since(state, known | set(self.pending))
        recall(book, noted)
        for sent in self.pending.values():
            add_pending(book, sent.action)
        self._state, self._book = state, book
        self._state_text, self._state_digest = text, sha256(text.encode()).hexdigest()
        return list(self.pending), [sent.name for sent in noted]

    def _approved(self, action: Action, ticket: str) -> bool:
        if self.reviews is None:
            return False
        self._send()
        self.reviews.use(ticket, action_record(action))
        return True

    def _escalate(self, action: Action, verdict: Verdict, ticket: str) -> Verdict:
        """Ask a person, or take the person's answer."""
        if self.reviews is None:
            return replace(verdict, path=(*verdict.path, "no review queue: nobody can approve"))
        self._send()
        record = action_record(action)
        if ticket:
            self.reviews.use(ticket, record)
            return replace(verdict, outcome="allow", path=(*verdict.path, f"approved by people: ticket {ticket}"))
        asked = self.reviews.request(
            record, reason="; ".join(r.text for r in verdict.failing)[:500] or "escalated", severity="medium",
            exposure=exposure_of(verdict), agent=action.agent,
        )  # fmt: skip
        if asked.parked:
            return replace(verdict, outcome="deny", path=(*verdict.path, f"review {asked.id}: {PARKED}"))
        return replace(verdict, path=(*verdict.path, f"review {asked.id}: {asked.outcome(self.reviews.now())}"))

    def _broken(self, job: _Job, error: Exception) -> None:
        self._book = None  # its contents are in doubt
        code = "not_approved" if isinstance(error, SolonError) else "evaluator_error"
        job.verdict = denial(code, f"{type(error).__name__}: {error}", self.ladder.rung, self.hash)
        if self.ledger is not None:
            with suppress(SolonError):
                self._log("failure", self._denied(job.action, job.verdict), receipt=None if job.logged else job)
                job.logged = True

    def _durable(self, action: Action, verdict: Verdict, logged: Receipt) -> Verdict:
        """Wait for the disk. What could not be logged is denied; an id that was allowed before is denied."""
        try:
            return placed(verdict, logged.result())
        except AlreadyUsed:
            verdict = denial(
                "duplicate_order", f"an action with the id {action.id!r} was allowed before", verdict.ladder, self.hash
            )
            with self._turns.held():
                self._book = None  # it counts the duplicate; the next decision begins from the state
                self._memory.forget(action)
                self.pending.pop(action.id, None)
            assert self.ledger is not None
            return self._durable(action, verdict, self.ledger.submit("failure", self._denied(action, verdict)))
        except SolonError as error:
            return denial("ledger_unavailable", f"the decision could not be logged: {error}", verdict.ladder, self.hash)

    def _denied(self, action: Action, verdict: Verdict) -> dict[str, Any]:
        """The body of a `failure` entry."""
        told = {"action": action_record(action), "code": verdict.reasons[0].code, "verdict": plain(verdict)}
        return told | {"constitution": self.hash}

    # --- watching ------------------------------------------------------------------------------------------------------

    def observe(self, seen: Observation) -> tuple[Event, ...]:
        """Move the ladder; what changed is logged. A confirmed kill stops the switch first and is logged second."""
        with self._turns.held():
            events, entry = self._move(seen)
            if entry and self.ledger is not None:
                self.ledger.append("ladder", entry)
            if any(event.kind == "rung" for event in events):
                self._book = None  # a book keeps the highest rung it has seen
            return events

    def _watch(self, state: State, book: Book) -> None:
        """A new mark of the account moves the ladder, where there is a ledger to latch it in. The same mark again is none."""
        mark, seen = shown(state), observation_of(book, self.now())
        if self.ledger is None or seen is None or mark == self._shown or mark[0] < self._shown[0]:
            return
        self._shown = mark
        entry = self._move(seen)[1]
        if entry:
            self._log("ladder", entry)

    def _move(self, seen: Observation) -> tuple[tuple[Event, ...], dict[str, Any]]:
        """Step the ladder; what happened, and what the log should hold of it (nothing where nothing changed)."""
        before = self.ladder
        self.ladder, events = step(before, seen, self.judge.rules)
        killed = any(event.kind == "rung" and event.after == Ladder.killed for event in events)
        if killed and self.switch is not None and seen.command != "stop":
            self._send()
            self.switch.trigger("ladder", {"events": [event.text for event in events]}, self.ledger)
        if not events and self.ladder.breakdowns == before.breakdowns:
            return events, {}
        told = [{"kind": e.kind, "text": e.text, "before": e.before.name, "after": e.after.name} for e in events]
        return events, {"state": ladder_record(self.ladder), "events": told}

    def tighten(self, changes: Mapping[str, str]) -> None:
        """Judge by tighter values of some limits (decimal text) from now on. In the ledger when this returns; a new constitution,
        which several have to sign, is the only way back.

        Raises:
            InputError: a value is looser than the one in force, or no limit that orders are judged by.
        """
        with self._turns.held(), refusal_logged(self.ledger, tighten=dict(changes)):
            check_tightening(self.constitution, changes, self.tightened)
            tightened_rules(self.judge.rules, changes)
            if self.ledger is not None:
                self.ledger.append("tightening", {"constitution": self.hash, "limits": dict(changes)})
            self._tighten(changes)

    def _tighten(self, changes: Mapping[str, str]) -> None:
        self.tightened |= changes
        self.judge = Judge.of(tightened_rules(self.judge.rules, changes))
