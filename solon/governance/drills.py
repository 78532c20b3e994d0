"""Drills run for real, in a folder of their own: limits are enforced, the council is safe, everything can be stopped.

    check = emergency_drill(constitution)      # check.status, check.evidence

Nothing here touches a user's ledger, switch or keys. A check that cannot run says NOT RUN, which counts as failed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from solon.constitution import Constitution
from solon.governance import certificate as certificates
from solon.governance.breaches import CASH, MARK, NOW, drill_order, drill_position, drill_state, rehearse, rehearse_custom
from solon.governance.council import Council, NotExecutable
from solon.governance.governor import Governor
from solon.governance.killswitch import ResumeRefused, StopRefused, Switch, sign_resume, sign_stop
from solon.governance.registry import Member, Registry
from solon.governance.rerun import rerun
from solon.governance.votes import Vote, VoteRefused, VoterMemory
from solon.ledger.dsse import Envelope, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.proofs import verify
from solon.ledger.storage import Ledger, clock
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.ladder import LadderState, Observation, step
from solon.policy.types import Ladder, Refused

Status = Literal["PASS", "FAIL", "NOT RUN"]
CONFIRM_WITHIN = 0.1  # seconds


@dataclass
class Check:
    """One check: what it is called, how it ended, what was seen."""

    name: str
    status: Status = "PASS"
    evidence: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def expect(self, holds: bool, text: str) -> bool:
        """Note one expectation; a single one that does not hold fails the check."""
        self.evidence.append(f"{'ok' if holds else 'NOT AS EXPECTED'}: {text}")
        if not holds:
            self.status = "FAIL"
        return holds

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def run_check(name: str, body: Callable[[Check], None]) -> Check:
    """Run a check's body. An error fails it; a body that finds nothing to do sets NOT RUN itself."""
    check, start = Check(name), time.monotonic()
    try:
        body(check)
    except Exception as error:  # noqa: BLE001 - a check that breaks has failed, and says how
        check.expect(False, f"{type(error).__name__}: {error}")
    if not check.evidence:
        check.status = "NOT RUN"
    check.seconds = round(time.monotonic() - start, 3)
    return check


def not_run(name: str, why: str) -> Check:
    """A check that could not be run."""
    return Check(name, "NOT RUN", [why])


# --- limits -----------------------------------------------------------------------------------------------------------


def limits_drill(constitution: Constitution, *, cases: int = 200, seed: int = 0) -> Check:
    """Boundaries of size, the ladder's rungs, unknown and malformed input, and random orders recomputed independently."""

    def body(check: Check) -> None:
        judge = Judge.of(constitution)
        if not judge.checks and not judge.rules.custom:
            check.status, check.evidence = "NOT RUN", ["the constitution sets no limit on actions"]
            return
        _boundary(check, judge)
        _each(check, judge)
        _rungs(check, judge)
        _unknown(check, constitution, judge)
        _recomputed(check, judge, cases, seed)

    return run_check("limits enforced", body)


def _each(check: Check, judge: Judge) -> None:
    """Every limit that the constitution sets, one step within its bound and one beyond."""
    kept, wrong, left = rehearse(judge)
    if kept or wrong:
        check.expect(not wrong, f"{len(kept)} of {len(kept) + len(wrong)} limits hold up to their bound and are broken beyond it")
    check.evidence += [f"NOT AS EXPECTED: {text}" for text in wrong]
    check.evidence += [f"no level of the drill's account breaks {key}" for key in left]
    broken, missed = rehearse_custom(judge)
    if broken or missed:
        check.expect(
            not missed, f"{len(broken)} maxima of its own are broken by a huge order; not broken: {', '.join(missed) or '-'}"
        )


