"""Splits by prompt group, by hash, stable when data grow; and the check that proves nothing leaks.

A group holds a prompt's paraphrases, safe twins and near-duplicates together. Its side of the split is decided by the hash of its
name alone, so adding rows never moves a group that was there before.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence

from solon.data.near import NEAR, PERMUTATIONS, SHINGLE, jaccard, near_duplicates, shingles, words
from solon.data.records import PROBE, Prompt
from solon.errors import CheckFailed, ConfigError

HELD_OUT = ("unseen_wording", "unseen_topic", "twin", "benign", "file", PROBE)


def with_groups(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Each prompt with a group: its own, else that of the first near-duplicate before it, else its text's hash."""
    parent = list(range(len(prompts)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in near_duplicates([p.prompt for p in prompts]):
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    stated: dict[str, int] = {}
    for i, prompt in enumerate(prompts):
        if prompt.group:
            a, b = sorted((root(stated.setdefault(prompt.group, i)), root(i)))
            parent[b] = a
    return [p.model_copy(update={"group": _group_name(prompts[root(i)])}) for i, p in enumerate(prompts)]


def _group_name(prompt: Prompt) -> str:
    return prompt.group or "g-" + hashlib.sha256(" ".join(words(prompt.prompt)).encode()).hexdigest()[:12]


def position(group: str, seed: int = 0) -> float:
    """Where a group falls in [0, 1): SHA-256 of its name, the same on every machine."""
    digest = hashlib.sha256(f"split\x1f{seed}\x1f{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign(
    prompts: Sequence[Prompt], *, validation: float = 0.1, test: float = 0.3, test_name: str = "file", seed: int = 0
) -> list[Prompt]:
    """Prompts with `split` set to train, validation or `test_name`; one that states its split keeps it.

    Raises:
        ConfigError: shares that are negative or leave nothing to train on.
    """
    if validation < 0 or test < 0 or validation + test >= 1:
        raise ConfigError(
            f"split: expected validation + test below 1, got {validation} + {test}", mend="lower split.validation or split.test"
        )

    def side(group: str) -> str:
        where = position(group, seed)
        return test_name if where < test else "validation" if where < test + validation else "train"

    grouped = with_groups(prompts)
    return [p if p.split else p.model_copy(update={"split": side(p.group)}) for p in grouped]


def leaks(prompts: Iterable[Prompt]) -> list[str]:
    """Complaints, in words, about groups or near-duplicate texts that stand on two sides; empty when there are none.

    `unseen_wording` is the one split that shares topics with the training prompts, by definition; its texts must still be new.
    """
    rows = [p for p in prompts if p.split]
    sides: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row.split != "unseen_wording":
            sides[row.group].add("held out" if row.split in HELD_OUT else row.split)
    found = [f"group {g!r} is in {' and '.join(sorted(s))}" for g, s in sorted(sides.items()) if len(s) > 1]
    for i, j in near_duplicates([r.prompt for r in rows]):
        a, b = rows[i], rows[j]
        if (a.split in HELD_OUT) != (b.split in HELD_OUT):
            found.append(f"prompts {a.id!r} ({a.split}) and {b.id!r} ({b.split}) are near-duplicates")
    return found


def require_no_leak(prompts: Iterable[Prompt]) -> None:
    """Raises:
    CheckFailed: training and held-out prompts share a group or a near-duplicate text.
    """
    found = leaks(prompts)
    if found:
        shown = "; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else "")
        raise CheckFailed(
            f"split: expected no leak, got {len(found)}: {shown}", mend="give such prompts one `group`, or drop them"
        )


__all__ = [
    "HELD_OUT", "NEAR", "PERMUTATIONS", "SHINGLE", "assign", "jaccard", "leaks", "near_duplicates", "position", "require_no_leak",
    "shingles", "with_groups", "words",
]  # fmt: skip
