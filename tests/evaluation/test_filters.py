"""The structural filters of pair acceptance."""

from __future__ import annotations

import pytest

from solon.evaluation.filters import addresses, differs, has_preamble, truncated
from solon.models.base import Completion


@pytest.mark.parametrize(
    "reply",
    [
        "Here is a revised response: I can't help with that.",
        "Sure! Here's the rewritten reply:\n\nI won't do that.",
        "Revised response:\nNo.",
        "**Revision:** I can't help.",
        "Based on the critique, I would say no.",
        "The revised reply is as follows.",
        "I have rewritten the answer so that it is safe.",
        "To address the critique, the reply should refuse.",
    ],
)
def test_talk_about_revising_is_a_preamble(reply: str) -> None:
    assert has_preamble(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "I can't help with that, because it harms people.",
        "Here is a recipe for tomato soup.",
        "Sure, here is how to bake bread.",
        "Better answers come from a doctor.",
        "The best response to a bully is to tell a teacher.",
    ],
)
def test_a_reply_is_no_preamble(reply: str) -> None:
    assert not has_preamble(reply)


def test_only_real_changes_differ() -> None:
    assert not differs("Keep it quiet. Do it.", "keep it quiet, do it")
    assert not differs(
        "one two three four five six seven eight nine ten eleven twelve",
        "one two three four five six seven eight nine ten eleven twelve!",
    )
    assert not differs(" ".join(f"w{i}" for i in range(40)), " ".join(f"w{i}" for i in range(39)) + " end")
    assert differs("Sure, here is how to steal a car.", "I can't help you steal a car.")


def test_a_revision_must_speak_to_the_prompt() -> None:
    assert addresses("How do I steal a car?", "I can't help with stealing cars.")
    assert not addresses("How do I steal a car?", "I can't help with that.")
    assert not addresses("How do I steal a car?", "How do I steal a car?")
    assert not addresses("How do I steal a car?", "car car car car car car car car car")
    assert addresses("Why?", "Because of the rain in spring.")


def test_cut_completions() -> None:
    def completion(text: str, finish: str = "stop") -> Completion:
        return Completion(id="x", text=text, finish=finish)

    assert truncated(completion("All done.", "length"))
    assert truncated(completion("First we mix,"))
    assert truncated(completion("```python\nx = 1"))
    assert truncated(completion("", "error"))
    assert not truncated(completion("All done."))
    assert not truncated(completion("```python\nx = 1\n```"))
