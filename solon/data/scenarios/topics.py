"""The topics of the laws generator: named acts, reasons, offers, safe twins and scenes, read from `topics_law_*.yaml`.

A topic is an act joined to what it is done to. It is named and never explained; what is written out about it protects or informs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from random import Random
from typing import Any, Literal

from solon.errors import DataError

LAWS = 5
Outcome = Literal["allow", "ask", "redirect"]
# Of the prefixes 0 to 60,000 the one with which a split at seed 0 (10 % validation, 10 % test) comes nearest to its shares in each law.
SALT = "36524"
_VOWEL = re.compile(r"[aeiou]", re.IGNORECASE)
_MY = re.compile(r"\bmy (\w+)")
_PLURAL = ("flats", "parents")
_THEIRS = {
    "my boss": "an employer",
    "my former boss": "a former employer",
    "my own": "their own",
    "our club": "a club",
    "our own": "their own",
    "myself": "oneself",
}
_OTHERS = {"you were": "it was", "yourself": "itself", "your": "its", "you": "an assistant"}
_SWAPPED = {"my": "your", "your": "my", "you were": "I was", "you": "me"}


@dataclass(frozen=True)
class Question:
    """A question that no law forbids answering as `answer` does; `outcome` says whether it helps, asks back or redirects."""

    text: str
    answer: str
    outcome: Outcome = "allow"

    @property
    def personal(self) -> bool:
        """Whether it tells of the asker's own situation before it asks."""
        return bool(re.search(r"[.!?] ", self.text)) or self.outcome != "allow"


@dataclass(frozen=True, eq=False)  # one object per topic: compared and hashed by identity
class Topic:
    """A hazardous topic of one law, with its harmless siblings.

    `soft` veils the act and `plain` names it without particulars, as said to the asker and as said of others. `acts`: (infinitive, gerund as said to the asker), both with {x}; `things`: values of {x}; `own`: the act is aimed at this
    assistant; `make`: a text or design is asked for, not a method; `care`: the asker may be in danger; `refusal_only`: nothing
    but refusals and protection; `only`: the devices that suit it (all when empty).
    """

    id: str
    law: int
    tags: tuple[str, ...]
    acts: tuple[tuple[str, str], ...]
    things: tuple[str, ...]
    soft: str
    plain: tuple[str, str]
    reasons: tuple[str, ...]
    offers: tuple[str, ...]
    scene: str
    safe: tuple[Question, ...]
    edge: Question | None
    asks: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    own: bool = False
    make: bool = False
    care: bool = False
    refusal_only: bool = False

    @property
    def group(self) -> str:
        """The name that splits go by: the topic with all its wordings and twins."""
        return group_name(f"law-{self.law}/{self.id}")


@dataclass(frozen=True)
class Act:
    """One act of a topic in the forms that sentences need.

    `do`/`doing`: as the asker and the answer say it; `do3`/`doing3`: said of others ("my neighbour" becomes "a neighbour").
    """

    topic: Topic
    thing: str
    do: str
    doing: str
    do3: str
    doing3: str


@cache
def read_yaml(name: str) -> Any:
    """A data file of this folder, read once: shared, not to be changed. Without a C parser all of them take about a second."""
    from ruamel.yaml import YAML

    return YAML(typ="safe").load((resources.files(__package__) / name).read_text(encoding="utf-8"))


@cache
def slots() -> Mapping[str, tuple[str, ...]]:
    """Slot name -> its values: person, public, group, name, place, number."""
    return {name: tuple(str(value) for value in values) for name, values in read_yaml("slots.yaml").items()}


@cache
def topics() -> tuple[Topic, ...]:
    """All topics, by law."""
    return tuple(_topic(law, raw) for law in range(LAWS) for raw in read_yaml(f"topics_law_{law}.yaml"))


def group_name(name: str) -> str:
    """The name by whose hash rows about one thing fall on a side of every split."""
    return f"{SALT}/{name}"


def by_id(name: str) -> Topic:
    """The topic of that id.

    Raises:
        DataError: there is none.
    """
    found = next((topic for topic in topics() if topic.id == name), None)
    if found is None:
        raise DataError(f"topic: expected one of {len(topics())} topics, got {name!r}", mend="see topics() for their ids")
    return found


