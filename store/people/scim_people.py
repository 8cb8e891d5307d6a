"""Find the person of a user that an identity provider sends by SCIM, and describe the person as the provider does.

A userName belongs to one person, also after the provider deleted the user. A user with a new userName is linked to a
person who is here, if the id or the e-mail address of the person says so. Otherwise the user becomes a new person.
"""

from datetime import UTC, datetime

from sqlalchemy import and_, delete, func, or_, select

from domain.names import ADMINS
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_into
from store.people import identities, new_ids, people
from store.people.person_lock import locked
from store.people.scim_groups import BY
from store.people.scim_lock import lock_scim
from store.people.successors import is_erased
from store.tables.people import people as people_table
from store.tables.scim import scim_names, scim_users


class NotLinked(ValueError):
    """Raised if a user may be a person who is here, and an administrator must decide. The text says what to do."""


async def person_for(
    conn: AsyncConnection, key: str, user_name: str, external_id: str | None, name: str, address: str | None
) -> str:
    """Return the id of the person of a new user; add the person if there is none. Raises NotLinked, ValueError."""
    known: str | None = await conn.scalar(select(scim_names.c.person).where(scim_names.c.user_key == key))
    if known is not None:
        return known
    if (person := await _here(conn, user_name, address)) is not None:
        if await identities.describes_itself(conn, person, external_id):
            raise NotLinked(f"{person} came here by single sign-on, and may be somebody else. {_LINK}")
        await locked(conn, person)
        await note_link(conn, person, BY)
        return person
    id = await _new_id(conn, user_name)
    await people.add(conn, id, name, [], by=BY, email=address)
    return id


async def _here(conn: AsyncConnection, user_name: str, address: str | None) -> str | None:
    """Return the person who is here and has this userName as id or address, or this address; None if there is none."""
    low = {text.lower() for text in (user_name, address) if text}
    like = or_(
        func.lower(people_table.c.id) == user_name.lower(),
        and_(people_table.c.active, func.lower(people_table.c.email).in_(sorted(low))),
    )
    taken = select(scim_users.c.person)
    query = select(people_table.c.id, people_table.c.kind).where(like, people_table.c.id.not_in(taken))
    query = query.where(people_table.c.erased_at.is_(None))  # nobody returns as an erased person
    found = (await conn.execute(query.order_by(people_table.c.id).limit(2))).all()
    if not found:
        return None
    if len(found) > 1:
        raise NotLinked(f"{found[0].id} and {found[1].id} both have the userName or the address of this user. {_LINK}")
    person: str = found[0].id
    if found[0].kind != "person":
        raise NotLinked(f"{person} is a service account: choose another userName")
    if ADMINS in (await people.get(conn, person)).groups:
        raise NotLinked(f"{person} is an administrator, and is linked to a user only by hand. {_LINK}")
    return person


async def _new_id(conn: AsyncConnection, user_name: str) -> str:
    """Return a free id that resembles the userName. Raises NotLinked if a person who is here has the obvious id."""
    for id in new_ids.ids_like(new_ids.stem_of(user_name)):
        holder = await new_ids.holder_of(conn, id)
        if holder is None:
            if not people.is_reserved(id):
                return id
            continue
        if await is_erased(conn, holder):
            continue
        by_scim = select(scim_names.c.user_key).where(scim_names.c.person == holder)
        if (await conn.execute(by_scim.limit(1))).first() is None:
            raise NotLinked(f"{holder} may be this user, but neither the id nor the address says so. {_LINK}")
    raise AssertionError("there is always another number")


_LINK = (
    "To link the user to a person, run './holdgate scim link USERNAME PERSON', then send the user again. "
    "For a new person, run './holdgate people add' first"
)


async def link(conn: AsyncConnection, key: str, person: str, by: str) -> None:
    """Let the user with this userName, whom the provider sends later, be this person.

    Raises UnknownPerson, ValueError for a user who is a person already, a person who has a user, and a service account.
    """
    await lock_scim(conn)
    named = await people.get(conn, person)
    if named.kind != "person":
        raise ValueError(f"{person} is a service account, which cannot be linked")
    if await is_erased(conn, person):
        raise ValueError(f"{person} was erased, and cannot return under this id")
    taken = select(scim_users.c.person).where(or_(scim_users.c.user_key == key, scim_users.c.person == person))
    if (row := (await conn.execute(taken)).first()) is not None:
        raise ValueError(f"a user of the identity provider is the person {row.person} already")
    await remember(conn, key, person)
    await note_link(conn, person, by)


async def note_link(conn: AsyncConnection, person: str, by: str) -> None:
    """Note in the audit log that a user of the provider is this person. The userName may be an address: not noted."""
    data = {"person": person, "provider": "scim"}
    await audit_log.note(conn, "person_linked", by=by, summary=f"{person} is linked to a SCIM user", data=data)


async def remember(conn: AsyncConnection, key: str, person: str) -> None:
    """Store that the userName belongs to the person."""
    row = {"person": person, "since": datetime.now(UTC)}
    put = insert_into(conn, scim_names).values(user_key=key, **row)
    await conn.execute(put.on_conflict_do_update(index_elements=[scim_names.c.user_key], set_=row))


async def forget(conn: AsyncConnection, key: str) -> None:
    """Let the userName be free for another person, because its user has another one now."""
    await conn.execute(delete(scim_names).where(scim_names.c.user_key == key))


async def describe(
    conn: AsyncConnection, person: str, name: str | None, address: str | None, address_changed: bool = False
) -> None:
    """Give the person the name and the address that the provider sent. None changes nothing, except that an address
    which the provider removed is removed here.

    Raises ValueError for a name or an address that cannot be used.
    """
    if name is not None:
        await people.set_name(conn, person, name, BY)
    if address is not None or address_changed:
        await people.set_email(conn, person, address, BY)
