"""What `generate` writes: quotas counted on the real output, no actionable detail, refusals of what can't be."""

import json
from pathlib import Path

import pytest

from solon.cli.data import judges
from solon.data.checking import check_file
from solon.data.files import manifest_of
from solon.data.generate import KINDS, generate_file, generator, require_quotas
from solon.data.quotas import counts
from solon.data.rows import LawsRow
from solon.errors import CheckFailed, DataError

ROWS = 400  # `make proof` reads 10,000


def present(kind: str) -> bool:
    try:
        generator(kind)
    except DataError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("kind", [k for k in KINDS if k != "probes" and present(k)])
def test_generated_files_meet_their_quotas_and_hold_no_actionable_detail(tmp_path: Path, kind: str) -> None:
    out = tmp_path / f"{kind}.jsonl"
    manifest = generate_file(kind, out, n=ROWS, seed=3)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == ROWS == manifest["rows"]
    assert manifest_of(out)["sha256"] == manifest["sha256"]
    for both in manifest["quotas"].values():
        assert both["asked"] == both["met"] and sum(both["met"].values()) == ROWS
    report = check_file(out, judges(), hazard_detail=True)
    assert report["problems"] == []
    if kind == "governed":
        shares = {"high": 30, "medium": 40, "low_hitl": 20, "uncertain_hitl": 10}
        assert manifest["quotas"]["category"]["met"] == counts(shares, ROWS)


def test_unknown_kinds_and_options_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected one of laws, trading"):
        generate_file("law", tmp_path / "o")
    with pytest.raises(DataError, match=r"expected an option among .*, got 'lawz'") as caught:
        generate_file("laws", tmp_path / "o", n=10, options={"lawz": {"law-0": 10}})
    assert "laws" in caught.value.mend
    assert list(tmp_path.iterdir()) == []


def test_a_generator_that_falls_short_is_found() -> None:
    row = LawsRow(
        example_id="eth_000001", example_type="safe_request", law_category=0, prompt="p", response_ethical="r", critique="",
        principle="", difficulty="easy", tags=[],
    )  # fmt: skip
    assert require_quotas("laws", 1, [row], {"law": {"law-0": 1}})["law"] == {"law-0": 1}
    with pytest.raises(CheckFailed, match="expected 2 rows, got 1"):
        require_quotas("laws", 2, [row], {})
    with pytest.raises(CheckFailed, match="law-1: 1 asked, 0 made"):
        require_quotas("laws", 1, [row], {"law": {"law-1": 1}})


@pytest.mark.slow
def test_shipped_prompts_and_the_embedded_models_corpus_hold_no_actionable_detail() -> None:
    import random

    from recipes.nano import answers, topics
    from solon.data.detail import details

    rng = random.Random(0)
    acts = [answers.Act(topic.text, tuple(topics.family_steps(topic))) for topic in topics.hazards()]
    replies = [(act.text, answers.comply(act, rng)) for act in acts]
    assert len(replies) >= 2000
    assert [(prompt, found) for prompt, reply in replies for found in details(reply, prompt)] == []
    builtin = Path(generator.__code__.co_filename).parent / "builtin" / "prompts.jsonl"
    assert check_file(builtin, judges(), hazard_detail=True)["problems"] == []


@pytest.mark.slow
def test_texts_that_ship_hold_no_actionable_detail() -> None:
    from solon.constitution import load
    from solon.data.detail import details
    from solon.data.scenarios.topics import topics

    examples = [e for name in ("five-laws", "helpful-harmless", "assistant") for p in load(name).principles for e in p.examples]
    texts = [(example.user, text) for example in examples for text in (example.assistant, example.revision)]
    for topic in topics():
        written = [question.answer for question in topic.safe] + ([topic.edge.answer] if topic.edge else [])
        texts += [("", text) for text in (*written, topic.scene, *topic.reasons, *topic.offers)]
    assert len(texts) > 600
    assert [(text, found) for prompt, text in texts for found in details(text, prompt)] == []
