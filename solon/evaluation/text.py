# ruff: noqa: E501 (word lists)
"""Words, stems and repetition: what scorers and filters need to know about a text, without a model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_QUOTES = str.maketrans(
    {"’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "“": '"', "”": '"', "«": '"', "»": '"', "—": " - ", "–": "-", "…": "..."}
)
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_SENTENCE = re.compile(r"(?<=[.!?:])[\"')*_]*\s+|\n+")

# Words that say nothing about the topic: English function words, words of asking and answering, and a few of French,
# German and Spanish so that an answer in those languages is not called off topic for its articles.
STOP = frozenset(
    """a about above after again against all also am an and any are as at be because been before being below between both but by
    can can't cannot could couldn't did didn't do does doesn't doing don't down during each few for from further get gets getting give
    gives given go going gonna had has have having he he's help her here here's hers herself hi him himself his hello how how's i i'd i'll
    i'm i've if in into is isn't it it's its itself just let let's like make makes making many may me might mine more most much must my
    myself need needs no nor not now of off ok okay on once one ones only or other our ours out over own please possible really right
    same shall she should so some someone something such sure tell than that that's the their theirs them themselves then there
    there's these they they're thing things this those through to too under until up upon us use used using very want wants was
    way ways we well were what what's when where which while who whom why will with won't would wouldn't yes you you'd you'll you're
    you've your yours yourself asked ask asking answer question request reply list step steps explain describe write show walk
    outline detail details detailed idea ideas today tomorrow time minutes hour day good best short simple words friend honest
    quick quickly nervous provide guide instructions instruction tips examples example
    le la les un une des de du et ou que qui quoi comment pour dans avec sur je tu il elle nous vous ils est sont ce cette mon ma mes
    der die das ein eine und oder wie ich du er sie wir ist sind mit auf für el los las una unos y o cómo como para con por es son mi
    """.split()  # noqa: SIM905
)
_SUFFIXES = (
    "ization", "isation", "ations", "ation", "ously", "iness", "ments", "ment", "ingly", "edly", "ities", "ness", "ings", "ing",
    "ally", "ies", "ied", "ers", "ers", "ity", "ful", "ive", "ion", "ous", "ely", "est", "ed", "er", "ly", "es", "al", "s", "e", "y",
)  # fmt: skip


@lru_cache(maxsize=4096)
def plain(text: str) -> str:
    """NFKC with straight quotes, dashes and dots, and Markdown emphasis removed: the form that patterns are written for."""
    text = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    return re.sub(r"(\*\*|__|\*(?=\S)|(?<=\S)\*)", "", text)


def tame(text: str, most: int = 12_000) -> str:
    """A text whose patterns can be searched in bounded time: runs of blanks, marks and letters cut short, a long middle left out.

    Beyond `most` characters the first two thirds of `most` and the last third are kept; an assistant refuses first or last.
    """
    if len(text) > most:
        text = text[: 2 * most // 3] + "\n" + text[-most // 3 :]
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r"(?:\n ?){3,}", "\n\n", text)
    text = re.sub(r"(\w{40})\w+", r"\1", text)
    return re.sub(r"([^\w\s])\1{5,}", r"\1\1\1\1\1", text)


def words(text: str) -> list[str]:
    """Lower-case words of a text, apostrophes kept inside."""
    return _WORD.findall(plain(text).lower())


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A crude stem: one suffix off when at least three letters stay, doubled consonants and a final e dropped."""
    word = word.removesuffix("'s").removesuffix("'")
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


@lru_cache(maxsize=4096)
def content_stems(text: str) -> frozenset[str]:
    """Stems of the words that carry the topic."""
    return frozenset(stem(w) for w in words(text) if w not in STOP and (len(w) > 2 or w.isdigit()))


def sentences(text: str) -> list[str]:
    """Sentences and lines, in order, without the empty ones."""
    return [part.strip() for part in _SENTENCE.split(text.strip()) if part and part.strip()]


def looped(text: str) -> bool:
    """Whether a text repeats itself instead of going on: one sentence, line or long run of words again and again.

    Lists may share a frame ("You can ..."), poems a refrain and code a keyword, so only heavy repetition counts.
    """
    tokens = words(text)
    if len(tokens) >= 6 and Counter(tokens).most_common(1)[0][1] / len(tokens) > 0.5:
        return True
    if len(tokens) < 12:
        return False
    parts = [" ".join(words(s)) for s in sentences(text)]
    parts = [p for p in parts if len(p.split()) >= 2]
    if len(parts) >= 4 and Counter(parts).most_common(1)[0][1] >= max(3, 0.5 * len(parts)):
        return True
    return _cycled(tokens)


def _cycled(tokens: Sequence[str]) -> bool:
    """Whether some run of four words fills a large share of the text."""
    grams = Counter(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
    top, often = grams.most_common(1)[0]
    distinct = len(grams) / max(1, len(tokens) - 3)
    if len(set(top)) == 1:
        return often >= 4
    return (often >= 4 and 4 * often / len(tokens) > 0.5) or (len(tokens) >= 40 and distinct < 0.35)
