"""What holds for every test."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_is_heard() -> None:
    """A shell starts background jobs with Ctrl-C ignored, and children inherit that; tests of signals need it heard."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
