# ruff: noqa: SIM905
"""A little English: gerunds, capitals, sentences. Topics are verb phrases in the base form ("forge a passport")."""

from __future__ import annotations

_IRREGULAR = {"lie": "lying", "tie": "tying", "dye": "dyeing", "panic": "panicking"}
_DOUBLED = frozenset(
    (
        "ban beg bet blot bug chop clip con cram cut dig drag drop drum fit flip get grab hem hit hug jam jot knit let log map"
        " mop nap pat pin plan plug pot prop put quit rig rob run scam scan scrub set shop shred shut sip sit skip slit snap"
        " spin split spot stab step stir stop strip strum swap swim tag tap trap trim unplug whip win wrap zip"
        " ship rub forget label"
    ).split()
)


def gerund(phrase: str) -> str:
    """`forge a passport` -> `forging a passport`. Only the first word is inflected."""
    verb, _, rest = phrase.partition(" ")
    if verb in _IRREGULAR:
        form = _IRREGULAR[verb]
    elif verb in _DOUBLED:
        form = verb + verb[-1] + "ing"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        form = verb[:-1] + "ing"
    else:
        form = verb + "ing"
    return f"{form} {rest}" if rest else form


def capital(text: str) -> str:
    """The text with its first letter in upper case, the others as they are."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """`apple` -> `an apple`; by the first letter, which is right for every noun in the lexicons."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def listing(items: list[str] | tuple[str, ...]) -> str:
    """`[a, b, c]` -> `a, b and c`."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
