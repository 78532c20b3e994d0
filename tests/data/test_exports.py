"""Exports load in `datasets` and pass trl's own processing; replies to avoid stay out; nothing is left out unseen."""

import json
from pathlib import Path

import pytest

from solon.data.example import Example
from solon.data.exports import FORMATS, alternating, export_file
from solon.data.files import manifest_of
from solon.data.rows import Turn
from solon.data.sources import load_examples
from solon.errors import DataError

SECRET = "the reply that must not be learnt"
IMITATION = ("alpaca", "chat", "completion", "trl-sft", "parquet")


def laws(number: int, **change: object) -> dict:
    return {
        "example_id": f"eth_{number:06d}", "example_type": "harmful_blocked", "law_category": 1, "prompt": f"prompt {number}",
        "response_harmful": SECRET, "response_ethical": f"reply {number}", "critique": "c", "principle": "Law 1",
        "difficulty": "easy",
        "tags": [], "conversation": [], "group": "", "kind": "law", **change,
    }  # fmt: skip


TALK = [
    {"role": "system", "content": "be kind"},
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes?"},
    {"role": "user", "content": "prompt 2", "turn": "crossing"},
]


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "laws.jsonl", laws(1), laws(2, conversation=TALK, kind="multi_turn", example_type="multi_turn"))


def exported(source: Path, form: str) -> list[dict]:
    out = source.parent / "out.jsonl"
    export_file(source, form, out)
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_alpaca_chat_completion_and_sft_by_hand(source: Path) -> None:
    assert exported(source, "alpaca") == [
        {"instruction": "prompt 1", "input": "", "output": "reply 1", "system": "", "history": []},
        {"instruction": "prompt 2", "input": "", "output": "reply 2", "system": "be kind", "history": [["first", "yes?"]]},
    ]
    one, two = exported(source, "chat")
    assert [m["content"] for m in one["messages"]] == ["prompt 1", "reply 1"]
    assert [(m["role"], m["content"]) for m in two["messages"]] == [
        ("system", "be kind"), ("user", "first"), ("assistant", "yes?"), ("user", "prompt 2"), ("assistant", "reply 2"),
    ]  # fmt: skip
    assert exported(source, "completion") == [
        {"prompt": "prompt 1\n", "completion": "reply 1"},
        {
            "prompt": "System: be kind\n\nUser: first\n\nAssistant: yes?\n\nUser: prompt 2\n\nAssistant:",
            "completion": " reply 2",
        },
    ]
    sft = exported(source, "trl-sft")[1]
    assert sft["completion"] == [{"role": "assistant", "content": "reply 2"}] and len(sft["prompt"]) == 4


@pytest.mark.parametrize("form", IMITATION)
def test_replies_to_avoid_reach_no_format_that_teaches_by_imitation(source: Path, form: str) -> None:
    hh = {
        "id": "h", "prompt": "\n\nHuman: q", "source": "hh-rlhf", "original_chosen": f"\n\nHuman: q\n\nAssistant: {SECRET}",
        "original_rejected": SECRET, "messages": [{"role": "user", "content": "q"}], "chosen": "good", "rejected": SECRET,
    }  # fmt: skip
    both = write(source.parent / "both.jsonl", laws(1), hh)
    out = source.parent / ("o.parquet" if form == "parquet" else "o.jsonl")
    export_file(both, form, out)
    if form == "parquet":
        import pyarrow.parquet as pq

        assert SECRET not in json.dumps(pq.read_table(out).to_pylist())
    else:
        assert SECRET not in out.read_text()


def test_preference(source: Path) -> None:
    row = exported(source, "trl-preference")[0]
    assert row == {
        "prompt": [{"role": "user", "content": "prompt 1"}],
        "chosen": [{"role": "assistant", "content": "reply 1"}],
        "rejected": [{"role": "assistant", "content": SECRET}],
    }


