"""Numbers and names as a person reads them; shared by the report, the model card and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solon.evaluation.metrics import PERPLEXITY, PROPORTIONS
from solon.release.facts import mapping, measured, number

NOT_MEASURED = "not measured"
MINUS = "\u2212"
PERCENT = "\u00a0%"  # a number and its sign stay on one line

METRIC_TITLES = {
    "unsafe_compliance": "Unsafe compliance",
    "refusal": "Refusal",
    "principle_adherence": "Principle adherence",
    "over_refusal": "Over-refusal",
    "on_topic_compliance": "On-topic compliance",
    "off_topic": "Off topic",
    PERPLEXITY: "Benign perplexity",
}
LOWER_IS_BETTER = frozenset(m.name for m in PROPORTIONS.values() if m.lower_is_better) | {PERPLEXITY}
SPLIT_TITLES = {
    "unseen_topic": "Hazardous: topics never trained on",
    "unseen_wording": "Hazardous: new wordings of trained topics",
    "file": "Prompts from the user's file",
    "twin": "Safe twins: harmless, but sounding hazardous",
    "benign": "Plain benign requests",
    "hazardous": "Hazardous",
}
SPLIT_SHORT = {
    "unseen_topic": "unseen topic",
    "unseen_wording": "unseen wording",
    "file": "file",
    "twin": "twin",
    "benign": "benign",
}
LABEL_TITLES = {  # on hazardous prompts; `label_title` has the words for harmless ones
    "refusal": "refuses",
    "compliance": "complies",
    "compliance_with_disclaimer": "complies with a disclaimer",
    "refusal_then_compliance": "refuses, then complies",
    "off_topic": "off topic",
    "unscored": "unscored",
}
REASONS = {
    "original_ok": "the first response already kept the principle",
    "revision_violates": "the revision still breaks it",
    "unchanged": "the revision says the same as the first response",
    "off_topic": "the revision does not address the prompt",
    "truncated": "the reply ran into its length limit",
    "preamble": "the revision talks about itself",
    "duplicate": "the same pair was there already",
    "model_error": "the model gave no usable answer",
}


def label_title(label: str, kind: str) -> str:
    """A label in words: on a harmless prompt to comply is to answer."""
    words = title(LABEL_TITLES, label)
    return words if kind == "hazardous" else words.replace("complies", "answers")


def title(table: Mapping[str, str], key: Any) -> str:
    """The title of a name, or the name itself with blanks for underscores."""
    return table.get(str(key), str(key).replace("_", " "))


def percent(value: Any, places: int = 1) -> str:
    """A fraction as a percentage."""
    found = number(value)
    return NOT_MEASURED if found is None else f"{100 * found:.{places}f}{PERCENT}"


def share_or_number(value: Any) -> str:
    """A percentage for a value from 0 to 1, a plain number for any other."""
    found = number(value)
    return percent(found) if found is not None and 0 <= found <= 1 else plain(value)


def plain(value: Any, places: int = 3) -> str:
    """A number with a true minus sign and thousands separators."""
    found = number(value)
    if found is None:
        return NOT_MEASURED
    text = f"{value:,}" if isinstance(value, int) else f"{found:,.{places}f}"
    return text.replace("-", MINUS)


def estimate(value: Any, metric: str = "") -> str:
    """The value of an estimate: a percentage, or a number for perplexity."""
    found = measured(value)
    if found is None:
        return NOT_MEASURED
    return plain(found["value"]) if metric == PERPLEXITY else percent(found["value"])


def interval(value: Any, metric: str = "", scale: float = 100.0) -> str:
    """The interval of an estimate: `2.6 to 10.2`; "" when there is none."""
    found = mapping(value)
    low, high = number(found.get("low")), number(found.get("high"))
    if low is None or high is None:
        return ""
    factor, places = (1.0, 3) if metric == PERPLEXITY else (scale, 1)
    return f"{factor * low:.{places}f} to {factor * high:.{places}f}".replace("-", MINUS)


def upper(value: Any) -> str:
    """What "none seen in n" allows at most, when the estimate is 0 and states the bound."""
    found = measured(value)
    bound = number((found or {}).get("upper95"))
    return "" if not found or found["value"] or bound is None else f"none of {found.get('n')}: ≤\u00a0{percent(bound)}"


def full(value: Any, metric: str = "") -> str:
    """Value, interval and n in one piece of text."""
    found = measured(value)
    if found is None:
        reason = mapping(value).get("reason")
        return f"{NOT_MEASURED} ({reason})" if reason else NOT_MEASURED
    parts = [interval(found, metric), upper(found) or (f"n\u00a0=\u00a0{found['n']}" if "n" in found else "")]
    inside = ", ".join(p for p in parts if p)
    return estimate(found, metric) + (f" ({inside})" if inside else "")


def change(difference: Any, metric: str = "") -> str:
    """A difference with its sign: percentage points, or a number for perplexity."""
    found = measured(difference)
    if found is None:
        return NOT_MEASURED
    value = found["value"] if metric == PERPLEXITY else 100 * found["value"]
    number_text = f"{value:+.3f}" if metric == PERPLEXITY else f"{value:+.1f}"
    if not float(number_text):
        number_text = number_text[1:]
    return number_text.replace("-", MINUS) + ("" if metric == PERPLEXITY else " pp")


def p_value(difference: Any) -> str:
    """The corrected p-value, the larger of by item and by prompt group."""
    found = mapping(difference)
    values = [v for key in ("p_holm", "p_groups_holm") if (v := number(found.get(key))) is not None]
    if not values:
        return NOT_MEASURED
    largest = max(values)
    return "< 0.001" if largest < 0.001 else f"{largest:.3f}"


def direction(difference: Any, metric: str) -> str:
    """`better`, `worse`, or "" when no difference is shown at 5 % after correction."""
    found = measured(difference)
    if found is None or p_value(found) == NOT_MEASURED or not found["value"]:
        return ""
    values = [v for key in ("p_holm", "p_groups_holm") if (v := number(found.get(key))) is not None]
    if max(values) >= 0.05:
        return ""
    return "better" if (found["value"] < 0) == (metric in LOWER_IS_BETTER) else "worse"


def trivial(value: Any, which: str) -> str:
    """What a constant model would get."""
    found = number(mapping(value).get(which))
    return "–" if found is None else percent(found, 0)


def gate_number(value: Any, gate: Mapping[str, Any]) -> str:
    """A number of a gate: a percentage where the metric is a share, else as it is."""
    return percent(value) if gate.get("metric") in PROPORTIONS else plain(value)


def gate_reason(gate: Mapping[str, Any]) -> str:
    """Which end of the interval was judged; what the gate itself says where that is not known."""
    bound = number(gate.get("bound"))
    if bound is None or gate.get("status") == "not_measured" or bound == number(gate.get("value")):
        return str(gate.get("reason") or "")
    end = "upper" if number(gate.get("at_most")) is not None else "lower"
    return f"{end} end of the interval {gate_number(bound, gate)}"


def duration(seconds: Any) -> str:
    """Seconds as `8.3 s`, `4 min 10 s` or `2 h 5 min`."""
    found = number(seconds)
    if found is None:
        return NOT_MEASURED
    if found < 60:
        return f"{found:.1f} s"
    whole = round(found)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def value_text(value: Any) -> str:
    """Any setting as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(v) for v in value) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {value_text(v)}" for k, v in value.items())
    return "not set" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
