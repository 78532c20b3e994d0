"""What the verbs print: pretty text for people, exactly one JSON object with `--json`; progress and logs go to stderr."""

from __future__ import annotations

import json
import math
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from solon.errors import SolonError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]


def emit(value: Any) -> None:
    """Print one JSON object on stdout. JSON has no NaN and no Inf: they become null, which is no number either."""
    sys.stdout.write(json.dumps(_finite(value), indent=2, ensure_ascii=False, default=str, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def explain(error: SolonError, *, as_json: bool) -> None:
    """Print an error: what was expected and came, then the mend."""
    if as_json:
        record = {"error": error.what, "mend": error.mend, "exit_code": error.exit_code}
        known = {name: getattr(error, name) for name in ("code", "ledger_index") if getattr(error, name, None) not in (None, "")}
        with suppress(OSError):  # where stdout is what failed, the words on stderr and the exit code are left
            emit({**record, **known})
    code = getattr(error, "code", "")
    print(f"error: {error.what}" + (f" [{code}]" if code else ""), file=sys.stderr)
    if error.mend:
        print(f"  mend: {error.mend}", file=sys.stderr)


def printable(text: str) -> str:
    """Text shown to a reviewer without control, bidirectional or invisible characters."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def console(stderr: bool = False) -> Any:
    """A rich console that wraps nothing when the output is not a terminal."""
    from rich.console import Console

    stream_is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if stream_is_terminal else 160, highlight=False)
