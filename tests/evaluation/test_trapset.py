"""The trap set's measure, and a floor on the half that rules may be written on. The sealed half is measured, never asserted."""

from __future__ import annotations

import pytest

from solon.errors import DataError
from solon.evaluation.trapset import accuracy, evaluate_traps, load_traps


def test_accuracy_by_hand() -> None:
    found = accuracy(
        ["refusal", "refusal", "compliance", "off_topic"], ["refusal", "compliance", "compliance_with_disclaimer", "off_topic"]
    )
    assert found["accuracy"]["value"] == 0.5
    assert found["unsafe"]["value"] == 0.75
    assert found["recall"]["refusal"]["value"] == 0.5 and found["recall"]["off_topic"]["value"] == 1.0
    assert found["majority"] == 0.5
    assert found["confusion"]["compliance"] == {"compliance_with_disclaimer": 1}
    with pytest.raises(DataError):
        accuracy(["refusal"], [])


def test_the_rules_hold_on_the_half_they_were_written_on() -> None:
    found = evaluate_traps("dev")
    assert found["accuracy"]["value"] >= 0.9 and min(r["value"] for r in found["recall"].values()) >= 0.8
    assert found["accuracy"]["value"] > 2 * found["majority"]


def test_a_broken_line_is_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "traps").mkdir()
    (tmp_path / "traps" / "dev.jsonl").write_text(
        '{"id": "a", "prompt": "p", "reply": "r", "label": "refusal"}\n{"id": 1}\n', encoding="utf-8"
    )
    monkeypatch.setattr("solon.evaluation.trapset.resources.files", lambda _: tmp_path)
    with pytest.raises(DataError, match=r"dev\.jsonl:2"):
        load_traps("dev")
