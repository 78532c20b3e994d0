"""A track record becomes a signed proposal of weights. Weights change only when old and new thresholds of the registry sign.

envelope = propose(registry, {"ann": (41, 60), "ben": (18, 55)}, key, now)
wanted = proposed(envelope, registry)         # the registry it asks for; nobody is bound by it yet
change(registry, wanted, [olga, omar])        # the next epoch, signed (solon.governance.registry)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from solon.errors import IntegrityError
from solon.governance.learning import weight_proposal
from solon.governance.registry import Registry, RegistryRefused
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey

FIELDS = {"network", "epoch", "registry", "records", "rate", "weights", "issued_at"}
RATE = Fraction(1, 10)


def propose(
    registry: Registry, records: Mapping[str, tuple[int, int]], key: PrivateKey, now: int, *, rate: Fraction = RATE
) -> Envelope:
    """A proposal signed by one: weights moved by `rate` towards what the record (voter -> right calls, all calls) shows.

    Voters without a weight begin at 1. The record is part of what is signed, so that anyone can compute the weights again.
    """
    before = {member.id: Fraction(member.weight or "1") for member in registry.voters}
    record = {
        "network": registry.network,
        "epoch": registry.epoch,
        "registry": registry.digest,
        "records": {name: list(pair) for name, pair in sorted(records.items())},
        "rate": str(rate),
        "weights": weight_proposal(dict(records), before, rate),
        "issued_at": now,
    }
    return seal("weights", record, [key])


def proposed(envelope: Envelope, registry: Registry) -> Registry:
    """The registry with the proposed weights, to be signed like any other change.

    Raises:
        IntegrityError: malformed, not signed by a member, or the weights do not follow from the record.
        RegistryRefused: made for another epoch.
    """
    record: Any = read(envelope.as_dict(), "weights").record
    if not isinstance(record, dict) or set(record) != FIELDS:
        raise IntegrityError(f"weights: expected the fields {', '.join(sorted(FIELDS))}", mend="propose them anew")
    if not envelope.clean or not any(key in registry.by_key for key in envelope.signers):
        raise IntegrityError("weights: expected a signature of a member, that holds", mend="propose them anew")
    if (record["network"], record["epoch"], record["registry"]) != (registry.network, registry.epoch, registry.digest):
        raise RegistryRefused("weights: proposed for another registry or epoch", mend="propose them anew")
    before = {member.id: Fraction(member.weight or "1") for member in registry.voters}
    records = {name: (right, calls) for name, (right, calls) in record["records"].items()}
    if weight_proposal(records, before, Fraction(record["rate"])) != record["weights"]:
        raise IntegrityError("weights: they do not follow from the record they name", mend="propose them anew")
    members = (replace(member, weight=record["weights"].get(member.id, member.weight)) for member in registry.members)
    return replace(registry, members=tuple(members))
