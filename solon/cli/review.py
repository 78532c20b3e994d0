"""review: what waits for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, emit, printable

Folder = Annotated[Path, typer.Option("--home", help="The governance folder: ledger, switch, registry.")]
OneKey = Annotated[Path, typer.Option("--key", help="Your private key file.")]
HOME = Path("governance")


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    group = typer.Typer(help="What waits for a person.", no_args_is_help=True)
    for verb, function in (("list", review_list), ("show", review_show), ("approve", review_approve), ("deny", review_deny)):
        group.command(verb)(function)
    app.add_typer(group, name="review")


def _ticket(ticket: Any, now: int) -> dict[str, Any]:
    return {
        "id": ticket.id, "outcome": ticket.outcome(now), "severity": ticket.severity.name,
        "exposure": format(ticket.exposure, "f"), "agent": ticket.agent,
        "reason": ticket.reason, "action": ticket.action, "action_digest": ticket.bound,
        "approvals": len(ticket.approvals), "needed": ticket.needed, "denied_by": ticket.denied_by, "used": ticket.used,
        "seconds_left": max(0, (ticket.deadline - now) // 1_000_000),
    }  # fmt: skip


def _print_ticket(record: dict[str, Any]) -> None:
    head = f"{record['id']}  {record['outcome']:<8} {record['severity']:<8} {record['seconds_left']:>5} s left"
    print(printable(f"{head}  {record['agent']}: {record['reason']}"))


def review_list(home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """What waits, most dangerous first, and how long people took so far."""
    from solon.governance.home import Home

    with Home(home).reviews() as queue:
        records = [_ticket(ticket, queue.now()) for ticket in queue.pending()]
        times = queue.times()
    if as_json:
        emit({"pending": records, "times": times})
        return
    for record in records:
        _print_ticket(record)
    so_far = ", ".join(f"{count} {name}" for name, count in sorted(times["counts"].items())) or "none"
    took = f"; people took {times['median_s']:.0f} s to decide (median of {times['decided']})" if times["decided"] else ""
    print(f"{len(records)} wait; tickets so far: {so_far}{took}")


def review_show(ticket: str, home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """One ticket with every field of its action."""
    from solon.governance.home import Home

    with Home(home).reviews() as queue:
        record = _ticket(queue.ticket(ticket), queue.now())
    if as_json:
        emit(record)
        return
    _print_ticket(record)
    for name, value in record["action"].items():
        print(printable(f"  {name}: {value}"))
    print(f"  digest of this action: {record['action_digest']}")


def _answer(ticket: str, home: Path, key: Path, answer: Any, as_json: bool) -> None:
    from solon.governance.home import Home
    from solon.governance.review import sign_answer
    from solon.ledger.keys import read_private

    private = read_private(key)
    with Home(home).reviews() as queue:
        found = queue.ticket(ticket)
        taken = queue.hand_in(sign_answer(queue.registry.network, found, answer, [private], queue.now()))
        record = {**_ticket(found, queue.now()), "taken": taken}
    if as_json:
        emit(record)
        return
    _print_ticket(record)
    if not taken:
        print("  handed in: another process writes the ledger, and takes the answer up when it next looks")


def review_approve(ticket: str, key: OneKey, home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Approve one action, by signature."""
    _answer(ticket, home, key, "approve", as_json)


def review_deny(ticket: str, key: OneKey, home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Deny one action, by signature."""
    _answer(ticket, home, key, "deny", as_json)
