"""Every message ever sent, sent again in every later state: nothing happens twice, stopped stays stopped without new keys."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from solon.errors import SolonError
from solon.governance.council import Council
from solon.governance.killswitch import Switch, sign_resume, sign_stop
from solon.governance.review import ReviewQueue, sign_answer
from solon.governance.votes import Vote
from solon.ledger.dsse import Envelope, seal
from tests.governance.people import CONSTITUTION, Clock, key, ledger, registry

pytestmark = pytest.mark.slow

OPERATORS = [key("olga"), key("omar")]


class Messages(RuleBasedStateMachine):
    """Slots, votes, executions, approvals, stops and resumes in any order; every recorded envelope is sent again at will."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.registry = registry("abcd")
        self.ledger = ledger(Path(self.folder.name), self.clock)
        self.switch = Switch.create(Path(self.folder.name) / "switch.db", now=self.clock, ticks=self.clock, boot="b")
        self.council = Council(self.registry, CONSTITUTION, self.ledger, now=self.clock)
        self.reviews = ReviewQueue(self.ledger, self.registry, cap=1000, cap_agent=1000, now=self.clock)
        self.votes: list[Envelope] = []
        self.certificates: list[tuple[str, dict]] = []  # type: ignore[type-arg]
        self.answers: list[Envelope] = []
        self.orders: list[Envelope] = []
        self.executed: list[str] = []
        self.used: list[str] = []
        self.seq = 0
        self.should_stand = False

    @rule(voter=st.sampled_from("abcd"), fresh=st.booleans())
    def vote(self, voter: str, fresh: bool) -> None:
        if fresh or not self.council.slots:
            self.council.open(f"s{len(self.council.slots)}", {"action": "buy"})
        slot = list(self.council.slots.values())[-1]
        self.seq += 1
        record = Vote(
            "test",
            1,
            CONSTITUTION,
            slot.name,
            slot.digest,
            "yes",
            key(voter).id,
            self.seq,
            self.clock(),
            self.clock() + 10**8,
            "buy",
        )
        self.votes.append(seal("vote", record.record, [key(voter)]))
        self.attempt(lambda: self.council.receive(self.votes[-1]))

    @rule()
    def agree(self) -> None:
        for number, voter in enumerate("abc"):
            self.vote(voter, number == 0)
        self.close()

    @rule()
    def close(self) -> None:
        for name, slot in self.council.slots.items():
            if not slot.closed:
                _, made = self.council.close(name)
                if made is not None:
                    self.certificates.append((name, made))

    @rule(stopped=st.booleans())
    def execute_all_again(self, stopped: bool) -> None:
        for name, certificate in 2 * self.certificates:
            if self.attempt(lambda n=name, c=certificate: self.council.execute(n, c, stopped=stopped)):  # type: ignore[misc]
                assert not stopped
                self.executed.append(name)

    @rule()
    def votes_again(self) -> None:
        before = {name: len(slot.received) for name, slot in self.council.slots.items()}
        for envelope in self.votes:
            self.attempt(lambda e=envelope: self.council.receive(e))  # type: ignore[misc]
        assert before == {name: len(slot.received) for name, slot in self.council.slots.items()}

    @rule(answer=st.sampled_from(["approve", "deny"]))
    def review(self, answer: str) -> None:
        ticket = self.reviews.request({"id": f"r{len(self.reviews.tickets)}"}, reason="r")
        self.answers.append(sign_answer("test", ticket, answer, OPERATORS[:1], self.clock()))  # type: ignore[arg-type]

    @rule()
    def answers_again(self) -> None:
        for envelope in self.answers:
            self.attempt(lambda e=envelope: self.reviews.answer(e))  # type: ignore[misc]
        for name, ticket in self.reviews.tickets.items():
            if self.attempt(lambda n=name, t=ticket: self.reviews.use(n, t.action)):  # type: ignore[misc]
                self.used.append(name)

    @rule(who=st.sampled_from("abcd"))
    def stop(self, who: str) -> None:
        self.orders.append(sign_stop("test", "x", key(who), self.clock()))
        self.switch.stop(self.orders[-1], self.registry, self.ledger)
        self.should_stand = True

    @rule(two=st.booleans())
    def resume(self, two: bool) -> None:
        standing = self.switch.state().stop
        self.orders.append(sign_resume("test", standing, OPERATORS if two else OPERATORS[:1], self.clock()))
        if self.attempt(lambda: self.switch.resume(self.orders[-1], self.registry, self.ledger)):
            assert two and self.should_stand
            self.should_stand = False

    @rule()
    def orders_again(self) -> None:
        for envelope in self.orders:
            kind = self.switch.stop if envelope.type.endswith("stop+json") else self.switch.resume
            assert not self.attempt(lambda k=kind, e=envelope: k(e, self.registry, self.ledger)), "replayed"  # type: ignore[misc]

    @rule(seconds=st.sampled_from([-3600.0, -1.0, 0.5, 120.0, 901.0]))
    def clock_jumps(self, seconds: float) -> None:
        self.clock.turn(seconds)

    @rule()
    def restart(self) -> None:
        self.council = Council(self.registry, CONSTITUTION, self.ledger, now=self.clock)
        self.reviews = ReviewQueue(self.ledger, self.registry, cap=1000, cap_agent=1000, now=self.clock)

    @invariant()
    def once(self) -> None:
        assert len(self.executed) == len(set(self.executed)) and len(self.used) == len(set(self.used))

    @invariant()
    def latched(self) -> None:
        assert self.switch.stopped == self.should_stand

    @staticmethod
    def attempt(call) -> bool:  # type: ignore[no-untyped-def]
        try:
            call()
        except SolonError:
            return False
        return True

    def teardown(self) -> None:
        self.ledger.close()
        self.switch.close()
        self.folder.cleanup()


Messages.TestCase.settings = settings(
    max_examples=int(os.environ.get("SOLON_MESSAGES", "8")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
TestMessages = Messages.TestCase
