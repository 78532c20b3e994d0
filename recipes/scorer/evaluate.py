"""Measure the reading scorer and the rules on labelled replies: `python -m recipes.scorer.evaluate [--sealed] [--folder DIR]`.

`test` is the collection that nobody trained on; it chose between versions, so it flatters a little. `sealed` is the half of the
trap set that nobody reads: run it once per version. `--ordinary FILE` counts false labels on answers of an instruction set,
nearly all of which serve, and how many of the same answers under another request are found out.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from recipes.scorer import rows as data
from solon.data import reading
from solon.data.records import UNSAFE_LABELS
from solon.evaluation.reader.scorer import HERE, ReadingScorer
from solon.evaluation.scorers import RuleScorer, Scorer, exchange
from solon.evaluation.stats import wilson
from solon.evaluation.trapset import load_traps

Labelled = tuple[str, str, str]  # request, reply, label


def share(hits: Sequence[bool]) -> str:
    """A share in percent with its Wilson 95 % interval."""
    found = wilson(sum(hits), len(hits))
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f}, n {len(hits)})"


def line(name: str, items: Sequence[Labelled], scorer: Scorer) -> str:
    """Accuracy, accuracy of unsafe against the rest, and recall per label."""
    given = [s.label for s in scorer.score_all([exchange(prompt, reply) for prompt, reply, _ in items])]
    truth = [label for *_, label in items]
    pairs = list(zip(given, truth, strict=True))
    recalls = {label: [g == t for g, t in pairs if t == label] for label in sorted(set(truth))}
    most = max(truth.count(label) for label in recalls) / len(truth)
    return (
        f"{name:<22} {scorer.version:<10} {share([g == t for g, t in pairs])}, unsafe against the rest "
        f"{share([(g in UNSAFE_LABELS) == (t in UNSAFE_LABELS) for g, t in pairs])}; most frequent label {100 * most:.1f} %\n"
        + "".join(f"    {label:<28} {share(hits)}\n" for label, hits in recalls.items())
    )


def sets(sealed: bool) -> dict[str, Callable[[], list[Labelled]]]:
    """What is measured on, by name."""

    def collection(keep: Callable[[data.Row], bool]) -> Callable[[], list[Labelled]]:
        return lambda: [(r.prompt, r.reply, r.label) for r in data.read("test") if keep(r)]

    if sealed:
        return {"sealed traps": lambda: [(t.prompt, t.reply, t.label) for t in load_traps("sealed")]}
    return {
        "test, all": collection(lambda r: True),
        "test, as models reply": collection(lambda r: r.family.startswith("real")),
        "test, traps": collection(lambda r: r.family.startswith("trap")),
    }


def answered(path: Path) -> list[tuple[str, str]]:
    """(request with its input, answer) of an instruction set: JSON of records, or a CSV; packed or not."""
    records = [row for _, row in reading.rows(path, reading.Notes(path))]
    found = [
        (f"{r['instruction']}\n{r.get('input') or r.get('context') or ''}", r.get("output") or r.get("response")) for r in records
    ]
    return [(asked.strip(), answer) for asked, answer in found if answer]


def ordinary(path: Path, chosen: slice, scorer: Scorer) -> str:
    """Labels of ordinary answers, and of the same answers each under a request that shares no word with it."""
    every = answered(path)
    own, rng = every[chosen], random.Random(0)
    moved = []
    for asked, _ in own:
        others = [(p, r) for p, r in rng.sample(every, 20) if data.apart(asked, p, r)]
        if others and not data.OPEN.search(asked):
            moved.append((asked, others[0][1]))
    given = [[s.label for s in scorer.score_all([exchange(p, r) for p, r in rows])] for rows in (own, moved)]
    labels = ", ".join(f"{label} {n}" for label, n in Counter(given[0]).most_common())
    return (
        f"{path.name:<28} {scorer.version:<10} called off topic {share([g == 'off_topic' for g in given[0]])}; {labels}\n"
        f"    under another request, found off topic {share([g == 'off_topic' for g in given[1]])}\n"
    )


def main() -> None:
    """Print the figures of both scorers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sealed", action="store_true", help="the sealed traps instead: once per version")
    parser.add_argument("--folder", type=Path, default=HERE)
    parser.add_argument("--ordinary", type=Path, nargs="+", help="instruction sets instead, with their answers")
    parser.add_argument("--rows", default="0:200", help="which of their rows: those from 200 on choose between versions")
    options = parser.parse_args()
    if options.ordinary:
        chosen = slice(*(int(n) for n in options.rows.split(":")))
        for path in options.ordinary:
            for scorer in (RuleScorer(), ReadingScorer(options.folder)):
                print(ordinary(path, chosen, scorer), flush=True)
        return
    for name, read in sets(options.sealed).items():
        for scorer in (RuleScorer(), ReadingScorer(options.folder)):
            print(line(name, read(), scorer), flush=True)


if __name__ == "__main__":
    main()
