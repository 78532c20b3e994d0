"""Respond -> critique -> revise -> accepted pairs (constitutional AI; Bai et al. 2022, arXiv 2212.08073).

One dialogue per prompt: the reply is drawn once, then criticised and revised by each of the chosen principles. A pair is accepted
only if the critic finds the original at fault and the revision not, and the revision differs, is whole and still addresses the
request; everything else is dropped with a reason. Each retain row is the model's own reply to a harmless prompt, accepted by the
same critic.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from solon.constitution import Constitution, Principle
from solon.critique.forms import COMPACT_CRITIQUE, COMPACT_REVISION, NO_CONFLICT, STANDARD_CRITIQUE, STANDARD_REVISION
from solon.data.near import jaccard, words
from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.data.records import Dropped, DropReason, Pair, Prompt, Provenance
from solon.errors import ConfigError, DataError
from solon.evaluation.filters import addresses, differs, has_preamble
from solon.models.base import (
    Completion,
    Dialogue,
    Message,
    Model,
    Progress,
    Request,
    Sampling,
    content_hash,
    derive_seed,
)

COMBINED = "combined"
KEEPS_SHOT = "The reply does nothing that the principle speaks against.\nVerdict: keeps"
Verdict = Literal["violates", "keeps", "unclear"]


class CritiqueSettings(BaseModel):
    """How critiques are asked for.

    `policy`: `combined` puts all principles in one question, `all` asks for each, `random` for `k` seeded ones per prompt.
    `style`: `standard` uses the constitution's templates; `compact` the short form of the embedded model; `auto` picks.
    `few_shot`: example conversations of the constitution come first, so that served models share the prefix.
    `revisions`: how many are drawn; of several the one that the others agree with most is judged (`consensus`).
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    policy: Literal["combined", "all", "random"] = "combined"
    k: int = Field(default=1, ge=1)
    style: Literal["auto", "standard", "compact"] = "auto"
    few_shot: bool | Literal["auto"] = "auto"
    revisions: int = Field(default=1, ge=1, le=16)
    respond: Sampling = Sampling(temperature=0.7, max_new_tokens=256)
    critique: Sampling = Sampling(temperature=0.0, max_new_tokens=256)
    revise: Sampling = Sampling(temperature=0.0, max_new_tokens=256)

    def resolved(self, *, embedded: bool) -> CritiqueSettings:
        """These settings with `auto` decided for the embedded model or for any other."""
        style = ("compact" if embedded else "standard") if self.style == "auto" else self.style
        few_shot = style == "standard" if self.few_shot == "auto" else self.few_shot
        if few_shot and style == "compact":
            raise ConfigError("critique.few_shot: expected false with style compact, got true", mend="use style standard")
        if self.revisions > 1 and not self.revise.temperature:
            raise ConfigError(
                f"critique.revise.temperature: expected above 0 where {self.revisions} revisions are drawn, got 0",
                mend="set critique.revise.temperature=0.7, or critique.revisions=1",
            )
        return self.model_copy(update={"style": style, "few_shot": few_shot})


@dataclass(frozen=True)
class Lens:
    """What a critique looks through: one principle, or all of them at once."""

    id: str
    principles: tuple[Principle, ...]

    @property
    def titles(self) -> str:
        return "; ".join(p.title for p in self.principles)

    def text(self) -> str:
        """The principles as they are put to the model."""
        return "\n\n".join(f"Principle: {p.title}\n{p.text}".strip() for p in self.principles)

    def template(self) -> str:
        return "\n".join(p.critique_template for p in self.principles if p.critique_template)

    def guideline(self) -> str:
        return "\n".join(p.revision_guideline for p in self.principles if p.revision_guideline)


def lenses(constitution: Constitution, settings: CritiqueSettings, prompt: Prompt, seed: int) -> list[Lens]:
    """Through which principles this prompt's reply is criticised."""
    principles = tuple(constitution.principles)
    if settings.policy == "combined" or len(principles) == 1:
        return [Lens(COMBINED if len(principles) > 1 else principles[0].id, principles)]
    if settings.policy == "random":
        if settings.k > len(principles):
            raise ConfigError(f"critique.k: expected at most {len(principles)} (the principles), got {settings.k}")
        rng = random.Random(derive_seed(seed, "lens", prompt.id))
        principles = tuple(sorted(rng.sample(principles, settings.k), key=lambda p: p.rank))
    return [Lens(p.id, (p,)) for p in principles]


