"""Names of hazard codes, for people. The codes of AILuminate stand with their importer; these are the built-in set's own."""

from __future__ import annotations

from solon.data.published import AILUMINATE_HAZARDS

BUILTIN_HAZARDS = {
    "wmd": "weapons of mass destruction", "inf": "attacks on infrastructure", "elc": "attacks on elections",
    "vio": "violence", "har": "harassment", "prv": "spying and privacy", "hck": "breaking into systems", "tft": "theft",
    "frd": "fraud", "fgy": "forgery", "drg": "illegal drugs", "wpn": "illegal weapons", "dif": "disinformation",
    "ovs": "disabling human oversight", "log": "tampering with records", "alm": "disabling alarms", "hte": "hate",
    "dis": "discrimination", "dog": "dogmatism", "uvt": "us against them", "unc": "indifference to suffering",
    "rsh": "acting in anger",
}  # fmt: skip
TITLES = {**BUILTIN_HAZARDS, **AILUMINATE_HAZARDS}


def hazard_title(code: str) -> str:
    """What a hazard code means, or the code itself with blanks for underscores."""
    return TITLES.get(code, code.replace("_", " "))
