"""ledger: verify, show, prove, export and decide again what was logged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from solon.cli.output import JsonFlag, emit, printable
from solon.errors import InputError

LedgerFile = Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger's database file.")]
Public = Annotated[
    Path | None, typer.Option("--public", help="The ledger's .pub file, best one kept elsewhere; default LEDGER.pub.")
]


def register(app: typer.Typer) -> None:
    """Add these verbs to the command line."""
    group = typer.Typer(help="Verify, show, prove, export and decide again what was logged.", no_args_is_help=True)
    verbs: dict[str, Any] = {
        "verify": ledger_verify,
        "show": ledger_show,
        "prove": ledger_prove,
        "export": ledger_export,
        "replay": ledger_replay,
    }
    for verb, function in verbs.items():
        group.command(verb)(function)
    app.add_typer(group, name="ledger")


def _tip(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a signed tip, got {error}", mend="check the path") from error


def ledger_verify(
    ledger: Annotated[Path, typer.Argument(metavar="LEDGER", help="The ledger's database file, or a proof made by prove.")],
    public: Public = None,
    tip: Annotated[Path | None, typer.Option("--tip", help="A signed tip that you kept from earlier.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hash every entry again, compare with the signed tip and with an older one; or check a proof. 0 holds, 1 does not."""
    from solon.governance.home import read_ledger
    from solon.ledger.proofs import verify

    if _is_proof(ledger):
        _verify_proof(ledger, public, as_json)
        return
    book = read_ledger(ledger, public)
    report = verify(book, older=_tip(tip) if tip is not None else None)
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


def _is_proof(path: Path) -> bool:
    """A proof is a JSON object; a ledger begins with SQLite's mark."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith(b"{")


def _verify_proof(path: Path, public: Path | None, as_json: bool) -> None:
    """A proof of one entry, or that a newer tip continues an older one."""
    from solon.governance.home import read_json
    from solon.ledger import check_consistency, check_proof, read_public

    if public is None:
        raise InputError(f"{path}: expected the ledger's key with a proof, got none", mend="give it: --public LEDGER.pub")
    proof, key = read_json(path, "a proof"), read_public(public)
    if "old" in proof:
        old, new = check_consistency(proof, key)
        found = {"old_size": old.size, "size": new.size, "root": new.root.hex()}
        lines = [f"holds: {new.size} entries, root {new.root.hex()}", f"  continues the older tip of {old.size} entries"]
    else:
        record = check_proof(proof, key)
        found = {"index": proof["index"], "record": record}
        lines = [f"holds: entry {proof['index']}, {record.get('kind')} of {record.get('at')}"]
    if as_json:
        emit(found)
    else:
        print("\n".join(printable(line) for line in lines))


def ledger_show(
    ledger: LedgerFile,
    index: Annotated[int | None, typer.Argument(help="One entry; without it the newest are listed.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the newest.")] = 20,
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
    if not records:
        print(f"no entry of kind {kind}; solon ledger verify lists the kinds" if kind else "no entries")
    for record in records:
        print(printable(f"{record['index']:>8}  {record['at']}  {record['kind']:<14} {_outcome(record['body'])}".rstrip()))
    if index is not None:
        emit(records[0]["body"])


def _outcome(body: Any) -> str:
    """What an entry decided, where it did: a decision's outcome, or the verdict of a replay's row."""
    verdict = body.get("verdict", "") if isinstance(body, dict) else ""
    return str(verdict.get("outcome", "") if isinstance(verdict, dict) else verdict)


def ledger_prove(
    ledger: LedgerFile,
    index: Annotated[int | None, typer.Argument(help="The entry to prove.")] = None,
    tip: Annotated[Path | None, typer.Option("--tip", help="Prove instead that the ledger continues this older tip.")] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Write the proof here; else to stdout.")] = None,
    public: Public = None,
    as_json: JsonFlag = False,
) -> None:
    """A proof that one entry is in the ledger, or that it continues an older tip; verify checks it with the public key alone."""
    from solon.governance.home import read_ledger, write_json
    from solon.ledger.proofs import consistency, prove

    if (index is None) == (tip is None):
        raise InputError(
            "ledger prove: expected the number of an entry or --tip, one of them", mend="solon ledger show lists them"
        )
    book = read_ledger(ledger, public)
    proof = consistency(book, _tip(tip)) if tip is not None else prove(book, index or 0)
    book.close()
    if out is not None:
        write_json(out, proof)
    if out is None or as_json:
        emit(proof)


def ledger_export(
    ledger: LedgerFile,
    out: Annotated[Path, typer.Option("-o", "--out")],
    public: Public = None,
    as_json: JsonFlag = False,
) -> None:
    """Write entries, tip and key into a folder, with the verifier that needs nothing but PyNaCl."""
    import shutil

    from solon.governance.home import read_ledger
    from solon.ledger import verify_standalone
    from solon.ledger.proofs import export

    book = read_ledger(ledger, public)
    folder = export(book, out)
    book.close()
    shutil.copy(str(verify_standalone.__file__), folder / "verify_standalone.py")
    if as_json:
        emit({"path": str(folder), "files": sorted(path.name for path in folder.iterdir())})
        return
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
        many = "" if report.decisions == 1 else "s"
        print(f"{report.decisions} decision{many}, {report.same} the same, {len(report.changed)} different")
        for item in report.changed:
            print(printable(f"  {item.index}: {item.action}: {item.then} -> {item.now} {', '.join(item.reasons_now)}"))
    sys.exit(1 if report.changed and constitution is None else 0)
