"""`solon lab`: look into models and checkpoints, go back, and run experiments."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, console, emit

app = typer.Typer(no_args_is_help=True, help="Inspect models, and edit their weights with verified checkpoints to go back to.")

StoreOption = Annotated[Path, typer.Option("--store", help="Folder of the checkpoint store.")]
Ref = Annotated[str, typer.Argument(metavar="CHECKPOINT", help="An id, its last eight digits, a tag, or `head`.")]
DEFAULT = Path("data/checkpoints")


def _open(folder: Path, *, read_only: bool = True) -> Any:
    from solon.checkpoints import Store
    from solon.errors import InputError

    if not (folder / "FORMAT").exists():
        raise InputError(f"{folder}: expected a store, got no checkpoint store there", mend="name it with --store")
    return Store(folder, read_only=read_only)


def _lines(lines: list[str]) -> None:
    out = console()
    for line in lines:
        out.print(line, markup=False)


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e8 else f"{count / 1e6:.2f} MB"


@app.command()
def inspect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`nano`, a folder, a run or a hub id.")],
    against: Annotated[str | None, typer.Option("--against", help="Another model: only what differs is shown.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Layers, shapes, ties, statistics, attention heads and outliers of a model; or what differs between two."""
    from solon.lab.inspector import as_lines, difference_lines
    from solon.lab.verbs import inspect as look

    report = look(model, against)
    return emit(report) if as_json else _lines(difference_lines(report) if against else as_lines(report))


@app.command()
def log(store: StoreOption = DEFAULT, as_json: JsonFlag = False) -> None:
    """Checkpoints, oldest first, as a tree of edits."""
    from dataclasses import asdict

    from solon.lab.dashboards import checkpoint_line, tree

    shelf = _open(store)
    records, unlisted = [asdict(info) for info in shelf.log()], shelf.unlisted()
    if as_json:
        return emit({"checkpoints": records, "unlisted": unlisted})
    lines = [f"{'  ' * depth}{checkpoint_line(record)}" for depth, record in tree(records)] or ["no checkpoints"]
    return _lines(lines + [f"damaged, not listed: {name} (see fsck)" for name in unlisted])


@app.command()
def show(ref: Ref, store: StoreOption = DEFAULT, as_json: JsonFlag = False) -> None:
    """One checkpoint: metadata, parts, ties, tensors with their recorded health."""
    from solon.lab.verbs import show as describe
    from solon.lab.verbs import show_lines

    found = describe(_open(store), ref)
    return emit(found) if as_json else _lines(show_lines(found))


@app.command()
def diff(a: Ref, b: Ref, store: StoreOption = DEFAULT, as_json: JsonFlag = False) -> None:
    """Which tensors differ between two checkpoints, and by how much. Exit 0 when none, 1 when some."""
    found = _open(store).diff(a, b)
    if as_json:
        emit(found.to_json())
    else:
        lines = [
            f"{one.name:<56} {one.change}"
            if one.relative is None
            else f"{one.name:<56} relative {one.relative:.3e}  largest {one.largest:.3e}  {one.fraction or 0:.1%} differ"
            for one in found.changed
        ]
        lines += [f"only in {b}: {name}" for name in found.added] + [f"only in {a}: {name}" for name in found.removed]
        _lines(lines or ["no tensor differs"])
    sys.exit(1 if len(found) else 0)


