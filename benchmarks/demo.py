"""The main job on the embedded model: wall time, peak memory and held-out metrics of `solon run`, over three seeds.

    python -m benchmarks.demo [--seeds 0 1 2] [--folder runs/bench-demo]

A seed that was measured in the folder before is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.page import table, write

RECORD = "benchmark.json"  # beside the run's own files: what this script measured


def run(seed: int, folder: Path) -> dict[str, Any]:
    """Wall and CPU seconds, peak MiB of the process and its children together, the load at the start; with the summary."""
    out = folder / f"seed-{seed}"
    record = out / RECORD
    if not record.exists():
        load, start, before = os.getloadavg()[0], time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "solon", "run", "--seed", str(seed), "--out", str(out)]
        process = psutil.Popen(command, env=os.environ)
        peak = watch(process)
        if process.returncode not in (0, 1):
            raise SystemExit(f"solon run failed with {process.returncode}")
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        found = {"seconds": time.monotonic() - start, "cpu_seconds": cpu, "peak_mib": peak, "load_at_start": load}
        record.write_text(json.dumps(found) + "\n")
    timings = json.loads((out / "manifest.json").read_text())["sessions"][0]
    summary = json.loads((out / "summary.json").read_text())
    return {**json.loads(record.read_text()), "timings": timings, "summary": summary}


def watch(process: psutil.Popen) -> float:
    """Wait for its end; the most MiB that it and its children held at a look every second, memory they share counted once."""
    peak = 0.0
    while process.poll() is None:
        family = 0
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):  # it has just ended
                family += member.memory_full_info().pss
        peak = max(peak, family / 2**20)
        time.sleep(1)
    return peak


def entry(value: dict[str, Any]) -> str:
    """`value [low, high]`."""
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def times(seeds: list[int], runs: list[dict[str, Any]]) -> str:
    """A row for each seed."""
    names = ("model_seconds", "training_seconds", "loading_seconds", "everything_else_seconds")
    rows = []
    for seed, found in zip(seeds, runs, strict=True):
        parts = [f"{found['timings'][name]:.0f}" for name in names]
        share = f"{found['timings']['everything_else_share']:.1%}"
        took = (f"{found['seconds']:.0f}", f"{found['cpu_seconds']:.0f}")
        rows.append([seed, *took, *parts, share, f"{found['peak_mib']:.0f}", f"{found['load_at_start']:.1f}"])
    head = ["seed", "seconds", "CPU seconds", *(name.removesuffix("_seconds").replace("_", " ") for name in names)]
    head += ["its share", "peak MiB", "load at start"]
    return table(head, rows)


def stages(seeds: list[int], runs: list[dict[str, Any]]) -> str:
    """What SFT did and what DPO added."""
    rows = []
    for seed, found in zip(seeds, runs, strict=True):
        by_stage = {s["stage"]: {(m["name"], m["split"]): m for m in s["metrics"]} for s in found["summary"]["stages"]}
        for name, split in by_stage["base"]:
            if name in ("unsafe_compliance", "over_refusal"):
                rows.append([name, split, seed, *(f"{by_stage[s][name, split]['value']:.3f}" for s in ("base", "sft", "tuned"))])
    return table(["metric", "split", "seed", "base", "after SFT", "after SFT and DPO"], rows)


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-demo"))
    asked = parser.parse_args()
    runs = [run(seed, asked.folder) for seed in asked.seeds]
    rows = []
    for at, metric in enumerate(runs[0]["summary"]["metrics"]):
        for seed, found in zip(asked.seeds, runs, strict=True):
            own = found["summary"]["metrics"][at]
            rows.append([metric["name"], metric["split"], seed, own["tuned"]["n"], entry(own["base"]), entry(own["tuned"])])
    verdicts = [f"- seed {seed}: {found['summary']['verdict']}" for seed, found in zip(asked.seeds, runs, strict=True)]
    body = [
        "After installation. A load above 0.5 at the start: other programs used the machine, and only CPU seconds (of all "
        "threads) say what the run itself needs.\n",
        times(asked.seeds, runs),
        "Held-out prompts:\n",
        table(["metric", "split", "seed", "n", "base [95 %]", "tuned [95 %]"], rows),
        "Stages:\n",
        stages(asked.seeds, runs),
        "\n".join(["Verdicts:", "", *verdicts]),
    ]
    write("demo", "The main job on the embedded model", "\n".join(body), "python -m benchmarks.demo")


if __name__ == "__main__":
    main()
