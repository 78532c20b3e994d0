"""The signed tip of a ledger in C2SP checkpoint form: origin, size, root, then signature lines as of a signed note.

    solon/ledger
    3
    rrb…=

    — name HASHSIG…=

Whoever keeps a tip can later prove that history before it was rewritten (C2SP tlog-checkpoint, signed-note).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from solon.errors import IntegrityError
from solon.ledger.keys import PrivateKey, PublicKey, key_hash

MARK = "\u2014 "


@dataclass(frozen=True)
class Checkpoint:
    """How long the ledger is and the root over it."""

    origin: str
    size: int
    root: bytes

    @property
    def body(self) -> str:
        """The signed text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def sign_note(body: str, key: PrivateKey) -> str:
    """Body, blank line, signature line (C2SP signed-note)."""
    return f"{body}\n{signature_line(body, key)}"


def signature_line(body: str, key: PrivateKey) -> str:
    """One signature line; a witness adds its own below the ledger's."""
    signature = key_hash(key.name, key.public.raw) + key.sign(body.encode())
    return f"{MARK}{key.name} {base64.b64encode(signature).decode()}\n"


def open_note(note: str, keys: list[PublicKey]) -> tuple[str, list[PublicKey]]:
    """The body and those of the keys whose signatures hold.

    Raises:
        IntegrityError: malformed; none of the keys signed; or a line in the name and hash of one of the keys does not hold.
    """
    body, gap, tail = note.rpartition("\n\n")
    lines = tail.split("\n")
    if not gap or lines[-1] or not all(line.startswith(MARK) for line in lines[:-1]) or len(lines) < 2:
        raise IntegrityError("tip: expected a signed note (text, blank line, signatures), got other text", mend="restore it")
    body += "\n"
    signed = []
    for line in lines[:-1]:
        name, _, text = line[len(MARK) :].partition(" ")
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            data = b""
        for key in keys:
            if key.name == name and data[:4] == key_hash(key.name, key.raw):
                if not key.verifies(data[4:], body.encode()):
                    raise IntegrityError(f"tip: the signature of {name} does not hold", mend="the tip was changed; restore it")
                signed.append(key)
    if not signed:
        names = ", ".join(key.name for key in keys)
        raise IntegrityError(f"tip: expected a signature by {names}, got none", mend="give the public key of this ledger")
    return body, signed


def sign(checkpoint: Checkpoint, key: PrivateKey) -> str:
    """The tip as a signed note."""
    return sign_note(checkpoint.body, key)


def read(note: str, keys: list[PublicKey]) -> Checkpoint:
    """A tip whose signature holds.

    Raises:
        IntegrityError: malformed, unsigned by the keys, or a signature that does not hold.
    """
    body, _ = open_note(note, keys)
    return parse_body(body)


def parse_body(body: str) -> Checkpoint:
    """Origin, size, root of a tip's text. Lines after the third are extensions and are left alone."""
    lines = body.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
        plain = origin and size >= 0 and str(size) == lines[1] and len(root) == 32
    except (IndexError, ValueError, binascii.Error):
        plain = False
    if not plain:
        raise IntegrityError("tip: expected origin, size and root, got other text", mend="restore the tip")
    return Checkpoint(origin, size, root)
