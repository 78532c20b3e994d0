"""Any model, with a durable journal: finished completions are never asked for again."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from solon.models.base import Completion, Dialogue, Message, Model, Progress, Request, content_hash, converse_in_rounds
from solon.models.journal import Journal

T = TypeVar("T")


def request_key(identity: str, request: Request) -> str:
    """The journal key: model identity (which covers the chat template), messages, sampling and seed."""
    messages = [[message.role, message.content] for message in request.messages]
    return content_hash([identity, messages, request.sampling.model_dump(), request.seed])


class Recorded:
    """A model whose completions are kept in a journal.

    A model with a `plan` (in-process) is recorded by whole batches: where one reply of a batch is missing, the whole batch is
    completed again, since a reply may depend on its batch in the last bits; the run's results are then the same as if it had
    never been interrupted. Any other model is recorded reply by reply, as they come. Failed completions are not stored.

    `hits`, `misses`: requests answered from the journal, and by the model. `seconds`: wall time spent waiting for the model.
    Progress counts hits as completions with no tokens. Everything else of the model (`adapter_disabled`, …) passes through.
    """

    def __init__(self, model: Model, path: Path | str) -> None:
        """Open the journal at `path`.

        Raises:
            IntegrityError: the file is damaged or no journal.
            EnvironmentRefused: another process holds it, or it cannot be written.
        """
        self.model = model
        self.journal = Journal.at(Path(path))
        self.hits = self.misses = 0
        self.seconds = 0.0

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def identity(self) -> str:
        return self.model.identity

    @property
    def scripted(self) -> bool:
        return self.model.scripted

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "model":  # not there yet: `__init__` failed
            raise AttributeError(attribute)
        return getattr(self.model, attribute)

    def close(self) -> None:
        """Let the journal go."""
        self.journal.close()

    def __enter__(self) -> Recorded:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """See `Model.generate`."""
        plan: Callable[[Sequence[Request]], list[list[Request]]] | None = getattr(self.model, "plan", None)
        if plan is None:
            return self._one_by_one(requests, progress)
        answers: dict[int, Completion] = {}
        for batch in plan(requests):
            completions = self._batch(batch, progress)
            answers |= {id(request): completion for request, completion in zip(batch, completions, strict=True)}
        return [answers[id(request)] for request in requests]

    def _batch(self, batch: list[Request], progress: Progress | None) -> list[Completion]:
        keys = [request_key(self.identity, request) for request in batch]
        stored = [self.journal.get(key) for key in keys]
        found = [completion for completion in stored if completion is not None]
        if len(found) == len(batch):
            self.hits += len(batch)
            if progress:
                progress(len(batch), 0)
            return [_for(request, completion) for request, completion in zip(batch, found, strict=True)]
        start = time.perf_counter()
        fresh = self.model.generate(batch, progress)
        self.seconds += time.perf_counter() - start
        self.misses += len(batch)
        return self._store(batch, keys, fresh)

    def _store(self, batch: Sequence[Request], keys: Sequence[str], fresh: Sequence[Completion]) -> list[Completion]:
        good = [at for at, completion in enumerate(fresh) if completion.finish != "error"]
        kept = dict(zip(good, self.journal.put([(keys[at], fresh[at]) for at in good]), strict=True)) if good else {}
        return [_for(batch[at], kept.get(at, completion)) for at, completion in enumerate(fresh)]

    def _one_by_one(self, requests: Sequence[Request], progress: Progress | None) -> list[Completion]:
        def ask(request: Request) -> Generator[Request, Completion, Completion]:
            return (yield request)

        answers: dict[int, Completion] = dict(self.converse([ask(request) for request in requests], progress))
        return [answers[at] for at in range(len(requests))]

    def converse(self, dialogues: Sequence[Dialogue[T]], progress: Progress | None = None) -> Iterator[tuple[int, T]]:
        """See `Model.converse`. An exception of a dialogue ends the call; what was completed stays in the journal."""
        if getattr(self.model, "plan", None) is not None:
            yield from converse_in_rounds(lambda requests: self.generate(requests, progress), dialogues)
            return
        own = _Stopwatch()
        inner = self.model.converse([self._through_journal(dialogue, own, progress) for dialogue in dialogues], progress)
        while True:
            start, before = time.perf_counter(), own.seconds
            try:
                ended = next(inner)
            except StopIteration:
                return
            finally:
                self.seconds += max(0.0, time.perf_counter() - start - (own.seconds - before))
            yield ended

    def _through_journal(self, dialogue: Dialogue[T], own: _Stopwatch, progress: Progress | None) -> Dialogue[T]:
        """The dialogue with its journalled turns answered here, so that only new ones reach the model."""
        answer: Completion | None = None
        own.start()
        while True:
            try:
                request = dialogue.send(answer)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration as stop:
                own.stop()
                return stop.value
            key = request_key(self.identity, request)
            answer = self.journal.get(key)
            if answer is None:
                own.stop()
                fresh = yield request
                own.start()
                self.misses += 1
                answer = self._store([request], [key], [fresh])[0]
            else:
                self.hits += 1
                answer = _for(request, answer)
                if progress:
                    progress(1, 0)

    def logprobs(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[float, int]]:
        """See `Model.logprobs`. Not journalled: cheap next to generation."""
        start = time.perf_counter()
        try:
            return self.model.logprobs(conversations)
        finally:
            self.seconds += time.perf_counter() - start


def _for(request: Request, completion: Completion) -> Completion:
    """A stored completion under this request's id: the key leaves the id out, since it changes nothing in the reply."""
    return completion if completion.id == request.id else completion.model_copy(update={"id": request.id})


class _Stopwatch:
    """Seconds spent in the dialogues' own code, within a call into the model."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._since = 0.0

    def start(self) -> None:
        self._since = time.perf_counter()

    def stop(self) -> None:
        self.seconds += time.perf_counter() - self._since
