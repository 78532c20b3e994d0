"""What a long run shows while it works: one line per step on stderr, with a bar, rates and the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Reporter:
    """Prints steps and notes to stderr and keeps the time of each step. `quiet` prints nothing; times are kept all the same."""

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        width = None if sys.stderr.isatty() else 160
        self.console = Console(stderr=True, quiet=quiet, highlight=False, width=width)
        self.seconds: dict[str, float] = {}

    def note(self, text: str, style: str = "") -> None:
        """One line, no markup."""
        self.console.print(text, style=style or None, markup=False)

    def warn(self, text: str) -> None:
        """A line that should be read."""
        self.note(f"warning: {text}", "yellow")

    @contextmanager
    def step(self, name: str, detail: str = "") -> Iterator[None]:
        """Announce a step, and keep how long it took (wall seconds, added up over steps of one name)."""
        self.note(f"{name}{': ' + detail if detail else ''}", "bold")
        start = time.monotonic()
        try:
            yield
        finally:
            taken = time.monotonic() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + taken
        self.note(f"  {taken:.1f} s", "dim")

    @contextmanager
    def bar(self, label: str, total: int, unit: str = "replies") -> Iterator[Bar]:
        """A progress bar for `total` things; without a terminal it prints a line now and then."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        columns = (
            SpinnerColumn(),
            TextColumn("  {task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rates]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal, transient=True) as progress:
            task = progress.add_task(label, total=total, rates="")
            bar = Bar(progress, task, label, total, unit, self)
            yield bar
        bar.close()


class Bar:
    """Counts finished things and tokens, and shows their rates."""

    def __init__(self, progress: Any, task: Any, label: str, total: int, unit: str, reporter: Reporter) -> None:
        self._progress, self._task, self._label, self._unit, self._reporter = progress, task, label, unit, reporter
        self.total, self.done, self.tokens, self.start = total, 0, 0, time.monotonic()
        self.extra = ""
        self._last_line = self.start
        self._first = (self.start, 0)

    def advance(self, things: int, tokens: int = 0, extra: str = "") -> None:
        """Count; `extra` is shown beside the rates."""
        if not self.done:
            self._first = (time.monotonic(), things)
        self.done, self.tokens, self.extra = self.done + things, self.tokens + tokens, extra or self.extra
        self._progress.update(self._task, completed=self.done, rates=self._rates())
        if not self._reporter.console.is_terminal and time.monotonic() - self._last_line > 20:
            self._last_line = time.monotonic()
            self._reporter.note(f"  {self._label}: {self.done}/{self.total} {self._unit}, {self._rates()}{self._left()}", "dim")

    def spare(self, things: int) -> None:
        """So many of the total turned out not to be needed."""
        self.total -= things
        self._progress.update(self._task, total=self.total)

    def _left(self) -> str:
        """What is left at the rate since the first count, which waited for models to load; nothing before there is a rate."""
        at, done = self._first
        if not done < self.done < self.total:
            return ""
        seconds = (time.monotonic() - at) * (self.total - self.done) / (self.done - done)
        return f", about {seconds / 60:.0f} min left" if seconds >= 90 else f", about {seconds:.0f} s left"

    def _rates(self) -> str:
        taken = max(time.monotonic() - self.start, 1e-9)
        rate = self.done / taken
        parts = [f"{rate:.{1 if rate >= 1 else 2}f} {self._unit}/s"]
        if self.tokens:
            parts.append(f"{self.tokens / taken:,.0f} tokens/s")
        return ", ".join([*parts, *filter(None, [self.extra])])

    def close(self) -> None:
        """Leave one line behind."""
        self._reporter.note(f"  {self._label}: {self.done} {self._unit}, {self._rates()}", "dim")
