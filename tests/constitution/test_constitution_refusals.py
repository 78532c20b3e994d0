# ruff: noqa: E501  (the tables read better with one case a line)
"""What is refused, with file, line, key, what was expected, what came, and the mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from solon.constitution import load, parse_text
from solon.constitution.tree import edits
from solon.errors import ConstitutionError

FRONT = "---\nsolon: 1\n{}\n---\n# T\n\n## A\ntext\n"


def refusal(text: str, name: str = "x.yaml") -> str:
    with pytest.raises(ConstitutionError) as caught:
        parse_text(text, name)
    assert caught.value.exit_code == 2
    return str(caught.value)


YAML = [
    ("max_leverage: 2\nmax_leverage: 3\n", "x.yaml:2: max_leverage: expected each key once, got a second one (the first is on line 1)"),
    ("limits:\n  max_levrage: 2\n", "x.yaml:2: max_levrage: expected a known key, got 'max_levrage'; did you mean 'max_leverage'"),
    ("limits:\n  max_leverage: 2\n  leverage:\n    max_leverage: 2\n", "x.yaml:4: max_leverage: expected each limit once"),
    ("limits:\n  position:\n    max_leverage: 2\n", "x.yaml:3: max_leverage: expected it under leverage, got it under position"),
    ("max_position_size_pct: 0.15\n", "x.yaml:1: max_position_size_pct: expected a percentage (20 means 20 %) from 1 to 100, got 0.15; write 15"),
    ("kill_switch_drawdown: 0.15\n", "expected a percentage"),
    ("margin_buffer: 30\n", "margin_buffer: expected a fraction (0.3 means 30 %) from 0 to 1, got 30; write 0.3"),
    ("max_leverage: .nan\n", "x.yaml:1: max_leverage: expected a ratio (2 means twice) from 0.1 to 100, got '.nan' (number)"),
    ("max_leverage: .inf\n", "got '.inf'"),
    ("max_leverage: 1e999\n", "got '1e999'"),
    ("max_leverage: -2\n", "got -2"),
    ("max_leverage: two\n", "got 'two' (text)"),
    ("max_leverage:\n", "got nothing"),
    ("max_leverage: [2]\n", "got a list"),
    ("min_positions: 2.5\n", "expected a whole number, got 2.5"),
    ("stop_loss_required: yes\n", "expected true or false, got 'yes' (text)"),
    ("stop_loss_required: 1\n", "expected true or false, got '1' (number)"),
    ("conflict_resolution_mode: risk_manager_vote\n", "did you mean 'risk_manager_veto'"),
    ("adaptation_rate_range: [0.5, 0.1]\n", "expected the lower bound first"),
    ("adaptation_rate_range: [0.5]\n", "expected two numbers"),
    ("consensus_threshold: 0\n", "from 0.01 to 1"),
    ("consensus_threshold: 2/0\n", "got '2/0'"),
    (
        "emergency_deleverage_threshold: 14.5\nhalt_trading_threshold: 14\n",
        "x.yaml:2: halt_trading_threshold: expected emergency_deleverage_threshold <= halt_trading_threshold, got 14.5 > 14",
    ),
    ("halt_trading_threshold: 16\nkill_switch_drawdown: 15\n", "expected halt_trading_threshold <= kill_switch_drawdown, got 16 > 15"),
    ("limits: {warn_drawdown_threshold: 13, emergency_deleverage_threshold: 12}\n", "expected warn_drawdown_threshold <="),
    ("max_correlation: 0.9\nmax_correlation_critical: 0.85\n", "expected max_correlation <= max_correlation_critical"),
    ("min_position_size_pct: 10\nmax_position_size_pct: 5\n", "expected min_position_size_pct <= max_position_size_pct"),
    ("solon: 2\nmax_leverage: 2\n", "x.yaml:1: solon: expected 1 (the format's version), got '2'"),
    ("solon: 1\nversion: 0\nmax_leverage: 2\n", "version: expected a number from 1"),
    ("solon: 1\nid: My Laws\nmax_leverage: 2\n", "id: expected a name in lower case"),
    ("solon: 1\nlanguage: english language\nmax_leverage: 2\n", "expected a language tag"),
    ("solon: 1\nprecedence: order\nmax_leverage: 2\n", "expected one of ordered, weighed, got 'order'; did you mean 'ordered'?"),
    ("solon: 1\nlimit: {}\n", "x.yaml:2: limit: expected a known key, got 'limit'; did you mean 'limits'"),
    ("gates: {unsafe_complience: '<= 0.1'}\n", "did you mean 'unsafe_compliance'"),
    ("gates: {unsafe_compliance: '<= 10'}\n", "expected a share from 0 to 1, got 10"),
    ("gates: {unsafe_compliance: 0.1}\n", 'expected a bound such as "<= 0.1"'),
    ("gates: {unsafe_compliance: {mode: stop}}\n", "expected either max or min, got neither"),
    ("gates: {unsafe_compliance: {max: 0.1, mode: halt}}\n", "expected one of stop, warn, rollback"),
    ("gates: [{metric: refusal, max: 1}, {metric: refusal, max: 0.5}]\n", "one gate of a metric in each direction"),
    ("domains: {legal: 80}\n", "legal: expected a number from 0 to 1, got 80"),
    ("escalation: {trust_bellow: 0.4}\n", "did you mean 'trust_below'"),
    ("escalation: {emotions: [anxious]}\n", "expected emotions in capitals"),
    ("governance: {voters: [a, a]}\n", "each voter and each key once"),
    ("governance: {voters: [{id: a, key: abc}]}\n", "64 hex digits"),
    ("limits: {custom: [{name: x, unit: count, measure: sum}]}\n", "expected either max or min, got neither"),
    ("limits: {custom: [{name: x, unit: litres, measure: sum, max: 1}]}\n", "expected one of percent"),
    ("limits: {custom: [{name: max_leverage, unit: ratio, measure: sum, max: 1}]}\n", "the documented key 'max_leverage'"),
    ("a: [1,\n", "x.yaml:2: yaml: expected well-formed YAML"),
    ("a: 1\n--- \nb: 2\n", "expected well-formed YAML, got another document"),
    ("- 1\n", "x.yaml:1: top level: expected a mapping"),
    ("# only a comment\n", "expected a mapping, got nothing"),
    ("lora: {r: 16}\n", "x.yaml:1: top level: expected limits, laws, domains or gates, got none among: lora"),
    ("lora: {r: 16}\nrisk: {appetite: high}\n", "x.yaml:2: appetite: expected a known key"),
    ("lora: {r: 16}\nmax_leverage: 2\ntraining:\n  max_posiion_size_pct: 9\n", "x.yaml:4: max_posiion_size_pct: expected max_position_size_pct or another word"),
    ("lora: {r: 16}\nlimits: {max_leverage: 2}\na: [{b: {Max-Daily-Loss-Pct: 1}}]\n", "did you mean 'max_daily_loss_pct'?"),
    ("lora: {r: 16}\nmax_leverage: 2\ntraining: {max_leverage: 3}\n", "expected it in a block that is read, got it inside training"),
    ("lora: {r: 16}\nmax_leverage: 2\ngovernence: {}\n", "x.yaml:3: governence: expected governance or another word"),
    ("lora: {r: 16}\nconstitutional_constraint: {max_leverage: 2}\n", "did you mean 'constitutional_constraints'?"),
    ("lora: {r: 16}\nmax_leverage: 2\nx: {a: 1, a: 2}\n", "x.yaml:3: a: expected each key once"),
    ("laws: [{text: x}]\n", "expected a line title: …"),
    ("laws: 3\n", "laws: expected a list"),
    ("laws: ['Law 0: a', 'Law 0: b']\n", "'law-0' again"),
    ("<<: {a: 1}\nsolon: 1\n", "<<: expected a known key"),
    ('solon: 1\nmax_leverage: 2\ntitle: "\\ud800"\n', r"x.yaml:3: title: expected whole characters, got half of a surrogate pair in '\ud800'"),
    ("laws: [{title: A, text: [x]}]\n", "text: expected text, got a list; correct it there"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), YAML)
def test_yaml_is_refused_with_line_and_mend(text: str, message: str) -> None:
    assert message in refusal(text)


MARKDOWN = [
    (FRONT.format("titel: x"), "x.md:3: titel: expected a known key, got 'titel'; did you mean 'title'"),
    (FRONT.format("limits: {max_leverage: 900}"), "x.md:3: max_leverage: expected a ratio"),
    (FRONT.format("author: me"), "x.md:3: author: expected a known key"),
    ("---\nsolon: 1\n# T\n", "x.md:1: front matter: expected a closing --- line"),
    ("# T\n\n## A\ntext\n\n### Critique Templat\nq\n", "x.md:6: Critique Templat: expected a known part of a principle, got 'Critique Templat'; did you mean 'Critique Template'"),
    ("# T\n\n## A\n### Critique Template\nq\n### Critique Template\nq\n", "x.md:6: Critique Template: expected each part of a principle once"),
    ("# T\n\n## A\n### Critique Template\n\n### Revision Guideline\nr\n", "x.md:4: Critique Template: expected text, got nothing"),
    ("# T\n\n### Critique Template\nq\n", "x.md:3: Critique Template: expected a ## principle above it"),
    ("# T\n\n# U\n", "x.md:3: U: expected one # title"),
    ("## A\na\n## A\nb\n", "x.md:3: A: expected each principle once, got 'a' again"),
    ("## A\nA1. x\nA1. y\n", "expected each directive once, got A1 twice"),
    ("## A\nA1. x\n## B\nA1. y\n", "A1: expected each id of a rule or directive once"),
    ("## A\n### Example Conversation\n**User**: a\n**Critique**: b\n", "x.md:4: Example Conversation: expected Assistant: …, got Critique: …"),
    ("## A\n### Example Conversation\nUser: a\nAssistant: b\nCritique: c\n", "x.md:5: Example Conversation: expected a line Revision: …"),
    ("## A\n### Example Conversation\nhello\n", "x.md:3: Example Conversation: expected a line User: …, got 'hello'"),
    ("## A\n### Example Conversation\nUser:\nAssistant: b\nCritique: c\nRevision: d\n", "x.md:3: Example Conversation: expected text after User:"),
    ("## A\n### Hard Rules\ntext\n", "x.md:2: Hard Rules: expected one fenced yaml block"),
    ("## A\n### Hard Rules\n```yaml\n- id: r\n  act: [x]\n```\n", "x.md:5: act: expected a known key, got 'act'; did you mean 'acts'"),
    ("## A\n### Hard Rules\n```yaml\n- id: r\n  acts: [Kill]\n```\n", "x.md:5: acts: expected phrases in lower case"),
    ("## A\n```\n## B\n", "x.md:2: ```: expected a closing line of the same"),
    ("##\ntext\n", "x.md:1: principle: expected a title"),
    ("Be good.\nBe good.\n", "x.md:2: Be good: expected each line once"),
    ("a\x00b", "x.md:1: text: expected text, got a NUL byte"),
    ("   \n\n", "x.md:1: text: expected a constitution, got an empty file"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), MARKDOWN)
def test_markdown_is_refused_with_line_and_mend(text: str, message: str) -> None:
    assert message in refusal(text, "x.md")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def said(path: Path | str) -> str:
        with pytest.raises(ConstitutionError) as caught:
            load(path)
        return str(caught.value)

    assert "expected a library name or a file, got neither; did you mean 'five-laws'" in said("five-law")
    assert "library: assistant, contemplative" in said(tmp_path / "none.md")
    assert "got a folder" in said(tmp_path)
    (tmp_path / "latin.md").write_bytes("# T\n\nü".encode("latin-1"))
    assert "latin.md:3: text: expected UTF-8, got byte 0xfc at offset 5; save the file as UTF-8" in said(tmp_path / "latin.md")
    (tmp_path / "huge.md").write_bytes(b"x" * (2**20 + 1))
    assert "expected at most 1048576 bytes, got 1048577" in said(tmp_path / "huge.md")
    (tmp_path / "empty.yaml").write_bytes(b"")
    assert "got an empty file" in said(tmp_path / "empty.yaml")
    (tmp_path / "x.csv").write_text("a,b\n")
    assert "expected a .md, .txt, .yaml, .yml or .json file, got .csv" in said(tmp_path / "x.csv")


@pytest.mark.slow
def test_anchors_and_deep_nesting_do_no_harm() -> None:
    bomb = "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(24))
    c = parse_text(bomb + "max_leverage: 2\n", "x.yaml")  # 2**24 items if it were unfolded
    assert len(c.ignored) == 25
    assert "expected well-formed YAML, got maximum depth" in refusal("a: " + "[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("kitten", "sitting", 3), ("abcd", "acbd", 1), ("same", "same", 0), ("", "ab", 2), ("flaw", "lawn", 2), ("abc", "xyz", 3)],
)
def test_edit_distance(a: str, b: str, distance: int) -> None:
    assert edits(a, b, 5) == edits(b, a, 5) == distance
    assert edits(a, b, 1) == min(distance, 2)
