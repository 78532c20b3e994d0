"""The emergency sequence as a plan: first five minutes, up to thirty, after that. Every order in it re-passes the limits.

    plan = emergency_plan(book, judge, target=Fraction(3, 2))

Phase 1 halts new positions, cancels what adds risk, reduces and raises cash; phase 2 rebalances and coordinates, and hedges only
through the ordinary gate; phase 3 watches, re-enters selectively, learns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Any, Literal

from solon.policy.assess import Judge
from solon.policy.book import ATTO, UNIT, Book, Line
from solon.policy.parsing import action_record
from solon.policy.types import Action, Ladder

Kind = Literal["halt", "cancel", "reduce", "notify", "rebalance", "hedge", "monitor", "re_enter", "learn"]
PHASE_MINUTES = {1: (0, 5), 2: (5, 30), 3: (30, None)}
MOST_STEPS = 500


@dataclass(frozen=True)
class Step:
    """One step: `phase` 1..3, `minute` after the start, `kind`, what to do, and the order where there is one."""

    phase: int
    minute: int
    kind: Kind
    text: str
    action: Action | None = None


@dataclass(frozen=True)
class Plan:
    """The steps, gross leverage before and after them (exact; None where equity is unknown or gone), and what could not be
    done.
    """

    steps: tuple[Step, ...]
    leverage_before: Fraction | None
    leverage_after: Fraction | None
    open_points: tuple[str, ...] = ()

    def text(self) -> str:
        """The plan for people."""
        lines = []
        for phase, (start, end) in PHASE_MINUTES.items():
            lines.append(f"Phase {phase} ({start}{f'-{end}' if end else '+'} min)")
            lines += [f"  {step.minute:>3} min  {step.text}" for step in self.steps if step.phase == phase]
        return "\n".join([*lines, *(f"Open: {point}" for point in self.open_points)])

    def as_dict(self) -> dict[str, Any]:
        """JSON-able record without floats: steps with their ACTION, gross leverage as decimal text rounded up."""
        steps = [
            {"phase": s.phase, "minute": s.minute, "kind": s.kind, "text": s.text, "action": s.action and action_record(s.action)}
            for s in self.steps
        ]
        leverage = {"leverage_before": _text(self.leverage_before), "leverage_after": _text(self.leverage_after)}
        return {"steps": steps, **leverage, "open_points": list(self.open_points)}


def emergency_plan(
    book: Book,
    judge: Judge,
    *,
    target: Fraction = Fraction(1),
    flatten: bool = False,
    slice_volume: Mapping[str, Decimal] | None = None,
    agent: str = "emergency",
) -> Plan:
    """A plan for this book; the book itself is not changed.

    `target`: gross leverage to come down to. `flatten`: close everything (the plan of a killed account, which a person must
    approve: its orders are of kind `flatten`). `slice_volume`: largest quantity of one order by symbol, such as a share of
    daily volume. Orders take the largest risk contribution first (worst-case exposure x product leverage). Each was assessed
    on the book as the steps before it leave it.
    """
    ghost = book.copy()
    before = _leverage(ghost)
    killed = ghost.ladder == Ladder.killed or flatten
    steps = [Step(1, 0, "halt", "Open no new position; refuse every order that adds risk.")]
    steps += _cancels(ghost)
    steps.append(Step(1, 0, "notify", "Call a person and the risk manager; keep the record."))
    reductions, points = _reductions(ghost, judge, Fraction(0) if flatten else target, killed, slice_volume or {}, agent)
    steps += reductions
    steps += [
        Step(2, 5, "rebalance", "Check issuers and sectors against their caps; trim what still exceeds them."),
        *_trims(ghost, judge, killed, slice_volume or {}, agent),
        Step(2, 10, "hedge", "A hedge is an order like any other: propose it through the ordinary gate, or leave it."),
        Step(2, 15, "notify", "Coordinate the agents: one book, one plan, no order outside it."),
        Step(3, 30, "monitor", "Watch drawdown, correlation, volatility and prices' age at every mark."),
        Step(
            3, 60, "re_enter", "Re-enter selectively, once a risk manager has relaxed the ladder and every limit holds with room."
        ),
        Step(3, 60, "learn", "Review what fired, how fast, and what would have fired earlier; propose changes for signature."),
    ]
    return Plan(tuple(steps), before, _leverage(ghost), tuple(points))


def _text(leverage: Fraction | None) -> str | None:
    """Four places, rounded up."""
    return None if leverage is None else format(Decimal(-(-leverage * 10_000 // 1)).scaleb(-4), "f")


def _leverage(book: Book) -> Fraction | None:
    equity = book.equity
    return None if equity is None or equity <= 0 else Fraction(book.gross, equity)


def _cancels(ghost: Book) -> list[Step]:
    """Cancel every working order but protective stops within their position."""
    steps = []
    for line in ghost.lines.values():
        for order in list(line.orders.values()):
            if order.kind == "stop":
                continue
            ghost.cancel(line.symbol, order.id)
            text = f"Cancel {order.id}: {order.side} {order.qty:f} {order.symbol} of {order.agent}."
            steps.append(Step(1, 0, "cancel", text, replace(order, kind="cancel")))
    return steps


def _reductions(
    ghost: Book, judge: Judge, target: Fraction, killed: bool, slices: Mapping[str, Decimal], agent: str
) -> tuple[list[Step], list[str]]:
    """Sized exits until gross <= target x equity; lines without a price are closed whole, as their exposure can't be told."""
    steps: list[Step] = []
    points: list[str] = []
    blocked: set[str] = set()
    while len(steps) < MOST_STEPS:
        line = _largest_line(ghost, blocked)
        if line is None or not _above(ghost, target, line):
            break
        qty = _wanted(ghost, line, target, slices.get(line.symbol))
        action = _exit(line, qty, f"{agent}-{len(steps) + 1}", agent, ghost.now, killed)
        if qty > 0 and _passes(ghost, judge, action, killed):
            steps += _resized(ghost, line, action.qty)
            _pretend(ghost, action, line)
            steps.append(Step(1, min(4, 1 + len(steps)), "reduce", f"{action.side.capitalize()} {qty:f} {line.symbol}.", action))
        else:
            blocked.add(line.symbol)
            points.append(f"{line.symbol}: no exit passes the limits; a person decides.")
    if len(steps) >= MOST_STEPS:
        points.append(f"The plan stops after {MOST_STEPS} orders; use larger slices.")
    return steps, points


