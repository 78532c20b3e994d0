"""The command line: arguments in, one public function called, exit codes out. Heavy imports stay inside the verbs."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

import solon
from solon.cli import constitutions, data, decisions, job, lab, ledger, machine, review, signing
from solon.cli.output import emit, explain
from solon.errors import ConfigError, EnvironmentRefused, InputError, SolonError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A written constitution, made into trained models, measurements of how well they keep it, and a runtime for agents.",
)


# Progress is ours to show (rich, on stderr); the libraries' own bars and remarks would be mixed into it. Threads of OpenMP that
# wait by spinning for long cost a factor of ten as soon as another program uses a core, those that never spin some speed
# when the machine is free: a thousand turns lose little of either (design/LOG.md). Read when torch is first loaded.
ENVIRONMENT = {
    "TQDM_DISABLE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
    "GOMP_SPINCOUNT": "1000",
    "OMP_WAIT_POLICY": "PASSIVE",
}


class Interrupted(BaseException):
    """Ctrl-C: as `Terminated`, with 130. No KeyboardInterrupt, which the command-line library would swallow without a word."""


class Terminated(BaseException):
    """SIGTERM arrived: what is journalled is safe; the command leaves with 143."""


def _version(value: bool) -> None:
    if value:
        print(f"solon {solon.__version__}")
        raise typer.Exit()


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before the verb."""


job.register(app)
constitutions.register(app)
machine.register(app)
decisions.register(app)
review.register(app)
ledger.register(app)
signing.register(app)
app.add_typer(lab.app, name="lab")
app.add_typer(data.app, name="data")


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def _on_sigint(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


@cache
def _verbs() -> Callable[..., Any]:
    """The tree of verbs, which takes longer to build than most verbs take to run."""
    return typer.main.get_command(app)


def _run(wants_json: bool) -> None:
    """Parse and run. A slip in the words themselves is one JSON object too when `--json` is among them."""
    if not wants_json:
        _verbs()(standalone_mode=True)
    try:
        code = _verbs()(standalone_mode=False)
    except Exception as error:
        if not hasattr(error, "format_message"):  # the parser's own exceptions have it, and live in a private module
            raise
        raise ConfigError(f"usage: {error.format_message()}", mend="see solon VERB --help") from error
    sys.exit(code if isinstance(code, int) else 0)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGINT as exceptions of our own, while the command runs; whoever called us gets their handlers back."""
    ours = {signal.SIGTERM: _on_sigterm, signal.SIGINT: _on_sigint}  # SIGINT also where a shell ignores it for us
    before = {number: signal.signal(number, handler) for number, handler in ours.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _leave(how: str, code: int, as_json: bool) -> NoReturn:
    """The last words of a command that was told to stop."""
    said = "finished work is kept, the same command goes on from there"
    if as_json:
        with suppress(OSError):
            emit({"error": how, "mend": said, "exit_code": code})
    print(f"{how}; {said}", file=sys.stderr)
    sys.exit(code)


def main() -> None:
    """Run the command line; every deliberate error becomes one message and its exit code."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    warnings.filterwarnings("ignore", module=r"(transformers|peft|torch|accelerate)\.")  # remarks to developers, not to users
    wants_json = "--json" in sys.argv[1:]
    _all_streams_open()
    try:
        with _signals():
            _run(wants_json)
    except SolonError as error:
        explain(error, as_json=wants_json)
        sys.exit(error.exit_code)
    except Terminated:
        _leave("terminated", 143, wants_json)
    except (Interrupted, KeyboardInterrupt):
        _leave("interrupted", 130, wants_json)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except (OSError, sqlite3.Error, UnicodeError, RecursionError, MemoryError) as error:
        refused = _refused(error)
        explain(refused, as_json=wants_json)
        sys.exit(refused.exit_code)


def _refused(error: Exception) -> SolonError:
    """What the machine or the bytes of an input would not let through, as a refusal; other exceptions are slips of ours."""
    if isinstance(error, UnicodeError):
        return InputError(f"text: expected what UTF-8 can hold, got {error}", mend="look for half characters in names and files")
    if isinstance(error, RecursionError):
        return InputError("input: expected fewer levels of nesting, got more than can be followed", mend="flatten it")
    if isinstance(error, MemoryError):
        return EnvironmentRefused("memory: expected enough for the work, got none left", mend="free some, or give less at once")
    return EnvironmentRefused(
        f"{getattr(error, 'filename', None) or 'the machine'}: expected to read and write there, got {error}",
        mend="check the path, its permissions and the space on the disk",
    )


def _all_streams_open() -> None:
    """Standard streams that the caller closed lead to nowhere: else the next file opened would be what they write into."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 (stays open)


if __name__ == "__main__":  # silence with exit code 0 would read as permission
    main()
