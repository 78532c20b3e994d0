"""A stop from outside, while another process decides and holds the ledger: it stands at once, and nothing said is lost."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from solon.errors import EnvironmentRefused
from solon.governance.home import Home, read_ledger
from solon.governance.killswitch import StopRefused, Switch, sign_resume, sign_stop
from solon.ledger.dsse import seal
from solon.ledger.storage import clock
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
