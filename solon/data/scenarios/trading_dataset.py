"""A trading fine-tuning set in the documented form: own rows split, the ethical rows merged into what is trained on.

`train_dataset.jsonl`, `validation_dataset.jsonl` and `dataset_metadata.json` with the documented keys. Only own rows are split (20 %
for validation); the ethical examples all go into training, and their evaluation is the held-out part of the generator. With 4,890 own
rows and the 11 documented examples this gives 3,923 + 978 = 4,901.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from solon.data.quotas import Share, counts, exact
from solon.data.rows import TRADING_CATEGORIES, TradingRow
from solon.data.splits import position
from solon.errors import DataError

FIELDS = ("instruction", "response", "context")
TRAIN, VALIDATION, METADATA = "train_dataset.jsonl", "validation_dataset.jsonl", "dataset_metadata.json"


def write_dataset(
    folder: Path,
    base: Iterable[Mapping[str, Any]],
    ethical: Sequence[TradingRow],
    *,
    validation: Share = "20%",
    seed: int = 0,
    created: str = "",
) -> dict[str, Any]:
    """Write the three files and return the metadata.

    Args:
        base: own rows with `instruction`, `response` and optionally `context`; equal instructions stay on one side.
        ethical: rows of `trading.generate` (of its training part); all are trained on.
        created: ISO time to record; now (UTC) where empty.

    Raises:
        DataError: a row without instruction or response, no room for a validation part, or an instruction that is both
            validated on and among the ethical rows.
    """
    rows = [_plain(row, number) for number, row in enumerate(base, 1)]
    train, held = _split(rows, validation, seed)
    merged = [*train, *(row.model_dump() for row in ethical)]
    shared = {row["instruction"] for row in held} & {row["instruction"] for row in merged}
    if shared:
        raise DataError(
            f"trading: expected validation rows that are not trained on, got {min(shared)[:60]!r}",
            mend="remove it from the own rows",
        )
    merged.sort(key=lambda row: position(f"order {row['instruction']}", seed))
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / TRAIN, merged)
    _write(folder / VALIDATION, held)
    found = Counter(str(row.context.category) for row in ethical)
    metadata = {
        "created": created or datetime.now(UTC).isoformat(timespec="seconds"), "total_examples": len(merged) + len(held),
        "train_examples": len(merged), "validation_examples": len(held), "ethical_examples_added": len(ethical),
        "ethical_categories": {name: found[name] for name in TRADING_CATEGORIES},
    }  # fmt: skip
    (folder / METADATA).write_text(json.dumps(metadata, indent=2) + "\n", encoding="utf-8")
    return metadata


def _plain(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    unknown = [name for name in row if name not in FIELDS]
    if unknown or not row.get("instruction") or not row.get("response"):
        problem = f"an unknown field {unknown[0]!r}" if unknown else "no instruction or no response"
        raise DataError(f"trading: row {number}: expected {', '.join(FIELDS)}, got {problem}", mend="map the columns on import")
    return {**row, "context": row.get("context") or {}}


def _split(rows: list[dict[str, Any]], share: Share, seed: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(train, validation): rows of equal instruction together, groups in the order of their hash until the share is full."""
    part = exact(share)
    if not 0 <= part < 1:
        raise DataError(f"trading: validation: expected a share from 0 to below 1, got {share!r}", mend="use 20%")
    wanted = counts({"validation": part, "train": 1 - part}, len(rows))["validation"]
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[" ".join(row["instruction"].split()).lower()].append(row)
    train: list[dict[str, Any]] = []
    held: list[dict[str, Any]] = []
    for name in sorted(groups, key=lambda name: (position(name, seed), name)):
        (held if len(held) + len(groups[name]) <= wanted else train).extend(groups[name])
    if len(held) != wanted:
        raise DataError(
            f"trading: expected {wanted} of {len(rows)} rows for validation, got {len(held)}: rows of equal instruction stay "
            f"together",
            mend="deduplicate the rows first (solon data dedupe)",
        )
    return train, held


def _write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
