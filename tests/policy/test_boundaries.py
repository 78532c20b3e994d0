"""Each documented key a basis point (or the smallest step) below its bound, at it, and beyond it, under the shipped constitution.

The account: equity 100,000, one share of ACME at 100 is 0.1 % of equity. All thirty limits are on; figures worked by hand.
"""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction as F
from typing import Any

import pytest

from solon.constitution import load
from solon.constitution.keys import DOCUMENTED
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.council import Vote, Voter, tally
from solon.policy.ladder import LadderState, Observation, step
from solon.policy.types import Ladder

from .samples import order, position, state

TRADING = load("trading")
JUDGE = Judge.of(TRADING)
Case = tuple[dict[str, Any], dict[str, Any], str, str, str | None]  # order, state, outcome, status of the key, measured


def book(count: int, qty: str, sector: str = "") -> list[dict[str, Any]]:
    """Several issuers, each in a sector of its own (or all in one)."""
    return [position(f"P{i}", qty, sector=sector or f"sector {i}") for i in range(count)]


def wide(qty: str) -> dict[str, Any]:
    """Nine holdings of 15,000 and one of `qty` shares, gross 135,000 + 100 x qty, with equity 100,000."""
    held = [*book(9, "150"), position("LAST", qty, sector="last"), position()]
    return {"positions": held, "cash": format(100_000 - 135_000 - 100 * D(qty), "f")}


def cash(amount: str, **more: Any) -> dict[str, Any]:
    return {"cash": amount, **more}


HELD = [position("A", "10"), position()]


def measures(name: str, value: str | None) -> dict[str, Any]:
    return {"positions": HELD, "cash": "99000", "measures": {name: value}}


def unit(value: str) -> dict[str, Any]:
    return {"nav_unit": value}


