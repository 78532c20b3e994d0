"""Reviews every ten trades, and that what they tighten is what decisions go by: in the log, over restarts, never looser."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from solon.constitution import load
from solon.errors import ConstitutionError, InputError
from solon.governance.governor import Governor
from solon.governance.performance import Performance
from solon.governance.rerun import rerun
from solon.ledger.storage import Ledger
from solon.policy.types import Refused
from tests.governance.people import LEDGER_KEY
from tests.policy.samples import NOW, state


def order(name: str, qty: str = "100") -> dict[str, str]:
    return {"id": name, "agent": "x", "kind": "order", "symbol": "ACME", "side": "buy", "qty": qty, "stop_price": "95", "ts": NOW}


def losing(performance: Performance, n: int = 10) -> list[object]:
    return [performance.trade("buffett", "-0.02" if number % 10 else "-0.01") for number in range(n)]


def test_a_review_at_every_tenth_trade_and_of_each_agent() -> None:
    performance = Performance(Governor("trading"))
    found = losing(performance, 20)
    assert [number for number, review in enumerate(found, 1) if review is not None] == [10, 20]
    assert performance.trade("lynch", "0.01") is None, "one trade of another agent"
    for bad in ("x", "NaN", "", "1e5"):
        with pytest.raises(Refused):
            performance.trade("lynch", bad)
    assert len(performance.trades["lynch"]) == 1


def test_what_is_tightened_decides_is_logged_and_comes_back(tmp_path: Path) -> None:
    account = state()
    with Ledger.open(tmp_path / "l.db", LEDGER_KEY) as book:
        governor = Governor("trading", ledger=book)
        performance = Performance(governor)
        assert governor.decide(order("a"), account).outcome == "allow"
        review = losing(performance)[-1]
        assert review is not None and review.poor and review.adaptation_rate == Fraction(1, 2)  # type: ignore[attr-defined]
        assert governor.tightened == {"max_risk_per_trade_pct": "1.00", "max_position_size_pct": "10.00"}
        verdict = governor.decide(order("b"), account)
        size = next(reason for reason in verdict.reasons if reason.code == "max_position_size_pct")
        assert verdict.outcome == "deny" and size.bound == "10" and size.status == "breach"
        losing(performance, 4)
    with Ledger.open(tmp_path / "l.db", LEDGER_KEY) as book:
        governor = Governor("trading", ledger=book)
        assert governor.tightened["max_position_size_pct"] == "10.00" and governor.decide(order("c"), account).outcome == "deny"
        performance = Performance(governor)
        assert len(performance.trades["buffett"]) == 14 and performance.rates["buffett"] == Fraction(1, 2)
        again = losing(performance, 6)[-1]
        assert again is not None and governor.tightened["max_position_size_pct"] == "5.00", "on from where it stood"
        assert governor.decide(order("d"), account).outcome == "deny"
        report = rerun(book)
        assert report.same == report.decisions == 4
        loosened = [item.action for item in rerun(book, load("trading")).changed]
        assert "b" in loosened, "the constitution as it is written would have allowed it"


def test_nothing_is_ever_loosened_without_signatures(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l.db", LEDGER_KEY) as book:
        governor = Governor("trading", ledger=book)
        governor.tighten({"max_position_size_pct": "8"})
        for wrong in (
            {"max_position_size_pct": "8.01"},
            {"max_position_size_pct": "20"},
            {"max_leverage": "3"},
            {"consensus_threshold": "0.5"},
            {"max_leverage": "1e-3"},
            {"max_leverage": "-1"},
            {"nothing": "1"},
        ):
            with pytest.raises(InputError):
                governor.tighten(wrong)
        for wrong in ({"halt_trading_threshold": "11"}, {"consensus_threshold": "0.9"}, {"max_position_size_pct": "7.0001"}):
            with pytest.raises(ConstitutionError):  # out of order, kept elsewhere, finer than a basis point
                governor.tighten(wrong)
        assert governor.tightened == {"max_position_size_pct": "8"}
        kinds = [entry.record["kind"] for entry in book.of_kind("tightening", "refusal")]
        assert kinds == ["tightening"] + 10 * ["refusal"]


def test_success_tightens_nothing_and_loosens_nothing() -> None:
    governor = Governor("trading")
    performance = Performance(governor)
    for number in range(60):
        performance.trade("lynch", "0.02" if number % 3 else "-0.01")
    assert governor.tightened == {}


def test_a_review_that_a_crash_cut_off_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Ledger.open(tmp_path / "l.db", LEDGER_KEY) as book:
        performance = Performance(Governor("trading", ledger=book))
        losing(performance, 9)
        monkeypatch.setattr(performance, "_review", lambda agent, trades: None)
        performance.trade("buffett", "-0.02")
        governor = Governor("trading", ledger=book)
        assert Performance(governor).trade("buffett", "-0.03") is not None and governor.tightened
