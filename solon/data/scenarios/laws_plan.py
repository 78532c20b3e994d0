"""What the laws generator has to make: how many rows for each law, type and difficulty. Pure arithmetic.

The documented counts by law sum to 750 and those by type to 800, so both cannot hold. The law counts are taken as they stand, and
the default types are 450 blocked, 150 safe, 50 edge, with conflicts and multi-turn rows as the law counts ask.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from solon.data.quotas import Share, asked_counts, counts, joint_table
from solon.data.rows import DIFFICULTIES, EXAMPLE_TYPES
from solon.errors import DataError, nearest

Cell = tuple[str, str, str]
LAW_NAMES = ("law-0", "law-1", "law-2", "law-3", "law-4", "conflict", "multi_turn")
DEFAULT_LAWS = dict(zip(LAW_NAMES, (100, 200, 150, 100, 100, 50, 50), strict=True))
DEFAULT_TYPES = {"harmful_blocked": 450, "safe_request": 150, "edge_case": 50, "law_conflict": 50, "multi_turn": 50}
DEFAULT_DIFFICULTIES = dict(zip(DIFFICULTIES, (40, 30, 20, 10), strict=True))
TYPE_OF_KIND = {"conflict": "law_conflict", "multi_turn": "multi_turn"}
_SINGLE = tuple(name for name in LAW_NAMES if name not in TYPE_OF_KIND)
Quota = Mapping[str, Share] | Mapping[int, Share]


def plan(n: int, laws: Quota | None = None, types: Quota | None = None, difficulties: Quota | None = None) -> dict[Cell, int]:
    """(law, type, difficulty) -> rows. `laws` counts rows of one law by law, conflicts and multi-turn rows apart.

    Whole numbers are counts and must sum to `n`; anything else (0.4, "40%", "2/5") is a share. What is not given follows the
    documented defaults as far as the rest allows.

    Raises:
        DataError: n below 1, an unknown name, or counts that cannot hold together, with the arithmetic.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DataError(f"laws: n: expected at least 1 row, got {n!r}", mend="ask for a whole number of rows")
    by_law = _asked("laws", laws, LAW_NAMES, n)
    by_type = _asked("types", types, EXAMPLE_TYPES, n)
    by_law, by_type = _completed(n, by_law, by_type)
    by_difficulty = _asked("difficulties", difficulties, DIFFICULTIES, n) or counts(DEFAULT_DIFFICULTIES, n)
    table = joint_table({"law": by_law, "type": by_type, "difficulty": by_difficulty}, _allowed)
    return {(law, kind, difficulty): count for (law, kind, difficulty), count in table.items()}


def spread(table: Mapping[Cell, int], rng: random.Random) -> list[Cell]:
    """The cells of a table, one for each row, in seeded order."""
    cells = [cell for cell, count in table.items() for _ in range(count)]
    rng.shuffle(cells)
    return cells


def _allowed(law: str, kind: str, difficulty: str) -> bool:
    """A conflict is of type law_conflict and nothing else is; so for multi-turn."""
    return kind == TYPE_OF_KIND[law] if law in TYPE_OF_KIND else kind not in TYPE_OF_KIND.values()


def _completed(n: int, by_law: dict[str, int] | None, by_type: dict[str, int] | None) -> tuple[dict[str, int], dict[str, int]]:
    """Defaults for what was not asked, fitted to what was."""
    if by_law is None and by_type is None:
        by_law = counts(DEFAULT_LAWS, n)
    if by_law is None:
        assert by_type is not None
        special = {kind: by_type[TYPE_OF_KIND[kind]] for kind in TYPE_OF_KIND}
        return counts({k: DEFAULT_LAWS[k] for k in _SINGLE}, n - sum(special.values())) | special, by_type
    if by_type is None:
        special = {TYPE_OF_KIND[kind]: by_law[kind] for kind in TYPE_OF_KIND}
        single = {k: v for k, v in DEFAULT_TYPES.items() if k not in special}
        by_type = counts(single, n - sum(special.values())) | special
    return by_law, by_type


def _asked(axis: str, given: Quota | None, known: tuple[str, ...], n: int) -> dict[str, int] | None:
    if given is None:
        return None
    named = {_named(axis, name, known): value for name, value in given.items()}
    if len(named) < len(given):
        raise DataError(f"laws: {axis}: expected each name once, got {list(given)!r}", mend="remove the repeated name")
    return asked_counts(f"laws: {axis}", named, known, n)


def _named(axis: str, name: object, known: tuple[str, ...]) -> str:
    text = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    spellings = {k.replace("-", "_"): k for k in known}
    if axis == "laws":
        spellings |= (
            {str(i): f"law-{i}" for i in range(5)} | {f"law{i}": f"law-{i}" for i in range(5)} | {"conflicts": "conflict"}
        )
    if text not in spellings:
        raise DataError(
            f"laws: {axis}: expected one of {', '.join(known)}, got {name!r}",
            mend=nearest(str(name), list(known)) or "use one of these names",
        )
    return spellings[text]
