"""`solon run` on prompts that nano was not made for (AILuminate): how wall time divides, and what the report says of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.page import table, write

DEFAULT = Path(__file__).parents[2] / "shared/data/ailuminate"


def main() -> None:
    """Run and write the page. Argument: the CSV; without one it is looked for beside the checkout."""
    files = [Path(a) for a in sys.argv[1:]] or sorted(DEFAULT.glob("*.csv"))
    if not files:
        raise SystemExit("no prompt file: give the AILuminate CSV as argument")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "solon",
            "run",
            "--prompts",
            str(files[0]),
            "--constitution",
            "five-laws",
            "--out",
            str(out),
        ]
        status = subprocess.run(command, check=False).returncode
        if status not in (0, 1):
            raise SystemExit(f"solon run failed with {status}")
        summary = json.loads((out / "summary.json").read_text())
        timings = json.loads((out / "manifest.json").read_text())["timings"]
    rows = [
        [
            m["name"],
            m["split"],
            m["tuned"]["n"],
            *(f"{m[k]['value']:.3f} [{m[k]['low']:.3f}, {m[k]['high']:.3f}]" for k in ("base", "tuned")),
        ]
        for m in summary["metrics"]
        if m["base"]["value"] is not None
    ]
    pairs = summary["pairs"]
    seconds = {k.removesuffix("_seconds"): v for k, v in timings.items() if k.endswith("_seconds")}
    body = (
        f"{files[0].name}. Seconds: {', '.join(f'{k} {v:.1f}' for k, v in seconds.items())}.\n\n"
        f"Everything else takes {timings['everything_else_share']:.1%} of the time after loading (asked: at most 10 %).\n\n"
        f"Pairs: {pairs['accepted']} accepted, dropped {pairs['dropped']}. "
        f"Scorers agree on {pairs['agreement'].get('percent')} %.\n\n"
        + table(["metric", "split", "n", "base [95 %]", "tuned [95 %]"], rows)
        + "\n".join(["", *summary["warnings"], "", f"Verdict: {summary['verdict']}"])
    )
    write("ailuminate", "A prompt set that nano was not made for", body, "python -m benchmarks.ailuminate")


if __name__ == "__main__":
    main()
