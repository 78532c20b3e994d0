"""Every limit at its boundary, worked by hand on an account of 100,000 in which one share costs 100 (0.1 % of equity)."""

from __future__ import annotations

import json
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.constitution import parse_text
from solon.errors import ConstitutionError
from solon.policy.assess import Judge, assess, largest_allowed
from solon.policy.book import Book
from solon.policy.rules import compile_rules
from solon.policy.types import Refused

from .samples import LIMITS, NOW, order, position, state

LIMITS_ONLY = {k: v for k, v in LIMITS.items() if k != "stop_loss_required"}


def status(result, code: str) -> str | None:
    return next((r.status for r in result.verdict.reasons if r.code == code), None)


def only(*keys: str, **extra) -> dict:
    return {**{k: LIMITS[k] for k in keys}, **extra}


@pytest.mark.parametrize(("qty", "outcome"), [("199.9", "allow"), ("200", "allow"), ("200.1", "deny"), ("350", "deny")])
def test_position_size_is_inclusive(qty: str, outcome: str) -> None:
    result = assess(order(qty), state(), only("max_position_size_pct"))
    assert result.outcome == outcome
    assert result.verdict.largest_allowed.qty in ("200", "200.0")
    assert D(result.verdict.largest_allowed.size_pct) == 20


def test_the_documented_violation() -> None:
    """35 % of a crypto asset with a stop at 15 %: size 20 % at that stop would risk 3 %, so 13.3 % is the largest."""
    result = assess(order("350", stop="85"), state(), LIMITS)
    assert result.outcome == "deny"
    assert status(result, "max_position_size_pct") == "breach" and status(result, "max_risk_per_trade_pct") == "breach"
    by_code = {r.code: r for r in result.verdict.reasons}
    assert by_code["max_position_size_pct"].measured == "35" and by_code["max_position_size_pct"].bound == "20"
    assert by_code["max_risk_per_trade_pct"].measured == "5.25"
    assert result.verdict.largest_allowed.qty == "133"
    assert any("35 % x 50 % = 17.5 %" in line for line in result.arithmetic)
    assert assess(result.remedy, state(), LIMITS).outcome == "allow"
    sections = result.sections()
    assert list(sections) == ["verdict", "reasoning", "arithmetic", "recommendation", "principle"]
    json.dumps(sections)
    for title in ("CONSTITUTIONAL ASSESSMENT", "ETHICAL REASONING", "RISK ANALYSIS", "RECOMMENDATION", "PRINCIPLE"):
        assert title in result.text()


def test_working_orders_and_issuers_count() -> None:
    book = state(
        position("ACME", "100"),
        position("ACME.B", "0", issuer="ACME"),
        working_orders=[{"id": "w", "agent": "x", "symbol": "ACME", "side": "buy", "qty": "50", "ts": NOW}],
        cash="90000",
    )
    assert assess(order("50", symbol="ACME.B"), book, only("max_position_size_pct")).outcome == "allow"  # 10 + 5 + 5
    result = assess(order("50.1", symbol="ACME.B"), book, only("max_position_size_pct"))
    assert result.outcome == "deny" and result.verdict.largest_allowed.qty == "50"


def test_short_positions_count_by_absolute_value() -> None:
    rules = only("max_position_size_pct")
    assert assess(order("200", "sell"), state(), rules).outcome == "allow"
    assert assess(order("200.1", "sell"), state(), rules).outcome == "deny"


def test_multiplier_fx_and_bad_limit_price() -> None:
    future = position("ES", "0", "100", multiplier="50", fx="0.5")  # one contract is worth 2,500
    rules = only("max_position_size_pct")
    assert largest_allowed(order("1", symbol="ES"), state(future), rules).qty == "8"
    # A buy at 110 against a mark of 100 counts at 110 and loses 10 a share at once: 110 q <= 0.2 (100,000 - 10 q), q = 178.57
    assert largest_allowed(order("100", limit_price="110"), state(), rules).qty == "178"
    # 178 x 110 = 19,580 of the 98,220 that is then left: 19.94 %, whatever quantity was asked for
    shown = [assess(order(qty, limit_price="110"), state(), rules).largest_allowed for qty in ("100", "1000")]
    assert [(size.qty, size.size_pct) for size in shown] == [("178", "19.94")] * 2


