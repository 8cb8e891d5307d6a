"""Check the global order of the events: their positions, the tree over them, and the checkpoints of the tree."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import select

from domain.case import ChainHead
from store.audit.tree import BLOCK, Tree, leaf_of
from store.audit.verification.result import case_words, only_row
from store.audit.verification.signed_heads import SignedHeads
from store.db.connection import AsyncConnection
from store.tables.audit import chain, event_blocks


class _Head(NamedTuple):
    position: int
    tree: Tree


class Order:
    """The walk along the positions. `say` is called with a sentence for each problem."""

    def __init__(
        self, head: _Head | None, blocks: dict[int, Any], signed: SignedHeads, say: Callable[[str], None]
    ) -> None:
        self._head = head
        self._blocks = blocks
        """By the position at their end: the roots that are stored for the blocks of events."""
        self._signed = signed
        self._say = say
        self.position = 0
        """The last position checked; 0 before the first."""
        self._tree: Tree | None = Tree()
        """The tree over the events before the block of `position`; None if a missing block leaves it unknown."""
        self._block: Tree | None = Tree()
        """The tree over the events of this block up to `position`; None if one of the events is missing."""
        self._cases: dict[str, None] = {}
        """The cases of the events of this block, in order."""

    @classmethod
    async def read(cls, conn: AsyncConnection, signed: SignedHeads, say: Callable[[str], None]) -> "Order":
        """Return a walk along the order that the database stores."""
        head = await only_row(conn, select(chain.c.position, chain.c.peaks))
        blocks = {row.position: row.root for row in await conn.execute(select(event_blocks))}
        return cls(_readable(head), blocks, signed, say)

    @property
    def length(self) -> int:
        """Return the last position to check; 0 if the head of the audit log is missing or cannot be read."""
        return self._head.position if self._head else 0

    @property
    def head(self) -> ChainHead | None:
        """Return the size and the root of the tree, as the head of the audit log states them; None without a head."""
        return ChainHead(count=self._head.position, hash=self._head.tree.root().hex()) if self._head else None

    def without_event(self, position: int) -> None:
        """Check a position whose event is missing. Inside the audit log it counts as a gap."""
        self._is_inside(position, f"position {position}, which has no event,")

    def event(self, row: Any, name: str) -> None:
        """Check the position of the next event. `name` is the name of the event for messages."""
        if not self._is_inside(row.position, name):
            return
        self._skip_to(row.position)
        self.position = row.position
        self._cases[row.case_id or ""] = None
        if self._block is not None:
            self._block.add(leaf_of(str(row.hash)))
        if row.position in self._signed.roots and (tree := self._whole()) is not None:
            self._signed.compare_root(row.position, tree.root())
        if row.position % BLOCK == 0:
            self._end_block(row.position)

    def end(self) -> None:
        """Check the end of the order."""
        if self._head is None:
            self._say("the head of the audit log (table chain) is missing or cannot be read")
        elif self.position < self._head.position:
            cut = range(self.position + 1, self._head.position + 1)
            self._say(f"the end of the audit log was cut off: no events at {positions(cut)}")
        elif (tree := self._whole()) is not None and tree.peaks != self._head.tree.peaks:
            self._say(self._unfit("the head of the audit log", range(self.length - self.length % BLOCK, self.length)))
        for position in self._blocks:
            if position % BLOCK or (self._head and position > self._head.position):
                self._say(f"there is a block root at position {position}, where no block of events ends")
        self._signed.compare_length(self.length or self.position)

    def _is_inside(self, position: int, name: str) -> bool:
        if inside := position >= 1 and not (self._head and position > self._head.position):
            return inside
        self._say(f"{name} is outside the audit log, which goes from 1 to {self.length}: it was inserted")
        return False

    def _skip_to(self, position: int) -> None:
        missing = range(self.position + 1, position)
        if not missing:
            return
        self._say(f"{positions(missing)} of the audit log: events were removed")
        for end in range(self.position - self.position % BLOCK + BLOCK, position, BLOCK):
            self._block = None
            if end not in self._blocks:  # an edited position can be far away: end at once
                self._tree = None
                break
            self._end_block(end)
        self._block = None if (position - 1) % BLOCK else Tree()

    def _end_block(self, position: int) -> None:
        """Compare the root of a block with the stored root, and continue after the block with the stored root.

        So one fault is reported only once.
        """
        computed = self._block.root() if self._block else None
        stored = _root(self._blocks.get(position))
        what = f"the root of the block at position {position}"
        if stored is None:
            self._say(f"{what} is missing or cannot be read")
        elif computed is not None and computed != stored:
            self._say(self._unfit(what, range(position - BLOCK, position)))
        if self._tree is not None and (root := stored or computed) is not None:
            self._tree.add_block(root)
        else:
            self._tree = None
        self._block, self._cases = Tree(), {}

    def _whole(self) -> Tree | None:
        """Return the tree over all events up to `position`; None if it is unknown."""
        if self._tree is None or self._block is None:
            return None
        # The block is not larger than the last full subtree before it, so its peaks follow.
        return Tree(self._tree.size + self._block.size, [*self._tree.peaks, *self._block.peaks])

    def _unfit(self, what: str, leaves: range) -> str:
        """Return a sentence about a root that does not fit the events of these leaves."""
        if not leaves:
            return f"{what} does not fit the events before it: it was edited"
        who = ", ".join(case_words(case_id) for case_id in self._cases)
        return (
            f"{what} does not fit {positions(range(leaves[0] + 1, leaves[-1] + 2))}: events there were replaced,"
            f" inserted or changed places, or it was edited itself; the events there are of {who}"
        )


def positions(where: range) -> str:
    """Return the name of these positions for messages."""
    return f"position {where[0]}" if len(where) == 1 else f"positions {where[0]} to {where[-1]}"


def _readable(head: Any) -> _Head | None:
    """Return the head of the audit log; None if it is missing or was edited so that it states nothing."""
    try:
        return _Head(head.position, Tree.read(head.position, head.peaks))
    except (AttributeError, TypeError, ValueError):
        return None


def _root(stored: Any) -> bytes | None:
    try:
        root = bytes.fromhex(stored)
    except (TypeError, ValueError):
        return None
    return root if len(root) == 32 and root.hex() == stored else None
