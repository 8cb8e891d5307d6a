"""Comments and attachments of a case. Each comment and each attachment is an event in the audit log.

A comment has no row of its own: its text is in the part of the event that can be erased.
"""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from sqlalchemy import ColumnElement, Select, func, select

from domain.case import CaseEvent
from store.audit import audit_log
from store.audit.audit_log import OF_A_CASE, StoredEvent, stored
from store.cases.erased_files import not_any_more
from store.db.client_keys import scoped_key
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.tables.audit import events
from store.tables.cases import attachments

COMMENT = "comment_added"
MOST_ATTACHMENTS = 50
"""The maximum number of attachments of one case."""
MOST_COMMENTS = 500
"""The maximum number of comments of one person on one case."""


class TooMany(ValueError):
    """The case has more than 50 attachments, or more than 500 comments of one person; the caller must undo the
    transaction.
    """


class Comment(BaseModel):
    """One comment on a case."""

    comment_id: str
    by: str
    at: datetime
    text: str | None
    """None when the text was erased."""


class Attachment(BaseModel):
    """A file of a case. `size` is in bytes."""

    model_config = ConfigDict(from_attributes=True)

    attachment_id: str
    case_id: str
    filename: str
    size: int
    sha256: str
    content_type: str
    person: str
    note: str
    at: datetime


async def comment(conn: AsyncConnection, case_id: str, by: str, text: str, key: str, at: datetime) -> Comment:
    """Add a comment to a case and return the comment.

    `key` is the Idempotency-Key of the HTTP request. A second call of the same person with the same `key` for this case
    adds nothing and returns the first comment. Raises TooMany if the person has added 500 comments to this case.
    """
    comment_id = scoped_key(by, key)[:24]
    event = CaseEvent(
        event_id=f"comment/{case_id}/{comment_id}",
        case_id=case_id,
        at=at,
        kind=COMMENT,
        actor=by,
        summary=f"{by}: {text}",
        data={"comment_id": comment_id, "text": text},
    )
    if (await audit_log.add(conn, [event])).added:
        own = select(func.count()).where(*_comments_of(case_id), events.c.actor == by)
        if (await conn.execute(own)).scalar_one() > MOST_COMMENTS:
            raise TooMany(f"one person can add at most {MOST_COMMENTS} comments to a case: attach a file instead")
    (there,) = await _read_comments(conn, OF_A_CASE.where(events.c.event_id == event.event_id))
    return there


async def comments(conn: AsyncConnection, case_id: str, after: int = 0, limit: int = 50) -> list[tuple[int, Comment]]:
    """Return the first `limit` comments of a case after the number `after`, oldest first, each with its number.

    The numbers are those of the events of the case (`seq`), so they have gaps.
    """
    query = OF_A_CASE.where(*_comments_of(case_id), events.c.seq > after).order_by(events.c.seq).limit(limit)
    rows = (await conn.execute(query)).mappings().all()
    return [(row["seq"], _comment(stored(row))) for row in rows]


async def newest_comments(conn: AsyncConnection, case_id: str, limit: int) -> list[Comment]:
    """Return the newest `limit` comments of a case, oldest first."""
    query = OF_A_CASE.where(*_comments_of(case_id)).order_by(events.c.seq.desc()).limit(limit)
    return (await _read_comments(conn, query))[::-1]


def _comments_of(case_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return events.c.case_id == case_id, events.c.kind == COMMENT


async def _read_comments(conn: AsyncConnection, query: Select[Any]) -> list[Comment]:
    return [_comment(stored(row)) for row in (await conn.execute(query)).mappings()]


def _comment(event: StoredEvent) -> Comment:
    return Comment(
        comment_id=event.event_id.rpartition("/")[2],
        by=event.actor,
        at=event.at,
        text=None if event.erased else event.data["text"],
    )


async def attach(conn: AsyncConnection, new: Attachment) -> Attachment:
    """Add an attachment to a case and return it.

    If the same person attached the same bytes to the case before, add nothing and return the earlier attachment. Raises
    TooMany if the case has 50 attachments.
    """
    count = select(func.count()).where(attachments.c.case_id == new.case_id)
    if await insert_once(conn, attachments, new.model_dump()):
        if (await conn.execute(count)).scalar_one() > MOST_ATTACHMENTS:
            raise TooMany(
                f"This case has {MOST_ATTACHMENTS} attachments, the most that are possible. "
                "Say in a comment where the file can be found."
            )
        event = CaseEvent(
            event_id=f"attachment/{new.attachment_id}",
            case_id=new.case_id,
            at=new.at,
            kind="attachment_added",
            actor=new.person,
            summary=f"{new.person} attached {new.filename}" + (f": {new.note}" if new.note else ""),
            data=new.model_dump(mode="json", include={"attachment_id", "filename", "size", "sha256", "note"}),
        )
        await audit_log.append(conn, [event])
        await not_any_more(conn, f"attachments/{new.sha256}")
        return new
    same = select(attachments).where(
        attachments.c.case_id == new.case_id,
        attachments.c.sha256 == new.sha256,
        attachments.c.person == new.person,
    )
    return Attachment.model_validate((await conn.execute(same)).one())


async def attached(conn: AsyncConnection, case_id: str) -> list[Attachment]:
    """Return the attachments of a case, oldest first."""
    query = select(attachments).where(attachments.c.case_id == case_id)
    rows = await conn.execute(query.order_by(attachments.c.at, attachments.c.attachment_id))
    return [Attachment.model_validate(row) for row in rows]


async def attachment(conn: AsyncConnection, case_id: str, attachment_id: str) -> Attachment | None:
    """Return the attachment of a case that has this id; None if the case has no attachment with this id."""
    query = select(attachments).where(attachments.c.case_id == case_id, attachments.c.attachment_id == attachment_id)
    row = (await conn.execute(query)).one_or_none()
    return Attachment.model_validate(row) if row else None