def test_leveraged_products() -> None:
    etf = position("TQQQ", "0", product_leverage="3")
    rules = only("max_position_size_pct", "max_position_size_leveraged_pct")
    assert largest_allowed(order("10", symbol="TQQQ"), state(etf), rules).qty == "50"  # 5 % x 3 = 15 %
    assert assess(order("50.01", symbol="TQQQ"), state(etf), rules).outcome == "deny"
    unknown = assess(order("1", symbol="TQQQ"), state(position("TQQQ", product_leverage=None)), rules)
    assert unknown.outcome == "deny" and status(unknown, "max_position_size_leveraged_pct") == "unknown"


@pytest.mark.parametrize(("qty", "outcome"), [("0.9", "deny"), ("1", "allow")])
def test_smallest_position_binds_openings_only(qty: str, outcome: str) -> None:
    assert assess(order(qty), state(), only("min_position_size_pct")).outcome == outcome
    dust = state(position("ACME", "10"))
    assert assess(order("9.99", "sell"), dust, only("min_position_size_pct")).outcome == "allow"


def test_leverage_and_its_warning() -> None:
    rules = only("max_leverage", "recommended_leverage")
    for qty, outcome, warning in (
        ("1500", "allow", "ok"),
        ("1500.1", "allow", "breach"),
        ("2000", "allow", "breach"),
        ("2000.1", "deny", "breach"),
    ):
        result = assess(order(qty), state(), rules)
        assert (result.outcome, status(result, "recommended_leverage")) == (outcome, warning)


@pytest.mark.parametrize(("margin", "outcome"), [("70000", "allow"), ("70000.01", "deny"), (None, "deny")])
def test_margin_buffer(margin: str | None, outcome: str) -> None:
    result = assess(order("10"), state(maintenance_margin=margin), only("margin_buffer"))
    assert result.outcome == outcome
    assert status(result, "margin_buffer") == ("unknown" if margin is None else "ok" if outcome == "allow" else "breach")


def test_margin_rate_bounds_size() -> None:
    book = state(position("ACME", margin_rate="0.5"), maintenance_margin="60000")
    assert largest_allowed(order("10"), book, only("margin_buffer")).qty == "200"  # 10,000 free above 30 %, half of the value


def test_drawdown_boundaries_and_ladder() -> None:
    # (unit value, outcome of a buy, rung, call a person)
    table = [
        ("0.8801", "allow", "normal", False),
        ("0.88", "deny", "reduce", True),
        ("0.8601", "deny", "reduce", True),
        ("0.86", "deny", "no_new", True),
        ("0.8501", "deny", "no_new", True),
        ("0.85", "halt", "no_new", True),
    ]
    for unit, outcome, rung, person in table:
        result = assess(order("10"), state(nav_unit=unit), LIMITS)
        assert (result.outcome, result.ladder.name, result.call_person) == (outcome, rung, person), unit
    assert status(assess(order(), state(nav_unit="0.85"), LIMITS), "max_portfolio_drawdown_pct") == "ok"
    assert status(assess(order(), state(nav_unit="0.8499"), LIMITS), "max_portfolio_drawdown_pct") == "breach"
    assert assess(order(), state(nav_unit=None), LIMITS).outcome == "deny"


