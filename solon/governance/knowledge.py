"""Signed knowledge: items with author, provenance, parents by hash and an end; accepted on f + 1 endorsements, or revoked.

With f + 1 distinct endorsers besides the author at least one of them is honest, as long as no more than f voters are not. A fact
for the constitution takes a quorum. Items link to their parents by digest, so nothing can be changed underneath: the store is
tamper-evident, not tamper-proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from solon.errors import InputError, IntegrityError
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import Ledger, clock

Standing = Literal["accepted", "unendorsed", "expired", "revoked", "parent_missing", "parent_not_accepted"]
FIELDS = {"network", "epoch", "author", "content", "provenance", "parents", "issued_at", "expires_at", "constitutional"}


class KnowledgeRefused(InputError):
    """An item, endorsement or revocation that was not taken."""


@dataclass
class Item:
    """One item. `id` is the digest of its signed record; `content` is any record without floats."""

    id: str
    record: dict[str, Any]
    envelope: Envelope
    endorsers: set[str] = field(default_factory=set)
    revoked_by: str = ""


def sign_item(
    registry: Registry,
    key: PrivateKey,
    content: Any,
    *,
    provenance: str,
    now: int,
    lifetime: int,
    parents: tuple[str, ...] = (),
    constitutional: bool = False,
) -> Envelope:
    """A signed item. `provenance` says where the knowledge comes from; `lifetime` microseconds."""
    record = {
        "network": registry.network, "epoch": registry.epoch, "author": key.id, "content": content, "provenance": provenance,
        "parents": sorted(parents), "issued_at": now, "expires_at": now + lifetime, "constitutional": constitutional,
    }  # fmt: skip
    return seal("knowledge", record, [key])


def sign_endorsement(registry: Registry, key: PrivateKey, item: str, now: int) -> Envelope:
    """`key` stands behind the item with this id."""
    return seal("endorsement", _about(registry, key, item, now), [key])


def sign_revocation(registry: Registry, key: PrivateKey, item: str, now: int) -> Envelope:
    """The author, or someone who may veto, takes the item back."""
    return seal("revocation", _about(registry, key, item, now), [key])


def _about(registry: Registry, key: PrivateKey, item: str, now: int) -> dict[str, Any]:
    return {"network": registry.network, "epoch": registry.epoch, "key": key.id, "item": item, "issued_at": now}


class Knowledge:
    """Items, endorsements and revocations, logged and rebuilt from the ledger."""

    def __init__(self, ledger: Ledger, registry: Registry, *, now: Callable[[], int] = clock) -> None:
        self.ledger, self.registry, self.now = ledger, registry, now
        self.items: dict[str, Item] = {}
        for entry in ledger.of_kind("knowledge", "endorsement", "revocation"):
            body, kind = entry.record["body"], entry.record["kind"]
            self._apply(kind, read(body["envelope"], kind))

    def add(self, envelope: Envelope) -> str:
        """Take an item; returns its id. It counts once `standing` says accepted."""
        self._take("knowledge", envelope)
        return digest(envelope.record)

    def endorse(self, envelope: Envelope) -> None:
        """Take an endorsement by a voter other than the author."""
        self._take("endorsement", envelope)

    def revoke(self, envelope: Envelope) -> None:
        """Take a revocation by the author or someone who may veto. It lasts."""
        self._take("revocation", envelope)

    def _take(self, kind: str, envelope: Envelope) -> None:
        """Check, log, apply. Raises KnowledgeRefused; AlreadyUsed for a record taken before."""
        with refusal_logged(self.ledger, **{kind: envelope}):
            self._check(kind, envelope)
        self.ledger.append(kind, {"envelope": envelope.as_dict()}, once=f"{kind}:{digest(envelope.as_dict())}")
        self._apply(kind, envelope)

    def _check(self, kind: str, envelope: Envelope) -> None:
        try:
            read(envelope.as_dict(), kind)
            record = envelope.record
        except IntegrityError as error:
            raise KnowledgeRefused(f"{kind}: {error.what}", mend="sign it anew") from error
        fields = FIELDS if kind == "knowledge" else {"network", "epoch", "key", "item", "issued_at"}
        if not isinstance(record, dict) or set(record) != fields:
            raise KnowledgeRefused(f"{kind}: expected the fields {', '.join(sorted(fields))}", mend="sign it anew")
        signer = record["author"] if kind == "knowledge" else record["key"]
        member = self.registry.by_key.get(signer)
        if envelope.signers != (signer,) or not envelope.clean:
            raise KnowledgeRefused(f"{kind}: expected one signature, by the key it names, that holds", mend="sign it anew")
        if member is None or member.suspended or "vote" not in member.powers:
            raise KnowledgeRefused(f"{kind}: its key is not registered, or is suspended", mend="register it")
        if (record["network"], record["epoch"]) != (self.registry.network, self.registry.epoch):
            raise KnowledgeRefused(f"{kind}: of another network or epoch", mend="sign it anew")
        if kind != "knowledge":
            self._check_about(kind, record, member.powers)

    def _check_about(self, kind: str, record: Mapping[str, Any], powers: tuple[str, ...]) -> None:
        item = self.items.get(record["item"])
        if item is None:
            raise KnowledgeRefused(f"{kind}: the item {record['item'][:12]}… is not known", mend="add it first")
        own = item.record["author"] == record["key"]
        if kind == "endorsement" and own:
            raise KnowledgeRefused("endorsement: an author cannot endorse its own item", mend="let others")
        if kind == "revocation" and not own and "veto" not in powers:
            raise KnowledgeRefused("revocation: only the author, or who may veto, revokes", mend="ask one of them")

    def _apply(self, kind: str, envelope: Envelope) -> None:
        record = envelope.record
        if kind == "knowledge":
            self.items[digest(record)] = Item(digest(record), record, envelope)
        elif kind == "endorsement":
            self.items[record["item"]].endorsers.add(record["key"])
        else:
            self.items[record["item"]].revoked_by = record["key"]

    def needed(self, item: Item) -> int:
        """Endorsements it takes: f + 1, or the quorum for a constitutional fact."""
        quorum = self.registry.quorum
        return quorum.q if item.record["constitutional"] else quorum.f + 1

    def standing(self, name: str) -> Standing:
        """Whether an item counts now, and if not, why. An item is no better than its parents.

        Raises:
            KnowledgeRefused: there is no such item.
        """
        item = self.items.get(name)
        if item is None:
            raise KnowledgeRefused(f"item {name[:12]}…: not known", mend="add it first")
        if item.revoked_by:
            return "revoked"
        if self.now() >= item.record["expires_at"]:
            return "expired"
        for parent in item.record["parents"]:  # digests of earlier records, so the links cannot form a circle
            if parent not in self.items:
                return "parent_missing"
            if self.standing(parent) != "accepted":
                return "parent_not_accepted"
        valid = {key for key in item.endorsers if key in {member.key for member in self.registry.voters}}
        return "accepted" if len(valid) >= self.needed(item) else "unendorsed"

    def accepted(self) -> list[Item]:
        """Everything that counts now."""
        return [item for name, item in self.items.items() if self.standing(name) == "accepted"]
