# ruff: noqa: E501 (patterns, one alternative a line)
"""Structural filters of pair acceptance: did the revision change anything, address the prompt, start clean and end whole?

They share nothing with the rules that produce headline labels except how words are cut, so that accepting and measuring stay apart.
"""

from __future__ import annotations

import re

from solon.evaluation.text import content_stems, looped, plain, words
from solon.models.base import Completion

_PREAMBLE = re.compile(
    r"""^\W*(?:
        (?:sure|certainly|of\ course|okay|ok|absolutely|understood|got\ it|no\ problem)?[\s,.!:-]*
        (?:here(?:'s|\ is|\ are)|below\ is|this\ is|the\ following\ is|following\ is|i(?:'ve|\ have)\ (?:revised|rewritten|rephrased|updated))\b
        [^\n.:]{0,60}\b(?:revis\w+|rewrit\w+|rewrote|rephras\w+|improved|updated|reworded|corrected|edited|alternative|better)\b
      | (?:the\ |my\ |a\ )?(?:revised|rewritten|improved|updated|reworded|rephrased|corrected|edited|new|final)\ (?:and\ \w+\ )?(?:response|reply|answer|version|revision|text|message)\b\s*(?:\([^)]*\))?\s*(?:[:\n-]|is\b)
      | (?:revision|rewrite|revised|rewritten|response|reply|assistant|answer|critique)\s*:
      | i(?:'ve|\ have)\ (?:just\ )?(?:revised|rewritten|rephrased|updated|reworded|edited)\b
      | (?:as|per)\ (?:requested|you\ asked|the\ critique)\b
      | (?:based\ on|following|in\ light\ of|taking\ into\ account|considering)\ (?:the|this|your)\ (?:critique|feedback|principles?)\b
      | (?:to|in\ order\ to)\ (?:address|fix|incorporate)\ (?:the|this|your)\ (?:critique|feedback|concerns?|issues?)\b
      | (?:the|my|this)\ (?:original|previous|first|initial)\ (?:response|reply|answer)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)


def has_preamble(reply: str) -> bool:
    """Whether a revision talks about being a revision ("Here is a revised reply: ...") instead of being one."""
    return bool(_PREAMBLE.match(plain(reply.strip())))


def differs(original: str, revision: str, *, least: float = 0.1) -> bool:
    """Whether a revision changes at least the share `least` of the words (by longest matching blocks), not only case or marks."""
    from difflib import SequenceMatcher

    before, after = words(original), words(revision)
    if before == after:
        return False
    return 1 - SequenceMatcher(None, before, after, autojunk=False).ratio() >= least


def addresses(prompt: str, reply: str) -> bool:
    """Whether a revision still speaks to the prompt: shares a content stem with it, does not loop, and is not the prompt again.

    A prompt without content words (a bare "Why?") can't be missed, so only the other two conditions hold then.
    """
    said = words(reply)
    if len(said) < 3 or looped(reply) or said == words(prompt):
        return False
    asked = content_stems(prompt)
    return not asked or bool(asked & content_stems(reply))


def truncated(completion: Completion) -> bool:
    """Whether a completion was cut: by the token limit, or in the middle of a sentence or code block."""
    if completion.finish != "stop":
        return True
    text = completion.text.rstrip()
    return text.count("```") % 2 == 1 or text.endswith((",", ";", " -", "(", ":"))
