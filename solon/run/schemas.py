"""JSON Schemas of the files and records that users meet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from solon.errors import InputError, nearest


def _types() -> dict[str, Any]:
    from solon.data.example import Example
    from solon.data.mixing import Mix
    from solon.data.records import Dropped, EvaluationRow, Pair, Prompt
    from solon.data.rows import GovernedRow, HumanPreferenceRow, LawsRow, PreferencePair, TradingRow
    from solon.models.base import Completion, Message, Request
    from solon.run import shapes
    from solon.run.config import RunConfig

    return {
        "config": RunConfig,
        "prompt": Prompt,
        "pair": Pair,
        "dropped": Dropped,
        "evaluation": EvaluationRow,
        "summary": shapes.Summary,
        "manifest": shapes.RunManifest,
        "check": shapes.CheckReport,
        "laws": LawsRow,
        "trading": TradingRow,
        "governed": GovernedRow,
        "preference": PreferencePair,
        "human_preference": HumanPreferenceRow,
        "example": Example,
        "mix": Mix,
        "split": shapes.SplitFile,
        "data_manifest": shapes.DataManifest,
        "message": Message,
        "request": Request,
        "completion": Completion,
    }


def _written() -> dict[str, Callable[[], dict[str, Any]]]:
    from solon.constitution import front_matter_schema
    from solon.run import shapes, signed

    return {
        **signed.signed_schemas(),
        "constitution": front_matter_schema,
        "action": shapes.proposal_schema,
        "state": shapes.state_schema,
        "decision": shapes.decision_schema,
        "states": shapes.states_row_schema,
        "votes": shapes.votes_row_schema,
    }


# What a file or record is also called.
ALIASES = {
    "pairs": "pair",
    "prompts": "prompt",
    "evaluation_row": "evaluation",
    "base": "evaluation",
    "tuned": "evaluation",
    "run": "config",
    "result": "decision",
    "signed_vote": "vote",
    "pending": "registry_record",
    "entries": "entry",
    "ledger": "entry",
    "ledger_entry": "entry",
    "ticket": "review",
    "answer": "approval",
    "change": "constitution_change",
    "safety": "safety_report",
    "law": "laws",
    "messages": "message",
}
SUFFIXES = (".jsonl", ".json", ".csv", ".yaml", ".md")


def schema_names() -> list[str]:
    """Every name that `schema_of` knows, aliases aside."""
    return sorted({**_types(), **_written()})


def schema_of(name: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of a record or file; a file may be named as it lies (`pairs.jsonl`, `evaluation/base.jsonl`).

    Raises:
        InputError: no such name.
    """
    word = name.rsplit("/", 1)[-1].lower().replace("-", "_")
    word = next((word.removesuffix(s) for s in SUFFIXES if word.endswith(s)), word)
    word = ALIASES.get(word, word)
    types, written = _types(), _written()
    if word in types:
        schema = TypeAdapter(types[word]).json_schema(mode="serialization")
    elif word in written:
        schema = written[word]()
    else:
        known = schema_names()
        raise InputError(
            f"schema: expected one of {', '.join(known)}, got {name!r}", mend=nearest(word, known) or "`solon schema` lists them"
        )
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
