"""Dialogues of the critique stage, driven by hand: every turn, every reason to drop, and the acceptance of a pair."""

from __future__ import annotations

import pytest

from solon.constitution import Constitution, ExampleConversation, Principle
from solon.critique.pairs import (
    CritiqueSettings,
    Lens,
    PairsResult,
    _Stage,
    consensus,
    critique_messages,
    lenses,
    make_pairs,
    named_principle,
    pair_dialogue,
    read_verdict,
    retain_dialogue,
)
from solon.data.records import Prompt
from solon.errors import ConfigError, DataError
from solon.models import Scripted
from solon.models.base import Completion, Sampling

EXAMPLE = ExampleConversation(user="Lie for me.", assistant="Sure.", critique="It helps to lie.", revision="No.")
HARM = Principle(id="harm", title="No harm", rank=0, text="Harm nobody.", critique_template="Does it harm?", examples=(EXAMPLE,))
TRUTH = Principle(id="truth", title="Truth", rank=1, text="Say what is true.", revision_guideline="Say it kindly.")
CONSTITUTION = Constitution(id="c", title="C", principles=(HARM, TRUTH))
COMPACT = CritiqueSettings().resolved(embedded=True)
STANDARD = CritiqueSettings(policy="all").resolved(embedded=False)
PROMPT = Prompt(id="p1", prompt="How do I {reply} trick a neighbour?", group="g1", source="test")
ORIGINAL = "You can trick a neighbour by a careful plan."
REVISION = "I can't help you trick a neighbour, because it breaks trust. I can help you talk with them."


def drive(dialogue, replies: list[Completion | str]) -> tuple[PairsResult, list]:
    """The dialogue's result and the requests it made, given these replies."""
    asked, answers = [next(dialogue)], iter(replies)
    while True:
        reply = next(answers)
        reply = Completion(id="x", text=reply) if isinstance(reply, str) else reply
        try:
            asked.append(dialogue.send(reply))
        except StopIteration as stop:
            assert next(answers, None) is None, "more replies than turns"
            return stop.value, asked


def stage(settings: CritiqueSettings = COMPACT) -> _Stage:
    return _Stage(CONSTITUTION, settings, "model-identity", 7)


def test_an_accepted_pair_and_its_provenance() -> None:
    result, asked = drive(
        pair_dialogue(stage(), PROMPT), [ORIGINAL, "Conflict with No harm: it tricks.", REVISION, "No conflict."]
    )
    (pair,) = result.pairs
    assert (pair.rejected[0].content, pair.chosen[0].content) == (ORIGINAL, REVISION)
    assert pair.principle_id == "harm"
    assert pair.provenance.prompt_id == "p1" and pair.provenance.constitution_hash == CONSTITUTION.hash
    assert [r.id.split(":")[1] for r in asked] == ["respond", "critique", "revise", "recheck"]
    assert len({r.seed for r in asked}) == 4
    assert PROMPT.prompt in asked[1].messages[-1].content and ORIGINAL in asked[1].messages[-1].content
    assert "No harm; Truth" in asked[1].messages[-1].content


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([ORIGINAL, "No conflict."], "original_ok"),
        ([Completion(id="x", text="You can trick a neigh", finish="length")], "truncated"),
        ([Completion(id="x", text="", finish="error", error="down")], "model_error"),
        (["Bananas are yellow."], "off_topic"),
        ([ORIGINAL, "Perhaps."], "model_error"),
        ([ORIGINAL, Completion(id="x", text="", finish="error", error="down")], "model_error"),
        ([ORIGINAL, "Conflict.", ORIGINAL.upper()], "unchanged"),
        ([ORIGINAL, "Conflict.", "Here is a revised reply: I can't help you trick a neighbour."], "preamble"),
        ([ORIGINAL, "Conflict.", "I would rather talk about the weather today."], "off_topic"),
        ([ORIGINAL, "Conflict.", Completion(id="x", text=REVISION, finish="length")], "truncated"),
        ([ORIGINAL, "Conflict.", REVISION, "Conflict again."], "revision_violates"),
        ([ORIGINAL, "Conflict.", REVISION, Completion(id="x", text="", finish="error", error="down")], "model_error"),
    ],
)
def test_every_reason_to_drop(replies: list, reason: str) -> None:
    result, _ = drive(pair_dialogue(stage(), PROMPT), replies)
    assert not result.pairs
    assert [d.reason for d in result.dropped] == [reason]


def test_all_policy_asks_for_each_principle_but_responds_once() -> None:
    turn = ["It harms.\nVerdict: violates", REVISION, "Fine.\nVerdict: keeps"]
    result, asked = drive(pair_dialogue(stage(STANDARD), PROMPT), [ORIGINAL, *turn, "True.\nVerdict: keeps"])
    assert [p.principle_id for p in result.pairs] == ["harm"]
    assert [(d.principle_id, d.reason) for d in result.dropped] == [("truth", "original_ok")]
    assert len(asked) == 5


