"""What the command line's lab verbs do beyond one call."""

from __future__ import annotations

import os
import runpy
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from solon.checkpoints import Store
from solon.checkpoints.exchange import export_folder
from solon.errors import InputError
from solon.lab.experiments import experiment


def command_passes(store: Store, ref: str, command: str, like: Path | None = None) -> bool:
    """Export a checkpoint to a temporary folder and run `command` on it: `{}` becomes the folder, else the folder is appended.

    SOLON_CHECKPOINT holds the id. Exit 0 is a pass. No shell is involved.

    Raises:
        InputError: the command cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="solon-bisect-") as temporary:
        folder = export_folder(store, ref, Path(temporary) / "model", like=like)
        words = shlex.split(command)
        words = [word.replace("{}", str(folder)) for word in words] if "{}" in command else [*words, str(folder)]
        try:
            environment = {**os.environ, "SOLON_CHECKPOINT": store.resolve(ref)}
            done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise InputError(f"--test {command!r}: {error}", mend="name a program that can be run") from error
        sys.stderr.write(done.stdout + done.stderr)
        return done.returncode == 0


def verify(store: Store, ref: str, live: str | None = None) -> dict[str, Any]:
    """`id`, `chunks`, and `differs`: names in which the model `live` (a folder or hub id) differs.

    Raises:
        CorruptStore, UnknownCheckpoint, WrongModel, ModelError
    """
    manifest = store.verify(ref)
    differs: list[str] = []
    if live is not None:
        from solon.checkpoints.restoring import check_model
        from solon.checkpoints.tensors import model_slots
        from solon.lab.loading import ModelManager

        model = ModelManager(live, dtype="auto").load_model()
        check_model(manifest, model_slots(model))
        differs = store.changed(model, manifest.id)
    return {"id": manifest.id, "chunks": len(manifest.chunks()), "differs": differs}


def run_script(path: Path, store: Path) -> dict[str, Any]:
    """Run an experiment file: it defines `model` (a module) and `edit(experiment)`, and may define `test(model)`,
    `generate(model)` and `settings` (a dict of further arguments of `lab.experiment`).

    Returns:
        `outcome`, `checkpoint`, `baseline`, `findings`, `checklists`, `comparison`.

    Raises:
        InputError: the file lacks a name. Whatever the file or `edit` raises; the model is then rolled back.
    """
    names = runpy.run_path(str(path))
    missing = [name for name in ("model", "edit") if name not in names]
    if missing:
        raise InputError(
            f"{path}: expected it to define model and edit(experiment); {', '.join(missing)} is missing", mend="see docs/lab.md"
        )
    block = experiment(
        names["model"],
        test=names.get("test"),
        generate=names.get("generate"),
        store=store,
        name=path.stem,
        **names.get("settings", {}),
    )
    with block:
        names["edit"](block)
    return {
        "outcome": block.outcome,
        "checkpoint": block.checkpoint,
        "baseline": block.baseline,
        "findings": [asdict(finding) for finding in block.findings],
        "checklists": block.checklists,
        "comparison": asdict(block.comparison) if block.comparison else None,
    }
