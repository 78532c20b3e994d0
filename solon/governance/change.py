"""How many must sign what; and the signed change of a constitution, which names both versions and that enough members sign."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, Literal

from solon.constitution import Constitution, parse_text, render
from solon.errors import ConstitutionError, IntegrityError
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import Ledger
from solon.policy.ladder import LadderState, state_of


def keys_needed(what: Literal["resume", "change"], registry: Registry, constitution: Constitution) -> int:
    """Distinct keys that it takes: the registry's number, or more where the constitution asks for more.

    `multi_signature_required` asks for two at least; `resume_threshold` for that share of the members who may resume.
    """
    needed = registry.needed(what)
    if constitution.value("multi_signature_required") is True:
        needed = max(needed, 2)
    share = constitution.value("resume_threshold")
    if what == "resume" and share is not None:
        able = sum("resume" in member.powers and not member.suspended for member in registry.members)
        needed = max(needed, math.ceil(Fraction(share) * able))
    return needed


def consensus_needed(registry: Registry, constitution: Constitution) -> Fraction:
    """The share of eligible voters that must say yes: the registry's or the constitution's, whichever is larger."""
    return max(registry.share, Fraction(constitution.value("consensus_threshold", registry.share)))


RE_ENABLE_FIELDS = {"network", "agent", "symbol", "issued_at"}


def signed_to_relax(kind: str, envelope: Envelope, registry: Registry) -> Any:
    """The record of an envelope of this kind that one who may relax has signed. Raises IntegrityError."""
    record = read(envelope.as_dict(), kind).record
    if not envelope.clean or not registry.holders("relax", envelope.signers):
        raise IntegrityError(f"{kind}: expected a signature of a member who may relax", mend="let a risk manager sign")
    return record


def check_re_enable(envelope: Envelope, registry: Registry) -> tuple[str, str]:
    """The agent that is re-enabled and the instrument, by one who may sign it. Raises IntegrityError."""
    record = signed_to_relax("re-enable", envelope, registry)
    if not isinstance(record, dict) or set(record) != RE_ENABLE_FIELDS or record["network"] != registry.network:
        fields = ", ".join(sorted(RE_ENABLE_FIELDS))
        raise IntegrityError(f"re-enable: expected {fields} of this network", mend="sign it anew")
    return record["agent"], record["symbol"]


class NotSigned(ConstitutionError):
    """A change of constitution that too few have signed."""


CHANGE_FIELDS = {"network", "old", "new", "issued_at", "expires_at"}


def sign_change(registry: Registry, old: str, new: str, keys: list[PrivateKey], now: int, lifetime: int = 10**9 * 86) -> Envelope:
    """Signatures for replacing the constitution `old` (hash) by `new`."""
    record = {"network": registry.network, "old": old, "new": new, "issued_at": now, "expires_at": now + lifetime}
    return seal("constitution-change", record, keys)


def check_change(
    registry: Registry, envelope: Envelope | None, old: str, new: str, at: int, needed: int | None = None
) -> dict[str, Any]:
    """The envelope as a record, when enough members signed exactly this change.

    Raises:
        ConstitutionError: none, for other versions, expired, or too few signatures.
    """
    if envelope is None:
        raise NotSigned(
            "constitution: it differs from the ledger's, and the change is not signed",
            mend="use the ledger's, or sign the change: solon keys enact CONSTITUTION --sign KEY",
        )
    record = read(envelope.as_dict(), "constitution-change").record
    sound = isinstance(record, dict) and set(record) == CHANGE_FIELDS and envelope.clean
    if (
        not sound
        or (record["network"], record["old"], record["new"]) != (registry.network, old, new)
        or at >= record["expires_at"]
    ):
        raise ConstitutionError("constitution: the signed change is another one, or has expired", mend="sign this change")
    signed, wanted = registry.holders("change", envelope.signers), registry.needed("change") if needed is None else needed
    if len(signed) < wanted:
        raise NotSigned(
            f"constitution: {len(signed)} of {wanted} distinct keys have signed the change",
            mend="let more sign",
        )
    return envelope.as_dict()


def put_in_force(
    constitution: Constitution, ledger: Ledger, registry: Registry | None, change: Envelope | None, now: int
) -> None:
    """Log a constitution when it is new to a ledger.

    Raises:
        ConstitutionError: an older version than the ledger has seen, or, with a registry, a change that was not signed.
    """
    seen = [entry.record["body"] for entry in ledger.of_kind("constitution")]
    old = seen[-1] if seen else None
    if old is not None and old["hash"] == constitution.hash:
        return
    highest = max((body["version"] for body in seen if body["id"] == constitution.id), default=0)
    known = any(body["hash"] == constitution.hash and body["version"] == highest for body in seen)
    if constitution.version <= highest and not known:
        raise ConstitutionError(
            f"{constitution.id}: expected a version above {highest}, which the ledger has seen; got {constitution.version} with "
            "other words",
            mend="raise the version, or use another ledger",
        )
    new = constitution.hash
    body = {"id": constitution.id, "version": constitution.version, "hash": new, "text": render(constitution)}
    if old is not None and registry is not None:
        before = parse_text(old["text"], "the ledger's constitution")  # what stands says how many must sign
        needed = max(keys_needed("change", registry, each) for each in (before, constitution))
        with refusal_logged(ledger, constitution=new):
            body["change"] = check_change(registry, change, old["hash"], new, now, needed)
    ledger.append("constitution", body)


def latched_ladder(ledger: Ledger) -> LadderState:
    """Where a ledger saw the ladder last; at normal where it never did."""
    last = ledger.of_kind("ladder", newest=1)
    return state_of(last[0].record["body"]["state"]) if last else LadderState()


def tightened_since(ledger: Ledger) -> list[dict[str, str]]:
    """What was tightened under the constitution that is in force, in order."""
    enacted = ledger.of_kind("constitution", newest=1)
    later = (entry for entry in ledger.of_kind("tightening") if enacted and entry.index > enacted[0].index)
    return [entry.record["body"]["limits"] for entry in later]
