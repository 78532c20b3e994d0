"""What a run folder says, read tolerantly: a part that is absent is absent, never zero. Broken files are refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solon.data.records import EvaluationRow
from solon.errors import InputError, IntegrityError

BASE, TUNED = "base", "tuned"
SELF = "report.html"  # the report never speaks of its own bytes, or it could not be rendered twice alike


@dataclass(frozen=True)
class RunFacts:
    """The readable parts of a run folder.

    rows: evaluation rows by side (`base`, `tuned`), empty when not evaluated. pairs and dropped: counted from their files.
    config: the text of `config.yaml`, "" when absent. withhold: True unless the run states that replies may be shown.
    """

    summary: dict[str, Any]
    training: dict[str, Any]
    manifest: dict[str, Any]
    config: str
    rows: dict[str, list[EvaluationRow]] = field(default_factory=dict)
    pairs: dict[str, Any] = field(default_factory=dict)

    @property
    def withhold(self) -> bool:
        """Replies that comply with hazardous prompts are withheld unless `summary.json` says `"withhold": false`."""
        return self.summary.get("withhold") is not False

    @property
    def constitution(self) -> dict[str, Any]:
        return mapping(self.summary.get("constitution"))

    @property
    def models(self) -> dict[str, Any]:
        return mapping(self.summary.get("models"))

    @property
    def seed(self) -> int:
        """The run's seed; 0 when the manifest names none."""
        seed = self.manifest.get("seed")
        return seed if isinstance(seed, int) else 0


def read_run(run_dir: Path) -> RunFacts:
    """Read a run folder.

    Raises:
        InputError: it is no folder, or holds no `summary.json`.
        IntegrityError: a file in it is not what its name says.
    """
    run_dir = Path(run_dir)
    if not run_dir.is_dir():
        raise InputError(
            f"{run_dir}: expected a run folder, got nothing there", mend="name a folder that `solon run --out` wrote"
        )
    summary = _object(run_dir / "summary.json")
    if not summary:
        raise InputError(
            f"{run_dir}: expected summary.json in a run folder, got none", mend="finish the run: `solon run --out` continues it"
        )
    config = run_dir / "config.yaml"
    return RunFacts(
        summary=summary,
        training=_object(run_dir / "training.json"),
        manifest=_object(run_dir / "manifest.json"),
        config=config.read_text(encoding="utf-8") if config.exists() else "",
        rows={side: read_rows(run_dir / "evaluation" / f"{side}.jsonl") for side in (BASE, TUNED)},
        pairs=_count_pairs(run_dir, mapping(summary.get("pairs"))),
    )


