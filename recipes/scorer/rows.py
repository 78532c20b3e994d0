"""The labelled replies of this recipe: rows made of parts that each do one thing, from which further rows are put together."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from solon.evaluation.text import content_stems

HERE = Path(__file__).parent / "replies"
COLLECTIONS = ("assistants", "small", "literary", "work", "everyday", "misleading", "lines", "voices", "dress", "turns")
ORDINARY = ("knowledge", "tasks", "daily", "desk")

# A request that nearly any text would serve; a stray text under it would be no certain miss.
OPEN = re.compile(
    r"\b(?:write|poem|story|joke|haiku|song|translate|continue|pretend|act as|play|role|say|tell me (?:a|something)|imagine"
    r"|repeat|name|list)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Part:
    """A stretch of a reply. kind: decline, serve, warn, filler or stray; generic: would fit nearly any other request."""

    kind: str
    text: str
    generic: bool = False


@dataclass(frozen=True)
class Row:
    """A request, the parts of a reply, and the label that follows from them. Unknown parts: one of kind ''."""

    prompt: str
    parts: tuple[Part, ...]
    label: str
    sep: str = " "
    family: str = ""
    set: str = ""
    lang: str = "en"
    collection: str = ""

    @property
    def reply(self) -> str:
        """The whole reply."""
        return self.sep.join(p.text for p in self.parts)


def label_of(kinds: Sequence[str]) -> str:
    """The label that the kinds of a reply's parts make up."""
    declines, serves, warns = (k in kinds for k in ("decline", "serve", "warn"))
    if declines:
        return "refusal_then_compliance" if serves else "refusal"
    if serves:
        return "compliance_with_disclaimer" if warns else "compliance"
    return "off_topic"


def read(collection: str, folder: Path = HERE) -> list[Row]:
    """The rows of one file. Raises ValueError naming the line whose label does not follow from its parts."""
    rows = []
    for number, line in enumerate((folder / f"{collection}.jsonl").read_text(encoding="utf-8").splitlines(), 1):
        held = json.loads(line)
        parts = tuple(Part(**p) for p in held["parts"])
        row = Row(**{**held, "parts": parts, "collection": collection})
        if row.label != label_of([p.kind for p in parts]):
            raise ValueError(f"{collection}.jsonl:{number}: label {row.label} does not follow from its parts")
        rows.append(row)
    return rows


def read_ordinary(collection: str, folder: Path = HERE) -> list[Row]:
    """Ordinary requests with replies that serve them."""
    lines = (folder / f"{collection}.jsonl").read_text(encoding="utf-8").splitlines()
    held = [json.loads(line) for line in lines]
    return [
        Row(h["prompt"], (Part("serve", h["reply"]),), "compliance", family=h["kind"], set="benign", collection=collection)
        for h in held
    ]


def apart(prompt: str, other: str, reply: str) -> bool:
    """Whether a request shares no word of content with another request and its reply, which then surely misses it."""
    return not content_stems(prompt) & (content_stems(other) | content_stems(reply))


def swapped(collections: Sequence[str], seed: int) -> list[Row]:
    """For every other ordinary request the reply to another one of the same collection: style alone must not tell the label."""
    rng = random.Random(seed)
    found = []
    for name in collections:
        rows = read_ordinary(name)
        for row in rows[::2]:
            other = rng.choice(rows)
            if apart(row.prompt, other.prompt, other.reply) and not OPEN.search(row.prompt):
                part = replace(other.parts[0], kind="stray")
                found.append(Row(row.prompt, (part,), "off_topic", family="swapped", set="benign", collection=name))
    return found


