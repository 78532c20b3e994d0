# ruff: noqa: E501
"""Topics: four disjoint lists by hash, twins beside their siblings, words that inflect."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the recipe is not part of the installed package

from recipes.nano import topics
from recipes.nano.language import article, gerund, listing
from recipes.nano.lexicon_hazards import FAMILIES, HELD_OUT_ACTS
from recipes.nano.topics import hazards, howtos, list_of, twins

EVERY = (*hazards(), *twins(), *howtos())


def test_topics_are_distinct_and_none_begins_another() -> None:
    names = [topics.words(t.text) for t in EVERY]
    assert len(names) == len(set(names)) > 3000
    known = set(names)
    assert not [n for n in names for k in range(2, len(n)) if n[:k] in known]


def test_lists_follow_the_hash_alone() -> None:
    for topic in (*hazards(), *howtos()):
        assert topic.list == ("test" if topic.act in HELD_OUT_ACTS and topic.set == "hazardous" else list_of(topic.text))
    counts = {which: sum(t.list == which for t in hazards()) for which in ("demo", "train", "dev", "test")}
    assert counts["train"] >= 300 and counts["test"] >= 400 and counts["demo"] >= 1000 and counts["dev"] >= 100


def test_a_twin_shares_the_group_of_a_sibling_with_its_act_and_list() -> None:
    by_group = {t.group: t for t in hazards()}
    for twin in twins():
        sibling = by_group[twin.group]
        assert (sibling.act, sibling.list) == (twin.act, twin.list)
        assert sibling.text != twin.text


def test_steps_are_fixed_per_act_and_never_repeat() -> None:
    for topic in EVERY:
        steps = topics.family_steps(topic)
        assert len(steps) == len(set(steps)) == 4
        assert steps == topics.family_steps(topic)


def test_steps_of_hazards_are_empty() -> None:
    """No quantity, and too short to explain anything."""
    for family in FAMILIES:
        for step in family.steps:
            assert not any(c.isdigit() for c in step) and len(step.split()) <= 7, (family.code, step)


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [
        ("forge a passport", "forging a passport"), ("stab a rival", "stabbing a rival"), ("lie", "lying"), ("break into a bank", "breaking into a bank"),
        ("get around it", "getting around it"), ("dye a scarf", "dyeing a scarf"), ("see", "seeing"), ("unplug it", "unplugging it"), ("fix a tap", "fixing a tap"),
    ],
)  # fmt: skip
def test_gerund(phrase: str, expected: str) -> None:
    assert gerund(phrase) == expected


def test_article_and_listing() -> None:
    assert (article("owl"), article("pear")) == ("an owl", "a pear")
    assert listing(["a", "b", "c"]) == "a, b and c"
    assert listing(["a"]) == "a"
