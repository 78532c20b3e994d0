"""Ed25519 keys: generate, load, name. Public keys that verify anything are refused when they enter.

A key is written as C2SP signed-note keys are: `name+hash+base64(0x01 || key)`, private ones after `PRIVATE+KEY+`
(https://c2sp.org/signed-note). The hash is the first four bytes of SHA-256(name || "\\n" || 0x01 || public key).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from solon.errors import IntegrityError

ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,100}")
_PREFIX = "PRIVATE+KEY+"


@dataclass(frozen=True)
class PublicKey:
    """A name and 32 bytes. Two keys are the same voter iff their bytes are: names and ids are never counted."""

    name: str
    raw: bytes

    def __post_init__(self) -> None:
        check_name(self.name)
        check_public(self.raw)

    @property
    def keyid(self) -> str:
        """SHA-256 of the key bytes in hex; a hint for finding the key, never an identity."""
        return sha256(self.raw).hexdigest()

    @property
    def hash(self) -> bytes:
        """The four bytes by which a signed note names its key."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.raw).digest()[:4]

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is 64 bytes, canonical, and of this key over this message."""
        try:
            VerifyKey(self.raw).verify(message, signature)
        except (BadSignatureError, ValueError, TypeError):
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.hash.hex()}+{base64.b64encode(ED25519 + self.raw).decode()}"

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """A key as `str` writes it, or bare 64 hex digits (then it is named by its first eight).

        Raises:
            IntegrityError: not such a text, its hash does not fit, or a key that must not be used.
        """
        text = text.strip()
        if re.fullmatch(r"[0-9a-f]{64}", text):
            return cls(text[:8], bytes.fromhex(text))
        name, digest, raw = _split(text)
        key = cls(name, raw)
        if key.hash.hex() != digest:
            raise IntegrityError(f"key {name}: expected the hash {key.hash.hex()}, got {digest}", mend="copy the whole line again")
        return key


@dataclass(frozen=True)
class PrivateKey:
    """A signing key. It never prints its secret; `secret_text` does."""

    name: str
    _key: SigningKey

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """A new key from the operating system's randomness."""
        check_name(name)
        return cls(name, SigningKey.generate())

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, bytes(self._key.verify_key))

    def sign(self, message: bytes) -> bytes:
        """64 bytes, deterministic (RFC 8032)."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"PrivateKey({self.name}, secret withheld)"

    @property
    def secret_text(self) -> str:
        """The private key line; whoever has it signs as this key."""
        return f"{_PREFIX}{self.name}+{self.public.hash.hex()}+{base64.b64encode(ED25519 + bytes(self._key)).decode()}"

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """A key as `secret_text` writes it.

        Raises:
            IntegrityError: not such a text, or its hash does not fit.
        """
        text = text.strip()
        if not text.startswith(_PREFIX):
            raise IntegrityError("private key: expected a line that begins with PRIVATE+KEY+, got another", mend="generate a key")
        name, digest, seed = _split(text[len(_PREFIX) :])
        key = cls(name, SigningKey(seed))
        if key.public.hash.hex() != digest:
            raise IntegrityError(f"private key {name}: its hash does not fit its bytes", mend="copy the whole line again")
        return key

    def save(self, path: Path) -> None:
        """Write the key to a new file that only its owner may read.

        Raises:
            FileExistsError: the file is there; keys are never overwritten.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.secret_text + "\n")

    @classmethod
    def load(cls, path: Path) -> PrivateKey:
        """Read a key file.

        Raises:
            IntegrityError: others may read the file, or it holds no key.
        """
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise IntegrityError(f"{path}: expected a file that only its owner can read, got mode {path.stat().st_mode & 0o777:o}", mend="chmod 600")
        return cls.parse(path.read_text())


def check_public(raw: bytes) -> None:
    """Refuse public keys of small order or in non-canonical form: under some libraries one signature fits every message.

    Raises:
        IntegrityError: not 32 bytes, not canonical, not on the curve, of small order, or outside the main subgroup.
    """
    if len(raw) != 32:
        raise IntegrityError(f"public key: expected 32 bytes, got {len(raw)}", mend="copy the whole key")
    if not crypto_core_ed25519_is_valid_point(raw):
        raise IntegrityError("public key: expected a point of the prime-order group, got another", mend="generate a proper key")


def check_name(name: str) -> None:
    """Key names hold no blank and no plus sign, as signed notes are split at them.

    Raises:
        IntegrityError: such a name.
    """
    if not _NAME.fullmatch(name):
        raise IntegrityError(f"key name: expected 1 to 100 characters without blanks and '+', got {name!r}", mend="choose a plain name")


def _split(text: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    try:
        data = base64.b64decode(parts[2], validate=True) if len(parts) == 3 else b""
    except binascii.Error:
        data = b""
    if len(data) != 33 or data[:1] != ED25519:
        raise IntegrityError("key: expected name+hash+base64 of an Ed25519 key, got another text", mend="see c2sp.org/signed-note")
    return parts[0], parts[1], data[1:]
