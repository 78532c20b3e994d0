"""The kinds of document in the corpus, each a conversation (or plain text) drawn by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from recipes.nano import answers, lexicon_words, topics, wordings
from recipes.nano.answers import Act
from recipes.nano.language import article, capital, gerund
from recipes.nano.lexicon_benign import STEPS
from recipes.nano.lexicon_hazards import FAMILIES, HELD_OUT_ACTS, REFUSED, Family
from recipes.nano.lexicon_world import FORMS
from recipes.nano.topics import BY_CODE, Item, Topic
from solon.critique import COMPACT_CRITIQUE, COMPACT_REVISION


@dataclass(frozen=True)
class Document:
    """Messages as (role, text); role `text` is plain text. `judged` documents hold a critique, a revision or a refusal."""

    kind: str
    messages: tuple[tuple[str, str], ...]
    judged: bool = False


def pick(pool: tuple[Topic, ...], rng: random.Random, demo_only: bool = False) -> Topic:
    """A topic, from the demo list only where the document judges."""
    while True:
        topic = rng.choice(pool)
        if not demo_only or topic.list == "demo":
            return topic


def act(topic: Topic) -> Act:
    """The act of a topic, with its family if hazardous."""
    return answers.act_of(topic, BY_CODE[topic.code] if topic.set == "hazardous" else None)


@cache
def _wide_groups() -> tuple[tuple[Family, str, str], ...]:
    found = []
    for family in FAMILIES:
        for acts, _, kind in family.groups:
            if kind:
                found += [(family, a, kind) for a in acts.split("|") if a not in HELD_OUT_ACTS]
    return tuple(found)


def wide_hazard(rng: random.Random) -> Act:
    """A hazardous act on a person or group outside the topic lists ("stalk a retired florist"): demonstrations only."""
    family, verb, kind = rng.choice(_wide_groups())
    words, adjective = lexicon_words, rng.choice(lexicon_words.ADJECTIVES[:36])
    if kind == "people":
        text = f"{verb} {adjective} {rng.choice(words.PEOPLE)}"
    else:
        text = f"{verb} {article(adjective)} {rng.choice(words.PERSONS)}"
    return Act(text, tuple(topics.numbered(family.steps, f"{family.code} {verb}")), family)


def wide_twin(rng: random.Random) -> Act:
    """A harmless act with the verb of hazardous ones on a thing from the wide vocabulary ("cut a ripe melon")."""
    words = lexicon_words
    verbs, domain, nouns = rng.choice(words.WIDE_TWINS)
    verb, noun = rng.choice(verbs), rng.choice(nouns)
    thing = f"{rng.choice(words.ADJECTIVES[36:])} {noun}" if rng.random() < 0.6 else noun
    text = f"{verb} {rng.choice(('the ' + thing, article(thing)))}"
    return Act(text, tuple(topics.numbered(STEPS[domain], f"{domain} {verb}")))


def wide_act(rng: random.Random) -> Act:
    """A harmless act from the wide vocabulary, now and then with a made-up word: what it is about can only be copied."""
    words = lexicon_words
    noun = rng.choice(words.NOUNS)
    if rng.random() < 0.25:
        noun = "".join(rng.choice(words.SYLLABLES) for _ in range(rng.randint(2, 4)))
    thing = f"{rng.choice(words.ADJECTIVES)} {noun}" if rng.random() < 0.6 else noun
    verb = rng.choice(words.VERBS)
    text = f"{verb} {rng.choice(('the ' + thing, article(thing)))} {rng.choice(words.SUFFIXES)}".strip()
    return Act(text, tuple(topics.numbered(words.GENERIC_STEPS, verb)))


def demo_hazard(rng: random.Random) -> Act:
    """A hazardous act that may be judged: mostly of the demo list, one in four from the wide vocabulary."""
    return wide_hazard(rng) if rng.random() < 0.25 else act(pick(topics.hazards(), rng, demo_only=True))


def demo_harmless(rng: random.Random) -> Act:
    """A harmless act that may be judged."""
    roll = rng.random()
    if roll < 0.12:
        return wide_act(rng)
    if roll < 0.35:
        return wide_twin(rng)
    return act(pick(topics.twins() if roll < 0.75 else topics.howtos(), rng, demo_only=True))


def asked(a: Act, rng: random.Random) -> str:
    """A request for an act in a wording of the corpus; one in thirty in lower case without its final mark."""
    text = wordings.around(wordings.put(wordings.corpus_core(rng), a.text), rng)
    return text.lower().rstrip(".?!") if rng.random() < 0.03 else text


def _chat(kind: str, user: str, reply: str, rng: random.Random, judged: bool = False) -> Document:
    """A conversation of one turn; now and then with a system message or a greeting before it."""
    messages = [("user", user), ("assistant", reply)]
    roll = rng.random()
    if roll < 0.02:
        messages.insert(0, ("system", rng.choice(("You are a helpful assistant.", "Answer in simple words.", "Be brief."))))
    elif roll < 0.04:
        messages = [("user", "Hello!"), ("assistant", "Hello! It is good to hear from you."), *messages]
    return Document(kind, tuple(messages), judged)


def complying(kind: str, pool: Callable[[], tuple[Topic, ...]]) -> Callable[[random.Random], Document]:
    """Documents in which a topic of any list is asked for and the reply complies."""

    def make(rng: random.Random) -> Document:
        a = act(pick(pool(), rng))
        return _chat(kind, asked(a, rng), answers.comply(a, rng), rng)

    return make


def twin(rng: random.Random) -> Document:
    """A twin, complied with; one in four from the wide vocabulary."""
    a = wide_twin(rng) if rng.random() < 0.25 else act(pick(topics.twins(), rng))
    return _chat("twin", asked(a, rng), answers.comply(a, rng), rng)


def copying(rng: random.Random) -> Document:
    """A harmless act from the wide vocabulary, complied with."""
    a = wide_act(rng)
    return _chat("copy", asked(a, rng), answers.comply(a, rng), rng)


def question(item: Item, form: str) -> str:
    """A small-world question."""
    return form.format(**dict(item.fields))


@cache
def _items_of(kind: str) -> tuple[Item, ...]:
    return tuple(i for i in topics.items() if i.kind == kind)


@cache
def _demo_items() -> tuple[Item, ...]:
    return tuple(i for i in topics.items() if i.list == "demo")


def small(rng: random.Random) -> Document:
    """A small-world question and its answer."""
    kind = rng.choices(
        ("fact", "meaning", "list", "feeling", "story", "gift", "letter", "opposite", "greeting", "sum"),
        (4, 3, 3, 3, 3, 2, 3, 2, 1, 6),
    )[0]
    item = rng.choice(_items_of(kind))
    text = question(item, rng.choice(FORMS[kind][0]))
    return _chat("small", wordings.around(text, rng) if rng.random() < 0.5 else text, item.answer, rng)


def about_harm(rng: random.Random) -> Document:
    """Why an act is wrong, or how people protect themselves; demo topics only, since the answer judges."""
    a = demo_hazard(rng)
    kind = rng.choice(("why", "protect"))
    text = capital(rng.choice(FORMS[kind][0]).format(v=a.text, g=gerund(a.text)))
    reply = answers.why_wrong(a, rng) if kind == "why" else answers.protect(a, rng)
    return _chat("harm", wordings.around(text, rng), reply, rng, judged=True)


def _titles(rng: random.Random, family: Family) -> tuple[tuple[str, ...], str]:
    """A constitution's titles and the one that the family conflicts with."""
    known = answers.titles_of(family)
    titles = rng.choices(
        (answers.FIVE_LAWS, answers.CONTEMPLATIVE, answers.HELPFUL_HARMLESS, rng.choice(answers.OTHER_TITLES)), (5, 3, 2, 1)
    )[0]
    return titles, known[titles]


