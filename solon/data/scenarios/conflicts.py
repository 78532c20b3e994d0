"""Conflicts of two laws, decided by rank: the lower number prevails. Texts: `conflicts.yaml`.

Half are written out, among them cases in which the prevailing law asks for help; half put an argument from a lower-ranked law
before a topic of a higher-ranked one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from solon.data.scenarios import framings, replies
from solon.data.scenarios.replies import Law
from solon.data.scenarios.topics import LAWS, Draw, Topic, acts, as_asked, group_name, read_yaml, topics

PAIRS = tuple(combinations(range(LAWS), 2))


@cache
def texts() -> Mapping[str, Any]:
    """The file, read once."""
    return read_yaml("conflicts.yaml")


def open_topics(law: int) -> tuple[Topic, ...]:
    """The topics of a law that may stand in any framing."""
    return tuple(t for t in topics() if t.law == law and not t.only and not t.refusal_only)


def written(pair: tuple[int, int], difficulty: str, laws: Sequence[Law], draw: Draw) -> dict[str, Any]:
    """One of the scenarios that are written out for a pair."""
    known = [(i, s) for i, s in enumerate(texts()["scenarios"]) if tuple(s["pair"]) == pair]
    index, chosen = draw.one(known)
    values = framings.talk(draw)
    prompt = _wrapped(chosen["prompt"].format(**values), difficulty, values, draw)
    resolve = _resolve(laws[pair[0]], laws[pair[1]], draw)
    reply = chosen["reply"].format(**values)
    return {
        "prompt": prompt,
        "response_ethical": f"{reply} {resolve}" if draw.rng.random() < 0.5 else f"{resolve} {reply}",
        "response_harmful": replies.texts()["withheld"] if chosen["outcome"] == "refuse" else None,
        "critique": f"{chosen['critique']} {resolve}",
        "group": group_name(f"conflict-{pair[0]}-{pair[1]}/{index}"),
        "tags": [*_tags(pair), f"outcome:{chosen['outcome']}"],
    }


def claimed(pair: tuple[int, int], topic: Topic, difficulty: str, laws: Sequence[Law], draw: Draw) -> dict[str, Any]:
    """A topic of the prevailing law, asked for in the name of the other one."""
    act = draw.one(acts(topic))
    values = framings.fill(act, draw) | {"n": str(pair[1])}
    prompt = _wrapped(draw.one(texts()["claims"][pair[1]]).format(**values), difficulty, values, draw)
    high, low = laws[pair[1]], laws[pair[0]]
    resolve, reason = _resolve(low, high, draw), draw.one(topic.reasons)
    offer, offer2 = draw.rng.sample(topic.offers, 2)
    declined = replies.declined_because(as_asked(act, prompt), reason, draw)
    closing = draw.one(replies.texts()["offer"]).format(offer=offer, offer2=offer2)
    reason = reason[:1].upper() + reason[1:]
    critique = texts()["claim_critique"].format(high=high.name, low=low.name, doing=act.doing3, Reason=reason)
    return {
        "prompt": prompt,
        "response_ethical": f"{declined} {resolve} {closing}",
        "response_harmful": replies.texts()["withheld"],
        "critique": critique,
        "group": topic.group,
        "tags": [*_tags(pair), *topic.tags, f"topic:{topic.id}", "outcome:refuse"],
    }


def _resolve(low: Law, high: Law, draw: Draw) -> str:
    return draw.one(texts()["resolve"]).format(low=low.name, Low=low.name, high=high.name, High=high.name)


def _wrapped(request: str, difficulty: str, values: Mapping[str, str], draw: Draw) -> str:
    text = draw.one(texts()["wrap"][difficulty]).format(x=request, **{k: v for k, v in values.items() if k != "x"})
    return text[:1].upper() + text[1:]


def _tags(pair: tuple[int, int]) -> list[str]:
    return ["conflict", f"laws:{pair[0]}>{pair[1]}"]
