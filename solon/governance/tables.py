"""The CSV files of a replay, read strictly: states (one row for a time and a symbol) and votes.

Columns have the names of the STATE record: `ts` (and `as_of`, which says the same), account columns, which are the same in every
row of one time (`ladder` among them: it can make a row stricter, never milder), and position columns. Times carry their offset,
one offset in the file, and never go back. An empty cell is a missing value, which is UNKNOWN and never 0.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from solon.errors import nearest
from solon.policy.council import DECISIONS, Vote
from solon.policy.parsing import MEASURES, decimal, one_offset, parse_ladder, parse_state, plain_decimal, timestamp
from solon.policy.types import MICROSECONDS, Ladder, Position, Refused, State, field_names

ACCOUNT = (
    "currency", "cash", "maintenance_margin", "nav_unit", "high_water_mark", "day_open_equity", "equity_24h_ago", "accrued",
    "fees",
)  # fmt: skip
POSITION = tuple(name for name in field_names(Position) if name != "symbol")
STATES = ("ts", "as_of", "ladder", "symbol", *ACCOUNT, *MEASURES, *POSITION)
VOTES = ("ts", "proposal_id", "voter", "role", "decision", "proposed_action", "confidence_pct")


@dataclass(slots=True)
class Snapshot:
    """The account at one time. `state` is None for portfolio-level rows, which carry unit value and measures only."""

    ts: int
    text: str
    line: int
    nav: Decimal | None
    high: Decimal | None
    measures: dict[str, Decimal | None]
    state: State | None
    ladder: Ladder = Ladder.normal  # the rung that the file itself states


@dataclass(frozen=True, slots=True)
class VoteRow:
    """One vote of the file."""

    ts: int
    proposal: str
    role: str
    vote: Vote
    offset: str  # of the file's times from UTC


def _open(path: Path, known: tuple[str, ...], required: tuple[str, ...]) -> tuple[Any, list[str], Any]:
    if not path.is_file():
        raise Refused("missing_file", f"{path}: expected a CSV file, got none", mend="name the file")
    file = path.open(newline="", encoding="utf-8-sig")
    reader = csv.reader(file, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except (csv.Error, UnicodeDecodeError) as error:
        file.close()
        raise Refused("bad_csv", f"{path}:1: expected CSV in UTF-8, got {error}", mend="save it as CSV") from error
    problem = next((name for name in header if name not in known), None)
    missing = next((name for name in required if name not in header), None)
    twice = next((name for name in header if header.count(name) > 1), None)
    if problem is not None or missing is not None or twice is not None:
        file.close()
    if problem is not None:
        mend = nearest(problem, known) or "remove the column or correct its name; commas separate columns"
        raise Refused("unknown_field", f"{path}:1: expected columns of {', '.join(known)}; got {problem[:80]!r}", mend=mend)
    if missing is not None:
        raise Refused("missing_field", f"{path}:1: expected the column {missing!r}, got none", mend="add it")
    if twice is not None:
        raise Refused("duplicate_key", f"{path}:1: expected each column once, got {twice!r} twice", mend="remove one")
    return file, header, reader


def _rows(path: Path, file: Any, width: int, reader: Any) -> Iterator[tuple[int, list[str]]]:
    with file:
        try:
            for row in reader:
                if len(row) != width:
                    if not row:
                        continue
                    raise Refused(
                        "bad_csv", f"{path}:{reader.line_num}: expected {width} cells, got {len(row)}", mend="quote commas"
                    )
                yield reader.line_num, row
        except (csv.Error, UnicodeDecodeError) as error:
            raise Refused("bad_csv", f"{path}:{reader.line_num}: {error}", mend="save it as CSV in UTF-8") from error


_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")


@lru_cache(maxsize=86_400)
def _of_day(clock: str) -> int | None:
    """Microseconds since midnight of a time written hh:mm:ss, None for any other text; days repeat the same times."""
    match = _CLOCK.fullmatch(clock)
    return (int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])) * MICROSECONDS if match is not None else None


_OFFSET = re.compile(r"Z|[+-][0-9]{2}:[0-9]{2}")


class _Times:
    """Times of one file: one offset, never going back."""

    def __init__(self, path: Path, offset: str = "") -> None:
        self.path, self.offset, self.last = path, offset, -(2**62)
        self.whose = "of the votes' times" if offset else "of the times above"
        self._text: str | None = None  # of the last time
        self._day, self._rest, self._midnight = "", "", 0

    def read(self, text: str, line: int) -> int:
        if text == self._text:
            return self.last
        passed = None
        if text[:11] == self._day and text[19:] == self._rest:  # another time of the same day, written alike
            passed = _of_day(text[11:19])
        micros = self._begin(text, line) if passed is None else self._midnight + passed
        if micros < self.last:
            raise Refused(
                "unordered_timestamps", f"{self.path}:{line}: expected times in order, got {text}", mend="sort the rows"
            )
        self.last, self._text = micros, text
        return micros

    def _begin(self, text: str, line: int) -> int:
        """A time read in full; the day it belongs to is kept."""
        micros, self.offset = one_offset(text, f"{self.path}:{line}: ts", self.offset, self.whose)
        passed = _of_day(text[11:19]) if _OFFSET.fullmatch(text, 19) else None
        if passed is not None:
            self._day, self._rest, self._midnight = text[:11], text[19:], micros - passed
        return micros


def read_states(path: Path | str, offset: str = "") -> Iterator[Snapshot]:
    """Snapshots in order. `offset`: the one from UTC that times must have, if another file has set it.

    Raises:
        Refused: with its code and the line.
    """
    path = Path(path)
    file, header, reader = _open(path, STATES, ("ts",))
    places = {name: place for place, name in enumerate(header)}
    rows, times = _rows(path, file, len(header), reader), _Times(path, offset)
    if _has_positions(places):
        yield from _full(path, places, rows, times)
    else:
        yield from _levels(path, places, rows, times)


def _levels(path: Path, places: dict[str, int], rows: Iterator[tuple[int, list[str]]], times: _Times) -> Iterator[Snapshot]:
    """Portfolio-level rows: one a time."""
    if "nav_unit" not in places:
        raise Refused("missing_field", f"{path}:1: expected the column 'nav_unit', or 'cash' and positions", mend="add it")
    ts, nav, high = places["ts"], places["nav_unit"], places.get("high_water_mark")
    stated: list[str] = [name for name in ("as_of", "ladder") if name in places]
    measured = [(name, places[name]) for name in MEASURES if name in places]
    last, rung = None, Ladder.normal
    for line, row in rows:
        text = row[ts]
        at = times.read(text, line)
        if at == last:
            raise Refused("duplicate_id", f"{path}:{line}: expected each time once, got {text} twice", mend="remove one")
        last = at
        measures = {name: _cell(row[place], path, line, name) for name, place in measured} if measured else {}
        value = plain_decimal(row[nav]) or _cell(row[nav], path, line, "nav_unit")  # one call less for nearly every row
        mark = None if high is None else _cell(row[high], path, line, "high_water_mark")
        if stated:
            rung = _stated({name: row[places[name]] for name in stated if row[places[name]]}, at, f"{path}:{line}", times.offset)
        yield Snapshot(at, text, line, value, mark, measures, None, rung)


def _cell(text: str, path: Path, line: int, name: str) -> Decimal | None:
    """A number, None for an empty cell. Where it stands is put into words only for a refusal."""
    if not text:
        return None
    number = plain_decimal(text)
    return decimal(text, f"{path}:{line}: {name}") if number is None else number


def _stated(cells: dict[str, str], at: int, where: str, offset: str) -> Ladder:
    """The rung that a row states, normal without one; a row's state is that of its own time."""
    if "as_of" in cells and one_offset(cells["as_of"], f"{where}: as_of", offset, "of the row's ts")[0] != at:
        raise Refused("bad_choice", f"{where}: as_of: expected the row's ts, got {cells['as_of']}", mend="leave the column out")
    return parse_ladder(cells["ladder"], f"{where}: ladder") if "ladder" in cells else Ladder.normal