def test_sized_exits_pass_until_killed() -> None:
    held = position("ACME", "100")
    for rung in ("normal", "warn", "reduce", "no_new"):
        now = state(held, ladder=rung, nav_unit="0.86", cash="90000")
        assert assess(order("100", "sell"), now, LIMITS).outcome == "allow"
        beyond = assess(order("100.5", "sell"), now, LIMITS)
        assert beyond.outcome == "deny"
        assert beyond.verdict.largest_allowed.qty == "100"
        assert assess(beyond.remedy, now, LIMITS).outcome == "allow"
    killed = state(held, ladder="killed", cash="90000")
    assert assess(order("50", "sell"), killed, LIMITS).outcome == "halt"
    flatten = order("50", "sell", kind="flatten")
    assert assess(flatten, killed, LIMITS).outcome == "halt"
    assert assess(flatten, killed, LIMITS, approved=True).outcome == "allow"
    assert assess(order("150", "sell", kind="flatten"), killed, LIMITS, approved=True).outcome == "halt"
    assert assess(order("50", "sell", kind="cancel"), killed, LIMITS).outcome == "allow"


def test_working_exits_count_against_the_position() -> None:
    working = [{"id": "w", "agent": "x", "symbol": "ACME", "side": "sell", "qty": "60", "ts": NOW}]
    now = state(position("ACME", "100"), working_orders=working, ladder="no_new", cash="90000")
    assert assess(order("40", "sell"), now, LIMITS).outcome == "allow"
    assert assess(order("41", "sell"), now, LIMITS).outcome == "deny"
    stop = [{"id": "w", "agent": "x", "kind": "stop", "symbol": "ACME", "side": "sell", "qty": "100", "ts": NOW}]
    linked = state(position("ACME", "100"), working_orders=stop, ladder="no_new", cash="90000")
    assert assess(order("100", "sell"), linked, LIMITS).outcome == "allow"


def test_an_exit_may_not_give_the_account_away() -> None:
    levered = state(position("ACME", "2500"), position("OTHER", "500"), cash="-200000")  # equity 100,000, gross 3.0
    assert assess(order("100", "sell"), levered, LIMITS).outcome == "allow"
    assert assess(order("100", "sell", limit_price="99"), levered, LIMITS).outcome == "allow"
    dumping = assess(order("1000", "sell", limit_price="1"), levered, LIMITS)
    assert dumping.outcome == "deny" and dumping.verdict.path[-1] == "max_leverage: deny"


def test_daily_and_rolling_loss() -> None:
    rules = only("max_daily_loss_pct")
    assert assess(order(), state(cash="95000"), rules).outcome == "allow"
    assert assess(order(), state(cash="94999.99"), rules).outcome == "deny"
    rolling = assess(order(), state(cash="96000", day_open_equity="96000", equity_24h_ago="101100"), rules)
    assert rolling.outcome == "deny" and rolling.verdict.reasons[0].measured == "5.05"
    assert assess(order(), state(day_open_equity=None), rules).outcome == "deny"


def test_risk_per_trade_and_stop() -> None:
    rules = only("max_risk_per_trade_pct", "stop_loss_required")
    assert assess(order("400", stop="95"), state(), rules).outcome == "allow"  # 400 x 5 = 2,000
    assert assess(order("400.1", stop="95"), state(), rules).outcome == "deny"
    assert largest_allowed(order("1", stop="90"), state(), rules).qty == "200"  # 20 % with a stop at 10 %
    assert assess(order("1", stop="101"), state(), rules).outcome == "deny"  # wrong side
    assert assess(order("1", "sell", stop="99"), state(), rules).outcome == "deny"
    bare = assess(order("100", stop=None), state(), rules)
    assert bare.outcome == "deny" and status(bare, "stop_loss_required") == "breach"
    assert bare.remedy is not None and bare.remedy.stop_price == 90
    assert assess(bare.remedy, state(), rules).outcome == "allow"


def test_fees_and_slippage_are_part_of_the_risk() -> None:
    judge = Judge.of(only("max_risk_per_trade_pct"), fees=10, slippage=15)  # 25 bp of 100 = 0.25 a share, 5.25 in all
    assert largest_allowed(order("1"), state(), judge).qty == "380"


