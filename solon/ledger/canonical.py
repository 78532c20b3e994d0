"""The one byte form of a record: RFC 8785 JSON without floats, and the strict reader that accepts nothing else.

Floats are refused because two programs may print one float differently; numbers are integers within 2^53 - 1 or decimal strings.
"""

from __future__ import annotations

import hashlib
import json
from json.encoder import encode_basestring as quote
from typing import Any, NoReturn

import rfc8785

from solon.errors import InputError, IntegrityError

DEEPEST = 64
LARGEST = 2**53 - 1


class NotCanonical(InputError):
    """A value has no canonical form: a float, an integer beyond 2^53 - 1, a key that is no text, a lone surrogate."""


class Written(str):
    """Canonical JSON text of a value, for `Ledger.submit` to take as it is; whoever makes one answers for it."""

    __slots__ = ()


def written(value: Any) -> Written:
    """`canonical` as text. Raises NotCanonical."""
    return Written(canonical(value).decode())


def entry_bytes(kind: str, at: str, body: Any, once: str | None = None) -> bytes:
    """The canonical bytes of a ledger entry: `at`, `body`, `kind`, and `once` where given.

    Raises:
        NotCanonical: see the class.
    """
    if type(body) is not Written:
        record = {"kind": kind, "at": at, "body": body}
        return canonical(record if once is None else record | {"once": once})
    tail = "" if once is None else f',"once":{quote(once)}'
    try:
        return f'{{"at":{quote(at)},"body":{body},"kind":{quote(kind)}{tail}}}'.encode()
    except UnicodeEncodeError as error:
        raise _not_canonical(error) from error


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of a value made of dict, list, tuple, str, int, bool, None.

    Without floats, and with keys in ASCII only, the C encoder of `json` gives the very bytes of RFC 8785 (tested against
    `rfc8785`) at a sixth of the time; only other keys need the sorting by UTF-16 code units.

    Raises:
        NotCanonical: see the class.
    """
    plain = _check(value, "record", 0)
    try:
        return _ENCODE(value).encode() if plain else rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError) as error:
        raise _not_canonical(error) from error


def _not_canonical(error: Exception) -> NotCanonical:
    return NotCanonical(f"record: expected JSON text and integers within 2^53 - 1, got {error}", mend="use strings")


_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode


def _check(value: Any, where: str, depth: int) -> bool:
    """Refuse what has no canonical form; whether every key is ASCII."""
    kind = type(value)
    if depth > DEEPEST:
        raise NotCanonical(f"{where}: expected at most {DEEPEST} levels, got more", mend="flatten the record")
    if kind is dict:
        plain = True
        for key, item in value.items():
            if type(key) is not str:
                raise NotCanonical(f"{where}: expected keys of text, got {key!r}", mend="use strings")
            plain = key.isascii() and plain
            if type(item) is not str and not (type(item) is int and -LARGEST <= item <= LARGEST):  # most are; a call less
                plain = _check(item, key, depth + 1) and plain
        return plain
    if kind is list or kind is tuple:
        # a list, not a generator: every item is checked, also behind one with other keys
        return all([type(item) is str or _check(item, where, depth + 1) for item in value])  # noqa: C419
    if kind is int and not -LARGEST <= value <= LARGEST:
        raise NotCanonical(f"{where}: expected an integer within 2^53 - 1, got {value}", mend="write it as text")
    if isinstance(value, float):
        raise NotCanonical(f"{where}: expected a decimal string, got the float {value!r}", mend="write it as text")
    if value is None or kind in (str, int, bool):
        return True
    raise NotCanonical(f"{where}: expected JSON values, got {kind.__name__}", mend="write it as text")


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical bytes."""
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(data: bytes) -> Any:
    """Read bytes that must be canonical: no duplicate key, float, NaN, stray blank or other key order.

    Raises:
        IntegrityError: they are not.
    """
    try:
        value = _DECODE(data.decode("utf-8"))
        again = canonical(value)
    except (ValueError, RecursionError, NotCanonical) as error:
        raise IntegrityError(
            f"record: expected canonical JSON, got {error}", mend="it was changed, or not written here"
        ) from error
    if again != data:
        raise IntegrityError("record: expected canonical JSON, got another spelling", mend="it was changed, or not written here")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"the number {text}")


_DECODE = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse).decode
