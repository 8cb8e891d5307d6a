"""Sign checkpoints of the audit log. A worker does this in the background.

Before it signs, a worker checks that the audit log still begins with exactly the events and seals of the newest
checkpoint that this worker knows. If not, it signs nothing, because somebody rewrote the audit log or restored an older
backup: a person must look.

A checkpoint is first appended to a file and then stored in the database. If a worker is killed before, in between or
after, the next checkpoint covers the same events again.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import select

from store.audit.checkpoints.files import Export, newest
from store.audit.checkpoints.note import Checkpoint, SigningKey, VerifierKey, opened
from store.audit.checkpoints.stored_tree import Incomplete, extended
from store.audit.tree import Tree
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_into, insert_once
from store.tables.audit import chain, checkpoints, seal_positions
from store.tables.notifications import leases

PAUSE = timedelta(seconds=10)
"""All workers together sign at most one checkpoint in this time."""
LEASE = "checkpoint"


class Rewritten(Exception):
    """Raised if the audit log does not continue the newest known checkpoint. The text says what a person must do."""

    safe_to_log = True


class _Covered(NamedTuple):
    """What the newest checkpoint that this worker knows states, with the whole tree and not only its root."""

    tree: Tree
    seals: int = 0
    seals_hash: str = ""


class Signer:
    """Signs the checkpoints of one worker."""

    def __init__(self, database: Database, key: SigningKey, trusted: list[VerifierKey], folder: Path) -> None:
        """`trusted` are the keys of earlier checkpoints, and `folder` is where checkpoints are exported to."""
        self._database = database
        self._key = key
        self._trusted = [key.verifier, *trusted]
        self._folder = folder
        self._export = Export(folder)
        self._covered: _Covered | None = None

    async def look(self) -> int:
        """Sign a checkpoint if there are new events and the last one is old enough. Return how many were signed.

        Raises Rewritten, OSError if the checkpoint cannot be exported, and DatabaseUnavailable.
        """
        now = datetime.now(UTC)
        # Before the snapshot: another worker may export a checkpoint of newer events at any time.
        exported = None if self._covered else await asyncio.to_thread(self._newest_exported)
        async with self._database.read() as conn:
            covered = self._covered or await self._begin(conn, exported)
            new = await _continued(conn, covered)
        self._covered = covered
        if new.tree.size == covered.tree.size or not await self._may_sign(now):
            return 0
        size = new.tree.size
        stated = Checkpoint(self._key.verifier.name, size, new.tree.root(), new.seals, new.seals_hash)
        note = self._key.sign(stated.text())
        await asyncio.to_thread(self._export.append, note, size, now.date())
        async with self._database.write() as conn:
            await insert_once(conn, checkpoints, {"size": size, "at": now, "note": note})
        self._covered = new
        return 1

    async def _begin(self, conn: AsyncConnection, exported: Checkpoint | None) -> _Covered:
        """Return what the newest known checkpoint covers: the exported one, or the stored one. Raises Rewritten."""
        known = exported or await self._newest_stored(conn)
        if known is None:
            return _Covered(Tree())
        try:
            tree = await extended(conn, Tree(), known.size)
        except Incomplete as error:
            raise Rewritten(_said(known.size, str(error))) from error
        if tree.root() != known.root:
            raise Rewritten(_said(known.size, "events were replaced or inserted"))
        return _Covered(tree, known.seals, known.seals_hash)

    def _newest_exported(self) -> Checkpoint | None:
        return next(filter(None, map(self._read, newest(self._folder))), None)

    async def _newest_stored(self, conn: AsyncConnection) -> Checkpoint | None:
        note = await newest_note(conn)
        return self._read(note) if note is not None else None

    def _read(self, note: str) -> Checkpoint | None:
        with suppress(ValueError):
            return Checkpoint.read(opened(note, self._trusted))
        return None

    async def _may_sign(self, now: datetime) -> bool:
        """Take the right to sign the next checkpoint. Return False if a worker took it less than PAUSE ago."""
        mine = {"name": LEASE, "holder": self._key.verifier.name, "until": now + PAUSE}
        async with self._database.write() as conn:
            taking = (
                insert_into(conn, leases)
                .values(mine)
                .on_conflict_do_update(index_elements=[leases.c.name], set_=mine, where=leases.c.until <= now)
            )
            return (await conn.execute(taking.returning(leases.c.name))).first() is not None


async def newest_note(conn: AsyncConnection) -> str | None:
    """Return the newest stored checkpoint; None if there is none.

    A row that claims more events than there are is ignored: an attacker inserted the row, and `audit verify` names it.
    """
    possible = checkpoints.c.size <= select(chain.c.position).scalar_subquery()
    query = select(checkpoints.c.note).where(possible).order_by(checkpoints.c.size.desc()).limit(1)
    note: str | None = (await conn.execute(query)).scalar_one_or_none()
    return note


async def _continued(conn: AsyncConnection, covered: _Covered) -> _Covered:
    """Return what a checkpoint of this moment covers. Raises Rewritten if it does not continue `covered`."""
    head = (await conn.execute(select(chain.c.position, chain.c.peaks, chain.c.seals, chain.c.seals_hash))).one()
    if head.position < covered.tree.size or head.seals < covered.seals:
        raise Rewritten(_said(covered.tree.size, f"the audit log ends at position {head.position}"))
    try:
        tree = await extended(conn, covered.tree, head.position)
    except Incomplete as error:
        raise Rewritten(_said(covered.tree.size, str(error))) from error
    if tree.text() != head.peaks:
        raise Rewritten(_said(covered.tree.size, "events were replaced or inserted"))
    at_seal = select(seal_positions.c.hash).where(seal_positions.c.position == covered.seals)
    if covered.seals and (await conn.execute(at_seal)).scalar_one_or_none() != covered.seals_hash:
        raise Rewritten(_said(covered.tree.size, "seals were replaced"))
    return _Covered(tree, head.seals, head.seals_hash)


def _said(size: int, reason: str) -> str:
    return (
        f"the audit log does not continue the checkpoint of {size} events: {reason}. It was rewritten, or an older"
        " backup was restored. No checkpoint is signed. Run ./holdgate audit verify, see docs/operate/checkpoints.md"
    )
