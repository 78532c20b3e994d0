"""Who may vote, veto, stop, resume, approve and change: members with keys, in numbered epochs.

A registry is a chain of signed records. Each names the digest of the one before it and carries enough signatures of the old
members AND of the new ones (the root rule of The Update Framework, spec §5.3). Counted are distinct key bytes, never names.
Whoever pins the digest of the first record, or remembers the last epoch seen, cannot be handed an older or another registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

from solon.errors import InputError, IntegrityError
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope, read, seal
from solon.ledger.keys import PrivateKey, PublicKey
from solon.policy.council import Quorum
from solon.policy.council import Voter as Eligible

POWERS = ("vote", "veto", "stop", "relax", "resume", "approve", "change")
# What a role may do unless its member says otherwise. Only people resume, approve and change; agents vote and may stop.
ROLE_POWERS: dict[str, tuple[str, ...]] = {
    "risk_manager": ("vote", "veto", "stop", "relax", "approve"),
    "operator": ("stop", "resume", "approve", "change"),
    "observer": (),
}
_FRACTION = re.compile(r"[0-9]{1,9}(/[1-9][0-9]{0,8}|\.[0-9]{1,9})?")  # no text makes a number of a million digits
AGENT_POWERS = ("vote", "stop")


class RegistryRefused(InputError):
    """A registry, or a change of one, that does not fit the rules; codes `registry`, `epoch`, `too_few`."""

    code = "registry"


@dataclass(frozen=True)
class Member:
    """One member. `weight` is exact text ("3", "1/2") or empty; `powers` follow from the role unless given."""

    id: str
    role: str
    key: str
    weight: str = ""
    powers: tuple[str, ...] = ()
    suspended: bool = False

    def __post_init__(self) -> None:
        PublicKey.of_id(self.key, self.id)
        if not (self.id.isprintable() and self.role.strip() and self.role.isprintable()):
            raise RegistryRefused(
                f"member {self.id!r}: expected an id and a role in printable characters, got the role {self.role!r}",
                mend="operator, risk_manager, or another name",
            )
        if type(self.suspended) is not bool:
            raise RegistryRefused(f"{self.id}: suspended: expected true or false, got {self.suspended!r}", mend="correct it")
        if self.weight and not _FRACTION.fullmatch(self.weight):
            raise RegistryRefused(f"{self.id}: expected a weight like 3 or 1/2, got {self.weight!r}", mend="correct it")
        if not self.powers:
            object.__setattr__(self, "powers", ROLE_POWERS.get(self.role, AGENT_POWERS))
        unknown = [power for power in self.powers if power not in POWERS]
        if unknown or len(set(self.powers)) != len(self.powers):
            unknown = unknown or [max(self.powers, key=self.powers.count)]
            raise RegistryRefused(
                f"{self.id}: expected powers of {', '.join(POWERS)}, each once; got {unknown[0]!r}", mend="correct it"
            )

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "powers": list(self.powers)}


@dataclass(frozen=True)
class Registry:
    """The members of one epoch. `thresholds`: how many distinct keys `change`, `resume` and `approve` need."""

    network: str
    epoch: int
    members: tuple[Member, ...]
    thresholds: Mapping[str, int] = field(default_factory=dict)
    consensus: str = "2/3"
    previous: str = ""

    def __post_init__(self) -> None:
        _once("member", (member.id for member in self.members))
        _once("key", (member.key for member in self.members))
        if type(self.epoch) is not int or self.epoch < 1:
            raise RegistryRefused(f"registry: expected an epoch of at least 1, got {self.epoch!r}", mend="begin with epoch 1")
        if not isinstance(self.network, str) or not self.network.strip() or not self.network.isprintable():
            raise RegistryRefused(f"registry: expected a network's name, got {self.network!r}", mend="name it")
        if not isinstance(self.thresholds, Mapping) or not all(type(number) is int for number in self.thresholds.values()):
            raise RegistryRefused(f"thresholds: expected a number of keys for each, got {self.thresholds!r}", mend="correct them")
        weighed = [bool(member.weight) for member in self.members if "vote" in member.powers]
        if any(weighed) and not all(weighed):
            raise RegistryRefused("registry: expected weights for all voters or for none", mend="add the missing weights")
        if not _FRACTION.fullmatch(self.consensus) or not 0 < self.share <= 1:
            raise RegistryRefused(f"consensus: expected a fraction in (0, 1], got {self.consensus!r}", mend='write it like "2/3"')
        unknown = set(self.thresholds) - {"change", "resume", "approve"}
        if unknown:
            raise RegistryRefused(f"thresholds: expected change, resume, approve; got {sorted(unknown)[0]!r}", mend="remove it")

    @property
    def share(self) -> Fraction:
        """The share of eligible voters (and of weight) that must say yes."""
        return Fraction(self.consensus)

    @cached_property
    def by_key(self) -> dict[str, Member]:
        return {member.key: member for member in self.members}

    @cached_property
    def by_id(self) -> dict[str, Member]:
        return {member.id: member for member in self.members}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical record."""
        return digest(self.record)

    @property
    def voters(self) -> tuple[Member, ...]:
        """Those who count: with the power to vote, not suspended."""
        return tuple(member for member in self.members if "vote" in member.powers and not member.suspended)

    @property
    def eligible(self) -> tuple[Eligible, ...]:
        """The voters as the tally wants them; suspended ones are named but not counted."""
        return tuple(
            Eligible(m.id, m.role, Fraction(m.weight) if m.weight else None, m.suspended, "veto" in m.powers)
            for m in self.members
            if "vote" in m.powers
        )

    @property
    def quorum(self) -> Quorum:
        """n, f, q and what may be claimed."""
        return Quorum(len(self.voters))

    def needed(self, what: str) -> int:
        """How many distinct keys `change`, `resume` or `approve` takes: as declared, else two (one for approve)."""
        return self.thresholds.get(what, 1 if what == "approve" else 2)

    def holders(self, power: str, keys: Iterable[str]) -> tuple[Member, ...]:
        """Distinct members among these keys who hold the power and are not suspended."""
        found = (self.by_key.get(key) for key in dict.fromkeys(keys))
        return tuple(m for m in found if m is not None and power in m.powers and not m.suspended)

    def suspend(self, *keys: str) -> Registry:
        """The same epoch with some keys suspended (upon evidence; the next epoch makes it lasting)."""
        return replace(self, members=tuple(replace(m, suspended=True) if m.key in keys else m for m in self.members))

    @property
    def record(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "epoch": self.epoch,
            "previous": self.previous,
            "consensus": self.consensus,
            "thresholds": dict(self.thresholds),
            "members": [member.as_dict() for member in self.members],
        }

    @classmethod
    def of(cls, record: Any) -> Registry:
        """From a record. Raises RegistryRefused, KeyRefused."""
        try:
            fields = dict(record)
            members = tuple(Member(**{**item, "powers": tuple(item.get("powers", ()))}) for item in fields.pop("members"))
            return cls(members=members, **fields)
        except (TypeError, KeyError, ValueError, ZeroDivisionError, AttributeError) as error:
            raise RegistryRefused(f"registry: expected the documented fields, got {error}", mend="solon keys register") from error


