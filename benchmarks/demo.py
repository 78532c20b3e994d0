"""The main job on the embedded model: wall time, peak memory and held-out metrics of `solon run`, over three seeds."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.page import spread, table, write

SEEDS = (0, 1, 2)


def run(seed: int, folder: Path) -> tuple[float, float, dict]:
    """(seconds, peak MiB over the process and its children, summary)."""
    out = folder / f"seed-{seed}"
    start = time.monotonic()
    command = [sys.executable, "-m", "solon", "run", "--seed", str(seed), "--out", str(out)]
    status = subprocess.run(command, env=os.environ, check=False).returncode
    if status not in (0, 1):
        raise SystemExit(f"solon run failed with {status}")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return time.monotonic() - start, peak, json.loads((out / "summary.json").read_text())


def main() -> None:
    """Run and write the page."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [run(seed, Path(folder)) for seed in SEEDS]
    body = (
        f"Wall time after installation: {spread([r[0] for r in runs], 's')}. Peak memory: {max(r[1] for r in runs):.0f} MiB.\n\n"
    )
    rows = []
    for at, metric in enumerate(runs[0][2]["metrics"]):
        for seed, (_, _, summary) in zip(SEEDS, runs, strict=True):
            entry = summary["metrics"][at]
            cells = [f"{e['value']:.3f} [{e['low']:.3f}, {e['high']:.3f}]" for e in (entry["base"], entry["tuned"])]
            rows.append([metric["name"], metric["split"], seed, entry["tuned"]["n"], *cells])
    body += table(["metric", "split", "seed", "n", "base [95 %]", "tuned [95 %]"], rows)
    body += "\nVerdicts: " + " / ".join(r[2]["verdict"] for r in runs)
    write("demo", "The main job on the embedded model", body, "python -m benchmarks.demo")


if __name__ == "__main__":
    main()
