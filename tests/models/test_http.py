"""The http model against a real aiohttp server on loopback that misbehaves as it is told."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from solon.errors import ModelError
from solon.models import Message, Request, Sampling, open_model
from solon.models.answers import pause, read_answer, retry_after
from solon.models.base import Completion
from solon.models.http import HTTPModel, api_key
from solon.models.recorded import Recorded

Reply = Callable[[dict[str, Any], int], Any]  # the request body, how many came before -> a web.Response or an awaitable


def said(text: str | None, finish: str = "stop") -> web.Response:
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})


class Server:
    """A server in a thread. `reply` decides every answer; `bodies` and `headers` keep what came."""

    def __init__(self, reply: Reply, models: Any = None) -> None:
        self.reply, self.models = reply, models or {"data": [{"id": "m"}]}
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.flying = self.most = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self.loop).result(5)

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/v1/models", self._list)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{port}/v1"

    async def _list(self, request: web.Request) -> web.StreamResponse:
        return self.models if isinstance(self.models, web.Response) else web.json_response(self.models)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            answer = self.reply(body, len(self.bodies) - 1)
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer == "reset":
                request.transport.abort()  # type: ignore[union-attr]
                answer = web.Response()
            return answer
        finally:
            self.flying -= 1

    def stop(self) -> None:
        if self.loop.is_running():
            asyncio.run_coroutine_threadsafe(self.runner.cleanup(), self.loop).result(5)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(5)
            self.loop.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(reply: Reply, **settings: Any) -> Server:
        servers.append(Server(reply, **settings))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def connect(*servers: Server, **settings: Any) -> HTTPModel:
    return HTTPModel([server.url for server in servers], "m", **{"backoff": 0.01, "timeout": 5.0, "attempts": 4, **settings})


def ask(text: str = "hello", **fields: Any) -> Request:
    return Request(**{"id": text, "messages": (Message(role="user", content=text),), **fields})


def test_sends_the_sampling_and_reads_the_reply(serve: Callable[..., Server]) -> None:
    server = serve(lambda body, n: said(" hi ", "length"))
    model = connect(server)
    request = ask(sampling=Sampling(temperature=0.25, top_p=0.5, max_new_tokens=7), seed=(1 << 62) + 5)
    assert model.generate([request]) == [
        Completion(id="hello", text="hi", finish="length", prompt_tokens=3, completion_tokens=2),
    ]
    assert server.bodies == [
        {
            "model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 7, "temperature": 0.25, "top_p": 0.5,
            "seed": 5, "stream": False,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "fault",
    [
        lambda: web.Response(status=429, headers={"Retry-After": "0"}),
        lambda: web.Response(status=500, text="oops"),
        lambda: web.Response(status=503),
        lambda: web.Response(text="<html>login</html>", content_type="text/html"),
        lambda: web.json_response({"detail": "no choices here"}),
        lambda: web.json_response({"choices": []}),
        lambda: web.json_response([1, 2]),
        lambda: said(None),
        lambda: "reset",
    ],
    ids=["429", "500", "503", "html", "no-choices", "empty-choices", "list", "null-content", "reset"],
)
def test_faults_are_tried_again(serve: Callable[..., Server], fault: Callable[[], Any]) -> None:
    server = serve(lambda body, n: fault() if n < 2 else said("at last"))
    (completion,) = connect(server).generate([ask()])
    assert (completion.text, completion.finish, len(server.bodies)) == ("at last", "stop", 3)


def test_a_lasting_fault_is_an_error_that_says_why(serve: Callable[..., Server]) -> None:
    server = serve(lambda body, n: web.json_response({"error": {"message": "the fan is broken"}}, status=500))
    (completion,) = connect(server, attempts=3).generate([ask()])
    assert completion.finish == "error" and "the fan is broken" in completion.error and "3 attempts" in completion.error
    assert len(server.bodies) == 3


def test_other_4xx_are_final(serve: Callable[..., Server]) -> None:
    server = serve(lambda body, n: web.json_response({"error": {"message": "no such model"}}, status=404))
    (completion,) = connect(server).generate([ask()])
    assert completion.finish == "error" and "404" in completion.error and "no such model" in completion.error
    assert len(server.bodies) == 1


def test_a_hanging_request_times_out_and_is_tried_again(serve: Callable[..., Server]) -> None:
    async def hang() -> web.Response:
        await asyncio.sleep(30)
        return said("too late")

    server = serve(lambda body, n: hang() if n == 0 else said("in time"))
    start = time.monotonic()
    (completion,) = connect(server, timeout=0.3).generate([ask()])
    assert completion.text == "in time" and time.monotonic() - start < 5


@pytest.mark.slow
def test_retry_after_is_honoured(serve: Callable[..., Server]) -> None:
    server = serve(lambda body, n: web.Response(status=429, headers={"Retry-After": "1"}) if n == 0 else said("ok"))
    start = time.monotonic()
    assert connect(server).generate([ask()])[0].text == "ok"
    assert time.monotonic() - start >= 1.0


def test_a_next_turn_waits_for_nobody_else(serve: Callable[..., Server]) -> None:
    """One dialogue hangs in its first turn while another runs through all of its three."""
    release = asyncio.Event()

    async def slow() -> web.Response:
        await release.wait()
        return said("slow")

    server = serve(lambda body, n: slow() if body["messages"][0]["content"] == "slow" else said("quick"))

    def dialogue(text: str, turns: int) -> Any:
        replies = []
        for _ in range(turns):
            replies.append((yield ask(text)).text)
        return replies

    model = connect(server)
    results = model.converse([dialogue("slow", 1), dialogue("quick", 3)])
    assert next(results) == (1, ["quick"] * 3)
    server.loop.call_soon_threadsafe(release.set)
    assert list(results) == [(0, ["slow"])]


def test_concurrency_is_bounded(serve: Callable[..., Server]) -> None:
    async def brief() -> web.Response:
        await asyncio.sleep(0.02)
        return said("ok")

    server = serve(lambda body, n: brief())
    completions = connect(server, concurrency=3).generate([ask(str(n)) for n in range(20)])
    assert [c.id for c in completions] == [str(n) for n in range(20)]
    assert server.most == 3


def test_a_conversation_keeps_its_server_and_moves_when_it_dies(serve: Callable[..., Server]) -> None:
    one, two = serve(lambda body, n: said("one")), serve(lambda body, n: said("two"))
    model = connect(one, two)
    requests = [ask(f"{c}.{turn}", conversation=f"c{c}") for c in range(16) for turn in range(3)]
    before = {r.conversation: set() for r in requests}
    for request, completion in zip(requests, model.generate(requests), strict=True):
        before[request.conversation].add(completion.text)
    assert all(len(servers) == 1 for servers in before.values())
    assert set.union(*before.values()) == {"one", "two"}
    one.stop()
    assert {c.text for c in model.generate(requests)} == {"two"}


def test_a_server_that_goes_away_ends_the_call(serve: Callable[..., Server], tmp_path: Any) -> None:
    server = serve(lambda body, n: said("ok"))
    model = connect(server, attempts=2)
    with Recorded(model, tmp_path / "j.sqlite") as recorded:
        assert recorded.generate([ask("a")])[0].text == "ok"
        server.stop()
        assert recorded.generate([ask("a")])[0].text == "ok"
        with pytest.raises(ModelError, match="start the server again"):
            recorded.generate([ask("a"), ask("b")])


def test_finished_completions_are_never_asked_again(serve: Callable[..., Server], tmp_path: Any) -> None:
    server = serve(
        lambda body, n: web.Response(status=400) if body["messages"][-1]["content"] == "2" and n < 9 else said(f"reply {n}")
    )

    def dialogue(number: int) -> Any:
        first = yield ask(str(number), conversation=str(number))
        second = yield ask(f"{number} again", conversation=str(number))
        return first.text, second.text

    with Recorded(connect(server, concurrency=1), tmp_path / "j.sqlite") as recorded:
        first = dict(recorded.converse([dialogue(n) for n in range(4)]))
        assert (recorded.hits, recorded.misses, len(server.bodies), len(recorded.journal)) == (0, 8, 8, 7)
    server.bodies.extend([{}, {}])  # from here on "2" is answered
    with Recorded(connect(server, concurrency=1), tmp_path / "j.sqlite") as recorded:
        second = dict(recorded.converse([dialogue(n) for n in range(4)]))
        assert (recorded.hits, recorded.misses) == (7, 1)
    assert first[2][0] == "" and second[2][0] == "reply 10"
    assert {n: first[n] for n in (0, 1, 3)} == {n: second[n] for n in (0, 1, 3)}


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (web.Response(text="<html>", content_type="text/html"), "expected the JSON list"),
        (web.Response(status=401), "SOLON_API_KEY"),
        (web.Response(status=503), "HTTP 503"),
    ],
    ids=["html", "401", "503"],
)
def test_nonsense_at_the_start_is_refused(serve: Callable[..., Server], models: web.Response, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        connect(serve(lambda body, n: said("ok"), models=models))


def test_a_server_that_is_down_is_refused_by_name() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(ModelError, match="start the server") as refused:
            open_model(f"{url}#m")
    assert url in str(refused.value)


def test_one_of_two_servers_down_at_the_start_is_passed_over(serve: Callable[..., Server]) -> None:
    alive, dead = serve(lambda body, n: said("ok")), serve(lambda body, n: said("never"))
    dead.stop()
    model = connect(alive, dead)
    assert {c.text for c in model.generate([ask(str(n)) for n in range(8)])} == {"ok"}


def test_the_key_is_sent_and_never_shown(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOLON_API_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    server = serve(
        lambda body, n: web.json_response({"error": {"message": "bad key sk-very-secret"}}, status=500 if n == 0 else 401)
    )
    (completion,) = connect(server).generate([ask()])
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert "bad key ***" in completion.error
    assert "very-secret" not in caplog.text + completion.model_dump_json()


def test_the_openai_key_does_not_travel_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOLON_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert [api_key(u) for u in ("https://example.org/v1", "http://localhost:1/v1", "http://example.org/v1")] == ["k", "k", ""]


def test_identity_names_servers_model_and_settings(serve: Callable[..., Server]) -> None:
    server = serve(lambda body, n: said("ok"))
    plain, thinking = connect(server), connect(server, template_options={"enable_thinking": True})
    assert plain.identity == connect(server).identity != thinking.identity
    with pytest.raises(ModelError, match="log-probabilities"):
        plain.logprobs([])


def test_retry_after_reads_numbers_and_dates() -> None:
    assert retry_after({"Retry-After": "7"}) == 7.0
    assert retry_after({"retry-after": "99999"}) == 300.0
    soon = datetime.now(UTC) + timedelta(seconds=20)
    assert 17 < retry_after({"Retry-After": format_datetime(soon, usegmt=True)}) <= 20
    assert [retry_after({"Retry-After": bad}) for bad in ("", "nan", "-3", "soon")] == [0.0] * 4


def test_pauses_double_with_jitter_up_to_a_bound() -> None:
    for attempt, top in enumerate([0.5, 1.0, 2.0, 4.0]):
        drawn = {pause(attempt, 0.5) for _ in range(200)}
        assert top / 2 <= min(drawn) < max(drawn) <= top
    assert pause(50, 0.5) <= 30.0 and pause(0, 0.5, asked=12.0) == 12.0


def test_a_refusal_field_is_a_reply_and_a_filter_is_an_error() -> None:
    declined = b'{"choices": [{"message": {"content": null, "refusal": "I would rather not."}, "finish_reason": "stop"}]}'
    filtered = b'{"choices": [{"message": {"content": "part"}, "finish_reason": "content_filter"}]}'
    assert read_answer("r", 200, {}, declined) == Completion(id="r", text="I would rather not.")
    answer = read_answer("r", 200, {}, filtered)
    assert isinstance(answer, Completion) and answer.finish == "error" and answer.text == ""
