"""docs/governance.md, run: every command of its transcripts prints what the page shows, and its Python runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.governance.page import PAGE, rerun, steady

ELSEWHERE = (
    "python examples/",
    "solon replay",
    "head",
    "solon emergency drill",
    "solon safety-report",
)  # have tests of their own


@pytest.mark.slow
def test_the_page_shows_what_the_commands_print(tmp_path: Path) -> None:
    shown, now = steady(PAGE.read_text(encoding="utf-8")), steady(rerun(tmp_path, ELSEWHERE))
    assert now.split("\n") == shown.split("\n")
