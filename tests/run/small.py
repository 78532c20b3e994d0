"""A small prompt file out of the built-in training prompts, so that whole runs of the embedded model take seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from solon.data.prompts import load_builtin

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def prompt_file(folder: Path, hazardous: int = 40, harmless: int = 60) -> Path:
    """Write and return a JSONL file of so many prompts of each kind, ids prefixed so that they are not the built-in ones."""
    train = [p for p in load_builtin() if p.split == "train" and p.hazard not in ("cse", "ssh")]
    chosen = [p for p in train if p.set == "hazardous"][:hazardous]
    chosen += [p for p in train if p.set == "benign"][: harmless // 2] + [p for p in train if p.set == "twin"][: harmless // 2]
    rows = [p.model_copy(update={"id": f"small-{p.id}", "split": ""}) for p in chosen]
    path = folder / "small.jsonl"
    path.write_text("".join(row.model_dump_json() + "\n" for row in rows), encoding="utf-8")
    return path


def command(*words: str) -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-m", "solon", *words]


def finish(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command(*words), capture_output=True, text=True, env=ENVIRONMENT, check=False)
