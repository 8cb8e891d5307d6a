"""Search the audit log by case, actor, kind, time or words, and load cases, files and policies for the results."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypedDict, Unpack, cast

from sqlalchemy import ColumnElement, Select, func, select

from store.audit import audit_log
from store.audit.audit_log import StoredEvent, stored
from store.audit.evidence import Attachment
from store.audit.hashing import Envelope, written
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.db.text_search import json_says
from store.tables.audit import event_payloads, event_positions, events
from store.tables.cases import attachments, cases, policies

RECENT = 20_000
"""`kinds` returns the kinds of so many of the newest events."""


class EventFilter(TypedDict, total=False):
    """The filters of a search of the audit log.

    A filter that is None does not restrict the result, nor does an empty `actor`, `kind` or `text`.
    """

    case_id: str | None
    """Empty for events without a case, such as changes of people, tokens and policy."""
    actor: str | None
    kind: str | None
    since: datetime | None
    """From this moment on."""
    until: datetime | None
    """Before this moment."""
    readable: ColumnElement[bool] | None
    """The condition that the reader may read an event, from `store.audit.scoped.readable`; None for every event."""
    text: str | None
    """Words that must all be in the summary or the data of the event, without regard to case and accents."""


async def oldest(
    conn: AsyncConnection, *, after: int = 0, limit: int = 500, **sought: Unpack[EventFilter]
) -> list[StoredEvent]:
    """Return the first `limit` matching events after position `after`, oldest first.

    An event without a position is not included.
    """
    query = audit_log.in_order(after).where(*_conditions(sought))
    return [stored(row) for row in (await conn.execute(query.limit(limit))).mappings()]


async def newest(
    conn: AsyncConnection, *, before: int | None = None, limit: int = 50, **sought: Unpack[EventFilter]
) -> list[StoredEvent]:
    """Return the last `limit` matching events before position `before`, newest first.

    If `before` is None, return the newest matching events. An event without a position is not included.
    """
    query = audit_log.IN_ORDER.where(*_conditions(sought)).order_by(event_positions.c.position.desc())
    if before is not None:
        query = query.where(event_positions.c.position < before)
    return [stored(row) for row in (await conn.execute(query.limit(limit))).mappings()]


class HashedEvent(NamedTuple):
    """An event with all that its hash is computed from: see `store.audit.hashing`."""

    position: int
    envelope: dict[str, Any]
    hash: str
    salt: str | None
    payload: str | None
    """None if the content was erased, and `salt` with it."""


async def hashed(
    conn: AsyncConnection, *, after: int = 0, limit: int = 500, **sought: Unpack[EventFilter]
) -> list[HashedEvent]:
    """Return the events that `oldest` returns, with all that their hashes are computed from."""
    query = audit_log.in_order(after).add_columns(event_payloads.c.salt).where(*_conditions(sought))
    found = []
    for row in (await conn.execute(query.limit(limit))).mappings():
        parts = {name: row[name] for name in Envelope.__annotations__} | {"case_id": row["case_id"] or ""}
        envelope = written(cast(Envelope, parts))
        found.append(HashedEvent(row["position"], envelope, row["hash"], row["salt"], row["payload"]))
    return found


async def count(conn: AsyncConnection, **sought: Unpack[EventFilter]) -> int:
    """Return the number of matching events that have a position."""
    return int(await conn.scalar(_joined(select(func.count())).where(*_conditions(sought))) or 0)


async def kinds(conn: AsyncConnection) -> list[str]:
    """Return the event kinds that occur among the newest `RECENT` events of the audit log, in alphabetical order."""
    recent = select(events.c.kind).order_by(events.c.number.desc()).limit(RECENT).subquery()
    return list((await conn.execute(select(recent.c.kind).distinct().order_by(recent.c.kind))).scalars())


async def case_ids(conn: AsyncConnection, **sought: Unpack[EventFilter]) -> list[str]:
    """Return the ids of the cases that have matching events with a position, in alphabetical order."""
    query = _joined(select(events.c.case_id)).where(events.c.case_id.is_not(None), *_conditions(sought))
    return list((await conn.execute(query.distinct().order_by(events.c.case_id))).scalars())


async def cases_of(conn: AsyncConnection, ids: Sequence[str]) -> list[CaseRow]:
    """Return the rows of these cases in the order of their ids. An id without a row is left out."""
    query = select(cases).where(cases.c.case_id.in_(ids)).order_by(cases.c.case_id)
    return [CaseRow.model_validate(row) for row in await conn.execute(query)]


async def attachments_of(conn: AsyncConnection, ids: Sequence[str]) -> list[Attachment]:
    """Return the attachments of these cases in the order of the case ids, those of one case oldest first."""
    query = select(attachments).where(attachments.c.case_id.in_(ids))
    rows = await conn.execute(query.order_by(attachments.c.case_id, attachments.c.at, attachments.c.attachment_id))
    return [Attachment.model_validate(row) for row in rows]


async def policy_texts(conn: AsyncConnection, hashes: Iterable[str]) -> dict[str, str]:
    """Return the texts of policies by their hashes. A hash without a stored policy is left out."""
    query = select(policies.c.hash, policies.c.text).where(policies.c.hash.in_(list(hashes)))
    return {row.hash: row.text for row in await conn.execute(query.order_by(policies.c.hash))}


def _joined(query: Select[Any]) -> Select[Any]:
    return query.select_from(audit_log.SEQUENCED)


def _conditions(sought: EventFilter) -> list[ColumnElement[bool]]:
    case_id, since, until, text = (sought.get(name) for name in ("case_id", "since", "until", "text"))
    found: list[ColumnElement[bool]] = []
    if (condition := sought.get("readable")) is not None:
        found.append(condition)
    if case_id is not None:
        found.append(events.c.case_id == case_id if case_id else events.c.case_id.is_(None))
    if actor := sought.get("actor"):
        found.append(events.c.actor == actor)
    if kind := sought.get("kind"):
        found.append(events.c.kind == kind)
    if since is not None:
        found.append(events.c.at >= since)
    if until is not None:
        found.append(events.c.at < until)
    if isinstance(text, str) and text:
        found.append(json_says(event_payloads.c.payload, text))
    return found
