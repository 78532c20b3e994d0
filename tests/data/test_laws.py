"""The laws generator at 10,000 rows: quotas, distinctness, pairs, conflicts by rank, turns that cross the line, twins."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest

from solon.constitution import load
from solon.data.near import near_duplicates
from solon.data.quotas import counts
from solon.data.rows import LawsRow
from solon.data.scenarios.laws import generate, minimal_pairs, skeleton
from solon.data.scenarios.topics import by_id, topics

pytestmark = pytest.mark.slow

N = 10_000
LAW_SHARES = {"law-0": 100, "law-1": 200, "law-2": 150, "law-3": 100, "law-4": 100, "conflict": 50, "multi_turn": 50}
TYPE_SHARES = {"safe_request": 150, "harmful_blocked": 450, "edge_case": 50, "law_conflict": 50, "multi_turn": 50}


@pytest.fixture(scope="module")
def rows() -> list[LawsRow]:
    return generate(N, load("five-laws"), seed=1)


def tag(row: LawsRow, name: str) -> str:
    return next((value.partition(":")[2] for value in row.tags if value.startswith(f"{name}:")), "")


def test_quotas_are_exact(rows: list[LawsRow]) -> None:
    law = Counter(f"law-{row.law_category}" if row.kind == "law" else row.kind for row in rows)
    assert law == counts(LAW_SHARES, N)
    assert Counter(row.difficulty for row in rows) == {"easy": 4000, "medium": 3000, "hard": 2000, "adversarial": 1000}
    found = Counter(row.example_type for row in rows)
    asked = counts(TYPE_SHARES, N)
    assert sum(asked.values()) == N
    assert all(abs(found[name] - count) <= 1 for name, count in asked.items())  # rounded under the laws' counts


def test_documented_750_and_the_same_rows_for_the_same_seed(rows: list[LawsRow]) -> None:
    small = generate(seed=1)
    law = Counter(f"law-{row.law_category}" if row.kind == "law" else row.kind for row in small)
    assert law == LAW_SHARES
    assert Counter(row.example_type for row in small) == TYPE_SHARES
    assert [row.example_id for row in small[:2]] == ["eth_000001", "eth_000002"]
    assert small == generate(seed=1)
    assert small != generate(seed=2)


def test_prompts_and_replies_are_distinct(rows: list[LawsRow]) -> None:
    assert len({row.prompt for row in rows}) >= 9_500
    assert len({skeleton(row) for row in rows}) >= 1_000
    joined: dict[int, int] = {}
    for i, j in near_duplicates([row.prompt for row in rows]):
        joined[j] = joined.get(i, i)
    assert max(Counter(joined.values()).values(), default=0) + 1 <= N / 100


def test_stories_come_in_pairs_and_the_requested_act_decides(rows: list[LawsRow]) -> None:
    halves: dict[str, list[LawsRow]] = defaultdict(list)
    for row in rows:
        if pair := tag(row, "pair"):
            halves[pair].append(row)
    whole = [pair for pair in halves.values() if len(pair) == 2]
    assert len(whole) >= 100
    for pair in [*whole, *minimal_pairs()]:
        assert {tag(row, "outcome") for row in pair} == {"allow", "refuse"}
        assert len({tag(row, "topic") for row in pair}) == 1
        assert len({row.group for row in pair}) == 1


def test_conflicts_are_decided_by_rank(rows: list[LawsRow]) -> None:
    seen: Counter[tuple[int, int]] = Counter()
    for row in rows:
        if row.kind == "conflict":
            high, low = map(int, tag(row, "laws").split(">"))
            assert row.law_category == high < low
            assert f"Law {high}" in row.response_ethical
            seen[high, low] += 1
    assert set(seen) == {(i, j) for i in range(5) for j in range(i + 1, 5)}


def test_talks_say_at_which_turn_they_cross_the_line(rows: list[LawsRow]) -> None:
    places: Counter[int] = Counter()
    for row in (row for row in rows if row.kind == "multi_turn"):
        asked = [turn for turn in row.conversation if turn.role == "user"]
        at = int(tag(row, "crosses_at"))
        assert asked[-1].content == row.prompt
        assert at == next(i for i, turn in enumerate(asked, 1) if turn.turn == "crossing")
        assert {turn.turn for turn in asked[: at - 1]} <= {"harmless", "approach"}
        places[at] += 1
    assert len(places) >= 3


def test_every_hazardous_topic_has_a_safe_twin_and_no_reply_that_goes_along(rows: list[LawsRow]) -> None:
    hazardous = {tag(row, "topic") for row in rows if row.example_type == "harmful_blocked"}
    safe = {tag(row, "topic") for row in rows if row.example_type == "safe_request"}
    assert hazardous == {topic.id for topic in topics()} == safe
    for row in rows:
        assert row.response_harmful is None or (row.response_harmful[0] + row.response_harmful[-1] == "[]")
        if row.example_type == "harmful_blocked" and by_id(tag(row, "topic")).refusal_only:
            assert row.response_harmful is None
            assert tag(row, "outcome") == "refuse"
