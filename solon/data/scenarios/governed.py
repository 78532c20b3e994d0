"""The governed generator: telemetry, user text and a reply whose tone and hand-over follow from the one escalation policy.

    rows = generate(10_000, load("assistant"), seed=1)

Quotas 30/40/20/10 (high, medium, low_hitl, uncertain_hitl) are met exactly. Categories and labels are computed from the telemetry
by `solon.policy.escalation`. The documented conflicts (`governed_telemetry.conflict_of`) are drawn inside the quotas, 3 % of the
rows for each side of each. Within a domain the user's words are drawn independently of the telemetry, so that the label can be
told from the tags alone. No reply shows telemetry: the leak checker runs over every one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from random import Random
from string import Formatter
from typing import Any

from solon.constitution import Constitution
from solon.data.quotas import Share, asked_counts, counts
from solon.data.rows import GovernedMetadata, GovernedRow
from solon.data.scenarios.governed_telemetry import TRUST_BANDS, Conflict, TelemetryDraw, trust_band
from solon.data.scenarios.topics import read_yaml
from solon.errors import CheckFailed, DataError
from solon.policy.escalation import (
    NO_DOMAIN,
    EscalationPolicy,
    Telemetry,
    escalate,
    format_tags,
    governed_category,
    leaks,
    parse_tags,
    refuse_tags,
    split_tags,
)

SHARES: Mapping[str, Share] = {"high": 30, "medium": 40, "low_hitl": 20, "uncertain_hitl": 10}
CONFLICT_PERCENT = 3  # of the rows, for each side of each conflict, rounded down
TRIES = 50  # draws for one row before a repeated (text, reply) is accepted


def generate(
    n: int = 10_000, constitution: Constitution | None = None, seed: int = 0, *, categories: Mapping[str, Share] | None = None
) -> list[GovernedRow]:
    """`n` rows under a constitution's escalation policy (default: the library's assistant), in seeded order.

    Args:
        categories: counts that sum to `n`, or shares, other than the documented 30/40/20/10; shares become counts by largest
            remainder.

    Raises:
        DataError: n below 1, a constitution without an escalation policy, an unknown category, counts or shares with another
            sum, or a category that the policy leaves no telemetry for.
        CheckFailed: a reply leaks telemetry (a fault of the texts; nothing is returned).
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DataError(f"governed: n: expected at least 1 row, got {n!r}", mend="ask for a whole number of rows")
    policy = EscalationPolicy.of(_constitution(constitution))
    rng = Random(f"solon governed {seed}")
    draw = TelemetryDraw(policy, rng)
    cells = plan(n, draw, categories)
    rng.shuffle(cells)
    writer = _Writer(policy, rng)
    return [writer.row(draw.draw(category, conflict)) for category, conflict in cells]


