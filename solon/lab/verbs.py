"""What the command line's lab verbs do beyond one call."""

from __future__ import annotations

import contextlib
import os
import runpy
import shlex
import subprocess
import sys
import tempfile
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from solon.checkpoints import GcReport, Store
from solon.checkpoints.exchange import export_folder, import_folder
from solon.checkpoints.manifest import Manifest
from solon.errors import InputError, SolonError
from solon.lab import history
from solon.lab.experiments import experiment


def bisect(store: Store, good: str, bad: str, command: str, model: str | None = None, *, tensors: bool = False) -> dict[str, Any]:
    """`lab.bisect` with a command as the test, and with `tensors` also the smallest set of changed tensors that breaks it.

    Returns:
        `first_bad`, `last_good`, `tested`, and `tensors` when asked for.

    Raises:
        InputError: the ends do not behave as claimed, or the command cannot be started. UnknownCheckpoint, ModelError
    """
    like = _folder_of(model)
    found = history.bisect(store, good, bad, lambda name: command_passes(store, name, command, like))
    if tensors:
        found["tensors"] = history.bisect_stored_tensors(
            store, found["last_good"], found["first_bad"], lambda made: command_passes(store, made, command, like)
        )
    return found


def command_passes(store: Store, ref: str | Manifest, command: str, like: Path | None = None) -> bool:
    """Export a checkpoint to a temporary folder and run `command` on it: `{}` becomes the folder, else the folder is appended.

    The folder is one that transformers loads where the checkpoint knows its configuration. SOLON_CHECKPOINT holds the id. Exit 0
    is a pass. No shell is involved.

    Raises:
        InputError: the command cannot be started.
    """
    manifest = ref if isinstance(ref, Manifest) else store.manifest(ref)
    with tempfile.TemporaryDirectory(prefix="solon-bisect-") as temporary:
        folder = export_folder(store, manifest, Path(temporary) / "model", hf=bool(manifest.description), like=like)
        words = _words(command)
        words = [word.replace("{}", str(folder)) for word in words] if "{}" in command else [*words, str(folder)]
        try:
            environment = {**os.environ, "SOLON_CHECKPOINT": manifest.id}
            done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise InputError(f"--test {command!r}: {error}", mend="name a program that can be run") from error
        sys.stderr.write(done.stdout + done.stderr)
        return done.returncode == 0


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"--test {command!r}: {error}", mend="close what was opened: quotes within quotes, for example"
        ) from error
    if not words:
        raise InputError("--test: expected a command, got nothing", mend="name a program; {} becomes the exported folder")
    return words


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

        model = ModelManager(live).load_model()
        check_model(manifest, model_slots(model))
        differs = store.changed(model, manifest.id)
    return {"id": manifest.id, "chunks": len(manifest.chunks()), "differs": differs}


def inspect(model: str, against: str | None = None) -> dict[str, Any]:
    """An inspector's report, or with another model `name`, `against` and `differences`.

    Raises:
        ModelError, UnsupportedTensor
    """
    from solon.lab.inspector import WeightInspector
    from solon.lab.loading import ModelManager

    inspector = WeightInspector(ModelManager(model).load_model(), model)
    if against is None:
        return inspector.report()
    other = ModelManager(against).load_model()
    return {"name": model, "against": against, "differences": inspector.compare(other)}


def show(store: Store, ref: str) -> dict[str, Any]:
    """One checkpoint: identity, metadata, tags, parts, ties, bytes, whether it holds NaN or Inf, and every tensor."""
    manifest = store.manifest(ref)
    return {
        "id": manifest.id,
        "created": manifest.created,
        "parent": manifest.parent,
        "model_class": manifest.model_class,
        "environment": manifest.environment,
        "tags": sorted(tag for tag, name in store.tags().items() if name == manifest.id),
        "metadata": manifest.metadata,
        "parts": sorted(manifest.parts),
        "ties": manifest.model_ties,
        "bytes": manifest.logical_bytes,
        "poisoned": manifest.poisoned,
        "tensors": {name: entry.to_json() for name, entry in manifest.entries.items()},
    }


