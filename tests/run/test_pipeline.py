"""The whole main job on the embedded model, small; and what a second call of the same command does."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.run.small import finish, prompt_file
from tests.warm import solon

pytestmark = pytest.mark.slow
SETTINGS = ("evaluation.builtin=false", "train.gate.prompts=10", "train.sft.epochs=1", "split.test=0.25")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("pipeline")
    words = ["run", "--prompts", str(prompt_file(folder, 24, 40)), "--out", str(folder / "run"), "--json", *SETTINGS]
    return folder, finish(*words)


def test_the_run_folder_is_whole(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = ran
    assert done.returncode in (0, 1), done.stderr
    run = folder / "run"
    for name in (
        "config.yaml", "manifest.json", "pairs.jsonl", "dropped.jsonl", "journal.sqlite", "adapter", "model",
        "evaluation/base.jsonl", "evaluation/sft.jsonl", "evaluation/tuned.jsonl", "summary.json", "report.html",
    ):  # fmt: skip
        assert (run / name).exists(), name
    printed, stored = json.loads(done.stdout), json.loads((run / "summary.json").read_text())
    assert printed["metrics"] == stored["metrics"] and printed["verdict"]
    assert {m["name"] for m in stored["metrics"]} >= {"unsafe_compliance", "over_refusal", "off_topic", "principle_adherence"}
    assert all({"value", "n", "low", "high"} <= set(m["base"]) for m in stored["metrics"] if m["base"]["value"] is not None)
    assert isinstance(stored["no_learning"], bool)


def test_what_is_recorded_is_true(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from solon.run.folder import sha256_file

    run = ran[0] / "run"
    manifest = json.loads((run / "manifest.json").read_text())
    assert {"adapter/adapter_model.safetensors", "model/model.safetensors", "report.html"} <= set(manifest["outputs"])
    for name, digest in manifest["outputs"].items():
        assert sha256_file(run / name) == digest, name
    own = str(ran[0] / "small.jsonl")
    assert {"config.yaml", "constitution.md", "prompts.jsonl", own} == set(manifest["inputs"])
    for name, digest in manifest["inputs"].items():
        assert sha256_file(run / name) == digest, name
    assert {"wall_seconds", "model_seconds", "everything_else_seconds"} <= set(manifest["timings"])
    assert manifest["versions"]["torch"] and manifest["hardware"]["cores"]


def test_every_file_fits_its_schema(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    import jsonschema

    from solon.run.schemas import schema_of

    run = ran[0] / "run"
    for name in ("manifest.json", "summary.json"):
        jsonschema.validate(json.loads((run / name).read_text()), schema_of(name))
    for name in ("prompts.jsonl", "pairs.jsonl", "dropped.jsonl", "evaluation/base.jsonl", "evaluation/tuned.jsonl"):
        check = jsonschema.Draft202012Validator(schema_of(name))
        for line in (run / name).read_text().splitlines():
            check.validate(json.loads(line))


def test_training_and_test_groups_are_disjoint(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    run = ran[0] / "run"
    trained = {json.loads(line)["provenance"]["group"] for line in (run / "pairs.jsonl").read_text().splitlines()}
    tested = {json.loads(line)["group"] for line in (run / "evaluation/tuned.jsonl").read_text().splitlines()}
    assert trained and tested and not trained & tested


def test_the_model_loads_on_its_own_and_differs_from_nano(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from solon.models import resolve_path

    tuned = AutoModelForCausalLM.from_pretrained(ran[0] / "run/model", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(resolve_path("nano"), dtype=torch.float32)
    assert tuned.get_input_embeddings().weight.data_ptr() == tuned.get_output_embeddings().weight.data_ptr()
    moved = [
        name for (name, a), (_, b) in zip(tuned.named_parameters(), base.named_parameters(), strict=True) if not torch.equal(a, b)
    ]
    assert any("q_proj" in name for name in moved)


def test_a_second_call_does_nothing_again(ran: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    folder, first = ran
    before = {name: (folder / "run" / name).read_bytes() for name in ("pairs.jsonl", "summary.json", "evaluation/tuned.jsonl")}
    words = ["run", "--prompts", str(folder / "small.jsonl"), "--out", str(folder / "run"), "--json", *SETTINGS]
    again = solon(tmp_path, *words)
    assert again.wait() == first.returncode
    assert again.err.count("done before") == 5  # pairs, training, three evaluations
    assert all((folder / "run" / name).read_bytes() == data for name, data in before.items())


def test_the_report_is_a_function_of_the_folder(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from solon.release.report import render

    path = ran[0] / "run/report.html"
    before = path.read_bytes()
    render(ran[0] / "run")
    assert path.read_bytes() == before


def test_the_tuned_model_can_be_evaluated_by_the_name_of_its_run(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from solon.models import open_model
    from solon.models.base import Message, Request, Sampling

    asked = Request(
        id="1", messages=(Message(role="user", content="Hello!"),), sampling=Sampling(temperature=0, max_new_tokens=20)
    )
    reply = open_model(str(ran[0] / "run")).generate([asked])[0]
    assert reply.finish in ("stop", "length") and reply.text


def test_a_single_step_never_writes_over_a_run(ran: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from solon.errors import ConfigError
    from solon.run.config import load_config
    from solon.run.progress import Reporter
    from solon.run.verbs import evaluate_only, train_only

    run = ran[0] / "run"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="of a run whose evaluation would be lost"):
        evaluate_only("nano", None, load_config(None, {"out": str(run), "prompts": str(ran[0] / "small.jsonl")}), Reporter())
    with pytest.raises(ConfigError, match="of a run whose sft would be lost"):
        train_only("sft", run / "pairs.jsonl", "nano", run, [], Reporter())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
