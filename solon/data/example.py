"""The one record. Every row shape of `solon.data.rows` and `solon.data.records` converts into it and back without loss.

What the shapes have in common stands in named fields; what only one of them has stands in `fields`, so that the way back loses
nothing. `from_row` and `to_row` pick the conversion by the row's type and by `form`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import Field, ValidationError

from solon.data.records import PROBE, EvaluationRow, Pair, Prompt, PromptSet, Strict
from solon.data.rows import GovernedRow, HumanPreferenceRow, LawsRow, PreferencePair, TradingRow, Turn
from solon.errors import DataError
from solon.models.base import Message

Form = Literal["laws", "instruction", "governed", "preference", "human_preference", "pair", "prompt", "evaluation", "plain"]
Use = Literal["", "training", "evaluation"]
FORMS: tuple[str, ...] = get_args(Form)
Row = LawsRow | TradingRow | GovernedRow | PreferencePair | HumanPreferenceRow | Pair | Prompt | EvaluationRow


class Example(Strict):
    """One example: a conversation, what should be said next, and optionally what should not.

    Attributes:
        form: the shape it came from; `plain` when it has no other.
        prompt: the last user turn, as text (of HH-RLHF the dialogue up to the last assistant turn).
        messages: the whole conversation up to the reply; empty when it is the user's `prompt` alone.
        response: the reply to learn; None when there is none.
        rejected: a reply to avoid; it is left out of every export that teaches by imitation.
        set: hazardous, twin or benign; empty when unknown.
        use: `evaluation` for benchmark rows, which are kept out of training.
        fields: what the original record has beyond these.
    """

    id: str = ""
    form: Form = "plain"
    prompt: str = ""
    messages: list[Turn] = Field(default_factory=list)
    response: str | None = None
    rejected: str | None = None
    critique: str = ""
    principle: str = ""
    set: PromptSet | Literal[""] = ""
    hazard: str = ""
    persona: str = ""
    group: str = ""
    language: str = ""
    split: str = ""
    source: str = ""
    licence: str = ""
    use: Use = ""
    fields: dict[str, Any] = Field(default_factory=dict)

    def conversation(self) -> list[Turn]:
        """The turns before the reply; at least the user's prompt."""
        return self.messages or [Turn(role="user", content=self.prompt)]

    def key(self) -> str:
        """SHA-256 (hex, 16 digits) of conversation and reply: equal only for exact repeats."""
        parts = [part for turn in self.conversation() for part in (turn.role, turn.content)]
        text = "\x1f".join([*parts, self.response or "", self.rejected or ""])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def from_laws(row: LawsRow) -> Example:
    """A row of `generate laws`. The tag `hazard:CODE` gives the hazard, where there is one."""
    hazard = next((tag.removeprefix("hazard:") for tag in row.tags if tag.startswith("hazard:")), "")
    return Example(
        id=row.example_id,
        form="laws",
        prompt=row.prompt,
        messages=row.conversation,
        response=row.response_ethical,
        rejected=row.response_harmful,
        critique=row.critique,
        principle=row.principle,
        set="benign" if row.example_type == "safe_request" else "hazardous" if row.example_type == "harmful_blocked" else "",
        hazard=hazard,
        group=row.group,
        fields=row.model_dump(include={"example_type", "law_category", "difficulty", "tags", "kind"}),
    )


def to_laws(example: Example) -> LawsRow:
    """The laws row that `from_laws` took in."""
    _expect(example, "laws")
    return LawsRow(
        example_id=example.id,
        prompt=example.prompt,
        conversation=example.messages,
        response_ethical=example.response or "",
        response_harmful=example.rejected,
        critique=example.critique,
        principle=example.principle,
        group=example.group,
        **example.fields,
    )


def from_instruction(row: TradingRow) -> Example:
    """A row of instruction, response and context (`generate trading`)."""
    context = row.context.model_dump()
    use: Use = "evaluation" if context.get("split") == "evaluation" else ""
    return Example(form="instruction", prompt=row.instruction, response=row.response, use=use, fields={"context": context})


def to_instruction(example: Example) -> TradingRow:
    """The row that `from_instruction` took in."""
    _expect(example, "instruction")
    return TradingRow(instruction=example.prompt, response=example.response or "", context=example.fields["context"])


