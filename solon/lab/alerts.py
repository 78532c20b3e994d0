"""Severities, alerts, and the ring that keeps them."""

from __future__ import annotations

import datetime
import json
import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from solon.errors import InputError, nearest
from solon.policy.types import Severity

log = logging.getLogger("solon.lab")
LEVELS = {
    Severity.critical: logging.CRITICAL,
    Severity.high: logging.ERROR,
    Severity.medium: logging.WARNING,
    Severity.low: logging.INFO,
    Severity.info: logging.DEBUG,
}


def severity(value: str | Severity) -> Severity:
    """A severity by name, in any case.

    Raises:
        InputError
    """
    if isinstance(value, Severity):
        return value
    names = [s.name for s in Severity]
    if str(value).lower() not in names:
        raise InputError(f"severity {value!r}: expected one of {', '.join(names)}", mend=nearest(str(value).lower(), names))
    return Severity[str(value).lower()]


def issue(level: Severity, code: str, message: str, **details: Any) -> dict[str, Any]:
    """One finding in the guide's shape: `severity` in capitals, `message`, and a `code` to filter by."""
    return {"severity": level.name.upper(), "code": code, "message": message, **details}


def status(issues: Iterable[dict[str, Any]]) -> str:
    """CRITICAL when any issue is; WARNING for high or medium; else OK."""
    worst = max((severity(one["severity"]) for one in issues), default=Severity.info)
    return "CRITICAL" if worst is Severity.critical else "WARNING" if worst >= Severity.medium else "OK"


class Alerts:
    """The last `size` alerts, oldest first; each is also logged at its level."""

    def __init__(self, size: int = 1000) -> None:
        self._ring: deque[dict[str, Any]] = deque(maxlen=size)

    def add(self, one: dict[str, Any]) -> dict[str, Any]:
        """Record an issue as an alert, with the time (UTC, RFC 3339)."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        alert = {"timestamp": now, **one}
        self._ring.append(alert)
        log.log(LEVELS[severity(one["severity"])], "%s: %s", one["severity"], one["message"])
        return alert

    def all(self) -> list[dict[str, Any]]:
        """Copies, oldest first."""
        return [dict(alert) for alert in self._ring]

    def by_severity(self, level: str | Severity) -> list[dict[str, Any]]:
        """Alerts of exactly this severity."""
        wanted = severity(level).name.upper()
        return [dict(alert) for alert in self._ring if alert["severity"] == wanted]

    def export(self, path: str | Path) -> int:
        """Write all alerts as JSONL; returns how many."""
        Path(path).write_text("".join(json.dumps(alert, default=str) + "\n" for alert in self._ring))
        return len(self._ring)

    def clear(self) -> None:
        """Forget all alerts."""
        self._ring.clear()
