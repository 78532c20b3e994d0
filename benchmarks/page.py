"""A measured claim as a Markdown page: what was run, on what, with which versions and commit, and the figures."""

from __future__ import annotations

import platform
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path

from solon.run.folder import hardware, versions

HERE = Path(__file__).parent


def commit() -> str:
    """The commit of the checkout, with `+changes` when tracked files differ from it."""
    name = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    dirty = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no"], cwd=HERE, capture_output=True, text=True, check=False
    ).stdout
    return (name or "unknown") + ("+changes" if dirty else "")


def setting() -> str:
    """Hardware, versions and commit as a Markdown list."""
    machine = hardware()
    parts = [f"{key} {value}" for key, value in machine.items()]
    packages = ", ".join(f"{k} {v}" for k, v in versions().items())
    return f"- machine: {', '.join(parts)}, {platform.system()}\n- versions: {packages}\n- commit: {commit()}\n"


def spread(values: Sequence[float], unit: str, digits: int = 3) -> str:
    """`median unit (min to max, n)`."""
    return (
        f"{statistics.median(values):.{digits}g} {unit} ({min(values):.{digits}g} to {max(values):.{digits}g}, n {len(values)})"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(str(c) for c in row) + " |" for row in rows)]) + "\n"


def write(name: str, title: str, body: str, command: str) -> Path:
    """Write `benchmarks/<name>.md`."""
    path = HERE / f"{name}.md"
    path.write_text(f"# {title}\n\n{setting()}- command: `{command}`\n\n{body.rstrip()}\n", encoding="utf-8")
    print(path)
    return path
