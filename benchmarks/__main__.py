"""`make bench`: every benchmark at full size, each in a process of its own; pages are written beside the scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.page import write

HERE = Path(__file__).parent
NOT_BENCHMARKS = ("__init__", "__main__", "page", "proof")


def run(name: str) -> int:
    """Run one benchmark. One that prints its figures without writing a page gets one made of what it printed."""
    page = HERE / f"{name}.md"
    before = page.stat().st_mtime_ns if page.exists() else 0
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}"], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False
    )
    print(done.stdout, flush=True)
    if done.returncode == 0 and (not page.exists() or page.stat().st_mtime_ns == before):
        write(name, name.capitalize(), f"```\n{done.stdout.rstrip()}\n```", f"python -m benchmarks.{name}")
    return done.returncode


def main() -> None:
    """Run all, or those named; exit 1 when one fails."""
    names = sys.argv[1:] or sorted(p.stem for p in HERE.glob("*.py") if not p.stem.startswith(NOT_BENCHMARKS))
    failed = [name for name in names if run(name)]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
