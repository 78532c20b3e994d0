"""What others check: the whole ledger, one entry with its proof, an export that a single file verifies.

report = verify_file("decisions.db", public, older=note)     # every byte hashed again
proof = prove(ledger, 17); check_proof(proof, public)        # one entry against a signed tip, offline
proof = consistency(ledger, note); check_consistency(proof, public)    # this tip continues that one, offline
export(ledger, "out")                                        # entries.jsonl, tip, key.pub for verify_standalone.py
"""

from __future__ import annotations

import base64
import binascii
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solon.errors import InputError, IntegrityError
from solon.ledger import checkpoint as tips
from solon.ledger.canonical import parse
from solon.ledger.checkpoint import Checkpoint
from solon.ledger.keys import PublicKey
from solon.ledger.storage import Ledger
from solon.ledger.tree import EMPTY, Tree, leaf_hash, verify_consistency, verify_inclusion


@dataclass(frozen=True)
class Report:
    """What a verification saw: entries by kind, root, first and last time, and the size of the older tip it agrees with."""

    size: int
    root: str
    kinds: dict[str, int]
    first: str
    last: str
    agrees_with: int | None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def verify_file(path: Path | str, public: PublicKey, *, witness: Path | str | None = None, older: str | None = None) -> Report:
    """Hash every entry again and compare with the signed tip, and with an older tip that somebody kept.

    Raises:
        IntegrityError: at the first thing that does not hold.
    """
    ledger = Ledger.read(path, public, witness=witness)
    try:
        return verify(ledger, older=older)
    finally:
        ledger.close()


def verify(ledger: Ledger, *, older: str | None = None) -> Report:
    """`verify_file` of an open ledger."""
    tip = ledger.tip
    tree, kinds, first, last = Tree(), Counter[str](), "", ""
    for entry in ledger.entries(0, tip.size):
        tree.add(entry.data)
        record = entry.record
        kinds[_word(record, "kind", entry.index)] += 1
        last = _word(record, "at", entry.index)
        first = first or last
    if tree.root() != tip.root:
        raise IntegrityError(f"{ledger.path}: the entries do not give the signed root", mend="restore the newest copy")
    agreed = None
    if older is not None:
        seen = tips.read(older, [ledger.public])
        _check_older(tree, seen, tip)
        agreed = seen.size
    return Report(tip.size, tip.root.hex(), dict(sorted(kinds.items())), first, last, agreed)


def _word(record: Any, name: str, index: int) -> str:
    value = record.get(name) if isinstance(record, dict) else None
    if not isinstance(value, str):
        raise IntegrityError(f"entry {index}: expected the text field {name!r}, got {value!r}", mend="it was not written here")
    return value


def _check_older(tree: Tree, seen: Checkpoint, tip: Checkpoint) -> None:
    if seen.origin != tip.origin:
        raise IntegrityError(f"the older tip is of {seen.origin!r}, not of {tip.origin!r}", mend="give a tip of this ledger")
    if seen.size > tree.size:
        raise IntegrityError(
            f"the older tip has seen {seen.size} entries, the ledger holds {tree.size}",
            mend="this is an old copy: restore the newest",
        )
    if seen.size and not verify_consistency(seen.size, tree.size, tree.consistency(seen.size, tree.size), seen.root, tree.root()):
        raise IntegrityError(
            f"the first {seen.size} entries are not those of the older tip: history was rewritten", mend="restore the true copy"
        )


def prove(ledger: Ledger, index: int) -> dict[str, Any]:
    """One entry with its audit path and the signed tip: all that a reader needs besides the public key.

    Raises:
        InputError: there is no such entry.
    """
    entry = ledger.entry(index)
    path = ledger.tree.inclusion(index, ledger.tip.size)
    return {
        "index": index,
        "entry": base64.b64encode(entry.data).decode(),
        "path": [node.hex() for node in path],
        "tip": ledger.note,
    }


def check_proof(proof: Mapping[str, Any], public: PublicKey) -> dict[str, Any]:
    """The entry's record, when the proof holds under a tip that the key signed.

    Raises:
        IntegrityError: malformed, or it does not hold.
    """
    with _well_formed("index, entry, path and tip"):
        index, data = proof["index"], base64.b64decode(proof["entry"], validate=True)
        path = [bytes.fromhex(node) for node in proof["path"]]
        note = str(proof["tip"])
        if type(index) is not int:
            raise TypeError(f"the index {index!r}")
    tip = tips.read(note, [public])
    if not verify_inclusion(leaf_hash(data), index, tip.size, path, tip.root):
        raise IntegrityError(f"proof: entry {index} is not in the tree of the tip", mend="the entry or the proof was changed")
    return parse(data)


@contextmanager
def _well_formed(fields: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise IntegrityError(f"proof: expected {fields}, got {error!r}", mend="make it anew: ledger prove") from error


def consistency(ledger: Ledger, older: str) -> dict[str, Any]:
    """Proof that the ledger continues the one an older tip signed. Raises IntegrityError: it does not."""
    seen = tips.read(older, [ledger.public])
    _check_older(ledger.tree, seen, ledger.tip)
    path = ledger.tree.consistency(seen.size, ledger.tip.size) if seen.size else []
    return {"old": older, "new": ledger.note, "path": [node.hex() for node in path]}


def check_consistency(proof: Mapping[str, Any], public: PublicKey) -> tuple[Checkpoint, Checkpoint]:
    """The older and the newer tip, both signed by the key, when the proof shows that the newer continues the older.

    Raises:
        IntegrityError: malformed, or it does not hold.
    """
    with _well_formed("old, new and path"):
        path = [bytes.fromhex(node) for node in proof["path"]]
        notes = [str(proof[name]) for name in ("old", "new")]
    old, new = (tips.read(note, [public]) for note in notes)
    whole = old.size == 0 and old.root == EMPTY and not path  # everything continues nothing
    if old.origin != new.origin or not (whole or verify_consistency(old.size, new.size, path, old.root, new.root)):
        raise IntegrityError(
            f"proof: the tip of {new.size} entries does not continue that of {old.size}", mend="history was rewritten"
        )
    return old, new


def export(ledger: Ledger, folder: Path | str) -> Path:
    """Write `entries.jsonl` (one entry a line, byte for byte), `tip` and `key.pub` into a new folder.

    Raises:
        InputError: the folder holds something already.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a new or empty folder", mend="name another one")
    folder.mkdir(parents=True, exist_ok=True)
    note, tip = ledger.note, ledger.tip
    with (folder / "entries.jsonl").open("wb") as file:
        for entry in ledger.entries(0, tip.size):
            file.write(entry.data + b"\n")
        file.flush()
        os.fsync(file.fileno())
    (folder / "tip").write_text(note, encoding="utf-8")
    (folder / "key.pub").write_text(ledger.public.text + "\n", encoding="ascii")
    return folder
