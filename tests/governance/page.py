"""The commands of docs/governance.md, run; `python -m tests.governance.page` writes what they print into the page.

A transcript is an indented block whose commands begin with `$ `. They run in one new folder, from the top of the page to its end,
beside a copy of examples/. `solon` is called in this process; anything else, and what stands behind a pipe, by bash. Blocks of
Python run in between, in one namespace.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from solon.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "governance.md"
CHANGING = re.compile(
    r"[0-9a-f]{16,}…?|\+[0-9a-f]{8}\+[\w+/=]+|\d{4}-\d\d-\d\dT[\d:.]+Z|within \d+ ms|\([\d.]+ s\)|\d+ s left|took \d+ s"
)


def solon(words: list[str]) -> tuple[int, str]:
    """Run a verb in this process; its exit code, and what it printed on both streams."""
    heard = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["solon", *words]),
        contextlib.redirect_stdout(heard),
        contextlib.redirect_stderr(heard),
    ):
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), heard.getvalue()
    return 0, heard.getvalue()


def run(command: str) -> str:
    """What a command line prints, with its exit code where it asks for one. A loop over `solon` is run here as well."""
    loop = re.fullmatch(r"for (\w+) in ([\w ]+); do (solon .*); done( > /dev/null)?", command)
    if loop:
        printed = "".join(run(loop[3].replace(f"${loop[1]}", word)) for word in loop[2].split())
        return "" if loop[4] else printed
    line, asked, _ = command.partition("; echo ")
    line, *pipes = line.split(" | ")
    if not line.startswith("solon "):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr
    code, text = solon([os.path.expandvars(word) for word in shlex.split(line)[1:]])
    for pipe in pipes:
        text = subprocess.run(["bash", "-c", pipe], input=text, capture_output=True, text=True, check=True).stdout
    return text + (f"exit {code}\n" if asked else "")


def transcript(block: list[str], skip: tuple[str, ...]) -> list[str]:
    """A block with every command followed by what it prints now. `$ name=$(command)` keeps what is printed."""
    found: list[str] = []
    starts = [place for place, line in enumerate(block) if line.startswith("    $ ")]
    for place, end in zip(starts, [*starts[1:], len(block)], strict=True):
        command = block[place][6:]
        kept = re.fullmatch(r"(\w+)=\$\((.*)\)", command)
        printed: list[str] = []
        if kept:
            os.environ[kept[1]] = run(kept[2]).strip()
        elif command.startswith(skip):
            printed = [line[4:] for line in block[place + 1 : end]]
        else:
            printed = run(command).split("\n")
        text = "\n".join(printed).rstrip().split("\n") if printed else []
        found += [block[place], *(f"    {line}".rstrip() for line in text if line or len(text) > 1)]
        found += [""] if any(text) else []
    return found[:-1] if found and not found[-1] else found


def rewritten(text: str, skip: tuple[str, ...] = ()) -> str:
    """The page, its commands run in the present folder; those that begin with one of `skip` keep what they printed last."""
    names: dict[str, Any] = {}
    out: list[str] = []
    block: list[str] = []
    python: list[str] | None = None
    for line in [*text.split("\n"), "end"]:
        if block and line.strip() and not line.startswith("    "):
            end = len(block) - next(i for i, text in enumerate(reversed(block)) if text)
            out += [*(transcript(block, skip) if any(text.startswith("    $ ") for text in block) else block[:end]), *block[end:]]
            block = []
        if line == "```" and python is not None:
            exec(compile("\n".join(python), "docs/governance.md", "exec"), names)
            python = None
        elif python is not None:
            python.append(line)
        elif line == "```python":
            python = []
        if (line.startswith("    ") and python is None) or block:
            block.append(line)
        else:
            out.append(line)
    return "\n".join(out[:-1])


def steady(text: str) -> str:
    """A page without what changes from run to run: keys, hashes, times."""
    return CHANGING.sub("~", text)


def rerun(folder: Path, skip: tuple[str, ...] = ()) -> str:
    """The page as it is when its commands are run in a folder, but for those to `skip`."""
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    before = Path.cwd()
    os.chdir(folder)
    try:
        with mock.patch.dict(os.environ, {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}):
            return rewritten(PAGE.read_text(encoding="utf-8"), skip)
    finally:
        os.chdir(before)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        PAGE.write_text(rerun(Path(place)), encoding="utf-8")