def show_lines(found: dict[str, Any]) -> list[str]:
    """`show` for a terminal."""
    tags = "".join(f" [{tag}]" for tag in found["tags"])
    lines = [
        f"{found['id']}{tags}",
        f"created {found['created']}, parent {found['parent']}, {found['model_class']}, {found['bytes'] / 1e6:,.2f} MB",
        *(f"{key}: {value}" for key, value in found["metadata"].items()),
        "made with " + ", ".join(f"{key} {value}" for key, value in found["environment"].items()),
        f"parts: {', '.join(found['parts']) or 'none'}",
        *(f"tied {' = '.join(group)}" for group in found["ties"]),
        *(["NaN or Inf inside: never chosen as a rollback target by itself"] if found["poisoned"] else []),
    ]
    width = max(map(len, found["tensors"]), default=0)
    for name, entry in found["tensors"].items():
        nan, inf, absmax = entry.get("health", (0, 0, None))
        size = "" if absmax is None else f"absmax {absmax:.4g}"
        sick = f"  NaN {nan} Inf {inf}" if nan or inf else ""
        lines.append(f"  {name:<{width}} {entry['dtype']:<9} {entry['shape']!s:<16} {size}{sick}".rstrip())
    return lines


def tag(store: Store, ref: str, name: str | None, *, delete: bool = False) -> dict[str, Any]:
    """Tag a checkpoint, or remove a tag (named by either argument).

    Raises:
        UnknownCheckpoint, InputError
    """
    if delete:
        store.untag(name or ref)
        return {"tag": name or ref, "id": None}
    if name is None:
        raise InputError("the tag's name is missing", mend="solon lab tag CHECKPOINT NAME")
    return {"tag": name, "id": store.tag(ref, name)}


def import_model(store: Store, model: str, tag: str | None = None) -> str:
    """Store a model by the MODEL grammar, or safetensors by their path; returns the id."""
    path = Path(model)
    return import_folder(store, path if path.exists() else _folder_of(model) or path, tag=tag)


def gc_lines(report: GcReport) -> list[str]:
    """What was or would be collected, for a terminal."""
    go = "would be" if report.dry_run else "were"
    lines = [f"{name} {'would be deleted' if report.dry_run else 'deleted'}" for name in report.deleted]
    packs = f"{len(report.trashed_packs)} packs of {report.trashed_bytes / 1e6:,.2f} MB"
    lines.append(
        f"{len(report.deleted)} checkpoints {go} deleted; {packs} {go} moved to the trash, {len(report.rewritten_packs)} of them "
        f"rewritten; {report.freed_bytes / 1e6:,.2f} MB freed"
    )
    return lines + ([report.note] if report.note else [])


def export(store: Store, ref: str, folder: Path, *, hf: bool = False, model: str | None = None) -> dict[str, Any]:
    """Export a checkpoint; `model` is anything that the MODEL grammar calls a folder of weights.

    Returns:
        `id`, `folder`, `files`, `notes`.

    Raises:
        InputError: a model was named without hf. ModelError, and what `export_folder` raises; nothing was then written.
    """
    if model is not None and not hf:
        raise InputError(f"a third argument ({model}) was given without --hf", mend="add --hf, or leave it out")
    like = _folder_of(model)
    written = export_folder(store, ref, folder, hf=hf, like=like)
    notes = [] if like is not None or not hf else ["no tokenizer was copied: name a MODEL after --hf that has one"]
    kinds = {entry.dtype for entry in store.manifest(ref).entries.values() if entry.kind == "param"}
    if hf and len(kinds) > 1:
        notes.append(f"weights in {', '.join(sorted(kinds))}: loading may cast some; `verify {ref} --live {folder}` tells")
    return {
        "id": store.resolve(ref),
        "folder": str(written),
        "files": sorted(file.name for file in written.iterdir()),
        "notes": notes,
    }


def _folder_of(model: str | None) -> Path | None:
    from solon.lab.loading import folder_of

    return None if model is None else folder_of(model)


def recover(store: Store, out: Path | None, *, hf: bool = False, model: str | None = None) -> list[dict[str, Any]]:
    """`lab.recover` with a sentence (`text`) per experiment; the last verified baseline is exported to `out`."""
    from solon.lab.recovery import recover as roll_back

    like = _folder_of(model)
    found = roll_back(store)
    for record in found:
        who = f"{record['name']} ({record['experiment']})"
        said = f"rolled back to {record['baseline']}, verified" if record["verified"] else f"still open: {record['error']}"
        record["text"] = f"{who}: {said}"
    good = [record for record in found if record["verified"]]
    if out is not None and good:
        good[-1]["exported"] = str(export_folder(store, good[-1]["baseline"], out, hf=hf, like=like))
        good[-1]["text"] += f"; written to {out}"
    return found


def board_of(store: Store, model: str | None) -> dict[str, Any]:
    """The dashboard's record, with the health of a model that is loaded for it when one is named."""
    from solon.lab.dashboards import dashboard
    from solon.lab.loading import ModelManager
    from solon.lab.monitor import SafetyMonitor

    if model is None:
        return dashboard(store)
    return dashboard(store, ModelManager(model).load_model(), SafetyMonitor())


