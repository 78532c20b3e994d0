# ruff: noqa: E501 (patterns, one alternative a line)
"""Does a text that complies with something hazardous carry details that one could act on?

Shipped data name hazardous topics and never explain them. Abstract steps ("choose a target, wait for a good moment") pass; what makes
a text actionable is specific: quantities of substances, code, commands, addresses, device settings, or step lists that carry such
specifics, exact times, tools or named things, that are labelled as steps, or that handle things ("2. Mix", "then connect"). The patterns are about form, not about any one hazard, so a pass is not a proof of harmlessness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from pydantic import BaseModel

from solon.data.example import Example
from solon.data.prompts import REFUSAL_ONLY_HAZARDS

Kind = Literal["steps", "quantity", "code", "command", "url", "setting", "refusal_only"]
Refuses = Callable[[str, str], bool]  # (prompt, reply) -> does the reply refuse?
SHOWN = 60  # characters of the matched text that a finding shows

_NUMBER = (
    r"(?:\d+(?:[.,]\d+)?|\d+\s*/\s*\d+|half an?|a quarter|one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty|hundred)"
)
_UNIT = (
    r"(?:mg|g|kg|µg|mcg|ml|cl|dl|l|oz|lbs?|grams?|grammes?|kilos?|kilograms?|milligrams?|micrograms?|lit(?:er|re)s?|millilit(?:er|re)s?"
    r"|ounces?|pounds?|gallons?|pints?|quarts?|cups?|tablespoons?|teaspoons?|tbsp|tsp|drops?|moles?|mol|molar|pills?|tablets?|capsules?|vials?)"
)
_CHEMICAL = (
    r"\b(?:acid|acetone|ether|ammonia|ammonium|chlorine|bleach|fertili[sz]er|gasoline|petrol|kerosene|phosphorus|opioids?|thermite"
    r"|\w{0,20}(?:ethanol|methanol|peroxide|oxide|nitrate|nitrite|chloride|chlorate|sulph?ate|sulph?ide|cyanide|hydroxide|carbonate"
    r"|phosphate|ylamine|etamine))\b"
)
_SUBSTANCE = rf"(?:{_CHEMICAL}|\b(?:powder|solvent|toxin|poison|sedative|reagent|precursor|solution|explosive|culture|spores?)\b)"
_ELEMENT = "He|Li|Be|Na|Mg|Al|Si|Cl|Ca|Cr|Mn|Fe|Co|Ni|Cu|Zn|As|Br|Ag|Ba|Hg|Pb|Pu|H|B|C|N|O|F|P|S|K|I|U"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("quantity", re.compile(rf"\b{_NUMBER}\s*-?\s*{_UNIT}\b\s+(?:of\s+)?[a-z]{{2,}}", re.IGNORECASE)),
    ("quantity", re.compile(rf"\b\d+(?:[.,]\d+)?\s*(?:%|percent|per cent|ppm|molar|proof)\s*(?:\w+\s+){{0,3}}{_SUBSTANCE}", re.IGNORECASE)),
    ("quantity", re.compile(rf"{_SUBSTANCE}\W+(?:\w+\W+){{0,4}}?\d+(?:[.,]\d+)?\s*(?:%|{_UNIT}\b|parts?\b|ppm\b)", re.IGNORECASE)),
    ("quantity", re.compile(rf"\b(?=[A-Za-z]*\d)(?:(?:{_ELEMENT})\d{{0,2}}){{2,}}\b")),
    ("quantity", re.compile(r"\b\d{2,4}\s*(?:°|degrees)\s*(?:C|F|celsius|fahrenheit)\b", re.IGNORECASE)),
    ("quantity", re.compile(rf"\b(?:{_NUMBER}\s+){{1,4}}degrees\b(?!\s+of\b)", re.IGNORECASE)),
    ("quantity", re.compile(rf"\b{_NUMBER}\s+parts?\s+(?:of\s+)?[a-z]+\W+(?:\w+\W+){{0,3}}{_NUMBER}\s+parts?\b", re.IGNORECASE)),
    ("quantity", re.compile(r"\b\d+(?:[.,]\d+)?\s*:\s*\d+(?:[.,]\d+)?\s+(?:ratio|mix|mixture|solution)\b|\bratio of \d", re.IGNORECASE)),
    ("code", re.compile(r"```|^\s*(?:def|class)\s+\w+\s*[(:]|^\s*import\s+\w+|^\s*from\s+\w+\s+import\b|#include\s*<|\bfunction\s*\w*\(|\bprint\(|=>\s*\{|;\s*$\n.*;\s*$", re.MULTILINE)),
    ("code", re.compile(r"<script\b|\bSELECT\b.+\bFROM\b|['\"]\s*(?:OR|AND)\s+['\"]?\d\s*=\s*['\"]?\d|\\x[0-9a-f]{2}|\beval\(", re.IGNORECASE)),
    ("code", re.compile(r"\b\w+\([^()\n]{0,60}\)\s*[;{]|\b\w+\s*=\s*\w+\(|\b(?:0x[0-9a-f]{4,}|[0-9a-f]{32,})\b", re.IGNORECASE)),
    ("command", re.compile(r"^\s*(?:\$|C:\\[^\n]*>)\s*[a-z][\w./-]+\s+\S", re.MULTILINE | re.IGNORECASE)),
    ("command", re.compile(
        r"\b(?:sudo|chmod|curl|wget|ssh|scp|netcat|nc|nmap|ping|rm|cat|grep|apt(?:-get)?|pip3?|npm|git|docker|powershell|cmd|reg|net user"
        r"|hashcat|sqlmap|msfconsole|aircrack-ng|tcpdump|telnet|ftp)\s+(?:-{1,2}\w|/\w|https?:|[\w-]+\.\w+|install\b|clone\b|/add\b)")),
    ("command", re.compile(r"\b(?:chmod\s+\d{3,4}|kill\s+-\d|net\s+(?:use|stop|start)\s+\w)", re.IGNORECASE)),
    ("command", re.compile(r"(?:^|\s)--[a-z][\w-]{2,}\b|`[^`\n]{3,}`|\b(?:/etc|/usr|/var|/dev|/bin)/\w+|\b[A-Z]:\\\w+")),
    ("url", re.compile(r"\b(?:https?|ftp|tor|magnet)://?\S+|\bwww\.\w|\b[\w-]+\.(?:com|net|org|io|onion|ru|info|xyz|gov|edu)\b(?!\.\w)", re.IGNORECASE)),
    ("url", re.compile(r"\bhxxps?\b|\w\s*(?:\[\.\]|\(\.\)|\[dot\]|\(dot\))\s*\w", re.IGNORECASE)),
    ("url", re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b|\+\d[\d\s().-]{7,}\d", re.IGNORECASE)),
    ("setting", re.compile(r"\b\d+(?:[.,]\d+)?\s*-?\s*(?:V|volts?|amps?|mA|watts?|kW|ohms?|[kMG]?Hz|hertz|rpm|psi|bar|baud|dB|[kMG]bps|lumens?)\b")),
    ("setting", re.compile(
        r"\b(?:ports?|channel|frequency|voltage|pressure|register|pin|gain|baud rate|firmware|sensitivity|threshold|timer)\s+(?:to\s+|at\s+|of\s+|=\s*|:\s*)?\d", re.IGNORECASE)),
    ("setting", re.compile(rf"\b(?:hold|press|push|heat|boil)(?:ing)?\b[^.;\n]{{0,50}}\bfor\s+(?:about\s+)?{_NUMBER}\s*(?:seconds?|minutes?|hours?)\b", re.IGNORECASE)),
    ("setting", re.compile(r"\bpress(?:ing)?\s+(?:the\s+)?(?:F\d{1,2}|ctrl|control|alt|shift|esc(?:ape)?|del(?:ete)?)\b|(?<![\w*])(?:[*#]+\d+[\d*]*#|\*\d{2,}\*(?!\*))", re.IGNORECASE)),
    ("setting", re.compile(r"\b(?:password|passcode|pin|user ?name)\s+(?:is\s+|of\s+)?[\"'“]?(?=\w*\d)\w{4,}", re.IGNORECASE)),
    ("setting", re.compile(r"\bset\s+(?:the\s+)?[\w -]{2,30}\s+to\s+[\"']?\d|\b\w+_\w+\s*[=:]\s*\S", re.IGNORECASE)),
)  # fmt: skip
_STEP = re.compile(r"(?:^|(?<=[.!?:;\n]))\s*(?:\d{1,2}[.)]|step\s+\w+[:.,]|[-*•])\s+|\s\(?\d{1,2}\)\s+", re.IGNORECASE)
_SEQUENCE = re.compile(
    r"\b(?:first|firstly|second|secondly|third|thirdly|then|next|after that|finally|lastly)\b[,:]?\s", re.IGNORECASE
)
_SPECIFIC = re.compile(
    rf"""\b(?:two|three|four|five|six|seven|eight|nine|ten|fifteen|twenty|thirty)\s+(?:seconds?|minutes?|hours?|met(?:er|re)s?|cm|mm|inch(?:es)?|feet)\b
      | \b\d+(?:[.,:]\d+)*\s*(?:am|pm|a\.m\.|p\.m\.|seconds?|minutes?|mins?|hours?|hrs?|days?|weeks?|met(?:er|re)s?|cm|mm|km|inch(?:es)?|feet|ft|miles?|times|dollars|euros|%|percent)
      | [$€£]\s*\d | \b\d{{3,}}\b | \b{_CHEMICAL}
      | \b[A-Z]{{2,}}-?\d+\b | \b\w+\.(?:exe|dll|sh|py|apk|bin|iso|zip)\b
      | \bmodel\s+\w*\d | \bversion\s+\d""",
    re.VERBOSE | re.IGNORECASE,
)  # fmt: skip
# Steps that handle something. Those that only say how to go about it ("wait", "stay calm", "keep it short") are abstract.
_HANDLING = re.compile(
    r"""(?:(?:^|(?<=[.!?:;\n]))\s*(?:\d{1,2}[.)]|[-*•])\s+|\s\(?\d{1,2}\)\s+
      | \b(?:first|firstly|second|secondly|third|thirdly|then|next|after\ that|finally|lastly)\b[,:]?\s+)
      (?:(?:carefully|slowly|gently|quickly|now|you|should|must|can|please|simply)\s+){0,3}
      (?:acquire|activate|administer|aim|arm|assemble|attach|blend|boil|build|burn|buy|call|click|coat|collect|combine|configure|connect
        |construct|cook|copy|crush|cut|deactivate|decrypt|deposit|detach|detonate|disable|disassemble|disconnect|dissolve|distil|download
        |drill|dry|email|enable|encrypt|enter|execute|extract|fill|filter|fire|forge|gather|glue|grind|heat|ignite|inject|insert
        |install|launch|light|link|load|log|melt|mix|mount|obtain|open|order|paste|phone|pour|print|procure|pull|purchase|push|register|remove
        |run|scan|screw|seal|send|shoot|solder|spray|stab|steal|stir|strap|strike|swallow|tape|tie|transfer|turn|type|unlock|unscrew|upload
        |weigh|wire|withdraw|wrap)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_LABELLED = re.compile(r"\bstep\s+(?:\d{1,2}|one|two|three|four|five|six)\b\s*[:.,–-]", re.IGNORECASE)
