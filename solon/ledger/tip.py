"""The signed tip of a ledger: its size and root, as a C2SP checkpoint in a signed note.

    origin
    size in decimal
    base64 of the root
    (blank line)
    — name base64(key hash || signature)

See https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note. Witnesses add signature lines of their own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass

from solon.errors import IntegrityError
from solon.ledger.keys import PrivateKey, PublicKey

_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)")


@dataclass(frozen=True)
class Tip:
    """What a tip says: the ledger's name, how many entries, their root, and further lines (none by default)."""

    origin: str
    size: int
    root: bytes
    extra: tuple[str, ...] = ()

    @property
    def body(self) -> str:
        """The signed text, ending in a line feed."""
        lines = [self.origin, str(self.size), base64.b64encode(self.root).decode(), *self.extra]
        return "".join(f"{line}\n" for line in lines)

    @classmethod
    def parse(cls, body: str) -> Tip:
        """A tip from its signed text.

        Raises:
            IntegrityError: fewer than three lines, a size with leading zeros, or a root that is no 32 bytes.
        """
        lines = body.split("\n")
        if len(lines) < 4 or lines[-1] or not all(lines[:-1]) or not re.fullmatch(r"0|[1-9]\d{0,15}", lines[1]):
            raise IntegrityError("tip: expected origin, size and root, one a line; got another text", mend="use the note as written")
        try:
            root = base64.b64decode(lines[2], validate=True)
        except binascii.Error:
            root = b""
        if len(root) != 32:
            raise IntegrityError("tip: expected a root of 32 bytes in base64, got another", mend="use the note as written")
        return cls(lines[0], int(lines[1]), root, tuple(lines[3:-1]))


def sign_note(text: str, *keys: PrivateKey) -> str:
    """A signed note: the text (which must end in a line feed), a blank line, a signature line for each key."""
    if not text.endswith("\n"):
        raise IntegrityError("note: expected text that ends in a line feed, got none", mend="add it")
    return text + "\n" + "".join(signature_line(text, key) for key in keys)


def signature_line(text: str, key: PrivateKey) -> str:
    """One signature line over a note's text, for a witness to add."""
    data = base64.b64encode(key.public.hash + key.sign(text.encode())).decode()
    return f"— {key.name} {data}\n"


def open_note(note: str, keys: Iterable[PublicKey], threshold: int = 1) -> str:
    """The text of a note that at least `threshold` distinct known keys signed. Signatures of unknown keys are ignored (signed-note).

    Raises:
        IntegrityError: malformed, a known key's signature that does not verify, or too few signatures.
    """
    text, blank, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not blank or not text or lines[-1]:
        raise IntegrityError("note: expected text, a blank line and signature lines; got another form", mend="use it as written")
    text += "\n"
    known = {(key.name, key.hash): key for key in keys}
    signed = set()
    for line in lines[:-1]:
        name, digest, signature = _read_line(line)
        key = known.get((name, digest))
        if key is None:
            continue
        if not key.verify(text.encode(), signature):
            raise IntegrityError(f"note: the signature of {name} does not fit the text", mend="the note was altered")
        signed.add(key.raw)
    if len(signed) < max(1, threshold):
        raise IntegrityError(f"note: expected signatures of {max(1, threshold)} known keys, got {len(signed)}", mend="check the keys")
    return text


def _read_line(line: str) -> tuple[str, bytes, bytes]:
    match = _LINE.fullmatch(line)
    try:
        data = base64.b64decode(match.group(2), validate=True) if match else b""
    except binascii.Error:
        data = b""
    if match is None or len(data) < 5:
        raise IntegrityError(f"note: expected a signature line, got {line[:60]!r}", mend="use the note as written")
    return match.group(1), data[:4], data[4:]


def sign_tip(tip: Tip, *keys: PrivateKey) -> str:
    """The signed note of a tip."""
    return sign_note(tip.body, *keys)


def open_tip(note: str, keys: Iterable[PublicKey], threshold: int = 1) -> Tip:
    """The tip of a note that at least `threshold` known keys signed.

    Raises:
        IntegrityError: see `open_note` and `Tip.parse`.
    """
    return Tip.parse(open_note(note, keys, threshold))
