"""A ledger decided again: every decision reproduced from its logged inputs, or what another constitution would have said.

report = rerun(ledger)                      # report.same == report.decisions, else something is wrong
report = rerun(ledger, load("new.md"))      # report.changed lists every decision that would differ
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from solon.constitution import Constitution, parse_text
from solon.errors import IntegrityError
from solon.governance.deciding import PARKED, Sent, add_pending, judged, note, plain, recall, sent_of
from solon.governance.rejudged import Judgement, rows_again
from solon.ledger.canonical import digest
from solon.ledger.storage import Ledger
from solon.policy.assess import Judge
from solon.policy.book import Book
from solon.policy.parsing import parse_action, parse_request, parse_state
from solon.policy.precedence import Judged, PrecedenceGovernor
from solon.policy.rules import tightened_rules
from solon.policy.types import Action, Ladder, State, Verdict

KINDS = ("constitution", "tightening", "state", "decision", "request", "throttle", "re_enable")


@dataclass(frozen=True)
class Difference:
    """A decision that comes out otherwise: ledger index, action id, outcome then and now, codes of the reasons then and now."""

    index: int
    action: str
    then: str
    now: str
    reasons_then: tuple[str, ...]
    reasons_now: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "reasons_then": list(self.reasons_then), "reasons_now": list(self.reasons_now)}


@dataclass(frozen=True)
class Rerun:
    """Decisions seen, how many came out the same, which did not. `constitution` is the one used now; empty: each entry's own."""

    decisions: int
    same: int
    changed: tuple[Difference, ...]
    constitution: str

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "changed": [item.as_dict() for item in self.changed]}


class _Past:
    """What the governor had in memory, rebuilt entry by entry."""

    def __init__(self, other: Constitution | None) -> None:
        self.other = Judge.of(other) if other is not None else None
        self.reader = PrecedenceGovernor(other) if other is not None else None
        self.judges: dict[str, Judge] = {}
        self.readers: dict[str, PrecedenceGovernor] = {}
        self.states: dict[str, State] = {}
        self.allowed: dict[str, Action] = {}
        self.sent: dict[str, Sent] = {}
        self.throttled: set[tuple[str, str]] = set()
        self.book: Book | None = None

    def enact(self, body: dict[str, Any], index: int) -> None:
        found = parse_text(body["text"], f"ledger entry {index}")
        if found.hash != body["hash"]:
            raise IntegrityError(f"entry {index}: the constitution's text does not give its hash", mend="restore the ledger")
        self.judges[body["hash"]] = Judge.of(found)
        self.readers[body["hash"]] = PrecedenceGovernor(found)

    def tighten(self, body: dict[str, Any]) -> None:
        """From here on decisions under this constitution went by tighter limits."""
        name = body["constitution"]
        self.judges[name] = Judge.of(tightened_rules(self.judges[name].rules, body["limits"]))

    def decide(self, body: dict[str, Any]) -> tuple[Action, Verdict]:
        action = parse_action(body["action"])
        if body["fresh"] or self.book is None:
            self.book = Book(self.states[body["state"]])
            self.book.throttled |= self.throttled
            recall(self.book, [self.sent[name] for name in body.get("noted", []) if name in self.sent])
            for name in body["pending"]:
                add_pending(self.book, self.allowed[name])
        self.book.ladder = max(self.book.ladder, Ladder[body["ladder"]])
        judge = self.other or self.judges[body["constitution"]]
        verdict = judged(judge, action, self.book, body["approved"])
        return action, verdict

    def settle(self, action: Action, body: dict[str, Any], verdict: Verdict) -> None:
        """Memory goes on as it did then, so that one difference is not counted again and again."""
        assert self.book is not None
        note(self.book, action, verdict)
        sent = sent_of(body, action)
        self.sent[sent.name] = sent
        if verdict.outcome == "allow" and action.kind != "cancel":
            self.allowed[action.id] = action

    def throttle(self, body: dict[str, Any], held: bool) -> None:
        """An agent was disabled in an instrument, or re-enabled (then the governor began with a new book)."""
        pair = (body["agent"], body["symbol"])
        (self.throttled.add if held else self.throttled.discard)(pair)
        if held and self.book is not None:
            self.book.throttle(*pair)


