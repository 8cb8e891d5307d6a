"""The append-only audit log: each event has a position in one global order and in the hash chain of its case.

`hashing.py` defines what the hashes cover; the package `verification` checks them.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import BaseModel
from sqlalchemy import bindparam, func, insert, select, update

from domain.case import CaseEvent, ChainHead
from store.audit.hashing import CHECKPOINT_EVERY, digest_of, hash_of, payload_of, run_on
from store.audit.verification import Verification as Verification, verify as verify
from store.db.connection import AsyncConnection
from store.db.database import fit
from store.db.prepared import prepared
from store.tables.audit import chain, checkpoints, event_payloads, events
from store.tables.cases import cases

ENGINE = "holdgate"
"""The actor of events that the software causes by itself."""


def is_person(by: str) -> bool:
    """Return True if an actor is a person who signs in to Holdgate.

    Return False for the command line and for the software itself.
    """
    return ":" not in by and by != ENGINE


class UnknownCase(LookupError):
    """The case has no row, so no event can be stored for it."""


class StoredEvent(BaseModel):
    """One event as it is stored in the audit log."""

    position: int
    """Position in the global order, from 1 without gaps; the cursor of readers."""
    event_id: str
    seq: int
    """Position in the chain of its case, from 1."""
    case_id: str
    """Empty for changes of people, tokens and policy."""
    at: datetime
    kind: str
    actor: str
    summary: str
    data: dict[str, Any]
    erased: bool = False
    """True if summary and data were erased; then both are empty."""
    prev_hash: str
    hash: str


class Appended(NamedTuple):
    """The head of the case's chain, and the number of new events."""

    head: ChainHead
    added: int


async def append(conn: AsyncConnection, new: Sequence[CaseEvent]) -> ChainHead:
    """Append the events of one case, or admin events with case_id "", and return the head of their chain.

    An event whose id is already stored is not written again. Raises UnknownCase when the case has no row.
    """
    return (await add(conn, new)).head


async def add(conn: AsyncConnection, new: Sequence[CaseEvent]) -> Appended:
    """Append events like `append`. Return the head of the chain, and how many of the events were not stored before."""
    return await (await prepare(conn, new)).write()


async def prepare(conn: AsyncConnection, new: Sequence[CaseEvent]) -> "Prepared":
    """Give the events of one case their positions in its chain.

    The caller must write the events last in its transaction, with `Prepared.write`.

    Before `write` only the case is locked. `write` also locks the global order, which every writer needs. Each
    transaction locks rows first and the global order last, so two transactions never deadlock. Raises UnknownCase when
    the case has no row.
    """
    (case_id,) = {event.case_id for event in new}
    await (_lock_case(conn, case_id) if case_id else _lock_order(conn))
    head, stored = await _state(conn, case_id, [event.event_id for event in new])
    fresh = {event.event_id: event for event in new if event.event_id not in stored}
    return Prepared(conn, head, list(fresh.values()))


async def begin(conn: AsyncConnection, first: Sequence[CaseEvent]) -> dict[str, ChainHead]:
    """Append the first event of each case; the case rows were inserted in the same transaction."""
    chains = Chains()
    await _write(conn, chains, [chains.sealed(event) for event in first])
    return chains.heads


async def note(conn: AsyncConnection, kind: str, *, by: str, summary: str, data: dict[str, Any]) -> None:
    """Append an event about a change of people, tokens or policy."""
    event = CaseEvent(
        event_id=f"admin/{uuid4()}", case_id="", at=datetime.now(UTC), kind=kind, actor=by, summary=summary, data=data
    )
    await append(conn, [event])


async def page(
    conn: AsyncConnection, case_id: str | None = None, since: int = 0, limit: int = 200
) -> list[StoredEvent]:
    """Return events after position `since` in the global order.

    `case_id` selects the events of one case; "" selects events without a case, None selects all events.
    """
    query = (
        select(events, event_payloads.c.payload)
        .outerjoin(event_payloads, event_payloads.c.position == events.c.position)
        .where(events.c.position > since)
        .order_by(events.c.position)
        .limit(limit)
    )
    if case_id is not None:
        query = query.where(events.c.case_id == case_id if case_id else events.c.case_id.is_(None))
    return [stored(row) for row in (await conn.execute(query)).mappings()]


async def recent(conn: AsyncConnection, case_id: str, kinds: Sequence[str], since: datetime) -> list[StoredEvent]:
    """Return the events of one case with one of these kinds, from the moment `since` on, oldest first."""
    query = (
        select(events, event_payloads.c.payload)
        .outerjoin(event_payloads, event_payloads.c.position == events.c.position)
        .where(events.c.case_id == case_id, events.c.kind.in_(kinds), events.c.at >= since)
        .order_by(events.c.position)
    )
    return [stored(row) for row in (await conn.execute(query)).mappings()]


async def count(conn: AsyncConnection, case_id: str, kind: str) -> int:
    """Return the number of events of one kind in a case; with "", of events without a case."""
    of_case = events.c.case_id == case_id if case_id else events.c.case_id.is_(None)
    return int(await conn.scalar(select(func.count()).where(of_case, events.c.kind == kind)) or 0)


async def position(conn: AsyncConnection) -> int:
    """Return the newest position of the global order; 0 for an empty audit log."""
    return int((await conn.execute(select(chain.c.position))).scalar_one())


# ------------------------------------------------------------------------------------------------------------- writing


