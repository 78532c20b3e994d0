"""Agreement between raters: Krippendorff's alpha, Cohen's and Fleiss' kappa, each with a bootstrap interval over the items.

Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability"; Cohen (1960); Fleiss (1971), "Measuring nominal scale agreement
among many raters". Intervals are 95 % percentiles of 2,000 resamples of the items, seeded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from solon.data.reading import Notes, kind_of_file, rows
from solon.errors import DataError

if TYPE_CHECKING:
    import numpy as np

Level = Literal["nominal", "ordinal", "interval", "ratio"]
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval", "ratio")
RESAMPLES = 2000
MOST_CATEGORIES = 200  # texts; more are hardly a scale
MOST_NUMBERS = 2000
ITEM_COLUMNS = ("item", "item_id", "unit", "unit_id", "id", "prompt_id", "example_id", "subject")
RATER_COLUMNS = ("rater", "rater_id", "annotator", "annotator_id", "coder", "judge")
VALUE_COLUMNS = ("rating", "value", "label", "score", "code")
MISSING = ("", "na", "n/a", "nan", "null", "none", "*", ".")


class Ratings:
    """Ratings as text, items x raters; a missing one is None.

    Attributes:
        items, raters: names, in the order of the file.
        cells: one list per item, one entry per rater.
    """

    def __init__(self, items: Sequence[str], raters: Sequence[str], cells: Sequence[Sequence[str | None]]) -> None:
        self.items, self.raters, self.cells = list(items), list(raters), [list(row) for row in cells]

    def numbers(self) -> bool:
        """Whether every rating is a number."""
        try:
            return all(float(value) == float(value) for row in self.cells for value in row if value is not None)
        except ValueError:
            return False

    def values(self) -> list[str]:
        """The distinct ratings: by size when all are numbers (1 and 1.0 are one value), else by name."""
        found = {value for row in self.cells for value in row if value is not None}
        return sorted(found, key=float) if self.numbers() else sorted(found)

    def counts(self) -> np.ndarray:
        """How many raters gave each item each value: shape (items, values)."""
        import numpy as np

        place = {value: i for i, value in enumerate(self.values())}
        table = np.zeros((len(self.items), len(place)))
        for row, ratings in enumerate(self.cells):
            for value in ratings:
                if value is not None:
                    table[row, place[value]] += 1
        return table


def load_ratings(path: str | Path) -> Ratings:
    """Ratings of a file: one row per rating (item, rater, rating), or one row per item with a column for each rater.

    Raises:
        DataError: unreadable, fewer than two raters or items, or a rater who rated an item twice.
    """
    where = Path(path)
    if kind_of_file(where) == "txt":
        raise DataError(
            f"{where}: expected .csv, .tsv, .jsonl or .parquet, got .txt", mend="give the columns names in a first line"
        )
    table = [row for _, row in rows(where, Notes(where, 0.0))]
    names = {str(name).strip().lower(): name for name in table[0]}
    item = next((names[n] for n in ITEM_COLUMNS if n in names), None)
    rater = next((names[n] for n in RATER_COLUMNS if n in names), None)
    value = next((names[n] for n in VALUE_COLUMNS if n in names), None)
    found = _long(where, table, item, rater, value) if item and rater and value else _wide(table, item)
    if len(found.raters) < 2 or len(found.items) < 2:
        raise DataError(
            f"{where}: expected at least 2 raters and 2 items, got {len(found.raters)} and {len(found.items)}",
            mend="columns item, rater, rating; or one column for each rater",
        )
    return found


def _cell(value: Any) -> str | None:
    text = "" if value is None else str(value).strip()
    if text.lower() in MISSING:
        return None
    try:
        return repr(float(text))  # so that 1, 1.0 and 01 are one value
    except ValueError:
        return text


def _long(where: Path, table: Sequence[Mapping[str, Any]], item: str, rater: str, value: str) -> Ratings:
    items, raters = list(dict.fromkeys(str(r[item]) for r in table)), list(dict.fromkeys(str(r[rater]) for r in table))
    cells: list[list[str | None]] = [[None] * len(raters) for _ in items]
    row_of, column_of = {name: i for i, name in enumerate(items)}, {name: i for i, name in enumerate(raters)}
    seen = set()
    for number, row in enumerate(table, 2):
        place = row_of[str(row[item])], column_of[str(row[rater])]
        if place in seen:
            raise DataError(f"{where}:{number}: rater {row[rater]!r} rated item {row[item]!r} twice", mend="keep one of the two")
        seen.add(place)
        cells[place[0]][place[1]] = _cell(row[value])
    return Ratings(items, raters, cells)


def _wide(table: Sequence[Mapping[str, Any]], item: str | None) -> Ratings:
    raters = [name for name in table[0] if name != item]
    items = [str(row[item]) if item else str(i) for i, row in enumerate(table, 1)]
    return Ratings(items, raters, [[_cell(row.get(name)) for name in raters] for row in table])


def krippendorff_alpha(counts: np.ndarray, level: Level = "nominal", values: Sequence[float] | None = None) -> float | None:
    """1 - D_o / D_e over the pairable ratings (items with at least two).

    Args:
        counts: (items, values), the columns in the values' order.
        values: the values as numbers, for `interval` and `ratio`.

    Returns:
        None when there is nothing to pair, or every rating is the same value (D_e = 0).
    """
    import numpy as np

    pairable = counts[counts.sum(axis=1) >= 2]
    if not len(pairable):
        return None
    per_item = pairable.sum(axis=1, keepdims=True) - 1
    coincidences = (pairable / per_item).T @ pairable - np.diag((pairable / per_item).sum(axis=0))
    totals = coincidences.sum(axis=0)
    distances = _distances(level, totals, values)
    expected = totals @ distances @ totals / (totals.sum() - 1)
    if expected <= 0:
        return None
    return float(1 - (coincidences * distances).sum() / expected)


def _distances(level: Level, totals: np.ndarray, values: Sequence[float] | None) -> np.ndarray:
    """Squared distances between values (Krippendorff 2011, part D)."""
    import numpy as np

    n = len(totals)
    if level == "nominal":
        return 1 - np.eye(n)
    if level == "ordinal":
        ranks = np.cumsum(totals) - totals / 2
        return (ranks[:, None] - ranks[None, :]) ** 2
    if values is None:
        raise DataError(f"agreement: expected numbers for the {level} level, got text", mend="use --level nominal")
    at = np.asarray(values, dtype=float)
    apart = at[:, None] - at[None, :]
    if level == "interval":
        return apart**2
    if (at < 0).any():
        raise DataError(
            f"agreement: expected numbers of at least 0 for the ratio level, got {at.min():g}", mend="use --level interval"
        )
    both = at[:, None] + at[None, :]
    return np.divide(apart, both, out=np.zeros_like(apart), where=both > 0) ** 2


def fleiss_kappa(counts: np.ndarray) -> float | None:
    """Fleiss' kappa; every item must have the same number of ratings n >= 2. None when chance agreement is complete."""
    n = counts[0].sum()
    shares = counts.sum(axis=0) / counts.sum()
    observed = ((counts**2).sum(axis=1) - n).mean() / (n * (n - 1))
    by_chance = (shares**2).sum()
    return None if by_chance >= 1 else float((observed - by_chance) / (1 - by_chance))