@cache
def acts(topic: Topic) -> tuple[Act, ...]:
    """Every act of a topic with every thing it is done to."""
    return tuple(_act(topic, pair, thing) for pair in topic.acts for thing in topic.things)


def as_asked(act: Act, text: str) -> Act:
    """The act as an answer to `text` should name it: no more than the text tells, and of others where it speaks of others.

    A text that names neither the act nor what it is done to veils it, and gets the topic's plain name.
    """
    topic, told = act.topic, text.lower()
    if topic.refusal_only:
        return act
    if any(phrase and phrase.lower() in told for phrase in (act.do, act.doing, act.thing)):
        return act
    if act.do3.lower() in told or act.doing3.lower() in told:
        return act if topic.own or topic.care else replace(act, doing=act.doing3)
    return replace(act, doing=topic.plain[0], doing3=topic.plain[1])


def reflexive(do: str) -> str:
    """An act of the first person said of people in general: "end my life" -> "end their life"."""
    return re.sub(r"\bmyself\b", "themselves", re.sub(r"\bmy\b", "their", do))


def _topic(law: int, raw: dict[str, Any]) -> Topic:
    things = raw["x"]
    if isinstance(things, str):  # "@person": a shared list
        things = slots()[things.removeprefix("@")]
    do_doing = [tuple(part.strip() for part in act.split("|")) for act in raw["acts"]]
    edge, plain = raw.get("edge"), raw.get("plain", "").split("|")
    return Topic(
        id=raw["id"],
        law=law,
        tags=tuple(raw["tags"]),
        acts=tuple((do, doing) for do, doing in do_doing),
        things=tuple(things),
        soft=raw["soft"],
        plain=(plain[0].strip(), plain[-1].strip()),
        reasons=tuple(raw["reasons"]),
        offers=tuple(raw["offers"]),
        scene=raw.get("scene", ""),
        safe=tuple(Question(q["q"], q["a"]) for q in raw["safe"]),
        edge=Question(edge["q"], edge["a"], edge["outcome"]) if edge else None,
        asks=tuple(raw.get("asks", ())),
        only=tuple(raw.get("only", ())),
        **{flag: bool(raw.get(flag)) for flag in ("own", "make", "care", "refusal_only")},
    )


def _act(topic: Topic, pair: tuple[str, str], thing: str) -> Act:
    do, doing = pair
    replied = _swapped(thing) if topic.own else re.sub(r"\bmy\b", "your", thing)
    return Act(
        topic,
        thing,
        do.format(x=thing),
        doing.format(x=replied),
        _third(do.format(x=thing), topic.own),
        _third(doing.replace("myself", "itself" if topic.own else "myself").format(x=thing), topic.own),
    )


def _swapped(text: str) -> str:
    """The asker's words about "you" and "my" as this assistant repeats them."""
    return re.sub(r"\byou were\b|\byou\b|\byour\b|\bmy\b", lambda found: _SWAPPED[found[0]], text)


def _third(text: str, own: bool) -> str:
    """The same said of others."""
    for old, new in _THEIRS.items():
        text = re.sub(rf"\b{old}\b", new, text)
    text = _MY.sub(lambda found: f"{'their' if found[1] in _PLURAL else _article(found[1])} {found[1]}", text)
    if own:
        text = re.sub(r"\byou were\b|\byourself\b|\byour\b|\byou\b", lambda found: _OTHERS[found[0]], text)
        named, mark, rest = text.partition(_OTHERS["you"])
        text = named + mark + rest.replace(_OTHERS["you"], "it")
    return text


def _article(word: str) -> str:
    return "an" if _VOWEL.match(word) else "a"


class Draw:
    """Seeded choice from the shared slots; one per generated file."""

    def __init__(self, seed: int | str) -> None:
        self.rng = Random(f"solon scenarios {seed}")

    def one(self, values: Any) -> Any:
        """One of them."""
        return self.rng.choice(values)

    def filler(self) -> dict[str, str]:
        """Values of the slots that any wording may use: the asker (`me`, `home`), two other names and places, a number."""
        known = slots()
        names = zip(("me", "name", "name2"), self.rng.sample(known["name"], 3), strict=True)
        places = zip(("home", "place", "place2"), self.rng.sample(known["place"], 3), strict=True)
        return {**dict(names), **dict(places), "number": self.one(known["number"])}
