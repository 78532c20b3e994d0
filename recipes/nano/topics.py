"""All topics and the four lists they fall into by hash: demo, train, dev, test. Small-world items are topics too."""

# ruff: noqa: E501
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import Literal

from recipes.nano import lexicon_world as world
from recipes.nano.language import article, gerund
from recipes.nano.lexicon_benign import HOWTO, STEPS, TWINS
from recipes.nano.lexicon_hazards import FAMILIES, HELD_OUT_ACTS, Family

List = Literal["demo", "train", "dev", "test"]
SHARES: tuple[tuple[List, float], ...] = (("demo", 0.55), ("train", 0.17), ("dev", 0.06), ("test", 0.22))
TWIN_SHARES: tuple[tuple[List, float], ...] = (("demo", 0.42), ("train", 0.22), ("dev", 0.08), ("test", 0.28))
BY_CODE: dict[str, Family] = {family.code: family for family in FAMILIES}


@dataclass(frozen=True)
class Topic:
    """A verb phrase (`text`), its act, what it is about, and its list. `code`: hazard family, or domain of a harmless topic.

    `group` is the name that splits go by; a twin has that of a hazardous sibling with the same act and list.
    """

    text: str
    act: str
    code: str
    list: List
    group: str
    set: Literal["hazardous", "twin", "benign"]


@dataclass(frozen=True)
class Item:
    """A small-world item: what its question forms are filled with, and its one answer."""

    kind: str
    name: str
    fields: tuple[tuple[str, str], ...]
    answer: str
    list: List


def place(name: str) -> float:
    """Where a name falls in [0, 1), by SHA-256."""
    return int.from_bytes(hashlib.sha256(f"nano topic\x1f{name}".encode()).digest()[:8], "big") / 2**64


def list_of(name: str, shares: tuple[tuple[List, float], ...] = SHARES) -> List:
    """The list of a topic, by the hash of its text alone."""
    where, edge = place(name), 0.0
    for which, share in shares:
        edge += share
        if where < edge:
            return which
    return "test"


def slug(text: str) -> str:
    """Lower-case letters and digits with hyphens."""
    return "-".join("".join(c if c.isalnum() else " " for c in text.lower()).split())


def numbered(steps: tuple[str, ...], key: str, count: int = 4) -> list[str]:
    """A fixed choice of `count` steps, in their order, by the hash of `key`: the same each time, so greedy decoding moves on."""
    ranked = sorted(range(len(steps)), key=lambda i: place(f"{key}\x1f{i}"))[:count]
    return [steps[i] for i in sorted(ranked)]


@cache
def hazards() -> tuple[Topic, ...]:
    """Every hazardous topic. Held-out acts are in `test` whatever their hash."""
    found: dict[str, Topic] = {}
    for family in FAMILIES:
        for acts, objects, _ in family.groups:
            for act in acts.split("|"):
                for thing in objects.split("|"):
                    text = f"{act} {thing}"
                    where: List = "test" if act in HELD_OUT_ACTS else list_of(text)
                    found.setdefault(text, Topic(text, act, family.code, where, f"h-{slug(text)}", "hazardous"))
    return tuple(found.values())


@cache
def twins() -> tuple[Topic, ...]:
    """Every twin, in the group of a hazardous topic with the same act; a twin whose act has none in its list joins one that has."""
    siblings: dict[tuple[str, str], list[Topic]] = {}
    for topic in hazards():
        siblings.setdefault((topic.act, topic.list), []).append(topic)
    found: dict[str, Topic] = {}
    for act, domain, objects in TWINS:
        for thing in objects.split("|"):
            text = f"{act} {thing}"
            wanted = list_of(f"twin {text}", TWIN_SHARES)
            order = [wanted, *(w for w, _ in SHARES if w != wanted)]
            where = next(w for w in order if (act, w) in siblings)
            near = siblings[(act, where)]
            sibling = near[int(place(f"sibling {text}") * len(near))]
            found.setdefault(text, Topic(text, act, domain, where, sibling.group, "twin"))
    return tuple(found.values())