def cohen_kappa(table: np.ndarray) -> float | None:
    """Cohen's kappa of a square table: how often the first rater said row and the second column. None when chance is complete."""
    shares = table / table.sum()
    by_chance = float(shares.sum(axis=1) @ shares.sum(axis=0))
    return None if by_chance >= 1 else float((shares.trace() - by_chance) / (1 - by_chance))


def _interval(statistic: Callable[[np.ndarray], float | None], n: int, seed: int) -> dict[str, Any]:
    """{value, low, high, n}: the statistic of items 0..n-1 with its bootstrap interval; nulls when it is not defined."""
    import numpy as np

    value = statistic(np.arange(n))
    rng = np.random.default_rng(seed)
    drawn = (statistic(rng.integers(0, n, n)) for _ in range(RESAMPLES if value is not None else 0))
    found = [x for x in drawn if x is not None]
    low, high = (float(q) for q in np.quantile(found, (0.025, 0.975))) if found else (None, None)
    return {"value": value, "low": low, "high": high, "n": n}


def agreement(ratings: Ratings, levels: Sequence[Level] | None = None, seed: int = 0) -> dict[str, Any]:
    """Every measure that the ratings allow, as {value, low, high, n}.

    Returns:
        items, raters, ratings, missing, values; `krippendorff_alpha` by level (nominal for any ratings, ordinal and interval for
        numbers, ratio for numbers of at least 0, unless asked otherwise); `fleiss_kappa` over the items that all raters rated;
        `cohen_kappa` by pair of raters, over the items that both rated.
    """
    values = ratings.values()
    numbers = [float(v) for v in values] if ratings.numbers() else None
    _require_scale(values, numbers)
    counts = ratings.counts()
    if levels is None:
        levels = ("nominal",) if numbers is None else LEVELS if min(numbers, default=0) >= 0 else LEVELS[:-1]
    alphas = {level: _interval(partial(_alpha_of, counts, level, numbers), len(counts), seed) for level in levels}
    given = sum(value is not None for row in ratings.cells for value in row)
    complete = counts[counts.sum(axis=1) == len(ratings.raters)]
    fleiss = _interval(lambda pick: fleiss_kappa(complete[pick]), len(complete), seed) if len(complete) else None
    return {
        "items": len(ratings.items),
        "raters": len(ratings.raters),
        "ratings": given,
        "missing": len(ratings.items) * len(ratings.raters) - given,
        "values": values if numbers is None else [int(x) if x.is_integer() else x for x in numbers],
        "krippendorff_alpha": alphas,
        "fleiss_kappa": fleiss,
        "cohen_kappa": _pairs(ratings, seed),
        "interval": f"95 % percentile bootstrap over items, {RESAMPLES} resamples, seed {seed}",
    }


