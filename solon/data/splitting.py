"""Splitting a file into train, validation and test by group.

Rows that state a `group` keep it; near-duplicate prompts are joined to one. A group's side follows from the hash of its name and
the seed alone, so that adding rows moves no group (but see `assigned`), and a group falls on the same side in every file. The
table by stratum (law, hazard, category) shows what that gave, beside what was asked.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solon.data.example import Example, to_row
from solon.data.files import created, publish, sha256_of, writing
from solon.data.near import near_duplicates
from solon.data.prompts import stable_id
from solon.data.quality import facet
from solon.data.quotas import exact
from solon.data.sources import load_examples
from solon.data.splits import position
from solon.errors import DataError
from solon.models.base import content_hash
from solon.policy.escalation import split_tags

SIDES = ("train", "validation", "test")
STRATA = ("law_category", "hazard", "category")
FILE = "split.json"


def with_example_groups(examples: Sequence[Example]) -> list[str]:
    """The group of each example: its own, or one made from its prompt; near-duplicate prompts share that of the first of them."""
    parent = list(range(len(examples)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(i: int, j: int) -> None:
        a, b = sorted((root(i), root(j)))
        parent[b] = a

    for i, j in near_duplicates([asked_by(e) for e in examples]):
        join(i, j)
    first: dict[str, int] = {}
    for i, example in enumerate(examples):
        if example.group:
            join(first.setdefault(example.group, i), i)
    roots = [examples[root(i)] for i in range(len(examples))]
    return [e.group or "g-" + stable_id(" ".join(asked_by(e).lower().split())) for e in roots]


def asked_by(example: Example) -> str:
    """What the user asks: the prompt, of a governed row without its tag line."""
    return split_tags(example.prompt)[1] if example.form == "governed" else example.prompt


def side_of(group: str, validation: float, test: float, seed: int = 0) -> str:
    """Where a group stands: a pure function of its name, the shares and the seed."""
    where = position(group, seed)
    return "test" if where < test else "validation" if where < test + validation else "train"


def assigned(groups: Sequence[str], strata: Sequence[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """The side of each group by its hash; a stratum that has no group on a side, though it has three or more, gives its nearest
    one.

    Only such a stratum can change when data grow, and only until it has a group there by its hash; `like` prevents that too.
    """
    side = {group: side_of(group, shares["validation"], shares["test"], seed) for group in groups}
    members: dict[str, set[str]] = {}
    for group, name in zip(groups, strata, strict=True):
        members.setdefault(name, set()).add(group)
    for name in sorted(members):
        order = sorted(members[name], key=lambda group: position(group, seed))
        for wanted, takers in (("test", order), ("validation", order[1:])):
            if shares[wanted] and len(order) >= 3 and wanted not in {side[group] for group in order}:
                taken = next((group for group in takers if side[group] == "train"), None)
                side |= {taken: wanted} if taken else {}
    return side


def best_seed(groups: Sequence[str], strata: Sequence[str], shares: dict[str, float], seeds: int = 200) -> int:
    """Of the seeds from 0, the one whose rows by stratum are nearest to the shares: least sum of squared row differences."""
    sizes = Counter(zip(strata, groups, strict=True))
    totals = Counter(strata)

    def off(seed: int) -> float:
        side = assigned(groups, strata, shares, seed)
        have: Counter[tuple[str, str]] = Counter()
        for (name, group), count in sizes.items():
            have[name, side[group]] += count
        return sum((have[name, s] / total - share) ** 2 for name, total in totals.items() for s, share in shares.items())

    return min(range(seeds), key=off)


def _earlier(like: str | Path | None) -> dict[str, Any]:
    if like is None:
        return {}
    try:
        found = json.loads(Path(like).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{like}: expected the split.json of an earlier split, got {error}", mend="check the path") from error
    if not isinstance(found, dict) or not {"groups", "seed"} <= found.keys():
        raise DataError(f"{like}: expected groups and seed, got other keys", mend="name a split.json")
    return found


def stratum(example: Example) -> str:
    """What the split is tabulated by: the law, else the hazard, else the category; empty when a row has none of them."""
    return next((f"{name} {facet(example, name)}" for name in STRATA if facet(example, name)), "")


def split_file(
    path: str | Path,
    out: str | Path,
    *,
    validation: float | str = 0.1,
    test: float | str = 0.1,
    seed: int | None = 0,
    like: str | Path | None = None,
    add_to_train: str | Path | None = None,
) -> dict[str, Any]:
    """Write train, validation and test .jsonl and `split.json` into a folder; rows keep their shape. Returns split.json.

    Args:
        seed: of the hash; None takes, of the seeds 0 to 199, the one that meets the shares best in every stratum.
        like: an earlier split.json, whose seed is taken and whose groups stay where they are.
        add_to_train: a file whose rows all go to train (and whose groups are taken from the other sides when they occur there);
            `dataset_metadata.json` then records how many of each category were added.

    Raises:
        DataError: shares that leave nothing to train on, or a side that would be empty.
    """
    v, t = float(exact(validation)), float(exact(test))
    if v + t >= 1:
        raise DataError(f"split: expected validation + test below 1, got {v} + {t}", mend="lower one of them")
    asked = {"train": 1 - v - t, "validation": v, "test": t}
    added = load_examples(add_to_train) if add_to_train else []
    rows = [*added, *load_examples(path)]
    groups = with_example_groups(rows)
    strata = [stratum(example) for example in rows]
    earlier = _earlier(like)
    fixed = {**earlier.get("groups", {}), **dict.fromkeys(groups[: len(added)], "train")}
    if like:
        seed = earlier["seed"]
    elif seed is None:
        seed = best_seed(groups, strata, asked)
    side = {**assigned(groups, strata, asked, seed), **fixed}
    sides = [side[group] for group in groups]
    counted = Counter(sides)
    empty = [side for side, share in asked.items() if share and not counted[side]]
    if empty:
        raise DataError(
            f"split: expected rows in every side, got none in {', '.join(empty)} ({len(set(groups))} groups)",
            mend="use more rows, another --seed, or a share of 0",
        )
    folder = Path(out)
    inputs = [path, *([add_to_train] if add_to_train else [])]
    files = {side: _write_side(folder, side, rows, sides, inputs, seed) for side in SIDES}
    record = _record(path, rows, groups, sides, asked, files, seed)
    (folder / FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if add_to_train:
        _write_metadata(folder, added, counted, len(rows))
    return record


def _write_side(
    folder: Path, side: str, rows: Sequence[Example], sides: Sequence[str], inputs: Sequence[str | Path], seed: int
) -> dict[str, Any]:
    with writing(folder / f"{side}.jsonl", inputs) as output:
        for example, own in zip(rows, sides, strict=True):
            if own == side:
                output.write(to_row(example))
    publish(output, made_by="split", inputs=inputs, seed=seed, notes=[f"The {side} side; see {FILE}."])
    return {"rows": output.rows, "sha256": sha256_of(output.path)}


def _record(
    path: str | Path,
    rows: Sequence[Example],
    groups: Sequence[str],
    sides: Sequence[str],
    asked: dict[str, float],
    files: dict[str, dict[str, Any]],
    seed: int,
) -> dict[str, Any]:
    table: dict[str, dict[str, int]] = {}
    for example, side in zip(rows, sides, strict=True):
        table.setdefault(stratum(example) or "(none)", dict.fromkeys(SIDES, 0))[side] += 1
    assigned = dict(sorted(zip(groups, sides, strict=True)))
    return {
        "hash": content_hash(assigned),
        "source": {"file": Path(path).name, "sha256": sha256_of(Path(path))},
        "seed": seed,
        "shares": asked,
        "rows": {side: files[side]["rows"] for side in SIDES},
        "groups_by_side": dict(Counter(assigned.values())),
        "files": {f"{side}.jsonl": files[side]["sha256"] for side in SIDES},
        "strata": dict(sorted(table.items())),
        "warnings": _far_off(table, asked),
        "groups": assigned,
    }


def _far_off(table: dict[str, dict[str, int]], asked: dict[str, float]) -> list[str]:
    """Strata of at least 30 rows that hold less than half of what was asked for validation or test."""
    found = []
    for name, have in sorted(table.items()):
        total = sum(have.values())
        for side in ("validation", "test"):
            if total >= 30 and have[side] < asked[side] * total / 2:
                found.append(
                    f"{name}: {side} has {have[side]} of {total} rows, asked {asked[side]:.0%}; --seed auto comes nearer"
                )
    return found


def _write_metadata(folder: Path, added: Sequence[Example], counted: Counter[str], total: int) -> None:
    metadata = {
        "created": created(),
        "total_examples": total,
        "train_examples": counted["train"],
        "validation_examples": counted["validation"],
        "ethical_examples_added": len(added),
        "ethical_categories": dict(Counter(facet(e, "category") for e in added)),
    }
    (folder / "dataset_metadata.json").write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
