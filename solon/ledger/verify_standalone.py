#!/usr/bin/env python3
"""Verify a Solon ledger without Solon. This one file needs Python 3.11 and PyNaCl, nothing else, and shares no code with Solon.

    python verify_standalone.py LEDGER KEY.pub [--tip TIP] [--show N]

LEDGER is a ledger database, or a folder made by `solon ledger export`. KEY.pub is the ledger's public key as you got it from its
owner, not from the ledger's folder. TIP is a signed tip kept from earlier: it shows that nothing was rewritten.
Exit code 0: everything holds. 1: something does not, and the line printed says what. 2: wrong usage, or a file is missing.

What is checked (RFC 6962/9162 tree, C2SP checkpoint and signed note, Ed25519):
  1. each entry is strict JSON: no duplicate key, no float, no NaN, with `kind`, `at` and `body`, and used `once` names are unique
  2. the tree over SHA-256(0x00 || entry bytes) has the root of the tip, and the tip's size is the number of entries
  3. the tip is signed by KEY
  4. with --tip: the tree over the first entries has the root of that older tip, which KEY signed too
"""

import argparse
import base64
import hashlib
import json
import sqlite3
import sys
from pathlib import Path

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey


class Wrong(Exception):
    """Something does not hold."""


def read_key(path):
    """(name, 4-byte hash, key) of a line NAME+HASH+BASE64(0x01 || key)."""
    name, digest, data = Path(path).read_text(encoding="ascii").strip().split("+", 2)
    raw = base64.b64decode(data, validate=True)
    if raw[:1] != b"\x01" or len(raw) != 33:
        raise Wrong("the public key is no Ed25519 key")
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if expected.hex() != digest:
        raise Wrong("the public key's hash does not fit its bytes")
    return name, expected, VerifyKey(raw[1:])


def read_tip(note, key):
    """(origin, size, root) of a tip that the key signed."""
    name, digest, verifier = key
    body, gap, tail = note.rpartition("\n\n")
    body += "\n"
    for line in tail.split("\n"):
        words = line.split(" ")
        if gap and len(words) == 3 and words[0] == "\u2014" and words[1] == name:
            signature = base64.b64decode(words[2], validate=True)
            if signature[:4] != digest:
                continue
            try:
                verifier.verify(body.encode(), signature[4:])
            except (BadSignatureError, ValueError) as error:
                raise Wrong("the tip's signature does not hold") from error
            origin, size, root = body.split("\n")[:3]
            return origin, int(size), base64.b64decode(root, validate=True)
    raise Wrong("the tip is not signed by this key")


def read_ledger(path):
    """(iterator over entry bytes, the tip's text)."""
    if path.is_dir():
        lines = (path / "entries.jsonl").read_bytes().split(b"\n")
        if lines.pop() != b"":
            raise Wrong("the last line of entries.jsonl is cut")
        return iter(lines), (path / "tip").read_text(encoding="utf-8")
    if not path.is_file():
        raise FileNotFoundError(path)
    base = connect(path.resolve())
    base.execute("BEGIN")  # one snapshot, whatever is written meanwhile
    damage = base.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise Wrong(f"the database is damaged: {damage}")
    return stored(base), (base.execute("SELECT note FROM tip").fetchone() or [""])[0]


def connect(path):
    """The database; on a medium that cannot be written as it lies there, provided that no log of newer pages is beside it."""
    base, log = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True), Path(f"{path}-wal")
    try:
        base.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        if log.exists() and log.stat().st_size:
            raise OSError(f"{log.name} holds the newest entries: copy all files to a folder that can be written") from None
        base = sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)
    return base


def stored(base):
    """Entry bytes in order, none missing."""
    for place, (number, body) in enumerate(base.execute("SELECT number, body FROM entries ORDER BY number")):
        if number != place or not isinstance(body, bytes):
            raise Wrong(f"entry {place} is missing or no longer bytes")
        yield body


def unique(pairs):
    """An object whose keys are all different."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a duplicate key")
    return dict(pairs)


def refuse(text):
    """Floats and NaN have no place in an entry."""
    raise ValueError(f"the number {text}")


def read_entry(number, body):
    """The entry's record, read strictly."""
    try:
        record = json.loads(body.decode("utf-8"), object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse)
        if not isinstance(record, dict) or not {"kind", "at", "body"} <= set(record) <= {"kind", "at", "body", "once"}:
            raise ValueError("other fields than kind, at, body, once")
    except ValueError as error:
        raise Wrong(f"entry {number}: {error}") from error
    return record


def add(stack, body):
    """Add a leaf to the stack of (height, hash) of complete subtrees."""
    height, node = 0, hashlib.sha256(b"\x00" + body).digest()
    while stack and stack[-1][0] == height:
        node = hashlib.sha256(b"\x01" + stack.pop()[1] + node).digest()
        height += 1
    stack.append((height, node))


def root_of(stack):
    """The root over everything added."""
    if not stack:
        return hashlib.sha256(b"").digest()
    node = stack[-1][1]
    for _, left in reversed(stack[:-1]):
        node = hashlib.sha256(b"\x01" + left + node).digest()
    return node


def verify(path, key, older_note, show):
    """Check everything; returns the report's lines."""
    bodies, note = read_ledger(path)
    origin, size, root = read_tip(note, key)
    older = read_tip(older_note, key) if older_note else None
    if older and older[0] != origin:
        raise Wrong(f"the older tip is of {older[0]!r}, the ledger of {origin!r}")
    stack: list = []
    kinds: dict = {}
    count, names, shown = 0, set(), ""
    older_holds = older is None or (older[1] == 0 and older[2] == root_of([]))
    for count, body in enumerate(bodies, start=1):
        record = read_entry(count - 1, body)
        kinds[record["kind"]] = kinds.get(record["kind"], 0) + 1
        if "once" in record:
            if record["once"] in names:
                raise Wrong(f"entry {count - 1}: {record['once']!r} is used twice")
            names.add(record["once"])
        add(stack, body)
        shown = json.dumps(record, indent=2, ensure_ascii=True) if show == count - 1 else shown
        if older and count == older[1]:
            older_holds = root_of(stack) == older[2]
    if count != size:
        raise Wrong(f"the tip says {size} entries, {count} were found")
    if root_of(stack) != root:
        raise Wrong("the entries do not give the tip's root: something was changed")
    if older and not older_holds:
        raise Wrong(f"the ledger does not continue the older tip of {older[1]} entries: history was rewritten or cut")
    lines = [f"holds: {size} entries of {origin}, root {root.hex()}, signed by {key[0]}"]
    lines += [f"  {kind}: {number}" for kind, number in sorted(kinds.items())]
    lines += [f"continues the older tip of {older[1]} entries"] if older else []
    return lines + ([shown] if shown else [])


def main():
    """Verify what the command line names; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ledger", type=Path)
    parser.add_argument("key", type=Path)
    parser.add_argument("--tip", type=Path)
    parser.add_argument("--show", type=int, default=-1, help="print this entry")
    given = parser.parse_args()
    try:
        older = given.tip.read_text(encoding="utf-8") if given.tip else ""
        print("\n".join(verify(given.ledger, read_key(given.key), older, given.show)))
    except (Wrong, sqlite3.DatabaseError, ValueError, IndexError, TypeError, RecursionError) as error:
        print(f"DOES NOT HOLD: {error}")
        return 1
    except OSError as error:
        print(f"cannot read: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
