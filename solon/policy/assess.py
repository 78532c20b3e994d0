"""One action judged: verdict, reasoning, arithmetic, a recommendation that itself passes, and the principle behind it.

    assessment = assess(action, state, constitution)
    assessment.verdict.outcome, assessment.verdict.largest_allowed, assessment.text()

The pieces: `rules` (the constitution's numbers), `book` (the account), `trade` (one order against it), `limits` (a function for
each limit), `sizing` (the largest order).
Fail closed: no limits, an unknown owner, anything UNKNOWN that would add risk is denied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from operator import attrgetter
from typing import Any

from solon.policy.book import UNIT, Book, book_of, ceil_div
from solon.policy.limits import (
    BREACH,
    NOT_MEASURED,
    OK,
    Bound,
    Check,
    Finding,
    checks_of,
    effective_ladder,
    raises_breach,
    shown,
)
from solon.policy.rules import KEPT_ELSEWHERE, Rules, compile_rules
from solon.policy.sizing import Sizing, fits, largest, reducible, smallest
from solon.policy.trade import Trade
from solon.policy.types import SEVERITY_OUTCOME, Action, Ladder, Outcome, Reason, Reasons, Severity, Size, State, Verdict, worst
from solon.policy.wording import arithmetic, custom_reason, quantity_text, reason

# Why each group of limits is there, for the last section of an assessment.
PRINCIPLES = {
    "position": "No single holding may decide the fate of the whole: size is bounded before conviction is asked.",
    "leverage": "Borrowed strength multiplies error; it is kept below what the account survives.",
    "risk": "A loss must leave enough to recover from; what can be lost is fixed before the trade.",
    "diversification": "Holdings that fall together are one holding; breadth counts only where it is real.",
    "systemic": "In a crisis the survival of the whole goes before the freedom of any part.",
    "orders": "An order that looks like a mistake is treated as one until a person says otherwise.",
    "governance": "Great decisions are shared, and a person answers for them.",
    "emergency": "Stopping must be easy and resuming hard.",
    "unknown": "What cannot be measured may not grow.",
    "custom": "The limit was set by those who answer for this domain.",
    "": "Within the limits the choice is free.",
}

# The same for what is decided before any limit is looked at.
OUTSIDE = {
    "no_policy": "unknown", "unknown_agent": "governance", "not_owner": "governance", "duplicate_order": "orders",
    "stop_exceeds_position": "position", "killed": "emergency", "ladder": "systemic",
}  # fmt: skip


class Assessment:
    """What `assess` returns. Everything in it was fixed when it was made; texts are written when asked for.

    `outcome`, `allowed`, `ladder`, `reducing`, `call_person`, `largest_qty` (1e-18, None for exits) are plain attributes.
    """

    __slots__ = (
        "_remedy", "_written", "action", "call_person", "checks", "custom", "extra", "failing", "findings", "ladder",
        "largest_qty", "largest_share", "outcome", "path", "reducing", "rules", "trade",
    )  # fmt: skip

    def __init__(self, trade: Trade, rules: Rules, checks: tuple[Bound, ...], ladder: Ladder) -> None:
        self.trade, self.action, self.rules, self.checks, self.ladder = trade, trade.action, rules, checks, ladder
        self.reducing = trade.reducing
        self.findings: list[Finding] = []  # one for each of `checks`, or none for a cancel
        self.failing: list[tuple[Check, Finding]] = []
        self.custom: list[tuple[Any, Fraction | None]] = []
        self.extra: list[Reason] = []
        self.path: list[str] = []
        self.outcome: Outcome = "allow"
        self.call_person = False
        self.largest_qty: int | None = None
        self.largest_share: tuple[int, int] | None = None  # value of the position that it leaves, equity; None stands for 0
        self._remedy: Action | int | None = None  # an order, or the quantity of an order like this one
        self._written: list[tuple[Reason, ...] | None] = [None, None]  # all reasons, the failing ones

    @property
    def allowed(self) -> bool:
        return self.outcome == "allow"

    @property
    def verdict(self) -> Verdict:
        """The documented verdict record."""
        return Verdict(  # not kept: it leads back here, and what is in a ring waits for the garbage collector
            self.outcome, Reasons(self._write), self.largest_allowed, self.ladder, tuple(self.path), self.rules.hash,
            call_person=self.call_person, assessment=self,
        )  # fmt: skip

    def _write(self, failing_only: bool) -> tuple[Reason, ...]:
        found = self._written[failing_only]
        if found is None:
            found = self._written[failing_only] = self.reasons(failing_only=failing_only)
        return found

    def reasons(self, *, failing_only: bool = False) -> tuple[Reason, ...]:
        """Every limit looked at, those that fail first; or these alone."""
        rules, trade = self.rules, self.trade
        pairs = self.failing if failing_only else [found for found in self._found() if found[1][0] != NOT_MEASURED]
        found = [*self.extra, *[reason(check, finding, rules, trade) for check, finding in pairs]]
        if self.custom:
            found += [custom_reason(rule, measured) for rule, measured in self.custom]
            if failing_only:
                found = [reason for reason in found if reason.status != "ok"]
        found.sort(key=attrgetter("severity"), reverse=True)
        return tuple(found if failing_only else sorted(found, key=_holds))

    def _found(self) -> Iterator[tuple[Check, Finding]]:
        return ((check, finding) for (check, _), finding in zip(self.checks, self.findings, strict=False))

    @property
    def not_measured(self) -> tuple[str, ...]:
        """Limits whose measure nobody supplied; the monitor and the ladder keep them."""
        return tuple(check.key for check, finding in self._found() if finding[0] == NOT_MEASURED)

    @property
    def largest_allowed(self) -> Size | None:
        """The largest order of this kind that passes, and the size of the position it leaves, in percent of equity."""
        if self.largest_qty is None:
            return None
        share = self.largest_share
        return Size(quantity_text(self.largest_qty), "0" if share is None else shown(*share, "percent", up=True))

    @property
    def remedy(self) -> Action | None:
        """The order that would pass instead, where there is one."""
        if isinstance(self._remedy, int):
            self._remedy = _with_quantity(self.action, self._remedy)
        return self._remedy

    @property
    def _enlarged(self) -> bool:
        """Whether the order that would pass is the larger one."""
        return self.remedy is not None and self.remedy.qty > self.action.qty

    # --- the five sections ---------------------------------------------------------------------------------------------

    @property
    def reasoning(self) -> tuple[str, ...]:
        """Why: the failing limits, or that none fails."""
        failing = [reason.text for reason in self.verdict.failing]
        if failing:
            return tuple(failing)
        checked = sum(1 for finding in self.findings if finding[0] == OK) + len(self.custom)
        return (f"All {checked} limits that apply to this action hold.",)

    @property
    def arithmetic(self) -> tuple[str, ...]:
        """The sums, so that anyone can redo them."""
        return arithmetic(self.trade)

    @property
    def recommendation(self) -> str:
        """What to do instead; when it names an order, `remedy` is that order and it passes every check."""
        if self.allowed:
            return "Proceed as proposed." + (" Call a person: the drawdown asks for one." if self.call_person else "")
        if self.remedy is not None:
            stop = f", with a stop at {self.remedy.stop_price:f}" if self.remedy.stop_price is not None else ""
            most = quantity_text(self.largest_qty or 0)
            bounds = f"at least {self.remedy.qty:f} and at most {most}" if self._enlarged else f"at most {self.remedy.qty:f}"
            return f"{self.remedy.side.capitalize()} {bounds} {self.remedy.symbol}{stop}."
        return (
            "Do not place this order. No smaller order of this kind passes; only orders that reduce positions, or a cancel, do."
        )

    @property
    def principle(self) -> str:
        """The principle behind the gravest failing limit."""
        from solon.constitution.keys import KEYS

        failing = [reason for reason in self.verdict.failing if reason.severity >= Severity.medium]
        if not failing:
            return PRINCIPLES[""]
        if failing[0].status == "unknown":
            return PRINCIPLES["unknown"]
        code = failing[0].limit
        group = OUTSIDE.get(code) or (KEYS[code].group if code in KEYS else "custom")
        return PRINCIPLES[group]

    def sections(self) -> dict[str, Any]:
        """The five documented sections as data."""
        return {
            "verdict": self.verdict.as_dict(),
            "reasoning": list(self.reasoning),
            "arithmetic": list(self.arithmetic),
            "recommendation": self.recommendation,
            "principle": self.principle,
        }

    def text(self) -> str:
        """The five sections for people."""
        failing = [reason.code for reason in self.verdict.failing]
        head = "no violation" if not failing else "violated or unknown: " + ", ".join(failing)
        parts = [
            ("CONSTITUTIONAL ASSESSMENT", f"{self.outcome.upper()} ({head}; ladder {self.ladder.name})"),
            ("ETHICAL REASONING", "\n".join(self.reasoning)),
            ("RISK ANALYSIS", "\n".join(self.arithmetic)),
            ("RECOMMENDATION", self.recommendation),
            ("PRINCIPLE", self.principle),
        ]
        return "\n\n".join(f"{title}\n{body}" for title, body in parts)


@dataclass(frozen=True, slots=True)
class Judge:
    """Rules with their checks picked out once; `judge.assess(action, book)` is the hot path."""

    rules: Rules
    checks: tuple[Bound, ...]
    sizing: Sizing

    @classmethod
    def of(cls, constitution: Any, **settings: Any) -> Judge:
        """Compile a constitution (or a mapping of limits, or `Rules`)."""
        rules = compile_rules(constitution, **settings)
        checks = checks_of(rules)
        return cls(rules, checks, Sizing.of(checks))

    def assess(self, action: Action, book: Book, *, approved: bool = False, size: bool = True) -> Assessment:
        """Judge an action against a book. `approved`: a person approved this very exit (a flatten plan while killed).

        `size` False skips the largest allowed order and the remedy.
        """
        rules = self.rules
        trade = Trade(book, action, rules.max_price_age, rules.max_state_age)
        result = Assessment(trade, rules, self.checks, effective_ladder(trade, rules))
        if action.kind == "cancel":
            _decide_cancel(result)
            return result
        add = result.findings.append
        for check, bound in self.checks:
            finding = check.function(trade, bound, rules)
            add(finding)
            status = finding[0]
            if status != OK and status != NOT_MEASURED:
                result.failing.append((check, finding))
        if rules.custom:
            result.custom = [(rule, rule.measured(trade)) for rule in rules.custom]
        _decide(result, approved)
        if size:
            self._size(result, approved)
            result.largest_share = _share_left(trade, result.largest_qty or 0)
        return result

    def _size(self, result: Assessment, approved: bool) -> None:
        """Largest order and remedy: as asked when that passes, else smaller; an exit up to what is held."""
        trade, action = result.trade, result.action
        if result.allowed and trade.reducing:
            result.largest_qty = reducible(trade)
            return
        if result.allowed:
            result.largest_qty = max(trade.qty, largest(trade, self.rules, self.sizing))
            return
        # What size can cure has every other limit already passed; `largest` verifies the rest.
        quantity = largest(trade, self.rules, self.sizing) if _cured_by_size(result) else 0
        exit_room = min(reducible(trade), trade.qty)
        if exit_room > quantity and self._passing(trade, _with_quantity(action, exit_room), approved):
            quantity = exit_room
        result.largest_qty = quantity
        if quantity > trade.qty:  # it was too small: close what is held, or else the least that is worth opening
            for least in (exit_room, smallest(trade, self.rules)):
                if least and self._passing(trade, _with_quantity(action, least), approved):
                    quantity = least
                    break
        result._remedy = quantity or self._with_stop(result, approved)

    def _passing(self, trade: Trade, action: Action, approved: bool) -> Action | None:
        again = self.assess(action, trade.book, approved=approved, size=False)
        return action if again.allowed else None

    def _with_stop(self, result: Assessment, approved: bool) -> Action | None:
        """Where only the stop is missing or misplaced: the same order with a stop a tenth from its entry, as large as passes."""
        trade, action = result.trade, result.action
        failing = {r.code for r in result.reasons(failing_only=True) if r.severity >= Severity.medium}
        blocking = failing - {"max_risk_per_trade_pct"} - self.sizing.keys
        if blocking != {"stop_loss_required"} or trade.blind or not trade.entry:
            return None
        entry = Decimal(trade.entry).scaleb(-18)
        price = (entry * (Decimal("0.9") if trade.buy else Decimal("1.1"))).quantize(Decimal("0.00000001")).normalize()
        stopped = replace(action, stop_price=Decimal(format(price, "f")))
        again = Trade(trade.book, stopped, self.rules.max_price_age, self.rules.max_state_age)
        if fits(again, again.qty, self.rules, self.sizing):
            return self._passing(again, stopped, approved)
        quantity = largest(again, self.rules, self.sizing)
        return self._passing(again, _with_quantity(stopped, quantity), approved) if quantity else None


def assess(action: Action, state: State | Book, constitution: Any, *, approved: bool = False) -> Assessment:
    """Judge one action in a state under a constitution (a `Constitution`, a mapping of limits, `Rules`, or a `Judge`)."""
    judge = constitution if isinstance(constitution, Judge) else Judge.of(constitution)
    return judge.assess(action, book_of(state), approved=approved)


def largest_allowed(action: Action, state: State | Book, constitution: Any) -> Size:
    """The largest order like `action` that passes (quantity "0" where none does)."""
    return assess(action, state, constitution).largest_allowed or Size("0", "0")


def _cured_by_size(result: Assessment) -> bool:
    """Whether everything that blocks can be cured by a smaller order."""
    if result.extra or result.ladder >= Ladder.reduce:
        return False
    return not [check for check, _ in result.failing if check.blocks and not check.sized]


def _decide(result: Assessment, approved: bool) -> None:
    """The order of decision: no policy, owner, kill, exits, rungs, limits. Writes outcome, path, extra reasons."""
    trade = result.trade
    for check, finding in result.failing:
        if finding[0] == BREACH and check.key == "human_escalation_drawdown":
            result.call_person = True
    if not result.findings and not result.custom:
        _block(
            result,
            "no_policy",
            "deny",
            "the constitution sets no limit that applies to actions; nothing is permitted without one",
        )
        return
    usable = _owned_and_new(result)
    if result.ladder == Ladder.killed:
        if usable and trade.reducing and approved and trade.action.kind == "flatten":
            result.path.append("killed: a flatten step that a person approved")
        else:
            result.call_person = True
            _block(result, "killed", "halt", "everything is stopped; only steps of an approved flatten plan and cancels pass")
        return
    if not usable:
        return
    if trade.reducing:
        _decide_exit(result)
        return
    if result.action.kind == "stop":
        _block(result, "stop_exceeds_position", "deny", _excess(trade))
    if result.ladder >= Ladder.reduce:
        result.call_person = True
        _block(result, "ladder", "deny", f"the ladder stands at {result.ladder.name}: only orders that reduce positions pass")
    if result.failing or result.custom:
        result.outcome = worst([result.outcome, *_outcomes(result)])
    if result.outcome == "halt":
        result.call_person = True
    result.path.append(f"limits: {result.outcome}")
    if trade.blind:
        result.path.append(f"unknown: {trade.why_blind}")


def _outcomes(result: Assessment) -> list[Outcome]:
    """What each failing limit, and each limit of the user's own, asks for."""
    found: list[Outcome] = [_custom_outcome(rule, measured) for rule, measured in result.custom]
    for check, finding in result.failing:
        if finding[0] == BREACH:
            found.append(SEVERITY_OUTCOME[check.severity])
        elif check.blocks:
            found.append("deny")
    return found


