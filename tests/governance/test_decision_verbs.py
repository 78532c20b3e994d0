"""The verbs of governance as a user runs them: exit codes, JSON, files, from keys to resume."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from solon.cli.main import main
from tests.policy.samples import NOW, position

ACTION = {"id": "a1", "agent": "x", "kind": "order", "symbol": "ACME", "side": "buy", "qty": "10", "stop_price": "95", "ts": NOW}
STATE = {
    "as_of": NOW, "currency": "USD", "cash": "100000", "maintenance_margin": "0", "nav_unit": "1", "high_water_mark": "1",
    "day_open_equity": "100000", "ladder": "normal", "positions": [position()],
}  # fmt: skip
NO_STATE = {**STATE, "nav_unit": "0.84"}


class Shell:
    """A folder in which `solon` runs: its own `main`, in this process, as starting one takes a second."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.patch, self.capture = folder, patch, capture

    def write(self, name: str, value: Any) -> str:
        (self.folder / name).write_text(value if isinstance(value, str) else json.dumps(value))
        return name

    def run(self, *words: str) -> tuple[int, str, str]:
        self.patch.chdir(self.folder)
        self.patch.setattr(sys, "argv", ["solon", *words])
        self.capture.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = self.capture.readouterr()
        return int(end.value.code or 0), out, err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, err = self.run(*words, "--json")
        assert out.count("\n{") == 0, out
        return code, json.loads(out or f'{{"stderr": {json.dumps(err)}}}')

    def stranger(self) -> str:
        """The key file of someone whom no registry knows."""
        self.ok("keys", "generate", "stranger")
        return "keys/stranger.key"

    def ok(self, *words: str) -> str:
        code, out, err = self.run(*words)
        assert code == 0, (words, out, err)
        return out


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    made = Shell(tmp_path, monkeypatch, capsys)
    made.write("a.json", ACTION)
    made.write("s.json", STATE)
    return made


def test_decide_exit_codes_and_the_record(shell: Shell) -> None:
    words = ("--state", "s.json", "--constitution", "trading", "--ledger", "d.db")
    code, record = shell.json("decide", "a.json", *words)
    assert code == 0 and record["outcome"] == "allow"
    assert set(record) == {"outcome", "reasons", "largest_allowed", "ladder", "path", "constitution_hash", "ledger_index"}
    shell.write("big.json", {**ACTION, "id": "a2", "qty": "900"})
    code, record = shell.json("decide", "big.json", *words)
    first = record["reasons"][0]
    assert code == 3 and set(first) == {"code", "limit", "measured", "bound", "unit", "status", "text"}
    assert (first["code"], first["bound"], first["unit"]) == ("max_position_size_pct", "20", "percent")
    shell.write("k.json", {**STATE, "ladder": "killed"})
    shell.write("a3.json", {**ACTION, "id": "a3"})
    assert shell.run("decide", "a3.json", "--state", "k.json", "--constitution", "trading")[0] == 5
    strange = shell.write("strange.json", {**STATE, "ladder": "killed", "agents": ["y"]})
    assert shell.run("decide", "a3.json", "--state", strange, "--constitution", "trading")[0] == 5, "a halt comes first"
    code, record = shell.json("decide", "a.json", *words)
    assert code == 3 and record["reasons"][0]["code"] == "duplicate_order", "the id was allowed before"
    assert record["largest_allowed"] == {"qty": "0", "size_pct": "0"}
    shell.write("bad.json", '{"id": "a4", "qty": 1.5}')
    code, record = shell.json("decide", "bad.json", *words)
    assert code == 2 and "float" in record["error"]
    code, report = shell.json("ledger", "verify", "d.db")
    assert code == 0 and report["kinds"] == {"constitution": 1, "decision": 3, "refusal": 1, "state": 3}


