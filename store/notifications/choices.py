"""The notifications that each person wants, and the time at which they want them."""

from collections.abc import Iterable, Mapping

from sqlalchemy import and_, delete, select

from domain.notification import NoticeChoice, NoticeKind
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.tables.notifications import notice_choices, notices

DEFAULTS: Mapping[NoticeKind, NoticeChoice] = dict.fromkeys(NoticeKind, NoticeChoice.AT_ONCE) | {
    # The end of the case follows soon, and its message includes the decision.
    NoticeKind.TASK_DECIDED: NoticeChoice.DIGEST,
    NoticeKind.TASK_LOST: NoticeChoice.DIGEST,
}
"""The choices of a person who has not chosen."""


async def of(conn: AsyncConnection, person: str) -> dict[NoticeKind, NoticeChoice]:
    """Return the person's choice for every kind of notification."""
    return (await of_all(conn, [person]))[person]


async def of_all(conn: AsyncConnection, persons: Iterable[str]) -> dict[str, dict[NoticeKind, NoticeChoice]]:
    """Return the choices of each of these people."""
    found = {person: dict(DEFAULTS) for person in persons}
    query = select(notice_choices).where(notice_choices.c.person.in_(list(found)))
    for row in await conn.execute(query):
        found[row.person][NoticeKind(row.event)] = NoticeChoice(row.choice)
    return found


async def choose(conn: AsyncConnection, person: str, choices: Mapping[NoticeKind, NoticeChoice]) -> None:
    """Store the person's choice for these kinds only, and delete unsent notifications of kinds that the person has
    turned off.
    """
    if not choices:
        return
    rows = [{"person": person, "event": kind, "choice": choice} for kind, choice in choices.items()]
    adding = insert_into(conn, notice_choices)
    await conn.execute(
        adding.on_conflict_do_update(
            index_elements=[notice_choices.c.person, notice_choices.c.event],
            set_={"choice": adding.excluded.choice},
        ),
        rows,
    )
    off = [kind for kind, choice in choices.items() if choice is NoticeChoice.OFF]
    unsent = and_(notices.c.person == person, notices.c.message_id.is_(None))
    await conn.execute(delete(notices).where(unsent, notices.c.kind.in_(off)))
