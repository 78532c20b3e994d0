"""JSON Schema of a constitution as it is written: the front matter of a Markdown file, or the whole of a YAML one.

Built from the tables of `keys`, so that units, ranges and names stand in one place. What a schema cannot say (ladders in order,
keys given twice, near misses in foreign files) the parser refuses.
"""

from __future__ import annotations

from typing import Any

from solon.constitution.draft import GATE_FIELDS, RATES, SEVERITIES, SUFFIX
from solon.constitution.keys import BLOCKS, KEYS, LIMIT_GROUPS, UNITS, Key, of_group
from solon.constitution.types import HardRule, Voter

Schema = dict[str, Any]

NUMBER = r"^\s*[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?\s*"
FRACTION = r"^\s*\d{1,9}\s*/\s*\d{1,9}\s*$"
NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9][a-z0-9._-]*$"}
TEXT: Schema = {"type": "string", "minLength": 1}
TEXTS: Schema = {"type": "array", "items": TEXT}
SHARE: Schema = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": FRACTION}]}
BOUND: Schema = {"anyOf": [{"type": "number"}, {"type": "string", "pattern": f"{NUMBER}$|{FRACTION}"}]}


def _object(properties: Schema, required: tuple[str, ...] = ()) -> Schema:
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": list(required)} if required else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _value(key: Key) -> Schema:
    """What may stand after a documented key."""
    about: Schema = {"description": f"{key.meaning} ({key.unit})"}
    if key.unit == "flag":
        return {"type": "boolean"} | about
    if key.unit == "mode":
        word: Schema = {"enum": list(key.choices)} if key.choices else TEXT
        return (TEXTS if key.shape == "list" else word) | about
    low, high = float(key.low or 0), float(key.high or 0)
    suffix = SUFFIX.get(key.unit, "")
    written = rf"{NUMBER}({suffix})?$|{FRACTION}"  # "15 %", "2x", "2/3"
    one: Schema = {"anyOf": [{"type": "number", "minimum": low, "maximum": high}, {"type": "string", "pattern": written}]}
    if key.shape == "range":
        return _list(one) | {"minItems": 2, "maxItems": 2} | about
    return one | about


def _group(name: str) -> Schema:
    return _object({key: _value(KEYS[key]) for key in of_group(name)})


def _voter() -> Schema:
    number: Schema = {"type": "number", "minimum": 0}
    fields = {"id": NAME, "role": NAME, "key": {"type": "string", "pattern": "^[0-9a-f]{64}$"}, "weight": number}
    assert set(fields) == set(Voter.model_fields)
    return {"anyOf": [NAME, _object(fields, ("id",))]}


def _governance() -> Schema:
    found = _group("governance")
    found["properties"] |= {
        "voters": _list(_voter()),
        "hitl_escalation_threshold": SHARE,
        "domain_trust_requirements": _domains(),
    }
    return found


def _domains() -> Schema:
    return {
        "type": "object",
        "propertyNames": NAME,
        "additionalProperties": {"anyOf": [SHARE, _object({"trust": SHARE}, ("trust",))]},
    }


def _gates() -> Schema:
    options: Schema = {
        "max": BOUND,
        "min": BOUND,
        "mode": {"enum": ["stop", "warn", "rollback"]},
        "by": {"enum": ["bound", "point"]},
        "grace_steps": {"type": "integer", "minimum": 0},
        "regression": BOUND,
    }
    assert set(options) == set(GATE_FIELDS)
    text: Schema = {"type": "string", "pattern": r"^\s*(<=|>=)\s*\S+\s*$"}
    metric: Schema = TEXT | {"examples": list(RATES[:6])}
    mapping: Schema = {"type": "object", "additionalProperties": {"anyOf": [text, _object(options)]}}
    return {"anyOf": [_list(_object({"metric": metric, **options}, ("metric",))), mapping]}


def _custom() -> Schema:
    fields: Schema = {
        "name": NAME,
        "unit": {"enum": list(UNITS[:-2])},
        "measure": TEXT,
        "max": BOUND,
        "min": BOUND,
        "severity": {"enum": list(SEVERITIES)},
        "text": TEXT,
    }
    return _list(_object(fields, ("name", "unit", "measure")))


def _limits() -> Schema:
    groups = {name: _group(name) for name in LIMIT_GROUPS} | {"governance": _governance()}
    groups |= {name: _group(name) for name in BLOCKS if name != "governance"}
    return _object({**{name: _value(key) for name, key in KEYS.items()}, **groups, "custom": _custom()})


def _principles() -> Schema:
    rule = {"id": NAME, "acts": TEXTS, "objects": TEXTS, "unless": TEXTS, "text": TEXT}
    rule["outcome"] = {"enum": ["refuse", "redirect", "ask_clarification"]}
    assert set(rule) == set(HardRule.model_fields)
    number: Schema = {"type": "integer", "minimum": 0, "maximum": 999}
    words = dict.fromkeys(("title", "name", "text", "description", "critique_template", "revision_guideline"), TEXT)
    item = _object({"id": NAME, "law": number, "number": number, **words, "hard_rules": _list(_object(rule, ("id", "acts")))})
    return {"anyOf": [_list({"anyOf": [TEXT, item]}), {"type": "object", "additionalProperties": TEXT}]}


def front_matter_schema() -> Schema:
    """The JSON Schema of a constitution's front matter, or of a constitution that is YAML alone."""
    properties: Schema = {
        "solon": {"const": 1, "description": "version of the format"},
        "id": NAME,
        "version": {"type": "integer", "minimum": 1},
        "title": TEXT,
        "language": {"type": "string", "pattern": r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", "description": "BCP 47"},
        "precedence": {"enum": ["ordered", "weighed"]},
        "preamble": TEXT,
        "limits": _limits(),
        "governance": _governance(),
        "meta_learning": _group("meta_learning"),
        "emergency": _group("emergency"),
        "gates": _gates(),
        "domains": _domains(),
        "escalation": _object(
            {"trust_below": SHARE, "emotions": TEXTS, "intensity_above": SHARE, "uncertainty_above": SHARE},
        ),
        "signatures": _list(_object({"keyid": TEXT, "sig": TEXT}, ("keyid", "sig"))),
        "meta_principles": TEXTS,
        "principles": _principles(),
        "laws": _principles(),
    }
    return {"title": "Constitution (front matter, or a YAML file)", **_object(properties)}
