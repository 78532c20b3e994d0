"""The emergency ladder: normal -> warn -> reduce -> no-new -> killed, as a pure function of state, observation and time.

    state, events = step(state, observation, rules)

Triggers fire at or beyond. Reduce and no-new act on a single reading; a kill by drawdown needs two sources, or three marks
in a row of one source, within a minute each, or a person's signed stop. From reduce upwards every rung latches: reduce and
no-new are left by one signed risk manager after a cool-down, killed by k-of-n. This module is told who signed; it verifies
no signature itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from solon.policy.rules import BASIS, Rules
from solon.policy.types import MICROSECONDS, Ladder

MINUTE = 60 * MICROSECONDS
CASCADE_WINDOW = 10 * MINUTE
KILL_WINDOW = 3 * MINUTE  # or, of a source that marks less often than each minute, as many of its marks as are needed
CONFIRMATIONS = 3
COOL_DOWN = 30 * MINUTE
HERD_SHARE = Fraction(2, 3)
HERD_CORRELATION = Decimal("0.9")
BREAKDOWN_READINGS = 2

Command = Literal["", "stop", "relax", "resume"]
Trigger = Literal[
    "drawdown_warn", "drawdown_reduce", "drawdown_no_new", "drawdown_kill", "correlation_breakdown", "volatility_spike",
    "flash_crash", "market_halt", "herding", "cascade", "stop",
]  # fmt: skip


@dataclass(frozen=True)
class Observation:
    """What was seen at `now` (microseconds). None means UNKNOWN, which never lowers a rung and never counts as a mark.

    `drawdown` is (fall, high-water mark), both integers of one scale; `equity_gone` says that equity is 0 or less. `source` names
    who measured, and `spacing` (microseconds) how often it does at best: where it marks seldom, marks further apart are a row.
    `flash_crash`, `market_halt` level as the monitor reads them; `causes` maps a trigger to what brought it
    about, for triggers of one cause count once. `agents_one_way` is the largest share of agents acting in one direction.
    `command` was signed: `stop` by anyone authorised, `relax` by a risk manager, `resume` by k-of-n; `rebased` says that
    k-of-n set the mark anew.
    """

    now: int
    drawdown: tuple[int, int] | None = None
    source: str = "primary"
    equity_gone: bool = False
    correlation: Decimal | None = None
    volatility: Decimal | None = None
    flash_crash: bool | None = None
    market_halt: int = 0
    agents_one_way: Fraction | None = None
    causes: Mapping[str, str] | None = None
    command: Command = ""
    rebased: bool = False
    spacing: int = 0

    @classmethod
    def of(
        cls,
        now: int,
        drawdown: tuple[int, int] | None,
        source: str,
        equity_gone: bool,
        measures: Mapping[str, Decimal | None],
        agents_one_way: Fraction | None = None,
        spacing: int = 0,
    ) -> Observation:
        """With what a monitor measured, by the names that a state gives it (`solon.policy.parsing.MEASURES`)."""
        flash = measures.get("flash_crash")
        return cls(
            now, drawdown, source, equity_gone, measures.get("weighted_correlation"), measures.get("volatility_ratio"),
            None if flash is None else flash >= 1, agents_one_way=agents_one_way, spacing=spacing,
        )  # fmt: skip


@dataclass(frozen=True)
class Event:
    """What happened: `kind` is `rung`, `trigger`, `unconfirmed_kill`, `call_person`, `refused`, `clock` or `unknown`."""

    at: int
    kind: Literal["rung", "trigger", "unconfirmed_kill", "call_person", "refused", "clock", "unknown"]
    text: str
    before: Ladder
    after: Ladder


@dataclass(frozen=True)
class LadderState:
    """All that must survive a restart. `kill_marks`: (source, times of its consecutive marks); `recent`: (time, trigger,
    cause).
    """

    rung: Ladder = Ladder.normal
    since: int = 0
    now: int = 0
    kill_marks: tuple[tuple[str, tuple[int, ...]], ...] = ()
    breakdowns: int = 0
    recent: tuple[tuple[int, str, str], ...] = ()
    supported: Ladder = Ladder.normal


def step(state: LadderState, seen: Observation, rules: Rules) -> tuple[LadderState, tuple[Event, ...]]:
    """The state after an observation, and what happened. Time that runs backwards is taken as no time passed, with an event."""
    events: list[Event] = []
    now = max(state.now, seen.now)
    if seen.now < state.now:
        events.append(_event(state, now, "clock", f"the clock went back by {(state.now - seen.now) // MICROSECONDS} s"))
    state = replace(state, now=now)
    state, fired = _triggers(state, seen, rules)
    for trigger, rung in fired:
        events.append(_event(state, now, "trigger", f"{trigger} asks for {rung.name}"))
    supported = max((rung for _, rung in fired), default=Ladder.normal)
    state = replace(state, supported=supported)
    if seen.drawdown is None and not seen.equity_gone:
        events.append(_event(state, now, "unknown", "the drawdown cannot be told; what adds risk is denied meanwhile"))
    if any(trigger == "drawdown_kill" for trigger, _ in fired) and supported < Ladder.killed:
        events.append(
            _event(state, now, "unconfirmed_kill", "the kill level was reached; another source or mark must confirm it")
        )
    state, moved = _move(state, seen, supported, rules)
    return state, (*events, *moved)


def _event(state: LadderState, at: int, kind: str, text: str, after: Ladder | None = None) -> Event:
    return Event(at, kind, text, state.rung, state.rung if after is None else after)  # type: ignore[arg-type]


# --- triggers ---------------------------------------------------------------------------------------------------------------


def _triggers(state: LadderState, seen: Observation, rules: Rules) -> tuple[LadderState, list[tuple[str, Ladder]]]:
    """Every trigger that fires, with the rung it asks for; the confirmation counters moved on."""
    state, fired = _drawdown_triggers(state, seen, rules)
    state, market = _market_triggers(state, seen, rules)
    state, cascade = _cascade(state, seen, fired + market, rules)
    return state, fired + market + cascade


def _drawdown_triggers(state: LadderState, seen: Observation, rules: Rules) -> tuple[LadderState, list[tuple[str, Ladder]]]:
    names = {Ladder.warn: "drawdown_warn", Ladder.reduce: "drawdown_reduce", Ladder.no_new: "drawdown_no_new"}
    fall, high = (1, 1) if seen.equity_gone else seen.drawdown or (0, 0)
    fired: list[tuple[str, Ladder]] = []
    kill = False
    for bound, rung, _ in rules.rungs:
        if high and fall * BASIS >= bound * high:
            kill = kill or rung == Ladder.killed
            if rung != Ladder.killed:
                fired.append((names[rung], rung))
    if not high:
        return state, fired
    state = _mark(state, seen, kill, rules)
    if kill:
        fired.append(("drawdown_kill", Ladder.killed if _confirmed(state, rules) else Ladder.no_new))
    return state, fired


def _mark(state: LadderState, seen: Observation, kill: bool, rules: Rules) -> LadderState:
    """A kill mark extends its source's row; any other mark of that source ends it. Marks older than the window are forgotten."""
    window = max(KILL_WINDOW, rules.bounds.get("kill_confirmations", CONFIRMATIONS) * seen.spacing)
    rows = {source: tuple(t for t in times if t > state.now - window) for source, times in state.kill_marks}
    rows[seen.source] = (*rows.get(seen.source, ()), state.now) if kill else ()
    return replace(state, kill_marks=tuple((source, times) for source, times in sorted(rows.items()) if times))


