"""Two models on the same prompts: paired differences, exact tests, Holm's correction, and a verdict in words.

Each proportion is tested by McNemar's exact test on items (`p`). Items of one prompt group are not independent, so the exact
sign-flip test on whole groups is given too (`p_groups`; the same number when each group has one item), and a difference counts
as shown only when both are below 0.05 after Holm over the whole table. Intervals: the wider of Newcombe's paired method and
the bootstrap over groups. Perplexity: bootstrap over groups of nats per token.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from solon.data.records import EvaluationRow
from solon.errors import DataError
from solon.evaluation import metrics as m
from solon.evaluation.stats import holm, mcnemar_exact, newcombe_paired, paired_bootstrap, sign_flip_exact
from solon.evaluation.tasks import ReferencePerplexity

ALPHA = 0.05
Pairs = list[tuple[EvaluationRow, EvaluationRow]]


def pair_rows(base: Sequence[EvaluationRow], tuned: Sequence[EvaluationRow]) -> Pairs:
    """Rows of the two models that answer the same prompt, in the order of `base`.

    Raises:
        DataError: an id occurs twice or in one model only, or the same id stands for another prompt, split or group.
    """
    for side, rows in (("base", base), ("tuned", tuned)):
        twice = [name for name, count in Counter(r.id for r in rows).items() if count > 1]
        if twice:
            raise DataError(
                f"{side} rows: expected unique ids, got {twice[0]!r} more than once", mend="evaluate each prompt once"
            )
    other = {r.id: r for r in tuned}
    alone = sorted({r.id for r in base} ^ set(other))
    if alone or not base:
        raise DataError(
            f"paired rows: expected the same ids on both sides, got {len(base)} and {len(tuned)} rows, {len(alone)} ids alone"
            + (f" (first: {alone[0]!r})" if alone else ""),
            mend="evaluate both models on the same prompts",
        )
    pairs = [(row, other[row.id]) for row in base]
    for one, two in pairs:
        if _prompt_of(one) != _prompt_of(two):
            raise DataError(f"row {one.id!r}: expected the same prompt, set, split and group on both sides, got others",
                            mend="evaluate both models on the same prompts")  # fmt: skip
    return pairs


def _prompt_of(row: EvaluationRow) -> tuple[Any, ...]:
    return (row.set, row.split, row.group, tuple(x.content for x in row.messages if x.role == "user"))


def difference(pairs: Pairs, name: str, seed: int = 0) -> dict[str, Any]:
    """The paired difference of one proportion over the items that both sides scored: value, low, high, p, p_groups, n, b, c."""
    metric = m.PROPORTIONS[name]
    kept = [
        (int(metric.counts(one)), int(metric.counts(two)), one.group)
        for one, two in pairs
        if one.set in metric.sets and metric.only(one) and "unscored" not in (one.label, two.label)
    ]
    if not kept:
        return {
            "value": None,
            "low": None,
            "high": None,
            "p": None,
            "p_groups": None,
            "n": 0,
            "reason": "no item scored on both sides",
        }
    b = sum(1 for x, y, _ in kept if x and not y)
    c = sum(1 for x, y, _ in kept if y and not x)
    nets: dict[str, int] = {}
    for x, y, group in kept:
        nets[group] = nets.get(group, 0) + y - x
    both = sum(1 for x, y, _ in kept if x and y)
    score = newcombe_paired(both, b, c, len(kept) - both - b - c)
    boot = paired_bootstrap([x for x, _, _ in kept], [y for _, y, _ in kept], seed, [g for _, _, g in kept], resamples=4_000)
    return {
        "value": (c - b) / len(kept),
        "low": min(score.low, boot.low),
        "high": max(score.high, boot.high),
        "p": mcnemar_exact(b, c),
        "p_groups": sign_flip_exact(list(nets.values())),
        "n": len(kept),
        "base_only": b,
        "tuned_only": c,
    }


def perplexity_difference(
    base: Sequence[ReferencePerplexity] | None, tuned: Sequence[ReferencePerplexity] | None, seed: int = 0
) -> dict[str, Any]:
    """Paired difference of benign perplexity; `nats` holds the difference per token, `ratio` tuned/base with its interval.

    Raises:
        DataError: the two sides do not hold the same ids with the same token counts.
    """
    if not base or not tuned:
        return {"value": None, "low": None, "high": None, "p": None, "n": 0, "reason": "not measured on both sides"}
    other = {i.id: i for i in tuned}
    if len(base) != len(tuned) or any(i.id not in other or other[i.id].tokens != i.tokens for i in base):
        raise DataError(
            "perplexity: expected the same ids and token counts on both sides, got others", mend="use one tokenizer and one set"
        )
    diff = paired_bootstrap(
        [i.nats for i in base],
        [other[i.id].nats for i in base],
        seed,
        [i.group for i in base],
        weights=[i.tokens for i in base],
    )
    start = m.perplexity(base)["value"]
    ratio = [math.exp(min(x, 700.0)) for x in diff[:3]]
    value, low, high = (start * (r - 1) for r in ratio)
    return {
        "value": value,
        "low": low,
        "high": high,
        "p": diff.p,
        "n": len(base),
        "ratio": {"value": ratio[0], "low": ratio[1], "high": ratio[2]},
        "nats": {"value": diff.value, "low": diff.low, "high": diff.high},
    }


def _correct(entries: Iterable[dict[str, Any]]) -> None:
    """Write Holm-corrected p-values into the differences of one family of tests."""
    tested = [e for e in entries if e["p"] is not None]
    for key, target in (("p", "p_holm"), ("p_groups", "p_groups_holm")):
        for entry, value in zip(tested, holm([e.get(key, e["p"]) for e in tested]), strict=True):
            entry[target] = value


def shown(entry: dict[str, Any]) -> bool:
    """Whether a difference stands after Holm, item by item and group by group."""
    return entry["p"] is not None and max(entry["p_holm"], entry["p_groups_holm"]) < ALPHA


def compare(
    base_rows: Sequence[EvaluationRow],
    tuned_rows: Sequence[EvaluationRow],
    *,
    base_perplexity: Sequence[ReferencePerplexity] | None = None,
    tuned_perplexity: Sequence[ReferencePerplexity] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All metrics of two models on the same prompts, in the shape of `summary.json`.

    Returns:
        `metrics` [{name, split, base, tuned, difference, trivial}], `by_hazard`, `by_principle`, `by_wording` (the same with
        `by` in front, Holm within each table), `labels` {base, tuned} by split, `models`, `scorer`, `tests` (size of the family).

    Raises:
        DataError: the rows do not pair (see `pair_rows`), or two scorers labelled them.
    """
    pairs = pair_rows(base_rows, tuned_rows)
    scorers = sorted({row.scorer for pair in pairs for row in pair})
    if len(scorers) > 1:
        raise DataError(f"scorer: expected one for both sides, got {', '.join(scorers)}", mend="label both again with one scorer")
    table = [
        _entry(name, split, [p for p in pairs if p[0].split == split], seed) for name, split in m.cells([one for one, _ in pairs])
    ]
    table.append(
        {
            "name": m.PERPLEXITY,
            "split": "benign",
            "base": m.perplexity(base_perplexity),
            "tuned": m.perplexity(tuned_perplexity),
            "difference": perplexity_difference(base_perplexity, tuned_perplexity, seed),
            "trivial": m.trivial(m.PERPLEXITY),
        }
    )
    for entry in table:
        entry["difference"].setdefault("p_holm", None)
    _correct(entry["difference"] for entry in table)
    return {
        "metrics": table,
        "by_hazard": _table(pairs, "hazard", ("unsafe_compliance", "off_topic"), seed),
        "by_principle": _table(pairs, "principle_id", ("principle_adherence", "unsafe_compliance"), seed),
        "by_wording": _table(pairs, "wording", tuple(m.PROPORTIONS), seed),
        "labels": {"base": m.label_counts([a for a, _ in pairs]), "tuned": m.label_counts([b for _, b in pairs])},
        "models": {"base": base_rows[0].model, "tuned": tuned_rows[0].model},
        "scorer": scorers[0],
        "tests": sum(entry["difference"]["p"] is not None for entry in table),
    }


def _entry(name: str, split: str, pairs: Pairs, seed: int) -> dict[str, Any]:
    return {
        "name": name,
        "split": split,
        "base": m.proportion([one for one, _ in pairs], name),
        "tuned": m.proportion([two for _, two in pairs], name),
        "difference": difference(pairs, name, seed),
        "trivial": m.trivial(name),
    }


def _table(pairs: Pairs, field: str, names: Sequence[str], seed: int) -> list[dict[str, Any]]:
    """Metrics within each value of a field and split, corrected within the table; cells without a scored row are left out."""
    table = []
    for value in m.by([one for one, _ in pairs], field):
        inside = [p for p in pairs if getattr(p[0], field) == value]
        for name, split in m.cells([one for one, _ in inside]):
            if name in names:
                table.append({"by": value, **_entry(name, split, [p for p in inside if p[0].split == split], seed)})
    table = [e for e in table if e["base"]["n"] or e["tuned"]["n"]]
    for entry in table:
        entry["difference"].setdefault("p_holm", None)
    _correct(entry["difference"] for entry in table)
    return table
