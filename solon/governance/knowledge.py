"""Signed knowledge: items with author, provenance, parents by hash and an end; accepted on f + 1 endorsements or on a quorum
certificate about the item, until they are revoked.

With f + 1 distinct endorsers besides the author at least one of them is honest, as long as no more than f voters are not. A fact
for the constitution takes a quorum, of endorsers or as a certificate whose proposal is the item's record. Items link to their
parents by digest, so nothing can be changed underneath: the store is tamper-evident, not tamper-proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from solon.errors import IntegrityError, NamedRefusal
from solon.governance.certificate import verify
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Registry
from solon.governance.votes import SKEW
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey
from solon.ledger.storage import Ledger, clock

Standing = Literal["accepted", "unendorsed", "expired", "revoked", "parent_missing", "parent_not_accepted"]
KINDS: dict[str, type | None] = {
    "network": str, "epoch": int, "author": str, "content": None, "provenance": str, "parents": list, "issued_at": int,
    "expires_at": int, "constitutional": bool,
}  # fmt: skip
ABOUT: dict[str, type | None] = {"network": str, "epoch": int, "key": str, "item": str, "issued_at": int}


class KnowledgeRefused(NamedRefusal):
    """An item, endorsement, revocation or certificate that was not taken.

    Codes: `malformed, signature, unknown_key, epoch, early, expired, unknown_item, own_item, power`.
    """


@dataclass
class Item:
    """One item. `id` is the digest of its signed record; `content` is any record without floats."""

    id: str
    record: dict[str, Any]
    envelope: Envelope
    endorsers: set[str] = field(default_factory=set)
    certified: bool = False
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
        for entry in ledger.of_kind("knowledge", "endorsement", "revocation", "knowledge_certificate"):
            body, kind = entry.record["body"], entry.record["kind"]
            if kind == "knowledge_certificate":
                self.items[body["item"]].certified = True
            else:
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

    def certify(self, certificate: Mapping[str, Any]) -> str:
        """Take a quorum certificate whose proposal is an item's record; returns the item's id, which then needs no endorsers.

        Raises:
            NoQuorum, IntegrityError: the certificate does not hold now. KnowledgeRefused: it is about no item that is known.
        """
        with refusal_logged(self.ledger, certificate=certificate):
            name = verify(certificate, self.registry, at=self.now()).proposal
            if name not in self.items:
                raise KnowledgeRefused("unknown_item", f"certificate: about no known item ({name[:12]}…)", mend="add it first")
        self.ledger.append("knowledge_certificate", {"item": name, "certificate": dict(certificate)})
        self.items[name].certified = True
        return name

    def _take(self, kind: str, envelope: Envelope) -> None:
        """Check, log, apply. Raises KnowledgeRefused; AlreadyUsed for a record taken before."""
        with refusal_logged(self.ledger, **{kind: envelope}):
            self._check(kind, envelope)
        self.ledger.append(kind, {"envelope": envelope.as_dict()}, once=f"{kind}:{digest(envelope.record)}")
        self._apply(kind, envelope)

    def _check(self, kind: str, envelope: Envelope) -> None:
        try:
            read(envelope.as_dict(), kind)
            record = envelope.record
        except IntegrityError as error:
            raise KnowledgeRefused("malformed", f"{kind}: {error.what}", mend="sign it anew") from error
        _well_formed(kind, record)
        signer = record["author"] if kind == "knowledge" else record["key"]
        member = self.registry.by_key.get(signer)
        if envelope.signers != (signer,) or not envelope.clean:
            raise KnowledgeRefused(
                "signature", f"{kind}: expected one signature, by the key it names, that holds", mend="sign it anew"
            )
        if member is None or member.suspended or "vote" not in member.powers:
            raise KnowledgeRefused("unknown_key", f"{kind}: its key is not registered, or is suspended", mend="register it")
        if (record["network"], record["epoch"]) != (self.registry.network, self.registry.epoch):
            raise KnowledgeRefused("epoch", f"{kind}: of another network or epoch", mend="sign it anew")
        if record["issued_at"] > self.now() + SKEW:
            raise KnowledgeRefused("early", f"{kind}: comes from the future", mend="set the clock")
        if kind == "knowledge":
            if record["expires_at"] <= max(self.now(), record["issued_at"]):
                raise KnowledgeRefused("expired", "knowledge: its time is over", mend="sign it anew")
        else:
            self._check_about(kind, record, member.powers)

    def _check_about(self, kind: str, record: Mapping[str, Any], powers: tuple[str, ...]) -> None:
        item = self.items.get(record["item"])
        if item is None:
            raise KnowledgeRefused("unknown_item", f"{kind}: the item {record['item'][:12]}… is not known", mend="add it first")
        own = item.record["author"] == record["key"]
        if kind == "endorsement" and own:
            raise KnowledgeRefused("own_item", "endorsement: an author cannot endorse its own item", mend="let others")
        if kind == "revocation" and not own and "veto" not in powers:
            raise KnowledgeRefused("power", "revocation: only the author, or who may veto, revokes", mend="ask one of them")

    def _apply(self, kind: str, envelope: Envelope) -> None:
        record = envelope.record
        if kind == "knowledge":
            self.items.setdefault(digest(record), Item(digest(record), record, envelope))
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
        if name not in self.items:
            raise KnowledgeRefused("unknown_item", f"item {name[:12]}…: not known", mend="add it first")
        return self._standings([name])[name]

    def accepted(self) -> list[Item]:
        """Everything that counts now."""
        found = self._standings(self.items)
        return [item for name, item in self.items.items() if found[name] == "accepted"]

    def _standings(self, names: Iterable[str]) -> dict[str, Standing]:
        """Standings of items and of all they rest on, each looked at once. Parents are digests of earlier records, so the links
        cannot form a circle; they may be long, so no recursion.
        """
        found: dict[str, Standing] = {}
        voters, now, todo = {member.key for member in self.registry.voters}, self.now(), list(names)
        while todo:
            item = self.items[todo[-1]]
            parents = [name for name in item.record["parents"] if name in self.items]
            waiting = [name for name in parents if name not in found]
            if waiting:
                todo += waiting
                continue
            missing = len(parents) < len(item.record["parents"])
            found[todo.pop()] = self._stands(item, voters, now, missing, all(found[name] == "accepted" for name in parents))
        return found

    def _stands(self, item: Item, voters: set[str], now: int, missing: bool, on_accepted: bool) -> Standing:
        if item.revoked_by:
            return "revoked"
        if now >= item.record["expires_at"]:
            return "expired"
        if missing or not on_accepted:
            return "parent_missing" if missing else "parent_not_accepted"
        return "accepted" if item.certified or len(item.endorsers & voters) >= self.needed(item) else "unendorsed"


def _well_formed(kind: str, record: Any) -> None:
    """Raises KnowledgeRefused: fields missing, too many, or of another kind."""
    kinds = KINDS if kind == "knowledge" else ABOUT
    if not isinstance(record, dict) or set(record) != set(kinds):
        raise KnowledgeRefused("malformed", f"{kind}: expected the fields {', '.join(sorted(kinds))}", mend="sign it anew")
    wrong = [name for name, wanted in kinds.items() if wanted is not None and type(record[name]) is not wanted]
    if kind == "knowledge" and not wrong:
        if not record["provenance"].strip():
            wrong = ["provenance"]
        elif not all(type(name) is str for name in record["parents"]):
            wrong = ["parents"]
    if wrong:
        raise KnowledgeRefused("malformed", f"{kind}: {wrong[0]}: of the wrong kind, or empty", mend="sign it anew")
