"""In and out of the store: safetensors files, sharded and tie-correct, written as a stream; and model folders read back."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from solon.checkpoints.describe import CONFIG, write_description
from solon.checkpoints.errors import UnsupportedTensor
from solon.checkpoints.files import fsync_folder, named_os_errors, require_space, write_all
from solon.checkpoints.folders import load_folder
from solon.checkpoints.manifest import Entry, Manifest, itemsize
from solon.checkpoints.packs import ChunkReader
from solon.checkpoints.tensors import DTYPES
from solon.errors import InputError

if TYPE_CHECKING:
    from solon.checkpoints.store import Store

SHARD = 5 * 10**9  # bytes per file
NAMES = {
    "bool": "BOOL", "uint8": "U8", "int8": "I8", "uint16": "U16", "int16": "I16", "uint32": "U32", "int32": "I32",
    "uint64": "U64", "int64": "I64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
KEPT = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*",
    "merges.txt", "chat_template*", "*.jinja", "*.model", "*.tiktoken", "LICENSE*", "NOTICE*",
)  # fmt: skip


def export_folder(
    store: Store,
    ref: str | Manifest,
    folder: str | Path,
    *,
    hf: bool = False,
    like: str | Path | None = None,
    shard_bytes: int = SHARD,
) -> Path:
    """Write `model.safetensors` (or shards with an index) into a new folder, which appears only when it is whole.

    Every chunk is verified on its way. A tie is written once, under its canonical name, as transformers expects. Buffers outside
    the state dict are left out.

    Args:
        ref: a checkpoint's name, or a manifest made of stored chunks.
        hf: also write the configuration that was saved with the checkpoint, so that `from_pretrained` loads the folder.
        like: a model folder whose configuration and tokenizer files are copied (implies `hf`).

    Raises:
        UnknownCheckpoint, CorruptStore. InputError: the folder is not empty, `like` is no model folder, or `hf` without any
        configuration. UnsupportedTensor: safetensors has no such dtype. DiskFull, ReadOnlyStore, WriteFailed
    """
    target, source = Path(folder), None if like is None else Path(like)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: expected an empty or absent folder, got another", mend="name another folder")
    if target.resolve().is_relative_to(store.path.resolve()):
        raise InputError(f"{target}: that is inside the store", mend="name a folder outside it")
    if source is not None:
        _refuse_no_description(source)
    with store.reading() as reader:
        manifest = ref if isinstance(ref, Manifest) else store.manifest(ref)
        entries = {name: entry for name, entry in manifest.entries.items() if entry.kind in ("param", "buffer")}
        odd = [f"{name} ({entry.dtype})" for name, entry in entries.items() if entry.dtype not in NAMES]
        if odd:
            raise UnsupportedTensor(f"safetensors cannot hold {', '.join(odd[:5])}", mend="convert these tensors first")
        if hf and source is None and CONFIG not in manifest.description:
            raise InputError(
                f"{manifest.id} was saved from a {manifest.model_class} without a configuration",
                mend="name a model folder that has one, or export without hf",
            )
        with named_os_errors(target), _appearing(target) as growing:
            require_space(growing, sum(map(entry_bytes, entries.values())))
            _write_shards(growing, manifest, entries, reader, shard_bytes)
            if source is not None:
                copy_description(source, growing)
            if hf or source is not None:
                floats = {e.dtype for e in entries.values() if DTYPES[e.dtype].is_floating_point and itemsize(e.dtype) > 1}
                write_description(manifest.description, growing, floats)
    return target


def _refuse_no_description(source: Path) -> None:
    try:
        good = isinstance(json.loads((source / CONFIG).read_text(encoding="utf-8")), dict)
    except (OSError, ValueError):
        good = False
    if not good:
        raise InputError(
            f"{source}: expected a model folder with a readable {CONFIG}", mend="name the folder of the model's own base"
        )


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target` that takes its name when the block is done, or goes when it fails."""
    target.parent.mkdir(parents=True, exist_ok=True)
    growing = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield growing
        growing.chmod(0o755)
        fsync_folder(growing)
        os.rename(growing, target)
        fsync_folder(target.parent)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise


