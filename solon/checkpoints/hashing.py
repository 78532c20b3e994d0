"""The two hashes of a chunk: its name, which anybody can check, and a fingerprint that only this process can make.

Names are blake3. Fingerprints are xxh3-128, as fast as reading memory, keyed by a secret of this process; they are never written
to disk and never name a chunk. 128 bits make an accidental equal fingerprint impossible in practice, and nobody who can write to
the disk knows the key, so bytes that this process has named or verified once may be recognised by their fingerprint when they
are read again.
"""

from __future__ import annotations

import secrets

import blake3
import xxhash

from solon.checkpoints.tensors import Bytes

_KEY = secrets.randbits(64)


def chunk_name(data: Bytes) -> str:
    """blake3, as 64 hex digits: the name of a chunk is a function of its bytes only."""
    return blake3.blake3(data.data).hexdigest()


def fingerprint(data: Bytes) -> bytes:
    """Keyed xxh3-128 of the bytes."""
    return xxhash.xxh3_128_digest(data.data, _KEY)


def running_fingerprint() -> xxhash.xxh3_128:
    """A `fingerprint` to be fed piece by piece."""
    return xxhash.xxh3_128(seed=_KEY)
