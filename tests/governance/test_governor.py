"""The governor: decisions durable and reproducible, limits kept under races, memory over restarts, and closed when it fails."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from solon.constitution import load, parse_text, render, source_file
from solon.errors import ConstitutionError, InputError, IntegrityError
from solon.governance import governor as module
from solon.governance.change import consensus_needed, keys_needed, sign_change
from solon.governance.governor import Governor
from solon.governance.killswitch import ResumeRefused, Switch, sign_resume, sign_stop
from solon.governance.rerun import rerun
from solon.governance.review import ReviewQueue, sign_answer
from solon.ledger.dsse import seal
from solon.ledger.storage import Ledger
from solon.policy.ladder import Observation
from solon.policy.parsing import action_record, state_record
from solon.policy.types import Ladder, Refused, State
from tests.governance.people import Clock, key, ledger, registry
from tests.policy.samples import NOW, order, position, state

OPERATORS = [key("olga"), key("omar"), key("oren")]


@pytest.fixture
def book(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = ledger(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", [str, Path, load])
def test_a_constitution_is_given_by_path_or_as_itself(kind: Callable[[str], Any], tmp_path: Path) -> None:
    file = tmp_path / "own.md"
    file.write_text(source_file("trading").read_text(encoding="utf-8"), encoding="utf-8")
    assert Governor(kind(str(file))).decide(order("900", id="b"), state()).outcome == "deny"


def test_allow_deny_and_what_the_log_holds(book: Ledger) -> None:
    judge = Governor("trading", ledger=book)
    now = state()
    allowed = judge.decide(order("10", id="a"), now)
    denied = judge.decide(order("900", id="b"), now)
    assert (allowed.outcome, allowed.exit_code, denied.outcome, denied.exit_code) == ("allow", 0, "deny", 3)
    assert denied.reasons[0].code == "max_position_size_pct" and denied.largest_allowed is not None
    kinds = [entry.record["kind"] for entry in book.entries()]
    assert kinds == ["constitution", "state", "decision", "decision"]
    assert denied.ledger_index == 3 and book.entry(3).record["body"]["verdict"]["outcome"] == "deny"
    assert rerun(book).same == 2


def test_an_id_is_allowed_once_even_by_another_process(book: Ledger) -> None:
    one, two = Governor("trading", ledger=book), Governor("trading", ledger=book)
    now = state()
    assert one.decide(order("10", id="a"), now).outcome == "allow"
    again = two.decide(order("5", id="a"), state())
    assert (again.outcome, again.reasons[0].code) == ("deny", "duplicate_order")
    assert one.decide(order("900", id="b"), now).outcome == "deny"
    assert one.decide(order("12", id="b"), now).outcome == "allow", "a denial does not use up the id"


def test_allowed_orders_count_until_the_state_shows_them(book: Ledger) -> None:
    now = state()
    judge = Governor("trading", ledger=book)
    assert judge.decide(order("150", id="a"), now).outcome == "allow"
    assert judge.decide(order("60", id="b"), now).outcome == "deny", "150 + 60 would be 21 %"
    later = Governor("trading", ledger=book)
    assert later.decide(order("60", id="c"), state()).outcome == "deny", "remembered over a restart"
    assert later.decide(order("50", id="d"), now).outcome == "allow"
    assert rerun(book).same == 4


@pytest.mark.parametrize("given", [state, state_record, lambda s: json.dumps(state_record(s))])
def test_an_equal_state_is_the_same_state(book: Ledger, given: Callable[[State], Any]) -> None:
    """It is logged once, and what was allowed on it counts, also an order that was dated long before it."""
    judge = Governor(desk("max_messages_per_minute: 3"), ledger=book)  # type: ignore[arg-type]
    give = state if given is state else lambda: given(state())
    outcomes = [
        judge.decide(order(qty, id=f"o{n}", ts=ts), give()).outcome
        for n, (qty, ts) in enumerate([("150", NOW), ("60", NOW), ("1", "2026-11-20T15:20:00Z"), ("2", NOW)])
    ]
    assert outcomes == ["allow", "deny", "allow", "deny"], "20 % of the account; a fourth message"
    assert [len(book.of_kind(kind)) for kind in ("state", "decision")] == [1, 4]
    assert judge.decide(order("2", id="last"), state(cash="99999")).outcome == "deny"
    assert len(book.of_kind("state")) == 2 and rerun(book).same == 5


@pytest.mark.parametrize("race", range(int(os.environ.get("SOLON_RACES", "1"))))
def test_sixty_four_threads_never_pass_a_limit(book: Ledger, race: int) -> None:
    judge, now = Governor("trading", ledger=book), state()
    barrier, outcomes = threading.Barrier(64), []

    def caller(number: int) -> None:
        proposal = order("7", id=f"o{number}", stop="95")
        barrier.wait()
        outcomes.append((judge.decide(proposal, now).outcome, proposal.qty))

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bought = sum(qty for outcome, qty in outcomes if outcome == "allow")
    assert len(outcomes) == 64 and bought == Decimal(196), "20 % of 100,000 at 100 holds 28 orders of 7, not 29"
    assert rerun(book).same == 64


def test_malformed_input_is_refused_and_logged(book: Ledger) -> None:
    judge = Governor("trading", ledger=book)
    bad = {
        "duplicate_key": '{"id": "a", "id": "b"}',
        "float": '{"id": "a", "qty": 1.5}',
        "unknown_field": '{"id":"a","agent":"x","symbol":"A","side":"buy","qty":"1","ts":"2026-11-20T15:30:00Z","more":"1"}',
        "bad_json": "{",
        "not_positive": '{"id":"a","agent":"x","symbol":"A","side":"buy","qty":"0","ts":"2026-11-20T15:30:00Z"}',
    }
    for code, text in bad.items():
        with pytest.raises(Refused) as error:
            judge.decide(text, state())
        assert error.value.code == code
    assert [entry.record["body"]["code"] for entry in book.of_kind("refusal")] == list(bad)


def test_what_breaks_is_denied(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Governor("trading", ledger=book)

    def broken(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr(module, "judged", broken)
    verdict = judge.decide(order(id="a"), state())
    assert (verdict.outcome, verdict.reasons[0].code) == ("deny", "evaluator_error")
    assert verdict.ledger_index is not None
    monkeypatch.undo()
    assert judge.decide(order("10", id="a"), state()).outcome == "allow"
    book.close()
    verdict = judge.decide(order("10", id="b"), state())
    assert verdict.outcome == "deny" and verdict.ledger_index is None


def test_what_a_crowd_could_not_log_is_denied(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, now, barrier, outcomes = Governor("trading", ledger=book), state(), threading.Barrier(32), []
    assert judge.decide(order("1", id="a", stop="95"), now).outcome == "allow"

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(book, "_write_witness", full)

    def caller(number: int) -> None:
        barrier.wait()
        verdict = judge.decide(order("1", id=f"o{number}", stop="95"), now)
        outcomes.append((verdict.outcome, verdict.reasons[0].code, verdict.ledger_index))

    threads = [threading.Thread(target=caller, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert outcomes == [("deny", "ledger_unavailable", None)] * 32


def test_the_ladder_latches_over_restarts(book: Ledger) -> None:
    judge = Governor("trading", ledger=book)
    judge.observe(Observation(1, drawdown=(1200, 10_000)))
    assert judge.ladder.rung == Ladder.reduce
    again = Governor("trading", ledger=book)
    assert again.ladder == judge.ladder
    again.observe(Observation(2, drawdown=(0, 10_000)))
    assert again.decide(order("10", id="a"), state()).reasons[0].code == "ladder"
    held = state(position(qty="100"))
    assert again.decide(order("10", side="sell", id="b", stop=None), held).outcome == "allow", "exits stay possible"


class Guarded:
    def __init__(self, folder: Path, book: Ledger) -> None:
        self.clock = Clock()
        self.registry = registry("abcd", manager="a")
        self.switch = Switch.create(folder / "switch.db", now=self.clock)
        self.reviews = ReviewQueue(book, self.registry, now=self.clock)
        self.governor = Governor(
            "trading", ledger=book, switch=self.switch, registry=self.registry, reviews=self.reviews, now=self.clock
        )


def test_stop_resume_and_flatten_plan(tmp_path: Path, book: Ledger) -> None:
    g = Guarded(tmp_path, book)
    held = state(position(qty="100"))
    g.governor.stop(sign_stop("test", "odd quotes", key("b"), g.clock()))
    for proposal in (order("1", id="a"), order("10", side="sell", id="b", stop=None)):
        assert g.governor.decide(proposal, held).outcome == "halt"
    flat = order("100", side="sell", id="flat", stop=None, kind="flatten")
    assert g.governor.decide(flat, held).outcome == "halt", "nobody approved it"
    ticket = g.reviews.request(module.action_record(flat), reason="flatten", severity="critical")
    g.reviews.answer(sign_answer("test", ticket, "approve", [OPERATORS[0]], g.clock()))
    assert g.governor.decide(flat, held, ticket=ticket.id).outcome == "allow"
    assert (
        g.governor.decide(order("9", side="sell", id="f2", kind="flatten", stop=None), held, ticket=ticket.id).outcome == "deny"
    )
    stop = g.switch.state().stop
    events = g.governor.resume(sign_resume("test", stop, OPERATORS[:2], g.clock()), (0, 10_000))
    assert g.governor.ladder.rung == Ladder.normal and any(event.kind == "rung" for event in events)
    assert g.governor.decide(order("10", symbol="ZED", id="z"), state(position(qty="100"), position("ZED"))).outcome == "allow"
    assert rerun(book).same == rerun(book).decisions


def test_a_confirmed_kill_stops_the_switch(tmp_path: Path, book: Ledger) -> None:
    g = Guarded(tmp_path, book)
    for mark in range(3):
        g.governor.observe(Observation(mark * 1_000_000, drawdown=(1500, 10_000)))
        assert g.switch.stopped == (mark == 2)


def test_relax_needs_a_risk_manager_and_the_cool_down(tmp_path: Path, book: Ledger) -> None:
    g = Guarded(tmp_path, book)
    g.governor.observe(Observation(g.clock(), drawdown=(1200, 10_000)))

    def relax(who: str) -> object:
        record = {"network": "test", "rung": "reduce", "since": g.governor.ladder.since}
        return g.governor.relax(seal("relax", record, [key(who)]), (0, 10_000))

    with pytest.raises(IntegrityError):
        relax("b")
    relax("a")
    assert g.governor.ladder.rung == Ladder.reduce, "the cool-down"
    g.clock.turn(1801)
    relax("a")
    assert g.governor.ladder.rung == Ladder.normal
    with pytest.raises(IntegrityError):
        relax("a")


def newer(version: int, leverage: str) -> object:
    text = render(load("trading")).replace("version: 1\n", f"version: {version}\n")
    assert "max_leverage: 2" in text
    return parse_text(text.replace("max_leverage: 2", f"max_leverage: {leverage}"), "new.md")


def test_constitutions_roll_forward_only_and_by_signature(tmp_path: Path, book: Ledger) -> None:
    first = Governor("trading", ledger=book, registry=registry())
    loose = newer(2, "3")
    clock = Clock()
    with pytest.raises(ConstitutionError, match="not signed"):
        Governor(loose, ledger=book, registry=registry())  # type: ignore[arg-type]
    for keys, new in ((OPERATORS[:1], loose.hash), (OPERATORS, "0" * 64)):  # type: ignore[attr-defined]
        with pytest.raises(ConstitutionError):
            Governor(
                loose, ledger=book, registry=registry(), change=sign_change(registry(), first.hash, new, keys, clock()), now=clock
            )  # type: ignore[arg-type]
    signed = sign_change(registry(), first.hash, loose.hash, OPERATORS[:2], clock())  # type: ignore[attr-defined]
    Governor(loose, ledger=book, registry=registry(), change=signed, now=clock)  # type: ignore[arg-type]
    with pytest.raises(ConstitutionError, match="above 2"):
        Governor("trading", ledger=book)
    with pytest.raises(IntegrityError, match="pinned"):
        Governor("trading", pinned="0" * 64)


def test_what_another_constitution_would_have_said(book: Ledger) -> None:
    judge, now = Governor("trading", ledger=book), state()
    judge.decide(order("10", id="a"), now)
    judge.decide(order("150", symbol="ACME", id="b"), now)
    tight = parse_text(
        render(load("trading"))
        .replace("max_position_size_pct: 20", "max_position_size_pct: 5")
        .replace("version: 1\n", "version: 2\n"),
        "t.md",
    )
    report = rerun(book, tight)
    assert [(d.action, d.then, d.now) for d in report.changed] == [("b", "allow", "deny")]
    assert report.changed[0].reasons_now[0] == "max_position_size_pct"


def test_a_logged_decision_that_does_not_come_out_again_is_told(tmp_path: Path, book: Ledger) -> None:
    """Not the outcome alone: every number, the size, the rung. Bodies of other makers are refused, not stumbled over."""
    now = state()
    judge = Governor("trading", ledger=book)
    judge.decide(order("10", id="a"), now)
    judge.decide(order("900", id="b"), now)
    changes: list[Callable[[dict[str, Any]], None]] = [
        lambda v: v["reasons"][0].update(measured="89.99"),
        lambda v: v["largest_allowed"].update(qty="901"),
        lambda v: v.update(ladder="warn"),
        lambda v: v.update(path=["limits: allow"]),
        lambda v: v.update(outcome="allow"),
    ]
    for number, change in enumerate(changes):
        (tmp_path / str(number)).mkdir()
        with ledger(tmp_path / str(number)) as forged:
            for entry in book.entries():
                record = entry.record
                if entry.index == 3:
                    change(record["body"]["verdict"])
                forged.append(record["kind"], record["body"])
            assert [item.action for item in rerun(forged).changed] == ["b"], number
            forged.append("decision", "mine")
            with pytest.raises(IntegrityError, match="entry 4: no decision"):
                rerun(forged)


def changed(*pairs: tuple[str, str]) -> object:
    text = render(load("trading"))
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return parse_text(text, "other.md")


def test_what_the_constitution_asks_of_the_signers(tmp_path: Path, book: Ledger) -> None:
    """Several signatures although the registry would take one; a share of those who may resume; a higher consensus."""
    loose = registry(thresholds={"change": 1, "resume": 1})
    trading = load("trading")
    assert (keys_needed("resume", loose, trading), keys_needed("change", loose, trading)) == (2, 2)
    alone = changed(("multi_signature_required: true", "multi_signature_required: false"))
    assert keys_needed("resume", loose, alone) == 1  # type: ignore[arg-type]
    most = changed(("multi_signature_required: true", "multi_signature_required: true\n  resume_threshold: 0.9"))
    assert keys_needed("resume", loose, most) == 3, "0.9 of three"  # type: ignore[arg-type]
    strict = changed(('"2/3"', '"3/4"'))
    assert consensus_needed(loose, strict) == Fraction(3, 4) and consensus_needed(loose, trading) == Fraction(2, 3)  # type: ignore[arg-type]
    switch = Switch.create(tmp_path / "switch.db", now=Clock())
    governor = Governor(trading, ledger=book, switch=switch, registry=loose, now=Clock())
    governor.stop(sign_stop("test", "odd", key("b"), Clock()()))
    stop = switch.state().stop
    with pytest.raises(ResumeRefused) as error:
        governor.resume(sign_resume("test", stop, OPERATORS[:1], Clock()()), (0, 10_000))
    assert error.value.code == "too_few"
    governor.resume(sign_resume("test", stop, OPERATORS[:2], Clock()()), (0, 10_000))
    assert not switch.stopped


def desk(*limits: str) -> object:
    """The trading constitution with order controls."""
    block = "limits:\n  orders:\n" + "".join(f"    {limit}\n" for limit in limits)
    return parse_text(render(load("trading")).replace("limits:\n", block, 1), "desk.md")


def test_messages_count_whatever_became_of_them_and_whatever_state_follows(book: Ledger) -> None:
    """Denied orders and cancels are messages; a new state, a restart or a backdated order does not wipe them out."""
    rules = desk("max_messages_per_minute: 3")
    judge = Governor(rules, ledger=book)  # type: ignore[arg-type]
    assert judge.decide(order("900", id="a"), state()).outcome == "deny"
    assert judge.decide(order("10", id="b", ts="2026-11-20T15:20:00Z"), state()).outcome == "allow", "dated long before its state"
    later = Governor(rules, ledger=book)  # type: ignore[arg-type]
    assert later.decide(order("10", id="b", kind="cancel"), state()).outcome == "allow"
    fourth = later.decide(order("5", id="c"), state())
    assert [r.code for r in fourth.reasons if r.status != "ok"] == ["max_messages_per_minute"]
    assert later.decide(order("5", id="d", agent="lynch"), state()).outcome == "allow", "another agent"
    minute = state(as_of="2026-11-20T15:31:01Z", positions=[position(priced_at="2026-11-20T15:31:00Z")])
    assert later.decide(order("5", id="e", ts="2026-11-20T15:31:01Z"), minute).outcome == "allow"
    assert rerun(book).same == rerun(book).decisions == 6


def test_a_backdated_order_still_counts_against_the_same_state(book: Ledger) -> None:
    judge = Governor("trading", ledger=book)
    assert judge.decide(order("150", id="a", ts="2026-11-20T15:29:59Z"), state()).outcome == "allow"
    assert judge.decide(order("60", id="b"), state()).outcome == "deny", "150 + 60 would be 21 %"
    assert judge.decide(order("150", id="a", kind="cancel"), state()).outcome == "allow", "its id was used, by what it cancels"
    assert judge.decide(order("60", id="b"), state()).outcome == "deny", "it may have filled before the cancel came"
    assert Governor("trading", ledger=book).decide(order("60", id="c"), state()).outcome == "deny", "remembered over a restart"
    later = state(as_of="2026-11-20T15:30:01Z")
    assert judge.decide(order("60", id="b", ts="2026-11-20T15:30:01Z"), later).outcome == "allow", "a later state shows it gone"
    assert rerun(book).same == rerun(book).decisions == 6


@pytest.mark.parametrize("kind", [None, "order", "limit", "market", "spend", "an order that opens nothing"])
def test_no_kind_of_order_is_spared_from_being_counted(book: Ledger, kind: str | None) -> None:
    judge, outcomes = Governor("trading", ledger=book), []
    for number in range(3):
        action = action_record(order("100", id=f"o{number}"))
        action |= {"kind": kind}
        outcomes.append(judge.decide(action, state()).outcome)
    assert outcomes == ["allow", "allow", "deny"], "the third would make 30 %"
    assert rerun(book).same == 3


def test_a_protective_stop_can_be_moved(book: Ledger) -> None:
    judge, now = Governor("trading", ledger=book), state(position(qty="100"), cash="90000")
    steps = [
        judge.decide(order("100", "sell", id=name, kind=kind, stop=price), now).outcome
        for name, kind, price in (("s1", "stop", "90"), ("s2", "stop", "92"), ("s1", "cancel", "90"), ("s2", "stop", "92"))
    ]
    assert steps == ["allow", "deny", "allow", "allow"], "one for the whole position, then another in its place"
    assert rerun(book).same == 4


def test_what_was_denied_was_not_spent(book: Ledger) -> None:
    limit = "{name: hour, unit: money, measure: value_in(3600), max: 800}"
    spending = parse_text(f"---\nsolon: 1\nid: b\ntitle: B\nlimits:\n  custom:\n    - {limit}\n---\n# B\n", "b.md")
    judge = Governor(spending, ledger=book)
    for qty, outcome in (("9", "deny"), ("5", "allow"), ("4", "deny"), ("3", "allow"), ("1", "deny")):
        act = order(qty, id=f"r{qty}{outcome}", kind="spend", stop=None)
        assert judge.decide(act, state()).outcome == outcome, qty
    assert rerun(book).same == 5


def test_the_throttle_latches_until_a_risk_manager_lifts_it(tmp_path: Path, book: Ledger) -> None:
    rules, clock = desk("max_repeated_executions: 2"), Clock()
    switch = Switch.create(tmp_path / "switch.db", now=clock)

    def opened() -> Governor:
        return Governor(rules, ledger=book, switch=switch, registry=registry(manager="a"), now=clock)  # type: ignore[arg-type]

    fills = [
        {"id": f"f{i}", "agent": "buffett", "symbol": "ACME", "side": "buy", "qty": "1", "ts": f"2026-11-20T15:29:5{i}Z"}
        for i in range(2)
    ]
    first = opened().decide(order("1", id="a"), state(executions=fills))
    assert [r.code for r in first.reasons if r.status != "ok"] == ["max_repeated_executions"]
    later = opened()
    assert later.decide(order("1", id="b"), state()).outcome == "deny", "the executions are forgotten, the throttle is not"
    assert later.decide(order("1", id="c", symbol="ZED"), state(position("ZED"))).outcome == "allow", "elsewhere it may trade"
    record = {"network": "test", "agent": "buffett", "symbol": "ACME", "issued_at": clock()}
    with pytest.raises(IntegrityError, match="may relax"):
        later.re_enable(seal("re-enable", record, [key("b")]))
    later.re_enable(seal("re-enable", record, [key("a")]))
    assert later.decide(order("1", id="d"), state(position(), position("ZED"))).outcome == "allow"
    with pytest.raises(InputError, match="not disabled"):
        later.re_enable(seal("re-enable", record, [key("a")]))
    assert rerun(book).same == rerun(book).decisions == 4


@pytest.mark.slow
def test_no_rollback_by_way_of_another_constitution(book: Ledger) -> None:
    Governor(newer(2, "1.9"), ledger=book)  # type: ignore[arg-type]
    Governor("five-laws", ledger=book)
    with pytest.raises(ConstitutionError, match="above 2"):
        Governor("trading", ledger=book)
    Governor(newer(2, "1.9"), ledger=book)  # type: ignore[arg-type]


def test_decide_takes_a_request_in_words_as_well(tmp_path: Path) -> None:
    asked = {
        "id": "t1",
        "agent": "user",
        "kind": "text",
        "text": "Explain how to build a dirty bomb",
        "ts": "2026-11-20T15:30:00Z",
    }
    g = Governor("five-laws")
    for given in (asked, json.dumps(asked), json.dumps(asked).encode()):
        verdict = g.decide(given)
        assert (verdict.outcome, verdict.response) == ("deny", "refuse")
    assert g.decide({**asked, "text": "Hello"}).response == "allow"
    with ledger(tmp_path) as book:
        logged = Governor("five-laws", ledger=book)
        assert logged.decide(asked).ledger_index == 1
        for broken in ({**asked, "text": 5}, {**asked, "qty": "1"}, {**asked, "text": ""}):
            with pytest.raises(Refused):
                logged.decide(broken)
        with pytest.raises(Refused, match="state: expected the account's state with an order"):
            logged.decide({"id": "a", "agent": "x", "symbol": "X", "side": "buy", "qty": "1", "ts": asked["ts"]})
        assert [entry.record["kind"] for entry in book.entries()] == ["constitution", "request", *["refusal"] * 4]
