"""decide, replay, emergency, safety-report."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from solon.cli.output import JsonFlag, emit, printable
from solon.errors import InputError

Constitution = Annotated[str, typer.Option("--constitution", help="A library name or a path.")]
Standing = Annotated[
    str | None, typer.Option("--constitution", help="A library name or a path; without it the one that the ledger saw last.")
]
Folder = Annotated[Path, typer.Option("--home", help="The governance folder: ledger, switch, registry.")]
Keys = Annotated[list[Path] | None, typer.Option("--key", help="A private key file; may be given several times.")]
OneKey = Annotated[Path, typer.Option("--key", help="Your private key file.")]
HOME = Path("governance")


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    app.command()(decide)
    app.command()(replay)
    app.command("safety-report")(safety_report)
    groups: dict[str, tuple[str, dict[str, Any]]] = {
        "emergency": (
            "Stop by one, resume by several; states and drills.",
            {
                "status": status,
                "stop": stop,
                "resume": resume,
                "relax": relax,
                "enable": enable,
                "adopt": adopt,
                "plan": plan,
                "drill": drill,
            },
        ),
    }
    for name, (about, verbs) in groups.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for verb, function in verbs.items():
            group.command(verb)(function)
        app.add_typer(group, name=name)


def _text(path: Path) -> bytes:
    """The bytes of a file; what they say is judged, and a refusal logged, by whoever reads them."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected a JSON file, got {error}", mend="check the path") from error


@contextmanager
def _deciding(constitution: str, ledger: Path | None, home: Path | None) -> Iterator[Any]:
    """A governor: of a governance folder, with a ledger of its own, or without memory."""
    from solon.governance.governor import Governor
    from solon.governance.home import Home, open_ledger

    if ledger is not None and home is not None:
        raise InputError("decide: expected --ledger or --home, got both", mend="the home has a ledger of its own")
    if home is not None:
        with Home(home).governor(constitution) as governor:
            yield governor
    elif ledger is not None:
        with open_ledger(ledger) as book:
            yield Governor(constitution, ledger=book)
    else:
        yield Governor(constitution)


