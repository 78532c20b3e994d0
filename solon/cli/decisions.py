"""decide, replay, emergency, review, ledger, safety-report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, emit
from solon.errors import InputError

Constitution = Annotated[str, typer.Option("--constitution", help="A library name or a path.")]
Folder = Annotated[Path, typer.Option("--home", help="The governance folder: ledger, switch, registry.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="A private key file; may be given several times.")]
OneKey = Annotated[Path, typer.Option("--key", help="Your private key file.")]
LedgerFile = Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger's database file.")]
Public = Annotated[
    Path | None, typer.Option("--public", help="The ledger's .pub file, best one kept elsewhere; default LEDGER.pub.")
]
HOME = Path("governance")


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(decide)
    app.command()(replay)
    app.command("safety-report")(safety_report)
    groups: dict[str, tuple[str, dict[str, Any]]] = {
        "emergency": (
            "Stop by one, resume by several; states and drills.",
            {"status": status, "stop": stop, "resume": resume, "relax": relax, "drill": drill},
        ),
        "review": (
            "What waits for a person.",
            {"list": review_list, "show": review_show, "approve": review_approve, "deny": review_deny},
        ),
        "ledger": (
            "Verify, show, prove, export and decide again what was logged.",
            {
                "verify": ledger_verify,
                "show": ledger_show,
                "prove": ledger_prove,
                "export": ledger_export,
                "replay": ledger_replay,
            },
        ),
    }
    for name, (about, verbs) in groups.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for verb, function in verbs.items():
            group.command(verb)(function)
        app.add_typer(group, name=name)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a JSON file, got {error}", mend="check the path") from error


def decide(
    action: Annotated[Path, typer.Argument(metavar="ACTION.json")],
    state: Annotated[Path, typer.Option("--state", help="STATE.json")],
    constitution: Constitution,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Log the decision here.")] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Use the ledger, switch, registry and reviews of this folder.")
    ] = None,
    ticket: Annotated[str, typer.Option("--ticket", help="An approved review that lifts an escalation.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Judge one action: 0 allow, 3 deny, 4 escalate, 5 halt, 6 modify; 2 malformed (and logged)."""
    from solon.governance.governor import Governor
    from solon.governance.home import Home, open_ledger

    if ledger is not None and home is not None:
        raise InputError("decide: expected --ledger or --home, got both", mend="the home has a ledger of its own")
    texts = _text(action), _text(state)
    if home is not None:
        with Home(home).governor(constitution) as governor:
            verdict = governor.decide(*texts, ticket=ticket)
    elif ledger is not None:
        with open_ledger(ledger) as book:
            verdict = Governor(constitution, ledger=book).decide(*texts)
    else:
        verdict = Governor(constitution).decide(*texts)
    if as_json:
        emit(verdict.as_dict())
    else:
        print(verdict.outcome.upper())
        for reason in verdict.reasons:
            if reason.status != "ok":
                print(f"  {reason.text}")
        if verdict.largest_allowed is not None:
            print(f"  largest allowed: {verdict.largest_allowed.qty} ({verdict.largest_allowed.size_pct} % of equity)")
        print(f"  {'; '.join(verdict.path)}")
    sys.exit(verdict.exit_code)


