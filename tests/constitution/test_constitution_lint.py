"""Every warning with numbers worked by hand, what follows from the numbers, and the direction of every change."""

from __future__ import annotations

import json

import pytest

from solon.constitution import Change, check_report, check_text, consequences, diff, library_names, load, parse_text, render_diff
from solon.constitution.keys import DOCUMENTED, GROUPS, KEYS
from solon.constitution.tree import edits

WARNINGS = [
    # 20 % x 15 % = 3 %; 2 / 20 = 10 %; 2 / 15 = 13.33 %
    (
        "max_position_size_pct: 20\nmax_risk_per_trade_pct: 2\n",
        "a 20 % position with a 15 % stop risks 3 % > 2 % (max_risk_per_trade_pct): at that size the stop must lie within 10 %, "
        "at that stop the position within 13.3 %",
    ),
    ("consensus_threshold: 0.67\n", 'consensus_threshold 0.67 is not 2/3: 2 of 3 fails it; write "2/3" if that is meant'),
    ("consensus_threshold: 0.66\n", 'consensus_threshold 0.66 is not 2/3: 2 of 3 passes it; write "2/3" if that is meant'),
    ("consensus_threshold: 0.5\n", "consensus_threshold 0.5: two opposite proposals can both reach it; use more than 1/2"),
    (
        "max_leverage: 2\nrecommended_leverage: 2.5\n",
        "recommended_leverage 2.5 > max_leverage 2: the recommended leverage is never reached before the limit",
    ),
    ("max_position_size_pct: 5\nmax_position_size_leveraged_pct: 8\n", "a leveraged position may be larger than a plain one"),
    ("max_daily_loss_pct: 16\nmax_portfolio_drawdown_pct: 15\n", "the drawdown limit is reached before the daily limit"),
    (
        "governance: {human_escalation_drawdown: 11}\nemergency_deleverage_threshold: 12\n",
        "human_escalation_drawdown 11 and emergency_deleverage_threshold 12 are two names of one threshold and disagree",
    ),
    (
        "emergency: {kill_switch_drawdown: 16}\nmax_portfolio_drawdown_pct: 15\n",
        "kill_switch_drawdown 16 and max_portfolio_drawdown_pct 15 are two names of one threshold and disagree",
    ),
    ("governance: {voters: [a, b, c]}\n", "3 voters: no Byzantine tolerance (n >= 3f + 1 needs 4 for f = 1)"),
    ("governance: {voters: [{id: a, weight: 1}, b, c, d]}\n", "some voters have weights and some have none"),
    (
        "governance: {voters: [a, b, c, d], conflict_resolution_mode: risk_manager_veto}\n",
        "risk_manager_veto, but no voter has the role risk_manager",
    ),
    ("gates: {unsafe_compliance: '<= 0.1'}\n", "a model that refuses everything passes"),
    ("gates: {my_metric: '<= 3'}\n", "gate my_metric: no metric of that name is measured here"),
    (
        "domains: {legal: 0.8}\nescalation: {trust_below: 0.4}\n",
        "the documented values hold for the rest: emotions ANXIOUS and UNCERTAIN",
    ),
    ("laws: [{title: A, text: Same words}, {title: B, text: same words}]\n", "law-1 repeats a text of law-0: 'same words'"),
]


@pytest.mark.parametrize(("text", "warning"), WARNINGS)
def test_warnings(text: str, warning: str) -> None:
    warnings = parse_text(text, "x.yaml").warnings
    assert any(warning in w for w in warnings), warnings


QUIET = """\
max_position_size_pct: 13
max_risk_per_trade_pct: 2
max_leverage: 2
recommended_leverage: 2
governance:
  consensus_threshold: 2/3
  conflict_resolution_mode: risk_manager_veto
  voters: [a, b, c, {id: d, role: risk_manager}]
gates: {unsafe_compliance: '<= 0.1', over_refusal: '<= 0.2'}
"""


def test_no_warning_without_cause() -> None:
    assert parse_text(QUIET, "x.yaml").warnings == ()


