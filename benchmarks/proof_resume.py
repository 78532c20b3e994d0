"""Runs killed with SIGKILL at random moments and continued: the pairs are the same bytes as those of an undisturbed run.

    python -m benchmarks.proof_resume [--kills N] [--seed S] [PROMPTS.csv]

Two sets of prompts: the built-in one, and the AILuminate CSV if it is given or lies beside the checkout. A kill comes at a
moment drawn between the start of the process and twice the time that would spread the kills evenly over the undisturbed run.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared/data/ailuminate"
FILES = ("pairs.jsonl", "dropped.jsonl")


def command(prompts: str, out: Path) -> list[str]:
    """`solon pairs` on the embedded model."""
    return [sys.executable, "-m", "solon", "pairs", "--prompts", prompts, "--out", str(out)]


def whole(prompts: str, out: Path) -> float:
    """Run undisturbed; seconds. A run that accepts no pair writes its files all the same and exits 1."""
    start = time.monotonic()
    done = subprocess.run(command(prompts, out), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if not all((out / name).exists() for name in FILES):
        raise SystemExit(done.stderr)
    return time.monotonic() - start


def killed(prompts: str, out: Path, kills: int, longest: float, dice: random.Random) -> tuple[int, list[float]]:
    """(kills that hit a running process, their seconds after its start), then the run is let to its end."""
    moments = []
    for _ in range(kills * 5):
        if len(moments) == kills:
            break
        process = subprocess.Popen(command(prompts, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        moment = dice.uniform(0.0, 2 * longest / (kills + 1))
        try:
            process.wait(timeout=moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            moments.append(moment)
    whole(prompts, out)
    return len(moments), moments


def prove(name: str, prompts: str, kills: int, dice: random.Random) -> bool:
    """Compare one set of prompts; prints what happened."""
    with tempfile.TemporaryDirectory() as scratch:
        calm, cut = Path(scratch) / "calm", Path(scratch) / "cut"
        seconds = whole(prompts, calm)
        hit, moments = killed(prompts, cut, kills, seconds, dice)
        same = [(calm / file).read_bytes() == (cut / file).read_bytes() for file in FILES]
        rows = [(calm / file).read_bytes().count(b"\n") for file in FILES]
    shown = ", ".join(f"{moment:.1f}" for moment in moments)
    print(f"{name}: undisturbed {seconds:.0f} s, {rows[0]} rows and {rows[1]} dropped; {hit} kills, at {shown} s of a start")
    print(f"  same bytes: {', '.join(f'{file} {ok}' for file, ok in zip(FILES, same, strict=True))}")
    return all(same) and hit == kills


def main() -> None:
    """Prove both; exit 1 when one differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    sets = {"built-in prompts": "builtin"}
    files = [asked.prompts] if asked.prompts else sorted(SHARED.glob("*.csv"))
    sets |= {"AILuminate prompts": str(files[0])} if files else {}
    print(f"seed {asked.seed}, {asked.kills} kills each")
    good = [prove(name, prompts, asked.kills, dice) for name, prompts in sets.items()]
    if not files:
        print("AILuminate prompts: not there, not run")
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
