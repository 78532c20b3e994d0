"""DSSE v1 envelopes: the payload's type is inside the signed bytes, so a vote cannot be replayed as an approval.

PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body   (dsse/protocol.md).
`keyid` is the signer's public key in hex.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from solon.errors import IntegrityError
from solon.ledger.canonical import canonical, parse
from solon.ledger.keys import KeyRefused, PrivateKey, PublicKey


def pae(payload_type: str, body: bytes) -> bytes:
    """The bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def payload_type(name: str) -> str:
    """The payload type of one of our records, for example `application/vnd.solon.vote+json`."""
    return f"application/vnd.solon.{name}+json"


def named_in(envelope: Envelope) -> str:
    """The name of the record in an envelope of ours; of another's its type."""
    return envelope.type.removeprefix("application/vnd.solon.").removesuffix("+json")


@dataclass(frozen=True)
class Envelope:
    """A payload, its type and signatures (public key in hex, 64 bytes)."""

    type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]

    @property
    def record(self) -> Any:
        """The payload, read strictly as canonical JSON. Raises IntegrityError."""
        return parse(self.payload)

    @cached_property
    def signers(self) -> tuple[str, ...]:
        """Distinct keys (hex) whose signatures hold, in the order given. Signatures that do not hold are left out."""
        return tuple(dict.fromkeys(keyid for keyid, sig in self.signatures if self._holds(keyid, sig)))

    @property
    def clean(self) -> bool:
        """Whether every signature holds and no key signs twice; what is kept must be clean (no junk beside a quorum)."""
        return bool(self.signatures) and len(self.signers) == len(self.signatures)

    def _holds(self, keyid: str, signature: bytes) -> bool:
        try:
            return PublicKey.of_id(keyid).verifies(signature, pae(self.type, self.payload))
        except KeyRefused:
            return False

    def signed_by(self, key: PrivateKey) -> Envelope:
        """The same payload with one more signature; a key that signed already adds nothing."""
        if key.id in (keyid for keyid, _ in self.signatures):
            return self
        return Envelope(self.type, self.payload, (*self.signatures, (key.id, key.sign(pae(self.type, self.payload)))))

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of DSSE."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.type,
            "signatures": [{"keyid": keyid, "sig": base64.b64encode(sig).decode()} for keyid, sig in self.signatures],
        }


def seal(name: str, record: Any, keys: Iterable[PrivateKey]) -> Envelope:
    """Sign a record of ours (`vote`, `stop`, …) with one or more keys."""
    envelope = Envelope(payload_type(name), canonical(record), ())
    for key in keys:
        envelope = envelope.signed_by(key)
    return envelope


def read(value: Any, name: str | None = None) -> Envelope:
    """Read the JSON form; `name` is the record expected.

    Raises:
        IntegrityError: malformed, or of another type. Signatures are not judged here.
    """
    try:
        if not isinstance(value, Mapping) or set(value) != {"payload", "payloadType", "signatures"}:
            raise ValueError("other fields than payload, payloadType, signatures")
        signatures = tuple((str(item["keyid"]), base64.b64decode(item["sig"], validate=True)) for item in value["signatures"])
        envelope = Envelope(value["payloadType"], base64.b64decode(value["payload"], validate=True), signatures)
        if not isinstance(envelope.type, str):
            raise ValueError("a type that is no text")
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise IntegrityError(
            f"envelope: expected a DSSE envelope, got {error}", mend="take the file as it was signed", code="malformed"
        ) from error
    if name is not None and envelope.type != payload_type(name):
        raise IntegrityError(
            f"envelope: expected the type {payload_type(name)}, got {envelope.type}",
            mend="give a record of that kind",
            code="payload_type",
        )
    return envelope
