"""Quotas: largest remainder by hand; every satisfiable table is met exactly, every other one is refused with its arithmetic."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from solon.data.quotas import asked_counts, counts, exact, joint_table
from solon.errors import DataError

LAWS = {"0": 100, "1": 200, "2": 150, "3": 100, "4": 100, "conflict": 50, "multi_turn": 50}


def test_largest_remainder_by_hand() -> None:
    # 5:2:2:2 of 200 = 90.9, 36.36, 36.36, 36.36; floors give 198; the rest goes to .909 and to the first of the ties
    assert counts({"compliance": 5, "coordination": 2, "learning": 2, "systemic": 2}, 200) == {
        "compliance": 91, "coordination": 37, "learning": 36, "systemic": 36,
    }  # fmt: skip
    assert counts({"easy": "40%", "medium": 0.3, "hard": "1/5", "adversarial": "0.1"}, 750) == {
        "easy": 300, "medium": 225, "hard": 150, "adversarial": 75,
    }  # fmt: skip
    assert counts({"a": 1, "b": 1, "c": 1}, 1) == {"a": 1, "b": 0, "c": 0}
    assert exact(0.1) == Fraction(1, 10)  # the decimal that it prints, not the binary fraction


shares = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 50), min_size=1).filter(
    lambda d: sum(d.values())
)


@given(shares, st.integers(0, 10_000))
def test_counts_sum_and_stay_within_one_of_the_proportion(given_shares: dict[str, int], total: int) -> None:
    found = counts(given_shares, total)
    whole = sum(given_shares.values())
    assert sum(found.values()) == total
    for name, count in found.items():
        assert abs(count - Fraction(given_shares[name] * total, whole)) < 1


@pytest.mark.parametrize("bad", [{"a": -1}, {"a": "many"}, {"a": 0}, {}, {"a": "1/0"}, {"a": float("nan")}])
def test_bad_shares_are_refused(bad: dict) -> None:
    with pytest.raises(DataError):
        counts(bad, 10)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[list[str]], dict[tuple[str, ...], int], set[tuple[str, ...]]]:
    """A random table over two or three axes, some of its cells forbidden."""
    axes = [[f"{a}{i}" for i in range(draw(st.integers(1, 4)))] for a in "xyz"[: draw(st.integers(2, 3))]]
    cells = list(itertools.product(*axes))
    allowed = draw(st.sets(st.sampled_from(cells), min_size=1))
    return axes, {cell: draw(st.integers(0, 30)) for cell in allowed}, allowed


def margins(axes: list[list[str]], table: dict[tuple[str, ...], int]) -> dict[str, dict[str, int]]:
    return {
        f"axis{i}": {value: sum(n for cell, n in table.items() if cell[i] == value) for value in values}
        for i, values in enumerate(axes)
    }


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tables())
def test_what_can_be_met_is_met_exactly(drawn: tuple) -> None:
    axes, table, allowed = drawn
    asked = margins(axes, table)
    found = joint_table(asked, allowed)
    assert margins(axes, found) == asked
    assert set(found) <= allowed
    assert all(count > 0 for count in found.values())
    assert joint_table(asked, allowed) == found


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(tables(), st.data())
def test_two_axes_are_refused_exactly_when_no_table_exists(drawn: tuple, data: st.DataObject) -> None:
    axes, _, allowed = drawn
    axes = axes[:2]
    allowed = {cell[:2] for cell in allowed}
    total = data.draw(st.integers(0, 20))
    asked = {}
    for i, values in enumerate(axes):
        parts = data.draw(st.lists(st.integers(0, 10), min_size=len(values), max_size=len(values)))
        parts[0] += 1
        asked[f"axis{i}"] = counts(dict(zip(values, parts, strict=True)), total)
    order = sorted(allowed)
    matrix = np.array([[cell[i] == v for cell in order] for i, values in enumerate(axes) for v in values], dtype=float)
    wanted = [n for part in asked.values() for n in part.values()]
    # the constraint matrix of two axes is totally unimodular: a real solution exists exactly when a whole one does
    feasible = linprog(np.zeros(len(order)), A_eq=matrix, b_eq=wanted).status == 0
    if feasible:
        assert margins(axes, joint_table(asked, allowed)) == asked
    else:
        with pytest.raises(DataError, match="too many"):
            joint_table(asked, allowed)


def test_the_documented_counts_hold_together_and_spread_evenly() -> None:
    types = {"safe": 150, "blocked": 450, "edge": 50, "law_conflict": 50, "multi_turn": 50}
    difficulty = counts({"easy": 40, "medium": 30, "hard": 20, "adversarial": 10}, 750)

    def allowed(law: str, kind: str, _: str) -> bool:
        return (law == "conflict") == (kind == "law_conflict") and (law == "multi_turn") == (kind == "multi_turn")

    table = joint_table({"law": LAWS, "type": types, "difficulty": difficulty}, allowed)
    assert sum(table.values()) == 750
    for law, count in LAWS.items():
        easy = sum(n for (own, _, level), n in table.items() if own == law and level == "easy")
        assert abs(easy - 0.4 * count) <= 2


def test_refusals_show_the_arithmetic() -> None:
    with pytest.raises(DataError, match=r"law: 100 \+ 200 \+ 150 \+ 100 \+ 100 \+ 50 \+ 50 = 750; type: 500 \+ 150 .* = 800"):
        joint_table({"law": LAWS, "type": {"blocked": 500, "safe": 150, "edge": 50, "conflict": 50, "multi": 50}})
    with pytest.raises(
        DataError, match=r"law asks for conflict 50 = 50, but the type open to it holds law_conflict 40 = 40: 10 too many"
    ):
        joint_table(
            {"law": {"one": 50, "conflict": 50}, "type": {"plain": 60, "law_conflict": 40}},
            lambda law, kind: (law == "conflict") == (kind == "law_conflict"),
        )
    with pytest.raises(DataError, match="places 1 of 2 rows"):  # each two of the three axes agree, all three do not
        joint_table(
            {"x": {"0": 1, "1": 1}, "y": {"0": 1, "1": 1}, "z": {"0": 1, "1": 1}},
            {("0", "0", "0"), ("0", "1", "1"), ("1", "0", "1"), ("1", "1", "0")},
        )


def test_cells_have_room_only_for_so_many() -> None:
    asked = {"x": {"a": 5, "b": 5}, "y": {"c": 5, "d": 5}}
    assert joint_table(asked, at_most={("a", "c"): 1})["a", "c"] == 1
    with pytest.raises(DataError, match="x asks for a 5 = 5"):
        joint_table(asked, at_most={("a", "c"): 1, ("a", "d"): 3})
    with pytest.raises(DataError, match="whole count"):
        joint_table({"x": {"a": 1.5}, "y": {"c": 1}})


def test_counts_and_shares_are_told_apart() -> None:
    names = ("a", "b", "c")
    assert asked_counts("x", {"a": 6, "b": 4}, names, 10) == {"a": 6, "b": 4, "c": 0}
    assert asked_counts("x", {"a": "60%", "b": "2/5"}, names, 10) == {"a": 6, "b": 4, "c": 0}
    for asked, complaint in (
        ({"a": 6, "b": 5}, "sum to n = 10, got a 6 \\+ b 5 = 11"),
        ({"a": 11, "b": -1}, "at least 0"),
        ({"a": "60%", "b": 4}, "got both"),
        ({"a": "60%", "b": "30%"}, "sum to 1 .* = 0.9"),
        ({"d": 10}, "expected one of a, b, c, got 'd'"),
        ({"a": True, "b": 9}, "got both"),
    ):
        with pytest.raises(DataError, match=complaint):
            asked_counts("x", asked, names, 10)  # type: ignore[arg-type]
