"""Exact repeats and near-duplicates: found by similarity worked by hand, decided exactly, first of its kind kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.data.dedupe import dedupe
from solon.data.example import Example
from solon.data.near import ShingleHasher, jaccard, near_duplicates, shingles, similarity
from solon.errors import DataError

LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"


def rows(*prompts: str) -> list[Example]:
    return [Example(id=str(i), prompt=p, response="the same reply") for i, p in enumerate(prompts, 1)]


word_lists = st.lists(st.sampled_from("abcdefg"), max_size=14).map(" ".join)


@given(word_lists, word_lists)
def test_hashed_similarity_equals_the_exact_one(a: str, b: str) -> None:
    hasher = ShingleHasher()
    assert similarity(hasher(a), hasher(b)) == pytest.approx(jaccard(shingles(a), shingles(b)))
    assert hasher(a).dtype == np.uint64


@settings(max_examples=40, deadline=None)
@given(st.lists(word_lists, max_size=12))
def test_no_pair_is_reported_wrongly(texts: list[str]) -> None:
    for i, j in near_duplicates(texts):
        assert i < j and jaccard(shingles(texts[i]), shingles(texts[j])) >= 0.8


def test_near_duplicates_are_found_at_the_rate_that_the_bands_promise() -> None:
    rng = np.random.default_rng(5)
    texts = []
    for n in range(300):
        tokens = [f"w{n}x{i}" for i in range(60)]
        changed = list(tokens)
        changed[-int(rng.integers(1, 6)) :] = ["end"]  # loses up to 5 shingles at the end, gains 1: similarity >= 0.8
        texts += [" ".join(tokens), " ".join(changed)]
    true = {(i, i + 1) for i in range(0, 600, 2) if jaccard(shingles(texts[i]), shingles(texts[i + 1])) >= 0.8}
    found = set(near_duplicates(texts))
    assert found <= true
    assert len(true) >= 290 and len(found) >= 0.98 * len(true)


def test_exact_first_then_near_and_the_first_stays() -> None:
    almost = LONG + " nineteen"  # with the reply: 18 and 17 shingles of its own, 1 - 2 in common short of all
    kept, dropped = dedupe(rows(LONG, "another thing altogether, with words of its own", LONG, almost), by="prompt")
    assert [e.id for e in kept] == ["1", "2"]
    assert [(d.row, d.reason, d.of_row) for d in dropped] == [(3, "exact", 1), (4, "near", 1)]
    assert dropped[1].similarity == round(14 / 15, 4)
    assert len(dedupe(rows(LONG, almost), by="prompt", near=False)[0]) == 2


def test_rows_that_differ_in_principle_or_reply_are_no_repeats() -> None:
    one = Example(
        prompt=LONG, response="a reply with quite some words that say one thing and no other thing at all", principle="a"
    )
    other = one.model_copy(update={"response": "something wholly different is answered here by someone who has other views"})
    assert len(dedupe([one, other])[0]) == 2
    assert len(dedupe([one, other], by="prompt")[0]) == 1
    assert len(dedupe([one, one])[0]) == 1


def test_a_chain_of_small_changes_is_not_swallowed() -> None:
    tokens = [f"w{i}" for i in range(80)]
    chain = []
    for step in range(12):
        chain.append(Example(id=str(step), prompt=" ".join([*tokens[: 80 - 6 * step], *(f"n{i}" for i in range(6 * step))])))
    kept, dropped = dedupe(chain)
    assert len(kept) > 1  # only rows that stay are compared with
    for repeat in dropped:
        one, other = chain[repeat.row - 1].prompt, chain[repeat.of_row - 1].prompt
        assert jaccard(shingles(one), shingles(other)) >= 0.8


def test_bad_threshold() -> None:
    with pytest.raises(DataError, match="above 0 and at most 1"):
        dedupe(rows("a"), threshold=0)
