"""The main job: constitution -> pairs -> SFT -> DPO -> paired evaluation -> report. A step that is done is not done again."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from solon.constitution import library_names, source_file
from solon.data.prompts import BUILTIN
from solon.errors import ConfigError, EnvironmentRefused
from solon.evaluation.scorers import Scorer
from solon.models import identity_of, locate, open_model
from solon.models.base import Model
from solon.models.journal import Journal
from solon.models.recorded import Recorded
from solon.run import generate, measure, tune
from solon.run.config import RunConfig, difference, render_config
from solon.run.folder import RunFolder, hardware, sha256_file, versions, write_json, write_rows, write_whole
from solon.run.prepare import Job, prepare
from solon.run.progress import Reporter
from solon.run.summary import summarise

JOURNAL, PROMPTS, SUMMARY, REPORT = "journal.sqlite", "prompts.jsonl", "summary.json", "report.html"
FREE_GIB = 0.5


@dataclass
class Models:
    """Opens each model once, journals it, and keeps the seconds spent in loading and in models."""

    config: RunConfig
    folder: RunFolder
    seconds: float = 0.0
    loading: float = 0.0
    _open: dict[str, Recorded] = field(default_factory=dict)

    def get(self, spec: str) -> Recorded:
        """The model of this name behind the run's journal."""
        if spec not in self._open:
            self._open[spec] = Recorded(self._load(spec), self.folder / JOURNAL)
        return self._open[spec]

    def identity(self, spec: str) -> str:
        """The model's identity; nothing is loaded for it."""
        return self._open[spec].identity if spec in self._open else identity_of(spec)

    def _load(self, spec: str) -> Model:
        start = time.monotonic()
        s = self.config.models
        model = open_model(spec, device=s.device, dtype=s.dtype, batch_size=s.batch_size, concurrency=s.concurrency)
        self.loading += time.monotonic() - start
        return model

    def release(self) -> None:
        """Close every model and give its memory back before training."""
        for model in self._open.values():
            self.seconds += model.seconds
            model.close()
        self._open.clear()
        gc.collect()


def run(config: RunConfig, reporter: Reporter) -> dict[str, Any]:
    """Run the whole pipeline and return the summary. Continues where an earlier run with this configuration stopped.

    Raises:
        SolonError: see `solon.errors`; whatever was finished stays, and the same call goes on from there.
    """
    start = time.monotonic()
    job = prepare(config)
    check_models(job.config)
    folder = RunFolder(job.config.folder)
    with folder.locked(), working(job, folder) as models:
        begin(job, folder)
        for warning in job.warnings:
            reporter.warn(warning)
        with reporter.step("pairs", f"{len(job.hazardous)} hazardous prompts, {len(generate.retain_prompts(job))} harmless ones"):
            make_pairs(job, folder, models, reporter)
        models.release()
        with reporter.step("training", ", then ".join(p.upper() for p in job.config.train.phases)):
            training = tune.train(job, folder, reporter)
        with reporter.step("evaluation", f"{len(job.held_out)} held-out prompts"):
            scorer = headline_scorer(job, models, [job.config.trained], reporter)
            stages = _evaluate(job, folder, models, scorer, reporter)
            pairs = generate.describe_pairs(folder, scorer)
        models.release()
        with reporter.step("summary"):
            summary = summarise(job, folder, training, stages, pairs)
            write_json(folder / SUMMARY, summary)
            folder.manifest["outputs"][SUMMARY] = sha256_file(folder / SUMMARY)
        _note_timings(folder, reporter, models, time.monotonic() - start)
        _report(folder)
    return summary


def check_models(config: RunConfig) -> None:
    """Refuse what could not be opened hours later: a model to train that is no folder of weights, a judge of no known kind.

    Raises:
        ModelError, ConfigError: named, with the mend.
    """
    locate(config.trained).weights_only()
    measure.check_judge(config.evaluation.judge)
    for spec in (config.evaluation.judge.partition(":")[2], config.evaluation.criteria_judge):
        if spec:
            locate(spec)


@contextmanager
def working(job: Job, folder: RunFolder) -> Iterator[Models]:
    """The run's models, closed on the way out whatever happens."""
    models = Models(job.config, folder)
    try:
        yield models
    finally:
        models.release()


def begin(job: Job, folder: RunFolder) -> None:
    """Write the resolved configuration; refuse a folder that holds another one, or a nearly full disk."""
    import shutil

    free = shutil.disk_usage(folder.path).free / 2**30
    if free < FREE_GIB:
        raise EnvironmentRefused(f"{folder.path}: expected {FREE_GIB} GiB of free disk, got {free:.2f}", mend="free some space")
    text, file = render_config(job.config), folder / "config.yaml"
    there = file.read_text(encoding="utf-8", errors="replace") if file.exists() else text
    changed = difference(there, text)  # `out` decides nothing: a folder that was moved goes on where it is
    if changed and not _nothing_done(folder):
        raise ConfigError(
            f"{folder.path}: expected an empty folder or the run of this configuration, got another one ({changed})",
            mend="choose another --out, or remove that folder",
        )
    write_whole(file, text)
    write_rows(folder / PROMPTS, job.prompts)
    folder.save_manifest(
        inputs=_inputs(job, folder),
        constitution={"id": job.constitution.id, "version": job.constitution.version, "hash": job.constitution.hash},
        versions=versions(),
        hardware=hardware(),
        seed=job.config.seed,
        models={**folder.manifest.get("models", {}), "generator": job.config.model, "trained": job.config.trained},
    )


