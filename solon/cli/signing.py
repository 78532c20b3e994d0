"""keys, vote, certificate."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, emit
from solon.errors import InputError

RegistryFile = Annotated[Path, typer.Option("--registry", help="The registry's chain file.")]
Signers = Annotated[list[Path] | None, typer.Option("--sign", help="A private key that signs the change; may be repeated.")]
Pending = Annotated[Path | None, typer.Option("--pending", help="Where signatures gather while they are too few.")]
Slot = Annotated[str, typer.Option("--slot", help="The name of the vote; one vote a key and slot.")]
Proposal = Annotated[Path, typer.Option("--proposal", help="The proposal, a JSON file without floats.")]
Constitution = Annotated[str, typer.Option("--constitution", help="A library name or a path.")]
LedgerFile = Annotated[Path | None, typer.Option("--ledger", help="Log the result, or the refusal, here.")]
VoteFiles = Annotated[list[Path], typer.Argument(metavar="VOTE.json...")]
REGISTRY = Path("governance/registry.json")


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    groups: dict[str, tuple[str, dict[str, Any]]] = {
        "keys": (
            "Make keys; say who may vote, stop, resume and approve.",
            {
                "generate": generate,
                "register": register_members,
                "rotate": rotate,
                "suspend": suspend,
                "show": show,
                "enact": enact,
            },
        ),
        "vote": ("Sign votes and count them.", {"sign": sign, "tally": tally_votes}),
        "certificate": ("Quorum certificates that verify offline.", {"make": make, "verify": verify}),
    }
    for name, (about, verbs) in groups.items():
        group = typer.Typer(help=about, no_args_is_help=True)
        for verb, function in verbs.items():
            group.command(verb)(function)
        app.add_typer(group, name=name)


def generate(
    name: str,
    folder: Annotated[Path, typer.Option("--dir", help="Where NAME.key and NAME.pub go.")] = Path("keys"),
    as_json: JsonFlag = False,
) -> None:
    """Make an Ed25519 key pair: NAME.key (yours alone) and NAME.pub."""
    from solon.ledger.keys import PrivateKey, write_pair

    key = PrivateKey.generate(name)
    private, public = write_pair(key, folder)
    if as_json:
        emit({"private": str(private), "public": str(public), "key": key.id, "text": key.public.text})
    else:
        print(f"{private} (keep it to yourself)\n{public}: {key.public.text}")


def _member(text: str) -> Any:
    """ID=FILE.pub:ROLE[:WEIGHT]. A role that is nearly one with more powers is refused as a slip."""
    from difflib import get_close_matches

    from solon.governance.registry import ROLE_POWERS, Member
    from solon.ledger.keys import read_public

    name, mark, rest = text.partition("=")
    parts = rest.rsplit(":", 2) if rest.count(":") > 1 else rest.rsplit(":", 1)
    if not mark or len(parts) < 2:
        raise InputError(f"--member: expected ID=FILE.pub:ROLE[:WEIGHT], got {text!r}", mend="for example ann=keys/ann.pub:agent")
    slip = get_close_matches(parts[1], ROLE_POWERS, n=1, cutoff=0.8)
    if slip and parts[1] not in ROLE_POWERS:
        raise InputError(f"--member {name}: expected a role, got {parts[1]!r}", mend=f"did you mean {slip[0]!r}?")
    return Member(name, parts[1], read_public(parts[0]).id, parts[2] if len(parts) > 2 else "")


def _thresholds(texts: list[str] | None) -> dict[str, int]:
    found = {}
    for text in texts or []:
        name, mark, number = text.partition("=")
        if not mark or not number.isdecimal():
            raise InputError(f"--threshold: expected NAME=NUMBER, got {text!r}", mend="for example --threshold resume=2")
        found[name] = int(number)
    return found


def _old(registry: Path) -> Any:
    from solon.governance.home import read_registry

    return read_registry(registry) if registry.exists() else None


def _extend(registry: Path, changed: Any, sign: list[Path] | None, pending: Path | None, as_json: bool) -> None:
    from contextlib import nullcontext

    from solon.governance.home import Home, extend_registry
    from solon.ledger.keys import read_private

    keys, home = [read_private(path) for path in sign or []], Home(registry.parent)
    with home.registering() if registry == home.registry_path else nullcontext():
        new, missing = extend_registry(registry, changed, keys, pending=pending)
    if new is None:
        emit({"pending": str(pending), "missing": missing}) if as_json else print(f"{missing}; kept in {pending}")
        sys.exit(1)
    _print(new, as_json)


def _print(registry: Any, as_json: bool) -> None:
    if as_json:
        emit({**registry.record, "digest": registry.digest, "f": registry.quorum.f, "q": registry.quorum.q})
        return
    print(f"{registry.network}, epoch {registry.epoch}, digest {registry.digest}")
    print(f"  {registry.quorum.claim}; consensus {registry.consensus}")
    for member in registry.members:
        state = " SUSPENDED" if member.suspended else ""
        weight = f" weight {member.weight}" if member.weight else ""
        print(f"  {member.id:<14} {member.role:<14} {member.key[:16]}… {', '.join(member.powers)}{weight}{state}")
    needs = ", ".join(f"{what} {registry.needed(what)}" for what in ("change", "resume", "approve"))
    print(f"  signatures needed: {needs}; stop 1")


def register_members(
    member: Annotated[list[str], typer.Option("--member", help="ID=FILE.pub:ROLE[:WEIGHT]; may be repeated.")],
    network: Annotated[str, typer.Option("--network", help="A name for the first record.")] = "solon",
    threshold: Annotated[list[str] | None, typer.Option("--threshold", help="change=K, resume=K, approve=K.")] = None,
    consensus: Annotated[str, typer.Option("--consensus", help='An exact fraction, "2/3".')] = "",
    registry: RegistryFile = REGISTRY,
    sign: Signers = None,
    pending: Pending = None,
    as_json: JsonFlag = False,
) -> None:
    """Begin a registry, or add members to it. Old and new members must sign in sufficient number.

    Roles: operator (a person: stop, resume, approve, change), risk_manager (vote, veto, stop, relax, approve), any other (vote,
    stop).
    """
    from solon.governance.home import with_members

    old = _old(registry)
    changes: dict[str, Any] = {"consensus": consensus} if consensus else {}
    if threshold:
        changes["thresholds"] = {**(old.thresholds if old else {}), **_thresholds(threshold)}
    changed = with_members(old, network, [_member(text) for text in member], **changes)
    _extend(registry, changed, sign, pending, as_json)


def rotate(
    member: str,
    public: Annotated[Path, typer.Argument(metavar="NEW.pub")],
    registry: RegistryFile = REGISTRY,
    sign: Signers = None,
    pending: Pending = None,
    as_json: JsonFlag = False,
) -> None:
    """Give a member another key, in a new epoch."""
    from solon.governance.home import read_registry, rotated
    from solon.ledger.keys import read_public

    _extend(registry, rotated(read_registry(registry), member, read_public(public)), sign, pending, as_json)


def suspend(
    member: str,
    lift: Annotated[bool, typer.Option("--lift", help="Lift the suspension instead.")] = False,
    registry: RegistryFile = REGISTRY,
    sign: Signers = None,
    pending: Pending = None,
    as_json: JsonFlag = False,
) -> None:
    """Suspend a member, in a new epoch."""
    from solon.governance.home import read_registry, suspended

    _extend(registry, suspended(read_registry(registry), member, not lift), sign, pending, as_json)


def show(registry: RegistryFile = REGISTRY, as_json: JsonFlag = False) -> None:
    """The newest registry: members, powers, thresholds, and how many faulty voters it tolerates."""
    from solon.governance.home import read_registry

    _print(read_registry(registry), as_json)


def enact(
    constitution: Annotated[str, typer.Argument(metavar="CONSTITUTION", help="The new one; its version must be higher.")],
    home: Annotated[Path, typer.Option("--home", help="The governance folder whose constitution it replaces.")] = Path(
        "governance"
    ),
    sign: Signers = None,
    pending: Pending = None,
    as_json: JsonFlag = False,
) -> None:
    """Replace the constitution of a governance folder, by as many signatures as old and new ask for: 0 done, 1 too few yet."""
    from solon.governance.home import Home
    from solon.ledger.keys import read_private

    found, missing = Home(home).enact(constitution, [read_private(path) for path in sign or []], pending=pending)
    if missing:
        emit({"pending": str(pending), "missing": missing}) if as_json else print(f"{missing}; kept in {pending}")
        sys.exit(1)
    emit({"constitution": found.id, "version": found.version, "hash": found.hash}) if as_json else print(
        f"{found.id}, version {found.version}, holds from now on: {found.hash}"
    )


# --- votes and certificates -------------------------------------------------------------------------------------------------


def _proposal(path: Path) -> tuple[dict[str, Any], str]:
    from solon.ledger.canonical import digest
    from solon.policy.parsing import strict_json

    try:
        record = strict_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a JSON file, got {error}", mend="check the path") from error
    return record, digest(record)


def _votes(paths: list[Path]) -> list[Any]:
    from solon.governance.home import read_json

    return [read_json(path, "a signed vote") for path in paths]


@contextmanager
def _logging(ledger: Path | None, **given: Any) -> Iterator[Any]:
    """The ledger, where one is named; what is refused inside is logged there."""
    from solon.governance.home import open_ledger
    from solon.governance.refusals import refusal_logged

    if ledger is None:
        yield None
        return
    with open_ledger(ledger) as book, refusal_logged(book, **given):
        yield book


def sign(
    key: Annotated[Path, typer.Option("--key", help="Your private key file.")],
    slot: Slot,
    proposal: Proposal,
    decision: Annotated[str, typer.Option("--decision", help="yes, no, abstain or veto.")],
    memory: Annotated[Path, typer.Option("--memory", help="What this key has signed; keep it, it prevents voting twice.")],
    out: Annotated[Path, typer.Option("-o", "--out")],
    constitution: Constitution = "trading",
    action: Annotated[str, typer.Option("--action", help="The action you would take, such as hold.")] = "",
    confidence: Annotated[str, typer.Option("--confidence", help="Percent, 0 to 100; reported, never counted.")] = "",
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=10_080, help="How long the vote holds.")] = 5,
    registry: RegistryFile = REGISTRY,
    as_json: JsonFlag = False,
) -> None:
    """Sign one vote. A second, different vote on the slot is refused."""
    from decimal import Decimal

    from solon.constitution import load
    from solon.governance.home import read_registry, write_json
    from solon.governance.votes import VoterMemory, check_voter
    from solon.ledger.keys import read_private
    from solon.ledger.storage import clock
    from solon.policy.parsing import decimal

    stated = decimal(confidence, "--confidence") * 100 if confidence else None
    if stated is not None and (stated != stated.to_integral_value() or not 0 <= stated <= Decimal(10_000)):
        raise InputError(f"--confidence: expected 0 to 100 with at most two places, got {confidence}", mend="correct it")
    if not slot.strip() or not slot.isprintable() or len(slot) > 200:
        raise InputError(f"--slot: expected a name of 1 to 200 printable characters, got {slot[:60]!r}", mend="name the vote")
    private, members = read_private(key), read_registry(registry)
    check_voter(members, private, decision)
    store = VoterMemory(memory)
    envelope = store.sign(
        private, members, constitution=load(constitution).hash, slot=slot,
        proposal=_proposal(proposal)[1], decision=decision, now=clock(), proposed_action=action,
        confidence_bp=None if stated is None else int(stated),
        lifetime=minutes * 60_000_000,
    )  # fmt: skip
    store.close()
    write_json(out, envelope.as_dict())
    emit({"path": str(out), "vote": envelope.as_dict()}) if as_json else print(out)


def tally_votes(
    votes: VoteFiles,
    slot: Slot,
    proposal: Proposal,
    constitution: Constitution = "trading",
    registry: RegistryFile = REGISTRY,
    ledger: LedgerFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Count signed votes, with each vote and why it counted or not: 0 allow, 3 deny, 4 escalate, 6 modify."""
    from solon.constitution import load
    from solon.governance.home import read_registry
    from solon.governance.offline import count
    from solon.policy.types import EXIT_CODES

    with _logging(ledger, votes=[str(path) for path in votes]) as book:
        record, _ = _proposal(proposal)
        result, found = count(_votes(votes), read_registry(registry), load(constitution), slot, record)
        if book is not None:
            found["ledger_index"] = book.append("votes_counted", found)
    if as_json:
        emit(found)
    else:
        print(result.explanation())
    sys.exit(EXIT_CODES[result.outcome])


