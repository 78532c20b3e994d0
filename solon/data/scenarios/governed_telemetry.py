"""Telemetry for governed examples: drawn for a wanted category or conflict, from the whole grid on which the policy decides.

Trust and intensity lie on a grid of hundredths, so that every pair of (trust, domain) and of (emotion, intensity) is judged
once by the one escalation function and a draw is a choice among pairs. `decision` and `model` are drawn independently of
everything else, so that no model can read the label there. Uncertainty has no tag and is left out.
"""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Literal

from solon.data.rows import GOVERNED_CATEGORIES
from solon.errors import DataError
from solon.policy.escalation import (
    DECISIONS,
    EMOTIONS,
    HIGH_TRUST,
    MODELS,
    NO_DOMAIN,
    EscalationPolicy,
    Telemetry,
    escalate,
    governed_category,
)

Conflict = Literal["high_trust_anxious", "trust_at_threshold", "medium_trust_high_stakes"]
CONFLICTS: tuple[Conflict, ...] = ("high_trust_anxious", "trust_at_threshold", "medium_trust_high_stakes")
GRID = tuple(Decimal(i).scaleb(-2) for i in range(101))
CALM = {"emotion": "NEUTRAL", "intensity": Decimal("0.50")}
SURE = {"trust": Decimal("1.00"), "domain": None}
SIDES = {
    "verify": Decimal("0.80"),
    "attest": Decimal("0.80"),
    "bound": Decimal("0.80"),
    "decision": "PENDING",
    "model": "CONSENSUS",
}
DECISION_WEIGHTS = (45, 35, 5, 10, 5)  # in the order of DECISIONS
NO_DOMAIN_WEIGHT = 2  # a request without a domain is drawn as often as those of two domains
TRIES = 2_000
# The documented bands of trust, highest first, each from its bound on. Firmness of tone follows them; whether a person is called never does.
TRUST_BANDS = tuple(
    (name, Decimal(bound))
    for name, bound in (("very_high", "0.9"), ("high", "0.7"), ("medium", "0.5"), ("low", "0.3"), ("very_low", "0"))
)
Grounds = tuple[Decimal, str | None]  # trust, domain
Feeling = tuple[str, Decimal]  # emotion, intensity


def conflict_of(telemetry: Telemetry, policy: EscalationPolicy) -> Conflict | None:
    """Which documented conflict this telemetry is, or None; a pure function, the same for generator and evaluation.

    Trust exactly at the general threshold; else trust >= 0.7 with emotion ANXIOUS (of whatever intensity); else trust between the
    threshold and 0.7 in a domain that asks for more than the threshold. Each occurs on both sides of the policy.
    """
    trust = telemetry.trust
    if trust is None:
        return None
    if trust == policy.trust_below:
        return "trust_at_threshold"
    if trust >= HIGH_TRUST:
        return "high_trust_anxious" if telemetry.emotion == "ANXIOUS" else None
    domain = telemetry.domain
    if trust > policy.trust_below and domain and domain.lower() not in NO_DOMAIN and domain.lower() in policy.domains:
        return "medium_trust_high_stakes" if policy.domains[domain.lower()] > policy.trust_below else None
    return None


def trust_band(trust: Decimal) -> str:
    """The band that a trust score in [0, 1] falls into."""
    return next(name for name, bound in TRUST_BANDS if trust >= bound)


