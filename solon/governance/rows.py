"""One state of a replay, judged: the ladder moved, limits and losses looked at, proposals tallied.

The verdict of a row is what an action that adds risk would get at that time: halt while killed and where the drawdown stands at
the kill level, confirmed or not; deny at reduce and no-new, where a hard limit is broken or cannot be told, and where the
constitution sets no limit; else allow. A column that the file lacks is not looked at; an empty cell of a column is UNKNOWN.
A proposal that was voted on gets the worse of the council's result and that verdict, unless it reduces risk. What the ladder does
is its own rule (`solon.policy.ladder`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from solon.constitution import Constitution
from solon.governance.standing import Standing, equity_gone, leverage_bp, measured, shares_of, standing, unit_of
from solon.governance.tables import Snapshot, VoteRow
from solon.policy.book import Book, atto
from solon.policy.council import ActionOrder, Tally, tally, voters_of
from solon.policy.council import Voter as Eligible
from solon.policy.ladder import Event, LadderState, Observation, herding, step
from solon.policy.limits import checks_of
from solon.policy.measures import Loss
from solon.policy.monitor import Monitor, Seen
from solon.policy.parsing import MEASURES
from solon.policy.rules import BASIS, Rules
from solon.policy.types import Ladder, Outcome, worst

COLUMNS = (
    "ts", "verdict", "ladder", "escalate", "drawdown_pct", "leverage", "reasons", "proposal_id", "vote_outcome", "vote_action",
    "votes_for", "eligible", "vetoed_by", "decision", "daily_loss_pct", "loss_24h_pct", *MEASURES,
)  # fmt: skip


RUNGS = tuple(rung.name for rung in Ladder)  # an enum's `name` is slow to ask for
_NO_MEASURES = ("",) * len(MEASURES)
_NO_VOTES = ("",) * 5


@dataclass(slots=True)
class Row:
    """One output row, before it is text."""

    text: str
    verdict: Outcome
    ladder: Ladder
    escalate: bool
    drawdown: tuple[int, int] | None
    leverage: int | None
    reasons: tuple[str, ...]
    seen: Seen
    proposal: str = ""
    tally: Tally | None = None
    decision: Outcome | None = None

    def cells(self) -> tuple[str, ...]:
        seen = self.seen
        return (
            self.text,
            self.verdict,
            RUNGS[self.ladder],
            "yes" if self.escalate else "no",
            share_pct(self.drawdown),
            "" if self.leverage is None else f"{self.leverage / BASIS:.4f}",
            ";".join(self.reasons) if self.reasons else "",
            self.proposal,
            *(_NO_VOTES if self.tally is None else _voted(self.tally)),
            self.decision or "",
            share_pct(seen.daily_loss),
            share_pct(seen.rolling_loss),
            *(_measured(seen.measures) if seen.measures else _NO_MEASURES),
        )


def _voted(t: Tally) -> tuple[str, ...]:
    return t.outcome, t.action, str(max(t.supporters.values(), default=0)), str(t.quorum.n), ";".join(t.vetoed_by)


def _measured(measures: Mapping[str, Decimal | None]) -> Iterator[str]:
    """Measures as they are; `unknown` where one cannot be told, empty where it does not apply."""
    return ("unknown" if measures.get(name, "") is None else str(measures.get(name, "")) for name in MEASURES)


def share_pct(loss: Loss | None) -> str:
    """A loss as percent with two places, rounded up; negative for a gain, empty where it cannot be told."""
    return "" if loss is None else pct(-(-loss[0] * BASIS // loss[1]))


@lru_cache(maxsize=100_000)
def pct(basis_points: int) -> str:
    """Basis points as percent with two places."""
    whole, rest = divmod(abs(basis_points), 100)
    return f"{'-' if basis_points < 0 else ''}{whole}.{rest:02d}"


class Replayer:
    """The state of a replay: ladder, high-water mark, votes to come. One `rows` call for one snapshot."""

    def __init__(self, constitution: Constitution, rules: Rules, votes: list[VoteRow], columns: Collection[str] = ()) -> None:
        """`columns` of the states file: what it states itself is not measured again."""
        self.constitution, self.rules = constitution, rules
        self.policy = bool(checks_of(rules) or rules.custom)
        self.monitor = Monitor()
        self.columns = frozenset(columns)
        self.worst_loss = rules.bounds.get("max_daily_loss_pct")
        self.measures_day, self.measures_24h = "day_open_equity" not in columns, "equity_24h_ago" not in columns
        self.ladder = LadderState()
        self.rung = Ladder.normal  # the ladder's, or the one that the file states where that is stricter
        self.high: int | None = None
        self.start: tuple[int, int] | None = None  # equity and unit value of the first row that has both
        self.events: list[Event] = []
        self.votes = votes
        self._next = 0
        order = constitution.value("action_order")
        self.order = ActionOrder(order) if order else ActionOrder()
        self.declared = voters_of(constitution)
        self.lowest = min((bound for bound, _, _ in rules.rungs), default=BASIS)

    def rows(self, seen: Snapshot) -> list[Row]:
        """The row of a snapshot, or one for each proposal voted on at its time."""
        self.events = []
        ballots = self._due(seen.ts) if self._next < len(self.votes) else {}
        book = None if seen.state is None else Book(seen.state)
        nav = None if seen.nav is None else atto(seen.nav)
        drawdown = self._drawdown(nav, seen.high, book)
        gone = book is not None and equity_gone(book)
        reading = self._read(seen, nav, book)
        if ballots or gone or not self._quiet(drawdown, reading.measures):
            self._watch(seen, reading.measures, drawdown, gone, ballots, book)
        rung = self.ladder.rung
        self.rung = rung if rung >= seen.ladder else seen.ladder
        found: tuple[Standing, ...] = ()
        if book is not None:
            book.ladder = self.rung
            if drawdown is not None:
                book.nav, book.high_water_mark = drawdown[1] - drawdown[0], drawdown[1]
            found = standing(book, self.rules, self.columns)
        if reading.measures:
            found += measured(reading.measures, self.rules, self.columns)
        lost = self._lost(reading)
        if lost or gone or found or drawdown is None or self.events or self.rung >= Ladder.reduce or not self.policy:
            verdict, reasons = self._verdict(drawdown, found, gone, lost)
            called = self.rung >= Ladder.reduce or any(event.kind == "call_person" for event in self.events)
        else:  # most rows: nothing that could be a reason
            verdict, reasons, called = "allow", (), False
        leverage = None if book is None else leverage_bp(book)
        row = Row(seen.text, verdict, self.rung, called, drawdown, leverage, reasons, reading)
        return [self._proposal(row, proposal, votes) for proposal, votes in ballots.items()] if ballots else [row]

    def _read(self, seen: Snapshot, nav: int | None, book: Book | None) -> Seen:
        """Losses and measures of this snapshot; a measure that the file states takes the place of ours."""
        day = seen.text[:10]
        if book is None:
            reading = self.monitor.level(seen.ts, nav, day)
            return reading if not seen.measures else Seen(reading.daily_loss, reading.rolling_loss, seen.measures)
        positions = seen.state.positions if seen.state is not None else ()
        prices = {p.symbol: p.mark for p in positions if book.lines[p.symbol].active}
        reading = self.monitor.update(seen.ts, unit=unit_of(book), day=day, prices=prices, shares=shares_of(book))
        return Seen(reading.daily_loss, reading.rolling_loss, {**reading.measures, **seen.measures})

    def _lost(self, reading: Seen) -> bool:
        """Whether a day or 24 hours lost more than allowed, where the file does not state what they began with."""
        bound, day, rolling = self.worst_loss, reading.daily_loss, reading.rolling_loss
        if bound is None or day is None or rolling is None:
            return False
        lost = self.measures_day and day[0] * BASIS > bound * day[1]
        return lost or (self.measures_24h and rolling[0] * BASIS > bound * rolling[1])

    @property
    def waiting(self) -> int:
        """Votes that no state has come for yet."""
        return len(self.votes) - self._next

    def _due(self, ts: int) -> dict[str, list[VoteRow]]:
        """Votes at or before this time that were not counted yet, by proposal."""
        found: dict[str, list[VoteRow]] = {}
        while self._next < len(self.votes) and self.votes[self._next].ts <= ts:
            found.setdefault(self.votes[self._next].proposal, []).append(self.votes[self._next])
            self._next += 1
        return found

    def _drawdown(self, nav: int | None, stated: Decimal | None, book: Book | None) -> tuple[int, int] | None:
        """(fall, high-water mark): the mark only rises, whatever the file says later."""
        unit = nav if nav is not None else book.equity if book is not None else None
        if unit is None:
            return None
        if self.start is None and book is not None and book.equity and book.nav:
            self.start = (book.equity, book.nav)
        high = unit if self.high is None or unit > self.high else self.high
        self.high = high = high if stated is None else max(high, atto(stated))
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
        """Move the ladder."""
        one_way, bar = self._one_way(ballots), self.monitor.bar
        observation = Observation.of(seen.ts, drawdown, "unit value", gone, measures, one_way, bar)
        self.ladder, events = step(self.ladder, observation, self.rules)
        self.events = list(events)
        if seen.nav is not None and book is not None and drawdown is not None:
            self._second_source(observation, book)

    def _quiet(self, drawdown: tuple[int, int] | None, measures: dict[str, Decimal | None]) -> bool:
        """Whether nothing at all can fire: then a step of the ladder changes nothing but its clock."""
        if drawdown is None or drawdown[0] * BASIS >= self.lowest * drawdown[1]:
            return False
        state = self.ladder
        return not (state.kill_marks or state.rung == Ladder.warn or state.breakdowns or (measures and self._stirs(measures)))

    def _stirs(self, measures: dict[str, Decimal | None]) -> bool:
        """Whether a measure reaches the level of its trigger."""
        bounds = self.rules.bounds
        levels = (
            ("flash_crash", BASIS),
            ("weighted_correlation", bounds.get("correlation_breakdown_threshold")),
            ("volatility_ratio", bounds.get("volatility_spike_multiplier")),
        )
        found = ((measures.get(name), level) for name, level in levels)
        return any(value is not None and level is not None and value * BASIS >= level for value, level in found)

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
        self, drawdown: tuple[int, int] | None, found: tuple[Standing, ...], gone: bool, lost: bool
    ) -> tuple[Outcome, tuple[str, ...]]:
        reasons = list(dict.fromkeys(f"{item.code}{'?' if item.status == 'unknown' else ''}" for item in found))
        if lost and "max_daily_loss_pct" not in reasons:
            reasons.append("max_daily_loss_pct")
        if not self.policy:
            reasons.append("no_policy")
        broken, rung = bool(reasons), self.rung
        if rung >= Ladder.reduce:
            reasons.append(f"ladder:{rung.name}")
        if drawdown is None:
            reasons.append("drawdown?")
        if gone:
            reasons.append("equity_gone")
        if self.events:
            reasons += dict.fromkeys(f"trigger:{event.text.split()[0]}" for event in self.events if event.kind == "trigger")
        halts = rung == Ladder.killed or self._at_kill_level(drawdown)
        outcome: Outcome = "halt" if halts else "deny" if broken or rung >= Ladder.reduce or gone else "allow"
        return ("deny" if drawdown is None and outcome == "allow" else outcome), tuple(reasons)

    def _at_kill_level(self, drawdown: tuple[int, int] | None) -> bool:
        levels = (bound for bound, rung, _ in self.rules.rungs if rung == Ladder.killed)
        return drawdown is not None and any(drawdown[0] * BASIS >= bound * drawdown[1] for bound in levels)

    def _proposal(self, row: Row, name: str, votes: list[VoteRow]) -> Row:
        voters = self.declared or tuple({v.vote.voter: Eligible(v.vote.voter, v.role) for v in votes}.values())
        mode = self.constitution.value("conflict_resolution_mode", "risk_manager_veto")
        threshold = Fraction(self.constitution.value("consensus_threshold", Fraction(2, 3)))
        result = tally([v.vote for v in votes], voters, threshold=threshold, mode=mode, order=self.order)
        reduces = result.action != "" and self.order.direction(result.action) != "buy"
        limit: Outcome = ("halt" if row.ladder == Ladder.killed else "allow") if reduces else row.verdict
        called = row.escalate or result.escalate
        return replace(row, proposal=name, tally=result, decision=worst((result.outcome, limit)), escalate=called)