def _largest_line(ghost: Book, blocked: set[str]) -> Line | None:
    held = [line for line in ghost.lines.values() if line.qty and line.symbol not in blocked]
    return max(held, key=lambda line: (not line.priced, line.worst * (line.leverage or ATTO), line.symbol), default=None)


def _above(ghost: Book, target: Fraction, line: Line) -> bool:
    equity = ghost.equity
    if equity is None or equity <= 0 or not line.priced:
        return True
    return Fraction(ghost.gross, equity) > target


def _wanted(ghost: Book, line: Line, target: Fraction, most: Decimal | None) -> Decimal:
    """Quantity to close on this line: what brings gross to the target, at most what is held, at most one slice."""
    held = _held(line)
    equity = ghost.equity
    wanted = held
    if equity is not None and equity > 0 and line.priced and target > 0:
        excess = Fraction(ghost.gross) - target * equity
        price = Fraction((line.mark or 0) * (line.factor or 0), UNIT)
        exact = excess / price / ATTO
        places = -int(held.normalize().as_tuple().exponent) if held else 0
        step = Decimal(1).scaleb(-max(0, places))
        wanted = (Decimal(exact.numerator) / Decimal(exact.denominator)).quantize(step, rounding=ROUND_CEILING)
    return _plain(min(held, wanted, most if most is not None else held))


