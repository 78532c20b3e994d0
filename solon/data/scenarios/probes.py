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
from solon.data.records import PROBE, Prompt, PromptSet
from solon.data.scenarios.topics import read_yaml
from solon.errors import DataError

DEFAULT_N = 50
FORMS = "forms"  # the entry of the file for any principle


@cache
def texts() -> Mapping[str, Mapping[PromptSet, tuple[str, ...]]]:
    """Principle id (or `FORMS`) -> set -> prompts."""
    return {name: {kind: tuple(lines) for kind, lines in sets.items()} for name, sets in read_yaml("probes.yaml").items()}


def generate(n: int | None = None, constitution: Constitution | None = None, seed: int = 0) -> list[Prompt]:
    """`n` edge cases (default 50, or all where there are fewer), the principles in equal numbers (a remainder to the earlier ones).

    Edge cases written for a principle come first; for other principles, and when those do not suffice, forms that name the
    principle's title (`wording` is "form"). Ids are fixed by the place in the file, so that two draws can be compared; `split` is
    "probe". Seeded order.

    Raises:
        DataError: n below 1, a constitution without principles, or fewer edge cases than asked for.
    """
    available = _available(constitution or load("contemplative"))
    most = min(len(found) for found in available.values()) * len(available)
    n = min(DEFAULT_N, most) if n is None else n
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DataError(f"probes: n: expected at least 1, got {n!r}", mend="ask for a whole number of prompts")
    wanted = counts(dict.fromkeys(available, 1), n)
    short = {name: (wanted[name], len(found)) for name, found in available.items() if wanted[name] > len(found)}
    if short:
        shown = ", ".join(f"{name} {want} of {have}" for name, (want, have) in short.items())
        raise DataError(
            f"probes: expected at most as many as there are, got n = {n}, which asks for {shown}", mend=f"ask for {most} or fewer"
        )
    rng = random.Random(f"solon probes {seed}")
    chosen = [prompt for name, found in available.items() for prompt in _drawn(found, wanted[name], rng)]
    rng.shuffle(chosen)
    return chosen


def _drawn(found: list[Prompt], count: int, rng: random.Random) -> list[Prompt]:
    """Written ones before forms."""
    own = [prompt for prompt in found if prompt.wording != "form"]
    forms = [prompt for prompt in found if prompt.wording == "form"]
    return rng.sample(own, min(count, len(own))) + rng.sample(forms, max(0, count - len(own)))


def _available(constitution: Constitution) -> dict[str, list[Prompt]]:
    """Principle id -> all its edge cases, then the forms."""
    found: dict[str, list[Prompt]] = {}
    for principle in constitution.principles:
        name = next((n for n in (principle.id, *principle.aliases) if n in texts() and n != FORMS), "")
        title = (principle.title or principle.text or principle.id).replace('"', "'")
        found[principle.id] = [
            *(_prompts(texts()[name], principle.id, name) if name else ()),
            *_prompts(texts()[FORMS], principle.id, f"{principle.id}-form", {"title": title}),
        ]
    if not found:
        raise DataError(f"probes: constitution {constitution.id}: expected principles, got none", mend="use one with principles")
    return found


def _prompts(
    sets: Mapping[PromptSet, tuple[str, ...]], principle_id: str, name: str, values: Mapping[str, str] | None = None
) -> list[Prompt]:
    """The prompts of an entry; with `values` they are forms to be filled in."""
    lines = [(kind, line) for kind, given in sets.items() for line in given]
    return [
        Prompt(
            id=f"probe-{name}-{i:02d}", prompt=line.format(**values) if values else line, set=kind, group=f"probe-{name}-{i:02d}",
            principle_id=principle_id, topic=principle_id if values else name, wording="form" if values else "", split=PROBE,
            source="probes",
        )
        for i, (kind, line) in enumerate(lines, 1)
    ]  # fmt: skip
