"""Clocks that jump, prices that lie, secrets that must not show. Counts are raised by the proof at full size."""

from __future__ import annotations

import json
import os
import random
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.cli.main import main
from solon.constitution import load
from solon.governance.review import AnswerRefused, NotApproved, ReviewQueue, sign_answer
from solon.governance.votes import VoteRefused, VoterMemory, check, vote_of
from solon.ledger.clocks import Steady
from solon.ledger.storage import Ledger
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.ladder import LadderState, Observation, step
from solon.policy.types import Ladder, Refused
from tests.governance.people import CONSTITUTION, LEDGER_KEY, Clock, key, registry, signed
from tests.policy.samples import NOW, order, position, state

ROUNDS = int(os.environ.get("SOLON_ATTACKS", "25"))
SECOND = 1_000_000


# --- clocks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=ROUNDS, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-7200, 7200), st.integers(0, 600)), min_size=1, max_size=30))
def test_a_steady_clock_goes_on_whatever_the_wall_says(steps: list[tuple[int, int]]) -> None:
    """The wall clock jumps by the first number, real time passes by the second (seconds)."""
    wall, ticks = 10**9 * SECOND, 0
    steady = Steady(lambda: wall, lambda: ticks, least=5)
    last = steady()
    for jump, passed in steps:
        wall, ticks = wall + (jump + passed) * SECOND, ticks + passed * SECOND
        now = steady()
        assert now >= last + passed * SECOND and now >= wall
        last = now


@pytest.mark.slow
@settings(max_examples=min(ROUNDS, 300), deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-7200, 7200), st.integers(1, 300)), min_size=1, max_size=12), st.integers(60, 900))
def test_a_deadline_holds_under_clock_jumps(tmp_path_factory: pytest.TempPathFactory, steps: list, lifetime: int) -> None:
    """Once its time has really passed, or the clock has said so, a ticket is EXPIRED for good: silence denies."""
    clock, passed_in_all, expired = Clock(), 0, False
    ticks = Clock(0)
    folder = tmp_path_factory.mktemp("jump")
    with Ledger.open(folder / "l.db", LEDGER_KEY, now=clock) as ledger:
        queue = ReviewQueue(ledger, registry(), now=clock, ticks=ticks)
        ticket = queue.request({"id": "a"}, reason="r", lifetime=lifetime * SECOND)
        for jump, passed in steps:
            clock.turn(jump + passed)
            ticks.turn(passed)
            passed_in_all += passed
            expired = expired or queue.now() >= ticket.deadline
            assert expired or passed_in_all < lifetime, "real time alone reaches the deadline"
            if expired:
                with pytest.raises(AnswerRefused, match="EXPIRED"):
                    queue.answer(sign_answer("test", ticket, "approve", [key("olga")], clock()))
                with pytest.raises(NotApproved):
                    queue.use(ticket.id, {"id": "a"})
        clock.turn(-100_000)
        again = ReviewQueue(ledger, registry(), now=clock, ticks=ticks)
        if expired:
            assert again.now() >= ledger.last_time


@pytest.mark.slow
@settings(max_examples=ROUNDS, deadline=None, derandomize=True)
@given(st.lists(st.integers(-3600, 3600), min_size=2, max_size=20), st.integers(0, 16))
def test_the_ladder_under_clock_jumps(jumps: list[int], fall: int) -> None:
    """No order of times lowers a latched rung, and none confirms a kill with fewer than three marks."""
    rules, ladder, now, kills = Judge.of(load("trading")).rules, LadderState(), 0, 0
    for number, jump in enumerate(jumps):
        now = max(0, now + jump * SECOND)
        deep = fall if number % 2 else 16
        kills = kills + 1 if deep >= 15 else 0
        before = ladder.rung
        ladder, _ = step(ladder, Observation(now, (deep, 100)), rules)
        assert ladder.rung >= before or before == Ladder.warn
        assert ladder.rung < Ladder.killed or before == Ladder.killed or kills >= 3


def test_votes_hold_by_the_time_of_the_log_only(tmp_path: Path) -> None:
    memory, reg = VoterMemory(tmp_path / "m.db"), registry()
    at = 1_700_000_000_000_000
    vote = vote_of(signed(memory, "a", reg, "s", "p", now=at))
    check(vote, reg, CONSTITUTION, at - 29 * SECOND)
    for moment, code in ((at - 31 * SECOND, "early"), (vote.expires_at, "late"), (vote.expires_at - 1, "")):
        if code:
            with pytest.raises(VoteRefused) as error:
                check(vote, reg, CONSTITUTION, moment)
            assert error.value.code == code
        else:
            check(vote, reg, CONSTITUTION, moment)
    memory.close()


# --- prices -----------------------------------------------------------------------------------------------------------

BAD = [None, Decimal(0), Decimal(-1), Decimal("-0.01")]


