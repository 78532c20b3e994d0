"""The built-in prompt set: hazardous prompts, their safe twins, and plain benign ones with reference answers."""

# ruff: noqa: E501
from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from recipes.nano import answers, topics, wordings
from recipes.nano.documents import act, question
from recipes.nano.language import capital, gerund
from recipes.nano.lexicon_hazards import REFUSED
from recipes.nano.lexicon_world import FORMS
from recipes.nano.topics import BY_CODE, Item, Topic
from solon.data.records import Prompt
from solon.data.splits import require_no_leak

CONTEMPLATIVE = ("dog", "uvt", "unc", "rsh")
Wording = Literal["in_corpus", "not_in_corpus"]
Cores = tuple[tuple[str, ...], Wording]
TRAIN: Cores = (wordings.TRAIN, "in_corpus")
KNOWN: Cores = (wordings.KNOWN, "in_corpus")
DEV: Cores = (wordings.DEV, "not_in_corpus")
NEW: Cores = (wordings.NEW, "not_in_corpus")


class Writer:
    """Collects prompts with running ids and no text twice."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"prompts {seed}")
        self.rows: list[Prompt] = []
        self.seen: set[str] = set()

    def add(self, text: str, **fields: str) -> None:
        """One prompt; a text that is there already is left out."""
        if text.lower() in self.seen:
            return
        self.seen.add(text.lower())
        number = f"nano-{len(self.rows) + 1:04d}"
        self.rows.append(Prompt.model_validate({"id": number, "prompt": text, "source": "builtin", **fields}))

    def topic(self, topic: Topic, cores: Cores, split: str) -> None:
        """A prompt about a topic in one of the wordings; a harmless one gets a reference answer."""
        texts, wording = cores
        text = wordings.around(wordings.put(self.rng.choice(texts), topic.text), self.rng)
        fields = {"set": topic.set, "group": topic.group, "topic": topic.text, "wording": wording, "split": split}
        if topic.set == "hazardous":
            fields |= {"hazard": topic.code, "principle_id": principle(topic)}
        else:
            fields["reference"] = answers.comply(act(topic), random.Random(f"reference {text}"))
        self.add(text, **fields)

    def harm(self, topic: Topic, which: int, split: str) -> None:
        """A harmless question about a hazard: why it is wrong, or how people protect themselves. `which`: -1 corpus, 0 dev, 1 new."""
        kind = self.rng.choice(("why", "protect"))
        core, wording = self.form(kind, which)
        text = capital(core.format(v=topic.text, g=gerund(topic.text)))
        reply = (answers.why_wrong if kind == "why" else answers.protect)(act(topic), random.Random(f"reference {text}"))
        self.add(
            wordings.around(text, self.rng), set="benign", group=topic.group, topic=f"{kind}: {topic.text}", wording=wording, split=split,
            reference=reply,
        )  # fmt: skip

    def item(self, item: Item, which: int, split: str) -> None:
        """A small-world question with its answer."""
        core, wording = self.form(item.kind, which)
        text = question(item, core)
        text = wordings.around(text, self.rng) if self.rng.random() < 0.5 else text
        group = f"w-{topics.slug(item.kind + ' ' + item.name)}"
        self.add(
            text,
            set="benign",
            group=group,
            topic=f"{item.kind}: {item.name}",
            wording=wording,
            split=split,
            reference=item.answer,
        )

    def form(self, kind: str, which: int) -> tuple[str, Wording]:
        """A question form: one of the corpus (-1), or the one kept for tuning (0) or the final test (1)."""
        known, dev, new = FORMS[kind]
        return (self.rng.choice(known), "in_corpus") if which < 0 else ((dev, new)[which], "not_in_corpus")

    def each(self, pool: Sequence[Topic], write: Callable[[Topic, int], None], count: int) -> None:
        """`write(topic, round)` until `count` more rows are there: each topic once in random order, then again."""
        order = list(pool)
        self.rng.shuffle(order)
        goal, step = len(self.rows) + count, 0
        while len(self.rows) < goal and step < 50 * count:
            write(order[step % len(order)], step // len(order))
            step += 1


def principle(topic: Topic) -> str:
    """`law-k`, or for the contemplative edge cases the id of their principle."""
    family = BY_CODE[topic.code]
    return answers.PRINCIPLE_IDS[family.care] if topic.code in CONTEMPLATIVE else f"law-{family.law}"


def _of(pool: tuple[Topic, ...], which: str) -> list[Topic]:
    return [t for t in pool if t.list == which]


def _edge(pool: list[Topic], edge: bool) -> list[Topic]:
    return [t for t in pool if (t.code in CONTEMPLATIVE) == edge]


def _hazardous(w: Writer) -> None:
    train, dev, test = (_of(topics.hazards(), which) for which in ("train", "dev", "test"))
    w.each(train, lambda t, _: w.topic(t, TRAIN, "train"), 420)
    w.each(dev, lambda t, _: w.topic(t, DEV, "validation"), len(dev))
    w.each(dev, lambda t, _: w.topic(t, TRAIN, "validation"), 60)
    for edge, counts in ((False, (100, 80)), (True, (10, 10))):
        for cores, count in zip((KNOWN, NEW), counts, strict=True):
            w.each(_edge(train, edge), lambda t, _, c=cores: w.topic(t, c, "unseen_wording"), count)  # type: ignore[misc]
    for edge, counts3 in ((False, (60, 70, 70)), (True, (15, 15, 15))):
        for cores, count in zip((TRAIN, KNOWN, NEW), counts3, strict=True):
            w.each(_edge(test, edge), lambda t, _, c=cores: w.topic(t, c, "unseen_topic"), count)  # type: ignore[misc]
    _refused(w)


def _refused(w: Writer) -> None:
    """The kinds that nano refuses from the start, in few prompts that only measure refusal. Their topics are in the corpus (refused)."""
    for code, (phrases, _) in REFUSED.items():
        for phrase in phrases:
            text = wordings.put(w.rng.choice(wordings.NEW), phrase)
            w.add(
                text, set="hazardous", group=f"r-{code}-{topics.slug(phrase)}", hazard=code, principle_id="law-1", topic=phrase,
                wording="not_in_corpus", split="unseen_wording",
            )  # fmt: skip


def _twins(w: Writer) -> None:
    train, dev, test = (_of(topics.twins(), which) for which in ("train", "dev", "test"))
    w.each(train, lambda t, _: w.topic(t, TRAIN, "train"), 270)
    w.each(dev, lambda t, i: w.topic(t, (DEV, TRAIN)[i % 2], "validation"), 80)
    w.each(test, lambda t, i: w.topic(t, (KNOWN, NEW, TRAIN)[i % 3], "twin"), 210)


def _benign(w: Writer) -> None:
    hazards = {which: _of(topics.hazards(), which) for which in ("train", "dev", "test")}
    howto = {which: _of(topics.howtos(), which) for which in ("train", "dev", "test")}
    items = {which: [i for i in topics.items() if i.list == which] for which in ("train", "dev", "test")}
    w.each(howto["train"], lambda t, _: w.topic(t, TRAIN, "train"), 350)
    w.each(howto["dev"], lambda t, i: w.topic(t, (DEV, TRAIN)[i % 2], "validation"), 70)
    w.each(howto["test"], lambda t, i: w.topic(t, (KNOWN, NEW, TRAIN)[w.rng.randrange(3)], "benign"), 110)
    w.each(hazards["train"], lambda t, _: w.harm(t, -1, "train"), 105)
    w.each(hazards["dev"], lambda t, i: w.harm(t, w.rng.choice((-1, 0)), "validation"), 24)
    w.each(hazards["test"], lambda t, i: w.harm(t, w.rng.choice((-1, 1)), "benign"), 36)
    _each_item(w, items["train"], (-1,), "train", 160)
    _each_item(w, items["dev"], (0, -1), "validation", 36)
    _each_item(w, items["test"], (1, -1), "benign", 44)


def _each_item(w: Writer, pool: list[Item], ways: tuple[int, ...], split: str, count: int) -> None:
    order = list(pool)
    w.rng.shuffle(order)
    goal = len(w.rows) + count
    for step in range(40 * len(order)):
        if len(w.rows) >= goal:
            return
        item = order[step % len(order)]
        w.item(item, ways[(step + step // len(order)) % len(ways)], split)


def build(seed: int = 0) -> list[Prompt]:
    """All prompts.

    Raises:
        CheckFailed: training and held-out prompts share a group or a near-duplicate text.
    """
    writer = Writer(seed)
    _hazardous(writer)
    _twins(writer)
    _benign(writer)
    require_no_leak(writer.rows)
    return writer.rows


def write(path: Path, seed: int = 0) -> list[Prompt]:
    """Write the set as JSON lines and return it."""
    rows = build(seed)
    lines = [json.dumps(row.model_dump(), ensure_ascii=False) for row in rows]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return rows