def _held(line: Line) -> Decimal:
    return _plain(Decimal(abs(line.qty)).scaleb(-18))


def _plain(amount: Decimal) -> Decimal:
    """Without trailing zeros and without an exponent."""
    return Decimal(format(amount.normalize(), "f"))


def _exit(line: Line, qty: Decimal, name: str, agent: str, now: int, killed: bool) -> Action:
    return Action(name, agent, "flatten" if killed else "order", line.symbol, "sell" if line.qty > 0 else "buy", qty, ts=now)


def _passes(ghost: Book, judge: Judge, action: Action, killed: bool) -> bool:
    return judge.assess(action, ghost, approved=killed, size=False).allowed


def _resized(ghost: Book, line: Line, sold: Decimal) -> list[Step]:
    """Bring protective stops down to what the position will be, before it is reduced: a larger one could open the other way."""
    left = _plain(_held(line) - sold)
    steps = []
    for order in [order for order in line.orders.values() if order.kind == "stop" and order.qty > left]:
        ghost.cancel(line.symbol, order.id)
        if left > 0:
            smaller = replace(order, qty=left)
            ghost.work(smaller)
            steps.append(Step(1, 1, "cancel", f"Resize the stop {order.id} to {left:f} {line.symbol}.", smaller))
        else:
            steps.append(Step(1, 1, "cancel", f"Cancel the stop {order.id} of {line.symbol}.", replace(order, kind="cancel")))
    return steps


def _pretend(ghost: Book, action: Action, line: Line) -> None:
    """Fill a step on the ghost at its mark, so that the next step is judged on what it leaves."""
    price = Decimal(line.mark or 0).scaleb(-18)
    ghost.fill(action.symbol, action.side, action.qty, price)


def _trims(ghost: Book, judge: Judge, killed: bool, slices: Mapping[str, Decimal], agent: str) -> list[Step]:
    """Bring issuers back under their cap, where the constitution sets one."""
    bound = judge.rules.bounds.get("max_position_size_pct")
    steps: list[Step] = []
    if bound is None:
        return steps
    for line in list(ghost.lines.values()):
        equity = ghost.equity
        if (
            equity is None
            or equity <= 0
            or not line.priced
            or ghost.issuers[line.issuer] * 10_000 <= bound * equity
            or not line.qty
        ):
            continue
        excess = Fraction(ghost.issuers[line.issuer]) - Fraction(bound * equity, 10_000)
        exact = excess / Fraction((line.mark or 0) * (line.factor or 0), UNIT) / ATTO
        held = _held(line)
        qty = _plain(min(held, Decimal(-(-exact.numerator // exact.denominator)), slices.get(line.symbol, held)))
        action = _exit(line, qty, f"{agent}-trim-{len(steps) + 1}", agent, ghost.now, killed)
        if qty > 0 and _passes(ghost, judge, action, killed):
            steps += [replace(step, phase=2, minute=6) for step in _resized(ghost, line, action.qty)]
            _pretend(ghost, action, line)
            steps.append(Step(2, 6, "rebalance", f"{action.side.capitalize()} {qty:f} {line.symbol}: over its cap.", action))
    return steps


def unprotected(book: Book, deadline: int) -> tuple[str, ...]:
    """Symbols of held positions without acknowledged protective stops for the whole quantity, `deadline` microseconds after
    opening.

    A position of unknown age counts as old. For `stop_loss_required`: such a position is reduced.
    """
    found = []
    for line in book.lines.values():
        side = "sell" if line.qty > 0 else "buy"
        stops = [order for order in line.orders.values() if order.kind == "stop" and order.side == side]
        covered = sum((order.qty for order in stops if order.acknowledged is not None), Decimal(0))
        old = line.opened_at is None or book.now - line.opened_at >= deadline
        if line.qty and old and covered < _held(line):
            found.append(line.symbol)
    return tuple(found)
