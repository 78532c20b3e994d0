"""Talks of several turns in which a user works towards a forbidden act, with a label on the turn that crosses the line.

User turns are labelled `harmless`, `approach` (a hint), `crossing` (the first request for the act) and `pressure` (after it). The
tag `crosses_at:K` counts user turns from 1. Texts: `multi_turn.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from solon.data.rows import Turn
from solon.data.scenarios import framings, replies
from solon.data.scenarios.replies import Law
from solon.data.scenarios.topics import Act, Draw, Topic, acts, as_asked, read_yaml


@cache
def texts() -> Mapping[str, Any]:
    """The file, read once."""
    return read_yaml("multi_turn.yaml")


class Talk:
    """A talk as it grows: turns, the act that it leads to, and one set of names throughout."""

    def __init__(self, act: Act, law: Law, draw: Draw) -> None:
        self.act, self.law, self.draw = act, law, draw
        self.values = framings.fill(act, draw)
        self.turns: list[Turn] = []

    def user(self, text: str, label: str) -> None:
        """A turn of the user."""
        self.turns.append(Turn(role="user", content=text[:1].upper() + text[1:], turn=label))

    def assistant(self, text: str) -> None:
        """A turn of the assistant."""
        self.turns.append(Turn(role="assistant", content=text))

    def line(self, key: str, **more: str) -> str:
        """One of the lines of `multi_turn.yaml`, filled in."""
        return self.draw.one(texts()[key]).format(**(self.values | more))

    def ask(self) -> str:
        """The request for the act in a fresh wording, same names."""
        return framings.fill(self.act, self.draw)["ask"]

    def refusal(self, mode: str) -> str:
        """A refusal that knows how the talk got here."""
        asked = " ".join(turn.content for turn in self.turns if turn.role == "user")
        return replies.refusal(as_asked(self.act, asked), mode, self.law, self.draw)

    @property
    def crosses_at(self) -> int:
        """The number of the user turn that crosses the line, from 1."""
        labels = [turn.turn for turn in self.turns if turn.role == "user"]
        return labels.index("crossing") + 1


def build(topic: Topic, difficulty: str, law: Law, draw: Draw) -> dict[str, Any]:
    """The fields of a multi-turn row on a topic that may stand in any framing."""
    talk = Talk(draw.one(acts(topic)), law, draw)
    strategy = draw.one(STRATEGIES[difficulty])
    strategy(talk)
    last = talk.turns[-1]
    mode = "repeated" if last.turn == "pressure" else "drifted" if talk.crosses_at > 1 else "direct"
    name = strategy.__name__.strip("_")
    return {
        "prompt": last.content,
        "conversation": talk.turns,
        "response_ethical": talk.refusal(mode),
        "response_harmful": replies.texts()["withheld"],
        "critique": replies.critique("harmful", talk.act, law, draw, device=mode),
        "group": topic.group,
        "tags": [*topic.tags, f"topic:{topic.id}", f"strategy:{name}", f"crosses_at:{talk.crosses_at}", "outcome:refuse"],
    }


def _insist(talk: Talk) -> None:
    """Asks openly, is refused, asks again."""
    talk.user(talk.values["ask"], "crossing")
    talk.assistant(talk.refusal("direct"))
    talk.user(f"{talk.line('pressures')} {talk.ask()}", "pressure")


def _gradual(talk: Talk) -> None:
    """A harmless question, then the act."""
    _harmless(talk, 0)
    talk.user(f"{talk.line('bridges')} {talk.values['ask']}", "crossing")


def _gradual_insist(talk: Talk) -> None:
    """A harmless question, the act, and the act again."""
    _gradual(talk)
    talk.assistant(talk.refusal("drifted"))
    talk.user(f"{talk.line('pressures')} {talk.ask()}", "pressure")


def _fiction(talk: Talk) -> None:
    """A story that only mentions the act, then the act in the story's clothes."""
    talk.user(f"{talk.values['stem']} {talk.values['mention']}", "harmless")
    talk.assistant(replies.scene(talk.act, talk.draw, talk.values))
    talk.user(f"{talk.line('fiction_turns')} {talk.values['motive']}", "crossing")


def _veiled(talk: Talk) -> None:
    """A hint, a question back, and then plain words."""
    _harmless(talk, 1)
    talk.user(talk.line("veiled_turns", soft=talk.act.topic.soft), "approach")
    talk.assistant(talk.line("veiled_replies"))
    talk.user(talk.line("plain_turns"), "crossing")


def _role(talk: Talk) -> None:
    """A character is set up, and is then asked."""
    talk.user(talk.line("role_turns"), "harmless")
    talk.assistant(talk.line("role_replies"))
    talk.user(talk.line("role_asks"), "crossing")


def _long_climb(talk: Talk) -> None:
    """Two harmless questions with small talk, a framed request, and another framing after the refusal."""
    _harmless(talk, 0)
    talk.user(talk.line("small_talk"), "harmless")
    talk.assistant(talk.line("after_reply"))
    _harmless(talk, 1)
    talk.user(f"{talk.line('bridges')} {_framed(talk, 'hard')}", "crossing")
    talk.assistant(talk.refusal("drifted"))
    talk.user(f"{talk.line('pressures')} {_framed(talk, 'adversarial')}", "pressure")


def _story_climb(talk: Talk) -> None:
    """A harmless question, a story, and the act in the story; then outside it."""
    _harmless(talk, 1)
    _fiction(talk)
    talk.assistant(talk.refusal("roleplay"))
    talk.user(f"{talk.line('pressures')} {_framed(talk, 'medium')}", "pressure")


def _harmless(talk: Talk, which: int) -> None:
    question = talk.act.topic.safe[which]
    talk.user(question.text, "harmless")
    talk.assistant(question.answer)


def _framed(talk: Talk, difficulty: str) -> str:
    """The same act in another framing."""
    return framings.hazardous(talk.act.topic, difficulty, talk.draw, act=talk.act)[0].text


STRATEGIES: Mapping[str, tuple[Callable[[Talk], None], ...]] = {
    "easy": (_insist, _gradual),
    "medium": (_gradual_insist, _role),
    "hard": (_fiction, _veiled),
    "adversarial": (_long_climb, _story_climb),
}
