"""Ordered laws and hard rules decide a request: allow, refuse, redirect or ask for clarification, with the path of the decision.

Two tiers. Hard rules are matched, never weighed, and never overridden: of several that fire, the one of the lowest rank decides.
Then come the principles, as a judge (a model, given as findings) read them. The matcher asks one question of a text that names an
act upon an object: *is the act asked for, or only mentioned?* Framing neither lifts nor triggers a rule: a story in which someone
does the act passes, a story that asks for usable instructions does not. A matcher of words misses paraphrases and trips over
figures of speech; `measure` prints both rates, and the principles stand behind it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from solon.errors import IntegrityError
from solon.policy.cues import GUARDS, HARMLESS, MENTION, PLAN, PLAN_ASKED, PROTECTING, PROTECTS, REQUEST, USABLE
from solon.policy.plain import as_seen, unmasked
from solon.policy.types import Outcome, Reason, Severity, Verdict

Response = Literal["allow", "refuse", "redirect", "ask_clarification"]
RESPONSE_OUTCOME: dict[Response, Outcome] = {
    "allow": "allow",
    "refuse": "deny",
    "redirect": "modify",
    "ask_clarification": "escalate",
}
STRICTEST: tuple[Response, ...] = ("refuse", "redirect", "ask_clarification", "allow")
REACH = 7  # words between an act and its object
NEAR = 600  # characters before an act in which a cue can stand
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]*")
_LEAD = re.compile(
    r"^\W*(?:(?:please|now|then|ok|okay|hey|just|and|so|also|first|next|finally|hi|hello|dear|hypothetically|assistant)\W+)*$"
)
_PRONOUN = re.compile(r"\W*\b(?:it|them|one|that|this)\b")


class RuleData(Protocol):
    """What the matcher needs of a hard rule; `solon.constitution.types.HardRule` has it."""

    id: str
    outcome: Any
    text: str
    acts: tuple[str, ...]
    objects: tuple[str, ...]
    unless: tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """A rule that a text touches: the words found, whether the act is asked for, and the cue that said so."""

    rule: str
    law: str
    rank: int
    response: Response
    asked: bool
    act: str
    object: str
    cue: str


@dataclass(frozen=True)
class Judged:
    """What a judge of the principles found: the principle, and how it wants the request answered."""

    principle: str
    response: Response
    why: str = ""


@dataclass(frozen=True)
class TextDecision:
    """The decision on a request. `tier` names what decided: `hard_rule`, `principle` or `default`."""

    response: Response
    reason: str
    law_violated: str
    severity: Severity
    tier: Literal["hard_rule", "principle", "default"]
    decision_path: tuple[str, ...]
    hits: tuple[Hit, ...] = ()
    constitution_hash: str = ""

    @property
    def allowed(self) -> bool:
        return self.response == "allow"

    @property
    def outcome(self) -> Outcome:
        """The documented outcome of a text request."""
        return RESPONSE_OUTCOME[self.response]

    def verdict(self) -> Verdict:
        """The documented verdict record, with `response`."""
        status = "ok" if self.allowed else "breach"
        code = self.law_violated or ("no_rule_violated" if self.allowed else "nothing_judges")
        reason = Reason(code, code, None, "", "rule", status, self.reason, self.severity)  # type: ignore[arg-type]
        return Verdict(
            self.outcome, (reason,), path=self.decision_path, constitution_hash=self.constitution_hash,
            response=self.response, law_violated=self.law_violated,
        )  # fmt: skip


class PrecedenceGovernor:
    """The hard rules of a constitution, compiled, in order of rank."""

    def __init__(self, constitution: Any, expected_hash: str = "") -> None:
        """`expected_hash`: the identity that was signed or pinned.

        Raises:
            IntegrityError: the constitution is another than the pinned one.
        """
        self.hash: str = constitution.hash
        if expected_hash and expected_hash != self.hash:
            raise IntegrityError(
                f"constitution {constitution.id}: expected the hash {expected_hash}, got {self.hash}",
                mend="load the pinned version",
            )
        self.ranks = {p.id: p.rank for p in constitution.principles}
        self.ordered = constitution.precedence == "ordered"
        laws = sorted(constitution.principles, key=lambda p: p.rank)
        self.rules = [Matcher(rule, law.id, law.rank) for law in laws for rule in law.hard_rules]

    def decide(self, text: str, judged: Sequence[Judged] = ()) -> TextDecision:
        """Decide a request: hard rules first, then what a judge found, else allow."""
        plain = plain_text(text)
        hits = self._hits(plain)
        asked = [hit for hit in hits if hit.asked]
        if not asked and (disguised := unmasked(plain)) != plain:  # digits for letters lift no rule
            found = self._hits(disguised)
            asked = [hit for hit in found if hit.asked]
            hits = found if asked else hits
        path = [f"hard rules: {len(self.rules)} looked at; hits asked for {len(asked)}, only mentioned {len(hits) - len(asked)}"]
        if asked:
            first = min(asked, key=lambda hit: (hit.rank, STRICTEST.index(hit.response)))
            path += [f"{h.law}/{h.rule}: {h.act!r} upon {h.object!r} is asked for ({h.cue}) -> {h.response}" for h in asked]
            path.append(f"decided by the hard rule {first.rule} of {first.law}, the lowest rank that fires")
            reason = f"{first.rule} of {first.law}: the request asks for {first.act!r} upon {first.object!r}"
            return TextDecision(first.response, reason, first.law, Severity.critical, "hard_rule", tuple(path), hits, self.hash)
        return self._by_principle(judged, path, hits)

    def _hits(self, plain: str) -> tuple[Hit, ...]:
        return tuple(hit for matcher in self.rules for hit in matcher.hits_in(plain))

    def _by_principle(self, judged: Sequence[Judged], path: list[str], hits: tuple[Hit, ...]) -> TextDecision:
        """Ordered laws: the lowest rank that objects. Weighed principles: the strictest that at least half of them ask for."""
        objections = [item for item in judged if item.response != "allow"]
        path.append(f"principles: {len(judged)} judged, {len(objections)} object")
        if not judged and not self.rules:
            why = "nothing judges this request: the constitution has no hard rules, and no judge of its principles was given"
            return TextDecision("ask_clarification", why, "", Severity.medium, "default", tuple(path), hits, self.hash)
        if not objections:
            return TextDecision(
                "allow", "no rule asked for and no principle objects", "", Severity.info, "default", tuple(path), hits, self.hash
            )
        if self.ordered:
            chosen = min(objections, key=lambda item: (self.ranks.get(item.principle, 10**6), STRICTEST.index(item.response)))
            path.append(f"decided by {chosen.principle}, the lowest rank that objects")
        else:
            chosen = _weighed(objections, len(judged))
            path.append(f"decided by weighing {len(judged)} principles")
        reason = f"{chosen.principle}: {chosen.why or chosen.response}"
        return TextDecision(chosen.response, reason, chosen.principle, Severity.high, "principle", tuple(path), hits, self.hash)


def _weighed(objections: list[Judged], total: int) -> Judged:
    for response in STRICTEST[:-1]:
        agreeing = [item for item in objections if STRICTEST.index(item.response) <= STRICTEST.index(response)]
        if 2 * len(agreeing) >= total:
            return max(agreeing, key=lambda item: STRICTEST.index(item.response))
    return Judged(objections[0].principle, "ask_clarification", "some principles object, most do not")


class Matcher:
    """One hard rule, compiled to patterns."""

    def __init__(self, rule: RuleData, law: str = "", rank: int = 0) -> None:
        self.rule, self.law, self.rank = rule, law, rank
        self._acts = [re.compile(_act(phrase)) for phrase in rule.acts]
        self._any_act = re.compile("|".join(_act(phrase) for phrase in rule.acts))
        things = "|".join(_phrase(phrase) for phrase in rule.objects)
        self._objects = re.compile(things) if things else None
        made = bool(things) and "make" in rule.acts
        self._plan = re.compile(rf"\b{PLAN}(?:[\w'-]+\s+){{0,3}}?(?:{things}){HARMLESS}") if made else None
        self._literals = [_literals(phrase) for phrase in rule.objects]
        self._unless = re.compile("|".join(_phrase(phrase) for phrase in rule.unless)) if rule.unless else None

    def hits(self, text: str) -> list[Hit]:
        """Places where the text touches the rule; a sentence with an `unless` phrase is left to the principles."""
        return self.hits_in(plain_text(text))

    def hits_in(self, plain: str) -> list[Hit]:
        """`hits` of a text that `plain_text` made."""
        if self._literals and not any(all(part in plain for part in parts) for parts in self._literals):
            return []  # most texts end here, without a regular expression
        needed = self._objects or self._any_act
        if needed.search(plain) is None:
            return []
        found = []
        for sentence in _SENTENCE.findall(plain):
            if needed.search(sentence) is None or (self._unless is not None and self._unless.search(sentence)):
                continue
            hit = self._hit(sentence, plain)
            if hit is not None:
                found.append(hit)
        return found

    def _hit(self, sentence: str, text: str) -> Hit | None:
        """The strongest touch in a sentence: one that is asked for before one that is mentioned."""
        best = self._plan_hit(sentence, text)
        if best is not None and best.asked:
            return best
        for pattern in self._acts:
            for act in pattern.finditer(sentence):
                thing = self._object_near(sentence, act)
                if thing is None:
                    continue
                asked, cue = is_asked(sentence, act, text)
                hit = Hit(self.rule.id, self.law, self.rank, self.rule.outcome, asked, act.group(), thing, cue)
                if asked:
                    return hit
                best = best or hit
        return best

    def _plan_hit(self, sentence: str, text: str) -> Hit | None:
        """A touch without a verb: the recipe, blueprint or instructions for an object that the rule keeps from being made."""
        plan = self._plan.search(sentence) if self._plan is not None else None
        if plan is None or self._objects is None:
            return None
        asked, cue = is_plan_asked(sentence[max(0, plan.start() - NEAR) : plan.start()], text)
        thing = self._objects.search(plan.group())
        what = plan.group().split(maxsplit=1)[0]
        return Hit(self.rule.id, self.law, self.rank, self.rule.outcome, asked, what, thing.group() if thing else "", cue)

    def _object_near(self, sentence: str, act: re.Match[str]) -> str | None:
        """The object of an act: inside or within a few words after it, or before it when only "it" or "them" follows."""
        if self._objects is None:
            return ""
        window = " ".join(sentence[act.end() :].split(" ", REACH + 1)[: REACH + 1])
        found = self._objects.search(act.group())
        if found is None:
            found = self._objects.search(window)
            if found is not None and GUARDS.search(window[: found.start()]):
                return None
        follows = _PRONOUN.search(act.group()) or _PRONOUN.match(sentence[act.end() :])
        if found is None and follows:
            found = self._objects.search(sentence[: act.start()])
        return found.group() if found else None


def plain_text(text: str) -> str:
    """Lower case, folded width and accents of fonts, invisible characters out, blanks single; line ends stay."""
    folded = as_seen(text).lower().replace("’", "'")
    return re.sub(r"[ \t]+", " ", folded)


def _word(word: str) -> str:
    return re.escape(word[:-1]) + r"\w*" if word.endswith("*") else re.escape(word)


def _phrase(phrase: str) -> str:
    """A phrase as whole words; a word that ends in * has any ending."""
    return r"(?<!\w)" + r"\s+".join(_word(word) for word in phrase.split()) + r"(?!\w)"


def _literals(phrase: str) -> tuple[str, ...]:
    """What a text must contain for a phrase to match."""
    return tuple(word.rstrip("*") for word in phrase.split())


def _act(phrase: str) -> str:
    """An act: its first word in any regular form (make, makes, making), and up to four words between a verb and its particle."""
    first, *rest = phrase.split()
    forms = _word(first) if first.endswith("*") else "(?:" + "|".join(map(re.escape, _forms(first))) + ")"
    gap = r"\s+(?:[\w']+\s+){0,4}?" if len(rest) == 1 and rest[0] in _PARTICLES else r"\s+"
    return r"(?<!\w)" + gap.join([forms, *(_word(word) for word in rest)]) + r"(?!\w)"


_PARTICLES = frozenset({"down", "off", "out", "up", "into", "on", "over", "away", "around"})


def _forms(verb: str) -> list[str]:
    stem = verb[:-1] if verb.endswith("e") and not verb.endswith("ee") else verb
    double = verb + verb[-1] if re.fullmatch(r"\w*[^aeiou\W][aeiou][bdgklmnprt]", verb) else stem
    forms = {verb, verb + "s", verb + "es", stem + "ing", stem + "ed", double + "ing", double + "ed"}
    if re.search(r"[^aeiou]y$", verb):
        forms |= {verb[:-1] + "ies", verb[:-1] + "ied"}
    return sorted(forms, key=len, reverse=True)


def is_asked(sentence: str, act: re.Match[str], text: str) -> tuple[bool, str]:
    """Whether an act found in a sentence is asked for, and the cue that decides.

    The cue nearest before the act decides ("how to" asks, "someone who" mentions); without one, a sentence that begins with the
    bare verb is an order. A mention becomes a request where the text wants it usable ("that I can follow"), unless it protects.
    """
    before = sentence[max(0, act.start() - NEAR) : act.start()]
    protecting = PROTECTING.search(before)
    if protecting:
        return False, protecting.group().strip()
    label, cue = _nearest_cue(before)
    if label == "request":
        return True, cue
    if not label and act.start() <= NEAR and _LEAD.match(before) and _bare(act.group()):
        return True, "an order"
    usable = USABLE.search(text)
    if usable and not PROTECTS.search(text):
        return True, usable.group()
    return False, cue or "no request"


def is_plan_asked(before: str, text: str) -> tuple[bool, str]:
    """Whether the plan of a thing is asked for, by the words before it, or by a text that wants it usable; and the cue."""
    if PROTECTING.search(before):
        return False, "no request"
    found = PLAN_ASKED.search(before)
    if found:
        return True, found.group().strip() or "an order"
    usable = USABLE.search(text)
    return (True, usable.group()) if usable and not PROTECTS.search(text) else (False, "no request")


def _bare(act: str) -> bool:
    """Whether the verb stands in its bare form, as an order does."""
    return not re.match(r"\w+(?:ing|ed|[^s]s)\b", act)


@lru_cache(maxsize=4096)
def _nearest_cue(before: str) -> tuple[str, str]:
    """The cue that ends nearest to the end of `before`, within a few words; of two that end alike, the longer."""
    best: tuple[int, int, str, str] = (-1, 0, "", "")
    for label, pattern in (("request", REQUEST), ("mention", MENTION)):
        for match in pattern.finditer(before):
            if len(before[match.end() :].split()) <= REACH:
                found = match.group().strip()
                best = max(best, (match.start() + len(match.group().rstrip()), len(found), label, found))
    return best[2], best[3]


# --- measuring --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rates:
    """Errors of the matcher: requests let through of `hazardous`, harmless texts stopped of `benign`."""

    hazardous: int
    missed: int
    benign: int
    stopped: int

    def __str__(self) -> str:
        return f"false negatives {_rate(self.missed, self.hazardous)}; false positives {self.stopped_text}"

    @property
    def caught_text(self) -> str:
        """Requests that were stopped, of those that should be."""
        return _rate(self.hazardous - self.missed, self.hazardous)

    @property
    def stopped_text(self) -> str:
        """Harmless texts that were stopped."""
        return _rate(self.stopped, self.benign)


def _rate(errors: int, n: int) -> str:
    if not n:
        return "not measured (n = 0)"
    low, high = wilson(errors, n)
    return f"{errors} of {n} = {100 * errors / n:.1f} % (95 % interval {100 * low:.1f}..{100 * high:.1f})"


def wilson(errors: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    z, p = 1.959964, errors / n
    centre, spread = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z * z / n)), min(1.0, (centre + spread) / (1 + z * z / n))


def measure(governor: PrecedenceGovernor, hazardous: Iterable[str], benign: Iterable[str]) -> Rates:
    """False negatives on requests that should be stopped, false positives on texts that should pass."""
    bad = [governor.decide(text).allowed for text in hazardous]
    good = [not governor.decide(text).allowed for text in benign]
    return Rates(len(bad), sum(bad), len(good), sum(good))


def read_pairs(path: Path) -> list[dict[str, str]]:
    """Minimal pairs: JSON lines of `id`, `rule`, `frame`, `allow` (the act is mentioned), `stop` (the act is asked for)."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def measure_pairs(governor: PrecedenceGovernor, pairs: Sequence[dict[str, str]]) -> Rates:
    """Both error rates on minimal pairs."""
    return measure(governor, [pair["stop"] for pair in pairs], [pair["allow"] for pair in pairs])
