"""Portfolio states and votes replayed under a constitution: verdict, ladder, votes, vetoes, escalations for every row.

    summary = replay("states.csv", "trading", out="out", votes="votes.csv")

The verdict of a row is what an action that adds risk would get at that time: halt while killed; deny at reduce and no-new, where
a hard limit is broken, and where equity or drawdown cannot be told; else allow. A proposal that was voted on gets the worse of
the council's result and that verdict, unless it reduces risk. What the ladder does is its own rule (`solon.policy.ladder`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

from solon.constitution import Constitution, load
from solon.errors import InputError
from solon.governance.standing import Standing, equity_gone, leverage_bp, shares_of, standing, unit_of
from solon.governance.tables import Snapshot, VoteRow, columns_of, read_states, read_votes, with_defaults
from solon.ledger.keys import PrivateKey, write_pair
from solon.ledger.storage import Ledger
from solon.policy.book import Book, atto
from solon.policy.council import ActionOrder, Tally, tally, voters_of
from solon.policy.council import Voter as Eligible
from solon.policy.ladder import Event, LadderState, Observation, herding, step
from solon.policy.measures import Loss
from solon.policy.monitor import Monitor, Seen
from solon.policy.parsing import MEASURES
from solon.policy.rules import BASIS, Rules, compile_rules
from solon.policy.types import Ladder, Outcome, worst

COLUMNS = (
    "ts", "verdict", "ladder", "escalate", "drawdown_pct", "leverage", "reasons", "proposal_id", "vote_outcome", "vote_action",
    "votes_for", "eligible", "vetoed_by", "decision", "daily_loss_pct", "loss_24h_pct", *MEASURES,
)  # fmt: skip
IN_FLIGHT = 20_000
PLOTTED = 4000
NOTHING = Seen()


@dataclass
class Row:
    """One output row, before it is text."""

    text: str
    verdict: Outcome
    ladder: Ladder
    escalate: bool
    drawdown: tuple[int, int] | None
    leverage: int | None
    reasons: tuple[str, ...]
    proposal: str = ""
    tally: Tally | None = None
    decision: Outcome | None = None
    seen: Seen = NOTHING

    def cells(self) -> list[str]:
        drawdown = "" if self.drawdown is None else _pct(-(-self.drawdown[0] * BASIS // self.drawdown[1]))
        t = self.tally
        voted = ["", "", "", "", ""]
        if t is not None:
            voted = [t.outcome, t.action, str(max(t.supporters.values(), default=0)), str(t.quorum.n), ";".join(t.vetoed_by)]
        leverage = "" if self.leverage is None else f"{self.leverage / BASIS:.4f}"
        head = [self.text, self.verdict, self.ladder.name, "yes" if self.escalate else "no", drawdown, leverage]
        return [*head, ";".join(self.reasons), self.proposal, *voted, self.decision or "", *self._measured()]

    def _measured(self) -> list[str]:
        """Losses in percent, measures as they are; `unknown` where one cannot be told, empty where it does not apply."""
        losses = [_share_pct(loss) for loss in (self.seen.daily_loss, self.seen.rolling_loss)]
        measures = self.seen.measures
        if not measures:
            return [*losses, "", "", "", ""]
        return [*losses, *("unknown" if measures.get(n, "") is None else str(measures.get(n, "")) for n in MEASURES)]


def _share_pct(loss: Loss | None) -> str:
    if loss is None:
        return ""
    basis_points = -(-loss[0] * BASIS // loss[1])
    return _pct(basis_points) if basis_points >= 0 else f"-{_pct(-basis_points)}"


def _pct(basis_points: int) -> str:
    return f"{basis_points // 100}.{basis_points % 100:02d}"


@dataclass
class Summary:
    """What a replay saw. Rungs map to the first time each was reached."""

    rows: int = 0
    proposals: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    rungs: dict[str, str] = field(default_factory=dict)
    events: int = 0
    escalations: int = 0
    vetoes: int = 0
    outvoted: dict[str, int] = field(default_factory=dict)
    worst_drawdown_pct: str = "0.00"
    notes: list[str] = field(default_factory=list)
    constitution_hash: str = ""
    ledger: dict[str, Any] | None = None
    plots: list[str] = field(default_factory=list)


class Replayer:
    """The state of a replay: ladder, high-water mark, votes to come. One `rows` call for one snapshot."""

    def __init__(self, constitution: Constitution, rules: Rules, votes: list[VoteRow], columns: Collection[str] = ()) -> None:
        """`columns` of the states file: what it states itself is not measured again."""
        self.constitution, self.rules, self.columns = constitution, rules, frozenset(columns)
        self.monitor = Monitor()
        self.worst_loss = rules.bounds.get("max_daily_loss_pct")
        self.ladder = LadderState()
        self.high: int | None = None
        self.start: tuple[int, int] | None = None  # equity and unit value of the first row that has both
        self.events: list[Event] = []
        self.votes = votes
        self._next = 0
        order = constitution.value("action_order")
        self.order = ActionOrder(order) if order else ActionOrder()
        self.declared = voters_of(constitution)
        self.lowest = min((bound for bound, _, _ in rules.rungs), default=BASIS)

    def rows(self, seen: Snapshot) -> Iterator[Row]:
        """The row of a snapshot, or one for each proposal voted on at its time."""
        self.events = []
        ballots = self._due(seen.ts)
        book = None if seen.state is None else Book(seen.state)
        drawdown = self._drawdown(seen, book)
        gone = book is not None and equity_gone(book)
        reading = self._read(seen, book)
        self._watch(seen, reading.measures, drawdown, gone, ballots, book)
        found: tuple[Standing, ...] = ()
        if book is not None:
            book.ladder = self.ladder.rung
            if drawdown is not None:
                book.nav, book.high_water_mark = drawdown[1] - drawdown[0], drawdown[1]
            book.measures = reading.measures
            found = standing(book, self.rules)
        verdict, reasons = self._verdict(drawdown, found, gone, reading)
        called = self.ladder.rung >= Ladder.reduce or any(event.kind == "call_person" for event in self.events)
        leverage = None if book is None else leverage_bp(book)
        row = Row(seen.text, verdict, self.ladder.rung, called, drawdown, leverage, reasons, seen=reading)
        if not ballots:
            yield row
        for proposal, votes in ballots.items():
            yield self._proposal(row, proposal, votes)

    def _read(self, seen: Snapshot, book: Book | None) -> Seen:
        """Losses and measures of this snapshot; a measure that the file states takes the place of ours."""
        day = seen.text[:10]
        if book is None:
            reading = self.monitor.update(seen.ts, unit=None if seen.nav is None else atto(seen.nav), day=day)
            return reading if not seen.measures else Seen(reading.daily_loss, reading.rolling_loss, seen.measures)
        positions = seen.state.positions if seen.state is not None else ()
        prices = {p.symbol: p.mark for p in positions if book.lines[p.symbol].active}
        reading = self.monitor.update(seen.ts, unit=unit_of(book), day=day, prices=prices, shares=shares_of(book))
        return Seen(reading.daily_loss, reading.rolling_loss, {**reading.measures, **seen.measures})

    def _lost(self, reading: Seen) -> bool:
        """Whether a day or 24 hours lost more than allowed, where the file does not state what they began with."""
        bound = self.worst_loss
        if bound is None:
            return False
        pairs = (("day_open_equity", reading.daily_loss), ("equity_24h_ago", reading.rolling_loss))
        return any(loss and name not in self.columns and loss[0] * BASIS > bound * loss[1] for name, loss in pairs)

    def _due(self, ts: int) -> dict[str, list[VoteRow]]:
        """Votes at or before this time that were not counted yet, by proposal."""
        found: dict[str, list[VoteRow]] = {}
        while self._next < len(self.votes) and self.votes[self._next].ts <= ts:
            found.setdefault(self.votes[self._next].proposal, []).append(self.votes[self._next])
            self._next += 1
        return found

    def _drawdown(self, seen: Snapshot, book: Book | None) -> tuple[int, int] | None:
        """(fall, high-water mark): the mark only rises, whatever the file says later."""
        unit = atto(seen.nav) if seen.nav is not None else book.equity if book is not None else None
        if unit is None:
            return None
        if self.start is None and book is not None and book.equity and book.nav:
            self.start = (book.equity, book.nav)
        stated = atto(seen.high) if seen.high is not None else unit
        self.high = high = max(unit, stated, self.high if self.high is not None else unit)
        return (high - unit, high) if high > 0 else (1, 1)

    def _watch(
        self,
        seen: Snapshot,
        measures: dict[str, Decimal | None],
        drawdown: tuple[int, int] | None,
        gone: bool,
        ballots: dict[str, list[VoteRow]],
        book: Book | None,
    ) -> None:
        """Move the ladder, unless nothing at all can fire (then a step changes nothing but its clock)."""
        state = self.ladder
        quiet = drawdown is not None and drawdown[0] * BASIS < self.lowest * drawdown[1] and not gone
        if quiet and not measures and not ballots and not state.kill_marks and state.rung != Ladder.warn and not state.breakdowns:
            return
        flash = measures.get("flash_crash")
        observation = Observation(
            seen.ts, drawdown, "unit value", gone, measures.get("weighted_correlation"), measures.get("volatility_ratio"),
            None if flash is None else flash >= 1, agents_one_way=self._one_way(ballots),
        )  # fmt: skip
        self.ladder, events = step(state, observation, self.rules)
        self.events = list(events)
        if seen.nav is not None and book is not None and drawdown is not None:
            self._second_source(observation, book)

    def _second_source(self, observation: Observation, book: Book) -> None:
        """A reported unit value and the account's own equity are two sources; both must show the kill level to confirm it."""
        equity = book.equity
        if self.start is None or equity is None or self.high is None:
            return
        high = self.high * self.start[0] // self.start[1]
        if any(event.kind == "unconfirmed_kill" for event in self.events) and high > 0:
            again = replace(observation, drawdown=(max(0, high - equity), high), source="account")
            self.ladder, more = step(self.ladder, again, self.rules)
            self.events += list(more)

    def _one_way(self, ballots: dict[str, list[VoteRow]]) -> Fraction | None:
        directions = {
            row.vote.voter: self.order.direction(row.vote.proposed_action)
            for rows in ballots.values()
            for row in rows
            if row.vote.proposed_action
        }
        return herding(directions) if directions else None

    def _verdict(
        self, drawdown: tuple[int, int] | None, found: tuple[Standing, ...], gone: bool, reading: Seen
    ) -> tuple[Outcome, tuple[str, ...]]:
        reasons = [f"{item.code}{'?' if item.status == 'unknown' else ''}" for item in found]
        if self._lost(reading) and "max_daily_loss_pct" not in reasons:
            reasons.append("max_daily_loss_pct")
        broken, rung = bool(reasons), self.ladder.rung
        if rung >= Ladder.reduce:
            reasons.append(f"ladder:{rung.name}")
        if drawdown is None:
            reasons.append("drawdown?")
        if gone:
            reasons.append("equity_gone")
        reasons += dict.fromkeys(f"trigger:{event.text.split()[0]}" for event in self.events if event.kind == "trigger")
        outcome: Outcome = "halt" if rung == Ladder.killed else "deny" if broken or rung >= Ladder.reduce or gone else "allow"
        return ("deny" if drawdown is None and outcome == "allow" else outcome), tuple(reasons)

    def _proposal(self, row: Row, name: str, votes: list[VoteRow]) -> Row:
        voters = self.declared or tuple({v.vote.voter: Eligible(v.vote.voter, v.role) for v in votes}.values())
        mode = self.constitution.value("conflict_resolution_mode", "risk_manager_veto")
        threshold = Fraction(self.constitution.value("consensus_threshold", Fraction(2, 3)))
        result = tally([v.vote for v in votes], voters, threshold=threshold, mode=mode, order=self.order)
        reduces = result.action != "" and self.order.direction(result.action) != "buy"
        limit: Outcome = ("halt" if row.verdict == "halt" else "allow") if reduces else row.verdict
        called = row.escalate or result.escalate
        return replace(row, proposal=name, tally=result, decision=worst((result.outcome, limit)), escalate=called)


