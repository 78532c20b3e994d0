"""Refusals leave a trace: whoever tries what is not allowed, or sends what is malformed, gets nothing done but one entry more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from solon.errors import IntegrityError, SolonError
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope
from solon.ledger.storage import Ledger


def mark_of(given: Any) -> str:
    """SHA-256 of an input as it came; of envelopes, of their canonical form; of records, of their Python text."""
    if isinstance(given, Envelope):
        return digest(given.as_dict())
    data = given if isinstance(given, bytes) else (given if isinstance(given, str) else repr(given)).encode("utf-8", "replace")
    return hashlib.sha256(data).hexdigest()


def code_of(error: SolonError) -> str:
    """The reason code of a refusal."""
    return error.code or ("signature" if isinstance(error, IntegrityError) else "refused")


@contextmanager
def refusal_logged(ledger: Ledger | None, **given: Any) -> Iterator[None]:
    """Log what is refused inside, by its reason and the SHA-256 of what was given (the input may be anything and is not kept).

    The error goes on, with `code` and `ledger_index` set.
    """
    try:
        yield
    except SolonError as error:
        code = code_of(error)
        found: dict[str, Any] = {"code": code}
        if ledger is not None:
            body = {"code": code, "why": error.what[:500], "input": {name: mark_of(item) for name, item in given.items()}}
            with suppress(SolonError):  # the refusal stands, also where the ledger can't be written
                found["ledger_index"] = ledger.append("refusal", body)
        vars(error).update(found)
        raise
