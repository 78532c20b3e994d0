"""The documented fine-tuning set: own rows split 80/20, the eleven ethical rows merged into training."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solon.constitution import load
from solon.data.generate import generate_file
from solon.data.scenarios.trading import generate
from solon.data.scenarios.trading_dataset import write_dataset, write_files
from solon.errors import DataError


def base(count: int) -> list[dict[str, object]]:
    return [
        {"instruction": f"State {i}: what to do?", "response": f"Hold {i}.", "context": {"agent": "ppo"}} for i in range(count)
    ]


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_documented_numbers(tmp_path: Path) -> None:
    found = write_dataset(tmp_path, base(4890), generate(11, load("trading")), created="2026-01-01T00:00:00+00:00")
    assert found == json.loads((tmp_path / "dataset_metadata.json").read_text())
    assert list(found) == [
        "created", "total_examples", "train_examples", "validation_examples", "ethical_examples_added", "ethical_categories",
    ]  # fmt: skip
    assert (found["total_examples"], found["train_examples"], found["validation_examples"]) == (4901, 3923, 978)
    assert found["ethical_examples_added"] == 11
    assert found["ethical_categories"] == {
        "constitutional_compliance": 5, "multi_agent_coordination": 2, "meta_learning": 2, "systemic_risk": 2,
    }  # fmt: skip
    train, held = lines(tmp_path / "train_dataset.jsonl"), lines(tmp_path / "validation_dataset.jsonl")
    assert (len(train), len(held)) == (3923, 978)
    assert not {row["instruction"] for row in train} & {row["instruction"] for row in held}
    assert sum("documented" in row["context"] for row in train) == 11  # type: ignore[operator]
    assert not any("documented" in row["context"] for row in held)  # type: ignore[operator]


def test_the_split_moves_little_when_rows_are_added(tmp_path: Path) -> None:
    for name, count in (("a", 500), ("b", 550)):
        write_dataset(tmp_path / name, base(count), [])
    first, second = ({r["instruction"] for r in lines(tmp_path / n / "validation_dataset.jsonl")} for n in ("a", "b"))
    assert len(first) == 100 and len(second) == 110
    assert len(first & second) > 85


def test_rows_of_one_instruction_stay_together_or_are_refused(tmp_path: Path) -> None:
    rows = [*base(8), *({"instruction": "Same", "response": str(i)} for i in range(2))]
    write_dataset(tmp_path, rows, [], validation="30%")
    held = [row["instruction"] for row in lines(tmp_path / "validation_dataset.jsonl")]
    assert held.count("Same") in (0, 2) and len(held) == 3
    with pytest.raises(DataError, match="stay together"):
        write_dataset(tmp_path / "x", [{"instruction": "Same", "response": str(i)} for i in range(10)], [])


def test_bad_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2"):
        write_dataset(tmp_path, [*base(1), {"instruction": "x"}], [])
    with pytest.raises(DataError, match="unknown field 'reward'"):
        write_dataset(tmp_path, [{"instruction": "x", "response": "y", "reward": 1}], [])
    row = generate(1, load("trading"))[0]
    with pytest.raises(DataError, match="not trained on"):
        write_dataset(tmp_path, [{"instruction": row.instruction, "response": "y"}, *base(3)], [row], validation="99%")
    assert not list(tmp_path.iterdir())


def test_two_files_become_the_documented_three(tmp_path: Path) -> None:
    own, ethical = tmp_path / "own.csv", tmp_path / "ethical.jsonl"
    own.write_text("instruction,response\n" + "".join(f"State {i}?,Hold {i}.\n" for i in range(50)))
    generate_file("trading", ethical, n=11)
    found = write_files(tmp_path / "set", own, ethical)
    assert (found["train_examples"], found["validation_examples"], found["total_examples"]) == (51, 10, 61)
    names = {path.name for path in (tmp_path / "set").iterdir()}
    assert {"train_dataset.jsonl", "validation_dataset.jsonl", "dataset_metadata.json"} <= names
    manifest = json.loads((tmp_path / "set" / "train_dataset.jsonl.manifest.json").read_text())
    assert manifest["rows"] == 51 and len(manifest["inputs"]) == 2
    with pytest.raises(DataError, match="generate trading"):
        write_files(tmp_path / "other", own, own)
    held_out = tmp_path / "held_out.jsonl"
    generate_file("trading", held_out, n=5, options={"split": "evaluation"})
    assert "evaluation only" in (tmp_path / "held_out.jsonl.card.md").read_text()
    with pytest.raises(DataError, match="evaluation"):
        write_files(tmp_path / "leak", own, held_out)
