"""The trading generator: proposals, votes, records and crises with true arithmetic and recommendations that pass the limits.

    rows = generate(200, load("trading"), seed=1)
    held_out = generate(100, load("trading"), seed=1, split="evaluation")

Four categories in the proportion 5/2/2/2 by largest remainder; the 11 documented examples come first. Every number is computed from
the constitution and the seeded scenario, and every order under `context.recommended` was assessed before it was written: `recheck`
does it again. The evaluation part shares no scenario (all its numbers) and no wording of the question with the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from solon.constitution import Constitution
from solon.data.quotas import Share, asked_counts, counts
from solon.data.rows import TradingContext, TradingRow
from solon.data.scenarios import trading_compliance, trading_council, trading_learning, trading_systemic
from solon.data.scenarios.trading_account import Desk, Draft, OtherSide, Split, breaches
from solon.errors import CheckFailed, DataError
from solon.policy.assess import Judge

SHARES: Mapping[str, Share] = {
    "constitutional_compliance": 5, "multi_agent_coordination": 2, "meta_learning": 2, "systemic_risk": 2,
}  # fmt: skip
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "constitutional_compliance": (
        "CONSTITUTIONAL ASSESSMENT", "ETHICAL REASONING", "RISK ANALYSIS", "RECOMMENDATION", "PRINCIPLE",
    ),
    "multi_agent_coordination": (
        "MULTI-AGENT CONSENSUS PROTOCOL ACTIVATED", "WEIGHT ANALYSIS", "REASONING SYNTHESIS", "CONFLICT RESOLUTION STRATEGY",
        "GOVERNANCE PRINCIPLE",
    ),
    "meta_learning": ("META-LEARNING ANALYSIS", "ROOT CAUSE ANALYSIS", "ADAPTATION STRATEGY", "LEARNING-TO-LEARN PRINCIPLE"),
    "systemic_risk": (
        "SYSTEMIC RISK PROTOCOL ACTIVATED", "CRISIS CLASSIFICATION", "CASCADE FAILURE RISK", "EMERGENCY ACTION SEQUENCE",
        "CONSTITUTIONAL OVERRIDE JUSTIFICATION",
    ),
}  # fmt: skip
TRIES = 400
_MAKERS: Mapping[str, tuple[Callable[[Desk], Draft], ...]] = {
    "constitutional_compliance": trading_compliance.SCENARIOS,
    "multi_agent_coordination": (trading_council.dispute,),
    "meta_learning": (trading_learning.review,),
    "systemic_risk": trading_systemic.SCENARIOS,
}
_DOCUMENTED: tuple[Callable[[Desk], list[Draft]], ...] = (
    trading_compliance.documented, trading_council.documented, trading_learning.documented, trading_systemic.documented,
)  # fmt: skip


def generate(
    n: int = 200,
    constitution: Constitution | None = None,
    seed: int = 0,
    *,
    split: Split = "train",
    categories: Mapping[str, Share] | None = None,
) -> list[TradingRow]:
    """`n` distinct rows under a constitution's trading limits (default: the library's `trading`), deterministic by seed.

    Of `split="train"` the first rows are the documented examples, as many of each category as the quota holds.

    Args:
        categories: counts that sum to `n`, or shares, other than 5/2/2/2.

    Raises:
        DataError: n below 1, an unknown split or category, counts or shares with another sum, a constitution without the limits,
            or no further distinct scenario.
        CheckFailed: a recommendation does not pass the limits (a fault of the generator; nothing is returned).
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise DataError(f"trading: n: expected at least 1 row, got {n!r}", mend="ask for a whole number of rows")
    if split not in ("train", "evaluation"):
        raise DataError(f"trading: split: expected train or evaluation, got {split!r}", mend="use one of them")
    constitution = _constitution(constitution)
    desk = Desk(constitution, Random(f"solon trading {split} {seed}"), split)
    quota = asked_counts("trading: categories", categories, tuple(SHARES), n) if categories else counts(SHARES, n)
    drafts = _first(desk, quota) if split == "train" else []
    seen = {draft.instruction for draft in drafts}
    for category, count in quota.items():
        done = sum(draft.context["category"] == category for draft in drafts)
        drafts += [_fresh(desk, category, number, seen) for number in range(count - done)]
    known = sum(1 for draft in drafts if draft.context.get("documented"))
    rest = drafts[known:]
    desk.rng.shuffle(rest)
    return [_row(draft, desk) for draft in (*drafts[:known], *rest)]


def recheck(rows: Iterable[TradingRow], constitution: Constitution) -> list[str]:
    """What the limits say against any recommendation in these rows; empty when all pass again."""
    judge = Judge.of(constitution)
    found = []
    for index, row in enumerate(rows):
        extra = row.context.model_extra or {}
        for orders in extra.get("recommended", []):
            found += [f"row {index}: {complaint}" for complaint in breaches(extra["state"], orders, judge)]
    return found


def _first(desk: Desk, quota: Mapping[str, int]) -> list[Draft]:
    """The documented examples, as many of each category as the quota holds."""
    found: list[Draft] = []
    desk.documented = True
    for make in _DOCUMENTED:
        drafts = make(desk)
        kept = drafts[: quota[drafts[0].context["category"]]]
        for draft in kept:
            draft.context["documented"] = True
        found += kept
    desk.documented = False
    return found


def _fresh(desk: Desk, category: str, number: int, seen: set[str]) -> Draft:
    """A draft on the wanted side whose instruction was not written yet; scenarios take turns."""
    makers = _MAKERS[category]
    make = partial(makers[number % len(makers)], desk)
    for _ in range(TRIES):
        try:
            draft = make()
        except OtherSide:
            continue
        if draft.instruction not in seen:
            seen.add(draft.instruction)
            return draft
    raise DataError(
        f"trading: {category}: expected another distinct scenario, got only repeats in {TRIES} draws after {len(seen)} rows",
        mend="ask for fewer rows",
    )


def _row(draft: Draft, desk: Desk) -> TradingRow:
    category: Any = draft.context["category"]
    titles = tuple(title for title, _ in draft.sections)
    if titles != SECTIONS[category]:
        raise CheckFailed(f"trading: expected the sections {SECTIONS[category]}, got {titles}")
    held_out = {"split": desk.split} if desk.split == "evaluation" else {}
    context = {**draft.context, **held_out, "constitution_hash": desk.hash}
    return TradingRow(instruction=draft.instruction, response=draft.response, context=TradingContext(**context))


def _constitution(given: Constitution | None) -> Constitution:
    if given is not None:
        return given
    from solon.constitution import load

    return load("trading")
