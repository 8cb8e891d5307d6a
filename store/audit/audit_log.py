"""The append-only audit log: each event has a place in the hash chain of its case and a position in one global order.

A transaction writes the place in the chain of the case. `sequencing.py` says when the event gets its position, and
`hashing.py` which data the hashes cover. The package `verification` checks chains and positions.
"""

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

from pydantic import BaseModel
from sqlalchemy import Select, bindparam, func, insert, select, text, update

from domain.case import CaseEvent, ChainHead
from domain.erasure import ContentErased
from store.audit.hashing import digest_of, hash_of, payload_of
from store.audit.seals import SealingConnection
from store.audit.sequencing import NewEvent
from store.audit.verification import Verification as Verification, verify as verify
from store.db.connection import AsyncConnection
from store.db.database import fit
from store.db.prepared import prepared
from store.tables.audit import caseless_head, chain, event_payloads, event_positions, events
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
    """Position in the global order, from 1 without gaps; the cursor of readers.

    0 if the event has no position yet, and in lists that are ordered by `seq`.
    """
    event_id: str
    seq: int
    """Position in the chain of its case, from 1."""
    case_id: str
    """Empty for an event without a case, such as a change of people, tokens or policy."""
    at: datetime
    kind: str
    actor: str
    summary: str
    data: dict[str, Any]
    erased: bool = False
    """True if summary and data were erased or removed; then both are empty."""
    prev_hash: str
    hash: str


class Appended(NamedTuple):
    """The head of the chain after an append, and the number of events that were not stored before."""

    head: ChainHead
    added: int


async def append(conn: AsyncConnection, new: Sequence[CaseEvent]) -> ChainHead:
    """Append the events of one case, or events with case_id "", and return the head of their chain.

    `new` is at least one event. An event whose id is already stored is not written again. Raises UnknownCase when the
    case has no row.
    """
    return (await add(conn, new)).head


async def add(conn: AsyncConnection, new: Sequence[CaseEvent]) -> Appended:
    """Append events like `append`. Return the head of the chain, and how many of the events were not stored before."""
    return await (await prepare(conn, new)).write()


async def prepare(conn: AsyncConnection, new: Sequence[CaseEvent]) -> "Prepared":
    """Give the events of one case their positions in its chain.

    The caller must write the events last in its transaction, with `Prepared.write`.

    `prepare` locks the chain until the transaction ends: the row of the case, or the one head of events without a case.
    A transaction that locks other rows too must append events without a case last, so that two transactions never
    deadlock. Raises UnknownCase when the case has no row, and ContentErased when its content was erased.
    """
    (case_id,) = {event.case_id for event in new}
    head = await _locked_head(conn, case_id)
    stored = await _stored_ids(conn, [event.event_id for event in new])
    fresh = {event.event_id: event for event in new if event.event_id not in stored}
    return Prepared(conn, head, list(fresh.values()))


async def begin(conn: AsyncConnection, first: Sequence[CaseEvent]) -> dict[str, ChainHead]:
    """Append the first event of each case, and return the heads of the chains by case id.

    The caller has inserted the rows of the cases in the same transaction.
    """
    chains = Chains()
    await _write(conn, chains, [chains.sealed(event) for event in first])
    return chains.heads


async def note(conn: AsyncConnection, kind: str, *, by: str, summary: str, data: dict[str, Any]) -> None:
    """Append an event about a change of people, tokens or policy."""
    await append(conn, [noted(kind, by=by, summary=summary, data=data)])


def noted(kind: str, *, by: str, summary: str, data: dict[str, Any]) -> CaseEvent:
    """Return an event about a change of people, tokens or policy, which `append` can write with others at once."""
    return CaseEvent(
        event_id=f"admin/{uuid4()}", case_id="", at=datetime.now(UTC), kind=kind, actor=by, summary=summary, data=data
    )


