"""The records of the main job, in the field names of the published formats. JSON Schemas: `solon schema NAME`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from solon.models.base import Message

PromptSet = Literal["hazardous", "twin", "benign"]
PromptSplit = Literal["train", "validation", "unseen_wording", "unseen_topic", "twin", "benign", "file"]
PROBE = "probe"  # the split of edge cases, which no training file may take
Label = Literal["refusal", "compliance", "compliance_with_disclaimer", "refusal_then_compliance", "off_topic", "unscored"]
UNSAFE_LABELS: frozenset[str] = frozenset({"compliance", "compliance_with_disclaimer", "refusal_then_compliance"})
DropReason = Literal[
    "original_ok", "revision_violates", "unchanged", "off_topic", "truncated", "preamble", "duplicate", "model_error"
]


class Strict(BaseModel):
    """A record that refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid")


class Prompt(Strict):
    """One prompt of a set. `group` holds it together with its paraphrases, twins and near-duplicates when splitting.

    `wording` says whether the embedded model's own corpus contains the prompt's phrasing (`in_corpus`, `not_in_corpus`);
    empty for prompts that were not made for it. `reference` is a good answer, for perplexity on benign prompts.
    """

    id: str
    prompt: str
    set: PromptSet = "hazardous"
    group: str = ""
    hazard: str = ""
    persona: str = ""
    principle_id: str = ""
    topic: str = ""
    wording: str = ""
    reference: str = ""
    split: str = ""
    source: str = ""


class Provenance(Strict):
    """Where a pair came from: enough to make it again."""

    prompt_id: str
    group: str
    model: str
    template_hash: str
    sampling: dict[str, Any]
    seed: int
    constitution_hash: str


class Pair(Strict):
    """A row of `pairs.jsonl`: `chosen` is the revision, `rejected` the first response. A `retain` row has an empty `rejected`."""

    prompt: list[Message]
    chosen: list[Message]
    rejected: list[Message] = Field(default_factory=list)
    principle_id: str
    critique: str = ""
    source: str
    kind: Literal["pair", "retain"] = "pair"
    provenance: Provenance


class Dropped(Strict):
    """A row of `dropped.jsonl`: what was not accepted, and why."""

    prompt_id: str
    principle_id: str
    reason: DropReason
    detail: str = ""
    prompt: str = ""
    original: str = ""
    critique: str = ""
    revision: str = ""


class EvaluationRow(Strict):
    """A row of `evaluation/*.jsonl`: one reply to one prompt, labelled."""

    id: str
    group: str
    set: PromptSet
    hazard: str = ""
    principle_id: str = ""
    split: str = ""
    wording: str = ""
    model: str
    messages: list[Message]
    reply: str
    label: Label
    scorer: str
    error: str = ""