def _boundary(check: Check, judge: Judge) -> None:
    """The largest order passes; one step more does not."""
    huge = judge.assess(drill_order(Decimal(1_000_000)), Book(drill_state()))
    check.expect(not huge.allowed, f"an order of a thousand times the account is refused ({huge.outcome})")
    size = huge.largest_allowed
    if size is None or Decimal(size.qty) <= 0:
        check.expect(not huge.allowed, "no order of this kind passes at all")
        return
    most = Decimal(size.qty)
    at = judge.assess(drill_order(most), Book(drill_state()))
    beyond = judge.assess(drill_order(most + 1), Book(drill_state()))
    binding = [reason.code for reason in beyond.verdict.reasons if reason.status != "ok"]
    check.expect(at.allowed, f"the largest allowed order, {most} ({size.size_pct} % of equity), passes")
    check.expect(not beyond.allowed, f"{most + 1} is refused: {', '.join(binding)}")


def _rungs(check: Check, judge: Judge) -> None:
    """Below a level an order is not yet stopped by it, at the level it is; a single reading never kills, it stands at no-new."""
    held = drill_position("HELD", Decimal(10))
    for bound, rung, key in judge.rules.rungs:
        if rung < Ladder.reduce:
            continue
        stands = min(rung, Ladder.no_new)
        level = f"{key} {bound / 100:g} %"
        below, at = (
            drill_state(nav_unit=Decimal(10_000 - bp) / 10_000, positions=(held, drill_position()), day_open_equity=None)
            for bp in (bound - 1, bound)
        )
        if rung != Ladder.killed:
            before = judge.assess(drill_order(Decimal(5)), Book(below))
            check.expect(before.ladder < rung, f"{level}: a basis point below it the ladder is at {before.ladder.name}")
        new = judge.assess(drill_order(Decimal(5)), Book(at))
        check.expect(
            new.ladder >= stands and not new.allowed, f"{level}: at it the ladder is at {new.ladder.name}: {new.outcome}"
        )
        way_out = replace(drill_order(Decimal(5), side="sell", symbol="HELD"), stop_price=None)
        check.expect(judge.assess(way_out, Book(at)).allowed, f"{level}: a sized exit passes")


def _unknown(check: Check, constitution: Constitution, judge: Judge) -> None:
    blind = judge.assess(drill_order(Decimal(1)), Book(drill_state(positions=(drill_position(mark=None),))))
    stale = judge.assess(drill_order(Decimal(1)), Book(drill_state(positions=(replace(drill_position(), priced_at=0),))))
    check.expect(not blind.allowed and not stale.allowed, "without a price, or with a stale one, nothing that adds risk passes")
    governor = Governor(constitution)
    refused = 0
    texts = ('{"id":"a","id":"b"}', '{"id":"a","qty":1.5}', "{", "[]", '{"qty":"NaN"}')
    for text in texts:
        try:
            governor.decide(text, drill_state())
        except Refused:
            refused += 1
    check.expect(refused == len(texts), f"{refused} of {len(texts)} malformed orders are refused")
    none = Judge.of({}).assess(drill_order(Decimal(1)), Book(drill_state()))
    check.expect(not none.allowed, "without any limits nothing is allowed")


def _recomputed(check: Check, judge: Judge, cases: int, seed: int) -> None:
    """Random books and orders: whatever passes keeps size and leverage by an independent sum in exact fractions."""
    rng, allowed, wrong = random.Random(seed), 0, 0
    bounds = judge.rules.bounds
    for number in range(cases):
        held = {f"H{i}": Decimal(rng.randint(0, 150)) for i in range(rng.randint(1, 6))}
        cash = CASH - sum(held.values()) * MARK
        positions = (*(drill_position(name, qty) for name, qty in held.items()), drill_position())
        order = drill_order(Decimal(rng.randint(1, 2500)) / 4, f"r{number}", symbol=rng.choice(["DRILL", *held]))
        state = drill_state(cash=cash, positions=positions)
        if not judge.assess(order, Book(state), size=False).allowed:
            continue
        allowed += 1
        after = {**held, order.symbol: held.get(order.symbol, Decimal(0)) + order.qty}
        gross = sum(Fraction(qty * MARK) for qty in after.values())
        size = Fraction(after[order.symbol] * MARK)
        equity = Fraction(CASH)
        for key, amount in (("max_position_size_pct", size), ("max_leverage", gross), ("max_sector_concentration_pct", size)):
            wrong += key in bounds and amount * 10_000 > bounds[key] * equity
    check.expect(
        wrong == 0, f"{cases} random orders, {allowed} allowed, {wrong} of those beyond a limit by independent arithmetic"
    )


