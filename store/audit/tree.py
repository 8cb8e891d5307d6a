"""The Merkle tree over the events of the audit log (RFC 6962, section 2.1): pure functions without a database.

The leaf of an event is its hash, as 64 hexadecimal digits. The leaves are in the order of positions: position 1 is leaf
0. One root proves all events, and a few nodes prove that one event is under this root.

The writer of the tree needs no earlier leaves: the *peaks*, which are the roots of the full subtrees from left to
right, are enough. There are at most as many peaks as the size has binary digits.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

BLOCK = 256
"""The database stores the root of each 256 events, so that a proof reads few events."""
_BLOCK_LEVEL = BLOCK.bit_length() - 1
EMPTY = hashlib.sha256(b"").digest()
"""The root of a tree without leaves."""

Range = tuple[int, int]
"""The leaves of a subtree: the first, and the one after the last."""


def leaf(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def leaf_of(event_hash: str) -> bytes:
    """Return the leaf of an event with this hash."""
    return leaf(event_hash.encode())


class Tree:
    """A tree that grows at its right end. `size` is the number of leaves."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def read(cls, size: int, peaks: str) -> "Tree":
        """Return the tree with the peaks that `text` returned. Raises ValueError if the peaks do not fit the size."""
        data = bytes.fromhex(peaks)
        if size < 0 or len(data) != 32 * size.bit_count() or data.hex() != peaks:
            raise ValueError(f"a tree of {size} leaves does not have these peaks: {peaks[:200]}")
        return cls(size, [data[at : at + 32] for at in range(0, len(data), 32)])

    def text(self) -> str:
        """Return the peaks as hexadecimal digits, 64 for each peak."""
        return b"".join(self.peaks).hex()

    def copy(self) -> "Tree":
        """Return an independent tree with the same leaves."""
        return Tree(self.size, self.peaks)

    def add(self, new: bytes) -> bytes | None:
        """Add a leaf. If the leaf completes a block, return the root of this block, and None otherwise."""
        return self._merge(new, 0)

    def add_block(self, root: bytes) -> None:
        """Add a complete block by its root. Raises ValueError if the size is not a multiple of `BLOCK`."""
        if self.size % BLOCK:
            raise ValueError(f"a block cannot follow leaf {self.size}")
        self._merge(root, _BLOCK_LEVEL)

    def _merge(self, new: bytes, level: int) -> bytes | None:
        block = None
        left, self.size = self.size >> level, self.size + (1 << level)
        while left & 1:
            new = node(self.peaks.pop(), new)
            left, level = left >> 1, level + 1
            if level == _BLOCK_LEVEL:
                block = new
        self.peaks.append(new)
        return block

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.peaks:
            return EMPTY
        *others, root = self.peaks
        for peak in reversed(others):
            root = node(peak, root)
        return root


def split(start: int, end: int) -> int:
    """Return the first leaf of the right half of a subtree with more than one leaf."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def proof_of(size: int, leaves: Sequence[int]) -> Iterator[Range]:
    """Yield the subtrees whose roots, together with these leaves, give the root of a tree with `size` leaves.

    `leaves` are numbers below `size` in ascending order, at least one. For one leaf the subtrees are its audit path of
    RFC 6962.
    """
    yield from _without(0, size, leaves)


def _without(start: int, end: int, leaves: Sequence[int]) -> Iterator[Range]:
    if not _any_inside(start, end, leaves):
        yield start, end
    elif end - start > 1:
        middle = split(start, end)
        yield from _without(start, middle, leaves)
        yield from _without(middle, end, leaves)


def _any_inside(start: int, end: int, leaves: Sequence[int]) -> bool:
    place = bisect_left(leaves, start)
    return place < len(leaves) and leaves[place] < end


def root_of(size: int, leaves: Mapping[int, bytes], nodes: Mapping[Range, bytes]) -> bytes:
    """Return the root of the tree with these leaves, and with the roots of the subtrees that `proof_of` named.

    Raises KeyError if the root of a subtree is missing.
    """
    numbers = sorted(leaves)

    def root(start: int, end: int) -> bytes:
        if not _any_inside(start, end, numbers):
            return nodes[start, end]
        if end - start == 1:
            return leaves[start]
        middle = split(start, end)
        return node(root(start, middle), root(middle, end))

    return root(0, size)
