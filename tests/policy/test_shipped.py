"""The constitutions that ship, decided under; also a domain that is not trading."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal as D
from pathlib import Path

from solon.constitution.keys import DOCUMENTED
from solon.constitution.parse import load
from solon.policy.assess import Judge, assess, kept_elsewhere
from solon.policy.limits import BY_KEY
from solon.policy.parsing import load_action, load_state
from solon.policy.rules import compile_rules

from .samples import LIMITS, order, position, state

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent_budget"


def test_every_documented_key_is_kept_somewhere() -> None:
    rules = compile_rules(load("trading"))
    here = {key for key in rules.shown if key in BY_KEY}
    switches = {"kill_switch_enabled", "multi_signature_required"}
    assert len(DOCUMENTED) == 30
    assert here | set(kept_elsewhere(rules)) | switches == {key.name for key in DOCUMENTED}


def test_the_shipped_trading_constitution_says_what_the_seed_says() -> None:
    shipped, typed = compile_rules(load("trading")), compile_rules(LIMITS)
    assert shipped.bounds == typed.bounds and shipped.flags == typed.flags
    assert shipped.hash == load("trading").hash
    result = assess(order("350", stop="85"), state(position(), position("B", "10")), load("trading"))
    assert result.outcome == "deny" and result.verdict.constitution_hash == shipped.hash
    assert result.verdict.as_dict()["largest_allowed"] == {"qty": "134", "size_pct": "13.27"}  # equity is 101,000


def test_another_domain_uses_the_same_machinery() -> None:
    judge = Judge.of(load(str(EXAMPLE / "constitution.md")))
    action, now = load_action((EXAMPLE / "action.json").read_text()), load_state((EXAMPLE / "state.json").read_text())
    result = assess(action, now, judge)  # 240 hours cost 600: more than one purchase may, within the month's budget
    assert result.outcome == "escalate"
    assert {r.code: r.status for r in result.verdict.reasons}["single_purchase"] == "breach"
    assert result.verdict.largest_allowed.qty == "200" and assess(result.remedy, now, judge).outcome == "allow"
    assert assess(replace(action, qty=D(200)), now, judge).outcome == "allow"
    assert assess(replace(action, qty=D(281)), now, judge).outcome == "deny"  # 702.50 passes the month's 5,000
    assert assess(replace(action, symbol="search-call", qty=D(1000)), now, judge).outcome == "allow"
    dear = assess(action, replace(now, facts={}), judge)
    assert dear.outcome == "deny" and any(r.status == "unknown" and r.code == "month_budget" for r in dear.verdict.reasons)