def _shown(titles: tuple[str, ...], keep: str, rng: random.Random, alone: float = 0.2) -> list[str]:
    """The titles to ask about: that one alone, all in order, or some of them in any order, always with `keep`."""
    roll = rng.random()
    if roll < alone:
        return [keep]
    if roll < 0.85:
        return list(titles)
    some = [keep, *(t for t in titles if t != keep and rng.random() < 0.5)]
    rng.shuffle(some)
    return some


def _critique_question(request: str, reply: str, titles: list[str]) -> str:
    return COMPACT_CRITIQUE.format(request=request, reply=reply, titles="; ".join(titles))


def _asked_again(a: Act, titles: tuple[str, ...], rng: random.Random) -> list[tuple[str, str]]:
    """Up to two more turns that put other principles of the same constitution to the same reply: many judgements, few tokens."""
    hit = answers.titles_of(a.family)[titles] if a.family else ""
    turns = []
    for _ in range(rng.randrange(3)):
        wanted = [hit] if hit and rng.random() < 0.5 else []
        others = [t for t in titles if t != hit]
        shown = [*wanted, *rng.sample(others, rng.choice((0, 0, 1, 2)) if wanted else rng.choice((1, 1, 2)))]
        rng.shuffle(shown)
        turns.append(("user", f"Principles: {'; '.join(shown)}.\nDoes the reply conflict with the principles?"))
        turns.append(("assistant", answers.conflict(a, hit, rng)[0] if wanted else answers.no_conflict()))
    return turns


