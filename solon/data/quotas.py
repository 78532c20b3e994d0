"""Quotas: shares become whole counts, and several sets of counts become one table that meets them all, or are refused.

Rounding is by largest remainder (Hamilton); of equal remainders the name that stands earlier gets the extra one. A table over
two or three axes with forbidden cells is an integer feasibility problem, solved exactly by HiGHS through scipy. Among the tables
that meet every count, the one nearest to independence of the axes is taken, so that no difficulty clusters in one law.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from solon.errors import DataError, nearest

if TYPE_CHECKING:
    import numpy as np

Share = int | float | str | Decimal | Fraction
Cell = tuple[str, ...]
Marginals = Mapping[str, Mapping[str, int]]
SUBSETS_UP_TO = 12  # values of an axis, for showing which subset of them is over-asked


def exact(share: Share) -> Fraction:
    """A share as an exact fraction: 0.4, "0.4", "40%", "2/3" and 40 alike; a float counts as the decimal that it prints.

    Raises:
        DataError: not a number, not finite, or negative.
    """
    text = str(share).strip()
    try:
        value = Fraction(text[:-1].strip()) / 100 if text.endswith("%") else Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise DataError(
            f"share: expected a number or fraction, got {share!r}", mend="write for example 0.4, 40% or 2/5"
        ) from error
    if value < 0:
        raise DataError(f"share: expected at least 0, got {share!r}", mend="remove the minus sign")
    return value


def counts(shares: Mapping[str, Share], total: int) -> dict[str, int]:
    """Whole counts that sum to `total`, in proportion to `shares` (which need not sum to 1), by largest remainder.

    Ties go to the name that stands earlier in `shares`.

    Raises:
        DataError: a negative total, no shares, a negative share, or shares that are all 0 while something is asked.
    """
    if total < 0:
        raise DataError(f"quota: expected a total of at least 0, got {total}", mend="ask for 0 or more rows")
    parts = {name: exact(share) for name, share in shares.items()}
    whole = sum(parts.values())
    if not whole:
        if total == 0 and parts:
            return dict.fromkeys(parts, 0)
        raise DataError(f"quota: expected shares above 0, got {dict(shares)!r}", mend="give at least one name a share above 0")
    ideal = {name: part * total / whole for name, part in parts.items()}
    found = {name: math.floor(value) for name, value in ideal.items()}
    missing = total - sum(found.values())
    order = sorted(enumerate(parts), key=lambda item: (-(ideal[item[1]] - found[item[1]]), item[0]))
    for _, name in order[:missing]:
        found[name] += 1
    return found


def asked_counts(axis: str, given: Mapping[str, Share], names: Sequence[str], n: int) -> dict[str, int]:
    """What someone asked for on one axis, as a count for each of `names` (0 for what was not named).

    Whole numbers are counts and must sum to `n`; anything else (0.4, "40%", "2/5") is a share, and the shares must sum to 1.

    Raises:
        DataError: an unknown name, counts and shares mixed, a negative one, or a sum that is off, with the arithmetic.
    """
    unknown = next((name for name in given if name not in names), None)
    if unknown is not None:
        raise DataError(
            f"{axis}: expected one of {', '.join(names)}, got {unknown!r}",
            mend=nearest(str(unknown), list(names)) or "use one of these names",
        )
    whole = [isinstance(value, int) and not isinstance(value, bool) for value in given.values()]
    shown = " + ".join(f"{name} {value}" for name, value in given.items())
    if not all(whole):
        if any(whole):
            raise DataError(f"{axis}: expected counts or shares, got both: {shown}", mend="write all as counts, or all as shares")
        require_whole_shares(axis, given)
        return counts({name: given.get(name, 0) for name in names}, n)
    total = sum(int(value) for value in given.values())
    if total != n or min((int(value) for value in given.values()), default=0) < 0:
        raise DataError(
            f"{axis}: expected counts of at least 0 that sum to n = {n}, got {shown} = {total}",
            mend=f"ask for n = {total}, change the counts, or write shares such as '20%'",
        )
    return {name: int(given.get(name, 0)) for name in names}


def require_whole_shares(axis: str, shares: Mapping[str, Share]) -> None:
    """Refuse shares that do not sum to 1. Whole numbers are weights, which may have any sum.

    Raises:
        DataError: the sum is off, with the arithmetic.
    """
    parts = {name: exact(share) for name, share in shares.items()}
    weights = all(part.denominator == 1 and "%" not in str(shares[name]) for name, part in parts.items())
    total = sum(parts.values())
    if not weights and total != 1:
        shown = " + ".join(f"{name} {shares[name]}" for name in shares)
        raise DataError(
            f"{axis}: expected shares that sum to 1 (100%), got {shown} = {float(total):.6g}", mend="correct one of them"
        )


def joint_table(
    marginals: Marginals,
    allowed: Callable[..., bool] | Collection[Cell] | None = None,
    at_most: Mapping[Cell, int] | None = None,
) -> dict[Cell, int]:
    """Whole counts for the cells of a table whose sums along each axis are exactly `marginals`.

    Args:
        marginals: axis name -> value -> count, for example {"law": {"0": 100, ...}, "type": {...}, "difficulty": {...}}.
        allowed: which cells may be filled: a predicate called with one value per axis, or the cells themselves; None allows all.
        at_most: upper bounds of single cells (how many distinct examples can be made there); absent cells have none.

    Returns:
        The non-zero cells, keys in the order of the axes.

    Raises:
        DataError: no such table; the message shows which counts cannot hold together.
    """
    axes = {axis: dict(values) for axis, values in marginals.items()}
    _refuse_bad_counts(axes)
    _refuse_unequal_totals(axes)
    cells = _allowed_cells(axes, allowed)
    total = sum(next(iter(axes.values())).values())
    if total == 0:
        return {}
    caps = [min(total, (at_most or {}).get(cell, total), *_own_counts(axes, cell)) for cell in cells]
    solution = _solve(axes, cells, caps, total)
    if solution is None:
        raise DataError(_why_impossible(axes, cells, caps, total), mend="change the counts so that they can hold together")
    return {cell: count for cell, count in zip(cells, solution, strict=True) if count}


def _refuse_bad_counts(axes: Mapping[str, Mapping[str, int]]) -> None:
    if not axes or not all(axes.values()):
        raise DataError("quota: expected at least one axis, each with values, got none", mend="name what to count")
    for axis, values in axes.items():
        for value, count in values.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                raise DataError(
                    f"quota: {axis} {value}: expected a whole count of at least 0, got {count!r}", mend="correct the count"
                )


def _refuse_unequal_totals(axes: Mapping[str, Mapping[str, int]]) -> None:
    totals = {axis: sum(values.values()) for axis, values in axes.items()}
    if len(set(totals.values())) == 1:
        return
    shown = "; ".join(f"{axis}: {' + '.join(map(str, axes[axis].values()))} = {total}" for axis, total in totals.items())
    raise DataError(
        f"quota: expected every axis to count the same rows, got different totals: {shown}",
        mend="raise or lower one of them so that the totals agree",
    )


def _allowed_cells(axes: Mapping[str, Mapping[str, int]], allowed: Callable[..., bool] | Collection[Cell] | None) -> list[Cell]:
    cells = list(itertools.product(*axes.values()))
    if allowed is None:
        return cells
    if callable(allowed):
        return [cell for cell in cells if allowed(*cell)]
    chosen = {tuple(cell) for cell in allowed}
    unknown = chosen - set(cells)
    if unknown:
        raise DataError(
            f"quota: expected cells of {' x '.join(axes)}, got {sorted(unknown)[0]}", mend="use the values that have counts"
        )
    return [cell for cell in cells if cell in chosen]


def _own_counts(axes: Mapping[str, Mapping[str, int]], cell: Cell) -> list[int]:
    return [values[value] for values, value in zip(axes.values(), cell, strict=True)]


def _sums(axes: Mapping[str, Mapping[str, int]], cells: list[Cell]) -> tuple[np.ndarray, np.ndarray]:
    """The 0/1 matrix that adds cells into axis values, shape (values of all axes, cells), and the counts asked."""
    import numpy as np

    rows = [(position, value) for position, values in enumerate(axes.values()) for value in values]
    matrix = np.array([[float(cell[position] == value) for cell in cells] for position, value in rows]).reshape(
        len(rows), len(cells)
    )
    asked = np.array([count for values in axes.values() for count in values.values()], dtype=float)
    return matrix, asked


def _fitted(matrix: np.ndarray, asked: np.ndarray, caps: list[int], axes: Mapping[str, Mapping[str, int]]) -> np.ndarray:
    """Real-valued cells nearest to independence: iterative proportional fitting (Deming and Stephan 1940), 200 rounds."""
    import numpy as np

    target = np.minimum(np.ones(matrix.shape[1]), np.array(caps, dtype=float))
    start, bounds = 0, []
    for values in axes.values():
        bounds.append(slice(start, start + len(values)))
        start += len(values)
    for _ in range(200):
        for rows in bounds:
            have = matrix[rows] @ target
            factor = np.divide(asked[rows], have, out=np.zeros_like(have), where=have > 0)
            target = np.minimum(target * (matrix[rows].T @ factor), caps)
    return target


def _solve(axes: Mapping[str, Mapping[str, int]], cells: list[Cell], caps: list[int], total: int) -> list[int] | None:
    """Counts per cell that meet every sum, nearest (L1) to the fitted table; None when there are none."""
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    if not cells:
        return None
    matrix, asked = _sums(axes, cells)
    target = _fitted(matrix, asked, caps, axes)
    n = len(cells)
    eye, zero = np.eye(n), np.zeros_like(matrix)
    result = milp(
        c=np.concatenate([np.zeros(n), np.ones(n)]),  # cells, then how far each is from its target
        constraints=[
            LinearConstraint(np.hstack([matrix, zero]), asked, asked),
            LinearConstraint(np.hstack([eye, -eye]), -np.inf, target),
            LinearConstraint(np.hstack([eye, eye]), target, np.inf),
        ],
        integrality=np.concatenate([np.ones(n), np.zeros(n)]),
        bounds=Bounds(np.zeros(2 * n), np.concatenate([np.array(caps, dtype=float), np.full(n, float(total))])),
        options={"mip_rel_gap": 0.01},  # any table that meets the counts is right; nearness is only a preference
    )
    if result.x is None:
        return None
    found = [round(value) for value in result.x[:n]]
    exact_sums = (matrix @ np.array(found) == asked).all() and all(0 <= f <= c for f, c in zip(found, caps, strict=True))
    return found if exact_sums else None


def _why_impossible(axes: Mapping[str, Mapping[str, int]], cells: list[Cell], caps: list[int], total: int) -> str:
    """The arithmetic: a set of values that asks for more than its allowed partners hold, else how far the best table gets."""
    for a, b in itertools.permutations(range(len(axes)), 2):
        over = _over_asked(axes, cells, caps, a, b)
        if over:
            return f"quota: {over}"
    placed = _most_placed(axes, cells, caps)
    return (
        f"quota: the counts of {', '.join(axes)} cannot hold together: the fullest table within all of them places "
        f"{placed} of {total} rows"
    )


def _over_asked(axes: Mapping[str, Mapping[str, int]], cells: list[Cell], caps: list[int], a: int, b: int) -> str:
    """Hall's condition between two axes: values of `a` that together ask more than the values of `b` open to them have."""
    name_a, name_b = list(axes)[a], list(axes)[b]
    counts_a, counts_b = axes[name_a], axes[name_b]
    room: dict[tuple[str, str], int] = {}
    for cell, cap in zip(cells, caps, strict=True):
        room[cell[a], cell[b]] = room.get((cell[a], cell[b]), 0) + cap
    asking = [value for value, count in counts_a.items() if count]
    sizes = range(1, len(asking) + 1) if len(asking) <= SUBSETS_UP_TO else range(1, 2)
    for size in sizes:
        for subset in itertools.combinations(asking, size):
            wanted = sum(counts_a[value] for value in subset)
            open_to = {v: min(counts_b[v], sum(room.get((s, v), 0) for s in subset)) for v in counts_b}
            open_to = {v: c for v, c in open_to.items() if any((s, v) in room for s in subset)}
            if wanted > sum(open_to.values()):
                ask = " + ".join(f"{v} {counts_a[v]}" for v in subset)
                have = " + ".join(f"{v} {c}" for v, c in open_to.items()) or "none"
                return (
                    f"{name_a} asks for {ask} = {wanted}, but the {name_b} open to it holds {have} = {sum(open_to.values())}: "
                    f"{wanted - sum(open_to.values())} too many"
                )
    return ""


def _most_placed(axes: Mapping[str, Mapping[str, int]], cells: list[Cell], caps: list[int]) -> int:
    import numpy as np
    from scipy.optimize import Bounds, LinearConstraint, milp

    if not cells:
        return 0
    matrix, asked = _sums(axes, cells)
    result = milp(
        c=-np.ones(len(cells)),
        constraints=[LinearConstraint(matrix, -np.inf, asked)],
        integrality=np.ones(len(cells)),
        bounds=Bounds(np.zeros(len(cells)), np.array(caps, dtype=float)),
    )
    return round(-result.fun)