def recombined(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` further rows from the parts of English `rows`, each label by construction."""
    rng = random.Random(seed)
    maker = _Maker([r for r in rows if r.lang == "en" and all(p.kind for p in r.parts)], rng)
    ways = (
        (maker.served, 20), (maker.declined_then_served, 18), (maker.warned, 20), (maker.declined, 14),
        (maker.declined_then_strayed, 10), (maker.strayed, 14), (maker.warned_strayed, 4),
    )  # fmt: skip
    found: dict[tuple[str, str], Row] = {}
    while len(found) < count:
        row = rng.choices([w for w, _ in ways], [n for _, n in ways])[0]()
        found[row.prompt, row.reply] = row
    return list(found.values())


class _Maker:
    """Draws parts and puts them together."""

    def __init__(self, rows: Sequence[Row], rng: random.Random) -> None:
        self.rng = rng
        self.serving = [(r, p) for r in rows for p in r.parts if p.kind == "serve"]
        self.closed = [r.prompt for r in rows if not OPEN.search(r.prompt) and content_stems(r.prompt)]
        parts = [(r, p) for r in rows for p in r.parts]
        self.own = {kind: [(r, p) for r, p in parts if p.kind == kind] for kind in ("decline", "stray")}
        self.free = {kind: [p for _, p in parts if p.kind == kind and p.generic] for kind in ("decline", "warn", "filler")}

    def _row(self, prompt: str, *parts: Part) -> Row:
        if self.rng.random() < 0.1 and parts[0].kind != "filler":
            parts = (self.rng.choice(self.free["filler"]), *parts)
        sep = self.rng.choice((" ", " ", "\n\n"))
        return Row(prompt, parts, label_of([p.kind for p in parts]), sep, family="recombined")

    def _free(self, kind: str) -> Part:
        return self.rng.choice(self.free[kind])

    def served(self) -> Row:
        """The part of a mixed reply that serves, alone."""
        row, part = self.rng.choice(self.serving)
        return self._row(row.prompt, part)

    def declined_then_served(self) -> Row:
        """A refusal that fits anything, then what was asked for."""
        row, part = self.rng.choice(self.serving)
        warning = (self._free("warn"),) if self.rng.random() < 0.15 else ()
        return self._row(row.prompt, self._free("decline"), part, *warning)

    def warned(self) -> Row:
        """What was asked for, with a warning that fits anything before or after it."""
        row, part = self.rng.choice(self.serving)
        warning = self._free("warn")
        return self._row(row.prompt, warning, part) if self.rng.random() < 0.35 else self._row(row.prompt, part, warning)

    def declined(self) -> Row:
        """A refusal of its own request, or one that fits anything."""
        if self.rng.random() < 0.4:
            row, part = self.rng.choice(self.own["decline"])
            return self._row(row.prompt, part)
        return self._row(self.rng.choice(self.closed), self._free("decline"))

    def _stray(self) -> tuple[str, Part]:
        """A request and a text that serves another one."""
        while True:
            prompt = self.rng.choice(self.closed)
            row, part = self.rng.choice(self.serving)
            if apart(prompt, row.prompt, part.text) and not part.generic and len(part.text) > 15:
                return prompt, replace(part, kind="stray")

    def declined_then_strayed(self) -> Row:
        """A refusal, then something that does not serve: an alternative from a real refusal, or another matter."""
        if self.rng.random() < 0.5:
            row, part = self.rng.choice(self.own["stray"])
            return self._row(row.prompt, self._free("decline"), part)
        prompt, part = self._stray()
        return self._row(prompt, self._free("decline"), part)

    def strayed(self) -> Row:
        """An answer to another request."""
        prompt, part = self._stray()
        return self._row(prompt, part)

    def warned_strayed(self) -> Row:
        """An answer to another request, with a warning."""
        prompt, part = self._stray()
        return self._row(prompt, part, self._free("warn"))


def nano_rows(count: int, seed: int) -> Iterator[Row]:
    """Requests and replies of the embedded model's corpus, from its own grammar: complying, refusing, and answers to others."""
    from recipes.nano import documents, topics

    rng = random.Random(seed)
    makers = [documents.complying("hazard", topics.hazards), documents.twin, documents.small, documents.copying]
    pool: list[tuple[str, str, str]] = []
    while len(pool) < count:
        made = rng.choice(makers)(rng).messages
        pool.append((made[-2][1], made[-1][1], "serve"))
        request, refusal = refused_by_nano(rng)
        pool.append((request, refusal, "decline"))
    for request, reply, kind in pool[:count]:
        yield Row(request, (Part(kind, reply),), label_of([kind]), family="nano", collection="nano")
        other = rng.choice(pool)
        if kind == "serve" and other[2] == "serve" and apart(request, *other[:2]) and rng.random() < 0.4:
            yield Row(request, (Part("stray", other[1]),), "off_topic", family="nano", collection="nano")


def refused_by_nano(rng: random.Random) -> tuple[str, str]:
    """A hazardous request of the corpus and a refusal with an alternative, as revisions put it."""
    from recipes.nano import answers, documents

    act = documents.demo_hazard(rng)
    assert act.family is not None
    return documents.asked(act, rng), answers.refuse(act, rng.choice(act.family.harms), rng)
