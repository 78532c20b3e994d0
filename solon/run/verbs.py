"""The single steps of the main job, for those who want one of them: init, pairs, train, eval, chat."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from solon.errors import ConfigError, DataError, InputError
from solon.run import generate, measure, pipeline
from solon.run.config import RunConfig, parse_overrides
from solon.run.folder import RunFolder, write_json, write_whole
from solon.run.prepare import prepare, prepare_evaluation
from solon.run.progress import Reporter

RUN_YAML = """\
# Settings of `solon run --config {file}`, whose paths are taken from the folder where solon is started.
# Every setting has a default; `solon run --print-config` shows them all.
constitution: {constitution}
prompts: builtin          # or a .jsonl, .csv or .txt file; a hazard column gives results by hazard
model: nano               # answers, criticises and revises: nano, a folder, a hub id, or http://host:port/v1#name
# train_model: FOLDER     # what is trained, when `model` is served
out: {run}
seed: 0
critique:
  policy: combined        # all principles in one question; `all` asks for each, `random` for k of them
train:
  sft:
    benign_share: 0.67    # share of retain rows: without them, refusing everything is the optimum
  dpo:
    beta: 0.1
"""


def _in_yaml(path: Path) -> str:
    """A path as a YAML value, in quotes where a plain word could be read as something else."""
    return str(path) if re.fullmatch(r"[A-Za-z/_.][\w./-]*", str(path), re.ASCII) else json.dumps(str(path))


def init(folder: Path) -> list[Path]:
    """Write `constitution.md` and `run.yaml` into a folder.

    Raises:
        InputError: one of them is there already; nothing is overwritten.
    """
    from solon.constitution import template

    settings = RUN_YAML.format(
        file=folder / "run.yaml", constitution=_in_yaml(folder / "constitution.md"), run=_in_yaml(folder / "run")
    )
    files = {folder / "constitution.md": template("principles"), folder / "run.yaml": settings}
    for path in files:
        if path.exists():
            raise InputError(f"{path}: expected no file, got one", mend="choose another folder, or move it away")
    for path, text in files.items():
        write_whole(path, text)
    return list(files)


def pairs(config: RunConfig, reporter: Reporter) -> dict[str, Any]:
    """The pairs step alone; a later `solon run` of the same configuration goes on from it."""
    job = prepare(config)
    folder = RunFolder(job.config.folder)
    with folder.locked(), pipeline.working(job, folder) as models:
        pipeline.begin(job, folder)
        for warning in job.warnings:
            reporter.warn(warning)
        with reporter.step("pairs", f"{len(job.hazardous)} hazardous prompts"):
            pipeline.make_pairs(job, folder, models, reporter)
        scorer = pipeline.headline_scorer(job, models, [job.config.trained], reporter)
        return {"out": str(folder.path), **generate.describe_pairs(folder, scorer)}


def _not_over_a_run(folder: Path, *names: str) -> None:
    """Refuse to write a single step's outputs over those of a whole run."""
    lost = [name for name in names if (folder / name).exists()]
    if lost and (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder}: expected a folder of its own, got that of a run whose {lost[0]} would be lost",
            mend="choose another --out",
        )


def train_only(
    phase: str, data: Path, model: str, out: Path, overrides: list[str], reporter: Reporter, config: Path | None = None
) -> dict[str, Any]:
    """SFT or DPO on rows of any shape; `adapter/` and `model/` are written into `out`.

    Args:
        config: a run configuration, whose `train` block gives the settings that `overrides` do not.
    """
    from solon.data.training import training_rows
    from solon.models import locate
    from solon.run import tune
    from solon.run.config import checked, load_config
    from solon.training.config import DpoSettings, SftSettings

    values: dict[str, Any] = {}
    if config is not None:
        run = load_config(config)
        values = run.train.settings(phase, run).model_dump(exclude_unset=True, mode="json")
    _not_over_a_run(out, "sft", "dpo", "adapter", "model")
    settings = checked(SftSettings if phase == "sft" else DpoSettings, parse_overrides(overrides, values))
    locate(model).weights_only()
    rows = training_rows(data, "sft" if phase == "sft" else "dpo")
    own = [r for r in rows if r.kind == "pair"]
    if not own:
        raise DataError(
            f"{data}: expected rows with a reply to prefer, got {len(rows)} without one to avoid", mend="use train sft on them"
        )
    result = tune.run_phase(phase, model, own, [r for r in rows if r.kind == "retain"], out, settings, None, None, reporter)
    folder = RunFolder(out)
    tune.publish(model, result, folder)
    return {
        **result.model_dump(mode="json"),
        "model": str(folder / "model"),
        "text": result.text(),
        "no_learning": result.no_learning,
    }