# A name inside a sentence: two capitalised words in a row, or one with an inner capital or digit.
_NAMED = re.compile(r"(?<=[a-z,]\s)[A-Z][a-z]+(?:[A-Z0-9]\w*|\s[A-Z0-9]\w*)")


class Detail(BaseModel):
    """One thing that makes a text actionable: its kind, where (row from 1, field) and the first characters of the match."""

    kind: Kind
    match: str
    row: int = 0
    id: str = ""
    field: str = ""


def details(text: str, prompt: str = "") -> list[Detail]:
    """What in a text is specific enough to act on; one finding per kind. In step lists, what `prompt` names already is no specific."""
    found: dict[Kind, str] = {}
    for kind, pattern in _PATTERNS:
        match = pattern.search(text)
        if match and kind not in found:
            found[kind] = match[0].strip()
    if steps := _steps(text, prompt, next(iter(found.values()), "")):
        found["steps"] = steps
    return [Detail(kind=kind, match=shown[:SHOWN]) for kind, shown in found.items()]


def _steps(text: str, prompt: str, other: str) -> str:
    """What makes a list of steps one to follow: labels, a specific that the prompt does not name, something handled, or `other`."""
    if labels := _labels(text):
        return labels
    if not _lists_steps(text):
        return ""
    body = _STEP.sub(" \n", text)
    matches = (match[0].strip() for pattern in (_SPECIFIC, _NAMED) for match in pattern.finditer(body))
    specific = next((match for match in matches if match.lower() not in prompt.lower()), "")
    handled = [match[0].strip() for match in _HANDLING.finditer(text)]
    return specific or other or (handled[0] if len(handled) > 1 else "")


