"""What holds for every test."""

import gc
import signal
from collections.abc import Iterator

import pytest

LONGEST = (
    "run/test_pipeline", "training/test_train", "run/test_resume", "models/test_recorded", "nano/test_nano_model",
    "data/test_trading", "data/test_governed", "data/test_generated", "release/test_report", "release/test_card_and_compare",
    "evaluation/test_reading", "models/test_serve", "training/test_gate",
)  # fmt: skip

gc.disable()  # until everything is imported: a sixth of the time of loading transformers


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of signals need it heard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch with two threads, however many the machine or the environment give it."""
    from solon.models.shares import threads

    with threads(2):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files begin first, so that two workers that take a file each end together."""
    places = {f"{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(places)))


def pytest_collection_finish() -> None:
    """What is loaded now stays, a million objects: without them a full collection takes 10 ms instead of half a second."""
    gc.collect()
    gc.freeze()
    gc.enable()