def evaluate_only(model: str, baseline: str | None, config: RunConfig, reporter: Reporter) -> dict[str, Any]:
    """Rows of a model, and of a baseline on the same prompts; with a baseline, the paired comparison."""
    from solon.evaluation.compare import compare
    from solon.evaluation.criteria import mean_ratings
    from solon.evaluation.metrics import measure as metrics
    from solon.evaluation.verdict import verdict
    from solon.models import locate

    _not_over_a_run(config.folder, "evaluation", "summary.json")
    if baseline == model:
        raise ConfigError("baseline: expected another model than MODEL, got the same", mend="name the model to compare with")
    _, judge = measure.check_judge(config.evaluation.judge)
    for spec in filter(None, (model, baseline, judge, config.evaluation.criteria_judge)):
        locate(spec)  # a missing one is told before hours with another
    job = prepare_evaluation(config)
    folder = RunFolder(job.config.folder)
    names = {"tuned": model, **({"base": baseline} if baseline else {})}
    with (
        folder.locked(),
        pipeline.working(job, folder) as models,
        reporter.step("evaluation", f"{len(job.held_out)} held-out prompts"),
    ):
        scorer = pipeline.headline_scorer(job, models, list(names.values()), reporter)
        pipeline.measure_all(job, folder, models, names, scorer, reporter)
    rows = {name: measure.read_rows(folder, name) for name in names}
    nats = {name: measure.read_nats(folder, name) for name in names}
    if not baseline:
        found: dict[str, Any] = {"model": model, "metrics": metrics(rows["tuned"], nats["tuned"])}
        if config.evaluation.criteria:
            found["criteria"] = mean_ratings(measure.read_ratings(folder, "tuned"))
    else:
        found = compare(
            rows["base"], rows["tuned"], base_perplexity=nats["base"], tuned_perplexity=nats["tuned"], seed=config.seed
        )
        rated = measure.compared_ratings(job, folder)
        found = {**found, "verdict": verdict(found, pairs=False), "gates": [], "criteria": rated, "warnings": job.warnings}
    write_json(folder / "summary.json", found)
    return {"out": str(folder.path), **found}


def _readable(line: str) -> str:
    """A typed line with what is no UTF-8 in it shown as replaced."""
    return line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def chat(model: str, *, temperature: float, seed: int) -> None:
    """Talk to a model until an empty line or the end of input."""
    import sys

    from solon.models import open_model
    from solon.models.base import Message, Request, Sampling, derive_seed
    from solon.run.config import NANO_TOKENS, checked

    limit = NANO_TOKENS if "nano" in model else 512
    sampling = checked(Sampling, {"temperature": temperature, "max_new_tokens": limit})
    opened = open_model(model)
    history: list[Message] = []
    print(f"{model}: an empty line ends the talk", file=sys.stderr)
    while True:
        try:
            line = _readable(input("you> ")).strip()
        except EOFError:
            return
        if not line:
            return
        history.append(Message(role="user", content=line))
        reply = opened.generate(
            [Request(id=str(len(history)), messages=tuple(history), sampling=sampling, seed=derive_seed(seed, len(history)))]
        )[0]
        if reply.finish == "error":
            history.pop()
            print(f"no reply: {reply.error}", file=sys.stderr)
            continue
        print(reply.text)
        history.append(Message(role="assistant", content=reply.text))
