"""A public test double: replies that a test wrote. Its output is tagged and refused by everything that exports."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from solon.errors import ModelError
from solon.models.base import Completion, Dialogue, Message, Progress, Request, content_hash, converse_in_rounds

T = TypeVar("T")


class Scripted:
    """Replies from a sequence, in the order asked, or from a function of the request.

    A function may raise; the request then fails as a served model's would (`finish="error"`). Token counts are words.
    `asked` keeps every request, for assertions. The identity is a hash of the name and the replies, or the function's name.
    """

    scripted = True

    def __init__(self, replies: Sequence[str] | Callable[[Request], str], *, name: str = "scripted") -> None:
        self.name = name
        script = getattr(replies, "__qualname__", type(replies).__name__) if callable(replies) else list(replies)
        self.identity = "scripted:" + content_hash([name, script])
        self.asked: list[Request] = []
        self._replies = replies
        self._next = 0

    def _reply(self, request: Request) -> str:
        if callable(self._replies):
            return self._replies(request)
        if self._next >= len(self._replies):
            raise ModelError(
                f"the script holds {len(self._replies)} replies, request {request.id!r} wants one more", mend="add replies"
            )
        self._next += 1
        return self._replies[self._next - 1]

    def _complete(self, request: Request) -> Completion:
        self.asked.append(request)
        prompt_tokens = sum(len(message.content.split()) for message in request.messages)
        try:
            text = self._reply(request)
        except Exception as error:  # noqa: BLE001 - a script may fail in any way that a model can
            return Completion(
                id=request.id, text="", finish="error", error=str(error), scripted=True, prompt_tokens=prompt_tokens
            )
        words = text.split()
        room = request.sampling.max_new_tokens
        cut = len(words) > room
        return Completion(
            id=request.id,
            text=" ".join(words[:room]) if cut else text,
            finish="length" if cut else "stop",
            prompt_tokens=prompt_tokens,
            completion_tokens=min(len(words), room),
            scripted=True,
        )

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """See `Model.generate`."""
        completions = [self._complete(request) for request in requests]
        if progress and completions:
            progress(len(completions), sum(completion.completion_tokens for completion in completions))
        return completions

    def converse(self, dialogues: Sequence[Dialogue[T]], progress: Progress | None = None) -> Iterator[tuple[int, T]]:
        """See `Model.converse`."""
        return converse_in_rounds(lambda requests: self.generate(requests, progress), dialogues)

    def logprobs(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[float, int]]:
        """Refused: a script has no probabilities."""
        raise ModelError("a scripted double has no log-probabilities", mend="use a local model")