def _nothing_done(folder: RunFolder) -> bool:
    """A run began here and ended before its first reply, say at a server's address: other settings lose nothing."""
    if not (folder / "manifest.json").exists() or folder.manifest["steps"]:
        return False
    if not (folder / JOURNAL).exists():
        return True
    journal = Journal.at(folder / JOURNAL)
    try:
        return len(journal) == 0
    finally:
        journal.close()


def _inputs(job: Job, folder: RunFolder) -> dict[str, str]:
    """Hashes of what the run starts from: files of the run folder, and the user's own under the path that was given."""
    source = source_file(job.config.constitution)
    copy = folder / f"constitution{source.suffix}"
    write_whole(copy, source.read_text(encoding="utf-8"))
    given = [job.config.prompts] if job.config.prompts != BUILTIN else []
    given += [job.config.constitution] if job.config.constitution not in library_names() else []
    here = {name: sha256_file(folder / name) for name in ("config.yaml", PROMPTS, copy.name)}
    return {**{path: sha256_file(Path(path)) for path in given}, **here}


def make_pairs(job: Job, folder: RunFolder, models: Models, reporter: Reporter) -> None:
    """The pairs step, unless it is done."""
    identity = models.identity(job.config.model)
    inputs = generate.pairs_inputs(job, identity)
    if folder.done("pairs", inputs):
        reporter.note("  done before", "dim")
        return
    generate.generate_pairs(job, models.get(job.config.model), folder, reporter)
    folder.manifest["models"]["generator_identity"] = identity
    folder.finish("pairs", inputs, [generate.PAIRS, generate.DROPPED])


def headline_scorer(job: Job, models: Models, specs: Sequence[str], reporter: Reporter) -> Scorer:
    """What labels the replies of the models `specs`, and whose agreement with the critic is printed."""
    return measure.open_scorer(job.config.evaluation.judge, models.get, specs, reporter.warn)


def _evaluate(job: Job, folder: RunFolder, models: Models, scorer: Scorer, reporter: Reporter) -> list[str]:
    """Rows of the base, of the model after SFT where DPO follows, and of the tuned one."""
    stages = {"base": job.config.trained, **tune.stage_models(job, folder)}
    measure_all(job, folder, models, stages, scorer, reporter)
    return list(stages)


def measure_all(job: Job, folder: RunFolder, models: Models, stages: dict[str, str], scorer: Scorer, reporter: Reporter) -> None:
    """`evaluation/<name>.jsonl` for each (name, MODEL), unless it is done."""
    sampling = job.config.evaluation.sampling
    for name, spec in stages.items():
        inputs = measure.measure_inputs(models.identity(spec), job.held_out, sampling, scorer, job.config.seed, job.constitution)
        if folder.done(f"evaluate {name}", inputs):
            reporter.note(f"  {name}: done before", "dim")
            continue
        measure.measure(models.get(spec), job, folder, name, label=spec, scorer=scorer, reporter=reporter)
        folder.finish(f"evaluate {name}", inputs, [f"evaluation/{name}.jsonl", f"evaluation/{name}{measure.NATS_SUFFIX}"])
    measure.rate_all(job, folder, [name for name in ("base", "tuned") if name in stages], models.get, reporter)


def _report(folder: RunFolder) -> None:
    """The report comes last: it is a function of everything else in the folder."""
    from solon.release.report import render

    render(folder.path)
    folder.manifest["outputs"][REPORT] = sha256_file(folder / REPORT)
    folder.save_manifest()


def _note_timings(folder: RunFolder, reporter: Reporter, models: Models, wall: float) -> None:
    """Write the timings: what models, training and loading took, and everything else. Each run adds a record."""
    training = reporter.seconds.get("training", 0.0)
    rest = max(0.0, wall - training - models.seconds - models.loading)
    after_load = max(wall - models.loading, 1e-9)
    timings = {
        "wall_seconds": round(wall, 2),
        "loading_seconds": round(models.loading, 2),
        "model_seconds": round(models.seconds, 2),
        "training_seconds": round(training, 2),
        "everything_else_seconds": round(rest, 2),
        "everything_else_share": round(rest / after_load, 4),
        "steps": {name: round(seconds, 2) for name, seconds in reporter.seconds.items()},
    }
    folder.save_manifest(timings=timings, sessions=[*folder.manifest.get("sessions", []), timings])
    reporter.note(
        f"{wall:.0f} s: {models.seconds:.0f} in models, {training:.0f} in training, {models.loading:.0f} loading, "
        f"{rest:.1f} everything else ({rest / after_load:.1%} after loading)",
        "dim",
    )
