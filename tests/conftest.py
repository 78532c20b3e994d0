"""What holds for every test."""

import gc
import signal

import pytest

gc.disable()  # until everything is imported: a sixth of the time of loading transformers


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of signals need it heard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two workers: what a module makes once is made on one of them, and they end together, as the longest tests begin first."""
    for item in items:
        if _shares(item) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
    slow = {_unit(item) for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: _unit(item) not in slow)


def pytest_collection_finish() -> None:
    """What is loaded now stays, a million objects: without them a full collection takes 10 ms instead of half a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses something that is made once for its module."""
    found = getattr(item, "_fixtureinfo", None)
    return found is not None and any(f.scope == "module" for known in found.name2fixturedefs.values() for f in known)


def _unit(item: pytest.Item) -> str:
    """What one worker runs from end to end: a group, or the one test."""
    group = item.get_closest_marker("xdist_group")
    return str(group.args[0]) if group else item.nodeid
