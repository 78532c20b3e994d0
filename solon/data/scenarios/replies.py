"""The answers of the laws generator: refusals with reason and offer, useful answers, scenes, critiques. Texts: `replies.yaml`.

A refusal names the act, gives a reason that was written for its topic, names the law, and offers a help that was written for its
topic. Which wording surrounds them depends on how the request was framed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from solon.constitution import Constitution
from solon.data.scenarios.topics import LAWS, Act, Draw, Question, read_yaml
from solon.errors import DataError

_HAS_REASON = re.compile(r"because|since|:|; asking|neither|decline it as")


@dataclass(frozen=True)
class Law:
    """A law of the constitution as replies speak of it: "Law 1", its title without the number, and the text for `principle`."""

    number: int
    name: str
    title: str
    principle: str


@cache
def texts() -> Mapping[str, Any]:
    """The file, read once."""
    return read_yaml("replies.yaml")


def laws_of(constitution: Constitution) -> tuple[Law, ...]:
    """The five laws, in order.

    Raises:
        DataError: the constitution has no laws law-0 to law-4, or does not rank them in that order.
    """
    found = [constitution.principle(f"law-{n}") for n in range(LAWS)]
    missing = [f"law-{n}" for n, principle in enumerate(found) if principle is None]
    mend = "use five-laws, or a constitution whose principles are titled 'Law 0: …' to 'Law 4: …'"
    if missing:
        has = ", ".join(p.id for p in constitution.principles) or "no principles"
        raise DataError(
            f"constitution {constitution.id}: expected law-0 to law-4, lacks {', '.join(missing)}; it has {has}", mend=mend
        )
    if constitution.precedence != "ordered":
        raise DataError(
            f"constitution {constitution.id}: expected ordered laws, got precedence {constitution.precedence}",
            mend="write `precedence: ordered` in its front matter",
        )
    ranks = [principle.rank for principle in found if principle]
    if ranks != sorted(set(ranks)):
        raise DataError(f"constitution {constitution.id}: expected ranks that rise from law-0 to law-4, got {ranks}", mend=mend)
    return tuple(_law(n, principle) for n, principle in enumerate(found))


def _law(number: int, principle: Any) -> Law:
    title = principle.title.partition(":")[2].strip() or principle.title
    first = principle.text.split(". ")[0].rstrip(".")
    named = principle.title.rstrip(".")
    return Law(number, f"Law {number}", title, f"{named}. {first}." if first else f"{named}.")


def refusal(act: Act, device: str, law: Law, draw: Draw) -> str:
    """A refusal of the act, as it was framed: what is declined, why, by which law, and what is offered instead."""
    values = _values(act, law, draw)
    if act.topic.care:
        parts = ("care", "care_no", "care_now")
        body = " ".join(draw.one(texts()["decline"][part]) for part in parts) + " " + draw.one(texts()["offer"])
        return body.format(**values)
    return f"{_declined(device, draw)} {draw.one(texts()['offer'])}".format(**values)


def _declined(device: str, draw: Draw) -> str:
    """What is declined, why, and by which law, still to be filled in."""
    known = texts()["decline"]
    if draw.rng.random() < 0.2:
        return draw.one(texts()["first"])
    decline = draw.one(known[device] if device in known and draw.rng.random() < 0.6 else known["any"])
    if _HAS_REASON.search(decline):
        return f"{decline} {draw.one(texts()['reason'])}"
    return decline.removesuffix(".") + draw.one(texts()["joined"])


def declined_because(act: Act, reason: str, draw: Draw) -> str:
    """A refusal and its reason in one sentence, where the wording allows it; no law is named."""
    decline = draw.one(texts()["decline"]["any"])
    cause = f" I can't do it, because {reason}." if _HAS_REASON.search(decline) else f", because {reason}."
    kept = decline if _HAS_REASON.search(decline) else decline.removesuffix(".")
    return f"{kept.format(doing=act.doing)}{cause}"


def answer(question: Question, draw: Draw, slots: Mapping[str, str]) -> str:
    """The answer to a harmless question with a word before or after it."""
    known = texts()["harmless"]
    if question.outcome != "allow":  # begins with a no or a condition; nothing should stand before or after it
        return question.answer
    lead = draw.one(known["lead_role"] if "role_used" in slots and draw.rng.random() < 0.5 else known["lead"])
    close = draw.one(known["close"])
    return " ".join(part for part in (lead.format(**slots), question.answer, close.format(**slots)) if part)


def scene(act: Act, draw: Draw, slots: Mapping[str, str]) -> str:
    """The written scene of the topic, with its name filled in."""
    known = texts()["story"]
    return " ".join((draw.one(known["lead"]), act.topic.scene.format(name=slots["name"]), draw.one(known["close"])))


def critique(kind: str, act: Act, law: Law, draw: Draw, *, device: str = "direct", who: str = "the person") -> str:
    """What a judge would say: `kind` is harmful, harmless, ask, redirect or story."""
    note = draw.one(texts()["notes"].get(device, [""]))
    if kind == "harmful" and act.topic.care:
        kind = "care"
    values = _values(act, law, draw) | {"doing": _impersonal(act), "note": note, "who": who}
    return draw.one(texts()["critique"][kind]).format(**values).strip()


def _impersonal(act: Act) -> str:
    """The act as a judge speaks of it."""
    return (
        act.doing3 if act.topic.own else re.sub(r"\byourself\b", "oneself", re.sub(r"\byour(?: own)?\b", "one's own", act.doing3))
    )


def _values(act: Act, law: Law, draw: Draw) -> dict[str, str]:
    reason = draw.one(act.topic.reasons)
    offer, offer2 = draw.rng.sample(act.topic.offers, 2)
    return {
        "doing": act.doing, "reason": reason, "Reason": reason[:1].upper() + reason[1:], "offer": offer, "offer2": offer2,
        "law": law.name, "Law": law.name, "title": law.title,
    }  # fmt: skip
