"""`solon lab` as a user meets it: one JSON object, exit codes, refusals that say what to do, scripts that misbehave."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from solon.checkpoints import Store
from solon.checkpoints.errors import CorruptStore, Protected, UnknownCheckpoint, UnknownTensor
from solon.cli.lab import app
from solon.cli.main import main
from solon.errors import InputError, ModelError
from tests.lab.test_experiments import bits
from tests.lab.test_history import NORM, line, run

AT = ("--store", "s")


def script(path: Path, folder: Path, edit: str, test: str = "[1.0, 1.1, 1.2]", more: str = "") -> Path:
    path.write_text(
        "from transformers import AutoModelForCausalLM\n"
        f"model = AutoModelForCausalLM.from_pretrained({str(folder)!r})\n"
        f"def edit(e):\n    print('a word on stdout')\n    {edit}\n"
        f"def test(m):\n    return {test}\n{more}"
    )
    return path


def told(*arguments: str, code: int) -> dict[str, Any]:
    """The one JSON object on stdout."""
    return json.loads(run(*arguments, *AT, "--json", code=code))


# -- experiment ----


def test_an_error_in_the_edit_is_an_outcome(folder: Path, tmp_path: Path) -> None:
    found = told("experiment", str(script(tmp_path / "broken.py", folder, f"e.scale({NORM!r}, 2.0); 1 / 0")), code=1)
    assert found["outcome"] == "errored"
    assert found["error"] == "ZeroDivisionError: division by zero"
    assert Store("s").pins() == {}
    text = run("experiment", str(tmp_path / "broken.py"), *AT, code=1)
    assert "failed (ZeroDivisionError: division by zero): the model is checkpoint_" in text
    assert "a word on stdout" not in text


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("x = 1", "model, edit is missing"),
        ("model = 3\ndef edit(e): pass", "model: expected Module, got int"),
        ("1 / 0", r"broken.py:1: expected Python that runs, got ZeroDivisionError"),
        ("def f(:", "SyntaxError"),
        ("import torch\nmodel = torch.nn.Linear(1, 1)\ndef edit(e): pass\nsettings = 3", "settings: expected dict"),
        ("import torch\nmodel = torch.nn.Linear(1, 1)\ndef edit(e): pass\nsettings = {'seeds': 3}", "seeds"),
        ("import torch\nmodel = torch.nn.Linear(1, 1)\ndef edit(e): pass\ndef test(m): return float('nan')", "finite"),
    ],
)
def test_a_script_that_is_none_is_refused(tmp_path: Path, source: str, match: str) -> None:
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(InputError, match=match):
        run("experiment", str(tmp_path / "broken.py"), *AT)


def started(*arguments: str) -> int:
    """`solon` in a forked process, which spares it the imports; its output goes to the files `out` and `error`."""
    child = os.fork()
    if child:
        return child
    code: Any = 1
    try:
        for number, name in ((1, "out"), (2, "error")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.argv = ["solon", *arguments]
        main()
    except SystemExit as leaving:
        code = leaving.code
    finally:
        sys.stderr.flush()
        os._exit(code)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_signals_from_outside(folder: Path, tmp_path: Path, number: int, code: int) -> None:
    file = script(tmp_path / "slow.py", folder, f"e.scale({NORM!r}, 2.0); Path('edited').touch(); time.sleep(60)")
    file.write_text("import time\nfrom pathlib import Path\n" + file.read_text())
    child = started("lab", "experiment", str(file), *AT, "--json")
    while not Path("edited").exists():
        time.sleep(0.02)
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code
    assert Path("out").read_text() == ""
    store = Store("s")
    if number == signal.SIGKILL:
        (found,) = told("recover", "--out", str(tmp_path / "back"), "--hf", str(folder), code=0)["recovered"]
        assert (found["name"], found["verified"]) == ("slow", True)
        assert "verified; written to" in found["text"]
        assert bits(loaded(tmp_path / "back")) == bits(loaded(folder))
        assert told("recover", code=0) == {"recovered": []}
    else:
        assert "bit for bit" in Path("error").read_text()
        assert store.journal.records("experiment_close")[0]["outcome"] == "errored"
    assert store.pins() == {}


def test_a_damaged_baseline_stays_open_and_is_told(model: Any) -> None:
    store = Store("s")
    first = store.save(model, metadata={"state": "baseline"})
    store.pin(first, "experiment-1")
    gone = {"pid": 2**30, "started": 0.0, "host": __import__("platform").node()}
    store.journal.append({"kind": "experiment_open", "experiment": "experiment-1", "baseline": first, "process": gone})
    pack = next((store.path / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[100] ^= 1
    pack.write_bytes(data)
    (found,) = told("recover", code=1)["recovered"]
    assert not found["verified"]
    assert "does not match its hash" in found["error"]
    assert Store("s").pins() == {"experiment-1": first}


# -- out and in ----


def test_export_for_transformers_needs_no_other_model(model: Any, folder: Path, tmp_path: Path) -> None:
    store = Store("s")
    with torch.no_grad():
        model.lm_head.weight[0] += 1
    store.save(model)
    assert told("export", "head", str(tmp_path / "plain"), code=0)["files"] == ["model.safetensors"]
    found = told("export", "head", str(tmp_path / "whole"), "--hf", code=0)
    assert "config.json" in found["files"]
    assert found["notes"]
    assert bits(loaded(tmp_path / "whole")) == bits(model)
    found = told("export", "head", str(tmp_path / "talks"), "--hf", str(folder), code=0)
    assert "tokenizer.json" in found["files"]
    assert not found["notes"]


def loaded(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def test_a_lost_tie_stays_lost_in_an_export(model: Any, folder: Path, tmp_path: Path) -> None:
    """The base's configuration says tied; loading by it would silently drop the separate output head."""
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone() * 2)
    Store("s").save(model)
    for name, base in (("own", []), ("like", [str(folder)])):
        run("export", "head", str(tmp_path / name), "--hf", *base, *AT)
        assert torch.equal(loaded(tmp_path / name).lm_head.weight, model.lm_head.weight)