def test_random_policy_is_seeded() -> None:
    settings = CritiqueSettings(policy="random", k=1)
    prompts = [Prompt(id=str(i), prompt="x") for i in range(40)]
    picks = [lenses(CONSTITUTION, settings, p, 3)[0].id for p in prompts]
    assert picks == [lenses(CONSTITUTION, settings, p, 3)[0].id for p in prompts]
    assert set(picks) == {"harm", "truth"}
    with pytest.raises(ConfigError, match="at most 2"):
        lenses(CONSTITUTION, CritiqueSettings(policy="random", k=3), prompts[0], 0)


def test_few_shot_comes_first_and_is_the_same_for_every_prompt() -> None:
    lens = Lens("harm", (HARM,))
    one, two = (critique_messages(lens, STANDARD, q, "reply") for q in ("first?", "second?"))
    assert one[:-1] == two[:-1] and len(one) == 5
    assert one[1].content == "It helps to lie.\nVerdict: violates" and one[3].content.endswith("Verdict: keeps")
    assert "Does it harm?" in one[-1].content and "first?" in one[-1].content


def test_braces_in_user_text_are_left_alone() -> None:
    messages = critique_messages(Lens("harm", (HARM,)), COMPACT, PROMPT.prompt, "{request} {0} {")
    assert "How do I {reply} trick" in messages[0].content and "Reply: {request} {0} {" in messages[0].content


@pytest.mark.parametrize(
    ("text", "style", "verdict"),
    [
        ("No conflict.", "compact", "keeps"),
        ("Conflict with Law 1", "compact", "violates"),
        ("I think no conflict", "compact", "unclear"),
        ("bad.\n**Verdict:** Violates", "standard", "violates"),
        ("Verdict: violates? On reflection.\nVerdict: keeps", "standard", "keeps"),
        ("It is fine.", "standard", "unclear"),
    ],
)
def test_verdicts(text: str, style: str, verdict: str) -> None:
    assert read_verdict(text, style) == verdict


def test_a_combined_critique_names_its_principle_only_when_there_is_one() -> None:
    lens = Lens("combined", (HARM, TRUTH))
    assert named_principle("Conflict with Truth: it lies.", lens) == "truth"
    assert named_principle("Conflict with Truth and No harm.", lens) == "combined"


def test_retain_rows_are_the_models_own_accepted_replies() -> None:
    benign = Prompt(id="b", prompt="How do I bake bread?", set="benign")
    result, _ = drive(retain_dialogue(stage(), benign), ["To bake bread, mix flour and water.", "No conflict."])
    (row,) = result.retain
    assert row.kind == "retain" and row.rejected == [] and row.chosen[0].content.startswith("To bake bread")
    result, _ = drive(retain_dialogue(stage(), benign), ["To bake bread, mix flour and water.", "Conflict: it bakes."])
    assert not result.retain and result.dropped[0].principle_id == "retain"


def test_scripted_output_never_becomes_training_data() -> None:
    with pytest.raises(DataError, match="scripted"):
        make_pairs(Scripted([ORIGINAL] * 9), CONSTITUTION, [PROMPT], COMPACT)


def test_refusal_only_hazards_are_refused() -> None:
    with pytest.raises(DataError, match="refusal only"):
        make_pairs(Scripted([]), CONSTITUTION, [Prompt(id="1", prompt="x", hazard="cse")], COMPACT)


def test_a_constitution_without_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one principle"):
        make_pairs(Scripted([]), Constitution(id="n", title="N"), [PROMPT], COMPACT)


def test_compact_style_takes_no_examples() -> None:
    with pytest.raises(ConfigError, match="few_shot"):
        CritiqueSettings(style="compact", few_shot=True).resolved(embedded=False)


MILD = "I can't help you trick a neighbour. I can help you talk with them."
ODD = "No trick on a neighbour today; bananas, clouds and seven violins instead of all that, friend."


def test_of_several_revisions_the_one_is_taken_that_the_others_agree_with() -> None:
    three = COMPACT.model_copy(update={"revisions": 3, "revise": Sampling(temperature=0.7)})
    result, asked = drive(pair_dialogue(stage(three), PROMPT), [ORIGINAL, "Conflict.", ODD, MILD, REVISION, "No conflict."])
    (pair,) = result.pairs
    assert pair.chosen[0].content == MILD  # shares 12 words with REVISION, ODD hardly any; equal to REVISION, and earlier
    assert pair.provenance.sampling["revise"]["revisions"] == 3
    revise = [r for r in asked if r.id.split(":")[1] == "revise"]
    assert len({r.seed for r in revise}) == 3 and len({r.messages for r in revise}) == 1
    assert MILD in asked[-1].messages[-1].content


def test_consensus_passes_over_what_is_unfit() -> None:
    cut, same, good = (
        Completion(id="1", text=MILD, finish="length"),
        Completion(id="2", text=ORIGINAL),
        Completion(id="3", text=ODD),
    )
    assert consensus(ORIGINAL, [cut, same, good], PROMPT.prompt) is good
    assert consensus(ORIGINAL, [cut, same], PROMPT.prompt) is cut  # dropped with its own reason then


def test_several_revisions_of_temperature_0_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"critique\.revise\.temperature: expected above 0"):
        CritiqueSettings(revisions=2).resolved(embedded=False)
