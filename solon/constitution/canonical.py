"""The canonical form of a constitution and its hash (RFC 8785, JSON canonicalisation; SHA-256).

Numbers are decimal strings without trailing zeros ("2/3" where no decimal is exact), text is NFC with line ends and blanks
normalised, and what has names (limits, gates, domains, voters) is keyed by them, so the order and style of the YAML do not
matter. The order of principles, directives and examples does. Signatures, warnings, the file's place and synthesised templates
are left out, and so is a name that the file's name stands in for: moving a file changes nothing.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import rfc8785

if TYPE_CHECKING:  # types.py imports this module
    from solon.constitution.types import Constitution, Limit, Principle


def number_text(value: Decimal | Fraction) -> str:
    """A number as text: 20.0 -> "20", 5e-5 -> "0.00005", two thirds -> "2/3"."""
    if isinstance(value, Fraction):
        return f"{value.numerator}/{value.denominator}"
    plain = format(value, "f")
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def normal_text(text: str) -> str:
    """NFC, line ends as LF, no trailing blanks on a line, no blank lines around."""
    lines = re.sub(r"\r\n?", "\n", unicodedata.normalize("NFC", text)).split("\n")
    return "\n".join(line.rstrip() for line in lines).strip("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Decimal | Fraction):
        return number_text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return normal_text(value)
    return [_plain(item) for item in value]


def _limit(limit: Limit) -> dict[str, Any]:
    form = {"value": _plain(limit.value), "unit": limit.unit, "group": limit.group}
    if limit.group == "custom":
        form |= {"measure": limit.measure, "comparison": limit.comparison, "severity": limit.severity, "text": _plain(limit.text)}
    return form


def _principle(principle: Principle) -> dict[str, Any]:
    given = {
        name: "" if name in principle.synthesised else _plain(getattr(principle, name))
        for name in ("critique_template", "revision_guideline")
    }
    return {
        "id": principle.id,
        "title": _plain(principle.title),
        "rank": _plain(principle.rank),
        "kind": principle.kind,
        "text": _plain(principle.text),
        **given,
        "examples": [{k: _plain(v) for k, v in example} for example in principle.examples],
        "applications": _plain(principle.applications),
        "directives": [[d.id, _plain(d.text)] for d in principle.directives],
        "hard_rules": [{k: _plain(v) for k, v in rule} for rule in principle.hard_rules],
        "aliases": sorted(_plain(principle.aliases)),
    }


def canonical(constitution: Constitution) -> dict[str, Any]:
    """The JSON document whose RFC 8785 bytes are hashed."""
    c = constitution
    escalation = None
    if c.escalation is not None:
        escalation = {k: _plain(v) for k, v in c.escalation} | {"emotions": sorted(c.escalation.emotions)}
    return {
        "solon": "1",
        "id": "" if "id" in c.borrowed else c.id,
        "version": _plain(c.version),
        "title": "" if "title" in c.borrowed else _plain(c.title),
        "language": c.language,
        "precedence": c.precedence,
        "preamble": _plain(c.preamble),
        "meta_principles": _plain(c.meta_principles),
        "principles": [_principle(p) for p in c.principles],
        "limits": {limit.key: _limit(limit) for limit in c.limits},
        "gates": {f"{g.metric} {g.comparison}": {k: _plain(v) for k, v in g} for g in c.gates},
        "domains": {d.name: number_text(d.trust) for d in c.domains},
        "escalation": escalation,
        "voters": {v.id: {k: _plain(x) for k, x in v} for v in c.voters},
    }


def canonical_bytes(constitution: Constitution) -> bytes:
    """RFC 8785 bytes of `canonical(constitution)`."""
    return rfc8785.dumps(canonical(constitution))


def content_hash(constitution: Constitution) -> str:
    """SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical_bytes(constitution)).hexdigest()
