"""Manifests: one canonical JSON file (RFC 8785) per checkpoint, with its own hash inside and nothing that runs when loaded.

    {"created", "description"?, "entries": {name: {"chunks", "dtype", "shape", "kind"?, "health"?}}, "environment"?, "flags",
     "format", "hash", "id", "metadata", "model_class", "parent", "parts", "poisoned", "sequence", "ties": [[names]]}

`hash` is blake3 of the file's bytes with these 64 digits replaced by zeros. `kind` is left out for parameters; `health` is
[NaN count, Inf count, largest finite magnitude]; `description` holds the JSON files that say how to build the model again.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import blake3
import rfc8785

from solon.checkpoints.errors import CorruptManifest, UnknownTensor, UnsupportedState
from solon.checkpoints.health import Health
from solon.checkpoints.tensors import CHUNK, DTYPES
from solon.errors import nearest

FORMAT = 1
ZERO = "0" * 64


@dataclass
class Entry:
    """One stored tensor: its chunks in order, dtype name and shape."""

    chunks: list[str]
    dtype: str
    shape: list[int]
    kind: str = "param"
    health: Health | None = None
    _canonical: bytes | None = field(default=None, repr=False, compare=False)

    def canonical(self) -> bytes:
        """RFC 8785 bytes, kept: most entries of a manifest are those of the one before."""
        if self._canonical is None:
            self._canonical = rfc8785.dumps(self.to_json())
        return self._canonical

    def to_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"chunks": self.chunks, "dtype": self.dtype, "shape": self.shape}
        if self.kind != "param":
            record["kind"] = self.kind
        if self.health is not None:
            record["health"] = [self.health.nan, self.health.inf, self.health.absmax]
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Entry:
        shape, health = record["shape"], record.get("health")
        if record["dtype"] not in DTYPES:
            raise ValueError(f"dtype {record['dtype']} is unknown to this version of torch")
        size = math.prod(shape) * itemsize(record["dtype"])
        if any(type(n) is not int or n < 0 for n in shape) or -(-size // CHUNK) != len(record["chunks"]):
            raise ValueError(f"{record['dtype']} {shape} does not take {len(record['chunks'])} chunks")
        return cls(
            record["chunks"],
            record["dtype"],
            shape,
            record.get("kind", "param"),
            Health(math.prod(shape), health[0], health[1], float(health[2])) if health else None,
        )


@dataclass
class Manifest:
    """A checkpoint's description. `ties` lists each group of aliases, canonical name first; `parts` holds typed JSON trees."""

    id: str
    sequence: int
    created: str
    parent: str | None
    entries: dict[str, Entry]
    ties: list[list[str]]
    flags: dict[str, Any] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    model_class: str = ""
    poisoned: bool = False
    description: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Canonical bytes with the hash filled in.

        Raises:
            UnsupportedState: a name or value that RFC 8785 cannot write.
        """
        try:
            return self._to_bytes()
        except rfc8785.CanonicalizationError as error:
            raise UnsupportedState(f"{self.id} cannot be written: {error}", mend="use plain text in names and states") from error

    def _to_bytes(self) -> bytes:
        record = {
            "format": FORMAT,
            "hash": ZERO,
            "id": self.id,
            "sequence": self.sequence,
            "created": self.created,
            "parent": self.parent,
            "entries": None,
            "ties": self.ties,
            "flags": self.flags,
            "parts": self.parts,
            "metadata": self.metadata,
            "model_class": self.model_class,
            "poisoned": self.poisoned,
            **({"description": self.description} if self.description else {}),
            **({"environment": self.environment} if self.environment else {}),
        }
        whole = {key: rfc8785.dumps(value) for key, value in record.items()}  # type: ignore[arg-type]
        whole["entries"] = canonical_object({name: entry.canonical() for name, entry in self.entries.items()})
        data = canonical_object(whole)
        digest = blake3.blake3(data).hexdigest()
        return data.replace(f'"hash":"{ZERO}"'.encode(), f'"hash":"{digest}"'.encode(), 1)

    def chunks(self) -> set[str]:
        """Every chunk the checkpoint needs."""
        return {chunk for entry in self.entries.values() for chunk in entry.chunks}

    @cached_property
    def names_cache(self) -> dict[str, str]:
        """Every model tensor's name, aliases included -> its canonical name."""
        found = {name: name for name, entry in self.entries.items() if entry.kind != "part"}
        found.update({alias: group[0] for group in self.ties for alias in group if group[0] in found})
        return found

    def names(self) -> dict[str, str]:
        """Every name, aliases included -> its canonical name. Parts' tensors are left out."""
        return self.names_cache

    @property
    def model_ties(self) -> list[list[str]]:
        """Groups of aliases among the model's own tensors."""
        return [group for group in self.ties if group[0] in self.names_cache]

    def entry(self, name: str) -> Entry:
        """The entry of a tensor, by any of its aliases.

        Raises:
            UnknownTensor
        """
        names = self.names()
        if name not in names:
            raise UnknownTensor(
                f"{self.id}: expected the name of one of its tensors, got {name!r}",
                mend=nearest(name, set(names)) or "see `show` for the names",
            )
        return self.entries[names[name]]

    @property
    def logical_bytes(self) -> int:
        """Bytes of all tensors, each shared one once."""
        return sum(math.prod(e.shape) * itemsize(e.dtype) for e in self.entries.values())


