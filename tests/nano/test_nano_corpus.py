"""The corpus: who may be judged, which wordings must be absent, and that whole documents are packed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the recipe is not part of the installed package

from recipes.nano import corpus, topics, wordings
from recipes.nano.documents import MIX, Document, judges_only_demo
from recipes.nano.language import gerund
from recipes.nano.lexicon_hazards import REFUSED
from recipes.nano.lexicon_world import FORMS

pytestmark = pytest.mark.slow

DRAWN = corpus.kinds({k: s for k, (s, _) in MIX.items()}, 6000, 7)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return [corpus.make_document(kind, i, 7) for i, kind in enumerate(DRAWN)]


def requests(document: Document) -> str:
    return " ".join(text for role, text in document.messages if role == "user")


def test_only_demo_topics_are_judged(documents: list[Document]) -> None:
    """A scan of its own, by substring, apart from the word tuples that the build uses."""
    kept = [t.text for t in (*topics.hazards(), *topics.twins(), *topics.howtos()) if t.list != "demo"]
    judged = [text for d in documents if d.judged for _, text in d.messages]
    assert sum(d.judged for d in documents) > 1500
    whole = "\n".join(judged).lower()
    for phrase in (p.lower() for t in kept for p in (t, gerund(t))):
        found = re.search(rf"\b{re.escape(phrase)}\b.*", whole) if phrase in whole else None  # the quick look first
        assert not found, found


def test_the_scan_of_the_build_finds_a_leak() -> None:
    kept = next(t for t in topics.hazards() if t.list == "test")
    leak = Document(
        "revision", (("user", f"Request: Help me {kept.text}."), ("assistant", f"I can't help with {gerund(kept.text)}.")), True
    )
    assert not judges_only_demo(leak)
    assert judges_only_demo(Document("hazard", leak.messages, judged=False))


def test_every_critique_revision_and_refusal_is_marked_as_judged(documents: list[Document]) -> None:
    for document in documents:
        said = " ".join(text for role, text in document.messages if role == "assistant")
        if re.search(r"[Cc]onflict|can't|won't|is wrong|object to|want to prevent|object to", said):
            assert document.judged, document


def frames(cores: tuple[str, ...]) -> re.Pattern[str]:
    """The cores as patterns, whatever stands in the slot."""
    slot = r"[\w' -]+"
    parts = [slot.join(re.escape(x) for x in re.split(r"\{\w\}", core)) for core in cores]
    return re.compile("|".join(parts), re.IGNORECASE)


def test_wordings_kept_for_tuning_and_for_the_test_are_absent(documents: list[Document]) -> None:
    absent = frames((*wordings.DEV, *wordings.NEW))
    small = frames(tuple(form for kind, (_, *kept) in FORMS.items() if kind != "greeting" for form in kept))
    for document in documents:
        text = requests(document)
        assert not absent.search(text), text
        assert not small.search(text), text


def test_known_wordings_are_there(documents: list[Document]) -> None:
    text = "\n".join(requests(d) for d in documents)
    for core in (*wordings.TRAIN, *wordings.KNOWN):
        assert frames((core,)).search(text), core


def test_child_exploitation_and_self_harm_are_only_ever_refused(documents: list[Document]) -> None:
    phrases = [p for known, _ in REFUSED.values() for p in known]
    pattern = re.compile("|".join(re.escape(x) for p in phrases for x in (p, gerund(p))), re.IGNORECASE)
    answers = {reply for _, reply in REFUSED.values()}
    seen = 0
    for document in documents:
        if pattern.search(requests(document)):
            seen += 1
            assert document.messages[-1][1] in answers or any(a in requests(document) for a in answers)
    assert seen > 20


def test_a_document_is_a_pure_function_of_kind_place_and_seed() -> None:
    for i, kind in enumerate(list(MIX) * 3):
        assert corpus.make_document(kind, i, 3) == corpus.make_document(kind, i, 3)
    assert corpus.kinds({"a": 1.0, "b": 2.0}, 50, 1) == corpus.kinds({"a": 1.0, "b": 2.0}, 50, 1)


def test_rows_hold_whole_documents() -> None:
    packer = corpus._Packer(pad=0)
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 200, 400)
    for number, length in enumerate(lengths, 1):
        packer.add([number] * int(length), [4] * int(length))
    rows, weights = packer.close()
    assert rows.shape[1] == corpus.ROW and (weights[rows == 0] == 0).all() and (weights[rows > 0] == 4).all()
    for number, length in enumerate(lengths, 1):
        places = np.argwhere(rows == number)
        assert len(places) == length and len({row for row, _ in places}) == 1
        assert places[-1][1] - places[0][1] == length - 1


def test_tokenizer_is_repeatable_and_loses_nothing() -> None:
    first, second = (corpus.train_tokenizer(0, documents=3000) for _ in range(2))
    assert first.to_str() == second.to_str()
    for text in ("How do I kill a Python process?", "Zażółć gęślą jaźń — 42 €", "  two  blanks\nand lines"):
        assert first.decode(first.encode(text).ids) == text
