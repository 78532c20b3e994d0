"""What both phases do around the loop: check rows, choose the layout, measure step 0 and the end, write the result."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from solon.data.records import Pair
from solon.errors import DataError
from solon.training.callbacks import write_atomically
from solon.training.collate import Layout, choose_layout
from solon.training.config import PhaseSettings
from solon.training.encode import Encoding, Example, encode_rows
from solon.training.export import write_adapter, write_model
from solon.training.loading import Loaded
from solon.training.loop import Outcome, is_main
from solon.training.plan import Plan
from solon.training.result import Change, Measurement, TrainResult

PROBE_SEQUENCES = 4
# largest difference of one token's log-probability (nats) between packed and padded
PACKING_TOLERANCE = {False: 1e-4, True: 0.25}


def require_rows(rows: Sequence[Pair], kind: str, name: str) -> None:
    """Raises DataError when there are no rows, or one is of another kind (`any` allows both)."""
    if not rows:
        raise DataError(f"{name}: expected at least one row, got none", mend="make pairs first (solon pairs) or check the file")
    for index, row in enumerate(rows):
        where = f"{name}: row {index + 1}"
        if kind != "any" and row.kind != kind:
            raise DataError(f"{where}: expected kind {kind!r}, got {row.kind!r}", mend="pass retain rows apart, never as pairs")
        if kind != "any" and row.kind == "pair" and not row.rejected:
            raise DataError(f"{where}: a pair without a rejected reply", mend="mark it kind: retain, or give it one")
        if kind != "any" and row.kind == "pair" and row.chosen == row.rejected:
            raise DataError(f"{where}: chosen and rejected are the same: nothing to prefer", mend="leave the row out")
        if "scripted" in (row.source, row.provenance.model):
            raise DataError(f"{where}: made by the scripted test double", mend="make rows with a real model")


def encode_for(loaded: Loaded, settings: PhaseSettings, rows: Sequence[Pair], *, pairs: bool, name: str) -> Encoding:
    """Encode rows under the phase's length rule.

    Raises:
        DataError: nothing is left.
    """
    limit = loaded.context if settings.max_length == "auto" else min(settings.max_length, loaded.context)
    found = encode_rows(loaded.tokenizer, rows, max_length=limit, too_long=settings.too_long, pairs=pairs)
    if rows and not found.examples:
        raise DataError(
            f"{name}: all {len(rows)} rows are longer than max_length ({limit} tokens)",
            mend="raise max_length or shorten the rows",
        )
    return found


def pick_layout(loaded: Loaded, settings: PhaseSettings, examples: Sequence[Example]) -> tuple[Layout, str]:
    """The layout for this model, tried on a few of the run's own sequences of different lengths."""
    ordered = sorted({part for example in examples[:64] for part in example.parts}, key=len)
    step = max(1, len(ordered) // PROBE_SEQUENCES)
    with loaded.autocast():
        return choose_layout(loaded.model, ordered[::step][:PROBE_SEQUENCES], settings.packing, PACKING_TOLERANCE[loaded.bf16])


def finished(out: Path, name: str, resume: bool) -> TrainResult | None:
    """The result of this very run, if it was finished before (also when it had stopped early)."""
    try:
        known = json.loads((out / "training.json").read_text(encoding="utf-8"))["fingerprint"]
        result = TrainResult.model_validate_json((out / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    written = result.adapter or result.model
    return result if resume and known == name and written and written.exists() else None


def show_plan(plan: Plan, out: Path, announce: Any) -> None:
    """Write `plan.json` and hand the plan to whoever wants to print it, before anything is trained."""
    if is_main():
        write_atomically(out / "plan.json", plan.model_dump_json(indent=1))
        if announce:
            announce(plan)


def kept_measurement(out: Path, measure: Any) -> Measurement:
    """Step 0, measured once and kept, so that a resumed run compares with the true start."""
    path = out / "step0.json"
    if path.exists():
        return Measurement.model_validate(json.loads(path.read_text(encoding="utf-8")))
    found: Measurement = measure()
    if is_main():
        write_atomically(path, found.model_dump_json())
    return found


def finish(
    phase: str,
    loaded: Loaded,
    name: str,
    out: Path,
    plan: Plan,
    outcome: Outcome,
    *,
    step0: Measurement,
    final: Measurement,
    change: Change,
    judged: tuple[bool, str],
    tokens: int,
    dropped: int,
    resumed: Path | None,
    gate: Any,
) -> TrainResult:
    """Write adapter or model, and `result.json` (with several processes: only the first writes)."""
    tuned = hasattr(loaded.model, "peft_config")
    if is_main():
        write_adapter(loaded, out / "adapter", name) if tuned else write_model(loaded, out / "model")
    result = TrainResult(
        phase=phase, out=out, plan=plan, history=outcome.history, step0=step0, final=final, change=change,
        no_learning=judged[0], verdict=judged[1], steps=outcome.steps, best_step=outcome.best_step,
        stopped_early=outcome.stopped_early, seconds=outcome.seconds, tokens=tokens, trainable=loaded.trainable,
        parameters=loaded.parameters, dropped_long=dropped, notes=list(plan.notes),
        adapter=out / "adapter" if tuned else None,
        model=None if tuned else out / "model",
        resumed_from=int(resumed.name.rsplit("-", 1)[-1]) if resumed else None,
        gates=list(gate.history) if gate else [], gate_failed=bool(gate and gate.failed),
    )  # fmt: skip
    if is_main():
        write_atomically(out / "result.json", result.model_dump_json(indent=1))
    return result
