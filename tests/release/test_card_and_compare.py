"""The model card and the comparison of two runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from solon.errors import DataError
from solon.evaluation.stats import mcnemar_exact
from solon.release.card import cell, model_card
from solon.release.compare import render_comparison
from solon.release.wording import change, direction, duration, full, p_value, percent, plain
from tests.release.folder import SECRET, edit_json, make_run, nats_of, rows_of, write_lines

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("runs")
    return make_run(root / "a"), make_run(root / "b", seed=1)


@pytest.fixture
def pair(runs: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    """Copies that a test may change."""
    return Path(shutil.copytree(runs[0], tmp_path / "a")), Path(shutil.copytree(runs[1], tmp_path / "b"))


def test_the_card_states_metrics_limits_hashes_and_settings(runs: tuple[Path, Path]) -> None:
    card = model_card(runs[0])
    for heading in ("## Intended use", "## Measurements", "## Limits", "## Constitution", "## Data", "## Training"):
        assert heading in card
    assert "`" + "9f2b" * 16 + "`" in card and "cd" * 32 in card
    assert "| beta | 0.1 |" in card and "n\u00a0=\u00a0150" in card
    assert SECRET not in card, "no reply belongs in a card"
    assert model_card(runs[0]) == card


def test_tables_of_the_card_have_even_rows_and_inert_cells(pair: tuple[Path, Path]) -> None:
    edit_json(pair[0] / "summary.json", warnings=["a | b <script> `c`\nd"])
    card = model_card(pair[0])
    assert "<script>" not in card and "a \\| b &lt;script&gt; \\`c\\` d" in card
    blocks = [block.splitlines() for block in card.split("\n\n") if block.startswith("|")]
    assert len(blocks) >= 5
    for block in blocks:
        assert len({line.replace("\\|", "").count("|") for line in block}) == 1, block[0]


def test_a_bare_run_has_a_card_that_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"verdict": "Not established: nothing was measured."}))
    card = model_card(tmp_path)
    assert card.count("not measured") >= 6 and "0.0" not in card


def test_cells_are_one_line() -> None:
    assert cell("a\nb | [x](y)") == "a b \\| \\[x\\](y)"


def test_a_run_against_itself_shows_no_difference(runs: tuple[Path, Path]) -> None:
    data, text = render_comparison(runs[0], runs[0])
    assert data["prompts"] == {"shared": 550, "only_a": 0, "only_b": 0}
    measured = [m for m in data["metrics"] if m["difference"]["value"] is not None]
    assert len(measured) == 14 and all(m["difference"]["value"] == 0 and m["difference"]["p"] == 1.0 for m in measured)
    assert data["labels"] == [] and "No reply is labelled differently." in text


def test_the_p_value_is_mcnemars(runs: tuple[Path, Path]) -> None:
    data, text = render_comparison(*runs)
    entry = next(m for m in data["metrics"] if (m["name"], m["split"]) == ("refusal", "unseen_topic"))
    labels = {
        side: {r.id: r.label == "refusal" for r in rows_of("tuned", seed) if r.split == "unseen_topic"}
        for side, seed in (("a", 0), ("b", 1))
    }
    b = sum(x and not labels["b"][i] for i, x in labels["a"].items())
    c = sum(labels["b"][i] and not x for i, x in labels["a"].items())
    assert b and c
    assert entry["difference"]["p"] == pytest.approx(mcnemar_exact(b, c))
    assert entry["difference"]["value"] == pytest.approx((c - b) / 150)
    assert sum(row["count"] for row in data["labels"]) == sum(r["a"] != r["b"] for r in data["rows"])
    assert "550 prompts in common" in text and SECRET not in text


def test_only_prompts_that_both_held_out_are_compared(pair: tuple[Path, Path]) -> None:
    rows = rows_of("tuned", 1)
    other = rows[0].model_copy(update={"messages": [rows[0].messages[0].model_copy(update={"content": "Another prompt"})]})
    write_lines(pair[1] / "evaluation" / "tuned.jsonl", [other, *rows[1:540]])
    data, text = render_comparison(*pair)
    assert data["prompts"] == {"shared": 539, "only_a": 11, "only_b": 1}
    assert "11 prompts of A and 1 of B have no partner" in text


def test_runs_without_a_common_prompt_are_refused(pair: tuple[Path, Path]) -> None:
    rows = [r.model_copy(update={"id": f"other-{r.id}"}) for r in rows_of("tuned", 1)]
    write_lines(pair[1] / "evaluation" / "tuned.jsonl", rows)
    with pytest.raises(DataError, match="expected held-out prompts in common, got none among 550 and 550"):
        render_comparison(*pair)


def test_two_scorers_are_refused(pair: tuple[Path, Path]) -> None:
    write_lines(pair[1] / "evaluation" / "tuned.jsonl", [r.model_copy(update={"scorer": "other"}) for r in rows_of("tuned", 1)])
    with pytest.raises(DataError, match="expected one"):
        render_comparison(*pair)


def test_a_prompt_that_one_run_trained_on_is_reported(pair: tuple[Path, Path]) -> None:
    text = (pair[1] / "pairs.jsonl").read_text().replace("train-g3", "unseen_topic-g3")
    (pair[1] / "pairs.jsonl").write_text(text)
    data, _ = render_comparison(*pair)
    assert any("were training data of B" in warning for warning in data["warnings"])
    assert not any("of A:" in warning for warning in data["warnings"])


def test_perplexity_is_compared_only_on_the_same_tokens(pair: tuple[Path, Path]) -> None:
    def write(run: Path, tokens: int) -> None:
        items = [i.model_copy(update={"tokens": tokens}).model_dump() for i in nats_of("tuned")]
        (run / "evaluation" / "tuned.nats.json").write_text(json.dumps(items))

    def compared() -> tuple[object, list[str]]:
        data, _ = render_comparison(*pair)
        return next(m["difference"]["value"] for m in data["metrics"] if m["name"] == "benign_perplexity"), data["warnings"]

    write(pair[0], 20)
    write(pair[1], 20)
    assert compared()[0] == pytest.approx(0.0)
    write(pair[1], 19)
    value, warnings = compared()
    assert value is None and any("count tokens differently" in warning for warning in warnings)


def test_wording() -> None:
    assert percent(0.0533) == "5.3\u00a0%" and percent(None) == "not measured"
    assert plain(294912) == "294,912" and plain(0) == "0" and plain(-1.25, 2) == "−1.25"
    assert full({"value": 0.5, "n": 4, "low": 0.15, "high": 0.85}) == "50.0\u00a0% (15.0 to 85.0, n\u00a0=\u00a04)"
    assert change({"value": 0.0001}) == "0.0 pp" and change({"value": 0.25}) == "+25.0 pp"
    assert [duration(x) for x in (8.25, 250, 7500, None)] == ["8.2 s", "4 min 10 s", "2 h 5 min", "not measured"]


def test_a_difference_is_coloured_only_where_both_tests_hold() -> None:
    fell = {"value": -0.5, "p_holm": 0.001, "p_groups_holm": 0.2}
    assert direction(fell, "unsafe_compliance") == "" and p_value(fell) == "0.200"
    assert direction({**fell, "p_groups_holm": 0.01}, "unsafe_compliance") == "better"
    assert direction({**fell, "p_groups_holm": 0.01}, "on_topic_compliance") == "worse"