def replay(
    states: Path | str,
    constitution: Constitution | str,
    *,
    out: Path | str,
    votes: Path | str | None = None,
    ledger: bool = True,
    key: PrivateKey | None = None,
    confirmations: int | None = None,
    plots: bool = True,
) -> Summary:
    """Replay files into a folder: `decisions.csv`, `events.jsonl`, `votes.jsonl`, plots, `summary.json`, the ledger.

    Args:
        confirmations: marks in a row that confirm a kill, instead of the constitution's (bars longer than the three minutes
            within which marks count can never give three).
        key: signs the ledger; without one a new key is made in the folder.

    Raises:
        Refused: a file is malformed (code and line). InputError: the folder is in use.
    """
    chosen = load(constitution) if isinstance(constitution, str) else constitution
    rules = compile_rules(chosen)
    if confirmations is not None:
        rules = replace(rules, bounds={**rules.bounds, "kill_confirmations": confirmations})
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: expected a new or empty folder, got one with files", mend="name another with --out")
    rows = read_votes(votes) if votes is not None else []
    columns = columns_of(states) if Path(states).is_file() else set()
    folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(constitution_hash=chosen.hash, notes=_notes(chosen, rows, columns, confirmations))
    replayer = Replayer(chosen, rules, rows, columns)
    book = _ledger(folder, key) if ledger else None
    series: list[tuple[int, float | None, int, int | None]] = []
    try:
        if book is not None:
            book.append("replay", {"constitution": chosen.hash, "id": chosen.id, "version": chosen.version})
        with (
            (folder / "decisions.csv").open("w", newline="", encoding="utf-8") as table,
            (folder / "events.jsonl").open("w", encoding="utf-8") as events,
            (folder / "votes.jsonl").open("w", encoding="utf-8") as explained,
        ):
            snapshots = (with_defaults(seen, columns) for seen in read_states(states))
            _run(snapshots, replayer, summary, (table, events, explained), book, series)
        summary.ledger = _finish(book, folder) if book is not None else None
    finally:
        if book is not None:
            book.close()
    if plots and series:
        from solon.governance.plots import plot

        summary.plots = plot(series, rules, folder)
    (folder / "summary.json").write_text(json.dumps(vars(summary), indent=2) + "\n", encoding="utf-8")
    return summary


