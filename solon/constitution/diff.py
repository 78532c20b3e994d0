"""What changed between two constitutions, and whether it restricts more or less."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Literal

from solon.constitution.canonical import canonical, number_text
from solon.constitution.keys import KEYS
from solon.constitution.types import Constitution, Escalation, Gate, Limit

Kind = Literal["added", "removed", "changed"]
Effect = Literal["tightens", "loosens", ""]
SIGN = {"added": "+", "removed": "-", "changed": "~"}
MODES = ("warn", "rollback", "stop")  # of gates, from the mildest


@dataclass(frozen=True)
class Change:
    """One difference. `old` and `new` are as in the canonical form (None: absent); `effect` is empty where neither word fits."""

    kind: Kind
    path: str
    old: Any
    new: Any
    effect: Effect = ""

    def __str__(self) -> str:
        what = " -> ".join(_shown(value) for value in (self.old, self.new) if value is not None)
        return f"{SIGN[self.kind]} {self.path}: {what}" + (f"  ({self.effect})" if self.effect else "")


def diff(a: Constitution, b: Constitution) -> list[Change]:
    """The changes that turn `a` into `b`; empty exactly when their hashes are equal.

    A limit, gate or trust requirement that is added tightens, one that is removed loosens.
    """
    old, new = canonical(a), canonical(b)
    changes: list[Change] = []
    for key in ("id", "version", "title", "language", "precedence", "preamble", "meta_principles"):
        changes += _compare(key, old[key], new[key])
    changes += _principles(old["principles"], new["principles"])
    changes += _keyed("limits", old["limits"], new["limits"], _by_name(a.limits), _by_name(b.limits))
    changes += _keyed("gates", old["gates"], new["gates"], _by_gate(a), _by_gate(b))
    domains = [{d.name: d.trust for d in c.domains} for c in (a, b)]
    changes += _keyed("domains", old["domains"], new["domains"], *domains)
    changes += _escalation(a.escalation, b.escalation, old["escalation"], new["escalation"])
    changes += _keyed("voters", old["voters"], new["voters"], {}, {})
    return changes


def render_diff(changes: list[Change]) -> str:
    """One line for each change; the ones that loosen are counted at the end."""
    if not changes:
        return "no change"
    loosened = sum(change.effect == "loosens" for change in changes)
    tail = f"{len(changes)} changes, {loosened} loosen a rule" if len(changes) > 1 or loosened else "1 change"
    return "\n".join([*map(str, changes), tail])


def _shown(value: Any, most: int = 160) -> str:
    text = value if isinstance(value, str) else ", ".join(map(_shown, value)) if isinstance(value, list) else str(value)
    text = " ".join(text.split())
    return repr(text) if not text else text if len(text) <= most else f"{text[: most - 1]}…"


def _kind(old: Any, new: Any) -> Kind:
    return "added" if old is None else "removed" if new is None else "changed"


def _compare(path: str, old: Any, new: Any) -> list[Change]:
    if old == new:
        return []
    return [Change(_kind(old or None, new or None), path, old or None, new or None)]


def _principles(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[Change]:
    before, after = ({p["id"]: p for p in side} for side in (old, new))
    for name in [*before, *(n for n in after if n not in before)]:
        path = f"principles.{name}"
        if name not in after:
            yield Change("removed", path, before[name]["title"], None)
        elif name not in before:
            yield Change("added", path, None, after[name]["title"])
        else:
            for key, value in before[name].items():
                yield from _compare(f"{path}.{key}", value, after[name][key])
    common = [[name for name in side if name in before and name in after] for side in (before, after)]
    if common[0] != common[1]:
        yield Change("changed", "principles.order", common[0], common[1])


def _by_name(limits: tuple[Limit, ...]) -> dict[str, Limit]:
    return {limit.key: limit for limit in limits}


def _by_gate(c: Constitution) -> dict[str, Gate]:
    return {f"{gate.metric} {gate.comparison}": gate for gate in c.gates}


def _keyed(
    path: str, old: Mapping[str, Any], new: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[Change]:
    """Changes of a mapping of canonical forms; `before` and `after` hold the records behind them."""
    for name in sorted({*old, *new}):
        a, b = old.get(name), new.get(name)
        if a != b:
            effect = _effect(before.get(name), after.get(name)) if before or after else ""
            yield Change(_kind(a, b), f"{path}.{name}", _brief(a), _brief(b), effect)


def _brief(form: Any) -> Any:
    """The telling part of a canonical form."""
    if not isinstance(form, dict):
        return form
    if "metric" in form:
        return f"{form['comparison']} {form['bound']} {form['mode']} by {form['by']}, grace {form['grace_steps']}" + (
            f", regression {form['regression']}" if form["regression"] is not None else ""
        )
    if "value" in form:
        value, unit = form["value"], "" if form["unit"] in ("flag", "mode") else f" {form['unit']}"
        side = f"{form['comparison']} " if form.get("comparison") else ""
        return f"{side}{_shown(value)}{unit}" + (f" of {form['measure']}, {form['severity']}" if "measure" in form else "")
    return ", ".join(f"{k} {v}" for k, v in form.items() if v not in ("", None))


def _effect(a: Any, b: Any) -> Effect:
    if a is None or b is None:
        return _one_sided(a, b)
    if isinstance(a, Limit):
        return _limit_effect(a, b)
    if isinstance(a, Gate):
        return _gate_effect(a, b)
    return _towards(a, b, "higher")


def _one_sided(a: Any, b: Any) -> Effect:
    """A rule that appears tightens, one that goes loosens; a flag that is false, or a mode, is no rule by itself."""
    value = getattr(a or b, "value", None)
    if isinstance(value, str) or value is False or isinstance(value, tuple):
        return ""
    return "tightens" if a is None else "loosens"


def _towards(a: Any, b: Any, tighter: str) -> Effect:
    """Which way a number or flag moved."""
    if not tighter or isinstance(a, str | tuple) or isinstance(b, str | tuple) or a == b:
        return ""
    return "tightens" if (b > a) == (tighter == "higher") else "loosens"


def _limit_effect(a: Limit, b: Limit) -> Effect:
    if a.group != "custom" and b.group != "custom":
        key = KEYS[a.key]
        return _range_effect(a.value, b.value) if key.shape == "range" else _towards(a.value, b.value, key.tighter)
    if (a.comparison, a.measure, a.unit) != (b.comparison, b.measure, b.unit):
        return ""
    return _towards(a.value, b.value, "lower" if b.comparison == "<=" else "higher")


def _range_effect(a: Any, b: Any) -> Effect:
    """A range inside the other tightens; one that only overlaps is neither."""
    if b[0] >= a[0] and b[1] <= a[1]:
        return "tightens"
    return "loosens" if a[0] >= b[0] and a[1] <= b[1] else ""


def _joint(effects: list[Effect]) -> Effect:
    """The effect of several changes at once: theirs if they agree."""
    found = {effect for effect in effects if effect}
    return found.pop() if len(found) == 1 else ""


def _gate_effect(a: Gate, b: Gate) -> Effect:
    limits: tuple[Decimal | Fraction, Decimal | Fraction] = tuple(  # type: ignore[assignment]
        Decimal("Infinity") if gate.regression is None else gate.regression for gate in (a, b)
    )
    return _joint(
        [
            _towards(a.bound, b.bound, "lower" if b.comparison == "<=" else "higher"),
            _towards(MODES.index(a.mode), MODES.index(b.mode), "higher"),
            _towards(a.by == "bound", b.by == "bound", "higher"),
            _towards(a.grace_steps, b.grace_steps, "lower"),
            _towards(*limits, "lower"),
        ]
    )


def _escalation(a: Escalation | None, b: Escalation | None, old: Any, new: Any) -> Iterator[Change]:
    """More goes to a person: tightens."""
    if a is None or b is None:
        if old != new:
            yield Change(
                _kind(old, new), "escalation", old and _brief(old), new and _brief(new), "tightens" if a is None else "loosens"
            )
        return
    for name, tighter in (("trust_below", "higher"), ("intensity_above", "lower"), ("uncertainty_above", "lower")):
        x, y = getattr(a, name), getattr(b, name)
        if x != y:
            yield Change("changed", f"escalation.{name}", number_text(x), number_text(y), _towards(x, y, tighter))
    x, y = set(a.emotions), set(b.emotions)
    if x != y:
        effect: Effect = "tightens" if x < y else "loosens" if y < x else ""
        yield Change("changed", "escalation.emotions", sorted(x), sorted(y), effect)
