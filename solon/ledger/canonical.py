"""The one byte form of a record: RFC 8785 JSON without floats, and the strict reader that accepts nothing else.

Floats are refused because two programs may print one float differently; numbers are integers within 2^53 - 1 or decimal strings.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn

import rfc8785

from solon.errors import InputError, IntegrityError

DEEPEST = 64


class NotCanonical(InputError):
    """A value has no canonical form: a float, an integer beyond 2^53 - 1, a key that is no text, a lone surrogate."""


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a value made of dict, list, tuple, str, int, bool, None.

    Raises:
        NotCanonical: see the class.
    """
    _refuse_floats(value, "record", 0)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise NotCanonical(f"record: expected JSON text and integers within 2^53 - 1, got {error}", mend="use strings") from error


def _refuse_floats(value: Any, where: str, depth: int) -> None:
    if isinstance(value, float):
        raise NotCanonical(f"{where}: expected a decimal string, got the float {value!r}", mend="write it as text")
    if depth > DEEPEST:
        raise NotCanonical(f"{where}: expected at most {DEEPEST} levels, got more", mend="flatten the record")
    if isinstance(value, dict):
        for key, item in value.items():
            if type(item) is not str:
                _refuse_floats(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            if type(item) is not str:
                _refuse_floats(item, f"{where}[{index}]", depth + 1)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(data: bytes) -> Any:
    """Read bytes that must be canonical: no duplicate key, float, NaN, stray blank or other key order.

    Raises:
        IntegrityError: they are not.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse)
        again = canonical(value)
    except (ValueError, RecursionError, NotCanonical) as error:
        raise IntegrityError(
            f"record: expected canonical JSON, got {error}", mend="it was changed, or not written here"
        ) from error
    if again != data:
        raise IntegrityError("record: expected canonical JSON, got another spelling", mend="it was changed, or not written here")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice")
        found[key] = value
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"the number {text}")
