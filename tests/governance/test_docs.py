"""docs/governance.md, run: every command of its transcripts prints what the page shows, and its Python runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from solon.cli.main import app
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


def verbs() -> Iterator[tuple[str, set[str]]]:
    """Each verb of governance with the long names of its options."""
    groups = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in ("decide", "replay", "keys", "emergency", "vote", "certificate", "review", "ledger", "safety-report"):
        for verb, command in getattr(groups[name], "commands", {"": groups[name]}).items():
            options = {word for option in command.params for word in option.opts if word.startswith("--")}
            yield f"{name} {verb}".strip(), options - {"--help", "--json"}


def test_every_option_of_every_verb_is_in_the_table() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## All options")[2]
    rows = {row.split("|")[1]: row for row in table.splitlines() if row.startswith("| `")}
    told = {verb: row for first, row in rows.items() for verb, _ in verbs() if re.search(rf"`{verb}[` ]", first)}
    for verb, options in verbs():
        said = set(re.findall(r"--[a-z][a-z-]*", told[verb]))
        assert options <= said, f"{verb}: {options - said}"
    known = {word for _, options in verbs() for word in options} | {"--json"}
    assert set(re.findall(r"--[a-z][a-z-]*", table)) <= known