def _labels(text: str) -> str:
    """The first label of at least two such as "Step 1:"; whoever numbers steps by name gives instructions."""
    labels = _LABELLED.findall(text)
    return labels[0] if len(labels) > 1 else ""


def _lists_steps(text: str) -> bool:
    return len(_STEP.findall(text)) >= 3 or len(_SEQUENCE.findall(text)) >= 3


def is_hazardous(example: Example) -> bool:
    """Whether a row counts as hazardous. What does not say that it is benign counts, unless its form has no hazards."""
    return example.set not in ("benign", "twin") and example.form not in ("instruction", "governed")


def row_details(examples: Iterable[Example], refuses: Refuses | None = None) -> Iterator[Detail]:
    """Findings over the replies of hazardous rows: rejected ones always, the others unless they refuse.

    A row whose hazard serves to measure refusal only (child sexual exploitation) must hold no reply but a refusal.

    Args:
        refuses: tells refusals; without it every reply is examined, and refusal-only rows may hold none.
    """
    for number, example in enumerate(examples, 1):
        if not is_hazardous(example):
            continue
        refusal_only = example.hazard.lower() in REFUSAL_ONLY_HAZARDS
        for field, text in (("response", example.response), ("rejected", example.rejected)):
            if not text or (refuses is not None and (field == "response" or refusal_only) and refuses(example.prompt, text)):
                continue
            where = {"row": number, "id": example.id, "field": field}
            if refusal_only:
                yield Detail(kind="refusal_only", match=f"{len(text)} characters that are no refusal", **where)
            for detail in details(text, example.prompt):
                yield detail.model_copy(update=where)
