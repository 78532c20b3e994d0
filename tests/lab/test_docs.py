"""The code of docs/lab.md runs, in its order."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from solon.checkpoints import model_health
from tests.lab import tiny

PAGE = Path(__file__).parents[2] / "docs" / "lab.md"


def test_every_block_of_the_page_runs(tokenizer: Any, folder: Path) -> None:
    names: dict[str, Any] = {
        "model": tiny.model(), "tokenizer": tokenizer, "torch": torch, "model_folder": str(folder), "model_health": model_health,
    }  # fmt: skip
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 9
    for block in blocks:
        exec(compile(block, "docs/lab.md", "exec"), names)
    assert names["edit"].outcome in ("kept", "rolled_back")
    assert names["restored"] == names["after"]
    assert Path("dashboard.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_every_verb_on_the_page_exists() -> None:
    from solon.cli.lab import app

    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}  # type: ignore[union-attr]
    named = set(
        re.findall(
            r"inspect|log|show|diff|blame|bisect|tag|revert|fsck|du|gc|export|import|verify|experiment|dashboard|recover",
            PAGE.read_text(),
        )
    )
    assert named == {verb.rstrip("_") for verb in verbs}


@pytest.mark.slow
def test_the_four_emergencies(folder: Path, capsys: Any, caplog: Any) -> None:
    import runpy

    runpy.run_path(str(PAGE.parents[1] / "examples" / "lab_emergencies.py"))["main"](str(folder))
    told = capsys.readouterr().out
    assert "after the rollback: OK" in told
    assert "equal: True" in told
    assert "texts after halving" in told
    assert "out of memory: trying batches of" in caplog.text
    assert "does not match its hash" in told
    assert "running on: checkpoint_" in told
