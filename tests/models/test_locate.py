"""What a MODEL argument may be, and what is said when it is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from solon.errors import ModelError
from solon.models import Completion, Model, Request, Scripted, identity_of, locate, open_model, resolve_path
from tests.models.conftest import request


def test_a_folder_resolves_to_itself(tiny_folder: Path) -> None:
    assert resolve_path(str(tiny_folder)) == tiny_folder.resolve()


def test_servers_and_their_model() -> None:
    found = locate("http://a:8000/v1,http://b:8000/v1/#org/name")
    assert found.urls == ("http://a:8000/v1", "http://b:8000/v1") and found.served == "org/name"


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "an empty one"),
        ("scripted", "test double"),
        ("no/such/folder", "expected a model folder"),
        ("./none", "expected a model folder"),
        ("runs/none", "expected a model folder"),
        ("http://a:8000/v1", "got no name of a model"),
        ("http:///v1#m", "expected http://host:port/v1"),
        ("base+nowhere", "expected an adapter folder after"),
        ("two words", "expected a model folder"),
    ],
)
def test_what_names_nothing_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ModelError, match=said) as refused:
        open_model(spec)
    assert refused.value.mend and refused.value.exit_code == 2


def test_folders_that_are_no_models(tmp_path: Path, tiny_folder: Path) -> None:
    def says(folder: Path) -> str:
        with pytest.raises(ModelError) as refused:
            open_model(str(folder))
        return str(refused.value)

    (tmp_path / "notes").mkdir()
    assert "is empty" in says(tmp_path / "notes")
    (tmp_path / "notes" / "a.txt").touch()
    assert "holds a.txt" in says(tmp_path / "notes")
    assert "got a file" in says(tmp_path / "notes" / "a.txt")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "config.json").write_bytes((tiny_folder / "config.json").read_bytes())
    assert "expected weights" in says(tmp_path / "half")
    (tmp_path / "half" / "model.safetensors").touch()
    assert "expected tokenizer files" in says(tmp_path / "half")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert "expected a run with model/ or adapter/" in says(tmp_path / "run")


def test_a_misspelt_folder_gets_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "qwen-small").mkdir()
    with pytest.raises(ModelError, match="did you mean 'qwen-small'"):
        open_model(str(tmp_path / "qwen-smal"))


def test_an_unreachable_hub_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unplugged(*_: object, **__: object) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unplugged)
    with pytest.raises(ModelError, match="hub could not be reached"):
        open_model("some-org/some-model")


def test_training_needs_full_weights(tmp_path: Path, tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="got a server"):
        resolve_path("http://a:1/v1#m")
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "x"}')
    with pytest.raises(ModelError, match="adapter"):
        resolve_path(f"{tiny_folder}+{tmp_path}")


def test_a_plus_in_a_folder_name_is_no_adapter(tmp_path: Path) -> None:
    (tmp_path / "a+b").mkdir()
    with pytest.raises(ModelError, match="is empty"):
        open_model(str(tmp_path / "a+b"))


def test_scripted_replies_in_turn_or_by_function_and_is_tagged() -> None:
    double = Scripted(["one", "two words and more"])
    assert isinstance(double, Model) and double.scripted
    first, second, third = double.generate([request(0, "a"), request(1, "b", max_new_tokens=2), request(2, "c")])
    assert first == Completion(id="r000", text="one", prompt_tokens=1, completion_tokens=1, scripted=True)
    assert (second.text, second.finish, third.finish) == ("two words", "length", "error")
    assert "one more" in third.error and third.scripted

    def echo(asked: Request) -> str:
        return asked.messages[-1].content.upper()

    assert Scripted(echo).generate([request(0, "a")])[0].text == "A"
    with pytest.raises(ModelError, match="log-probabilities"):
        double.logprobs([])


def test_importing_models_imports_no_torch() -> None:
    code = (
        "import sys, solon.models, solon.models.http, solon.models.recorded\n"
        "assert not {'torch', 'transformers', 'aiohttp'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("spec", ["nano", "FOLDER"])
def test_identity_is_known_without_loading(spec: str, tiny_folder: Path) -> None:
    spec = spec.replace("FOLDER", str(tiny_folder))
    assert identity_of(spec) == open_model(spec).identity


def test_a_served_models_identity_needs_no_server() -> None:
    assert identity_of("http://b:1/v1,http://a:1/v1#m") == identity_of("http://a:1/v1,http://b:1/v1#m")
    assert identity_of("http://a:1/v1#m") != identity_of("http://a:1/v1#n")
