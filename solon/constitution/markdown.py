"""The body of a Markdown constitution: headings into sections, sections into principles.

CommonMark (0.31) read with markdown-it-py, with link definitions and indented code switched off: both would let words of a
constitution disappear or change by indentation alone. Within a paragraph blanks and line breaks are one blank; lists, fenced
blocks, tables and quotations keep their lines; comments (`<!-- … -->`) are no part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from markdown_it import MarkdownIt
from markdown_it.token import Token

from solon.constitution.canonical import normal_text
from solon.constitution.tree import Reader

PARSER = MarkdownIt("commonmark").disable(["reference", "code"]).enable("table")
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NAMED = re.compile(r"^(.*?)\s*\{#([^}\s]*)\}$")


@dataclass(frozen=True)
class Block:
    """A paragraph, list item or other block. `lines` are a paragraph's lines before they are joined; `at` is the file's line."""

    kind: str  # paragraph, bullet, numbered, fence, raw
    text: str
    at: int
    lines: tuple[str, ...] = ()
    info: str = ""

    @property
    def written(self) -> str:
        """The block as Markdown."""
        if self.kind == "bullet":
            return "- " + self.text.replace("\n", "\n  ")
        if self.kind == "numbered":
            return f"{self.info}. " + self.text.replace("\n", "\n" + " " * (len(self.info) + 2))
        return self.text


@dataclass
class Section:
    """A heading and what stands under it up to the next heading of level 3 or less. Level 0 precedes the first heading."""

    level: int
    title: str
    name: str  # from {#name}, else empty
    at: int
    blocks: list[Block] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All blocks as Markdown: list items of one list on neighbouring lines, everything else one blank line apart."""
        return join(self.blocks)


def join(blocks: list[Block]) -> str:
    """Blocks as Markdown that reads back as the same blocks; neighbouring numbered items count on from the first."""
    text, before = "", None
    for block in blocks:
        same_list = before is not None and block.kind == before.kind and block.kind in ("bullet", "numbered")
        if same_list and before is not None and block.kind == "numbered":
            block = replace(block, info=str(int(before.info) + 1))
        text += ("\n" if same_list else "\n\n" if before else "") + block.written
        before = block
    return text


def normalised(text: str) -> str | None:
    """A text as a section of Markdown would hold it, or None when it holds a heading of level 1 to 3."""
    found = sections(Reader("text"), normal_text(text))
    return found[0].text if len(found) == 1 else None


def one_line(text: str) -> str:
    """Without comments; each run of blanks and line breaks as one blank."""
    return " ".join(COMMENT.sub(" ", text).split())


def sections(reader: Reader, text: str) -> list[Section]:
    """The sections of a body whose first line is the file's line `reader.first`."""
    tokens = PARSER.parse(text)
    lines = text.split("\n")
    found = [Section(0, "", "", reader.first)]
    index = 0
    while index < len(tokens):
        token = tokens[index]
        end = _end(tokens, index)
        if token.type == "heading_open" and int(token.tag[1]) <= 3:
            found.append(_heading(token, tokens[index + 1], reader.first))
        else:
            found[-1].blocks += _blocks(reader, tokens[index:end], lines)
        index = end
    return found


def _heading(token: Token, inline: Token, first: int) -> Section:
    title, name = one_line(inline.content), ""
    if found := NAMED.match(title):
        title, name = found[1], found[2]
    return Section(int(token.tag[1]), title, name, first + (token.map or [0])[0])


def _end(tokens: list[Token], index: int) -> int:
    """The index after the block that begins at `index`."""
    depth = 0
    while True:
        depth += tokens[index].nesting
        index += 1
        if depth == 0:
            return index


def _blocks(reader: Reader, tokens: list[Token], lines: list[str]) -> Iterator[Block]:
    """The blocks of one top-level token group."""
    token = tokens[0]
    start, stop = token.map or [0, 0]
    at = reader.first + start
    if token.type == "paragraph_open":
        content = COMMENT.sub(" ", tokens[1].content)
        if content.strip():
            yield Block("paragraph", one_line(content), at, tuple(content.split("\n")))
    elif token.type in ("bullet_list_open", "ordered_list_open"):
        yield from _list(tokens, lines, reader.first)
    elif token.type == "fence":
        if stop - start < 2 or not lines[stop - 1].strip().startswith(token.markup):
            # CommonMark would take the rest of the file, principles and all, for code
            reader.refuse(
                at, token.markup, "a closing line of the same", "the end of the file", f"close the block with {token.markup}"
            )
        raw = "\n".join(lines[start:stop])
        yield Block("fence", normal_text(raw), at, tuple(token.content.split("\n")), token.info.strip())
    elif token.type == "html_block" and not COMMENT.sub("", token.content).strip():
        return
    else:
        yield Block("raw", normal_text("\n".join(lines[start:stop])), at)


def _list(tokens: list[Token], lines: list[str], first: int) -> Iterator[Block]:
    """One block for each item: simple items (one paragraph) on one line, others with their lines kept."""
    kind = "bullet" if tokens[0].type == "bullet_list_open" else "numbered"
    index, number = 1, int(tokens[0].attrGet("start") or 1)
    while index < len(tokens) - 1:
        end = _end(tokens, index)
        item = tokens[index:end]
        start, stop = item[0].map or [0, 0]
        inner = [t for t in item if t.level == item[0].level + 1 and t.nesting >= 0]
        if len(inner) == 1 and inner[0].type == "paragraph_open":
            content = COMMENT.sub(" ", next(t.content for t in item if t.type == "inline"))
            yield Block(kind, one_line(content), first + start, tuple(content.split("\n")), str(number))
        elif inner:
            yield Block(kind, _item_text(lines[start:stop]), first + start, (), str(number))
        number += 1
        index = end


def _item_text(lines: list[str]) -> str:
    """A list item of several blocks, without its marker and indentation."""
    head = re.match(r"\s*(?:[-*+]|\d+[.)])\s+", lines[0])
    width = len(head[0]) if head else 0
    rest = [line[min(width, len(line) - len(line.lstrip())) :] for line in lines[1:]]
    return normal_text("\n".join([lines[0][width:], *rest]))
