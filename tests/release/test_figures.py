"""Figures: round axes, points where they belong, text escaped."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solon.release.figures import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Level,
    Line,
    bar_row,
    gate_chart,
    line_chart,
    share_row,
    ticks,
)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 0.8, [0, 0.2, 0.4, 0.6, 0.8]),
        (0.12, 0.31, [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
        (0, 60, [0, 20, 40, 60]),
    ],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_cover_the_range_evenly(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert found[0] <= low + span * 1e-6 and found[-1] >= low + span * (1 - 1e-6)
    assert 2 <= len(found) <= 8
    steps = [b - a for a, b in pairwise(found)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)


def test_a_line_runs_from_corner_to_corner() -> None:
    svg = line_chart("a", "Loss", "falls", [Line("training", [(0, 1.0), (10, 0.0)])])
    assert f'points="{LEFT},{TOP} {WIDTH - RIGHT},{HEIGHT - BOTTOM}"' in svg
    assert "<title" in svg and 'role="img"' in svg


def test_a_level_lies_at_its_value() -> None:
    svg = line_chart("a", "Loss", "", [Line("training", [(0, 1.0), (10, 0.0)])], levels=[Level("half", 0.5)])
    down = float(re.search(r'class="level"[^>]*y1="([\d.]+)"', svg)[1])  # type: ignore[index]
    assert down == pytest.approx((TOP + HEIGHT - BOTTOM) / 2)


def test_nothing_to_draw_draws_nothing() -> None:
    assert line_chart("a", "t", "d", [Line("x", [])]) == ""
    assert gate_chart("a", "t", {"m": [{"step": 1, "value": None}]}) == ""


def test_a_single_point_and_a_constant_series_are_drawn() -> None:
    assert "<circle" in line_chart("a", "t", "d", [Line("x", [(3, 0.4)])])
    assert "<polyline" in line_chart("a", "t", "d", [Line("x", [(1, 0.0), (2, 0.0)])])


def test_shares_lie_at_their_percentage() -> None:
    base, tuned = {"value": 0.9, "low": 0.8, "high": 0.95}, {"value": 0.05, "low": 0.01, "high": 0.1}
    row = share_row(base, tuned, "x")
    assert 'x1="80%" x2="95%"' in row and 'x="90%"' in row and 'cx="5%"' in row
    bars = bar_row(base, tuned, "x")
    assert 'width="90%"' in bars and 'width="5%"' in bars


def test_what_was_not_measured_has_no_mark() -> None:
    assert "circle" not in share_row({"value": 0.5}, None, "x")
    assert "bar tuned" not in bar_row({"value": 0.5}, {"value": None}, "x")


def test_gates_that_fail_are_crossed_out_and_the_floor_is_drawn() -> None:
    gates = [
        {"step": 0, "value": 0.9, "low": 0.8, "high": 1.0, "ok": False, "floor": 0.2},
        {"step": 9, "value": 0.1, "low": 0.0, "high": 0.2, "ok": True, "floor": 0.2},
    ]
    other = [{"step": 9, "value": 0.5, "low": 0.4, "high": 0.6, "ok": True}]
    svg = gate_chart("g", "Gate", {"Over-refusal": gates, "Off topic": other})
    assert svg.count('class="cross fail"') == 1 and svg.count('class="dot tuned"') == 2
    assert svg.count('class="dot base"') == 1 and svg.count('class="level"') == 1
    assert "Over-refusal, step 0: 90.0 %, not passed" in svg and "Off topic, step 9: 50.0 %, passed" in svg
    half = TOP + (HEIGHT - TOP - BOTTOM) / 2
    assert f'y="{half - 3.8:g}" width' in svg, "50 % lies half way"


def test_a_share_is_drawn_between_0_and_100() -> None:
    svg = line_chart("a", "Accuracy", "", [Line("training", [(0, 1.0), (10, 1.0)])], percent=True)
    assert "100%" in svg and "105%" not in svg and "110%" not in svg


def test_titles_are_escaped() -> None:
    svg = line_chart("a", "<b>", '"<i>', [Line("x", [(0, 1.0)])], levels=[Level("<u>", 1.0)])
    assert not re.search(r"<[biu]>", svg)
