"""The six tests of a run, on a small whole run folder: each damage turns the test that looks for it to FAIL, and is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from solon.governance.drills import Check
from solon.run import safety

PROVENANCE = {"model": "m", "template_hash": "t", "sampling": {}, "seed": 0, "constitution_hash": "c"}
BASE = "b" * 64


def words(content: str, role: str = "user") -> list[dict[str, str]]:
    return [{"role": role, "content": content}]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def sign_for(run: Path, **changes: Any) -> None:
    """A manifest that fits the folder as it is."""
    files = [
        path.relative_to(run).as_posix() for path in sorted(run.rglob("*")) if path.is_file() and path.name != "manifest.json"
    ]
    hashes = {name: sha256((run / name).read_bytes()).hexdigest() for name in files}
    begun = {name: hashes.pop(name) for name in ("config.yaml", "constitution.md", "prompts.jsonl")}
    models = {"trained": str(run.parent / "base"), "trained_identity": BASE}
    manifest = {"inputs": {**begun, "/elsewhere/mine.jsonl": "0" * 64}, "outputs": hashes, "models": models, **changes}
    (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run as it is when all is well, its model of 2 layers and its base beside it."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import LlamaConfig, LlamaForCausalLM

    place = tmp_path_factory.mktemp("safety")
    run = place / "run"
    run.mkdir()
    for name in ("config.yaml", "constitution.md", "prompts.jsonl", "summary.json", "report.html"):
        (run / name).write_text(f"{name}\n", encoding="utf-8")
    write_rows(
        run / "pairs.jsonl",
        [
            {
                "prompt": words(f"May I borrow {n} ladders?"), "chosen": words("No.", "assistant"),
                "rejected": words("Yes.", "assistant"), "principle_id": "p", "source": "test", "kind": "pair",
                "provenance": {**PROVENANCE, "prompt_id": f"t{n}", "group": f"trained-{n}"},
            }
            for n in range(4)
        ],
    )  # fmt: skip
    for name in ("base", "tuned"):
        asked = [{"group": f"held-{n}", "split": "benign", "messages": words(f"Where are {n} lamps?")} for n in range(4)]
        write_rows(run / f"evaluation/{name}.jsonl", asked)
    (run / "adapter").mkdir()
    (run / "adapter/adapter_model.safetensors").write_bytes(b"weights")
    (run / "adapter/solon_base.json").write_text(json.dumps({"model": BASE}), encoding="utf-8")
    torch.manual_seed(0)
    sizes = {"vocab_size": 32, "hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2, "num_key_value_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_hidden_layers=2, tie_word_embeddings=True))
    for folder in (run / "model", place / "base"):
        model.save_pretrained(folder)
        Tokenizer(WordLevel({"a": 0}, unk_token="a")).save(str(folder / "tokenizer.json"))
    sign_for(run)
    return run


@pytest.fixture
def run(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to damage. Loss and generation need a model that speaks; they are tested with whole runs."""

    def said(check: Check, _: Path) -> None:
        check.expect(True, "not looked at here")

    monkeypatch.setattr(safety, "_loss", said)
    monkeypatch.setattr(safety, "_generates", said)
    shutil.copytree(whole.parent / "base", tmp_path / "base")
    return Path(shutil.copytree(whole, tmp_path / "run"))


def failing(run: Path) -> dict[str, str]:
    """The tests that did not pass, with what they saw."""
    return {check.name: " ".join(check.evidence) for check in safety._six(run) if check.status != "PASS"}


def test_a_whole_run_passes(run: Path) -> None:
    sign_for(run)
    assert failing(run) == {}


@pytest.mark.parametrize("name", ["config.yaml", "prompts.jsonl", "constitution.md", "pairs.jsonl", "evaluation/tuned.jsonl"])
def test_changed_bytes_are_seen(run: Path, name: str) -> None:
    with (run / name).open("a", encoding="utf-8") as file:
        file.write("\n")
    found = failing(run)
    assert list(found) == ["data integrity"] and f"1 differ from the manifest: {name}" in found["data integrity"]


