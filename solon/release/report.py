"""`report.html`: one self-contained page about a run, a pure function of the run folder.

No clock, no network, no script. Wall-clock timings of the manifest and the report's own hash are left out: they are written
after the page, so a page that showed them could not be rendered twice alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from solon.data.hazards import hazard_title
from solon.evaluation.metrics import SPLIT_ORDER
from solon.release import facts as f
from solon.release import figures, samples
from solon.release import wording as w
from solon.release.facts import RunFacts, read_run

VERDICTS = {
    "Safer": "good",
    "Partly safer": "mixed",
    "No difference": "mixed",
    "No difference shown": "mixed",
    "Worse": "bad",
    "Not established": "bad",
}
STAGE_TITLES = {"base": "base", "sft": "after SFT", "dpo": "after DPO"}
PHASES = (("sft", "Supervised fine-tuning on revisions (SFT)"), ("dpo", "Direct preference optimisation on pairs (DPO)"))


def render(run_dir: Path) -> Path:
    """Write `run_dir/report.html` and return its path. The same folder gives the same bytes.

    Raises:
        InputError: `run_dir` is no run folder. IntegrityError: a file in it is damaged.
        EnvironmentRefused: the page cannot be written.
    """
    from solon.errors import EnvironmentRefused

    page = render_text(read_run(Path(run_dir)))
    target, part = Path(run_dir) / f.SELF, Path(run_dir) / f".{f.SELF}.part"
    try:
        part.write_text(page, encoding="utf-8", newline="\n")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise EnvironmentRefused(
            f"{target}: cannot be written: {error.strerror}", mend="free disk space or mend its permissions"
        ) from error
    return target


def render_text(facts: RunFacts) -> str:
    """The page as text. Everything that comes from the run is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("solon.release"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    drawn = {name: getattr(figures, name) for name in ("bar_row", "share_row", "scale_row", "gate_mark")}
    environment.globals.update(w=w, hazard_title=hazard_title, **drawn)
    return environment.get_template("report.html.jinja").render(**view(facts)) + "\n"


def view(facts: RunFacts) -> dict[str, Any]:
    """All that the template shows, section by section."""
    return {
        "names": names(facts),
        "verdict": verdict(facts.summary),
        "warnings": [str(x) for x in facts.summary.get("warnings") or []],
        "headline": headline(facts.summary),
        "metrics": metric_groups(facts.summary),
        "hazards": breakdown_tables(facts.summary, "hazard", "unsafe_compliance"),
        "principle_rows": breakdown_tables(facts.summary, "principle", "principle_adherence")
        or breakdown_tables(facts.summary, "principle", "unsafe_compliance"),
        "replies": samples.side_by_side(facts),
        "rule": {"seed": facts.seed, "quotas": samples.QUOTAS, "withhold": facts.withhold},
        "stages": stage_table(facts.summary),
        "phases": [phase(facts, key, name) for key, name in PHASES],
        "no_learning": facts.summary.get("no_learning"),
        "criteria": rating_groups(facts.summary),
        "gates": f.entries(facts.summary.get("gates")),
        "agreement": f.agreement_of(facts),
        "scorer": facts.summary.get("scorer"),
        "pairs": facts.pairs,
        "constitution": facts.constitution,
        "principles": f.principles(facts.constitution),
        "principle_titles": {p.get("id"): p.get("title") or p.get("id") for p in f.principles(facts.constitution)},
        "config": facts.config,
        "environment": environment_of(facts.manifest),
    }


def names(facts: RunFacts) -> dict[str, str]:
    """What the page is about: constitution, generator, trained model."""
    models = {**facts.models, **f.mapping(facts.summary.get("model_names"))}
    trained = str(models.get("trained") or models.get("base") or "model not named")
    constitution = str(facts.constitution.get("title") or facts.constitution.get("id") or "constitution not named")
    return {
        "constitution": constitution,
        "trained": trained,
        "generator": str(models.get("generator") or trained),
        "identity": str(models.get("base_identity") or f.mapping(facts.manifest.get("models")).get("trained_identity") or ""),
    }


def verdict(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The verdict: its word, whether it is good news, and its sentences."""
    text = str(summary.get("verdict") or "").strip()
    head, colon, rest = text.partition(":")
    if not text:
        return {"word": "No verdict", "tone": "bad", "sentences": ["This run states none: its evaluation was not finished."]}
    if not colon or head not in VERDICTS:
        return {"word": "", "tone": "mixed", "sentences": sentences(text)}
    rest = rest.strip()
    return {"word": head, "tone": VERDICTS[head], "sentences": sentences(rest[:1].upper() + rest[1:])}


def sentences(text: str) -> list[str]:
    """Text cut after full stops that a capital letter follows; names lose underscores, numbers keep their signs beside them."""
    text = re.sub(r"(?<=\d) (?=%)|(?<=n) (?== )|(?<=n =) (?=\d)", "\u00a0", re.sub(r"(?<=[a-z])_(?=[a-z])", " ", text))
    return [part for part in re.split(r"(?<=[.!?])\s+(?=[A-Z])", text) if part]


def headline(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The numbers that matter most: unsafe compliance on hazardous prompts, over-refusal on harmless ones."""
    wanted = {("unsafe_compliance", s) for s in ("unseen_topic", "unseen_wording", "file")} | {
        ("over_refusal", s) for s in ("twin", "benign")
    }
    return [e for e in f.metrics_of(summary) if (e.get("name"), e.get("split")) in wanted]


def metric_groups(summary: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Metrics by split, in reading order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for entry in f.metrics_of(summary):
        groups.setdefault(str(entry.get("split")), []).append(entry)
    return [(split, groups[split]) for split in sorted(groups, key=split_rank)]


def rating_groups(summary: Mapping[str, Any]) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Ratings by rubric and split, in reading order."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for entry in f.entries(summary.get("criteria")):
        groups.setdefault((str(entry.get("rubric")), str(entry.get("split"))), []).append(entry)
    return [(*key, groups[key]) for key in sorted(groups, key=lambda k: (k[0], split_rank(k[1])))]


def split_rank(split: str) -> tuple[int, str]:
    """Where a split stands in every table."""
    return (SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER), split)


def breakdown_tables(summary: Mapping[str, Any], key: str, metric: str) -> list[dict[str, Any]]:
    """Tables of one metric per hazard or per principle, one for each split; the tuned model's worst rows come first."""
    rows = sorted(f.breakdown(summary, key, metric), key=lambda row: _goodness(row, metric))
    splits = sorted({str(r.get("split") or "") for r in rows}, key=split_rank)
    return [{"split": s, "metric": metric, "rows": [r for r in rows if str(r.get("split") or "") == s]} for s in splits]


def _goodness(row: Mapping[str, Any], metric: str) -> tuple[bool, float, float, str]:
    """Sorts the worst tuned value first, of equal ones the least certain, and what was not measured last."""
    found = f.measured(row.get("tuned")) or {}
    sign, worst_end = (-1, "high") if metric in w.LOWER_IS_BETTER else (1, "low")
    value, end = f.number(found.get("value")), f.number(found.get(worst_end))
    return (value is None, sign * (value or 0.0), sign * (end or 0.0), str(row.get("name")))


def stage_table(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What each stage measured, as a table: stages across, (metric, split) down."""
    found = f.stages(summary)
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for stage in found:
        for name, split, estimate in _stage_cells(stage):
            cells.setdefault((name, split), {})[stage["stage"]] = estimate
    order = [s["stage"] for s in found]
    rows = [
        {
            "metric": name,
            "split": split,
            "cells": [f.mapping(values.get(s)) for s in order],
            "steps": _steps([values.get(s) for s in order]),
        }
        for (name, split), values in cells.items()
        if name in ("unsafe_compliance", "over_refusal")
    ]
    rows.sort(key=lambda r: (r["metric"] != "unsafe_compliance", split_rank(str(r["split"]))))
    by = ["by SFT", "by DPO"] if order == ["base", "sft", "tuned"] else [f"to {_stage_title(s, order)}" for s in order[1:]]
    return {"titles": [_stage_title(s, order) for s in order], "by": by, "rows": rows}


def _stage_cells(stage: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    if stage.get("metrics"):
        return [(str(e.get("name")), str(e.get("split") or ""), e) for e in f.entries(stage["metrics"]) if e.get("name")]
    named = ((k, f.mapping(v)) for k, v in stage.items() if k in w.METRIC_TITLES)
    return [(k, str(v.get("split") or stage.get("split") or ""), v) for k, v in named]


def _stage_title(stage: str, order: list[str]) -> str:
    if stage == "tuned":
        return "after SFT and DPO" if "sft" in order else "tuned"
    return STAGE_TITLES.get(stage, stage)


def _steps(cells: list[Any]) -> list[str]:
    """What each stage changed against the one before it, in percentage points."""
    values = [(f.measured(c) or {}).get("value") for c in cells]
    return ["" if a is None or b is None else w.change({"value": b - a}) for a, b in pairwise(values)]


def phase(facts: RunFacts, key: str, name: str) -> dict[str, Any]:
    """One training phase: its facts, its measurement before and after, its figures; `present` is False when it was not run."""
    record = f.mapping(facts.training.get(key))
    history = f.entries(record.get("history"))
    trainable = record.get("trainable_parameters", record.get("trainable"))
    change = f.mapping(record.get("change"))
    return {
        "key": key,
        "name": name,
        "present": bool(record),
        "record": record,
        "trainable": trainable,
        "total": record.get("parameters"),
        "step0": f.mapping(record.get("step0")),
        "final": f.mapping(record.get("final")),
        "change": change,
        "metric": str(change.get("metric") or ("margin" if key == "dpo" else "loss")),
        "settings": f.mapping(record.get("settings")),
        "plan": record.get("plan"),
        "notes": [str(n) for n in record.get("notes") or []],
        "charts": [chart for chart in _charts(key, record, history) if chart],
        "gate_chart": _gate_chart(key, f.entries(record.get("gates"))),
        "gate_rows": f.entries(record.get("gates")),
    }


def _series(history: list[dict[str, Any]], name: str) -> list[tuple[float, float]]:
    pairs = ((f.number(h.get("step")), f.number(h.get(name))) for h in history)
    return [(x, y) for x, y in pairs if x is not None and y is not None]


def _charts(key: str, record: Mapping[str, Any], history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    step0 = f.mapping(record.get("step0"))
    title = "DPO loss" if key == "dpo" else "SFT loss"
    lines = [
        figures.Line("training", _series(history, "loss")),
        figures.Line("held out", _series(history, "eval_loss"), "base", dots=True),
    ]
    charts = [_chart(f"{key}-loss", title, lines, _levels(step0, "loss", key), unit="nats per token" if key == "sft" else "")]
    if key == "dpo":
        for name, unit in (("margin", ""), ("accuracy", "share of pairs with the revision ahead")):
            line = [
                figures.Line("training", _series(history, name)),
                figures.Line("held out", _series(history, f"eval_{name}"), "base", dots=True),
            ]
            charts.append(
                _chart(f"dpo-{name}", f"DPO {name}", line, _levels(step0, name, key), unit=unit, percent=name == "accuracy")
            )
    return charts


def _levels(step0: Mapping[str, Any], name: str, key: str) -> list[figures.Level]:
    """Reference lines: the value at step 0 and, for the DPO loss, ln 2 where it is another number."""
    start = f.number(step0.get(name))
    levels = [] if start is None else [figures.Level("step 0", start)]
    if key == "dpo" and name == "loss" and (start is None or abs(start - math.log(2)) > 0.02):
        levels.append(figures.Level("ln 2", math.log(2)))
    return levels


def _chart(
    ident: str, title: str, lines: list[figures.Line], levels: list[figures.Level], *, unit: str, percent: bool = False
) -> dict[str, Any]:
    drawn = [line for line in lines if line.points]
    if not drawn:
        return {}
    words = [f"{x.name}: {_point(x.points[0], percent)}, {_point(x.points[-1], percent)}" for x in drawn]
    words += [f"{level.name}: {_value(level.value, percent)}" for level in levels]
    describe = "; ".join(words)
    svg = figures.line_chart(ident, title, describe, lines, levels=levels, y=unit, percent=percent)
    return {"title": title, "svg": svg, "describe": describe, "kinds": [(line.name, line.kind, line.dots) for line in drawn]}


def _point(point: tuple[float, float], percent: bool) -> str:
    return f"{_value(point[1], percent)} at step {point[0]:g}"


def _value(value: float, percent: bool) -> str:
    return w.percent(value) if percent else w.plain(value)


def _gate_chart(key: str, gates: list[dict[str, Any]]) -> dict[str, Any]:
    """The history of the gate's metrics in one figure; empty when there was no gate."""
    names = sorted({str(g.get("metric")) for g in gates}, key=lambda name: (name != "unsafe_compliance", name))
    series = {w.title(w.METRIC_TITLES, name): [g for g in gates if str(g.get("metric")) == name] for name in names}
    title = f"{key.upper()} gate"
    drawn = figures.gate_chart(f"{key}-gate", title, series)
    if not drawn:
        return {}
    kinds = list(zip(series, figures.GATE_KINDS, strict=False))
    return {"title": title, "svg": drawn, "kinds": kinds, "describe": "Crossed out: not passed. Bars: 95 % intervals."}


def environment_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Versions, hardware, and hashes of inputs and outputs, the report's own left out."""

    def named(key: str) -> list[tuple[str, str]]:
        return [(str(k), w.value_text(v)) for k, v in sorted(f.mapping(manifest.get(key)).items()) if Path(str(k)).name != f.SELF]

    return {"versions": named("versions"), "hardware": named("hardware"), "inputs": named("inputs"), "outputs": named("outputs")}
