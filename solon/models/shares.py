"""The same work in several processes of one thread each, for models too small to keep two threads busy.

The threads of one process share each matrix, and with small ones they wait for each other longer than they work; processes
share whole requests. They are forked, so that they see the weights as they are at this moment, those of a model in training
too, and copy none. A process only computes: it holds no file of its parent's, writes nothing, and is gone when the call ends.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

import torch

from solon.errors import ModelError
from solon.models.base import Progress

T = TypeVar("T")
SMALL = 64 << 20  # bytes of weights; larger models keep the threads of one process busy
LEAST = 8  # requests that are worth a process


def shares_for(model: Any, requests: int) -> int:
    """Into how many processes to divide `requests`: one for each thread of torch, or 1 where that does not pay.

    Forking is safe on Linux alone, and a process that is itself a helper may have none.
    """
    if sys.platform != "linux" or multiprocessing.current_process().daemon or not is_small(model):
        return 1
    return max(1, min(torch.get_num_threads(), requests // LEAST))


def is_small(model: Any) -> bool:
    """On a CPU, with weights of at most `SMALL` bytes."""
    return model.device.type == "cpu" and sum(p.numel() * p.element_size() for p in model.parameters()) <= SMALL


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Within the block torch uses so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def in_shares(work: Callable[[int, Progress], T], count: int, progress: Progress | None = None) -> list[T]:
    """`work(0, told) ... work(count - 1, told)`, each in a process of its own with one thread; what they return, in order.

    Args:
        work: must not need open files, locks or gradients; what it returns must be picklable. It tells its progress by `told`.

    Raises:
        ModelError: a share failed or its process was killed.
    """
    helpers: list[Helper] = []
    try:
        for share in range(count):
            helpers.append(Helper(functools.partial(_work_on, work, share)))
        return _collect(helpers, progress)
    finally:
        for helper in helpers:
            helper.end()


def _work_on(work: Callable[[int, Progress], Any], share: int, pipe: Connection) -> None:
    parent = os.getppid()

    def told(count: int, tokens: int) -> None:
        if os.getppid() != parent:  # killed: nobody waits for the rest
            os._exit(1)
        pipe.send(("told", (count, tokens)))

    pipe.send(("done", work(share, told)))


def _collect(helpers: list[Helper], progress: Progress | None) -> list[Any]:
    answers: dict[Any, Any] = {}
    pipes = {helper.pipe: helper for helper in helpers}
    while len(answers) < len(pipes):
        for pipe in wait([pipe for pipe in pipes if pipe not in answers]):
            kind, value = pipes[pipe].receive()  # type: ignore[index]  # what was waited for
            if kind == "done":
                answers[pipe] = value
            elif progress:
                progress(*value)
    return [answers[pipe] for pipe in pipes]


class Helper:
    """A forked process of one thread that runs `target(pipe)` and ends; `pipe` is this side's end.

    It sees memory as it is at the fork, holds none of this process's files, and leaves decisions about signals to it.
    """

    def __init__(self, target: Callable[[Connection], None]) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(target, theirs), daemon=True)
        with warnings.catch_warnings():  # Python 3.12 warns of other threads; a helper takes no lock that one of them may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def send(self, message: Any) -> None:
        """Raises ModelError when the process is gone."""
        try:
            self.pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise _gone() from None

    def receive(self) -> tuple[str, Any]:
        """The next (kind, value) that the process sends.

        Raises:
            ModelError: it failed, or was killed.
        """
        try:
            kind, value = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise _gone() from None
        if kind == "failed":
            raise ModelError(f"a process that shared the model's work failed: {value}")
        return kind, value

    def end(self) -> None:
        """Wait for nothing: kill it if it still runs."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _gone() -> ModelError:
    return ModelError(
        "a process that shared the model's work was killed, by a lack of memory perhaps",
        mend="set OMP_NUM_THREADS=1 to work in one process, and run the same command again",
    )


def _run(target: Callable[[Connection], None], pipe: Connection) -> None:
    """In the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interruption means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _close_all_but(pipe.fileno())
    torch.set_num_threads(1)
    with contextlib.suppress(BrokenPipeError):  # the parent is gone
        try:
            target(pipe)
        except Exception as error:  # noqa: BLE001 - told to the parent, whatever it is
            pipe.send(("failed", f"{type(error).__name__}: {error}"))


def _close_all_but(kept: int) -> None:
    """Locks of open files stay taken while a copy is open anywhere; a run whose parent was killed must be free at once."""
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(number)