def entry_bytes(entry: Entry) -> int:
    """Bytes of a stored tensor."""
    return math.prod(entry.shape) * itemsize(entry.dtype)


def copy_description(source: Path, target: Path) -> None:
    """Copy configuration, tokenizer and licence files; no weights, and no card or manifest that speaks of other weights."""
    for file in sorted(source.iterdir()):
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in KEPT):
            shutil.copyfile(file, target / file.name)


def _write_shards(target: Path, manifest: Manifest, entries: dict[str, Entry], reader: ChunkReader, limit: int) -> None:
    shards: list[dict[str, Entry]] = [{}]
    size = 0
    for name, entry in entries.items():
        if shards[-1] and size + entry_bytes(entry) > limit:
            shards.append({})
            size = 0
        shards[-1][name] = entry
        size += entry_bytes(entry)
    if len(shards) == 1:
        _write_file(target / "model.safetensors", shards[0], manifest, reader)
        return
    weight_map = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _write_file(target / file, shard, manifest, reader)
        weight_map.update(dict.fromkeys(shard, file))
    index = {"metadata": {"total_size": sum(map(entry_bytes, entries.values()))}, "weight_map": weight_map}
    (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def _write_file(path: Path, entries: dict[str, Entry], manifest: Manifest, reader: ChunkReader) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", "checkpoint": manifest.id}}
    offset = 0
    for name, entry in entries.items():
        header[name] = {"dtype": NAMES[entry.dtype], "shape": entry.shape, "data_offsets": [offset, offset + entry_bytes(entry)]}
        offset += entry_bytes(entry)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        write_all(fd, memoryview(struct.pack("<Q", len(text)) + text))
        for entry in entries.values():
            for chunk in entry.chunks:
                write_all(fd, reader.read(chunk).data)
        os.fsync(fd)
    finally:
        os.close(fd)


def import_folder(store: Store, folder: str | Path, *, tag: str | None = None) -> str:
    """Store the model of a folder (loaded with transformers, so that ties and buffers are right); returns the id.

    A folder with safetensors but no config.json is stored tensor by tensor.

    Raises:
        InputError: neither is there, or a file is damaged. ModelError: weights are missing or do not fit.
    """
    source = Path(folder)
    metadata = {"state": "baseline", "purpose": "imported", "source": source.name}
    if (source / CONFIG).is_file():
        return store.save(load_folder(source), metadata=metadata, tag=tag)
    files = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
    if not files or not all(file.is_file() and file.suffix == ".safetensors" for file in files):
        raise InputError(
            f"{source}: expected a model folder or safetensors files, got neither", mend=f"name a folder with {CONFIG}"
        )
    return store.save(_holder(files), metadata=metadata, tag=tag)


def _holder(files: list[Path]) -> torch.nn.Module:
    """A module tree that holds the files' tensors under their names."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    root = torch.nn.Module()
    for file in files:
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{file}: no whole safetensors file ({error})", mend="copy or download it again") from error
        for name, tensor in tensors.items():
            try:
                _hang(root, name, tensor)
            except KeyError as error:
                raise InputError(
                    f"{file}: the tensor name {name!r} cannot be a parameter's: {error.args[0]}", mend="rename it in the file"
                ) from error
    if not any(True for _ in root.parameters()):
        raise InputError(f"{files[0]}: it holds no tensor", mend="name a file with weights")
    return root


def _hang(root: torch.nn.Module, name: str, tensor: torch.Tensor) -> None:
    *path, leaf = name.split(".")
    module = root
    for step in path:
        if step not in module._modules:
            module.add_module(step, torch.nn.Module())
        module = module._modules[step]  # type: ignore[assignment]
    if leaf in module._parameters:
        raise KeyError("another file has it too")
    module.register_parameter(leaf, torch.nn.Parameter(tensor, requires_grad=False))
