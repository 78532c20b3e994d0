"""Data at full size: generators, dedupe of 100,000 records, import of 1 million rows beside plain JSON, and of 1 GB."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.page import table, write

ROWS = 1_000_000
LONG = 360_000  # rows of about 3 kB: 1 GB


def in_own_process(code: str, *arguments: str) -> tuple[float, float]:
    """(seconds, peak MB) of a piece of Python in a process of its own. (`ru_maxrss` would begin at this process's own peak.)"""
    code += "\nprint(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return time.perf_counter() - start, int(done.stdout.split()[-1]) / 1024


def jsonl(path: Path, rows: int, words: int) -> Path:
    """A file of questions and answers."""
    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(5000)]
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            text = " ".join(rng.choices(vocabulary, k=words))
            file.write(
                json.dumps({"id": f"row-{i}", "question": text[: len(text) // 2], "answer": text[len(text) // 2 :], "topic": "t"})
            )
            file.write("\n")
    return path


def baseline(path: Path, out: Path) -> float:
    """Seconds of json.loads and json.dumps over a file, line by line."""
    start = time.perf_counter()
    with path.open(encoding="utf-8") as file, out.open("w", encoding="utf-8") as target:
        for line in file:
            target.write(json.dumps(json.loads(line)) + "\n")
    return time.perf_counter() - start


IMPORT = "import sys; from solon.data.sources import import_file; import_file('jsonl', sys.argv[1], sys.argv[2])"
GENERATE = "import sys; from solon.data.generate import generate_file; generate_file(sys.argv[1], sys.argv[2], n=10000)"


def imports(folder: Path) -> list[list[object]]:
    """One million rows against the baseline, and 1 GB within memory."""
    many = jsonl(folder / "many.jsonl", ROWS, 40)
    plain = baseline(many, folder / "plain.jsonl")
    seconds, peak = in_own_process(IMPORT, str(many), str(folder / "o.jsonl"))
    rows: list[list[object]] = [
        ["import of 1,000,000 rows", f"{seconds:.1f} s", f"{peak:.0f} MB", f"{plain / seconds:.2f}x", "at least 0.3x"]
    ]
    many.unlink()
    large = jsonl(folder / "large.jsonl", LONG, 330)
    size = large.stat().st_size / 1e9
    seconds, peak = in_own_process(IMPORT, str(large), str(folder / "o.jsonl"))
    rows.append([f"import of {size:.2f} GB", f"{seconds:.1f} s", f"{peak:.0f} MB", "", "500 MB"])
    return rows


def dedupe() -> list[object]:
    """100,000 records of 85 words, every tenth a near-duplicate."""
    from solon.data.dedupe import dedupe as remove
    from solon.data.example import Example

    rng = random.Random(0)
    vocabulary = [f"word{i}" for i in range(5000)]
    records: list[Example] = []
    for i in range(100_000):
        if i % 10 == 9:
            tokens = records[-1].prompt.split()
            tokens[3] = "changed"
            records.append(records[-1].model_copy(update={"id": str(i), "prompt": " ".join(tokens)}))
        else:
            prompt, reply = (" ".join(rng.choices(vocabulary, k=k)) for k in (25, 60))
            records.append(Example(id=str(i), prompt=prompt, response=reply))
    start, cpu = time.perf_counter(), time.process_time()
    kept, dropped = remove(records)
    seconds, own = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    assert len(kept) + len(dropped) == 100_000
    return [
        "dedupe of 100,000 records",
        f"{seconds:.1f} s",
        f"{peak:.0f} MB",
        f"{len(dropped):,} of 10,000 found, {own:.1f} s CPU",
        "60 s",
    ]


def generators(folder: Path) -> list[list[object]]:
    """10,000 rows of every kind that is there."""
    rows: list[list[object]] = []
    for kind in ("laws", "trading", "governed"):
        if (Path(__file__).parent.parent / "solon" / "data" / "scenarios" / f"{kind}.py").exists():
            seconds, peak = in_own_process(GENERATE, kind, str(folder / f"{kind}.jsonl"))
            rows.append([f"generate {kind}, 10,000 rows", f"{seconds:.1f} s", f"{peak:.0f} MB", "", "20 s, 500 MB"])
    return rows


def main() -> None:
    """Run all and write the page."""
    parts: list[Callable[[Path], list[list[object]]]] = [generators, lambda _: [dedupe()], imports]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            rows += part(Path(folder))
    body = table(["what", "time", "peak memory", "result", "asked"], rows)
    write("data", "Data", body, "python -m benchmarks.data")


if __name__ == "__main__":
    main()