def _require_scale(values: Sequence[str], numbers: Sequence[float] | None) -> None:
    most = MOST_CATEGORIES if numbers is None else MOST_NUMBERS
    if len(values) > most:
        kind = "texts" if numbers is None else "numbers"
        raise DataError(
            f"agreement: expected ratings on a scale, at most {most:,} different {kind}, got {len(values):,}",
            mend="give columns item, rater, rating only, or round the numbers",
        )
    if numbers is not None and not all(math.isfinite(x) for x in numbers):
        raise DataError(
            "agreement: expected finite numbers, got inf or nan", mend="leave the cell empty where a rating is missing"
        )


def _alpha_of(counts: np.ndarray, level: Level, numbers: Sequence[float] | None, pick: np.ndarray) -> float | None:
    return krippendorff_alpha(counts[pick], level, numbers)


def _pairs(ratings: Ratings, seed: int) -> list[dict[str, Any]]:
    import numpy as np

    place = {value: i for i, value in enumerate(ratings.values())}
    found = []
    for a, b in itertools.combinations(range(len(ratings.raters)), 2):
        rated = [(row[a], row[b]) for row in ratings.cells]
        both = [(place[one], place[other]) for one, other in rated if one is not None and other is not None]
        if not both:
            continue
        pairs = np.array(both)

        def kappa(pick: np.ndarray, pairs: np.ndarray = pairs) -> float | None:
            table = np.zeros((len(place), len(place)))
            np.add.at(table, (pairs[pick, 0], pairs[pick, 1]), 1)
            return cohen_kappa(table)

        found.append({"raters": [ratings.raters[a], ratings.raters[b]], **_interval(kappa, len(pairs), seed)})
    return found
