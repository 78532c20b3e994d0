"""The trading generator's whole output: quotas, sections, arithmetic re-read from the texts, recommendations judged again."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import fisher_exact

from solon.constitution import load, parse_text
from solon.data.quotas import counts
from solon.data.rows import TRADING_CATEGORIES, TradingRow
from solon.data.scenarios import trading_learning, trading_numbers
from solon.data.scenarios.topics import read_yaml
from solon.data.scenarios.trading import SECTIONS, SHARES, generate, recheck
from solon.data.scenarios.trading_account import Desk, account, asset, breaches, side_of
from solon.data.scenarios.trading_systemic import phase_of
from solon.errors import CheckFailed, DataError
from solon.evaluation.stats import wilson
from solon.policy.assess import assess
from solon.policy.parsing import parse_action, parse_state

pytestmark = pytest.mark.slow

CONSTITUTION = load("trading")

# --- an own reader of the arithmetic in a text ------------------------------------------------------------------------------

_N = r"-?\d+(?:\.\d+)?"
_P = rf"{_N}%?"
_EQUATION = re.compile(rf"(?<![\d./])({_P}(?: [x/+-] {_P})+) ([=≈]) ({_P})")
_COMPARISON = re.compile(rf"(?<![\w./])({_N}[%x]?) ([<>=]) ({_N}[%x]?)(?![\d/])")
_HEADS = re.compile(r"(\d+)/(\d+) ([<>=]) (\d+)/(\d+)")


def _value(text: str) -> Fraction:
    number = Fraction(text.removesuffix("%").removesuffix("x").strip())
    return number / 100 if text.endswith("%") else number


def _computed(left: str) -> Fraction:
    parts = re.split(r" ([x/+-]) ", left)
    result = _value(parts[0])
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        other = _value(part)
        result = {"x": lambda a, b: a * b, "/": lambda a, b: a / b, "+": lambda a, b: a + b, "-": lambda a, b: a - b}[sign](
            result, other
        )
    return result


def _wrong_equations(text: str) -> list[str]:
    found = []
    for left, sign, right in _EQUATION.findall(text):
        places = len(right.removesuffix("%").partition(".")[2]) + (2 if right.endswith("%") else 0)
        slack = Fraction(0) if sign == "=" else Fraction(1, 2 * 10**places)
        if abs(_computed(left) - _value(right)) > slack:
            found.append(f"{left} {sign} {right}")
    return found


def _wrong_comparisons(text: str) -> list[str]:
    rest = _EQUATION.sub(";", text)
    pairs = [(_value(a), sign, _value(b)) for a, sign, b in _COMPARISON.findall(rest)]
    pairs += [(Fraction(int(a), int(b)), sign, Fraction(int(c), int(d))) for a, b, sign, c, d in _HEADS.findall(rest)]
    holds = {"<": lambda a, b: a < b, ">": lambda a, b: a > b, "=": lambda a, b: a == b}
    return [f"{a} {sign} {b}" for a, sign, b in pairs if not holds[sign](a, b)]


@pytest.fixture(scope="module")
def rows() -> list[TradingRow]:
    return generate(1_000, CONSTITUTION, seed=0)


def extra(row: TradingRow) -> dict[str, Any]:
    return row.context.model_extra or {}


def test_the_reader_of_arithmetic_sees_faults() -> None:
    assert _wrong_equations("35% x 50% = 17.5%; 2% / 15% ≈ 13.33%; 82 + 65 + 78 = 225; 10 / 9.28 ≈ 1.08; 15% - 12% = 3%") == []
    assert _wrong_equations("35% x 50% = 18%") == ["35% x 50% = 18%"]
    assert _wrong_equations("2% / 15% ≈ 13.34%; 29 / 50 = 59%; 82 + 65 = 146") != []
    assert _wrong_comparisons("35% > 20%; 5.0x > 2.0x; 1/3 < 2/3; 2/3 = 2/3; 0.9 = 0.9; -0.85 < 0") == []
    assert len(_wrong_comparisons("35% < 20%; 5.0x < 2.0x; 1/3 > 2/3")) == 3


def test_all_arithmetic_in_the_texts_is_true(rows: list[TradingRow]) -> None:
    wrong = [fault for row in rows for fault in (*_wrong_equations(row.response), *_wrong_comparisons(row.response))]
    assert wrong == []
    read = Counter()
    for row in rows:
        read[row.context.category] += len(_EQUATION.findall(row.response))
    assert all(read[name] > 150 for name in TRADING_CATEGORIES), read
    assert all(_EQUATION.search(row.response) for row in rows)


@given(
    st.sampled_from(["product", "quotient", "ratio", "share", "multiple", "per_times", "total", "difference"]),
    st.fractions(Fraction(1, 10), 200, max_denominator=100), st.fractions(Fraction(1, 10), 90, max_denominator=100),
)  # fmt: skip
def test_every_writer_of_equations_writes_true_ones(name: str, a: Fraction, b: Fraction) -> None:
    decimal_a, decimal_b = round(a, 2), round(b, 2) or Fraction(1)
    text = getattr(trading_numbers, name)(decimal_a, decimal_b)
    assert _EQUATION.fullmatch(text) and _wrong_equations(text) == []


@given(st.fractions(0, 100, max_denominator=1000), st.fractions(0, 100, max_denominator=1000))
def test_comparisons_never_lie(a: Fraction, b: Fraction) -> None:
    a, b = round(a, 2), round(b, 2)
    for text in (trading_numbers.against(a, b), trading_numbers.against_plain(a, b), trading_numbers.against_times(a, b)):
        assert _wrong_comparisons(text) == []


# --- shape ------------------------------------------------------------------------------------------------------------------


def test_200_rows_by_largest_remainder() -> None:
    found = Counter(row.context.category for row in generate(200, CONSTITUTION))
    # 200 x 5/11 = 90.91, 200 x 2/11 = 36.36 three times: the remainders .91 and then the first .36 get one more.
    assert found == {"constitutional_compliance": 91, "multi_agent_coordination": 37, "meta_learning": 36, "systemic_risk": 36}


@given(st.integers(1, 60))
@settings(max_examples=12, deadline=None)
def test_any_size_meets_its_quota(n: int) -> None:
    found = Counter(row.context.category for row in generate(n, CONSTITUTION, seed=n))
    assert found == {name: count for name, count in counts(SHARES, n).items() if count}


def test_eleven_rows_are_the_documented_ones() -> None:
    found = generate(11, CONSTITUTION)
    assert all(extra(row)["documented"] for row in found)
    compliance = [extra(row) for row in found if row.context.category == "constitutional_compliance"]
    assert [c.get("position_pct") for c in compliance[:3]] == [35, 28, 45]
    assert [c.get("leverage") for c in compliance[3:]] == [5, 3.5]
    votes = [extra(row)["votes"] for row in found if row.context.category == "multi_agent_coordination"]
    assert [(v["voter"], v["confidence_pct"]) for v in votes[0]] == [("buffett", 82), ("lynch", 65), ("soros", 78)]
    assert [(v["voter"], v["confidence_pct"]) for v in votes[1]] == [("simons", 88), ("dalio", 55), ("risk_manager", 91)]
    fell, rose = (row for row in found if row.context.category == "meta_learning")
    assert (
        "Win rate 58%" in fell.instruction
        and "40%" in fell.instruction
        and "0.42" in fell.instruction
        and "-0.85" in fell.instruction
    )
    assert (
        "Win rate 52%" in rose.instruction
        and "70%" in rose.instruction
        and "0.28" in rose.instruction
        and "1.25" in rose.instruction
    )
    crash, together = (row for row in found if row.context.category == "systemic_risk")
    assert "8% within 15 minutes" in crash.instruction and "12% below" in crash.instruction
    assert "correlation of 92%" in together.instruction


def test_the_documented_rows_say_what_their_document_names() -> None:
    named = {
        "constitutional_compliance": ["VIOLATION DETECTED", "limit", "loses|cost", "SCALE TO CONSTITUTIONAL LIMIT", "long"],
        "multi_agent_coordination": [
            "PROTOCOL ACTIVATED", "Confidence-weighted", "perspectives", "Escalation", "Collective wisdom",
        ],
        "meta_learning": [
            "trajectory", "Regime shift", "Adaptation lag", "(INCREASE|DECREASE) LEARNING RATE", "[Kk]now(ing)? when to unlearn",
        ],
        "systemic_risk": [
            "Severity", "herding is detected", r"Phase 1 \(0-5 min\), immediate: halt new positions, de-leverage, raise cash",
            r"Phase 2 \(5-30 min\), stabilisation: hedge.*rebalance.*coordinate",
            r"Phase 3 \(30\+ min\), recovery: monitor.*selective re-entry.*learn",
            "Collective survival stands above individual autonomy",
        ],
    }  # fmt: skip
    for seed in (0, 7):
        for row in generate(11, CONSTITUTION, seed):
            for words in named[row.context.category]:
                assert re.search(words, row.response), (words, row.response)


def test_the_worked_sample_prints_17_5_and_a_legal_remedy() -> None:
    first = generate(11, CONSTITUTION)[0]
    assert "35% x 50% = 17.5%" in first.response and "18%" not in first.response
    assert "VIOLATION DETECTED" in first.response and "SCALE TO CONSTITUTIONAL LIMIT" in first.response
    assert re.search(r"which is 13\.3\d*% of the portfolio, with a stop 15% below", first.response)
    assert "20% of the portfolio, with a stop 10% below" in first.response
    assert "20% x 15%" not in first.response


def test_sections_come_in_the_documented_order(rows: list[TradingRow]) -> None:
    for row in rows:
        places = [re.search(rf"^{re.escape(title)}: \S", row.response, re.MULTILINE) for title in SECTIONS[row.context.category]]
        assert all(places), row.response
        starts = [place.start() for place in places if place]
        assert starts == sorted(starts) and starts[0] == 0


def test_rows_are_distinct_and_texts_free_of_slots(rows: list[TradingRow]) -> None:
    assert len({row.instruction for row in rows}) == len(rows)
    assert len({row.response for row in rows}) > 0.98 * len(rows)
    assert not any(re.search(r"[{}]|None|Fraction|  +(?!<-)", row.response + row.instruction) for row in rows)


def test_both_verdicts_and_every_scenario_occur(rows: list[TradingRow]) -> None:
    outcomes = Counter(extra(row)["outcome"] for row in rows if row.context.category == "constitutional_compliance")
    assert outcomes["allow"] > 100 and outcomes["deny"] > 150
    scenarios = Counter(extra(row)["scenario"] for row in rows)
    expected = {
        "position", "leverage", "risk_per_trade", "sector", "drawdown", "correlation", "daily_loss", "leveraged_product", "veto",
        "agreement", "disagreement", "degradation", "acceleration", "flash_crash", "volatility",
    }  # fmt: skip
    assert expected <= set(scenarios) and all(scenarios[name] > 15 for name in expected)


# --- recommendations --------------------------------------------------------------------------------------------------------


def test_every_recommendation_passes_again(rows: list[TradingRow]) -> None:
    assert recheck(rows, CONSTITUTION) == []
    offered = sum(bool(extra(row)["recommended"]) for row in rows)
    assert offered > 0.6 * len(rows)


def test_purchases_keep_the_limits_by_plain_arithmetic(rows: list[TradingRow]) -> None:
    """20% position, 2% loss at the stop, 30% sector, leverage 2: counted again without the policy module."""
    checked = 0
    for row in rows:
        state = extra(row)["state"]
        at = {p["symbol"]: p for p in state["positions"]}
        worth = {s: Fraction(p["qty"]) * Fraction(p["mark"]) for s, p in at.items()}
        equity = Fraction(state["cash"]) + sum(worth.values())
        for orders in extra(row)["recommended"]:
            held = dict(worth)
            for order in orders:
                symbol, value = order["symbol"], Fraction(order["qty"]) * Fraction(at[order["symbol"]]["mark"])
                held[symbol] += value if order["side"] == "buy" else -value
                assert held[symbol] >= 0
                if order["side"] == "sell":
                    continue
                checked += 1
                mark = Fraction(at[symbol]["mark"])
                assert held[symbol] * Fraction(at[symbol]["product_leverage"]) <= equity * (
                    Fraction(20, 100) if at[symbol]["product_leverage"] == "1" else Fraction(15, 100)
                )
                assert (mark - Fraction(order["stop_price"])) * Fraction(order["qty"]) <= equity * 2 / 100
                sector = sum(held[s] for s, p in at.items() if p["sector"] == at[symbol]["sector"])
                assert sector <= equity * 30 / 100 and sum(held.values()) <= 2 * equity
                assert 1 - Fraction(state["nav_unit"]) < Fraction(12, 100)
    assert checked > 500


@given(seed=st.integers(0, 10_000), split=st.sampled_from(["train", "evaluation"]))
@settings(max_examples=15, deadline=None)
def test_recommendations_pass_whatever_the_seed(seed: int, split: Any) -> None:
    found = generate(22, CONSTITUTION, seed, split=split)
    assert recheck(found, CONSTITUTION) == []
    assert [fault for row in found for fault in (*_wrong_equations(row.response), *_wrong_comparisons(row.response))] == []


def test_20_percent_with_a_15_percent_stop_cannot_be_recommended() -> None:
    desk = Desk(CONSTITUTION, Random(1))
    chosen = asset(desk)
    made = account(desk, chosen)
    order = made.order(chosen["symbol"], "buy", Fraction(20), Fraction(15))
    with pytest.raises(CheckFailed, match="max_risk_per_trade_pct"):
        made.offer(order)
    assert made.options == []
    largest = made.largest(order)
    assert largest is not None
    assert Fraction(13) < made.size(largest) <= Fraction(40, 3)
    made.offer(largest)


def test_proposals_are_judged_as_the_policy_does(rows: list[TradingRow]) -> None:
    seen = 0
    for row in rows:
        context = extra(row)
        if row.context.category != "constitutional_compliance" or context["scenario"] == "leverage":
            continue
        verdict = assess(parse_action(context["proposed"][0]), parse_state(context["state"]), CONSTITUTION).verdict
        assert verdict.outcome == context["outcome"]
        assert row.response.startswith(
            "CONSTITUTIONAL ASSESSMENT: " + ("COMPLIANT" if verdict.outcome == "allow" else "VIOLATION DETECTED")
        )
        assert {r.code for r in verdict.reasons if r.status != "ok"} >= set(context["violated"])
        seen += 1
    assert seen > 250


def test_orders_in_the_text_are_those_recommended(rows: list[TradingRow]) -> None:
    for row in rows:
        offered = {(o["side"], o["qty"], o["symbol"]) for orders in extra(row)["recommended"] for o in orders}
        named = {
            (side.lower(), qty, symbol)
            for side, qty, symbol in re.findall(r"\b(Buy|Sell|buy|sell) ([\d.]+) ([A-Z]{4})", row.response)
        }
        assert named <= offered, row.response


def test_a_forged_recommendation_is_found(rows: list[TradingRow]) -> None:
    row = next(row for row in rows if extra(row)["scenario"] == "position" and extra(row)["recommended"])
    forged = row.model_copy(deep=True)
    (forged.context.model_extra or {})["recommended"][0][0]["qty"] = "1000000"
    assert recheck([forged], CONSTITUTION)
    assert breaches(extra(forged)["state"], extra(forged)["recommended"][0], Desk(CONSTITUTION, Random(0)).judge)


# --- votes, records, crises -------------------------------------------------------------------------------------------------


def test_documented_votes_end_as_decided() -> None:
    first, second = (row for row in generate(11, CONSTITUTION) if row.context.category == "multi_agent_coordination")
    assert (extra(first)["action"], extra(first)["escalate"]) == ("sell", True)  # most conservative, and a person
    assert (extra(second)["action"], extra(second)["escalate"]) == ("reduce_exposure", False)  # the risk manager's
    assert "82 / 225 ≈ 36.44%" in first.response and "1/3 < 2/3" in first.response
    assert "91 / 234 ≈ 38.89%" in second.response


def test_agreement_needs_two_thirds_of_heads(rows: list[TradingRow]) -> None:
    for row in rows:
        context = extra(row)
        if context["scenario"] not in ("agreement", "disagreement"):
            continue
        heads = Counter(v["proposed_action"] for v in context["votes"])
        reached = max(heads.values()) * 3 >= 2 * len(context["votes"]) and max(heads.values()) >= context["quorum"]
        assert (context["scenario"] == "agreement") == reached


def test_intervals_and_tests_of_a_review() -> None:
    row = next(row for row in generate(11, CONSTITUTION) if extra(row)["scenario"] == "degradation")
    context = extra(row)
    for (low, high), (k, n) in zip(context["win_rate_intervals_pct"], [(29, 50), (20, 50)], strict=True):
        expected = wilson(k, n)
        assert (low, high) == (pytest.approx(100 * expected.low, abs=0.06), pytest.approx(100 * expected.high, abs=0.06))
    # Fisher's exact test by summing the hypergeometric terms that are no likelier than what was seen.
    from math import comb

    terms = {k: comb(50, k) * comb(50, 49 - k) for k in range(50)}
    p = sum(t for t in terms.values() if t <= terms[29]) / comb(100, 49)
    assert context["p_win_rate"] == pytest.approx(p, abs=1e-4)
    rng = Random(3)
    for _ in range(200):
        n0, n1 = rng.randint(1, 200), rng.randint(1, 200)
        w0, w1 = rng.randint(0, n0), rng.randint(0, n1)
        expected_p = fisher_exact([[w0, n0 - w0], [w1, n1 - w1]])[1]
        assert trading_learning._fisher(w0, w1, n0, n1) == pytest.approx(expected_p, rel=1e-9)
    # Lo (2002): sqrt((1 + s^2/2)/T) with s daily; 0.42 a year over 126 days gives sqrt(252/126 (1 + 0.42^2/504)) = 1.4145.
    assert context["sharpe_standard_errors"][0] == 1.41
    assert trading_learning._sharpe_error(Fraction("0.42"), 126) == pytest.approx((2 * (1 + 0.42**2 / 504)) ** 0.5)
    assert context["established"] is False and "NOT ESTABLISHED" in row.response


def test_adaptation_stays_in_its_range_and_never_loosens(rows: list[TradingRow]) -> None:
    for row in rows:
        context = extra(row)
        if row.context.category != "meta_learning":
            continue
        assert 10 <= context["adaptation_rate_pct"] <= 50
        assert all(order["side"] == "sell" for orders in context["recommended"] for order in orders)
        if context["scenario"] == "acceleration":
            assert context["adaptation_rate_pct"] == 10 and context["recommended"] == []
        elif context["established"]:
            assert context["adaptation_rate_pct"] == 50


@pytest.mark.parametrize(("minute", "phase"), [(0, 1), (4, 1), (5, 2), (29, 2), (30, 3), (600, 3)])
def test_phase_of_a_minute(minute: int, phase: int) -> None:
    assert phase_of(minute) == phase


def test_crises_stand_on_the_right_rung_and_in_the_right_phase(rows: list[TradingRow]) -> None:
    names = {0: "normal", 12: "reduce", 14: "no_new", 15: "killed"}
    seen: set[tuple[str, int]] = set()
    for row in rows:
        context = extra(row)
        if row.context.category != "systemic_risk":
            continue
        rung = names[max(limit for limit in names if context["drawdown_pct"] >= limit)]
        phase = 1 if context["minute"] < 5 else 2 if context["minute"] < 30 else 3
        assert (context["rung"], context["phase"]) == (rung, phase)
        assert (
            re.search(rf"^(?:EMERGENCY ACTION SEQUENCE: )?Phase {phase} .*<- now$", row.response, re.MULTILINE)
            and row.response.count("<- now") == 1
        )
        assert [int(p) for p in re.findall(r"^(?:EMERGENCY ACTION SEQUENCE: )?Phase (\d) \(", row.response, re.MULTILINE)] == [
            1,
            2,
            3,
        ]
        assert all(order["side"] == "sell" for orders in context["recommended"] for order in orders)
        assert bool(context["recommended"]) == (rung != "killed")
        assert ("herding is detected" in row.response) == (3 * context["sellers"] >= 2 * context["agents"])
        seen.add((rung, phase))
    assert len(seen) == 12


# --- split, other constitutions, refusals -----------------------------------------------------------------------------------


def test_the_evaluation_part_shares_nothing_with_training(rows: list[TradingRow]) -> None:
    held = generate(400, CONSTITUTION, seed=0, split="evaluation")
    assert Counter(row.context.category for row in held) == counts(SHARES, 400)
    assert not {row.instruction for row in rows} & {row.instruction for row in held}
    assert not any("documented" in extra(row) for row in held)
    texts = read_yaml("trading_texts.yaml")
    for category in TRADING_CATEGORIES:
        used = [row for row in held if row.context.category == category]
        assert all(row.instruction.endswith(tuple(texts["held_out"][category])) for row in used)
        assert not any(row.instruction.endswith(tuple(texts["held_out"][category])) for row in rows)
    wins = {
        (extra(r)["wins_before"], extra(r)["wins_after"], extra(r)["sharpe_after"]) for r in rows if "wins_before" in extra(r)
    }
    assert not wins & {
        (extra(r)["wins_before"], extra(r)["wins_after"], extra(r)["sharpe_after"]) for r in held if "wins_before" in extra(r)
    }


def test_a_scenario_lies_on_one_side_for_ever() -> None:
    sides = Counter(side_of(f"position {n}") for n in range(5000))
    assert sides["evaluation"] == pytest.approx(1000, abs=120)
    assert side_of("position 1") == side_of("position 1")


def test_same_seed_same_rows() -> None:
    assert generate(40, CONSTITUTION, 5) == generate(40, CONSTITUTION, 5)
    assert generate(40, CONSTITUTION, 5)[11:] != generate(40, CONSTITUTION, 6)[11:]


def test_a_stricter_constitution_gives_smaller_recommendations() -> None:
    limits = """---
