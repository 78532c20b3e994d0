"""Opening and creating the folder of a store."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import blake3
import rfc8785

from solon.checkpoints.errors import UnknownCheckpoint
from solon.checkpoints.files import fsync_folder, locked, named_os_errors, write_durably
from solon.checkpoints.manifest import FORMAT
from solon.checkpoints.tensors import CHUNK
from solon.errors import InputError

FOLDERS = ("packs", "manifests", "refs/heads", "refs/tags", "refs/pins", "journal", "trash")


def open_folder(root: Path, read_only: bool, lock_timeout_s: float) -> dict[str, Any]:
    """The FORMAT record of the store in `root`, which is made when absent.

    Raises:
        InputError: other files are there, or another format. UnknownCheckpoint: absent, and `read_only`. ReadOnlyStore, StoreBusy
    """
    file = root / "FORMAT"
    if not file.exists():
        _create(root, file, read_only, lock_timeout_s)
    try:
        data = file.read_bytes()
        found = json.loads(data)
        if data != sealed(found):
            raise ValueError("its bytes do not match their seal")
        if found["format"] != FORMAT or found["hash"] != "blake3" or found["chunk"] != CHUNK:
            raise ValueError(f"expected format {FORMAT}, blake3, chunks of {CHUNK}; found {found}")
        uuid.UUID(found["store_id"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: not the record of a store ({error})", mend="use another folder, or the version that wrote it"
        ) from error
    return dict(found)


def _create(root: Path, file: Path, read_only: bool, lock_timeout_s: float) -> None:
    if read_only:
        raise UnknownCheckpoint(f"{root}: no store here", mend="check the path")
    if root.exists() and not root.is_dir():
        raise InputError(f"{root}: expected a folder, found a file", mend="name another folder")
    ours = {"packs", "lock", "lost+found"}
    if root.is_dir() and not (root / "packs").is_dir() and any(p.name not in ours for p in root.iterdir()):
        raise InputError(f"{root}: expected an empty folder or a store, found other files", mend="name another folder")
    with named_os_errors(root):
        for name in FOLDERS:
            (root / name).mkdir(parents=True, exist_ok=True)
        fsync_folder(root)
    record = {"chunk": CHUNK, "format": FORMAT, "hash": "blake3", "store_id": str(uuid.uuid4())}
    with locked(root / "lock", timeout_s=lock_timeout_s):
        if not file.exists():
            write_durably(file, sealed(record))


def sealed(record: dict[str, Any]) -> bytes:
    """The bytes of FORMAT: canonical JSON of the record with `seal`, blake3 of the rest, and a newline."""
    bare = {key: value for key, value in record.items() if key != "seal"}
    seal = blake3.blake3(rfc8785.dumps(bare)).hexdigest()
    return rfc8785.dumps({**bare, "seal": seal}) + b"\n"
