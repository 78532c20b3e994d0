"""Splits: groups stay together, growth moves nothing, and the leak check finds what leaks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.data.records import Prompt
from solon.data.splits import assign, jaccard, leaks, near_duplicates, require_no_leak, shingles
from solon.errors import CheckFailed, ConfigError

LONG = "please tell me in plain words how the old town council came to vote on the new bridge last spring"


def prompt(i: int, text: str, group: str = "", split: str = "") -> Prompt:
    return Prompt(id=str(i), prompt=text, group=group, split=split)


def test_jaccard_by_hand() -> None:
    a, b = shingles("a b c d e f g"), shingles("a b c d e f x")
    assert (len(a), len(b)) == (3, 3)
    assert jaccard(a, b) == 2 / 4
    assert shingles("A, b!") == {"a b"}


def test_near_duplicates_are_found_and_checked_exactly() -> None:
    almost = LONG + " please"
    texts = [LONG, "something else entirely, about a garden", almost, LONG.upper()]
    n = len(LONG.split()) - 4
    assert jaccard(shingles(LONG), shingles(almost)) == n / (n + 1)
    assert near_duplicates(texts) == [(0, 2), (0, 3)]


texts = st.lists(st.text("abc ", min_size=1, max_size=12).filter(str.strip), min_size=1, max_size=30)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(texts, st.integers(0, 99))
def test_split_is_stable_when_data_grow_and_never_leaks(items: list[str], seed: int) -> None:
    prompts = [prompt(i, t) for i, t in enumerate(items)]
    whole = assign(prompts, seed=seed)
    first = assign(prompts[: len(prompts) // 2 + 1], seed=seed)
    assert first == whole[: len(first)]
    assert leaks(whole) == []


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=2, max_size=40))
def test_a_stated_group_stays_together(groups: list[str]) -> None:
    rows = assign([prompt(i, f"text number {i}", g) for i, g in enumerate(groups)])
    for name in set(groups):
        assert len({r.split for r in rows if r.group == name}) == 1


def test_shares_are_near_what_was_asked() -> None:
    rows = assign([prompt(i, f"text number {i}") for i in range(4_000)], validation=0.1, test=0.3)
    held = sum(r.split == "file" for r in rows) / 4_000
    assert abs(held - 0.3) < 4 * (0.3 * 0.7 / 4_000) ** 0.5


def test_leaks_are_found() -> None:
    rows = [prompt(1, "one", "g", "train"), prompt(2, "two", "g", "unseen_topic")]
    assert "group 'g'" in leaks(rows)[0]
    rows = [prompt(1, LONG, "a", "train"), prompt(2, LONG + " please", "b", "file")]
    assert "near-duplicates" in leaks(rows)[0]
    with pytest.raises(CheckFailed, match="expected no leak, got 1") as caught:
        require_no_leak(rows)
    assert caught.value.exit_code == 1


def test_unseen_wording_may_share_a_topic_but_not_a_text() -> None:
    assert leaks([prompt(1, "one way to ask", "g", "train"), prompt(2, "another", "g", "unseen_wording")]) == []
    assert leaks([prompt(1, "the same", "g", "train"), prompt(2, "The same!", "g", "unseen_wording")])


def test_shares_that_leave_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="below 1"):
        assign([prompt(1, "x")], validation=0.5, test=0.5)
