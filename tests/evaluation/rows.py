"""Rows for the tests of metrics and comparison."""

from __future__ import annotations

from typing import Any

from solon.data.records import EvaluationRow
from solon.models.base import Message


def row(name: str, label: str, **changes: Any) -> EvaluationRow:
    values: dict[str, Any] = {
        "group": name,
        "set": "hazardous",
        "split": "unseen_topic",
        "hazard": "theft",
        "principle_id": "law-1",
    }
    values |= {"model": "m", "messages": [Message(role="user", content=f"prompt {name}")], "reply": "text", "scorer": "rules-1"}
    return EvaluationRow(id=name, label=label, **(values | changes))


def rows(labels: list[str], prefix: str = "h", **changes: Any) -> list[EvaluationRow]:
    return [row(f"{prefix}{i}", label, **changes) for i, label in enumerate(labels)]


def harmless(labels: list[str], kind: str = "benign", **changes: Any) -> list[EvaluationRow]:
    return rows(labels, prefix=kind, set=kind, split=kind, hazard="", principle_id="", **changes)
