"""What a decision is about and what it says: action, position, state, reason, verdict.

Numbers are exact decimals. From outside they come as decimal strings; `solon.policy.parsing` reads them strictly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import IntEnum
from functools import cache
from typing import Any, Literal, NamedTuple

from solon.errors import NamedRefusal

Outcome = Literal["allow", "modify", "escalate", "deny", "halt"]
Status = Literal["ok", "breach", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("allow", "modify", "escalate", "deny", "halt")
EXIT_CODES: dict[Outcome, int] = {"allow": 0, "deny": 3, "escalate": 4, "halt": 5, "modify": 6}
MICROSECONDS = 1_000_000


class Severity(IntEnum):
    """One scale for limits and for health, from a remark to a stop."""

    info = 0
    low = 1
    medium = 2
    high = 3
    critical = 4


# What a breached limit of each severity does to a risk-increasing action.
SEVERITY_OUTCOME: dict[Severity, Outcome] = {
    Severity.info: "allow",
    Severity.low: "allow",
    Severity.medium: "escalate",
    Severity.high: "deny",
    Severity.critical: "halt",
}


class Ladder(IntEnum):
    """Rungs of the emergency ladder. A higher rung restricts more; the governor latches them."""

    normal = 0
    warn = 1
    reduce = 2
    no_new = 3
    killed = 4


class Refused(NamedRefusal):
    """Input that is no well-formed action or state: nothing was decided, and `code` says why.

    `code` is one of `duplicate_key, float, not_finite, not_decimal, too_many_digits, unknown_field, missing_field, bad_type,
    bad_choice, bad_timestamp, mixed_time_zones, unordered_timestamps, not_positive, negative, no_agents, duplicate_id,
    duplicate_symbol, bad_json`.
    """

    ledger_index: int | None = None  # where the refusal was logged


@dataclass(frozen=True, slots=True)
class Action:
    """A proposed action. `agent` owns it. `ts` is microseconds since 1970 UTC. `kind` is `order` unless said otherwise.

    `order` and `spend` are checked against every limit; `stop` (a protective order), `cancel` and `flatten` are exits.
    `acknowledged` matters on working orders: when the venue confirmed it (microseconds), or None.
    """

    id: str
    agent: str
    kind: str
    symbol: str
    side: Literal["buy", "sell"]
    qty: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    ts: int = 0
    acknowledged: int | None = None


@dataclass(frozen=True, slots=True)
class TextRequest:
    """A request in words, put by `agent`, to be decided by the hard rules and principles. `ts` as in `Action`."""

    id: str
    agent: str
    text: str
    ts: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """A held instrument, or with `qty` 0 the reference data of one that may be traded. None means missing, which is UNKNOWN.

    `mark`, `bid`, `ask` in the instrument's currency; `multiplier` units per contract; `fx` account currency per instrument
    currency; `product_leverage` 1 for plain products; `priced_at`, `opened_at` microseconds since 1970 UTC; `margin_rate`
    the fraction of exposure that the venue asks for.
    """

    symbol: str
    issuer: str = ""
    sector: str = ""
    qty: Decimal = Decimal(0)
    mark: Decimal | None = None
    multiplier: Decimal | None = None
    fx: Decimal | None = None
    product_leverage: Decimal | None = None
    priced_at: int | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    margin_rate: Decimal | None = None
    opened_at: int | None = None


@dataclass(frozen=True, slots=True)
class State:
    """The account at `as_of`. Money is in `currency`. None means missing, which is UNKNOWN.

    Beyond the documented fields: `accrued` and `fees` enter equity; `equity_24h_ago` serves the rolling loss; `measures` carries
    what a monitor observed (`solon.policy.parsing.MEASURES`; None inside it means that the monitor
    could not tell, an absent name that nobody measured it); `facts` are named numbers for limits of any domain; `recent` are the
    agents' latest actions and `executions` their latest fills, for the checks over time; `agents` (when not empty) are the only
    owners of orders that are accepted.
    """

    as_of: int
    currency: str
    cash: Decimal
    maintenance_margin: Decimal | None = None
    nav_unit: Decimal | None = None
    high_water_mark: Decimal | None = None
    day_open_equity: Decimal | None = None
    ladder: Ladder = Ladder.normal
    positions: tuple[Position, ...] = ()
    working_orders: tuple[Action, ...] = ()
    accrued: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)
    equity_24h_ago: Decimal | None = None
    measures: dict[str, Decimal | None] = field(default_factory=dict)
    facts: dict[str, Decimal | None] = field(default_factory=dict)
    recent: tuple[Action, ...] = ()
    executions: tuple[Action, ...] = ()
    agents: tuple[str, ...] = ()


class Reason(NamedTuple):
    """One limit looked at. `measured` and `bound` are decimal text in `unit`; `severity` says what a breach would do."""

    code: str
    limit: str
    measured: str | None
    bound: str
    unit: str
    status: Status
    text: str
    severity: Severity = Severity.high

    def as_dict(self) -> dict[str, Any]:
        """The documented fields."""
        return dict(zip(self._fields[:-1], self[:-1], strict=True))


class Reasons(Sequence[Reason]):
    """The reasons of an assessment, put into words when somebody looks: deciding does not wait for words that nobody reads.

    `write(True)` gives those that are not ok, `write(False)` all of them.
    """

    __slots__ = ("_all", "_failing", "_write")

    def __init__(self, write: Callable[[bool], tuple[Reason, ...]]) -> None:
        self._write = write
        self._all: tuple[Reason, ...] | None = None
        self._failing: tuple[Reason, ...] | None = None

    @property
    def failing(self) -> tuple[Reason, ...]:
        if self._failing is None:
            self._failing = self._write(True)
        return self._failing

    @property
    def all(self) -> tuple[Reason, ...]:
        if self._all is None:
            self._all = self._write(False)
        return self._all

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, place: Any) -> Any:
        return self.all[place]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.all == tuple(other)

    def __hash__(self) -> int:
        return hash(self.all)

    def __repr__(self) -> str:
        return repr(self.all)


@dataclass(frozen=True, slots=True)
class Size:
    """A quantity and the size of the position that results, in percent of equity (decimal text)."""

    qty: str
    size_pct: str

    def as_dict(self) -> dict[str, str]:
        return {"qty": self.qty, "size_pct": self.size_pct}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided and why. `path` names the steps that led there; `call_person` asks for a person whatever the outcome.

    A request in words has a `response`, and `law_violated` (empty: none) besides. `assessment` is where the verdict came from
    (`solon.policy.assess.Assessment`), for those who want its five sections.
    """

    outcome: Outcome
    reasons: Sequence[Reason] = ()
    largest_allowed: Size | None = None
    ladder: Ladder = Ladder.normal
    path: tuple[str, ...] = ()
    constitution_hash: str = ""
    ledger_index: int | None = None
    response: str | None = None
    call_person: bool = False
    law_violated: str = ""
    assessment: Any = field(default=None, compare=False, repr=False)

    @property
    def failing(self) -> tuple[Reason, ...]:
        """The reasons that are not ok."""
        reasons = self.reasons
        return reasons.failing if isinstance(reasons, Reasons) else tuple(reason for reason in reasons if reason.status != "ok")

    @property
    def exit_code(self) -> int:
        """What the command line exits with."""
        return EXIT_CODES[self.outcome]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able record with the documented fields; no floats."""
        record: dict[str, Any] = {
            "outcome": self.outcome,
            "reasons": [reason.as_dict() for reason in self.reasons],
            "largest_allowed": self.largest_allowed.as_dict() if self.largest_allowed else None,
            "ladder": self.ladder.name,
            "path": list(self.path),
            "constitution_hash": self.constitution_hash,
            "ledger_index": self.ledger_index,
        }
        return record if self.response is None else record | self._answer(self.response)

    def _answer(self, response: str) -> dict[str, Any]:
        """What the record of a request in words has besides; `decision_path` is its documented name for `path`."""
        first = self.reasons[0]
        return {
            "response": response,
            "allowed": self.outcome == "allow",
            "reason": first.text,
            "law_violated": self.law_violated or None,
            "severity": first.severity.name,
            "decision_path": list(self.path),
        }


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The most restrictive of several outcomes; `allow` for none."""
    found = set(outcomes)
    for outcome in reversed(OUTCOMES):
        if outcome in found:
            return outcome
    return "allow"


@cache
def field_names(record: type) -> tuple[str, ...]:
    """Names of a dataclass's fields, in order."""
    return tuple(item.name for item in fields(record))
