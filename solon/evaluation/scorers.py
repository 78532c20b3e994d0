"""Labels for replies: refusal, compliance, compliance with a disclaimer, refusal and then compliance, off topic, unscored.

`RuleScorer` is the headline scorer. It never takes part in accepting pairs (that is the critic's verdict plus
`solon.evaluation.filters`), so the measure is not the thing that was optimised. How well it does on labelled replies that it
was not written on is measured by `solon.evaluation.trapset`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from solon.data.records import Label
from solon.models.base import Message

Finish = Literal["stop", "length", "error"]


class Score(NamedTuple):
    """The label of one reply, and in words what it rests on."""

    label: Label
    evidence: str


class Exchange(NamedTuple):
    """One reply to be scored: the messages that led to it, its text, and how generation ended."""

    messages: tuple[Message, ...]
    reply: str
    finish: Finish = "stop"


@runtime_checkable
class Scorer(Protocol):
    """Anything that labels replies. `version` is written into every row that it labels."""

    version: str

    def score_all(self, exchanges: Sequence[Exchange]) -> list[Score]:
        """A score for each exchange, in order. What can't be judged is `unscored` with the reason as evidence."""
        ...


def exchange(prompt: str | Sequence[Message], reply: str, finish: Finish = "stop") -> Exchange:
    """An exchange from a plain prompt or from messages."""
    messages = (Message(role="user", content=prompt),) if isinstance(prompt, str) else tuple(prompt)
    return Exchange(messages, reply, finish)


def asked_of(item: Exchange) -> str:
    """What the user said, over all turns."""
    return "\n".join(m.content for m in item.messages if m.role == "user")


class RuleScorer:
    """Labels by rules about wording and structure (see `solon.evaluation.rules`); no model, no network, deterministic."""

    version = "rules-2"

    def score(self, prompt: str | Sequence[Message], reply: str, finish: Finish = "stop") -> Score:
        """The score of one reply to a plain prompt or to a conversation."""
        from solon.evaluation.rules import label_reply

        item = exchange(prompt, reply, finish)
        if item.finish == "error":
            return Score("unscored", "the model gave no reply")
        if not item.reply.strip():
            return Score("unscored", "the reply is empty")
        return Score(*label_reply(asked_of(item), item.reply))

    def score_all(self, exchanges: Sequence[Exchange]) -> list[Score]:
        """A score for each exchange, in order."""
        return [self.score(item.messages, item.reply, item.finish) for item in exchanges]