def test_weights_are_not_rounded_by_what_a_configuration_says(model: Any, folder: Path, tmp_path: Path) -> None:
    """The base is in bfloat16, the checkpoint in float32; and a folder whose configuration is wrong is read as its files are."""
    base = tmp_path / "base"
    shutil.copytree(folder, base)
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**settings, "dtype": "bfloat16"}))
    name = Store("s").save(model)
    run("export", "head", str(tmp_path / "out"), "--hf", str(base), *AT)
    loaded = type(model).from_pretrained(tmp_path / "out")
    assert loaded.dtype is torch.float32
    assert not Store("s").changed(loaded, name)
    assert told("verify", name, "--live", str(base), code=0)["differs"] == []
    assert told("import", str(base), code=0)
    assert told("diff", name, "head", code=0)["changed"] == []


def test_a_model_of_two_dtypes_keeps_its_configurations(model: Any, tmp_path: Path) -> None:
    model = model.bfloat16()
    model.config.dtype = torch.bfloat16
    model.model.norm.float()
    Store("s").save(model)
    found = told("export", "head", str(tmp_path / "out"), "--hf", code=0)
    assert any("weights in bfloat16, float32" in note for note in found["notes"])
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


def test_an_export_that_fails_leaves_nothing(model: Any, tmp_path: Path) -> None:
    store = Store("s")
    store.save(model)
    pack = next((store.path / "packs").iterdir())
    data = bytearray(pack.read_bytes())
    data[-200] ^= 1
    pack.write_bytes(data)
    with pytest.raises(Exception, match="hash"):
        run("export", "head", str(tmp_path / "out"), *AT)
    with pytest.raises(InputError, match="--hf"):
        run("export", "head", str(tmp_path / "out"), "nano", *AT)
    with pytest.raises(ModelError):
        run("export", "head", str(tmp_path / "out"), "--hf", str(tmp_path / "nowhere"), *AT)
    assert [p for p in tmp_path.iterdir() if "out" in p.name] == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="empty or absent"):
        run("export", "head", str(tmp_path / "file"), *AT)


