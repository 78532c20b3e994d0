"""The http model against a server that nobody here wrote: `transformers serve`, on loopback, with a tiny local model."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from solon.errors import ModelError
from solon.models import Completion, Message, Request, Sampling, open_model
from solon.models.http import HTTPModel
from solon.models.recorded import Recorded
from tests.models.conftest import request

pytestmark = pytest.mark.slow
if not all(find_spec(package) for package in ("fastapi", "uvicorn", "openai")):
    pytest.skip("`transformers serve` needs fastapi, uvicorn and openai: pip install -e '.[dev]'", allow_module_level=True)


@pytest.fixture(scope="module")
def served(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("serve")
    log = home / "log"
    arguments = ["serve", str(tiny_folder), "--port", str(port), "--host", "127.0.0.1", "--device", "cpu"]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", *arguments]
    with log.open("w") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        )
    spec = f"http://127.0.0.1:{port}/v1#{tiny_folder}"
    try:
        _wait(spec, server, log)
        yield spec
    finally:
        server.terminate()
        server.wait(20)


def _wait(spec: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            open_model(spec).close()  # type: ignore[attr-defined]
            return
        except ModelError:
            time.sleep(0.5)
    raise AssertionError(f"no answer in two minutes:\n{log.read_text()}")


def test_greedy_replies_are_those_of_the_same_model_here(served: str, tiny: Any) -> None:
    """The server's template, tokenizer, length and end token must come to what ours do."""
    requests = [request(n, f"how to count {n} stones", temperature=0.0, max_new_tokens=8 + n) for n in range(6)]
    there, here = open_model(served, concurrency=4).generate(requests), tiny.generate(requests)
    for ours, theirs in zip(here, there, strict=True):
        assert theirs.finish != "error", theirs.error
        assert (theirs.text, theirs.prompt_tokens) == (ours.text, ours.prompt_tokens)
    assert "length" in {c.finish for c in there}


def test_dialogues_are_recorded(served: str, tmp_path: Path) -> None:
    def dialogue(number: int) -> Any:
        sampling = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=6)
        opening = Message(role="user", content=f"bake {number}")
        first: Completion = yield Request(id=f"{number}.1", messages=(opening,), sampling=sampling, conversation=str(number))
        turns = (opening, Message(role="assistant", content=first.text), Message(role="user", content="why?"))
        second: Completion = yield Request(id=f"{number}.2", messages=turns, sampling=sampling, conversation=str(number))
        return first.text, second.text, second.error

    def run() -> tuple[dict[int, Any], int]:
        with Recorded(open_model(served, concurrency=3), tmp_path / "j.sqlite") as recorded:
            return dict(recorded.converse([dialogue(n) for n in range(5)])), recorded.misses

    first, asked = run()
    assert asked == 10 and not any(error for _, _, error in first.values())
    assert run() == (first, 0)


def test_a_model_that_is_not_served_is_an_error_in_words(served: str) -> None:
    url = served.partition("#")[0]
    (completion,) = HTTPModel([url], "nobody/no-such-model", attempts=2, backoff=0.01).generate([request(0, "bread")])
    assert completion.finish == "error" and completion.error
