"""Votes counted by hand."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solon.policy.council import ActionOrder, Quorum, Vote, Voter, tally

THREE = [Voter("buffett"), Voter("lynch"), Voter("soros")]
FOUR = [Voter("a"), Voter("b"), Voter("c"), Voter("r", "risk_manager")]


def yes(*names: str, action: str = "buy") -> list[Vote]:
    return [Vote(name, "yes", action) for name in names]


@pytest.mark.parametrize(
    ("n", "f", "q"), [(0, 0, 1), (1, 0, 1), (2, 0, 2), (3, 0, 2), (4, 1, 3), (5, 1, 4), (7, 2, 5), (10, 3, 7)]
)
def test_quorum_arithmetic(n: int, f: int, q: int) -> None:
    assert (Quorum(n).f, Quorum(n).q) == (f, q)
    assert ("no Byzantine tolerance" in Quorum(n).claim) == (n < 4)


@given(st.integers(1, 200))
def test_two_quorums_share_an_honest_voter(n: int) -> None:
    quorum = Quorum(n)
    assert 2 * quorum.q - n >= quorum.f + 1 and quorum.q <= max(1, n - quorum.f)


def test_two_of_three_is_two_thirds() -> None:
    assert tally(yes("buffett", "lynch"), THREE).approved
    assert not tally(yes("buffett", "lynch"), THREE, threshold=Fraction(67, 100)).approved
    assert not tally(yes("buffett"), THREE).approved
    assert tally(yes("buffett", "lynch", action=""), THREE).outcome == "allow", "a yes without an action is for the proposal"
    assert not tally([*yes("buffett", action=""), *yes("lynch")], THREE).approved


def test_abstentions_and_silence_count_against() -> None:
    assert tally(yes("a", "b", "c"), FOUR).approved
    assert not tally([*yes("a", "b"), Vote("c", "abstain")], FOUR).approved
    assert not tally(yes("a", "b"), FOUR).approved


def test_weights_are_a_further_gate() -> None:
    voters = [
        Voter("a", weight=Fraction(1)),
        Voter("b", weight=Fraction(1)),
        Voter("c", weight=Fraction(1)),
        Voter("d", weight=Fraction(4)),
    ]
    assert not tally(yes("a", "b", "c"), voters).approved  # 3 of 7
    assert tally(yes("a", "b", "d"), voters).approved  # 6 of 7


def test_confidence_is_reported_never_counted() -> None:
    """One at full confidence against three honest at little: the attack of a confidence-weighted vote."""
    votes = [Vote("a", "yes", "buy", D(100)), Vote("b", "no", "", D(10)), Vote("c", "no", "", D(10)), Vote("r", "no", "", D(10))]
    assert not tally(votes, FOUR).approved


def test_the_documented_disagreement_without_a_risk_manager() -> None:
    votes = [
        Vote("buffett", "yes", "strong-buy", D(82)),
        Vote("lynch", "yes", "hold", D(65)),
        Vote("soros", "yes", "sell", D(78)),
    ]
    result = tally(votes, THREE)
    assert (result.outcome, result.action, result.escalate) == ("escalate", "sell", True)
    assert round(result.shares["strong_buy"] * 1000) == 364
    assert "36.4 %" in result.explanation() and "no Byzantine tolerance" in result.explanation()


def test_the_documented_disagreement_with_a_risk_manager() -> None:
    voters = [Voter("simons"), Voter("dalio"), Voter("risk_manager", "risk_manager")]
    votes = [
        Vote("simons", "yes", "buy", D(88)),
        Vote("dalio", "yes", "neutral", D(55)),
        Vote("risk_manager", "yes", "reduce-exposure", D(91)),
    ]
    result = tally(votes, voters)
    assert (result.outcome, result.action, result.approved) == ("modify", "reduce_exposure", False)
    assert round(result.shares["reduce_exposure"] * 1000) == 389


def test_a_veto_blocks_whatever_the_quorum() -> None:
    votes = [*yes("a", "b", "c"), Vote("r", "veto", "reduce")]
    result = tally(votes, FOUR)
    assert (result.outcome, result.action, result.approved, result.vetoed_by) == ("modify", "reduce", False, ("r",))
    bare = tally([*yes("a", "b", "c"), Vote("r", "veto")], FOUR)
    assert (bare.outcome, bare.action, bare.escalate) == ("deny", "", True)
    safer = tally([*yes("a", "b", "c", action="flatten"), Vote("r", "veto", "hold")], FOUR)
    assert safer.action == "flatten"  # a veto never makes things bolder


def test_votes_that_do_not_count() -> None:
    votes = [
        Vote("x", "yes", "buy"),
        *yes("a"),
        Vote("a", "no"),
        Vote("b", "veto"),
        Vote("c", "yes", "yolo"),
        Vote("r", "yes", "buy", late=True),
    ]
    result = tally(votes, FOUR)
    whys = [c.why for c in result.votes if not c.counted]
    assert [w.split()[0] for w in whys] == ["not", "this", "only", "'yolo'", "late"]
    assert result.supporters == {"buy": 1} and not result.approved
    suspended = [Voter("a", suspended=True), *FOUR[1:]]
    assert tally(yes("a", "b", "c", "r"), suspended).supporters == {"buy": 3}
    assert tally([], FOUR).outcome == "deny"


def test_modes_of_conflict() -> None:
    split = [Vote("a", "yes", "buy"), Vote("b", "yes", "buy"), Vote("c", "yes", "hold")]
    five = [*FOUR[:3], Voter("d"), Voter("e")]
    assert tally(split, five, mode="most_conservative").action == "hold"
    assert tally(split, five, mode="human_escalation").outcome == "escalate"
    assert tally(split, five, mode="majority").outcome == "escalate"  # two of five
    only_buys = [Vote("a", "yes", "buy"), Vote("b", "yes", "strong_buy"), Vote("c", "no")]
    assert tally(only_buys, five, mode="most_conservative").action == "hold", "no agreement to buy is no purchase"
    assert (tally(only_buys, five).outcome, tally(only_buys, five).action) == ("escalate", "hold")
    three = [*split, Vote("d", "yes", "buy")]
    assert (tally(three, five, mode="majority").outcome, tally(three, five, mode="majority").action) == ("modify", "buy")


def test_the_order_of_actions() -> None:
    order = ActionOrder()
    names = ["halt", "flatten", "sell", "reduce-exposure", "hold", "buy", "Strong Buy"]
    assert sorted(sorted(names), key=order.place) == names
    assert order.most_conservative(["buy", "neutral"]) == "neutral"
    assert [order.direction(n) for n in ("sell", "neutral", "strong_buy")] == ["sell", "hold", "buy"]
    assert ActionOrder(["hold", "buy"]).knows("sell") is False


NAMES = [f"v{i}" for i in range(10)]


@given(
    st.integers(1, 10),
    st.lists(
        st.tuples(st.sampled_from(NAMES), st.sampled_from(["yes", "no", "abstain", "veto"]), st.sampled_from(["buy", "sell"])),
        max_size=20,
    ),
)
def test_no_two_actions_are_ever_both_approved(n: int, cast: list) -> None:
    votes = [Vote(*v) for v in cast]
    result = tally(votes, [Voter(name) for name in NAMES[:n]])
    if result.approved:
        assert result.supporters[result.action] >= result.quorum.q
        assert sum(result.supporters.values()) <= n
