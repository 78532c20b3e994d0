"""What governance signs, logs and prints fits its schema, the decoded payloads of envelopes too; anything changed does not."""

from __future__ import annotations

import base64
import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from solon.governance.certificate import make
from solon.governance.change import sign_change
from solon.governance.council import Council, sign_veto_lift
from solon.governance.drills import drill_order, drill_state
from solon.governance.home import Home, extend_registry, read_json
from solon.governance.killswitch import sign_resume, sign_stop
from solon.governance.knowledge import sign_endorsement, sign_item, sign_revocation
from solon.governance.offline import count
from solon.governance.registry import Member, Registry
from solon.governance.review import sign_answer
from solon.governance.votes import VoterMemory
from solon.governance.weights import propose
from solon.ledger.canonical import digest
from solon.ledger.dsse import seal
from solon.ledger.keys import PrivateKey
from solon.ledger.proofs import consistency, export, prove
from solon.ledger.storage import Ledger, clock
from solon.run.safety import safety_report
from solon.run.schemas import schema_of
from tests.governance.page import solon
from tests.run.test_schemas import complaints

NAMES = ("ann", "ben", "cem", "rita", "olga", "omar")
ROLES = {"rita": "risk_manager", "olga": "operator", "omar": "operator"}


def told(words: list[str]) -> Any:
    """What a verb prints with --json."""
    return json.loads(solon([*words, "--json"])[1])


def payload_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return schema["properties"]["payload"]["contentSchema"]


def fits(name: str, envelope: dict[str, Any], schema: dict[str, Any] | None = None) -> None:
    """The envelope and its payload fit; each field left out, of another kind, or one more, does not."""
    if schema is None:
        assert complaints(name, envelope) == []
        schema = schema_of(name)
    jsonschema.Draft202012Validator(schema).validate(envelope)
    for other in ({**envelope, "payloadType": "text/plain"}, {**envelope, "signatures": "none"}, {**envelope, "more": 1}):
        assert not jsonschema.Draft202012Validator(schema).is_valid(other)
    slips(payload_schema(schema), json.loads(base64.b64decode(envelope["payload"])))


def slips(schema: dict[str, Any], record: dict[str, Any], free: tuple[str, ...] = ("content",)) -> None:
    """The record fits; with a field missing, of no possible kind, or one more, it does not."""
    checker = jsonschema.Draft202012Validator(schema)
    checker.validate(record)
    assert not checker.is_valid({**record, "unheard_of": 1})
    for field in record:
        assert not checker.is_valid({name: value for name, value in record.items() if name != field}), field
        assert field in free or not checker.is_valid({**record, field: 1.5}), field


@pytest.fixture(scope="module")
def keys() -> dict[str, PrivateKey]:
    return {name: PrivateKey.generate(name) for name in NAMES}


@pytest.fixture(scope="module")
def members(keys: dict[str, PrivateKey]) -> Registry:
    return Registry("schemas", 1, tuple(Member(name, ROLES.get(name, "agent"), key.id) for name, key in keys.items()))