def make(
    votes: VoteFiles,
    slot: Slot,
    proposal: Proposal,
    out: Annotated[Path, typer.Option("-o", "--out")],
    constitution: Constitution = "trading",
    registry: RegistryFile = REGISTRY,
    ledger: LedgerFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a quorum certificate of signed yes-votes: 0 made, 1 too few, or vetoed."""
    from solon.constitution import load
    from solon.governance.certificate import make as certify
    from solon.governance.change import consensus_needed
    from solon.governance.home import read_registry, write_json
    from solon.ledger.storage import clock

    with _logging(ledger, votes=[str(path) for path in votes]) as book:
        _, digest = _proposal(proposal)
        members, chosen = read_registry(registry), load(constitution)
        share = consensus_needed(members, chosen)
        made = certify(_votes(votes), members, chosen.hash, slot, digest, clock(), share=share)
        if book is not None:
            book.append("certificate", made)
    write_json(out, made)
    emit({"path": str(out), "certificate": made}) if as_json else print(out)


def verify(
    certificate: Annotated[Path, typer.Argument(metavar="CERTIFICATE.json")],
    proposal: Annotated[Path | None, typer.Option("--proposal", help="The proposal that it should be about.")] = None,
    constitution: Annotated[
        str, typer.Option("--constitution", help="The one it should be under, and whose share of yes-votes it must reach.")
    ] = "",
    registry: RegistryFile = REGISTRY,
    ledger: LedgerFile = None,
    as_json: JsonFlag = False,
) -> None:
    """Verify a certificate with nothing but the registry: 0 holds, 1 does not; whether its votes have expired is shown."""
    from solon.governance.home import read_json, read_registry
    from solon.ledger.storage import clock

    with _logging(ledger, certificate=str(certificate)):
        shown = _verified(read_json(certificate, "a certificate"), read_registry(registry), proposal, constitution)
    expired = clock() >= shown.expires_at
    if as_json:
        emit({**vars(shown), "voters": list(shown.voters), "holds": True, "expired": expired})
        return
    print(f"holds: slot {shown.slot}, proposal {shown.proposal}, yes of {', '.join(sorted(shown.voters))}\n  {shown.claim}")
    if expired:
        print("  its votes have expired: it shows what was agreed, and may no longer be acted on")


def _verified(certificate: Any, members: Any, proposal: Path | None, constitution: str) -> Any:
    from solon.constitution import load
    from solon.errors import CheckFailed
    from solon.governance.certificate import verify as check
    from solon.governance.change import consensus_needed

    chosen = load(constitution) if constitution else None
    shown = check(certificate, members, share=None if chosen is None else consensus_needed(members, chosen))
    if proposal is not None and _proposal(proposal)[1] != shown.proposal:
        raise CheckFailed("certificate: about another proposal", mend="give the proposal that was voted on", code="proposal")
    if chosen is not None and chosen.hash != shown.constitution:
        raise CheckFailed("certificate: under another constitution", mend="name the one it was made under", code="constitution")
    return shown
