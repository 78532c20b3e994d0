"""Canonical JSON (RFC 8785) without floats: one byte string per value, so that a hash or signature names the value itself.

Numbers are integers within 2^53 - 1, or decimal strings; anything else is refused on writing and on reading.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import rfc8785

from solon.errors import DataError, IntegrityError

LARGEST = 2**53 - 1
DEEPEST = 64


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a value made of dict, list, str, bool, None and integers within 2^53 - 1.

    Raises:
        DataError: a float, an integer too large, a key that is no string, a lone surrogate, a foreign type, or too deep a nesting.
    """
    _refuse_floats(value, "$", 0)
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise DataError(f"canonical JSON: {error}", mend="use text, whole numbers or decimal strings") from error


def _refuse_floats(value: Any, where: str, depth: int) -> None:
    if depth > DEEPEST:
        raise DataError(f"{where}: expected at most {DEEPEST} levels of nesting, got more", mend="flatten the record")
    if isinstance(value, float):
        raise DataError(f"{where}: expected no float, got {value!r}", mend="write a decimal string or basis points")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST:
        raise DataError(f"{where}: expected an integer within 2^53 - 1, got {value}", mend="write it as a decimal string")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(f"{where}: expected text as key, got {key!r}", mend="write the key as text")
            _refuse_floats(item, f"{where}.{key}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{where}[{index}]", depth + 1)


def parse(data: bytes) -> Any:
    """The value of canonical bytes; bytes in any other form of the same value are refused.

    Raises:
        IntegrityError: not JSON, a duplicate key, a float, NaN, or not in canonical form.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse)
        same = canonical(value) == data
    except (ValueError, RecursionError, DataError) as error:
        raise IntegrityError(f"expected canonical JSON, got bytes that are not: {error}", mend="the record was altered") from error
    if not same:
        raise IntegrityError("expected canonical JSON, got another form of the same value", mend="the record was rewritten")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no integer")
