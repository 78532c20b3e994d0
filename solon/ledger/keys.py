"""Ed25519 keys (RFC 8032, by libsodium) in the text form of signed notes, which other transparency tools read as well.

public   NAME+HASH+BASE64(0x01 || 32 bytes)               file NAME.pub
private  PRIVATE+KEY+NAME+HASH+BASE64(0x01 || 32 bytes)   file NAME.key, readable by its owner only

HASH is the first 4 bytes (hex) of SHA-256(NAME "\\n" 0x01 key) (C2SP signed-note). Keys that are not canonical, or of small
order, are refused at the door: under such a key one signature can fit several messages. What identifies a key is its bytes,
never its name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from solon.errors import InputError, IntegrityError

ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+]{1,100}")
PRIVATE = "PRIVATE+KEY+"
_FILE_NAME = re.compile(r"[A-Za-z0-9_@][A-Za-z0-9_.@-]*")


class KeyRefused(InputError):
    """Text or bytes that are no usable Ed25519 key."""

    code = "key"


def key_hash(name: str, public: bytes) -> bytes:
    """The four bytes that tell keys of one name apart (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:4]


@dataclass(frozen=True)
class PublicKey:
    """A verifying key. `id` (hex of the 32 bytes) is what is counted; `name` is for people."""

    name: str
    raw: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.raw) != 32 or not crypto_core_ed25519_is_valid_point(self.raw):
            raise KeyRefused(
                f"key {self.name}: expected 32 bytes of a canonical Ed25519 key of large order, got {self.raw.hex() or 'none'}",
                mend="generate one with: solon keys generate",
            )

    @property
    def id(self) -> str:
        return self.raw.hex()

    @property
    def text(self) -> str:
        return f"{self.name}+{key_hash(self.name, self.raw).hex()}+{base64.b64encode(ED25519 + self.raw).decode()}"

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature (64 bytes) is this key's over the message."""
        if len(signature) != 64:
            return False
        try:
            VerifyKey(self.raw).verify(message, signature)
        except (BadSignatureError, ValueError):
            return False
        return True

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read the text form; its hash must fit.

        Raises:
            KeyRefused: malformed, of another kind, of small order, or with a hash that does not fit.
        """
        name, raw = _split(text.strip(), "public key")
        return cls(name, raw)

    @classmethod
    @lru_cache(maxsize=4096)
    def of_id(cls, id: str, name: str = "key") -> PublicKey:
        """A key by its 64 hex digits."""
        if not re.fullmatch(r"[0-9a-f]{64}", id):
            raise KeyRefused(f"key {name}: expected 64 hex digits in lower case, got {id!r}", mend="copy the id of the .pub file")
        return cls(name, bytes.fromhex(id))


class PrivateKey:
    """A signing key. It prints without its secret."""

    def __init__(self, name: str, seed: bytes) -> None:
        _check_name(name)
        if len(seed) != 32:
            raise KeyRefused(f"key {name}: expected a seed of 32 bytes, got {len(seed)}", mend="generate one")
        self._key = SigningKey(seed)
        self.public = PublicKey(name, bytes(self._key.verify_key))

    def __repr__(self) -> str:
        return f"PrivateKey({self.public.name!r}, {self.public.id[:8]}…)"

    @property
    def name(self) -> str:
        return self.public.name

    @property
    def id(self) -> str:
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """The signature, 64 bytes."""
        return self._key.sign(message).signature

    @property
    def secret_text(self) -> str:
        """The private text form; for files only."""
        tail = base64.b64encode(ED25519 + bytes(self._key)).decode()
        return f"{PRIVATE}{self.name}+{key_hash(self.name, self.public.raw).hex()}+{tail}"

    @classmethod
    def generate(cls, name: str) -> PrivateKey:
        """A new random key."""
        return cls(name, bytes(SigningKey.generate()))

    @classmethod
    def parse(cls, text: str) -> PrivateKey:
        """Read the private text form. Raises KeyRefused; the message never holds the secret."""
        text = text.strip()
        if not text.startswith(PRIVATE):
            raise KeyRefused("expected a private key (PRIVATE+KEY+…), got something else", mend="give the .key file")
        parts = text[len(PRIVATE) :].split("+", 2)
        seed = _decoded(parts[2]) if len(parts) == 3 else None
        if seed is None:
            raise KeyRefused("expected PRIVATE+KEY+NAME+HASH+BASE64 of Ed25519, got a malformed key", mend="restore the file")
        key = cls(parts[0], seed)
        if key_hash(key.name, key.public.raw).hex() != parts[1]:
            raise KeyRefused(f"private key {parts[0]}: its hash does not fit its bytes", mend="restore the file from a good copy")
        return key


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyRefused(f"key name: expected 1 to 100 characters without blank or +, got {name!r}", mend="choose a plain name")


def _decoded(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data[1:] if len(data) == 33 and data[:1] == ED25519 else None


def _split(text: str, what: str) -> tuple[str, bytes]:
    parts = text.split("+", 2)
    raw = _decoded(parts[2]) if len(parts) == 3 else None
    if raw is None:
        got = "a private key" if text.startswith(PRIVATE) else "other text"  # never shown: it may be a secret
        raise KeyRefused(f"{what}: expected NAME+HASH+BASE64 of an Ed25519 key, got {got}", mend="give the .pub file's line")
    if key_hash(parts[0], raw).hex() != parts[1]:
        raise KeyRefused(f"{what} {parts[0]}: its hash {parts[1]} does not fit its bytes", mend="copy the whole line again")
    return parts[0], raw


def write_pair(key: PrivateKey, folder: Path | str) -> tuple[Path, Path]:
    """Write NAME.key (mode 600) and NAME.pub; existing files are never overwritten.

    Raises:
        KeyRefused: one of them is there already.
    """
    if not _FILE_NAME.fullmatch(key.name):
        raise KeyRefused(
            f"key name: expected letters, digits, _ . - @ and no dot in front, as it names two files; got {key.name!r}",
            mend="choose a plain name",
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    private, public = folder / f"{key.name}.key", folder / f"{key.name}.pub"
    for path, text, mode in ((private, key.secret_text, 0o600), (public, key.public.text, 0o644)):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError as error:
            raise KeyRefused(f"{path}: expected no file, got one", mend="choose another name or folder") from error
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
    return private, public


def read_private(path: Path | str) -> PrivateKey:
    """Read a .key file; one that others can read is refused."""
    path = Path(path)
    if not path.is_file():
        raise KeyRefused(f"{path}: expected a private key file, got none", mend="make one: solon keys generate NAME")
    if path.stat().st_mode & 0o077:
        raise KeyRefused(f"{path}: expected a file that only its owner can read, got wider permissions", mend=f"chmod 600 {path}")
    return PrivateKey.parse(_ascii(path))


def read_public(path: Path | str) -> PublicKey:
    """Read a .pub file."""
    path = Path(path)
    if not path.is_file():
        raise KeyRefused(f"{path}: expected a public key file, got none", mend="ask its owner for the .pub file")
    return PublicKey.parse(_ascii(path))


def _ascii(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{path}: expected one line of text, got other bytes", mend="restore the file") from error