# --- council ----------------------------------------------------------------------------------------------------------


def consensus_drill(constitution: Constitution, *, schedules: int = 60, seed: int = 0) -> Check:
    """Signed votes end to end: quorum, forged and doubled votes, veto, equivocation, and random Byzantine schedules."""

    def body(check: Check) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _votes(check, constitution, Path(folder))
        _schedules(check, constitution.hash, schedules, seed)

    return run_check("consensus", body)


def drill_registry(keys: dict[str, PrivateKey], manager: str = "", operators: tuple[str, ...] = ()) -> Registry:
    """A registry of throw-away keys."""
    roles = {name: "operator" if name in operators else "risk_manager" if name == manager else "agent" for name in keys}
    return Registry("drill", 1, tuple(Member(name, roles[name], key.id) for name, key in keys.items()))


@dataclass
class _Votes:
    """A council of throw-away keys, and what its voters sign."""

    council: Council
    keys: dict[str, PrivateKey]
    memory: VoterMemory

    def sign(self, name: str, slot: str, decision: str = "yes", action: str = "buy") -> Envelope:
        council = self.council
        return self.memory.sign(
            self.keys[name], council.registry, constitution=council.constitution, slot=slot,
            proposal=council.slots[slot].digest, decision=decision, proposed_action=action, now=clock(),
        )  # fmt: skip

    def cast(self, names: Iterable[str], slot: str) -> None:
        for name in names:
            self.council.receive(self.sign(name, slot))

    def refused(self, envelope: Envelope) -> str:
        """The code with which the council refuses a vote; empty where it takes it."""
        try:
            self.council.receive(envelope)
        except VoteRefused as error:
            return error.code
        return ""


def _votes(check: Check, constitution: Constitution, folder: Path) -> None:
    keys = {name: PrivateKey.generate(name) for name in ("ann", "ben", "cem", "dee", "rik")}
    registry = drill_registry(keys, manager="rik")
    check.expect(registry.quorum.q == 4, registry.quorum.claim)
    memory = VoterMemory(folder / "voters.db")
    with Ledger.open(folder / "ledger.db", PrivateKey.generate("drill")) as ledger:
        votes = _Votes(Council(registry, constitution.hash, ledger), keys, memory)
        for slot, part in (("one", _quorum), ("two", _veto), ("three", _two_ways)):
            votes.council.open(slot, {"action": "buy"})
            part(check, votes, slot)
        report = verify(ledger)
        check.expect(report.size > 0, f"the log of {report.size} entries verifies")
    memory.close()


def _quorum(check: Check, votes: _Votes, slot: str) -> None:
    council = votes.council
    votes.cast(("ann", "ben", "cem"), slot)
    check.expect(not council.tally(slot).approved, "three of five yes-votes are no consensus")
    check.expect(votes.refused(votes.sign("ann", slot)) == "duplicate", "a voter counts once")
    forged = replace(votes.sign("dee", slot), signatures=((votes.keys["dee"].id, bytes(64)),))
    check.expect(votes.refused(forged) == "signature", "a forged vote is refused")
    votes.cast(("dee",), slot)
    result, made = council.close(slot)
    check.expect(result.approved and made is not None, "four of five are; the certificate verifies offline")
    council.execute(slot, made or {})
    try:
        council.execute(slot, made or {})
        check.expect(False, "a second execution was possible")
    except NotExecutable as error:
        check.expect(True, f"a second execution is refused: {error.what}")