def _confirmed(state: LadderState, rules: Rules) -> bool:
    """Two sources agree, or one has said so three times running (the constitution may ask for more)."""
    needed = rules.bounds.get("kill_confirmations", CONFIRMATIONS)
    sources = max(2, needed - 1) if needed > 1 else 1
    return len(state.kill_marks) >= sources or any(len(times) >= needed for _, times in state.kill_marks)


def _market_triggers(state: LadderState, seen: Observation, rules: Rules) -> tuple[LadderState, list[tuple[str, Ladder]]]:
    fired: list[tuple[str, Ladder]] = []
    bound = rules.bounds.get("correlation_breakdown_threshold")
    if bound is not None and seen.correlation is not None:
        high = seen.correlation * BASIS >= bound
        state = replace(state, breakdowns=state.breakdowns + 1 if high else 0)
        if state.breakdowns >= BREAKDOWN_READINGS:
            fired.append(("correlation_breakdown", Ladder.reduce))
    bound = rules.bounds.get("volatility_spike_multiplier")
    if bound is not None and seen.volatility is not None and seen.volatility * BASIS >= bound:
        fired.append(("volatility_spike", Ladder.reduce))
    if rules.flag("flash_crash_detection") and seen.flash_crash:
        fired.append(("flash_crash", Ladder.no_new))
    if seen.market_halt:
        fired.append(("market_halt", Ladder.no_new))
    return state, fired


def _cascade(
    state: LadderState, seen: Observation, fired: list[tuple[str, Ladder]], rules: Rules
) -> tuple[LadderState, list[tuple[str, Ladder]]]:
    """Two triggers of different causes within ten minutes, or most agents one way while correlated, ask for no-new."""
    if not rules.flag("cascade_failure_prevention"):
        return state, []
    causes = seen.causes or {}
    kinds = {_kind(trigger) for trigger, rung in fired if rung >= Ladder.reduce}
    recent = tuple(item for item in state.recent if item[0] > state.now - CASCADE_WINDOW)
    recent += tuple((state.now, kind, causes.get(kind, kind)) for kind in sorted(kinds))
    state = replace(state, recent=tuple({(kind, cause): (at, kind, cause) for at, kind, cause in recent}.values()))
    found: list[tuple[str, Ladder]] = []
    if seen.agents_one_way is not None and seen.agents_one_way > HERD_SHARE and (seen.correlation or 0) > HERD_CORRELATION:
        found.append(("herding", Ladder.no_new))
    if kinds and len({kind for _, kind, _ in state.recent}) >= 2 and len({cause for _, _, cause in state.recent}) >= 2:
        found.append(("cascade", Ladder.no_new))
    return state, found