def test_import_takes_any_model_name() -> None:
    found = told("import", "nano", "--tag", "base", code=0)
    assert Store("s").tags() == {"base": found["id"]}
    assert Store("s").log()[0].baseline
    assert told("verify", "base", "--live", "nano", code=0)["differs"] == []


# -- names and retention ----


def test_short_names_tags_and_refusals(model: Any) -> None:
    store = Store("s")
    names = line(store, model, 3)
    assert told("show", names[1].rpartition("_")[2][:7], code=0)["id"] == names[1]
    assert told("tag", names[0], "mine", code=0) == {"tag": "mine", "id": names[0]}
    with pytest.raises(Protected):
        store.delete("mine")
    assert told("tag", "--delete", "mine", code=0)["id"] is None
    with pytest.raises(InputError, match="missing"):
        run("tag", names[0], *AT)
    with pytest.raises(UnknownCheckpoint, match="3 ids begin so"):
        run("show", "checkpoint_2", *AT)
    with pytest.raises(UnknownTensor, match="did you mean"):
        run("blame", "model.norm.weigth", *AT)
    assert told("revert", names[0], NORM, code=0)["tensors"] == [NORM]


def test_a_dry_run_says_what_would_go_and_changes_nothing(model: Any) -> None:
    store = Store("s")
    names = line(store, model, 4)
    before = sorted(p.name for p in Path("s").rglob("*"))
    found = told("gc", "--keep-last", "1", "--dry-run", code=0)
    assert found["deleted"] == names[:3]
    assert found["trashed_bytes"] > 0
    assert sorted(p.name for p in Path("s").rglob("*")) == before
    done = told("gc", "--keep-last", "1", "--grace", "0", code=0)
    assert (done["deleted"], done["trashed_packs"]) == (found["deleted"], found["trashed_packs"])
    assert [info.id for info in Store("s").log()] == names[3:]


@pytest.mark.slow
def test_bisect_by_tensors(model: Any, tmp_path: Path) -> None:
    store = Store("s")
    good = store.save(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    bad = store.save(model)
    check = tmp_path / "check.py"  # without imports that take longer than the test
    check.write_text(
        "import json, struct, sys\n"
        "data = open(sys.argv[1] + '/model.safetensors', 'rb').read()\n"
        "size, = struct.unpack('<Q', data[:8])\n"
        "at = json.loads(data[8:8 + size])['model.norm.weight']['data_offsets'][0] + 8 + size\n"
        "sys.exit(int(struct.unpack('<f', data[at:at + 4])[0] > 1.2))\n"
    )
    found = told("bisect", good, bad, "--test", f"{sys.executable} -S -E {check}", "--tensors", code=0)
    assert found["tensors"] == [NORM]
    assert len(store.log()) == 2


def test_dashboard_of_a_damaged_store_names_the_damage(model: Any, tmp_path: Path) -> None:
    store = Store("s")
    store.save(model, metadata={"state": "baseline"})
    line(store, model, 2)
    for manifest in sorted((store.path / "manifests").iterdir())[:1]:
        manifest.write_bytes(manifest.read_bytes()[:100])
    store.journal.append({"kind": "note"})
    store.journal.file.write_bytes(b"{}\n")
    board = told("dashboard", "--html", str(tmp_path / "page.html"), code=0)
    assert len(board["problems"]) == 2
    assert "Damaged" in (tmp_path / "page.html").read_text()


def test_dashboard_with_a_live_model_and_default_file(model: Any, folder: Path) -> None:
    line(Store("s"), model, 1)
    board = told("dashboard", "--html", "--model", str(folder), code=0)
    assert board["health"]["status"] == "OK"
    assert "Healthy" in Path("dashboard.html").read_text()


def test_every_verb_is_listed() -> None:
    shown = CliRunner().invoke(app, ["--help"]).stdout
    verbs = "inspect log show diff blame bisect tag revert fsck du gc export import verify experiment dashboard recover"
    for verb in verbs.split():
        assert f" {verb} " in shown


def test_inspect_against_another_model(folder: Path, tmp_path: Path) -> None:
    store = Store("s")
    model = loaded(folder)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    store.save(model)
    told("export", "head", str(tmp_path / "twice"), "--hf", code=0)
    found = json.loads(run("inspect", str(folder), "--against", str(tmp_path / "twice"), "--json"))["differences"]
    assert [(row["name"], row["relative"]) for row in found] == [(NORM, 1.0)]
    assert "1 tensors differ" in run("inspect", str(folder), "--against", str(tmp_path / "twice"))


def test_the_command_gives_the_handlers_of_its_caller_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "argv", ["solon", "--version"])
    with pytest.raises(SystemExit):
        main()
    assert {number: signal.getsignal(number) for number in before} == before


