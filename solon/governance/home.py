"""A governance folder: ledger, switch, registry and voters' memory side by side, opened together.

home = Home("governance")
with home.governor("trading") as governor:
    governor.decide(action, state)

governance/ledger.db (+ .tip, .key, .pub, .lock)   switch.db   registry.json (the chain)   voters/KEY.db
answers/, acts/ (what people signed while another process wrote the ledger)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from solon.checkpoints.files import write_durably
from solon.constitution import Constitution, load, parse_text
from solon.errors import EnvironmentRefused, InputError, IntegrityError, SolonError
from solon.governance.change import NotSigned, keys_needed, latched_ladder, sign_change, signed_to_relax
from solon.governance.governor import Governor
from solon.governance.inbox import Inbox
from solon.governance.killswitch import StopRefused, Switch
from solon.governance.refusals import refusal_logged
from solon.governance.registry import Member, Registry, RegistryRefused, chain, follow
from solon.governance.review import ReviewQueue
from solon.governance.votes import VoterMemory
from solon.ledger.dsse import Envelope, named_in, read, seal
from solon.ledger.keys import PrivateKey, PublicKey, read_private, read_public
from solon.ledger.storage import Ledger, clock, held
from solon.policy.ladder import LadderState
from solon.policy.parsing import strict_json
from solon.policy.types import Ladder


def ledger_key(path: Path | str) -> PrivateKey:
    """The key beside a ledger (FILE.key), made when neither the ledger nor the key exists yet; its .pub is put beside it.

    Raises:
        InputError: the ledger exists but its key does not. KeyRefused: others can read it.
    """
    path, file, public = Path(path), Path(f"{path}.key"), Path(f"{path}.pub")
    if path.exists() and not file.exists():  # in this order: whoever begins a ledger makes its key first
        raise InputError(
            f"{file}: expected the key of this ledger, got none", mend="restore it, or begin a ledger of another name"
        )
    if not (file.exists() and public.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        with held(path):  # two that begin the same ledger begin it with one key
            if not file.exists():
                write_durably(file, f"{PrivateKey.generate('ledger').secret_text}\n".encode(), mode=0o600)
            if not public.exists():
                write_durably(public, f"{read_private(file).public.text}\n".encode())
    return read_private(file)


def open_ledger(path: Path | str, *, wait: float = 10.0) -> Ledger:
    """Open a ledger for writing with the key beside it, or begin one; `wait` seconds for another writer."""
    key = ledger_key(path)
    return Ledger.open(path, key, wait=wait)


def _beside(ledger: Path) -> Path:
    """The public key beside a ledger: FILE.pub, or the only one in its folder (as a replay leaves it)."""
    own, found = Path(f"{ledger}.pub"), list(ledger.parent.glob("*.pub"))
    return found[0] if len(found) == 1 and not own.exists() else own


def read_ledger(path: Path | str, public: Path | str | None = None) -> Ledger:
    """Open a ledger for reading with a public key (default: FILE.pub, which shows less than a key kept elsewhere)."""
    if not Path(path).is_file() and not Path(f"{path}.tip").is_file():
        raise InputError(f"{path}: expected a ledger, got no file", mend="name the file given with --ledger")
    return Ledger.read(path, read_public(public if public is not None else _beside(Path(path))))


def read_json(path: Path | str, what: str) -> Any:
    """A JSON file, read strictly. Raises InputError; Refused: see `strict_json`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: expected {what} in JSON, got {error}", mend="check the path and the file") from error
    return strict_json(data, str(path))