def rerun(ledger: Ledger, constitution: Constitution | None = None) -> Rerun:
    """Decide every logged decision again, and judge every row of a replay again.

    Raises:
        IntegrityError: an entry cannot be read, or its inputs are missing.
    """
    past = _Past(constitution)
    total = 0
    changed: list[Difference] = []
    for entry in ledger.of_kind(*KINDS):
        record = entry.record
        try:
            difference = _taken_in(past, record["kind"], record["body"], entry.index, constitution is None)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise IntegrityError(
                f"entry {entry.index}: no {record['kind']} as it is written here, or its input is not in the ledger: {error!r}",
                mend="restore the ledger",
            ) from error
        total += record["kind"] in ("decision", "request")
        changed += [] if difference is None else [difference]
    for row in rows_again(ledger, constitution):
        total += 1
        changed += [] if row.same(exact=constitution is None) else [_row_difference(row)]
    return Rerun(total, total - len(changed), tuple(changed), "" if constitution is None else constitution.hash)


def _taken_in(past: _Past, kind: str, body: dict[str, Any], index: int, exact: bool) -> Difference | None:
    """One entry: remembered, or decided again."""
    if kind == "constitution":
        past.enact(body, index)
    elif kind == "tightening":
        past.tighten(body)
    elif kind == "state":
        if digest(body["state"]) != body["digest"]:
            raise IntegrityError(f"entry {index}: the state does not give its digest", mend="restore the ledger")
        past.states[body["digest"]] = parse_state(body["state"])
    elif kind in ("throttle", "re_enable"):
        past.throttle(body, kind == "throttle")
    else:
        return (_again if kind == "decision" else _request_again)(past, body, index, exact)
    return None


def _row_difference(row: Judgement) -> Difference:
    then, now = row.then, row.now or {}
    names = [then[name] for name in ("ts", "proposal_id") if then[name]]
    outcomes = [" ".join(filter(None, (cells.get("verdict", "nothing"), cells.get("vote_action")))) for cells in (then, now)]
    reasons = [tuple(filter(None, cells.get("reasons", "").split(";"))) for cells in (then, now)]
    return Difference(row.index, " ".join(names), outcomes[0], outcomes[1], reasons[0], reasons[1])


def _again(past: _Past, body: dict[str, Any], index: int, exact: bool) -> Difference | None:
    action, verdict = past.decide(body)
    then = body["verdict"]
    outcome = _with_people(verdict.outcome, body)
    codes_then = tuple(reason["code"] for reason in then["reasons"])
    codes_now = tuple(reason.code for reason in verdict.failing)
    past.settle(action, body, Verdict(then["outcome"]))
    if outcome == then["outcome"] and (not exact or _same(plain(verdict), then)):
        return None
    return Difference(index, action.id, then["outcome"], outcome, codes_then, codes_now)


def _same(now: dict[str, Any], then: dict[str, Any]) -> bool:
    """Whether every reason with its numbers, the largest size and the rung came out the same, and the path as far as people."""
    path = then["path"][: len(now["path"])]
    return path == now["path"] and all(now[name] == then[name] for name in ("reasons", "largest_allowed", "ladder"))


def _request_again(past: _Past, body: dict[str, Any], index: int, exact: bool) -> Difference | None:
    """A request in words; one that met a stop stays as it was."""
    request, then = parse_request(body["request"]), body["verdict"]
    if then["outcome"] == "halt":
        return None
    judged = [Judged(**item) for item in body["judged"]]
    verdict = (past.reader or past.readers[body["constitution"]]).decide(request.text, judged).verdict()
    codes_then = tuple(reason["code"] for reason in then["reasons"])
    codes_now = tuple(reason.code for reason in verdict.failing)
    if verdict.outcome == then["outcome"] and (not exact or plain(verdict) == then):
        return None
    return Difference(index, request.id, then["outcome"], verdict.outcome, codes_then, codes_now)


def _with_people(outcome: str, body: dict[str, Any]) -> str:
    """An escalation that people had approved, or that was parked, counts as it was decided."""
    then = body["verdict"]
    if outcome == "escalate" and then["outcome"] == "deny" and any(step.endswith(PARKED) for step in then["path"]):
        return "deny"
    return "allow" if outcome == "escalate" and body.get("ticket") and then["outcome"] == "allow" else outcome
