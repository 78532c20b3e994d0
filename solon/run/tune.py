"""The training step: SFT on accepted revisions and retain rows, then DPO on pairs, under a gate; writes adapter/ and model/."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from solon.data.records import Pair
from solon.data.splits import position
from solon.models import resolve_path
from solon.models.base import content_hash
from solon.run import generate
from solon.run.folder import RunFolder, sha256_file, telling_a_full_disk, write_json
from solon.run.gating import make_gate
from solon.run.prepare import Job
from solon.run.progress import Reporter

TRAINING = "training.json"
HELD_SHARE = 0.1  # of the pairs' groups, for the validation loss that early stopping goes by
HELD_SEED = 1_000_003  # apart from the seeds of prompt splits


def train(job: Job, folder: RunFolder, reporter: Reporter) -> dict[str, Any]:
    """Train the phases of the configuration; returns {phase: result}. Skipped when done with the same inputs."""
    pairs, retain, _ = generate.read_pairs(folder)
    base = base_name(str(resolve_path(job.config.trained)))
    folder.manifest.setdefault("models", {})["trained_identity"] = base
    inputs = content_hash([sha256_file(folder / generate.PAIRS), base, job.config.train.model_dump(), job.config.seed])
    if folder.done("training", inputs):
        reporter.note("  done before", "dim")
        return json.loads((folder / TRAINING).read_text(encoding="utf-8"))
    results: dict[str, Any] = {}
    adapter: Path | None = None
    for phase in job.config.train.phases:
        settings = job.config.train.settings(phase, job.config)
        gate = make_gate(job, folder / phase)
        result = run_phase(phase, job.config.trained, pairs, retain, folder / phase, settings, gate, adapter, reporter)
        results[phase], adapter = describe(result, settings, gate), result.adapter or result.model
        reporter.note(f"  {result.text()}")
    publish(job.config.trained, result, folder)
    write_json(folder / TRAINING, results)
    folder.finish("training", inputs, [TRAINING, *(name for name in ("adapter", "model") if (folder / name).exists())])
    return results


def describe(result: Any, settings: Any, gate: Any) -> dict[str, Any]:
    """A phase for `training.json`: numbers, history, and the gates flattened to one row per metric."""
    rules = {rule.metric: rule.floor for rule in gate.rules} if gate else {}
    gates = [
        {"step": e["step"], "metric": name, **numbers, "floor": rules.get(name), "ok": e["good"], "action": e["action"]}
        for e in result.gates
        for name, numbers in e["metrics"].items()
    ]
    return {
        "plan": result.plan.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "parameters": result.parameters,
        "trainable_parameters": result.trainable,
        "seconds": round(result.seconds, 2),
        "tokens": result.tokens,
        "steps": result.steps,
        "best_step": result.best_step,
        "stopped_early": result.stopped_early,
        "history": result.history,
        "step0": result.step0.numbers(),
        "final": result.final.numbers(),
        "change": result.change.model_dump(mode="json"),
        "no_learning": result.no_learning,
        "verdict": result.verdict,
        "gates": gates,
        "gate_failed": result.gate_failed,
        "text": result.text(),
    }


def base_name(path: str) -> str:
    """Hash of the base model's files."""
    from solon.models.fingerprint import model_hash

    return model_hash(Path(path))


def held_pairs(pairs: list[Pair]) -> tuple[list[Pair], list[Pair]]:
    """(to train on, held out for the validation loss), by group."""
    held = [p for p in pairs if position(p.provenance.group, HELD_SEED) < HELD_SHARE]
    kept = [p for p in pairs if position(p.provenance.group, HELD_SEED) >= HELD_SHARE]
    return (kept, held) if kept and len(held) > 1 else (pairs, [])


def run_phase(
    phase: str,
    model: str,
    pairs: list[Pair],
    retain: list[Pair],
    out: Path,
    settings: Any,
    gate: Any,
    adapter: Path | None,
    reporter: Reporter,
) -> Any:
    """One phase; its plan is printed first. A tenth of the pairs' groups is held out for the validation loss."""
    kept, held = held_pairs(pairs)
    out.mkdir(parents=True, exist_ok=True)
    with telling_a_full_disk(out), reporter.bar(phase.upper(), 0, "steps") as bar:
        shared: dict[str, Any] = {
            "adapter": adapter,
            "validation": held,
            "gate": gate,
            "progress": _show(bar),
            "announce": lambda plan: reporter.note("\n".join(f"  {line}" for line in plan.text().splitlines())),
        }
        if phase == "sft":
            from solon.training.sft import train_sft

            return train_sft(model, [*kept, *retain], out, settings, **shared)
        from solon.training.dpo import train_dpo

        return train_dpo(model, kept, retain, out, settings, **shared)


def _show(bar: Any) -> Callable[[int, int, dict[str, float]], None]:
    def show(step: int, steps: int, metrics: dict[str, float]) -> None:
        wanted = [f"{name} {metrics[name]:.3f}" for name in ("loss", "margin", "eval_loss") if name in metrics]
        bar.spare(bar.total - steps)
        bar.advance(step - bar.done, 0, ", ".join(wanted))

    return show


def publish(model: str, result: Any, folder: RunFolder) -> None:
    """Put the last phase's adapter and the merged full model in the run folder."""
    if result.adapter:
        from solon.training.export import write_merged

        with telling_a_full_disk(folder.path):
            _replace(Path(result.adapter), folder / "adapter")
            write_merged(model, folder / "adapter", folder / "model")
    else:
        _replace(Path(result.model), folder / "model")


def _replace(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        return
    staging = target.with_name(f".{target.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    shutil.copytree(source, staging)
    shutil.rmtree(target, ignore_errors=True)
    staging.rename(target)


def stage_models(job: Job, folder: RunFolder) -> dict[str, str]:
    """What is evaluated beside the base: `sft` where DPO follows it, and `tuned`, as MODEL words."""

    def word(path: Path) -> str:
        return f"{job.config.trained}+{path}" if (path / "adapter_config.json").exists() else str(path)

    found = {}
    if list(job.config.train.phases) == ["sft", "dpo"]:
        inner = folder / "sft/adapter"
        found["sft"] = word(inner if inner.exists() else folder / "sft/model")
    found["tuned"] = word(folder / "adapter" if (folder / "adapter").exists() else folder / "model")
    return found
