"""Edge cases for each principle, for evaluation only. Texts: `probes.yaml`.

Where a principle could be misread in either direction: questions that invite a breach, harmless ones that look forbidden (`twin`) and
forbidden ones that look harmless (`hazardous`). No training generator uses them, and a test keeps it so.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from functools import cache

from solon.constitution import Constitution, load
from solon.data.quotas import counts
from solon.data.records import Prompt, PromptSet
from solon.data.scenarios.topics import read_yaml
from solon.errors import DataError

SPLIT = "probe"  # marks rows that no training file may take
DEFAULT_N = 50


@cache
def texts() -> Mapping[str, Mapping[PromptSet, tuple[str, ...]]]:
    """Principle id -> set -> prompts."""
    return {name: {kind: tuple(lines) for kind, lines in sets.items()} for name, sets in read_yaml("probes.yaml").items()}


def generate(n: int = DEFAULT_N, constitution: Constitution | None = None, seed: int = 0) -> list[Prompt]:
    """`n` edge cases, the principles in equal numbers (a remainder to the earlier ones), in seeded order.

    Ids are fixed by the prompt's place in the file, so that two draws can be compared; `split` is "probe".

    Raises:
        DataError: n below 1; a principle of the constitution has no edge cases; or fewer than its share.
    """
    constitution = constitution or load("contemplative")
    available = _available(constitution)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DataError(f"probes: n: expected at least 1, got {n!r}", mend="ask for a whole number of prompts")
    wanted = counts(dict.fromkeys(available, 1), n)
    short = {name: (wanted[name], len(found)) for name, found in available.items() if wanted[name] > len(found)}
    if short:
        shown = ", ".join(f"{name} {want} of {have}" for name, (want, have) in short.items())
        most = min(len(found) for found in available.values()) * len(available)
        raise DataError(
            f"probes: expected at most as many as were written, got n = {n}, which asks for {shown}",
            mend=f"ask for {most} or fewer",
        )
    rng = random.Random(f"solon probes {seed}")
    chosen = [prompt for name, found in available.items() for prompt in rng.sample(found, wanted[name])]
    rng.shuffle(chosen)
    return chosen


def _available(constitution: Constitution) -> dict[str, list[Prompt]]:
    """Principle id -> all its edge cases."""
    found: dict[str, list[Prompt]] = {}
    for principle in constitution.principles:
        name = next((n for n in (principle.id, *principle.aliases) if n in texts()), None)
        if name is None:
            raise DataError(
                f"probes: constitution {constitution.id}: expected principles with written edge cases "
                f"({', '.join(texts())}), got {principle.id!r}",
                mend="use contemplative, five-laws or helpful-harmless, or give your own prompts as a file",
            )
        found[principle.id] = _prompts(name, principle.id)
    if not found:
        raise DataError(f"probes: constitution {constitution.id}: expected principles, got none", mend="use one with principles")
    return found


def _prompts(name: str, principle_id: str) -> list[Prompt]:
    lines = [(kind, line) for kind, given in texts()[name].items() for line in given]
    return [
        Prompt(
            id=f"probe-{name}-{i:02d}",
            prompt=line,
            set=kind,
            group=f"probe-{name}-{i:02d}",
            principle_id=principle_id,
            topic=name,
            split=SPLIT,
            source="probes",
        )
        for i, (kind, line) in enumerate(lines, 1)
    ]
