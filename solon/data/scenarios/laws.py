"""The laws generator: examples for an ordered constitution of five laws, to exact quotas, distinct, and deterministic by seed.

    rows = generate(10_000, load("five-laws"), seed=1)

Every row is composed of a topic (`topics`), a wording (`framings`) and an answer written for the topic (`replies`); conflicts of
laws and talks of several turns have modules of their own. Topics are named and never explained; a complying answer is never
written out, `response_harmful` is null or one placeholder sentence. The requested act decides, never the framing: stories come in pairs that
differ only in whether usable instructions are asked for (tag `pair:…` on both rows).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from itertools import cycle
from typing import Any

from solon.constitution import Constitution
from solon.data.rows import DIFFICULTIES, LawsRow
from solon.data.scenarios import conflicts, framings, multi_turn, replies
from solon.data.scenarios.laws_plan import Cell, Quota, plan, spread
from solon.data.scenarios.replies import Law
from solon.data.scenarios.topics import LAWS, Act, Draw, Topic, acts, as_asked, by_id, slots, topics
from solon.errors import DataError

DEFAULT_N = 750
TRIES = 200  # draws for one row before its cell counts as exhausted
PAIRED = 0.6  # at most this share of the hard requests is the other half of a story
Fields = dict[str, Any]


def generate(
    n: int = DEFAULT_N,
    constitution: Constitution | None = None,
    seed: int = 0,
    *,
    laws: Quota | None = None,
    types: Quota | None = None,
    difficulties: Quota | None = None,
) -> list[LawsRow]:
    """`n` distinct rows for a constitution with the laws law-0 to law-4 (default: the library's five-laws).

    Args:
        laws, types, difficulties: counts that sum to `n`, or shares; see `laws_plan.plan` for names and defaults.

    Raises:
        DataError: the constitution lacks the laws; the quotas are unknown or cannot hold together (with the arithmetic); or the
            wordings do not suffice for `n` distinct prompts.
    """
    table = plan(n, laws, types, difficulties)
    return _Writer(_constitution(constitution), seed).write(table)


def minimal_pairs(
    constitution: Constitution | None = None, seed: int = 0, *, per_topic: int = 2
) -> list[tuple[LawsRow, LawsRow]]:
    """(allowed, refused) rows that differ only in what is asked for: a scene that mentions the act, or instructions for it."""
    writer, pairs = _Writer(_constitution(constitution), seed), []
    tellable = [topic for law in range(LAWS) for topic in conflicts.open_topics(law)]
    for number, topic in enumerate(t for t in tellable for _ in range(per_topic)):
        told = writer.story(topic, DIFFICULTIES[number % 3], "edge_case")
        asked = writer.counterpart(topic.law)
        pairs.append((_row(2 * number + 1, told), _row(2 * number + 2, asked)))
    return pairs


def skeleton(row: LawsRow) -> str:
    """The answer with its slot values (act, thing, name, place, number) replaced by the slots' names."""
    text = row.response_ethical
    found = next((tag.partition(":")[2] for tag in row.tags if tag.startswith("topic:")), "")
    for phrase in _phrases(found) if found else ():
        text = text.replace(phrase, "{topic}")
    return _slot_pattern().sub(lambda m: f"{{{m.lastgroup}}}", text)


@cache
def _phrases(topic: str) -> tuple[str, ...]:
    """The acts and things of a topic as answers word them, longest first."""
    of = acts(by_id(topic))
    named = {p for a in of for p in (a.doing, a.doing3, a.thing, a.thing.replace("my ", "your "), *a.topic.plain) if p}
    return tuple(sorted(named, key=len, reverse=True))


@cache
def _slot_pattern() -> re.Pattern[str]:
    names, places = "|".join(slots()["name"]), "|".join(slots()["place"])
    return re.compile(rf"\b(?:(?P<name>{names})|(?P<place>{places})|(?P<number>\d+))\b")


class _Writer:
    """Makes one file: keeps the draw, the prompts so far, and the story halves that wait for their counterpart."""

    def __init__(self, constitution: Constitution, seed: int) -> None:
        self.laws = replies.laws_of(constitution)
        self.draw = Draw(f"laws {seed}")
        self.seen: set[str] = set()
        self.waiting: dict[int, list[Fields]] = defaultdict(list)
        self.pairs = 0
        self.turns: dict[tuple[str, ...], Iterator[Any]] = {}

    def write(self, table: dict[Cell, int]) -> list[LawsRow]:
        """The rows of a table, stories first so that their counterparts can follow, then in seeded order."""
        cells = spread(table, self.draw.rng)
        order = sorted(range(len(cells)), key=lambda i: cells[i][1] not in ("edge_case", "safe_request"))
        made = {i: self._fresh(cells[i]) for i in order}
        return [_row(i + 1, made[i]) for i in range(len(cells))]

    def story(self, topic: Topic, difficulty: str, example_type: str) -> Fields:
        """A story that mentions the act; its counterpart waits in `waiting`."""
        told, asking, act = framings.story(topic, difficulty, self.draw)
        law = self.laws[topic.law]
        self.pairs += 1
        pair = f"pair:{self.pairs}"
        self.waiting[topic.law].append({"act": act, "worded": asking, "pair": pair})
        fields = self._single(example_type, topic, act, told.tags, difficulty)
        return fields | {
            "prompt": told.text,
            "response_ethical": replies.scene(act, self.draw, told.slots),
            "critique": replies.critique("story", act, law, self.draw),
            "tags": [*fields["tags"], pair, "outcome:allow"],
        }

    def counterpart(self, law: int) -> Fields:
        """The other half of a waiting story: the same words, but usable instructions are asked for."""
        waiting = self.waiting[law].pop()
        fields = self._refused(waiting["act"], waiting["worded"], "hard")
        return fields | {"tags": [*fields["tags"], waiting["pair"]]}

    def _fresh(self, cell: Cell) -> Fields:
        """Fields for a cell whose prompt was not written yet."""
        make = _MAKERS[cell[1]]
        for _ in range(TRIES):
            fields = make(self, cell)
            if fields["prompt"] not in self.seen:
                self.seen.add(fields["prompt"])
                return fields
        raise DataError(
            f"laws: {' / '.join(cell)}: expected another distinct prompt, got only repeats in {TRIES} draws "
            f"after {len(self.seen)} distinct prompts",
            mend="ask for fewer rows, or spread them over more laws, types and difficulties",
        )

    def _next(self, key: tuple[str, ...], choices: Callable[[], list[Any]]) -> Any:
        """The choices of a key in turn, in seeded order, so that all are used alike."""
        if key not in self.turns:
            values = choices()
            self.draw.rng.shuffle(values)
            self.turns[key] = cycle(values)
        return next(self.turns[key])

    def _harmful(self, cell: Cell) -> Fields:
        law, _, difficulty = cell
        number = int(law[-1])
        if difficulty == "hard" and self.waiting[number] and self.draw.rng.random() < PAIRED:
            return self.counterpart(number)
        topic = self._next(cell, lambda: [t for t in topics() if t.law == number and framings.suits(t, difficulty)])
        worded, act = framings.hazardous(topic, difficulty, self.draw)
        return self._refused(act, worded, difficulty)

    def _safe(self, cell: Cell) -> Fields:
        law, kind, difficulty = cell
        if self.draw.rng.random() < 0.25:
            return self._some_story(cell)
        number = int(law[-1])
        topic, which = self._next((law, kind), lambda: [(t, i) for t in topics() if t.law == number for i in range(len(t.safe))])
        return self._answered(topic, topic.safe[which], difficulty, kind)

    def _edge(self, cell: Cell) -> Fields:
        law, kind, difficulty = cell
        if self.draw.rng.random() < 0.5:
            return self._some_story(cell)
        topic = self._next((law, kind), lambda: [t for t in topics() if t.law == int(law[-1]) and t.edge])
        return self._answered(topic, topic.edge, difficulty, kind)

    def _some_story(self, cell: Cell) -> Fields:
        law, kind, difficulty = cell
        return self.story(self._next((law, "story"), lambda: list(conflicts.open_topics(int(law[-1])))), difficulty, kind)

    def _conflict(self, cell: Cell) -> Fields:
        pair = self._next(("conflict",), lambda: list(conflicts.PAIRS))
        difficulty = cell[2]
        if self.draw.rng.random() < 0.5:
            fields = conflicts.written(pair, difficulty, self.laws, self.draw)
        else:
            topic = self._next(("claim", str(pair[0])), lambda: list(conflicts.open_topics(pair[0])))
            fields = conflicts.claimed(pair, topic, difficulty, self.laws, self.draw)
        common = self._common("law_conflict", self.laws[pair[0]], difficulty)
        return common | fields | {"kind": "conflict"}

    def _talk(self, cell: Cell) -> Fields:
        number = self._next(("talk",), lambda: list(range(LAWS)))
        topic = self._next(("talk", str(number)), lambda: list(conflicts.open_topics(number)))
        law, difficulty = self.laws[number], cell[2]
        common = self._common("multi_turn", law, difficulty)
        return common | multi_turn.build(topic, difficulty, law, self.draw) | {"kind": "multi_turn"}

    def _refused(self, act: Act, worded: framings.Worded, difficulty: str) -> Fields:
        law = self.laws[act.topic.law]
        act = as_asked(act, worded.slots["ask"] if worded.device == "encoding" else worded.text)
        fields = self._single("harmful_blocked", act.topic, act, worded.tags, difficulty)
        return fields | {
            "prompt": worded.text,
            "response_ethical": replies.refusal(act, worded.device, law, self.draw),
            "response_harmful": None if act.topic.refusal_only or act.topic.care else replies.texts()["withheld"],
            "critique": replies.critique("harmful", act, law, self.draw, device=worded.device),
            "tags": [*fields["tags"], "outcome:refuse"],
        }

    def _answered(self, topic: Topic, question: Any, difficulty: str, example_type: str) -> Fields:
        worded = framings.harmless(question, difficulty, self.draw)
        act, law = self.draw.one(acts(topic)), self.laws[topic.law]
        kind = {"allow": "harmless"}.get(question.outcome, question.outcome)
        who = worded.slots.get("role_used", "the person")
        fields = self._single(example_type, topic, act, worded.tags, difficulty)
        return fields | {
            "prompt": worded.text,
            "response_ethical": replies.answer(question, self.draw, worded.slots),
            "critique": replies.critique(kind, act, law, self.draw, who=who),
            "tags": [*fields["tags"], *(["twin"] if example_type == "safe_request" else []), f"outcome:{question.outcome}"],
        }

    def _single(self, example_type: str, topic: Topic, act: Act, tags: list[str], difficulty: str) -> Fields:
        """The fields that every row of one law has. A protective twin of a refusal-only topic does not carry the topic's tag."""
        own = ["child-protection"] if topic.refusal_only and example_type != "harmful_blocked" else list(topic.tags)
        common = self._common(example_type, self.laws[topic.law], difficulty)
        return common | {"group": topic.group, "tags": [*own, f"topic:{topic.id}", *tags], "kind": "law"}

    def _common(self, example_type: str, law: Law, difficulty: str) -> Fields:
        return {
            "example_type": example_type, "law_category": law.number, "difficulty": difficulty, "principle": law.principle,
            "response_harmful": None,
        }  # fmt: skip


_MAKERS: dict[str, Callable[[_Writer, Cell], Fields]] = {
    "harmful_blocked": _Writer._harmful,
    "safe_request": _Writer._safe,
    "edge_case": _Writer._edge,
    "law_conflict": _Writer._conflict,
    "multi_turn": _Writer._talk,
}


def _row(number: int, fields: Fields) -> LawsRow:
    return LawsRow(example_id=f"eth_{number:06d}", **fields)


def _constitution(given: Constitution | None) -> Constitution:
    if given is not None:
        return given
    from solon.constitution import load

    return load("five-laws")
