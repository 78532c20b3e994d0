"""Replies composed of sentences that fit nearly any request, so that warnings, refusals and strays come in more voices than rows.

`replies/sentences.jsonl` holds the sentences: {kind, for, place, text}. `for` says which requests they fit: `hazard` or `benign`
ones, `any`, questions how to do something hazardous (`howto`), or replies that comply (`comply`). Kinds beside those of a part: a
`bridge` leads from a refusal to what was refused, an `alt` closes a refusal (a reason, an offer, a courtesy).
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from recipes.scorer.rows import HERE, OPEN, Part, Row, apart, label_of
from solon.evaluation.text import content_stems

FILE = "sentences"
_HOW = re.compile(
    r"(?:please |pls )?(?:how (?:do|can|could|would|to|might|does)\b|tell me how|explain how|teach me|show me how)", re.I
)
_GREETED = re.compile(r"\b(?:hello|hi|thank|greet|how are you|your name|who are you|what are you|lorem|template)\b", re.I)
_ALARMING = re.compile(
    r"police|caught|illegal|law\b|right and wrong|judge|lectur|warning|disclaim|danger|enem|harmless|safe|hurt|BasedBot|Unfilter"
    r"|hit them|touch you|know it was|😈|rules are|cackle|laugh",
    re.I,
)
_ECHOES = (
    "{0}", "{0} {0}", '"{0}"', "You asked: {0}", 'You said: "{0}"', "Question: {0}", "User: {0}\nAssistant:", "{0}\n\n{0}\n\n{0}",
    "So your question is: {0}", 'Let me repeat that: "{0}"', "The user writes: {0}", "Q: {0}\nA:", "Title: {0}",
)  # fmt: skip
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def sentences() -> dict[tuple[str, str, str], list[str]]:
    """The texts of the file by (kind, for, place)."""
    found = defaultdict(list)
    for line in (HERE / f"{FILE}.jsonl").read_text(encoding="utf-8").splitlines():
        held = json.loads(line)
        found[held["kind"], held["for"], held["place"]].append(held["text"])
    return dict(found)


def composed(rows: Sequence[Row], count: int, seed: int) -> list[Row]:
    """`count` rows from the requests and serving parts of English `rows` and the sentences, labelled by construction."""
    composer = _Composer([r for r in rows if r.lang == "en" and all(p.kind for p in r.parts)], random.Random(seed))
    found: dict[tuple[str, str], Row] = {}
    while len(found) < count:
        row = composer.draw()
        found[row.prompt, row.reply] = row
    return list(found.values())


class _Composer:
    """Draws requests and sentences and puts them together."""

    def __init__(self, rows: Sequence[Row], rng: random.Random) -> None:
        self.rng = rng
        self.bank = sentences()
        self.serving = [
            (r, p) for r in rows for p in r.parts if p.kind == "serve" and sum(q.kind == "serve" for q in r.parts) == 1
        ]
        self.how = [r for r in rows if r.set == "hazardous" and _HOW.match(r.prompt)]
        self.closed = [r for r in rows if not OPEN.search(r.prompt) and not _GREETED.search(r.prompt) and content_stems(r.prompt)]
        self.ways: tuple[tuple[Callable[[], Row], int], ...] = (
            (self.served, 20), (self.warned, 26), (self.relented, 18), (self.declined, 18), (self.strayed, 18),
        )  # fmt: skip

    def draw(self) -> Row:
        """A row of some way."""
        (way,) = self.rng.choices([w for w, _ in self.ways], [n for _, n in self.ways])
        return way()

    def _one(self, kind: str, use: str, place: str, as_kind: str | None = None) -> Part:
        return Part(kind if as_kind is None else as_kind, self.rng.choice(self.bank[kind, use, place]), True)

    def _chance(self, share: float) -> bool:
        return self.rng.random() < share

    def _row(self, prompt: str, parts: Sequence[Part]) -> Row:
        sep = self.rng.choice((" ", " ", " ", "\n\n", "\n"))
        if any("\n" in p.text or p.text.startswith(("#", "|", ">", "`", "//", "<!--")) for p in parts):
            sep = "\n\n"
        shaped = self._voice(parts)
        return Row(prompt, tuple(shaped), label_of([p.kind for p in parts]), sep, family="composed", collection=FILE)

    def _voice(self, parts: Sequence[Part]) -> list[Part]:
        """Now and then another writer's habits, the same throughout a reply, so that they tell nothing."""
        change = self.rng.choices(
            [str, str.lower, str.upper, lambda t: t.replace("'", "’"), lambda t: t.replace("'", ""), lambda t: t.rstrip(".")],
            [70, 8, 2, 10, 3, 7],
        )[0]
        return [replace(p, text=change(p.text)) for p in parts]

    def _served(self) -> tuple[str, str, list[Part]]:
        """(request, hazard or benign, what serves it)."""
        if self._chance(0.3):
            return self.rng.choice(self.how).prompt, "hazard", [self._one("serve", "howto", "any")]
        row, part = self.rng.choice(self.serving)
        return row.prompt, "hazard" if row.set == "hazardous" else "benign", [part]

    def _filler(self, place: str, use: str) -> Part:
        while True:
            part = self._one("filler", "comply", place)
            if use == "hazard" or not _ALARMING.search(part.text):
                return part

    def _around(self, parts: list[Part], use: str, share: float) -> list[Part]:
        """With an opening or a closing that does nothing, by chance."""
        if self._chance(share):
            parts = [self._filler("first", use), *parts]
        return [*parts, self._filler("last", use)] if self._chance(share) else parts

    def served(self) -> Row:
        """What was asked for, dressed up."""
        prompt, use, parts = self._served()
        return self._row(prompt, self._around(parts, use, 0.45))

    def warned(self) -> Row:
        """What was asked for, with a warning before, within or after it."""
        prompt, use, parts = self._served()
        place = self.rng.choices(("first", "last", "within"), (35, 50, 15))[0]
        warning = self._one("warn", use, "any" if place == "within" or self._chance(0.2) else place)
        split = _SENTENCE.split(parts[0].text)
        if place == "within" and len(split) > 1 and "```" not in parts[0].text:
            cut = self.rng.randrange(1, len(split))
            parts = [replace(parts[0], text=" ".join(split[:cut])), warning, replace(parts[0], text=" ".join(split[cut:]))]
        else:
            parts = [warning, *parts] if place == "first" else [*parts, warning]
        return self._row(prompt, self._around(parts, use, 0.12))

    def relented(self) -> Row:
        """A refusal, then what was refused."""
        prompt, use, parts = self._served()
        decline = self._one("decline", use, "any")
        between = [self._one("bridge", "any", "mid", "filler")] if self._chance(0.6) else []
        if self._chance(0.12):
            between = [self._one("alt", use, "last", ""), *between]
        after = [self._one("warn", use, "last")] if self._chance(0.12) else []
        return self._row(prompt, [decline, *between, *parts, *after])

    def declined(self) -> Row:
        """A refusal with or without what usually follows one."""
        row = self.rng.choice(self.closed)
        use = "hazard" if row.set == "hazardous" else "benign"
        parts = [self._one("decline", use, "any")]
        if self._chance(0.15):
            parts = [self.rng.choice([Part("filler", t, True) for t in ("Hmm.", "Well,", "Oh dear.", "Sure!", "Ah.")]), *parts]
        if self._chance(0.15):
            parts.append(self._one("decline", use, "any"))
        if self._chance(0.4):
            parts.append(self._one("alt", use, "last", ""))
        if self._chance(0.08):
            parts.append(replace(self._elsewhere(row.prompt), kind="stray"))
        return self._row(row.prompt, parts)

    def strayed(self) -> Row:
        """Something that neither declines nor serves."""
        row = self.rng.choice(self.closed)
        way = self.rng.choice((self._sentence, self._sentence, self._sentence, self._echo, self._other, self._empty, self._loop))
        parts = list(way(row))
        if self._chance(0.08):
            parts.append(self._one("warn", "benign", "last", "stray"))
        return self._row(row.prompt, parts)

    def _sentence(self, row: Row) -> Iterator[Part]:
        for _ in range(self.rng.choice((1, 1, 2))):
            yield self._one("stray", "any", "any")

    def _echo(self, row: Row) -> Iterator[Part]:
        asked = row.prompt.strip()
        frame = self.rng.choice(_ECHOES)
        yield Part("stray", frame.format(asked))

    def _elsewhere(self, prompt: str) -> Part:
        while True:
            row, part = self.rng.choice(self.serving)
            if apart(prompt, row.prompt, part.text) and not part.generic and len(part.text) > 15:
                return part

    def _other(self, row: Row) -> Iterator[Part]:
        """Other requests, or an answer to one."""
        others = [self.rng.choice(self.closed).prompt for _ in range(self.rng.choice((1, 2, 3)))]
        text = self.rng.choice((self._elsewhere(row.prompt).text, "\n".join(f"Q: {o}" for o in others), "\n".join(others)))
        yield Part("stray", text)

    def _empty(self, row: Row) -> Iterator[Part]:
        """The dress of a helpful reply with nobody in it."""
        yield replace(self._filler("first", "benign"), kind="stray")
        yield replace(self._filler("last", "benign"), kind="stray")

    def _loop(self, row: Row) -> Iterator[Part]:
        words = row.prompt.strip("?!. ").split()
        length = self.rng.randint(1, min(3, len(words)))
        start = self.rng.randrange(len(words) - length + 1)
        yield Part("stray", " ".join([" ".join(words[start : start + length])] * self.rng.randint(4, 14)))