def write_json(path: Path | str, value: Any) -> None:
    """Write a JSON file."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_registry(path: Path | str) -> Registry:
    """The newest registry of a chain file. Raises InputError, RegistryRefused, IntegrityError."""
    if not Path(path).exists():
        raise InputError(f"{path}: expected a registry, got no file", mend="make it with: solon keys register")
    value = read_json(path, "a registry chain")
    if not isinstance(value, dict) or set(value) != {"chain"} or not isinstance(value["chain"], list):
        raise InputError(f'{path}: expected {{"chain": […]}}, got something else', mend="make it with: solon keys register")
    return chain(value["chain"])


class Home:
    """A governance folder. Nothing is opened before it is needed."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.ledger_path = self.folder / "ledger.db"
        self.switch_path = self.folder / "switch.db"
        self.registry_path = self.folder / "registry.json"
        self.inbox = self.folder / "answers"
        self.acts = Inbox(self.folder / "acts")

    def registry(self) -> Registry:
        """The registry. Raises InputError where there is none."""
        return read_registry(self.registry_path)

    def switch(self) -> Switch:
        """The switch; made together with a new folder. Where a ledger exists, a missing switch counts as stopped."""
        if self.ledger_path.exists():
            return Switch(self.switch_path)
        return Switch.create(self.switch_path)

    def memory(self, key: PrivateKey) -> VoterMemory:
        """What a key has signed."""
        folder = self.folder / "voters"
        folder.mkdir(parents=True, exist_ok=True)
        return VoterMemory(folder / f"{key.id[:16]}.db")

    def stop(self, envelope: Envelope) -> bool:
        """Stop by one signature. It stands before anything else is opened; no constitution is asked for, no ledger waited for.

        Returns whether it is logged. While another process writes the ledger it is not; that process logs it.

        Raises:
            StopRefused: see its codes. InputError: no registry. EnvironmentRefused: the switch cannot be written.
        """
        refused: StopRefused | None = None
        switch = self.switch()
        try:
            switch.stop(envelope, self.registry())
        except StopRefused as error:
            refused = error
        try:
            ledger = open_ledger(self.ledger_path, wait=0.5)
        except SolonError:  # in use, or damaged: the stop stands, and whoever opens it next logs it
            ledger = None
        try:
            if refused is not None:
                with refusal_logged(ledger, stop=envelope):
                    raise refused
            if ledger is not None:
                switch.log(ledger)
            return ledger is not None
        finally:
            switch.close()
            if ledger is not None:
                ledger.close()

    @contextmanager
    def governor(
        self, constitution: Constitution | str | Path | None, *, change: Envelope | None = None, wait: float = 10.0
    ) -> Iterator[Governor]:
        """Everything opened, and closed afterwards. Without a registry nobody can approve, stop by signature, or resume.

        Without a constitution it is the one that the ledger saw last, or else `trading`. `wait`: seconds for another writer.
        """
        switch = self.switch()
        ledger = open_ledger(self.ledger_path, wait=wait)
        try:
            switch.log(ledger)
            chosen = _in_force(ledger) if constitution is None else constitution
            registry = self._registry_if_any()
            self._no_rollback(ledger, registry)
            reviews = ReviewQueue(ledger, registry, inbox=self.inbox) if registry is not None else None
            yield Governor(
                chosen, ledger=ledger, switch=switch, registry=registry, reviews=reviews, inbox=self.acts, change=change
            )
        finally:
            ledger.close()
            switch.close()

    def ladder(self) -> LadderState:
        """Where the latched ladder stands, read beside whoever writes the ledger."""
        if not self.ledger_path.exists():
            return LadderState()
        with read_ledger(self.ledger_path) as ledger:
            return latched_ladder(ledger)

    def hand_in(self, envelope: Envelope, constitution: str | Path | None = None) -> None:
        """Leave a signed resume, relaxation or re-enabling for the process that holds the ledger: its next decision takes it up.

        Raises:
            ResumeRefused, IntegrityError: as things stand it would not be accepted.
        """
        registry, name = self.registry(), named_in(envelope)
        if name != "resume":
            signed_to_relax(name, envelope, registry)
        else:
            with read_ledger(self.ledger_path) as ledger:
                chosen = load(constitution) if constitution is not None else _in_force(ledger)
            switch = self.switch()
            switch.check_resume(envelope, registry, keys_needed("resume", registry, chosen))
            switch.close()
        self.acts.leave(envelope)

    def adopt(self, ledger: Path | str) -> Ladder:
        """Take a ledger that was kept by itself into this folder, with its key and tip, so that people may sign for it. A ladder
        at killed becomes a stop, which resumes as any stop does. Returns the rung that stands.

        Raises:
            InputError: this folder has a ledger or no registry, or there is no such ledger. EnvironmentRefused: it is in use.
            IntegrityError: it does not verify.
        """
        path, registry = Path(ledger), self.registry()
        if not path.is_file() or self.ledger_path.exists():
            found = f"{path}: expected a ledger, got no file" if not path.is_file() else f"{self.folder}: has a ledger"
            raise InputError(found, mend="name the file given with --ledger, and a --home that has no ledger yet")
        with open_ledger(path, wait=0.5) as book:
            self._no_rollback(book, registry)
            switch, rung = Switch.create(self.switch_path), latched_ladder(book).rung
            if rung == Ladder.killed and not switch.stopped:
                switch.trigger("ladder", {"ladder": "killed"}, book)
            switch.close()
        with held(path, 0.5):
            for suffix in (".pub", ".tip", ".key", "-wal", ""):  # the ledger itself comes last
                if Path(f"{path}{suffix}").exists():
                    shutil.move(f"{path}{suffix}", f"{self.ledger_path}{suffix}")
            Path(f"{path}.lock").unlink()
        return rung

    def enact(
        self, constitution: str, keys: Sequence[PrivateKey], *, pending: Path | str | None = None
    ) -> tuple[Constitution, str]:
        """Replace the constitution by signatures; returns the new one and, while too few have signed, what is missing.

        Args:
            pending: where signatures gather while they are too few; read first where it exists.

        Raises:
            ConstitutionError: no version above the last, another change is pending, or too few signatures and nowhere to go.
        """
        new = load(constitution)
        ledger = open_ledger(self.ledger_path)
        try:
            last = ledger.of_kind("constitution", newest=1)
        finally:
            ledger.close()
        if pending is not None and Path(pending).exists():
            envelope = read(read_json(pending, "a pending change"), "constitution-change")
            for key in keys:
                envelope = envelope.signed_by(key)
        else:
            old = last[0].record["body"]["hash"] if last else ""
            envelope = sign_change(self.registry(), old, new.hash, list(keys), clock())
        try:
            with self.governor(new, change=envelope):
                pass
        except NotSigned as error:
            if pending is None:
                raise
            write_json(pending, envelope.as_dict())
            return new, error.what
        if pending is not None:
            Path(pending).unlink(missing_ok=True)
        return new, ""

    @contextmanager
    def registering(self) -> Iterator[None]:
        """Around a change of the registry, so that it stands in the ledger, where there is one, or why it was refused. While
        another process writes the ledger nothing is logged now: whoever opens it next logs the registry that it finds.

        Raises:
            IntegrityError: the ledger does not verify, or has seen a newer registry than the one that stands.
        """
        if not self.ledger_path.exists():
            yield
            return
        try:
            ledger = open_ledger(self.ledger_path, wait=0.5)
        except EnvironmentRefused as error:
            if error.code != "in_use":
                raise
            yield
            return
        with ledger:
            self._no_rollback(ledger, self._registry_if_any())
            with refusal_logged(ledger, registry="change"):
                yield
            self._no_rollback(ledger, self._registry_if_any())

    def _registry_if_any(self) -> Registry | None:
        return self.registry() if self.registry_path.exists() else None

    @contextmanager
    def reviews(self) -> Iterator[ReviewQueue]:
        """The review queue; for reading, and answers that are left in its inbox, while another process writes the ledger."""
        registry = self.registry()
        try:
            ledger = open_ledger(self.ledger_path, wait=0.5)
        except EnvironmentRefused as error:
            if error.code != "in_use":
                raise
            ledger = read_ledger(self.ledger_path)
        try:
            self._no_rollback(ledger, registry)
            yield ReviewQueue(ledger, registry, inbox=self.inbox)
        finally:
            ledger.close()

    def _no_rollback(self, ledger: Ledger, registry: Registry | None) -> None:
        """The registry that is used is logged; an older or another one is refused afterwards."""
        last = ledger.of_kind("registry_seen", newest=1)
        seen = last[0].record["body"] if last else None
        if seen is not None and registry is None:
            raise IntegrityError(f"{self.registry_path}: expected epoch {seen['epoch']} or later, got no file", mend="restore it")
        if registry is None or (seen is not None and seen["digest"] == registry.digest):
            return
        if seen is not None and registry.epoch <= seen["epoch"]:
            with refusal_logged(ledger, registry=registry.digest):
                raise IntegrityError(
                    f"{self.registry_path}: expected an epoch above {seen['epoch']}, got {registry.epoch}: an old or another one",
                    mend="restore the newest",
                )
        if ledger.key is not None:
            signed = read_json(self.registry_path, "a registry chain")["chain"][-1]
            body = {"epoch": registry.epoch, "digest": registry.digest, "network": registry.network, "signed": signed}
            ledger.append("registry_seen", body)


