"""Statistics against values worked by hand, printed in the literature, or given by scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from solon.errors import InputError
from solon.evaluation import stats


@pytest.mark.parametrize(("k", "n"), [(0, 60), (5, 10), (197, 200), (60, 60), (1, 3)])
def test_wilson_and_exact_intervals_agree_with_scipy(k: int, n: int) -> None:
    for ours, method in ((stats.wilson, "wilson"), (stats.clopper_pearson, "exact")):
        theirs = binomtest(k, n).proportion_ci(0.95, method=method)
        found = ours(k, n)
        assert found.value == k / n
        assert found.low == pytest.approx(theirs.low, abs=1e-12)
        assert found.high == pytest.approx(theirs.high, abs=1e-12)


def test_the_numbers_of_decision_34() -> None:
    assert stats.upper_bound(0, 60) == pytest.approx(0.049, abs=5e-4)
    assert stats.upper_bound(0, 1000) == pytest.approx(0.003, abs=1e-4)
    assert stats.wilson(197, 200).low > 0.95 > stats.wilson(196, 200).low
    assert stats.wilson(964, 1000).low > 0.95 > stats.wilson(963, 1000).low


def test_upper_bound_with_failures_is_the_one_sided_exact_bound() -> None:
    assert stats.upper_bound(2, 50) == pytest.approx(binomtest(2, 50, alternative="less").proportion_ci(0.95).high)
    assert stats.upper_bound(5, 5) == 1.0


@pytest.mark.parametrize(("k", "n"), [(0, 0), (3, 2), (-1, 4)])
def test_a_rate_over_nothing_is_refused(k: int, n: int) -> None:
    with pytest.raises(InputError, match="count"):
        stats.wilson(k, n)


def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs() -> None:
    assert stats.mcnemar_exact(0, 0) == 1.0
    assert stats.mcnemar_exact(0, 5) == pytest.approx(2 / 32)
    assert stats.mcnemar_exact(3, 3) == 1.0
    assert stats.mcnemar_exact(2, 11) == pytest.approx(binomtest(2, 13).pvalue)
    with pytest.raises(InputError):
        stats.mcnemar_exact(-1, 2)


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=40))
def test_sign_flip_with_single_items_is_mcnemar(nets: list[int]) -> None:
    assert stats.sign_flip_exact(nets) == pytest.approx(stats.mcnemar_exact(nets.count(-1), nets.count(1)))


def test_sign_flip_counts_a_group_once() -> None:
    # Sums of +-2 +-3: -5, -1, 1, 5, a quarter each; |sum| >= 5 has chance 1/2.
    assert stats.sign_flip_exact([2, 3]) == pytest.approx(0.5)
    assert stats.sign_flip_exact([10]) == 1.0
    # Five groups of four items that all change: 2 / 2**5, where 20 separate items would give 2 / 2**20.
    assert stats.sign_flip_exact([4] * 5) == pytest.approx(2 / 32)


def test_newcombe_paired_matches_the_published_example() -> None:
    # Newcombe 1998, table III, example 1a (36, 12, 2, 0): method 10 gives 0.2000 (0.0569 to 0.3404).
    found = stats.newcombe_paired(36, 2, 12, 0)
    assert found.value == pytest.approx(0.2)
    assert found.low == pytest.approx(0.0569, abs=5e-4)
    assert found.high == pytest.approx(0.3404, abs=5e-4)
    still = stats.newcombe_paired(30, 0, 0, 20)
    assert still.low < 0 < still.high


@pytest.mark.slow
def test_bootstrap_agrees_with_the_normal_interval_and_keeps_clusters() -> None:
    generator = np.random.default_rng(5)
    a = generator.normal(size=400)
    b = a + generator.normal(0.2, 1.0, size=400)
    found = stats.paired_bootstrap(a, b, seed=1)
    half = 1.96 * np.std(b - a, ddof=1) / math.sqrt(400)
    assert found.value == pytest.approx(float(np.mean(b - a)))
    assert found.high - found.low == pytest.approx(2 * half, rel=0.08)
    assert found.p < 0.01
    assert stats.paired_bootstrap(a, b, seed=1) == found
    # Every item four times over, in clusters: the interval must not shrink.
    copied = stats.paired_bootstrap(np.repeat(a, 4), np.repeat(b, 4), seed=1, clusters=np.repeat(np.arange(400), 4).tolist())
    assert copied.high - copied.low == pytest.approx(found.high - found.low, rel=0.05)


def test_bootstrap_of_ratios_and_its_refusals() -> None:
    found = stats.paired_bootstrap([10.0, 40.0], [12.0, 44.0], weights=[10, 20])
    assert found.value == pytest.approx(6 / 30)
    assert stats.paired_bootstrap([1.0, 2.0], [1.0, 2.0]) == stats.Difference(0.0, 0.0, 0.0, 1.0)
    assert stats.paired_bootstrap([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]).p == 0.25  # three items can't say more: 2 / 2^3
    for bad in (([1.0], [1.0, 2.0]), ([], []), ([math.nan], [1.0])):
        with pytest.raises(InputError):
            stats.paired_bootstrap(*bad)


def test_holm_by_hand() -> None:
    # 0.01*4 = 0.04; 0.02*3 = 0.06; 0.03*2 = 0.06; 0.04*1 = 0.04 raised to 0.06.
    assert stats.holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_and_keeps_order(pvalues: list[float]) -> None:
    adjusted = stats.holm(pvalues)
    assert all(q >= p and q <= 1 for p, q in zip(pvalues, adjusted, strict=True))
    order = sorted(range(len(pvalues)), key=lambda i: pvalues[i])
    assert all(adjusted[a] <= adjusted[b] for a, b in itertools.pairwise(order))


def test_kappa_by_hand() -> None:
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: observed 0.70, chance 0.50, kappa 0.40.
    a = ["y"] * 25 + ["n"] * 25
    b = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    found = stats.cohen_kappa(a, b)
    assert found.value == pytest.approx(0.4)
    # Standard error by the formula of Fleiss, Cohen and Everitt: 0.1276.
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * 0.1276, abs=2e-3)
    assert math.isnan(stats.cohen_kappa(["y", "y"], ["y", "y"]).value)


def test_agreement_counts_what_was_not_scored() -> None:
    found = stats.agreement(["refusal", "compliance", "unscored", "refusal"], ["refusal", "refusal", "refusal", "refusal"])
    assert found["percent"] == pytest.approx(200 / 3)
    assert (found["n"], found["unscored"]) == (3, 1)
    assert stats.agreement(["unscored"], ["refusal"])["percent"] is None
    same = stats.agreement(["refusal"] * 4, ["refusal"] * 4)
    assert same["percent"] == 100.0 and same["kappa"] is None


def test_detectable_effect_shrinks_with_n() -> None:
    effects = [stats.detectable_effect(n, 0.9) for n in (50, 150, 600)]
    assert effects == sorted(effects, reverse=True)
    # At the effect found for 150 items the power formula gives back at most 150 items.
    d = effects[1]
    psi = 0.9 * (1 - (0.9 - d)) + (0.9 - d) * 0.1
    assert (1.95996 * math.sqrt(psi) + 0.84162 * math.sqrt(psi - d * d)) ** 2 / d**2 <= 150
