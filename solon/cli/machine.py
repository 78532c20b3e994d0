"""`solon doctor`."""

from __future__ import annotations

import sys

import typer

from solon.cli.output import JsonFlag, console, emit


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(doctor)


def doctor(as_json: JsonFlag = False) -> None:
    """Say what is installed and what works. Exit 1 when the main job could not run."""
    from solon.run.doctor import examine

    findings = examine()
    ok = all(f["ok"] or not f["needed"] for f in findings)
    if as_json:
        emit({"ok": ok, "findings": findings})
    else:
        out = console()
        for f in findings:
            mark, style = ("ok", "green") if f["ok"] else ("missing", "red") if f["needed"] else ("optional", "yellow")
            out.print(f"{mark:<9} {f['name']:<28} {f['detail']}", style=style, markup=False)
            if not f["ok"] and f["mend"]:
                out.print(f"{'':<9} mend: {f['mend']}", markup=False)
    sys.exit(0 if ok else 1)