def canonical_object(values: dict[str, bytes]) -> bytes:
    """An RFC 8785 object of values that are canonical already: keys in the order of their UTF-16 code units."""
    ordered = sorted(values.items(), key=lambda item: item[0].encode("utf-16-be"))
    return b"{" + b",".join(rfc8785.dumps(key) + b":" + value for key, value in ordered) + b"}"


def itemsize(dtype: str) -> int:
    """Bytes per element of a stored dtype."""
    return DTYPES[dtype].itemsize


def parse(data: bytes, path: Path) -> Manifest:
    """Read a manifest and check its hash.

    Raises:
        CorruptManifest
    """
    try:
        record = json.loads(data)
        stated = record["hash"]
        plain = data.replace(f'"hash":"{stated}"'.encode(), f'"hash":"{ZERO}"'.encode(), 1)
        if blake3.blake3(plain).hexdigest() != stated:
            raise ValueError("its bytes do not match its hash")
        if record["format"] != FORMAT:
            raise ValueError(f"format {record['format']}, this version reads {FORMAT}")
        _check_fields(record)
        return Manifest(
            record["id"],
            record["sequence"],
            record["created"],
            record["parent"],
            {name: Entry.from_json(entry) for name, entry in record["entries"].items()},
            record["ties"],
            record["flags"],
            record["parts"],
            record["metadata"],
            record["model_class"],
            record["poisoned"],
            record.get("description", {}),
            record.get("environment", {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CorruptManifest(f"{path}: {error}", mend="restore another checkpoint; fsck lists the good ones") from error


_FIELDS: dict[str, Any] = {
    "id": str, "sequence": int, "created": str, "parent": (str, type(None)), "entries": dict, "ties": list, "flags": dict,
    "parts": dict, "metadata": dict, "model_class": str, "poisoned": bool,
}  # fmt: skip


def _check_fields(record: dict[str, Any]) -> None:
    """Raise ValueError for a field that is absent or of another type: a right hash does not make contents right."""
    for name, kind in _FIELDS.items():
        if not isinstance(record[name], kind):
            raise ValueError(f"{name} is a {type(record[name]).__name__}")
    for group in record["ties"]:
        if not isinstance(group, list) or not all(isinstance(name, str) for name in group):
            raise ValueError("a tie is no list of names")
        if not group or group[0] not in record["entries"]:
            raise ValueError(f"the tie {group} belongs to no entry")
    if not all(isinstance(record.get(name, {}), dict) for name in ("description", "environment")):
        raise ValueError("description or environment is no object")


def load(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        CorruptManifest: also when the file is gone or cannot be read.
    """
    try:
        return parse(path.read_bytes(), path)
    except OSError as error:
        raise CorruptManifest(f"{path}: cannot be read ({error.strerror})", mend="fsck lists the good ones") from error


def plain(value: Any) -> Any:
    """Free metadata as JSON that RFC 8785 can write: NaN and Inf become words, other objects their text."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()  # a lone surrogate, as odd file names have, becomes a question mark
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {plain(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "size", None) == 1:
        return plain(value.item())
    return str(value)