def _veto(check: Check, votes: _Votes, slot: str) -> None:
    votes.cast(("ann", "ben", "cem", "dee"), slot)
    votes.council.receive(votes.sign("rik", slot, "veto", "reduce"))
    result, made = votes.council.close(slot)
    check.expect(made is None and result.action == "reduce", "a risk manager's veto blocks and imposes the reduction")


def _two_ways(check: Check, votes: _Votes, slot: str) -> None:
    """The voter's memory would refuse a second vote; this one is signed without it."""
    council, key = votes.council, votes.keys["ann"]
    votes.cast(("ann",), slot)
    proposal, at = council.slots[slot].digest, clock()
    other = Vote(council.registry.network, 1, council.constitution, slot, proposal, "no", key.id, 99, at, at + 10**9)
    check.expect(votes.refused(seal("vote", other.record, [key])) == "equivocation", "voting two ways convicts the key")
    check.expect(council.tally(slot).outcome == "escalate", "and freezes the slot for a person")


def _schedules(check: Check, constitution: str, schedules: int, seed: int) -> None:
    rng = random.Random(seed)
    conflicts = certified = 0
    for run in range(schedules):
        f = 1 + run % 3
        keys = {f"v{i}": PrivateKey.generate(f"v{i}") for i in range(3 * f + 1)}
        registry = drill_registry(keys)
        sides: dict[str, list[Envelope]] = {"p": [], "q": []}
        lean = rng.choice((0.5, 0.9))
        for place, key in enumerate(keys.values()):
            for side in ["p", "q"] if place < f else ["p" if rng.random() < lean else "q"]:
                vote = Vote("drill", 1, constitution, "s", side, "yes", key.id, 1, NOW, NOW + 10**6)
                sides[side].append(seal("vote", vote.record, [key]))
        won = 0
        for side, votes in sides.items():
            try:
                certificates.make(votes, registry, constitution, "s", side, NOW + 1)
                won += 1
            except certificates.NoQuorum:
                continue
        conflicts += won > 1
        certified += won == 1
    check.expect(
        conflicts == 0 and certified > 0,
        f"{schedules} random schedules, f of 3f+1 voters signing both ways (f = 1..3, seed {seed}): {certified} certificates, "
        f"{conflicts} conflicts",
    )


# --- emergency --------------------------------------------------------------------------------------------------------

_WATCHER = """
import sys, time
from solon.governance.killswitch import Switch
lease = Switch(sys.argv[1]).lease(sys.argv[2], 30_000_000)
print("ready", flush=True)
while lease.holds:
    time.sleep(0.002)
print(time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
try:
    lease.renew()
except Exception as error:
    print(type(error).__name__, flush=True)
"""


def emergency_drill(constitution: Constitution, *, processes: int = 2, within: float = CONFIRM_WITHIN) -> Check:
    """Stop real processes by one signature, resume by two, and walk the ladder up to its kill and back down.

    Args:
        processes: guarded processes to start.
        within: seconds in which each must have stopped.
    """

    def body(check: Check) -> None:
        with tempfile.TemporaryDirectory() as folder:
            _stop_and_resume(check, constitution, Path(folder), processes, within)
        _ladder(check, constitution)

    return run_check("emergency shutdown", body)


