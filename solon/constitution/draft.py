"""A constitution while it is being read: the YAML part, block by block, into limits, gates, domains, escalation and voters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any, cast

from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from solon.constitution.canonical import number_text
from solon.constitution.keys import GROUPS, KEYS, UNITS, Key, Unit, of_group
from solon.constitution.tree import Reader, exact, reduced
from solon.constitution.types import Domain, Escalation, Exact, Gate, Limit, Severity, Signature, Value, Voter
from solon.errors import nearest

ID = re.compile(r"[a-z0-9][a-z0-9._-]*\Z")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*\Z")  # BCP 47, without its rarer forms
GATE = re.compile(r"(<=|>=)\s*(\S+)\Z")
SUFFIX = {"percent": "%", "fraction": "%", "ratio": "x", "seconds": "s"}
SEVERITIES = ("info", "low", "medium", "high", "critical")
RATES = (  # metrics that are a share of samples
    *("unsafe_compliance", "refusal", "over_refusal", "on_topic_compliance", "off_topic", "principle_adherence"),
    *("ethics_compliance", "hitl_accuracy", "domain_compliance", "conflict_resolution", "state_calibration"),
    *("code_pass_at_k", "math_accuracy"),
)
METRICS = (*RATES, "benign_perplexity", "perplexity", "metric_leaks", "calibration_error")
GOVERNANCE_EXTRAS = ("voters", "hitl_escalation_threshold", "domain_trust_requirements")
# What public configurations put beside these and nothing here enforces: read past, listed as ignored, and said so.
UNENFORCED = ("self_questioning_rate", "max_self_questions", "conflict_resolution_strategy")
DEFAULT_EMOTIONS = ("ANXIOUS", "UNCERTAIN")
EMOTION = re.compile(r"[A-Z][A-Z_]*\Z")


@dataclass
class Draft:
    """What has been read so far. `at` remembers the line of each limit, for complaints that concern two of them."""

    reader: Reader
    limits: dict[str, Limit] = field(default_factory=dict)
    at: dict[str, int] = field(default_factory=dict)
    gates: list[Gate] = field(default_factory=list)
    domains: dict[str, Domain] = field(default_factory=dict)
    escalation: dict[str, Any] = field(default_factory=dict)
    voters: list[Voter] = field(default_factory=list)
    signatures: list[Signature] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    # --- limits

    def add_limits(self, node: Node, where: str) -> None:
        """The `limits:` block, or a foreign file's `constitutional_constraints:`: keys flat, grouped, and `custom`."""
        for name, (at, value) in self.reader.mapping(node, where).items():
            if name == "custom":
                self.add_custom(value)
            elif name in GROUPS:
                self.add_group(name, value)
            elif name in KEYS:
                self.add_limit(at, KEYS[name], value)
            else:
                self.reader.unknown(at, name, (*KEYS, *GROUPS, "custom"))

    def add_group(self, group: str, node: Node) -> None:
        """One group of limits, such as `position:` or `governance:`."""
        extras = GOVERNANCE_EXTRAS if group == "governance" else ()
        known = (*of_group(group), *extras)
        for name, (at, value) in self.reader.mapping(node, group).items():
            if name in extras:
                self.add_extra(name, at, value)
            elif name in known:
                self.add_limit(at, KEYS[name], value)
            elif group == "governance" and name in UNENFORCED:
                self.ignored.append(f"governance.{name}")
                self.warnings.append(f"governance.{name} is not enforced by anything here and is ignored")
            elif name in KEYS:
                home = KEYS[name].group
                self.reader.refuse(at, name, f"it under {home}", f"it under {group}", f"move it to {home}:")
            else:
                self.reader.unknown(at, name, known)

    def add_limit(self, at: Node, key: Key, node: Node) -> None:
        """One key that has a row in `keys.KEYS`."""
        self._once(at, key.name)
        value = limit_value(self.reader, key, node)
        self.limits[key.name] = Limit(key=key.name, value=value, unit=key.unit, group=key.group)

    def add_custom(self, node: Node) -> None:
        """`custom:` limits of the user's own: name, unit, measure, max or min, severity, text."""
        known = ("name", "unit", "measure", "max", "min", "severity", "text")
        for item in self.reader.items(node, "custom"):
            fields = self.reader.fields(item, "custom", known, ("name", "unit", "measure"))
            name = self.identifier(fields["name"], "name")
            if name in KEYS:
                got = f"the documented key {name!r}"
                self.reader.refuse(fields["name"], "name", "a name of your own", got, "set it without custom")
            self._once(fields["name"], name)
            side, bound = self._side(item, fields, name)
            unit = cast(Unit, self.reader.word(fields["unit"], "unit", UNITS[:-2]))
            severity = self.reader.word(fields["severity"], "severity", SEVERITIES) if "severity" in fields else "high"
            self.limits[name] = Limit(
                key=name,
                value=self.reader.number(bound, side),
                unit=unit,
                group="custom",
                measure=self.reader.text(fields["measure"], "measure"),
                comparison="<=" if side == "max" else ">=",
                severity=cast(Severity, severity),
                text=self.reader.text(fields["text"], "text") if "text" in fields else "",
            )

    def _side(self, item: Node, fields: dict[str, Node], name: str) -> tuple[str, Node]:
        sides = [side for side in ("max", "min") if side in fields]
        if len(sides) != 1:
            self.reader.refuse(item, name, "either max or min", " and ".join(sides) or "neither", "give one bound")
        return sides[0], fields[sides[0]]

    def _once(self, at: Node, name: str) -> None:
        if name in self.limits:
            got = f"a second one (the first is on line {self.at[name]})"
            self.reader.refuse(at, name, "each limit once", got, "delete one of the two")
        self.at[name] = self.reader.line(at)

    # --- gates

    def add_gates(self, node: Node) -> None:
        """`gates:` as a list of mappings with `metric`, or as `metric: "<= 0.1"`, or `metric: {max: 0.1, …}`."""
        if isinstance(node, SequenceNode):
            for item in node.value:
                fields = self.reader.fields(item, "gates", ("metric", *GATE_FIELDS), ("metric",))
                self.add_gate(fields["metric"], self.reader.text(fields["metric"], "metric"), item, fields)
            return
        for name, (at, value) in self.reader.mapping(node, "gates").items():
            if isinstance(value, ScalarNode):
                self.add_gate(at, name, value, {})
            else:
                self.add_gate(at, name, value, self.reader.fields(value, name, GATE_FIELDS))

    def add_gate(self, at: Node, metric: str, node: Node, fields: dict[str, Node]) -> None:
        reader = self.reader
        if metric not in METRICS:
            mend = nearest(metric, METRICS) if ID.match(metric) else "lower case, no blanks"
            if mend:
                reader.refuse(at, "metric", "the name of a metric", repr(metric), mend)
            self.warnings.append(f"gate {metric}: no metric of that name is measured here; unless you measure it, the gate fails")
        if isinstance(node, ScalarNode):
            found = GATE.match(node.value.strip())
            if not found or exact(found[2]) is None:
                reader.refuse(node, metric, 'a bound such as "<= 0.1"', reader.got(node), "put comparison and number in quotes")
            comparison, bound = found[1], cast(Exact, exact(found[2]))
        else:
            side, bound_node = self._side(node, fields, metric)
            comparison, bound = ("<=" if side == "max" else ">="), reader.number(bound_node, side)
        if metric in RATES and not 0 <= bound <= 1:
            reader.refuse(node, metric, "a share from 0 to 1", number_text(bound), "write 0.1 for 10 %")
        gate = Gate(metric=metric, comparison=cast(Any, comparison), bound=bound, **self._gate_options(fields))
        if any(g.metric == metric and g.comparison == comparison for g in self.gates):
            reader.refuse(at, metric, "one gate of a metric in each direction", "a second one", "delete one of the two")
        self.gates.append(gate)

    def _gate_options(self, fields: dict[str, Node]) -> dict[str, Any]:
        reader, options = self.reader, cast(dict[str, Any], {})
        if "mode" in fields:
            options["mode"] = reader.word(fields["mode"], "mode", ("stop", "warn", "rollback"))
        if "by" in fields:
            options["by"] = reader.word(fields["by"], "by", ("bound", "point"))
        if "grace_steps" in fields:
            options["grace_steps"] = reader.count(fields["grace_steps"], "grace_steps")
        if "regression" in fields:
            options["regression"] = reader.decimal(fields["regression"], "regression", "0", "1000")
        return options

    # --- governance and escalation

    def add_extra(self, name: str, at: Node, node: Node) -> None:
        """What `governance:` may hold besides its limits, and a foreign file at its top level."""
        if name == "voters":
            self.add_voters(node)
        elif name == "domain_trust_requirements":
            self.add_domains(node)
        else:
            self._escalation(at, "trust_below", self.reader.decimal(node, name, "0", "1"))

    def add_domains(self, node: Node) -> None:
        """`domains:` as `name: 0.75` or `name: {trust: 0.75}`."""
        for name, (at, value) in self.reader.mapping(node, "domains").items():
            if not ID.match(name):
                self.reader.refuse(at, name, "a domain name in lower case without blanks", repr(name))
            if name in self.domains:
                self.reader.refuse(at, name, "each domain once", "a second one", "delete one of the two")
            trust = self.reader.fields(value, name, ("trust",), ("trust",))["trust"] if isinstance(value, MappingNode) else value
            self.domains[name] = Domain(name=name, trust=self.reader.decimal(trust, name, "0", "1"))

    def add_escalation(self, node: Node) -> None:
        """`escalation:` trust_below, emotions, intensity_above, uncertainty_above."""
        for name, (at, value) in self.reader.mapping(node, "escalation").items():
            if name == "emotions":
                emotions = self.reader.texts(value, name)
                for word in emotions:
                    if not EMOTION.match(word):
                        self.reader.refuse(value, name, "emotions in capitals, such as ANXIOUS", repr(word))
                self._escalation(at, name, tuple(sorted(set(emotions))))
            elif name in ("trust_below", "intensity_above", "uncertainty_above"):
                self._escalation(at, name, self.reader.decimal(value, name, "0", "1"))
            else:
                self.reader.unknown(at, name, tuple(Escalation.model_fields))

    def _escalation(self, at: Node, name: str, value: Any) -> None:
        if name in self.escalation:
            self.reader.refuse(at, name, "one threshold", "a second one", "give it either in escalation: or in governance:")
        self.escalation[name] = value

    def finished_escalation(self) -> Escalation | None:
        """The policy that was read, missing parts filled with the documented values and said so; None if nothing was read."""
        if not self.escalation and not self.domains:
            return None
        documented = {
            "trust_below": Decimal("0.4"),
            "emotions": DEFAULT_EMOTIONS,
            "intensity_above": Decimal("0.6"),
            "uncertainty_above": Decimal("0.7"),
        }
        missing = [name for name in documented if name not in self.escalation]
        if missing:
            shown = ", ".join(f"{n} {_shown(documented[n])}" for n in missing)
            self.warnings.append(f"escalation is given in part; the documented values hold for the rest: {shown}")
        return Escalation(**{**documented, **self.escalation})

    def add_voters(self, node: Node) -> None:
        """`voters:` a list of names, or of mappings with id, role, key (Ed25519, hex) and weight."""
        for item in self.reader.items(node, "voters"):
            if isinstance(item, ScalarNode):
                voter = Voter(id=self.identifier(item, "voters"))
            else:
                voter = self._voter(self.reader.fields(item, "voters", ("id", "role", "key", "weight"), ("id",)))
            if any(v.id == voter.id or (v.key and v.key == voter.key) for v in self.voters):
                self.reader.refuse(item, "voters", "each voter and each key once", f"{voter.id!r} again", "delete one of the two")
            self.voters.append(voter)

    def _voter(self, fields: dict[str, Node]) -> Voter:
        reader = self.reader
        key = reader.text(fields["key"], "key") if "key" in fields else ""
        if key and not re.fullmatch(r"[0-9a-f]{64}", key):
            reader.refuse(fields["key"], "key", "an Ed25519 public key as 64 hex digits", repr(key[:20]))
        return Voter(
            id=self.identifier(fields["id"], "id"),
            role=self.identifier(fields["role"], "role") if "role" in fields else "",
            key=key,
            weight=reader.decimal(fields["weight"], "weight", "0", "1000000") if "weight" in fields else None,
        )

    def add_signatures(self, node: Node) -> None:
        for item in self.reader.items(node, "signatures"):
            fields = self.reader.fields(item, "signatures", ("keyid", "sig"), ("keyid", "sig"))
            self.signatures.append(Signature(**{k: self.reader.text(v, k) for k, v in fields.items()}))

    def identifier(self, node: Node, key: str) -> str:
        """A name in lower case: letters, digits, and -, _ or . inside."""
        value = node.value if isinstance(node, ScalarNode) else ""
        if not ID.match(value):
            self.reader.refuse(node, key, "a name in lower case (letters, digits, - _ .)", self.reader.got(node))
        return value