def _notes(constitution: Constitution, votes: list[VoteRow], columns: set[str], confirmations: int | None) -> list[str]:
    notes = []
    if votes and not constitution.voters:
        notes.append("The constitution declares no voters: eligible are those who voted on a proposal; silence cannot count.")
    if "nav_unit" not in columns:
        notes.append("No unit value in the file: equity stands for it, which is right while nothing is paid in or out.")
    if confirmations is not None:
        notes.append(f"A kill is confirmed by {confirmations} mark(s) in a row, as asked for, not by the constitution's rule.")
    if votes:
        notes.append("Votes in a file are not signed; their result shows the arithmetic, not who voted.")
    return notes


def _ledger(folder: Path, key: PrivateKey | None) -> Ledger:
    if key is None:
        key = PrivateKey.generate("replay")
        write_pair(key, folder)
    return Ledger.open(folder / "ledger.db", key)


def _finish(book: Ledger, folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "ledger.db"), "entries": book.size, "root": book.tip.root.hex(), "key": book.public.text}


def _run(
    snapshots: Iterator[Snapshot],
    replayer: Replayer,
    summary: Summary,
    files: tuple[TextIO, TextIO, TextIO],
    book: Ledger | None,
    series: list[tuple[int, float | None, int, int | None]],
) -> None:
    table, events, explained = files
    writer = csv.writer(table)
    writer.writerow(COLUMNS)
    waiting: list[Future[int]] = []
    worst_bp, stride = 0, 1
    for number, seen in enumerate(snapshots):
        for row in replayer.rows(seen):
            cells = row.cells()
            writer.writerow(cells)
            _count(summary, row, seen.text)
            if row.tally is not None:
                explained.write(
                    json.dumps({"ts": seen.text, "proposal_id": row.proposal, "text": row.tally.explanation()}) + "\n"
                )
            if book is not None:
                waiting.append(book.submit("row", dict(zip(COLUMNS, cells, strict=True))))
        for event in replayer.events:
            summary.events += 1
            told = {
                "ts": seen.text,
                "kind": event.kind,
                "text": event.text,
                "before": event.before.name,
                "after": event.after.name,
            }
            events.write(json.dumps(told) + "\n")
            if book is not None:
                waiting.append(book.submit("event", told))
        if len(waiting) >= IN_FLIGHT:
            waiting[-1].result()
            waiting = []
        share = -1 if row.drawdown is None else row.drawdown[0] * BASIS // row.drawdown[1]
        worst_bp = max(worst_bp, share)
        if number % stride == 0 or replayer.events:
            series.append((seen.ts, None if share < 0 else share / 100, int(row.ladder), row.leverage))
            if len(series) > 2 * PLOTTED:
                series[:] = [item for i, item in enumerate(series) if i % 2 == 0 or item[2] != series[i - 1][2]]
                stride *= 2
    for future in waiting:
        future.result()
    summary.worst_drawdown_pct = _pct(worst_bp)


def _count(summary: Summary, row: Row, text: str) -> None:
    summary.rows += 1
    summary.verdicts[row.verdict] = summary.verdicts.get(row.verdict, 0) + 1
    if row.ladder.name not in summary.rungs:
        summary.rungs[row.ladder.name] = text
    summary.escalations += row.escalate
    if row.tally is not None:
        summary.proposals += 1
        summary.vetoes += len(row.tally.vetoed_by)
        for counted in row.tally.votes:
            vote = counted.vote
            if counted.counted and vote.proposed_action and row.tally.action and _differs(vote.proposed_action, row.tally.action):
                summary.outvoted[vote.voter] = summary.outvoted.get(vote.voter, 0) + 1


def _differs(proposed: str, decided: str) -> bool:
    return proposed.strip().lower().replace("-", "_").replace(" ", "_") != decided
