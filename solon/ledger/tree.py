"""The Merkle tree of RFC 6962 and RFC 9162: roots, inclusion proofs, consistency proofs, and their verification.

The functions ask for the hash of a complete subtree by (level, index): level 0 are leaf hashes, subtree (l, i) covers the leaves
[i * 2^l, (i + 1) * 2^l). `Tree` keeps all of them in memory; the stored ledger reads them from its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

Node = Callable[[int, int], bytes]
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """Hash of an entry (RFC 9162 §2.1.1: the prefix 0x00 keeps leaves apart from inner nodes)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (prefix 0x01)."""
    return sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two smaller than `size` (`size` >= 2)."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(node: Node, low: int, high: int) -> bytes:
    size = high - low
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, low >> level)
    middle = low + _split(size)
    return node_hash(_range_hash(node, low, middle), _range_hash(node, middle, high))


def root(node: Node, size: int) -> bytes:
    """Root of the first `size` entries (RFC 9162 §2.1.1)."""
    return _range_hash(node, 0, size) if size else EMPTY_ROOT


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """Hashes that lead from entry `index` to the root of `size` entries (RFC 9162 §2.1.3.1).

    Raises:
        IndexError: there is no such entry in a tree of that size.
    """
    if not 0 <= index < size:
        raise IndexError(f"expected an index in 0..{size - 1}, got {index}")
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(node, middle, high))
            high = middle
        else:
            path.append(_range_hash(node, low, middle))
            low = middle
    return path[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """Hashes that show that the first `old` of `new` entries were not changed (RFC 9162 §2.1.4.1).

    Raises:
        IndexError: `old` is not in 1..`new`.
    """
    if not 0 < old <= new:
        raise IndexError(f"expected an old size in 1..{new}, got {old}")
    path: list[bytes] = []
    low, high, whole = 0, new, True  # whole: the old tree is exactly the part [low, old)
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range_hash(node, middle, high))
            high = middle
        else:
            path.append(_range_hash(node, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_range_hash(node, low, high))
    return path[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` leads from the leaf hash at `index` to the root `expected` of `size` entries (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for item in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(item, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, item)
        place, last = place >> 1, last >> 1
    return last == 0 and found == expected


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether a tree of `new` entries begins with the tree of `old` entries (RFC 9162 §2.1.4.2). An empty tree begins every tree."""
    if not 0 <= old <= new:
        return False
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    if old == new:
        return not proof and old_root == new_root
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = steps[0]
    for item in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(item, first), node_hash(item, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, item)
        place, last = place >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


class Tree:
    """A tree in memory. `levels[l][i]` is the hash of the complete subtree (l, i)."""

    def __init__(self) -> None:
        self.levels: list[list[bytes]] = [[]]

    @property
    def size(self) -> int:
        return len(self.levels[0])

    def append(self, leaf: bytes) -> int:
        """Add a leaf hash; returns its index."""
        index, level, found = self.size, 0, leaf
        self.levels[0].append(leaf)
        place = index
        while place & 1:
            found = node_hash(self.levels[level][-2], found)
            level, place = level + 1, place >> 1
            if level == len(self.levels):
                self.levels.append([])
            self.levels[level].append(found)
        return index

    def node(self, level: int, index: int) -> bytes:
        return self.levels[level][index]

    def root(self, size: int | None = None) -> bytes:
        """Root of the first `size` entries, of all by default."""
        return root(self.node, self.size if size is None else size)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        return inclusion_proof(self.node, index, self.size if size is None else size)

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        return consistency_proof(self.node, old, self.size if new is None else new)


class Frontier:
    """The complete subtrees along the right edge: enough to append and to name the root, in O(log n) memory."""

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        """`edge`: hashes of the complete subtrees that make up `size` entries, largest first."""
        self.size, self.edge = size, list(edge)
        if len(self.edge) != size.bit_count():
            raise ValueError(f"expected {size.bit_count()} hashes for {size} entries, got {len(self.edge)}")

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Add a leaf hash; returns the complete subtrees that it closes, as (level, index, hash), the leaf first."""
        closed = [(0, self.size, leaf)]
        place, level, found = self.size, 0, leaf
        while place & 1:
            found = node_hash(self.edge.pop(), found)
            place, level = place >> 1, level + 1
            closed.append((level, place, found))
        self.edge.append(found)
        self.size += 1
        return closed

    def root(self) -> bytes:
        if not self.edge:
            return EMPTY_ROOT
        found = self.edge[-1]
        for left in reversed(self.edge[:-1]):
            found = node_hash(left, found)
        return found
