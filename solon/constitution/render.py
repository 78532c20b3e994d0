"""Write a constitution as a Markdown file that reads back as the same constitution."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from solon.constitution.canonical import number_text
from solon.constitution.diff import diff
from solon.constitution.keys import BLOCKS, GROUPS, LIMIT_GROUPS
from solon.constitution.parse import parse_text
from solon.constitution.types import Constitution, ExampleConversation, Gate, Limit, Principle
from solon.errors import ConstitutionError


def render(constitution: Constitution) -> str:
    """Front matter and Markdown with the same hash. Names that were the file's are left to the new file's name.

    Raises:
        ConstitutionError: the record holds text that no file could give it (a heading inside a text, say).
    """
    text = "\n".join(["---", *_front(constitution), "---", "", *_body(constitution)])
    again = parse_text(text, "rendered.md")
    if again.hash != constitution.hash:
        changes = diff(constitution, again)
        first = (
            f"{changes[0].path}: {changes[0].old!r} reads back as {changes[0].new!r}" if changes else "its canonical form differs"
        )
        raise ConstitutionError(f"render: expected a constitution that a file can hold, got {first}", mend="change that text")
    return text


def _yaml(value: Any) -> str:
    """A value in YAML's flow style: JSON, but for numbers, which keep all their digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return number_text(value)
    if isinstance(value, Fraction):
        return f'"{number_text(value)}"'
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {_yaml(v)}' for k, v in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _front(c: Constitution) -> Iterator[str]:
    yield "solon: 1"
    yield from (f"{name}: {_yaml(getattr(c, name))}" for name in ("id", "title") if name not in c.borrowed)
    yield f"version: {c.version}"
    yield from (f"language: {_yaml(c.language)}", f"precedence: {c.precedence}")
    yield from _limits(c)
    for block in BLOCKS:
        lines = [f"  {limit.key}: {_yaml(limit.value)}" for limit in c.limits if limit.group == block]
        if block == "governance" and c.voters:
            lines += ["  voters:", *(f"    - {_yaml({k: v for k, v in voter if v not in ('', None)})}" for voter in c.voters)]
        yield from [f"{block}:", *lines] if lines else []
    if c.gates:
        yield from ["gates:", *(f"  - {_yaml(_gate(gate))}" for gate in c.gates)]
    if c.domains:
        yield from ["domains:", *(f"  {domain.name}: {number_text(domain.trust)}" for domain in c.domains)]
    if c.escalation:
        yield from ["escalation:", *(f"  {name}: {_yaml(value)}" for name, value in c.escalation)]
    if c.signatures:
        yield from ["signatures:", *(f"  - {_yaml(dict(signature))}" for signature in c.signatures)]


def _limits(c: Constitution) -> Iterator[str]:
    lines: list[str] = []
    for group in LIMIT_GROUPS:
        inside = [f"    {limit.key}: {_yaml(limit.value)}" for limit in c.limits if limit.group == group]
        lines += [f"  {group}:", *inside] if inside else []
    custom = [limit for limit in c.limits if limit.group not in GROUPS]
    if custom:
        lines += ["  custom:", *(f"    - {_yaml(_custom(limit))}" for limit in custom)]
    yield from ["limits:", *lines] if lines else []


def _custom(limit: Limit) -> dict[str, Any]:
    side = "max" if limit.comparison == "<=" else "min"
    form = {"name": limit.key, "unit": limit.unit, "measure": limit.measure, side: limit.value, "severity": limit.severity}
    return form | ({"text": limit.text} if limit.text else {})


def _gate(gate: Gate) -> dict[str, Any]:
    side = "max" if gate.comparison == "<=" else "min"
    form = {"metric": gate.metric, side: gate.bound, "mode": gate.mode, "by": gate.by, "grace_steps": gate.grace_steps}
    return form | ({"regression": gate.regression} if gate.regression is not None else {})


def _body(c: Constitution) -> Iterator[str]:
    yield from () if "title" in c.borrowed else (f"# {c.title}", "")
    if c.preamble:
        yield from (c.preamble, "")
    if c.meta_principles:
        yield from ("## Meta principles", "", *(_bullet(text) for text in c.meta_principles), "")
    for principle in c.principles:
        yield from _principle(principle)


def _bullet(text: str) -> str:
    return "- " + text.replace("\n", "\n  ")


def _principle(p: Principle) -> Iterator[str]:
    yield from (f"## {p.title} {{#{p.id}}}", "")
    if p.text:
        yield from (p.text, "")
    if p.directives:
        yield from _part("Directives", "\n\n".join(f"{d.id}. {d.text}" for d in p.directives))
    if p.aliases:
        yield from _part("Aliases", "\n".join(map(_bullet, p.aliases)))
    for name in ("critique_template", "revision_guideline"):
        if name not in p.synthesised:
            yield from _part(name.replace("_", " ").title(), getattr(p, name))
    if p.applications:
        yield from _part("Example Application", "\n".join(map(_bullet, p.applications)))
    for example in p.examples:
        yield from _part("Example Conversation", _conversation(example))
    if p.hard_rules:
        rules = "\n".join(f"- {_yaml(dict(rule))}" for rule in (r.model_dump(exclude_defaults=True) for r in p.hard_rules))
        yield from _part("Hard Rules", f"```yaml\n{rules}\n```")


def _part(title: str, text: str) -> Iterator[str]:
    yield from (f"### {title}", "", text, "")


def _conversation(example: ExampleConversation) -> str:
    return "\n\n".join(f"**{speaker.title()}**: {text}" for speaker, text in example)
