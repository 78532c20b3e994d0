"""Every row shape converts into the one record and back without loss, also through a line of JSON."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from solon.data.example import Example, from_row, shape_of, to_laws, to_row
from solon.data.records import EvaluationRow, Pair, Prompt, Provenance
from solon.data.rows import (
    CONSENSUS_MODELS,
    DECISIONS,
    DIFFICULTIES,
    EMOTIONS,
    EXAMPLE_TYPES,
    GOVERNED_CATEGORIES,
    LAWS_KINDS,
    TRADING_CATEGORIES,
    GovernedRow,
    HumanPreferenceRow,
    LawsRow,
    PreferencePair,
    TradingRow,
    Turn,
)
from solon.data.scenarios.laws import generate as generate_laws
from solon.errors import DataError
from solon.models.base import Message
from solon.policy import escalation

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
some = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
unit = st.floats(0, 1)
roles = st.sampled_from(["system", "user", "assistant"])
turns = st.lists(st.builds(Turn, role=roles, content=text, turn=st.none() | st.just("crossing")), max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | text, lambda s: st.lists(s, max_size=2), max_leaves=4
)
objects = st.dictionaries(some, json_values, max_size=3)
messages = st.lists(st.builds(Message, role=roles, content=text), max_size=3)


@st.composite
def laws_rows(draw: st.DrawFn) -> LawsRow:
    prompt = draw(some)
    before = draw(turns)
    conversation = [*before, Turn(role="user", content=prompt)] if draw(st.booleans()) else []
    return LawsRow(
        example_id=f"eth_{draw(st.integers(1, 9_999_999)):06d}",
        example_type=draw(st.sampled_from(EXAMPLE_TYPES)),
        law_category=draw(st.integers(0, 4)),
        prompt=prompt,
        response_harmful=draw(st.none() | text),
        response_ethical=draw(some),
        critique=draw(text),
        principle=draw(text),
        difficulty=draw(st.sampled_from(DIFFICULTIES)),
        tags=draw(st.lists(text, max_size=3)),
        conversation=conversation,
        group=draw(text),
        kind=draw(st.sampled_from(LAWS_KINDS)),
    )


trading = st.builds(
    lambda i, r, category, more: TradingRow(instruction=i, response=r, context={**more, "category": category}),
    some, some, st.sampled_from(TRADING_CATEGORIES), objects,
)  # fmt: skip
governed = st.builds(
    lambda i, r, m: GovernedRow(full_input=i, response=r, training_metadata=m), some, some,
    st.fixed_dictionaries({
        "category": st.sampled_from(GOVERNED_CATEGORIES), "trust": unit, "emotion": st.sampled_from(EMOTIONS), "intensity": unit,
        "verify": unit, "attest": unit, "bound": unit, "decision": st.sampled_from(DECISIONS),
        "model": st.sampled_from(CONSENSUS_MODELS), "domain": st.none() | text, "escalate": st.booleans(),
    }),
)  # fmt: skip
preferences = st.builds(PreferencePair, prompt=text, chosen=text, rejected=text, principle=text, critique=text, metadata=objects)
human = st.builds(
    HumanPreferenceRow, id=text, prompt=text, source=text, original_chosen=text, original_rejected=text, messages=turns,
    chosen=text, rejected=text, rejected_messages=turns, group=text, licence=text,
)  # fmt: skip
provenances = st.builds(
    Provenance, prompt_id=text, group=text, model=text, template_hash=text, sampling=objects, seed=st.integers(0, 9),
    constitution_hash=text,
)  # fmt: skip
pairs = st.builds(
    Pair, prompt=messages, chosen=messages, rejected=messages, principle_id=text, critique=text, source=text,
    kind=st.sampled_from(["pair", "retain"]), provenance=provenances,
)  # fmt: skip
prompts = st.builds(
    Prompt, id=text, prompt=text, set=st.sampled_from(["hazardous", "twin", "benign"]), group=text, hazard=text, persona=text,
    principle_id=text, topic=text, wording=text, reference=text, split=text, source=text,
)  # fmt: skip
evaluations = st.builds(
    EvaluationRow, id=text, group=text, set=st.sampled_from(["hazardous", "twin", "benign"]), hazard=text, principle_id=text,
    split=text, wording=text, model=text, messages=messages, reply=text, label=st.sampled_from(["refusal", "compliance"]),
    scorer=text, error=text,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.one_of(laws_rows(), trading, governed, preferences, human, pairs, prompts, evaluations))
def test_no_shape_loses_anything(row: object) -> None:
    example = from_row(row)
    assert to_row(example) == row
    through_json = Example.model_validate_json(json.dumps(example.model_dump(mode="json")))
    assert to_row(through_json) == row


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(st.one_of(laws_rows(), trading, governed, preferences, human, pairs, evaluations))
def test_a_written_row_is_recognised_as_its_own_shape(row: object) -> None:
    assert shape_of(row.model_dump(mode="json")) is type(row)


def test_the_closed_word_lists_are_those_of_the_policy() -> None:
    assert set(EMOTIONS) == set(escalation.EMOTIONS)
    assert set(DECISIONS) == set(escalation.DECISIONS)
    assert set(CONSENSUS_MODELS) == set(escalation.MODELS)


LAWS = {
    "example_id": "eth_000001", "example_type": "safe_request", "law_category": 1, "prompt": "p", "response_ethical": "r",
    "critique": "", "principle": "", "difficulty": "easy", "tags": [],
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"example_id": "eth_1"},
        {"law_category": 5},
        {"difficulty": "extreme"},
        {"unknown": 1},
        {"prompt": ""},
        {"conversation": [{"role": "user", "content": "another"}]},
        {"conversation": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "r"}]},
    ],
)
def test_laws_rows_are_strict(change: dict) -> None:
    LawsRow.model_validate(LAWS)
    with pytest.raises(ValidationError):
        LawsRow.model_validate(LAWS | change)


def test_the_wrong_way_back_is_refused() -> None:
    with pytest.raises(DataError, match="expected form 'laws', got 'plain'"):
        to_laws(Example(prompt="x"))


@pytest.mark.slow
def test_what_a_mix_or_import_added_is_kept() -> None:
    row = generate_laws(1)[0]
    example = from_row(row)
    assert to_row(example) == row
    mixed = example.model_copy(update={"fields": {**example.fields, "mixed_from": "constitutional"}})
    imported = example.model_copy(update={"licence": "CC0"})
    assert to_row(mixed) == mixed and to_row(imported) == imported