MARKDOWN_WARNINGS = [
    ("---\nsolon: 1\n---\n# T\n", "neither principles nor limits, gates or domains"),
    ("---\ntitle: One\n---\n# Two\n\n## A\nx\n", "the front matter's title 'One' is used, not the heading 'Two'"),
    ("## A\nx\n", "a: no critique template and revision guideline given; written from the principle's own words"),
    ("## A\n", "a: a title and nothing else"),
    ("---\nprecedence: ordered\n---\n## Law 2: A\nx\n## Law 1: B\ny\n", ""),
    ("## A\nx\n### Example Conversation\nUser: a\nAssistant: b\nCritique: c\nRevision: b\n", "revision equals the reply"),
]


@pytest.mark.parametrize(("text", "warning"), [pair for pair in MARKDOWN_WARNINGS if pair[1]])
def test_markdown_warnings(text: str, warning: str) -> None:
    warnings = parse_text(text, "x.md").warnings
    assert any(warning in w for w in warnings), warnings


def test_ordered_principles_come_in_the_order_of_their_numbers() -> None:
    c = parse_text("## Law 2: A\nx\n## Law 1: B\ny\n", "x.md")
    assert [p.id for p in c.principles] == ["law-1", "law-2"]


def test_consequences_of_the_trading_constitution() -> None:
    found = consequences(load("trading"))
    assert "sectors of at most 30 %: full investment needs at least 4 sectors" in found  # 100 / 30, rounded up
    assert "5 positions of at most 20 % make at most 100 % of equity" in found
    assert "consensus 2/3: 2 of 3, 3 of 4, 4 of 5, 5 of 7 eligible voters" in found
    assert "30 limit keys in 8 groups, 0 custom" in found  # the documents say 28 in 6
    four = parse_text(QUIET, "x.yaml")
    assert "4 voters: f = 1 faulty ones tolerated, quorum q = 3" in consequences(four)


# --- the tables


def test_documented_keys() -> None:
    counts = {group: sum(key.group == group for key in DOCUMENTED) for group in GROUPS}
    assert list(counts.values()) == [3, 3, 4, 4, 4, 0, 4, 4, 4] and len(KEYS) == len(set(KEYS))
    close = [(a, b) for a in KEYS for b in KEYS if a < b and edits(a, b, 2) <= 2]
    # a slip could turn one of these into the other; the rest lie further apart
    assert set(close) == {("max_position_size_pct", "min_position_size_pct"), ("max_order_value", "max_order_volume")}
    for key in KEYS.values():
        assert not key.alias_of or key.alias_of in KEYS


def test_library_names_and_contents() -> None:
    assert library_names() == ("assistant", "contemplative", "five-laws", "helpful-harmless", "trading")
    laws = load("five-laws")
    assert laws.precedence == "ordered"
    assert [(p.id, p.rank, p.title) for p in laws.principles] == [
        ("law-0", 0, "Law 0: Preserve civilisation"),
        ("law-1", 1, "Law 1: Safety and dignity of every person"),
        ("law-2", 2, "Law 2: Lawful help"),
        ("law-3", 3, "Law 3: Keep the safeguards"),
        ("law-4", 4, "Law 4: Equal worth"),
    ]
    for p in laws.principles:
        assert len(p.examples) == 2 and p.applications and p.directives and p.hard_rules and not p.synthesised
    assert {g.metric for g in laws.gates} == {"unsafe_compliance", "over_refusal"}
    contemplative = load("contemplative")
    assert contemplative.precedence == "weighed" and contemplative.meta_principles
    assert [(p.id, len(p.directives)) for p in contemplative.principles] == [
        ("emptiness", 6),
        ("non-duality", 7),
        ("boundless-care", 8),
        ("mindfulness", 10),
    ]
    assert all(p.examples and not p.synthesised for p in contemplative.principles)
    assert 3 <= len(load("helpful-harmless").principles) <= 5


