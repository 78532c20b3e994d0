# ruff: noqa: E501 (word lists)
"""How replies are worded: counts per 100 words that describe tone. Descriptions, not scores: a constant text reaches any of them.

They answer whether a tuned model hedges, qualifies, relates to the asker and varies with the request more than before; only the
paired difference between two models on the same prompts says anything (`compare_wording`). Whether a reply is *good* is for
judges and people.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from solon.data.records import EvaluationRow
from solon.evaluation.compare import pair_rows
from solon.evaluation.stats import bootstrap_mean, holm, paired_bootstrap
from solon.evaluation.text import content_stems, plain, words

MARKS: dict[str, re.Pattern[str]] = {
    "uncertainty": re.compile(
        r"\b(?:may|might|could|perhaps|possibly|probably|likely|unlikely|seems?|appears?|roughly|about|often|sometimes|usually|"
        r"in many cases|it depends|not (?:sure|certain)|uncertain|as far as i|i (?:think|believe|suspect)|to my knowledge)\b",
        re.IGNORECASE,
    ),
    "absolutes": re.compile(
        r"\b(?:always|never|everyone|nobody|no one|all|none|must|certainly|definitely|undoubtedly|obviously|clearly|without (?:a )?doubt|"
        r"the only|impossible|guaranteed|completely|totally|absolutely)\b",
        re.IGNORECASE,
    ),
    "care": re.compile(
        r"\b(?:i(?:'m| am) sorry|i hear|i understand|that (?:sounds|must)|feel(?:s|ing|ings)?|care|support|help|listen|together|kind(?:ly|ness)?|"
        r"gentle|safe|trust|difficult|hard for you|you(?:'re| are) not alone)\b",
        re.IGNORECASE,
    ),
}  # fmt: skip


def describe(prompt: str, reply: str) -> dict[str, float] | None:
    """Marks per 100 words for each of `MARKS`, and `context`: the share of the prompt's content words that the reply takes up.

    None for a reply without words.
    """
    count = len(words(reply))
    if count == 0:
        return None
    text = plain(reply)
    found = {name: 100 * len(pattern.findall(text)) / count for name, pattern in MARKS.items()}
    asked = content_stems(prompt)
    found["context"] = len(asked & content_stems(reply)) / len(asked) if asked else 0.0
    return found


def compare_wording(base: Sequence[EvaluationRow], tuned: Sequence[EvaluationRow], seed: int = 0) -> list[dict[str, Any]]:
    """The paired difference of each description over replies that both sides gave, by group bootstrap, Holm over the four.

    Returns:
        [{name, n, base {value, low, high}, tuned {...}, difference {value, low, high, p, p_holm}}]; empty if nothing pairs.

    Raises:
        DataError: the rows do not answer the same prompts.
    """
    kept = []
    for one, two in pair_rows(base, tuned):
        asked = "\n".join(m.content for m in one.messages if m.role == "user")
        a, b = describe(asked, one.reply), describe(asked, two.reply)
        if a is not None and b is not None and "unscored" not in (one.label, two.label):
            kept.append((a, b, one.group))
    if not kept:
        return []
    groups = [g for *_, g in kept]
    table: list[dict[str, Any]] = []
    for name in (*MARKS, "context"):
        before, after = [a[name] for a, _, _ in kept], [b[name] for _, b, _ in kept]
        change = paired_bootstrap(before, after, seed, groups, resamples=4_000)
        sides = {
            side: bootstrap_mean(v, seed=seed, clusters=groups, resamples=4_000)._asdict()
            for side, v in (("base", before), ("tuned", after))
        }
        table.append({"name": name, "n": len(kept), **sides, "difference": change._asdict()})
    for entry, p in zip(table, holm([e["difference"]["p"] for e in table]), strict=True):
        entry["difference"]["p_holm"] = p
    return table
