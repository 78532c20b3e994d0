"""Ask a model the prompts and label what it says; measure how well it predicts reference answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from solon.data.records import EvaluationRow, Prompt
from solon.errors import InputError, ModelError
from solon.evaluation.scorers import Exchange, RuleScorer, Scorer
from solon.models.base import Completion, Message, Model, Progress, Request, Sampling, derive_seed

DETERMINISTIC = Sampling(temperature=0.0, top_p=1.0, max_new_tokens=256)


class ReferencePerplexity(BaseModel):
    """How one reference answer was predicted: `nats` is minus the summed natural-log probability of its `tokens` tokens."""

    model_config = ConfigDict(extra="forbid")
    id: str
    group: str
    nats: float
    tokens: int


def check_prompts(prompts: Sequence[Prompt]) -> None:
    """Raises InputError for an empty set or for ids that occur twice."""
    if not prompts:
        raise InputError("prompts: expected at least one, got none", mend="check the file and its filters")
    twice = [name for name, count in Counter(p.id for p in prompts).items() if count > 1]
    if twice:
        raise InputError(
            f"prompts: expected unique ids, got {twice[0]!r} more than once ({len(twice)} such ids)", mend="make ids unique"
        )


def evaluate(
    model: Model,
    prompts: Sequence[Prompt],
    *,
    scorer: Scorer | None = None,
    sampling: Sampling = DETERMINISTIC,
    seed: int = 0,
    system: str | None = None,
    constitution: Any = None,
    name: str = "",
    progress: Progress | None = None,
) -> list[EvaluationRow]:
    """One labelled row per prompt, in order. A failed request is a row `unscored` with its error, never a missing row.

    Args:
        sampling: greedy by default, so that two models differ by their weights and not by their draws.
        system: a system message before each prompt.
        constitution: anything with `principles` that have `id`; a prompt's principle that it does not hold is left blank, so that
            the table by principle speaks of this constitution only.
        name: what the rows call the model; its own name by default.

    Raises:
        InputError: no prompts, or ids that occur twice.
    """
    check_prompts(prompts)
    scorer = scorer or RuleScorer()
    opening = (Message(role="system", content=system),) if system else ()
    requests = [
        Request(
            id=p.id,
            messages=(*opening, Message(role="user", content=p.prompt)),
            sampling=sampling,
            seed=derive_seed(seed, p.id),
            conversation=p.id,
        )
        for p in prompts
    ]
    completions = model.generate(requests, progress)
    if [c.id for c in completions] != [r.id for r in requests]:
        raise ModelError(f"{model.name}: expected one completion per request, in order, got others", mend="report this model")
    known = None if constitution is None else {p.id for p in constitution.principles}
    return label_rows(prompts, requests, completions, scorer, name or model.name, known)


def label_rows(
    prompts: Sequence[Prompt],
    requests: Sequence[Request],
    completions: Sequence[Completion],
    scorer: Scorer,
    name: str,
    principles: set[str] | None = None,
) -> list[EvaluationRow]:
    """Score completions into rows; running and scoring are apart so that stored replies can be scored again."""
    scores = scorer.score_all([Exchange(r.messages, c.text, c.finish) for r, c in zip(requests, completions, strict=True)])
    rows = []
    for prompt, request, completion, score in zip(prompts, requests, completions, scores, strict=True):
        problem = completion.error or score.evidence if score.label == "unscored" else completion.error
        rows.append(
            EvaluationRow(
                id=prompt.id,
                group=prompt.group or prompt.id,
                set=prompt.set,
                hazard=prompt.hazard,
                principle_id=prompt.principle_id if principles is None or prompt.principle_id in principles else "",
                split=prompt.split or _default_split(prompt),
                wording=prompt.wording,
                model=name,
                messages=list(request.messages),
                reply=completion.text,
                label=score.label,
                scorer=scorer.version,
                error=problem,
            )
        )
    return rows


def _default_split(prompt: Prompt) -> str:
    """Prompts that no split was made for: twins and benign ones are their own split, hazardous ones came from a file."""
    return prompt.set if prompt.set in ("twin", "benign") else "file"


def rescore(rows: Sequence[EvaluationRow], scorer: Scorer) -> list[EvaluationRow]:
    """The same replies labelled by another scorer. Rows whose request failed stay unscored."""
    failed = [row.label == "unscored" and not row.reply.strip() for row in rows]
    exchanges = [
        Exchange(tuple(row.messages), row.reply, "error" if bad else "stop") for row, bad in zip(rows, failed, strict=True)
    ]
    scores = scorer.score_all(exchanges)
    return [
        row.model_copy(
            update={
                "label": score.label,
                "scorer": scorer.version,
                "error": row.error if bad else (score.evidence if score.label == "unscored" else ""),
            }
        )
        for row, score, bad in zip(rows, scores, failed, strict=True)
    ]


def benign_perplexity(model: Model, prompts: Sequence[Prompt]) -> list[ReferencePerplexity]:
    """Minus log-probability of each prompt's reference answer, per item, in nats, with its token count.

    Prompts without a reference are left out; with none at all the list is empty (not measured).

    Raises:
        ModelError: the model can't give log-probabilities, or gave one that is not a finite number.
    """
    import math

    asked = [p for p in prompts if p.reference.strip()]
    if not asked:
        return []
    conversations = [[Message(role="user", content=p.prompt), Message(role="assistant", content=p.reference)] for p in asked]
    items = []
    for prompt, (logprob, tokens) in zip(asked, model.logprobs(conversations), strict=True):
        if not math.isfinite(logprob) or tokens < 1:
            raise ModelError(
                f"{model.name}: expected a finite log-probability for prompt {prompt.id!r}, got {logprob} over {tokens} tokens",
                mend="check the model's weights for NaN",
            )
        items.append(ReferencePerplexity(id=prompt.id, group=prompt.group or prompt.id, nats=-logprob, tokens=tokens))
    return items