def test_sectors_and_the_unknown_sector() -> None:
    rules = only("max_sector_concentration_pct")
    tech = [position("A", "150", sector="tech"), position("B", "149", sector="tech"), position("C", sector="tech")]
    book = state(*tech, cash="70100")
    assert assess(order("1", symbol="C"), book, rules).outcome == "allow"
    assert assess(order("1.1", symbol="C"), book, rules).outcome == "deny"
    nowhere = state(position("A", "300", sector=None), position("C", sector=None), cash="70000")
    assert assess(order("1", symbol="C"), nowhere, rules).outcome == "deny"


def test_correlation_as_observed() -> None:
    rules = only("max_correlation", "max_correlation_critical", "correlation_breakdown_threshold")
    two = [position("A", "10"), position("ACME", "10")]
    for pair, weighted, outcome in (
        ("0.80", "0.5", "allow"),
        ("0.85", "0.5", "allow"),
        ("0.8501", "0.5", "deny"),
        ("0.5", "0.9", "deny"),
    ):
        result = assess(
            order("1"),
            state(*two, cash="98000", measures={"max_pair_correlation": pair, "weighted_correlation": weighted}),
            rules,
        )
        assert result.outcome == outcome, (pair, weighted)
    warned = assess(order("1"), state(*two, measures={"max_pair_correlation": "0.81"}), rules)
    assert warned.outcome == "allow" and status(warned, "max_correlation") == "breach"
    unknown = assess(order("1"), state(*two, measures={"max_pair_correlation": None}), rules)
    assert unknown.outcome == "deny" and status(unknown, "max_correlation_critical") == "unknown"
    silent = assess(order("1"), state(*two), rules)
    assert silent.outcome == "allow" and "max_correlation_critical" in silent.not_measured
    assert assess(order("1"), state(*two), Judge.of(rules, require_measures=True)).outcome == "deny"


def test_volatility_and_flash_crash_as_observed() -> None:
    rules = only("volatility_spike_multiplier", "flash_crash_detection")
    assert assess(order("1"), state(measures={"volatility_ratio": "2.9999", "flash_crash": "0"}), rules).outcome == "allow"
    assert assess(order("1"), state(measures={"volatility_ratio": "3", "flash_crash": "0"}), rules).outcome == "deny"
    assert assess(order("1"), state(measures={"volatility_ratio": "1", "flash_crash": "1"}), rules).outcome == "deny"
    assert assess(order("1"), state(measures={"volatility_ratio": "1", "flash_crash": None}), rules).outcome == "deny"


def test_min_positions_applies_when_invested() -> None:
    rules = only("min_positions")
    names = ["A", "B", "C", "D"]
    book = state(*[position(n, "125") for n in names], position("ACME"), cash="50000")  # 50 % in four positions
    assert assess(order("1", symbol="A"), book, rules).outcome == "deny"  # 50.1 % in four
    assert assess(order("1"), book, rules).outcome == "allow"  # opens the fifth
    assert assess(order("125", "sell", symbol="A"), book, rules).outcome == "allow"  # closing 4 -> 3
    less = state(*[position(n, "124") for n in names], cash="50400")
    assert assess(order("4", symbol="A"), less, rules).outcome == "allow"  # exactly 50 %


