"""Models behind OpenAI-compatible servers (vLLM, SGLang, llama.cpp, `transformers serve`, …), over HTTP.

Protocol: POST {url}/chat/completions as in https://platform.openai.com/docs/api-reference/chat. Dialogues run side by side,
each at its own pace: a conversation's next turn is sent as soon as its last reply is there.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import hashlib
import json
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Coroutine, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from solon.errors import ModelError
from solon.models.answers import DOWN, Outcome, Retry, pause, read_answer
from solon.models.base import Completion, Dialogue, Message, Progress, Request
from solon.models.fingerprint import served_identity

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")
log = logging.getLogger(__name__)
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
DOWN_FOR = 10.0  # seconds for which a server that could not be reached is passed over, while another is up
CONNECT = 10.0  # seconds allowed to open a connection


class HTTPModel:
    """One served model, on one server or several that serve the same.

    A conversation stays on one server (by rendezvous hash of `Request.conversation`, else of its id) unless that one is down:
    it cannot be reached, times out, or a proxy says so (502, 503, 504). 429, 5xx, time-outs, broken connections and nonsense
    are tried again, with growing pauses and jitter, honouring Retry-After; any other 4xx is final. The API key comes from
    SOLON_API_KEY, else from OPENAI_API_KEY, which is sent over https or to this machine only; no key is ever logged.

    Args:
        urls: bases such as `http://localhost:8000/v1`.
        served: the model's name there.
        concurrency: dialogues in flight together, all servers taken together.
        timeout: seconds for one attempt.
        attempts: tries per request.
        backoff: seconds of the first pause; it doubles each time, up to 30.
        template_options: sent as `chat_template_kwargs`.

    Raises:
        ModelError: no server answers, or none of them speaks this protocol.
    """

    scripted = False

    def __init__(
        self,
        urls: Sequence[str],
        served: str,
        *,
        name: str = "",
        concurrency: int = 32,
        timeout: float = 300.0,
        attempts: int = 8,
        backoff: float = 0.5,
        template_options: dict[str, Any] | None = None,
    ) -> None:
        if concurrency < 1 or attempts < 1 or timeout <= 0:
            raise ModelError(
                f"expected concurrency and attempts above 0 and timeout > 0, got {concurrency}, {attempts}, {timeout}",
                mend="32, 8 and 300 suit most servers",
            )
        self.urls, self.served, self.name = tuple(urls), served, name or f"{','.join(urls)}#{served}"
        self.concurrency, self.timeout, self.attempts, self.backoff = concurrency, timeout, attempts, backoff
        self.template_options = template_options or {}
        self.identity = served_identity(self.urls, served, self.template_options)
        self._down_until: dict[str, float] = {}
        self._last_answer = 0.0
        self._line = _Line(trust_env=not all(urlsplit(url).hostname in LOOPBACK for url in urls))
        try:
            self._probe()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connections. Also done when the object is collected."""
        self._line.close()

    # Asking

    def generate(self, requests: Sequence[Request], progress: Progress | None = None) -> list[Completion]:
        """See `Model.generate`.

        Raises:
            ModelError: no server can be reached any more.
        """

        def ask(request: Request) -> Generator[Request, Completion, Completion]:
            return (yield request)

        answers = dict(self.converse([ask(request) for request in requests], progress))
        return [answers[at] for at in range(len(requests))]

    def converse(self, dialogues: Sequence[Dialogue[T]], progress: Progress | None = None) -> Iterator[tuple[int, T]]:
        """See `Model.converse`. The dialogues' own code runs in the caller's thread, one at a time.

        Raises:
            ModelError: no server can be reached any more.
        """
        inbox: queue.SimpleQueue[tuple[int, concurrent.futures.Future[Outcome]]] = queue.SimpleQueue()
        flying: dict[int, concurrent.futures.Future[Outcome]] = {}

        def send(index: int, request: Request) -> None:
            future = self._line.submit(self._complete(request))
            flying[index] = future
            future.add_done_callback(lambda done: inbox.put((index, done)))

        upcoming = iter(enumerate(dialogues))
        try:
            while True:
                while len(flying) < self.concurrency and (following := next(upcoming, None)):
                    index, dialogue = following
                    try:
                        send(index, next(dialogue))
                    except StopIteration as stop:
                        yield index, stop.value
                if not flying:
                    return
                index, future = inbox.get()
                del flying[index]
                completion = self._landed(future.result(), progress)
                try:
                    send(index, dialogues[index].send(completion))
                except StopIteration as stop:
                    yield index, stop.value
        finally:
            for future in flying.values():
                future.cancel()

    def _landed(self, outcome: Outcome, progress: Progress | None) -> Completion:
        if outcome.unreachable and self._last_answer < outcome.since:
            raise ModelError(
                f"{self.name}: {outcome.completion.error}",
                mend="start the server again and repeat the command: finished completions are kept",
            )
        if progress:
            progress(1, outcome.completion.completion_tokens)
        return outcome.completion

    def logprobs(self, conversations: Sequence[Sequence[Message]]) -> list[tuple[float, int]]:
        """Refused: the protocol gives no probabilities of a text that the server did not write."""
        raise ModelError(f"{self.name}: a served model gives no log-probabilities of a given reply", mend="use a local model")

    # One request

    async def _complete(self, request: Request) -> Outcome:
        """Try until there is an answer, a final refusal, or no attempt left."""
        body = self._body(request)
        order = _by_rendezvous(self.urls, request.conversation or request.id)
        since, last = time.monotonic(), Retry("")
        for attempt in range(self.attempts):
            url = self._up(order)
            result = await self._attempt(url, body, request)
            if isinstance(result, Completion):
                return Outcome(result, since)
            last = result
            if last.unreachable:
                self._down_until[url] = time.monotonic() + DOWN_FOR
            log.info("%s: %s (attempt %d of %d)", url, last.reason, attempt + 1, self.attempts)
            elsewhere = last.unreachable and self._up(order) != url
            if attempt + 1 < self.attempts and not elsewhere:
                await asyncio.sleep(pause(attempt, self.backoff, last.after))
        failed = Completion(
            id=request.id, text="", finish="error", error=f"no usable answer in {self.attempts} attempts; the last: {last.reason}"
        )
        return Outcome(failed, since, unreachable=last.unreachable)

    async def _attempt(self, url: str, body: dict[str, Any], request: Request) -> Completion | Retry:
        import aiohttp

        key = api_key(url)
        try:
            session = await self._line.session()
            async with session.post(
                f"{url}/chat/completions",
                json=body,
                headers=_headers(key),
                timeout=aiohttp.ClientTimeout(total=self.timeout, sock_connect=CONNECT),
            ) as response:
                raw = await response.read()
                result = read_answer(request.id, response.status, dict(response.headers), raw)
        except TimeoutError:
            return Retry(f"no answer within {self.timeout:g} s", unreachable=True)
        except (aiohttp.ClientError, OSError) as error:
            return Retry(f"{type(error).__name__}: {error}", unreachable=True)
        if isinstance(result, Completion):
            self._last_answer = time.monotonic()
        return _without_key(result, key)

    def _body(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": self.served,
            "messages": [message.model_dump() for message in request.messages],
            "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": request.seed % (1 << 31),  # some servers keep seeds in 32 bits
            "stream": False,
        }
        return body | ({"chat_template_kwargs": self.template_options} if self.template_options else {})

    def _up(self, order: Sequence[str]) -> str:
        """The first server that is not known to be down; the first of all when every one is."""
        now = time.monotonic()
        return next((url for url in order if self._down_until.get(url, 0.0) <= now), order[0])

    # At the start

    def _probe(self) -> None:
        """Ask every server for its list of models; one that answers is enough.

        Raises:
            ModelError: none answers, or a key is wanted.
        """
        replies = {url: self._line.submit(self._list(url)).result() for url in self.urls}
        faults = {url: fault for url, fault in replies.items() if isinstance(fault, str)}
        if len(faults) == len(replies):
            said = "; ".join(f"{url}: {fault}" for url, fault in faults.items())
            raise ModelError(f"no server answers for {self.served!r}: {said}", mend="start the server, or mend the address")
        for url, fault in faults.items():
            log.warning("%s: %s; the other servers take its share", url, fault)
            self._down_until[url] = time.monotonic() + DOWN_FOR
        for url, names in replies.items():
            if isinstance(names, list) and names and self.served not in names:
                log.warning("%s lists %s, not %r; asking for it all the same", url, ", ".join(names[:5]), self.served)

    async def _list(self, url: str) -> list[str] | str:
        """Names of the models at `url` (empty where it lists none), or what is wrong, in words."""
        import aiohttp

        try:
            session = await self._line.session()
            limit = aiohttp.ClientTimeout(total=min(self.timeout, 30.0), sock_connect=CONNECT)
            async with session.get(f"{url}/models", headers=_headers(api_key(url)), timeout=limit) as response:
                raw, status = await response.read(), response.status
        except TimeoutError:
            return "it takes the connection but does not answer"
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        if status in (401, 403):
            return f"HTTP {status}, it wants an API key (set SOLON_API_KEY)"
        if status != 200:
            return f"HTTP {status}" if status in DOWN else []  # it answers; not every server can list its models
        try:
            return [str(entry["id"]) for entry in json.loads(raw)["data"]]
        except (ValueError, KeyError, TypeError):
            return f"expected the JSON list of an OpenAI-compatible server at {url}/models, got {raw[:60]!r}"