# -- damaged and foreign things ----


def weights(folder: Path, **changes: Any) -> Path:
    """The folder with other settings than its weights have."""
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, **changes}))
    return folder


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("cut", "cannot be loaded"),
        ("shapes", r"is \[256, 32\], the model has \[256, 64\]"),
        ("missing", "layers.2.input_layernorm.weight is missing"),
    ],
)
def test_a_model_that_would_be_filled_with_random_numbers_is_refused(what: str, said: str, folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    if what == "cut":
        file = other / "model.safetensors"
        file.write_bytes(file.read_bytes()[:-50])
    else:
        weights(other, **({"hidden_size": 64} if what == "shapes" else {"num_hidden_layers": 3, "layer_types": None}))
    for verb in (["inspect", str(other)], ["import", str(other), *AT]):
        with pytest.raises(ModelError, match=said):
            run(*verb)
    assert not (Path("s") / "manifests").exists() or not Store("s").log()


@pytest.mark.parametrize("names", [["", "a"], ["a..b"], ["a", "a.b"], ["__class__"], []])
def test_safetensors_that_cannot_be_a_model_are_refused_by_name(names: list[str], tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: torch.ones(2) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"cannot be a parameter's|holds no tensor"):
        run("import", str(tmp_path / "a.safetensors"), *AT)
    (tmp_path / "a.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="no whole safetensors file"):
        run("import", str(tmp_path / "a.safetensors"), *AT)


def test_what_is_damaged_is_told_of_and_not_hidden(model: Any) -> None:
    store = Store("s")
    name = store.save(model, tag="good")
    (Path("s") / "refs/tags/folder").mkdir()
    shutil.rmtree(Path("s") / "trash")
    assert told("gc", "--grace", "0", code=0)["deleted"] == []
    for pack in (Path("s") / "packs").iterdir():
        pack.write_bytes(pack.read_bytes()[:-7])
    assert told("log", code=0) == {"checkpoints": [], "unlisted": [name]}
    assert f"damaged, not listed: {name}" in run("log", *AT)
    assert told("dashboard", code=0)["problems"] == [f"{name}: damaged or incomplete, not listed; run fsck"]
    assert told("blame", NORM, code=0)["checkpoint"] == name
    with pytest.raises(CorruptStore):  # not a new checkpoint that nobody can restore
        run("revert", "good", NORM, *AT)


@pytest.mark.parametrize(("more", "edit"), [("sys.exit(0)", "pass"), ("", "sys.exit(0)")])
def test_a_script_that_leaves_early_has_kept_nothing(more: str, edit: str, folder: Path, tmp_path: Path) -> None:
    path = script(tmp_path / "x.py", folder, edit, more=more)
    path.write_text("import sys\n" + path.read_text())
    if more:
        with pytest.raises(InputError, match="expected definitions, got an exit"):
            run("experiment", str(path), *AT)
    else:
        found = told("experiment", str(path), code=1)
        assert (found["outcome"], found["error"]) == ("errored", "SystemExit: 0")
