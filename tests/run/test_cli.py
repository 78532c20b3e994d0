"""The command line as a black box: exit codes, one JSON object, and refusals that name the mend."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from solon.cli import main as cli
from tests.warm import solon as warm_solon


def solon(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of one command, in this process."""
    monkeypatch.setattr(sys, "argv", ["solon", *words])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    out = capsys.readouterr()
    return code, out.out, out.err


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    return lambda *words: solon(capsys, monkeypatch, *words)


def test_check_json_is_one_object(run) -> None:
    code, out, _ = run("check", "five-laws", "--json")
    report = json.loads(out)
    assert code == 0
    assert [p["rank"] for p in report["principles"]] == [0, 1, 2, 3, 4]
    assert {"id", "version", "hash", "principles", "limits", "gates", "warnings", "ignored"} <= set(report)


def test_check_trading_warns_and_strict_fails(run) -> None:
    code, out, _ = run("check", "trading", "--json")
    assert code == 0 and len(json.loads(out)["limits"]) == 30
    assert run("check", "trading", "--strict")[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("check", "five-lows"), "did you mean"),
        (("run", "--prompts", "absent.csv"), "got nothing there"),
        (("run", "--config", "absent.yaml"), "got nothing there"),
        (("run", "sed=1"), "expected a known setting"),
        (("run", "--constitution", "absent.md"), "expected"),
        (("run", "--max-prompts", "0"), "greater than or equal to 1"),
        (("eval", "/nowhere/model", "--out", "OUT"), "/nowhere/model"),
        (("chat", "scripted"), "scripted"),
        (("eval", "scripted", "--out", "OUT"), "scripted"),
        (("eval", "http://127.0.0.1:9/v1#m", "--out", "OUT"), "127.0.0.1:9"),
        (("report", "absent"), "got nothing there"),
        (("train", "sft", "--data", "absent.jsonl", "--model", "nano", "--out", "OUT"), "got nothing there"),
        (("schema", "pairr"), "did you mean 'pair'"),
    ],
)
def test_refusals_exit_2_and_name_the_mend(run, words: tuple[str, ...], complaint: str, tmp_path: Path) -> None:
    code, out, err = run(*(w.replace("OUT", str(tmp_path / "out")) for w in words))
    assert code == 2, err
    assert complaint in err and "mend:" in err
    assert out == ""
    assert not list(tmp_path.rglob("*.jsonl"))


def test_an_error_with_json_is_one_object_too(run) -> None:
    code, out, _ = run("check", "five-lows", "--json")
    found = json.loads(out)
    assert code == 2 and found["exit_code"] == 2 and found["error"] and found["mend"]


def test_a_slip_in_the_words_is_one_object_too(run) -> None:
    for words in (("run", "--seed", "x", "--json"), ("run", "--nope", "--json"), ("frobnicate", "--json")):
        code, out, _ = run(*words)
        found = json.loads(out)
        assert code == found["exit_code"] == 2 and found["error"].startswith("usage: ") and found["mend"]


@pytest.mark.parametrize("word", ["critique.few_shot=true", "critique.k=9"])
def test_critique_settings_that_cannot_be_honoured_are_refused_before_anything(run, word: str, tmp_path: Path) -> None:
    code, _, err = run("run", "--out", str(tmp_path / "out"), "critique.policy=random", word)
    assert code == 2 and word.split("=")[0] in err and not (tmp_path / "out").exists()


def test_an_empty_prompt_file_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("prompt\n")
    code, _, err = run("run", "--prompts", str(tmp_path / "p.csv"), "--out", str(tmp_path / "out"))
    assert code == 2 and "at least one prompt" in err
    assert not (tmp_path / "out").exists()


def test_init_writes_files_that_check_and_never_overwrites(run, tmp_path: Path) -> None:
    assert run("init", str(tmp_path / "mine"))[0] == 0
    assert run("check", str(tmp_path / "mine/constitution.md"))[0] == 0
    code, out, _ = run("run", "--config", str(tmp_path / "mine/run.yaml"), "--print-config", "--json")
    assert code == 0 and json.loads(out)["constitution"].endswith("constitution.md")
    code, _, err = run("init", str(tmp_path / "mine"))
    assert code == 2 and "expected no file" in err


def test_init_in_a_folder_whose_name_yaml_would_read_otherwise(run, tmp_path: Path) -> None:
    folder = tmp_path / "a: b # c"
    assert run("init", str(folder))[0] == 0
    code, out, err = run("run", "--config", str(folder / "run.yaml"), "--print-config", "--json")
    assert code == 0, err
    assert json.loads(out)["constitution"] == str(folder / "constitution.md")


