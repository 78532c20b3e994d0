"""The trading examples, run: the documented scenarios, and real crashes where the prices are at hand."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from solon.constitution import load
from solon.policy.assess import Judge

ROOT = Path(__file__).parents[2]
PRICES = ROOT.parent / "shared" / "data" / "prices"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_the_documented_crises(tmp_path: Path) -> None:
    """A13: reduce as everything falls together, no-new at 8 % in fifteen minutes. A14: reduce by a correlation of 0.92."""
    found = example("scenarios").crises(tmp_path)
    assert set(found["A13"].rungs) == {"normal", "reduce", "no_new"} and float(found["A13"].worst_drawdown_pct) >= 12
    rows = {row["ts"]: row for row in table(tmp_path / "A13" / "decisions.csv")}
    assert rows[found["A13"].rungs["no_new"]]["flash_crash"] == "1" and found["A13"].rungs["no_new"] == "2026-11-20T15:44:00Z"
    assert {row["flash_crash"] for row in list(rows.values())[1:60]} == {"0"}
    voted = {row["proposal_id"]: row for row in table(tmp_path / "A13" / "decisions.csv") if row["proposal_id"]}
    assert (voted["A7"]["decision"], voted["A7"]["vote_action"]) == ("escalate", "sell")
    assert (voted["A8"]["decision"], voted["A8"]["vote_action"]) == ("modify", "reduce_exposure")
    assert set(found["A14"].rungs) == {"normal", "reduce"} and float(found["A14"].worst_drawdown_pct) < 5
    first = next(row for row in table(tmp_path / "A14" / "decisions.csv") if row["ladder"] == "reduce")
    assert float(first["weighted_correlation"]) >= 0.9 and "trigger:correlation_breakdown" in first["reasons"]
    for name in ("A13", "A14"):
        assert (tmp_path / name / "ladder.png").stat().st_size > 20_000


def test_the_documented_proposals() -> None:
    scenarios = example("scenarios")
    texts = [scenarios.proposal(share, leverage, stop) for _, share, leverage, stop in scenarios.PROPOSALS]
    assert all("DENY" in text for text in texts)
    assert "35 % x 50 % = 17.5 %" in texts[0] and "Buy at most 133 COIN" in texts[0]
    assert all("max_leverage" in text for text in texts[3:]) and "gross 3.5 x" in texts[4]


def test_the_documented_reviews_have_the_documented_figures() -> None:
    """Win rates and Sharpe ratios as given; ten trades show no change of the win rate, but a Sharpe ratio below 0."""
    from solon.governance.learning import review_trades

    scenarios = example("scenarios")
    (_, *falling), (_, *rising) = scenarios.REVIEWS
    down, up = (
        review_trades([*scenarios.trades(*before), *scenarios.trades(*now)], load("trading")) for before, now in (falling, rising)
    )
    assert (down.before.win_rate, down.now.win_rate) == (0.58, 0.4)
    assert (round(down.before.sharpe or 0, 9), round(down.now.sharpe or 0, 9)) == (0.42, -0.85)
    assert (down.finding, down.poor, up.finding, up.poor) == ("no_evidence", True, "no_evidence", False)
    assert down.tightening and not up.tightening


@pytest.mark.slow
@pytest.mark.skipif(not PRICES.exists(), reason="the shared prices are not here")
def test_1987_with_and_without(tmp_path: Path) -> None:
    """The free book's figures follow from the closing prices alone; the governed one holds a fifth and loses a tenth as much."""
    crashes = example("crashes")
    case = crashes.CASES[0]
    result, _ = crashes.run(case, PRICES, tmp_path, Judge.of(load("trading")), plots=False)
    with gzip.open(PRICES / "gspc_daily_1927_2023.csv.gz", "rt") as file:
        closes = {row["Date"]: float(row["Close"]) for row in csv.DictReader(file) if case.first <= row["Date"] <= case.last}
    start = next(iter(closes.values()))
    units = [1 + 2 * (close / start - 1) for close in closes.values()]
    free, ladder, governed = result["without"], result["ladder only"], result["constitution"]
    assert float(free["final"]) == pytest.approx(units[-1], abs=1e-4)
    assert float(free["lowest"]) == pytest.approx(min(units), abs=1e-4)
    assert governed["leverage at the start"] == "0.20" and float(governed["largest drawdown"].rstrip("%")) < 5
    assert float(ladder["lowest"]) > 2 * float(free["lowest"])
    rungs = result["ladder, as the replay sees each book"]
    assert list(rungs["without"]) == ["normal", "reduce", "killed"] and list(rungs["constitution"]) == ["normal"]
    with (tmp_path / "1987_index_daily" / "replay-without" / "summary.json").open() as file:
        assert json.load(file)["worst_drawdown_pct"] == free["largest drawdown"].rstrip("%")


@pytest.mark.skipif(not PRICES.exists(), reason="the shared prices are not here")
@pytest.mark.slow
def test_2020_is_cut_short_by_stops_and_ladder(tmp_path: Path) -> None:
    crashes = example("crashes")
    result, _ = crashes.run(crashes.CASES[2], PRICES, tmp_path, Judge.of(load("trading")), plots=False)
    assert float(result["without"]["lowest"]) < 0.3 < 0.8 < float(result["constitution"]["lowest"])
    bought = {line.split(":")[0]: line for line in result["bought under the constitution"]}
    assert "max_correlation_critical" in bought["QQQ"] and bought["QQQ"].startswith("QQQ: 0 of")