def test_the_trading_constitution_holds_the_documented_values() -> None:
    c = load("trading")
    rows = "\n".join(f"{key.name}: {key.default}" for key in DOCUMENTED)
    documented = parse_text(rows, "x.yaml")
    assert documented.limits and {x.key: x.value for x in c.limits} == {x.key: x.value for x in documented.limits}
    assert len(c.limits) == 30


def test_the_assistant_constitution() -> None:
    c = load("assistant")
    assert {d.name: float(d.trust) for d in c.domains} == {
        "healthcare": 0.75,
        "legal": 0.8,
        "finance": 0.7,
        "hr": 0.65,
        "technology": 0.6,
    }
    e = c.escalation
    assert e is not None and e.emotions == ("ANXIOUS", "UNCERTAIN")
    assert [float(x) for x in (e.trust_below, e.intensity_above, e.uncertainty_above)] == [0.4, 0.6, 0.7]
    assert c.trust_required("legal") == c.domains[1].trust and c.trust_required("cooking") is None


def test_library_is_free_of_warnings_but_for_the_documented_tension() -> None:
    for name in library_names():
        warnings = load(name).warnings
        assert len(warnings) == (1 if name == "trading" else 0), (name, warnings)


def test_check_report_has_the_published_shape() -> None:
    report = check_report(load("trading"))
    assert set(report) >= {"id", "version", "hash", "principles", "limits", "gates", "warnings", "ignored"}
    assert json.loads(json.dumps(report)) == report
    limits = {limit["key"]: limit for limit in report["limits"]}
    assert limits["max_position_size_pct"] == {"key": "max_position_size_pct", "value": 20, "unit": "percent"}
    assert limits["margin_buffer"] == {"key": "margin_buffer", "value": 0.3, "unit": "fraction"}
    assert limits["consensus_threshold"]["value"] == "2/3" and limits["stop_loss_required"]["value"] is True
    assert limits["adaptation_rate_range"]["value"] == [0.1, 0.5]
    assert set(check_report(load("five-laws"))["principles"][0]) == {"id", "title", "rank", "kind"}
    assert report["consequences"] == consequences(load("trading"))


def test_check_text_shows_gates_domains_and_consequences() -> None:
    text = """solon: 1
governance:
  consensus_threshold: "2/3"
gates:
  - {metric: unsafe_compliance, max: 0.2, regression: 0.05}
domains: {legal: 0.8}
escalation: {trust_below: 0.4}
"""
    lines = check_text(check_report(parse_text(text, "x.yaml")))
    assert "  gate: unsafe_compliance <= 0.2 (upper bound of its interval, at most 0.05 worse than the best), else stop" in lines
    assert any(line.startswith("  domain legal: trust of 0.8 or more") for line in lines)
    assert any("so: consensus 2/3: 2 of 3, 3 of 4" in line for line in lines)


def test_values_and_groups() -> None:
    c = load("trading")
    assert c.value("max_leverage") == 2 and c.governance["multi_signature_required"] is True
    assert c.value("price_collar_pct") is None and c.value("price_collar_pct", 5) == 5
    assert len(c.meta_learning) == len(c.emergency) == 4
    with pytest.raises(KeyError):
        c.value("max_levrage")
    with pytest.raises(TypeError):
        _ = c.limit("stop_loss_required").exact


# --- diff

