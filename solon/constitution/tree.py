"""YAML 1.2 as a tree of nodes with line numbers, so that every complaint can name file, line and key.

Values are taken from the source text, never through binary floats: `5e-5` is exactly 0.00005.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from solon.errors import ConstitutionError, nearest

NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?\Z")
FRACTION = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})\Z")
HALF = re.compile("[\ud800-\udfff]")
FORM = "correct it there; `solon schema constitution` shows the form"
MAX_DIGITS = 40  # of a number; more is a slip or an attack on memory ("1e999")
MAX_DEPTH = 100  # of lists in lists; the parser's time grows with the square of it
MAX_VALUES = 20_000  # of a file of settings, aliases written out; aliases of aliases can name more than any memory holds
KIND = {"str": "text", "int": "number", "float": "number", "bool": "true or false", "null": "nothing", "timestamp": "date"}


def edits(a: str, b: str, most: int) -> int:
    """Edit distance (insert, delete, replace, swap of neighbours), or `most + 1` as soon as it must be larger.

    Optimal string alignment: Damerau 1964, Levenshtein 1966.
    """
    if abs(len(a) - len(b)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            best = min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, before[j - 2] + 1)
            new.append(best)
        if min(new) > most and min(row) > most:
            return most + 1
        before, row = row, new
    return min(row[-1], most + 1)


def exact(text: str) -> Decimal | Fraction | None:
    """The number that a text writes, decimal or "n/d", or None. A fraction that a decimal holds exactly becomes one."""
    text = text.strip()
    if NUMBER.match(text):
        value = Decimal(text)
        return value if len(value.as_tuple().digits) <= MAX_DIGITS and abs(value.adjusted()) <= MAX_DIGITS else None
    found = FRACTION.match(text)
    return reduced(Fraction(int(found[1]), int(found[2]))) if found and int(found[2]) else None


def reduced(value: Fraction) -> Decimal | Fraction:
    """The same number as a decimal where one of 28 digits is exact, else as it is."""
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    return decimal if Fraction(decimal) == value else value


@dataclass(frozen=True)
class Reader:
    """Reads nodes of one file; `first` is the file's line on which the YAML starts (front matter begins on line 2)."""

    name: str
    first: int = 1

    def line(self, node: Node) -> int:
        return int(node.start_mark.line) + self.first

    def refuse(self, node: Node | int, key: str, expected: str, got: str, mend: str = "") -> NoReturn:
        """Raise the one form of complaint: file:line: key: expected …, got …; mend."""
        line = node if isinstance(node, int) else self.line(node)
        raise ConstitutionError(f"{self.name}:{line}: {key}: expected {expected}, got {got}", mend=mend or FORM)

    def compose(self, text: str) -> Node | None:
        """The tree of a YAML text; None when it is empty.

        Raises:
            ConstitutionError: it is not YAML, holds several documents, or a mapping gives a key twice.
        """
        try:
            yaml = YAML(typ="rt", pure=True)
            yaml.max_depth = MAX_DEPTH
            root = yaml.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = (mark.line if mark else 0) + self.first
            problem = str(error.problem or error.context).removeprefix("but found ").partition(", if necessary")[0]
            self.refuse(line, "yaml", "well-formed YAML", problem, "check indentation, colons and quotes there")
        except (YAMLError, RecursionError, ValueError) as error:
            self.refuse(self.first, "yaml", "well-formed YAML", _short(str(error)), "check indentation, colons and quotes")
        for node in mappings(root):
            self.mapping(node, "mapping")
        return root

    def got(self, node: Node) -> str:
        """What a node is, in words for a complaint."""
        if isinstance(node, MappingNode):
            return "a mapping"
        if isinstance(node, SequenceNode):
            return "a list"
        kind = KIND.get(str(node.tag).rsplit(":", 1)[-1], "")
        return "nothing" if kind == "nothing" else f"{_short(node.value)!r}" + (f" ({kind})" if kind else "")

    def mapping(self, node: Node, key: str) -> dict[str, tuple[Node, Node]]:
        """Name -> (key node, value node).

        Raises:
            ConstitutionError: it is no mapping, a key is no plain word, or a key comes twice.
        """
        if not isinstance(node, MappingNode):
            self.refuse(node, key, "a mapping (key: value lines)", self.got(node))
        found: dict[str, tuple[Node, Node]] = {}
        for name, value in node.value:
            if not isinstance(name, ScalarNode):
                self.refuse(name, key, "a word as key", self.got(name))
            if name.value in found:
                got = f"a second one (the first is on line {self.line(found[name.value][0])})"
                self.refuse(name, name.value, "each key once", got, "delete one of the two")
            found[name.value] = (name, value)
        return found

    def fields(self, node: Node, key: str, known: tuple[str, ...], required: tuple[str, ...] = ()) -> dict[str, Node]:
        """The values of a mapping whose keys must be among `known`.

        Raises:
            ConstitutionError: a key is unknown (with a suggestion) or a required one is missing.
        """
        found = self.mapping(node, key)
        for name, (at, _) in found.items():
            if name not in known:
                self.unknown(at, name, known)
        for name in required:
            if name not in found:
                self.refuse(node, key, f"a line {name}: …", f"only {', '.join(found) or 'nothing'}", f"add {name}")
        return {name: value for name, (_, value) in found.items()}

    def unknown(self, at: Node, name: str, known: tuple[str, ...], mend: str = "") -> NoReturn:
        suggestion = nearest(name, known) or f"known here: {', '.join(known)}"
        self.refuse(at, name, "a known key", f"{_short(name)!r}", f"{mend}; {suggestion}" if mend else suggestion)

    def items(self, node: Node, key: str) -> list[Node]:
        if not isinstance(node, SequenceNode):
            self.refuse(node, key, "a list", self.got(node))
        return list(node.value)

    def text(self, node: Node, key: str) -> str:
        if not isinstance(node, ScalarNode) or not str(node.tag).endswith(":str") or not node.value.strip():
            self.refuse(node, key, "text", self.got(node), "put it in quotes" if isinstance(node, ScalarNode) else "")
        if HALF.search(node.value):
            self.refuse(
                node,
                key,
                "whole characters",
                f"half of a surrogate pair in {_short(node.value)!a}",
                "write the whole character",
            )
        return re.sub(r"[^\S\n]+", " ", unicodedata.normalize("NFC", node.value)).strip()

    def texts(self, node: Node, key: str) -> tuple[str, ...]:
        return tuple(self.text(item, key) for item in self.items(node, key))

    def word(self, node: Node, key: str, choices: tuple[str, ...] = ()) -> str:
        """A single word, of `choices` where given."""
        value = self.text(node, key)
        if choices and value not in choices:
            mend = nearest(value, choices) or "write one of these"
            self.refuse(node, key, f"one of {', '.join(choices)}", repr(_short(value)), mend)
        return value

    def flag(self, node: Node, key: str) -> bool:
        if not isinstance(node, ScalarNode) or not str(node.tag).endswith(":bool"):
            self.refuse(node, key, "true or false", self.got(node), "write true or false (YAML 1.2; yes and no are plain words)")
        return bool(node.value.lower() == "true")

    def number(self, node: Node, key: str, what: str = "a number") -> Decimal | Fraction:
        """An exact number; a quoted fraction such as "2/3" counts.

        Raises:
            ConstitutionError: it is no finite decimal number.
        """
        value = exact(node.value) if isinstance(node, ScalarNode) else None
        if value is None:
            self.refuse(node, key, what, self.got(node), "write a finite decimal number, or a fraction in quotes")
        return value

    def decimal(self, node: Node, key: str, low: str, high: str) -> Decimal | Fraction:
        """A number within [low, high]."""
        value = self.number(node, key, f"a number from {low} to {high}")
        if not Fraction(low) <= Fraction(value) <= Fraction(high):
            self.refuse(node, key, f"a number from {low} to {high}", node.value)
        return value

    def count(self, node: Node, key: str, low: int = 0, high: int = 10**9) -> int:
        value = self.decimal(node, key, str(low), str(high))
        if Fraction(value).denominator != 1:
            self.refuse(node, key, "a whole number", node.value)
        return int(value)


def too_many_values(value: object, most: int = MAX_VALUES) -> bool:
    """Whether plain YAML data hold more than `most` values, what aliases repeat counted as often as it stands there."""
    waiting, seen = [value], 0
    while waiting and seen <= most:
        item = waiting.pop()
        seen += 1
        if isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, list | tuple | set):
            waiting += item
    return seen > most


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def mappings(root: Node | None) -> Iterator[MappingNode]:
    """Every mapping of a tree once, however often anchors repeat it."""
    seen: set[int] = set()
    waiting = [root] if root is not None else []
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, MappingNode):
            yield node
            waiting += [value for _, value in reversed(node.value)]
        elif isinstance(node, SequenceNode):
            waiting += reversed(node.value)
