"""`make proof`: the fault, attack and randomised proofs at full counts; writes docs/proofs.md with seed, count and commit.

A proof is a script `benchmarks/proof_*.py` that exits 1 when one of its cases fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks.page import setting

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "proofs.md"


def main() -> None:
    """Run every proof and write the page; exit 1 when one fails."""
    sections, failed = [], []
    for path in sorted(HERE.glob("proof_*.py")):
        start = time.monotonic()
        done = subprocess.run(
            [sys.executable, str(path), *sys.argv[1:]], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False
        )
        verdict = "passed" if done.returncode == 0 else f"FAILED ({done.returncode})"
        failed += [path.stem] if done.returncode else []
        sections.append(f"## {path.stem}: {verdict}, {time.monotonic() - start:.0f} s\n\n```\n{done.stdout.rstrip()}\n```\n")
        print(sections[-1], flush=True)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"# Proofs at full counts\n\n{setting()}- command: `make proof`\n\n" + "\n".join(sections), encoding="utf-8")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
