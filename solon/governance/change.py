"""Replacing a constitution: the change names both versions, and enough members of the registry sign exactly that."""

from __future__ import annotations

from typing import Any

from solon.errors import ConstitutionError
from solon.governance.registry import Registry
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey

CHANGE_FIELDS = {"network", "old", "new", "issued_at", "expires_at"}


def sign_change(registry: Registry, old: str, new: str, keys: list[PrivateKey], now: int, lifetime: int = 10**9 * 86) -> Envelope:
    """Signatures for replacing the constitution `old` (hash) by `new`."""
    record = {"network": registry.network, "old": old, "new": new, "issued_at": now, "expires_at": now + lifetime}
    return seal("constitution-change", record, keys)


def check_change(registry: Registry, envelope: Envelope | None, old: str, new: str, at: int) -> dict[str, Any]:
    """The envelope as a record, when enough members signed exactly this change.

    Raises:
        ConstitutionError: none, for other versions, expired, or too few signatures.
    """
    if envelope is None:
        raise ConstitutionError(
            "constitution: it differs from the ledger's, and the change is not signed", mend="let k-of-n sign the change"
        )
    record = read(envelope.as_dict(), "constitution-change").record
    sound = isinstance(record, dict) and set(record) == CHANGE_FIELDS and envelope.clean
    if (
        not sound
        or (record["network"], record["old"], record["new"]) != (registry.network, old, new)
        or at >= record["expires_at"]
    ):
        raise ConstitutionError("constitution: the signed change is another one, or has expired", mend="sign this change")
    signed = registry.holders("change", envelope.signers)
    if len(signed) < registry.needed("change"):
        raise ConstitutionError(
            f"constitution: {len(signed)} of {registry.needed('change')} distinct keys have signed the change",
            mend="let more sign",
        )
    return envelope.as_dict()
