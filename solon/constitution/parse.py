"""Read a constitution: a library name, a Markdown file, a YAML file.

front matter + Markdown      `---`, YAML, `---`, then `# title`, `## principle`, `### Critique Template`, …
Markdown alone               the same body; or `## Meta principles` and principles with numbered directives (E1., ND2., …)
plain lines                  no front matter and no heading: each line is a principle, at most 50
YAML                         limits without words; law lists; or a foreign file that carries limits (see foreign.py)
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml.nodes import Node, ScalarNode

from solon.constitution.draft import ID, LANGUAGE, Draft
from solon.constitution.foreign import META, is_own, read_blocks
from solon.constitution.lint import lint, refuse_disorder
from solon.constitution.markdown import one_line, sections
from solon.constitution.principles import Words, from_lines, from_sections, from_yaml, prose, slug
from solon.constitution.tree import Reader
from solon.constitution.types import Constitution, Precedence, Principle
from solon.errors import ConstitutionError, nearest

LIBRARY = Path(__file__).parent / "library"
MAX_BYTES = 2**20
YAML_SUFFIXES = (".yaml", ".yml", ".json")
TEXT_SUFFIXES = (".md", ".markdown", ".txt", "")


def library_names() -> tuple[str, ...]:
    """Names of the constitutions that ship with the package."""
    return tuple(sorted(path.stem for path in LIBRARY.iterdir() if path.suffix in (".md", ".yaml")))


def load(spec: str | Path) -> Constitution:
    """The constitution of that library name or path.

    A library name wins over a file of the same name; write `./name` for the file.

    Raises:
        ConstitutionError: no such file, not readable as text, or refused (the message names file, line and key).
    """
    path = source_file(spec)
    in_library = path.parent == LIBRARY
    return parse_text(_read(path), path.name if in_library else str(spec), source=str(spec))


def source_file(spec: str | Path) -> Path:
    """The file of that library name or path; whether it is there, `load` says."""
    if isinstance(spec, str) and spec in library_names():
        return next(p for p in LIBRARY.iterdir() if p.stem == spec)
    return Path(spec)


def _read(path: Path) -> str:
    """A file's text.

    Raises:
        ConstitutionError: missing, a folder, larger than 1 MiB, or not UTF-8.
    """
    try:
        if path.is_dir():
            raise ConstitutionError(f"{path}: expected a constitution file, got a folder", mend="name a .md or .yaml file in it")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConstitutionError(f"{path}: expected at most {MAX_BYTES} bytes, got {size}", mend="is it the right file?")
        data = path.read_bytes()
    except FileNotFoundError:
        names = library_names()
        mend = nearest(str(path), names) or f"library: {', '.join(names)}"
        raise ConstitutionError(f"{path}: expected a library name or a file, got neither", mend=mend) from None
    except OSError as error:
        raise ConstitutionError(f"{path}: expected a readable file, got {error.strerror}", mend="check its permissions") from None
    return _decode(data, path)


def _decode(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = f"{path}:{line}: text: expected UTF-8, got byte 0x{data[error.start]:02x} at offset {error.start}"
        raise ConstitutionError(what, mend="save the file as UTF-8") from None


def parse_text(text: str, name: str, *, source: str = "") -> Constitution:
    """The constitution that a text is; the suffix of `name` tells YAML from Markdown.

    Raises:
        ConstitutionError: empty or refused.
    """
    text = _lines_as_lf(text.removeprefix("\ufeff"))
    reader = Reader(name)
    if "\x00" in text:
        reader.refuse(text[: text.index("\x00")].count("\n") + 1, "text", "text", "a NUL byte", "is it the right file?")
    if not text.strip():
        reader.refuse(1, "text", "a constitution", "an empty file", "start from `solon init` or a library constitution")
    suffix = Path(name).suffix.lower()
    if suffix in YAML_SUFFIXES:
        document = _from_yaml(reader, text)
    elif suffix in TEXT_SUFFIXES:
        document = _from_markdown(reader, text)
    else:
        reader.refuse(1, "file", "a .md, .txt, .yaml, .yml or .json file", suffix, "rename it")
    return _assemble(document, source or name)


def _lines_as_lf(text: str) -> str:
    """NFC with line ends as LF; nothing else, so that line numbers stay true."""
    return re.sub(r"\r\n?", "\n", unicodedata.normalize("NFC", text))


@dataclass
class Document:
    """A file once read: numbers in `draft`, words in `words`, the top-level values that are neither in `top`."""

    draft: Draft
    words: Words
    top: dict[str, tuple[Node, Node]]


def _from_yaml(reader: Reader, text: str) -> Document:
    root = reader.compose(text)
    if root is None:
        reader.refuse(1, "yaml", "a mapping", "nothing", "start from `solon init` or a library constitution")
    draft, words = Draft(reader), Words()
    top = read_blocks(draft, root, front_matter=False)
    own = is_own(set(top), front_matter=False)
    for key in ("laws", "principles") if own else ("laws",):
        if key in top:
            words.principles += from_yaml(reader, top[key][1], key)
    if own and "meta_principles" in top:
        words.meta_principles = tuple(one_line(t) for t in reader.texts(top["meta_principles"][1], "meta_principles"))
    if not (words.principles or draft.limits or draft.domains or draft.gates or draft.escalation or draft.voters):
        found = ", ".join(list(top)[:8])
        mend = "limits stand at the top level, in their groups, or under constitutional_constraints:"
        reader.refuse(1, "top level", "limits, laws, domains or gates", f"none among: {found}", mend)
    return Document(draft, words, {k: v for k, v in top.items() if own and k in META})


def _from_markdown(reader: Reader, text: str) -> Document:
    draft = Draft(reader)
    top: dict[str, tuple[Node, Node]] = {}
    body, first, fronted = text, 1, False
    lines = text.split("\n")
    if lines[0].rstrip() == "---":
        end = next((i for i, line in enumerate(lines[1:], 1) if line.rstrip() in ("---", "...")), None)
        if end is None:
            reader.refuse(1, "front matter", "a closing --- line", "the end of the file", "end the front matter with ---")
        front = Reader(reader.name, 2)
        draft.reader, fronted = front, True
        root = front.compose("\n".join(lines[1:end]))
        top = read_blocks(draft, root, front_matter=True) if root is not None else {}
        body, first = "\n".join(lines[end + 1 :]), end + 2
    inner = Reader(reader.name, first)
    found = sections(inner, body)
    if len(found) == 1 and not fronted:
        return Document(draft, from_lines(inner, body), top)
    return Document(draft, from_sections(inner, found), top)


def _assemble(document: Document, source: str) -> Constitution:
    """Fill the record, then check what concerns several parts at once."""
    draft, words = document.draft, document.words
    reader, given = draft.reader, _meta(document)
    refuse_disorder(draft.limits, lambda key, expected, got, mend: reader.refuse(draft.at[key], key, expected, got, mend))
    own_title = given.pop("title", "") or words.title
    title = own_title or _title_of(source)
    borrowed: list[Literal["id", "title"]] = [] if given.get("id") or slug(own_title) else ["id"]
    borrowed += [] if own_title else ["title"]
    precedence = given.pop("precedence", "") or _precedence(words.principles)
    constitution = Constitution(
        id=given.pop("id", "") or slug(title) or slug(_title_of(source)) or "constitution",
        title=title,
        precedence=precedence,
        preamble="\n\n".join(filter(None, (given.pop("preamble", ""), words.preamble))),
        meta_principles=words.meta_principles,
        principles=tuple(sorted(words.principles, key=lambda p: p.rank) if precedence == "ordered" else words.principles),
        limits=tuple(draft.limits.values()),
        gates=tuple(draft.gates),
        domains=tuple(draft.domains.values()),
        escalation=draft.finished_escalation(),
        voters=tuple(draft.voters),
        signatures=tuple(draft.signatures),
        warnings=tuple(draft.warnings + words.warnings),
        ignored=tuple(draft.ignored),
        borrowed=tuple(borrowed),
        source=source,
        places={name: f"{reader.name}:{line}" for name, line in draft.at.items()},
        **given,
    )
    return constitution.model_copy(update={"warnings": tuple(lint(constitution))})


def _precedence(principles: list[Principle]) -> Precedence:
    return "ordered" if principles and all(p.kind == "law" for p in principles) else "weighed"


def _title_of(source: str) -> str:
    return Path(source).stem.replace("-", " ").replace("_", " ").strip().capitalize() or "Constitution"


def _meta(document: Document) -> dict[str, Any]:
    """solon, id, version, title, language, precedence, preamble of a constitution of ours."""
    reader = document.draft.reader
    given: dict[str, Any] = {}
    for name, (_, node) in document.top.items():
        if name == "solon":
            if not isinstance(node, ScalarNode) or node.value != "1":
                reader.refuse(node, name, "1 (the format's version)", reader.got(node), "this program reads format 1")
        elif name == "id":
            given[name] = document.draft.identifier(node, name)
        elif name == "version":
            given[name] = reader.count(node, name, 1)
        elif name == "language":
            given[name] = _language(reader, node)
        elif name == "precedence":
            given[name] = reader.word(node, name, ("ordered", "weighed"))
        elif name in ("title", "preamble"):
            given[name] = one_line(reader.text(node, name)) if name == "title" else prose(reader, node, name)
    _same_title(document, given.get("title", ""))
    return given


def _same_title(document: Document, title: str) -> None:
    if title and document.words.title and title != document.words.title:
        document.words.warnings.append(f"the front matter's title {title!r} is used, not the heading {document.words.title!r}")


def _language(reader: Reader, node: Node) -> str:
    value = reader.text(node, "language")
    if not LANGUAGE.match(value) or not ID.match(value.lower()):
        reader.refuse(node, "language", "a language tag such as en or fr-CA (BCP 47)", repr(value))
    return value
