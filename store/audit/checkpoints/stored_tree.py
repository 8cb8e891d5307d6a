"""Read parts of the tree over the events from the database: few rows, because the roots of all blocks are stored."""

from collections.abc import Sequence

from sqlalchemy import select

from store.audit.tree import BLOCK, Range, Tree, leaf_of, proof_of
from store.db.connection import AsyncConnection
from store.tables.audit import event_blocks, event_positions, events


class Incomplete(LookupError):
    """Raised if an event or the root of a block is missing in the database."""


async def extended(conn: AsyncConnection, tree: Tree, size: int) -> Tree:
    """Return a copy of `tree` that has grown to `size` events. Raises Incomplete.

    The result begins with exactly the events of `tree`, so its root proves that the audit log still begins with them.
    """
    tree = tree.copy()
    whole = -tree.size % BLOCK
    for hash_ in await _hashes(conn, tree.size, min(size, tree.size + whole)):
        tree.add(leaf_of(hash_))
    if tree.size < size:
        for root in await _block_roots(conn, tree.size, size - size % BLOCK):
            tree.add_block(root)
        for hash_ in await _hashes(conn, tree.size, size):
            tree.add(leaf_of(hash_))
    return tree


async def proof(conn: AsyncConnection, size: int, leaves: Sequence[int]) -> dict[Range, bytes]:
    """Return the roots that, together with these leaves, give the root of the tree over `size` events.

    `leaves` are positions minus 1, in ascending order. Raises Incomplete.
    """
    found: dict[Range, bytes] = {}
    roots = await _block_roots(conn, 0, size - size % BLOCK)
    block, hashes = -1, list[str]()
    for start, end in proof_of(size, leaves):
        tree = Tree()
        if start % BLOCK == 0:
            for root in roots[start // BLOCK : end // BLOCK]:
                tree.add_block(root)
        rest = start + tree.size
        if rest < end:
            if rest // BLOCK != block:
                block = rest // BLOCK
                hashes = await _hashes(conn, block * BLOCK, min(size, (block + 1) * BLOCK))
            for hash_ in hashes[rest - block * BLOCK : end - block * BLOCK]:
                tree.add(leaf_of(hash_))
        found[start, end] = tree.root()
    return found


async def _hashes(conn: AsyncConnection, after: int, upto: int) -> list[str]:
    """Return the hashes of the events after position `after` and up to position `upto`."""
    if after >= upto:
        return []
    query = (
        select(event_positions.c.position, events.c.hash)
        .select_from(event_positions.join(events, events.c.number == event_positions.c.number))
        .where(event_positions.c.position > after, event_positions.c.position <= upto)
        .order_by(event_positions.c.position)
    )
    rows = (await conn.execute(query)).all()
    if [row.position for row in rows] != list(range(after + 1, upto + 1)):
        raise Incomplete(f"events are missing between the positions {after + 1} and {upto}")
    return [str(row.hash) for row in rows]


async def _block_roots(conn: AsyncConnection, after: int, upto: int) -> list[bytes]:
    """Return the roots of the blocks after position `after` and up to position `upto`, both of which end a block."""
    query = select(event_blocks).where(event_blocks.c.position > after, event_blocks.c.position <= upto)
    rows = (await conn.execute(query.order_by(event_blocks.c.position))).all()
    if [row.position for row in rows] != list(range(after + BLOCK, upto + 1, BLOCK)):
        raise Incomplete(f"block roots are missing between the positions {after + 1} and {upto}")
    try:
        return [bytes.fromhex(row.root) for row in rows]
    except (TypeError, ValueError) as error:
        raise Incomplete(f"a block root between the positions {after + 1} and {upto} cannot be read") from error
