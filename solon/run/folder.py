"""The run folder: files that appear whole or not at all, and the manifest of their hashes.

A step's outputs are recorded with the hash of everything that went into it. A later run with the same inputs finds it done; a
file that no longer matches its recorded hash is never taken for whole.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError

from solon.errors import EnvironmentRefused, InputError, IntegrityError, SolonError

PACKAGES = ("solon", "torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "scipy")


def sha256_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is either absent or complete: temporary file, fsync, rename, fsync of the folder.

    Raises:
        EnvironmentRefused: the disk is full or the folder cannot be written.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name}.", delete=False
        ) as f:
            name = f.name
            f.write(text)
            f.flush()
            os.fsync(f.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(name)
        raise EnvironmentRefused(
            f"{path}: expected to write there, got: {error.strerror}", mend="free disk space or choose another folder"
        ) from error


NEARLY_FULL = 64 << 20  # bytes left below which a library's failed write is put down to the disk


@contextmanager
def telling_a_full_disk(folder: Path) -> Iterator[None]:
    """A library's own failure (torch and safetensors have several) while the disk is full, told as that.

    Raises:
        EnvironmentRefused: the disk holding `folder` is full.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if isinstance(error, SolonError) or not (full or shutil.disk_usage(folder).free < NEARLY_FULL):
            raise
        raise EnvironmentRefused(
            f"{folder}: cannot be written: the disk is full",
            mend="free some space and repeat the command: it goes on from the last save",
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write pretty JSON, whole."""
    write_whole(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_rows(path: Path, rows: Iterable[BaseModel]) -> None:
    """Write records as JSONL, whole."""
    write_whole(path, "".join(row.model_dump_json() + "\n" for row in rows))


def versions() -> dict[str, str]:
    """Installed versions of the packages that shape results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def hardware() -> dict[str, Any]:
    """The machine: processor, cores, memory (GiB), threads that torch uses, accelerator."""
    import psutil
    import torch

    cpu = platform.processor() or platform.machine()
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "torch_threads": torch.get_num_threads(),
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
    }


class RunFolder:
    """`runs/<name>/`: paths, the manifest, and which steps are done.

    Raises:
        EnvironmentRefused: the folder cannot be made.
        IntegrityError: `manifest.json` is not readable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentRefused(
                f"{path}: expected a folder that can be made, got: {error.strerror}", mend="choose another --out"
            ) from error
        self.manifest = self._read_manifest()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def _read_manifest(self) -> dict[str, Any]:
        file = self.path / "manifest.json"
        fresh: dict[str, Any] = {"inputs": {}, "outputs": {}, "steps": {}, "timings": {}}
        if not file.exists():
            return fresh
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(found, dict) or not all(isinstance(found.setdefault(key, {}), dict) for key in fresh):
                raise ValueError("another value than the object that a run writes")
            return found
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"{file}: expected JSON, got {error}", mend="restore it, or start again with another --out"
            ) from error

    def save_manifest(self, **fields: Any) -> None:
        """Write the manifest with these fields set."""
        self.manifest.update(fields)
        write_json(self.path / "manifest.json", self.manifest)

    def done(self, step: str, inputs: str) -> bool:
        """Whether `step` ended with these inputs and its outputs are still the same bytes."""
        record = self.manifest["steps"].get(step)
        if not record or record["inputs"] != inputs:
            return False
        return all(
            (self.path / name).exists() and sha256_file(self.path / name) == digest for name, digest in record["outputs"].items()
        )

    def finish(self, step: str, inputs: str, outputs: Iterable[str]) -> None:
        """Record that `step` ended, and the hashes of what it wrote: files, and every file of folders."""
        hashes = {name: sha256_file(self.path / name) for output in outputs for name in self._files(output)}
        before = self.manifest["steps"].get(step, {}).get("outputs", {})
        for name in before:
            self.manifest["outputs"].pop(name, None)
        self.manifest["steps"][step] = {"inputs": inputs, "outputs": hashes}
        self.manifest["outputs"].update(hashes)
        self.save_manifest()

    def _files(self, name: str) -> list[str]:
        here = self.path / name
        found = sorted(p for p in here.rglob("*") if p.is_file()) if here.is_dir() else [here]
        return [p.relative_to(self.path).as_posix() for p in found]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone.

        Raises:
            InputError: another process is running in it.
        """
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise InputError(
                    f"{self.path}: another process is running here", mend="wait for it, or choose another --out"
                ) from error
            yield