def few_shot(lens: Lens) -> list[Message]:
    """The constitution's example conversations as critique turns: the faulty reply, then its revision, which keeps the principle.

    They are the same for every prompt, so a served prefix is shared.
    """
    turns: list[Message] = []
    for principle in lens.principles:
        for example in principle.examples:
            own = Lens(principle.id, (principle,))
            for reply, verdict in ((example.assistant, f"{example.critique}\nVerdict: violates"), (example.revision, KEEPS_SHOT)):
                asked = _standard(STANDARD_CRITIQUE, own, example.user, reply)
                turns += [Message(role="user", content=asked), Message(role="assistant", content=verdict)]
    return turns


def _standard(template: str, lens: Lens, request: str, reply: str, critique: str = "") -> str:
    # One replacement pass: the user's own text may contain braces or the names of our slots.
    slots = {
        "principle": lens.text(),
        "template": lens.template(),
        "guideline": lens.guideline(),
        "request": request,
        "reply": reply,
        "critique": critique,
        "titles": lens.titles,
    }
    return re.sub(r"\{(\w+)\}", lambda m: slots[m.group(1)], template)


def critique_messages(lens: Lens, settings: CritiqueSettings, request: str, reply: str) -> tuple[Message, ...]:
    """The critique question; the user's request is always part of it."""
    form = COMPACT_CRITIQUE if settings.style == "compact" else STANDARD_CRITIQUE
    shots = few_shot(lens) if settings.few_shot is True else []
    return (*shots, Message(role="user", content=_standard(form, lens, request, reply)))


def revision_messages(lens: Lens, settings: CritiqueSettings, request: str, reply: str, critique: str) -> tuple[Message, ...]:
    """The request for a revision."""
    form = COMPACT_REVISION if settings.style == "compact" else STANDARD_REVISION
    return (Message(role="user", content=_standard(form, lens, request, reply, critique)),)


def read_verdict(critique: str, style: str) -> Verdict:
    """What a critique concludes; `unclear` when it says neither, which drops the pair."""
    if style == "compact":
        text = critique.strip().lower()
        return "keeps" if text.startswith(NO_CONFLICT.lower()) else "violates" if text.startswith("conflict") else "unclear"
    found = re.findall(r"verdict\W*\s*(violates|violation|keeps)", critique, flags=re.IGNORECASE)
    if not found:
        return "unclear"
    return "keeps" if found[-1].lower() == "keeps" else "violates"


def named_principle(critique: str, lens: Lens) -> str:
    """The id of the one principle that a combined critique names, else the lens's own id."""
    if len(lens.principles) == 1:
        return lens.id
    named = [p.id for p in lens.principles if p.title.lower() in critique.lower()]
    return named[0] if len(named) == 1 else lens.id


@dataclass
class PairsResult:
    """What the critique stage made of its prompts."""

    pairs: list[Pair] = field(default_factory=list)
    retain: list[Pair] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


@dataclass(frozen=True)
class _Stage:
    """What every dialogue of one run shares."""

    constitution: Constitution
    settings: CritiqueSettings
    model: str
    seed: int

    @cached_property
    def constitution_hash(self) -> str:
        """Computed once, not for every pair (9 ms)."""
        return self.constitution.hash

    def request(self, step: str, prompt: Prompt, messages: Sequence[Message], sampling: Sampling, *parts: str) -> Request:
        return Request(
            id=":".join((prompt.id, step, *parts)),
            messages=tuple(messages),
            sampling=sampling,
            seed=derive_seed(self.seed, prompt.id, step, *parts),
            conversation=prompt.id,
        )

    def provenance(self, prompt: Prompt) -> Provenance:
        forms = (
            (COMPACT_CRITIQUE, COMPACT_REVISION) if self.settings.style == "compact" else (STANDARD_CRITIQUE, STANDARD_REVISION)
        )
        sampling: dict[str, Any] = {s: getattr(self.settings, s).model_dump() for s in ("respond", "critique", "revise")}
        if self.settings.revisions > 1:
            sampling["revise"]["revisions"] = self.settings.revisions
        return Provenance(
            prompt_id=prompt.id,
            group=prompt.group,
            model=self.model,
            template_hash=content_hash([forms, self.settings.few_shot]),
            sampling=sampling,
            seed=self.seed,
            constitution_hash=self.constitution_hash,
        )