def _once(what: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise RegistryRefused(f"registry: expected each {what} once, got {name!r} twice", mend="one member has one key")
        seen.add(name)


def found(registry: Registry, keys: Sequence[PrivateKey]) -> Envelope:
    """The first record of a chain, signed by its own members.

    Raises:
        RegistryRefused: it is not the first, names a threshold that its members cannot reach, or too few of them sign.
    """
    envelope = seal("registry", registry.record, keys)
    follow(None, envelope)
    return envelope


def change(old: Registry, new: Registry, keys: Sequence[PrivateKey]) -> Envelope:
    """The next record, signed. Raises RegistryRefused: see `follow`."""
    envelope = seal("registry", replace(new, epoch=old.epoch + 1, previous=old.digest).record, keys)
    follow(old, envelope)
    return envelope


def follow(old: Registry | None, envelope: Envelope) -> Registry:
    """The registry that an envelope brings, when it may follow the old one.

    Raises:
        RegistryRefused: wrong epoch, network or predecessor; too few signatures by old or by new members who may change.
        IntegrityError: malformed, or a signature that does not hold.
    """
    read(envelope.as_dict(), "registry")
    if envelope.signatures and not envelope.clean:
        raise IntegrityError("registry: a signature does not hold, or a key signed twice", mend="sign it anew", code="signature")
    new = Registry.of(envelope.record)
    expected = (1, "") if old is None else (old.epoch + 1, old.digest)
    if (new.epoch, new.previous) != expected or (old is not None and new.network != old.network):
        raise RegistryRefused(
            f"registry: expected epoch {expected[0]} after {expected[1][:12] or 'nothing'}, got {new.epoch}",
            mend="an old or foreign registry; take the newest of this network",
            code="epoch",
        )
    for what, power in (("resume", "resume"), ("change", "change"), ("approve", "approve")):
        able = [member for member in new.members if power in member.powers and not member.suspended]
        if new.needed(what) < 1:
            raise RegistryRefused(
                f"registry: {what}: expected a threshold of at least 1, got {new.needed(what)}", mend="raise it"
            )
        if len(able) < new.needed(what):
            raise RegistryRefused(
                f"registry: {what} takes {new.needed(what)} keys; expected as many members who may, got {len(able)}",
                mend=f"add members who may (an operator), or set --threshold {what}=K",
            )
    for side in (old, new):
        if side is not None:
            _signed(side, envelope)
    return new


def _signed(registry: Registry, envelope: Envelope) -> None:
    signed = registry.holders("change", envelope.signers)
    if len(signed) < registry.needed("change"):
        names = ", ".join(member.id for member in signed) or "nobody"
        raise RegistryRefused(
            f"registry: epoch {registry.epoch} asks for {registry.needed('change')} signatures of members who may change it; "
            f"got {names}",
            mend="let more of them sign: --sign KEY for each, or one after the other with --pending FILE",
            code="too_few",
        )


def chain(envelopes: Iterable[Any], *, first: str = "", least: int = 0) -> Registry:
    """The newest registry of a chain of envelopes (DSSE objects).

    Args:
        first: digest of the first record, where it is pinned.
        least: the last epoch that was seen before; an older one is a rollback.

    Raises:
        RegistryRefused: empty, not of the pinned beginning, a rollback, or a link that may not follow.
    """
    current: Registry | None = None
    for item in envelopes:
        link = follow(current, read(item, "registry"))
        if current is None and first and link.digest != first:
            raise RegistryRefused(f"registry: expected the beginning {first[:12]}…, got {link.digest[:12]}…", mend="take yours")
        current = link
    if current is None:
        raise RegistryRefused("registry: expected at least one record, got none", mend="solon keys register")
    if current.epoch < least:
        raise RegistryRefused(
            f"registry: expected epoch {least} or later, got {current.epoch}", mend="take the newest one", code="epoch"
        )
    return current
