"""What people sign for a governor: stop, resume, relax, re-enable; given to it, or left in its folder by another process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from solon.constitution import Constitution
from solon.errors import ConstitutionError, InputError, IntegrityError
from solon.governance.change import check_re_enable, keys_needed, signed_to_relax
from solon.governance.inbox import Act, Inbox
from solon.governance.killswitch import ResumeRefused, Switch
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.governance.turns import Turns
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope
from solon.ledger.storage import Ledger
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.ladder import Event, LadderState, Observation, step
from solon.policy.types import Ladder


class SignedActs(ABC):
    """The half of a governor that listens to people. Each act is logged, or why it was refused."""

    constitution: Constitution
    judge: Judge
    ladder: LadderState
    ledger: Ledger | None
    switch: Switch | None
    registry: Registry | None
    inbox: Inbox | None
    now: Callable[[], int]
    throttled: set[tuple[str, str]]
    _turns: Turns[Any]
    _book: Book | None

    @abstractmethod
    def observe(self, seen: Observation) -> tuple[Event, ...]:
        """Move the ladder, and log what changed."""

    @abstractmethod
    def _send(self) -> None:
        """Hand over what this turn has to log so far."""

    def stop(self, envelope: Envelope) -> tuple[Event, ...]:
        """Stop by one signature. Raises StopRefused."""
        switch, registry = self._guarded()
        with refusal_logged(self.ledger, stop=envelope):
            switch.stop(envelope, registry, self.ledger)
        return self.observe(Observation(self.now(), command="stop"))

    def resume(self, envelope: Envelope, drawdown: tuple[int, int]) -> tuple[Event, ...]:
        """Resume by k-of-n signatures; `drawdown` is (fall, high-water mark) as measured now.

        Raises:
            ResumeRefused: see its codes.
        """
        switch, registry = self._guarded()
        if self.ledger is None:
            raise ConstitutionError("resume: expected a ledger, got none", mend="open the governor with the ledger")
        if switch.state().stop and self.ladder.rung != Ladder.killed:  # stopped by another process
            self.observe(Observation(self.now(), command="stop"))
        with refusal_logged(self.ledger, resume=envelope):
            rebased = envelope.record.get("rebase") is True if isinstance(envelope.record, dict) else False
            seen = Observation(self.now(), drawdown, "state", command="resume", rebased=rebased)
            refused = [event.text for event in step(self.ladder, seen, self.judge.rules)[1] if event.kind == "refused"]
            if refused and self.ladder.rung == Ladder.killed:  # before the signatures are used up
                mend = "resume when it has recovered, or accept the present level as the new mark: --rebase"
                raise ResumeRefused("ladder", refused[0], mend=mend)
            switch.resume(envelope, registry, self.ledger, needed=keys_needed("resume", registry, self.constitution))
            return self.observe(seen)

    def relax(self, envelope: Envelope, drawdown: tuple[int, int]) -> tuple[Event, ...]:
        """Leave reduce or no-new by one signed risk manager, after the cool-down.

        Raises:
            IntegrityError: not signed by one who may, of another rung, or used before.
        """
        registry = self._registered()
        named = {"network": registry.network, "rung": self.ladder.rung.name, "since": self.ladder.since}
        with refusal_logged(self.ledger, relax=envelope):
            if signed_to_relax("relax", envelope, registry) != named:
                raise IntegrityError("relax: it names another rung than the one that stands", mend="sign it for the present one")
        return self.observe(Observation(self.now(), drawdown, "state", command="relax"))

    def re_enable(self, envelope: Envelope) -> None:
        """Lift the throttle of an agent in an instrument, by one who may relax (RTS 6 Art. 15(1)).

        Raises:
            IntegrityError: not signed by one who may. AlreadyUsed: signed for an earlier throttle. InputError: not throttled.
        """
        with refusal_logged(self.ledger, re_enable=envelope), self._turns.held():
            pair = check_re_enable(envelope, self._registered())
            if pair not in self.throttled:
                raise InputError(f"re-enable: {pair[0]} is not disabled in {pair[1]}", mend="nothing to do")
            if self.ledger is not None:
                body = {"agent": pair[0], "symbol": pair[1], "by": envelope.as_dict()}
                self.ledger.append("re_enable", body, once=f"re-enable:{digest(envelope.record)}")
            self.throttled.discard(pair)
            self._book = None

    def _heard(self, book: Book, stopped: bool) -> bool:
        """Log what others stopped, and take up what people left for this process; whether that may have changed what stands."""
        if self.ledger is None or self.switch is None:
            return False
        if not stopped and (self.inbox is None or not self.inbox.waiting):
            return False  # what this turn has to log goes on together
        self._send()
        if stopped:
            self.switch.log(self.ledger)
        fall = book.drawdown_parts()
        back: dict[str, Act | None] = {"resume": None, "relax": None, "re-enable": self.re_enable}
        if fall is not None:
            back |= {"resume": lambda envelope: self.resume(envelope, fall), "relax": lambda envelope: self.relax(envelope, fall)}
        found = self.inbox.take_up(self.ledger, back) if self.inbox is not None else 0
        self._book = None if found else self._book
        return found > 0

    def _registered(self) -> Registry:
        if self.registry is None:
            raise ConstitutionError("expected a registry, which says who may sign, got none", mend="solon keys register")
        return self.registry

    def _guarded(self) -> tuple[Switch, Registry]:
        if self.switch is None:
            raise ConstitutionError("expected a switch, got none", mend="decide with --home, whose folder has one")
        return self.switch, self._registered()
