"""Every layout that users already have loads as it is."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from solon.constitution import load, parse_text
from solon.constitution.keys import DOCUMENTED
from solon.errors import ConstitutionError

SEEDS = Path(__file__).parents[2].parent / "shared" / "seeds"

TEMPLATED = """\
# Contemplative principles

## Emptiness Principle

### Critique Template
Does this reply acknowledge
interdependence?

### Revision Guideline
Revise to show it.

### Example Application
- Poverty has causes.
- Wealth too.

### Example Conversation
**User**: What causes poverty?
**Assistant**: Poor people are just lazy.
**Critique**: Treats poverty as a trait.
**Revision**: Poverty arises from many conditions.

## Non-Duality

### Critique Template
Does it divide?
### Revision Guideline
Unite.
"""

DIRECTED = """\
# Extended

## Meta principles

Hold these rules lightly.

## Emptiness
E1. Views have no fixed core.
E2. Show conditions,
not essences.

## Non-referential compassion
- BC1. Care for all.
- **BC2.** Even for strangers.
"""

BIZRA = """\
max_position_size_pct: 20.0 # Single asset max
max_position_size_leveraged_pct: 15.0
min_position_size_pct: 0.1
max_leverage: 2.0
recommended_leverage: 1.5
margin_buffer: 0.3
max_portfolio_drawdown_pct: 15.0
max_daily_loss_pct: 5.0
max_risk_per_trade_pct: 2.0
stop_loss_required: true
max_sector_concentration_pct: 30.0
max_correlation: 0.80
max_correlation_critical: 0.85
min_positions: 5
emergency_deleverage_threshold: 12.0
halt_trading_threshold: 14.0
correlation_breakdown_threshold: 0.90
volatility_spike_multiplier: 3.0
governance:
  consensus_threshold: 0.67 # 2/3 agents must agree
  conflict_resolution_mode: "risk_manager_veto"
  human_escalation_drawdown: 12.0
  multi_signature_required: true
meta_learning:
  performance_review_interval_trades: 10
  adaptation_rate_range: [0.1, 0.5]
  regime_detection_enabled: true
  poor_performance_threshold_sharpe: 0.0
emergency:
  kill_switch_enabled: true
  kill_switch_drawdown: 15.0
  flash_crash_detection: true
  cascade_failure_prevention: true
