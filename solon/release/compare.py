"""Two runs on the same prompts: the tuned models side by side, with paired statistics. No reply is shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from solon.data.records import EvaluationRow
from solon.errors import DataError, IntegrityError
from solon.evaluation.tasks import ReferencePerplexity
from solon.release import wording as w
from solon.release.facts import TUNED, RunFacts, read_run
from solon.release.report import metric_groups, names

SIDES = ("a", "b")


def render_comparison(run_a: Path, run_b: Path, *, seed: int = 0) -> tuple[dict[str, Any], str]:
    """Compare the tuned models of two runs on the prompts that both held out; B against A.

    Returns:
        `(data, text)`. data: `metrics` [{name, split, a, b, difference {value, low, high, p, p_holm}, trivial}], `labels`
        (how often A's label became B's, per split), `rows` (both labels of every prompt), `runs`,
        `prompts` {shared, only_a, only_b}, `warnings`.

    Raises:
        InputError: a folder is no run. DataError: no prompt in common, or two scorers labelled the rows.
        IntegrityError: a file is damaged.
    """
    from solon.evaluation.compare import compare, pair_rows

    runs = [read_run(Path(run_a)), read_run(Path(run_b))]
    rows, prompts = shared_rows(*(r.rows.get(TUNED, []) for r in runs))
    items = [read_nats(Path(p)) for p in (run_a, run_b)]
    nats = shared_nats(*items)
    pairs = pair_rows(*rows)
    found = compare(*rows, base_perplexity=nats[0], tuned_perplexity=nats[1], seed=seed)
    metrics = [
        {**{k: v for k, v in e.items() if k not in ("base", "tuned")}, "a": e["base"], "b": e["tuned"]} for e in found["metrics"]
    ]
    data = {
        "runs": {side: about(run) for side, run in zip(SIDES, runs, strict=True)},
        "prompts": prompts,
        "metrics": metrics,
        "labels": transitions(pairs),
        "rows": [{"id": one.id, "split": one.split, "a": one.label, "b": two.label} for one, two in pairs],
        "scorer": found["scorer"],
        "tests": found["tests"],
        "warnings": warnings(runs, rows[0], prompts, unlike=all(items) and not nats[0]),
    }
    return data, as_text(data)


def about(run: RunFacts) -> dict[str, Any]:
    """What a run is: constitution, its hash, model, verdict."""
    return {**names(run), "constitution_hash": run.constitution.get("hash"), "verdict": run.summary.get("verdict")}


def shared_rows(a: Sequence[EvaluationRow], b: Sequence[EvaluationRow]) -> tuple[list[list[EvaluationRow]], dict[str, int]]:
    """The rows of both that answer the same prompt under the same id, in the order of A, and how many are left out.

    Raises:
        DataError: none in common.
    """
    other = {_key(row): row for row in b}
    one = [row for row in a if _key(row) in other]
    if not one:
        raise DataError(
            f"runs: expected held-out prompts in common, got none among {len(a)} and {len(b)}",
            mend="evaluate both with the same --prompts and split settings",
        )
    two = [other[_key(row)] for row in one]
    return [one, two], {"shared": len(one), "only_a": len(a) - len(one), "only_b": len(b) - len(two)}


def _key(row: EvaluationRow) -> tuple[Any, ...]:
    return (row.id, row.set, row.split, row.group, tuple(m.content for m in row.messages if m.role == "user"))


def read_nats(run_dir: Path) -> list[ReferencePerplexity]:
    """Perplexity items of a run's tuned model; [] when it was not measured."""
    path = run_dir / "evaluation" / f"{TUNED}.nats.json"
    if not path.exists():
        return []
    try:
        return [ReferencePerplexity.model_validate(item) for item in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, ValidationError) as error:
        raise IntegrityError(f"{path}: expected a list of perplexity items, got {error}", mend="repeat the evaluation") from error


def shared_nats(a: list[ReferencePerplexity], b: list[ReferencePerplexity]) -> list[list[ReferencePerplexity]]:
    """Items with the same id and token count on both sides: with another tokenizer nothing per token can be compared."""
    other = {(i.id, i.tokens): i for i in b}
    one = [i for i in a if (i.id, i.tokens) in other]
    if len(one) < max(len(a), len(b)):
        return [[], []]
    return [one, [other[i.id, i.tokens] for i in one]]


def transitions(pairs: Sequence[tuple[EvaluationRow, EvaluationRow]]) -> list[dict[str, Any]]:
    """How often A's label became B's, where they differ: [{split, a, b, count}], most frequent first within a split."""
    counts = Counter((one.split, one.label, two.label) for one, two in pairs if one.label != two.label)
    order = sorted(counts, key=lambda k: (k[0], -counts[k], k))
    return [{"split": split, "a": one, "b": two, "count": counts[split, one, two]} for split, one, two in order]


def warnings(runs: Sequence[RunFacts], rows: Sequence[EvaluationRow], prompts: dict[str, int], *, unlike: bool) -> list[str]:
    """What a reader must know before trusting the table; `unlike`: perplexity was measured on other items or tokens."""
    found = ["perplexity is not compared: the runs measured other references, or count tokens differently"] if unlike else []
    if prompts["only_a"] or prompts["only_b"]:
        found.append(f"{prompts['only_a']} prompts of A and {prompts['only_b']} of B have no partner and are left out")
    groups = {row.group for row in rows if row.group and row.split != "unseen_wording"}  # that split shares its topics by design
    for side, run in zip("AB", runs, strict=True):
        seen = groups & set(run.pairs.get("groups") or [])
        if seen:
            found.append(f"{len(seen)} prompt groups of this comparison were training data of {side}: its numbers are too good")
    hashes = {run.constitution.get("hash") for run in runs}
    if len(hashes) == 1 and None not in hashes:
        found.append("both runs used the same constitution: the difference is not one between constitutions")
    return found


def as_text(data: dict[str, Any], width: int = 150) -> str:
    """The comparison as tables of plain text."""
    from io import StringIO

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    out = Console(file=StringIO(), width=width, color_system=None, highlight=False)
    for side in SIDES:
        run = data["runs"][side]
        digest = str(run["constitution_hash"] or w.NOT_MEASURED)[:12]
        out.print(f"{side.upper()}: {escape(run['constitution'])} on {escape(run['trained'])} (constitution {digest})")
    out.print(f"{data['prompts']['shared']} prompts in common, labelled by {escape(data['scorer'])}")
    for warning in data["warnings"]:
        out.print(f"warning: {escape(warning)}")
    table = Table("metric", "A", "B", "B - A", "interval", "p (Holm)")
    for split, entries in metric_groups(data):
        table.add_section()
        table.add_row(w.title(w.SPLIT_SHORT, split))
        for e in entries:
            name, difference = e["name"], e["difference"]
            table.add_row(
                f"  {w.title(w.METRIC_TITLES, name)}",
                w.full(e["a"], name),
                w.full(e["b"], name),
                w.change(difference, name),
                w.interval(difference, name),
                w.p_value(difference),
            )
    out.print(table)
    if data["labels"]:
        moved = Table("prompts", "label of A", "label of B", "replies")
        for row in data["labels"]:
            moved.add_row(
                w.title(w.SPLIT_SHORT, row["split"]), *(w.title(w.LABEL_TITLES, row[s]) for s in SIDES), str(row["count"])
            )
        out.print("Where the labels differ:")
        out.print(moved)
    else:
        out.print("No reply is labelled differently.")
    return out.file.getvalue().replace("\u00a0", " ")  # type: ignore[attr-defined]
