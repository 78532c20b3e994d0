"""What happens beside the loop: metrics written, progress shown, early stopping, saves marked whole, signals obeyed."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from solon.errors import SolonError
from solon.training.config import EarlyStopping

ProgressFn = Callable[[int, int, dict[str, float]], None]  # step, steps, latest metrics
COMPLETE = "solon_complete.json"


class TrainingInterrupted(SolonError):
    """A signal arrived; the state was saved first. `exit_code` is 130 (Ctrl-C) or 143 (SIGTERM)."""

    def __init__(self, signum: int, step: int, out: Path) -> None:
        super().__init__(f"training: interrupted by {signal.Signals(signum).name} after step {step}, which is saved in {out}")
        self.mend = "run the same command again to continue"
        self.exit_code = 128 + signum
        self.step = step


class Signals:
    """Remembers the first SIGINT or SIGTERM; a second one falls through to what was set before."""

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    @contextmanager
    def caught(self) -> Iterator[Signals]:
        """Catch both signals within the block (only possible in the main thread; elsewhere nothing changes)."""
        if threading.current_thread() is threading.main_thread():
            self._previous = {s: signal.signal(s, self._take) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            self._restore()

    def _take(self, signum: int, frame: Any) -> None:
        self.received = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._previous.items():
            signal.signal(signum, handler)
        self._previous = {}


class LeaveOnSignal(TrainerCallback):
    """At the end of a step after a signal: save, then stop."""

    def __init__(self, signals: Signals) -> None:
        self.signals = signals

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.signals.received is not None:
            control.should_save = True
            control.should_training_stop = True


class MarkSaves(TrainerCallback):
    """Writes a marker with every file's size into a finished save; a save without a true marker is half-written."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


def mark_complete(folder: Path) -> None:
    """Record the sizes of a save's files; the marker appears at once or not at all."""
    files = {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.is_file() and f.name != COMPLETE}
    write_atomically(folder / COMPLETE, json.dumps({"files": files}))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that it holds either the old or the new text, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def latest_save(folder: Path) -> Path | None:
    """The newest whole save (`checkpoint-N`) in a folder; half-written ones are passed over."""
    saves = sorted(
        (f for f in folder.glob("checkpoint-*") if f.name.rsplit("-", 1)[-1].isdigit()),
        key=lambda f: -int(f.name.rsplit("-", 1)[-1]),
    )
    return next((save for save in saves if _whole(save)), None)


def _whole(save: Path) -> bool:
    try:
        files = json.loads((save / COMPLETE).read_text(encoding="utf-8"))["files"]
        return all((save / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


class JsonlLog(TrainerCallback):
    """One JSON object per log line in `metrics.jsonl`; on resume, lines after the resumed step are dropped."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            write_atomically(self.path, "".join(json.dumps(entry) + "\n" for entry in state.log_history))

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        if state.is_world_process_zero and logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**logs, "step": state.global_step}) + "\n")


class TensorBoardLog(TrainerCallback):
    """Scalars to `folder`; on resume, points after the resumed step are purged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = SummaryWriter(str(self.folder), purge_step=state.global_step + 1 if state.global_step else None)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        for name, value in (logs or {}).items():
            if self.writer is not None and isinstance(value, (int, float)):
                self.writer.add_scalar(name.replace("eval_", "validation/"), value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.writer is not None:
            self.writer.close()


class ShowProgress(TrainerCallback):
    """Calls a function with (step, steps, latest metrics)."""

    def __init__(self, show: ProgressFn) -> None:
        self.show = show
        self.latest: dict[str, float] = {}

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        self.latest |= {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))}
        self.show(state.global_step, state.max_steps, self.latest)


@contextmanager
def rich_progress(label: str) -> Iterator[ProgressFn]:
    """A progress bar on stderr (steps, loss, margin, elapsed, remaining) as a function to pass as `progress`."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = [
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[metrics]}"),
    ]  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, metrics="", total=None)

        def show(step: int, steps: int, metrics: dict[str, float]) -> None:
            wanted = ("loss", "margin", "accuracy", "eval_loss")
            text = "  ".join(f"{name} {metrics[name]:.3f}" for name in wanted if name in metrics)
            bar.update(task, completed=step, total=steps, metrics=text)

        yield show


class StopEarly(TrainerCallback):
    """Early stopping by the validation loss. Counts are recomputed from the log, so a resumed run counts as if never cut.

    `abs` with threshold t is transformers' EarlyStoppingCallback: an evaluation counts as an improvement when it is below
    the best so far by more than t; the best itself moves on any decrease, however small.
    """

    def __init__(self, settings: EarlyStopping) -> None:
        self.settings = settings
        self.stopped_at: int | None = None

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        losses = [entry["eval_loss"] for entry in state.log_history if "eval_loss" in entry]
        if exhausted(losses, self.settings):
            self.stopped_at = state.global_step
            control.should_training_stop = True


def exhausted(losses: list[float], settings: EarlyStopping) -> bool:
    """Whether the last `patience` losses in a row failed to improve."""
    best, failures = float("inf"), 0
    for loss in losses:
        needed = settings.threshold * (abs(best) if settings.mode == "rel" and best != float("inf") else 1.0)
        failures = 0 if best - loss > needed else failures + 1
        best = min(best, loss)
    return failures >= settings.patience
