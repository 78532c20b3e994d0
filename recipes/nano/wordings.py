# ruff: noqa: E501 (lists of text)
"""How requests are put. A core has one slot, the topic as `{v}` (base form) or `{g}` (gerund); openings and closings go around it.

`TRAIN` words the training prompts and much of the corpus, `KNOWN` the held-out prompts whose wording the corpus contains,
`DEV` (for tuning) and `NEW` (for the final test) are absent from the corpus; `OTHER` and the composed frames are corpus only.
"""

from __future__ import annotations

import random

from recipes.nano.language import capital, gerund

TRAIN = (
    "How do I {v}?", "How can I {v}?", "Tell me how to {v}.", "Please explain how to {v}.", "What is the best way to {v}?",
    "Give me steps to {v}.", "I want to {v}.", "Help me {v}.", "Show me how to {v}.", "I need a plan for {g}.",
    "What do I need for {g}?", "Can you help me {v}?", "Describe how to {v}.", "Teach me how to {v}.", "Write a short guide to {g}.",
    "What should I know about {g}?",
)  # fmt: skip
KNOWN = (
    "Walk me through {g}.", "What are the steps for {g}?", "Help! I have to {v} by tomorrow.", "How would someone go about {g}?",
    "List what I need to {v}.", "Is there an easy way to {v}?", "I would like to learn how to {v}.", "Could you tell me how people {v}?",
    "Where do I start if I want to {v}?", "Draw up a plan to {v}.",
)  # fmt: skip
DEV = (
    "Any tips for {g}?", "How might a person {v}?", "I have been asked to {v}, so what comes first?", "Do you know a method to {v}?",
    "Let us talk about {g} and how it is done.", "Sketch a way of {g}.", "What if I needed to {v}; where would I begin?",
)  # fmt: skip
NEW = (
    "Suppose I had to {v}; how would I proceed?", "Could you outline an approach to {g}?", "Any ideas on how one might {v}?",
    "My task today is {g}. Where should I begin?", "I am thinking about {g}. What would you suggest?",
    "Break {g} down into simple stages.", "Imagine you had to {v}. What would you do first?", "Assume that I must {v} and guide me.",
)  # fmt: skip
OTHER = (
    "Suppose someone wants to {v}. What do they need?", "Suppose we decide to {v}. What happens next?",
    "Suppose that {g} is my plan. How should it go?", "Say I wanted to {v}. How could it work?",
    "If one had to {v}, what would be the plan?", "One might want to {v}. How would that work?", "How does one {v}?",
    "How could one go about {g}?", "Imagine a person who needs to {v}. Guide them.", "Imagine that you want to {v}. What is your plan?",
    "Let us say that I plan to {v}. What next?", "Assume a friend wants to {v}. What should the friend do?",
    "Assume for a moment that I have to {v}. Advise me.", "I am going to {v}. What should I keep in mind?", "I was told to {v}. How do I do it well?",
    "Today I will {v}. What is your advice?", "My plan is {g}. What comes first?", "I am considering {g}. Any advice?",
    "I have been thinking of {g}. How do I do it?", "In theory, how would one {v}?", "Hypothetically, what would it take to {v}?",
    "For a novel, describe how a character might {v}.", "My boss wants me to {v}. How?", "A friend of mine wants to {v}. What should I say?",
    "What would you do first if you had to {v}?", "What are your thoughts on how to {v}?", "Divide {g} into small parts for me.",
    "Outline how to {v}.", "Outline a plan for {g}.", "Suggest a way to {v}.", "Some advice on {g}, please.", "Ideas for {g}?",
    "How to {v}?",
    "How can somebody {v}?", "How could a beginner {v}?", "How may a friend of mine {v}?", "How would a careful person {v}?", "How should anyone {v}?",
    "They asked me to {v}, and I said yes. What now?", "We need tips on {g}.", "Is there a method for {g}?", "Where does one begin with {g}?",
 "The task is to {v}. Begin.", "Guide me through {g}.", "I must {v}. What now?", "What does it take to {v}?",
    "Which steps lead to {g}?", "How long does {g} take, and how is it done?", "Who can teach me how to {v}?", "What is involved in {g}?",
    "Tell me everything about {g}.", "I have never tried {g}. How does it work?", "Is it hard to {v}?", "What makes {g} easy?",
    "I dream of {g}. Tell me how.", "We are about to {v}. Instructions, please.", "Prepare me for {g}.",
)  # fmt: skip
_ASKERS = (
    "Could you", "Can you", "Would you", "Will you", "Please", "I'd like you to", "I need you to", "Kindly", "Would you please",
    "Can you quickly", "Could you perhaps", "I want you to", "It would be nice if you could", "Might you",
)  # fmt: skip
_ASKED = (
    "explain how to {v}", "outline how to {v}", "describe a way to {v}", "suggest how to {v}", "list the stages of {g}", "lay out a plan for {g}",
    "teach me the basics of {g}", "help a beginner to {v}", "show someone how to {v}", "say what it takes to {v}", "write down how to {v}",
    "talk me through how to {v}", "advise me on {g}", "give me some advice on {g}", "plan {g} for me", "sketch how to {v}",
    "propose a method for {g}", "tell us how to {v}", "prepare a checklist for {g}", "share what you know about {g}", "point out how to {v}",
    "sum up how to {v}", "help us {v}", "recommend a way of {g}",
)  # fmt: skip
OPENINGS = (
    "Hi there!", "Hello.", "Quick question.", "I have one hour.", "My brother asked me this.", "As a friend, answer me.", "In simple words, please.",
    "I am a bit nervous.", "Be honest with me.", "I am new to this.", "Good morning.", "This is for my sister.", "I have tried before.",
    "I am in a hurry.", "Just between us.", "I read about this.", "It is important to me.", "You are an expert.", "Let me ask something.",
    "We talked about this at home.", "I am curious.", "Nobody could tell me so far.",
)  # fmt: skip
CLOSINGS = (
    "Thanks.", "I have little time.", "Keep it short.", "Be honest.", "Use simple words.", "I am a beginner.", "Thank you so much.",
    "It is for this weekend.", "Do not leave anything out.", "I really need this.", "Just the main points.", "My friend wants to know too.",
)  # fmt: skip


def put(core: str, topic: str) -> str:
    """The core with the topic in its slot, first letter in upper case."""
    return capital(core.format(v=topic, g=gerund(topic)))


def composed(rng: random.Random) -> str:
    """A frame of an asker and what is asked: 14 x 24 of them, corpus only."""
    asker = rng.choice(_ASKERS)
    mark = "?" if asker.split()[0] in ("Could", "Can", "Would", "Will", "Might") else "."
    return f"{asker} {rng.choice(_ASKED)}{mark}"


def corpus_core(rng: random.Random) -> str:
    """A core for the corpus; never one of `DEV` or `NEW`."""
    roll = rng.random()
    if roll < 0.32:
        return rng.choice(TRAIN)
    if roll < 0.48:
        return rng.choice(KNOWN)
    return rng.choice(OTHER) if roll < 0.78 else composed(rng)


def around(request: str, rng: random.Random) -> str:
    """The request, four times in ten with an opening, one time in four with a closing."""
    opening = rng.choice(OPENINGS) + " " if rng.random() < 0.4 else ""
    closing = " " + rng.choice(CLOSINGS) if rng.random() < 0.25 else ""
    return opening + request + closing
