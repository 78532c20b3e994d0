"""The pairs step: what it says when a model gives nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from solon.errors import CheckFailed, ConfigError, ModelError
from solon.models import Scripted
from solon.models.base import Completion, Message, Request, Sampling
from solon.models.recorded import Recorded
from solon.run.config import load_config
from solon.run.folder import RunFolder
from solon.run.generate import generate_pairs
from solon.run.pipeline import begin
from solon.run.prepare import prepare
from solon.run.progress import Reporter
from tests.run.small import prompt_file


class Silent:
    """A model that always answers the same, or always fails."""

    name, identity, scripted = "silent", "silent", False

    def __init__(self, **answer: str) -> None:
        self.answer = answer

    def converse(self, dialogues, progress=None):
        for index, dialogue in enumerate(dialogues):
            try:
                request = next(dialogue)
                while True:
                    request = dialogue.send(Completion(id=request.id, **self.answer))  # type: ignore[arg-type]
            except StopIteration as stop:
                yield index, stop.value


def job(tmp_path: Path):
    return prepare(load_config(None, {"prompts": str(prompt_file(tmp_path, 12, 4)), "out": str(tmp_path / "run")}))


@pytest.mark.slow
def test_a_model_that_never_answers_is_the_environments_fault(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected replies, got none in .* prompts; the first: out of order") as caught:
        generate_pairs(
            job(tmp_path),
            Silent(text="", finish="error", error="out of order"),
            RunFolder(tmp_path / "run"),
            Reporter(quiet=True),
        )
    assert caught.value.exit_code == 2
    assert (tmp_path / "run/dropped.jsonl").read_text().count("model_error") == 12


@pytest.mark.slow
def test_replies_that_make_no_pair_are_an_answer(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="expected at least one accepted pair") as caught:
        generate_pairs(job(tmp_path), Silent(text="No conflict."), RunFolder(tmp_path / "run"), Reporter(quiet=True))
    assert caught.value.exit_code == 1


@pytest.mark.slow
def test_a_run_folder_that_was_moved_goes_on_where_it_is(tmp_path: Path) -> None:
    first = job(tmp_path)
    begin(first, RunFolder(tmp_path / "run"))
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = replace(first, config=first.config.model_copy(update={"out": str(tmp_path / "moved")}))
    begin(moved, RunFolder(tmp_path / "moved"))
    RunFolder(tmp_path / "moved").finish("pairs", "inputs", ["config.yaml"])
    other = replace(first, config=first.config.model_copy(update={"seed": 1}))
    with pytest.raises(ConfigError, match="'seed: 0' there, 'seed: 1' now"):
        begin(other, RunFolder(tmp_path / "moved"))


@pytest.mark.slow
def test_a_run_that_ended_before_its_first_reply_leaves_the_folder_free(tmp_path: Path) -> None:
    first = job(tmp_path)
    begin(first, RunFolder(tmp_path / "run"))
    other = replace(first, config=first.config.model_copy(update={"seed": 1}))
    begin(other, RunFolder(tmp_path / "run"))
    asked = Request(id="1", messages=(Message(role="user", content="Hello!"),), sampling=Sampling(), seed=1)
    recorded = Recorded(Scripted(["Hello."]), tmp_path / "run/journal.sqlite")
    recorded.generate([asked])
    recorded.close()
    with pytest.raises(ConfigError, match="'seed: 1' there, 'seed: 0' now"):
        begin(first, RunFolder(tmp_path / "run"))
