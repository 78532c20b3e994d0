"""Actionable detail is found in harmless stand-ins; abstract steps pass; refusals and benign rows are left alone."""

import pytest

from solon.data.detail import details, is_hazardous, row_details
from solon.data.example import Example

# Stand-ins from kitchens, gardens and office networks: the form is what the check looks at.
ACTIONABLE = [
    ("quantity", "Stir 50 g of sugar into the water."),
    ("quantity", "You need two cups of flour."),
    ("quantity", "Take 5% acetic acid for the salad."),
    ("quantity", "Bake it at 180 °C until brown."),
    ("quantity", "Baking soda is NaHCO3."),
    ("code", "```\nx\n```"),
    ("code", "Write this:\nimport calendar\n"),
    ("code", "def bake(cake):\n    return cake"),
    ("code", "<script>alert</script>"),
    ("command", "Then type sudo apt-get install cowsay"),
    ("command", "$ ls -la /tmp"),
    ("command", "Add --verbose to see more."),
    ("command", "Use `git status` often."),
    ("url", "It is all on https://example.org/cakes"),
    ("url", "See www.example.net"),
    ("url", "Write to cook@example.org"),
    ("url", "The printer is at 192.0.2.7"),
    ("setting", "Turn the oven to 12 volts."),
    ("setting", "Connect to port 631."),
    ("setting", "Set the mixer speed to 4."),
    ("setting", "oven_mode = fan"),
    ("setting", "Hold the bell button for ten seconds."),
    ("setting", "Press F2 and choose the second menu."),
    ("setting", "Type *#21# on the phone."),
    ("setting", "The password is bakery2024."),
    ("command", "chmod 644 recipe"),
    ("url", "See hxxp://bakery[.]example for more."),
    ("url", "It stands at bakery (dot) example."),
    ("quantity", "Bake it at two hundred degrees."),
    ("quantity", "Mix three parts flour with one part water."),
    ("steps", "1) open the tin 2) stir it 3) wait twenty minutes"),
    ("steps", "1. Cream the butter. 2. Wait 20 minutes. 3. Add the eggs."),
    ("steps", "First, open Acme Baker Pro. Then choose a cake. Finally, press start."),
    ("steps", "Step 1: do this. Step 2: do that. Step 3: do the rest."),
    ("steps", "1. Gather the flour.\n2. Mix it with the water.\n3. Wait."),
    ("steps", "First, open the tin. Then carefully pour the milk. Finally, stir."),
    ("steps", "- Buy a model 3 mixer\n- Plug it in\n- Begin at 6 am"),
]


@pytest.mark.parametrize(("kind", "text"), ACTIONABLE)
def test_specific_text_is_found(kind: str, text: str) -> None:
    assert kind in {found.kind for found in details(text)}


ABSTRACT = [
    "To do it, take it step by step. 1. Look around first. 2. Pick a quiet day. 3. Move without hurry. 4. Tell nobody.",
    "First, choose a place. Then wait for a good moment. Learn who is about. Leave calmly.",
    "You should make a plan, watch how people come and go, and keep calm.",
    "I can't help with that, because people get hurt. What I can do is talk about how to stay safe.",
    "1. Think of what to say.\n2. Say it often.\n3. Make others repeat it.",
    "People who want to prevent it keep records, lock up what is valuable and report it to the police.",
    "In 1995 a law was passed. It was amended twice, and 30 countries followed.",
    "Set your heart on something better.",
    "Several degrees of caution are needed, and three parts of the town were spared.",
    "Keep your password to yourself, and press for an answer.",
    "Heat and cold do the rest (see above).",
    "**1** Every minute counts. **22** Be kind.",
    "Here are some steps. 1. Read it closely. 2. Wash your hands. 3. Weigh everything first. 4. Wait.",
    "1. Come together. 2. Examine whether it is so. 3. Wait for the famine to pass. 4. Leave the placid lake.",
]


@pytest.mark.parametrize("text", ABSTRACT)
def test_abstract_text_passes(text: str) -> None:
    assert details(text) == []


def test_what_the_prompt_names_is_no_specific_of_the_steps() -> None:
    steps = "1. Visit the petrol station. 2. Look around. 3. Leave."
    assert [f.kind for f in details(steps)] == ["steps"]
    assert details(steps, "Tell me about a petrol station") == []


BAD = "Use https://example.org and 50 g of sugar."


def row(**fields: str) -> Example:
    return Example.model_validate({"id": "x", "prompt": "p", "set": "hazardous"} | fields)


def test_only_replies_of_hazardous_rows_count() -> None:
    def refuses(prompt: str, reply: str) -> bool:
        return reply.startswith("I can't")

    assert {(f.field, f.kind) for f in row_details([row(response=BAD)], refuses)} == {
        ("response", "url"),
        ("response", "quantity"),
    }
    assert {f.field for f in row_details([row(response="I can't.", rejected=BAD)], refuses)} == {"rejected"}
    assert list(row_details([row(response="I can't. See https://example.org for help.")], refuses)) == []
    assert list(row_details([row(response=BAD, set="benign"), row(response=BAD, set="twin")], refuses)) == []
    assert list(row_details([row(response=BAD, set="")], refuses)) != []  # what does not say that it is benign is not
    assert not is_hazardous(Example(form="instruction", prompt="p"))


def test_rows_that_may_only_be_refused() -> None:
    def refuses(prompt: str, reply: str) -> bool:
        return reply.startswith("I can't")

    assert list(row_details([row(hazard="cse", response="I can't do that.")], refuses)) == []
    assert [f.kind for f in row_details([row(hazard="cse", response="Abstract words.")], refuses)] == ["refusal_only"]
    assert [f.kind for f in row_details([row(hazard="CSE", rejected="Abstract words.")], refuses)] == ["refusal_only"]
