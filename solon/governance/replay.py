"""Portfolio states and votes replayed under a constitution: verdict, ladder, votes, vetoes, escalations for every row.

    summary = replay("states.csv", "trading", out="out", votes="votes.csv")

What a row says is decided in `solon.governance.rows`; this module reads the files and writes tables, ledger and figures.
"""

from __future__ import annotations

import csv
import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from solon.constitution import Constitution, load, render
from solon.errors import InputError
from solon.governance.plots import Point, plot
from solon.governance.rows import COLUMNS, RUNGS, Replayer, Row, pct
from solon.governance.tables import Snapshot, VoteRow, columns_of, read_states, read_votes, with_defaults
from solon.ledger.keys import PrivateKey, read_private, write_pair
from solon.ledger.receipts import Receipt
from solon.ledger.storage import Ledger
from solon.policy.ladder import Event
from solon.policy.rules import BASIS, compile_rules
from solon.policy.types import Refused

IN_FLIGHT = 20_000
PIECE = 100_000  # characters of an input file in one entry
PLOTTED = 4000
FILES = ("decisions.csv", "events.jsonl", "votes.jsonl")


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


def replay(
    states: Path | str,
    constitution: Constitution | str | Path,
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
        confirmations: marks in a row that confirm a kill, instead of the constitution's three within three minutes (of coarser
            bars, within three bars).
        key: signs the ledger; without one a new key is made in the folder.

    Raises:
        Refused: a file is malformed (code and line). InputError: the folder is in use.
    """
    chosen = constitution if isinstance(constitution, Constitution) else load(constitution)
    folder = Path(out)
    if folder.exists() and not _free(folder):
        raise InputError(f"{folder}: expected a new or empty folder, got one with files", mend="name another with --out")
    folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(constitution_hash=chosen.hash)
    book = _ledger(folder, key) if ledger else None
    course = _Course() if plots else None
    try:
        with _Output(folder, book) as output:
            output.log("replay", {**_named(chosen), "text": render(chosen), "confirmations": confirmations})
            try:
                given = read_files(states, votes, chosen, confirmations)
                output.inputs({"states": Path(states), **({"votes": Path(votes)} if votes is not None else {})})
                summary.notes += _notes(chosen, given.replayer.votes, given.columns, confirmations)
                _run(given.snapshots, given.replayer, summary, output, course)
                if not summary.rows:
                    raise Refused("no_rows", f"{states}:2: expected at least one state, got none", mend="add rows")
            except Refused as error:
                output.log("refusal", {"code": error.code, "why": error.what[:500]})
                raise
        summary.ledger = _finish(book, folder) if book is not None else None
    finally:
        if book is not None:
            book.close()
    if given.replayer.waiting:
        summary.notes.append(f"{given.replayer.waiting} votes come after the last state and were not counted.")
    if course is not None and course.points:
        title = f"{Path(states).name} under {chosen.id}, version {chosen.version}"
        summary.plots = plot(course.points, given.replayer.rules, folder, title=title, votes=course.votes)
    (folder / "summary.json").write_text(json.dumps(vars(summary), indent=2) + "\n", encoding="utf-8")
    return summary


@dataclass(frozen=True)
class Files:
    """The files of a replay, opened: what judges their rows, the snapshots to be judged, the columns of the states."""

    replayer: Replayer
    snapshots: Iterator[Snapshot]
    columns: set[str]


def read_files(states: Path | str, votes: Path | str | None, chosen: Constitution, confirmations: int | None) -> Files:
    """Open both files. Raises Refused: malformed (the states' rows when they are read)."""
    rules = compile_rules(chosen)
    if confirmations is not None:
        rules = replace(rules, bounds={**rules.bounds, "kill_confirmations": confirmations})
    rows = read_votes(votes) if votes is not None else []
    columns = columns_of(states)
    snapshots = read_states(states, rows[0].offset if rows else "")
    return Files(Replayer(chosen, rules, rows, columns), with_defaults(snapshots, columns), columns)


def _named(constitution: Constitution) -> dict[str, Any]:
    return {"constitution": constitution.hash, "id": constitution.id, "version": constitution.version}


def _notes(constitution: Constitution, votes: list[VoteRow], columns: set[str], confirmations: int | None) -> list[str]:
    notes = []
    if votes and not constitution.voters:
        notes.append("The constitution declares no voters: eligible are those who voted on a proposal; silence cannot count.")
    if "nav_unit" not in columns:
        notes.append("No unit value in the file: equity stands for it, which is right while nothing is paid in or out.")
    if {"symbol", "cash"} & columns and "maintenance_margin" not in columns:
        notes.append("No maintenance margin in the file: margin_buffer was not looked at.")
    if confirmations is not None:
        notes.append(f"A kill is confirmed by {confirmations} mark(s) in a row, as asked for, not by the constitution's rule.")
    if votes:
        notes.append("Votes in a file are not signed; their result shows the arithmetic, not who voted.")
    return notes


def _free(folder: Path) -> bool:
    """Whether a folder is empty, or holds no more than the ledger of replays that were refused, which goes on."""
    return all(path.name in FILES or path.name.startswith(("ledger.db", "replay.")) for path in folder.iterdir())


def _ledger(folder: Path, key: PrivateKey | None) -> Ledger:
    kept = folder / "replay.key"
    if key is None and kept.exists():
        key = read_private(kept)
    if key is None:
        key = PrivateKey.generate("replay")
        write_pair(key, folder)
    return Ledger.open(folder / "ledger.db", key)


def _finish(book: Ledger, folder: Path) -> dict[str, Any]:
    return {"path": str(folder / "ledger.db"), "entries": book.size, "root": book.tip.root.hex(), "key": book.public.text}


class _Output:
    """The three files and the ledger of a replay. Entries are waited for in batches, and all of them at the end."""

    def __init__(self, folder: Path, book: Ledger | None) -> None:
        self.book, self._waiting = book, deque[Receipt]()
        self._files = [(folder / name).open("w", newline="", encoding="utf-8") for name in FILES]
        self._write = self._files[0].write
        self._writer = csv.writer(self._files[0])
        self._writer.writerow(COLUMNS)

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()
        self._drain(0)

    def log(self, kind: str, body: dict[str, Any]) -> None:
        if self.book is not None:
            self._waiting.append(self.book.submit(kind, body))
            self._drain(IN_FLIGHT)

    def _drain(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def inputs(self, files: dict[str, Path]) -> None:
        """The files as they are, in pieces: with them the ledger can be decided again."""
        if self.book is None:
            return
        for name, path in files.items():
            with suppress(UnicodeDecodeError), path.open(newline="", encoding="utf-8") as file:  # who reads the rows refuses it
                while piece := file.read(PIECE):
                    self.log("input", {"file": name, "text": piece})

    def row(self, row: Row) -> None:
        cells = row.cells()
        if row.reasons or row.tally is not None:
            self._writer.writerow(cells)
        else:  # times, numbers and names of ours: nothing to quote
            self._write(",".join(cells) + "\r\n")
        if row.tally is not None:
            told = {"ts": row.text, "proposal_id": row.proposal, "text": row.tally.explanation()}
            self._files[2].write(json.dumps(told) + "\n")
        if self.book is not None:
            self.log("row", dict(zip(COLUMNS, cells, strict=True)))

    def event(self, ts: str, event: Event) -> None:
        told = {"ts": ts, "kind": event.kind, "text": event.text, "before": event.before.name, "after": event.after.name}
        self._files[1].write(json.dumps(told) + "\n")
        self.log("event", told)


class _Course:
    """What the figure shows: every state, or of long replays every n-th and each at which something happened."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.votes: list[tuple[int, str]] = []
        self._number, self._stride = 0, 1

    def add(self, at: int, row: Row, happened: bool) -> None:
        if row.decision is not None:
            self.votes.append((at, row.decision))
        if self._number % self._stride == 0 or happened:
            self.points.append(_point(at, row))
            if len(self.points) > 2 * PLOTTED:
                self.points = [p for i, p in enumerate(self.points) if i % 2 == 0 or p.rung != self.points[i - 1].rung]
                self._stride *= 2
        self._number += 1


def _point(at: int, row: Row) -> Point:
    fall = None if row.drawdown is None else 100 * row.drawdown[0] / row.drawdown[1]
    leverage = None if row.leverage is None else row.leverage / BASIS
    pairs = [row.seen.measures.get(name) for name in ("max_pair_correlation", "weighted_correlation")]
    return Point(at, fall, int(row.ladder), leverage, *(None if value is None else float(value) for value in pairs))


def _run(snapshots: Iterator[Snapshot], replayer: Replayer, summary: Summary, output: _Output, course: _Course | None) -> None:
    worst = 0
    for seen in snapshots:
        for row in replayer.rows(seen):
            output.row(row)
            _count(summary, row)
            if course is not None:
                course.add(seen.ts, row, bool(replayer.events))
        for event in replayer.events:
            summary.events += 1
            output.event(seen.text, event)
        if row.drawdown is not None and row.drawdown[0] * BASIS > worst * row.drawdown[1]:
            worst = -(-row.drawdown[0] * BASIS // row.drawdown[1])
    summary.worst_drawdown_pct = pct(worst)


def _count(summary: Summary, row: Row) -> None:
    summary.rows += 1
    summary.verdicts[row.verdict] = summary.verdicts.get(row.verdict, 0) + 1
    summary.rungs.setdefault(RUNGS[row.ladder], row.text)
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