def _full(path: Path, places: dict[str, int], rows: Iterator[tuple[int, list[str]]], times: _Times) -> Iterator[Snapshot]:
    """Rows with positions, gathered by time."""
    group: list[dict[str, str]] = []
    start, at = 0, None
    for line, row in rows:
        cells = {name: row[place] for name, place in places.items() if row[place] != ""}
        now = times.read(row[places["ts"]], line)
        if at is not None and now != at:
            yield _snapshot(path, group, at, start)
            group = []
        if not group:
            start = line
        at = now
        group.append(cells)
    if group and at is not None:
        yield _snapshot(path, group, at, start)


def _snapshot(path: Path, group: list[dict[str, str]], at: int, line: int) -> Snapshot:
    first, where = group[0], f"{path}:{line}"
    account = {name: first[name] for name in (*ACCOUNT, *MEASURES) if name in first}
    for offset, cells in enumerate(group):
        differing = [name for name in ("as_of", "ladder", *ACCOUNT, *MEASURES) if cells.get(name) != first.get(name)]
        if differing:
            name = differing[0]
            one, other = (found.get(name, "an empty cell") for found in (first, cells))
            raise Refused(
                "bad_choice",
                f"{path}:{line + offset}: {name}: expected {one}, as in the first row of this time, got {other}",
                mend="repeat it in every row of the time",
            )
    try:
        measures = {name: account.pop(name, None) for name in MEASURES if name in account}
        record = {"currency": "USD", **account, "as_of": first["ts"], "measures": measures}
        positions = [_position(cells, first["ts"]) for cells in group if "symbol" in cells]
        state = parse_state({**record, "positions": positions})
    except Refused as error:
        raise Refused(error.code, f"{where}: {error.what}", mend=error.mend) from error
    except KeyError as error:
        raise Refused("missing_field", f"{where}: expected {error.args[0]!r}, got none", mend="fill it in") from error
    rung = _stated(first, at, where, timestamp(first["ts"], where)[1])
    return Snapshot(at, first["ts"], line, state.nav_unit, state.high_water_mark, dict(state.measures), state, rung)