solon: 1
id: strict
title: Strict
limits: {max_position_size_pct: 10, max_position_size_leveraged_pct: 8, min_position_size_pct: 0.1, max_leverage: 1.5,
  recommended_leverage: 1.2, margin_buffer: 0.3, max_portfolio_drawdown_pct: 10, max_daily_loss_pct: 3, max_risk_per_trade_pct: 1,
  stop_loss_required: true,
  max_sector_concentration_pct: 20, max_correlation: 0.70, max_correlation_critical: 0.75, min_positions: 5,
  emergency_deleverage_threshold: 7, halt_trading_threshold: 9, correlation_breakdown_threshold: 0.85,
  volatility_spike_multiplier: 2.0}
governance: {consensus_threshold: "3/4", conflict_resolution_mode: risk_manager_veto, human_escalation_drawdown: 7,
  multi_signature_required: true}
meta_learning: {performance_review_interval_trades: 20, adaptation_rate_range: [0.2, 0.4], regime_detection_enabled: true,
  poor_performance_threshold_sharpe: 0.5}
emergency: {kill_switch_enabled: true, kill_switch_drawdown: 10, flash_crash_detection: true, cascade_failure_prevention: true}
---
# Strict

## Keep small

Keep small.
"""
    strict = parse_text(limits, "strict.md")
    found = generate(220, strict, seed=2)
    assert recheck(found, strict) == []
    assert [fault for row in found for fault in (*_wrong_equations(row.response), *_wrong_comparisons(row.response))] == []
    assert "constitutional maximum: 10%" in found[0].instruction
    assert re.search(r"which is 6\.6\d*% of the portfolio, with a stop 15% below", found[0].response)  # 1% / 15 %
    assert recheck(generate(220, CONSTITUTION, seed=2), strict)  # what the looser one allows is not allowed here


def test_bad_requests_are_refused() -> None:
    with pytest.raises(DataError, match="at least 1"):
        generate(0)
    with pytest.raises(DataError, match="train or evaluation"):
        generate(10, split="all")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="max_position_size_pct"):
        generate(10, load("assistant"))
