"""A stop or a resume from outside, while another process decides and holds the ledger; and ledgers that stood alone."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from solon.errors import EnvironmentRefused, InputError, IntegrityError
from solon.governance.governor import Governor
from solon.governance.home import Home, extend_registry, open_ledger, read_ledger, suspended
from solon.governance.killswitch import ResumeRefused, StopRefused, Switch, sign_resume, sign_stop
from solon.governance.registry import RegistryRefused
from solon.governance.rerun import rerun
from solon.ledger.dsse import seal
from solon.ledger.storage import clock
from solon.policy.types import Ladder
from tests.governance.people import key, registry
from tests.policy.samples import order, state

OPERATORS = [key("olga"), key("omar")]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "governance")
    made.folder.mkdir()
    chain = {"chain": [seal("registry", registry("abcd", manager="a").record, OPERATORS).as_dict()]}
    made.registry_path.write_text(json.dumps(chain))
    return made


def kinds(home: Home) -> list[str]:
    book = read_ledger(home.ledger_path)
    found = [entry.record["kind"] for entry in book.entries() if entry.record["kind"] in ("stop", "resume", "refusal")]
    book.close()
    return found


def test_a_stop_does_not_wait_for_the_process_that_decides(home: Home) -> None:
    with home.governor("trading") as governor:
        assert governor.decide(order("1", id="a"), state()).outcome == "allow"
        start = time.monotonic()
        assert home.stop(sign_stop("test", "odd quotes", key("b"), clock())) is False, "not logged yet: the ledger is in use"
        assert time.monotonic() - start < 5
        assert governor.switch is not None and governor.switch.stopped
        assert governor.decide(order("1", id="b"), state()).outcome == "halt"
        assert kinds(home) == ["stop"], "the process that writes the ledger logs it, once"
        assert governor.decide(order("1", id="c"), state()).outcome == "halt" and kinds(home) == ["stop"]
        resume = sign_resume("test", governor.switch.state().stop, OPERATORS, clock())
        assert [event.text for event in governor.resume(resume, (0, 1)) if event.kind == "rung"] == [
            "killed -> normal: resumed by k-of-n"
        ]
        assert governor.decide(order("1", id="d"), state()).outcome == "allow"
    assert kinds(home) == ["stop", "resume"]


def test_the_next_to_open_logs_what_nobody_could(home: Home) -> None:
    with home.governor("trading"):
        home.stop(sign_stop("test", "one", key("b"), clock()))
        home.stop(sign_stop("test", "two", key("c"), clock()))
        with pytest.raises(StopRefused) as error:
            home.stop(sign_stop("test", "x", key("stranger"), clock()))
        assert error.value.code == "power"
    with home.governor(None) as governor:
        assert governor.constitution.id == "trading", "the one that the ledger saw last"
    assert kinds(home) == ["stop", "stop"]
    with pytest.raises(StopRefused):
        home.stop(sign_stop("test", "x", key("stranger"), clock()))
    assert kinds(home)[-1] == "refusal"


def test_a_stop_asks_for_no_sound_ledger(home: Home) -> None:
    with home.governor("trading"):
        pass
    home.ledger_path.write_bytes(b"rubbish" * 1000)
    assert home.stop(sign_stop("test", "damaged", key("b"), clock())) is False
    assert home.switch().stopped
    shutil.copy(home.switch_path, home.folder / "kept.db")
    home.switch_path.unlink()
    with pytest.raises(EnvironmentRefused, match="counts as stopped"):
        home.stop(sign_stop("test", "gone", key("b"), clock()))
    assert Switch(home.folder / "kept.db").state().reasons == ("b: damaged",)


def test_a_resume_is_taken_up_by_the_process_that_holds_the_ledger(home: Home) -> None:
    with home.governor("trading") as governor:
        assert governor.decide(order("1", id="a"), state()).outcome == "allow" and governor.switch is not None
        home.stop(sign_stop("test", "odd quotes", key("b"), clock()))
        stop = governor.switch.state().stop
        with pytest.raises(ResumeRefused) as error:
            home.hand_in(sign_resume("test", stop, OPERATORS[:1], clock()))
        assert error.value.code == "too_few", "what would be refused is not even left"
        envelope = sign_resume("test", stop, OPERATORS, clock())
        home.hand_in(envelope)
        home.acts.leave(sign_resume("test", stop, [key("olga"), key("a")], clock()))
        (home.acts.folder / "0.json").write_text("rubbish")
        fallen = state(nav_unit=None)
        assert governor.decide(order("1", id="b"), fallen).outcome == "halt", "without a measured drawdown nobody resumes"
        assert list(home.acts.folder.iterdir()), "it waits for a state that has one"
        assert governor.decide(order("1", id="c"), state()).outcome == "allow"
        assert not list(home.acts.folder.iterdir()) and kinds(home).count("refusal") == 2
        home.stop(sign_stop("test", "again", key("b"), clock()))
        home.acts.leave(envelope)
        assert governor.decide(order("1", id="d"), state()).outcome == "halt", "it named the other stop"
        report = rerun(governor.ledger)  # type: ignore[arg-type]
        assert report.same == report.decisions == 4
    assert [kind for kind in kinds(home) if kind != "refusal"] == ["stop", "resume", "stop"]


def test_a_resume_left_for_an_account_that_is_still_down_is_refused(home: Home) -> None:
    with home.governor("trading") as governor:
        assert governor.switch is not None
        home.stop(sign_stop("test", "x", key("b"), clock()))
        governor.decide(order("1", id="a"), state())
        home.hand_in(sign_resume("test", governor.switch.state().stop, OPERATORS, clock()))
        assert governor.decide(order("1", id="b"), state(nav_unit="0.84")).outcome == "halt"
        assert governor.decide(order("1", id="c"), state()).outcome == "halt" and governor.switch.stopped


def test_a_risk_manager_relaxes_beside_the_process_that_decides(home: Home) -> None:
    with home.governor("trading") as governor:
        later = [clock()]
        governor.now = lambda: later[0]
        assert governor.decide(order("1", id="a"), state(nav_unit="0.87")).ladder.name == "reduce"
        later[0] += 3_600_000_000
        stands = home.ladder()
        record = {"network": "test", "rung": stands.rung.name, "since": stands.since}
        with pytest.raises(IntegrityError, match="may relax"):
            home.hand_in(seal("relax", record, [key("b")]))
        home.hand_in(seal("relax", record, [key("a")]))
        assert governor.decide(order("1", id="b"), state(as_of="2026-11-20T15:30:01Z")).outcome == "allow"
        assert home.ladder().rung == Ladder.normal


@pytest.mark.parametrize(("nav", "rung"), [("0.87", "reduce"), ("0.85", "killed")])
def test_a_ledger_that_stood_alone_is_taken_where_people_may_sign(home: Home, nav: str, rung: str) -> None:
    alone = home.folder.parent / "desk.db"
    with open_ledger(alone) as book:
        governor = Governor("trading", ledger=book)
        for minute in range(3):
            governor.decide(order("1", id=f"o{minute}"), state(nav_unit=nav, as_of=f"2026-11-20T15:3{minute}:00Z"))
        with pytest.raises(EnvironmentRefused):
            home.adopt(alone)
    assert home.adopt(alone).name == rung and not list(home.folder.parent.glob("desk.db*"))
    with pytest.raises(InputError, match="has a ledger"):
        home.adopt(home.ledger_path)
    assert home.switch().stopped is (rung == "killed") and home.ladder().rung.name == rung
    with home.governor(None) as governor:
        if rung == "killed":
            assert governor.switch is not None
            governor.resume(sign_resume("test", governor.switch.state().stop, OPERATORS, clock()), (0, 1))
        else:
            governor.now = lambda: clock() + 3_600_000_000
            since = governor.ladder.since
            governor.relax(seal("relax", {"network": "test", "rung": rung, "since": since}, [key("a")]), (0, 1))
        assert governor.decide(order("1", id="z"), state(as_of="2026-11-20T15:33:00Z")).outcome == "allow"


def test_a_change_of_the_registry_stands_in_the_ledger(home: Home) -> None:
    with home.governor("trading"):
        pass
    with home.registering():
        extend_registry(home.registry_path, suspended(home.registry(), "d"), OPERATORS)
    with pytest.raises(RegistryRefused), home.registering():
        extend_registry(home.registry_path, suspended(home.registry(), "c"), OPERATORS[:1])
    old = home.registry_path.read_bytes()
    with read_ledger(home.ledger_path) as book:
        seen = [entry.record["body"] for entry in book.of_kind("registry_seen")]
        assert [body["epoch"] for body in seen] == [1, 2] and seen[1]["signed"] == json.loads(old)["chain"][1]
        (refused,) = book.of_kind("refusal")
        assert refused.record["body"]["code"] == "too_few"
    home.registry_path.write_text(json.dumps({"chain": json.loads(old)["chain"][:1]}))
    with pytest.raises(IntegrityError, match="above 2"), home.registering():
        extend_registry(home.registry_path, suspended(home.registry(), "c"), OPERATORS)
    home.registry_path.write_bytes(old)
    with home.governor(None), home.registering():  # another process decides: the next to open logs what it finds
        extend_registry(home.registry_path, suspended(home.registry(), "c"), OPERATORS)
    with home.governor(None), read_ledger(home.ledger_path) as book:
        assert book.of_kind("registry_seen")[-1].record["body"]["epoch"] == 3