async def page(
    conn: AsyncConnection, case_id: str | None = None, since: int = 0, limit: int = 200
) -> list[StoredEvent]:
    """Return the first `limit` events after position `since` in the global order.

    `case_id` selects the events of one case; "" selects events without a case, None selects all events. An event
    without a position is not included.
    """
    query = in_order(since).limit(limit)
    if case_id is not None:
        query = query.where(events.c.case_id == case_id if case_id else events.c.case_id.is_(None))
    return [stored(row) for row in (await conn.execute(query)).mappings()]


async def recent(conn: AsyncConnection, case_id: str, kinds: Sequence[str], since: datetime) -> list[StoredEvent]:
    """Return the events of one case with one of these kinds, from the moment `since` on, oldest first."""
    of_case = (events.c.case_id == case_id, events.c.kind.in_(kinds), events.c.at >= since)
    query = OF_A_CASE.where(*of_case).order_by(events.c.seq)
    return [stored(row) for row in (await conn.execute(query)).mappings()]


async def count(conn: AsyncConnection, case_id: str, kind: str) -> int:
    """Return the number of events of one kind in a case; with "", of events without a case."""
    of_case = events.c.case_id == case_id if case_id else events.c.case_id.is_(None)
    return int(await conn.scalar(select(func.count()).where(of_case, events.c.kind == kind)) or 0)


async def position(conn: AsyncConnection) -> int:
    """Return the newest position of the global order; 0 for an empty audit log."""
    return int((await conn.execute(_POSITION)).scalar_one())


OF_A_CASE = select(events, event_payloads.c.payload).outerjoin(
    event_payloads, event_payloads.c.number == events.c.number
)
"""Events without their positions, for lists that are ordered by `seq`. Such a list shows an event as soon as the event
is committed.
"""

SEQUENCED = event_positions.join(events, events.c.number == event_positions.c.number).outerjoin(
    event_payloads, event_payloads.c.number == events.c.number
)
"""The events that have a position, with their payloads."""

IN_ORDER = select(event_positions.c.position, events, event_payloads.c.payload).select_from(SEQUENCED)


def in_order(since: int, upto: int | None = None) -> Select[Any]:
    """Select the events after position `since`, and up to position `upto`, in the global order."""
    query = IN_ORDER.where(event_positions.c.position > since).order_by(event_positions.c.position)
    return query if upto is None else query.where(event_positions.c.position <= upto)


# ------------------------------------------------------------------------------------------------------------- writing


class Chains:
    """The chains of several cases, extended in memory by events that are not written yet."""

    def __init__(self) -> None:
        self.heads: dict[str, ChainHead] = {}
        """The head of each chain; a chain without an entry starts with the next event."""

    def sealed(self, event: CaseEvent) -> tuple[dict[str, Any], dict[str, Any]]:
        """Extend the chain of the event's case by the event. Return the row of the event and the row of its payload.

        Neither row has a number or a global position yet.
        """
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
        """Write the events. Return the head of the chain, and the number of new events."""
        if self._rows:
            await _write(self._conn, self._chains, self._rows)
        return Appended(self.head, self.added)


