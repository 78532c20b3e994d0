"""Reading what an OpenAI-compatible server answered: a completion, a final refusal, or a reason to try again. No I/O."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from solon.models.base import Completion

AGAIN = {408, 409, 425, 429}  # besides 5xx
DOWN = {502, 503, 504}  # the server, or a proxy before it, says that nobody is there
LONGEST_PAUSE = 30.0  # seconds, of our own
LONGEST_ASKED = 300.0  # seconds, when a server asks by Retry-After


@dataclass(frozen=True)
class Retry:
    """An attempt that may be repeated. `after`: seconds the server asked to wait; `unreachable`: another server may do better."""

    reason: str
    after: float = 0.0
    unreachable: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of a request that was first sent at monotonic time `since`."""

    completion: Completion
    since: float
    unreachable: bool = False


def read_answer(request_id: str, status: int, headers: Mapping[str, str], raw: bytes) -> Completion | Retry:
    """Judge one HTTP answer by status and body."""
    if status in AGAIN or status >= 500:
        return Retry(f"HTTP {status}: {_said(raw)}", after=retry_after(headers), unreachable=status in DOWN)
    if status != 200:
        return _failed(request_id, f"HTTP {status}: {_said(raw)}")
    try:
        answer = json.loads(raw)
    except ValueError:
        return Retry(f"expected JSON, got {raw[:80]!r}")
    return _completion(request_id, answer)


def _completion(request_id: str, answer: Any) -> Completion | Retry:
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        text = message.get("content")
    except (KeyError, IndexError, TypeError, AttributeError):
        return Retry(f"expected choices[0].message, got {json.dumps(answer)[:120]}")
    if text is None:
        text = message.get("refusal")  # the protocol's own field for a declined request
    if not isinstance(text, str):
        return Retry(f"expected text in choices[0].message.content, got {type(text).__name__}")
    if choice.get("finish_reason") == "content_filter":
        return _failed(request_id, "the server's content filter cut the reply")
    usage = answer.get("usage") or {}
    return Completion(
        id=request_id,
        text=text.strip(),
        finish="length" if choice.get("finish_reason") == "length" else "stop",
        prompt_tokens=_count(usage, "prompt_tokens"),
        completion_tokens=_count(usage, "completion_tokens"),
    )


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and value >= 0 else 0


def _failed(request_id: str, why: str) -> Completion:
    return Completion(id=request_id, text="", finish="error", error=why)


def _said(raw: bytes) -> str:
    """The server's own words, short."""
    text = raw.decode(errors="replace").strip()
    try:
        error = json.loads(text)["error"]
        text = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300] or "(empty)"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3: a number or a date); 0 when absent or unreadable."""
    value = next((v for k, v in headers.items() if k.lower() == "retry-after"), "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = parsedate_to_datetime(value)
        except (ValueError, TypeError):
            return 0.0
        seconds = (when - datetime.now(UTC)).total_seconds() if when.tzinfo else 0.0
    return min(max(0.0, seconds), LONGEST_ASKED)  # in this order `nan` becomes 0


def pause(attempt: int, first: float, asked: float = 0.0) -> float:
    """Seconds before the try after `attempt` (0, 1, …): doubling from `first` with half of it random, and at least `asked`."""
    grown = min(first * 2.0**attempt, LONGEST_PAUSE)
    return max(asked, grown * (0.5 + 0.5 * random.random()))