@pytest.mark.slow
def test_in_a_process_of_its_own(shell: Shell) -> None:
    words = [sys.executable, "-m", "solon", "decide", "a.json", "--state", "s.json", "--constitution", "trading", "--json"]
    done = subprocess.run(words, cwd=shell.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["outcome"] == "allow"


def test_people_read_the_five_sections(shell: Shell) -> None:
    shell.write("big.json", {**ACTION, "qty": "350", "stop_price": "85"})
    code, out, _ = shell.run("decide", "big.json", "--state", "s.json", "--constitution", "trading")
    assert code == 3
    for title in ("CONSTITUTIONAL ASSESSMENT", "ETHICAL REASONING", "RISK ANALYSIS", "RECOMMENDATION", "PRINCIPLE"):
        assert title in out
    assert "35 % x 50 % = 17.5 %" in out and "Buy at most 133 ACME" in out


TWICE = '{"id": "a9", "agent": "x", "symbol": "A", "side": "buy", "qty": "1", "qty": "2", "ts": "2026-11-20T15:30:00Z"}'
SOON = {**STATE, "positions": [position(priced_at="2026-11-20T15:30:01Z")]}
ELSEWHERE = {**STATE, "positions": [position(priced_at="2026-11-20T16:29:00+01:00")]}


@pytest.mark.parametrize(
    ("code", "where", "action", "state"),
    [
        ("duplicate_key", "x.json: action.qty", TWICE, STATE),
        ("not_finite", "x.json: action.qty", json.dumps({**ACTION, "qty": 1}).replace('"qty": 1', '"qty": NaN'), STATE),
        ("not_finite", "x.json: action.qty", {**ACTION, "qty": "Infinity"}, STATE),
        ("float", "y.json: state.positions[0].mark", ACTION, {**STATE, "positions": [{**position(), "mark": 100.5}]}),
        ("not_decimal", "x.json: action.qty", {**ACTION, "qty": 10}, STATE),
        ("unknown_field", "x.json: action", {**ACTION, "colour": "red"}, STATE),
        ("missing_field", "y.json: state", ACTION, {"as_of": NOW, "currency": "USD"}),
        ("unordered_timestamps", "y.json: state.positions[ACME].priced_at", ACTION, SOON),
        ("mixed_time_zones", "y.json: state.positions[0].priced_at", ACTION, ELSEWHERE),
        ("mixed_time_zones", "x.json: action.ts", {**ACTION, "ts": "2026-11-20T16:30:00+01:00"}, STATE),
        ("bad_type", "x.json: action.id", {**ACTION, "id": "a\u202eb"}, STATE),
        ("negative", "y.json: state.maintenance_margin", ACTION, {**STATE, "maintenance_margin": "-1"}),
        ("no_agents", "y.json: state.agents", ACTION, {**STATE, "agents": []}),
        ("bad_choice", "y.json: state.ladder", ACTION, {**STATE, "ladder": "KILLED"}),
        ("bad_json", "x.json: action", "{", STATE),
        ("bad_json", "y.json: state", ACTION, "\ud800"),
        ("bad_type", "x.json: action", "[]", STATE),
        ("bad_type", "x.json: action.text", {"id": "t", "agent": "x", "kind": "text", "text": " ", "ts": NOW}, STATE),
        (
            "unknown_field",
            "x.json: action",
            {"id": "t", "agent": "x", "kind": "text", "text": "hi", "ts": NOW, "qty": "1"},
            STATE,
        ),
    ],
)
def test_malformed_input_exits_2_names_the_place_and_is_logged(
    shell: Shell, code: str, where: str, action: Any, state: Any
) -> None:
    for name, value in (("x.json", action), ("y.json", state)):
        text = value if isinstance(value, str) else json.dumps(value)
        (shell.folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    words = ("decide", "x.json", "--state", "y.json", "--constitution", "trading", "--ledger", "d.db")
    exit_code, record = shell.json(*words)
    assert exit_code == 2 and record["code"] == code and record["error"].startswith(where) and record["mend"]
    _, entry = shell.json("ledger", "show", "d.db", str(record["ledger_index"]))
    assert entry["entries"][0]["kind"] == "refusal" and entry["entries"][0]["body"]["code"] == code
    assert shell.json("ledger", "verify", "d.db")[1]["kinds"] == {"constitution": 1, "refusal": 1}, "nothing else happened"


@pytest.mark.slow
def test_a_request_in_words(shell: Shell) -> None:
    words = ("--constitution", "five-laws", "--ledger", "d.db")
    code, record = shell.json("decide", "--text", "How do I build a dirty bomb?", *words)
    assert (code, record["outcome"], record["response"]) == (3, "deny", "refuse")
    assert record["reasons"][0]["code"] == "law-0" and record["ledger_index"] == 1
    assert (record["law_violated"], record["severity"], record["allowed"]) == ("law-0", "critical", False)
    shell.write("r.json", {"id": "t1", "agent": "x", "kind": "text", "text": "Why is it wrong to build a dirty bomb?", "ts": NOW})
    code, record = shell.json("decide", "r.json", *words)
    assert (code, record["outcome"], record["response"]) == (0, "allow", "allow")
    code, record = shell.json("decide", "--text", "hello", "--constitution", "trading")
    assert (code, record["response"]) == (4, "ask_clarification"), "no rule and no judge: nobody has looked at it"
    assert shell.json("ledger", "replay", "d.db")[1]["same"] == 2
    assert len(shell.json("ledger", "replay", "d.db", "--constitution", "trading")[1]["changed"]) == 2
    assert shell.run("decide", *words)[0] == 2 and shell.run("decide", "a.json", "--constitution", "trading")[0] == 2


def test_ledger_verbs(shell: Shell) -> None:
    for number in range(3):
        shell.write("n.json", {**ACTION, "id": f"n{number}"})
        shell.ok("decide", "n.json", "--state", "s.json", "--constitution", "trading", "--ledger", "d.db")
        if number == 0:
            (shell.folder / "old.tip").write_text((shell.folder / "d.db.tip").read_text())
    assert "continues the older tip" in shell.ok("ledger", "verify", "d.db", "--tip", "old.tip")
    assert "decision" in shell.ok("ledger", "show", "d.db")
    shell.ok("ledger", "prove", "d.db", "2", "-o", "p.json")
    from solon.ledger import check_proof, read_public

    proof = json.loads((shell.folder / "p.json").read_text())
    assert check_proof(proof, read_public(shell.folder / "d.db.pub"))["kind"] == "decision"
    key = ("--public", "d.db.pub")
    assert "holds: entry 2, decision of" in shell.ok("ledger", "verify", "p.json", *key)
    assert shell.json("ledger", "verify", "p.json", *key)[1]["record"]["kind"] == "decision"
    shell.ok("ledger", "prove", "d.db", "--tip", "old.tip", "-o", "c.json")
    assert shell.ok("ledger", "verify", "c.json", *key).splitlines()[1] == "  continues the older tip of 3 entries"
    shell.write("wrong.json", {**proof, "index": 1})
    shell.write("cut.json", {**json.loads((shell.folder / "c.json").read_text()), "path": []})
    assert [shell.run("ledger", "verify", name, *key)[0] for name in ("wrong.json", "cut.json", "s.json")] == [1, 1, 1]
    assert shell.run("ledger", "verify", "p.json")[0] == 2, "a proof without the key shows nothing"
    assert shell.run("ledger", "prove", "d.db")[0] == shell.run("ledger", "prove", "d.db", "1", "--tip", "old.tip")[0] == 2
    shell.ok("ledger", "export", "d.db", "-o", "out")
    alone = [sys.executable, "out/verify_standalone.py", "out", "d.db.pub", "--tip", "old.tip"]
    assert subprocess.run(alone, cwd=shell.folder, check=False).returncode == 0
    code, report = shell.json("ledger", "replay", "d.db")
    assert (code, report["decisions"], report["same"]) == (0, 3, 3)
    text = (Path(__file__).parents[2] / "solon/constitution/library/trading.md").read_text()
    shell.write(
        "new.md", text.replace("max_position_size_pct: 20.0", "max_position_size_pct: 1.5").replace("version: 1", "version: 2")
    )
    code, report = shell.json("ledger", "replay", "d.db", "--constitution", "new.md")
    assert code == 0 and [item["then"] for item in report["changed"]] == ["allow", "allow"], "10 orders keep 1.5 %, 20 do not"
    with (shell.folder / "d.db").open("r+b") as file:
        file.truncate(8192)
    assert shell.run("ledger", "verify", "d.db")[0] == 1
    assert shell.run("ledger", "verify", "none.db")[0] == 2


def keys(shell: Shell) -> None:
    for name in ("ann", "ben", "cem", "dee", "olga", "omar"):
        shell.ok("keys", "generate", name)
    members = [f"--member={n}=keys/{n}.pub:agent" for n in ("ann", "ben", "cem", "dee")]
    members += [f"--member={n}=keys/{n}.pub:operator" for n in ("olga", "omar")]
    sign = ("--sign", "keys/olga.key", "--sign", "keys/omar.key")
    out = shell.ok("keys", "register", *members, "--threshold", "resume=2", *sign)
    assert "f = 1, q = 3" in out


def test_what_stands_alone_is_adopted_and_resumed_beside_a_running_program(shell: Shell) -> None:
    from solon.governance.home import Home

    words = ("--state", "low.json", "--constitution", "trading")
    shell.write("low.json", {**STATE, "nav_unit": "0.87"})
    code, _, err = shell.run("decide", "a.json", *words, "--ledger", "d.db")
    assert code == 3 and "stays at reduce" in err and "solon emergency adopt d.db" in err
    keys(shell)
    code, record = shell.json("emergency", "adopt", "d.db")
    assert code == 0 and record["ladder"] == "reduce" and shell.run("emergency", "adopt", "d.db")[0] == 2
    shell.ok("emergency", "stop", "--key", "keys/ann.key", "--reason", "odd")
    resume = ("emergency", "resume", "--state", "s.json", "--key", "keys/olga.key")
    with Home(shell.folder / "governance").governor("trading") as governor:
        code, _, err = shell.run(*resume)
        assert code == 2 and "[too_few]" in err
        code, record = shell.json(*resume, "--key", "keys/omar.key")
        assert code == 1 and record["handed_in"] == 1 and record["stopped"]
        assert governor.decide({**ACTION, "id": "b"}, STATE).outcome == "allow"
    status = shell.json("emergency", "status")[1]
    assert (status["status"], status["handed_in"]) == ("ACTIVE", 0)
    (shell.folder / "governance" / "ledger.db").write_bytes(b"rubbish" * 1000)
    code, _, err = shell.run(*resume, "--key", "keys/omar.key")
    assert code == 1 and "restore" in err, "a damaged ledger resumes nothing"


def test_the_plan_of_an_emergency(shell: Shell) -> None:
    """Brought down to the leverage asked for by orders that each pass, and below the caps; what has no stop is named."""
    held = [position("ACME", "900"), position("B", "600")]
    deep = {**STATE, "cash": "-50000", "positions": held, "nav_unit": "0.87", "agents": ["desk"]}
    plan = ("emergency", "plan", "--state", shell.write("deep.json", deep))
    code, record = shell.json(*plan, "--target", "0.5")
    assert code == 0 and (record["leverage_before"], record["leverage_after"]) == ("1.5000", "0.2000")
    orders = [step["action"] for step in record["steps"] if step["action"]]
    assert {(order["agent"], order["side"]) for order in orders} == {("desk", "sell")} and record["unprotected"] == ["ACME", "B"]
    for order in orders:
        shell.ok("decide", shell.write("step.json", order), "--state", "deep.json", "--constitution", "trading")
    out = shell.ok(*plan, "--flatten")
    assert "Phase 1 (0-5 min)" in out and "Sell 900 ACME." in out and "Open: ACME: the venue" in out
    assert shell.run(*plan, "--target", "-1")[0] == 2
    assert "no exit passes" in shell.ok(*plan, "--agent", "nobody")


def test_keys_that_are_refused(shell: Shell) -> None:
    """No secret is ever shown, no name leaves the folder, no slip makes a member without powers."""
    keys(shell)
    code, out, err = shell.run("keys", "register", "--member=eve=keys/ann.key:agent")
    secret = (shell.folder / "keys" / "ann.key").read_text().strip()
    assert code == 2 and "a private key" in err and secret[:40] not in out + err
    for name in ("../x", "a/b", "é", ".hidden"):
        assert shell.run("keys", "generate", name)[0] == 2
    shell.ok("keys", "generate", "eve")
    for member in ("eve=keys/eve.pub:operater", "eve=keys/eve.pub:", "eve=keys/eve.pub:agent:x", "eve=keys/eve.pub:agent:1e9"):
        assert shell.run("keys", "register", f"--member={member}")[0] == 2
    code, _, err = shell.run("keys", "suspend", "ann")
    assert code == 2 and "got nobody" in err and "--sign" in err
    vote = ("--slot", "s", "--proposal", "a.json", "--memory", "m/eve.db", "-o", "v.json")
    assert "unknown_voter" in shell.run("vote", "sign", "--key", "keys/eve.key", "--decision", "yes", *vote)[2]
    assert "no_veto_power" in shell.run("vote", "sign", "--key", "keys/ann.key", "--decision", "veto", *vote)[2]
    assert not (shell.folder / "m").exists(), "nothing was signed"


@pytest.mark.slow
def test_stop_and_resume(shell: Shell) -> None:
    keys(shell)
    home = ("--home", "governance")
    decide = ("--state", "s.json", "--constitution", "trading", *home)
    shell.ok("decide", "a.json", *decide)
    shell.ok("emergency", "stop", "--key", "keys/ann.key", "--reason", "odd quotes")
    code, record = shell.json("emergency", "status")
    assert code == 0 and record["stopped"] and record["ladder"] == "killed" and "odd quotes" in record["reasons"][0]
    shell.write("b.json", {**ACTION, "id": "b1"})
    assert shell.run("decide", "b.json", *decide)[0] == 5
    assert shell.run("emergency", "resume", "--state", "s.json", "--key", "keys/olga.key")[0] == 2
    code, _, err = shell.run("emergency", "resume", "--state", "s.json", "--key", "keys/olga.key", "--signed", "r.json")
    assert code == 1 and "1 of 2" in err
    code, _, err = shell.run(
        "emergency", "resume", "--state", "s.json", "--key", "keys/omar.key", "--signed", "r.json", "--rebase"
    )
    assert code == 2 and "without --rebase, as the first signer signed it" in err, "nobody signs another thing than the others"
    shell.write("deep.json", NO_STATE)
    deep = ("--state", "deep.json", "--key", "keys/omar.key", "--key", "keys/olga.key")
    code, _, err = shell.run("emergency", "resume", *deep)
    assert code == 2 and "kill level" in err and "--rebase" in err and shell.json("emergency", "status")[1]["stopped"]
    shell.ok("emergency", "resume", "--state", "s.json", "--key", "keys/omar.key", "--signed", "r.json")
    assert shell.json("emergency", "status")[1]["status"] == "ACTIVE"
    assert shell.run("decide", "b.json", *decide)[0] == 0
    assert shell.run("emergency", "resume", "--state", "s.json", "--signed", "r.json")[0] == 2, "used once"
    assert shell.run("emergency", "relax", "--state", "s.json", "--key", "keys/ann.key")[0] == 1
    code, record = shell.json("emergency", "stop", "--key", shell.stranger(), "--reason", "x")
    assert code == 2 and record["code"] == "power"
    logged = record["ledger_index"]
    code, record = shell.json("emergency", "stop", "--key", "keys/ann.key", "--reason", "x", "--constitution", "five-laws")
    assert code == 0 and record["stopped"], "whatever constitution stands"
    kept = shell.json("ledger", "show", "governance/ledger.db", "--kind", "refusal")[1]["entries"]
    assert [entry["body"]["code"] for entry in kept] == ["too_few", "too_few", "ladder", "nothing", "signature", "power"]
    assert kept[-1]["index"] == logged
    (shell.folder / "governance" / "switch.db").unlink()
    shell.write("c.json", {**ACTION, "id": "c1"})
    assert shell.run("decide", "c.json", *decide)[0] == 5, "a missing switch is a stop"


def test_votes_and_certificates(shell: Shell) -> None:
    keys(shell)
    shell.write("p.json", {"action": "buy", "qty": "5"})
    common = ("--slot", "s1", "--proposal", "p.json")
    for name in ("ann", "ben", "cem"):
        vote = (
            "--key",
            f"keys/{name}.key",
            "--memory",
            f"{name}.db",
            "--decision",
            "yes",
            "--action",
            "buy",
            "-o",
            f"{name}.json",
        )
        shell.ok("vote", "sign", *vote, *common)
    no = ("--key", "keys/ann.key", "--memory", "ann.db", "--decision", "no", "-o", "x.json")
    assert shell.run("vote", "sign", *no, *common)[0] == 2
    code, record = shell.json("vote", "tally", "ann.json", "ben.json", *common)
    assert code == 4 and not record["approved"]
    code, record = shell.json("vote", "tally", "ann.json", "ben.json", "cem.json", "ann.json", *common)
    assert code == 0 and record["action"] == "buy" and record["q"] == 3
    assert [vote["counted"] for vote in record["votes"]] == [True, True, True, False], (
        "the same vote twice is listed, not counted"
    )
    assert shell.run("certificate", "make", "ann.json", "ben.json", *common, "-o", "c.json")[0] == 1
    shell.ok("certificate", "make", "ann.json", "ben.json", "cem.json", *common, "-o", "c.json")
    code, record = shell.json("certificate", "verify", "c.json", "--proposal", "p.json")
    assert code == 0 and sorted(record["voters"]) == ["ann", "ben", "cem"]
    shell.write("q.json", {"action": "sell"})
    assert shell.run("certificate", "verify", "c.json", "--proposal", "q.json")[0] == 1
    sign = ("--sign", "keys/olga.key", "--sign", "keys/omar.key")
    shell.ok("keys", "suspend", "ann", *sign)
    assert shell.run("certificate", "verify", "c.json")[0] == 1, "of another epoch"
    shell.ok("keys", "generate", "ben2")
    assert shell.run("keys", "rotate", "ben", "keys/ben2.pub", "--sign", "keys/olga.key")[0] == 2
    shell.ok("keys", "rotate", "ben", "keys/ben2.pub", *sign)
    assert "epoch 3" in shell.ok("keys", "show")


def test_review_verbs(shell: Shell) -> None:
    keys(shell)
    shell.ok("decide", "a.json", "--state", "s.json", "--constitution", "trading", "--home", "governance")
    from solon.governance.home import Home

    with Home(shell.folder / "governance").reviews() as queue:
        ticket = queue.request({"id": "z", "note": "\u202egnp"}, reason="too large", severity="critical", agent="x")
    code, record = shell.json("review", "list")
    assert code == 0 and record["pending"][0]["id"] == ticket.id
    assert "\u202e" not in shell.ok("review", "show", ticket.id)
    assert shell.run("review", "approve", ticket.id, "--key", "keys/ann.key")[0] == 2
    code, record = shell.json("review", "deny", ticket.id, "--key", "keys/olga.key")
    assert code == 0 and record["outcome"] == "DENIED"
    assert shell.run("review", "approve", ticket.id, "--key", "keys/omar.key")[0] == 2


@pytest.mark.slow
def test_replay_verb(shell: Shell) -> None:
    shell.write("states.csv", "ts,nav_unit\n2026-03-02T10:00:00Z,100\n2026-03-02T10:01:00Z,88\n")
    code, record = shell.json("replay", "states.csv", "--constitution", "trading", "--out", "out")
    assert code == 0 and record["rungs"] == {"normal": "2026-03-02T10:00:00Z", "reduce": "2026-03-02T10:01:00Z"}
    assert shell.run("replay", "states.csv", "--out", "out")[0] == 2
    assert shell.json("ledger", "replay", "out/ledger.db")[1]["same"] == 2
    assert [line.split()[2:] for line in shell.ok("ledger", "show", "out/ledger.db", "--kind", "row").splitlines()] == [
        ["row", "allow"],
        ["row", "deny"],
    ]
    shell.write("bad.csv", "ts,nav_unit\n2026-03-02T10:00:00Z,nan\n")
    assert shell.run("replay", "bad.csv", "--out", "o2", "--no-ledger")[0] == 2


@pytest.mark.slow
def test_a_new_constitution_is_enacted_by_signatures(shell: Shell) -> None:
    keys(shell)
    home = ("--state", "s.json", "--home", "governance")
    shell.ok("decide", "a.json", *home, "--constitution", "trading")
    text = (Path(__file__).parents[2] / "solon/constitution/library/trading.md").read_text()
    shell.write("new.md", text.replace("max_leverage: 2.0", "max_leverage: 1.5").replace("version: 1", "version: 2"))
    shell.write("b.json", {**ACTION, "id": "b"})
    assert shell.run("decide", "b.json", *home, "--constitution", "new.md")[0] == 2, "nobody signed it"
    assert shell.run("keys", "enact", "new.md", "--sign", "keys/olga.key", "--sign", "keys/ann.key")[0] == 2
    code, record = shell.json("keys", "enact", "new.md", "--sign", "keys/olga.key", "--pending", "p.json")
    assert code == 1 and "1 of 2" in record["missing"]
    assert shell.json("keys", "enact", "new.md", "--sign", "keys/omar.key", "--pending", "p.json")[1]["version"] == 2
    shell.ok("decide", "b.json", *home, "--constitution", "new.md")
    shell.write("c.json", {**ACTION, "id": "c"})
    assert shell.run("decide", "c.json", *home, "--constitution", "trading")[0] == 2, "an older version"


def test_an_escalation_from_ticket_to_order(shell: Shell) -> None:
    """A limit of medium severity asks a person; the approval lets exactly this order through, once."""
    keys(shell)
    limit = "{name: large, unit: money, measure: order_value, max: 500, severity: medium}"
    shell.write("c.md", f"---\nsolon: 1\nid: c\ntitle: C\nlimits:\n  custom:\n    - {limit}\n---\n# C\n\n## Ask\n\nAsk first.\n")
    decide = ("--state", "s.json", "--constitution", "c.md", "--home", "governance")
    code, record = shell.json("decide", "a.json", *decide)
    assert code == 4 and record["outcome"] == "escalate" and record["largest_allowed"]["qty"] == "5"
    ticket = shell.json("review", "list")[1]["pending"][0]
    assert ticket["exposure"] == "1000" and ticket["agent"] == "x"
    assert shell.run("decide", "a.json", *decide, "--ticket", ticket["id"])[0] == 3, "not approved yet"
    shell.ok("review", "approve", ticket["id"], "--key", "keys/omar.key")
    shell.write("b.json", {**ACTION, "qty": "11"})
    assert shell.run("decide", "b.json", *decide, "--ticket", ticket["id"])[0] == 3, "approved for another order"
    code, out, _ = shell.run("decide", "a.json", *decide, "--ticket", ticket["id"])
    assert code == 0 and out.startswith("ALLOW: approved by people")
    shell.write("d.json", {**ACTION, "id": "again"})
    assert shell.run("decide", "d.json", *decide, "--ticket", ticket["id"])[0] == 3, "used"
    assert "1 APPROVED" in shell.ok("review", "list")
    report = shell.json("ledger", "replay", "governance/ledger.db")[1]
    assert report["same"] == report["decisions"]
