"""A council at work: slots opened, signed votes logged, equivocation convicted, results tallied, one execution a slot.

    council = Council(registry, constitution_hash, ledger, threshold=…, mode=…)
    council.open("s-1", proposal={"action": "buy", …})
    council.receive(envelope)
    result = council.close("s-1")          # a Tally; with enough yes-votes also a certificate
    council.execute("s-1", certificate)    # once

Everything is logged before it takes effect; after a restart the council is rebuilt from the ledger.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from solon.errors import CheckFailed, InputError, IntegrityError
from solon.governance import certificate as certificates
from solon.governance.killswitch import Switch
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry, follow
from solon.governance.votes import Vote, VoteRefused, check, evidence, guilty, other_way, vote_of
from solon.ledger.canonical import digest
from solon.ledger.clocks import Steady, clock, uptime
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import AlreadyUsed, Ledger
from solon.policy.council import PROPOSAL, ActionOrder, Counted, Mode, Tally, tally
from solon.policy.council import Vote as Ballot

LONGEST_SLOT = 3_600_000_000
LIFT_FIELDS = {"network", "epoch", "slot", "vetoes", "expires_at"}


class NotExecutable(CheckFailed):
    """A certificate that may not be acted on: veto, stop, frozen, closed, expired, used, or of another proposal."""

    code = "not_executable"


@dataclass
class Slot:
    """One question put to the vote. `received` counts, `signed` is the first vote of each key whether it counts or not;
    `lifted` vetoes by key, with who lifted them; `frozen` after an equivocation; `until` microseconds.
    """

    name: str
    proposal: dict[str, Any]
    until: int
    digest: str
    received: dict[str, tuple[Envelope, Vote]] = field(default_factory=dict)
    signed: dict[str, tuple[Envelope, Vote]] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)
    lifted: dict[str, str] = field(default_factory=dict)
    frozen: str = ""
    closed: bool = False
    executed: bool = False

    @property
    def vetoes(self) -> list[str]:
        """Keys that vetoed, lifted or not."""
        return sorted(key for key, (_, vote) in self.received.items() if vote.decision == "veto")

    @property
    def standing_vetoes(self) -> list[str]:
        return [key for key in self.vetoes if key not in self.lifted]


def lift_record(registry: Registry, slot: Slot, expires_at: int) -> dict[str, Any]:
    """What is signed to lift the vetoes that stand on a slot."""
    vetoes = [digest(slot.received[key][1].record) for key in slot.standing_vetoes]
    return {
        "network": registry.network, "epoch": registry.epoch, "slot": slot.name, "vetoes": vetoes, "expires_at": expires_at,
    }  # fmt: skip


def sign_veto_lift(registry: Registry, slot: Slot, keys: list[PrivateKey], expires_at: int) -> Envelope:
    """Lift the vetoes that stand on a slot: signed by people who may resume; others may add their signatures."""
    return seal("veto-lift", lift_record(registry, slot, expires_at), keys)


class Council:
    """Keeps slots and votes. Thread-safe; what counts is decided in one place, under one lock.

    A key convicted of signing two ways stays suspended until an epoch gives its member another key.
    """

    def __init__(
        self,
        registry: Registry,
        constitution: str,
        ledger: Ledger,
        *,
        threshold: Fraction | None = None,
        mode: Mode = "risk_manager_veto",
        order: ActionOrder | None = None,
        switch: Switch | None = None,
        now: Callable[[], int] = clock,
        ticks: Callable[[], int] = uptime,
    ) -> None:
        """`constitution` is its hash; `threshold` its share of yes-votes, where it asks for more than the registry; while
        `switch` is stopped nothing is executed.
        """
        self.registry, self.constitution, self.ledger, self.threshold = registry, constitution, ledger, threshold
        self.mode, self.order, self.switch = mode, order or ActionOrder(), switch
        self.now = Steady(now, ticks, least=ledger.last_time)
        self.slots: dict[str, Slot] = {}
        self.convicted: set[str] = set()
        self._used: set[tuple[str, int]] = set()
        self._lock = threading.RLock()
        self._rebuild()

    @property
    def current(self) -> Registry:
        """The registry with convicted keys suspended."""
        return self.registry.suspend(*self.convicted) if self.convicted else self.registry

    def open(self, name: str, proposal: Mapping[str, Any], *, lifetime: int = 300_000_000) -> Slot:
        """Open a slot for one proposal. Raises InputError: the slot exists, or is to last more than an hour."""
        if not 0 < lifetime <= LONGEST_SLOT:
            raise InputError(f"slot {name}: expected a lifetime of at most an hour, got {lifetime} us", mend="open another later")
        with self._lock:
            slot = Slot(name, dict(proposal), self.now() + lifetime, digest(dict(proposal)))
            body = {"slot": name, "proposal": slot.proposal, "until": slot.until, "epoch": self.registry.epoch}
            try:
                self.ledger.append("slot", body, once=f"slot:{self.registry.network}:{name}")
            except AlreadyUsed as error:
                raise InputError(f"slot {name}: was opened before", mend="choose another name") from error
            self.slots[name] = slot
            return slot

    def receive(self, envelope: Envelope) -> Vote:
        """Take a vote. A refusal is logged too.

        Raises:
            VoteRefused: with its code. Two different votes of a key suspend it and freeze the slot.
        """
        with self._lock:
            try:
                vote = self._admit(envelope)
            except VoteRefused as error:
                self.ledger.append("vote_refused", {"code": error.code, "why": error.what, "vote": envelope.as_dict()})
                raise
            self.ledger.append("vote", {"vote": envelope.as_dict()}, once=f"vote:{digest(envelope.as_dict())}")
            self._keep(envelope, vote)
            return vote

    def _admit(self, envelope: Envelope) -> Vote:
        vote = vote_of(envelope)
        slot = self.slots.get(vote.slot)
        if slot is None:
            raise VoteRefused("slot", f"vote: the slot {vote.slot!r} is not open", mend="open it first")
        try:
            self._one_way(slot, envelope, vote)
            check(vote, self.current, self.constitution, self.now())
            if vote.key in slot.received:
                raise VoteRefused("duplicate", f"vote: {self._name(vote.key)} has voted already", mend="nothing to do")
            if self.now() >= slot.until or (slot.closed and vote.decision != "veto"):  # a veto blocks until the slot's end
                raise VoteRefused("closed", f"vote: the slot {slot.name!r} is closed", mend="vote in the next slot")
            if vote.proposal != slot.digest:
                raise VoteRefused("proposal", "vote: on another proposal than the slot's", mend="read the slot's proposal")
            if (vote.key, vote.seq) in self._used:
                raise VoteRefused("replayed", f"vote: sequence {vote.seq} was used in another slot", mend="sign it anew")
        except VoteRefused as error:
            slot.refused.append((self._name(vote.key), f"{error.code}: {error.what}"))
            raise
        return vote

    def _one_way(self, slot: Slot, envelope: Envelope, vote: Vote) -> None:
        first = other_way(slot.signed, envelope, vote, self.current)
        if first is None:
            return
        self._convict(slot, first, envelope)
        raise VoteRefused("equivocation", f"vote: {self._name(vote.key)} signed two ways; suspended", mend="a person decides")

    def _keep(self, envelope: Envelope, vote: Vote) -> None:
        self.slots[vote.slot].received[vote.key] = (envelope, vote)
        self._used.add((vote.key, vote.seq))

    def _convict(self, slot: Slot, first: Envelope, second: Envelope) -> None:
        proof = evidence(first, second)
        key = guilty(proof)
        self.ledger.append("equivocation", {"slot": slot.name, "key": key, "evidence": proof})
        self.convicted.add(key)
        slot.frozen = f"{self._name(key)} signed two ways"

    def _name(self, key: str) -> str:
        member = self.registry.by_key.get(key)
        return member.id if member else f"{key[:12]}…"

    def tally(self, name: str) -> Tally:
        """Count what is there, with every vote and why it counted or not. A frozen slot escalates."""
        with self._lock:
            slot = self._slot(name)
            ballots = [vote.ballot(self._name(key)) for key, (_, vote) in slot.received.items() if key not in slot.lifted]
            action = str(slot.proposal.get("action") or PROPOSAL)
            result = tally(
                ballots,
                self.current.eligible,
                threshold=max(self.registry.share, self.threshold or Fraction(0)),
                mode=self.mode,
                order=self.order,
                proposal=action,
                n=self.registry.quorum.n,
            )
            turned_away = tuple(
                Counted(Ballot(who, ""), False, why)  # type: ignore[arg-type]
                for who, why in (*slot.refused, *((self._name(key), f"veto: lifted by {by}") for key, by in slot.lifted.items()))
            )
            result = replace(result, votes=(*result.votes, *turned_away))
            if slot.frozen:
                path = (*result.path, f"frozen: {slot.frozen}; a person decides")
                return replace(result, approved=False, outcome="escalate", escalate=True, action="", path=path)
            return result

    def close(self, name: str) -> tuple[Tally, dict[str, Any] | None]:
        """End a slot: its tally, logged, and the certificate where the proposal is approved."""
        with self._lock:
            slot, result = self._slot(name), self.tally(name)
            made = None
            if result.approved:
                left_out = self.convicted | set(slot.lifted)
                votes = [envelope for key, (envelope, _) in slot.received.items() if key not in left_out]
                try:  # n and q stay those of the epoch, so that the registry alone verifies it
                    made = certificates.make(
                        votes, self.registry, self.constitution, name, slot.digest, self.now(), share=self.threshold
                    )
                except certificates.NoQuorum as error:  # votes that counted have expired meanwhile
                    path = (*result.path, error.what)
                    result = replace(result, approved=False, outcome="escalate", escalate=True, action="", path=path)
            body = {"slot": name, "outcome": result.outcome, "action": result.action, "explanation": result.explanation()}
            slot.closed = True
            told = {"vetoed_by": list(result.vetoed_by), "veto_rate": self.veto_rate(), "certificate": made}
            self.ledger.append("tally", body | told)
            return result, made

    def veto_rate(self) -> dict[str, Any]:
        """How often the power to veto is used: slots closed, slots vetoed (lifted ones too), vetoes by voter."""
        closed = [slot for slot in self.slots.values() if slot.closed]
        by = Counter(self._name(key) for slot in closed for key in slot.vetoes)
        return {"slots": len(closed), "vetoed": sum(bool(slot.vetoes) for slot in closed), "by": dict(sorted(by.items()))}

    def lift_veto(self, envelope: Envelope) -> None:
        """Lift exactly the vetoes that stand on a slot, by as many distinct keys as a resume takes (see `sign_veto_lift`).

        Raises:
            CheckFailed: of another slot, epoch or vetoes, expired, used, or signed by too few. Nothing was changed.
        """
        with self._lock, refusal_logged(self.ledger, veto_lift=envelope):
            record: Any = read(envelope.as_dict(), "veto-lift").record
            sound = isinstance(record, dict) and set(record) == LIFT_FIELDS and type(record["expires_at"]) is int
            if not sound or not envelope.clean:
                raise IntegrityError(f"veto-lift: expected {', '.join(sorted(LIFT_FIELDS))}, well signed", mend="sign it anew")
            slot, members = self._slot(str(record["slot"])), self.registry.holders("resume", envelope.signers)
            if record != lift_record(self.registry, slot, record["expires_at"]) or not record["vetoes"]:
                raise CheckFailed("veto-lift: of other vetoes, network or epoch", mend="sign for what stands", code="other")
            if self.now() >= min(record["expires_at"], slot.until):
                raise CheckFailed("veto-lift: it, or the slot, has expired", mend="open another slot", code="late")
            if len(members) < self.registry.needed("resume"):
                why = f"veto-lift: {len(members)} of {self.registry.needed('resume')} distinct keys that may resume have signed"
                raise CheckFailed(why, mend="let more sign", code="too_few")
            by = ", ".join(member.id for member in members)
            body = {"slot": slot.name, "keys": slot.standing_vetoes, "by": by, "lift": envelope.as_dict()}
            self.ledger.append("veto_lifted", body)
            slot.lifted |= dict.fromkeys(slot.standing_vetoes, by)

    def execute(self, name: str, certificate: Mapping[str, Any], *, stopped: bool = False) -> int:
        """Claim the one execution of a slot; returns the ledger index. All conditions hold at one instant, under one lock.

        Raises:
            NotExecutable: stopped, vetoed, frozen, past its time, used, or the certificate is of something else.
            NoQuorum, IntegrityError: the certificate does not hold.
        """
        with self._lock, refusal_logged(self.ledger, certificate=dict(certificate)):
            slot = self._slot(name)
            shown = certificates.verify(certificate, self.registry, at=self.now(), share=self.threshold)
            suspended = sorted({self._name(key) for key in self.convicted} & set(shown.voters))
            vetoes = [self._name(key) for key in slot.standing_vetoes]
            problems = [
                ("everything is stopped", stopped or (self.switch is not None and self.switch.stopped)),
                (f"vetoed by {', '.join(vetoes)}", bool(vetoes)),
                (f"frozen: {slot.frozen}", bool(slot.frozen)),
                (f"counts the vote of {', '.join(suspended)}, suspended", bool(suspended)),
                ("the slot's time is over", self.now() >= slot.until),
                ("of another slot, proposal or constitution", (shown.slot, shown.proposal, shown.constitution)
                 != (name, slot.digest, self.constitution)),
            ]  # fmt: skip
            for why, holds in problems:
                if holds:
                    raise NotExecutable(f"slot {name}: {why}", mend="nothing was executed")
            try:
                index = self.ledger.append(
                    "execution", {"slot": name, "certificate": dict(certificate)}, once=f"execute:{self.registry.network}:{name}"
                )
            except AlreadyUsed as error:
                raise NotExecutable(f"slot {name}: was executed before", mend="nothing was executed twice") from error
            slot.executed = True
            return index

    def change_registry(self, envelope: Envelope) -> Registry:
        """Move to the next epoch; open slots end, as their votes are of the old one. Raises RegistryRefused."""
        with self._lock, refusal_logged(self.ledger, registry=envelope):
            new = follow(self.registry, envelope)
            self.ledger.append("registry", {"registry": envelope.as_dict()}, once=f"registry:{new.network}:{new.epoch}")
            self.registry = new
            self.convicted = {key for key in self.convicted if key in new.by_key}
            for slot in self.slots.values():
                slot.closed = True
            return new

    def _slot(self, name: str) -> Slot:
        if name not in self.slots:
            raise InputError(f"slot {name!r}: was never opened", mend=f"open: {', '.join(self.slots) or 'none'}")
        return self.slots[name]

    def _rebuild(self) -> None:
        """Slots, votes, convictions and epochs from the ledger."""
        kinds = ("slot", "vote", "vote_refused", "equivocation", "veto_lifted", "tally", "execution", "registry")
        for entry in self.ledger.of_kind(*kinds):
            body, kind = entry.record["body"], entry.record["kind"]
            if kind == "registry":
                envelope = read(body["registry"], "registry")
                if envelope.record["epoch"] == self.registry.epoch + 1:
                    self.registry = follow(self.registry, envelope)
                for slot in self.slots.values():
                    slot.closed = True
            elif kind == "slot":
                slot = Slot(body["slot"], body["proposal"], body["until"], digest(body["proposal"]))
                slot.closed = body["epoch"] != self.registry.epoch
                self.slots[slot.name] = slot
            elif kind == "vote":
                envelope = read(body["vote"], "vote")
                vote = vote_of(envelope)
                self.slots[vote.slot].signed.setdefault(vote.key, (envelope, vote))
                self._keep(envelope, vote)
            elif kind == "veto_lifted":
                self.slots[body["slot"]].lifted |= dict.fromkeys(body["keys"], body["by"])
            elif kind == "vote_refused":
                self._turned_away(body)
            elif kind == "equivocation":
                self.convicted.add(guilty(body["evidence"]))
                self.slots[body["slot"]].frozen = f"{self._name(body['key'])} signed two ways"
            else:
                slot = self.slots[body["slot"]]
                slot.closed = True
                slot.executed = slot.executed or kind == "execution"

    def _turned_away(self, body: dict[str, Any]) -> None:
        """A refused vote, for the explanation and as evidence; what is no vote, or of no slot, was only logged."""
        try:
            envelope = read(body["vote"])
            vote = vote_of(envelope)
        except (VoteRefused, IntegrityError):
            return
        slot = self.slots.get(vote.slot)
        if slot is not None:
            slot.refused.append((self._name(vote.key), f"{body['code']}: {body['why']}"))
            other_way(slot.signed, envelope, vote, self.current)  # remembered; what it convicts of is an entry of its own
