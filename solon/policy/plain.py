"""Text as a reader sees it: width and fonts folded, invisible characters out, letters of other scripts that look Latin folded."""

from __future__ import annotations

import re
import unicodedata

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
# The common look-alikes of Unicode's confusables list (UTS 39): Cyrillic, Greek, Armenian, phonetic; and signs like a colon.
_ALIKE = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u0475\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420"
    "\u0421\u0422\u0425\u0406\u03bf\u03bd\u03b1\u03c1\u0391\u0392\u0395\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a7\u0561"
    "\u0585\u0581\u0578\u057d\u0261\u0131\u02d0\u2236\ua789",
    "aeopcyxijsdhvABEKMHOPCTXIovapABEHIKMNOPTXaogn" + "ugi:::",
)


def as_seen(text: str) -> str:
    """NFKC, without invisible characters, look-alikes of Latin letters folded one for one."""
    if text.isascii():
        return text
    return _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).translate(_ALIKE)


_WORD = re.compile(r"[a-z0-9@$]+")
_LETTER = re.compile("[a-z]")
_SIGNS = str.maketrans("013457@$", "oieastas")


def unmasked(text: str) -> str:
    """Lower-case text with the digits and signs that stand for letters inside words read as letters (`b0mb`)."""
    return _WORD.sub(_unmasked, text)


def _unmasked(word: re.Match[str]) -> str:
    return word.group().translate(_SIGNS) if _LETTER.search(word.group()) else word.group()
