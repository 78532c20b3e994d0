"""What a constitution is once it has been read: frozen records, no file access.

Numbers are exact: a `Decimal`, or a `Fraction` where a decimal could not hold the value ("2/3"). Texts are NFC with blanks
normalised, so that two files which differ only in layout give equal records and equal hashes.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from solon.constitution.canonical import canonical_bytes, content_hash, number_text
from solon.constitution.keys import KEYS, Unit

Severity = Literal["info", "low", "medium", "high", "critical"]
Precedence = Literal["ordered", "weighed"]
PrincipleKind = Literal["law", "principle"]
RuleOutcome = Literal["refuse", "redirect", "ask_clarification"]
GateMode = Literal["stop", "warn", "rollback"]
Comparison = Literal["<=", ">="]
Exact = Decimal | Fraction
_as_text = PlainSerializer(number_text, return_type=str, when_used="json")
Number = Annotated[Exact, _as_text]
Pair = tuple[Number, Number]
Value = Number | bool | str | Pair | tuple[str, ...]


class Record(BaseModel):
    """A frozen record that refuses unknown fields and converts nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ExampleConversation(Record):
    """A worked case for few-shot prompts: a reply that falls short, what is wrong with it, and a better reply."""

    user: str
    assistant: str
    critique: str
    revision: str


class Directive(Record):
    """A numbered sentence of a principle, such as E1 or ND3."""

    id: str
    text: str


class HardRule(Record):
    """A rule that is matched, not judged: it fires when a request asks for one of `acts` upon one of `objects`.

    Phrases are in lower case and match whole words; a trailing `*` stands for any ending. Empty `objects` means that the act
    alone suffices. A request in which an `unless` phrase occurs is left to the principles. `outcome` is the imposed response.
    """

    id: str
    outcome: RuleOutcome = "refuse"
    text: str = ""
    acts: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()


class Principle(Record):
    """A rule in words, by which a model criticises, revises and judges.

    `rank` is its place (for ordered constitutions the lower rank wins). `synthesised` names the templates that the file did not
    give and that were written from `text` and `directives`; these are no part of the constitution's identity.
    """

    id: str
    title: str
    rank: int = Field(ge=0)
    kind: PrincipleKind = "principle"
    text: str = ""
    critique_template: str = ""
    revision_guideline: str = ""
    synthesised: tuple[str, ...] = ()
    examples: tuple[ExampleConversation, ...] = ()
    applications: tuple[str, ...] = ()
    directives: tuple[Directive, ...] = ()
    hard_rules: tuple[HardRule, ...] = ()
    aliases: tuple[str, ...] = ()


class Limit(Record):
    """A number (or flag, mode, range, list) about a proposed action or a state, checked by code at run time.

    `group` is one of `keys.GROUPS`, or `custom` for a limit of the user's own; only those carry `measure` (what is measured,
    from the closed set of the policy), `comparison` (how the measure must stand to the value) and `severity`.
    """

    key: str
    value: Value
    unit: Unit
    group: str
    measure: str = ""
    comparison: Comparison | Literal[""] = ""
    severity: Severity = "high"
    text: str = ""

    @property
    def exact(self) -> Fraction:
        """The value as an exact fraction.

        Raises:
            TypeError: the value is not a single number.
        """
        if isinstance(self.value, bool) or not isinstance(self.value, Decimal | Fraction):
            raise TypeError(f"{self.key}: expected a number, got {self.value!r}")
        return Fraction(self.value)


class Gate(Record):
    """A number about an evaluated checkpoint: `metric comparison bound`, else `mode`.

    `by` says what is compared: the bound of the metric's interval (the strict reading) or the point. The first `grace_steps`
    steps are exempt; `regression` is the largest worsening against the best so far (None: not checked). A metric that was not
    measured fails.
    """

    metric: str
    comparison: Comparison
    bound: Number
    mode: GateMode = "stop"
    by: Literal["bound", "point"] = "bound"
    grace_steps: int = Field(0, ge=0)
    regression: Number | None = None


class Domain(Record):
    """A field of work and the trust (0..1) below which its requests go to a person."""

    name: str
    trust: Number


class Escalation(Record):
    """When a request goes to a person: trust < `trust_below`, or an emotion of `emotions` with intensity > `intensity_above`, or
    uncertainty > `uncertainty_above`. Missing or out-of-range telemetry escalates too; that is not configurable."""

    trust_below: Number
    emotions: tuple[str, ...]
    intensity_above: Number
    uncertainty_above: Number


class Voter(Record):
    """Someone who may vote: `key` is an Ed25519 public key in hex, or empty until registered."""

    id: str
    role: str = ""
    key: str = ""
    weight: Number | None = None


class Signature(Record):
    """A signature over the canonical form; no part of the constitution's identity."""

    keyid: str
    sig: str


class Constitution(Record):
    """A constitution as it was read. Its identity is `hash`; `warnings`, `ignored`, `source`, `signatures` and `places` (where in
    its file each limit stands, "file:line", for complaints) are no part of it, nor are the names that it took from its file for
    want of its own (`borrowed`: title, and id where no title gives one)."""

    id: str
    version: int = Field(1, ge=1)
    title: str
    language: str = "en"
    precedence: Precedence = "weighed"
    preamble: str = ""
    meta_principles: tuple[str, ...] = ()
    principles: tuple[Principle, ...] = ()
    limits: tuple[Limit, ...] = ()
    gates: tuple[Gate, ...] = ()
    domains: tuple[Domain, ...] = ()
    escalation: Escalation | None = None
    voters: tuple[Voter, ...] = ()
    signatures: tuple[Signature, ...] = ()
    warnings: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    borrowed: tuple[Literal["id", "title"], ...] = ()
    source: str = ""
    places: dict[str, str] = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def canonical(self) -> bytes:
        """RFC 8785 JSON of everything that makes this constitution what it is."""
        return canonical_bytes(self)

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of `canonical`."""
        return content_hash(self)

    def limit(self, key: str) -> Limit | None:
        """The limit of that key, or None where the constitution does not set it."""
        return next((limit for limit in self.limits if limit.key == key), None)

    def value(self, key: str, default: Any = None) -> Any:
        """The value of a limit, or `default` where the constitution does not set it.

        Raises:
            KeyError: no such key exists, neither documented nor custom.
        """
        found = self.limit(key)
        if found is None and key not in KEYS:
            raise KeyError(key)
        return default if found is None else found.value

    def group(self, name: str) -> dict[str, Value]:
        """Keys and values of one group of limits."""
        return {limit.key: limit.value for limit in self.limits if limit.group == name}

    @property
    def governance(self) -> dict[str, Value]:
        return self.group("governance")

    @property
    def meta_learning(self) -> dict[str, Value]:
        return self.group("meta_learning")

    @property
    def emergency(self) -> dict[str, Value]:
        return self.group("emergency")

    def principle(self, name: str) -> Principle | None:
        """The principle of that id or alias, or None."""
        return next((p for p in self.principles if name == p.id or name in p.aliases), None)

    def trust_required(self, domain: str) -> Exact | None:
        """The trust that a domain requires, or None where the constitution does not name the domain."""
        return next((d.trust for d in self.domains if d.name == domain), None)
