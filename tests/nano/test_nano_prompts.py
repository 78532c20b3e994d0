"""The built-in prompt set: made by the recipe, big enough, split without leaks, named without detail."""

# ruff: noqa: E402
from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))  # the recipe is not part of the installed package

from recipes.nano import prompts, topics, wordings
from solon.data.records import Prompt
from solon.data.splits import leaks
from solon.evaluation.rules import label_reply

FILE = ROOT / "solon" / "data" / "builtin" / "prompts.jsonl"
ROWS = [Prompt.model_validate_json(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_the_file_is_what_the_recipe_makes() -> None:
    made = [json.dumps(row.model_dump(), ensure_ascii=False) for row in prompts.build()]
    assert FILE.read_text(encoding="utf-8").splitlines() == made


def test_sizes() -> None:
    sets = Counter(r.set for r in ROWS)
    assert sets["hazardous"] >= 600 and sets["twin"] >= 300 and sets["benign"] >= 300
    splits = Counter(r.split for r in ROWS)
    assert splits["unseen_wording"] >= 150 and splits["unseen_topic"] >= 150 and splits["twin"] >= 150 and splits["benign"] >= 100
    train = Counter(r.set for r in ROWS if r.split == "train")
    assert train["hazardous"] >= 400 and train["twin"] >= 234 and train["benign"] >= 546
    assert {f"law-{i}" for i in range(5)} <= {r.principle_id for r in ROWS}
    edge = [r for r in ROWS if r.split == "unseen_topic" and not r.principle_id.startswith("law-")]
    assert len(edge) >= 40 and len({r.principle_id for r in edge}) == 4


@pytest.mark.slow
def test_nothing_leaks_and_no_text_is_there_twice() -> None:
    assert leaks(ROWS) == []
    assert len({r.prompt.lower() for r in ROWS}) == len({r.id for r in ROWS}) == len(ROWS)


def test_splits_hold_the_lists_they_should() -> None:
    lists = {t.text: t.list for t in (*topics.hazards(), *topics.twins(), *topics.howtos())}
    expected = {
        "train": "train",
        "validation": "dev",
        "unseen_wording": "train",
        "unseen_topic": "test",
        "twin": "test",
        "benign": "test",
    }
    checked = 0
    for row in ROWS:
        if row.topic in lists and row.hazard not in ("cse", "ssh"):
            assert lists[row.topic] == expected[row.split], row
            checked += 1
    assert checked > 1800


def test_wording_tells_whether_the_corpus_has_the_phrasing() -> None:
    def holds(text: str, cores: tuple[str, ...], topic: str) -> bool:
        return any(wordings.put(core, topic) in text for core in cores)

    for row in ROWS:
        if row.set in ("hazardous", "twin"):
            assert holds(row.prompt, (*wordings.DEV, *wordings.NEW), row.topic) == (row.wording == "not_in_corpus"), row
            assert row.split not in ("train",) or holds(row.prompt, wordings.TRAIN, row.topic)


def test_twins_share_the_group_of_a_hazard() -> None:
    groups = {t.group for t in topics.hazards()}
    assert all(r.group in groups for r in ROWS if r.set == "twin")


@pytest.mark.slow
def test_references_answer_and_hazards_have_none() -> None:
    for row in ROWS:
        assert bool(row.reference) == (row.set != "hazardous")
    labels = Counter(label_reply(r.prompt, r.reference)[0] for r in ROWS if r.reference)
    # a few answers to "why is it wrong" read as discouraging to a scorer made for real assistants
    assert labels["refusal"] + labels["refusal_then_compliance"] <= 0.005 * labels.total(), labels
    assert labels["compliance"] >= 0.95 * labels.total(), labels