class Chains:
    """The chains of several cases, extended in memory by events that are not written yet."""

    def __init__(self) -> None:
        self.heads: dict[str, ChainHead] = {}
        """The head of each chain; a chain without an entry starts with the next event."""

    def sealed(self, event: CaseEvent) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the next event row of its case and its payload row, without the global position."""
        before = self.heads.get(event.case_id, ChainHead())
        salt, payload = secrets.token_hex(16), payload_of(event)
        envelope: dict[str, Any] = {
            "event_id": event.event_id,
            "case_id": event.case_id,
            "seq": before.count + 1,
            "at": event.at,
            "kind": fit(event.kind, events.c.kind),
            "actor": fit(event.actor, events.c.actor),
            "digest": digest_of(salt, payload),
            "prev_hash": before.hash,
        }
        hash_ = hash_of(**envelope)
        self.heads[event.case_id] = ChainHead(count=before.count + 1, hash=hash_)
        return envelope | {"case_id": event.case_id or None, "hash": hash_}, {"salt": salt, "payload": payload}


class Prepared:
    """Events that have a position in the chain of their case but are not written yet."""

    def __init__(self, conn: AsyncConnection, head: ChainHead, fresh: Sequence[CaseEvent]) -> None:
        self._conn = conn
        self._chains = Chains()
        for event in fresh:
            self._chains.heads.setdefault(event.case_id, head)
        self._rows = [self._chains.sealed(event) for event in fresh]
        self.head = self._chains.heads[fresh[0].case_id] if fresh else head
        """The head of the chain after these events are written."""
        self.added = len(fresh)
        """The number of new events."""

    async def write(self) -> Appended:
        """Write the events."""
        if self._rows:
            await _write(self._conn, self._chains, self._rows)
        return Appended(self.head, self.added)


async def _write(conn: AsyncConnection, chains: Chains, new: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Insert the events and give them their positions in the global order."""
    if not new:
        return
    position, running = await _lock_order(conn)
    rows, payloads, marks = [], [], []
    for event, payload in new:
        position, running = position + 1, run_on(running, event["hash"])
        rows.append(event | {"position": position})
        payloads.append(payload | {"position": position})
        if position % CHECKPOINT_EVERY == 0:
            marks.append({"position": position, "hash": running})
    await conn.execute(_INSERT_EVENTS, rows)
    await conn.execute(_INSERT_PAYLOADS, payloads)
    if marks:
        await conn.execute(insert(checkpoints), marks)
    await conn.execute(_MOVE_ORDER, {"position": position, "hash": running})
    heads = [
        {"of_case": case_id, "count": head.count, "hash": head.hash}
        for case_id, head in chains.heads.items()
        if case_id
    ]
    if heads:
        await conn.execute(_MOVE_HEAD, heads)


async def _lock_order(conn: AsyncConnection) -> tuple[int, str]:
    # SQLite holds its one write lock already; PostgreSQL queues writers on this row, so positions have no gaps.
    row = (await conn.execute(_LOCK)).one()
    return row.position, row.hash


async def _lock_case(conn: AsyncConnection, case_id: str) -> None:
    # A separate statement: only the next statement sees what this one waited for.
    if conn.dialect.name == "postgresql":
        its = select(cases.c.case_id).where(cases.c.case_id == case_id)
        await conn.execute(its.with_for_update(key_share=True))


_LOCK = prepared(select(chain.c.position, chain.c.hash).with_for_update())
_INSERT_EVENTS = prepared(insert(events))
_INSERT_PAYLOADS = prepared(insert(event_payloads))
_MOVE_ORDER = prepared(update(chain))
_MOVE_HEAD = prepared(
    update(cases)
    .where(cases.c.case_id == bindparam("of_case"))
    .values(head_count=bindparam("count"), head_hash=bindparam("hash"))
)
_STATE = prepared(
    select(cases.c.head_count, cases.c.head_hash, events.c.event_id)
    .outerjoin(events, events.c.event_id.in_(bindparam("event_ids", expanding=True)))
    .where(cases.c.case_id == bindparam("of_case"))
)


async def _state(conn: AsyncConnection, case_id: str, event_ids: list[str]) -> tuple[ChainHead, set[str]]:
    """Return the head of the chain, and which of the events are already stored."""
    if not case_id:
        return await _admin_head(conn), await _stored_ids(conn, event_ids)
    rows = (await conn.execute(_STATE, {"of_case": case_id, "event_ids": event_ids})).all()
    if not rows:
        raise UnknownCase(f"there is no case {case_id}")
    head = ChainHead(count=rows[0].head_count, hash=rows[0].head_hash)
    return head, {row.event_id for row in rows if row.event_id is not None}


async def _admin_head(conn: AsyncConnection) -> ChainHead:
    newest = (
        select(events.c.seq, events.c.hash).where(events.c.case_id.is_(None)).order_by(events.c.seq.desc()).limit(1)
    )
    row = (await conn.execute(newest)).one_or_none()
    return ChainHead(count=row.seq, hash=row.hash) if row else ChainHead()


async def _stored_ids(conn: AsyncConnection, event_ids: list[str]) -> set[str]:
    found = await conn.execute(select(events.c.event_id).where(events.c.event_id.in_(event_ids)))
    return set(found.scalars())


def stored(row: Any) -> StoredEvent:
    """Build a StoredEvent from a row of `events` with its `payload`."""
    said = json.loads(row["payload"]) if row["payload"] is not None else {}
    return StoredEvent(
        position=row["position"],
        event_id=row["event_id"],
        seq=row["seq"],
        case_id=row["case_id"] or "",
        at=row["at"],
        kind=row["kind"],
        actor=row["actor"],
        summary=said.get("summary", ""),
        data=said.get("data", {}),
        erased=row["payload"] is None,
        prev_hash=row["prev_hash"],
        hash=row["hash"],
    )
