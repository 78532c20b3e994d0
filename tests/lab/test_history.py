"""Going back in part, finding what broke, out and in of the store, out of memory, the page, and the command line."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from solon import lab
from solon.checkpoints import Store
from solon.checkpoints.exchange import export_folder, import_folder
from solon.cli.lab import app
from solon.errors import EnvironmentRefused, InputError, SolonError
from solon.lab.dashboards import as_text, dashboard
from solon.lab.page import as_html
from tests.lab import tiny
from tests.lab.test_experiments import O_PROJ, bits, falling

NORM = "model.norm.weight"


def line(store: Store, model: Any, count: int = 6) -> list[str]:
    """Checkpoints with the norm at 1, 2, 3, ..."""
    names = []
    for number in range(1, count + 1):
        with torch.no_grad():
            model.model.norm.weight.fill_(number)
            if number == 3:
                model.model.layers[0].mlp.up_proj.weight.mul_(2)
        names.append(store.save(model, metadata={"purpose": f"step {number}"}))
    return names


def test_blame(model: Any) -> None:
    store = Store("s")
    with lab.experiment(model, test=falling(3.0, 2.0), store=store, name="first") as edit:
        edit.scale("lm_head.weight", 1.1)
    names = line(store, model, 4)
    assert lab.blame(store, NORM)["checkpoint"] == names[3]
    assert lab.blame(store, NORM, names[1])["checkpoint"] == names[1]
    assert lab.blame(store, "model.layers.0.mlp.up_proj.weight")["checkpoint"] == names[2]
    found = lab.blame(store, "model.embed_tokens.weight")
    assert found["checkpoint"] == edit.checkpoint
    assert found["aliases"] == ["lm_head.weight"]
    assert [record["method"] for record in found["edits"]] == ["scale"]
    assert lab.blame(store, "model.layers.1.mlp.up_proj.weight")["first"]


@pytest.mark.parametrize("broken", [2, 3, 5, 6])
def test_bisect_finds_the_first_bad(model: Any, broken: int) -> None:
    store = Store("s")
    names = line(store, model)
    tested: list[str] = []

    def passes(name: str) -> bool:
        tested.append(name)
        return bool(store.tensor(name, NORM)[0] < broken)

    found = lab.bisect(store, names[0], names[-1], passes)
    assert (found["last_good"], found["first_bad"]) == (names[broken - 2], names[broken - 1])
    assert len(tested) <= 5
    with pytest.raises(InputError, match="expected the first to pass"):
        lab.bisect(store, names[0], names[-1], lambda name: True)
    with pytest.raises(InputError, match="older"):
        lab.bisect(store, names[3], names[1], passes)


def test_which_tensor_broke_it(model: Any) -> None:
    store = Store("s")
    good = store.save(model)
    guilty = ["model.layers.0.mlp.gate_proj.weight", "model.layers.1.mlp.gate_proj.weight"]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.mul_(1.5 if name in guilty else 1.01)
    bad = store.save(model)
    store.restore(good, model)
    before = bits(model)
    sizes = {name: float(p.norm()) for name, p in model.named_parameters()}

    def passes(m: Any) -> bool:
        return not all(float(dict(m.named_parameters())[name].norm()) > 1.2 * sizes[name] for name in guilty)

    assert sorted(lab.bisect_tensors(store, good, bad, model, passes)) == guilty
    assert bits(model) == before


def test_revert_takes_only_the_named_tensor(model: Any) -> None:
    store = Store("s")
    names = line(store, model, 4)
    new = lab.revert(store, names[0], [NORM])
    assert store.diff(names[3], new).names == [NORM]
    store.restore(new, model)
    assert model.model.norm.weight[0] == 1
    assert store.diff(names[0], new).names == ["model.layers.0.mlp.up_proj.weight"]
    assert store.fsck().ok
    with pytest.raises(SolonError, match="did you mean"):
        lab.revert(store, names[0], ["model.norm.weigth"])


def test_export_loads_with_transformers_tied_and_equal(model: Any, folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    store = Store("s")
    with torch.no_grad():
        model.model.norm.weight.fill_(3)
    name = store.save(model)
    for shard in (5 * 10**9, 30_000):
        out = export_folder(store, name, tmp_path / f"out{shard}", like=folder, shard_bytes=shard)
        loaded = AutoModelForCausalLM.from_pretrained(out)
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
        assert bits(loaded) == bits(model)
    assert len(list(out.glob("*.safetensors"))) > 1
    with pytest.raises(InputError, match="empty"):
        export_folder(store, name, out)


def test_import_shares_chunks(folder: Path, tmp_path: Path) -> None:
    store = Store("s")
    name = import_folder(store, folder, tag="base")
    before = store.disk_usage()["chunks"]
    import_folder(store, folder)
    assert store.disk_usage()["chunks"] == before
    assert store.log()[0].baseline
    assert bits(tiny.model()) == {**bits(tiny.model())}
    fresh = tiny.model(5)
    store.restore(name, fresh)
    assert bits(fresh) == bits(tiny.model())
    plain = export_folder(store, name, tmp_path / "plain")
    raw = import_folder(store, plain / "model.safetensors")
    assert store.tensor(raw, NORM).tolist() == [1.0] * 32
    with pytest.raises(InputError, match="safetensors"):
        import_folder(store, tmp_path)


# -- emergencies ----


@pytest.mark.slow
def test_out_of_memory_halves_the_batch_then_moves_then_gives_up() -> None:
    tried: list[int] = []

    def action(size: int) -> str:
        tried.append(size)
        if size > 2:
            raise torch.OutOfMemoryError("full")
        return "done"

    assert lab.with_less_memory(action, 8) == "done"
    assert tried == [8, 4, 2]
    moved: list[int] = []

    def hungry(size: int) -> str:
        if not moved:
            raise MemoryError
        return "on the CPU"

    assert lab.with_less_memory(hungry, 1, to_cpu=lambda: moved.append(1)) == "on the CPU"

    def never(size: int) -> None:
        raise MemoryError

    with pytest.raises(EnvironmentRefused, match="batches of 1"):
        lab.with_less_memory(never, 1, to_cpu=lambda: None)


def test_moving_keeps_ties_and_optimizer(model: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = bits(model)
    lab.move_to_cpu(model)
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in model.parameters()}
    assert bits(model) == before


def test_the_fallback_chain(model: Any, folder: Path) -> None:
    store = Store("s")
    first = store.save(model)
    wanted = bits(model)
    with torch.no_grad():
        model.model.norm.weight.fill_(2)
    second = store.save(model)
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    store.save(model)  # poisoned: never chosen
    newest = sorted((store.path / "packs").iterdir())[1]
    newest.write_bytes(newest.read_bytes()[:100])
    restored, steps = lab.restore_any(Store("s"), model, second)
    assert restored == first
    assert len(steps) == 2
    assert bits(model) == wanted
    for pack in (store.path / "packs").iterdir():
        pack.write_bytes(b"")
    with torch.no_grad():
        model.model.norm.weight.fill_(5)
    with pytest.raises(SolonError, match="load the base weights"):
        lab.restore_any(Store("s"), model)
    assert lab.restore_any(Store("s"), model, base=lab.ModelManager(str(folder)).load_weights_into)[0] == "base weights"
    assert bits(model) == wanted


# -- dashboard and command line ----


class Checker(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href")]


def test_page_is_static_and_escaped(model: Any) -> None:
    store = Store("s")
    with lab.experiment(model, test=falling(3.0, 2.0), store=store, name="<script>alert(1)</script>") as edit:
        edit.scale(O_PROJ, 1.5)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    safety = lab.SafetyMonitor()
    board = dashboard(store, model, safety)
    assert board["weights"] == {"nan_count": 1, "inf_count": 0}
    assert board["health"]["status"] == "CRITICAL"
    page = Checker()
    page.feed(as_html(board))
    assert "script" not in page.tags
    assert page.links == []
    titles = re.findall(r'class="cell[^>]* title="([^":]*)', as_html(board))
    assert sorted(titles) == sorted(layer["name"] for layer in board["layers"])
    assert as_html(board).count('class="cell sick"') == 2  # the tensor and the key
    text = as_text(board)
    assert edit.checkpoint in text
    assert "1 NaN" in text
    json.dumps(board, default=str)
    growth = {layer["name"]: layer["growth"] for layer in board["layers"]}
    assert growth[O_PROJ] == pytest.approx(1.5)


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=True)
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.stdout


@pytest.mark.slow
def test_command_line(model: Any, folder: Path, tmp_path: Path) -> None:
    store = Store("s")
    names = line(store, model, 3)
    at = ("--store", "s")
    assert names[2] in run("log", *at)
    assert [c["id"] for c in json.loads(run("log", *at, "--json"))["checkpoints"]] == names
    assert "tied model.embed_tokens.weight = lm_head.weight" in run("show", "head", *at)
    assert NORM in run("diff", names[0], names[1], *at, code=1)
    run("diff", names[0], names[0], *at)
    assert names[2] in run("blame", NORM, *at)
    run("tag", names[0], "start", *at)
    assert store.tags() == {"start": names[0]}
    assert "checkpoint_" in run("revert", "start", NORM, *at)
    assert json.loads(run("fsck", *at, "--json"))["ok"]
    assert json.loads(run("du", *at, "--json"))["checkpoints"] == 4
    assert "verified" in run("verify", "start", *at)
    assert "differs" in run("verify", names[2], "--live", str(folder), *at, code=1)
    run("export", "head", str(tmp_path / "out"), "--hf", str(folder), *at)
    run("import", str(folder), *at, "--tag", "base")
    assert "warning: model.embed_tokens.weight = lm_head.weight: one tensor" in run("inspect", str(folder))
    assert json.loads(run("dashboard", *at, "--json"))["checkpoints"]["total"] == 5
    run("dashboard", "--html", str(tmp_path / "page.html"), *at)
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert "deleted" in run("gc", "--keep-last", "1", *at)
    assert "nothing was left open" in run("recover", *at)
    with pytest.raises(InputError, match="no checkpoint store"):
        run("log", "--store", "nowhere")


@pytest.mark.slow
def test_bisect_by_command(model: Any, folder: Path, tmp_path: Path) -> None:
    names = line(Store("s"), model, 4)
    script = tmp_path / "test.py"
    script.write_text(
        "import sys\nfrom safetensors import safe_open\n"
        "with safe_open(sys.argv[1] + '/model.safetensors', 'np') as f:\n"
        "    sys.exit(int(f.get_tensor('model.norm.weight')[0] >= 3))\n"
    )
    found = json.loads(run("bisect", names[0], names[3], "--test", f"{sys.executable} {script} {{}}", "--store", "s", "--json"))
    assert found["first_bad"] == names[2]


def test_experiment_from_a_file(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "scale_norm.py"
    script.write_text(
        f"from transformers import AutoModelForCausalLM\nmodel = AutoModelForCausalLM.from_pretrained({str(folder)!r})\n"
        f"def edit(e): e.scale({NORM!r}, 2.0)\n"
        "def test(m): return [abs(float(m.model.norm.weight[0]) - 2.0) + 0.01 * i for i in range(4)]\n"
    )
    found = json.loads(run("experiment", str(script), "--store", "s", "--json"))
    assert found["outcome"] == "kept"
    script.write_text(script.read_text().replace("2.0)\n", "0.5)\n", 1))
    assert json.loads(run("experiment", str(script), "--store", "s", "--json", code=1))["outcome"] == "rolled_back"
