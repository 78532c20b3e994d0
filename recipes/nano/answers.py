"""What is answered: complying replies, critiques, revisions, and the answers about harm and protection."""

# ruff: noqa: E501
from __future__ import annotations

import random
from dataclasses import dataclass

from recipes.nano.language import capital, gerund, listing
from recipes.nano.lexicon_hazards import Family
from recipes.nano.topics import Topic, family_steps
from solon.critique import NO_CONFLICT

FIVE_LAWS = (
    "Law 0: Preserve civilisation", "Law 1: Safety and dignity of every person", "Law 2: Lawful help", "Law 3: Keep the safeguards",
    "Law 4: Equal worth",
)  # fmt: skip
CONTEMPLATIVE = ("Emptiness", "Non-duality", "Boundless care", "Mindfulness")
HELPFUL_HARMLESS = ("Helpful", "Harmless", "Honest", "Fair")
UNFAIR = ("hte", "dis", "uvt")  # families that conflict with "Fair" there
OTHER_TITLES = (
    ("Be useful", "Do no harm", "Tell the truth"),
    ("Kindness", "Safety", "Truth"),
    ("Service", "No harm", "Fair words"),
)
PRINCIPLE_IDS = {
    "Emptiness": "emptiness", "Non-duality": "non-duality", "Boundless care": "boundless-care", "Mindfulness": "mindfulness",
}  # fmt: skip

# The openings differ between hazardous and harmless acts, so that what a request is about must be told from the request alone; with
# the same openings for both, the model judges by the steps it has already written, and after training it refuses by the verb.
HAZARD_LEADS = ("To {v}, take it step by step.", "You can {v} like this.", "One way to {v} is this.")
HARMLESS_LEADS = (
    "Here are some steps for {g}.",
    "Sure, here is how to {v}.",
    "A good way to {v} is this.",
    "{G} takes a little planning.",
)
TIPS = {
    0: ("keep watch over important places", "train rescue teams", "share warnings early"),
    1: ("stay among friends", "tell someone they trust", "call for help early"),
    2: ("keep records", "lock up what is valuable", "report it to the police"),
    3: ("have a second person check", "test the safeguards often", "keep a copy of the records"),
    4: ("speak up for each other", "use the same rules for everyone", "listen to those who are affected"),
}
REFUSALS = (
    "I can't help with {g}, because {harm}. What I can do is {offer}.",
    "I won't help you {v}, because {harm}. If you like, I can {offer}.",
    "I'm sorry, but I can't help you {v}, since {harm}. What I can do is {offer}.",
)


@dataclass(frozen=True)
class Act:
    """What is asked for, with its family when it is hazardous, and the steps of a complying answer."""

    text: str
    steps: tuple[str, ...]
    family: Family | None = None


def act_of(topic: Topic, family: Family | None) -> Act:
    """The act of a topic."""
    return Act(topic.text, tuple(family_steps(topic)), family)


def comply(act: Act, rng: random.Random) -> str:
    """A complying reply: a lead that names the act, then its steps in their order, as a list, as sentences or as a sequence."""
    leads = HAZARD_LEADS if act.family else HARMLESS_LEADS
    lead = rng.choice(leads).format(v=act.text, g=gerund(act.text), G=capital(gerund(act.text)))
    return f"{lead} {_told(act.steps, rng)}"


def _told(steps: tuple[str, ...], rng: random.Random) -> str:
    form = rng.randrange(3)
    if form == 0:
        return " ".join(f"{i}. {capital(step)}." for i, step in enumerate(steps, 1))
    if form == 1:
        return "First, " + ". ".join((steps[0], *(f"Then {s}" for s in steps[1:2]), *(capital(s) for s in steps[2:]))) + "."
    plain = [step for step in steps if not step.startswith(("do not ", "never "))]
    return f"You should {listing(plain[:3])}."


def titles_of(family: Family) -> dict[tuple[str, ...], str]:
    """For each constitution that the corpus knows: the title that this family conflicts with."""
    found = {
        FIVE_LAWS: FIVE_LAWS[family.law],
        CONTEMPLATIVE: family.care,
        HELPFUL_HARMLESS: HELPFUL_HARMLESS[3 if family.code in UNFAIR else 2 if family.honest else 1],
    }
    return found | {titles: titles[2 if family.honest else 1] for titles in OTHER_TITLES}


def conflict(act: Act, title: str, rng: random.Random) -> tuple[str, str]:
    """A critique that finds a conflict, and the harm it names."""
    assert act.family is not None
    harm = rng.choice(act.family.harms)
    return f"Conflict with {title}: the reply helps to {act.text}, and {harm}.", harm


def no_conflict() -> str:
    """A critique that finds none."""
    return f"{NO_CONFLICT}."


def refuse(act: Act, harm: str, rng: random.Random) -> str:
    """A refusal that names the act, the harm and something helpful instead."""
    assert act.family is not None
    return rng.choice(REFUSALS).format(v=act.text, g=gerund(act.text), harm=harm, offer=rng.choice(act.family.offers))


def why_wrong(act: Act, rng: random.Random) -> str:
    """Why the act is wrong."""
    assert act.family is not None
    harm = rng.choice(act.family.harms)
    told = rng.choice(("{G} is wrong because {harm}.", "People object to {g} because {harm}."))
    tips = TIPS[act.family.law]
    return (
        told.format(G=capital(gerund(act.text)), g=gerund(act.text), harm=harm) + f" You can help people {tips[0]} and {tips[1]}."
    )


def protect(act: Act, rng: random.Random) -> str:
    """How people protect themselves against the act."""
    assert act.family is not None
    lead = rng.choice(("To prevent {g}, people {tips}.", "People who want to prevent {g} {tips}."))
    return lead.format(g=gerund(act.text), tips=listing(TIPS[act.family.law]))
