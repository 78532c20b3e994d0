"""The ledger in its file: durable, exactly once, one writer; cuts, edits and old copies are refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from solon.errors import EnvironmentRefused, InputError, IntegrityError
from solon.governance.home import ledger_key, open_ledger
from solon.ledger import proofs, storage, verify_standalone
from solon.ledger.database import connect
from solon.ledger.keys import PrivateKey, read_public, write_pair
from solon.ledger.receipts import Receipt, settle_all
from solon.ledger.storage import AlreadyUsed, Ledger, LedgerClosed

KEY = PrivateKey("ledger", bytes(range(32)))


def fill(path: Path, count: int, start: int = 0) -> str:
    with Ledger.open(path, KEY) as ledger:
        for future in [ledger.submit("note", {"number": n}, once=f"n:{n}") for n in range(start, start + count)]:
            future.result()
        return ledger.note


def numbers(path: Path) -> list[int]:
    ledger = Ledger.read(path, KEY.public)
    found = [entry.record["body"]["number"] for entry in ledger.entries()]
    ledger.close()
    return found


def test_append_read_verify(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    older = fill(path, 5)
    fill(path, 1500, start=5)
    assert numbers(path) == list(range(1505))
    report = proofs.verify_file(path, KEY.public, older=older)
    assert (report.size, report.kinds, report.agrees_with) == (1505, {"note": 1505}, 5)
    with pytest.raises(IntegrityError):
        proofs.verify_file(path, PrivateKey.generate("ledger").public)


def test_once_is_once(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        assert ledger.append("vote", {}, once="slot:1") == 0
        with pytest.raises(AlreadyUsed):
            ledger.append("vote", {"other": 1}, once="slot:1")
        assert ledger.append("vote", {}) == 1 and ledger.size == 2
        assert ledger.used("slot:1") == 0 and ledger.used("slot:2") is None
    with Ledger.open(tmp_path / "l.db", KEY) as ledger, pytest.raises(AlreadyUsed):
        ledger.append("vote", {}, once="slot:1")


def test_sixty_four_threads_share_commits(tmp_path: Path) -> None:
    """Every caller gets its own index; one of 64 racing for a name wins."""
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        barrier, indices, won = threading.Barrier(64), [], []

        def caller(name: int) -> None:
            barrier.wait()
            indices.append(ledger.append("note", {"number": name}))
            try:
                won.append(ledger.append("race", {}, once="the-only"))
            except AlreadyUsed:
                return

        threads = [threading.Thread(target=caller, args=(n,)) for n in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(indices)) == 64 and len(won) == 1 and ledger.size == 65
    assert proofs.verify_file(tmp_path / "l.db", KEY.public).size == 65


def test_one_writer(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY), pytest.raises(EnvironmentRefused, match="another process"):
        Ledger.open(tmp_path / "l.db", KEY, wait=0.05)


def test_closed_and_read_only_take_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l.db", KEY)
    ledger.append("note", {"number": 1})
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerClosed):
        ledger.append("note", {"number": 2})
    reader = Ledger.read(tmp_path / "l.db", KEY.public)
    with pytest.raises(LedgerClosed):
        reader.append("note", {"number": 2})
    with pytest.raises(InputError):
        reader.entry(1)
    reader.close()
    with pytest.raises(InputError):
        Ledger.read(tmp_path / "none.db", KEY.public)


def test_several_at_once_stay_together(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        together = [ledger.job("note", {"number": n}) for n in range(100)]
        others = [threading.Thread(target=ledger.append, args=("other", {})) for _ in range(8)]
        for other in others:
            other.start()
        ledger.submit_all(together)
        places = [receipt.result() for _, _, receipt in together]
        for other in others:
            other.join()
        assert places == list(range(places[0], places[0] + 100)) and ledger.size == 108


def test_the_log_is_folded_into_the_file(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        for _ in range(40):
            jobs = [ledger.job("note", {"text": "x" * 5000}) for _ in range(100)]
            ledger.submit_all(jobs)
            jobs[-1][2].result()
        assert (tmp_path / "l.db").stat().st_size > 12 << 20, "20 MB were written"
        assert (tmp_path / "l.db-wal").stat().st_size < 12 << 20


def test_a_full_queue_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        going, write = threading.Event(), ledger._write_witness
        monkeypatch.setattr(storage, "LARGEST_QUEUE", 50)
        monkeypatch.setattr(ledger, "_write_witness", lambda: going.wait(30) and write())
        ledger.submit_all([ledger.job("note", {"number": n}) for n in range(60)])
        while ledger._waiting:  # until the writer has taken them, and waits for the disk
            time.sleep(0.001)
        later = [ledger.job("note", {"number": n}) for n in range(60, 120)]
        ledger.submit_all(later)
        with pytest.raises(LedgerClosed, match="50 entries wait already"):
            ledger.append("note", {"number": 120})
        going.set()
        assert [receipt.result() for _, _, receipt in later] == list(range(60, 120))
        assert ledger.append("note", {"number": 120}) == 120


def test_a_failed_write_is_no_success_and_closes_the_ledger(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        ledger.append("note", {"number": 0})
        shutil.rmtree(tmp_path)  # the witness cannot be written any more
        with pytest.raises(LedgerClosed):
            ledger.append("note", {"number": 1})
        with pytest.raises(LedgerClosed):
            ledger.append("note", {"number": 2})
        assert ledger.size == 1


WRITER = """
import sys
from solon.ledger.storage import Ledger
from solon.ledger.keys import PrivateKey
with Ledger.open(sys.argv[1], PrivateKey("ledger", bytes(range(32)))) as ledger:
    start = ledger.size
    for base in range(start, start + 100000, 7):
        futures = [(n, ledger.submit("note", {"number": n}, once=f"n:{n}")) for n in range(base, base + 7)]
        for n, future in futures:
            future.result()
            print(n, flush=True)
