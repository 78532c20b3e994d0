"""JSON Schemas of what governance signs, logs and answers, made of the types that write it.

A signed record is an envelope (DSSE) whose payload is base64: `contentSchema` says what the decoded payload is (JSON Schema
2020-12, part 8.5). Validators look at the envelope; decode the payload and give it to the `contentSchema` to look at it too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from solon.run.shapes import Decimal, Time, decision_schema, proposal_schema, votes_row_schema

Schema = dict[str, Any]
Digest: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "SHA-256 in hex"}
Key: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "Ed25519 public key in hex"}
Previous: Schema = {"anyOf": [Digest, {"const": ""}]}  # empty: there is none
Name: Schema = {"type": "string", "minLength": 1}
Word: Schema = {"type": "string"}
Flag: Schema = {"type": "boolean"}
Micros: Schema = {"type": "integer", "minimum": 0, "description": "microseconds since 1970 UTC"}
Count: Schema = {"type": "integer", "minimum": 0}
Epoch: Schema = {"type": "integer", "minimum": 1}
Fraction: Schema = {"type": "string", "pattern": r"^[0-9]{1,9}(/[1-9][0-9]{0,8}|\.[0-9]{1,9})?$"}
Base64: Schema = {"type": "string", "contentEncoding": "base64", "pattern": "^[A-Za-z0-9+/]*={0,2}$"}


def _all(fields: Schema) -> Schema:
    """An object with these fields, all of them and no others."""
    return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}


def _list(item: Schema, **more: int) -> Schema:
    return {"type": "array", "items": item, **more}


def _one_of(words: Iterable[str]) -> Schema:
    return {"enum": list(words)}


def _signed(name: str, record: Schema, *, least: int = 1) -> Schema:
    """The envelope of a record of ours."""
    from solon.ledger.dsse import payload_type

    payload = {**Base64, "contentMediaType": "application/json", "contentSchema": record}
    signature = _all({"keyid": Key, "sig": Base64})
    return _all(
        {"payload": payload, "payloadType": {"const": payload_type(name)}, "signatures": _list(signature, minItems=least)}
    )


def vote_schema() -> Schema:
    """What `solon vote sign` writes; or a row of VOTES.csv, which is not signed."""
    return {"anyOf": [_signed_vote(), votes_row_schema()]}


def _signed_vote() -> Schema:
    from solon.governance.votes import FIELDS
    from solon.policy.council import DECISIONS

    forms = dict.fromkeys(FIELDS, Name)
    forms |= {"epoch": Epoch, "constitution": Digest, "proposal": Digest, "decision": _one_of(DECISIONS), "proposed_action": Word}
    forms |= {"confidence_bp": {"type": ["integer", "null"], "minimum": 0, "maximum": 10_000}, "key": Key}
    forms |= {"seq": Epoch, "issued_at": Micros, "expires_at": Micros}
    return _signed("vote", _all(forms))


def certificate_schema() -> Schema:
    """What `solon certificate make` writes: yes-votes of a quorum, with what they agree in."""
    from solon.governance.certificate import FIELDS

    forms = dict.fromkeys(("registry", "constitution", "proposal"), Digest) | {"network": Name, "epoch": Epoch, "slot": Name}
    forms["votes"] = _list(_signed_vote(), minItems=1)
    return _all({name: forms[name] for name in sorted(FIELDS)})


def registry_record() -> Schema:
    """The members of one epoch."""
    from solon.governance.registry import POWERS

    powers = _list(_one_of(POWERS)) | {"uniqueItems": True}
    member = {"id": Name, "role": Name, "key": Key, "weight": {"anyOf": [Fraction, {"const": ""}]}, "powers": powers}
    thresholds = {what: {"type": "integer", "minimum": 1} for what in ("change", "resume", "approve")}
    return _all(
        {
            "network": Name, "epoch": Epoch, "previous": Previous, "consensus": Fraction,
            "thresholds": {"type": "object", "properties": thresholds, "additionalProperties": False},
            "members": _list(_all({**member, "suspended": Flag})),
        }
    )  # fmt: skip


def registry_schema() -> Schema:
    """`governance/registry.json`: a chain of signed epochs."""
    return _all({"chain": _list(_signed("registry", registry_record()), minItems=1)})


def _told() -> dict[str, Schema]:
    """The other records that members sign, by the name in their payload type."""
    about = {"network": Name, "epoch": Epoch, "key": Key, "item": Digest, "issued_at": Micros}
    meant = {"network": Name, "issued_at": Micros}
    item = {"author": Key, "content": True, "provenance": Word, "parents": _list(Digest), "constitutional": Flag}
    record = {"type": "array", "items": Count, "minItems": 2, "maxItems": 2}
    nonce, end = {"nonce": Name}, {"expires_at": Micros}
    return {
        "stop": _all({**meant, **nonce, "reason": Word}),
        "resume": _all({**meant, **nonce, **end, "stop": Digest, "rebase": Flag}),
        "approval": _all({**meant, "ticket": Name, "action": Digest, "answer": _one_of(("approve", "deny"))}),
        "constitution-change": _all({**meant, **end, "old": Previous, "new": Digest}),
        "relax": _all({"network": Name, "rung": Name, "since": Micros}),
        "re-enable": _all({**meant, "agent": Name, "symbol": Name}),
        "veto-lift": _all({"network": Name, "epoch": Epoch, "slot": Name, "vetoes": _list(Digest), **end}),
        "weights": _all(
            {
                **meant, "epoch": Epoch, "registry": Digest, "rate": Word,
                "records": {"type": "object", "additionalProperties": record},
                "weights": {"type": "object", "additionalProperties": Word},
            }
        ),
        "knowledge": _all({"network": Name, "epoch": Epoch, "issued_at": Micros, **end, **item}),
        "endorsement": _all(about),
        "revocation": _all(about),
    }  # fmt: skip


def entry_schema() -> Schema:
    """An entry of a ledger, as a line of `entries.jsonl` in an export and as `solon ledger show --json` has it with its index."""
    kind = {"type": "string", "pattern": "^[a-z][a-z_]*$"}
    fields = {"kind": kind, "at": Time, "body": True, "once": Name, "index": Count}
    bodies = [_if_kind(name, body) for name, body in _bodies().items()]
    entry = {"type": "object", "properties": fields, "required": ["kind", "at", "body"], "additionalProperties": False}
    return {**entry, "allOf": bodies}


def _if_kind(name: str, body: Schema) -> Schema:
    return {"if": {"properties": {"kind": {"const": name}}}, "then": {"properties": {"body": body}}}


def _bodies() -> dict[str, Schema]:
    """What entries hold that others read: what was asked and decided, who stopped, resumed and approved."""
    signed = {name: _signed(name, record) for name, record in _told().items()}
    verdict = decision_schema()
    verdict["required"] = ["outcome", "reasons", "ladder", "path"]
    decision = {"action": proposal_schema(), "state": Digest, "constitution": Digest, "verdict": verdict}
    return {
        "decision": {"type": "object", "properties": decision, "required": list(decision)},
        "constitution": _has(id=Word, version=Count, hash=Digest, text=Word),
        "stop": _has(stop=Digest, by=Word, reason=Word),
        "resume": _has(resume=signed["resume"], by=_list(Name), stop=Digest),
        "review": _has(ticket=Name, action={"type": "object"}, severity=Word, exposure=Decimal, deadline=Micros, needed=Epoch),
        "review_answer": _has(answer=signed["approval"], at=Micros, by=_list(Name)),
        "refusal": _has(code=Word, why=Word),
    }


def _has(**fields: Schema) -> Schema:
    """An object with at least these fields."""
    return {"type": "object", "properties": fields, "required": list(fields)}


def proof_schema() -> Schema:
    """What `solon ledger prove` writes: one entry under a signed tip, or that a tip continues an older one."""
    path = _list(Digest)
    return {
        "anyOf": [
            _all({"index": Count, "entry": {**Base64, "contentSchema": entry_schema()}, "path": path, "tip": Name}),
            _all({"old": Name, "new": Name, "path": path}),
        ]
    }


def review_schema() -> Schema:
    """A ticket as `solon review show --json` prints it, and as `pending` of `solon review list --json` lists it."""
    from typing import get_args

    from solon.governance.review import Outcome
    from solon.policy.types import Severity

    return _all(
        {
            "id": Name, "outcome": _one_of(get_args(Outcome)), "severity": _one_of(Severity.__members__), "exposure": Decimal,
            "agent": Word, "reason": Word, "action": {"type": "object"}, "action_digest": Digest, "approvals": Count,
            "needed": Epoch, "denied_by": Word, "used": Flag, "seconds_left": Count,
        }
    )  # fmt: skip


def emergency_schema() -> Schema:
    """What `solon emergency status --json` prints; `waiting` names the leases that still run, `handed_in` counts what people
    signed and the process that writes the ledger has not taken up."""
    from typing import get_args

    from solon.governance.killswitch import Status
    from solon.policy.types import Ladder

    since = {"anyOf": [Micros, {"type": "null"}]}
    names = {"reasons": _list(Word), "waiting": _list(Name)}
    state = {"status": _one_of(get_args(Status)), "stopped": Flag, "stop": Previous, **names}
    return _all({**state, "since": since, "ladder": _one_of(Ladder.__members__), "handed_in": Count})


def tally_schema() -> Schema:
    """What `solon vote tally --json` prints, each vote with why it counted or not."""
    from solon.policy.council import DECISIONS
    from solon.policy.types import OUTCOMES

    vote = _all({"voter": Name, "decision": Word, "counted": Flag, "why": Name, "action": Word})
    proof = _all(dict.fromkeys(("first", "second"), _signed_vote()))
    counts = {"type": "object", "properties": dict.fromkeys(DECISIONS, Count), "additionalProperties": False}
    shown = {"slot": Name, "proposal": Digest, "outcome": _one_of(OUTCOMES), "approved": Flag, "action": Word, "n": Count}
    shown |= {"f": Count, "q": Count, "claim": Name, "threshold": Fraction, "counts": counts, "escalate": Flag}
    shown |= {"supporters": {"type": "object", "additionalProperties": Count}, "vetoed_by": _list(Name)}
    shown |= {"confidence_pct": {"type": "object", "additionalProperties": Word}, "votes": _list(vote), "path": _list(Word)}
    return _has(**shown, equivocations=_list(proof))


def safety_report_schema() -> Schema:
    """What `solon safety-report --json` prints: nine checks in order."""
    from typing import get_args

    from solon.governance.drills import Status

    status = _one_of(get_args(Status))
    seconds = {"type": "number", "minimum": 0}
    check = _all({"name": Name, "status": status, "evidence": _list(Name, minItems=1), "seconds": seconds})
    return _all({"passed": Flag, "constitution_hash": Digest, "run": Word, "checks": _list(check, minItems=9, maxItems=9)})


def signed_schemas() -> dict[str, Callable[[], Schema]]:
    """Every schema of this file by its name; what members sign is named by its payload type, with `_` for `-`."""
    told = {name.replace("-", "_"): lambda name=name, record=record: _signed(name, record) for name, record in _told().items()}
    return {
        **told,  # type: ignore[dict-item]
        "vote": vote_schema,
        "certificate": certificate_schema,
        "registry": registry_schema,
        "registry_record": lambda: _signed("registry", registry_record(), least=0),
        "entry": entry_schema,
        "proof": proof_schema,
        "review": review_schema,
        "emergency": emergency_schema,
        "tally": tally_schema,
        "safety_report": safety_report_schema,
    }
