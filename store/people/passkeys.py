"""Passkeys of people: public keys with which people sign in and confirm decisions (WebAuthn).

The event of a new passkey holds the credential id, the public key and the domain. So the audit log alone is enough to
check a stored assertion, also after the passkey was removed. The row of a removed passkey stays, so that nobody can add
the same passkey again: each credential id has one owner, in one period.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row, delete, select, update

from domain.normalization import check_visible
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.notifications import account_news
from store.people import one_time_links
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import passkeys, people, sessions

MOST = 20
"""The most passkeys of one person. A browser gets the list of all of them before it makes another one."""
LONGEST_NAME = 60
_LIVE = passkeys.c.removed_at.is_(None)


class Passkey(BaseModel):
    """A passkey of a person. It holds no secret: the private key is in the device of the person."""

    model_config = ConfigDict(from_attributes=True)

    passkey_id: str
    person: str
    domain: str
    """The relying party id: browsers offer the passkey only to pages of this domain."""
    credential_id: str
    """The id that the authenticator chose, as base64url."""
    public_key: str
    """The public key in COSE form, as base64url."""
    sign_count: int
    """How often the authenticator had signed at the last use. 0: the authenticator does not count."""
    user_handle: str
    """Random text that the authenticator stores in place of the id of the person, as base64url."""
    name: str
    transports: list[str]
    device_type: Literal["single_device", "multi_device"]
    """`multi_device` if the passkey can be synchronised to other devices of the person."""
    backed_up: bool
    created_at: datetime
    last_used_at: datetime | None = None


class UnknownPasskey(LookupError):
    """Raised if the person has no passkey with this id."""


class NotAdded(ValueError):
    """Raised if a passkey cannot be added. `str()` is a sentence for the person, without the full stop."""


def id_of(credential_id: str) -> str:
    """Return the id of the passkey with this credential id: a digest, because credential ids can be long."""
    return secret_hash(credential_id)


def checked_name(name: str) -> str:
    """Return the stored form of the name of a passkey. Raises ValueError for an empty, long or unreadable name."""
    if not 1 <= len(name := name.strip()) <= LONGEST_NAME:
        raise ValueError(f"enter a name of 1 to {LONGEST_NAME} characters, such as the name of the device")
    return check_visible(name, joiners=True)


async def add(conn: AsyncConnection, new: Passkey) -> None:
    """Store a new passkey, which the person added.

    Raises NotAdded if the passkey was ever added before, the person has left, or the person has `MOST` passkeys.
    """
    if await locked(conn, new.person) is None:
        raise NotAdded(f"{new.person} has left, or is not known")
    if len(await of(conn, new.person)) >= MOST:
        raise NotAdded(f"you have {MOST} passkeys: remove one that you no longer use")
    if not await insert_once(conn, passkeys, new.model_dump()):
        raise NotAdded("this passkey was added before")
    await account_news.tell(conn, new.person, AccountNewsKind.PASSKEY_ADDED, new.person, about=new.name)
    named = ("credential_id", "public_key", "domain", "name", "transports", "device_type", "backed_up", "sign_count")
    data = _data(new) | {name: getattr(new, name) for name in named}
    summary = f"{new.person} added the passkey {new.name}"
    await audit_log.note(conn, "passkey_added", by=new.person, summary=summary, data=data)


async def of(conn: AsyncConnection, person: str, domain: str | None = None) -> list[Passkey]:
    """Return the passkeys of the person, oldest first; with `domain` only those for this domain."""
    query = select(passkeys).where(passkeys.c.person == person, _LIVE)
    if domain is not None:
        query = query.where(passkeys.c.domain == domain)
    found = await conn.execute(query.order_by(passkeys.c.created_at, passkeys.c.passkey_id))
    return [Passkey.model_validate(row) for row in found]


async def handle_of(conn: AsyncConnection, person: str) -> str | None:
    """Return the user handle of the person's passkeys; None if the person never had a passkey.

    With the same handle, an authenticator replaces a passkey that was removed only from Holdgate.
    """
    found: str | None = await conn.scalar(select(passkeys.c.user_handle).where(passkeys.c.person == person).limit(1))
    return found


async def by_credential(conn: AsyncConnection, credential_id: str) -> Passkey | None:
    """Return the passkey with this credential id, if its owner is active, and lock its row.

    The lock holds until the end of the transaction, so that two answers are counted one after the other.
    """
    query = select(passkeys).join(people, people.c.id == passkeys.c.person)
    query = query.where(passkeys.c.passkey_id == id_of(credential_id), _LIVE, people.c.active)
    row = (await conn.execute(query.with_for_update(of=passkeys))).one_or_none()
    return None if row is None else Passkey.model_validate(row)


async def count_use(conn: AsyncConnection, used: Passkey, sign_count: int, now: datetime, *, backed_up: bool) -> bool:
    """Store that the passkey was used. Return False if its counter went back, so that there may be a copy of it.

    `used` is the passkey from `by_credential` in the same transaction, which locks the passkey. `sign_count` is the
    counter that the authenticator signed. Each use must increase the counter, unless the authenticator does not count
    and always sends 0. If the counter went back, the function stores an event and tells the person; the caller must
    refuse the use, and must not roll the transaction back.
    """
    if sign_count > used.sign_count or sign_count == used.sign_count == 0:
        its = passkeys.c.passkey_id == used.passkey_id
        values = {"sign_count": sign_count, "last_used_at": now, "backed_up": backed_up}
        await conn.execute(update(passkeys).where(its).values(**values))
        return True
    data = _data(used) | {"name": used.name, "stored": used.sign_count, "signed": sign_count}
    summary = f"The passkey {used.name} of {used.person} was refused: its counter went back"
    await account_news.tell(conn, used.person, AccountNewsKind.PASSKEY_COPIED, used.person, about=used.name)
    await audit_log.note(conn, "passkey_copied", by=audit_log.ENGINE, summary=summary, data=data)
    return False


async def rename(conn: AsyncConnection, person: str, passkey_id: str, name: str) -> Passkey:
    """Rename a passkey of the person, and return it. Raises UnknownPasskey, ValueError for a name that is not valid."""
    name = checked_name(name)
    await locked(conn, person)
    known = await _one(conn, person, passkey_id)
    if known.name != name:
        await conn.execute(update(passkeys).where(passkeys.c.passkey_id == passkey_id).values(name=name))
        summary = f"{person} renamed the passkey {known.name}: {name}"
        data = _data(known) | {"name": name, "before": known.name}
        await audit_log.note(conn, "passkey_renamed", by=person, summary=summary, data=data)
    return known.model_copy(update={"name": name})


async def remove(conn: AsyncConnection, person: str, passkey_id: str, by: str) -> None:
    """Remove a passkey of the person, and tell the person. Sessions that began with the passkey end.

    Raises UnknownPasskey.
    """
    await locked(conn, person)
    known = await _one(conn, person, passkey_id)
    await account_news.tell(conn, person, AccountNewsKind.PASSKEY_REMOVED, by, about=known.name)
    await _end(conn, known, by)


async def end_all(conn: AsyncConnection, person: str, by: str) -> None:
    """Remove all passkeys of a person who leaves. Sessions that began with the passkeys end."""
    for each in await of(conn, person):
        await _end(conn, each, by)


async def _end(conn: AsyncConnection, known: Passkey, by: str) -> None:
    now, its = datetime.now(UTC), passkeys.c.passkey_id == known.passkey_id
    await conn.execute(update(passkeys).where(its).values(removed_at=now))
    await conn.execute(delete(sessions).where(sessions.c.credential == known.passkey_id))
    await one_time_links.void(conn, known.person, by=by, now=now)
    data = _data(known) | {"credential_id": known.credential_id, "name": known.name}
    summary = f"{by} removed the passkey {known.name} of {known.person}"
    await audit_log.note(conn, "passkey_removed", by=by, summary=summary, data=data)


async def _one(conn: AsyncConnection, person: str, passkey_id: str) -> Passkey:
    its = (passkeys.c.passkey_id == passkey_id, passkeys.c.person == person, _LIVE)
    row: Row[Any] | None = (await conn.execute(select(passkeys).where(*its))).one_or_none()
    if row is None:
        raise UnknownPasskey(f"{person} has no passkey {passkey_id}")
    return Passkey.model_validate(row)


def _data(its: Passkey) -> dict[str, Any]:
    return {"person": its.person, "passkey_id": its.passkey_id}
