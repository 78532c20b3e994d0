"""A trading fine-tuning set in the documented form: own rows split, the ethical rows merged into what is trained on.

`train_dataset.jsonl`, `validation_dataset.jsonl` and `dataset_metadata.json` with the documented keys. Only own rows are split (20 %
for validation); the ethical examples all go into training, and their evaluation is the held-out part of the generator. With 4,890 own
rows and the 11 documented examples this gives 3,923 + 978 = 4,901.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from solon.data.example import Example, to_row
from solon.data.files import created as now
from solon.data.files import refuse_held_out, refuse_scripted, write_rows
from solon.data.quotas import Share, counts, exact
from solon.data.rows import TRADING_CATEGORIES, TradingRow
from solon.data.sources import load_examples
from solon.data.splits import position
from solon.errors import DataError

FIELDS = ("instruction", "response", "context")
TRAIN, VALIDATION, METADATA = "train_dataset.jsonl", "validation_dataset.jsonl", "dataset_metadata.json"


def write_files(
    folder: str | Path, base: str | Path, ethical: str | Path, *, validation: Share = "20%", seed: int = 0
) -> dict[str, Any]:
    """`write_dataset` of two files: own rows of any shape with prompt and reply, and rows of `generate trading`.

    Raises:
        DataError: see `write_dataset`; or an ethical row that is no row of the trading generator's training part.
    """
    own = [_own(refuse_scripted(example, str(base)), str(base), number) for number, example in enumerate(load_examples(base), 1)]
    merged = [
        _ethical(refuse_held_out(example, str(ethical)), str(ethical), number)
        for number, example in enumerate(load_examples(ethical), 1)
    ]
    return write_dataset(Path(folder), own, merged, validation=validation, seed=seed, inputs=(base, ethical))


def _own(example: Example, where: str, number: int) -> dict[str, Any]:
    if len(example.conversation()) > 1:
        raise DataError(f"{where}: row {number}: expected one instruction, got a conversation", mend="leave such rows out")
    context = example.fields.get("context") or {}
    return {"instruction": example.prompt, "response": example.response, "context": context}


def _ethical(example: Example, where: str, number: int) -> TradingRow:
    row = to_row(example)
    if not isinstance(row, TradingRow):
        raise DataError(
            f"{where}: row {number}: expected a row of `solon data generate trading`, got one of form {example.form}",
            mend="name the file that it wrote",
        )
    return row


def write_dataset(
    folder: Path,
    base: Iterable[Mapping[str, Any]],
    ethical: Sequence[TradingRow],
    *,
    validation: Share = "20%",
    seed: int = 0,
    created: str = "",
    inputs: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """Write the three files, cards and manifests beside the two of rows, and return the metadata.

    Args:
        base: own rows with `instruction`, `response` and optionally `context`; equal instructions stay on one side.
        ethical: rows of `trading.generate` (of its training part); all are trained on.
        inputs: files that the rows came from, for the manifests.
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
    for name, part in ((TRAIN, merged), (VALIDATION, held)):
        write_rows(folder / name, part, made_by="trading-set", inputs=inputs, seed=seed)
    found = Counter(str(row.context.category) for row in ethical)
    metadata = {
        "created": created or now(), "total_examples": len(merged) + len(held),
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
