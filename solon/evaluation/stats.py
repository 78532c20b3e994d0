"""Intervals, paired tests and corrections: plain functions over counts and arrays, no models and no files.

Sources: Wilson 1927 (score interval); Clopper & Pearson 1934 (exact bound); McNemar 1947, exact form; Newcombe 1998,
"Improved confidence intervals for the difference between binomial proportions based on paired data", method 10;
Holm 1979; Cohen 1960 (kappa), Fleiss, Cohen & Everitt 1969 (its standard error); Efron 1979 (bootstrap).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from solon.errors import InputError


class Interval(NamedTuple):
    """A value with its interval; all three in the unit of the value."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """tuned - base (second minus first) with its interval and two-sided p-value."""

    value: float
    low: float
    high: float
    p: float


def _z(confidence: float) -> float:
    from scipy.special import ndtri

    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence: expected a fraction strictly between 0 and 1, got {confidence!r}", mend="use 0.95")
    return float(ndtri(0.5 + confidence / 2))


def _check_count(k: int, n: int) -> None:
    if not 0 <= k <= n or n == 0:
        raise InputError(
            f"count: expected 0 <= k <= n with n > 0, got k={k}, n={n}", mend="a rate over no items is 'not measured'"
        )


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of k successes in n trials, as fractions. Raises InputError when n is 0 or k is out of range."""
    _check_count(k, n)
    z = _z(confidence)
    share = k / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At k = 0 and k = n the bound is exactly 0 or 1; rounding must not say otherwise.
    low = 0.0 if k == 0 else centre - half
    high = 1.0 if k == n else centre + half
    return Interval(share, max(0.0, low), min(1.0, high))


