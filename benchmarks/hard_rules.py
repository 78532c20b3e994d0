"""Both error rates of the five laws' hard rules: on minimal pairs, on public sets of hazardous requests, on harmless texts.

    python -m benchmarks.hard_rules [SHARED_DATA]

Every public set is split in two by the SHA-256 of its texts (first byte even or odd); built-in prompts by their own splits. The
rules and cues were written while looking at the first half; only the second half, `held out`, says what they are worth. The
matcher reads words; what it lets through is left to the principles and their judge.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.page import table, write
from solon.constitution import load
from solon.data.prompts import load_builtin
from solon.policy.precedence import PrecedenceGovernor, Rates, measure, measure_pairs, read_pairs

ROOT = Path(__file__).parent.parent
PAIRS = ROOT / "tests" / "policy" / "minimal_pairs.jsonl"
SHARED = ROOT.parent / "shared" / "data"


def held_out(text: str) -> bool:
    """Whether a text is of the half that nobody looked at while writing rules."""
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 1


def column(path: Path, name: str) -> Iterator[str]:
    """A column of a CSV file, gzip or not."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    yield from (row[name] for row in csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))


def lines(path: Path, name: str) -> Iterator[str]:
    """A field of a gzipped JSON list, or of gzipped JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = json.load(file) if path.name.endswith(".json.gz") else [json.loads(line) for line in file]
    yield from (row if isinstance(row, str) else row[name] for row in rows)


def harmbench(folder: Path) -> Iterator[str]:
    """The behaviours without a context of their own."""
    for path in sorted(folder.glob("harmbench_behaviors_text_*.csv")):
        with path.open(encoding="utf-8") as file:
            yield from (row["Behavior"] for row in csv.DictReader(file) if row["FunctionalCategory"] == "standard")


HAZARDOUS: dict[str, Callable[[Path], Iterator[str]]] = {
    "AdvBench": lambda d: column(d / "advbench" / "harmful_behaviors.csv", "goal"),
    "JailbreakBench": lambda d: column(d / "jailbreakbench" / "harmful_behaviors.csv", "Goal"),
    "HarmBench, standard": lambda d: harmbench(d / "harmbench"),
    "AILuminate (mostly indirect)": lambda d: column(next((d / "ailuminate").glob("*.csv")), "prompt_text"),
    "Do-Not-Answer, first half": lambda d: column(next((d / "do_not_answer").glob("*.csv")), "question"),
}
BENIGN: dict[str, Callable[[Path], Iterator[str]]] = {
    "Alpaca instructions": lambda d: lines(d / "instructions" / "alpaca_instructions.json.gz", "instruction"),
    "Dolly": lambda d: column(d / "instructions" / "dolly_sample_1000.csv.gz", "instruction"),
    "self-instruct seeds": lambda d: lines(d / "instructions" / "seed_tasks.jsonl.gz", "instruction"),
    "user-oriented instructions": lambda d: lines(d / "instructions" / "user_oriented_instructions.jsonl.gz", "instruction"),
    "CyberSecEval false-refusal prompts": lambda d: lines(d / "cyberseceval" / "mitre_frr.json.gz", "mutated_prompt"),
}


def builtin(kind: str) -> tuple[list[str], list[str]]:
    """Built-in prompts of a set: of training and validation, and of the held-out splits, which are only counted."""
    rows = [prompt for prompt in load_builtin() if prompt.set == kind]
    seen = ("train", "validation")
    return [p.prompt for p in rows if p.split in seen], [p.prompt for p in rows if p.split not in seen]


def rates(governor: PrecedenceGovernor, shared: Path) -> list[tuple[str, str, Rates, Rates]]:
    """(kind, set, first half, held out) for every set."""
    found = []
    for kind, group in (("hazardous", HAZARDOUS), ("harmless", BENIGN)):
        for name, read in group.items():
            texts = list(read(shared))
            found.append(_both(governor, kind, name, *([t for t in texts if held_out(t) == held] for held in (False, True))))
    found.append(_both(governor, "hazardous", "built-in, hazardous", *builtin("hazardous")))
    found += [_both(governor, "harmless", f"built-in, {kind}", *builtin(kind)) for kind in ("twin", "benign")]
    return found


def _both(governor: PrecedenceGovernor, kind: str, name: str, first: list[str], held: list[str]) -> tuple[str, str, Rates, Rates]:
    pair = [measure(governor, half, []) if kind == "hazardous" else measure(governor, [], half) for half in (first, held)]
    return kind, name, pair[0], pair[1]


def cell(kind: str, found: Rates) -> str:
    """The share that was stopped, with its interval; of harmless texts that is the error."""
    return found.stopped_text if kind == "harmless" else found.caught_text


def main() -> None:
    """Measure, print, and write the page."""
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    governor = PrecedenceGovernor(load("five-laws"))
    pairs = read_pairs(PAIRS)
    text = f"Minimal pairs (written with the rules): {measure_pairs(governor, pairs)}.\n\n"
    if not shared.exists():
        print(text)
        sys.exit(f"{shared}: expected the public sets, got no folder; name it as the first argument")
    start = time.perf_counter()
    found = rates(governor, shared)
    taken, count = time.perf_counter() - start, sum(r.hazardous + r.benign for _, _, *both in found for r in both)
    for kind, title in (
        ("hazardous", "requests that are stopped"),
        ("harmless", "harmless texts that are stopped (false positives)"),
    ):
        rows = [(name, cell(kind, first), cell(kind, held)) for each, name, first, held in found if each == kind]
        text += table((f"{title}", "half looked at", "held out"), rows) + "\n"
    text += (
        f"{len(governor.rules)} rules, constitution {governor.hash[:12]}…, {count} texts, {taken / count * 1000:.2f} ms each.\n"
    )
    print(text)
    write("hard_rules", "Hard rules of the five laws", text, "python -m benchmarks.hard_rules")


if __name__ == "__main__":
    main()