def test_order_controls() -> None:
    rules = {
        "price_collar_pct": "5",
        "max_order_value": "10000",
        "max_order_volume": "90",
        "duplicate_order_window_seconds": "10",
        "max_messages_per_minute": "3",
        "max_repeated_executions": "2",
        "repeated_execution_window_seconds": "60",
    }
    assert assess(order("90"), state(), rules).outcome == "allow"
    assert status(assess(order("91"), state(), rules), "max_order_volume") == "breach"
    assert status(assess(order("90", limit_price="112"), state(), rules), "max_order_value") == "breach"
    assert assess(order("90", limit_price="105"), state(), rules).outcome == "allow"
    assert status(assess(order("90", limit_price="105.01"), state(), rules), "price_collar_pct") == "breach"
    earlier = {"id": "a0", "agent": "buffett", "kind": "order", "symbol": "ACME", "side": "buy", "qty": "90", "stop_price": "95"}
    for second, outcome in (("20", "deny"), ("19", "allow")):
        recent = [{**earlier, "ts": f"2026-11-20T15:29:{int(second) + 30:02d}Z"}]
        assert assess(order("90"), state(recent=recent), rules).outcome == outcome
    other = [{**earlier, "id": f"o{i}", "qty": str(i + 1), "ts": NOW} for i in range(3)]
    assert status(assess(order("90"), state(recent=other), rules), "max_messages_per_minute") == "breach"
    assert assess(order("90"), state(recent=other[:2]), rules).outcome == "allow"
    assert status(assess(order("90"), state(executions=other[:2]), rules), "max_repeated_executions") == "breach"
    assert (
        assess(order("90"), state(recent=[{**earlier, "id": "a1", "qty": "1", "ts": "2026-11-20T10:00:00Z"}]), rules).outcome
        == "deny"
    )


def test_the_execution_throttle_latches() -> None:
    book = Book(state())
    judge = Judge.of({"max_repeated_executions": "2"})
    book.throttle("buffett", "ACME")
    assert judge.assess(order("1"), book).outcome == "deny"
    book.re_enable("buffett", "ACME")
    assert judge.assess(order("1"), book).outcome == "allow"


def test_unknown_owner_and_no_policy() -> None:
    assert assess(order(), state(agents=["lynch"]), LIMITS).outcome == "deny"
    assert assess(order(), state(agents=["buffett"]), LIMITS).outcome == "allow"
    assert assess(order(), state(), {}).outcome == "deny"
    assert assess(order(), state(), {"consensus_threshold": "2/3"}).verdict.path == ("no_policy: deny",)


@pytest.mark.parametrize(
    "bad",
    [
        {"mark": None}, {"mark": "0"}, {"mark": "-5"}, {"fx": None}, {"multiplier": None}, {"priced_at": None},
        {"priced_at": "2026-11-20T15:20:00Z"},
    ],
)  # fmt: skip
def test_unknown_denies_what_adds_and_allows_what_reduces(bad: dict) -> None:
    now = state(position("ACME", "100", **bad), cash="90000")
    adding = assess(order("1"), now, LIMITS)
    assert adding.outcome == "deny" and status(adding, "max_position_size_pct") == "unknown"
    assert assess(order("50", "sell"), now, LIMITS).outcome == "allow"
    elsewhere = state(position("OTHER", "100", **bad), position("ACME"), cash="90000")
    assert assess(order("1"), elsewhere, LIMITS).outcome == "deny"


def test_no_equity_is_a_kill() -> None:
    for cash in ("-10000", "-10001"):
        broke = state(position("ACME", "100"), cash=cash)
        result = assess(order("1"), broke, LIMITS)
        assert (result.outcome, result.ladder.name) == ("halt", "killed")
        assert status(result, "max_leverage") == "breach"


def test_custom_limits_of_another_domain() -> None:
    rules = {
        "monthly_cloud_budget": {"measure": "fact_plus_value(month_spend)", "value": "5000", "unit": "money", "severity": "high"},
        "large_single_job": {"measure": "order_value", "value": "1000", "unit": "money", "severity": "medium"},
        "share_of_account": {"measure": "issuer_exposure", "value": "10", "unit": "percent", "severity": "critical"},
        "calls_per_hour": {"measure": "actions_in(3600)", "value": "2", "unit": "count", "severity": "high"},
    }
    now = state(position("gpu-hour", "0", "2"), facts={"month_spend": "4500"})
    job = order("250", symbol="gpu-hour", stop=None, kind="spend")
    assert assess(job, now, rules).outcome == "allow"
    assert assess(order("251", symbol="gpu-hour", stop=None), now, rules).outcome == "deny"
    rich = state(position("gpu-hour", "0", "2"), facts={"month_spend": "0"})
    assert assess(order("501", symbol="gpu-hour", stop=None), rich, rules).outcome == "escalate"
    assert assess(order("6000", symbol="gpu-hour", stop=None), rich, rules).outcome == "halt"
    assert assess(job, state(position("gpu-hour", "0", "2")), rules).outcome == "deny"  # no such fact: unknown
    with pytest.raises(ConstitutionError, match="order_value"):
        compile_rules({"x": {"measure": "order_valu", "value": "1"}})