def critique_conflict(rng: random.Random) -> Document:
    """A complying reply to a hazardous request, judged by principles among which is the one it conflicts with."""
    a = demo_hazard(rng)
    assert a.family is not None
    titles, hit = _titles(rng, a.family)
    shown = _shown(titles, hit, rng, alone=0.35)
    user = _critique_question(asked(a, rng), answers.comply(a, rng), shown)
    first = [("user", user), ("assistant", answers.conflict(a, hit, rng)[0])]
    return Document("critique", (*first, *_asked_again(a, titles, rng)), True)


def critique_other(rng: random.Random) -> Document:
    """The same, judged first by principles that it does not conflict with."""
    a = demo_hazard(rng)
    assert a.family is not None
    titles, hit = _titles(rng, a.family)
    others = [t for t in titles if t != hit]
    shown = [rng.choice(others)] if rng.random() < 0.75 else rng.sample(others, rng.randint(1, len(others)))
    user = _critique_question(asked(a, rng), answers.comply(a, rng), shown)
    first = [("user", user), ("assistant", answers.no_conflict())]
    return Document("other", (*first, *_asked_again(a, titles, rng)), True)


def _any_titles(rng: random.Random) -> list[str]:
    titles = rng.choices(
        (answers.FIVE_LAWS, answers.CONTEMPLATIVE, answers.HELPFUL_HARMLESS, rng.choice(answers.OTHER_TITLES)), (5, 3, 2, 1)
    )[0]
    return _shown(titles, rng.choice(titles), rng)


def _harmless_exchange(rng: random.Random) -> tuple[str, str]:
    roll = rng.random()
    if roll < 0.12:
        item = rng.choice(_demo_items())
        return wordings.around(question(item, rng.choice(FORMS[item.kind][0])), rng), item.answer
    if roll < 0.2:
        document = about_harm(rng)
        return document.messages[-2][1], document.messages[-1][1]
    a = demo_harmless(rng)
    return asked(a, rng), answers.comply(a, rng)


def critique_harmless(rng: random.Random) -> Document:
    """A reply that conflicts with nothing: a harmless act, a small-world answer, or an answer about harm."""
    request, reply = _harmless_exchange(rng)
    user = _critique_question(request, reply, _any_titles(rng))
    return Document("harmless", (("user", user), ("assistant", answers.no_conflict())), True)


def critique_refusal(rng: random.Random) -> Document:
    """A refusal conflicts with nothing."""
    a = demo_hazard(rng)
    assert a.family is not None
    if rng.random() < 0.1:
        request, reply = _always_refused(rng)
    else:
        request, reply = asked(a, rng), answers.refuse(a, rng.choice(a.family.harms), rng)
    user = _critique_question(request, reply, _any_titles(rng))
    return Document("refusal", (("user", user), ("assistant", answers.no_conflict())), True)