def replay(
    states: Annotated[Path, typer.Argument(metavar="STATES.csv")],
    votes: Annotated[Path | None, typer.Argument(metavar="[VOTES.csv]")] = None,
    constitution: Constitution = "trading",
    out: Annotated[Path, typer.Option("--out", help="A new folder.")] = Path("replay"),
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Do not write a signed ledger.")] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots")] = False,
    confirmations: Annotated[int | None, typer.Option("--confirmations", help="Marks in a row that confirm a kill.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Verdict, ladder, votes, vetoes and escalations for every row of states."""
    from solon.governance.replay import replay as run

    summary = run(
        states, constitution, out=out, votes=votes, ledger=not no_ledger, confirmations=confirmations, plots=not no_plots
    )
    if as_json:
        emit(vars(summary))
        return
    print(f"{summary.rows} rows: {', '.join(f'{name} {count}' for name, count in summary.verdicts.items())}")
    for rung, at in summary.rungs.items():
        print(f"  {rung:<8} first at {at}")
    print(f"  worst drawdown {summary.worst_drawdown_pct} %; {summary.escalations} rows call a person; {summary.vetoes} vetoes")
    for note in summary.notes:
        print(f"  note: {note}")
    print(f"written to {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def safety_report(
    constitution: Constitution = "trading",
    run: Annotated[
        Path | None, typer.Option("--run", help="The run folder whose model is tested; without it six tests are NOT RUN.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """The nine tests, run now: 0 all passed, 1 not."""
    from solon.run.safety import safety_report as nine

    report = nine(constitution, run=run)
    emit(report.as_dict()) if as_json else print(report.text())
    sys.exit(0 if report.passed else 1)


# --- emergency --------------------------------------------------------------------------------------------------------------


def _state_record(home: Path) -> dict[str, Any]:
    from solon.governance.home import Home, read_ledger

    place = Home(home)
    state = place.switch().state()
    rung = "normal"
    if place.ledger_path.exists():
        ledger = read_ledger(place.ledger_path)
        saved = ledger.of_kind("ladder", newest=1)
        rung = saved[0].record["body"]["state"]["rung"] if saved else rung
        ledger.close()
    return {
        "status": state.status, "stopped": state.stopped, "stop": state.stop, "reasons": list(state.reasons),
        "waiting": list(state.waiting), "since": state.since, "ladder": rung,
    }  # fmt: skip


def _tell(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(record)
        return
    print(f"{record['status']} (ladder {record['ladder']})")
    for reason in record["reasons"]:
        print(f"  stopped by {reason}")
    if record["waiting"]:
        print(f"  not yet confirmed: {', '.join(record['waiting'])}")
    if record["stop"]:
        print(f"  to resume, sign for {record['stop']}")


def status(home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Whether anything is stopped, whether that is confirmed, and where the ladder stands."""
    if not home.exists():
        raise InputError(f"{home}: expected a governance folder, got none", mend="decide with --home makes one")
    _tell(_state_record(home), as_json)


def stop(
    key: OneKey,
    reason: Annotated[str, typer.Option("--reason")],
    constitution: Constitution = "trading",
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Stop everything. One signature is enough."""
    from solon.governance.home import Home
    from solon.governance.killswitch import sign_stop
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock

    private = read_private(key)
    with Home(home).governor(constitution) as governor:
        if governor.registry is None:
            raise InputError(f"{home}: expected a registry, got none", mend="solon keys register")
        governor.stop(sign_stop(governor.registry.network, reason, private, clock()))
    _tell(_state_record(home), as_json)


def _drawdown(state: Path) -> tuple[int, int]:
    from solon.policy.book import Book
    from solon.policy.parsing import load_state

    parts = Book(load_state(_text(state))).drawdown_parts()
    if parts is None:
        raise InputError(f"{state}: expected nav_unit and high_water_mark, got none", mend="resuming needs a measured drawdown")
    return parts


def resume(
    state: Annotated[Path, typer.Option("--state", help="STATE.json: the account as measured now.")],
    key: Keys = None,
    signed: Annotated[
        Path | None, typer.Option("--signed", help="Where signatures gather, when signers are not at one desk.")
    ] = None,
    rebase: Annotated[bool, typer.Option("--rebase", help="Also accept the present level as the new high-water mark.")] = False,
    constitution: Constitution = "trading",
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Resume by several distinct keys, for exactly the stops that stand."""
    from solon.governance.home import Home, read_json, write_json
    from solon.governance.killswitch import ResumeRefused, sign_resume
    from solon.ledger.dsse import read
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock

    keys = [read_private(path) for path in key or []]
    with Home(home).governor(constitution) as governor:
        registry, switch = governor.registry, governor.switch
        if registry is None or switch is None:
            raise InputError(f"{home}: expected a registry, got none", mend="solon keys register")
        if signed is not None and signed.exists():
            envelope = read(read_json(signed, "a signed resume"), "resume")
            for private in keys:
                envelope = envelope.signed_by(private)
        else:
            envelope = sign_resume(registry.network, switch.state().stop, keys, clock(), rebase=rebase)
        try:
            events = governor.resume(envelope, _drawdown(state))
        except ResumeRefused as error:
            if error.code != "too_few" or signed is None:
                raise
            write_json(signed, envelope.as_dict())
            print(f"{error.what}; kept in {signed}", file=sys.stderr)
            sys.exit(1)
    for event in events:
        print(event.text, file=sys.stderr)
    _tell(_state_record(home), as_json)


def relax(
    state: Annotated[Path, typer.Option("--state", help="STATE.json: the account as measured now.")],
    key: OneKey,
    constitution: Constitution = "trading",
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Leave reduce or no_new, by one risk manager, after the cool-down. Exit 1 where the ladder refuses."""
    from solon.governance.home import Home
    from solon.ledger.dsse import seal
    from solon.ledger.keys import read_private

    private = read_private(key)
    with Home(home).governor(constitution) as governor:
        network = governor.registry.network if governor.registry is not None else ""
        record = {"network": network, "rung": governor.ladder.rung.name, "since": governor.ladder.since}
        events = governor.relax(seal("relax", record, [private]), _drawdown(state))
    for event in events:
        print(event.text, file=sys.stderr)
    _tell(_state_record(home), as_json)
    sys.exit(1 if any(event.kind == "refused" for event in events) else 0)


def drill(constitution: Constitution = "trading", as_json: JsonFlag = False) -> None:
    """Stop and resume real processes in a folder of their own, and walk the ladder; nothing of yours is touched."""
    from solon.constitution import load
    from solon.governance.drills import emergency_drill

    check = emergency_drill(load(constitution))
    if as_json:
        emit(check.as_dict())
    else:
        print(f"{check.name}: {check.status} ({check.seconds} s)")
        for line in check.evidence:
            print(f"  {line}")
    sys.exit(0 if check.status == "PASS" else 1)


# --- review -----------------------------------------------------------------------------------------------------------------


def _printable(text: str) -> str:
    """Text shown to a reviewer without control, bidirectional or invisible characters."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _ticket(ticket: Any, now: int) -> dict[str, Any]:
    return {
        "id": ticket.id, "outcome": ticket.outcome(now), "severity": ticket.severity.name,
        "exposure": format(ticket.exposure, "f"), "agent": ticket.agent,
        "reason": ticket.reason, "action": ticket.action, "action_digest": ticket.bound,
        "approvals": len(ticket.approvals), "needed": ticket.needed, "seconds_left": max(0, (ticket.deadline - now) // 1_000_000),
    }  # fmt: skip


def _print_ticket(record: dict[str, Any]) -> None:
    head = f"{record['id']}  {record['outcome']:<8} {record['severity']:<8} {record['seconds_left']:>5} s left"
    print(_printable(f"{head}  {record['agent']}: {record['reason']}"))


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
    print(f"{len(records)} wait; so far {times['counts']}, median time to decide {times['median_s']} s")


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
        print(_printable(f"  {name}: {value}"))
    print(f"  digest of this action: {record['action_digest']}")


def _answer(ticket: str, home: Path, key: Path, answer: Any, as_json: bool) -> None:
    from solon.governance.home import Home
    from solon.governance.review import sign_answer
    from solon.ledger.keys import read_private

    private = read_private(key)
    with Home(home).reviews() as queue:
        found = queue.ticket(ticket)
        queue.answer(sign_answer(queue.registry.network, found, answer, [private], queue.now()))
        record = _ticket(found, queue.now())
    emit(record) if as_json else _print_ticket(record)


def review_approve(ticket: str, key: OneKey, home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Approve one action, by signature."""
    _answer(ticket, home, key, "approve", as_json)


def review_deny(ticket: str, key: OneKey, home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Deny one action, by signature."""
    _answer(ticket, home, key, "deny", as_json)


# --- ledger -----------------------------------------------------------------------------------------------------------------


def ledger_verify(
    ledger: LedgerFile,
    public: Public = None,
    tip: Annotated[Path | None, typer.Option("--tip", help="A signed tip that you kept from earlier.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hash every entry again, compare with the signed tip and with an older one. 0 holds, 1 does not."""
    from solon.governance.home import read_ledger
    from solon.ledger.proofs import verify

    book = read_ledger(ledger, public)
    report = verify(book, older=_text(tip) if tip is not None else None)
    book.close()
    if as_json:
        emit(report.as_dict())
        return
    print(f"holds: {report.size} entries, root {report.root}")
    for kind, count in report.kinds.items():
        print(f"  {kind}: {count}")
    if report.agrees_with is not None:
        print(f"  continues the older tip of {report.agrees_with} entries")
    elif public is None:
        print("  checked with the key beside the ledger; a key and a tip kept elsewhere show more")


def ledger_show(
    ledger: LedgerFile,
    index: Annotated[int | None, typer.Argument(help="One entry; without it the newest are listed.")] = None,
    last: Annotated[int, typer.Option("--last", help="How many of the newest.")] = 20,
    kind: Annotated[str, typer.Option("--kind", help="Entries of one kind only.")] = "",
    public: Public = None,
    as_json: JsonFlag = False,
) -> None:
    """Entries of a ledger."""
    from solon.governance.home import read_ledger

    book = read_ledger(ledger, public)
    if index is not None:
        entries = [book.entry(index)]
    elif kind:
        entries = book.of_kind(kind, newest=last)
    else:
        entries = list(book.entries(max(0, book.size - last)))
    records = [{"index": entry.index, **entry.record} for entry in entries]
    book.close()
    if as_json:
        emit({"entries": records})
        return
    for record in records:
        body = record["body"]
        verdict = body.get("verdict", {}).get("outcome", "") if isinstance(body, dict) else ""
        print(_printable(f"{record['index']:>8}  {record['at']}  {record['kind']:<14} {verdict}"))
    if index is not None:
        emit(records[0]["body"])


def ledger_prove(
    ledger: LedgerFile,
    index: int,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the proof here; else to stdout.")] = None,
    public: Public = None,
) -> None:
    """A proof that one entry is in the ledger, checkable with the public key alone."""
    from solon.governance.home import read_ledger, write_json
    from solon.ledger.proofs import prove

    book = read_ledger(ledger, public)
    proof = prove(book, index)
    book.close()
    emit(proof) if out is None else write_json(out, proof)


def ledger_export(ledger: LedgerFile, out: Annotated[Path, typer.Option("-o", "--out")], public: Public = None) -> None:
    """Write entries, tip and key into a folder, with the verifier that needs nothing but PyNaCl."""
    import shutil

    from solon.governance.home import read_ledger
    from solon.ledger import verify_standalone
    from solon.ledger.proofs import export

    book = read_ledger(ledger, public)
    folder = export(book, out)
    book.close()
    shutil.copy(str(verify_standalone.__file__), folder / "verify_standalone.py")
    print(f"{folder}: check it with: python {folder}/verify_standalone.py {folder} {folder}/key.pub")


def ledger_replay(
    ledger: LedgerFile,
    constitution: Annotated[
        str | None, typer.Option("--constitution", help="Decide under this one and list what changes.")
    ] = None,
    public: Public = None,
    as_json: JsonFlag = False,
) -> None:
    """Decide every logged decision again: 0 all the same; 1 something differs (with --constitution: 0, and the list)."""
    from solon.constitution import load
    from solon.governance.home import read_ledger
    from solon.governance.rerun import rerun

    book = read_ledger(ledger, public)
    report = rerun(book, None if constitution is None else load(constitution))
    book.close()
    if as_json:
        emit(report.as_dict())
    else:
        print(f"{report.decisions} decisions, {report.same} the same, {len(report.changed)} different")
        for item in report.changed:
            print(_printable(f"  {item.index}: {item.action}: {item.then} -> {item.now} {', '.join(item.reasons_now)}"))
    sys.exit(1 if report.changed and constitution is None else 0)