def run_script(path: Path, store: Path) -> dict[str, Any]:
    """Run an experiment file: it defines `model` (a module) and `edit(experiment)`, and may define `test(model)`,
    `generate(model)` and `settings` (a dict of further arguments of `lab.experiment`). What it prints goes to stderr.

    Returns:
        `name`, `outcome`, `error`, `checkpoint`, `baseline`, `findings`, `checklists`, `comparison`, `changed`. What `edit` or
        `test` raise is an outcome (`errored`), with the model rolled back; Ctrl-C and SIGTERM pass through after the rollback.

    Raises:
        InputError: the file is absent, does not run, or lacks a name; the test cannot measure the unmodified model.
        UnhealthyModel, DiskFull, EnvironmentRefused: before anything was edited.
    """
    with contextlib.redirect_stdout(sys.stderr):
        names = _names_of(path)
        try:
            settings = {"name": path.stem, "store": store, **names.get("settings", {})}
            block = experiment(names["model"], test=names.get("test"), generate=names.get("generate"), **settings)
        except TypeError as error:
            raise InputError(f"{path}: settings: {error}", mend="settings are arguments of lab.experiment") from error
        entered = False
        try:
            with block:
                entered = True
                names["edit"](block)
        except (Exception, SystemExit) as error:  # an outcome, told with its place in the file
            if block.outcome != "errored" or (isinstance(error, SolonError) and not entered):
                raise
            if not isinstance(error, SolonError):  # a refusal of ours says all by itself
                print("".join(traceback.format_exception(error)[-3:]), file=sys.stderr)
        except BaseException:
            print(f"experiment {block.name}: stopped; the model is {block.baseline} again, bit for bit", file=sys.stderr)
            raise
    return {
        "name": block.name,
        "outcome": block.outcome,
        "error": None if block.error is None else f"{type(block.error).__name__}: {block.error}",
        "checkpoint": block.checkpoint,
        "baseline": block.baseline,
        "changed": block.changed,
        "findings": [asdict(finding) for finding in block.findings],
        "checklists": block.checklists,
        "comparison": asdict(block.comparison) if block.comparison else None,
    }


def _names_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(
            f"{path}: expected a file, got {'a folder' if path.is_dir() else 'nothing there'}",
            mend="name a Python file that defines model and edit(experiment)",
        )
    try:
        names = runpy.run_path(str(path))
    except SolonError:
        raise
    except Exception as error:
        raise InputError(
            f"{_place(error, path)}: expected Python that runs, got {type(error).__name__}: {error}",
            mend="the experiment file must run by itself",
        ) from error
    except SystemExit as error:
        raise InputError(
            f"{_place(error, path)}: expected definitions, got an exit ({error.code})",
            mend="the file only defines model, edit and test",
        ) from error
    missing = [name for name in ("model", "edit") if name not in names]
    if missing:
        raise InputError(
            f"{path}: expected it to define model and edit(experiment); {', '.join(missing)} is missing", mend="see docs/lab.md"
        )
    for name, kind in (("model", torch.nn.Module), ("settings", dict)):
        if name in names and not isinstance(names[name], kind):
            raise InputError(
                f"{path}: {name}: expected {kind.__name__}, got {type(names[name]).__name__}", mend="see docs/lab.md"
            )
    return names


def _place(error: BaseException, path: Path) -> str:
    """File and line of an error: the last line of the script itself that led to it."""
    if isinstance(error, SyntaxError):
        return f"{error.filename or path}:{error.lineno or 1}"
    frames = traceback.extract_tb(error.__traceback__)
    where = next((frame for frame in reversed(frames) if frame.filename == str(path)), frames[-1])
    return f"{where.filename}:{where.lineno}"


def experiment_lines(found: dict[str, Any]) -> list[str]:
    """What an experiment came to, for a terminal: outcome, checklists (what did not hold by name), findings."""
    went = {
        "kept": f"kept: {found['checkpoint']}, made from {found['baseline']}",
        "rolled_back": f"rolled back: the model is {found['baseline']} again, bit for bit",
        "errored": f"failed ({found['error']}): the model is {found['baseline']} again, bit for bit",
    }
    lines = [went.get(found["outcome"], found["outcome"])]
    for phase, items in found["checklists"].items():
        open_items = [item for item in items if not item["ok"]]
        lines.append(f"  checklist {phase:<7} {len(items) - len(open_items)} of {len(items)} hold")
        lines += [f"    not held: {item['name']} ({item['detail']})" for item in open_items]
    return lines + [f"  {one['severity']:<8} {one['text']}" for one in found["findings"]]
