"""Processes of their own that need not load torch and transformers first (4 to 8 s each): forked from one that has.

Each has its own process id, memory and signals, as one that a shell starts. That the command starts from nothing as well is
shown by the tests that run `python -m solon`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.loaded"])


@dataclass
class Running:
    """A process under way; what it prints goes to two files."""

    process: ForkServerProcess
    folder: Path

    @property
    def out(self) -> str:
        """All that it has printed so far on its standard output."""
        return _read(self.folder / "out")

    @property
    def err(self) -> str:
        """All that it has printed so far on its standard error."""
        return _read(self.folder / "err")

    @property
    def ended(self) -> bool:
        return not self.process.is_alive()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float = 300) -> int:
        """The exit code; minus the signal's number if one ended it."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running after {seconds} s:\n{self.err}"
        return self.process.exitcode


def start(folder: Path, work: Callable[..., Any], *arguments: Any) -> Running:
    """Begin `work(*arguments)` in a process of its own, which prints to files of a new folder in `folder`."""
    own = folder / f"printed-{time.monotonic_ns()}"
    own.mkdir(parents=True)
    process = CONTEXT.Process(target=_printing, args=(own, work, arguments))
    _load()
    process.start()
    return Running(process, own)


def solon(folder: Path, *words: str) -> Running:
    """Begin a command of `solon` in a process of its own."""
    return start(folder, _command, *words)


def _load() -> None:
    """Start the parent of all, which must find the tests to load what they need."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([before] if before else [])])
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _printing(own: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(own / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
    work(*arguments)


def _command(*words: str) -> None:
    from solon.cli.main import main

    sys.argv = ["solon", *words]
    main()


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
