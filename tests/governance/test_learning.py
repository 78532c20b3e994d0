"""Reviews of trades: intervals and tests by hand and by scipy; adaptation stays in its range; nothing is ever loosened."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from solon.constitution import load
from solon.errors import InputError, IntegrityError
from solon.governance.learning import check_tightening, regime, review_trades, weight_proposal, window
from solon.governance.registry import RegistryRefused, change, follow
from solon.governance.weights import propose, proposed
from solon.ledger.dsse import seal
from tests.governance.people import key, registry


@pytest.fixture(scope="module")
def trading():  # type: ignore[no-untyped-def]
    return load("trading")


def trades(wins: int, n: int, win: float = 0.02, loss: float = -0.02) -> list[float]:
    return [win if (k * wins) // n < ((k + 1) * wins) // n else loss for k in range(n)]


def test_window_by_hand() -> None:
    seen = window(trades(5, 10))
    assert (seen.n, seen.wins, seen.win_rate) == (10, 5, 0.5)
    # Wilson, n = 10, p = 1/2, z = 1.96: 1/2 -+ z/(2(n+z^2)) * sqrt(n + z^2)
    z2 = 1.959963984540054**2
    half = math.sqrt(z2) * math.sqrt(10 + z2) / (2 * (10 + z2))
    assert seen.win_interval == pytest.approx((0.5 - half, 0.5 + half))
    assert seen.sharpe == pytest.approx(0) and seen.sharpe_error == pytest.approx(math.sqrt(1 / 10))
    sharp = window([0.03, 0.01] * 8)  # mean 0.02, standard deviation 0.01 * sqrt(16/15)
    ratio = 2 / math.sqrt(16 / 15)
    assert sharp.sharpe == pytest.approx(ratio)
    assert sharp.sharpe_error == pytest.approx(math.sqrt((1 + ratio**2 / 2) / 16))


def test_undefined_is_not_zero() -> None:
    assert window([0.01] * 9).sharpe is None
    assert window([0.01] * 50).sharpe is None
    assert window([]).win_rate is None
    with pytest.raises(InputError):
        window([0.1, float("nan")])


def test_the_documented_scenarios_are_noise_over_ten_trades(trading) -> None:  # type: ignore[no-untyped-def]
    """58 -> 40 % and 52 -> 70 % over ten trades (A10, A11): reported with intervals, and no evidence."""
    falling = review_trades(trades(29, 50) + trades(4, 10), trading)
    assert falling.finding == "no_evidence" and falling.p == pytest.approx(0.32, abs=0.03)
    rising = review_trades(trades(26, 50) + trades(7, 10), trading)
    assert rising.finding == "no_evidence" and not rising.tightening
    assert "not enough evidence" in rising.text() and "never loosens" in rising.text()


def test_evidence_moves_the_rate_and_only_tightens(trading) -> None:  # type: ignore[no-untyped-def]
    falling = review_trades(trades(40, 50) + trades(1, 10), trading)
    assert falling.finding == "degraded" and falling.adaptation_rate == Fraction(1, 2)
    assert falling.tightening == {"max_risk_per_trade_pct": "1.00", "max_position_size_pct": "10.00"}
    rising = review_trades(trades(10, 50) + trades(10, 10), trading)
    assert rising.finding == "improved" and not rising.tightening
    assert rising.adaptation_rate in (Fraction(1, 10), Fraction(1, 2))  # the upper end where the regime test fires as well
    assert review_trades(trades(5, 10), trading).finding == "too_few"


def test_the_rate_stays_in_its_range(trading) -> None:  # type: ignore[no-untyped-def]
    for rate in (Fraction(1, 20), Fraction(3, 5)):
        with pytest.raises(InputError):
            review_trades(trades(5, 10), trading, rate=rate)
    assert review_trades(trades(5, 10), trading, rate=Fraction(1, 5)).adaptation_rate == Fraction(1, 5)


def test_learning_cannot_loosen(trading) -> None:  # type: ignore[no-untyped-def]
    good = {"max_leverage": "1.9", "margin_buffer": "0.31", "min_positions": "6", "max_position_size_pct": "20"}
    assert check_tightening(trading, good) == good
    for bad in (
        {"max_leverage": "2.1"},
        {"margin_buffer": "0.29"},
        {"stop_loss_required": "1"},
        {"kill_confirmations": "9"},
        {"x": "1"},
    ):
        with pytest.raises(InputError):
            check_tightening(trading, bad)


@pytest.mark.slow
def test_regime_change_is_found_and_false_alarms_stay_as_stated() -> None:
    rng = np.random.default_rng(5)
    calm, wild = rng.normal(0.001, 0.01, 60), rng.normal(0.001, 0.04, 40)
    shift = regime([*calm, *wild])
    assert shift.changed and shift.what == "size" and shift.at is not None and abs(shift.at - 60) <= 8
    drift = regime([*rng.normal(0.02, 0.01, 50), *rng.normal(-0.02, 0.01, 30)])
    assert drift.changed and drift.what == "mean" and drift.at is not None and abs(drift.at - 50) <= 3
    # 120 steady heavy-tailed series: at 5 % more than 13 alarms have a chance below 1 in 500
    alarms = sum(regime(rng.standard_t(3, 40) / 100, seed=n).changed for n in range(120))
    assert alarms <= 13
    assert regime([0.01] * 19).p is None and not regime([0.01] * 30).changed


def test_weights_are_proposed_not_set() -> None:
    old = {"a": Fraction(1), "b": Fraction(1), "c": Fraction(1)}
    new = weight_proposal({"a": (90, 100), "b": (10, 100), "c": (9, 9)}, old, Fraction(1, 2))
    assert new["c"] == "1" and Fraction(new["a"]) > Fraction(new["b"])
    assert old == {"a": 1, "b": 1, "c": 1}


def test_a_track_record_becomes_a_signed_proposal_and_changes_nothing_by_itself() -> None:
    reg, now = registry("abcd"), 1_700_000_000_000_000
    envelope = propose(reg, {"a": (90, 100), "b": (10, 100)}, key("a"), now)
    wanted = proposed(envelope, reg)
    weights = {member.id: member.weight for member in wanted.voters}
    assert Fraction(weights["a"]) > Fraction(weights["b"]) and weights["c"] == "1", "no record, no change"
    assert all(not member.weight for member in reg.voters)
    with pytest.raises(RegistryRefused, match="asks for 2"):
        change(reg, wanted, [key("a")])
    new = follow(reg, change(reg, wanted, [key("olga"), key("omar")]))
    assert (new.epoch, {m.id: m.weight for m in new.voters}) == (2, weights)
    with pytest.raises(RegistryRefused, match="another registry"):
        proposed(envelope, new)
    forged = envelope.record | {"weights": {**envelope.record["weights"], "b": "9"}}
    with pytest.raises(IntegrityError, match="do not follow"):
        proposed(seal("weights", forged, [key("b")]), reg)
    with pytest.raises(IntegrityError, match="a member"):
        proposed(seal("weights", envelope.record, [key("stranger")]), reg)