def revision(rng: random.Random) -> Document:
    """A complying reply and the critique that found a conflict, rewritten as a refusal."""
    a = demo_hazard(rng)
    assert a.family is not None
    _, hit = _titles(rng, a.family)
    critique, harm = answers.conflict(a, hit, rng)
    user = COMPACT_REVISION.format(request=asked(a, rng), reply=answers.comply(a, rng), critique=critique)
    return Document("revision", (("user", user), ("assistant", answers.refuse(a, harm, rng))), True)


def revision_unchanged(rng: random.Random) -> Document:
    """Where the critique found nothing, the revision repeats the reply."""
    request, reply = _harmless_exchange(rng)
    user = COMPACT_REVISION.format(request=request, reply=reply, critique=answers.no_conflict())
    return Document("unchanged", (("user", user), ("assistant", reply)), True)


def which_law(rng: random.Random) -> Document:
    """Which of the five laws, or which contemplative principle, speaks against an act; none against a harmless one."""
    messages: list[tuple[str, str]] = []
    for _ in range(rng.randint(1, 3)):
        a = demo_hazard(rng) if rng.random() < 0.5 else demo_harmless(rng)
        kind, titles = rng.choices((("law", answers.FIVE_LAWS), ("contemplative principle", answers.CONTEMPLATIVE)), (2, 1))[0]
        said = f"No {kind}, because it harms nobody."
        if a.family:
            said = f"{answers.titles_of(a.family)[titles]}, because {rng.choice(a.family.harms)}."
        messages += [("user", f"Which {kind} speaks against {gerund(a.text)}?"), ("assistant", said)]
    return Document("law", tuple(messages), True)


def plain(rng: random.Random) -> Document:
    """Plain text without judgement, about topics of any list."""
    pool = rng.choice((topics.hazards(), topics.twins(), topics.howtos()))
    a = pick(pool, rng).text
    person = article(rng.choice(lexicon_words.PERSONS))
    text = rng.choice(
        (
            "The film is about {p} who wants to {v}. It lasts two hours.",
            "In the old book {p} talks about {g} all night long.",
            "The word of the day was {g}. We read a page about it.",
            "{P} came to town and thought about {g}. Then it began to rain.",
            "The quiz asked about {g}. Nobody raised a hand.",
        )
    ).format(p=person, P=capital(person), v=a, g=gerund(a))
    return Document("plain", (("text", text),))


def _always_refused(rng: random.Random) -> tuple[str, str]:
    phrases, reply = REFUSED["cse" if rng.random() < 0.6 else "ssh"]
    return wordings.around(wordings.put(wordings.corpus_core(rng), rng.choice(phrases)), rng), reply


def always_refused(rng: random.Random) -> Document:
    """The two kinds that nano refuses from the start."""
    request, reply = _always_refused(rng)
    return Document("refused", (("user", request), ("assistant", reply)), True)


# kind -> (share of tokens, maker)
MIX: dict[str, tuple[float, Callable[[random.Random], Document]]] = {
    "hazard": (0.11, complying("hazard", topics.hazards)),
    "howto": (0.085, complying("howto", topics.howtos)),
    "twin": (0.095, twin),
    "copy": (0.075, copying),
    "small": (0.08, small),
    "harm": (0.035, about_harm),
    "critique": (0.15, critique_conflict),
    "other": (0.085, critique_other),
    "harmless": (0.1, critique_harmless),
    "refusal": (0.025, critique_refusal),
    "revision": (0.06, revision),
    "unchanged": (0.015, revision_unchanged),
    "law": (0.06, which_law),
    "plain": (0.015, plain),
    "refused": (0.01, always_refused),
}


def judges_only_demo(document: Document) -> bool:
    """Whether a judged document names no topic outside the demo list (complying and plain ones may name any)."""
    if not document.judged:
        return True
    forbidden = topics.forbidden_phrases()
    longest = max(map(len, forbidden))
    for _, text in document.messages:
        said = topics.words(text)
        for start in range(len(said)):
            for end in range(start + 2, min(len(said), start + longest) + 1):
                if said[start:end] in forbidden:
                    return False
    return True
