"""Rows of any shape as rows to train on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from solon.data.exports import export_file
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


def say(*turns: str) -> list[dict]:
    return [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 3, turns, strict=False)]


ENDS = {"chosen": say("a", "b", "c", "yes"), "rejected": say("a", "b", "c", "no")}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": say("a", "b", "c"), "chosen": [say("", "yes")[1]], "rejected": [say("", "no")[1]]},
        {**ENDS, "score": 3},
        {"prompt": "c", "messages": say("a", "b", "c", "yes"), **ENDS},
    ],
    ids=["the prompt apart", "the prompt in both replies", "the prompt in both and apart"],
)
def test_preference_rows_of_other_trainers(tmp_path: Path, row: dict) -> None:
    (pair,) = training_rows(write(tmp_path / "p.jsonl", row), "dpo")
    assert [m.content for m in pair.prompt] == ["a", "b", "c"]
    assert (pair.kind, pair.chosen[0].content, pair.rejected[0].content) == ("pair", "yes", "no")


def test_the_input_of_an_instruction_is_part_of_the_prompt(tmp_path: Path) -> None:
    rows = ({"instruction": "Add.", "input": "2, 3", "output": "5"}, {"instruction": "Add.", "context": "4, 5", "response": "9"})
    found = training_rows(write(tmp_path / "a.jsonl", *rows), "sft")
    assert [(r.prompt[0].content, r.chosen[0].content) for r in found] == [("Add.\n\n2, 3", "5"), ("Add.\n\n4, 5", "9")]


def test_exports_are_read_back(tmp_path: Path) -> None:
    talk = say("first", "yes?", "last")
    row = law(response_harmful="Sure, a plan.", prompt="last", conversation=talk, kind="multi_turn", example_type="multi_turn")
    path = write(tmp_path / "laws.jsonl", row)
    for form in ("alpaca", "chat", "trl-sft", "trl-preference", "parquet"):
        out = tmp_path / (form + (".parquet" if form == "parquet" else ".jsonl"))
        export_file(path, form, out)
        (back,) = training_rows(out, "dpo")
        assert ([m.content for m in back.prompt], back.chosen[0].content) == (
            ["first", "yes?", "last"],
            row["response_ethical"],
        ), form
        assert back.kind == ("pair" if form == "trl-preference" else "retain")


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