def from_governed(row: GovernedRow) -> Example:
    """A row of `generate governed`; `prompt` is the full input, tag line included."""
    metadata = row.training_metadata.model_dump()
    return Example(form="governed", prompt=row.full_input, response=row.response, fields={"training_metadata": metadata})


def to_governed(example: Example) -> GovernedRow:
    """The row that `from_governed` took in."""
    _expect(example, "governed")
    return GovernedRow(
        full_input=example.prompt, response=example.response or "", training_metadata=example.fields["training_metadata"]
    )


def from_preference(row: PreferencePair) -> Example:
    """A preference pair with plain strings."""
    return Example(
        form="preference",
        prompt=row.prompt,
        response=row.chosen,
        rejected=row.rejected,
        principle=row.principle,
        critique=row.critique,
        fields={"metadata": row.metadata},
    )


def to_preference(example: Example) -> PreferencePair:
    """The pair that `from_preference` took in."""
    _expect(example, "preference")
    return PreferencePair(
        prompt=example.prompt,
        chosen=example.response or "",
        rejected=example.rejected or "",
        principle=example.principle,
        critique=example.critique,
        metadata=example.fields["metadata"],
    )


def from_human_preference(row: HumanPreferenceRow) -> Example:
    """A row of `import hh-rlhf`."""
    kept = row.model_dump(include={"original_chosen", "original_rejected", "rejected_messages"})
    return Example(
        id=row.id,
        form="human_preference",
        prompt=row.prompt,
        messages=row.messages,
        response=row.chosen,
        rejected=row.rejected,
        group=row.group,
        source=row.source,
        licence=row.licence,
        fields=kept,
    )


def to_human_preference(example: Example) -> HumanPreferenceRow:
    """The row that `from_human_preference` took in."""
    _expect(example, "human_preference")
    return HumanPreferenceRow(
        id=example.id,
        prompt=example.prompt,
        source=example.source,
        messages=example.messages,
        chosen=example.response or "",
        rejected=example.rejected or "",
        group=example.group,
        licence=example.licence,
        **example.fields,
    )


def _single(messages: list[Message]) -> str | None:
    """The text of a lone assistant message; None for anything else."""
    return messages[0].content if len(messages) == 1 and messages[0].role == "assistant" else None


def from_pair(row: Pair) -> Example:
    """A row of `pairs.jsonl`. Replies of several messages are kept whole in `fields` beside the text of their last one."""
    fields: dict[str, Any] = {"kind": row.kind, "provenance": row.provenance.model_dump()}
    for name in ("chosen", "rejected"):
        messages = getattr(row, name)
        if messages and _single(messages) is None:
            fields[name] = [m.model_dump() for m in messages]
    return Example(
        id=row.provenance.prompt_id,
        form="pair",
        prompt=next((m.content for m in reversed(row.prompt) if m.role == "user"), ""),
        messages=[Turn(role=m.role, content=m.content) for m in row.prompt],
        response=row.chosen[-1].content if row.chosen else None,
        rejected=row.rejected[-1].content if row.rejected else None,
        critique=row.critique,
        principle=row.principle_id,
        group=row.provenance.group,
        source=row.source,
        fields=fields,
    )


def to_pair(example: Example) -> Pair:
    """The row that `from_pair` took in."""
    _expect(example, "pair")

    def replies(name: str, text: str | None) -> list[Any]:
        if name in example.fields:
            return example.fields[name]
        return [] if text is None else [{"role": "assistant", "content": text}]

    return Pair.model_validate(
        {
            "prompt": [turn.message() for turn in example.messages],
            "chosen": replies("chosen", example.response),
            "rejected": replies("rejected", example.rejected),
            "principle_id": example.principle,
            "critique": example.critique,
            "source": example.source,
            "kind": example.fields["kind"],
            "provenance": example.fields["provenance"],
        }
    )


def from_prompt(row: Prompt) -> Example:
    """A prompt of a prompt set; its reference answer is the response."""
    shared = row.model_dump(include={"id", "prompt", "set", "hazard", "persona", "group", "split", "source"})
    kept = row.model_dump(include={"topic", "wording"})
    use: Use = "evaluation" if row.split == PROBE else ""
    return Example(form="prompt", principle=row.principle_id, response=row.reference or None, use=use, fields=kept, **shared)