def _position(cells: dict[str, str], ts: str) -> dict[str, str]:
    """A position's cells. A price without a time of its own was taken at the row's time."""
    found = {name: cells[name] for name in ("symbol", *POSITION) if name in cells}
    found.setdefault("priced_at", ts)
    return found


def with_defaults(snapshots: Iterator[Snapshot], columns: set[str]) -> Iterator[Snapshot]:
    """Multiplier, fx and leverage are 1 where the file has no such column at all (an empty cell stays unknown)."""
    absent = {name: Decimal(1) for name in ("multiplier", "fx", "product_leverage") if name not in columns}
    return (_defaulted(seen, absent) for seen in snapshots) if absent and _has_positions(columns) else snapshots


def _defaulted(snapshot: Snapshot, absent: dict[str, Decimal]) -> Snapshot:
    state = snapshot.state
    assert state is not None
    positions = tuple(replace(position, **absent) for position in state.positions)  # type: ignore[arg-type]
    return replace(snapshot, state=replace(state, positions=positions))


def _has_positions(columns: Collection[str]) -> bool:
    """Whether rows carry an account with its positions; else they are portfolio-level."""
    return "symbol" in columns or "cash" in columns


def columns_of(path: Path | str) -> set[str]:
    """The column names of a file of states. Raises Refused as `read_states` does."""
    file, header, _ = _open(Path(path), STATES, ("ts",))
    file.close()
    return set(header)


def read_votes(path: Path | str) -> list[VoteRow]:
    """All votes, in order of time. Raises Refused: with its code and the line."""
    path = Path(path)
    file, header, reader = _open(path, VOTES, ("ts", "proposal_id", "voter", "decision"))
    times, found = _Times(path), []
    for line, row in _rows(path, file, len(header), reader):
        cells = dict(zip(header, row, strict=True))
        if cells["decision"] not in DECISIONS:
            raise Refused(
                "bad_choice",
                f"{path}:{line}: decision: expected {', '.join(DECISIONS)}; got {cells['decision']!r}",
                mend="correct it",
            )
        confidence = decimal(cells["confidence_pct"], f"{path}:{line}: confidence_pct") if cells.get("confidence_pct") else None
        if confidence is not None and not 0 <= confidence <= 100:
            raise Refused("bad_choice", f"{path}:{line}: confidence_pct: expected 0 to 100, got {confidence}", mend="correct it")
        nameless = next((name for name in ("proposal_id", "voter") if not cells[name].strip()), None)
        if nameless is not None:
            raise Refused("missing_field", f"{path}:{line}: expected a {nameless}, got an empty cell", mend="fill it in")
        vote = Vote(cells["voter"], cells["decision"], cells.get("proposed_action", ""), confidence)  # type: ignore[arg-type]
        at = times.read(cells["ts"], line)
        found.append(VoteRow(at, cells["proposal_id"], cells.get("role", ""), vote, times.offset))
    return found
