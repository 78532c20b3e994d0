"""Where people leave what they signed for the process that writes the ledger, which one process does at a time.

That process takes it up at its next look, carries it out or logs why not, and removes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from solon.checkpoints.files import write_durably
from solon.errors import EnvironmentRefused, IntegrityError, SolonError
from solon.governance.refusals import refusal_logged
from solon.ledger.canonical import digest
from solon.ledger.dsse import Envelope, payload_type, read
from solon.ledger.storage import Ledger
from solon.policy.parsing import strict_json

LARGEST = 65_536  # bytes of one envelope
Act = Callable[[Envelope], object]


class Inbox:
    """A folder of signed envelopes, one a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, envelope: Envelope) -> None:
        """Put an envelope there, on disk when this returns; the same one again changes nothing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        place = self.folder / f"{digest(envelope.as_dict())[:32]}.json"
        write_durably(place, json.dumps(envelope.as_dict()).encode())

    @property
    def waiting(self) -> int:
        """How many envelopes nobody has taken up yet."""
        return len(self._places())

    def _places(self) -> list[Path]:
        return sorted(self.folder.glob("*.json"))

    def take_up(self, ledger: Ledger, acts: Mapping[str, Act | None]) -> int:
        """Carry out what was left, by the name of its record; returns how many there were. What can't be done now (None) stays.

        What an act refuses it has logged itself; what is no envelope of these kinds is logged here. Both are removed.
        """
        kinds, done = {payload_type(name): act for name, act in acts.items()}, 0
        for place in self._places():
            try:
                data = place.read_bytes()[:LARGEST]
                envelope = _read(ledger, data, kinds)
                act = kinds[envelope.type]
                if act is None:
                    continue
                act(envelope)
            except (EnvironmentRefused, OSError):
                return done  # the ledger takes nothing now: later
            except SolonError:
                pass
            place.unlink(missing_ok=True)
            done += 1
        return done


def _read(ledger: Ledger, data: bytes, kinds: Mapping[str, Act | None]) -> Envelope:
    with refusal_logged(ledger, answer=data):
        envelope = read(strict_json(data, "answer"))
        if envelope.type not in kinds:
            raise IntegrityError(
                f"envelope: expected {' or '.join(kinds)}, got {envelope.type[:80]}", mend="sign it anew", code="payload_type"
            )
        return envelope
