"""Agreement equals published worked examples and the krippendorff package; intervals and refusals."""

from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from solon.data.agreement import LEVELS, Ratings, agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha, load_ratings
from solon.errors import DataError

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers, twelve units, missing values.
FOUR = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]
# Fleiss (1971) as restated with 14 raters, 10 subjects, 5 categories; kappa 0.210.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def ratings(columns: list[list[float | None]]) -> Ratings:
    cells = [[None if v is None else repr(float(v)) for v in row] for row in zip(*columns, strict=True)]
    return Ratings([str(i) for i in range(len(cells))], [f"r{i}" for i in range(len(columns))], cells)


@pytest.mark.slow
def test_krippendorff_2011() -> None:
    found = agreement(ratings(FOUR))["krippendorff_alpha"]
    assert round(found["nominal"]["value"], 3) == 0.743
    assert round(found["ordinal"]["value"], 3) == 0.815
    assert round(found["interval"]["value"], 3) == 0.849
    assert round(found["ratio"]["value"], 3) == 0.797


def test_fleiss_1971_and_cohen_by_hand() -> None:
    assert round(fleiss_kappa(np.array(FLEISS, float)), 3) == 0.210
    # observed (20 + 15) / 50 = 0.7; by chance 0.5 x 0.6 + 0.5 x 0.4 = 0.5; (0.7 - 0.5) / 0.5 = 0.4
    assert cohen_kappa(np.array([[20.0, 5.0], [10.0, 15.0]])) == pytest.approx(0.4)


values = st.none() | st.integers(0, 4)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(values, min_size=n, max_size=n), min_size=2, max_size=10)))
def test_alpha_equals_the_krippendorff_package(rows: list[list[int | None]]) -> None:
    own = ratings([list(column) for column in zip(*rows, strict=True)])
    pairable = [v for row in rows if sum(x is not None for x in row) >= 2 for v in row if v is not None]
    assume(len(set(pairable)) >= 2)
    data = np.array([[np.nan if v is None else v for v in column] for column in zip(*rows, strict=True)], dtype=float)
    for level in LEVELS:
        numbers = [float(v) for v in own.values()]
        expected = krippendorff.alpha(data, level_of_measurement=level)
        assert krippendorff_alpha(own.counts(), level, numbers) == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
def test_intervals_hold_the_value_and_shrink_with_more_items() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    columns = [[int(t if rng.random() < 0.8 else rng.integers(0, 3)) for t in truth] for _ in range(2)]
    widths = []
    for n in (40, 400):
        found = agreement(ratings([c[:n] for c in columns]), ("nominal",))
        for value in (found["krippendorff_alpha"]["nominal"], found["fleiss_kappa"], found["cohen_kappa"][0]):
            assert value["low"] < value["value"] < value["high"] and value["n"] == n
        alpha = found["krippendorff_alpha"]["nominal"]
        widths.append(alpha["high"] - alpha["low"])
    assert widths[1] < widths[0] / 2


def test_what_is_not_defined_is_null() -> None:
    same = agreement(ratings([[1, 1, 1], [1, 1, 1]]))
    assert same["krippendorff_alpha"]["nominal"]["value"] is None and same["fleiss_kappa"]["value"] is None
    apart = agreement(ratings([[1, None], [None, 2]]))
    assert apart["krippendorff_alpha"]["nominal"]["value"] is None
    assert apart["fleiss_kappa"] is None and apart["cohen_kappa"] == []


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_long_and_wide_files_give_the_same(tmp_path: Path) -> None:
    wide = load_ratings(write(tmp_path / "w.csv", "item,ann,bob\n1,yes,yes\n2,no,yes\n3,NA,no\n"))
    text = "item,rater,rating\n1,ann,yes\n1,bob,yes\n2,ann,no\n2,bob,yes\n3,bob,no\n"
    long = load_ratings(write(tmp_path / "l.csv", text))
    assert wide.cells == long.cells == [["yes", "yes"], ["no", "yes"], [None, "no"]]
    found = agreement(wide)
    assert list(found["krippendorff_alpha"]) == ["nominal"] and (found["ratings"], found["missing"]) == (5, 1)
    assert load_ratings(write(tmp_path / "n.csv", "a,b\n1,1.0\n2,3\n")).cells[0] == ["1.0", "1.0"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item,rater,rating\n1,ann,1\n1,ann,2\n2,bob,1\n", "rated item '1' twice"),
        ("item,ann\n1,2\n2,3\n", "at least 2 raters"),
        ("item,ann,bob\n1,2,2\n", "at least 2 raters and 2 items, got 2 and 1"),
        ("item,ann,bob\n1,2\n", "expected 3 columns"),
    ],
)
def test_bad_rating_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_ratings(write(tmp_path / "f.csv", text))


def test_interval_needs_numbers() -> None:
    words = Ratings(["1", "2"], ["a", "b"], [["x", "y"], ["x", "x"]])
    with pytest.raises(DataError, match="interval"):
        agreement(words, ("interval",))


def test_what_is_no_scale_is_refused(tmp_path: Path) -> None:
    texts = tmp_path / "t.csv"
    texts.write_text("item,ann,bob\n" + "".join(f"{i},a{i},b{i}\n" for i in range(150)))
    with pytest.raises(DataError, match="at most 200 different texts, got 300"):
        agreement(load_ratings(texts))
    endless = tmp_path / "e.csv"
    endless.write_text("item,ann,bob\n1,inf,1\n2,2,2\n")
    with pytest.raises(DataError, match="finite numbers"):
        agreement(load_ratings(endless))
