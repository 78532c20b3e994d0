"""What a file holds (`stats`), how many pairs it can give (`capacity`), and how two files differ (`diff`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from solon.data.example import Example, to_row
from solon.data.files import facets_of, manifest_of
from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.errors import DataError


def _lengths(texts: Iterable[str]) -> dict[str, float]:
    """Words per text: mean, median, 95th percentile, largest."""
    sizes = sorted(len(text.split()) for text in texts)
    if not sizes:
        return {"n": 0}
    last = len(sizes) - 1
    return {
        "n": len(sizes),
        "mean": round(sum(sizes) / len(sizes), 1),
        "median": sizes[last // 2],
        "p95": sizes[round(0.95 * last)],
        "max": sizes[-1],
    }


def row_facets(example: Example) -> list[tuple[str, str]]:
    """(facet, value) pairs of an example; replies and conversation are not looked at."""
    return list(facets_of(example.model_dump(exclude={"messages", "response", "rejected", "prompt", "critique"})))


def stats(examples: Sequence[Example]) -> dict[str, Any]:
    """Counts by every facet, distinct texts, lengths in words, conversations, missing replies."""
    tallies: dict[str, Counter[str]] = {}
    for example in examples:
        for facet, value in row_facets(example):
            tallies.setdefault(facet, Counter())[value] += 1
    replies = [e.response for e in examples if e.response]
    ids = Counter(e.id for e in examples if e.id)
    return {
        "rows": len(examples),
        "counts": {facet: dict(sorted(tally.items())) for facet, tally in sorted(tallies.items())},
        "distinct": {
            "prompts": len({e.prompt for e in examples}),
            "responses": len(set(replies)),
            "records": len({e.key() for e in examples}),
            "groups": len({e.group for e in examples if e.group}),
        },
        "repeated_ids": sum(n - 1 for n in ids.values()),
        "multi_turn": sum(len(e.conversation()) > 1 for e in examples),
        "without_response": sum(not e.response for e in examples),
        "with_rejected": sum(bool(e.rejected) for e in examples),
        "words": {"prompt": _lengths(e.prompt for e in examples), "response": _lengths(replies)},
    }


def capacity(examples: Sequence[Example], principles: int) -> dict[str, Any]:
    """How many pairs a prompt set can give at most: one for each prompt and principle.

    Returns:
        `prompts`, `by_hazard`, `by_persona` (prompts each), `principles`, `pairs` = prompts x principles; and, because some
        prompts may only be refused and repeats give the same pair again, `refusal_only`, `repeated` and `usable_pairs`.

    Raises:
        DataError: fewer than one principle.
    """
    if principles < 1:
        raise DataError(f"--principles: expected at least 1, got {principles}", mend="give the number of principles")
    prompts = {e.prompt for e in examples}
    refused = {e.prompt for e in examples if e.hazard.lower() in REFUSAL_ONLY_HAZARDS}
    return {
        "prompts": len(examples),
        "by_hazard": dict(sorted(Counter(e.hazard or "(none)" for e in examples).items())),
        "by_persona": dict(sorted(Counter(e.persona or "(none)" for e in examples).items())),
        "principles": principles,
        "pairs": len(examples) * principles,
        "refusal_only": len(refused),
        "repeated": len(examples) - len(prompts),
        "usable_pairs": len(prompts - refused) * principles,
    }


def diff(
    before: Sequence[Example], after: Sequence[Example], files: tuple[str | Path, str | Path] | None = None
) -> dict[str, Any]:
    """What changed between two versions: rows added, removed and changed (by id, or by content where ids are absent or repeat).

    Returns:
        `added`, `removed`, `changed` [id, fields], `unchanged`, `rows` before and after, `counts` of facets that differ, and,
        given `files`, `manifest`: the entries of the two manifests that differ.
    """
    old, new = _keyed(before), _keyed(after)
    changed = []
    for name in old.keys() & new.keys():
        fields = _differing(old[name], new[name])
        if fields:
            changed.append({"id": name, "fields": fields})
    return {
        "rows": {"before": len(before), "after": len(after)},
        "added": sorted(new.keys() - old.keys()),
        "removed": sorted(old.keys() - new.keys()),
        "changed": sorted(changed, key=lambda c: c["id"]),
        "unchanged": len(old.keys() & new.keys()) - len(changed),
        "counts": _count_changes(before, after),
        **({"manifest": _manifest_changes(*files)} if files else {}),
    }


def _keyed(examples: Sequence[Example]) -> dict[str, Example]:
    ids = Counter(e.id for e in examples)
    names: Counter[str] = Counter()
    keyed = {}
    for example in examples:
        name = example.id if example.id and ids[example.id] == 1 else example.key()
        names[name] += 1
        keyed[name if names[name] == 1 else f"{name}#{names[name]}"] = example
    return keyed


def _differing(a: Example, b: Example) -> list[str]:
    one, other = to_row(a), to_row(b)
    left = one.model_dump() if isinstance(one, BaseModel) else {}
    right = other.model_dump() if isinstance(other, BaseModel) else {}
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def _count_changes(before: Sequence[Example], after: Sequence[Example]) -> dict[str, dict[str, list[int]]]:
    one, other = stats(before)["counts"], stats(after)["counts"]
    changes: dict[str, dict[str, list[int]]] = {}
    for facet in sorted(one.keys() | other.keys()):
        left, right = one.get(facet, {}), other.get(facet, {})
        values = {v: [left.get(v, 0), right.get(v, 0)] for v in sorted(left.keys() | right.keys()) if left.get(v) != right.get(v)}
        if values:
            changes[facet] = values
    return changes


def _manifest_changes(a: str | Path, b: str | Path) -> dict[str, list[Any]]:
    one, other = manifest_of(a), manifest_of(b)
    shown = ("sha256", "rows", "made_by", "solon", "seed", "licences", "inputs", "quotas")
    return {name: [one.get(name), other.get(name)] for name in shown if one.get(name) != other.get(name)}