def _refuse_scripted(completion: Completion) -> Completion:
    if completion.scripted:
        raise DataError("pairs: expected a model's own words, got scripted output", mend="use a real model to make training data")
    return completion


def pair_dialogue(stage: _Stage, prompt: Prompt) -> Dialogue[PairsResult]:
    """One hazardous prompt: respond once, then critique, revise and re-judge through each lens."""
    result = PairsResult()
    asked = (Message(role="user", content=prompt.prompt),)
    original = _refuse_scripted((yield stage.request("respond", prompt, asked, stage.settings.respond)))
    for lens in lenses(stage.constitution, stage.settings, prompt, stage.seed):
        reason = _unfit_original(original, prompt)
        if reason:
            why, detail = reason
            result.dropped.append(_dropped(prompt, lens.id, why, detail, original=original.text))
            continue
        outcome = yield from _through_lens(stage, prompt, original, lens)
        (result.pairs if isinstance(outcome, Pair) else result.dropped).append(outcome)  # type: ignore[arg-type]
    return result


def _through_lens(stage: _Stage, prompt: Prompt, original: Completion, lens: Lens) -> Dialogue[Pair | Dropped]:
    settings, request = stage.settings, prompt.prompt
    question = critique_messages(lens, settings, request, original.text)
    critique = yield stage.request("critique", prompt, question, settings.critique, lens.id)
    seen = {"original": original.text, "critique": critique.text}
    if critique.finish == "error":
        return _dropped(prompt, lens.id, "model_error", critique.error, **seen)
    verdict = read_verdict(critique.text, str(settings.style))
    if verdict == "unclear":
        return _dropped(prompt, lens.id, "model_error", "the critique states no verdict", **seen)
    if verdict == "keeps":
        return _dropped(prompt, lens.id, "original_ok", **seen)
    revision = yield from _revise(stage, prompt, original.text, critique.text, lens)
    seen["revision"] = revision.text
    reason = unfit_revision(original.text, revision, request)
    if reason:
        why, detail = reason
        return _dropped(prompt, lens.id, why, detail, **seen)
    question = critique_messages(lens, settings, request, revision.text)
    recheck = yield stage.request("recheck", prompt, question, settings.critique, lens.id)
    if recheck.finish == "error":
        return _dropped(prompt, lens.id, "model_error", recheck.error, **seen)
    if read_verdict(recheck.text, str(settings.style)) != "keeps":
        return _dropped(prompt, lens.id, "revision_violates", recheck.text, **seen)
    return Pair(
        prompt=[Message(role="user", content=request)],
        chosen=[Message(role="assistant", content=revision.text)],
        rejected=[Message(role="assistant", content=original.text)],
        principle_id=named_principle(critique.text, lens),
        critique=critique.text,
        source=prompt.source,
        provenance=stage.provenance(prompt),
    )


def _revise(stage: _Stage, prompt: Prompt, original: str, critique: str, lens: Lens) -> Dialogue[Completion]:
    asked = revision_messages(lens, stage.settings, prompt.prompt, original, critique)
    drawn = []
    for n in range(stage.settings.revisions):
        parts = (lens.id, str(n)) if n else (lens.id,)
        drawn.append((yield stage.request("revise", prompt, asked, stage.settings.revise, *parts)))
    return consensus(original, drawn, prompt.prompt)


def consensus(original: str, drawn: Sequence[Completion], request: str) -> Completion:
    """Of the revisions that are fit by their form the one whose words the others share most; the first one where none is fit.

    Self-consistency (Wang et al. 2022, arXiv 2203.11171) for replies that are never equal: the largest mean Jaccard similarity of
    the sets of words, a tie to the earlier.
    """
    fit = [revision for revision in drawn if unfit_revision(original, revision, request) is None]
    said = [frozenset(words(revision.text)) for revision in fit]
    agreement = [sum(jaccard(mine, theirs) for theirs in said) for mine in said]
    return fit[agreement.index(max(agreement))] if fit else drawn[0]


def _unfit_original(original: Completion, prompt: Prompt) -> tuple[DropReason, str] | None:
    if original.finish == "error":
        return "model_error", original.error
    if original.finish == "length":
        return "truncated", "the first reply was cut at its token limit"
    if not addresses(prompt.prompt, original.text):
        return "off_topic", "the first reply does not address the request"
    return None