@cache
def howtos() -> tuple[Topic, ...]:
    """Every everyday how-to topic."""
    found: dict[str, Topic] = {}
    for domain, acts, objects in HOWTO:
        for act in acts.split("|"):
            for thing in objects.split("|"):
                text = f"{act} {thing}"
                found.setdefault(text, Topic(text, act, domain, list_of(text), f"b-{slug(text)}", "benign"))
    return tuple(found.values())


@cache
def items() -> tuple[Item, ...]:
    """Every small-world item; sums go up to 9 + 9."""
    made: list[tuple[str, str, dict[str, str], str]] = []
    for question, answer in world.FACTS:
        made.append(("fact", question, {"q": question, "Q": question[0].upper() + question[1:]}, answer))
    for noun, meaning in world.MEANINGS:
        whole = noun if noun in ("courage", "patience", "honesty", "friendship", "gratitude") else article(noun)
        made.append(("meaning", noun, {"n": noun, "a": whole}, f"{whole[0].upper() + whole[1:]} is {meaning}."))
    for name, parts in world.LISTS:
        rest = ", ".join(parts[:-1]) + " and " + parts[-1]
        made.append(("list", name, {"n": name}, f"Some {name} are {rest}."))
    for mood, advice in world.FEELINGS:
        made.append(("feeling", mood, {"n": mood}, f"When you feel {mood}, it helps to {advice}."))
    for hero in world.STORY_HEROES:
        wish, turn, end = world.STORIES[int(place(f"story {hero}") * len(world.STORIES))]
        made.append(("story", hero, {"n": hero}, f"Once there was {hero} that {wish}. {turn}. {end}."))
    for person, gift in world.GIFTS:
        made.append(("gift", person, {"n": person}, f"A good gift for {person} is {gift}."))
    for who in world.LETTER_TO:
        for about, line in world.LETTER_ABOUT:
            letter = f"Dear {who}, I wanted to tell you about {about}. {line}. I hope to see you soon. Yours, Sam"
            made.append(("letter", f"{who} about {about}", {"t": who, "n": about}, letter))
    for a, b in (*world.OPPOSITES, *((y, x) for x, y in world.OPPOSITES)):
        made.append(("opposite", a, {"n": a}, f"The opposite of {a} is {b}."))
    for x in range(1, 10):
        for y in range(1, 10):
            made.append(("sum", f"{x}+{y}", {"a": str(x), "b": str(y)}, f"{x} + {y} is {x + y}."))
    for greeting, reply in world.GREETINGS:
        made.append(("greeting", greeting, {"Q": greeting}, reply))
    return tuple(Item(k, n, tuple(f.items()), a, list_of(f"{k} {n}")) for k, n, f, a in made)


@cache
def forbidden_phrases() -> frozenset[tuple[str, ...]]:
    """Word tuples of every topic outside `demo`, as base form and as gerund: none may occur in a critique, revision or refusal."""
    found = set()
    for topic in (*hazards(), *twins(), *howtos()):
        if topic.list != "demo":
            found |= {words(topic.text), words(gerund(topic.text))}
    return frozenset(found)


def words(text: str) -> tuple[str, ...]:
    """Lower-case words without punctuation marks at their ends."""
    return tuple(w for w in (part.strip('.,:;!?"') for part in text.lower().split()) if w)


def lists_hash() -> dict[str, str]:
    """SHA-256 of each topic list, for the model card."""
    return {
        which: hashlib.sha256(
            "\n".join(sorted(t.text for t in (*hazards(), *twins(), *howtos()) if t.list == which)).encode()
        ).hexdigest()
        for which, _ in SHARES
    }


def family_steps(topic: Topic) -> list[str]:
    """The four steps that a complying answer to this topic has: fixed per act (hazards) or act and domain (harmless)."""
    pool = BY_CODE[topic.code].steps if topic.set == "hazardous" else STEPS[topic.code]
    return numbered(pool, f"{topic.code} {topic.act}")
