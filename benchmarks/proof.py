"""`make proof`: the fault, attack and randomised proofs at full counts; writes docs/proofs.md with seed, count and commit.

    python -m benchmarks.proof [NAME ...]

A proof is a script `benchmarks/proof_*.py` that exits 1 when one of its cases fails. With names, only those are run, and only
their sections of the page are replaced.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.page import setting

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "proofs.md"


def prove(path: Path) -> tuple[str, bool]:
    """(the section of one proof, whether it passed)."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, str(path)], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    verdict = "passed" if done.returncode == 0 else f"FAILED ({done.returncode})"
    head = f"## {path.stem}: {verdict}, {time.monotonic() - start:.0f} s\n\n{setting()}"
    return f"{head}\n```\n{done.stdout.rstrip()}\n```\n", done.returncode == 0


def sections() -> dict[str, str]:
    """The sections that the page has now, by the name of their proof."""
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    parts = re.split(r"^(?=## proof_)", text, flags=re.M)[1:]
    return {part.split(":", 1)[0].removeprefix("## "): part.rstrip() + "\n" for part in parts}


def main() -> None:
    """Run the proofs and write the page; exit 1 when one fails."""
    known = {path.stem: path for path in sorted(HERE.glob("proof_*.py"))}
    unknown = [name for name in sys.argv[1:] if name not in known]
    if unknown:
        sys.exit(f"no proof {', '.join(unknown)}: expected some of {', '.join(known)}")
    failed = []
    for name in sys.argv[1:] or known:
        section, passed = prove(known[name])
        failed += [] if passed else [name]
        print(section, flush=True)
        kept = {**sections(), name: section}
        PAGE.parent.mkdir(exist_ok=True)
        whole = "\n".join(kept[one] for one in sorted(kept) if one in known)
        PAGE.write_text(f"# Proofs at full counts\n\nWritten by `make proof`.\n\n{whole}", encoding="utf-8")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
