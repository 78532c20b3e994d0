"""Constitutions: read, check, compare and write them.

load("five-laws")            a library constitution, or load("mine.md")
parse_text(text, "x.md")     the same from text
diff(a, b)                   what changed, and whether it tightens or loosens
render(constitution)         Markdown that parses to the same hash
check_report(constitution)   what `solon check --json` prints
template("principles")       a commented constitution to start from
"""

from solon.constitution.canonical import number_text
from solon.constitution.diff import Change, diff, render_diff
from solon.constitution.keys import KEYS
from solon.constitution.lint import consequences
from solon.constitution.parse import library_names, load, parse_text, source_file
from solon.constitution.render import render
from solon.constitution.report import check_report, check_text, template, template_kinds
from solon.constitution.schema import front_matter_schema
from solon.constitution.types import (
    Constitution,
    Directive,
    Domain,
    Escalation,
    ExampleConversation,
    Gate,
    HardRule,
    Limit,
    Principle,
    Severity,
    Signature,
    Voter,
)

__all__ = [
    "KEYS",
    "Change",
    "Constitution",
    "Directive",
    "Domain",
    "Escalation",
    "ExampleConversation",
    "Gate",
    "HardRule",
    "Limit",
    "Principle",
    "Severity",
    "Signature",
    "Voter",
    "check_report",
    "check_text",
    "consequences",
    "diff",
    "front_matter_schema",
    "library_names",
    "load",
    "number_text",
    "parse_text",
    "render",
    "render_diff",
    "source_file",
    "template",
    "template_kinds",
]