@app.command()
def blame(
    tensor: Annotated[str, typer.Argument(help="A tensor's name.")],
    ref: str = "head",
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Which checkpoint, and which recorded edits, gave a tensor its present contents."""
    from solon.lab import blame as find

    found = find(_open(store), tensor, ref)
    if as_json:
        return emit(found)
    made = found["metadata"].get("purpose") or found["metadata"].get("experiment") or ""
    lines = [f"{tensor}: {found['checkpoint']} ({found['created']}) {made}".rstrip()]
    return _lines(
        lines + [f"  {edit['method']} {edit['params']} in {edit['experiment']}: {edit['verdict']}" for edit in found["edits"]]
    )


@app.command()
def bisect(
    good: Ref,
    bad: Ref,
    test: Annotated[str, typer.Option("--test", help="A command; {} becomes the exported folder. Exit 0 means good.")],
    tensors: Annotated[bool, typer.Option("--tensors", help="Also find the fewest changed tensors that break it.")] = False,
    like: Annotated[str | None, typer.Option("--like", help="A model whose tokenizer and configuration the exports get.")] = None,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Find the first checkpoint between a good and a bad one at which a command fails."""
    from solon.lab.verbs import bisect as find

    found = find(_open(store), good, bad, test, like, tensors=tensors)
    if as_json:
        return emit(found)
    broken = [f"broken by: {name}" for name in found.get("tensors", [])]
    return _lines([f"first bad: {found['first_bad']}", f"last good: {found['last_good']}", *broken])


@app.command()
def tag(
    ref: Ref,
    name: Annotated[str | None, typer.Argument(help="The name; one that exists moves here.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Remove the tag instead (then only its name is needed).")] = False,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Name a checkpoint (and so protect it from retention)."""
    from solon.lab.verbs import tag as make

    made = make(_open(store, read_only=False), ref, name, delete=delete)
    return emit(made) if as_json else _lines([made["id"] or f"{made['tag']} removed"])


@app.command()
def revert(
    source: Ref,
    tensors: Annotated[list[str], typer.Argument(help="Names of tensors to take from the source.")],
    onto: Annotated[str, typer.Option("--onto", help="The checkpoint that gets them.")] = "head",
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """A new checkpoint with some tensors as they were in an older one."""
    from solon.lab import revert as make

    made = make(_open(store, read_only=False), source, tensors, onto)
    return emit({"id": made, "tensors": tensors}) if as_json else _lines([made])


@app.command()
def fsck(store: StoreOption = DEFAULT, as_json: JsonFlag = False) -> None:
    """Check every byte of the store. Exit 1 when something is damaged."""
    from dataclasses import asdict

    report = _open(store).fsck()
    if as_json:
        emit({"ok": report.ok, **asdict(report)})
    else:
        _lines(
            [
                *report.problems,
                f"{report.packs} packs, {report.chunks} chunks, {report.checkpoints} checkpoints",
            ]
        )
    sys.exit(0 if report.ok else 1)


@app.command()
def du(store: StoreOption = DEFAULT, as_json: JsonFlag = False) -> None:
    """Disk usage: what is shared, and what each checkpoint alone needs."""
    use = _open(store).disk_usage()
    if as_json:
        return emit(use)
    lines = [f"{_size(use['physical'])} on disk for {_size(use['logical'])} of checkpoints; {_size(use['trash'])} in the trash"]
    return _lines(lines + [f"  {_size(size):>12}  {name}" for name, size in use["unique"].items()])


@app.command()
def gc(
    grace: Annotated[float, typer.Option("--grace", help="Seconds that trash is kept.")] = 3600.0,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", help="First delete all but the newest N (and what is protected).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run")] = False,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Free what no checkpoint needs."""
    from dataclasses import asdict

    from solon.checkpoints import Retention
    from solon.lab.verbs import gc_lines

    retention = Retention(keep_last=keep_last) if keep_last is not None else None
    report = _open(store, read_only=False).gc(grace_s=grace, dry_run=dry_run, retention=retention)
    return emit(asdict(report)) if as_json else _lines(gc_lines(report))


@app.command()
def export(
    ref: Ref,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="With --hf: whose tokenizer is copied.")] = None,
    hf: Annotated[bool, typer.Option("--hf", help="Make it a folder that transformers loads.")] = False,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Write a checkpoint as safetensors; with --hf as a folder that transformers loads, with the tokenizer of MODEL if named."""
    from solon.lab.verbs import export as write

    written = write(_open(store), ref, folder, hf=hf, model=model)
    return emit(written) if as_json else _lines([written["folder"], *written["notes"]])


@app.command("import")
def import_(
    folder: Annotated[str, typer.Argument(metavar="MODEL", help="A model, or a folder or file of safetensors.")],
    tag: Annotated[str | None, typer.Option("--tag", help="Name the checkpoint.")] = None,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Store a model as a baseline; the store is made when absent."""
    from solon.checkpoints import Store
    from solon.lab.verbs import import_model

    made = import_model(Store(store), folder, tag)
    return emit({"id": made, "tag": tag}) if as_json else _lines([made])


@app.command()
def verify(
    ref: Ref = "head",
    live: Annotated[str | None, typer.Option("--live", help="A model folder to compare with the checkpoint.")] = None,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Read and check every chunk of a checkpoint. Exit 1 when damaged, or when --live differs."""
    from solon.lab.verbs import verify as check

    found = check(_open(store), ref, live)
    if as_json:
        emit(found)
    else:
        _lines([f"{found['id']}: {found['chunks']} chunks verified", *(f"differs: {name}" for name in found["differs"])])
    sys.exit(1 if found["differs"] else 0)


@app.command()
def experiment(
    script: Annotated[Path, typer.Argument(help="A Python file that defines model, edit(experiment) and test(model).")],
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Run an experiment from a file. Exit 0 when the edit was kept, 1 when it was rolled back or failed."""
    from solon.lab.verbs import experiment_lines, run_script

    found = run_script(script, store)
    if as_json:
        emit(found)
    else:
        _lines(experiment_lines(found))
    sys.exit(0 if found["outcome"] == "kept" else 1)


@app.command()
def dashboard(
    file: Annotated[Path, typer.Argument(metavar="[FILE]", help="With --html: where the page goes.")] = Path("dashboard.html"),
    html: Annotated[bool, typer.Option("--html", help="Write one static page.")] = False,
    model: Annotated[str | None, typer.Option("--model", help="A model whose health is shown beside the store's.")] = None,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Checkpoints, disk, health, edits, experiments and alerts."""
    from solon.lab.dashboards import as_text
    from solon.lab.page import write_page
    from solon.lab.verbs import board_of

    board = board_of(_open(store), model)
    if html:
        write_page(board, file)
    return emit(board) if as_json else _lines([str(file)] if html else as_text(board).splitlines())


@app.command()
def recover(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="With --hf: whose tokenizer is copied.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Also export the baseline of the last one here.")] = None,
    hf: Annotated[bool, typer.Option("--hf", help="Make that a folder that transformers loads.")] = False,
    store: StoreOption = DEFAULT,
    as_json: JsonFlag = False,
) -> None:
    """Find experiments that a killed process left open, and roll them back. Exit 1 when a baseline does not verify."""
    from solon.lab.verbs import recover as mend

    found = mend(_open(store, read_only=False), out, hf=hf, model=model)
    if as_json:
        emit({"recovered": found})
    else:
        _lines([record["text"] for record in found] or ["nothing was left open"])
    sys.exit(0 if all(record["verified"] for record in found) else 1)
