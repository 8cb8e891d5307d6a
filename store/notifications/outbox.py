"""The outbox: collect notifications, put them into messages, and keep the messages until they are sent.

Each message is sent at least once, unless it is undeliverable, and its list of notifications never changes.

Only one dispatcher at a time works on the outbox: the holder of the lease. `fan_out.py` creates the notifications from
the audit log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from pydantic import BaseModel
from sqlalchemy import and_, bindparam, case, delete, exists, func, null, or_, select, tuple_, union_all, update

from domain.notification import Letter, NoticeKind
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_into
from store.notifications import account_news, fan_out, message_content
from store.notifications.fan_out import READER, Plan
from store.notifications.message_content import waits_for
from store.people import one_time_links
from store.tables.audit import chain, readers
from store.tables.cases import batches, tasks
from store.tables.notifications import leases, messages, notices
from store.tables.people import people

LEASE = "notices"
LEASE_FOR = timedelta(seconds=15)
"""How long a lease is valid. If a dispatcher dies, the other dispatchers wait for this time."""
PAIRS = 100
"""How many messages are created, or deleted, in one transaction."""
KEPT = timedelta(days=30)
"""How long sent and undeliverable messages are kept at least."""

_WAITING_KINDS = (
    NoticeKind.TASK_OPENED,
    NoticeKind.TASK_REMINDED,
    NoticeKind.TASK_NUDGED,
    NoticeKind.TASK_ESCALATED,
)
"""Kinds of notifications about an open task. Such a notification is obsolete when the person cannot decide the task any
more.
"""


class Due(NamedTuple):
    """A message whose next attempt is due, and the number of earlier attempts."""

    message_id: str
    attempts: int


class Outbox:
    """The outbox as one dispatcher uses it. Every method can raise DatabaseUnavailable."""

    def __init__(self, database: Database, plan: Plan, money: Mapping[str, tuple[str, str]], holder: str) -> None:
        """Set up the outbox; `money` maps a process to the input fields with an amount and its currency."""
        self._database = database
        self._plan = plan
        self._money = money
        self._holder = holder

    async def hold(self, now: datetime) -> bool:
        """Take the lease on the outbox, or renew it. Return False while another dispatcher holds the lease."""
        async with self._database.read() as conn:
            held = (await conn.execute(select(leases).where(leases.c.name == LEASE))).one_or_none()
        if held is not None and held.holder != self._holder and held.until > now:
            return False
        async with self._database.write() as conn:
            mine = {"name": LEASE, "holder": self._holder, "until": now + LEASE_FOR}
            free = or_(leases.c.holder == self._holder, leases.c.until <= now)
            taking = insert_into(conn, leases).values(mine)
            taking = taking.on_conflict_do_update(index_elements=[leases.c.name], set_=mine, where=free)
            taken = (await conn.execute(taking.returning(leases.c.holder))).first() is not None
            if taken and (held is None or held.holder != self._holder):
                await _forget_other_channels(conn, self._plan.channels)
        return taken

    async def let_go(self) -> None:
        """Release the lease on the outbox, so that another dispatcher can take it at once."""
        async with self._database.write() as conn:
            await conn.execute(delete(leases).where(leases.c.name == LEASE, leases.c.holder == self._holder))

    async def advance(self, now: datetime) -> bool:
        """Create notifications from new audit events, and fix the content of the messages that are due.

        Only the holder of the lease may call this.

        Write nothing if there is nothing to do. Return True if there is more to do at once.
        """
        async with self._database.read() as conn:
            unread = await _unread(conn)
            freed = await _freed(conn)
            news = await account_news.waiting(conn)
            if not (unread or freed or news or await _ready(conn, self._plan, now)):
                return False
        async with self._database.write() as conn:
            held = select(leases.c.holder).where(leases.c.name == LEASE).with_for_update()
            if (await conn.execute(held)).scalar_one_or_none() != self._holder:
                return False
            more = await fan_out.fan_out(conn, self._plan, now)
            await fan_out.release(conn, freed)
            if news:
                await account_news.queue(conn, self._plan.channels, now)
            return await _seal(conn, self._plan, now) == PAIRS or more

    async def due(self, channel: str, now: datetime, limit: int) -> Sequence[Due]:
        """Return the messages to send now, longest due first."""
        query = (
            select(messages.c.message_id, messages.c.attempts)
            .where(messages.c.state == "waiting", messages.c.channel == channel, messages.c.next_at <= now)
            .order_by(messages.c.next_at, messages.c.message_id)
            .limit(limit)
        )
        async with self._database.read() as conn:
            return [Due(*row) for row in await conn.execute(query)]

    async def letter(self, message_id: str) -> Letter | None:
        """Return the content of a message; None if the person who gets the message is not active any more.

        If the message contains a one-time link, this call creates the secret of the link, for this attempt to send the
        message. So the secret of the link is stored nowhere.
        """
        async with self._database.read() as conn:
            letter = await message_content.letter(conn, message_id, self._money)
            link = await message_content.link_of(conn, message_id) if letter and letter.account else None
        if letter is None or letter.account is None or link is None:
            return letter
        async with self._database.write() as conn:
            code = await one_time_links.seal(conn, link, datetime.now(UTC))
        return replace(letter, account=letter.account.model_copy(update={"code": code}))

    async def sent(self, message_id: str, now: datetime) -> None:
        """Mark a message as sent. The window in which the person gets no other message starts at `now`."""
        await self._tried(message_id, "sent", now, None)

    async def postponed(self, message_id: str, until: datetime, why: str) -> None:
        """Store that the next attempt to send the message is at `until`, and the reason `why` for the delay."""
        await self._tried(message_id, "waiting", until, why)

    async def refused(self, message_id: str, now: datetime, why: str) -> None:
        """Mark a message as undeliverable, with the reason `why`. The message is not sent again."""
        await self._tried(message_id, "refused", now, why)

    async def tidy(self, now: datetime) -> bool:
        """Delete some of the messages that were sent, or found undeliverable, more than 30 days ago, except messages
        about open tasks.

        Return True if there are more messages to delete.
        """
        async with self._database.write() as conn:
            await account_news.forget_addresses(conn, now)
            return await _tidy(conn, now)

    async def _tried(self, message_id: str, state: str, next_at: datetime, problem: str | None) -> None:
        async with self._database.write() as conn:
            await conn.execute(
                update(messages)
                .where(messages.c.message_id == message_id, messages.c.state == "waiting")
                .values(state=state, next_at=next_at, problem=problem, attempts=messages.c.attempts + 1)
            )


# ---------------------------------------------------------------------------------------------------------- for sealing


async def _unread(conn: AsyncConnection) -> int:
    """Return the number of audit events that were not read yet."""
    came = select(readers.c.position).where(readers.c.name == READER).scalar_subquery()
    return int((await conn.execute(select(chain.c.position - came))).scalar_one())


async def _freed(conn: AsyncConnection) -> dict[str, datetime]:
    """Return the imports that have ended and for whose end notifications wait, each with the time of its end."""
    waited_for = select(notices.c.held_by).where(notices.c.held_by.is_not(None))
    ended = batches.c.closed_at.is_not(None)
    query = select(batches.c.batch_id, batches.c.closed_at).where(batches.c.batch_id.in_(waited_for), ended)
    return {row.batch_id: row.closed_at for row in await conn.execute(query)}


async def _ready(conn: AsyncConnection, plan: Plan, now: datetime) -> list[dict[str, str]]:
    """Return the (person, channel) pairs for which a message can be created now.

    These pairs have due notifications and no unsent message, and no message was sent to them within the window.
    """
    pair = (
        select(notices.c.channel, notices.c.person)
        .where(notices.c.message_id.is_(None), notices.c.due_at <= now)
        .distinct()
        .subquery()
    )
    before = and_(
        messages.c.person == pair.c.person, messages.c.channel == pair.c.channel, messages.c.news_id.is_(None)
    )
    just_now = and_(messages.c.state.in_(("sent", "refused")), messages.c.next_at > now - plan.window)
    query = (
        select(pair)
        .where(~exists().where(before, messages.c.state == "waiting"), ~exists().where(before, just_now))
        .order_by(pair.c.person, pair.c.channel)
        .limit(PAIRS)
    )
    return [{"to": row.person, "through": row.channel} for row in await conn.execute(query)]


async def _seal(conn: AsyncConnection, plan: Plan, now: datetime) -> int:
    """Create a message for each person and channel that has due notifications and may get a message now.

    Return the number of pairs of person and channel that had due notifications, also if all of these were obsolete.

    Notifications that are obsolete by now are deleted. The notifications of a created message never change, because its
    first attempt may arrive although it seems to fail.
    """
    pairs = await _ready(conn, plan, now)
    if not pairs:
        return 0
    await conn.execute(_drop_pointless(plan, pairs))
    still = await _ready(conn, plan, now)
    sealed = [pair | {"message": uuid4().hex} for pair in pairs if pair in still]
    if sealed:
        await conn.execute(
            insert_into(conn, messages),
            [
                {
                    "message_id": each["message"],
                    "channel": each["through"],
                    "person": each["to"],
                    "state": "waiting",
                    "attempts": 0,
                    "next_at": now,
                }
                for each in sealed
            ],
        )
        await conn.execute(_LINK, [each | {"now": now} for each in sealed])
    return len(pairs)


_LINK = (
    update(notices)
    .where(notices.c.message_id.is_(None))
    .where(notices.c.person == bindparam("to"), notices.c.channel == bindparam("through"))
    .where(or_(notices.c.held_by.is_(None), notices.c.due_at <= bindparam("now", type_=notices.c.due_at.type)))
    .values(message_id=bindparam("message"), held_by=null())
)


def _drop_pointless(plan: Plan, pairs: Sequence[Mapping[str, str]]) -> Any:
    """Return the SQL statement that deletes obsolete notifications and notifications that cannot be delivered."""
    addressed = [channel for channel, needs_address in plan.channels.items() if needs_address]
    to = tuple_(notices.c.person, notices.c.channel).in_([(pair["to"], pair["through"]) for pair in pairs])
    void = and_(notices.c.kind.in_(_WAITING_KINDS), ~waits_for(notices.c.task_id, notices.c.person))
    reader = exists().where(
        people.c.id == notices.c.person,
        people.c.active,
        or_(notices.c.channel.not_in(addressed), people.c.email.is_not(None)),
    )
    return delete(notices).where(notices.c.message_id.is_(None), to, or_(void, ~reader))


async def _forget_other_channels(conn: AsyncConnection, channels: Mapping[str, bool]) -> None:
    """Delete notifications for channels that are not enabled, because these notifications would never be sent."""
    unsent = and_(notices.c.message_id.is_(None), notices.c.channel.not_in(channels))
    await conn.execute(delete(notices).where(unsent))
    gone = and_(messages.c.state == "waiting", messages.c.channel.not_in(channels))
    await conn.execute(update(messages).where(gone).values(state="refused", problem="the channel was switched off"))


async def _tidy(conn: AsyncConnection, now: datetime) -> bool:
    still_open = exists().where(tasks.c.task_id == notices.c.task_id, tasks.c.status == "open")
    needed = exists().where(notices.c.message_id == messages.c.message_id, still_open)
    done = (messages.c.state != "waiting", messages.c.next_at < now - KEPT)
    query = select(messages.c.message_id).where(*done, ~needed).limit(PAIRS)
    old = (await conn.execute(query)).scalars().all()
    await conn.execute(delete(notices).where(notices.c.message_id.in_(old)))
    await conn.execute(delete(messages).where(messages.c.message_id.in_(old)))
    return len(old) == PAIRS


# -------------------------------------------------------------------------------------------------------- for operators


class Lag(BaseModel):
    """The backlog of the outbox: the events, notifications and messages that it still has to process."""

    due: int
    """How many notifications are due and not sent.

    Included are those that wait because the person got a message recently.
    """
    oldest_s: float
    """The seconds since the oldest due notification became due; 0 if no notification is due."""
    refused: int
    """How many messages of the last 30 days were undeliverable."""
    unread: int
    """How many audit events the dispatcher has not read yet."""


class UnsentMessages(BaseModel):
    """The unsent messages of one person, or their notifications that are not in a message yet."""

    state: Literal["gathering", "held", "sending", "retrying", "refused"]
    """`gathering`: the notifications are not in a message yet.

    `held`: the notifications wait until the import of their file has ended.
    """
    channel: str
    person: str
    notices: int
    at: datetime
    """The time when the notifications are due or the message is tried next.

    For an undeliverable message, the time when it failed.
    """
    attempts: int = 0
    problem: str | None = None


async def lag(conn: AsyncConnection, now: datetime | None = None) -> Lag:
    """Return the backlog of the outbox at `now`."""
    now = now or datetime.now(UTC)
    on_their_way = select(notices.c.due_at).join(messages, messages.c.message_id == notices.c.message_id)
    late = union_all(
        select(notices.c.due_at).where(notices.c.message_id.is_(None), notices.c.due_at <= now),
        on_their_way.where(messages.c.state == "waiting"),
        select(messages.c.next_at).where(messages.c.state == "waiting", messages.c.news_id.is_not(None)),
    ).subquery()
    row = (await conn.execute(select(func.count().label("due"), func.min(late.c.due_at).label("oldest")))).one()
    refused = select(func.count()).where(messages.c.state == "refused")
    return Lag(
        due=row.due,
        oldest_s=max((now - row.oldest).total_seconds(), 0.0) if row.oldest else 0.0,
        refused=(await conn.execute(refused)).scalar_one(),
        unread=await _unread(conn),
    )


async def unsent(conn: AsyncConnection) -> list[UnsentMessages]:
    """Return unsent messages, and for each person the notifications that are not in a message yet."""
    held = case((notices.c.held_by.is_(None), "gathering"), else_="held").label("state")
    who = (notices.c.channel, notices.c.person)
    gathering = (
        select(held, *who, func.count().label("notices"), func.min(notices.c.due_at).label("at"))
        .where(notices.c.message_id.is_(None))
        .group_by(held, *who)
        .order_by(*who)
    )
    state = case(
        (messages.c.state == "refused", "refused"), (messages.c.attempts > 0, "retrying"), else_="sending"
    ).label("state")
    of_message = (messages.c.channel, messages.c.person, messages.c.attempts, messages.c.problem)
    sealed = (
        select(state, *of_message, messages.c.next_at.label("at"), func.count().label("notices"))
        .outerjoin(notices, notices.c.message_id == messages.c.message_id)
        .where(messages.c.state != "sent")
        .group_by(messages.c.message_id)
        .order_by(messages.c.next_at)
    )
    rows = [*(await conn.execute(gathering)), *(await conn.execute(sealed))]
    return [UnsentMessages.model_validate(row._mapping) for row in rows]