"""


def test_markdown_with_templates_and_a_conversation() -> None:
    c = parse_text(TEMPLATED, "principles.md")
    assert (c.id, c.title, c.precedence) == ("contemplative-principles", "Contemplative principles", "weighed")
    first, second = c.principles
    assert (first.id, first.title, first.rank, second.id) == ("emptiness", "Emptiness Principle", 0, "non-duality")
    assert first.critique_template == "Does this reply acknowledge interdependence?"
    assert first.revision_guideline == "Revise to show it."
    assert first.applications == ("Poverty has causes.", "Wealth too.")
    assert first.examples[0].model_dump() == {
        "user": "What causes poverty?",
        "assistant": "Poor people are just lazy.",
        "critique": "Treats poverty as a trait.",
        "revision": "Poverty arises from many conditions.",
    }
    assert first.synthesised == () and c.warnings == ()


def test_meta_principles_and_numbered_directives_get_templates() -> None:
    c = parse_text(DIRECTED, "extended.md")
    assert c.meta_principles == ("Hold these rules lightly.",)
    emptiness, care = c.principles
    assert [(d.id, d.text) for d in emptiness.directives] == [
        ("E1", "Views have no fixed core."),
        ("E2", "Show conditions, not essences."),
    ]
    assert [d.id for d in care.directives] == ["BC1", "BC2"] and care.directives[1].text == "Even for strangers."
    assert care.id == "boundless-care" and {"compassion", "non-referential-compassion"} <= set(care.aliases)
    assert c.principle("compassion") is care
    assert emptiness.synthesised == ("critique_template", "revision_guideline")
    for template in (emptiness.critique_template, emptiness.revision_guideline):
        assert "E1: Views have no fixed core." in template and "E2: Show conditions, not essences." in template


def test_a_directive_may_begin_on_the_line_after_its_number() -> None:
    (p,) = parse_text("## A\nA1.\nfirst\nA2. second\n\nA3.\nA4. fourth\n", "x.md").principles
    assert [(d.id, d.text) for d in p.directives] == [("A1", "first"), ("A2", "second"), ("A4", "fourth")]
    assert p.text == "A3."  # nothing is lost


def test_two_names_of_one_idea_are_refused_in_one_file() -> None:
    with pytest.raises(ConstitutionError, match=r"x.md:3: Boundless care: expected each principle once"):
        parse_text("## Compassion\na\n## Boundless care\nb\n", "x.md")


def test_plain_lines_are_principles() -> None:
    c = parse_text("- Avoid harm.\n- Honesty: say what you know\n\n- Respect everyone\n- Help\n", "minimal.md")
    assert [p.id for p in c.principles] == ["avoid-harm", "honesty", "respect-everyone", "help"]
    assert c.principles[1].text == "say what you know" and c.title == "Minimal"
    assert "4 lines" in c.warnings[0]


@pytest.mark.parametrize(("lines", "fits"), [(50, True), (51, False)])
def test_at_most_fifty_plain_lines(lines: int, fits: bool) -> None:
    text = "\n".join(f"Rule number {i}" for i in range(lines))
    if fits:
        assert len(parse_text(text, "x.txt").principles) == 50
    else:
        with pytest.raises(ConstitutionError, match=r"x\.txt:51: lines: expected at most 50 lines"):
            parse_text(text, "x.txt")


@pytest.mark.parametrize("name", ["flat", "grouped", "limits", "foreign"])
def test_the_thirty_keys_in_every_place_have_one_meaning(name: str) -> None:
    flat = parse_text(BIZRA, "bizra.yaml")
    groups: dict[str, list[str]] = {}
    values = dict(re.findall(r"^ *(\w+): ([^#\n]+?)(?: *#.*)?$", BIZRA, flags=re.M))
    for key in DOCUMENTED:
        groups.setdefault(key.group, []).append(f"{key.name}: {values[key.name]}")
    grouped = {g: f"{g}:\n" + "".join(f"  {line}\n" for line in lines) for g, lines in groups.items()}
    nested = "".join("".join(f"  {line}\n" for line in text.splitlines()) for text in grouped.values())
    texts = {
        "flat": BIZRA,
        "grouped": "".join(grouped.values()),
        "limits": "limits:\n" + nested,
        "foreign": "lora: {r: 16}\ntraining: {lr: 5e-5}\nconstitutional_constraints:\n" + nested,
    }
    c = parse_text(texts[name], "bizra.yaml")
    assert len(c.limits) == 30 and c.hash == flat.hash
    assert c.ignored == (("lora", "training") if name == "foreign" else ())
    assert c.value("consensus_threshold") == Decimal("0.67")
    assert any("2 of 3 fails it" in w for w in c.warnings)
    assert c.value("adaptation_rate_range") == (Decimal("0.1"), Decimal("0.5"))
    assert c.value("stop_loss_required") is True and c.limit("margin_buffer").unit == "fraction"


def test_the_seed_document_itself_gives_the_thirty_keys() -> None:
    if not SEEDS.exists():
        pytest.skip("the seed documents are not beside this checkout")
    text = (SEEDS / "bizra-safety.txt").read_text(encoding="utf-8")
    blocks = [b for b in re.findall(r"```yaml\n(.*?)```", text, flags=re.S) if "max_" in b or "_threshold" in b]
    c = parse_text("\n".join(blocks), "lora_config.yaml")
    assert {limit.key for limit in c.limits} == {key.name for key in DOCUMENTED} and len(DOCUMENTED) == 30
    assert c.hash == parse_text(BIZRA, "lora_config.yaml").hash


def test_the_governance_yaml_of_a_training_configuration() -> None:
    text = """\
model: {hidden_size: 4096, governance_layers: [8, 16, 24]}
training: {epochs: 3, learning_rate: 5e-5}
governance:
  hitl_escalation_threshold: 0.4
  self_questioning_rate: 0.8
  domain_trust_requirements:
    healthcare: 0.75
    legal: 0.8
    finance: 0.7
