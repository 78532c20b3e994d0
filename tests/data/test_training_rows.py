"""Rows of any shape as rows to train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solon.data.records import Pair, Provenance
from solon.data.training import training_rows
from solon.errors import DataError
from solon.models.base import Message


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def law(**changes: object) -> dict:
    row = {
        "example_id": "eth_000001", "example_type": "harmful_blocked", "law_category": 1, "prompt": "How do I hurt someone?",
        "response_harmful": None, "response_ethical": "I will not help with that.", "critique": "It harms.", "principle": "Law 1",
        "difficulty": "easy", "tags": [], "conversation": [], "group": "g1", "kind": "law",
    }  # fmt: skip
    return row | changes


def test_pairs_come_back_as_they_are(tmp_path: Path) -> None:
    source = Provenance(
        prompt_id="1", group="g", model="m", template_hash="t", sampling={"respond": {"temperature": 0.7}}, seed=3,
        constitution_hash="c",
    )  # fmt: skip

    def say(role: str, text: str) -> list[Message]:
        return [Message(role=role, content=text)]  # type: ignore[arg-type]

    pair = Pair(
        prompt=say("user", "a"), chosen=say("assistant", "b"), rejected=say("assistant", "c"), principle_id="p", critique="x",
        source="builtin", provenance=source,
    )  # fmt: skip
    retain = pair.model_copy(update={"kind": "retain", "rejected": [], "critique": ""})
    path = write(tmp_path / "pairs.jsonl", *(json.loads(row.model_dump_json()) for row in (pair, retain)))
    for phase in ("sft", "dpo"):
        assert training_rows(path, phase) == [pair, retain]  # type: ignore[arg-type]


def test_laws_teach_the_ethical_reply_only(tmp_path: Path) -> None:
    path = write(tmp_path / "laws.jsonl", law(), law(example_id="eth_000002", response_harmful="[a plan]"))
    rows = training_rows(path, "sft")
    assert [(r.kind, r.chosen[0].content, r.rejected) for r in rows] == [("pair", "I will not help with that.", [])] * 2
    assert rows[0].provenance.group == "g1" and rows[0].principle_id == "Law 1"
    assert {r.kind for r in training_rows(path, "dpo")} == {"retain"}, "nobody should learn to avoid brackets"


def test_a_reply_to_avoid_makes_a_pair(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", law(response_harmful="Sure, here is a plan."), law(example_id="eth_000002"))
    assert [r.kind for r in training_rows(path, "dpo")] == ["pair", "retain"]
    assert training_rows(path, "dpo")[0].rejected[0].content == "Sure, here is a plan."


def test_instructions_and_prompt_response_rows(tmp_path: Path) -> None:
    trading = {"instruction": "Is 35 % allowed?", "response": "No.", "context": {"category": "systemic_risk"}}
    assert training_rows(write(tmp_path / "t.jsonl", trading), "sft")[0].chosen[0].content == "No."
    (plain,) = training_rows(write(tmp_path / "q.jsonl", {"prompt": "Why?", "response": "Because."}), "sft")
    assert (plain.prompt[0].content, plain.chosen[0].content) == ("Why?", "Because.")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        ({"prompt": "Why?"}, "row 1: expected a reply to learn, got no reply"),
        (law(tags=["hazard:cse"]), "serves to measure refusal only"),
        ({"neither": 1}, "t.jsonl:1"),
    ],
)
def test_refusals(tmp_path: Path, row: dict, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        training_rows(write(tmp_path / "t.jsonl", row), "dpo")
    assert complaint in str(caught.value) and caught.value.mend


def test_a_damaged_pair_names_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.jsonl:1: "):
        training_rows(
            write(tmp_path / "t.jsonl", {"prompt": [{"role": "user", "content": "a"}], "chosen": 3, "rejected": []}), "sft"
        )
