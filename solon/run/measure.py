"""The evaluation step: one model on the held-out prompts, one row per reply, and its perplexity on benign references."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from solon.constitution import Constitution
from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.data.records import EvaluationRow, Prompt
from solon.errors import ConfigError, ModelError
from solon.evaluation.criteria import CONSTANT_REFUSAL, Rating, compare_ratings, rate
from solon.evaluation.reader.scorer import ReadingScorer
from solon.evaluation.scorers import RuleScorer, Scorer
from solon.evaluation.tasks import ReferencePerplexity, benign_perplexity, evaluate
from solon.models.base import Model, Sampling, content_hash
from solon.run.config import NANO
from solon.run.folder import RunFolder, write_json, write_rows
from solon.run.prepare import Job
from solon.run.progress import Reporter

NATS_SUFFIX = ".nats.json"
CONSTANT = "constant"  # ratings of a reply that refuses everything


def open_scorer(judge: str, opener: Callable[[str], Model], specs: Sequence[str], warn: Callable[[str], None]) -> Scorer:
    """The headline scorer: `auto`, `reading`, `rules`, `probabilities:MODEL` or `model:MODEL`.

    `auto` reads, unless every model of `specs` is nano or was trained from it: the rules know nano's small language and take a
    fiftieth of the time. Where the encoder for reading is not installed, `auto` says so and goes by rules.

    Raises:
        ConfigError: another word.
        ModelError: `reading` without its encoder.
    """
    role, spec = check_judge(judge)
    if role == "auto":
        return _choose(specs, warn)
    if role == "rules":
        return RuleScorer()
    if role == "reading":
        return ReadingScorer()
    from solon.evaluation.judges import ModelJudge, ProbabilityJudge

    return (ProbabilityJudge if role == "probabilities" else ModelJudge)(opener(spec))


def check_judge(judge: str) -> tuple[str, str]:
    """(role, MODEL) of a judge's name.

    Raises:
        ConfigError: another word.
    """
    role, _, spec = judge.partition(":")
    if (role in ("auto", "reading", "rules") and not spec) or (role in ("probabilities", "model") and spec):
        return role, spec
    raise ConfigError(
        f"evaluation.judge: expected auto, reading, rules, probabilities:MODEL or model:MODEL, got {judge!r}",
        mend="choose one of these",
    )


def _choose(specs: Sequence[str], warn: Callable[[str], None]) -> Scorer:
    if specs and all(from_nano(spec) for spec in specs):
        return RuleScorer()
    try:
        return ReadingScorer()
    except ModelError as missing:
        warn(f"{missing}. Labels come from rules, which are right less often on other models than nano")
        return RuleScorer()


def from_nano(spec: str) -> bool:
    """Whether MODEL is nano, or a run folder whose model was trained from it."""
    base = spec.split("+")[0]
    manifest = Path(base) / "manifest.json"
    if base == NANO or not manifest.is_file():
        return base == NANO
    try:
        return json.loads(manifest.read_text(encoding="utf-8"))["models"]["trained"] == NANO
    except (OSError, ValueError, KeyError, TypeError):
        return False


def withheld(reply: str) -> str:
    """What stands in the place of a reply that is not to be kept: its length and hash."""
    return f"[withheld: {len(reply)} characters, sha256 {hashlib.sha256(reply.encode()).hexdigest()[:16]}]"


def without_complying(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """Rows whose hazard serves to measure refusal only keep the reply only where it refuses."""
    return [
        row.model_copy(update={"reply": withheld(row.reply)})
        if row.hazard in REFUSAL_ONLY_HAZARDS and row.label not in ("refusal", "unscored")
        else row
        for row in rows
    ]


def measure_inputs(
    identity: str, prompts: Sequence[Prompt], sampling: Sampling, scorer: Scorer, seed: int, constitution: Constitution
) -> str:
    """Hash of everything that the rows follow from."""
    return content_hash(
        [identity, [p.model_dump() for p in prompts], sampling.model_dump(), scorer.version, seed, constitution.hash]
    )


def measure(model: Model, job: Job, folder: RunFolder, name: str, *, label: str, scorer: Scorer, reporter: Reporter) -> None:
    """Write `evaluation/<name>.jsonl` and `evaluation/<name>.nats.json` (empty where the model gives no log-probabilities)."""
    prompts = job.held_out
    with reporter.bar(f"evaluate {name}", len(prompts)) as bar:
        rows = evaluate(
            model,
            prompts,
            scorer=scorer,
            sampling=job.config.evaluation.sampling,
            seed=job.config.seed,
            constitution=job.constitution,
            name=label,
            progress=lambda done, tokens: bar.advance(done, tokens),
        )
    references = [p for p in prompts if p.set == "benign" and p.reference and p.split in ("benign", "file")]
    try:
        items = benign_perplexity(model, references)
    except ModelError as error:
        reporter.warn(f"benign perplexity not measured: {error}")
        items = []
    write_rows(folder / f"evaluation/{name}.jsonl", without_complying(rows))
    write_json(folder / f"evaluation/{name}{NATS_SUFFIX}", [item.model_dump() for item in items])


def rate_all(job: Job, folder: RunFolder, names: Sequence[str], opener: Callable[[str], Model], reporter: Reporter) -> None:
    """`criteria/<name>.jsonl` for each evaluated model, and for a constant refusal; nothing when no rubric is asked for."""
    settings = job.config.evaluation
    if not settings.criteria:
        return
    judge = opener(settings.criteria_judge)
    for name in (*names, CONSTANT):
        rows = read_rows(folder, names[0] if name == CONSTANT else name)
        rows = [row for row in rows if row.hazard not in REFUSAL_ONLY_HAZARDS]
        inputs = content_hash([judge.identity, settings.criteria, [row.model_dump() for row in rows], name])
        if folder.done(f"criteria {name}", inputs):
            continue
        constant = CONSTANT_REFUSAL if name == CONSTANT else ""
        with reporter.bar(f"rate {name}", len(rows) * len(settings.criteria)) as bar:
            rated = rate(
                judge, rows, settings.criteria, constant=constant, progress=lambda done, tokens: bar.advance(done, tokens)
            )
        write_rows(folder / f"criteria/{name}.jsonl", rated)
        folder.finish(f"criteria {name}", inputs, [f"criteria/{name}.jsonl"])


def read_ratings(folder: RunFolder, name: str) -> list[Rating]:
    """The ratings of one model."""
    lines = (folder / f"criteria/{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Rating.model_validate_json(line) for line in lines]


def compared_ratings(job: Job, folder: RunFolder) -> list[dict[str, Any]]:
    """Base against tuned by every criterion; empty when no rubric is asked for."""
    if not job.config.evaluation.criteria:
        return []
    base, tuned, constant = (read_ratings(folder, name) for name in ("base", "tuned", CONSTANT))
    return compare_ratings(base, tuned, constant, job.config.seed)


def read_rows(folder: RunFolder, name: str) -> list[EvaluationRow]:
    """The rows of one model."""
    text = (folder / f"evaluation/{name}.jsonl").read_text(encoding="utf-8")
    return [EvaluationRow.model_validate_json(line) for line in text.splitlines()]


def read_nats(folder: RunFolder, name: str) -> list[ReferencePerplexity]:
    """The perplexity items of one model; empty when not measured."""
    file = folder / f"evaluation/{name}{NATS_SUFFIX}"
    values: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return [ReferencePerplexity.model_validate(v) for v in values]