@pytest.mark.parametrize(
    "wrong",
    [
        "max_position_size_pct: 20.001",
        "custom: [{name: own, unit: money, measure: order_valu, max: 1}]",
        "custom: [{name: own, unit: count, measure: order_value, max: 1}]",
    ],
)
def test_what_no_order_can_be_judged_by_is_refused_by_file_and_line(wrong: str) -> None:
    found = parse_text(f"limits:\n  max_leverage: 2\n  {wrong}\n", "desk.yaml")
    with pytest.raises(ConstitutionError, match=r"^desk.yaml:3: (own|max_position_size_pct): "):
        compile_rules(found)


def test_a_share_of_keys_to_resume_may_be_an_exact_fraction() -> None:
    found = parse_text("limits: {max_leverage: 2}\ngovernance: {resume_threshold: 2/3}\n", "own.yaml")
    assert compile_rules(found).shown["resume_threshold"] == ("2/3", "fraction")


def test_bad_rules_are_refused() -> None:
    for bad in ({"max_levrage": "2"}, {"max_leverage": "two"}, {"max_position_size_pct": "20.001"}):
        with pytest.raises(ConstitutionError):
            compile_rules(bad)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cash": 100000.5}, "float"), ({"cash": 100000}, "not_decimal"), ({"cash": "NaN"}, "not_finite"),
        ({"cash": "1e5"}, "not_decimal"),
        ({"cash": "-Infinity"}, "not_finite"), ({"cash": "1" * 19}, "too_many_digits"), ({"colour": "red"}, "unknown_field"),
        ({"cash": None}, "missing_field"), ({"as_of": "2026-11-20 15:30"}, "bad_timestamp"),
        ({"as_of": "2026-02-30T00:00:00Z"}, "bad_timestamp"),
        ({"ladder": "fine"}, "bad_choice"), ({"positions": [position(), position()]}, "duplicate_symbol"),
        ({"positions": [position(priced_at="2026-11-20T15:30:01Z")]}, "unordered_timestamps"),
        ({"positions": [position(priced_at="2026-11-20T16:29:00+01:00")]}, "mixed_time_zones"),
        ({"positions": "ACME"}, "bad_type"), ({"measures": {"mood": "1"}}, "unknown_field"),
    ],
)  # fmt: skip
def test_bad_states_are_refused_with_a_code(change: dict, code: str) -> None:
    with pytest.raises(Refused) as caught:
        state(**change)
    assert caught.value.code == code and caught.value.mend


def test_bad_json_is_refused() -> None:
    from solon.policy.parsing import load_action, strict_json

    for text, code in (
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ('{"a": NaN}', "not_finite"),
        ('{"a": 1.5}', "float"),
        ("{", "bad_json"),
        ("[" * 100000, "bad_json"),
    ):
        with pytest.raises(Refused) as caught:
            strict_json(text)
        assert caught.value.code == code
    with pytest.raises(Refused) as caught:
        load_action('{"id": "a", "agent": "x", "symbol": "S", "side": "buy", "qty": "0", "ts": "2026-11-20T15:30:00Z"}')
    assert caught.value.code == "not_positive"


def test_records_round_trip() -> None:
    from solon.policy.parsing import action_record, parse_action, parse_state, state_record

    now = state(position("ACME", "100"), measures={"volatility_ratio": None}, facts={"x": "1.5"}, working_orders=[])
    assert parse_state(state_record(now)) == now
    assert parse_action(action_record(order("1.50"))) == order("1.50")


