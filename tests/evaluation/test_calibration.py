"""Calibration, decisions and wording, by hand."""

from __future__ import annotations

import pytest

from solon.errors import InputError
from solon.evaluation import calibration as c
from solon.evaluation.wording import compare_wording, describe

from .rows import row


def test_brier_and_its_skill_over_the_base_rate() -> None:
    found = c.brier([0.9, 0.8, 0.3, 0.1], [True, True, False, False])
    assert found["value"] == pytest.approx((0.01 + 0.04 + 0.09 + 0.01) / 4)
    assert found["constant"] == pytest.approx(0.25)
    assert found["skill"] == pytest.approx(1 - 0.0375 / 0.25)
    assert c.brier([0.5, 0.5], [True, False])["skill"] == pytest.approx(0.0)
    assert c.brier([0.9, 0.9], [True, True])["skill"] is None


def test_expected_calibration_error_by_hand() -> None:
    # bin [.9, 1]: confidence .95, accuracy .5, two of four; bin [.2, .3): confidence .25, accuracy 0, two of four.
    assert c.expected_calibration_error([0.95, 0.95, 0.25, 0.25], [True, False, False, False]) == pytest.approx(
        0.5 * 0.45 + 0.5 * 0.25
    )
    assert c.expected_calibration_error([1.0, 1.0], [True, True]) == 0.0


def test_state_calibration_shows_what_a_constant_gets() -> None:
    constant = c.state_calibration([0.6] * 5, [0.2, 0.5, 0.6, 0.7, 0.9])
    assert constant["value"] == pytest.approx(1 - (0.4 + 0.1 + 0 + 0.1 + 0.3) / 5)
    assert constant["skill"] == pytest.approx(0.0)
    assert c.state_calibration([0.2, 0.9], [0.2, 0.9])["skill"] == pytest.approx(1.0)


def test_decisions_by_hand() -> None:
    truth = [True] * 4 + [False] * 6
    said = [True, True, True, False] + [True] * 2 + [False] * 4
    found = c.decisions(truth, said)
    assert found["precision"]["value"] == pytest.approx(3 / 5)
    assert found["recall"]["value"] == pytest.approx(3 / 4)
    assert found["f1"] == pytest.approx(6 / 9)
    assert found["accuracy"]["value"] == pytest.approx(0.7)
    assert found["balanced"] == pytest.approx((3 / 4 + 4 / 6) / 2)
    assert found["trivial"]["never"]["accuracy"] == pytest.approx(0.6)
    assert found["trivial"]["always"]["f1"] == pytest.approx(8 / 14)


def test_a_constant_has_no_balanced_skill_and_missing_parts_are_none() -> None:
    truth = [True, False, False, False]
    assert c.decisions(truth, [False] * 4)["balanced"] == 0.5
    assert c.decisions(truth, [False] * 4)["precision"]["value"] is None
    assert c.decisions([False] * 2, [False] * 2)["recall"]["value"] is None


@pytest.mark.parametrize("bad", [([1.2], [True]), ([], []), ([0.5, 0.5], [True])])
def test_what_cannot_be_measured_is_refused(bad: tuple[list[float], list[bool]]) -> None:
    with pytest.raises(InputError):
        c.brier(*bad)


def test_wording_is_counted_per_hundred_words() -> None:
    found = describe("How do I bake bread?", "It may take an hour, and it might never fail to bake well.")
    assert found is not None
    assert found["uncertainty"] == pytest.approx(100 * 2 / 13)
    assert found["absolutes"] == pytest.approx(100 / 13)
    assert found["context"] == pytest.approx(0.5)
    assert describe("How?", "") is None


def test_wording_is_compared_pair_by_pair() -> None:
    base = [row(f"r{i}", "compliance", reply="It is always so and never else.") for i in range(20)]
    tuned = [row(f"r{i}", "compliance", reply="It may perhaps be so and might not be.") for i in range(20)]
    table = {e["name"]: e for e in compare_wording(base, tuned)}
    assert table["uncertainty"]["difference"]["value"] > 0 > table["absolutes"]["difference"]["value"]
    assert table["uncertainty"]["difference"]["p_holm"] < 0.05 <= table["context"]["difference"]["p_holm"]
    assert compare_wording([row("a", "unscored", reply="")], [row("a", "unscored", reply="")]) == []