@pytest.fixture(scope="module")
def home(keys: dict[str, PrivateKey], members: Registry, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder in which an order waited for a person, was approved and done, and everything was stopped and resumed."""
    place = Home(tmp_path_factory.mktemp("schemas") / "governance")
    extend_registry(place.registry_path, members, [keys["olga"], keys["omar"]])
    with place.governor(Path(__file__).parents[2] / "examples/trading_desk/constitution.md") as governor:
        assert governor.reviews is not None and governor.switch is not None and governor.ledger is not None
        order = drill_order(Decimal(160))
        assert governor.decide(order, drill_state()).outcome == "escalate"
        (ticket,) = governor.reviews.pending()
        governor.reviews.answer(sign_answer("schemas", ticket, "approve", [keys["olga"]], clock()))
        governor.decide(order, drill_state(), ticket=ticket.id)
        governor.switch.stop(sign_stop("schemas", "a test", keys["ann"], clock()), members, governor.ledger)
        stop = governor.switch.state().stop
        governor.switch.resume(sign_resume("schemas", stop, [keys["olga"], keys["omar"]], clock()), members, governor.ledger)
    return place


def test_what_one_member_signs(keys: dict[str, PrivateKey], members: Registry, tmp_path: Path) -> None:
    now, memory = clock(), VoterMemory(tmp_path / "memory.db")
    vote = memory.sign(
        keys["ann"], members, constitution="c" * 64, slot="s", proposal=digest({}), decision="yes", now=now, confidence_bp=8000
    )
    memory.close()
    fits("vote", vote.as_dict(), schema_of("vote")["anyOf"][0])
    assert complaints("vote", vote.as_dict()) == [] and complaints("vote", {**vote.as_dict(), "payload": "no base64!"})
    fits("stop", sign_stop("schemas", "why", keys["ann"], now).as_dict())
    fits("resume", sign_resume("schemas", "d" * 64, [keys["olga"], keys["omar"]], now).as_dict())
    fits("constitution_change", sign_change(members, "", "d" * 64, [keys["olga"]], now).as_dict())
    fits("weights", propose(members, {"ann": (9, 10), "ben": (2, 10)}, keys["olga"], now).as_dict())
    item = sign_item(members, keys["ann"], {"spread_bp": "4"}, provenance="fills", now=now, lifetime=1000, parents=("e" * 64,))
    fits("knowledge", item.as_dict())
    fits("endorsement", sign_endorsement(members, keys["ben"], digest(item.record), now).as_dict())
    fits("revocation", sign_revocation(members, keys["ann"], digest(item.record), now).as_dict())
    fits("relax", seal("relax", {"network": "schemas", "rung": "reduce", "since": now}, [keys["rita"]]).as_dict())
    enable = {"network": "schemas", "agent": "a", "symbol": "X", "issued_at": now}
    fits("re_enable", seal("re-enable", enable, [keys["rita"]]).as_dict())


def test_a_lifted_veto(keys: dict[str, PrivateKey], members: Registry, tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.db", PrivateKey.generate("l")) as ledger:
        council = Council(members, "c" * 64, ledger)
        council.open("s", {"action": "buy"})
        memory = VoterMemory(tmp_path / "memory.db")
        council.receive(
            memory.sign(
                keys["rita"],
                members,
                constitution="c" * 64,
                slot="s",
                proposal=council.slots["s"].digest,
                decision="veto",
                now=clock(),
            )
        )
        memory.close()
        fits("veto_lift", sign_veto_lift(members, council.slots["s"], [keys["olga"]], clock() + 10**6).as_dict())


def test_registry_certificate_and_tally(keys: dict[str, PrivateKey], members: Registry, home: Home, tmp_path: Path) -> None:
    from solon.constitution import load

    chain = read_json(home.registry_path, "")
    assert complaints("registry.json", chain) == [] and complaints("registry", {"chain": []})
    fits("registry_record", chain["chain"][0])
    trading, proposal, votes = load("trading"), {"action": "buy"}, []
    for name in NAMES[:4]:
        memory = VoterMemory(tmp_path / f"{name}.db")
        votes.append(
            memory.sign(
                keys[name], members, constitution=trading.hash, slot="s", proposal=digest(proposal), decision="yes", now=clock()
            )
        )
        memory.close()
    made = make(votes, members, trading.hash, "s", digest(proposal), clock())
    assert complaints("certificate", made) == []
    slips(schema_of("certificate"), made)
    assert complaints("certificate", {**made, "votes": []}) and complaints("certificate", {**made, "proposal": "buy"})
    _, record = count([*votes, {"not": "a vote"}], members, trading, "s", proposal)
    assert complaints("tally", record) == [] and complaints("tally", {**record, "outcome": "perhaps"})
    assert complaints("tally", {name: value for name, value in record.items() if name != "votes"})


def test_entries_of_a_ledger_and_proofs(home: Home, tmp_path: Path) -> None:
    from solon.governance.home import read_ledger

    shown = told(["ledger", "show", str(home.ledger_path), "--last", "99"])["entries"]
    assert {entry["kind"] for entry in shown} >= {"decision", "state", "review", "review_answer", "stop", "resume"}
    ledger = read_ledger(home.ledger_path)
    lines = (export(ledger, tmp_path / "audit") / "entries.jsonl").read_text().splitlines()
    for entry in [*shown, *map(json.loads, lines)]:
        assert complaints("entry", entry) == []
        assert complaints("entry", {**entry, "at": "yesterday"}) and complaints("entry", {**entry, "note": ""})
        if entry["kind"] in ("decision", "stop", "resume", "review", "review_answer", "constitution", "refusal"):
            assert complaints("entry", {**entry, "body": {}}), entry["kind"]
    decision = next(entry for entry in copy.deepcopy(shown) if entry["kind"] == "decision")
    decision["body"]["verdict"]["outcome"] = "perhaps"
    assert complaints("entry", decision)
    for proof in (prove(ledger, 1), consistency(ledger, ledger.note)):
        assert complaints("proof", proof) == [] and complaints("proof", {**proof, "path": ["root"]})
        assert complaints("proof", {name: value for name, value in proof.items() if name != "path"})
    ledger.close()


def test_review_and_emergency(home: Home) -> None:
    listed = told(["review", "list", "--home", str(home.folder)])
    assert listed["times"]["counts"] == {"APPROVED": 1}
    with home.reviews() as queue:
        (name,) = queue.tickets
    ticket = told(["review", "show", name, "--home", str(home.folder)])
    slips(schema_of("review"), ticket)
    assert complaints("review", ticket) == [] and complaints("review", {**ticket, "outcome": "LATER"})
    status = told(["emergency", "status", "--home", str(home.folder)])
    slips(schema_of("emergency"), status)
    assert complaints("emergency", {**status, "status": "FINE"})


def test_a_safety_report() -> None:
    record = safety_report("trading", schedules=3).as_dict()
    assert complaints("safety_report", record) == []
    slips(schema_of("safety-report"), record)
    assert complaints("safety_report", {**record, "checks": record["checks"][:8]})
