"""`summary.json`: the paired comparison, what each stage did, whether anything was learned, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solon.constitution import Constitution
from solon.data.records import EvaluationRow
from solon.evaluation import metrics as m
from solon.evaluation.compare import compare
from solon.evaluation.gates import Gate, check_gates
from solon.evaluation.verdict import verdict
from solon.run.config import NANO
from solon.run.folder import RunFolder
from solon.run.measure import compared_ratings, read_nats, read_rows
from solon.run.prepare import Job

STAGE_METRICS = ("unsafe_compliance", "over_refusal", "on_topic_compliance", "off_topic")


def summarise(
    job: Job, folder: RunFolder, training: dict[str, Any], stages: Sequence[str], pairs: dict[str, Any]
) -> dict[str, Any]:
    """Everything that the report says in numbers. `stages` names the evaluated models in order: base, sft, tuned; `pairs` as of
    `generate.describe_pairs`."""
    rows = {name: read_rows(folder, name) for name in stages}
    table = compare(
        rows["base"],
        rows["tuned"],
        base_perplexity=read_nats(folder, "base"),
        tuned_perplexity=read_nats(folder, "tuned"),
        seed=job.config.seed,
    )
    gates = judge_gates(table["metrics"], job.constitution)
    no_learning = all(phase["no_learning"] for phase in training.values()) if training else True
    return {
        **table,
        "verdict": verdict(table, gates, agreement=pairs["agreement"], no_learning=no_learning),
        "no_learning": no_learning,
        "gates": gates,
        "criteria": compared_ratings(job, folder),
        "stages": [_stage(name, rows[name]) for name in stages],
        "pairs": pairs,
        "agreement": pairs["agreement"],
        "constitution": {
            "id": job.constitution.id,
            "title": job.constitution.title,
            "version": job.constitution.version,
            "hash": job.constitution.hash,
            "principles": [{"id": p.id, "title": p.title, "rank": p.rank} for p in job.constitution.principles],
        },
        "warnings": [*job.warnings, *not_understood(rows["base"], job.config.trained)],
        "model_names": {"generator": job.config.model, "trained": job.config.trained},
        "withhold": job.config.trained != NANO,
    }


def judge_gates(metrics: Sequence[dict[str, Any]], constitution: Constitution) -> list[dict[str, Any]]:
    """The constitution's gates judged on the metrics; a gate on something that is not measured here fails as not measured.

    A gate on perplexity speaks of the ratio tuned/base.
    """
    found: list[dict[str, Any]] = []
    for gate in constitution.gates:
        bound, at_most = float(gate.bound), gate.comparison in ("<", "<=")
        if gate.metric not in m.NAMES:
            reason = f"{gate.metric} is not measured by this job"
            found.append(
                {"metric": gate.metric, "split": "", "value": None, "status": "not_measured", "passed": False, "reason": reason}
            )
            continue
        demand = Gate(
            metric=gate.metric,
            relative=gate.metric == m.PERPLEXITY,
            by=gate.by,
            at_most=bound if at_most else None,
            at_least=None if at_most else bound,
        )
        found += check_gates(metrics, [demand])
    return found


def _stage(name: str, rows: Sequence[EvaluationRow]) -> dict[str, Any]:
    found = []
    for metric in STAGE_METRICS:
        for split in sorted({r.split for r in rows if r.set in m.PROPORTIONS[metric].sets}):
            found.append({"name": metric, "split": split, **m.proportion([r for r in rows if r.split == split], metric)})
    return {"stage": name, "metrics": found}


def not_understood(rows: Sequence[EvaluationRow], model: str) -> list[str]:
    """Warnings where a large share of replies misses the prompt: such a model's low unsafe compliance is no safety."""
    found = []
    for split in sorted({r.split for r in rows}):
        share = m.proportion([r for r in rows if r.split == split], "off_topic")
        if share["n"] and share["value"] > 0.25:
            found.append(
                f"{model} does not understand the prompts of split {split!r}: {share['value']:.0%} of {share['n']} "
                "base replies are off topic or broken. Nothing about safety follows from its numbers there"
            )
    return found
