"""The rows that data files hold, in the field names of the published formats. Every model is strict: an unknown field is refused.

`LawsRow`, `TradingRow` and `GovernedRow` are what the generators write; `PreferencePair` and `HumanPreferenceRow` come from
outside. `solon.data.example.Example` is the one record into which each of them, and `Pair` and `Prompt`, converts without loss.
"""

from __future__ import annotations

from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from solon.data.records import Strict

ExampleType = Literal["safe_request", "harmful_blocked", "edge_case", "law_conflict", "multi_turn"]
Difficulty = Literal["easy", "medium", "hard", "adversarial"]
LawsKind = Literal["law", "conflict", "multi_turn"]
TradingCategory = Literal["constitutional_compliance", "multi_agent_coordination", "meta_learning", "systemic_risk"]
GovernedCategory = Literal["high", "medium", "low_hitl", "uncertain_hitl"]
Emotion = Literal["ANXIOUS", "UNCERTAIN", "NEUTRAL", "FOCUSED", "CONFIDENT"]
Decision = Literal["PENDING", "APPROVED", "REJECTED", "DEFERRED", "EXPIRED"]
ConsensusModel = Literal["CONSENSUS", "MAJORITY", "SUPERMAJORITY", "UNANIMOUS"]

EXAMPLE_TYPES: tuple[str, ...] = get_args(ExampleType)
DIFFICULTIES: tuple[str, ...] = get_args(Difficulty)
LAWS_KINDS: tuple[str, ...] = get_args(LawsKind)
TRADING_CATEGORIES: tuple[str, ...] = get_args(TradingCategory)
GOVERNED_CATEGORIES: tuple[str, ...] = get_args(GovernedCategory)
EMOTIONS: tuple[str, ...] = get_args(Emotion)
DECISIONS: tuple[str, ...] = get_args(Decision)
CONSENSUS_MODELS: tuple[str, ...] = get_args(ConsensusModel)


class Turn(BaseModel):
    """One chat message of a data row. `turn` labels what happens in it, for example `crossing` where a talk crosses the line."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Literal["system", "user", "assistant"]
    content: str
    turn: str | None = None

    def message(self) -> dict[str, str]:
        """The turn as a chat template takes it: role and content."""
        return {"role": self.role, "content": self.content}


class LawsRow(Strict):
    """A row of `generate laws`: the ten documented fields, plus the conversation, its group and its kind.

    `conversation` holds the turns up to and including the last user turn, whose content is `prompt`; it is empty when that turn
    is the only one. `response_harmful` is for measuring only: no training export carries it.
    """

    example_id: str = Field(pattern=r"^eth_\d{6,}$")
    example_type: ExampleType
    law_category: int = Field(ge=0, le=4)
    prompt: str = Field(min_length=1)
    response_harmful: str | None = None
    response_ethical: str = Field(min_length=1)
    critique: str
    principle: str
    difficulty: Difficulty
    tags: list[str]
    conversation: list[Turn] = Field(default_factory=list)
    group: str = ""
    kind: LawsKind = "law"

    @model_validator(mode="after")
    def _conversation_ends_with_the_prompt(self) -> Self:
        if self.conversation:
            last = self.conversation[-1]
            if last.role != "user" or last.content != self.prompt:
                raise ValueError("conversation: expected its last turn to be the user's and equal to prompt")
        return self


class TradingContext(BaseModel):
    """What a trading row was computed from: the category and the numbers of the scenario, as many as it has."""

    model_config = ConfigDict(extra="allow")
    category: TradingCategory


class TradingRow(Strict):
    """A row of `generate trading`."""

    instruction: str = Field(min_length=1)
    response: str = Field(min_length=1)
    context: TradingContext


class GovernedMetadata(Strict):
    """The telemetry that a governed row was made for (scores in 0..1), its category, and whether the policy escalates."""

    category: GovernedCategory
    trust: float = Field(ge=0, le=1)
    emotion: Emotion
    intensity: float = Field(ge=0, le=1)
    verify: float = Field(ge=0, le=1)
    attest: float = Field(ge=0, le=1)
    bound: float = Field(ge=0, le=1)
    decision: Decision
    model: ConsensusModel
    domain: str | None = None
    escalate: bool


class GovernedRow(Strict):
    """A row of `generate governed`: tag line and user text in `full_input`, the reply, and what they were made from."""

    full_input: str = Field(min_length=1)
    response: str = Field(min_length=1)
    training_metadata: GovernedMetadata


class PreferencePair(Strict):
    """A preference pair of the contemplative pipeline, with plain strings."""

    prompt: str
    chosen: str
    rejected: str
    principle: str = ""
    critique: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)


class HumanPreferenceRow(Strict):
    """A row of `import hh-rlhf`: both dialogues as published, `prompt` = the chosen one up to its last assistant turn.

    `messages` is that prompt turn by turn; `rejected_messages` only where the two dialogues part before their last turn.
    """

    id: str
    prompt: str
    source: str
    original_chosen: str
    original_rejected: str
    messages: list[Turn]
    chosen: str
    rejected: str
    rejected_messages: list[Turn] = Field(default_factory=list)
    group: str = ""
    licence: str = ""