def decide(
    action: Annotated[Path | None, typer.Argument(metavar="[ACTION.json]", help="An order, or a request in words.")] = None,
    state: Annotated[Path | None, typer.Option("--state", help="STATE.json; an order needs it.")] = None,
    constitution: Constitution = "trading",
    text: Annotated[str | None, typer.Option("--text", help="A request in words, instead of ACTION.json.")] = None,
    ledger: Annotated[Path | None, typer.Option("--ledger", help="Log the decision here.")] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Use the ledger, switch, registry and reviews of this folder.")
    ] = None,
    ticket: Annotated[str, typer.Option("--ticket", help="An approved review that lifts an escalation.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Judge one action: 0 allow, 3 deny, 4 escalate, 5 halt, 6 modify; 2 malformed (and logged).

    ACTION.json is an order, judged against STATE.json, or a request in words: {"id", "agent", "kind": "text", "text", "ts"}.
    """
    from solon.policy.parsing import is_request
    from solon.policy.types import Refused

    given = _given(action, text)
    try:
        with _deciding(constitution, ledger, home) as governor:
            if is_request(given):
                verdict = governor.decide_request(given)
            elif state is None:
                raise InputError("decide: expected --state STATE.json for an order, got none", mend="name the account's state")
            else:
                verdict = governor.decide(given, _text(state), ticket=ticket)
                if governor.ledger is not None:
                    _tell_way_back(governor.ladder.rung.name, ledger)
    except Refused as error:
        file = state if error.what.startswith("state") else action
        error.what = f"{file}: {error.what}" if file is not None else error.what
        raise
    emit(verdict.as_dict()) if as_json else _print_verdict(verdict)
    sys.exit(verdict.exit_code)


def _tell_way_back(rung: str, ledger: Path | None) -> None:
    """What leaves a rung that has latched; in a ledger by itself nobody is known who could sign."""
    verb = {"reduce": "relax", "no_new": "relax", "killed": "resume"}.get(rung)
    if verb is not None:
        first = "" if ledger is None else f"solon keys register, then solon emergency adopt {ledger}, then "
        print(f"the ladder stays at {rung} until people sign: {first}solon emergency {verb}", file=sys.stderr)


def _given(action: Path | None, text: str | None) -> Any:
    """What is to be decided: the bytes of ACTION.json, or a record of the words."""
    import secrets

    from solon.ledger.storage import clock
    from solon.policy.parsing import time_text

    if (action is None) == (text is None):
        raise InputError("decide: expected ACTION.json or --text, exactly one of them", mend="solon decide --help")
    if action is not None:
        return _text(action)
    return {"id": f"text-{secrets.token_hex(4)}", "agent": "user", "kind": "text", "text": text, "ts": time_text(clock())}


def _print_verdict(verdict: Any) -> None:
    """The five sections of an assessment; else outcome, reasons and path."""
    if verdict.assessment is not None:
        if verdict.outcome != verdict.assessment.outcome:  # people, or the log, decided otherwise
            print(f"{verdict.outcome.upper()}: {printable(verdict.path[-1])}\n")
        print(verdict.assessment.text())
        size = verdict.largest_allowed
        if size is not None:
            print(f"\nLargest order of this kind that passes: {size.qty} (position of {size.size_pct} % of equity).")
    else:
        print(verdict.outcome.upper() if verdict.response is None else f"{verdict.outcome.upper()}: {verdict.response}")
        for reason in verdict.reasons:
            print(f"  {printable(reason.text)}")
    print(f"Path: {printable('; '.join(verdict.path))}")
    if verdict.ledger_index is not None:
        print(f"Logged as entry {verdict.ledger_index}.")


def replay(
    states: Annotated[Path, typer.Argument(metavar="STATES.csv")],
    votes: Annotated[Path | None, typer.Argument(metavar="[VOTES.csv]")] = None,
    constitution: Constitution = "trading",
    out: Annotated[Path, typer.Option("--out", help="A new folder.")] = Path("replay"),
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Do not write a signed ledger.")] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Do not draw ladder.png.")] = False,
    confirmations: Annotated[
        int | None, typer.Option("--confirmations", min=1, help="Marks in a row that confirm a kill.")
    ] = None,
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
    from solon.governance.home import Home

    place = Home(home)
    state = place.switch().state()
    rung = "killed" if state.stopped else place.ladder().rung.name
    return {
        "status": state.status, "stopped": state.stopped, "stop": state.stop, "reasons": list(state.reasons),
        "waiting": list(state.waiting), "since": state.since, "ladder": rung,
        "handed_in": place.acts.waiting,
    }  # fmt: skip


def _tell(record: dict[str, Any], as_json: bool) -> None:
    if as_json:
        emit(record)
        return
    print(f"{record['status']} (ladder {record['ladder']})")
    for reason in record["reasons"]:
        print(f"  stopped by {printable(reason[:200])}")
    if record["status"] == "UNCONFIRMED" and not record["waiting"]:
        print("  no guarded process holds a lease here, so none has confirmed: see that nothing acts without asking")
    if record["waiting"]:
        print(f"  not yet confirmed: {', '.join(record['waiting'])}")
    if record["handed_in"]:
        print(f"  handed in and not yet taken up: {record['handed_in']} signed")
    if record["stop"]:
        print(f"  to resume, sign for {record['stop']}")


def status(home: Folder = HOME, as_json: JsonFlag = False) -> None:
    """Whether anything is stopped, whether that is confirmed, and where the ladder stands."""
    if not home.exists():
        raise InputError(f"{home}: expected a governance folder, got none", mend="decide with --home makes one")
    _tell(_state_record(home), as_json)


def stop(
    key: OneKey,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown to whoever looks, and logged.")],
    constitution: Standing = None,
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Stop everything. One signature is enough; no constitution is looked at, and no other process is waited for."""
    from solon.governance.home import Home
    from solon.governance.killswitch import sign_stop
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock

    place, private = Home(home), read_private(key)
    if not place.stop(sign_stop(place.registry().network, reason, private, clock())):
        print("the stop stands; the process that writes the ledger, or the next one to do so, logs it", file=sys.stderr)
    _tell(_state_record(home), as_json)


def _drawdown(state: Path) -> tuple[int, int]:
    from solon.policy.book import Book
    from solon.policy.parsing import load_state

    parts = Book(load_state(_text(state))).drawdown_parts()
    if parts is None:
        raise InputError(f"{state}: expected nav_unit and high_water_mark, got none", mend="resuming needs a measured drawdown")
    return parts


def _same_rebase(signed: Path, envelope: Any, rebase: bool) -> None:
    """Nobody signs a new high-water mark without asking for it."""
    record = envelope.record
    if isinstance(record, dict) and record.get("rebase") is not rebase:
        theirs = "with --rebase" if record.get("rebase") else "without --rebase"
        raise InputError(
            f"{signed}: expected a resume {theirs}, as the first signer signed it, got one {'with' if rebase else 'without'} it",
            mend=f"sign it {theirs}, or begin another file",
        )


def resume(
    state: Annotated[Path, typer.Option("--state", help="STATE.json: the account as measured now.")],
    key: Keys = None,
    signed: Annotated[
        Path | None, typer.Option("--signed", help="Where signatures gather, when signers are not at one desk.")
    ] = None,
    rebase: Annotated[bool, typer.Option("--rebase", help="Also accept the present level as the new high-water mark.")] = False,
    constitution: Standing = None,
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Resume by several distinct keys, for exactly the stops that stand. Exit 1 while it waits for a signature or a process."""
    from solon.governance.home import Home, read_json, write_json
    from solon.governance.killswitch import ResumeRefused, sign_resume
    from solon.ledger.dsse import read
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock

    place, keys, drawdown = Home(home), [read_private(path) for path in key or []], _drawdown(state)
    registry = place.registry()
    if signed is not None and signed.exists():
        envelope = read(read_json(signed, "a signed resume"), "resume")
        _same_rebase(signed, envelope, rebase)
        for private in keys:
            envelope = envelope.signed_by(private)
    else:
        envelope = sign_resume(registry.network, place.switch().state().stop, keys, clock(), rebase=rebase)
    try:
        events = _carry_out(place, constitution, envelope, lambda governor: governor.resume(envelope, drawdown), as_json)
    except ResumeRefused as error:
        if error.code != "too_few" or signed is None:
            raise
        write_json(signed, envelope.as_dict())
        print(f"{error.what}; kept in {signed}", file=sys.stderr)
        sys.exit(1)
    _tell_moved(place, events, as_json)


def _carry_out(place: Any, constitution: str | None, envelope: Any, act: Callable[[Any], Any], as_json: bool) -> Any:
    """Do what was signed; or leave it for the process that writes the ledger, say how things stand, and leave with exit 1."""
    from solon.errors import EnvironmentRefused

    try:
        with place.governor(constitution, wait=0.5) as governor:
            return act(governor)
    except EnvironmentRefused as error:
        if error.code != "in_use":
            raise
        place.hand_in(envelope, constitution)
        print("handed in: another process writes the ledger, and takes it up with its next decision", file=sys.stderr)
        _tell(_state_record(place.folder), as_json)
        sys.exit(1)


def _tell_moved(place: Any, events: Iterable[Any], as_json: bool) -> NoReturn:
    """What the ladder did, and how things stand; exit 1 where it stays."""
    for event in events:
        print(event.text, file=sys.stderr)
    _tell(_state_record(place.folder), as_json)
    sys.exit(1 if any(event.kind == "refused" for event in events) else 0)


def relax(
    state: Annotated[Path, typer.Option("--state", help="STATE.json: the account as measured now.")],
    key: OneKey,
    constitution: Standing = None,
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Leave reduce or no_new, by one risk manager, after the cool-down. Exit 1 where the ladder refuses."""
    from solon.governance.home import Home
    from solon.ledger.dsse import seal
    from solon.ledger.keys import read_private

    place, private, drawdown = Home(home), read_private(key), _drawdown(state)
    stands = place.ladder()
    record = {"network": place.registry().network, "rung": stands.rung.name, "since": stands.since}
    envelope = seal("relax", record, [private])
    events = _carry_out(place, constitution, envelope, lambda governor: governor.relax(envelope, drawdown), as_json)
    _tell_moved(place, events, as_json)


def enable(
    agent: str,
    symbol: str,
    key: OneKey,
    constitution: Standing = None,
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Re-enable an agent that the throttle on repeated executions disabled in an instrument, by one risk manager."""
    from solon.governance.home import Home
    from solon.ledger.dsse import seal
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock

    place, private = Home(home), read_private(key)
    record = {"network": place.registry().network, "agent": agent, "symbol": symbol, "issued_at": clock()}
    envelope = seal("re-enable", record, [private])
    _carry_out(place, constitution, envelope, lambda governor: governor.re_enable(envelope), as_json)
    emit({"agent": agent, "symbol": symbol, "enabled": True}) if as_json else print(f"{agent} may trade {symbol} again")


def adopt(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The file given with --ledger; it is moved.")],
    home: Folder = HOME,
    as_json: JsonFlag = False,
) -> None:
    """Take a ledger that stood alone into a governance folder with a registry, where people may relax, resume and approve."""
    from solon.governance.home import Home

    place = Home(home)
    rung = place.adopt(ledger)
    print(f"{ledger} is {place.ledger_path} now; decide with --home {home}", file=sys.stderr)
    if rung.name in ("reduce", "no_new"):
        print(f"the ladder stands at {rung.name}: solon emergency relax leaves it", file=sys.stderr)
    _tell(_state_record(home), as_json)


def plan(
    state: Annotated[Path, typer.Option("--state", help="STATE.json: the account as measured now.")],
    constitution: Constitution = "trading",
    target: Annotated[str, typer.Option("--target", help="Gross leverage to come down to.")] = "1",
    agent: Annotated[str, typer.Option("--agent", help="Whose orders these are; else the first of the state's agents.")] = "",
    flatten: Annotated[bool, typer.Option("--flatten", help="Close everything; a person approves each order.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """The three-phase plan of an emergency (0-5, 5-30, 30+ minutes) for an account; every order in it passes the limits."""
    from fractions import Fraction

    from solon.constitution import load
    from solon.policy.assess import Judge
    from solon.policy.book import Book
    from solon.policy.emergency import emergency_plan, unprotected
    from solon.policy.parsing import decimal, load_state

    wanted = Fraction(decimal(target, "--target"))
    if wanted < 0:
        raise InputError(f"--target: expected 0 or more, got {target}", mend="write the gross leverage, such as 1")
    account, judge = load_state(_text(state)), Judge.of(load(constitution))
    book, owner = Book(account), agent or next(iter(account.agents), "emergency")
    found = emergency_plan(book, judge, target=wanted, flatten=flatten, agent=owner)
    bare = unprotected(book, judge.rules.stop_deadline) if judge.rules.flag("stop_loss_required") else ()
    if as_json:
        emit({**found.as_dict(), "unprotected": list(bare)})
        return
    print(found.text())
    for symbol in bare:
        print(f"Open: {symbol}: the venue has acknowledged no stop for all of it; place one, or reduce it.")


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
