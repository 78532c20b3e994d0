"""When a request goes to a person: one function for the data generator, evaluation, inference and the gateway.

Also the tag line that carries telemetry to a model (`<gov:trust=0.72>…`), and the checker that finds telemetry leaking into text.
Nothing is clamped: telemetry that is missing or outside its range escalates.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Literal

from solon.policy.plain import as_seen
from solon.policy.types import Refused

Clause = Literal["telemetry", "emotion", "uncertainty", "trust", "domain_trust", "unknown_domain"]
Category = Literal["high", "medium", "low_hitl", "uncertain_hitl"]

EMOTIONS = ("ANXIOUS", "UNCERTAIN", "NEUTRAL", "FOCUSED", "CONFIDENT")
DECISIONS = ("PENDING", "APPROVED", "REJECTED", "DEFERRED", "EXPIRED")
MODELS = ("CONSENSUS", "MAJORITY", "SUPERMAJORITY", "UNANIMOUS")
SCORES = ("trust", "intensity", "verify", "attest", "bound")
WORDS: dict[str, tuple[str, ...]] = {"emotion": EMOTIONS, "decision": DECISIONS, "model": MODELS}
TAG_KEYS = ("trust", "emotion", "intensity", "verify", "attest", "bound", "decision", "model")
NO_DOMAIN = ("", "general")
HIGH_TRUST = Decimal("0.7")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """What is known about a reply before it is given. Scores are in [0, 1]; None means missing.

    `uncertainty` has no tag and may be absent; when it is given, it must be in range. `domain` may be absent.
    """

    trust: Decimal | None = None
    emotion: str | None = None
    intensity: Decimal | None = None
    verify: Decimal | None = None
    attest: Decimal | None = None
    bound: Decimal | None = None
    decision: str | None = None
    model: str | None = None
    domain: str | None = None
    uncertainty: Decimal | None = None

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Telemetry:
        """From a record; numbers may be decimal text, int, Decimal or float (its shortest text). Unknown keys are refused.

        A value that is no number at all becomes missing, so that it escalates.
        """
        unknown = [key for key in record if key not in cls.__slots__]
        if unknown:
            raise Refused(
                "unknown_field", f"telemetry: expected {', '.join(cls.__slots__)}; got {unknown[0]!r}", mend="remove it"
            )
        values: dict[str, Any] = {
            key: _score(value) if key in (*SCORES, "uncertainty") else value for key, value in record.items()
        }
        return cls(**values)


def _score(value: Any) -> Decimal | None:
    if value is None or isinstance(value, bool):
        return None
    try:
        number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except (InvalidOperation, TypeError, ValueError):
        return None
    return number if number.is_finite() else Decimal(-1)  # not finite is out of range, not merely missing


@dataclass(frozen=True, slots=True)
class EscalationPolicy:
    """Thresholds of the escalation policy; the defaults are the documented ones. Scores and thresholds are in [0, 1]."""

    trust_below: Fraction = Fraction(2, 5)
    emotions: tuple[str, ...] = ("ANXIOUS", "UNCERTAIN")
    intensity_above: Fraction = Fraction(3, 5)
    uncertainty_above: Fraction = Fraction(7, 10)
    domains: dict[str, Fraction] = field(
        default_factory=lambda: {"healthcare": Fraction(3, 4), "legal": Fraction(4, 5), "finance": Fraction(7, 10)}
    )

    @classmethod
    def of(cls, constitution: Any) -> EscalationPolicy:
        """The policy a constitution states; what it leaves out keeps the documented value."""
        policy = cls()
        stated = constitution.escalation
        if stated is not None:
            policy = cls(
                Fraction(stated.trust_below),
                tuple(stated.emotions),
                Fraction(stated.intensity_above),
                Fraction(stated.uncertainty_above),
                policy.domains,
            )
        domains = {domain.name.lower(): Fraction(domain.trust) for domain in constitution.domains}
        return replace(policy, domains=domains) if domains else policy

    def required_trust(self, domain: str | None) -> Fraction:
        """Trust a domain asks for: the larger of the general threshold and the domain's own.

        Raises:
            KeyError: the domain is not declared.
        """
        if domain is None or domain.lower() in NO_DOMAIN:
            return self.trust_below
        return max(self.trust_below, self.domains[domain.lower()])


@dataclass(frozen=True, slots=True)
class Escalation:
    """Whether to call a person. `clause` is the first that applies, in the order of `clauses`; empty when none does."""

    escalate: bool
    clause: Clause | Literal[""]
    clauses: tuple[Clause, ...]
    text: str


DEFAULT_POLICY = EscalationPolicy()


def escalate(telemetry: Telemetry | None, policy: EscalationPolicy = DEFAULT_POLICY) -> Escalation:
    """Whether a reply with this telemetry goes to a person, and by which clause.

    Clauses in order: telemetry missing or out of range; emotion (one of `policy.emotions` with intensity strictly above the
    threshold); uncertainty strictly above; trust strictly below the general threshold; trust strictly below the domain's;
    a domain that the policy does not declare. At equality a clause does not apply.
    """
    problem = telemetry_problem(telemetry)
    if problem or telemetry is None:
        return Escalation(True, "telemetry", ("telemetry",), problem)
    found = [clause for clause, applies in _clauses(telemetry, policy) if applies]
    if not found:
        return Escalation(False, "", (), "no clause applies")
    return Escalation(True, found[0], tuple(found), "; ".join(_clause_text(clause, telemetry, policy) for clause in found))


def _clauses(t: Telemetry, policy: EscalationPolicy) -> list[tuple[Clause, bool]]:
    trust, intensity = Fraction(t.trust or 0), Fraction(t.intensity or 0)
    known = t.domain is None or t.domain.lower() in (*NO_DOMAIN, *policy.domains)
    return [
        ("emotion", t.emotion in policy.emotions and intensity > policy.intensity_above),
        ("uncertainty", t.uncertainty is not None and Fraction(t.uncertainty) > policy.uncertainty_above),
        ("trust", trust < policy.trust_below),
        ("domain_trust", known and trust < policy.required_trust(t.domain) and trust >= policy.trust_below),
        ("unknown_domain", not known),
    ]


def _clause_text(clause: Clause, t: Telemetry, policy: EscalationPolicy) -> str:
    return {
        "emotion": f"emotion {t.emotion} with intensity {t.intensity} above {float(policy.intensity_above):g}",
        "uncertainty": f"uncertainty {t.uncertainty} above {float(policy.uncertainty_above):g}",
        "trust": f"trust {t.trust} below {float(policy.trust_below):g}",
        "domain_trust": f"trust {t.trust} below what {t.domain} asks for",
        "unknown_domain": f"no trust requirement is declared for the domain {t.domain!r}",
        "telemetry": "telemetry missing or out of range",
    }[clause]


def telemetry_problem(telemetry: Telemetry | None) -> str:
    """What is missing or out of range, as text; empty when all is well. `domain` and `uncertainty` may be missing."""
    if telemetry is None:
        return "expected telemetry, got none"
    for name in (*SCORES, "uncertainty"):
        value = getattr(telemetry, name)
        if value is None and name != "uncertainty":
            return f"expected {name} in [0, 1], got none"
        if value is not None and not (isinstance(value, Decimal) and value.is_finite() and 0 <= value <= 1):
            return f"expected {name} in [0, 1], got {value}"
    for name, words in WORDS.items():
        if getattr(telemetry, name) not in words:
            return f"expected {name} to be one of {', '.join(words)}; got {getattr(telemetry, name)!r}"
    if telemetry.domain is not None and not isinstance(telemetry.domain, str):
        return f"expected domain to be a name, got {telemetry.domain!r}"
    return ""


def governed_category(telemetry: Telemetry, policy: EscalationPolicy = DEFAULT_POLICY) -> Category:
    """Category of a governed example, a pure function of its telemetry.

    Emotion or uncertainty clause -> `uncertain_hitl`; else a trust clause -> `low_hitl`; else trust >= 0.7 -> `high`;
    else `medium`.

    Raises:
        Refused: the telemetry is missing or out of range (code `telemetry`): such a row has no category.
    """
    found = escalate(telemetry, policy)
    if "telemetry" in found.clauses:
        raise Refused("telemetry", f"governed category: {found.text}", mend="an example needs complete telemetry")
    if "emotion" in found.clauses or "uncertainty" in found.clauses:
        return "uncertain_hitl"
    if found.clauses:
        return "low_hitl"
    return "high" if telemetry.trust is not None and telemetry.trust >= HIGH_TRUST else "medium"


# --- the tag line -----------------------------------------------------------------------------------------------------------

_TAG_LINE = re.compile(r"(?:<gov:[a-z]+=[^<>=]*>\s*)+")
_TAG = re.compile(r"<gov:([a-z]+)=([^<>=]*)>\s*")
_NUMBER = re.compile(r"-?\d{1,6}(\.\d{1,6})?")
_DOMAIN = re.compile(r"[a-z][a-z0-9_]{0,40}")


def format_tags(telemetry: Telemetry) -> str:
    """The tag line: the eight known keys in order, then the domain if there is one.

    Raises:
        Refused: the telemetry is missing or out of range (code `telemetry`).
    """
    problem = telemetry_problem(telemetry)
    if problem:
        raise Refused("telemetry", f"tags: {problem}", mend="escalate instead of asking the model")
    tags = [f"<gov:{key}={_tag_text(getattr(telemetry, key))}>" for key in TAG_KEYS]
    if telemetry.domain:
        if not _DOMAIN.fullmatch(telemetry.domain):
            raise Refused(
                "telemetry", f"tags: expected a domain like healthcare, got {telemetry.domain!r}", mend="lower-case letters"
            )
        tags.append(f"<gov:domain={telemetry.domain}>")
    return "".join(tags)


def _tag_text(value: Decimal | str) -> str:
    return format(value, "f") if isinstance(value, Decimal) else value


def parse_tags(text: str) -> Telemetry:
    """Telemetry of a tag line, so that `parse_tags(format_tags(t)) == t`. Values out of range are kept, and then escalate.

    Only for text that this program wrote; never call it on what a user sent.

    Raises:
        Refused: not a tag line, an unknown or repeated key, keys out of order, a score that is no number (code `tags`).
    """
    if not _TAG_LINE.fullmatch(text):
        raise Refused("tags", f"expected a line of <gov:key=value> tags, got {text[:80]!r}", mend="see the grammar in the docs")
    pairs = _TAG.findall(text)
    order = (*TAG_KEYS, "domain")
    places = [order.index(key) if key in order else -1 for key, _ in pairs]
    if -1 in places or places != sorted(set(places)):
        raise Refused(
            "tags", f"expected the keys {', '.join(order)} once each and in order, got {[k for k, _ in pairs]}", mend="reorder"
        )
    return Telemetry(**{key: _tag_value(key, value) for key, value in pairs})


def _tag_value(key: str, value: str) -> Any:
    if key not in SCORES:
        return value
    if not _NUMBER.fullmatch(value):
        raise Refused("tags", f"expected a number for {key}, got {value!r}", mend="write it like 0.72")
    return Decimal(value)


def split_tags(text: str) -> tuple[str, str]:
    """A governed prompt as (tag line, the rest). The tag line is empty when there is none."""
    match = _TAG_LINE.match(text)
    return (match.group().strip(), text[match.end() :]) if match else ("", text)


_INJECTED = re.compile(r"(?:[<\[{(‹«⟨〈《]|&\s*(?:lt|#0*60|#x0*3c)?\s*;?|%3c|\\u003c|\\x3c)\s*/?\s*g\s*o\s*v\s*:", re.IGNORECASE)


def has_tags(text: str) -> bool:
    """Whether text holds a governance tag, however disguised (full-width letters, zero-width characters, blanks, entities)."""
    return _INJECTED.search(as_seen(text)) is not None


def refuse_tags(text: str, where: str = "message") -> str:
    """User text unchanged, if it holds no governance tag.

    Raises:
        Refused: it does (code `tags`): telemetry is never taken from what a user wrote.
    """
    if has_tags(text):
        raise Refused("tags", f"{where}: expected text without governance tags, got one", mend="remove the <gov:…> tag")
    return text


# --- leaks ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leak:
    """A place where a reply shows telemetry: `kind` is tag, key, score or state; `start`, `end` are character offsets."""

    kind: Literal["tag", "key", "score", "state"]
    start: int
    end: int
    text: str


_METRIC = (
    r"(?:t[ .-]?r[ .-]?u[ .-]?s[ .-]?t(?:worthiness)?|emotional\s+intensity|intensity|verif(?:y|ication)|attest(?:ation)?|"
    r"bound(?:ary)?|uncertainty|governance|confidence(?!\s+intervals?|\s+limits?|\s+bands?))"
)
_HOLDER = r"(?:\s+(?:score|level|metric|rating|value|measure|index|reading))"
_DIGITS = r"(?:one|two|three|four|five|six|seven|eight|nine|zero)"
_WORDED = (
    rf"(?:zero|one)\s+point\s+{_DIGITS}(?:\s+{_DIGITS})?|"
    rf"(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ]{_DIGITS})?|ten|fifteen|a\s+hundred)\s+per\s?cent\b"
)
# Not a score: a quantity with a unit, a comparison ("70 % lower"), the beginning of a longer number.
_NO_UNIT = (
    r"(?![\d,]*\d)(?!\s*(?:[kcmnµ]?m|mm|inch(?:es)?|feet|ft|lux|lumens?|k?w|watts?|volts?|v|hz|db|kg|g|s|ms|degrees|°|million|billion)\b)"
    r"(?!\s*(?:%|percent)?\s*(?:lower|higher|less|more|greater|smaller|weaker|stronger|faster|slower)\b)"
)
_VALUE = (
    rf"(?:(?:(?:0?\.\d+|[01]\.\d+|0,\d+)(?!\d)|\d{{1,3}}(?:[.,]\d+)?\s*(?:%|percent\b)|"
    rf"\d{{1,2}}(?:\.\d+)?\s*(?:/|out\s+of)\s*10\b){_NO_UNIT}|{_WORDED})"
)
_LINK = (  # possessive, so that long rows of dashes or blanks cost no more than their length
    r"(?:\s*+(?:is|was|of|at|are|reads|stands\s+at|sits\s+at|equals|remains|currently|now|only|just|about|around|roughly|"
    r"approximately|nearly|almost|high|low|medium|moderate|very|fairly|quite|a|->|=>|\.{3}|[-=:(\[|*\"'`_~≈≃→…>]++)){1,6}+\s*+"
)
_MARKS = r"[*_`\"'|\s]*+"
# What every pattern needs somewhere: most texts end here.
_ANY = re.compile(
    r"t[ .-]?r[ .-]?u[ .-]?s|intensity|verif|attest|bound|certain|confiden|gov|emotion|decision|consensus|model|\bsure\b|"
    rf"{'|'.join((*EMOTIONS, *DECISIONS, *MODELS))}",
    re.IGNORECASE,
)
_PATTERNS: tuple[tuple[Literal["tag", "key", "score", "state"], re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, flags))  # type: ignore[misc]
    for kind, pattern, flags in (
        ("tag", r"<\s*/?\s*gov\s*:[^>]*>?", re.IGNORECASE),
        ("key", r"\bgov\s*[:._]\s*(?:trust|emotion|intensity|verify|attest|bound|decision|model|domain)\b", re.IGNORECASE),
        ("key", r"\b(?:trust|emotion|intensity|verify|attest|bound|decision|model)\s*=\s*[\w.]+", re.IGNORECASE),
        (
            "score",
            rf"\b{_METRIC}(?:{_HOLDER}{{1,2}}\s*|{_HOLDER}{{0,2}}{_LINK}|\s++)\(?\s*+(?!\d+\s*(?:%|percent)\s+of\b){_VALUE}",
            re.IGNORECASE,
        ),
        (
            "score",
            rf"\b{_METRIC}{_HOLDER}{{0,2}}\s*(?:is|was|equals|stands\s+at|:)\s*[01]\s*(?=$|[;)\]\n]|\.\s*$)",
            re.IGNORECASE,
        ),
        ("score", rf"(?<![\w.]){_VALUE}\s+(?:for\s+|in\s+)?(?:my\s+|its\s+|the\s+)?{_METRIC}(?:{_HOLDER}|\b)", re.IGNORECASE),
        (
            "score",
            rf"\bI(?:['’]m|\s+am|\s+feel)\s+(?:\w+\s+){{0,2}}{_VALUE}\s+(?:sure|certain|confident|uncertain)\b",
            re.IGNORECASE,
        ),
        (
            "score",
            r"\b(?:trust|governance|uncertainty|attestation|verification)\s+(?:score|metric|rating|index)\b",
            re.IGNORECASE,
        ),
        ("score", r"\bmy\s+(?:governance|trust)\s+(?:metrics|scores|values|ratings)\b", re.IGNORECASE),
        ("state", r"\b(?:emotion(?:al)?|decision|consensus)\s+(?:state|mode|status)\s*(?:is|:|=)\s*[A-Z]{5,}\b", 0),
        (
            "state",
            rf"\bemotion(?:al)?(?:\s+(?:state|mode|status|tag))?{_MARKS}\s*(?:is|was|:|=)\s*{_MARKS}(?:{'|'.join(EMOTIONS)})\b",
            re.IGNORECASE,
        ),
        ("state", rf"\b(?:{'|'.join((*EMOTIONS, *DECISIONS, *MODELS))})\b", 0),
    )
)


def leaks(text: str) -> list[Leak]:
    """Places where text shows tags, tag keys, numeric scores or state words; a hard gate on every governed reply.

    Looks at the text as a reader sees it (`solon.policy.plain`); offsets refer to that text. A statistic of
    the subject matter ("72 % of patients", "95 % confidence interval") is no leak.
    """
    plain = as_seen(text)
    found: list[Leak] = []
    if _ANY.search(plain) is None:
        return found
    for kind, pattern in _PATTERNS:
        for match in pattern.finditer(plain):
            if not any(leak.start <= match.start() and match.end() <= leak.end for leak in found):
                found.append(Leak(kind, match.start(), match.end(), match.group()))
    return sorted(found, key=lambda leak: (leak.start, leak.end))
