"""A little English: gerunds, capitals, sentences. Topics are verb phrases in the base form ("forge a passport")."""

from __future__ import annotations

_IRREGULAR = {"lie": "lying", "tie": "tying", "dye": "dyeing", "panic": "panicking"}
_DOUBLED = set(
    [
        "stab",
        "shop",
        "plan",
        "rob",
        "con",
        "scam",
        "rig",
        "cut",
        "get",
        "hit",
        "run",
        "trap",
        "spot",
        "chop",
        "stop",
        "knit",
        "set",
        "put",
        "shut",
        "beg",
        "tag",
        "wrap",
        "trim",
        "dig",
        "swim",
        "bug",
        "plug",
        "drop",
        "ban",
        "skip",
        "win",
        "fit",
        "mop",
        "pin",
        "pat",
        "hem",
        "sit",
        "quit",
        "spin",
        "drum",
        "cram",
        "map",
        "jam",
        "snap",
        "grab",
        "strip",
        "scrub",
        "whip",
        "blot",
        "pot",
        "bet",
        "swap",
        "drag",
        "hug",
        "let",
        "split",
        "sip",
        "tap",
        "stir",
        "jot",
        "slit",
        "unplug",
        "zip",
        "scan",
        "log",
        "strum",
        "prop",
        "nap",
        "shred",
        "step",
        "clip",
        "flip",
    ]
) - {"shred"}
_DOUBLED.add("shred")


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