def _owned_and_new(result: Assessment) -> bool:
    """Whether a known agent proposes this, and for the first time; else it is blocked."""
    action, book = result.action, result.trade.book
    if book.agents and action.agent not in book.agents:
        _block(result, "unknown_agent", "deny", f"{action.agent!r} is not among the agents that may own orders")
    elif book.knows(action.id):
        _block(result, "duplicate_order", "deny", f"an action with the id {action.id!r} was already proposed")
    return not result.extra


def _excess(trade: Trade) -> str:
    """A stop closes a position, or a part of it that no other stop closes; what goes beyond is no stop."""
    line = trade.line
    held, covered = (abs(line.qty), line.stops) if line is not None and line.closed_by(trade.action) else (0, 0)
    told = f"{quantity_text(held)} held on the other side, {quantity_text(covered)} under stops already"
    return f"a stop of {quantity_text(trade.qty)} {trade.action.symbol} would do more than close the position: {told}"


def _decide_cancel(result: Assessment) -> None:
    """A cancel is possible on every rung, for the owner of the order."""
    action, book, line = result.action, result.trade.book, result.trade.line
    order = line.orders.get(action.id) if line is not None else None
    if book.agents and action.agent not in book.agents:
        _block(result, "unknown_agent", "deny", f"{action.agent!r} is not among the agents that may own orders")
    elif order is not None and order.agent != action.agent:
        _block(result, "not_owner", "deny", f"the order {action.id!r} is {order.agent!r}'s; only its owner may cancel it")
    else:
        result.path.append("cancel: always possible")


