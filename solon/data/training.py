"""Rows of any shape as rows to train on: what is taught stands in `chosen`, what to avoid in `rejected`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from solon.data.example import Example, to_pair
from solon.data.exports import lacks, trl_preference, trl_sft
from solon.data.files import first_complaint, refuse_scripted
from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.data.records import Pair, Provenance
from solon.data.sources import read_examples
from solon.errors import DataError
from solon.models.base import Message

Phase = Literal["sft", "dpo"]


def training_rows(path: str | Path, phase: Phase) -> list[Pair]:
    """The rows of a file for SFT or DPO: those of `pairs.jsonl` as they are, any other shape of `solon data` converted.

    For DPO a row without a reply to avoid (none, or only a note in brackets) becomes a `retain` row, which enters as a
    likelihood term.

    Raises:
        DataError: no rows, rows that are for evaluation only, scripted output, or a row without a reply.
    """
    rows = [_row(example, phase, f"{path}: row {number}") for number, example in _numbered(path)]
    if not rows:
        raise DataError(
            f"{path}: expected at least one row, got none", mend="make some first: solon pairs, or solon data generate"
        )
    return rows


def _numbered(path: str | Path) -> Iterator[tuple[int, Example]]:
    for number, example in enumerate(read_examples(path), 1):
        if example.use == "evaluation":
            raise DataError(
                f"{path}: row {number}: expected rows to train on, got one that is for evaluation only", mend="leave it out"
            )
        yield number, refuse_scripted(example, f"{path}: row {number}")


def _row(example: Example, phase: Phase, where: str) -> Pair:
    if example.form == "pair":
        return _as_pair(example, where)
    if example.hazard.lower() in REFUSAL_ONLY_HAZARDS and phase == "dpo":
        raise DataError(f"{where}: hazard {example.hazard} serves to measure refusal only", mend="leave it out of training")
    lack = lacks(example, "trl-sft")
    if lack:
        raise DataError(f"{where}: expected a reply to learn, got {lack}", mend="complete the row, or leave it out")
    whole = phase == "dpo" and not lacks(example, "trl-preference")
    form = trl_preference(example) if whole else trl_sft(example)
    return Pair(
        prompt=[Message(**m) for m in form["prompt"]],
        chosen=[Message(**m) for m in form["chosen" if whole else "completion"]],
        rejected=[Message(**m) for m in form.get("rejected", [])],
        principle_id=example.principle,
        critique=example.critique,
        source=example.source or example.form,
        kind="retain" if phase == "dpo" and not whole else "pair",
        provenance=Provenance(
            prompt_id=example.id or example.key(), group=example.group or example.key(), model="", template_hash="", sampling={},
            seed=0, constitution_hash="",
        ),
    )  # fmt: skip


def _as_pair(example: Example, where: str) -> Pair:
    try:
        return to_pair(example)
    except ValidationError as error:
        raise DataError(f"{where}: {first_complaint(error)}", mend="see solon schema pair") from error
    except KeyError as error:
        raise DataError(
            f"{where}: expected fields with kind and provenance, lacks {error}", mend="see solon schema pair"
        ) from error
