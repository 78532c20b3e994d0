"""Every way in which the checkpoint store refuses or fails.

CheckpointError
├── UnknownCheckpoint, UnknownTensor, MissingPart      (InputError)  a name that is not there
├── WrongModel, TiesChanged, UnsupportedTensor,
│   UnsupportedState, ModelUnusable, Protected         (InputError)  refused before anything was written
├── StoreBusy, DiskFull, ReadOnlyStore, WriteFailed    (EnvironmentRefused)
├── UnhealthyModel                                     (CheckFailed)
└── CorruptStore                                       (IntegrityError)
    ├── CorruptManifest, CorruptPack, CorruptChunk, MissingChunk
    └── TornRestore                                    the model was partly written
"""

from __future__ import annotations

from solon.errors import CheckFailed, EnvironmentRefused, InputError, IntegrityError, SolonError


class CheckpointError(SolonError):
    """Anything the store raises on purpose."""


class UnknownCheckpoint(CheckpointError, InputError):
    """No checkpoint, tag or unique prefix of that name."""


class UnknownTensor(CheckpointError, InputError):
    """No tensor of that name in the model or checkpoint."""


class MissingPart(CheckpointError, InputError):
    """A part (optimizer, scheduler, rng, ...) was asked for that the checkpoint does not hold."""


class WrongModel(CheckpointError, InputError):
    """Names, shapes or dtypes of the model differ from the checkpoint's. Nothing was written."""


class TiesChanged(CheckpointError, InputError):
    """The model shares other tensors than the checkpoint does. Nothing was written."""


class UnsupportedTensor(CheckpointError, InputError):
    """Quantised, sparse, meta, nested, uninitialised or sharded tensors cannot be stored byte for byte."""


class UnsupportedState(CheckpointError, InputError):
    """A part holds a value that has no typed form (no pickle is ever written)."""


class ModelUnusable(CheckpointError, InputError):
    """An earlier restore left the model half written; only a successful restore clears this."""


class Protected(CheckpointError, InputError):
    """A baseline, tag, rollback target or the newest checkpoint may not be deleted."""


class StoreBusy(CheckpointError, EnvironmentRefused):
    """Another process holds the store's lock."""


class DiskFull(CheckpointError, EnvironmentRefused):
    """The disk cannot take the new bytes. Nothing was committed."""


class ReadOnlyStore(CheckpointError, EnvironmentRefused):
    """The store cannot be written."""


class WriteFailed(CheckpointError, EnvironmentRefused):
    """The operating system reported an error while writing. Nothing was committed."""


class UnhealthyModel(CheckpointError, CheckFailed):
    """The model holds NaN or Inf and the caller asked that such a model be refused."""


class CorruptStore(CheckpointError, IntegrityError):
    """Stored bytes are not what was written."""


class CorruptManifest(CorruptStore):
    """A manifest's bytes do not match its own hash."""


class CorruptPack(CorruptStore):
    """A pack's magic or footer is damaged, or the file was truncated."""


class CorruptChunk(CorruptStore):
    """A chunk's bytes do not match its name."""


class MissingChunk(CorruptStore):
    """A manifest names a chunk that no readable pack holds."""


class TornRestore(CorruptStore):
    """A restore failed after it had begun to write.

    Attributes:
        written: names of the tensors already overwritten.
    """

    def __init__(self, what: str, *, mend: str = "", written: tuple[str, ...] = ()) -> None:
        super().__init__(what, mend=mend)
        self.written = written
