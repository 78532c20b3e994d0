"""The rows of a replay judged again from its ledger alone, which holds the files, the constitution and what every row said."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solon.constitution import Constitution, parse_text
from solon.errors import IntegrityError
from solon.governance.replay import read_files
from solon.governance.rows import COLUMNS, Row
from solon.ledger.storage import Ledger
from solon.policy.types import Refused

DECIDED = ("verdict", "vote_outcome", "vote_action", "decision")


@dataclass(frozen=True)
class Judgement:
    """A logged row and what it says now; `now` is None where the files end before it."""

    index: int
    then: dict[str, str]
    now: dict[str, str] | None

    def same(self, *, exact: bool) -> bool:
        """Whether every cell is the same, or at least what was decided."""
        names = COLUMNS if exact else DECIDED
        return self.now is not None and all(self.then[name] == self.now[name] for name in names)


def rows_again(ledger: Ledger, other: Constitution | None) -> Iterator[Judgement]:
    """Every logged row, judged again under its own constitution or the other.

    Raises:
        IntegrityError: the files or the constitution are not in the ledger.
    """
    runs = ledger.of_kind("replay")
    ends = [*(run.index for run in runs), ledger.size][1:]
    for run, end in zip(runs, ends, strict=True):
        with tempfile.TemporaryDirectory() as folder:
            rows: Iterator[dict[str, str]] | None = None
            for entry in ledger.entries(run.index + 1, end):
                record = entry.record
                if record["kind"] == "input":
                    _write(Path(folder), record["body"], entry.index)
                elif record["kind"] == "row":
                    rows = rows or _judged(Path(folder), run.record["body"], run.index, other)
                    yield Judgement(entry.index, record["body"], next(rows, None))


def _write(folder: Path, body: dict[str, Any], index: int) -> None:
    if body["file"] not in ("states", "votes"):  # it names a file: nothing else may be written
        raise IntegrityError(f"entry {index}: expected a piece of states or votes", mend="it was not written here")
    with (folder / f"{body['file']}.csv").open("a", newline="", encoding="utf-8") as file:
        file.write(body["text"])


def _judged(folder: Path, body: dict[str, Any], index: int, other: Constitution | None) -> Iterator[dict[str, str]]:
    states, votes = folder / "states.csv", folder / "votes.csv"
    if not states.exists() or "text" not in body:
        raise IntegrityError(f"entry {index}: the files of this replay are not in the ledger", mend="replay them again")
    own = parse_text(body["text"], f"ledger entry {index}")
    if own.hash != body["constitution"]:
        raise IntegrityError(f"entry {index}: the constitution's text does not give its hash", mend="restore the ledger")
    given = read_files(states, votes if votes.exists() else None, other or own, body["confirmations"])
    try:
        for seen in given.snapshots:
            yield from (_cells(row) for row in given.replayer.rows(seen))
    except Refused:
        return  # as it was then: the rows before the malformed one were judged


def _cells(row: Row) -> dict[str, str]:
    return dict(zip(COLUMNS, row.cells(), strict=True))