def _stop_and_resume(check: Check, constitution: Constitution, folder: Path, processes: int, within: float) -> None:
    keys = {name: PrivateKey.generate(name) for name in ("agent", "olga", "omar", "oren")}
    registry = drill_registry(keys, operators=("olga", "omar", "oren"))
    switch = Switch.create(folder / "switch.db")
    words = [sys.executable, "-c", _WATCHER, str(folder / "switch.db")]
    watchers = [subprocess.Popen([*words, f"p{n}"], stdout=subprocess.PIPE, text=True) for n in range(processes)]
    try:
        for watcher in watchers:
            assert watcher.stdout is not None
            watcher.stdout.readline()
        with Ledger.open(folder / "ledger.db", PrivateKey.generate("drill")) as ledger:
            governor = Governor(constitution, ledger=ledger, switch=switch, registry=registry)
            stop = sign_stop("drill", "drill", keys["agent"], clock())
            start = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            switch.stop(stop, registry, ledger)
            seen = [(int(w.stdout.readline()) - start) / 1e9 for w in watchers if w.stdout is not None]
            renewals = [w.stdout.readline().strip() for w in watchers if w.stdout is not None]
            latest = max(seen, default=0.0)
            check.expect(latest <= within, f"one signature stopped {len(seen)} processes within {latest * 1000:.0f} ms")
            check.expect(renewals == ["Stopped"] * processes, "no lease was renewed afterwards")
            check.expect(switch.state().status == "CONFIRMED", f"the stop is {switch.state().status}")
            halted = governor.decide(drill_order(Decimal(1)), drill_state())
            check.expect(halted.outcome == "halt", f"orders meanwhile: {halted.outcome}")
            _resume(check, governor, keys, stop)
            again = rerun(ledger)
            check.expect(again.same == again.decisions, f"{again.same} of {again.decisions} logged decisions reproduce")
    finally:
        for watcher in watchers:
            watcher.kill()
            watcher.wait()
        switch.close()


def _resume(check: Check, governor: Governor, keys: dict[str, PrivateKey], stop: Envelope) -> None:
    switch, registry, ledger = governor.switch, governor.registry, governor.ledger
    assert switch is not None and registry is not None and ledger is not None
    standing = switch.state().stop
    attempts = {
        "one key": [keys["olga"]],
        "one key twice": [keys["olga"], keys["olga"]],
        "an agent and an operator": [keys["agent"], keys["olga"]],
    }
    for what, signers in attempts.items():
        try:
            switch.resume(sign_resume("drill", standing, signers, clock()), registry, ledger)
            check.expect(False, f"{what} resumed")
        except ResumeRefused as error:
            check.expect(True, f"{what} cannot resume: {error.what}")
    good = sign_resume("drill", standing, [keys["olga"], keys["omar"]], clock())
    check.expect(not switch.resume(good, registry, ledger).stopped, "two operators of three resume")
    try:
        switch.stop(stop, registry, ledger)
        check.expect(False, "an old stop could be replayed")
    except StopRefused:
        check.expect(True, "the old stop cannot be replayed")
    switch.trigger("drill", {"drawdown_bp": 1500}, ledger)
    try:
        switch.resume(good, registry, ledger)
        check.expect(False, "an old resume could be replayed")
    except ResumeRefused:
        check.expect(switch.stopped, "a single automatic trigger stops again, and the old resume cannot be replayed")


def _ladder(check: Check, constitution: Constitution) -> None:
    rules = Judge.of(constitution).rules
    state, minute = LadderState(), 60_000_000
    for number, (bound, rung, key) in enumerate(rules.rungs):
        at = (number + 1) * minute
        state, _ = step(state, Observation(at, drawdown=(bound, 10_000)), rules)
        if rung != Ladder.killed:
            check.expect(state.rung == rung, f"{key}: at {bound / 100:g} % the ladder stands on {state.rung.name}")
            continue
        check.expect(state.rung == Ladder.no_new, f"{key}: one mark at {bound / 100:g} % is not yet a kill")
        state, _ = step(state, Observation(at + 1, drawdown=(bound, 10_000), source="second"), rules)
        check.expect(state.rung == Ladder.killed, "a second source confirms it")
        state, _ = step(state, Observation(at + 2, drawdown=(0, 10_000)), rules)
        check.expect(state.rung == Ladder.killed, "and a recovery does not lift it")
    if not rules.rungs:
        check.evidence.append("the constitution sets no drawdown levels: the switch alone was drilled")