MONEY = st.decimals(min_value="0.01", max_value="500", places=2).map(lambda d: format(d, "f"))
QTY = st.decimals(min_value="-300", max_value="300", places=1).map(lambda d: format(d, "f"))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    held=st.lists(st.tuples(QTY, MONEY), min_size=1, max_size=6),
    cash=st.decimals(min_value="-20000", max_value="100000", places=2).map(lambda d: format(d, "f")),
    side=st.sampled_from(["buy", "sell"]),
    qty=st.decimals(min_value="0.1", max_value="2000", places=1).map(lambda d: format(d, "f")),
    slack=st.sampled_from([None, "0.9", "1.1"]),
)  # fmt: skip
def test_whatever_is_advised_passes(held: list, cash: str, side: str, qty: str, slack: str | None) -> None:
    """Advice re-passes; one step beyond the largest order never does; an exit within the position always does."""
    positions = [position(f"S{i}", q, m, sector=f"x{i % 2}") for i, (q, m) in enumerate(held)]
    now = state(*positions, cash=cash)
    mark = D(held[0][1])
    stop = format((mark * (D("0.95") if side == "buy" else D("1.05"))).quantize(D("0.0001")), "f")
    limit = None if slack is None else format((mark * D(slack)).quantize(D("0.0001")), "f")
    if (limit is not None and D(limit) <= 0) or D(stop) <= 0:
        return
    rules = {k: v for k, v in LIMITS.items() if k not in ("max_daily_loss_pct",)}
    action = order(qty, side, "S0", stop=stop, **({"limit_price": limit} if limit else {}))
    result = assess(action, now, rules)
    if result.remedy is not None:
        assert assess(result.remedy, now, rules).outcome == "allow"
    elif not result.allowed:
        assert result.largest_qty == 0
    if result.largest_qty and not result.reducing and not result.remedy:
        bigger = D(result.largest_allowed.qty) + D("0.1")
        again = assess(order(format(bigger, "f"), side, "S0", stop=stop, **({"limit_price": limit} if limit else {})), now, rules)
        assert again.outcome != "allow"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.sampled_from(["mark", "fill", "work", "cancel"]), st.integers(0, 3), QTY, MONEY), max_size=25,
    )
)  # fmt: skip
def test_incremental_aggregates_equal_a_fresh_book(steps: list) -> None:
    """After any sequence of changes, the book equals one built from its own positions and orders."""
    from solon.policy.types import Action

    book = Book(state(*[position(f"S{i}", sector=f"x{i % 2}", product_leverage=str(1 + i % 3)) for i in range(4)]))
    for number, (what, index, qty, price) in enumerate(steps):
        symbol, side = f"S{index}", "buy" if D(qty) >= 0 else "sell"
        if what == "mark":
            book.mark(symbol, D(price), book.now + 1)
        elif D(qty) == 0:
            continue
        elif what == "fill":
            book.fill(symbol, side, abs(D(qty)), D(price))
        elif what == "work":
            book.work(Action(f"o{number}", "x", "order", symbol, side, abs(D(qty)), limit_price=D(price)))
        elif book.lines[symbol].orders:
            book.cancel(symbol, next(iter(book.lines[symbol].orders)))
    fresh = Book(
        state(
            *[
                position(s, sector=line.sector, mark=_text(line.mark), qty=_text(line.qty), product_leverage=_text(line.leverage))
                for s, line in book.lines.items()
            ]
        )
    )
    fresh.cash = book.cash
    for line in book.lines.values():
        for held in line.orders.values():
            fresh.work(held)
    for name in ("gross", "net", "holdings", "slip", "held", "equity"):
        assert getattr(book, name) == getattr(fresh, name), name
    for name in ("issuers", "sectors", "issuers_leveraged"):
        assert {k: v for k, v in getattr(book, name).items() if v} == {k: v for k, v in getattr(fresh, name).items() if v}, name


def _text(amount: int) -> str:
    return format(D(amount).scaleb(-18), "f")