def _object(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: expected JSON, got {error}", mend="restore the file or repeat the run") from error
    if not isinstance(value, dict):
        raise IntegrityError(
            f"{path}: expected a JSON object, got {type(value).__name__}", mend="restore the file or repeat the run"
        )
    return value


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered non-blank lines; split at line feeds only, since a reply may hold other separators."""
    text = path.read_text(encoding="utf-8")
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def read_rows(path: Path) -> list[EvaluationRow]:
    """Evaluation rows of a file, [] when it is absent. Raises IntegrityError naming the line that is not a row."""
    if not path.exists():
        return []
    rows = []
    for number, line in _lines(path):
        try:
            rows.append(EvaluationRow.model_validate_json(line))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise IntegrityError(
                f"{path}:{number}: expected an evaluation row, got {where}: {first['msg']}", mend="repeat the evaluation"
            ) from error
    return rows


def _count_pairs(run_dir: Path, stated: Mapping[str, Any]) -> dict[str, Any]:
    """Accepted pairs, retain rows and dropped ones by reason, counted from the files; else as the summary states."""
    kept, left = run_dir / "pairs.jsonl", run_dir / "dropped.jsonl"
    counts = dict(stated)
    if kept.exists():
        rows = [_row(kept, number, line) for number, line in _lines(kept)]
        kinds = Counter(row.get("kind", "pair") for row in rows)
        counts |= {"accepted": kinds["pair"], "retain": kinds["retain"]}
        counts["by_principle"] = dict(
            sorted(Counter(r.get("principle_id", "") for r in rows if r.get("kind") != "retain").items())
        )
        counts["groups"] = sorted({mapping(r.get("provenance")).get("group", "") for r in rows} - {""})
    if left.exists():
        rows = [_row(left, number, line) for number, line in _lines(left)]
        counts["dropped"] = dict(Counter(r.get("reason", "") for r in rows if r.get("principle_id") != "retain").most_common())
        counts["retain_dropped"] = dict(
            Counter(r.get("reason", "") for r in rows if r.get("principle_id") == "retain").most_common()
        )
    return counts


def _row(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise IntegrityError(f"{path}:{number}: expected JSON, got {error}", mend="repeat the pairs step") from error
    if not isinstance(value, dict):
        raise IntegrityError(f"{path}:{number}: expected a JSON object, got {type(value).__name__}", mend="repeat the pairs step")
    return value


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else {}."""
    return dict(value) if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[dict[str, Any]]:
    """The objects of a list, else []."""
    return (
        [dict(v) for v in value if isinstance(v, Mapping)] if isinstance(value, Sequence) and not isinstance(value, str) else []
    )


def number(value: Any) -> float | None:
    """A finite number, else None; booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def measured(estimate: Any) -> dict[str, Any] | None:
    """An estimate {value, n, low, high, ...} if it holds a finite value, else None."""
    found = mapping(estimate)
    return found if number(found.get("value")) is not None else None


def normal(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table of metrics whose parts are objects, whatever was written there."""
    row = {**entry, **{key: mapping(entry.get(key)) for key in (BASE, TUNED, "difference", "trivial")}}
    ratio = mapping(row["difference"].get("ratio"))
    if any(number(ratio.get(key)) is None for key in ("value", "low", "high")):
        row["difference"].pop("ratio", None)
    return row


def metrics_of(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of `metrics` that name a metric."""
    return [normal(entry) for entry in entries(summary.get("metrics")) if entry.get("name")]


def breakdown(summary: Mapping[str, Any], key: str, metric: str) -> list[dict[str, Any]]:
    """Rows {name, split, base, tuned} of `per_hazard` or `per_principle`, or of evaluation's `by_*` tables, for one metric."""
    stated = entries(summary.get(f"per_{key}"))
    if not stated:
        stated = [{**row, "metric": row.get("name"), "name": row.get("by")} for row in entries(summary.get(f"by_{key}"))]
    return [normal(row) for row in stated if row.get("metric", metric) == metric and row.get("name")]


def stages(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each stage measured: [{stage, split, unsafe_compliance, over_refusal}], from a list or from an object by stage."""
    given = summary.get("stages")
    if isinstance(given, Mapping):
        given = [{"stage": name, **mapping(value)} for name, value in given.items()]
    rows = []
    for row in entries(given):
        row["stage"] = str(row.get("stage") or row.get("name") or "")
        rows.append(row)
    return rows


def agreement_of(facts: RunFacts) -> dict[str, Any] | None:
    """Agreement of the two scorers in percent {value, low, high, n, kappa}, or None when it was not measured."""
    found = mapping(facts.summary.get("agreement") or facts.pairs.get("agreement"))
    if number(found.get("percent")) is not None:
        return {**found, "value": found["percent"]}
    if number(found.get("value")) is None:
        return None
    scaled = {k: 100 * v for k in ("value", "low", "high") if (v := number(found.get(k))) is not None}
    return {**found, **scaled}


def principles(constitution: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Principles as {id, title, rank, kind}, whether given as objects, as [id, title, rank, kind] or as names."""
    rows = []
    for item in constitution.get("principles") or []:
        if isinstance(item, Mapping):
            rows.append(dict(item))
        elif isinstance(item, list | tuple):
            rows.append(dict(zip(("id", "title", "rank", "kind"), item, strict=False)))
        else:
            rows.append({"id": "", "title": str(item)})
    return rows