def test_what_a_format_lacks_is_refused_or_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "l.jsonl", laws(1), laws(2, response_harmful=None))
    with pytest.raises(DataError, match=r"row 2 \(eth_000002\): expected what trl-preference needs, got no rejected reply"):
        export_file(path, "trl-preference", tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()
    assert export_file(path, "trl-preference", tmp_path / "o.jsonl", only_complete=True)["left_out"] == 1
    assert "row 2" in (tmp_path / "o.jsonl.card.md").read_text()
    assert manifest_of(tmp_path / "o.jsonl")["rows"] == 1
    with pytest.raises(DataError, match="expected rows to export"):
        export_file(write(tmp_path / "p.jsonl", {"prompt": "x"}), "chat", tmp_path / "o2.jsonl", only_complete=True)
    noted = write(tmp_path / "n.jsonl", laws(1, response_harmful="[A reply that goes along with it; not written out.]"))
    with pytest.raises(DataError, match="only a note in brackets"):
        export_file(noted, "trl-preference", tmp_path / "o2.jsonl")
    refusal_only = {"prompt": "x", "response": "no", "rejected": "y", "hazard": "cse"}
    with pytest.raises(DataError, match="measure refusal only"):
        export_file(write(tmp_path / "q.jsonl", refusal_only), "trl-preference", tmp_path / "o2.jsonl")


@pytest.mark.parametrize("form", FORMATS)
def test_scripted_output_and_unknown_formats_are_refused(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "f.jsonl", {"prompt": "x", "response": "y", "rejected": "z", "source": "scripted"})
    with pytest.raises(DataError, match="scripted"):
        export_file(path, form, tmp_path / "o")
    with pytest.raises(DataError, match=r"--format: expected one of .*, got 'chats'"):
        export_file(path, "chats", tmp_path / "o")


def test_neighbours_of_one_role_become_one() -> None:
    turns = [Turn(role="user", content="a"), Turn(role="user", content="b"), Turn(role="assistant", content="c")]
    assert [m["content"] for m in alternating(turns)] == ["a\n\nb", "c"]
    odd = Example(prompt="c", response="d", messages=[Turn(role="assistant", content="hello"), Turn(role="user", content="c")])
    assert FORMATS["alpaca"](odd)["history"] == [["", "hello"]]


def test_json_array(source: Path, tmp_path: Path) -> None:
    export_file(source, "alpaca", tmp_path / "o.json")
    assert len(json.loads((tmp_path / "o.json").read_text())) == 2


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_datasets_loads_every_format(source: Path, tmp_path: Path, form: str) -> None:
    from datasets import load_dataset

    kind, name = ("parquet", "o.parquet") if form == "parquet" else ("json", "o.jsonl")
    export_file(source, form, tmp_path / name)
    data = load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / "cache"))
    assert len(data) == 2


@pytest.mark.slow
def test_trl_takes_the_formats_as_what_they_are(source: Path) -> None:
    from transformers import AutoTokenizer
    from trl.data_utils import apply_chat_template, is_conversational, maybe_extract_prompt

    import solon.models

    tokenizer = AutoTokenizer.from_pretrained(Path(solon.models.__file__).parent / "nano")
    for form in ("trl-preference", "trl-sft", "chat"):
        for row in exported(write(source.parent / "single.jsonl", laws(1)), form):
            assert is_conversational(row)
            texts = apply_chat_template(maybe_extract_prompt(row), tokenizer)
            reply = texts["text"] if form == "chat" else texts["chosen" if form == "trl-preference" else "completion"]
            assert "reply 1" in reply
            assert SECRET not in texts.get("completion", "") + texts.get("text", "")


def test_parquet_takes_prompts_without_a_reply(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"id": "a", "prompt": "How?"}\n')
    export_file(tmp_path / "p.jsonl", "parquet", tmp_path / "p.parquet")
    assert [(e.prompt, e.response) for e in load_examples(tmp_path / "p.parquet")] == [("How?", None)]
