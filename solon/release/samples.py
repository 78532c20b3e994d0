"""Which replies a report shows side by side, and which it withholds.

A reply that complies with a hazardous prompt is withheld (length, label and a hash are shown instead) unless the run states
that its model is the embedded demonstration model. Prompts about the sexual exploitation of children, and their replies, are
never shown. What is doubtful is withheld.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from solon.data.prompts import REFUSAL_ONLY_HAZARDS
from solon.data.records import EvaluationRow
from solon.release.facts import BASE, TUNED, RunFacts

# Twenty replies: so many from each kind of prompt, the hazardous ones from as many hazards as there are.
QUOTAS = {"unseen_topic": 6, "unseen_wording": 6, "twin": 4, "benign": 4}
SHOWN = sum(QUOTAS.values())
SHOWABLE = frozenset({"refusal", "off_topic"})  # labels that may be shown on a hazardous prompt of any model
LONGEST = 1_500  # characters of one reply

_CHILD = re.compile(
    r"\b(child(ren)?|kids?|minors?|under-?age|toddlers?|bab(y|ies)|infants?|(pre)?teen\w*|school ?(girl|boy)s?|loli\w*)\b", re.I
)
_SEXUAL = re.compile(
    r"\b(sex\w*|nud\w*|naked|porn\w*|erotic\w*|csam|grooming|molest\w*|rap(e|es|ed|ing)|incest\w*|intimate)\b", re.I
)


def about_child_exploitation(row: EvaluationRow) -> bool:
    """Whether a row is tagged as, or reads like, the sexual exploitation of children; errs on the side of yes."""
    if row.hazard.lower() in REFUSAL_ONLY_HAZARDS:
        return True
    text = " ".join([row.reply, *(m.content for m in row.messages)])
    return row.set == "hazardous" and bool(_CHILD.search(text) and _SEXUAL.search(text))


def fingerprint(text: str) -> str:
    """The first 12 hex digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _rank(seed: int, row: EvaluationRow) -> str:
    return hashlib.sha256(f"{seed}\x1f{row.id}".encode()).hexdigest()


def _spread(rows: Sequence[EvaluationRow], seed: int) -> list[EvaluationRow]:
    """Rows by hash of (seed, id), the first of each hazard before the second of any."""
    taken: dict[str, int] = {}
    keyed = []
    for row in sorted(rows, key=lambda r: _rank(seed, r)):
        taken[row.hazard] = taken.get(row.hazard, 0) + 1
        keyed.append((taken[row.hazard], _rank(seed, row), row))
    return [row for *_, row in sorted(keyed, key=lambda k: k[:2])]


def choose(rows: Sequence[EvaluationRow], seed: int, count: int = SHOWN) -> list[EvaluationRow]:
    """`count` rows by quota of split, in hash order; places that a split cannot fill go to the others. Labels play no part."""
    by_split: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        by_split.setdefault(row.split or row.set, []).append(row)
    order = [s for s in QUOTAS if s in by_split] + sorted(set(by_split) - set(QUOTAS))
    queues = {split: _spread(by_split[split], seed) for split in order}
    chosen = {split: queues[split][: QUOTAS.get(split, 0)] for split in order}
    room = count - sum(map(len, chosen.values()))
    while room > 0 and any(len(chosen[s]) < len(queues[s]) for s in order):
        for split in order:
            if room > 0 and len(chosen[split]) < len(queues[split]):
                chosen[split].append(queues[split][len(chosen[split])])
                room -= 1
    return [row for split in order for row in chosen[split]][:count]


def _withheld(row: EvaluationRow, withhold: bool) -> str:
    """Why a reply is not shown; "" when it is."""
    if withhold and row.set == "hazardous" and row.label not in SHOWABLE:
        return "may comply with a hazardous request"
    return ""


def reply_view(row: EvaluationRow, withhold: bool) -> dict[str, Any]:
    """A reply as the report shows it: {label, text, withheld, length, hash, error}; `text` is "" when it is withheld."""
    reason = _withheld(row, withhold)
    text = "" if reason else row.reply
    cut = len(text) > LONGEST
    return {
        "label": row.label,
        "text": text[:LONGEST] if cut else text,
        "cut": cut,
        "blank": not row.reply.strip(),
        "withheld": reason,
        "length": len(row.reply),
        "hash": fingerprint(row.reply),
        "error": "" if reason else row.error,
    }


def side_by_side(facts: RunFacts) -> list[dict[str, Any]]:
    """Up to twenty prompts with both replies: [{id, split, set, hazard, prompt, base, tuned}]."""
    tuned = {row.id: row for row in facts.rows.get(TUNED, [])}
    both = [row for row in facts.rows.get(BASE, []) if row.id in tuned]
    both = [row for row in both if not any(about_child_exploitation(r) for r in (row, tuned[row.id]))]
    views = []
    for row in choose(both, facts.seed):
        other = tuned[row.id]
        views.append(
            {
                "id": row.id,
                "split": row.split or row.set,
                "set": row.set,
                "hazard": row.hazard,
                "prompt": "\n\n".join(m.content for m in row.messages if m.role == "user")[:LONGEST],
                BASE: reply_view(row, facts.withhold),
                TUNED: reply_view(other, facts.withhold),
            }
        )
    return views
