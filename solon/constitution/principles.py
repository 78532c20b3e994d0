"""Principles from the sections of a Markdown body, from law lists in YAML, and from plain lines."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from solon.constitution.draft import ID
from solon.constitution.markdown import Block, Section, join, normalised, one_line
from solon.constitution.synthesis import completed
from solon.constitution.tree import Reader
from solon.constitution.types import Directive, ExampleConversation, HardRule, Principle, PrincipleKind
from solon.errors import nearest

MAX_LINES = 50
LAW = re.compile(r"law\s+(\d{1,3})\b", re.IGNORECASE)
LAW_LINE = re.compile(r"\**law\s+\d{1,3}\s*(?:\([^)]*\)\s*)?\**\s*[:.)–—-]", re.IGNORECASE)
DIRECTIVE = re.compile(  # E1. text, E1) text, E1 – text, **E1** text, **E1:** text; each perhaps after a list's own number
    r"(?:\d{1,3}[.)]\s+)?(?:\*{1,2}(?P<bold>[A-Z]{1,4}\d{1,3})[.:)]?\*{1,2}\s*[.:)–—-]?"
    r"|(?P<plain>[A-Z]{1,4}\d{1,3})(?:\s*[.:)]|\s+[–—-]))\s+(?P<text>\S.*)"
)
SPEAKER = re.compile(r"\**\s*(user|human|assistant|critique|revision)\s*\**\s*:\**\s*(.*)", re.IGNORECASE | re.DOTALL)
SPEAKERS = ("user", "assistant", "critique", "revision")
MARKER = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)])\s+")
# One idea under several names, as the published variants call it. The first is the id.
KNOWN_ALIASES: tuple[tuple[str, ...], ...] = (
    ("emptiness",),
    ("non-duality", "nonduality"),
    ("boundless-care", "boundless-compassion", "non-referential-compassion", "compassion"),
    ("mindfulness",),
)
PARTS = {
    "critique template": "critique_template",
    "revision guideline": "revision_guideline",
    "revision guidelines": "revision_guideline",
    "example application": "applications",
    "example applications": "applications",
    "applications": "applications",
    "example conversation": "examples",
    "example conversations": "examples",
    "directives": "directives",
    "hard rules": "hard_rules",
    "aliases": "aliases",
}
META = re.compile(r"meta[- ]?principles?", re.IGNORECASE)
PREAMBLE = ("preamble", "introduction", "overview")


def slug(title: str) -> str:
    """A title as an id: "Law 0: Preserve civilisation" -> law-0, "Emptiness Principle" -> emptiness."""
    if found := LAW.match(title):
        return f"law-{int(found[1])}"
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    if len(words) > 1 and words[-1] == "principle":
        words.pop()
    if len(words) > 2 and words[:2] == ["principle", "of"]:
        words = words[2:]
    return "-".join(words)[:60].strip("-")


def known_aliases(name: str) -> tuple[str, tuple[str, ...]]:
    """The id under which an idea is known, and its other names."""
    for names in KNOWN_ALIASES:
        if name in names:
            return names[0], names[1:]
    return name, ()


@dataclass
class Words:
    """What the body of a document says."""

    title: str = ""
    preamble: str = ""
    meta_principles: tuple[str, ...] = ()
    principles: list[Principle] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def from_sections(reader: Reader, found: Sequence[Section]) -> Words:
    """Title, preamble, meta-principles and principles of a Markdown body.

    Raises:
        ConstitutionError: a heading that has no place, an unknown part of a principle, a part twice, a malformed part.
    """
    words = Words()
    preamble = [found[0].text] if found[0].blocks else []
    index = 1
    while index < len(found):
        section, parts = found[index], []
        while index + 1 < len(found) and found[index + 1].level == 3 and section.level == 2:
            index += 1
            parts.append(found[index])
        index += 1
        if section.level == 1:
            if words.title:
                reader.refuse(section.at, section.title, "one # title", "a second", "use ## for principles")
            words.title = section.title
            blocks, laws = _law_list(section.blocks)
            words.principles += [_law_item(reader, block, len(words.principles) + i) for i, block in enumerate(laws)]
            preamble += [join(blocks)] if blocks else []
        elif section.level == 3:
            reader.refuse(section.at, section.title, "a ## principle above it", "none", "a ### part belongs to a ## principle")
        elif not section.name and (META.fullmatch(section.title) or section.title.lower() in PREAMBLE):
            _only_text(reader, section, parts)
            if META.fullmatch(section.title):
                words.meta_principles += tuple(b.text if b.kind == "bullet" else b.written for b in section.blocks)
            else:
                preamble.append(section.text)
        else:
            words.principles.append(_principle(reader, section, parts, len(words.principles), words.warnings))
    words.preamble = "\n\n".join(preamble)
    _check_ids(reader, words.principles, found)
    return words


def _only_text(reader: Reader, section: Section, parts: list[Section]) -> None:
    if parts:
        reader.refuse(parts[0].at, parts[0].title, f"text only under {section.title!r}", "a ### part", "use #### or a list")


def _law_list(blocks: list[Block]) -> tuple[list[Block], list[Block]]:
    """List items and paragraphs that begin with "Law N:", apart from the rest."""
    laws = [b for b in blocks if b.kind in ("bullet", "numbered", "paragraph") and LAW_LINE.match(b.text)]
    single = [Block("paragraph", line, b.at + i) for b in laws for i, line in enumerate(_cut(b, LAW_LINE))]
    return [b for b in blocks if b not in laws], single


def _cut(block: Block, begins: re.Pattern[str]) -> list[str]:
    """A block cut before each line that begins a law or directive, each part on one line."""
    parts: list[str] = []
    for line in block.lines or (block.text,):
        if parts and not begins.match(line.strip()):
            parts[-1] += " " + line
        else:
            parts.append(line)
    return [one_line(part) for part in parts]


def _law_item(reader: Reader, block: Block, rank: int) -> Principle:
    title, text = split_line(block.text)
    return completed(_make(reader, block.at, title, "", rank, {"text": text}))


def _principle(reader: Reader, section: Section, parts: list[Section], rank: int, warnings: list[str]) -> Principle:
    given: dict[str, Any] = {}
    text, directives = _directives(section.blocks)
    given["text"], given["directives"] = join(text), tuple(directives)
    for part in parts:
        name = PARTS.get(re.sub(r"\s+\d+$", "", part.title.lower()).rstrip(":"))
        if name is None:
            reader.refuse(part.at, part.title, "a known part of a principle", repr(part.title), _part_mend(part.title))
        if name != "examples" and given.get(name):
            reader.refuse(part.at, part.title, "each part of a principle once", "a second one", "put the two together")
        if name == "examples":
            given[name] = given.get(name, ()) + _examples(reader, part)
        else:
            given[name] = _part(reader, name, part, section.title)
    principle = _make(reader, section.at, section.title, section.name, rank, given)
    if repeated := _repeated([d.id for d in principle.directives]):
        reader.refuse(section.at, section.title, "each directive once", f"{repeated} twice", "number them apart")
    done = completed(principle)
    if done.synthesised and not principle.directives:
        missing = " and ".join(name.replace("_", " ") for name in done.synthesised)
        warnings.append(f"{done.id}: no {missing} given; written from the principle's own words")
    return done


def _part_mend(title: str) -> str:
    known = [name.title() for name in PARTS]
    return nearest(title.title(), known) or f"known: {', '.join(known)}; for a heading of your own use ####"


def _part(reader: Reader, name: str, part: Section, owner: str) -> Any:
    """The value of a part other than example conversations."""
    if name in ("critique_template", "revision_guideline"):
        if not part.text:
            reader.refuse(part.at, part.title, "text", "nothing", "write it, or delete the heading to have it written for you")
        return part.text
    if name == "directives":
        rest, directives = _directives(part.blocks)
        initials = "".join(word[0] for word in re.findall(r"[A-Za-z]+", owner)).upper()[:4] or "D"
        numbered = enumerate(rest, len(directives) + 1)
        return (*directives, *(Directive(id=f"{initials}{i}", text=b.text) for i, b in numbered))
    if name == "hard_rules":
        return _hard_rules(reader, part)
    return tuple(slug(b.text) if name == "aliases" else b.text if b.kind == "bullet" else b.written for b in part.blocks)


def _directives(blocks: list[Block]) -> tuple[list[Block], list[Directive]]:
    """Numbered directives (E1., ND2:, **BC3.**) among the blocks, and the other blocks."""
    rest: list[Block] = []
    directives: list[Directive] = []
    for block in blocks:
        if block.kind not in ("paragraph", "bullet", "numbered") or not DIRECTIVE.match(block.text):
            rest.append(block)
            continue
        for line in _cut(block, DIRECTIVE):
            if found := DIRECTIVE.match(line):
                directives.append(Directive(id=found["bold"] or found["plain"], text=found["text"]))
            else:  # a number with no text of its own, followed by the next number
                rest.append(Block("paragraph", line, block.at))
    return rest, directives


@dataclass
class Turn:
    """One turn of an example conversation while it is read."""

    speaker: str
    at: int
    blocks: list[Block]


def _examples(reader: Reader, part: Section) -> tuple[ExampleConversation, ...]:
    """User / Assistant / Critique / Revision, in this order, once or several times."""
    turns: list[Turn] = []
    for block in part.blocks:
        if block.kind == "fence" or not SPEAKER.match(block.text):
            if not turns:
                reader.refuse(block.at, part.title, "a line User: …", repr(block.text[:40]), "begin with **User**: …")
            turns[-1].blocks.append(block)
            continue
        for offset, line in enumerate(block.lines or (block.text,)):
            if found := SPEAKER.match(line.strip()):
                speaker = found[1].lower().replace("human", "user")
                turns.append(Turn(speaker, block.at + offset, [Block("paragraph", one_line(found[2]), block.at)]))
            else:
                said = turns[-1].blocks[-1]
                turns[-1].blocks[-1] = replace(said, text=one_line(f"{said.text} {line}"))
    texts = [join([b for b in turn.blocks if b.text]) for turn in turns]
    _check_turns(reader, part, turns, texts)
    fours = [texts[i : i + 4] for i in range(0, len(texts), 4)]
    return tuple(ExampleConversation(**dict(zip(SPEAKERS, four, strict=True))) for four in fours)


def _check_turns(reader: Reader, part: Section, turns: list[Turn], texts: list[str]) -> None:
    for index, (turn, text) in enumerate(zip(turns, texts, strict=True)):
        wanted = SPEAKERS[index % 4]
        if turn.speaker != wanted:
            mend = "order: User, Assistant, Critique, Revision"
            reader.refuse(turn.at, part.title, f"{wanted.title()}: …", f"{turn.speaker.title()}: …", mend)
        if not text:
            reader.refuse(turn.at, part.title, f"text after {turn.speaker.title()}:", "nothing")
    if not turns or len(turns) % 4:
        missing = f"{SPEAKERS[len(turns) % 4].title()}: …"
        at = turns[-1].at if turns else part.at
        reader.refuse(at, part.title, f"a line {missing}", "the end of the section", f"add {missing}")


def _hard_rules(reader: Reader, part: Section) -> tuple[HardRule, ...]:
    """A fenced YAML list of rules: id, outcome, text, acts, objects, unless."""
    fences = [b for b in part.blocks if b.kind == "fence"]
    if len(fences) != 1 or len(part.blocks) != 1:
        mend = "put the rules between ```yaml and ```"
        reader.refuse(part.at, part.title, "one fenced yaml block", f"{len(part.blocks)} blocks", mend)
    inner = Reader(reader.name, fences[0].at + 1)
    root = inner.compose("\n".join(fences[0].lines))
    if root is None:
        inner.refuse(part.at, part.title, "a list of rules", "nothing")
    return read_rules(inner, root)


def read_rules(reader: Reader, root: Node) -> tuple[HardRule, ...]:
    """A YAML list of hard rules."""
    rules = []
    for item in reader.items(root, "hard rules"):
        fields = reader.fields(item, "hard rule", tuple(HardRule.model_fields), ("id", "acts"))
        given: dict[str, Any] = {"id": reader.text(fields["id"], "id")}
        if not ID.match(given["id"]):
            reader.refuse(fields["id"], "id", "a name in lower case", repr(given["id"]))
        if "text" in fields:
            given["text"] = one_line(reader.text(fields["text"], "text"))
        if "outcome" in fields:
            given["outcome"] = reader.word(fields["outcome"], "outcome", ("refuse", "redirect", "ask_clarification"))
        for name in ("acts", "objects", "unless"):
            if name in fields:
                given[name] = _phrases(reader, fields[name], name)
        if not given["acts"]:
            reader.refuse(fields["acts"], "acts", "at least one phrase", "none")
        rules.append(HardRule(**given))
    if repeated := _repeated([rule.id for rule in rules]):
        reader.refuse(root, "hard rules", "each id once", f"{repeated} twice")
    return tuple(rules)


def _phrases(reader: Reader, node: Node, key: str) -> tuple[str, ...]:
    phrases = tuple(one_line(p) for p in reader.texts(node, key))
    for phrase in phrases:
        if phrase != phrase.lower():
            reader.refuse(node, key, "phrases in lower case", repr(phrase))
    return phrases


def _make(reader: Reader, at: int, title: str, name: str, rank: int, given: dict[str, Any]) -> Principle:
    if not title:
        reader.refuse(at, "principle", "a title", "nothing", "write one after ##")
    if name and not ID.match(name):
        reader.refuse(at, title, "an id in lower case after #", repr(name))
    own, aliases = (name, ()) if name else known_aliases(slug(title) or f"principle-{rank}")
    law = LAW.match(title)
    aliases = tuple(dict.fromkeys((*given.pop("aliases", ()), *aliases)))
    kind: PrincipleKind = "law" if law else "principle"
    return Principle(id=own, title=title, rank=int(law[1]) if law else rank, kind=kind, aliases=aliases, **given)


def _repeated(names: list[str]) -> str:
    return next((n for i, n in enumerate(names) if n in names[:i]), "")


def _check_ids(reader: Reader, principles: list[Principle], found: Sequence[Section]) -> None:
    names: dict[str, str] = {}
    for principle in principles:
        for name in (principle.id, *principle.aliases):
            if name in names:
                at = next((s.at for s in reversed(found) if s.title == principle.title), reader.first)
                mend = "they name one idea; merge them, or give one its own id: ## Title {#id}"
                reader.refuse(at, principle.title, "each principle once", f"{name!r} again (as {names[name]!r})", mend)
            names[name] = principle.title
    rules = _repeated([rule.id for p in principles for rule in p.hard_rules])
    directives = _repeated([d.id for p in principles for d in p.directives])
    if repeated := rules or directives:
        reader.refuse(reader.first, repeated, "each id of a rule or directive once", "it in two principles", "rename one")


def split_line(text: str) -> tuple[str, str]:
    """A plain line as title and text: up to its colon if that comes early, else its first words."""
    text = text.replace("**", "")
    if law := re.match(r"(law\s+\d{1,3}\s*(?:\([^)]*\))?)\s*[:.)–—-]\s*(.+)", text, re.IGNORECASE):
        head, _, tail = law[2].partition(". ")
        title = f"{law[1].strip()}: {head.rstrip('.')}"
        return title, tail.strip() or text
    if found := re.match(r"([^:.]{1,60}):\s+(\S.*)", text):
        return found[1].strip(), found[2]
    title = text.rstrip(".")
    if len(title) > 60:
        title = title[:60].rsplit(" ", 1)[0] + "…"
    return title, text


def from_lines(reader: Reader, text: str) -> Words:
    """One principle for each line of a text without headings, at most 50.

    Raises:
        ConstitutionError: more lines than that, or two that say the same.
    """
    words = Words()
    lines = [(n, one_line(MARKER.sub("", line, count=1))) for n, line in enumerate(text.split("\n"), reader.first)]
    lines = [(n, line) for n, line in lines if line]
    if len(lines) > MAX_LINES:
        mend = "write ## before each principle, or a # title if this is no list of principles"
        expected = f"at most {MAX_LINES} lines in a text without headings"
        reader.refuse(lines[MAX_LINES][0], "lines", expected, str(len(lines)), mend)
    for rank, (at, line) in enumerate(lines):
        title, rest = split_line(line)
        principle = _make(reader, at, title, "", rank, {"text": rest})
        if any(p.title == title and p.text == rest for p in words.principles):
            reader.refuse(at, title, "each line once", "it again", "delete one of the two")
        name = _free(principle.id, {p.id for p in words.principles})
        words.principles.append(completed(principle.model_copy(update={"id": name})))
    words.warnings.append(f"no headings: each of the {len(lines)} lines is read as one principle")
    return words


def _free(name: str, taken: set[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free


def from_yaml(reader: Reader, node: Node, key: str) -> list[Principle]:
    """A list of laws or principles: texts, or mappings with title and text; or a mapping from number to title.

    Raises:
        ConstitutionError: as for any block.
    """
    if isinstance(node, MappingNode):
        pairs = [(f"Law {name}" if name.isdigit() else name, value) for name, (_, value) in reader.mapping(node, key).items()]
        made = [_from_pair(reader, title, value, rank) for rank, (title, value) in enumerate(pairs)]
    elif isinstance(node, SequenceNode):
        made = [_from_item(reader, item, key, rank) for rank, item in enumerate(node.value)]
    else:
        reader.refuse(node, key, "a list", reader.got(node))
    _check_ids(reader, made, [])
    return [completed(p) for p in made]


def prose(reader: Reader, node: Node, key: str) -> str:
    """A YAML text in the form that a Markdown section would give it, so that both have one hash."""
    text = normalised(reader.text(node, key))
    if text is None:
        reader.refuse(node, key, "text without headings", "a line that begins with #", "use a Markdown file, or drop the #")
    return text


def _from_pair(reader: Reader, title: str, value: Node, rank: int) -> Principle:
    text = prose(reader, value, title)
    if LAW.fullmatch(title):
        head, _, rest = text.partition(". ")
        return _make(reader, reader.line(value), f"{title}: {head.rstrip('.')}", "", rank, {"text": rest or text})
    return _make(reader, reader.line(value), title, "", rank, {"text": text})


YAML_FIELDS = (
    *("id", "law", "number", "title", "name", "text", "description"),
    *("critique_template", "revision_guideline", "hard_rules"),
)


def _from_item(reader: Reader, item: Node, key: str, rank: int) -> Principle:
    if not isinstance(item, MappingNode):
        title, text = split_line(one_line(reader.text(item, key)))
        if key == "laws" and not LAW.match(title):
            title = f"Law {rank}: {title}"
        return _make(reader, reader.line(item), title, "", rank, {"text": text})
    fields = reader.fields(item, key, YAML_FIELDS)
    title_node = fields.get("title", fields.get("name"))
    if title_node is None:
        reader.refuse(item, key, "a line title: …", ", ".join(fields), "add title")
    title = one_line(reader.text(title_node, "title"))
    number = fields.get("law", fields.get("number"))
    if key == "laws" and not LAW.match(title):
        title = f"Law {reader.count(number, 'law', 0, 999) if number is not None else rank}: {title}"
    given: dict[str, Any] = {}
    for name, node in fields.items():
        if name in ("text", "description"):
            given["text"] = prose(reader, node, name)
        elif name in ("critique_template", "revision_guideline"):
            given[name] = prose(reader, node, name)
        elif name == "hard_rules":
            given[name] = read_rules(reader, node)
    own = reader.text(fields["id"], "id") if "id" in fields and not LAW.match(title) else ""
    return _make(reader, reader.line(item), title, own, rank, given)
