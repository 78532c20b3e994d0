"""The journal: what is finished is not asked again, half-written is not whole, a killed run continues to the same end."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from solon.errors import EnvironmentRefused, IntegrityError, ModelError
from solon.models import Completion, Message, Request, Scripted, open_model
from solon.models.journal import Journal
from solon.models.recorded import Recorded, request_key
from tests.models.conftest import request
from tests.warm import Running, start

ROOT = Path(__file__).parents[2]


def test_a_second_asking_is_answered_from_the_journal(tiny: Any, tmp_path: Path) -> None:
    requests = [request(n, f"count {n} stones") for n in range(20)]
    told: list[tuple[int, int]] = []
    with Recorded(tiny, tmp_path / "j.sqlite") as recorded:
        first = recorded.generate(requests, lambda n, t: told.append((n, t)))
        assert (recorded.hits, recorded.misses, len(recorded.journal)) == (0, 20, 20)
        assert recorded.seconds > 0 and first == tiny.generate(requests)
        told.clear()
        spent = recorded.seconds
        assert recorded.generate(requests, lambda n, t: told.append((n, t))) == first
        assert (recorded.hits, recorded.misses, told, recorded.seconds) == (20, 20, [(20, 0)], spent)


def test_the_key_is_identity_messages_sampling_and_seed() -> None:
    base = request(1, "bread")
    key = request_key("m", base)
    assert request_key("m", base.model_copy(update={"id": "other", "conversation": "c"})) == key
    others = [
        request_key("n", base),
        request_key("m", base.model_copy(update={"seed": 2})),
        request_key("m", request(1, "bread", temperature=0.5)),
        request_key("m", request(1, "bread", top_p=0.5)),
        request_key("m", request(1, "bread", max_new_tokens=5)),
        request_key("m", base.model_copy(update={"messages": (*base.messages, Message(role="assistant", content=""))})),
        request_key("m", base.model_copy(update={"messages": (Message(role="system", content="bread"),)})),
    ]
    assert len({key, *others}) == 8


def test_ids_are_the_askers_own(tiny: Any, tmp_path: Path) -> None:
    with Recorded(tiny, tmp_path / "j.sqlite") as recorded:
        (first,) = recorded.generate([request(1, "bread")])
        (again,) = recorded.generate([request(1, "bread").model_copy(update={"id": "mine"})])
        assert again == first.model_copy(update={"id": "mine"}) and recorded.hits == 1


def test_a_group_with_a_gap_is_completed_whole_and_the_first_answer_stays(tmp_path: Path) -> None:
    """A double with a `plan` whose every call answers differently shows which call an answer came from."""

    class Counting:
        name = identity = "counting"
        scripted = True
        calls = 0

        def plan(self, requests: list[Request]) -> list[list[Request]]:
            return [requests[at : at + 2] for at in range(0, len(requests), 2)]

        def generate(self, requests: list[Request], progress: Any = None) -> list[Completion]:
            self.calls += 1
            return [Completion(id=r.id, text=f"call {self.calls}", scripted=True) for r in requests]

    a, b, c = (request(n, "x") for n in range(3))
    with Recorded(Counting(), tmp_path / "j.sqlite") as recorded:  # type: ignore[arg-type]
        assert [r.text for r in recorded.generate([a, b])] == ["call 1", "call 1"]
        assert [r.text for r in recorded.generate([b, c])] == ["call 1", "call 2"]
        assert [r.text for r in recorded.generate([a, b, c])] == ["call 1", "call 1", "call 2"]
        assert recorded.model.calls == 2  # type: ignore[attr-defined]


def test_failures_are_not_kept(tmp_path: Path) -> None:
    replies = {"good": "yes"}

    def reply(asked: Request) -> str:
        if asked.messages[0].content not in replies:
            raise ModelError("not yet")
        return replies[asked.messages[0].content]

    requests = [request(0, "good"), request(1, "late")]
    with Recorded(Scripted(reply), tmp_path / "j.sqlite") as recorded:
        assert [c.finish for c in recorded.generate(requests)] == ["stop", "error"]
        replies["late"] = "now"
        second = recorded.generate(requests)
        assert [c.text for c in second] == ["yes", "now"] and (recorded.hits, recorded.misses) == (1, 3)
        assert all(c.scripted for c in second), "the tag must survive the journal"


def test_dialogues_run_through_the_journal(tmp_path: Path) -> None:
    def dialogue(word: str) -> Generator[Request, Completion, str]:
        first = yield request(1, word)
        second = yield request(2, first.text)
        return second.text

    double = Scripted(lambda asked: asked.messages[0].content + "!")
    for hits in (0, 6):
        with Recorded(double, tmp_path / "j.sqlite") as recorded:
            ended = dict(recorded.converse([dialogue(word) for word in ("a", "b", "c")]))
            assert ended == {0: "a!!", 1: "b!!", 2: "c!!"} and recorded.hits == hits
    assert len(double.asked) == 6


def test_two_models_share_a_journal(tiny: Any, tmp_path: Path) -> None:
    asked = [request(0, "bread")]
    with Recorded(tiny, tmp_path / "j.sqlite") as one, Recorded(Scripted(["toast"]), tmp_path / "j.sqlite") as two:
        assert one.journal is two.journal
        assert one.generate(asked)[0].text != two.generate(asked)[0].text == "toast"
    with Recorded(Scripted([]), tmp_path / "j.sqlite") as three:
        assert len(three.journal) == 2


@pytest.mark.slow
def test_another_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    code = "import sys; from pathlib import Path; from solon.models.journal import Journal; Journal.at(Path(sys.argv[1]))"
    journal = Journal.at(path)
    other = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, cwd=ROOT)
    assert other.returncode == 1 and "another process holds this journal" in other.stderr
    journal.close()
    assert subprocess.run([sys.executable, "-c", code, path], cwd=ROOT).returncode == 0


def test_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    path.write_bytes(b"not a database, whatever its name says" * 100)
    with pytest.raises(IntegrityError, match="damaged"):
        Journal.at(path)
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE things (x)")
    with pytest.raises(IntegrityError, match="another database"):
        Journal.at(other)
    assert sqlite3.connect(other).execute("SELECT name FROM sqlite_master").fetchall() == [("things",)]


def test_a_changed_reply_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j.sqlite"
    with Recorded(Scripted(["toast"]), path) as recorded:
        recorded.generate([request(0, "bread")])
    with sqlite3.connect(path) as db:
        db.execute("UPDATE completions SET body = replace(body, 'toast', 'roast')")
    db.close()
    with Recorded(Scripted(["toast"]), path) as recorded, pytest.raises(IntegrityError, match="digest"):
        recorded.generate([request(0, "bread")])


def test_random_damage_never_passes_for_a_reply(tmp_path: Path) -> None:
    """Flip a bit anywhere in the file: each stored reply then reads as it was, or the journal complains."""
    path = tmp_path / "j.sqlite"
    requests = [request(n, f"number {n}") for n in range(30)]
    with Recorded(Scripted(lambda asked: asked.messages[0].content * 5), path) as recorded:
        whole = recorded.generate(requests)
    sound = path.read_bytes()
    rng = random.Random(0)
    complaints = hits = 0
    for _ in range(60):
        damaged = bytearray(sound)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            with Recorded(Scripted(lambda asked: "MISSING"), path) as recorded:
                now = recorded.generate(requests)
                hits += recorded.hits
        except (IntegrityError, EnvironmentRefused):
            complaints += 1
        else:
            assert all(after == before or after.text == "MISSING" for before, after in zip(whole, now, strict=True))
    assert complaints > 5 and hits > 300


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentRefused, match="cannot be written"):
        Journal.at(tmp_path / "file" / "j.sqlite")


def test_a_full_disk_is_named_and_keeps_what_was_finished(tmp_path: Path) -> None:
    """A page limit makes SQLite report the very error of a full disk."""
    path = tmp_path / "j.sqlite"
    double = Scripted(lambda asked: "x" * 4000)
    with Recorded(double, path) as recorded:
        recorded.generate([request(0, "a")])
        pages = recorded.journal._db.execute("PRAGMA page_count").fetchone()[0]
        recorded.journal._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(EnvironmentRefused, match="disk is full"):
            recorded.generate([request(n, "b") for n in range(1, 50)])
    with Recorded(double, path) as recorded:
        assert recorded.generate([request(0, "a")])[0].text == "x" * 4000 and recorded.hits == 1


def dialogue(n: int) -> Generator[Request, Completion, list[dict[str, Any]]]:
    first = yield request(n, "walk to the lake " * (n % 7 + 1), max_new_tokens=16)
    second = yield request(n, first.text + " why?", max_new_tokens=16)
    return [first.model_dump(), second.model_dump()]


def run(model: Path, journal: Path, out: Path) -> None:
    """In a process of its own: 36 dialogues of two turns; prints how many completions each step of progress told."""
    with Recorded(open_model(str(model), device="cpu", batch_size=3), journal) as recorded:
        ended = dict(recorded.converse([dialogue(n) for n in range(36)], lambda n, tokens: print(n, flush=True)))
        print("end", recorded.hits, recorded.misses)
    out.write_text(json.dumps([ended[n] for n in range(36)]))


@pytest.mark.slow
def test_a_killed_run_continues_to_the_same_bytes(tiny_folder: Path, tmp_path: Path) -> None:
    def begin(journal: str, out: str) -> Running:
        return start(tmp_path, run, tiny_folder, tmp_path / journal, tmp_path / out)

    whole = begin("whole.sqlite", "whole.json")
    assert whole.wait() == 0 and whole.out.split()[-3:] == ["end", "0", "72"]
    for completions in (15, 50):  # within the second group, then within the second turns
        killed = begin("killed.sqlite", "killed.json")
        while sum(map(int, killed.out.rpartition("\n")[0].split())) < completions:
            assert not killed.ended, killed.err
            time.sleep(0.005)
        killed.send(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL and not (tmp_path / "killed.json").exists()
    last = begin("killed.sqlite", "killed.json")
    assert last.wait() == 0
    _, hits, misses = last.out.split()[-3:]
    assert int(hits) >= 36 and int(hits) + int(misses) == 72
    assert (tmp_path / "killed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert len({c["text"] for pair in json.loads((tmp_path / "whole.json").read_bytes()) for c in pair}) > 36


def test_attributes_of_the_model_pass_through(tiny_folder: Path, tmp_path: Path) -> None:
    model = open_model(str(tiny_folder), device="cpu")
    with Recorded(model, tmp_path / "j.sqlite") as recorded:
        assert (recorded.name, recorded.identity, recorded.tokenizer) == (model.name, model.identity, model.tokenizer)
        with recorded.adapter_disabled():
            assert recorded.generate([request(0, "bread")])[0].finish != "error"
        with pytest.raises(AttributeError):
            _ = recorded.nonsense