def _kind(trigger: str) -> str:
    """All drawdown levels are one trigger."""
    return "drawdown" if trigger.startswith("drawdown") else trigger


# --- moving -----------------------------------------------------------------------------------------------------------------


def _move(state: LadderState, seen: Observation, supported: Ladder, rules: Rules) -> tuple[LadderState, list[Event]]:
    """Up at once; down from warn by itself, from reduce and no-new by `relax`, from killed by `resume`."""
    if seen.command == "stop":
        return _to(state, Ladder.killed, "a signed stop")
    if supported > state.rung:
        return _to(state, supported, "triggers")
    if seen.command == "relax":
        return _relax(state, supported, rules)
    if seen.command == "resume":
        return _resume(state, seen, supported)
    if state.rung == Ladder.warn and supported < Ladder.warn and seen.drawdown is not None:
        return _to(state, supported, "the warning has passed")
    return state, []


def _to(state: LadderState, rung: Ladder, why: str) -> tuple[LadderState, list[Event]]:
    if rung == state.rung:
        return state, []
    events = [_event(state, state.now, "rung", f"{state.rung.name} -> {rung.name}: {why}", rung)]
    if rung >= Ladder.reduce and rung > state.rung:
        events.append(_event(state, state.now, "call_person", f"a person is called: {rung.name}", rung))
    return replace(state, rung=rung, since=state.now), events


def _relax(state: LadderState, supported: Ladder, rules: Rules) -> tuple[LadderState, list[Event]]:
    wait = rules.bounds.get("cool_down_seconds", COOL_DOWN)
    if state.rung not in (Ladder.reduce, Ladder.no_new):
        return state, [
            _event(state, state.now, "refused", f"relax: expected reduce or no_new, the ladder stands at {state.rung.name}")
        ]
    if state.now - state.since < wait:
        left = (wait - (state.now - state.since)) // MICROSECONDS
        return state, [_event(state, state.now, "refused", f"relax: the cool-down lasts another {left} s")]
    if supported >= state.rung:
        return state, [_event(state, state.now, "refused", f"relax: what is measured still asks for {supported.name}")]
    return _to(state, supported, "relaxed by a risk manager")


def _resume(state: LadderState, seen: Observation, supported: Ladder) -> tuple[LadderState, list[Event]]:
    """Leave killed for the rung that is measured; while the drawdown still stands at the kill level, only after a new mark
    was set.
    """
    if state.rung != Ladder.killed:
        return state, [_event(state, state.now, "refused", f"resume: expected killed, the ladder stands at {state.rung.name}")]
    if seen.drawdown is None:
        return state, [_event(state, state.now, "refused", "resume: the drawdown cannot be told")]
    if state.kill_marks and not seen.rebased:
        return state, [_event(state, state.now, "refused", "resume: the drawdown still stands at the kill level")]
    cleared = replace(state, kill_marks=(), breakdowns=0, recent=())
    return _to(cleared, min(supported, Ladder.no_new), "resumed by k-of-n")


def herding(directions: Mapping[str, str]) -> Fraction:
    """The largest share of agents that act in one direction (agent -> buy, sell or hold); holding is no direction."""
    acting = [d for d in directions.values() if d in ("buy", "sell")]
    return Fraction(max((acting.count(d) for d in set(acting)), default=0), max(1, len(directions)))


def state_record(state: LadderState) -> dict[str, object]:
    """JSON-able record for the ledger and for restarts."""
    return {
        "rung": state.rung.name,
        "since": state.since,
        "now": state.now,
        "kill_marks": [[source, list(times)] for source, times in state.kill_marks],
        "breakdowns": state.breakdowns,
        "recent": [list(item) for item in state.recent],
        "supported": state.supported.name,
    }


def state_of(record: Mapping[str, object]) -> LadderState:
    """The inverse of `state_record`. A missing or unknown field is a KeyError or TypeError: a ladder is never guessed."""
    fields = dict(record)
    marks = tuple((source, tuple(times)) for source, times in fields.pop("kill_marks"))  # type: ignore[attr-defined]
    recent = tuple(tuple(item) for item in fields.pop("recent"))  # type: ignore[attr-defined]
    rungs = {name: Ladder[str(fields.pop(name))] for name in ("rung", "supported")}
    return LadderState(kill_marks=marks, recent=recent, **rungs, **fields)  # type: ignore[arg-type]
