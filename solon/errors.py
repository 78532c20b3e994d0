"""Every error that Solon raises on purpose.

    SolonError                  anything below; `exit_code` is what the command line exits with
    ├── InputError              (2) a file, setting or argument was refused; nothing was changed
    │   ├── ConstitutionError   (2) a constitution did not parse or lint
    │   ├── DataError           (2) a data file, row or quota was refused
    │   └── ConfigError         (2) a run configuration was refused
    ├── EnvironmentRefused      (2) the machine lacks something: package, disk, memory, server
    │   └── ModelError          (2) a model could not be loaded, reached or understood
    ├── CheckFailed             (1) the work ran and the answer is no: gate, leak, verification
    └── IntegrityError          (1) stored bytes do not match their hash or signature

An error states three things: what was expected, what came, and how to mend it.
"""

from __future__ import annotations

import errno

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})  # what the system says when a write finds no more room


class SolonError(Exception):
    """Base of all deliberate errors.

    Args:
        what: the complaint: where it is (file:line, setting), what was expected and what came.
        mend: what the reader can do about it; printed on a line of its own.
        code: one word for programs, where the reader may be one; else the class's own, mostly empty.
    """

    exit_code = 2
    code = ""

    def __init__(self, what: str, *, mend: str = "", code: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        if code:
            self.code = code

    def __str__(self) -> str:
        return f"{self.what}; {self.mend}" if self.mend else self.what


class InputError(SolonError):
    """A file, setting or argument was refused."""


class NamedRefusal(InputError):
    """Input that is refused for a reason which has a name of its own: the `code`, given first."""

    def __init__(self, code: str, what: str, *, mend: str = "") -> None:
        super().__init__(what, mend=mend, code=code)


class ConstitutionError(InputError):
    """A constitution did not parse or lint. The message begins with `file:line: key:` where known."""


class DataError(InputError):
    """A data file, a row of it, or a quota was refused."""


class ConfigError(InputError):
    """A run configuration was refused."""


class EnvironmentRefused(SolonError):
    """The machine lacks what the work needs (package, disk, memory, device)."""


class ModelError(EnvironmentRefused):
    """A model could not be loaded or reached, or answered nonsense."""


class CheckFailed(SolonError):
    """The work ran and the answer is no."""

    exit_code = 1


class IntegrityError(SolonError):
    """Stored bytes do not match their hash or signature."""

    exit_code = 1


def nearest(word: str, known: list[str] | tuple[str, ...] | set[str], limit: int = 3) -> str:
    """The known words closest to `word`, as text for a mend ("did you mean …?"); empty when none is near."""
    import difflib

    close = difflib.get_close_matches(str(word), list(known), n=limit, cutoff=0.6)
    return f"did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
