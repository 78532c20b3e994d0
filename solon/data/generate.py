"""`solon data generate KIND`: run a generator of `solon.data.scenarios`, prove that its output meets the quotas, write it out."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from solon.data.files import write_rows
from solon.data.quotas import asked_counts, counts
from solon.data.rows import GovernedRow, LawsRow, TradingRow
from solon.errors import CheckFailed, DataError, nearest

# kind -> the library constitution that it is made for unless another is named
KINDS = {"laws": "five-laws", "trading": "trading", "governed": "assistant", "probes": "contemplative"}
TRADING_SHARES = {"constitutional_compliance": 5, "multi_agent_coordination": 2, "meta_learning": 2, "systemic_risk": 2}
GOVERNED_SHARES = {"high": 30, "medium": 40, "low_hitl": 20, "uncertain_hitl": 10}
MOST_ROWS = 1_000_000  # of one file; rows are held in memory
EVALUATION_ONLY = "For evaluation only, never for training."
Counts = dict[str, dict[str, int]]


def generator(kind: str) -> Callable[..., Sequence[BaseModel]]:
    """The `generate` function of a kind.

    Raises:
        DataError: no such kind, or this installation does not have it.
    """
    if kind not in KINDS:
        raise DataError(
            f"generate: expected one of {', '.join(KINDS)}, got {kind!r}", mend=nearest(kind, list(KINDS)) or "use one of these"
        )
    name = f"solon.data.scenarios.{kind}"
    try:
        return importlib.import_module(name).generate
    except ModuleNotFoundError as error:
        if error.name not in (name, "solon.data.scenarios"):
            raise
        raise DataError(
            f"generate: expected the generator {kind!r}, got none in this installation", mend="install a version that has it"
        ) from error


def options_for(kind: str, make: Callable[..., Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, checked against what the generator takes.

    Raises:
        DataError: an option that it does not take.
    """
    taken = [name for name in inspect.signature(make).parameters if name not in ("n", "constitution", "seed")]
    for name in options:
        if name not in taken:
            raise DataError(
                f"generate {kind}: expected an option among {', '.join(taken) or 'none'}, got {name!r}",
                mend=nearest(name, taken) or "leave it out",
            )
    return dict(options)


def quota_of(kind: str, n: int, options: Mapping[str, Any]) -> Counts:
    """The counts that `n` rows of a kind must have; empty for kinds without quotas."""
    if kind == "laws":
        from solon.data.scenarios.laws_plan import plan

        asked: Counts = {"law": {}, "type": {}, "difficulty": {}}
        for cell, count in plan(n, **options).items():
            for axis, value in zip(asked, cell, strict=True):
                asked[axis][value] = asked[axis].get(value, 0) + count
        return asked
    shares: Any = {"trading": TRADING_SHARES, "governed": GOVERNED_SHARES}.get(kind)
    if not shares:
        return {}
    stated = options.get("categories")
    return {"category": asked_counts(f"{kind}: categories", stated, tuple(shares), n) if stated else counts(shares, n)}


def met_counts(rows: Sequence[BaseModel]) -> Counts:
    """The same counts, of rows as they are."""
    met: dict[str, Counter[str]] = {}
    for row in rows:
        for axis, value in _quota_values(row):
            met.setdefault(axis, Counter())[value] += 1
    return {axis: dict(tally) for axis, tally in met.items()}


def _quota_values(row: BaseModel) -> list[tuple[str, str]]:
    if isinstance(row, LawsRow):
        law = f"law-{row.law_category}" if row.kind == "law" else row.kind
        return [("law", law), ("type", row.example_type), ("difficulty", row.difficulty)]
    if isinstance(row, TradingRow):
        return [("category", row.context.category)]
    if isinstance(row, GovernedRow):
        return [("category", row.training_metadata.category)]
    return []


def require_quotas(kind: str, n: int | None, rows: Sequence[BaseModel], asked: Counts) -> Counts:
    """What was met.

    Raises:
        CheckFailed: it is not what was asked. Nothing is written then.
    """
    met = met_counts(rows)
    if n is not None and len(rows) != n:
        raise CheckFailed(
            f"generate {kind}: expected {n} rows, got {len(rows)}", mend="report this: a generator must not fall short"
        )
    for axis, wanted in asked.items():
        off = {v: (c, met.get(axis, {}).get(v, 0)) for v, c in wanted.items() if c != met.get(axis, {}).get(v, 0)}
        if off:
            shown = ", ".join(f"{value}: {want} asked, {got} made" for value, (want, got) in off.items())
            raise CheckFailed(
                f"generate {kind}: expected the quota of {axis}, got {shown}", mend="report this: quotas must be exact"
            )
    return met


def generate_file(
    kind: str,
    out: str | Path,
    *,
    n: int | None = None,
    constitution: str | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Generate, check the quotas, write rows with card and manifest; returns the manifest.

    Raises:
        DataError: an unknown kind or option, or quotas that cannot hold together.
        CheckFailed: the generator did not meet what was asked.
    """
    from solon.constitution import load

    make = generator(kind)
    if n is not None and n > MOST_ROWS:
        raise DataError(
            f"generate {kind}: expected at most {MOST_ROWS:,} rows, got n = {n:,}",
            mend="make several files, each with its own --seed",
        )
    chosen = options_for(kind, make, options or {})
    document = load(constitution or KINDS[kind])
    size = {} if n is None else {"n": n}
    rows = make(**size, constitution=document, seed=seed, **chosen)
    asked = quota_of(kind, len(rows) if n is None else n, chosen)
    met = require_quotas(kind, n, rows, asked)
    return write_rows(
        out, rows, made_by=f"generate {kind}", seed=seed, licences=["Apache-2.0"],
        quotas={axis: {"asked": wanted, "met": met.get(axis, {})} for axis, wanted in asked.items()},
        notes=[EVALUATION_ONLY] if kind == "probes" or chosen.get("split") == "evaluation" else [],
        more={"constitution": {"id": document.id, "version": document.version, "hash": document.hash}, "options": chosen},
    )  # fmt: skip
