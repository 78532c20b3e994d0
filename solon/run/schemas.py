"""JSON Schemas of the files and records that users meet."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from solon.errors import InputError, nearest


def _known() -> dict[str, Any]:
    from solon.constitution import Constitution
    from solon.data.example import Example
    from solon.data.mixing import Mix
    from solon.data.records import Dropped, EvaluationRow, Pair, Prompt
    from solon.data.rows import GovernedRow, HumanPreferenceRow, LawsRow, PreferencePair, TradingRow
    from solon.models.base import Completion, Message, Request
    from solon.run.config import RunConfig

    return {
        "config": RunConfig,
        "constitution": Constitution,
        "prompt": Prompt,
        "pair": Pair,
        "dropped": Dropped,
        "evaluation": EvaluationRow,
        "laws": LawsRow,
        "trading": TradingRow,
        "governed": GovernedRow,
        "preference": PreferencePair,
        "human_preference": HumanPreferenceRow,
        "example": Example,
        "mix": Mix,
        "message": Message,
        "request": Request,
        "completion": Completion,
    }


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record or file.

    Raises:
        InputError: no such name.
    """
    known = _known()
    if name not in known:
        raise InputError(f"schema: expected one of {', '.join(sorted(known))}, got {name!r}", mend=nearest(name, list(known)))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **TypeAdapter(known[name]).json_schema(mode="serialization"),
    }
