# ruff: noqa: E501  (the tables read better with one case a line)
"""Identity: layout keeps the hash, every word, number and order changes it; what is written reads back the same."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from decimal import Decimal
from fractions import Fraction

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solon.constitution import Constitution, diff, library_names, load, parse_text, render, template, template_kinds
from solon.constitution.canonical import canonical, number_text
from solon.constitution.parse import LIBRARY
from solon.constitution.synthesis import completed
from solon.constitution.types import (
    Directive,
    Domain,
    Escalation,
    ExampleConversation,
    Gate,
    HardRule,
    Limit,
    Principle,
)
from solon.errors import ConstitutionError

BASE = """\
---
solon: 1
id: base
version: 3
title: Café rules
limits:
  position: {max_position_size_pct: 20.0}
  max_leverage: 2
gates: {refusal: "<= 0.50", off_topic: "<= 0.1"}
domains: {legal: 0.80, hr: 0.65}
---
# Café rules

Be kind, and say so in
a few words.

## Meta principles
- one
- two

## First
Some text about naïve things.

- item a
- item b

F1. Do this.
F2. Do that.

### Example Conversation
User: a
Assistant: b
Critique: c
Revision: d

## Second
More text.
"""
SAME = {
    "crlf": lambda t: t.replace("\n", "\r\n"),
    "cr": lambda t: t.replace("\n", "\r"),
    "bom": lambda t: "\ufeff" + t,
    "nfd": lambda t: unicodedata.normalize("NFD", t),
    "trailing blanks": lambda t: re.sub(r"(?m)$", "  ", t).replace("---  ", "---"),
    "blank lines": lambda t: t.replace("\n\n", "\n\n\n\n"),
    "rewrapped": lambda t: t.replace("in\na few", "in a\nfew"),
    "star bullets": lambda t: t.replace("\n- item", "\n* item"),
    "setext": lambda t: t.replace("## Second", "Second\n------"),
    "yaml order": lambda t: t.replace("id: base\nversion: 3\n", "version: 3\nid: base\n"),
    "yaml style": lambda t: t.replace("domains: {legal: 0.80, hr: 0.65}", "domains:\n  hr: 0.650\n  legal: {trust: 8e-1}"),
    "gates as list": lambda t: t.replace(
        'gates: {refusal: "<= 0.50", off_topic: "<= 0.1"}', "gates:\n- {metric: off_topic, max: 1/10}\n- metric: refusal\n  max: 0.5"
    ),
    "ungrouped": lambda t: t.replace("position: {max_position_size_pct: 20.0}", "max_position_size_pct: 2e1"),
    "comments": lambda t: t.replace("More text.", "More <!-- a note --> text.\n\n<!-- another -->").replace("version: 3", "version: 3 # v"),
    "bold speakers": lambda t: t.replace("User: a", "**User:** a").replace("Critique: c", "- **Critique**: c"),
    "indented": lambda t: t.replace("More text.", "      More text."),
}  # fmt: skip
OTHER = {
    "word": ("kind", "kinder"),
    "case": ("Do this", "do this"),
    "number": ("20.0", "20.1"),
    "bound": ("0.50", "0.51"),
    "trust": ("0.80", "0.81"),
    "unset": ("  max_leverage: 2\n", ""),
    "version": ("version: 3", "version: 4"),
    "order of directives": ("F1. Do this.\nF2. Do that.", "F1. Do that.\nF2. Do this."),
    "order of items": ("- item a\n- item b", "- item b\n- item a"),
    "heading": ("## Second", "## Third"),
    "example": ("Revision: d", "Revision: e"),
    "meta": ("- two", "- three"),
    "precedence": ("version: 3", "version: 3\nprecedence: ordered"),
    "language": ("version: 3", "version: 3\nlanguage: fr"),
    "accent": ("naïve", "naive"),
    "template": ("More text.", "More text.\n### Critique Template\nq"),
}


@pytest.mark.parametrize("name", SAME)
def test_layout_keeps_the_hash(name: str) -> None:
    changed = SAME[name](BASE)
    assert changed != BASE and parse_text(changed, "x.md").hash == parse_text(BASE, "x.md").hash


@pytest.mark.parametrize("name", OTHER)
def test_content_changes_the_hash_and_shows_in_the_diff(name: str) -> None:
    old, new = OTHER[name]
    assert old in BASE
    a, b = parse_text(BASE, "x.md"), parse_text(BASE.replace(old, new, 1), "x.md")
    assert a.hash != b.hash and diff(a, b) and diff(b, a)


def test_order_of_principles_counts() -> None:
    a, b = parse_text("## A\nx\n## B\ny\n", "x.md"), parse_text("## B\ny\n## A\nx\n", "x.md")
    assert a.hash != parse_text("# X\n## A\nx\n", "x.md").hash != b.hash != a.hash
    assert "principles.order" in {change.path for change in diff(a, b)}


def test_the_canonical_form_is_rfc_8785() -> None:
    c = parse_text(BASE, "x.md")
    # for these characters RFC 8785 is JSON with sorted keys, no blanks and no escapes
    expected = json.dumps(canonical(c), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    assert c.canonical == expected and c.hash == hashlib.sha256(expected).hexdigest()
    form = json.loads(c.canonical)
    assert form["limits"]["max_leverage"] == {"group": "leverage", "unit": "ratio", "value": "2"}
    assert form["domains"] == {"hr": "0.65", "legal": "0.8"} and form["version"] == "3"
    assert form["principles"][0]["critique_template"] == "" and "source" not in form


@pytest.mark.slow
def test_library_hashes_are_stable() -> None:
    """A release that changes a shipped constitution must raise its version; this notices a change of format too."""
    for name in library_names():
        c = load(name)
        assert c.source == name and c.id == name and len(c.hash) == 64
        path = next(p for p in LIBRARY.iterdir() if p.stem == name)
        assert load(path).hash == c.hash


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("20.0"), "20"),
        (Decimal("5e-5"), "0.00005"),
        (Decimal("-0.0"), "0"),
        (Decimal("1E+3"), "1000"),
        (Decimal("0.80"), "0.8"),
        (Fraction(2, 3), "2/3"),
    ],
)
def test_numbers_as_text(value: Decimal | Fraction, text: str) -> None:
    assert number_text(value) == text


@pytest.mark.slow
@pytest.mark.parametrize("name", [*library_names(), *template_kinds()])
def test_what_ships_reads_back_the_same(name: str) -> None:
    c = load(name) if name in library_names() else parse_text(template(name), f"{name}.md")
    text = render(c)
    again = parse_text(text, "again.md")
    assert again.hash == c.hash and diff(c, again) == [] and render(again) == text
    assert again.principles == c.principles and again.limits == c.limits


def test_a_text_that_no_file_can_hold_is_refused() -> None:
    broken = load("five-laws").model_copy(update={"preamble": "one\n\n## Two"})
    with pytest.raises(ConstitutionError, match="expected a constitution that a file can hold"):
        render(broken)


@pytest.mark.slow
def test_json_dump_fits_the_schema() -> None:
    schema = Constitution.model_json_schema(mode="serialization")
    for name in library_names():
        jsonschema.validate(json.loads(load(name).model_dump_json()), schema)


# --- properties

word = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=8).map(
    lambda w: unicodedata.normalize("NFC", w)
)
sentence = st.lists(word, min_size=1, max_size=8).map(lambda ws: "Say " + " ".join(ws))
prose_text = st.lists(sentence, min_size=1, max_size=3).map("\n\n".join)
share = st.integers(0, 1000).map(lambda n: Decimal(n) / 1000)
fraction = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda p: Fraction(min(p), max(p) * 3))
name_text = st.from_regex(r"[a-z][a-z0-9-]{2,10}", fullmatch=True)
example = st.builds(ExampleConversation, user=prose_text, assistant=prose_text, critique=prose_text, revision=prose_text)
rule = st.builds(
    HardRule,
    id=name_text,
    text=sentence,
    acts=st.lists(word.map(str.lower), min_size=1, max_size=3).map(tuple),
    objects=st.lists(word.map(str.lower), max_size=2).map(tuple),
)


@st.composite
def principles(draw: st.DrawFn) -> tuple[Principle, ...]:
    names = draw(st.lists(name_text, max_size=4, unique=True))
    rules = draw(st.lists(rule, max_size=3, unique_by=lambda r: r.id))
    made = []
    for rank, name in enumerate(names):
        numbers = range(1, draw(st.integers(0, 3)) + 1)
        principle = Principle(
            id=f"p-{name}",
            title=draw(sentence),
            rank=rank,
            text=draw(st.one_of(st.just(""), prose_text)),
            critique_template=draw(st.one_of(st.just(""), prose_text)),
            revision_guideline=draw(st.one_of(st.just(""), prose_text)),
            directives=tuple(Directive(id=f"{chr(65 + rank)}{i}", text=draw(sentence)) for i in numbers),
            applications=tuple(draw(st.lists(sentence, max_size=3))),
            examples=tuple(draw(st.lists(example, max_size=2))),
            hard_rules=tuple(rules) if rank == 0 else (),
            aliases=tuple(draw(st.lists(name_text.map(lambda n, rank=rank: f"a{rank}-{n}".strip("-")), max_size=1))),
        )
        made.append(completed(principle))
    return tuple(made)


@st.composite
def constitutions(draw: st.DrawFn) -> Constitution:
    limits = [
        Limit(key="max_correlation", value=draw(share), unit="fraction", group="diversification"),
        Limit(key="stop_loss_required", value=draw(st.booleans()), unit="flag", group="risk"),
        Limit(
            key="resume_threshold",
            value=draw(fraction.filter(lambda f: f > Fraction(1, 50))),
            unit="fraction",
            group="governance",
        ),
        Limit(key="own", value=draw(share), unit="ratio", group="custom", measure="sum", comparison="<=", text=draw(sentence)),
    ]
    reduced = [limit for limit in limits if draw(st.booleans()) and not _would_reduce(limit)]
    gates = [
        Gate(metric=m, comparison="<=", bound=draw(share), mode="warn")
        for m in draw(st.sets(st.sampled_from(["refusal", "off_topic"])))
    ]
    domains = tuple(Domain(name=n, trust=draw(share)) for n in draw(st.lists(name_text, max_size=3, unique=True)))
    escalation = draw(
        st.builds(
            Escalation,
            trust_below=share,
            emotions=st.sets(st.sampled_from(["ANXIOUS", "CALM", "UNCERTAIN"])).map(lambda s: tuple(sorted(s))),
            intensity_above=share,
            uncertainty_above=share,
        )
    )
    return Constitution(
        id=draw(name_text),
        version=draw(st.integers(1, 99)),
        title=draw(sentence),
        preamble=draw(st.one_of(st.just(""), prose_text)),
        meta_principles=tuple(draw(st.lists(sentence, max_size=3))),
        principles=draw(principles()),
        limits=tuple(reduced),
        gates=tuple(gates),
        domains=domains,
        escalation=escalation,
    )


def _would_reduce(limit: Limit) -> bool:
    """Fractions that a decimal holds exactly are read as decimals, so the record could not come back equal."""
    return isinstance(limit.value, Fraction) and Fraction(Decimal(limit.value.numerator) / limit.value.denominator) == limit.value


@pytest.mark.slow
@given(constitutions())
@settings(max_examples=25, deadline=None)
def test_any_constitution_reads_back_the_same(c: Constitution) -> None:
    text = render(c)
    again = parse_text(text, "again.md")
    assert again.hash == c.hash and again.principles == c.principles
    noisy = text.replace("\n\n", "\n\n\n").replace("\n", " \r\n").replace("--- ", "---")
    assert parse_text(noisy, "noisy.md").hash == c.hash


@pytest.mark.slow
@given(constitutions(), constitutions())
@settings(max_examples=20, deadline=None)
def test_diff_is_empty_exactly_for_equal_hashes(a: Constitution, b: Constitution) -> None:
    assert bool(diff(a, b)) == (a.hash != b.hash)
    assert diff(a, a) == []
    forth, back = diff(a, b), diff(b, a)
    assert {change.path for change in forth} == {change.path for change in back}
    turned = {"tightens": "loosens", "loosens": "tightens", "": ""}
    assert {(c.path, turned[c.effect]) for c in forth} == {(c.path, c.effect) for c in back}


@pytest.mark.slow
@given(st.text(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    for name in ("x.md", "x.yaml"):
        try:
            c = parse_text(text, name)
        except ConstitutionError as error:
            assert re.match(r"x\.(md|yaml):\d+: ", str(error))
        else:
            assert parse_text(text, name).hash == c.hash


markdown_noise = st.lists(
    st.sampled_from(
        ["## A", "## B", "### Critique Template", "- x", "  - y", "1. z", "1) q", "E1. d", "", "", "```", "> b", "    c", "a|b", "-|-", "***"]
    ),
    max_size=25,
).map(lambda lines: "# T\n\n## First\n\nw\n\n" + "\n".join(lines))  # fmt: skip


@pytest.mark.slow
@given(markdown_noise)
@settings(max_examples=200, deadline=None)
def test_whatever_loads_can_be_written_and_read_back(text: str) -> None:
    try:
        c = parse_text(text, "x.md")
    except ConstitutionError:
        return
    assert parse_text(render(c), "again.md").hash == c.hash


@pytest.mark.parametrize(
    ("one", "other", "text"),
    [
        ("a.yaml", "b.yml", "max_leverage: 2.0\nmin_positions: 5\n"),
        ("a.txt", "b.md", "Tell the truth.\nDo no harm.\n"),
        ("a.md", "b.md", "## Care\nBe kind.\n"),
        ("a.md", "b.md", "---\nsolon: 1\nlimits: {max_leverage: 2}\n---\n## Care\nBe kind.\n"),
    ],
)
def test_a_file_of_another_name_is_the_same_constitution(one: str, other: str, text: str) -> None:
    """Without a title the file's name stands in for it, but is no part of the identity."""
    first, second = parse_text(text, one), parse_text(text, other)
    assert (first.id, second.id) == ("a", "b")
    assert first.hash == second.hash and diff(first, second) == []
    assert parse_text(render(first), "again.md").hash == first.hash
    named = first.model_copy(update={"borrowed": ()})
    assert named.hash != first.hash, "a name of its own does count"