def api_key(url: str) -> str:
    """The key to send to `url`, or an empty string."""
    parts = urlsplit(url)
    own = os.environ.get("SOLON_API_KEY", "")
    return own or (os.environ.get("OPENAI_API_KEY", "") if parts.scheme == "https" or parts.hostname in LOOPBACK else "")


def _headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}


def _without_key(result: Completion | Retry, key: str) -> Completion | Retry:
    """Servers quote the key when they refuse it."""
    if not key:
        return result
    if isinstance(result, Retry):
        return Retry(result.reason.replace(key, "***"), after=result.after, unreachable=result.unreachable)
    return result.model_copy(update={"error": result.error.replace(key, "***")})


def _by_rendezvous(urls: Sequence[str], conversation: str) -> list[str]:
    """The servers in this conversation's order of preference (Thaler and Ravishankar 1998): losing one moves only its own."""
    return sorted(urls, key=lambda url: hashlib.sha256(f"{url}\n{conversation}".encode()).digest())


class _Line:
    """An event loop in a thread of its own, with one client session, behind plain calls."""

    def __init__(self, *, trust_env: bool) -> None:
        self._loop = asyncio.new_event_loop()
        self._kept: dict[str, aiohttp.ClientSession] = {}
        self._trust_env = trust_env
        self._thread = threading.Thread(target=self._loop.run_forever, name="solon-http", daemon=True)
        self._thread.start()
        self.close = weakref.finalize(self, _hang_up, self._loop, self._thread, self._kept)

    def submit(self, work: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    async def session(self) -> aiohttp.ClientSession:
        import aiohttp

        if "session" not in self._kept:
            connector = aiohttp.TCPConnector(limit=0)
            self._kept["session"] = aiohttp.ClientSession(connector=connector, trust_env=self._trust_env)
        return self._kept["session"]


def _hang_up(loop: asyncio.AbstractEventLoop, thread: threading.Thread, kept: dict[str, aiohttp.ClientSession]) -> None:
    async def end() -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for session in kept.values():
            await session.close()

    asyncio.run_coroutine_threadsafe(end(), loop).result(timeout=10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(timeout=10)
    loop.close()