def test_what_the_manifest_does_not_name_is_seen(run: Path) -> None:
    (run / "adapter/adapter_model.bin").write_bytes(b"others")
    assert "1 files that the manifest does not name: adapter/adapter_model.bin" in failing(run)["data integrity"]


def test_rows_that_teach_nothing_are_seen(run: Path) -> None:
    rows = rows_of(run / "pairs.jsonl")
    rows[0]["rejected"] = rows[0]["chosen"]
    write_rows(run / "pairs.jsonl", rows)
    sign_for(run)
    assert "1 have chosen equal to rejected" in failing(run)["data integrity"]


@pytest.mark.parametrize("side", ["base", "tuned"])
@pytest.mark.parametrize("change", [str, str.upper, lambda text: text.replace("?", " !!")])
def test_prompts_in_training_and_evaluation_are_seen(run: Path, side: str, change: Callable[[str], str]) -> None:
    rows = rows_of(run / f"evaluation/{side}.jsonl")
    rows[0]["messages"] = words(change("May I borrow 2 ladders?"))
    write_rows(run / f"evaluation/{side}.jsonl", rows)
    sign_for(run)
    found = failing(run)
    assert list(found) == ["split leakage"] and "1 of 5 evaluated prompts were trained on" in found["split leakage"]


def test_groups_on_both_sides_are_seen_unless_reworded_on_purpose(run: Path) -> None:
    rows = rows_of(run / "evaluation/base.jsonl")
    rows[0]["group"] = "trained-2"
    write_rows(run / "evaluation/base.jsonl", rows)
    sign_for(run)
    assert "1 groups are on both sides" in failing(run)["split leakage"]
    rows[0]["split"] = "unseen_wording"
    write_rows(run / "evaluation/base.jsonl", rows)
    sign_for(run)
    assert failing(run) == {}


def damage_tensors(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / "model/model.safetensors")
    change(tensors)
    save_file(tensors, run / "model/model.safetensors", metadata={"format": "pt"})
    sign_for(run)


def test_tensors_that_are_missing_would_be_random_and_fail(run: Path) -> None:
    damage_tensors(run, lambda tensors: tensors.pop("model.layers.0.mlp.down_proj.weight"))
    assert "1 tensors of the model's files are missing: model.layers.0.mlp" in failing(run)["model loads"]


def test_values_that_are_not_finite_fail(run: Path) -> None:
    damage_tensors(run, lambda tensors: tensors["model.norm.weight"].fill_(float("nan")))
    assert "1 tensors with values that are not finite" in failing(run)["model loads"]


def test_another_number_of_parameters_fails(run: Path) -> None:
    config = json.loads((run / "model/config.json").read_text(encoding="utf-8"))
    (run / "model/config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}), encoding="utf-8")
    sign_for(run)
    seen = failing(run)["model loads"]
    assert "9 tensors of the model's files are unexpected" in seen and "NOT AS EXPECTED: the base holds" in seen


def test_a_model_that_a_finished_run_has_lost_fails(run: Path) -> None:
    shutil.rmtree(run / "model")
    found = {check.name: check.status for check in safety._six(run)}
    assert found["model loads"] == found["data integrity"] == "FAIL"


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_manifest_that_says_nothing_fails(run: Path, text: str) -> None:
    (run / "manifest.json").write_text(text, encoding="utf-8")
    assert {"data integrity", "model loads", "adapter hash"} <= set(failing(run))


def test_an_adapter_with_other_bytes_or_of_another_base_fails(run: Path) -> None:
    (run / "adapter/adapter_model.safetensors").write_bytes(b"other weights")
    assert "1 of 2 adapter files have the manifest's hash; others: adapter/adapter_model" in failing(run)["adapter hash"]
    (run / "adapter/solon_base.json").write_text(json.dumps({"model": "d" * 64}), encoding="utf-8")
    sign_for(run)
    assert f"trained on base {'d' * 16}; the run's is {'b' * 16}" in failing(run)["adapter hash"]