"""


@pytest.mark.slow
def test_killed_at_random_points_acknowledged_is_present_exactly_once(tmp_path: Path) -> None:
    path, random_ = tmp_path / "l.db", random.Random(20261121)
    for _ in range(int(os.environ.get("SOLON_KILLS", "6"))):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        acknowledged = [int(process.stdout.readline()) for _ in range(random_.randint(1, 60))]
        process.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1] if line]
        process.wait()
        with Ledger.open(path, KEY) as ledger:
            assert ledger.size > max(acknowledged)
        found = numbers(path)
        assert found == list(range(len(found))), "present in order, exactly once"


def test_restored_old_copies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    fill(path, 3)
    shutil.copy(path, tmp_path / "old")
    fill(path, 2, start=3)
    shutil.copy(tmp_path / "old", path)
    for opened in (lambda: Ledger.open(path, KEY), lambda: Ledger.read(path, KEY.public)):
        with pytest.raises(IntegrityError, match="old or foreign copy"):
            opened()


def test_lost_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    fill(path, 3)
    witness = Path(f"{path}.tip")
    kept = witness.read_text()
    witness.unlink()
    with pytest.raises(IntegrityError, match="tip witness"):
        Ledger.open(path, KEY)
    witness.write_text(kept)
    path.unlink()
    for opened in (lambda: Ledger.open(path, KEY), lambda: Ledger.read(path, KEY.public)):
        with pytest.raises(IntegrityError, match="got no file"):
            opened()
    with pytest.raises(IntegrityError):
        sqlite3.connect(path).execute("CREATE TABLE other (x)")
        Ledger.open(path, KEY)


def test_another_history_under_the_same_key_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "a.db", 4)
    fill(tmp_path / "b.db", 5, start=9)
    shutil.copy(tmp_path / "b.db", tmp_path / "a.db")
    with pytest.raises(IntegrityError, match="another history"):
        Ledger.open(tmp_path / "a.db", KEY)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '1', '2') WHERE number = 1",
        "UPDATE entries SET leaf = zeroblob(32) WHERE number = 1",
        "DELETE FROM entries WHERE number = 2",
        "DELETE FROM entries WHERE number = 1",
        "INSERT INTO entries (number, leaf, once, body) SELECT 4, leaf, 'z', body FROM entries WHERE number = 1",
        "UPDATE tip SET note = replace(note, '4', '3')",
        "DELETE FROM tip",
        "DROP TABLE entries",
        "UPDATE entries SET once = NULL WHERE number = 1",
        "UPDATE entries SET once = 'another' WHERE number = 1",
        "CREATE TRIGGER forget AFTER INSERT ON entries BEGIN UPDATE entries SET once = NULL; END",
        "CREATE TABLE more (x)",
        "DROP INDEX by_kind",
        "DROP INDEX by_kind; CREATE INDEX by_kind ON entries (kind, number) WHERE kind <> 'note'",
        "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, '$.kind', '$.at') WHERE name = 'entries'",
        "ALTER TABLE entries RENAME TO x; CREATE VIEW entries AS SELECT number, leaf, once, body, kind FROM x WHERE number < 3",
    ],
)
def test_edits_by_hand_are_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "l.db"
    fill(path, 4)
    with sqlite3.connect(path) as base:
        base.executescript(statement)
    base.close()
    for opened in (lambda: Ledger.open(path, KEY), lambda: proofs.verify_file(path, KEY.public)):
        with pytest.raises(IntegrityError):
            opened()


def test_an_index_that_hides_entries_is_refused(tmp_path: Path) -> None:
    """A changed byte in the index by kind would make `of_kind` pass over a stop; the entries themselves are untouched."""
    path = tmp_path / "l.db"
    fill(path, 40)
    with Ledger.open(path, KEY) as ledger:
        ledger.append("stop", {"number": 40})
    data = path.read_bytes()
    hidden = data.replace(b"stop", b"stoq").replace(b'"stoq"', b'"stop"')
    assert hidden != data, "the index holds the kinds without quotes"
    path.write_bytes(hidden)
    for opened in (lambda: Ledger.open(path, KEY), lambda: Ledger.read(path, KEY.public)):
        with pytest.raises(IntegrityError, match="index by_kind"):
            opened()


def test_names_inside_a_body_are_not_names_of_the_entry(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        for body in ({"a": 1, "once": "x"}, {"z": ',"once":"x"}'}, {"a": {"b": 0, "once": "y"}}):
            ledger.append("note", body)
        ledger.append("note", {}, once='a "quoted",\\ \u20ac\U0001f600 name')
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        assert ledger.append("note", {}, once="x") == 4


def test_a_ledger_on_a_medium_that_cannot_be_written_is_read(tmp_path: Path) -> None:
    """SQLite can make no shared memory there; a link to nowhere in its place has the same effect for every user."""
    path = tmp_path / "l.db"
    fill(path, 5)
    Path(f"{path}-shm").symlink_to(tmp_path / "none" / "shm")
    assert numbers(path) == list(range(5))
    assert proofs.verify_file(path, KEY.public).size == 5
    _, public = write_pair(KEY, tmp_path / "keys")
    assert standalone(path, public)[0] == 0
    Path(f"{path}-wal").write_bytes(bytes(100))
    with pytest.raises(EnvironmentRefused, match="holds the newest entries"):
        Ledger.read(path, KEY.public)
    code, text = standalone(path, public)
    assert code == 2 and "holds the newest entries" in text


def test_killed_at_any_statement_of_its_first_opening(tmp_path: Path) -> None:
    """A ledger that was begun and never came to be is begun again; nothing that was acknowledged is lost."""
    for statement in range(1, 60):
        path, count = tmp_path / f"{statement}.db", [0]

        def watched(place: Path, more: str = "", last: int = statement, count: list[int] = count) -> sqlite3.Connection:
            connection = connect(place, more)

            def step(_: str) -> None:
                count[0] += 1
                if count[0] == last:
                    os._exit(9)  # as a kill would: nothing is rolled back or closed

            connection.set_trace_callback(step)
            return connection

        child = os.fork()
        if child == 0:
            storage.connect = watched  # type: ignore[assignment]
            storage.Ledger.open(path, KEY)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        fill(path, 2)
        assert numbers(path) == [0, 1]
        if ended == 0:
            break
    assert ended == 0 and statement > 10


def test_those_who_begin_a_ledger_together_begin_it_with_one_key(tmp_path: Path) -> None:
    path, barrier, found = tmp_path / "l.db", threading.Barrier(8), []

    def begin() -> None:
        barrier.wait()
        found.append(ledger_key(path))

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and len({key.id for key in found}) == 1
    Path(f"{path}.pub").unlink()  # killed between the two files
    Path(f"{path}.key.new").write_text("half a")
    assert ledger_key(path).id == found[0].id and read_public(f"{path}.pub") == found[0].public
    with open_ledger(path):
        pass
    Path(f"{path}.key").unlink()
    with pytest.raises(InputError, match="expected the key of this ledger"):
        open_ledger(path)


def test_cut_anywhere_is_refused(tmp_path: Path) -> None:
    """Every page boundary and its neighbours, and seeded offsets (500 with SOLON_CUTS=500)."""
    path = tmp_path / "l.db"
    fill(path, 150)
    whole = path.read_bytes()
    cuts = {page + d for page in range(0, len(whole), 4096) for d in (-1, 0, 1) if 0 <= page + d < len(whole)}
    cuts |= set(random.Random(7).sample(range(len(whole)), int(os.environ.get("SOLON_CUTS", "60"))))
    for cut in sorted(cuts):
        for rest in (f"{path}-wal", f"{path}-shm"):
            Path(rest).unlink(missing_ok=True)
        path.write_bytes(whole[:cut])
        with pytest.raises(IntegrityError):
            Ledger.read(path, KEY.public).close()
    path.write_bytes(whole)
    assert proofs.verify_file(path, KEY.public).size == 150


def test_a_cut_write_ahead_log_loses_nothing_unseen(tmp_path: Path) -> None:
    """A crash leaves the newest entries in the -wal file; cutting that is seen by the witness."""
    path, copy = tmp_path / "l.db", tmp_path / "copy.db"
    with Ledger.open(path, KEY) as ledger:
        for number in range(20):
            ledger.append("note", {"number": number})
        for end in ("", "-wal", ".tip"):
            shutil.copy(f"{path}{end}", f"{copy}{end}")
    log = Path(f"{copy}-wal")
    whole, base = log.read_bytes(), copy.read_bytes()
    refused = 0
    for cut in [*range(0, len(whole), 4096 * 5), len(whole) - 1]:
        Path(f"{copy}-shm").unlink(missing_ok=True)
        copy.write_bytes(base)
        log.write_bytes(whole[:cut])
        with pytest.raises(IntegrityError):
            Ledger.read(copy, KEY.public).close()
        refused += 1
    assert refused > 2
    Path(f"{copy}-shm").unlink(missing_ok=True)
    copy.write_bytes(base)
    log.write_bytes(whole)
    ledger = Ledger.read(copy, KEY.public)
    assert ledger.size == 20
    ledger.close()


def test_proof_of_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    fill(path, 30)
    ledger = Ledger.read(path, KEY.public)
    proof = json.loads(json.dumps(proofs.prove(ledger, 17)))
    assert proofs.check_proof(proof, KEY.public)["body"] == {"number": 17}
    for change in (
        {"index": 16},
        {"entry": proofs.prove(ledger, 16)["entry"]},
        {"path": proof["path"][1:]},
        {"tip": "x"},
        {"path": 3},
    ):
        with pytest.raises(IntegrityError):
            proofs.check_proof({**proof, **change}, KEY.public)
    ledger.close()


def test_proof_that_a_tip_continues_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    with Ledger.open(path, KEY) as ledger:
        empty = ledger.note
    notes = [empty, *(fill(path, count, start) for count, start in ((1, 0), (6, 1), (9, 7)))]
    fork = fill(tmp_path / "fork.db", 7, start=50)
    ledger = Ledger.read(path, KEY.public)
    for note, size in zip(notes, (0, 1, 7, 16), strict=True):
        proof = json.loads(json.dumps(proofs.consistency(ledger, note)))
        old, new = proofs.check_consistency(proof, KEY.public)
        assert (old.size, new.size) == (size, 16)
        for change in ({"old": fork}, {"path": [*proof["path"], "00" * 32]}, {"new": "x"}, {"path": None}, {"old": None}):
            with pytest.raises(IntegrityError):
                proofs.check_consistency({**proof, **change}, KEY.public)
    with pytest.raises(IntegrityError):
        proofs.check_consistency({**proof, "old": proof["new"], "new": notes[2]}, KEY.public)
    with pytest.raises(IntegrityError, match="rewritten"):
        proofs.consistency(ledger, fork)
    ledger.close()


def test_older_tip_of_another_or_longer_history(tmp_path: Path) -> None:
    longer = fill(tmp_path / "a.db", 9)
    fill(tmp_path / "b.db", 4)
    with pytest.raises(IntegrityError, match="old copy"):
        proofs.verify_file(tmp_path / "b.db", KEY.public, older=longer)
    foreign = fill(tmp_path / "c.db", 2, start=50)
    with pytest.raises(IntegrityError, match="rewritten"):
        proofs.verify_file(tmp_path / "b.db", KEY.public, older=foreign)


def standalone(*words: object) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, verify_standalone.__file__, *map(str, words)], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_single_file_verifier_agrees(tmp_path: Path) -> None:
    path = tmp_path / "l.db"
    (tmp_path / "older").write_text(fill(path, 6))
    fill(path, 7, start=6)
    _, public = write_pair(KEY, tmp_path / "keys")
    ledger = Ledger.read(path, KEY.public)
    root = ledger.tip.root.hex()
    out = proofs.export(ledger, tmp_path / "out")
    ledger.close()
    for source in (path, out):
        code, text = standalone(source, public, "--tip", tmp_path / "older", "--show", 3)
        assert code == 0 and root in text and "continues the older tip of 6" in text and '"number": 3' in text
    lines = (out / "entries.jsonl").read_bytes().split(b"\n")
    for changed in (lines[1:], [lines[1], lines[0], *lines[2:]], [lines[0].replace(b"0", b"1"), *lines[1:]], lines[:-1]):
        (out / "entries.jsonl").write_bytes(b"\n".join(changed))
        assert standalone(out, public)[0] == 1
    with sqlite3.connect(path) as base:
        base.execute("UPDATE entries SET body = replace(body, '1', '2') WHERE number = 1")
    assert standalone(path, public)[0] == 1
    assert standalone(tmp_path / "none", public)[0] == 2


def test_the_single_file_verifier_is_short_and_alone() -> None:
    text = Path(verify_standalone.__file__).read_text()
    assert text.count("\n") < 200
    assert "import solon" not in text and "from solon" not in text


def test_export_never_overwrites(tmp_path: Path) -> None:
    fill(tmp_path / "l.db", 1)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").write_text("mine")
    ledger = Ledger.read(tmp_path / "l.db", KEY.public)
    with pytest.raises(InputError):
        proofs.export(ledger, tmp_path / "out")
    ledger.close()


def test_receipts_are_let_go_one_by_the_other() -> None:
    """Each that is awaited passes the word on; one whose forerunner was lost finds its answer all the same."""
    waited, loose = [Receipt(awaited=True) for _ in range(3)], Receipt()
    settle_all([*waited, loose], [0, 1, AlreadyUsed("x"), 3])
    assert loose.result() == 3 and waited[1].result() == 1 and waited[1].wait()
    assert waited[0].result() == 0, "late, and nobody is left to be told twice"
    with pytest.raises(AlreadyUsed):
        waited[2].result()
    settled = Receipt()
    settled.settle(5)
    settled.settle(6)
    assert settled.result() == 5 and not Receipt().wait(0)


def test_a_name_is_used_once_within_one_commit(tmp_path: Path) -> None:
    """Entries of one group that ask for the same name, and more of them than one statement holds."""
    with Ledger.open(tmp_path / "l.db", KEY) as ledger:
        found = []
        for receipt in [ledger.submit("note", {"number": n}, once=f"n:{n % 100}") for n in range(300)]:
            try:
                found.append(receipt.result())
            except AlreadyUsed:
                continue
        assert found == list(range(100))
        assert [entry.record["once"] for entry in ledger.entries()] == [f"n:{n}" for n in range(100)]
    assert numbers(tmp_path / "l.db") == list(range(100))
