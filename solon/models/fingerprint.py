"""Names for weights and for whole models, by content. Hashes of large files are remembered by size and time of change."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from solon.errors import ModelError
from solon.models.base import content_hash

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
DESCRIPTION = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "chat_template.jinja", "chat_template.json",
)  # fmt: skip
BASE_RECORD = "solon_base.json"


def weights_hash(folder: Path) -> str:
    """A hash over the names and bytes of a folder's weight files."""
    return content_hash(_hashes(file for pattern in WEIGHTS for file in folder.glob(pattern)))


def model_hash(folder: Path) -> str:
    """A hash over weights, configuration, tokenizer and chat template."""
    described = [folder / name for name in DESCRIPTION if (folder / name).is_file()]
    return content_hash([weights_hash(folder), _hashes(described)])


def adapter_hash(folder: Path) -> str:
    """A hash over an adapter's weights and configuration."""
    files = [*folder.glob("adapter_model*.safetensors"), *folder.glob("adapter_model*.bin"), folder / "adapter_config.json"]
    return content_hash(_hashes(files))


def local_identity(folder: Path, adapter: Path | None, template_options: dict[str, Any]) -> str:
    """A name for a local model as it will answer: weights, tokenizer, template, its options, adapter."""
    return with_adapter(model_hash(folder), adapter_hash(adapter) if adapter else "", template_options)


def with_adapter(base: str, adapter: str, template_options: dict[str, Any]) -> str:
    """The identity of a base with an adapter and options of its template; the base's own when there are none."""
    return content_hash([base, adapter, template_options]) if adapter or template_options else base


def served_identity(urls: Iterable[str], served: str, template_options: dict[str, Any]) -> str:
    """A name for a served model: its servers, its name there, and options of its template."""
    return content_hash(["http", sorted(urls), served, template_options])


def record_base(adapter: Path, base: Path, name: str) -> None:
    """Write into an adapter folder which weights it was trained on. `name` is what the user called the base."""
    record = {"name": name, "weights": weights_hash(base)}
    (adapter / BASE_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def check_base(adapter: Path, base: Path) -> None:
    """Refuse an adapter whose record names other weights than `base`. Adapters without a record (made elsewhere) pass.

    Raises:
        ModelError: trained on another base, or the record is unreadable.
    """
    path = adapter / BASE_RECORD
    if not path.is_file():
        return
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        wanted, name = record["weights"], record["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: expected an object with name and weights", mend="train the adapter again") from error
    came = weights_hash(base)
    if came != wanted:
        raise ModelError(
            f"{adapter}: this adapter was trained on {name!r} (weights {wanted[:12]}), got {base} (weights {came[:12]})",
            mend=f"open it as {name}+{adapter.name}, over the very weights it was trained on",
        )


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    return {file.name: _file_hash(file) for file in sorted(files)}


def _file_hash(path: Path) -> str:
    from blake3 import blake3

    stat = path.stat()
    if stat.st_size < 1 << 20:
        return blake3(path.read_bytes()).hexdigest()
    remembered = _Remembered()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    if key not in remembered.known:
        remembered.add(key, blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest())
    return remembered.known[key]


class _Remembered:
    """Hashes of large files seen before, in the user's cache folder. A lost or unwritable cache only costs time."""

    def __init__(self) -> None:
        self.path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solon" / "file-hashes.json"
        self.known: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            loaded = json.loads(self.path.read_text(encoding="utf-8"))
            self.known = {str(k): str(v) for k, v in loaded.items()} if isinstance(loaded, dict) else {}

    def add(self, key: str, value: str) -> None:
        self.known[key] = value
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(f".{os.getpid()}.tmp")
            beside.write_text(json.dumps(self.known), encoding="utf-8")
            beside.replace(self.path)
