"""The people that the demo creates.

These people are active while the demo is on, and are deactivated when the demo is off.

An admin can turn such an account into an ordinary account: with `people deactivate` (not needed if the demo is off),
then `people reactivate`. After that the account does not belong to the demo any more, and its earlier credentials are
invalid.
"""

from datetime import UTC, datetime

from sqlalchemy import delete, false, insert, or_, select, update

from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import absences, passkeys, service_accounts
from store.people.people import Person, add, get
from store.people.secret_hash import secret_hash
from store.tables.people import memberships, passwords, people, sessions, tokens

WHY = "the demo is off (HOLDGATE_DEMO)"


async def ensure(conn: AsyncConnection, id: str, group: str, by: str) -> Person | None:
    """Create or reactivate the demo person with this id, and return the person.

    Return None if the id belongs to a person who is not a demo person.
    """
    row = (await conn.execute(select(people.c.demo, people.c.active).where(people.c.id == id))).one_or_none()
    if row is None:
        name = id.replace("-", " ").capitalize()
        await add(conn, id, name, [group], by=by, email=f"{id}@example.org")
        await conn.execute(update(people).where(people.c.id == id).values(demo=True))
    elif not row.demo:
        return None
    elif not row.active:
        await conn.execute(update(people).where(people.c.id == id).values(active=True))
        await conn.execute(delete(sessions).where(sessions.c.person == id))
        await conn.execute(insert(memberships).values(person=id, group_name=group))
        summary = f"{id} is back with {group}: the demo is on"
        await audit_log.note(conn, "person_reactivated", by=by, summary=summary, data={"person": id, "groups": [group]})
    return await get(conn, id)


async def dismiss_all(db: Database, by: str) -> int:
    """Deactivate every demo person, which removes their groups, tokens, passkeys and passwords.

    Return the number of people who were deactivated.

    Their sessions stay, so that the pages can explain why the person has no access any more. The candidates of open
    tasks are computed again by `store.cases.recounts`.
    """
    active = select(people.c.id).where(people.c.demo, people.c.active).order_by(people.c.id)
    async with db.read() as conn:
        if (await conn.execute(active.limit(1))).first() is None:
            return 0
    async with db.write() as conn:
        gone = list((await conn.execute(active)).scalars())
        leavers = [await get(conn, id) for id in gone]
        for id in gone:
            await absences.hand_over(conn, id, None)
            await passkeys.end_all(conn, id, by)
        await conn.execute(update(people).where(people.c.id.in_(gone)).values(active=False))
        for link in (people.c.manager, people.c.successor):
            await conn.execute(update(people).where(link.in_(gone)).values({link.name: None}))
        for table in (memberships, passwords):
            await conn.execute(delete(table).where(table.c.person.in_(gone)))
        unrevoked = (tokens.c.person.in_(gone), tokens.c.revoked_at.is_(None))
        await conn.execute(update(tokens).where(*unrevoked).values(revoked_at=datetime.now(UTC)))
        for leaver in leavers:
            data = {"person": leaver.id, "groups": leaver.groups, "reason": WHY}
            summary = f"{leaver.name} has left: {WHY}"
            await audit_log.note(conn, "person_deactivated", by=by, summary=summary, data=data)
            await service_accounts.owner_left(conn, leaver.id, None, by)
    return len(gone)


async def demo_person_of(conn: AsyncConnection, shown: str) -> str | None:
    """Return the demo person to whom a token, a session or a name belongs or belonged.

    Return None if the token, session or name belongs to no demo person.
    """
    hashed = secret_hash(shown)
    of_token = select(tokens.c.person).where(tokens.c.hash == hashed)
    of_session = select(sessions.c.person).where(sessions.c.hash == hashed)
    named = or_(people.c.id == shown, people.c.email == shown) if len(shown) <= 254 and "\0" not in shown else false()
    whose = or_(people.c.id.in_(of_token), people.c.id.in_(of_session), named)
    found: str | None = await conn.scalar(select(people.c.id).where(people.c.demo, whose).limit(1))
    return found