def plan(n: int, draw: TelemetryDraw, categories: Mapping[str, Share] | None = None) -> list[tuple[str, Conflict | None]]:
    """One (category, conflict or None) per row: exact quotas, with the conflict sides inside them in equal numbers."""
    quota = asked_counts("governed: categories", categories, tuple(SHARES), n) if categories else counts(SHARES, n)
    sides = draw.conflict_cells()
    need = Counter(category for _, _, category in sides)
    each = min([n * CONFLICT_PERCENT // 100, *(quota.get(category, 0) // k for category, k in need.items())])
    cells: list[tuple[str, Conflict | None]] = [(category, conflict) for conflict, _, category in sides for _ in range(each)]
    for category, count in quota.items():
        cells += [(category, None)] * (count - each * need[category])
    return cells


def full_input(telemetry: Telemetry, text: str) -> str:
    """What a governed model reads: the tag line, a line break, the user's text.

    Raises:
        Refused: the user's text holds a governance tag, or the telemetry is missing or out of range.
    """
    return f"{format_tags(telemetry)}\n{refuse_tags(text, 'user text')}"


def parse_input(text: str) -> tuple[Telemetry, str]:
    """(telemetry, user text) of a governed input that this program wrote.

    Raises:
        Refused: no tag line in front, a malformed one, or a tag inside the user's text.
    """
    tags, said = split_tags(text)
    return parse_tags(tags), refuse_tags(said, "user text")


def telemetry_of(row: GovernedRow) -> Telemetry:
    """The telemetry of a row's metadata, exact (0.72 stays 0.72)."""
    known = row.training_metadata.model_dump(exclude={"category", "escalate"})
    return Telemetry.of(known)


class _Writer:
    """Writes rows; keeps the (text, reply) pairs so far, so that rows repeat only when the texts are exhausted."""

    def __init__(self, policy: EscalationPolicy, rng: Random) -> None:
        self.policy, self.rng = policy, rng
        self.seen: set[tuple[str, str]] = set()

    def row(self, telemetry: Telemetry) -> GovernedRow:
        category = governed_category(telemetry, self.policy)
        for _ in range(TRIES):
            subject = self.rng.choice(_subjects(telemetry.domain or "general"))
            text, reply = self._prompt(subject), self._reply(subject, category, telemetry)
            if (text, reply) not in self.seen:
                break
        self.seen.add((text, reply))
        found = leaks(reply)
        if found:
            raise CheckFailed(f"governed: expected a reply without telemetry, got {found[0].text!r} in {reply[:80]!r}")
        return _row(telemetry, category, text, reply, self.policy)

    def _prompt(self, subject: Mapping[str, Any]) -> str:
        parts = _texts()["prompt"]
        before = "" if subject.get("direct") else self.rng.choice(parts["before"])
        return before + self.rng.choice(subject["asks"]) + self.rng.choice(parts["after"])

    def _reply(self, subject: Mapping[str, Any], category: str, telemetry: Telemetry) -> str:
        domain = telemetry.domain
        staked = bool(domain) and str(domain).lower() not in NO_DOMAIN
        parts, rng = _texts()[category], self.rng
        values = _capitalised({
            "general": rng.choice(_texts()["general"]) if staked else "",
            "who": rng.choice(subject["who"]),
            **{f"p{i}": item for i, item in enumerate(subject["prepare"], 1)},
            **{name: subject[name] for name in ("about", "answer", "depends", "check", "now")},
        })  # fmt: skip
        if not staked:
            values["answer"] = values["Answer"]
        kept = _kept(parts, rng)
        said = [_fill(rng.choice(_fitting(choices, telemetry)), values) for name, choices in parts.items() if name in kept]
        if staked and "answer" in parts:
            said.insert(2, rng.choice(_texts()["case"]))
        return " ".join(sentence for sentence in said if sentence)


def _fitting(choices: Any, telemetry: Telemetry) -> list[str]:
    """The sentences of a part; where they stand by band of trust, those of the telemetry's band or of the nearest above it."""
    if not isinstance(choices, Mapping):
        return list(choices)
    names = [name for name, _ in TRUST_BANDS]
    own = names.index(trust_band(telemetry.trust or Decimal(0)))
    return next(choices[name] for name in (*names[own::-1], *names[own:]) if name in choices)


def _kept(parts: Mapping[str, Any], rng: Random) -> set[str]:
    """The parts of one reply: all that carry its meaning, and each of the optional ones two times in three."""
    return {name for name in parts if name not in ("also", "why", "prepare", "close") or rng.random() < 2 / 3}


def _row(telemetry: Telemetry, category: str, text: str, reply: str, policy: EscalationPolicy) -> GovernedRow:
    scores = {name: float(getattr(telemetry, name)) for name in ("trust", "intensity", "verify", "attest", "bound")}
    words = {name: getattr(telemetry, name) for name in ("emotion", "decision", "model", "domain")}
    label = escalate(telemetry, policy).escalate
    metadata = GovernedMetadata(category=category, escalate=label, **scores, **words)  # type: ignore[arg-type]
    return GovernedRow(full_input=full_input(telemetry, text), response=reply, training_metadata=metadata)


def _fill(template: str, values: Mapping[str, str]) -> str:
    return Formatter().vformat(template, (), values)


def _capitalised(values: dict[str, str]) -> dict[str, str]:
    """Each value also under its capitalised name, with a capital first letter, for the beginning of a sentence."""
    return values | {name.capitalize(): value[:1].upper() + value[1:] for name, value in values.items()}


@cache
def _texts() -> Mapping[str, Any]:
    return read_yaml("governed_replies.yaml")


@cache
def _subjects(domain: str) -> tuple[Mapping[str, Any], ...]:
    """Subjects of a domain, each with the people of the domain; a domain without subjects of its own gets those of `other`."""
    known = read_yaml("governed_topics.yaml")
    name = domain.lower()
    own = known[name] if name in known and name != "other" else known["other"]
    field = name.replace("_", " ")
    return tuple(_named({"who": own["who"], **subject}, field) for subject in own["subjects"])


def _named(subject: Mapping[str, Any], field: str) -> dict[str, Any]:
    def put(value: Any) -> Any:
        return [put(item) for item in value] if isinstance(value, list) else str(value).replace("{field}", field)

    return {name: put(value) for name, value in subject.items()}


def _constitution(given: Constitution | None) -> Constitution:
    if given is not None:
        if given.escalation is None and not given.domains:
            raise DataError(
                f"governed: constitution {given.id}: expected an escalation policy (`escalation:` or `domains:`), got neither",
                mend="use --constitution assistant, or add them to its front matter",
            )
        return given
    from solon.constitution import load

    return load("assistant")