async def _write(conn: AsyncConnection, chains: Chains, new: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Insert the events, and move the heads of their chains.

    The events get their positions at the end of the transaction or after it: see `sequencing`.
    """
    if not new:
        return
    if conn.dialect.name == "postgresql":
        rows = json.dumps([event | payload for event, payload in new], default=_moment_text)
        await conn.execute(_APPEND, {"rows": rows})
    else:
        await _append_now(conn, new)
    heads = [
        {"of_case": case_id, "count": head.count, "hash": head.hash}
        for case_id, head in chains.heads.items()
        if case_id
    ]
    if heads:
        await conn.execute(_MOVE_HEAD, heads)
    if caseless := chains.heads.get(""):
        await conn.execute(_MOVE_CASELESS_HEAD, {"count": caseless.count, "hash": caseless.hash})


async def _append_now(conn: AsyncConnection, new: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    """Insert the events on SQLite. Their numbers are the positions that this transaction will give them."""
    assert isinstance(conn, SealingConnection), "events are written in a transaction of Database.write"
    first = await position(conn) + len(conn.appended) + 1
    rows = [event | {"number": number} for number, (event, _) in enumerate(new, first)]
    payloads = [payload | {"number": number} for number, (_, payload) in enumerate(new, first)]
    await conn.execute(_INSERT_EVENTS, rows)
    await conn.execute(_INSERT_PAYLOADS, payloads)
    conn.appended += [NewEvent(row["number"], row["hash"]) for row in rows]


_COLUMNS = "event_id, case_id, seq, at, kind, actor, digest, prev_hash, hash"
_APPEND = text(f"""
WITH new AS (
  SELECT * FROM json_to_recordset(CAST(:rows AS json)) AS told (
    event_id text, case_id text, seq integer, at timestamptz, kind text, actor text, digest text, prev_hash text,
    hash text, salt text, payload text)
), added AS (
  INSERT INTO events ({_COLUMNS}) SELECT {_COLUMNS} FROM new RETURNING number, event_id
), kept AS (
  INSERT INTO event_payloads (number, salt, payload) SELECT number, salt, payload FROM added JOIN new USING (event_id)
)
INSERT INTO unsequenced (kind, number, at) SELECT 'event', number, clock_timestamp() FROM added
""")
"""Insert events and list them for the sequencer, on PostgreSQL, in one message to the server.

The caller holds the locks of the chains, so that the numbers of a chain grow with `seq`.
"""


def _moment_text(moment: datetime) -> str:
    return moment.isoformat()


_POSITION = prepared(select(chain.c.position))
_INSERT_EVENTS = prepared(insert(events))
_INSERT_PAYLOADS = prepared(insert(event_payloads))
_MOVE_HEAD = prepared(
    update(cases)
    .where(cases.c.case_id == bindparam("of_case"))
    .values(head_count=bindparam("count"), head_hash=bindparam("hash"))
)
_MOVE_CASELESS_HEAD = prepared(update(caseless_head).values(count=bindparam("count"), hash=bindparam("hash")))
_LOCK_HEAD = prepared(
    select(cases.c.head_count.label("count"), cases.c.head_hash.label("hash"), cases.c.erased_at)
    .where(cases.c.case_id == bindparam("of_case"))
    .with_for_update(key_share=True)  # SQLite holds its one write lock already
)
_LOCK_CASELESS_HEAD = prepared(select(caseless_head.c.count, caseless_head.c.hash).with_for_update())
_STORED = prepared(select(events.c.event_id).where(events.c.event_id.in_(bindparam("event_ids", expanding=True))))


async def _locked_head(conn: AsyncConnection, case_id: str) -> ChainHead:
    """Lock the chain of a case, or with "" the chain of events without a case, and return its head."""
    found = await (conn.execute(_LOCK_HEAD, {"of_case": case_id}) if case_id else conn.execute(_LOCK_CASELESS_HEAD))
    row = found.mappings().one_or_none()
    if row is None:
        raise UnknownCase(f"there is no case {case_id}")
    if case_id and row["erased_at"] is not None:
        raise ContentErased("case", row["erased_at"])
    return ChainHead(count=row["count"], hash=row["hash"])


async def _stored_ids(conn: AsyncConnection, event_ids: list[str]) -> set[str]:
    # A separate statement: only the next statement sees what `_locked_head` waited for.
    return set((await conn.execute(_STORED, {"event_ids": event_ids})).scalars())


def stored(row: Any) -> StoredEvent:
    """Build a StoredEvent from a row of `OF_A_CASE` or `IN_ORDER`."""
    said = json.loads(row["payload"]) if row["payload"] is not None else {}
    return StoredEvent(
        position=row.get("position", 0),
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
