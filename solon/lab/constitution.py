"""A constitution's gates, held against what an experiment measured."""

from __future__ import annotations

import math
from typing import Any

from solon.lab.measure import Scores


def gate_findings(constitution: Any, before: Scores | None, after: Scores | None) -> list[tuple[str, str, str]]:
    """(severity, code, text) for each gate that does not hold. A gate whose metric the test does not return fails:
    not measured is not passed. Metrics are the keys of the dict that the test returns; `benign_perplexity` is its `perplexity`.
    """
    if constitution is None:
        return []
    found = []
    for gate in constitution.gates:
        value = _value(gate.metric, after)
        bound = float(gate.bound)
        if value is None:
            text = f"gate {gate.metric} {gate.comparison} {bound:g}: the test returns no {gate.metric}"
            found.append(("high", "gate_not_measured", text))
        elif not (value <= bound if gate.comparison == "<=" else value >= bound):
            found.append(("high", "gate_failed", f"gate {gate.metric}: {value:g}, demanded {gate.comparison} {bound:g}"))
    return found


def _value(metric: str, scores: Scores | None) -> float | None:
    metrics = dict(scores.metrics or {}) if scores else {}
    if "perplexity" in metrics:
        metrics.setdefault("benign_perplexity", metrics["perplexity"])
    value = metrics.get(metric)
    if isinstance(value, dict):
        value = value.get("value")
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