def _decide_exit(result: Assessment) -> None:
    """A sized, risk-reducing order passes under any limit, unless it makes a breached metric worse."""
    made_worse = raises_breach(result.trade, result.rules)
    if made_worse:
        _block(
            result, made_worse, "deny", f"this exit would fill so far from the mark that {made_worse}, already breached, grows"
        )
    else:
        result.path.append("risk-reducing: exempt from limits")


def _holds(reason: Reason) -> bool:
    return reason.status == "ok"


def _custom_outcome(rule: Any, measured: Fraction | None) -> Outcome:
    if measured is None:
        return "deny" if rule.severity >= Severity.medium else "allow"
    return "allow" if rule.holds(measured) else SEVERITY_OUTCOME[rule.severity]


def _block(result: Assessment, code: str, outcome: Outcome, text: str) -> None:
    result.outcome = worst([result.outcome, outcome])
    severity = Severity.critical if outcome == "halt" else Severity.high
    result.extra.append(Reason(code, code, None, "", "flag", "breach", text, severity))
    result.path.append(f"{code}: {outcome}")


def _share_left(trade: Trade, quantity: int) -> tuple[int, int] | None:
    """Value of the position that `quantity` of this order leaves, and equity then; None where there is nothing to show."""
    line, whole = trade.line, trade.equity_before
    if not quantity or line is None or whole is None:
        return None
    equity = whole - ceil_div(quantity * trade.slip_rate, UNIT)  # what is left after this quantity, not after the one asked for
    if equity <= 0:
        return None
    value = ceil_div(quantity * trade.rate, UNIT)
    after = max(0, abs(line.long_side - line.buys_value) - value) if trade.reducing else abs(trade.near + value)
    return after, equity


def _with_quantity(action: Action, quantity: int) -> Action:
    return replace(action, qty=Decimal(quantity_text(quantity)))


def kept_elsewhere(rules: Rules) -> dict[str, str]:
    """Documented limits that no single order decides -> who keeps them."""
    return {key: KEPT_ELSEWHERE[key] for key in rules.shown if key in KEPT_ELSEWHERE}
