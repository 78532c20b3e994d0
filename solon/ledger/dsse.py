"""DSSE envelopes (Dead Simple Signing Envelope, protocol v1) over canonical JSON, signed with Ed25519.

The payload type is inside the signed bytes, so that a signature made for one purpose is worth nothing for another.
Thresholds count distinct key bytes; key ids are hints that nobody trusts.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from solon.errors import IntegrityError
from solon.ledger.canonical import canonical, parse
from solon.ledger.keys import PrivateKey, PublicKey


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding: the bytes that are signed (DSSE protocol §Signature definition)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True)
class Signature:
    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload, its type, and signatures over both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...] = ()

    def signed_by(self, *keys: PrivateKey) -> Envelope:
        """The envelope with a signature of each key added."""
        message = pae(self.payload_type, self.payload)
        added = tuple(Signature(key.public.keyid, key.sign(message)) for key in keys)
        return Envelope(self.payload_type, self.payload, self.signatures + added)

    def signers(self, keys: Iterable[PublicKey]) -> tuple[PublicKey, ...]:
        """The keys that signed, each key's bytes once, whatever names and ids say.

        Raises:
            IntegrityError: a signature that verifies under none of the keys: junk is never carried along.
        """
        message = pae(self.payload_type, self.payload)
        known = {key.raw: key for key in keys}
        found: dict[bytes, PublicKey] = {}
        for signature in self.signatures:
            key = _signer(signature, message, known.values())
            if key is None:
                raise IntegrityError("envelope: expected signatures of known keys, got one that none of them made", mend="drop it")
            found[key.raw] = key
        return tuple(found.values())

    def require(self, payload_type: str, keys: Sequence[PublicKey], threshold: int = 1) -> Any:
        """The payload's value, if the type is as expected and `threshold` distinct keys signed it.

        Raises:
            IntegrityError: another type, too few signatures, or a payload not in canonical form.
        """
        if threshold < 1:
            raise IntegrityError(f"envelope: expected a threshold of at least 1, got {threshold}", mend="ask for a signature")
        if self.payload_type != payload_type:
            raise IntegrityError(f"envelope: expected the type {payload_type}, got {self.payload_type}", mend="use the right file")
        count = len(self.signers(keys))
        if count < threshold:
            raise IntegrityError(f"envelope: expected signatures of {threshold} distinct keys, got {count}", mend="have more people sign")
        return parse(self.payload)

    def record(self) -> dict[str, Any]:
        """The JSON form of DSSE."""
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [{"keyid": s.keyid, "sig": base64.b64encode(s.sig).decode()} for s in self.signatures],
        }

    @classmethod
    def of_record(cls, record: Any) -> Envelope:
        """An envelope from its JSON form.

        Raises:
            IntegrityError: a missing or unknown field, or bad base64.
        """
        try:
            if set(record) != {"payloadType", "payload", "signatures"} or not isinstance(record["payloadType"], str):
                raise ValueError("expected payloadType, payload, signatures")
            signatures = tuple(Signature(str(s.get("keyid", "")), _bytes(s["sig"])) for s in record["signatures"])
            return cls(record["payloadType"], _bytes(record["payload"]), signatures)
        except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
            raise IntegrityError(f"envelope: not a DSSE envelope ({error})", mend="use the file as it was written") from error


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii"), validate=True)


def _signer(signature: Signature, message: bytes, keys: Iterable[PublicKey]) -> PublicKey | None:
    """The key that made a signature; the one its id hints at is tried first."""
    for key in sorted(keys, key=lambda key: key.keyid != signature.keyid):
        if key.verify(message, signature.sig):
            return key
    return None


def seal(payload_type: str, value: Any, *keys: PrivateKey) -> Envelope:
    """An envelope around the canonical JSON of a value, signed by `keys`.

    Raises:
        DataError: the value has no canonical form (a float, say).
    """
    return Envelope(payload_type, canonical(value)).signed_by(*keys)
