"""What the log says of a decision, as canonical JSON text written at once.

The same bytes as `canonical` makes of the records (a test compares them), at a quarter of the time: the keys are known, so
nothing is sorted or looked through. What is not of the usual types takes the strict way, which refuses what has no such form.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from solon.governance.deciding import plain
from solon.ledger.canonical import Written, quote, written
from solon.policy.parsing import action_record, time_text
from solon.policy.types import Action, Reason, Verdict

NO_NAMES = "[]"


def names_text(names: list[str]) -> str:
    """A list of names."""
    return f"[{','.join(map(quote, names))}]" if names else NO_NAMES


def action_text(action: Action) -> str:
    """`action_record` of an action. Raises NotCanonical."""
    a = action
    if not (
        type(a.id) is type(a.agent) is type(a.kind) is type(a.symbol) is type(a.side) is str
        and type(a.qty) is Decimal
        and type(a.ts) is int
        and a.acknowledged is None
        and (a.limit_price is None or type(a.limit_price) is Decimal)
        and (a.stop_price is None or type(a.stop_price) is Decimal)
    ):
        return written(action_record(a))
    limit = "" if a.limit_price is None else f'"limit_price":"{a.limit_price:f}",'
    stop = "" if a.stop_price is None else f'"stop_price":"{a.stop_price:f}",'
    return (
        f'{{"agent":{quote(a.agent)},"id":{quote(a.id)},"kind":{quote(a.kind)},{limit}"qty":"{a.qty:f}",'
        f'"side":{quote(a.side)},{stop}"symbol":{quote(a.symbol)},"ts":"{time_text(a.ts)}"}}'
    )


def _reason_text(reason: Reason) -> str:
    code, limit, measured, bound, unit, status, text, _ = reason
    begin, end = _around(code, limit, bound, unit)
    shown = "null" if measured is None else quote(measured)
    return f'{begin}{shown},"status":"{status}","text":{quote(text)}{end}'


@lru_cache(maxsize=1024)
def _around(code: str, limit: str, bound: str, unit: str) -> tuple[str, str]:
    """What every reason of a limit shares: the text before what was measured and after the reason in words."""
    begin = f'{{"bound":{quote(bound)},"code":{quote(code)},"limit":{quote(limit)},"measured":'
    return begin, f',"unit":{quote(unit)}}}'


def verdict_text(verdict: Verdict) -> str:
    """`plain` of a verdict. Raises NotCanonical."""
    if verdict.response is not None:
        return written(plain(verdict))
    size = verdict.largest_allowed
    largest = "null" if size is None else f'{{"qty":{quote(size.qty)},"size_pct":{quote(size.size_pct)}}}'
    reasons = ",".join([_reason_text(reason) for reason in verdict.failing])
    return (
        f'{{"ladder":"{verdict.ladder.name}","largest_allowed":{largest},"outcome":"{verdict.outcome}",'
        f'"path":{names_text([*verdict.path])},"reasons":[{reasons}]}}'
    )


def decision_text(
    action: Action,
    verdict: Verdict,
    *,
    at: int,
    ladder: str,
    name: str,
    state: str,
    constitution: str,
    fresh: bool,
    approved: bool,
    pending: list[str],
    noted: list[str],
    ticket: str,
) -> Written:
    """The body of a `decision` entry. Raises NotCanonical."""
    used = f'"ticket":{quote(ticket)},' if ticket else ""
    return Written(
        f'{{"action":{action_text(action)},"approved":{"true" if approved else "false"},"at":"{time_text(at)}",'
        f'"constitution":"{constitution}","fresh":{"true" if fresh else "false"},"ladder":"{ladder}","name":"{name}",'
        f'"noted":{names_text(noted)},"pending":{names_text(pending)},"state":"{state}",{used}"verdict":{verdict_text(verdict)}}}'
    )


def state_text(digest: str, state: Written) -> Written:
    """The body of a `state` entry, from the canonical text of a state and its SHA-256 (hex)."""
    return Written(f'{{"digest":"{digest}","state":{state}}}')
