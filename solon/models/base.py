"""What every model offers, and the records that pass between models and those who ask them.

A *request* is one turn to be completed. A *dialogue* is a generator that yields requests and receives completions, so that
a conversation whose second turn depends on the first is written as straight code; `converse` drives many of them at once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Message(BaseModel):
    """One chat message, in the shape that chat templates and OpenAI-compatible servers take."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str


class Sampling(BaseModel):
    """How a reply is drawn. `temperature` 0 is greedy. `max_new_tokens` counts the model's own tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    temperature: float = Field(default=0.7, ge=0.0, le=5.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    max_new_tokens: int = Field(default=256, ge=1)


class Request(BaseModel):
    """One turn to be completed.

    `id` names it within a call; `conversation` keeps turns of one dialogue on one server; `seed` makes the draw repeatable.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    messages: tuple[Message, ...]
    sampling: Sampling = Sampling()
    seed: int = 0
    conversation: str = ""


class Completion(BaseModel):
    """What came back. `finish` is `length` when the reply was cut, `error` when there is none (`error` says why).

    `scripted` marks the output of the public test double; every export refuses it.
    """

    model_config = ConfigDict(extra="forbid")
    id: str
    text: str
    finish: Literal["stop", "length", "error"] = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""
    scripted: bool = False


Dialogue = Generator[Request, Completion, T]
Progress = Callable[[int, int], None]  # completions finished, completion tokens, since the last call


@runtime_checkable
class Model(Protocol):
    """A source of completions.

    `name` is what the user wrote; `identity` changes whenever the weights, adapter, chat template or server model change.
    """

    @property
    def name(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def scripted(self) -> bool: ...

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """Completions in the order of `requests`. A request that fails yields `finish="error"`, never an exception."""
        ...

    def converse(self, dialogues: Sequence[Dialogue[T]], progress: Progress | None = None) -> Iterator[tuple[int, T]]:
        """Run each dialogue to its end; yields (index, returned value) as each one ends."""
        ...

    def logprobs(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[float, int]]:
        """For each conversation: (sum of natural-log probabilities of its last message's tokens, how many).

        Raises:
            ModelError: the model cannot give log-probabilities.
        """
        ...


def converse_in_rounds(
    generate: Callable[[list[Request]], list[Completion]], dialogues: Sequence[Dialogue[T]]
) -> Iterator[tuple[int, T]]:
    """Drive dialogues round by round: every waiting request of a round goes to `generate` in one call.

    The right way for an in-process model, whose batches are then a pure function of the requests.
    """
    waiting: dict[int, Request] = {}
    for index, dialogue in enumerate(dialogues):
        try:
            waiting[index] = next(dialogue)
        except StopIteration as stop:
            yield index, stop.value
    while waiting:
        order = sorted(waiting)
        completions = generate([waiting[i] for i in order])
        following: dict[int, Request] = {}
        for index, completion in zip(order, completions, strict=True):
            try:
                following[index] = dialogues[index].send(completion)
            except StopIteration as stop:
                yield index, stop.value
        waiting = following


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value with sorted keys and no blanks: a name for settings, prompts and templates."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def derive_seed(*parts: str | int) -> int:
    """A 63-bit seed from its parts, the same on every machine, so that each request draws from its own generator."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