@pytest.mark.slow
@pytest.mark.parametrize("words", [("check", "trading"), ("schema", "pair", "--json")])
@pytest.mark.parametrize("stdout", [">&-", ">/dev/full", "| true"])
def test_a_lost_standard_output_is_no_traceback(words: tuple[str, ...], stdout: str) -> None:
    command = f"{sys.executable} -m solon.cli.main {' '.join(words)} {stdout}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert done.returncode == (2 if "full" in stdout else 0)


@pytest.mark.parametrize("temperature", ["-1", "nan", "inf"])
def test_a_talk_refuses_a_temperature_that_is_none(run, temperature: str) -> None:
    code, _, err = run("chat", "nano", "--temperature", temperature)
    assert code == 2 and "temperature: expected" in err and "mend:" in err


@pytest.mark.slow
def test_a_talk_takes_bytes_that_are_no_utf8() -> None:
    command = f"printf 'Hello \\xff\\n' | {sys.executable} -m solon.cli.main chat nano --temperature 0"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Traceback" not in done.stderr and len(done.stdout) > len("you> you> \n")


def test_a_schema_of_nothing_names_the_mend(run) -> None:
    code, _, err = run("schema", "zzz")
    assert code == 2 and "mend:" in err


def test_the_printed_configuration_is_what_would_run_and_can_be_run(run, tmp_path: Path) -> None:
    code, printed, _ = run("run", "--print-config", "train.dpo.beta=0.2")
    assert code == 0 and "beta: 0.2" in printed and printed.count("max_new_tokens: 96") == 4  # nano's replies are short
    (tmp_path / "all.yaml").write_text(printed)
    assert run("run", "--config", str(tmp_path / "all.yaml"), "--print-config")[1] == printed


@pytest.mark.slow
def test_diff_exits_1_when_something_changed(run) -> None:
    assert run("diff", "five-laws", "five-laws")[0] == 0
    code, out, _ = run("diff", "five-laws", "contemplative", "--json")
    assert code == 1 and json.loads(out)["changes"]


@pytest.mark.parametrize("name", ["config", "constitution", "prompt", "pair", "dropped", "evaluation"])
def test_schemas_are_json_schema(run, name: str) -> None:
    import jsonschema

    code, out, _ = run("schema", name)
    assert code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


@pytest.mark.slow
def test_another_configuration_in_the_folder_is_refused(run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("constitution: other\n")
    code, _, err = run("run", "--out", str(tmp_path))
    assert code == 2 and "another one" in err


def test_help_is_quick() -> None:
    """Start-up imports neither torch nor transformers; half a second is measured in the benchmarks, not here."""
    code = "import sys, solon.cli.main; print([m for m in ('torch', 'transformers', 'scipy', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_signals_leave_with_their_code(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = warm_solon(tmp_path, "run", "--out", str(tmp_path / "run"), "--json")
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/journal.sqlite").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    process.send(number)
    assert process.wait(60) == code, process.err
    assert json.loads(process.out)["exit_code"] == code
    assert "the same command goes on" in process.err
    assert not (tmp_path / "run/pairs.jsonl").exists()


def test_every_verb_but_the_talk_offers_json() -> None:
    """`--json` is promised for every verb; only `chat`, which is a conversation, has none."""
    import typer

    def leaves(command, words=()):
        inner = getattr(command, "commands", None)
        return [(words, command)] if inner is None else [x for n, c in inner.items() for x in leaves(c, (*words, n))]

    lacking = [
        " ".join(words)
        for words, command in leaves(typer.main.get_command(cli.app))
        if not any("--json" in parameter.opts for parameter in command.params)
    ]
    assert lacking == ["chat"]


@pytest.mark.parametrize("words", [("schema", "--json"), ("schema", "pair", "--json"), ("init", "mine", "--json")])
def test_small_verbs_print_one_object(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run(*words)
    assert code == 0 and isinstance(json.loads(out), dict)


def test_a_wrong_word_in_a_constitution_names_the_choices_and_the_mend(run, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("solon: 1\nid: y\nversion: 1\ntitle: T\nprecedence: sideways\nlimits:\n  max_position_size_pct: 20\n")
    code, _, err = run("check", str(path))
    assert code == 2 and "c.yaml:5: precedence: expected one of ordered, weighed, got 'sideways'" in err and "mend: " in err
