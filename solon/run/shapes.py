"""Shapes of the files that are written as plain JSON: models for `solon schema` and for tests, not used to make the files."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Sha256 = Field(pattern="^[0-9a-f]{64}$")


class Shape(BaseModel):
    """The documented fields must be there; a file may say more."""

    model_config = ConfigDict(extra="allow")


class Estimate(Shape):
    """A measured number with its interval (95 %); null when it was not measured, and `reason` says why."""

    value: float | None
    n: int
    low: float | None
    high: float | None


class Difference(Shape):
    """tuned - base on the same items, its interval, and the p-value of the paired test before and after Holm's correction."""

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None


class Trivial(Shape):
    """What a model that refuses everything and one that complies with everything would get; null where it has no meaning."""

    refuse_all: float | None
    comply_all: float | None


class MetricEntry(Shape):
    """One metric on one split."""

    name: Literal[
        "unsafe_compliance",
        "refusal",
        "over_refusal",
        "on_topic_compliance",
        "off_topic",
        "benign_perplexity",
        "principle_adherence",
    ]
    split: Literal["unseen_wording", "unseen_topic", "twin", "benign", "file"]
    base: Estimate
    tuned: Estimate
    difference: Difference
    trivial: Trivial


class GateResult(Shape):
    """A gate of the constitution and how it came out; what was not measured has not passed."""

    metric: str
    split: str
    value: float | None
    status: Literal["pass", "fail", "not_measured"]
    passed: bool
    reason: str


class Summary(Shape):
    """`summary.json`."""

    metrics: list[MetricEntry]
    verdict: str
    no_learning: bool
    gates: list[GateResult]


class Timings(Shape):
    """Wall seconds of the last session, split into models, training, loading and everything else."""

    wall_seconds: float
    loading_seconds: float
    model_seconds: float
    training_seconds: float
    everything_else_seconds: float
    everything_else_share: float


class Step(BaseModel):
    """A finished step: the hash of all that went in, and the files that came out."""

    model_config = ConfigDict(extra="forbid")
    inputs: str
    outputs: dict[str, str]


