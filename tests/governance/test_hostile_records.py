"""Signed records made to do harm: well signed, by members even, and yet not to be taken as they are."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from solon.errors import InputError, IntegrityError, SolonError
from solon.governance import certificate as certificates
from solon.governance.council import Council, NotExecutable, sign_veto_lift
from solon.governance.governor import Governor
from solon.governance.home import Home
from solon.governance.killswitch import StopRefused, Switch, sign_resume, sign_stop
from solon.governance.knowledge import Knowledge, KnowledgeRefused, sign_endorsement, sign_item, sign_revocation
from solon.governance.registry import Registry, RegistryRefused, follow
from solon.governance.rerun import rerun
from solon.governance.review import AnswerRefused, NotApproved, ReviewQueue, sign_answer
from solon.governance.votes import VoteRefused, VoterMemory, vote_of
from solon.ledger.dsse import Envelope, pae, payload_type, seal
from solon.ledger.storage import AlreadyUsed, Ledger
from tests.governance.people import CONSTITUTION, LEDGER_KEY, Clock, key, ledger, registry, signed
from tests.governance.test_decision_verbs import Shell

OPERATORS = [key("olga"), key("omar")]
CLOCK = Clock()


@pytest.fixture
def book(tmp_path: Path):  # type: ignore[no-untyped-def]
    found = ledger(tmp_path, CLOCK)
    yield found
    found.close()


# --- registries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "patch",
    [
        {"thresholds": {"change": "2"}}, {"thresholds": {"change": True}}, {"thresholds": {"change": None}}, {"thresholds": []},
        {"epoch": True}, {"epoch": "1"}, {"network": 5}, {"network": " "}, {"network": "a\u202eb"}, {"consensus": 5},
        {"consensus": "2/0"}, {"members": "abc"}, {"members": [1]}, {"more": 1},
    ],
)  # fmt: skip
def test_registries_of_the_wrong_kind_are_refused(patch: dict[str, Any]) -> None:
    with pytest.raises(RegistryRefused) as refused:
        follow(None, seal("registry", {**registry("abcd").record, **patch}, OPERATORS))
    assert refused.value.code in ("registry", "epoch")


@pytest.mark.parametrize(
    "patch",
    [
        {"suspended": "no"}, {"suspended": 0}, {"powers": "vote"}, {"powers": ["vote", "vote"]}, {"id": ""}, {"id": "a\u202eb"},
        {"role": "x\u202ey"}, {"role": " "}, {"weight": 1}, {"key": "01" + "00" * 31}, {"key": 5},
    ],
)  # fmt: skip
def test_members_of_the_wrong_kind_are_refused(patch: dict[str, Any]) -> None:
    record = registry("abcd").record
    record["members"][0].update(patch)
    with pytest.raises(InputError) as refused:
        follow(None, seal("registry", record, OPERATORS))
    assert refused.value.code in ("registry", "key")


# --- votes and certificates -------------------------------------------------------------------------------------------


@pytest.fixture
def memory(tmp_path: Path):  # type: ignore[no-untyped-def]
    found = VoterMemory(tmp_path / "voter.db")
    yield found
    found.close()


@pytest.mark.parametrize(
    "patch",
    [
        {"epoch": True}, {"seq": 0}, {"seq": -1}, {"slot": ""}, {"proposal": ""}, {"expires_at": 2**53 - 1}, {"expires_at": 1},
        {"issued_at": -(10**15)}, {"decision": "YES"}, {"proposed_action": 5}, {"confidence_bp": 10_001}, {"confidence_bp": True},
    ],
)  # fmt: skip
def test_votes_of_the_wrong_kind_are_refused(patch: dict[str, Any], memory: VoterMemory) -> None:
    good = signed(memory, "a", registry("abcd"), "s", "p").record
    with pytest.raises(VoteRefused) as refused:
        vote_of(seal("vote", {**good, **patch}, [key("a")]))
    assert refused.value.code == "malformed"


def test_a_vote_may_not_hold_for_long(memory: VoterMemory) -> None:
    with pytest.raises(VoteRefused, match="lifetime"):
        signed(memory, "a", registry("abcd"), "s", "p", lifetime=8 * 86_400_000_000)


def compliance() -> Registry:
    """d may veto by a power of its own, not by its role; a risk manager without the power may not."""
    reg = registry("abcde", manager="e")
    powers = {"d": ("vote", "veto"), "e": ("vote",)}
    return replace(reg, members=tuple(replace(m, powers=powers.get(m.id, m.powers)) for m in reg.members))


def test_the_power_to_veto_is_what_counts_not_the_role(book: Ledger, memory: VoterMemory) -> None:
    reg = compliance()
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    slot = council.open("s", {"action": "buy"})
    for who in "abc":
        council.receive(signed(memory, who, reg, "s", slot.digest, now=CLOCK()))
    with pytest.raises(VoteRefused) as refused:
        council.receive(signed(memory, "e", reg, "s", slot.digest, "veto", now=CLOCK()))
    assert refused.value.code == "no_veto_power"
    council.receive(signed(memory, "d", reg, "s", slot.digest, "veto", now=CLOCK()))
    result, made = council.close("s")
    assert (result.outcome, result.vetoed_by, made) == ("deny", ("d",), None)


def test_a_veto_among_the_votes_makes_no_certificate(memory: VoterMemory) -> None:
    reg = registry("abcd", manager="d")
    votes = [signed(memory, who, reg, "s", "p", now=CLOCK()) for who in "abc"]
    veto = signed(memory, "d", reg, "s", "p", "veto", now=CLOCK())
    with pytest.raises(certificates.Vetoed, match="vetoed by d"):
        certificates.make([*votes, veto], reg, CONSTITUTION, "s", "p", CLOCK())
    assert certificates.make(votes, reg, CONSTITUTION, "s", "p", CLOCK())["slot"] == "s"


def test_a_key_that_signs_two_ways_helps_no_certificate(tmp_path: Path, memory: VoterMemory) -> None:
    reg, liar = registry("abcd"), VoterMemory(tmp_path / "liar.db")
    votes = [signed(memory, who, reg, "s", "p", now=CLOCK()) for who in "abc"]
    other = signed(liar, "c", reg, "s", "other proposal", now=CLOCK())
    for order in ([*votes, other], [other, *votes]):
        with pytest.raises(certificates.NoQuorum, match="2 of 4"):
            certificates.make(order, reg, CONSTITUTION, "s", "p", CLOCK())
    liar.close()


def test_votes_that_never_held_together_make_no_certificate(memory: VoterMemory) -> None:
    reg = registry("abcd")
    early = [signed(memory, who, reg, "s", "p", now=CLOCK()) for who in "ab"]
    late = signed(memory, "c", reg, "s", "p", now=CLOCK() + 10**9)
    record = {
        "network": "test", "epoch": 1, "registry": reg.digest, "constitution": CONSTITUTION, "slot": "s", "proposal": "p",
        "votes": [vote.as_dict() for vote in (*early, late)],
    }  # fmt: skip
    with pytest.raises(IntegrityError) as refused:
        certificates.verify(record, reg)
    assert refused.value.code == "late"


def test_a_certificate_below_the_constitutions_share_is_not_executed(book: Ledger, memory: VoterMemory) -> None:
    reg = registry("abcd")
    council = Council(reg, CONSTITUTION, book, now=CLOCK, threshold=Fraction(1))
    slot = council.open("s", {"action": "buy"})
    votes = [signed(memory, who, reg, "s", slot.digest, now=CLOCK()) for who in "abc"]
    for vote in votes:
        council.receive(vote)
    enough_for_the_registry = certificates.make(votes, reg, CONSTITUTION, "s", slot.digest, CLOCK())
    with pytest.raises(certificates.NoQuorum):
        council.execute("s", enough_for_the_registry)


def test_nothing_is_executed_while_the_switch_is_stopped(tmp_path: Path, book: Ledger, memory: VoterMemory) -> None:
    reg, switch = registry("abcd"), Switch.create(tmp_path / "switch.db", now=CLOCK, ticks=CLOCK, boot="b")
    council = Council(reg, CONSTITUTION, book, now=CLOCK, switch=switch)
    slot = council.open("s", {"action": "buy"})
    votes = [signed(memory, who, reg, "s", slot.digest, now=CLOCK()) for who in "abc"]
    for vote in votes:
        council.receive(vote)
    certificate = council.close("s")[1]
    assert certificate is not None
    switch.stop(sign_stop("test", "x", key("a"), CLOCK()), reg)
    with pytest.raises(NotExecutable, match="stopped"):
        council.execute("s", certificate)
    switch.close()


def test_signing_two_ways_is_found_in_any_order(tmp_path: Path, book: Ledger, memory: VoterMemory) -> None:
    """Also where the first of the two votes did not count, and after a restart in between."""
    reg, liar = registry("abcd"), VoterMemory(tmp_path / "liar.db")
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    slot = council.open("s", {"action": "buy"})
    with pytest.raises(VoteRefused, match="another proposal"):
        council.receive(signed(liar, "a", reg, "s", "other", now=CLOCK()))
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    with pytest.raises(VoteRefused) as refused:
        council.receive(signed(memory, "a", reg, "s", slot.digest, now=CLOCK()))
    assert refused.value.code == "equivocation" and council.convicted == {key("a").id}
    for again in (council, Council(reg, CONSTITUTION, book, now=CLOCK)):
        lines = [line for line in again.tally("s").explanation().split("\n") if line.startswith("a:")]
        assert len(lines) == 2 and "proposal:" in lines[0] and "equivocation:" in lines[1], lines
    liar.close()


def test_strangers_and_other_networks_freeze_nothing(tmp_path: Path, book: Ledger, memory: VoterMemory) -> None:
    reg = registry("abcd")
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    slot = council.open("s", {"action": "buy"})
    council.receive(signed(memory, "a", reg, "s", slot.digest, now=CLOCK()))
    elsewhere, strangers = VoterMemory(tmp_path / "elsewhere.db"), [VoterMemory(tmp_path / f"{n}.db") for n in "xy"]
    foreign = signed(elsewhere, "a", replace(reg, network="other"), "s", slot.digest, "no", now=CLOCK())
    two_ways = [signed(m, "z", reg, "s", slot.digest, d, now=CLOCK()) for m, d in zip(strangers, ("yes", "no"), strict=True)]
    codes = []
    for envelope in (foreign, *two_ways):
        with pytest.raises(VoteRefused) as refused:
            council.receive(envelope)
        codes.append(refused.value.code)
    assert codes == ["network", "unknown_voter", "unknown_voter"] and not council.convicted and not slot.frozen
    for each in (elsewhere, *strangers):
        each.close()


def test_a_convicted_seat_still_counts_against(tmp_path: Path, book: Ledger, memory: VoterMemory) -> None:
    """With one of four convicted, two yes are no quorum of what is left."""
    reg, liar = registry("abcd"), VoterMemory(tmp_path / "liar.db")
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    one, two = council.open("s", {"action": "buy"}), council.open("t", {"action": "buy"})
    council.receive(signed(memory, "d", reg, "s", one.digest, now=CLOCK()))
    with pytest.raises(VoteRefused):
        council.receive(signed(liar, "d", reg, "s", one.digest, "no", now=CLOCK()))
    for who in "ab":
        council.receive(signed(memory, who, reg, "t", two.digest, now=CLOCK()))
    assert council.tally("t").outcome == "escalate" and council.tally("t").quorum.q == 3
    council.receive(signed(memory, "c", reg, "t", two.digest, now=CLOCK()))
    result, made = council.close("t")
    assert result.outcome == "allow" and made is not None
    liar.close()


def test_a_veto_comes_late_is_lifted_by_several_only_and_is_counted(book: Ledger, memory: VoterMemory) -> None:
    reg, lawful = registry("abcde", manager="e"), VoterMemory(book.path.parent / "e.db")
    council = Council(reg, CONSTITUTION, book, now=CLOCK)
    for name in "st":
        slot = council.open(name, {"action": "buy"})
        for who in "abcd":
            council.receive(signed(memory, who, reg, name, slot.digest, now=CLOCK()))
        certificate = council.close(name)[1]
    assert certificate is not None
    with pytest.raises(VoteRefused, match="closed"):
        council.receive(signed(lawful, "e", reg, "s", slot.digest, "no", now=CLOCK()))
    council.receive(signed(lawful, "e", reg, "t", slot.digest, "veto", now=CLOCK()))  # after the count, before the act
    with pytest.raises(NotExecutable, match="vetoed by e"):
        council.execute("t", certificate)
    end = CLOCK() + 10**7
    lift = sign_veto_lift(reg, slot, OPERATORS, end)
    bads = {
        "too_few": sign_veto_lift(reg, slot, OPERATORS[:1], end),
        "other": sign_veto_lift(replace(reg, epoch=2), slot, OPERATORS, end),
        "late": sign_veto_lift(reg, slot, OPERATORS, CLOCK() - 1),
        "signature": seal("veto-lift", {**lift.record, "expires_at": "never"}, OPERATORS),
        "payload_type": seal("resume", lift.record, OPERATORS),
    }
    for code, bad in bads.items():
        with pytest.raises(SolonError) as refused:
            council.lift_veto(bad)
        assert (refused.value.code or "signature") == code
    council.lift_veto(lift)
    with pytest.raises(SolonError):
        council.lift_veto(lift)
    again = Council(reg, CONSTITUTION, book, now=CLOCK)
    result, certificate = again.close("t")
    assert certificate is not None and "veto: lifted by olga, omar" in result.explanation()
    assert again.veto_rate() == {"slots": 2, "vetoed": 1, "by": {"e": 1}}
    assert again.execute("t", certificate)
    kinds = [entry.record["kind"] for entry in book.of_kind("refusal", "veto_lifted")]
    assert kinds == ["refusal"] * 6 + ["veto_lifted", "refusal"], "the refused act and every refused lift are in the log"
    lawful.close()


# --- knowledge --------------------------------------------------------------------------------------------------------


def item(reg: Registry, who: str = "a", **more: Any) -> Envelope:
    told = {"provenance": "own trades", "now": CLOCK(), "lifetime": 10**9, **more}
    return sign_item(reg, key(who), {"finding": told.pop("content", "x")}, **told)


@pytest.mark.parametrize(
    "patch",
    [
        {"expires_at": "x"}, {"expires_at": 0}, {"issued_at": "x"}, {"issued_at": 3 * 10**15, "expires_at": 4 * 10**15},
        {"parents": "abc"}, {"parents": 5}, {"parents": [[]]}, {"constitutional": "yes"}, {"provenance": " "}, {"author": []},
    ],
)  # fmt: skip
def test_one_member_cannot_poison_what_all_read(patch: dict[str, Any], book: Ledger) -> None:
    reg = registry("abcd")
    store = Knowledge(book, reg, now=CLOCK)
    with pytest.raises(KnowledgeRefused) as refused:
        store.add(seal("knowledge", {**item(reg).record, **patch}, [key("a")]))
    assert refused.value.code in ("malformed", "early", "expired") and store.accepted() == []


@pytest.mark.parametrize("patch", [{"item": []}, {"item": 5}, {"key": []}, {"issued_at": "x"}, {"issued_at": 9 * 10**15}])
def test_endorsements_of_the_wrong_kind_are_refused(patch: dict[str, Any], book: Ledger) -> None:
    reg = registry("abcd")
    store = Knowledge(book, reg, now=CLOCK)
    good = sign_endorsement(reg, key("b"), store.add(item(reg)), CLOCK()).record
    with pytest.raises(KnowledgeRefused):
        store.endorse(seal("endorsement", {**good, **patch}, [key("b")]))


def test_a_revoked_item_does_not_come_back_under_another_signature(book: Ledger) -> None:
    reg = registry("abcd")
    store = Knowledge(book, reg, now=CLOCK)
    first = item(reg)
    name = store.add(first)
    store.revoke(sign_revocation(reg, key("a"), name, CLOCK()))
    again = Envelope(first.type, first.payload, ((key("a").id, other_signature("a", pae(first.type, first.payload))),))
    assert again.clean and again.signatures != first.signatures
    with pytest.raises(AlreadyUsed):
        store.add(again)
    assert store.standing(name) == "revoked" and Knowledge(book, reg, now=CLOCK).standing(name) == "revoked"


def other_signature(name: str, message: bytes) -> bytes:
    """A second signature of the same key over the same bytes: RFC 8032 with another nonce, which a signer is free to choose."""
    import hashlib

    from nacl.bindings import crypto_core_ed25519_scalar_add as add
    from nacl.bindings import crypto_core_ed25519_scalar_mul as times
    from nacl.bindings import crypto_core_ed25519_scalar_reduce as reduce
    from nacl.bindings import crypto_scalarmult_ed25519_base_noclamp as base

    seed = bytes(key(name)._key)
    half = bytearray(hashlib.sha512(seed).digest()[:32])
    half[0] &= 248
    half[31] = half[31] & 127 | 64
    secret = reduce(bytes(half) + bytes(32))
    nonce = reduce(hashlib.sha512(b"another nonce" + message).digest())
    point = base(nonce)
    challenge = reduce(hashlib.sha512(point + key(name).public.raw + message).digest())
    return point + add(nonce, times(challenge, secret))


def test_long_and_wide_links_are_read_at_once(book: Ledger) -> None:
    reg = registry("abcd")
    store, layer = Knowledge(book, reg, now=CLOCK), ()  # type: ignore[var-annotated]
    for number in range(30):  # 2^30 ways to the bottom
        layer = tuple(store.add(item(reg, content=f"{number} {side}", parents=layer)) for side in "lr")
        for name in layer:
            for who in "bc":
                store.endorse(sign_endorsement(reg, key(who), name, CLOCK()))
    assert store.standing(layer[0]) == "accepted" and len(store.accepted()) == 60
    chain: tuple[str, ...] = ()
    for number in range(1100):  # deeper than Python recurses
        envelope = item(reg, content=f"deep {number}", parents=chain)
        store._apply("knowledge", envelope)
        chain = (list(store.items)[-1],)
    assert store.standing(chain[0]) == "parent_not_accepted"


def test_a_certificate_accepts_an_item(book: Ledger, memory: VoterMemory) -> None:
    reg = registry("abcd")
    store = Knowledge(book, reg, now=CLOCK)
    name = store.add(item(reg, constitutional=True))
    votes = [signed(memory, who, reg, "k", name, now=CLOCK()) for who in "abc"]
    made = certificates.make(votes, reg, CONSTITUTION, "k", name, CLOCK())
    for bad, error in (({**made, "votes": made["votes"][:2]}, certificates.NoQuorum), ({**made, "slot": "x"}, IntegrityError)):
        with pytest.raises(error):
            store.certify(bad)
    assert store.standing(name) == "unendorsed"
    other = certificates.make(
        [signed(memory, who, reg, "l", "no item", now=CLOCK()) for who in "abc"], reg, CONSTITUTION, "l", "no item", CLOCK()
    )
    with pytest.raises(KnowledgeRefused, match="no known item"):
        store.certify(other)
    assert store.certify(made) == name and store.standing(name) == "accepted"
    assert Knowledge(book, reg, now=CLOCK).standing(name) == "accepted"
    store.revoke(sign_revocation(reg, key("a"), name, CLOCK()))
    assert store.standing(name) == "revoked"


# --- stops, reviews ---------------------------------------------------------------------------------------------------


def test_a_strangers_signature_does_not_make_an_old_stop_new(tmp_path: Path, book: Ledger) -> None:
    reg, switch = registry("abcd"), Switch.create(tmp_path / "switch.db", now=CLOCK, ticks=CLOCK, boot="b")
    order = sign_stop("test", "x", key("a"), CLOCK())
    standing = switch.stop(order, reg, book).stop
    switch.resume(sign_resume("test", standing, OPERATORS, CLOCK()), reg, book)
    with pytest.raises(StopRefused) as refused:
        switch.stop(order.signed_by(key("stranger")), reg, book)
    assert refused.value.code == "replayed" and not switch.stopped
    switch.close()


def ask(queue: ReviewQueue, name: str, severity: str = "medium", exposure: str = "100", **more: Any):  # type: ignore[no-untyped-def]
    return queue.request({"id": name}, reason="r", severity=severity, exposure=Decimal(exposure), **more)


@pytest.mark.parametrize(
    "patch", [{"ticket": []}, {"ticket": 5}, {"action": 5}, {"issued_at": "x"}, {"issued_at": 9 * 10**15}, {"answer": "APPROVE"}]
)
def test_answers_of_the_wrong_kind_are_refused(patch: dict[str, Any], book: Ledger) -> None:
    queue = ReviewQueue(book, registry("abcd"), now=CLOCK)
    ticket = ask(queue, "a")
    record = {**sign_answer("test", ticket, "approve", OPERATORS[:1], CLOCK()).record, **patch}
    with pytest.raises(AnswerRefused):
        queue.answer(seal("approval", record, OPERATORS[:1]))
    assert ticket.outcome(CLOCK()) == "PENDING"


@pytest.mark.parametrize(
    "more",
    [{"needed": 0}, {"lifetime": 0}, {"lifetime": -5}, {"lifetime": 10**12}, {"severity": "huge"}, {"exposure": "NaN"}],
)
def test_requests_that_nobody_could_answer_rightly_are_refused(more: dict[str, Any], book: Ledger) -> None:
    queue = ReviewQueue(book, registry("abcd"), now=CLOCK)
    with pytest.raises(InputError):
        ask(queue, "a", **more)
    assert not queue.tickets


def test_a_request_cannot_ask_for_fewer_people_than_the_registry(book: Ledger) -> None:
    queue = ReviewQueue(book, registry("abcd", thresholds={"approve": 2}), now=CLOCK)
    ticket = ask(queue, "a", needed=1)
    queue.answer(sign_answer("test", ticket, "approve", OPERATORS[:1], CLOCK()))
    assert ticket.needed == 2 and ticket.outcome(CLOCK()) == "PENDING"


def test_the_cap_counts_what_was_decided_within_the_hour(tmp_path: Path) -> None:
    clock = Clock()
    book = ledger(tmp_path, clock)
    queue = ReviewQueue(book, registry("abcd"), now=clock, ticks=lambda: 0, cap=4, cap_agent=4)
    for number in range(4):
        clock.turn(1)
        queue.answer(sign_answer("test", ask(queue, f"a{number}", "low"), "deny", OPERATORS[:1], clock()))
    assert ask(queue, "a4", "low").outcome(clock()) == "PARKED", "people have had their four"
    danger = ask(queue, "danger", "critical", "9")
    assert danger.outcome(clock()) == "PENDING", "but not one as high as this"
    again = ReviewQueue(book, registry("abcd"), now=clock, ticks=lambda: 0, cap=4, cap_agent=4)
    assert [t.id for t in again.pending()] == [danger.id] and ask(again, "a5", "low").outcome(clock()) == "PARKED"
    clock.turn(3601)
    assert ask(queue, "a6", "low").outcome(clock()) == "PENDING"
    book.close()


def test_a_denial_stays_when_who_denied_has_left(book: Ledger) -> None:
    reg = registry("abcd")
    queue = ReviewQueue(book, reg, now=CLOCK)
    denied, approved = ask(queue, "a"), ask(queue, "b")
    queue.answer(sign_answer("test", denied, "deny", OPERATORS[:1], CLOCK()))
    queue.answer(sign_answer("test", approved, "approve", OPERATORS[:1], CLOCK()))
    gone = replace(reg, members=tuple(m for m in reg.members if m.id != "olga"))
    later = ReviewQueue(book, gone, now=CLOCK)
    assert later.ticket(denied.id).outcome(CLOCK()) == "DENIED"
    with pytest.raises(NotApproved):
        later.use(approved.id, {"id": "b"})


def test_an_order_that_is_parked_is_denied_and_replays_so(tmp_path: Path) -> None:
    from tests.policy.samples import NOW, state

    order = {"id": "o", "agent": "x", "kind": "order", "symbol": "ACME", "side": "buy", "qty": "1", "stop_price": "95", "ts": NOW}
    text = Path("solon/constitution/library/trading.md").read_text(encoding="utf-8")
    file = tmp_path / "trading.md"
    custom = (
        "limits:\n  custom:\n    - {name: any_order, unit: money, measure: order_value, max: 0.01, severity: medium, text: ask}\n"
    )
    file.write_text(text.replace("limits:\n", custom, 1), encoding="utf-8")
    with Ledger.open(tmp_path / "l.db", LEDGER_KEY) as book:
        queue = ReviewQueue(book, registry("abcd"), cap_agent=2)
        governor = Governor(file, ledger=book, registry=registry("abcd"), reviews=queue)
        account = state()
        found = [governor.decide({**order, "id": f"o{number}"}, account) for number in range(4)]
        assert [verdict.outcome for verdict in found] == ["escalate", "escalate", "deny", "deny"], found[0].path
        assert "PARKED" in found[2].path[-1]
        report = rerun(book)
        assert report.same == report.decisions == 4


def test_people_answer_while_another_process_holds_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Shell(tmp_path, monkeypatch, capsys).json
    for name in ("olga", "omar", "ann"):
        run("keys", "generate", name)
    people = [f"--member={n}=keys/{n}.pub:{'agent' if n == 'ann' else 'operator'}" for n in ("olga", "omar", "ann")]
    run("keys", "register", *people, "--sign", "keys/olga.key", "--sign", "keys/omar.key")
    with Home("governance").governor("trading") as governor:
        queue = governor.reviews
        assert queue is not None
        tickets = [queue.request({"id": name}, reason="r").id for name in "xy"]
        assert [ticket["id"] for ticket in run("review", "list")[1]["pending"]] == tickets
        assert run("review", "approve", tickets[0], "--key", "keys/ann.key")[0] == 2, "who may not, leaves nothing"
        assert not list(Path("governance").glob("answers/*"))
        for ticket, answer in zip(tickets, ("approve", "deny"), strict=True):
            code, said = run("review", answer, ticket, "--key", "keys/olga.key")
            assert (code, said["taken"], said["outcome"]) == (0, False, "PENDING")
        Path("governance/answers/junk.json").write_text("{")
        Path("governance/answers/other.json").write_text(json.dumps(seal("vote", {"x": "1"}, OPERATORS).as_dict()))
        queue.use(tickets[0], {"id": "x"})
        with pytest.raises(NotApproved, match="DENIED"):
            queue.use(tickets[1], {"id": "y"})
        assert not list(Path("governance").glob("answers/*"))
    kinds = [entry["kind"] for entry in run("ledger", "show", "governance/ledger.db")[1]["entries"]]
    assert kinds.count("review_answer") == 2 and kinds.count("refusal") == 2 and kinds.count("review_used") == 1


# --- files ------------------------------------------------------------------------------------------------------------


def test_bad_vote_files_are_refused_with_codes_and_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Shell(tmp_path, monkeypatch, capsys).json
    names = ("olga", "omar", "ann", "ben", "cem", "rita")
    for name in names:
        run("keys", "generate", name)
    roles = {"olga": "operator", "omar": "operator", "rita": "risk_manager"}
    people = [f"--member={n}=keys/{n}.pub:{roles.get(n, 'agent')}" for n in names]
    assert run("keys", "register", *people, "--sign", "keys/olga.key", "--sign", "keys/omar.key")[0] == 0
    Path("p.json").write_text('{"action": "buy"}')
    about = ("--slot", "s", "--proposal", "p.json")
    for name in ("ann", "ben", "cem"):
        signing = ("--key", f"keys/{name}.key", "--memory", f"{name}.db", "-o", f"{name}.json")
        assert run("vote", "sign", *signing, *about, "--decision", "yes", "--confidence", "80", "--action", "buy")[0] == 0
    good = Path("ann.json").read_text()
    bads = {
        "duplicate_key": good.replace('"payloadType"', '"payload": "e30=", "payloadType"'),
        "float": '{"payload": 1.5}',
        "not_finite": '{"payload": NaN}',
        "bad_json": "{",
    }
    for code, text in bads.items():
        Path("bad.json").write_text(text)
        for verb in (("vote", "tally"), ("certificate", "make", "-o", "c.json")):
            exit_code, said = run(*verb, "bad.json", *about, "--ledger", "log.db")
            assert (exit_code, said["code"], type(said["ledger_index"])) == (2, code, int), said
        exit_code, said = run("certificate", "verify", "bad.json", "--ledger", "log.db")
        assert (exit_code, said["code"]) == (2, code)
    Path("odd.json").write_text(json.dumps({**json.loads(good), "payloadType": payload_type("approval")}))
    Path("list.json").write_text("[]")
    exit_code, said = run("vote", "tally", "ann.json", "ann.json", "odd.json", "list.json", *about, "--ledger", "log.db")
    why = [vote["why"].split(":")[0] for vote in said["votes"]]
    assert exit_code == 4 and why == ["registered, in time, once", "duplicate", "malformed", "malformed"]
    assert said["counts"]["yes"] == 1 and said["confidence_pct"] == {"buy": "100.0"} and said["escalate"] is True
    three = ("ann.json", "ben.json", "cem.json")
    assert run("certificate", "make", *three, *about, "-o", "c.json", "--ledger", "log.db")[0] == 0
    exit_code, said = run("certificate", "verify", "c.json", "--proposal", "p.json", "--constitution", "trading")
    assert (exit_code, said["holds"], said["expired"]) == (0, True, False)
    exit_code, said = run("certificate", "verify", "c.json", "--constitution", "five-laws")
    assert (exit_code, said["code"]) == (1, "constitution")
    kinds = [entry["kind"] for entry in run("ledger", "show", "log.db")[1]["entries"]]
    assert kinds.count("refusal") == 12 and kinds.count("votes_counted") == 1 and kinds.count("certificate") == 1
