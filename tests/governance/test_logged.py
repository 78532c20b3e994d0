"""The log's text of a decision, written at once, is byte for byte what the strict writer makes of the records."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.governance.deciding import placed, plain
from solon.governance.logged import action_text, decision_text, state_text, verdict_text
from solon.ledger.canonical import NotCanonical, canonical, digest, entry_bytes, quote, written
from solon.ledger.storage import time_text as full_time_text
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.parsing import action_record, state_record, time_text
from solon.policy.types import Action, Ladder, Reason, Severity, Size, Verdict
from tests.policy.samples import order, position, state

TEXT = st.text(max_size=12) | st.sampled_from(["", '"\\/', "\x00\x1f\x7f\u2028", "\U0001f600\ufb33", "null"])
MICROS = st.integers(-(10**15), 4 * 10**15) | st.integers(0, 2 * 10**9).map(lambda s: s * 1_000_000)
DECIMAL = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12)
REASON = st.builds(
    Reason, TEXT, TEXT, st.none() | TEXT, TEXT, TEXT, st.sampled_from(["ok", "breach", "unknown"]), TEXT, st.just(Severity.high)
)
VERDICT = st.builds(
    Verdict,
    st.sampled_from(["allow", "deny", "escalate", "halt"]),
    st.lists(REASON, max_size=3).map(tuple),
    st.none() | st.builds(Size, TEXT, TEXT),
    st.sampled_from(Ladder),
    st.lists(TEXT, max_size=3).map(tuple),
    st.just("c" * 64),
    st.none(),
    st.none() | st.sampled_from(["refuse", "allow"]),
)
ACTION = st.builds(
    Action, TEXT, TEXT, TEXT, TEXT, st.sampled_from(["buy", "sell"]), DECIMAL, st.none() | DECIMAL, st.none() | DECIMAL, MICROS,
    st.none() | MICROS,
)  # fmt: skip
NAMES = st.lists(TEXT, max_size=3)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(ACTION, VERDICT, MICROS, NAMES, NAMES, TEXT, st.booleans(), st.booleans(), st.none() | TEXT)
def test_the_same_bytes(
    action: Action, verdict: Verdict, at: int, pending: list[str], noted: list[str], ticket: str, fresh: bool, approved: bool,
    once: str | None,
) -> None:  # fmt: skip
    body: dict[str, Any] = {
        "action": action_record(action), "state": "a" * 64, "fresh": fresh, "pending": pending, "noted": noted, "name": "r:7",
        "at": time_text(at), "ladder": "warn", "approved": approved, "verdict": plain(verdict), "constitution": "c" * 64,
    }  # fmt: skip
    if ticket:
        body["ticket"] = ticket
    text = decision_text(
        action, verdict, at=at, ladder="warn", name="r:7", state="a" * 64, constitution="c" * 64, fresh=fresh,
        approved=approved, pending=pending, noted=noted, ticket=ticket,
    )  # fmt: skip
    record = {"kind": "decision", "at": full_time_text(at), "body": body} | ({} if once is None else {"once": once})
    assert entry_bytes("decision", full_time_text(at), text, once) == rfc8785.dumps(record)
    assert entry_bytes("decision", full_time_text(at), body, once) == rfc8785.dumps(record)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text())
def test_a_string_is_quoted_as_the_rfc_says(text: str) -> None:
    assert quote(text).encode() == rfc8785.dumps(text)


@pytest.mark.parametrize(
    "change",
    [{"qty": 1.5}, {"limit_price": 2.0}, {"kind": 3.0}, {"id": "\ud800"}],
)
def test_what_has_no_canonical_form_is_refused(change: dict[str, Any]) -> None:
    base: dict[str, Any] = {"id": "a", "agent": "b", "kind": "order", "symbol": "S", "side": "buy", "qty": Decimal(1)}
    with pytest.raises((NotCanonical, TypeError)):
        canonical(action_record(Action(**{**base, **change})))
    with pytest.raises((NotCanonical, TypeError)):
        entry_bytes("decision", "t", decision_text_of(Action(**{**base, **change})))


def decision_text_of(action: Action) -> Any:
    return decision_text(
        action, Verdict("deny"), at=0, ladder="normal", name="n", state="s", constitution="c", fresh=True, approved=False,
        pending=[], noted=[], ticket="",
    )  # fmt: skip


def test_real_verdicts_and_where_they_are_placed() -> None:
    judge, book = Judge.of({"max_position_size_pct": "20", "max_leverage": "2", "stop_loss_required": True}), Book(state())
    for action in (order("1"), order("900"), order("900", stop=None), order("5", kind="cancel")):
        verdict = judge.assess(action, book).verdict
        assert verdict_text(verdict).encode() == canonical(plain(verdict))
        assert action_text(action).encode() == canonical(action_record(action))
        assert placed(verdict, 7) == replace(verdict, ledger_index=7)


def test_a_state_is_written_once() -> None:
    record = state_record(state(position("\u00dcBER"), position("B", qty="-1.50")))
    body = {"digest": digest(record), "state": record}
    assert entry_bytes("state", "t", state_text(digest(record), written(record))) == entry_bytes("state", "t", body)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_times_as_the_calendar_writes_them(micros: int) -> None:
    moment = datetime.fromtimestamp(0, UTC) + (datetime.resolution * micros)
    plain_text = moment.isoformat(timespec="microseconds" if micros % 1_000_000 else "seconds").replace("+00:00", "Z")
    assert time_text(micros) == plain_text