def _in_force(ledger: Ledger) -> Constitution:
    """The constitution that a ledger saw last, or `trading`."""
    last = ledger.of_kind("constitution", newest=1)
    return parse_text(last[0].record["body"]["text"], "the ledger's constitution") if last else load("trading")


# --- registry files ---------------------------------------------------------------------------------------------------------


def extend_registry(
    path: Path | str, changed: Registry, keys: Sequence[PrivateKey], *, pending: Path | str | None = None
) -> tuple[Registry | None, str]:
    """Sign the next record of a chain file and add it once enough have signed.

    Args:
        changed: the registry wanted; epoch and predecessor are set here.
        pending: where signatures gather while they are too few; read first where it exists.

    Returns:
        The new registry and an empty text, or None and what is missing.

    Raises:
        RegistryRefused: too few signatures and nowhere to keep them, or the pending record is another change.
    """
    path = Path(path)
    links = read_json(path, "a registry chain")["chain"] if path.exists() else []
    old = chain(links) if links else None
    wanted = replace(changed, epoch=1 if old is None else old.epoch + 1, previous="" if old is None else old.digest)
    envelope = seal("registry", wanted.record, [])
    if pending is not None and Path(pending).exists():
        gathered = read(read_json(pending, "a pending registry record"), "registry")
        if gathered.payload != envelope.payload:
            raise RegistryRefused(f"{pending}: holds another change", mend="finish it or remove the file")
        envelope = gathered
    for key in keys:
        envelope = envelope.signed_by(key)
    try:
        new = follow(old, envelope)
    except RegistryRefused as error:
        if pending is None or error.code != "too_few":
            raise
        write_json(pending, envelope.as_dict())
        return None, error.what
    write_json(path, {"chain": [*links, envelope.as_dict()]})
    if pending is not None:
        Path(pending).unlink(missing_ok=True)
    return new, ""


def with_members(old: Registry | None, network: str, members: Sequence[Member], **changes: Any) -> Registry:
    """A registry with members added or replaced by id, and fields changed."""
    if old is None:
        return Registry(network, 1, tuple(members), **changes)
    named = {member.id: member for member in (*old.members, *members)}
    return replace(old, members=tuple(named.values()), **changes)


def rotated(old: Registry, name: str, public: PublicKey) -> Registry:
    """The same members with another key for one of them."""
    return replace(old, members=tuple(replace(m, key=public.id) if m.id == name else m for m in _with(old, name)))


def suspended(old: Registry, name: str, on: bool = True) -> Registry:
    """The same members with one suspended (or no longer)."""
    return replace(old, members=tuple(replace(m, suspended=on) if m.id == name else m for m in _with(old, name)))


def _with(old: Registry, name: str) -> tuple[Member, ...]:
    if name not in old.by_id:
        raise RegistryRefused(f"{name}: expected a member ({', '.join(old.by_id)}), got another name", mend="correct it")
    return old.members
