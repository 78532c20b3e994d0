"""What `solon check` says of a constitution, and the templates that `solon init` writes."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from solon.constitution.canonical import number_text
from solon.constitution.lint import consequences
from solon.constitution.types import Constitution, Gate, Value
from solon.errors import InputError, nearest

TEMPLATES = Path(__file__).parent / "templates"


def json_value(value: Value) -> Any:
    """A limit's value as JSON: numbers as numbers, exact fractions as "2/3", ranges and lists as lists."""
    if isinstance(value, tuple):
        return [json_value(item) for item in value]
    if isinstance(value, Fraction):
        return number_text(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def check_report(constitution: Constitution) -> dict[str, Any]:
    """The object that `solon check X --json` prints."""
    c = constitution
    return {
        "id": c.id,
        "version": c.version,
        "hash": c.hash,
        "principles": [{"id": p.id, "title": p.title, "rank": p.rank, "kind": p.kind} for p in c.principles],
        "limits": [{"key": limit.key, "value": json_value(limit.value), "unit": limit.unit} for limit in c.limits],
        "gates": [_gate(gate) for gate in c.gates],
        "warnings": list(c.warnings),
        "ignored": list(c.ignored),
        "domains": [{"name": d.name, "trust": json_value(d.trust)} for d in c.domains],
        "escalation": _escalation(c),
        "consequences": consequences(c),
    }


def _escalation(c: Constitution) -> dict[str, Any] | None:
    if c.escalation is None:
        return None
    return {k: list(v) if k == "emotions" else json_value(v) for k, v in c.escalation}


def check_text(report: dict[str, Any]) -> list[str]:
    """The same as lines to read, without warnings and the counts."""
    lines = [f"sha256 {report['hash']}"]
    lines += [f"  {p['rank']:>3}  {p['kind']:<10} {p['id']:<24} {p['title']}" for p in report["principles"]]
    lines += [f"  {limit['key']:<36} {_shown(limit['value'])} {limit['unit']}" for limit in report["limits"]]
    lines += [f"  gate: {_gate_text(gate)}" for gate in report["gates"]]
    lines += [f"  domain {d['name']}: trust of {d['trust']} or more, else a person decides" for d in report["domains"]]
    if report["escalation"]:
        lines.append("  escalation: " + ", ".join(f"{k} {_shown(v)}" for k, v in report["escalation"].items()))
    lines += [f"  so: {text}" for text in report["consequences"]]
    return lines + [f"ignored: {name}" for name in report["ignored"]]


def _gate_text(gate: dict[str, Any]) -> str:
    side = "upper" if gate["comparison"] in ("<", "<=") else "lower"
    by = f"{side} bound of its interval" if gate["by"] == "bound" else "its value"
    extra = "" if gate["regression"] is None else f", at most {gate['regression']} worse than the best"
    return f"{gate['metric']} {gate['comparison']} {gate['bound']} ({by}{extra}), else {gate['mode']}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _gate(gate: Gate) -> dict[str, Any]:
    regression = None if gate.regression is None else json_value(gate.regression)
    return gate.model_dump() | {"bound": json_value(gate.bound), "regression": regression}


def template_kinds() -> tuple[str, ...]:
    """The kinds that `template` knows."""
    return tuple(sorted(path.stem for path in TEMPLATES.glob("*.md")))


def template(kind: str = "principles") -> str:
    """A commented constitution to start from; it loads as it is.

    Raises:
        InputError: no template of that kind.
    """
    if kind not in template_kinds():
        known = ", ".join(template_kinds())
        raise InputError(
            f"template: expected one of {known}, got {kind!r}", mend=nearest(kind, template_kinds()) or f"use {known}"
        )
    return (TEMPLATES / f"{kind}.md").read_text(encoding="utf-8")
