"""The steps of a decision that the governor and the replay of its ledger share, so that both do exactly the same."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from typing import Any

from solon.governance.standing import equity_gone
from solon.policy.assess import Judge
from solon.policy.book import MINUTE, Book
from solon.policy.custom import SECONDS
from solon.policy.ladder import Observation
from solon.policy.parsing import one_offset, parse_action, parse_request, parse_state, strict_json, timestamp
from solon.policy.rules import Rules
from solon.policy.types import MICROSECONDS, Action, Ladder, Reason, Refused, Severity, State, TextRequest, Verdict
from solon.policy.wording import quantity_text

Given = Mapping[str, Any] | str | bytes
UNTOLD = Decimal(10) ** 18  # exposure of an order whose value is not known
THROTTLE = "max_repeated_executions"
MOST = 10_000  # actions kept in mind
PARKED = "PARKED, a denial: more was asked within the hour than people can read"


def judged(judge: Judge, action: Action, book: Book, approved: bool) -> Verdict:
    """The pure judgement."""
    return judge.assess(action, book, approved=approved).verdict


def add_pending(book: Book, order: Action) -> None:
    """An order that was allowed, and that the state does not show yet, works; it counts from when it was received."""
    book.work(order)
    book.note(_as_received(order, book))


def note(book: Book, action: Action, verdict: Verdict) -> None:
    """Count an action on the book: allowed ones work, of whatever kind; others were messages, and their id stays free.

    What is to be cancelled may fill first: it counts until a state no longer shows it. A protective stop is let go at once, so
    that it can be moved.
    """
    if verdict.outcome == "allow" and action.kind != "cancel":
        add_pending(book, action)
        return
    book.message(_as_received(action, book))
    line = book.lines.get(action.symbol)
    order = line.orders.get(action.id) if line is not None else None
    if verdict.outcome == "allow" and order is not None and order.kind == "stop":
        book.cancel(action.symbol, action.id)


def _as_received(action: Action, book: Book) -> Action:
    return _dated(action, received(action, book))


def _dated(action: Action, at: int) -> Action:
    return action if at == action.ts else replace(action, ts=at)


def received(action: Action, book: Book) -> int:
    """When an action counts as sent: an agent cannot date it before the state that it was judged on."""
    return max(action.ts, book.now)


def shown(state: State) -> tuple[int, Decimal | None, Decimal | None]:
    """What makes one mark of an account: its time, unit value and high-water mark."""
    return state.as_of, state.nav_unit, state.high_water_mark


def observation_of(book: Book, now: int) -> Observation | None:
    """What a state shows the ladder; None where neither drawdown nor equity can be told."""
    drawdown, gone = book.drawdown_parts(), equity_gone(book)
    if drawdown is None and not gone:
        return None
    return Observation.of(now, drawdown, "state", gone, book.measures)


@dataclass(frozen=True, slots=True)
class Sent:
    """An action that was decided: a name for the log, when it was received, whether it was allowed."""

    name: str
    action: Action
    at: int
    allowed: bool


class Memory:
    """What agents sent lately, as long as any rule looks back: a new state must not wipe out message counts and spending."""

    def __init__(self, rules: Rules) -> None:
        windows = [MINUTE, rules.bounds.get("duplicate_order_window_seconds", 0)]
        windows += [int(rule.argument) * MICROSECONDS for rule in rules.custom if rule.measure in SECONDS]
        self.window = max(windows)
        self._run, self._count = secrets.token_hex(4), 0
        self._sent: deque[Sent] = deque(maxlen=MOST)

    def name(self) -> str:
        """A name for the next action, of this memory alone."""
        self._count += 1
        return f"{self._run}:{self._count}"

    def add(self, sent: Sent) -> None:
        self._sent.append(sent)

    def forget(self, action: Action) -> None:
        """An action that did not become a decision."""
        self._sent = deque((sent for sent in self._sent if sent.action is not action), maxlen=MOST)

    def since(self, state: State, known: set[str]) -> list[Sent]:
        """What was sent within the window before a state or after it, and is not in `known`, in order of time."""
        found = (s for s in self._sent if s.at > state.as_of - self.window and not (s.allowed and s.action.id in known))
        return sorted(found, key=lambda s: s.at)


def sent_of(body: Mapping[str, Any], action: Action) -> Sent:
    """What a logged decision says was sent."""
    at = timestamp(body["at"], "at")[0] if "at" in body else action.ts
    return Sent(body.get("name", ""), action, at, body["verdict"]["outcome"] == "allow")


def recall(book: Book, earlier: Iterable[Sent]) -> None:
    """Count earlier actions on a new book: allowed ones with their value, but no longer as working."""
    for sent in earlier:
        action = _dated(sent.action, sent.at)
        book.note(action) if sent.allowed and action.kind != "cancel" else book.message(action)


def throttles(verdict: Verdict) -> bool:
    """Whether this decision says that an agent repeats its executions too fast in an instrument."""
    return any(reason.code == THROTTLE and reason.status == "breach" for reason in verdict.failing)


def denial(code: str, text: str, ladder: Ladder, constitution: str) -> Verdict:
    """A denial for a reason outside the limits."""
    reason = Reason(code, code, None, "", "flag", "breach", text, Severity.high)
    return Verdict("deny", (reason,), None, ladder, (f"{code}: deny",), constitution)


def placed(verdict: Verdict, index: int) -> Verdict:
    """The verdict with its place in the ledger. It has not left the governor yet, so that no copy is made."""
    object.__setattr__(verdict, "ledger_index", index)
    return verdict


def plain(verdict: Verdict) -> dict[str, Any]:
    """The verdict for the log: only reasons that are not ok, as the rest follows from the inputs."""
    size = verdict.largest_allowed
    record: dict[str, Any] = {
        "outcome": verdict.outcome,
        "reasons": [reason.as_dict() for reason in verdict.failing],
        "largest_allowed": None if size is None else size.as_dict(),
        "ladder": verdict.ladder.name,
        "path": list(verdict.path),
    }
    if verdict.response is not None:
        record["response"] = verdict.response
    return record


def both_of(action: Action | Given, state: State | Given | None) -> tuple[Action, State]:
    """An action and the state that it is judged on, parsed where they are not; the same text of a state gives the same object.

    Raises:
        Refused: malformed, or (`mixed_time_zones`) the times of one are written with another offset than those of the other.
    """
    if state is None:
        raise Refused("missing_field", "state: expected the account's state with an order, got none", mend="give it")
    given: Any = strict_json(action, "action") if isinstance(action, str | bytes) else action
    act: Action = given if isinstance(given, Action) else parse_action(given)
    seen, offset = _seen(state)
    if offset and given is not act:
        one_offset(given["ts"], "action.ts", offset, "of the state's times")
    return act, seen


def request_of(value: TextRequest | Given) -> TextRequest:
    """A request in words, parsed where it is not. Raises Refused."""
    if isinstance(value, TextRequest):
        return value
    return parse_request(strict_json(value, "action") if isinstance(value, str | bytes) else value)


def exposure_of(verdict: Verdict) -> Decimal:
    """The order's value in account currency, for the rank of its review; what cannot be told ranks above everything."""
    value = verdict.assessment.trade.value if verdict.assessment is not None else None
    return UNTOLD if value is None else Decimal(quantity_text(value))


def _seen(state: State | Given) -> tuple[State, str]:
    """A state and the offset of its times; none is known where it is parsed already."""
    if isinstance(state, State):
        return state, ""
    return _loaded(state) if isinstance(state, str | bytes) else _parsed(state)


def _parsed(record: Any) -> tuple[State, str]:
    state = parse_state(record)
    return state, timestamp(record["as_of"], "state.as_of")[1]


@lru_cache(maxsize=4)
def _loaded(text: str | bytes) -> tuple[State, str]:
    return _parsed(strict_json(text, "state"))  # what is refused is read, and refused, each time