SMALL = {"qty": "10"}  # 1 % of equity
TABLE: dict[str, list[Case]] = {
    "max_position_size_pct": [  # 199.9 x 100 = 19.99 %
        ({"qty": "199.9"}, {}, "allow", "ok", "19.99"),
        ({"qty": "200"}, {}, "allow", "ok", "20"),
        ({"qty": "200.1"}, {}, "deny", "breach", "20.01"),
    ],
    "max_position_size_leveraged_pct": [  # 50 x 100 x 3 = 15 %
        ({"qty": "49.96"}, {"positions": [position(product_leverage="3")]}, "allow", "ok", "14.99"),
        ({"qty": "50"}, {"positions": [position(product_leverage="3")]}, "allow", "ok", "15"),
        ({"qty": "50.03"}, {"positions": [position(product_leverage="3")]}, "deny", "breach", "15.01"),
        ({"qty": "1"}, {"positions": [position(product_leverage=None)]}, "deny", "unknown", None),
    ],
    "min_position_size_pct": [
        ({"qty": "1.1"}, {}, "allow", "ok", "0.11"),
        ({"qty": "1"}, {}, "allow", "ok", "0.1"),
        ({"qty": "0.9"}, {}, "deny", "breach", "0.09"),
    ],
    "max_leverage": [
        ({"qty": "199", "stop": "99.5"}, wide("450"), "allow", "ok", "1.999"),  # 135,000 + 45,000 + 19,900
        ({"qty": "200", "stop": "99.5"}, wide("450"), "allow", "ok", "2"),
        ({"qty": "199.9", "stop": "99.5"}, wide("450.2"), "deny", "breach", "2.0001"),
    ],
    "recommended_leverage": [  # 135,000 + 14,900 + 100 = 150,000: beyond it a warning, never a refusal
        (SMALL, wide("139.9"), "allow", "ok", "1.4999"),
        (SMALL, wide("140"), "allow", "ok", "1.5"),
        (SMALL, wide("140.1"), "allow", "breach", "1.5001"),
    ],
    "margin_buffer": [
        (SMALL, {"maintenance_margin": "69990"}, "allow", "ok", "0.3001"),
        (SMALL, {"maintenance_margin": "70000"}, "allow", "ok", "0.3"),
        (SMALL, {"maintenance_margin": "70010"}, "deny", "breach", "0.2999"),
        (SMALL, {"maintenance_margin": None}, "deny", "unknown", None),
    ],
    "max_portfolio_drawdown_pct": [  # long before it the ladder denies; it is the limit that breaks strictly beyond
        (SMALL, unit("0.8501"), "deny", "ok", "14.99"),
        (SMALL, unit("0.85"), "halt", "ok", "15"),
        (SMALL, unit("0.8499"), "halt", "breach", "15.01"),
        (SMALL, {"nav_unit": None}, "deny", "unknown", None),
        (SMALL, {"high_water_mark": "0"}, "deny", "unknown", None),
        (SMALL, {"high_water_mark": "-1"}, "deny", "unknown", None),
    ],
    "max_daily_loss_pct": [
        (SMALL, cash("95010"), "allow", "ok", "4.99"),
        (SMALL, cash("95000"), "allow", "ok", "5"),
        (SMALL, cash("94990"), "deny", "breach", "5.01"),
        (SMALL, cash("96000", day_open_equity="96000", equity_24h_ago="101060"), "deny", "breach", "5.01"),
        (SMALL, {"day_open_equity": None}, "deny", "unknown", None),
    ],
    "max_risk_per_trade_pct": [  # 199.9 x 10 = 1,999
        ({"qty": "199.9", "stop": "90"}, {}, "allow", "ok", "2"),  # 1.999 % is shown rounded up
        ({"qty": "200", "stop": "90"}, {}, "allow", "ok", "2"),
        ({"qty": "200", "stop": "89.95"}, {}, "deny", "breach", "2.01"),
        ({"qty": "200", "stop": None}, {}, "deny", "unknown", None),
    ],
    "stop_loss_required": [
        ({"qty": "10", "stop": "99.99"}, {}, "allow", "ok", None),
        ({"qty": "10", "stop": "100"}, {}, "deny", "breach", None),
        ({"qty": "10", "stop": None}, {}, "deny", "breach", None),
        ({"qty": "10", "side": "sell", "stop": "100"}, {}, "deny", "breach", None),
        ({"qty": "10", "side": "sell", "stop": "100.01"}, {}, "allow", "ok", None),
    ],
    "max_sector_concentration_pct": [  # 200 + 99.9 shares in one sector
        ({"qty": "99.9"}, {"positions": [position("A", "200", sector="x"), position(sector="x")], "cash": "80000"},
         "allow", "ok", "29.99"),
        ({"qty": "100"}, {"positions": [position("A", "200", sector="x"), position(sector="x")], "cash": "80000"},
         "allow", "ok", "30"),
        ({"qty": "100.1"}, {"positions": [position("A", "200", sector="x"), position(sector="x")], "cash": "80000"},
         "deny", "breach", "30.01"),
    ],
    "max_correlation": [  # a warning
        (SMALL, measures("max_pair_correlation", "0.7999"), "allow", "ok", "0.7999"),
        (SMALL, measures("max_pair_correlation", "0.80"), "allow", "ok", "0.8"),
        (SMALL, measures("max_pair_correlation", "0.8001"), "allow", "breach", "0.8001"),
    ],
    "max_correlation_critical": [
        (SMALL, measures("max_pair_correlation", "0.8499"), "allow", "ok", "0.8499"),
        (SMALL, measures("max_pair_correlation", "0.85"), "allow", "ok", "0.85"),
        (SMALL, measures("max_pair_correlation", "0.8501"), "deny", "breach", "0.8501"),
        (SMALL, measures("max_pair_correlation", None), "deny", "unknown", None),
    ],
    "min_positions": [  # four holdings of 12,400 each; more of one of them passes up to 50 % of equity
        ({"qty": "4", "symbol": "P0"}, {"positions": book(4, "124"), "cash": "50400"}, "allow", "ok", "4"),
        ({"qty": "4.1", "symbol": "P0"}, {"positions": book(4, "124"), "cash": "50400"}, "deny", "breach", "4"),
        ({"qty": "4.1", "symbol": "P0"}, {"positions": book(5, "124"), "cash": "38000"}, "allow", "ok", "5"),
        ({"qty": "100"}, {"positions": [*book(4, "124"), position()], "cash": "50400"}, "allow", "ok", "5"),
    ],
    "emergency_deleverage_threshold": [  # fires at it
        (SMALL, unit("0.8801"), "allow", "ok", "11.99"),
        (SMALL, unit("0.88"), "deny", "breach", "12"),
        (SMALL, unit("0.8799"), "deny", "breach", "12.01"),
    ],
    "human_escalation_drawdown": [
        (SMALL, unit("0.8801"), "allow", "ok", "11.99"),
        (SMALL, unit("0.88"), "deny", "breach", "12"),
        (SMALL, unit("0.8799"), "deny", "breach", "12.01"),
    ],
    "halt_trading_threshold": [
        (SMALL, unit("0.8601"), "deny", "ok", "13.99"),
        (SMALL, unit("0.86"), "deny", "breach", "14"),
        (SMALL, unit("0.8599"), "deny", "breach", "14.01"),
    ],
    "kill_switch_drawdown": [
        (SMALL, unit("0.8501"), "deny", "ok", "14.99"),
        (SMALL, unit("0.85"), "halt", "breach", "15"),
        (SMALL, unit("0.8499"), "halt", "breach", "15.01"),
    ],
    "correlation_breakdown_threshold": [
        (SMALL, measures("weighted_correlation", "0.8999"), "allow", "ok", "0.8999"),
        (SMALL, measures("weighted_correlation", "0.90"), "deny", "breach", "0.9"),
        (SMALL, measures("weighted_correlation", "0.9001"), "deny", "breach", "0.9001"),
        (SMALL, measures("weighted_correlation", None), "deny", "unknown", None),
    ],
    "volatility_spike_multiplier": [
        (SMALL, measures("volatility_ratio", "2.9999"), "allow", "ok", "2.9999"),
        (SMALL, measures("volatility_ratio", "3"), "deny", "breach", "3"),
        (SMALL, measures("volatility_ratio", "3.0001"), "deny", "breach", "3.0001"),
    ],
    "flash_crash_detection": [
        (SMALL, measures("flash_crash", "0"), "allow", "ok", "0"),
        (SMALL, measures("flash_crash", "1"), "deny", "breach", "1"),
        (SMALL, measures("flash_crash", None), "deny", "unknown", None),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("key", "case"), [(key, case) for key, cases in TABLE.items() for case in cases])
def test_at_the_boundary(key: str, case: Case) -> None:
    asked, account, outcome, status, measured = case
    words = dict(asked)
    result = JUDGE.assess(order(words.pop("qty"), **words), Book(_state(account)))
    reason = next(r for r in result.verdict.reasons if r.code == key)
    assert (result.outcome, reason.status, reason.measured) == (outcome, status, measured), reason.text


def _state(account: dict[str, Any]) -> Any:
    changes = dict(account)
    return state(*changes.pop("positions", [position()]), **changes)


def vote(voter: str, decision: str, action: str = "") -> Vote:
    return Vote(voter, decision, action)  # type: ignore[arg-type]


def test_consensus_threshold_is_an_exact_two_thirds() -> None:
    """One of three fails, two of three pass (0.6667 < 0.67 would not), an abstention counts against."""
    three = tuple(Voter(name) for name in "abc")
    asked = F(TRADING.value("consensus_threshold"))
    assert asked == F(2, 3)
    for decisions, approved in ((["yes"], False), (["yes", "yes"], True), (["yes", "abstain", "no"], False)):
        votes = [vote(name, decision, "buy") for name, decision in zip("abc", decisions, strict=False)]
        assert tally(votes, three, threshold=asked, proposal="buy").approved == approved, decisions


def test_conflict_resolution_modes() -> None:
    """Three of five for buying, one for selling, the risk manager for less: no quorum (4 of 5), and each mode's own answer."""
    voters = (*(Voter(name) for name in "abcd"), Voter("r", "risk_manager"))
    votes = [*(vote(name, "yes", "buy") for name in "abc"), vote("d", "yes", "sell"), vote("r", "yes", "reduce")]
    assert TRADING.value("conflict_resolution_mode") == "risk_manager_veto"
    expected = {
        "risk_manager_veto": ("modify", "reduce", False), "most_conservative": ("modify", "sell", False),
        "majority": ("modify", "buy", False), "human_escalation": ("escalate", "", True),
    }  # fmt: skip
    for mode, wanted in expected.items():
        result = tally(votes, voters, threshold=F(2, 3), mode=mode)  # type: ignore[arg-type]
        assert (result.outcome, result.action, result.escalate, result.approved) == (*wanted, False), mode
    blocked = tally([*votes[:4], vote("r", "veto", "hold")], voters, threshold=F(2, 3), mode="majority")
    assert (blocked.outcome, blocked.vetoed_by) == ("modify", ("r",)), "a veto blocks in every mode"


def fired(seen: list[Observation]) -> tuple[Ladder, set[str]]:
    ladder, triggers = LadderState(), set()
    for observation in seen:
        ladder, events = step(ladder, observation, JUDGE.rules)
        triggers |= {event.text.split()[0] for event in events if event.kind == "trigger"}
    return ladder.rung, triggers


def test_cascade_failure_prevention() -> None:
    """Two triggers of different causes within ten minutes ask for no-new; eleven minutes apart, or of one cause, they do not."""
    minute = 60_000_000
    spike, breakdown = {"volatility": D(3)}, {"correlation": D("0.9")}
    for gap, rung in ((10, Ladder.no_new), (11, Ladder.reduce)):
        seen = [Observation(0, (0, 1), **breakdown), Observation(minute, (0, 1), **breakdown)]  # the second reading fires
        seen.append(Observation(minute + gap * minute - 1, (0, 1), **spike))
        assert fired(seen)[0] == rung, gap
    one = {"correlation_breakdown": "same", "volatility_spike": "same"}
    both = [Observation(i * minute, (0, 1), causes=one, **breakdown, **spike) for i in range(2)]
    assert fired(both)[0] == Ladder.reduce
    herd = Observation(0, (0, 1), agents_one_way=F(3, 4), correlation=D("0.91"))
    assert "herding" in fired([herd])[1]
    assert "herding" not in fired([Observation(0, (0, 1), agents_one_way=F(2, 3), correlation=D("0.91"))])[1], "beyond 2/3"


def test_every_documented_key_is_tested_at_its_boundary() -> None:
    elsewhere = {
        "consensus_threshold": "here", "conflict_resolution_mode": "here", "cascade_failure_prevention": "here",
        "multi_signature_required": "tests/governance/test_governor.py",
        "kill_switch_enabled": "tests/policy/test_ladder.py",
        "performance_review_interval_trades": "tests/governance/test_learning.py",
        "adaptation_rate_range": "tests/governance/test_learning.py",
        "regime_detection_enabled": "tests/governance/test_learning.py",
        "poor_performance_threshold_sharpe": "tests/governance/test_learning.py",
    }  # fmt: skip
    assert {key.name for key in DOCUMENTED} == set(TABLE) | set(elsewhere)
    assert len(DOCUMENTED) == len(TRADING.limits) == 30
