"""Near-duplicate texts: word 5-grams, MinHash with banding to find candidates, the exact Jaccard similarity to decide.

Broder (1997), "On the resemblance and containment of documents"; signatures by datasketch. The bands are compared by sorting,
which for a whole file at once takes a tenth of the memory of an index of buckets. A candidate is always checked exactly, so no
pair is reported wrongly; a pair near the threshold may be missed (at similarity 0.8 about 2 in 1,000).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SHINGLE = 5  # words
NEAR = 0.8  # Jaccard similarity of word shingles at which two texts count as near-duplicates
PERMUTATIONS = 126
ROWS_OF_A_BAND = 6  # 21 bands: P(candidate) = 1 - (1 - s^6)^21, which is 0.998 at s = 0.8 and 0.28 at s = 0.5
ROWS_WHEN_LOOSE = 3  # for thresholds under 0.7: 42 bands, 0.996 at s = 0.5
_WORD = re.compile(r"\w+")


def words(text: str) -> list[str]:
    """Lower-case words and numbers of a text."""
    return _WORD.findall(text.lower())


def shingles(text: str, size: int = SHINGLE) -> frozenset[str]:
    """Word 5-grams; a shorter text is one shingle, so that it is near only to itself."""
    tokens = words(text)
    if len(tokens) <= size:
        return frozenset({" ".join(tokens)})
    return frozenset(" ".join(tokens[i : i + size]) for i in range(len(tokens) - size + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """|a ∩ b| / |a ∪ b|."""
    return len(a & b) / len(a | b) if a or b else 1.0


class _TokenHashes(dict[str, int]):
    def __missing__(self, token: str) -> int:
        from xxhash import xxh3_64_intdigest

        self[token] = value = xxh3_64_intdigest(token.encode("utf-8", "surrogatepass"))
        return value


class ShingleHasher:
    """The word n-grams of texts as sorted distinct 64-bit hashes: 8 bytes each, where the words would take hundreds."""

    def __init__(self, size: int = SHINGLE) -> None:
        self.size = size
        self._tokens = _TokenHashes()

    def __call__(self, text: str) -> np.ndarray:
        """Shape (distinct shingles,), uint64. A text shorter than `size` words is one shingle."""
        import numpy as np

        tokens = words(text)
        hashes = np.array(list(map(self._tokens.__getitem__, tokens)), dtype=np.uint64)
        width = min(self.size, len(tokens))
        count = len(tokens) - width + 1 if tokens else 1
        mixed = np.full(count, width, dtype=np.uint64)
        with np.errstate(over="ignore"):  # arithmetic modulo 2^64 is what is wanted
            for k in range(width):
                mixed = (mixed ^ hashes[k : k + count]) * np.uint64(0x9E3779B97F4A7C15)
                mixed ^= mixed >> np.uint64(29)
        return np.unique(mixed)


def similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Jaccard similarity of two sorted arrays of distinct hashes."""
    import numpy as np

    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)


@dataclass(frozen=True)
class Sketches:
    """What is kept of a list of texts: their shingle hashes, and for each the buckets that it shares with another text."""

    hashes: list[np.ndarray]
    buckets: list[list[int]]


def sketch(texts: Sequence[str], threshold: float = NEAR) -> Sketches:
    """Shingle hashes and shared buckets of each text. A text of a single shingle is in no bucket: it is near only to itself."""
    import numpy as np
    from datasketch import MinHash

    hasher = ShingleHasher()
    hashes = [hasher(text) for text in texts]
    long = [i for i, own in enumerate(hashes) if len(own) > 1]
    signatures = np.empty((len(long), PERMUTATIONS), dtype=np.uint32)
    low = np.uint64(0xFFFFFFFF)
    shortened = ((hashes[i] & low).tolist() for i in long)
    for row, minhash in enumerate(MinHash.generator(shortened, num_perm=PERMUTATIONS, hashfunc=int)):
        signatures[row] = minhash.hashvalues
    buckets: list[list[int]] = [[] for _ in texts]
    for band, member in _shared(signatures, ROWS_OF_A_BAND if threshold >= 0.7 else ROWS_WHEN_LOOSE):
        buckets[long[member]].append(band)
    return Sketches(hashes, buckets)


def _shared(signatures: np.ndarray, rows: int) -> Iterator[tuple[int, int]]:
    """(bucket, text) for every bucket with at least two texts."""
    import numpy as np

    offset = 0
    for start in range(0, signatures.shape[1], rows):
        band = np.ascontiguousarray(signatures[:, start : start + rows])
        keys = band.view(np.dtype((np.void, band.dtype.itemsize * rows))).ravel()
        _, inverse, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        for member in np.flatnonzero(sizes[inverse] > 1):
            yield offset + int(inverse[member]), int(member)
        offset += len(sizes)


def near_duplicates(texts: Sequence[str], threshold: float = NEAR) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, whose shingle sets have a Jaccard similarity of at least `threshold`.

    A text that repeats an earlier one exactly is paired with the first of its kind only.
    """
    found = sketch(texts, threshold)
    first: dict[bytes, int] = {}
    members: dict[int, list[int]] = {}
    pairs = []
    for i, own in enumerate(found.hashes):
        name = own.tobytes()
        if name in first:
            pairs.append((first[name], i))
            continue
        first[name] = i
        near = {j for bucket in found.buckets[i] for j in members.get(bucket, ())}
        pairs += [(j, i) for j in near if similarity(found.hashes[j], own) >= threshold]
        for bucket in found.buckets[i]:
            members.setdefault(bucket, []).append(i)
    return sorted(pairs)