@pytest.mark.slow
@settings(max_examples=ROUNDS, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "B"]), st.sampled_from([*BAD, Decimal(99), Decimal(100)]), st.integers(0, 400)),
        min_size=1, max_size=25,
    )
)  # fmt: skip
def test_bad_ticks_never_let_risk_grow(ticks: list[tuple[str, Decimal | None, int]]) -> None:
    """Missing, zero, negative, repeated and stale prices: what adds risk passes only on good, fresh prices of everything held."""
    judge = Judge.of(load("trading"))
    book = Book(state(position("A", "100"), position("B", "50"), position("C"), cash="85000"))
    for line in ("A", "B", "C"):
        book.mark(line, Decimal(100), book.now)
    good, seen = dict.fromkeys("AB", True), dict.fromkeys("AB", book.now)
    for number, (symbol, price, later) in enumerate(ticks):
        at = book.now + later * SECOND
        book.mark(symbol, price, at)
        book.mark("C", Decimal(100), at)
        good[symbol], seen[symbol] = price is not None and price > 0, at
        fresh = all(at - moment <= 300 * SECOND for moment in seen.values())
        result = judge.assess(order("1", symbol="C", id=f"n{number}"), book)
        assert result.allowed == (all(good.values()) and fresh), result.verdict.path
        way_out = judge.assess(order("1", "sell", "A", id=f"o{number}", stop=None), book)
        assert way_out.allowed, "an exit is possible without a price"


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "0x10", "٣", "1,5", "--1", "1.", ".5", " 1", "1 ", "+1", ""]
)
def test_odd_numbers_are_refused_not_read(text: str) -> None:
    for record in ({"mark": text}, {"qty": text}, {"fx": text}):
        with pytest.raises(Refused):
            state({**position(), **record})
    with pytest.raises(Refused):
        state(cash=text)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secrets_show_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Private keys are in their own files and nowhere else: not in output, errors, ledger, exports, registries, votes."""
    monkeypatch.chdir(tmp_path)
    said: list[str] = []

    def run(*words: str) -> int:
        monkeypatch.setattr(sys, "argv", ["solon", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said.extend(capsys.readouterr())
        return int(end.value.code or 0)

    names = ("olga", "omar", "ann", "ben", "cem", "dee")
    for name in names:
        assert run("keys", "generate", name) == 0
    secrets = {name: (tmp_path / "keys" / f"{name}.key").read_text().strip() for name in names}
    roles = [f"--member={n}=keys/{n}.pub:{'operator' if n in ('olga', 'omar') else 'agent'}" for n in names]
    assert run("keys", "register", *roles, "--sign", "keys/olga.key", "--sign", "keys/omar.key") == 0
    action = {"id": "a", "agent": "x", "symbol": "ACME", "side": "buy", "qty": "10", "stop_price": "95", "ts": NOW}
    account = {
        "as_of": NOW, "currency": "USD", "cash": "100000", "maintenance_margin": "0", "nav_unit": "1", "high_water_mark": "1",
        "day_open_equity": "100000", "positions": [position()],
    }  # fmt: skip
    Path("a.json").write_text(json.dumps(action))
    Path("s.json").write_text(json.dumps(account))
    decide = ("--state", "s.json", "--constitution", "trading", "--home", "governance")
    assert run("decide", "a.json", *decide) == 0
    assert run("emergency", "stop", "--key", "keys/ann.key", "--reason", "drill", "--json") == 0
    resume = ("--key", "keys/olga.key", "--key", "keys/omar.key")
    assert run("emergency", "resume", "--state", "s.json", *resume, "--json") == 0
    assert run("keys", "rotate", "ann", "keys/ann.key") == run("keys", "register", "--member=x=keys/ben.key:agent") == 2
    assert run("ledger", "verify", "governance/ledger.db", "--public", "governance/ledger.db.key") == 2, "not a .pub"
    vote = ("--slot", "s", "--proposal", "a.json", "--decision", "yes")
    assert run("vote", "sign", "--key", "keys/ann.key", "--memory", "ann.db", "-o", "v.json", *vote) == 0
    assert run("vote", "tally", "v.json", "--slot", "s", "--proposal", "a.json", "--json") == 4
    Path("torn.key").write_text(secrets["ben"][:-4])
    os.chmod("torn.key", 0o600)
    for wrong in ("torn.key", "keys/ben.pub", "s.json"):
        assert run("emergency", "stop", "--key", wrong, "--reason", "x") == 2
    assert run("ledger", "export", "governance/ledger.db", "-o", "out") == 0
    assert run("keys", "show", "--json") == 0 and run("ledger", "show", "governance/ledger.db", "--json") == 0
    said.append("".join(str(path) for path in tmp_path.rglob("*")))
    own = set(tmp_path.rglob("*.key"))
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path not in own]
    for name, secret in secrets.items():
        core = secret[-40:-4]
        assert len(core) == 36 and not any(core in text for text in said), name
        raw = core.encode()
        assert not [path for path in files if raw in path.read_bytes()], name


def test_random_bytes_as_input_never_pass(tmp_path: Path) -> None:
    """Orders with random edits are refused or decided, never an unexpected error; nothing that was not asked is allowed."""
    from solon.governance.governor import Governor

    rng, governor = random.Random(7), Governor("trading")
    text = json.dumps({"id": "a", "agent": "x", "symbol": "ACME", "side": "buy", "qty": "10", "stop_price": "95", "ts": NOW})
    account, refused = state(), 0
    for number in range(ROUNDS * 10):
        data = bytearray(text.replace('"a"', f'"a{number}"').encode())
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 2)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 3)))
        try:
            verdict = governor.decide(bytes(data), account)
        except Refused:
            refused += 1
            continue
        assert verdict.outcome in ("allow", "deny", "halt") and not any(r.code == "evaluator_error" for r in verdict.reasons)
    assert refused > ROUNDS * 4
