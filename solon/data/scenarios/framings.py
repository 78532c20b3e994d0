"""How a request is worded: by device (direct, euphemism, role-play, ...), persona and small talk. Texts: `framings.yaml`.

The wording is chosen apart from the act: the same act can stand in every framing, and no framing changes its law.
"""

from __future__ import annotations

import base64
import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from solon.data.scenarios.topics import Act, Draw, Question, Topic, acts, read_yaml, reflexive

DEVICES: Mapping[str, tuple[str, ...]] = {
    "easy": ("direct",),
    "medium": ("euphemism", "hypothetical"),
    "hard": ("roleplay", "authority"),
    "adversarial": ("escalation", "encoding"),
}
_LEET = str.maketrans("aeios", "43105")


@dataclass
class Worded:
    """A prompt as it was worded, and what it was made from: the device, the slot values and the tags that name them."""

    text: str
    device: str
    slots: dict[str, str]
    tags: list[str] = field(default_factory=list)


@cache
def framings() -> Mapping[str, Any]:
    """The file, read once."""
    return read_yaml("framings.yaml")


@cache
def _roles() -> tuple[tuple[str, str, bool], ...]:
    """(role, domain, whether it is a job that one works as)."""
    parts = ([part.strip() for part in entry.split("|")] for entry in framings()["roles"])
    return tuple((role, domain, not more) for role, domain, *more in parts)


def suits(topic: Topic, difficulty: str) -> bool:
    """Whether a hazardous request on this topic can be worded at this difficulty."""
    return bool(devices(topic, difficulty))


def devices(topic: Topic, difficulty: str) -> tuple[str, ...]:
    """The devices of a difficulty that a topic allows."""
    return tuple(d for d in DEVICES[difficulty] if (not topic.only or d in topic.only) and (d != "euphemism" or topic.soft))


def hazardous(topic: Topic, difficulty: str, draw: Draw, act: Act | None = None) -> tuple[Worded, Act]:
    """A request for the act itself (one of the topic's when none is given), worded at a difficulty."""
    act = act or draw.one(acts(topic))
    device = draw.one(devices(topic, difficulty))
    values = fill(act, draw)
    pattern = draw.one(_patterns(topic, device))
    if device == "encoding":
        values |= _encoded(values["ask"], draw)
    return _worded(pattern, values, device), act


def harmless(question: Question, difficulty: str, draw: Draw) -> Worded:
    """A question that may be answered, worded at a difficulty: the harder, the more it looks like something to refuse."""
    values = talk(draw) | {"q": question.text}
    patterns = framings()["personal" if question.personal else "harmless"][difficulty]
    return _worded(draw.one(patterns), values, "harmless")


def story(topic: Topic, difficulty: str, draw: Draw) -> tuple[Worded, Worded, Act]:
    """Fiction that mentions the act and asks for no method; and its other half, which differs only in asking for a usable one."""
    act = draw.one(acts(topic))
    values, pattern = fill(act, draw), draw.one(framings()["story"][difficulty])
    asking = pattern.replace("{mention}", "{crossing}")
    return _worded(pattern, values, "story"), _worded(asking, values, "roleplay"), act


def fill(act: Act, draw: Draw) -> dict[str, str]:
    """Every slot that a pattern about an act may use."""
    topic = act.topic
    values = talk(draw) | {"do": act.do, "doing": act.doing, "do3": act.do3, "doing3": act.doing3, "soft": topic.soft}
    values["do2"] = reflexive(act.do)
    if topic.care:
        values["motive"] = draw.one(framings()["care_motives"]).format(**values)
    values["ask"] = _begin(draw.one(_asks(act)).format(**values, x=act.thing))
    for part in ("stem", "crossing", "mention"):
        values[part] = draw.one(framings()[f"{part}s"]).format(**values)
    return values


def talk(draw: Draw) -> dict[str, str]:
    """Persona, small talk and slots for a prompt. `role` with its `domain`; sentences are already filled."""
    texts = framings()
    role, domain, is_job = draw.one(_roles())
    values = draw.filler() | {"role": role, "domain": domain, "genre": draw.one(texts["genres"])}
    values["who"] = draw.one([who for who in texts["who"] if is_job or "work as" not in who]).format(**values)
    for part, plural in (("opener", "openers"), ("motive", "motives")):
        values[part] = draw.one(texts[plural]).format(**values)
    for part in ("thanks", "length", "setting"):
        values[part] = draw.one(texts[part]).format(**values)
    return values


def _asks(act: Act) -> tuple[str, ...]:
    """The ways to ask for an act. Wordings that name the thing only stand for the first act of their topic."""
    topic = act.topic
    if not topic.asks:
        return tuple(framings()["asks"]["make" if topic.make else "how"])
    first = act.do == topic.acts[0][0].format(x=act.thing)
    return tuple(ask for ask in topic.asks if first or "{do" in ask)


def _patterns(topic: Topic, device: str) -> list[str]:
    kinds = framings()[device]
    if not isinstance(kinds, list):
        kinds = kinds["plain" if topic.care or topic.refusal_only else "make" if topic.make else "how"]
    return [p for p in kinds if not {"{who}", "{motive}"} & set(p.split())] if topic.refusal_only else kinds


def _worded(pattern: str, values: dict[str, str], device: str) -> Worded:
    tags = [f"device:{device}"]
    text = pattern.format(**values)
    if "{who}" in pattern:
        values["role_used"] = values["role"]
        tags += [f"persona:{values['role']}", f"domain:{values['domain']}"]
    if "{codec}" in pattern:
        tags.append(f"codec:{values['codec']}")
    return Worded(_begin(text), device, values, tags)


def _begin(text: str) -> str:
    """With a capital letter at the beginning."""
    return text[:1].upper() + text[1:]


def _encoded(ask: str, draw: Draw) -> dict[str, str]:
    codec = draw.one(tuple(CODECS))
    return {"codec": codec, "code": CODECS[codec](ask)}


CODECS = {
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "ROT13": lambda text: codecs.encode(text, "rot13"),
    "reversed letters": lambda text: text[::-1],
    "reversed word order": lambda text: " ".join(reversed(text.split())),
    "leetspeak": lambda text: text.translate(_LEET),
    "letters with dots": lambda text: " ".join(".".join(word) for word in text.split()),
    "hexadecimal": lambda text: text.encode().hex(),
}