GATE_FIELDS = ("max", "min", "mode", "by", "grace_steps", "regression")


def _shown(value: Any) -> str:
    return " and ".join(value) if isinstance(value, tuple) else number_text(value)


def limit_value(reader: Reader, key: Key, node: Node) -> Value:
    """The value of a documented key, in its unit.

    Raises:
        ConstitutionError: wrong type, or implausible for the unit.
    """
    if key.unit == "flag":
        return reader.flag(node, key.name)
    if key.unit == "mode":
        return reader.texts(node, key.name) if key.shape == "list" else reader.word(node, key.name, key.choices)
    if key.shape == "range":
        low, high = _pair(reader, key, node)
        if low > high:
            reader.refuse(node, key.name, "the lower bound first", f"[{number_text(low)}, {number_text(high)}]", "swap them")
        return low, high
    return _measure(reader, key, node)


def _pair(reader: Reader, key: Key, node: Node) -> tuple[Exact, Exact]:
    items = reader.items(node, key.name)
    if len(items) != 2:
        reader.refuse(node, key.name, "two numbers, [low, high]", f"{len(items)}")
    return _measure(reader, key, items[0]), _measure(reader, key, items[1])


def _measure(reader: Reader, key: Key, node: Node) -> Exact:
    """A number in the key's unit. The unit may be written ("15 %", "2x", "30 s"); then a small percentage is believed."""
    text = node.value.strip() if isinstance(node, ScalarNode) else ""
    suffix = SUFFIX.get(key.unit, "")
    written = bool(suffix) and text.endswith(suffix)
    value = exact(text.removesuffix(suffix)) if written else exact(text)
    expected = f"{_unit_words(key)} from {_bound(key.low)} to {_bound(key.high)}"
    if value is None:
        reader.refuse(node, key.name, expected, reader.got(node), "write a finite decimal number")
    if written and key.unit == "fraction":
        value = reduced(Fraction(value) / 100)
    low = Fraction(0) if written and key.unit == "percent" else Fraction(key.low or 0)
    if not low <= Fraction(value) <= Fraction(key.high or 0):
        reader.refuse(node, key.name, expected, text, _unit_mend(key, value))
    if key.unit == "count" and Fraction(value).denominator != 1:
        reader.refuse(node, key.name, "a whole number", text)
    return value


def _bound(value: Decimal | None) -> str:
    return number_text(value) if value is not None else "any"


def _unit_words(key: Key) -> str:
    return {
        "percent": "a percentage (20 means 20 %)",
        "fraction": "a fraction (0.3 means 30 %)",
        "ratio": "a ratio (2 means twice)",
        "count": "a whole number",
        "seconds": "a number of seconds",
        "money": "an amount of money",
    }[key.unit]


def _unit_mend(key: Key, value: Exact) -> str:
    if key.unit == "percent" and 0 < value < 1:
        return f'write {number_text(reduced(Fraction(value) * 100))} if a fraction was meant, or "{number_text(value)} %" if not'
    if key.unit == "fraction" and value > 1:
        return f"write {number_text(reduced(Fraction(value) / 100))} if a percentage was meant"
    return "check the unit"
