"""`solon check`, `diff` and `schema`."""

from __future__ import annotations

import dataclasses
import sys
from typing import Annotated

import typer

from solon.cli.output import JsonFlag, console, emit

Spec = Annotated[str, typer.Argument(metavar="CONSTITUTION", help="A library name (five-laws, contemplative, ...) or a path.")]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(check)
    app.command()(diff)
    app.command()(schema)


def check(
    constitution: Spec,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when there are warnings.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Parse, lint and hash a constitution, and compile its limits as `decide` does."""
    from solon.constitution import check_report, load
    from solon.policy.rules import compile_rules

    found = load(constitution)
    compile_rules(found)
    report = check_report(found)
    if as_json:
        emit(report)
    else:
        _print_report(report)
    sys.exit(1 if strict and report["warnings"] else 0)


def _print_report(report: dict) -> None:
    from solon.constitution import check_text

    out = console()
    out.print(f"{report['id']} version {report['version']}", style="bold", markup=False)
    for line in check_text(report):
        out.print(line, markup=False)
    for warning in report["warnings"]:
        out.print(f"warning: {warning}", style="yellow", markup=False)
    out.print(
        f"{len(report['principles'])} principles, {len(report['limits'])} limits, {len(report['warnings'])} warnings",
        markup=False,
    )


def diff(before: Spec, after: Spec, as_json: JsonFlag = False) -> None:
    """What changed between two constitutions. Exit 0 when nothing did, 1 when something did."""
    from solon.constitution import diff as compare
    from solon.constitution import load, render_diff

    changes = compare(load(before), load(after))
    if as_json:
        emit({"changes": [dataclasses.asdict(c) for c in changes]})
    else:
        print(render_diff(changes))
    sys.exit(1 if changes else 0)


def schema(
    name: Annotated[
        str | None, typer.Argument(help="A record or file, for example pair, config, constitution. None: list the names.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Print the JSON Schema of a record or file (which is JSON with or without `--json`)."""
    from solon.run.schemas import schema_names, schema_of

    if name is None and as_json:
        emit({"schemas": schema_names()})
    elif name is None:
        print("\n".join(schema_names()))
    else:
        emit(schema_of(name))
