"""The Merkle tree of RFC 6962 and RFC 9162: append, root, inclusion and consistency proofs, and how to check them.

Leaves are hashed with a 0x00 before them, nodes with a 0x01, so that no leaf can pass for a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH = 32
EMPTY = sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256(0x00 || entry)."""
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree in memory. `levels[k]` holds the hashes of all complete subtrees of 2^k leaves, 32 bytes each."""

    def __init__(self) -> None:
        self.levels: list[bytearray] = [bytearray()]
        self.size = 0

    def append(self, leaf: bytes) -> int:
        """Add a leaf hash; returns its index. Two hashes on average."""
        index = self.size
        self.size = count = index + 1
        levels, node, height = self.levels, leaf, 0
        levels[0] += leaf
        while not count & 1:
            node = sha256(b"\x01" + levels[height][-2 * HASH : -HASH] + node).digest()
            height += 1
            if height == len(levels):
                levels.append(bytearray())
            levels[height] += node
            count >>= 1
        return index

    def add(self, entry: bytes) -> int:
        """Add an entry's bytes; returns its index."""
        return self.append(leaf_hash(entry))

    def cut(self, size: int) -> None:
        """Forget every leaf from `size` on (a commit that failed)."""
        self.size = size
        for height, level in enumerate(self.levels):
            del level[(size >> height) * HASH :]

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf."""
        return bytes(self.levels[0][index * HASH : (index + 1) * HASH])

    def root(self, size: int | None = None) -> bytes:
        """The root over the first `size` leaves (all by default).

        Raises:
            ValueError: the tree has fewer.
        """
        size = self.size if size is None else size
        if not 0 <= size <= self.size:
            raise ValueError(f"expected a size of 0 to {self.size}, got {size}")
        return self._range(0, size) if size else EMPTY

    def _range(self, start: int, end: int) -> bytes:
        """Hash over leaves start..end-1, where start is a multiple of the largest power of two below the count."""
        count = end - start
        height = count.bit_length() - 1
        if count == 1 << height:
            position = (start >> height) * HASH
            return bytes(self.levels[height][position : position + HASH])
        middle = start + _split(count)
        return node_hash(self._range(start, middle), self._range(middle, end))

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Audit path of a leaf in the tree of `size` leaves (RFC 9162 §2.1.3.1).

        Raises:
            ValueError: there is no such leaf.
        """
        size = self.size if size is None else size
        if not 0 <= index < size <= self.size:
            raise ValueError(f"expected an index below a size of at most {self.size}, got {index} of {size}")
        start, end, path = 0, size, []
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """Proof that the tree of `old` leaves is a prefix of the tree of `new` (RFC 9162 §2.1.4.1).

        Raises:
            ValueError: not 0 < old <= new <= size.
        """
        new = self.size if new is None else new
        if not 0 < old <= new <= self.size:
            raise ValueError(f"expected 0 < old <= new <= {self.size}, got {old} and {new}")
        start, end, whole, path = 0, new, True, []
        while old != end:
            middle = start + _split(end - start)
            if old <= middle:
                path.append(self._range(middle, end))
                end = middle
            else:
                path.append(self._range(start, middle))
                start, whole = middle, False
        if not whole:
            path.append(self._range(start, end))
        return path[::-1]


def _split(count: int) -> int:
    """The largest power of two smaller than `count` (count > 1)."""
    return 1 << ((count - 1).bit_length() - 1)


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path shows the leaf hash at `index` of the tree with this root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Whether the path shows that the old tree is a prefix of the new one (RFC 9162 §2.1.4.2)."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    if not path:
        return False
    nodes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, node)
        position, last = position >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root