def to_prompt(example: Example) -> Prompt:
    """The prompt that `from_prompt` took in."""
    _expect(example, "prompt")
    shared = example.model_dump(include={"id", "prompt", "set", "hazard", "persona", "group", "split", "source"})
    return Prompt(principle_id=example.principle, reference=example.response or "", **shared, **example.fields)


def from_evaluation(row: EvaluationRow) -> Example:
    """A row of `evaluation/*.jsonl`: a reply that was measured, never one to train on."""
    shared = row.model_dump(include={"id", "group", "set", "hazard", "split"})
    return Example(
        form="evaluation",
        prompt=next((m.content for m in reversed(row.messages) if m.role == "user"), ""),
        messages=[Turn(role=m.role, content=m.content) for m in row.messages],
        response=row.reply,
        principle=row.principle_id,
        use="evaluation",
        fields=row.model_dump(include={"wording", "model", "label", "scorer", "error"}),
        **shared,
    )


def to_evaluation(example: Example) -> EvaluationRow:
    """The row that `from_evaluation` took in."""
    _expect(example, "evaluation")
    shared = example.model_dump(include={"id", "group", "set", "hazard", "split"})
    messages = [Message(role=turn.role, content=turn.content) for turn in example.messages]
    return EvaluationRow(
        principle_id=example.principle, messages=messages, reply=example.response or "", **shared, **example.fields
    )


def _expect(example: Example, form: Form) -> None:
    if example.form != form:
        raise DataError(
            f"example {example.id!r}: expected form {form!r}, got {example.form!r}", mend=f"convert it with to_{example.form}"
        )


_FROM: dict[type, Callable[[Any], Example]] = {
    LawsRow: from_laws,
    TradingRow: from_instruction,
    GovernedRow: from_governed,
    PreferencePair: from_preference,
    HumanPreferenceRow: from_human_preference,
    Pair: from_pair,
    Prompt: from_prompt,
    EvaluationRow: from_evaluation,
}
_TO: dict[str, Callable[[Example], Row]] = {
    "laws": to_laws,
    "instruction": to_instruction,
    "governed": to_governed,
    "preference": to_preference,
    "human_preference": to_human_preference,
    "pair": to_pair,
    "prompt": to_prompt,
    "evaluation": to_evaluation,
}


def from_row(row: Row | Example) -> Example:
    """Any row as an example; an example stays as it is."""
    return row if isinstance(row, Example) else _FROM[type(row)](row)


def to_row(example: Example) -> Row | Example:
    """The row an example was made from; the example itself where that row would lose something, such as what a mix added."""
    make = _TO.get(example.form)
    if make is None:
        return example
    try:
        row = make(example)
    except (ValidationError, KeyError, TypeError):  # fields that the row does not know, or too few of them
        return example
    return row if from_row(row) == example else example


# A row of a file is recognised by fields that only its shape has.
_MARKS: tuple[tuple[frozenset[str], type[Row | Example]], ...] = (
    (frozenset({"form", "fields"}), Example),
    (frozenset({"example_id", "response_ethical"}), LawsRow),
    (frozenset({"full_input", "training_metadata"}), GovernedRow),
    (frozenset({"original_chosen", "original_rejected"}), HumanPreferenceRow),
    (frozenset({"chosen", "provenance"}), Pair),
    (frozenset({"messages", "reply", "scorer"}), EvaluationRow),
    (frozenset({"prompt", "chosen", "rejected"}), PreferencePair),
)


def shape_of(row: dict[str, Any]) -> type[Row | Example] | None:
    """The model that a row of a file belongs to, by the fields that mark it; None when it is none of them."""
    names = row.keys()
    found = next((model for marks, model in _MARKS if marks <= names), None)
    if found is PreferencePair and not all(isinstance(row[name], str) for name in ("prompt", "chosen", "rejected")):
        return None
    if found is None and {"instruction", "response", "context"} <= names and isinstance(row["context"], dict):
        return TradingRow
    if found is None and {"id", "prompt"} <= names <= Prompt.model_fields.keys():
        return Prompt
    return found