"""
    c = parse_text(text, "config_8b_governance.yaml")
    assert {d.name: d.trust for d in c.domains} == {
        "healthcare": Decimal("0.75"),
        "legal": Decimal("0.8"),
        "finance": Decimal("0.7"),
    }
    assert c.escalation is not None and c.escalation.trust_below == Decimal("0.4")
    assert c.escalation.emotions == ("ANXIOUS", "UNCERTAIN") and c.escalation.uncertainty_above == Decimal("0.7")
    assert set(c.ignored) == {"model", "training", "governance.self_questioning_rate"}
    assert any("documented values hold" in w for w in c.warnings)


LAWS = {
    "headings.md": "# Five\n\n## Law 1: Safety\nNo harm.\n\n## Law 0: Civilisation\nKeep it.\n",
    "list.md": "# Five\n\n- Law 0: Civilisation. Keep it.\n- **Law 1**: Safety. No harm.\n",
    "lines.txt": "Law 0: Civilisation. Keep it.\nLaw 1: Safety. No harm.\n",
    "laws.yaml": "laws:\n  - {law: 0, title: Civilisation, text: Keep it.}\n  - {law: 1, name: Safety, description: No harm.}\n",
    "map.yaml": "laws:\n  0: Civilisation. Keep it.\n  1: Safety. No harm.\n",
    "plain.yaml": "laws:\n  - 'Law 0: Civilisation. Keep it.'\n  - 'Law 1: Safety. No harm.'\n",
}


@pytest.mark.parametrize("name", LAWS)
def test_law_lists(name: str) -> None:
    c = parse_text(LAWS[name], name)
    assert c.precedence == "ordered"
    found = [(p.id, p.title, p.rank, p.kind, p.text) for p in c.principles]
    assert found == [
        ("law-0", "Law 0: Civilisation", 0, "law", "Keep it."),
        ("law-1", "Law 1: Safety", 1, "law", "No harm."),
    ]


def test_numbers_are_exact() -> None:
    c = parse_text("limits: {max_leverage: 2e0, max_correlation: 8.0e-1}\ngates: {off_topic: '<= 5e-5'}\n", "x.yaml")
    assert c.value("max_leverage") == 2 and c.value("max_correlation") == Decimal("0.8")
    assert c.gates[0].bound == Decimal("0.00005")
    c = parse_text("governance: {consensus_threshold: 2/3}\n", "x.yaml")
    assert c.value("consensus_threshold") == Fraction(2, 3) and c.warnings == ()
    assert parse_text("governance: {consensus_threshold: '3/4'}", "x.yaml").value("consensus_threshold") == Decimal("0.75")


def test_units_may_be_written() -> None:
    c = parse_text("limits: {max_daily_loss_pct: 0.2 %, margin_buffer: 30 %, max_leverage: 2x}\n", "x.yaml")
    assert c.value("max_daily_loss_pct") == Decimal("0.2")
    assert c.value("margin_buffer") == Decimal("0.3") and c.value("max_leverage") == 2


def test_limits_of_ones_own() -> None:
    text = """\
limits:
  custom:
    - {name: monthly_cost, unit: money, measure: sum, max: 500, severity: critical, text: Cloud bill}
    - {name: free_disk, unit: fraction, measure: last, min: 0.1}
"""
    cost, disk = parse_text(text, "budget.yaml").limits
    assert (cost.key, cost.value, cost.group, cost.measure) == ("monthly_cost", 500, "custom", "sum")
    assert (cost.comparison, cost.severity) == ("<=", "critical")
    assert (disk.comparison, disk.severity, disk.exact) == (">=", "high", Fraction(1, 10))


def test_voters_gates_and_signatures() -> None:
    text = f"""\
solon: 1
governance:
  voters:
    - {{id: ann, role: risk_manager, key: {"ab" * 32}, weight: 2}}
    - bob
gates:
  - {{metric: unsafe_compliance, max: 1/8, mode: rollback, by: point, grace_steps: 5, regression: 0.05}}
signatures: [{{keyid: k, sig: s}}]
"""
    c = parse_text(text, "x.yaml")
    assert c.voters[0].weight == 2 and c.voters[1].id == "bob"
    gate = c.gates[0]
    assert (gate.bound, gate.mode, gate.by, gate.grace_steps) == (Decimal("0.125"), "rollback", "point", 5)
    assert gate.regression == Decimal("0.05") and c.signatures[0].keyid == "k"
    unsigned = parse_text(text.replace("signatures: [{keyid: k, sig: s}]\n", ""), "x.yaml")
    assert unsigned.hash == c.hash and unsigned.signatures == ()


def test_a_folder_name_and_a_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.md"
    path.write_bytes(b"\xef\xbb\xbf# T\r\n\r\n## One\r\ntext\r\n")
    c = load(path)
    assert c.principles[0].text == "text" and load(str(path)).hash == c.hash


@pytest.mark.parametrize(
    "line", ["E1. Own it.", "E1: Own it.", "E1) Own it.", "E1 – Own it.", "**E1** Own it.", "**E1.** Own it.", "**E1**: Own it.",
             "- E1: Own it.", "3. E1. Own it.", "1. **E1** Own it."],
)  # fmt: skip
def test_a_directive_may_be_numbered_in_many_ways(line: str) -> None:
    """Each form alone, and as the second of two lines of one paragraph or list."""
    alone = parse_text(f"# T\n\n## Emptiness\n{line}\n", "t.md").principles[0]
    assert [(d.id, d.text) for d in alone.directives] == [("E1", "Own it.")]
    second = line.replace("E1", "E2")
    both = parse_text(f"# T\n\n## Emptiness\n{line}\n{second}\n", "t.md").principles[0]
    assert [d.id for d in both.directives] == ["E1", "E2"] and both.directives[1].text == "Own it."


def test_words_that_only_begin_like_a_number_are_text() -> None:
    principle = parse_text("# T\n\n## Care\nA4 paper is fine.\nE10 fuel is not a directive.\n", "t.md").principles[0]
    assert principle.directives == () and principle.text.startswith("A4 paper")
