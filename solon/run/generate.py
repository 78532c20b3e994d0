"""The pairs step: a model answers, criticises and revises; what is accepted becomes `pairs.jsonl`, the rest `dropped.jsonl`."""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import Any

from solon.critique.pairs import CritiqueSettings, PairsResult, make_pairs
from solon.data.records import Dropped, Pair, Prompt
from solon.data.splits import position
from solon.errors import CheckFailed, ModelError
from solon.evaluation.scorers import Scorer
from solon.models.base import Model, content_hash
from solon.run.config import NANO
from solon.run.folder import RunFolder, write_rows
from solon.run.prepare import Job
from solon.run.progress import Reporter

PAIRS, DROPPED = "pairs.jsonl", "dropped.jsonl"


def settings_of(job: Job) -> CritiqueSettings:
    """The critique settings with `auto` decided."""
    return job.config.critique.resolved(embedded=job.config.model == NANO)


def retain_prompts(job: Job) -> list[Prompt]:
    """So many harmless training prompts that `benign_share` can be met if every pair were accepted; chosen by hash."""
    share = job.config.train.sft.benign_share
    wanted = math.ceil(len(job.hazardous) * share / (1 - share)) if share < 1 else len(job.harmless)
    order = sorted(job.harmless, key=lambda p: position(p.id, job.config.seed))
    names = {p.id for p in order[:wanted]}
    return [p for p in job.harmless if p.id in names]


def pairs_inputs(job: Job, identity: str) -> str:
    """Hash of everything that the pairs follow from."""
    prompts = [*job.hazardous, *retain_prompts(job)]
    return content_hash(
        [identity, job.constitution.hash, [p.model_dump() for p in prompts], settings_of(job).model_dump(), job.config.seed]
    )


def generate_pairs(job: Job, model: Model, folder: RunFolder, reporter: Reporter) -> None:
    """Write `pairs.jsonl` (pairs, then retain rows) and `dropped.jsonl`, in the order of the prompts.

    Raises:
        CheckFailed: not one pair was accepted; the message counts the reasons.
        ModelError: the model gave not one usable completion.
    """
    prompts = [*job.hazardous, *retain_prompts(job)]
    settings = settings_of(job)
    counts: Counter[str] = Counter()
    most = sum(_most_replies(job, settings, prompt) for prompt in prompts)
    with reporter.bar("respond, critique, revise", most) as bar:

        def finished(result: PairsResult) -> None:
            counts.update(accepted=len(result.pairs), dropped=sum(d.principle_id != "retain" for d in result.dropped))
            # Refused pairs end earlier than accepted ones, so only the counts mean something before the end.
            judged = counts["accepted"] + counts["dropped"]
            rate = counts["accepted"] / (time.monotonic() - bar.start)
            told = (
                f"{rate:.1f} pairs/s, {counts['accepted']} of {judged} accepted ({counts['accepted'] / judged:.0%})"
                if judged
                else ""
            )
            bar.spare(_spared(result))
            bar.advance(0, 0, told)

        result = make_pairs(
            model,
            job.constitution,
            prompts,
            settings,
            seed=job.config.seed,
            progress=bar.advance,
            accepted=finished,
        )
    write_rows(folder / PAIRS, [*result.pairs, *result.retain])
    write_rows(folder / DROPPED, result.dropped)
    failed = [d for d in result.dropped if d.reason == "model_error"]
    if failed and not result.pairs and len(failed) == len(result.dropped):
        raise ModelError(
            f"{job.config.model}: expected replies, got none in {len(failed)} prompts; the first: {failed[0].detail}",
            mend="mend the server or the model, then repeat the command",
        )
    if not result.pairs:
        reasons = ", ".join(f"{reason} {n}" for reason, n in Counter(d.reason for d in result.dropped).most_common())
        raise CheckFailed(
            f"pairs: expected at least one accepted pair from {len(job.hazardous)} prompts, got none ({reasons})",
            mend=f"read {folder / DROPPED}; another model, constitution or prompt set may be needed",
        )


def _most_replies(job: Job, settings: CritiqueSettings, prompt: Prompt) -> int:
    """Respond and critique for a harmless prompt; for another respond, then critique, revise and recheck through each lens."""
    if prompt.set != "hazardous":
        return 2
    principles = len(job.constitution.principles)
    return 1 + 3 * {"combined": 1, "random": settings.k, "all": principles}[settings.policy]


def _spared(result: PairsResult) -> int:
    """Replies that a finished prompt did not need after all."""
    spared = 0
    for row in result.dropped:
        rechecked = row.reason == "revision_violates" and row.principle_id != "retain"
        spared += (1 if row.principle_id == "retain" else 3) - bool(row.critique) - bool(row.revision) - rechecked
    return spared


def read_pairs(folder: RunFolder) -> tuple[list[Pair], list[Pair], list[Dropped]]:
    """(pairs, retain rows, dropped) of a run folder."""
    rows = [Pair.model_validate_json(line) for line in (folder / PAIRS).read_text(encoding="utf-8").splitlines()]
    dropped = [Dropped.model_validate_json(line) for line in (folder / DROPPED).read_text(encoding="utf-8").splitlines()]
    return [r for r in rows if r.kind == "pair"], [r for r in rows if r.kind == "retain"], dropped


def describe_pairs(folder: RunFolder, scorer: Scorer) -> dict[str, Any]:
    """Counts of the pairs step; how often originals violate; how far the headline scorer agrees with the critic."""
    from solon.data.records import UNSAFE_LABELS
    from solon.evaluation.scorers import exchange
    from solon.evaluation.stats import agreement, wilson

    pairs, retain, dropped = read_pairs(folder)
    own = [d for d in dropped if d.principle_id != "retain"]
    judged = [(p.prompt[0].content, p.rejected[0].content, "violates") for p in pairs]
    judged += [(p.prompt[0].content, p.chosen[0].content, "keeps") for p in pairs]
    judged += [(d.prompt, d.original, "keeps") for d in own if d.reason == "original_ok"]
    judged += [(d.prompt, d.revision, "violates") for d in own if d.reason == "revision_violates"]
    violating = len(pairs) + sum(d.reason in ("preamble", "unchanged", "revision_violates", "duplicate") for d in own)
    asked = violating + sum(d.reason == "original_ok" for d in own)
    labels = [score.label for score in scorer.score_all([exchange(request, reply) for request, reply, _ in judged])]
    headline = ["violates" if label in UNSAFE_LABELS else "unscored" if label == "unscored" else "keeps" for label in labels]
    return {
        "accepted": len(pairs),
        "retain": len(retain),
        "dropped": dict(Counter(d.reason for d in own).most_common()),
        "retain_dropped": dict(Counter(d.reason for d in dropped if d.principle_id == "retain").most_common()),
        "violation_rate": {**wilson(violating, asked)._asdict(), "n": asked} if asked else {"value": None, "n": 0},
        "agreement": agreement(headline, [verdict for *_, verdict in judged]),
    }