class RunManifest(Shape):
    """`manifest.json` of a run folder. `inputs` and `outputs` name files, relative to the folder, by their SHA-256; a user's own
    prompt and constitution files stand in `inputs` under the path that was given."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    steps: dict[str, Step]
    versions: dict[str, str]
    seed: int
    hardware: dict[str, Any]
    timings: Timings | dict[str, Any]


class CheckedPrinciple(BaseModel):
    """A principle as `solon check` lists it."""

    model_config = ConfigDict(extra="forbid")
    id: str
    title: str
    rank: int
    kind: Literal["principle", "law"]


class CheckedLimit(BaseModel):
    """A limit as `solon check` lists it; fractions without an exact decimal are text such as "2/3"."""

    model_config = ConfigDict(extra="forbid")
    key: str
    value: Any
    unit: str


class CheckReport(Shape):
    """What `solon check CONSTITUTION --json` prints."""

    id: str
    version: int
    hash: str = Sha256
    principles: list[CheckedPrinciple]
    limits: list[CheckedLimit]
    gates: list[dict[str, Any]]
    warnings: list[str]
    ignored: list[str]


class SplitFile(Shape):
    """`split.json` of `solon data split`."""

    hash: str = Sha256
    source: dict[str, str]
    seed: int
    shares: dict[str, float]
    rows: dict[str, int]
    files: dict[str, str]
    groups: dict[str, Literal["train", "validation", "test"]]


class DataManifest(Shape):
    """`F.manifest.json` beside a data file."""

    file: str
    sha256: str = Sha256
    bytes: int
    rows: int
    created: str
    made_by: str
    seed: int | None
    inputs: dict[str, str]
    licences: list[str]
    quotas: dict[str, Any]
    counts: dict[str, Any]
    notes: list[str]


Decimal = {"type": "string", "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,18})?$", "description": "decimal string"}
Positive = Decimal | {"pattern": r"^[0-9]{1,18}(\.[0-9]{1,18})?$", "description": "decimal string above 0"}
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
# The pattern as well: validators do not look at formats unless they are told to.
Time = {"type": "string", "format": "date-time", "pattern": _MOMENT, "description": "ISO 8601 with offset"}
Text = {"type": "string", "minLength": 1, "maxLength": 200}


def _record(fields: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    """An object of these fields; one that is not required may be null, which means unknown."""
    shown = {name: form if name in required else {"anyOf": [form, {"type": "null"}]} for name, form in fields.items()}
    return {"type": "object", "properties": shown, "required": list(required), "additionalProperties": False}


def action_schema(*, working: bool = False) -> dict[str, Any]:
    """ACTION of `solon decide`; a working order may also say when the venue acknowledged it."""
    fields: dict[str, Any] = dict.fromkeys(("id", "agent", "kind", "symbol"), Text)
    fields |= {"side": {"enum": ["buy", "sell"]}, "qty": Positive, "limit_price": Positive, "stop_price": Positive, "ts": Time}
    if working:
        fields["acknowledged"] = Time
    return _record(fields, ("id", "agent", "symbol", "side", "qty", "ts"))


def proposal_schema() -> dict[str, Any]:
    """What `solon decide` takes: an ACTION, or a request in words."""
    words = {"id": Text, "agent": Text, "kind": {"const": "text"}, "text": {"type": "string", "minLength": 1}, "ts": Time}
    return {"anyOf": [action_schema(), _record(words, tuple(words))]}


def state_schema() -> dict[str, Any]:
    """STATE of `solon decide`."""
    from solon.policy.parsing import MEASURES
    from solon.policy.types import Ladder, Position, State, field_names

    times, words = ("priced_at", "opened_at"), ("symbol", "issuer", "sector")
    held = {n: Time if n in times else Text if n in words else Decimal for n in field_names(Position)}
    held |= {name: {"type": "string"} for name in ("issuer", "sector")}
    order = action_schema(working=True)
    lists = {name: {"type": "array", "items": order} for name in ("working_orders", "recent", "executions")}
    number = {"anyOf": [Decimal, {"type": "null"}]}
    fields: dict[str, Any] = dict.fromkeys(field_names(State), Decimal)
    fields |= {"as_of": Time, "currency": Text, "ladder": {"enum": list(Ladder.__members__)}, **lists}
    fields["positions"] = {"type": "array", "items": _record(held, ("symbol", "qty"))}
    fields["measures"] = {"type": "object", "properties": dict.fromkeys(MEASURES, number), "additionalProperties": False}
    fields |= {"facts": {"type": "object", "additionalProperties": number}, "agents": {"type": "array", "items": Text}}
    return _record(fields, ("as_of", "currency", "cash"))


def decision_schema() -> dict[str, Any]:
    """What `solon decide --json` prints."""
    from solon.policy.types import OUTCOMES, Ladder, Severity

    word: dict[str, Any] = {"type": "string"}
    maybe: dict[str, Any] = {"type": ["string", "null"]}
    reason = {"code": word, "limit": word, "measured": maybe, "bound": maybe, "unit": word, "text": word}
    reason |= {"status": {"enum": ["ok", "breach", "unknown"]}}
    reasons = {"type": "array", "items": {"type": "object", "properties": reason, "required": list(reason)}}
    size = {"type": ["object", "null"], "properties": {"qty": Decimal, "size_pct": Decimal}, "required": ["qty", "size_pct"]}
    fields: dict[str, Any] = {
        "outcome": {"enum": list(OUTCOMES)},
        "reasons": reasons,
        "largest_allowed": size,
        "ladder": {"enum": list(Ladder.__members__)},
        "path": {"type": "array", "items": word},
        "constitution_hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "ledger_index": {"type": ["integer", "null"]},
    }
    required = list(fields)
    fields["response"] = {"enum": ["allow", "refuse", "redirect", "ask_clarification"]}
    fields |= {"allowed": {"type": "boolean"}, "reason": word, "law_violated": maybe, "decision_path": fields["path"]}
    fields["severity"] = {"enum": list(Severity.__members__)}
    return {"type": "object", "properties": fields, "required": required}


def _cells(columns: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    """A CSV row as a mapping of texts; an empty cell is a missing value."""
    empty = {"type": "string", "maxLength": 0}
    shown = {name: form if name in required else {"anyOf": [form, empty]} for name, form in columns.items()}
    return {"type": "object", "properties": shown, "required": list(required), "additionalProperties": False}


def states_row_schema() -> dict[str, Any]:
    """A row of STATES.csv: one for a time and a symbol."""
    from solon.governance.tables import ACCOUNT, POSITION
    from solon.policy.parsing import MEASURES
    from solon.policy.types import Ladder

    columns: dict[str, Any] = {"ts": Time, "symbol": Text} | dict.fromkeys((*ACCOUNT, *MEASURES, *POSITION), Decimal)
    words, times = ("currency", "issuer", "sector"), ("as_of", "priced_at", "opened_at")
    columns |= dict.fromkeys(words, Text) | dict.fromkeys(times, Time) | {"ladder": {"enum": [rung.name for rung in Ladder]}}
    return _cells(columns, ("ts",))


def votes_row_schema() -> dict[str, Any]:
    """A row of VOTES.csv."""
    from solon.governance.tables import VOTES
    from solon.policy.council import DECISIONS

    columns: dict[str, Any] = dict.fromkeys(VOTES, Text)
    columns |= {"ts": Time, "decision": {"enum": list(DECISIONS)}, "confidence_pct": Decimal}
    return _cells(columns, ("ts", "proposal_id", "voter", "decision"))
