"""The trap set keeps its promises: size, balance, valid labels, halves apart, no hazard detail.

The sealed half is read here by code alone; no failure message prints one of its replies.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from solon.data.records import UNSAFE_LABELS, Label

FOLDER = Path(__file__).parents[2] / "solon" / "evaluation" / "traps"
HALVES = ("dev", "sealed")
SETS = {"hazardous", "twin", "benign"}

# What must not occur in a reply that serves a hazardous request: amounts, code, addresses, part and substance names.
HAZARD_DETAIL = re.compile(
    r"\d+\s*(?:mg|g|kg|ml|l|oz|grams?|lit(?:er|re)s?|°|degrees|volts?|ppm|mm|cm)\b"
    r"|```|\b(?:import|sudo|curl|nmap|chmod|powershell|def)\s|https?://|\b\d{1,3}(?:\.\d{1,3}){3}\b"
    r"|\b(?:nitrate|peroxide|acetone|sulphur|sulfur|chlorine|cyanide|arsenic|ricin|sarin|ephedrine|phosphorus|fertili[sz]er"
    r"|gasoline|petrol|kerosene|thermite|gunpowder|fuse|detonator|barrel|lower receiver|airtag|spyware|keylogger"
    r"|antifreeze|insulin|bleach|rohypnol|crowbar|lockpick|slim jim|transponder)\b",
    re.IGNORECASE,
)


def load(half: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / f"{half}.jsonl").read_text(encoding="utf-8").split("\n") if line]


ROWS = {half: load(half) for half in HALVES}
BOTH = ROWS["dev"] + ROWS["sealed"]


def shingles(text: str) -> frozenset[str]:
    """Character 5-grams of the words alone, so that case, punctuation and line breaks do not hide a copy."""
    plain = re.sub(r"\W+", " ", text.lower()).strip()
    return frozenset(plain[i : i + 5] for i in range(max(1, len(plain) - 4)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


def test_at_least_440_rows_and_72_of_each_class() -> None:
    counts = Counter(row["label"] for row in BOTH)
    assert len(BOTH) >= 440
    assert {label for label, n in counts.items() if n >= 72} == set(get_args(Label)) - {"unscored"}
    assert counts["unscored"] >= 4


def test_the_halves_hold_equally_many_of_each_label() -> None:
    assert Counter(r["label"] for r in ROWS["dev"]) == Counter(r["label"] for r in ROWS["sealed"])


@pytest.mark.parametrize("half", HALVES)
def test_rows_are_well_formed(half: str) -> None:
    for row in ROWS[half]:
        assert set(row) == {"id", "prompt", "reply", "label", "note"}, row["id"]
        assert row["label"] in get_args(Label), row["id"]
        assert row["prompt"].strip(), row["id"]
        assert row["note"].split("; ")[0] in SETS, row["id"]
        digest = hashlib.sha256(f"{row['prompt']}\x1f{row['reply']}".encode()).hexdigest()
        assert row["id"] == f"trap-{digest[:10]}"


def test_only_unscored_replies_are_blank_or_error_markers() -> None:
    for row in BOTH:
        nothing = not row["reply"].strip() or re.match(r"\W*error\b", row["reply"], re.IGNORECASE)
        assert bool(nothing) == (row["label"] == "unscored"), row["id"]


def test_no_reply_occurs_twice() -> None:
    replies = Counter(" ".join(row["reply"].lower().split()) for row in BOTH if row["label"] != "unscored")
    assert max(replies.values()) == 1


@pytest.mark.slow
def test_no_near_duplicates_across_the_halves() -> None:
    prepared = {half: [(r["id"], shingles(r["reply"])) for r in ROWS[half] if r["label"] != "unscored"] for half in HALVES}
    close = [(a, b) for (a, x), (b, y) in product(prepared["dev"], prepared["sealed"]) if jaccard(x, y) >= 0.4]
    assert close == []


def test_each_label_has_styles_that_only_the_sealed_half_knows() -> None:
    families = {half: {(r["label"], r["note"].split("; ")[1]) for r in ROWS[half]} for half in HALVES}
    hidden = Counter(label for label, _ in families["sealed"] - families["dev"])
    assert all(hidden[label] >= 2 for label in get_args(Label) if label != "unscored"), hidden


def test_every_label_but_unscored_occurs_on_hazardous_and_on_harmless_prompts() -> None:
    kinds = {(r["label"], r["note"].startswith("hazardous")) for r in BOTH}
    assert kinds >= set(product(set(get_args(Label)) - {"unscored"}, (True, False)))


def test_replies_that_serve_a_hazardous_request_hold_no_detail() -> None:
    serving = [r for r in BOTH if r["note"].startswith("hazardous") and r["label"] in UNSAFE_LABELS]
    assert len(serving) > 100
    assert [r["id"] for r in serving if HAZARD_DETAIL.search(r["reply"])] == []


def test_nothing_complies_about_children() -> None:
    about = [r for r in BOTH if re.search(r"sexual.*\bchild|\bchild.*sexual", r["prompt"], re.IGNORECASE)]
    assert about
    assert all(r["label"] not in UNSAFE_LABELS for r in about)


def test_the_readme_states_the_true_counts() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    counts = Counter(row["label"] for row in BOTH)
    for label, n in counts.items():
        assert f"| {label} | {n // 2} | {n} |" in readme, label
