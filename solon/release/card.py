"""The model card of a run: Markdown that can lie beside published weights. It holds no reply of any model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from solon.release import facts as f
from solon.release import wording as w
from solon.release.facts import RunFacts, read_run
from solon.release.report import metric_groups, names, split_rank, stage_table, verdict

INTENDED = """\
Research on training by a written constitution, and reproduction of the numbers below. Use the model with oversight: the
numbers speak of the prompts measured here, and nothing follows for other kinds of prompt, other languages, long
conversations or deliberate attacks."""
NANO = """\
The embedded model `nano` is a demonstration: it speaks about a small world in short sentences, knows nothing, and must not
be used for advice of any kind."""


def model_card(run_dir: Path) -> str:
    """The card as Markdown: verdict, metrics with n and intervals, use, limits, data, training, hashes.

    Raises:
        InputError: `run_dir` is no run folder. IntegrityError: a file in it is damaged.
    """
    facts = read_run(Path(run_dir))
    title = names(facts)
    sections = [
        _front(title),
        f"# {cell(title['trained'])} trained on {cell(title['constitution'])}",
        _verdict(facts),
        "## Intended use\n\n" + INTENDED + ("\n\n" + NANO if title["trained"] == "nano" else ""),
        "## Measurements\n\n" + _metrics(facts),
        "## What SFT did and what DPO added\n\n" + _stages(facts),
        "## Limits\n\n" + _limits(facts),
        "## Constitution\n\n" + _constitution(facts),
        "## Data\n\n" + _data(facts),
        "## Training\n\n" + _training(facts),
        "## Versions\n\n" + _pairs_of(f.mapping(facts.manifest.get("versions"))),
    ]
    return "\n\n".join(section for section in sections if section).rstrip() + "\n"


def cell(value: Any) -> str:
    """Text that is inert in Markdown and in a table cell: one line, with pipes, angle brackets and backticks escaped."""
    text = re.sub(r"[ \t\r\n\v\f\u2028\u2029]+", " ", str(value)).strip()
    for old, new in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), (">", "&gt;"), ("`", "\\`"), ("[", "\\["), ("]", "\\]")):
        text = text.replace(old, new)
    return text


def table(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(cell(c) for c in row) + " |" for row in rows])


def _front(title: dict[str, str]) -> str:
    """Front matter as model hubs read it; the names are JSON strings, which are YAML strings too."""
    import json

    tags = "\n".join(f"- {tag}" for tag in ("solon", "constitutional-ai", "dpo"))
    return f"---\nlibrary_name: transformers\nbase_model: {json.dumps(title['trained'])}\ntags:\n{tags}\n---"


def _verdict(facts: RunFacts) -> str:
    found = verdict(facts.summary)
    text = " ".join(cell(s) for s in found["sentences"])
    warnings = [f"- {cell(x)}" for x in facts.summary.get("warnings") or []]
    body = f"**{found['word']}.** {text}" if found["word"] else text
    return body + ("\n\nWarnings:\n\n" + "\n".join(warnings) if warnings else "")


def _metrics(facts: RunFacts) -> str:
    rows = []
    for split, entries in metric_groups(facts.summary):
        for entry in entries:
            name, difference, constant = str(entry.get("name")), entry.get("difference"), entry.get("trivial")
            change = " ".join(x for x in (w.change(difference, name), _in_brackets(w.interval(difference, name))) if x)
            sides = [w.full(entry.get(side), name) for side in (f.BASE, f.TUNED)]
            baselines = f"{w.trivial(constant, 'refuse_all')} / {w.trivial(constant, 'comply_all')}"
            rows.append(
                [w.title(w.METRIC_TITLES, name), w.title(w.SPLIT_SHORT, split), *sides, change, w.p_value(difference), baselines]
            )
    if not rows:
        return w.NOT_MEASURED
    head = ["metric", "prompts", "base", "tuned", "difference", "p (Holm)", "refuse all / comply all"]
    return "Held-out prompts, 95 % intervals.\n\n" + table(head, rows)


def _in_brackets(text: str) -> str:
    return f"({text})" if text else ""


def _stages(facts: RunFacts) -> str:
    found = stage_table(facts.summary)
    if not found["rows"]:
        return w.NOT_MEASURED
    rows = [
        [w.title(w.METRIC_TITLES, r["metric"]), w.title(w.SPLIT_SHORT, r["split"]), *(w.full(c, r["metric"]) for c in r["cells"])]
        for r in found["rows"]
    ]
    return table(["metric", "prompts", *found["titles"]], rows)


def _limits(facts: RunFacts) -> str:
    agreement = f.agreement_of(facts)
    said = (
        f"The two scorers agree on {agreement['value']:.1f} % ({w.interval(agreement, '', 1.0)}, n = {agreement.get('n')})."
        if agreement
        else "Agreement between the two scorers was not measured."
    )
    unscored = sorted(
        {
            (str(e.get("split")), n)
            for e in f.entries(facts.summary.get("metrics"))
            if (n := f.mapping(e.get("tuned")).get("unscored"))
        },
        key=lambda x: split_rank(x[0]),
    )
    lines = [
        "- Labels come from an automatic scorer, which errs. " + said,
        "- Absent numbers were not measured; they are not zero.",
        "- A refusal on these prompts is no proof of one on others.",
    ]
    lines += [f"- {n} tuned replies on {w.title(w.SPLIT_SHORT, split)} could not be scored." for split, n in unscored]
    if facts.summary.get("no_learning"):
        lines.append("- **No learning**: no difference may be credited to training.")
    return "\n".join(lines)


def _constitution(facts: RunFacts) -> str:
    c = facts.constitution
    name, version = c.get("title") or c.get("id") or "not named", c.get("version", "not stated")
    head = f"{cell(name)}, version {cell(version)}, SHA-256 of its canonical form:"
    items = [f"{i}. {cell(p.get('title') or p.get('id'))}" for i, p in enumerate(f.principles(c), 1)]
    return f"{head}\n\n`{c.get('hash') or w.NOT_MEASURED}`" + ("\n\n" + "\n".join(items) if items else "")


def _data(facts: RunFacts) -> str:
    pairs = facts.pairs
    dropped = f.mapping(pairs.get("dropped"))
    lines = [
        f"- critiques and revisions by {cell(names(facts)['generator'])}",
        f"- pairs accepted: {w.plain(pairs.get('accepted'))}; harmless answers retained: {w.plain(pairs.get('retain'))}",
        f"- first responses that broke the principle: {w.full(pairs.get('violation_rate'))}",
        "- dropped: " + (", ".join(f"{cell(k)} {w.plain(v)}" for k, v in dropped.items()) or w.NOT_MEASURED),
    ]
    hashes = {**f.mapping(facts.manifest.get("inputs")), **f.mapping(facts.manifest.get("outputs"))}
    shown = {k: v for k, v in hashes.items() if k.endswith((".jsonl", ".json", ".csv", ".txt", ".yaml", ".md", ".safetensors"))}
    return "\n".join(lines) + ("\n\n" + _pairs_of(shown) if shown else "")


def _training(facts: RunFacts) -> str:
    blocks = []
    for key in ("sft", "dpo"):
        record = f.mapping(facts.training.get(key))
        if not record:
            blocks.append(f"### {key.upper()}\n\nnot run, or {w.NOT_MEASURED}")
            continue
        change, settings = f.mapping(record.get("change")), f.mapping(record.get("settings"))
        outcome = record.get("verdict") or ("no learning" if record.get("no_learning") else "learned")
        trainable = record.get("trainable_parameters", record.get("trainable"))
        text = (
            f"{cell(outcome).capitalize()}: change of {cell(change.get('metric', 'margin'))} {w.plain(change.get('value'), 4)} "
            f"({w.plain(change.get('low'), 4)} to {w.plain(change.get('high'), 4)}). "
            f"{w.plain(trainable)} of {w.plain(record.get('parameters'))} parameters "
            f"trained in {w.duration(record.get('seconds'))}."
        )
        blocks.append(f"### {key.upper()}\n\n{text}" + (f"\n\n{_pairs_of(settings)}" if settings else ""))
    return "\n\n".join(blocks)


def _pairs_of(values: dict[str, Any]) -> str:
    return table(["", ""], [[k, w.value_text(v)] for k, v in sorted(values.items())]) if values else w.NOT_MEASURED