class TelemetryDraw:
    """Draws telemetry of a wanted category under a policy. One per file; deterministic by `rng`."""

    def __init__(self, policy: EscalationPolicy, rng: Random) -> None:
        self.policy, self.rng = policy, rng
        domains: list[str | None] = [None] * NO_DOMAIN_WEIGHT + list(policy.domains)
        self._feelings: dict[bool, dict[str, list[Feeling]]] = {True: {}, False: {}}
        for emotion in EMOTIONS:
            for intensity in GRID:
                stirred = escalate(_full({**SURE, "emotion": emotion, "intensity": intensity}), policy).escalate
                self._feelings[stirred].setdefault(emotion, []).append((emotion, intensity))
        self._grounds: dict[str, list[Grounds]] = {name: [] for name in GOVERNED_CATEGORIES}
        judged: dict[Grounds, str] = {}
        for domain in domains:
            for trust in GRID:
                pair = (trust, domain)
                if pair not in judged:
                    judged[pair] = governed_category(_full({**CALM, "trust": trust, "domain": domain}), policy)
                self._grounds[judged[pair]].append(pair)
        self._grounds["uncertain_hitl"] = [pair for pairs in self._grounds.values() for pair in pairs]

    def conflict_cells(self) -> list[tuple[Conflict, bool, str]]:
        """(conflict, whether the policy escalates it, category) for every conflict side that occurs under this policy."""
        cells: list[tuple[Conflict, bool, str]] = []
        for conflict in CONFLICTS:
            for category in ("high", "medium", "low_hitl", "uncertain_hitl"):
                if conflict == "high_trust_anxious" and category == "low_hitl":
                    continue  # that side is made by the emotion
                if conflict != "high_trust_anxious" and category == "uncertain_hitl":
                    continue  # these sides are made by trust
                if self._candidates(category, conflict) and self._moods(category, conflict):
                    cells.append((conflict, category.endswith("hitl"), category))
        return cells

    def draw(self, category: str, conflict: Conflict | None) -> Telemetry:
        """Telemetry of exactly this category that is this conflict, or with None no conflict at all.

        Raises:
            DataError: the policy leaves no such telemetry.
        """
        for _ in range(TRIES):
            found = self._try(category, conflict)
            if found is None:
                break
            if conflict_of(found, self.policy) == conflict and governed_category(found, self.policy) == category:
                return found
        wanted = f"category {category!r}" + (f" and conflict {conflict}" if conflict else "")
        stated = f"trust_below {float(self.policy.trust_below):g}, high from {HIGH_TRUST}; {', '.join(self.policy.emotions)}"
        raise DataError(
            f"governed: expected telemetry of {wanted} under this policy, got none ({stated})",
            mend="ask for a share of 0 of this category, or correct the constitution's escalation block",
        )

    def _try(self, category: str, conflict: Conflict | None) -> Telemetry | None:
        grounds, feelings = self._candidates(category, conflict), self._moods(category, conflict)
        if not grounds or not feelings:
            return None
        rng = self.rng
        trust, domain = rng.choice(grounds)
        emotion, intensity = rng.choice(feelings[rng.choice(list(feelings))])
        verify, attest, bound = self._near(trust), self._near(trust), self._near(trust)
        decision, model = rng.choices(DECISIONS, DECISION_WEIGHTS)[0], rng.choice(MODELS)
        return Telemetry(trust, emotion, intensity, verify, attest, bound, decision, model, domain)

    def _moods(self, category: str, conflict: Conflict | None) -> dict[str, list[Feeling]]:
        """Feelings by emotion: those that escalate for uncertain_hitl, else the others; ANXIOUS alone for its conflict."""
        feelings = self._feelings[category == "uncertain_hitl"]
        if conflict != "high_trust_anxious":
            return feelings
        return {name: pairs for name, pairs in feelings.items() if name == "ANXIOUS"}

    def _candidates(self, category: str, conflict: Conflict | None) -> list[Grounds]:
        key = f"{category}/{conflict}"
        if key not in self._grounds:
            emotion = "ANXIOUS" if conflict == "high_trust_anxious" else "NEUTRAL"
            wanted = [
                (trust, domain)
                for trust, domain in self._grounds[category]
                if conflict is None
                or conflict_of(_full({**CALM, "emotion": emotion, "trust": trust, "domain": domain}), self.policy) == conflict
            ]
            self._grounds[key] = wanted
        return self._grounds[key]

    def _near(self, trust: Decimal) -> Decimal:
        """A component score near the trust that it feeds, in hundredths; in [0, 1] by the shape of the draw, never clamped."""
        return Decimal(round(self.rng.triangular(0, 100, float(trust) * 100))).scaleb(-2)


def _full(known: dict[str, object]) -> Telemetry:
    return Telemetry(**{**SIDES, **known})  # type: ignore[arg-type]