def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Exact two-sided binomial interval of k in n, as fractions."""
    from scipy.stats import beta

    _check_count(k, n)
    tail = (1 - confidence) / 2
    low = 0.0 if k == 0 else float(beta.ppf(tail, k, n - k + 1))
    high = 1.0 if k == n else float(beta.ppf(1 - tail, k + 1, n - k))
    return Interval(k / n, low, high)


def upper_bound(k: int, n: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound of a rate; "0 failures in n" is printed with it: 1 - (1 - confidence)**(1/n) when k = 0."""
    from scipy.stats import beta

    _check_count(k, n)
    if k == n:
        return 1.0
    return 1 - (1 - confidence) ** (1 / n) if k == 0 else float(beta.ppf(confidence, k + 1, n - k))


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact McNemar p-value from the two discordant counts (first only, second only)."""
    from scipy.stats import binom

    if b < 0 or c < 0:
        raise InputError(f"discordant counts: expected non-negative numbers, got {b} and {c}", mend="count the pairs that differ")
    return min(1.0, 2 * float(binom.cdf(min(b, c), b + c, 0.5))) if b + c else 1.0


def sign_flip_exact(nets: Sequence[int]) -> float:
    """Two-sided exact p-value that the sum of integer net changes per group is 0 when each group's sign is a fair coin.

    With one item per group the nets are -1, 0, 1 and this is `mcnemar_exact`; with several, it keeps a group together.
    """
    sizes = [abs(int(net)) for net in nets if net]
    if not sizes:
        return 1.0
    total = sum(sizes)
    chances = np.zeros(2 * total + 1)  # chances[total + s] = P(sum = s)
    chances[total] = 1.0
    for size in sizes:
        chances = 0.5 * (np.roll(chances, size) + np.roll(chances, -size))
    seen = abs(int(sum(nets)))
    return min(1.0, float(chances[: total - seen + 1].sum() + chances[total + seen :].sum())) if seen else 1.0


def newcombe_paired(both: int, first: int, second: int, neither: int, confidence: float = 0.95) -> Interval:
    """Interval of p2 - p1 for paired yes/no data (Newcombe's method 10).

    Args:
        both, first, second, neither: pairs where both say yes, only the first, only the second, neither.
    """
    n = both + first + second + neither
    one = wilson(both + first, n, confidence)
    two = wilson(both + second, n, confidence)
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    phi = 0.0
    if margins:
        product = both * neither - first * second
        phi = (max(product - n / 2, 0.0) if product > 0 else product) / math.sqrt(margins)
    down_one, up_one = one.value - one.low, one.high - one.value
    down_two, up_two = two.value - two.low, two.high - two.value
    low = math.sqrt(max(0.0, down_two**2 - 2 * phi * down_two * up_one + up_one**2))
    high = math.sqrt(max(0.0, up_two**2 - 2 * phi * up_two * down_one + down_one**2))
    value = two.value - one.value
    return Interval(value, max(-1.0, value - low), min(1.0, value + high))


def _cluster_sums(values: np.ndarray, clusters: Sequence[Hashable] | None) -> np.ndarray:
    """Rows of `values` summed by cluster: (clusters, columns), in order of first appearance."""
    if clusters is None:
        return values
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(name, len(places)) for name in clusters])
    sums = np.zeros((len(places), values.shape[1]))
    np.add.at(sums, index, values)
    return sums


def _draws(sums: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """Column sums of `resamples` bootstrap samples of rows: (resamples, columns); a chunk at a time to bound memory."""
    generator = np.random.default_rng(seed)
    count = len(sums)
    chunk = max(1, min(resamples, 2_000_000 // max(count, 1)))
    parts = []
    for start in range(0, resamples, chunk):
        picks = generator.integers(0, count, size=(min(chunk, resamples - start), count))
        parts.append(sums[picks].sum(axis=1))
    return np.concatenate(parts)


def paired_bootstrap(
    values_a: Sequence[float],
    values_b: Sequence[float],
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
    *,
    weights: Sequence[float] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Difference:
    """Difference of means (b - a) of paired values, percentile interval and p-value by resampling whole clusters.

    Args:
        values_a, values_b: one number per item, same order. With `weights` they are sums and the mean is sum/sum of weights
            (nats over tokens).
        clusters: a name per item; items of one name stay together.

    Returns:
        p is two-sided: twice the share of resamples on the far side of 0, at least 2 / (resamples + 1), and never below what an
        exact sign-flip test of so many clusters can reach, 2 / 2^clusters. It is 1 when every paired difference is 0.

    Raises:
        InputError: lengths differ, nothing to compare, or a value is not finite.
    """
    a, b = np.asarray(values_a, float), np.asarray(values_b, float)
    w = np.ones_like(a) if weights is None else np.asarray(weights, float)
    if not (len(a) == len(b) == len(w)) or len(a) == 0 or (clusters is not None and len(clusters) != len(a)):
        raise InputError(f"paired values: expected equal, non-zero lengths, got {len(a)} and {len(b)}", mend="pair items by id")
    if not (np.isfinite(a).all() and np.isfinite(b).all() and (w > 0).all()):
        raise InputError(
            "paired values: expected finite numbers and positive weights, got NaN, inf or 0", mend="drop unscored items"
        )
    difference = b - a
    value = float(difference.sum() / w.sum())
    if not difference.any():
        return Difference(0.0, 0.0, 0.0, 1.0)
    totals = _cluster_sums(np.stack([difference, w], axis=1), clusters)
    sums = _draws(totals, seed, resamples)
    means = sums[:, 0] / sums[:, 1]
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    far = min(int((means <= 0).sum()), int((means >= 0).sum()))
    least = max(2 / (resamples + 1), 2.0 ** (1 - len(totals)))
    return Difference(value, float(low), float(high), min(1.0, max(least, 2 * (far + 1) / (resamples + 1))))


def bootstrap_mean(
    values: Sequence[float],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
) -> Interval:
    """Mean (or sum of values over sum of weights) with a percentile interval over clusters."""
    v = np.asarray(values, float)
    w = np.ones_like(v) if weights is None else np.asarray(weights, float)
    if len(v) == 0 or len(v) != len(w):
        raise InputError(
            f"values: expected at least one, with a weight each, got {len(v)} and {len(w)}", mend="measure something first"
        )
    sums = _draws(_cluster_sums(np.stack([v, w], axis=1), clusters), seed, resamples)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(v.sum() / w.sum()), float(low), float(high))


def holm(pvalues: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given."""
    count = len(pvalues)
    adjusted = [1.0] * count
    running = 0.0
    for place, index in enumerate(sorted(range(count), key=lambda i: pvalues[i])):
        running = max(running, min(1.0, (count - place) * pvalues[index]))
        adjusted[index] = running
    return adjusted


def cohen_kappa(labels_a: Sequence[str], labels_b: Sequence[str]) -> Interval:
    """Cohen's kappa of two raters with its 95 % interval (Fleiss et al. 1969, large-sample standard error).

    Both raters using one and the same single label leaves kappa undefined (0/0): NaN, never 1.
    """
    if len(labels_a) != len(labels_b) or not labels_a:
        raise InputError(
            f"labels: expected equal, non-zero lengths, got {len(labels_a)} and {len(labels_b)}", mend="pair them by id"
        )
    names = sorted(set(labels_a) | set(labels_b))
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names), len(names)))
    for one, two in zip(labels_a, labels_b, strict=True):
        table[place[one], place[two]] += 1
    n = table.sum()
    table /= n
    rows, columns = table.sum(axis=1), table.sum(axis=0)
    chance = float(rows @ columns)
    if math.isclose(chance, 1.0):
        return Interval(math.nan, math.nan, math.nan)
    kappa = (float(np.trace(table)) - chance) / (1 - chance)
    diagonal = sum(table[i, i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in range(len(names)))
    crosses = sum(table[i, j] * (columns[i] + rows[j]) ** 2 for i in range(len(names)) for j in range(len(names)) if i != j)
    variance = (diagonal + (1 - kappa) ** 2 * crosses - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    half = _z(0.95) * math.sqrt(max(0.0, float(variance)))
    return Interval(kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def agreement(labels_a: Sequence[str], labels_b: Sequence[str]) -> dict[str, Any]:
    """How far two scorers agree: `percent` (0..100) with its Wilson interval, `kappa` with its interval, `n`, `confusion`.

    Items that either scorer left unscored are counted in `unscored` and take no part. With nothing left, `percent` is None.
    """
    if len(labels_a) != len(labels_b):
        raise InputError(
            f"labels: expected two lists of one length, got {len(labels_a)} and {len(labels_b)}", mend="pair them by id"
        )
    pairs = [(a, b) for a, b in zip(labels_a, labels_b, strict=True) if "unscored" not in (a, b)]
    unscored = len(labels_a) - len(pairs)
    if not pairs:
        return {"percent": None, "n": 0, "unscored": unscored, "reason": "no item was scored by both"}
    same = wilson(sum(a == b for a, b in pairs), len(pairs))
    kappa = cohen_kappa([a for a, _ in pairs], [b for _, b in pairs])
    defined = not math.isnan(kappa.value)
    return {
        "percent": 100 * same.value,
        "low": 100 * same.low,
        "high": 100 * same.high,
        "n": len(pairs),
        "unscored": unscored,
        "kappa": kappa.value if defined else None,
        "kappa_low": kappa.low if defined else None,
        "kappa_high": kappa.high if defined else None,
        "confusion": [[a, b, count] for (a, b), count in sorted(Counter(pairs).items())],
    }


def detectable_effect(n: int, base_rate: float, *, power: float = 0.8, confidence: float = 0.95) -> float:
    """Smallest fall or rise of a paired rate (fraction) that n items show with the given power, at worst-case discordance.

    Normal approximation of McNemar's test (Connor 1987) with independent answers: discordance p(1-q) + q(1-p) at q = p +- d.
    Returns 1.0 when not even a change of everything would be seen.
    """
    _check_count(0, n)
    if not 0.0 <= base_rate <= 1.0:
        raise InputError(f"base rate: expected a fraction from 0 to 1, got {base_rate!r}", mend="divide percent by 100")
    from scipy.special import ndtri

    z_test, z_power = _z(confidence), float(ndtri(power))
    sign = -1.0 if base_rate > 0.5 else 1.0
    for step in range(1, 1001):
        effect = step / 1000
        other = base_rate + sign * effect
        if not 0.0 <= other <= 1.0:
            return 1.0
        discordance = base_rate * (1 - other) + other * (1 - base_rate)
        needed = (z_test * math.sqrt(discordance) + z_power * math.sqrt(max(0.0, discordance - effect**2))) ** 2 / effect**2
        if needed <= n:
            return effect
    return 1.0