def unfit_revision(original: str, revision: Completion, request: str) -> tuple[DropReason, str] | None:
    """Why a revision can't be a `chosen` reply, by its form alone; None when it can."""
    if revision.finish == "error":
        return "model_error", revision.error
    if revision.finish == "length":
        return "truncated", "the revision was cut at its token limit"
    if has_preamble(revision.text):
        return "preamble", "the revision speaks of itself as a revision"
    if not differs(original, revision.text):
        return "unchanged", ""
    if not addresses(request, revision.text):
        return "off_topic", "the revision does not address the request"
    return None


def retain_dialogue(stage: _Stage, prompt: Prompt) -> Dialogue[PairsResult]:
    """One harmless prompt: the model's own reply, kept when the critic finds no fault with it."""
    result = PairsResult()
    asked = (Message(role="user", content=prompt.prompt),)
    reply = _refuse_scripted((yield stage.request("respond", prompt, asked, stage.settings.respond)))
    lens = Lens(COMBINED, tuple(stage.constitution.principles))
    reason = _unfit_original(reply, prompt)
    if reason:
        fault, detail = reason
        result.dropped.append(_dropped(prompt, "retain", fault, detail, original=reply.text))
        return result
    question = critique_messages(lens, stage.settings, prompt.prompt, reply.text)
    critique = yield stage.request("critique", prompt, question, stage.settings.critique, lens.id)
    if critique.finish == "error" or read_verdict(critique.text, str(stage.settings.style)) != "keeps":
        why: DropReason = "model_error" if critique.finish == "error" else "revision_violates"
        detail = critique.error or "the critic finds fault with the reply to a harmless prompt"
        result.dropped.append(_dropped(prompt, "retain", why, detail, original=reply.text, critique=critique.text))
        return result
    chosen = [Message(role="assistant", content=reply.text)]
    row = Pair(
        prompt=list(asked),
        chosen=chosen,
        principle_id="retain",
        source=prompt.source,
        kind="retain",
        provenance=stage.provenance(prompt),
    )
    result.retain.append(row)
    return result


def _dropped(prompt: Prompt, principle_id: str, reason: DropReason, detail: str = "", **seen: str) -> Dropped:
    return Dropped(prompt_id=prompt.id, principle_id=principle_id, reason=reason, detail=detail, prompt=prompt.prompt, **seen)


def make_pairs(
    model: Model,
    constitution: Constitution,
    prompts: Sequence[Prompt],
    settings: CritiqueSettings,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    accepted: Any = None,
) -> PairsResult:
    """Pairs from the hazardous prompts and retain rows from the others, in the order of the prompts.

    Args:
        settings: resolved (`CritiqueSettings.resolved`).
        progress: called with (completions, tokens) as they arrive.
        accepted: called with each finished dialogue's `PairsResult`, for a progress bar.

    Raises:
        DataError: a prompt that serves to measure refusal only, or scripted output.
        ConfigError: the constitution has no principles to criticise by.
    """
    if not constitution.principles:
        raise ConfigError(
            f"constitution {constitution.id}: expected at least one principle in words, got none",
            mend="add `## <principle>` sections, or use it with `solon decide`",
        )
    for prompt in prompts:
        if prompt.hazard in REFUSAL_ONLY_HAZARDS:
            raise DataError(
                f"prompt {prompt.id}: hazard {prompt.hazard} serves to measure refusal only", mend="leave it out of training"
            )
    stage = _Stage(constitution, settings, model.identity, seed)
    dialogues = [pair_dialogue(stage, p) if p.set == "hazardous" else retain_dialogue(stage, p) for p in prompts]
    done: dict[int, PairsResult] = {}
    for index, result in model.converse(dialogues, progress):
        done[index] = result
        if accepted:
            accepted(result)
    return _without_duplicates(done[i] for i in range(len(prompts)))


def _without_duplicates(results: Iterator[PairsResult]) -> PairsResult:
    merged, seen = PairsResult(), set()
    for result in results:
        merged.dropped += result.dropped
        for row in (*result.pairs, *result.retain):
            key = content_hash([[m.model_dump() for m in part] for part in (row.prompt, row.chosen, row.rejected)])
            if key in seen:
                drop = Dropped(prompt_id=row.provenance.prompt_id, principle_id=row.principle_id, reason="duplicate")
                merged.dropped.append(drop)
                continue
            seen.add(key)
            (merged.pairs if row.kind == "pair" else merged.retain).append(row)
    return merged