EFFECTS = [
    ("max_leverage: 2", "max_leverage: 1.5", "~ limits.max_leverage: 2 ratio -> 1.5 ratio  (tightens)"),
    ("max_leverage: 2", "max_leverage: 3", "~ limits.max_leverage: 2 ratio -> 3 ratio  (loosens)"),
    ("min_positions: 5", "min_positions: 8", "~ limits.min_positions: 5 count -> 8 count  (tightens)"),
    ("margin_buffer: 0.3", "margin_buffer: 0.2", "~ limits.margin_buffer: 0.3 fraction -> 0.2 fraction  (loosens)"),
    ("stop_loss_required: true", "stop_loss_required: false", "~ limits.stop_loss_required: True -> False  (loosens)"),
    ("max_leverage: 2", "max_leverage: 2\nmin_positions: 5", "+ limits.min_positions: 5 count  (tightens)"),
    ("max_leverage: 2\nmin_positions: 5", "max_leverage: 2", "- limits.min_positions: 5 count  (loosens)"),
    (
        "consensus_threshold: 0.67",
        "consensus_threshold: 2/3",
        "~ limits.consensus_threshold: 0.67 fraction -> 2/3 fraction  (loosens)",
    ),
    (
        "adaptation_rate_range: [0.1, 0.5]",
        "adaptation_rate_range: [0.2, 0.4]",
        "0.1, 0.5 fraction -> 0.2, 0.4 fraction  (tightens)",
    ),
    ("adaptation_rate_range: [0.1, 0.4]", "adaptation_rate_range: [0.2, 0.5]", "0.1, 0.4 fraction -> 0.2, 0.5 fraction"),
    ("conflict_resolution_mode: majority", "conflict_resolution_mode: human_escalation", "majority -> human_escalation"),
    ("domains: {hr: 0.6}", "domains: {hr: 0.7}", "~ domains.hr: 0.6 -> 0.7  (tightens)"),
    ("domains: {hr: 0.6, it: 0.5}", "domains: {hr: 0.6}", "- domains.it: 0.5  (loosens)"),
    ("escalation: {trust_below: 0.4}", "escalation: {trust_below: 0.3}", "~ escalation.trust_below: 0.4 -> 0.3  (loosens)"),
    ("escalation: {uncertainty_above: 0.7}", "escalation: {uncertainty_above: 0.6}", "(tightens)"),
    ("escalation: {emotions: [A, B]}", "escalation: {emotions: [A]}", "~ escalation.emotions: A, B -> A  (loosens)"),
    (
        "gates: {refusal: '<= 0.2'}",
        "gates: {refusal: '<= 0.1'}",
        "~ gates.refusal <=: <= 0.2 stop by bound, grace 0 -> <= 0.1 stop",
    ),
    ("gates: {refusal: {max: 0.1}}", "gates: {refusal: {max: 0.2, by: point}}", "(loosens)"),
    ("gates: {refusal: {min: 0.9, mode: warn}}", "gates: {refusal: {min: 0.9}}", "(tightens)"),
    (
        "limits: {custom: [{name: c, unit: money, measure: sum, max: 5}]}",
        "limits: {custom: [{name: c, unit: money, measure: sum, max: 9}]}",
        "~ limits.c: <= 5 money of sum, high -> <= 9 money of sum, high  (loosens)",
    ),
    ("laws: [{title: A, text: x}]", "laws: [{title: A, text: y}]", "~ principles.law-0.text: x -> y"),
]


@pytest.mark.parametrize(("old", "new", "line"), EFFECTS)
def test_changes_and_their_direction(old: str, new: str, line: str) -> None:
    changes = diff(parse_text(old, "x.yaml"), parse_text(new, "x.yaml"))
    assert len(changes) == 1 and line in str(changes[0])
    assert str(changes[0]).endswith(line) or line in render_diff(changes)
    if "ens)" not in line and "gates" not in line:
        assert changes[0].effect == ""


def test_a_mixed_change_has_no_direction() -> None:
    a = parse_text("gates: {refusal: {max: 0.2, mode: warn}}", "x.yaml")
    b = parse_text("gates: {refusal: {max: 0.3, mode: stop}}", "x.yaml")
    assert [change.effect for change in diff(a, b)] == [""]


def test_rendered_diff_counts_what_loosens() -> None:
    assert render_diff([]) == "no change"
    a, b = parse_text("max_leverage: 2\nmin_positions: 5", "x.yaml"), parse_text("max_leverage: 3\nmin_positions: 6", "x.yaml")
    assert render_diff(diff(a, b)).splitlines()[-1] == "2 changes, 1 loosen a rule"
    assert str(Change("added", "x", None, "y")) == "+ x: y"
