"""Accounts of identity providers: which person signs in with which account.

An account is the pair of the issuer and the subject, as the provider signs it. An e-mail address alone never identifies
a person: its owner can change it at the provider. An account belongs to one person; a person can have several accounts.
"""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, exists, func, or_, select, update

from domain.names import ADMINS
from domain.notification import AccountNewsKind
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.database import insert_once
from store.notifications import account_news
from store.people import provided_groups
from store.people.one_time_links import SETTLES_IN
from store.people.people import UnknownPerson
from store.people.person_lock import locked
from store.people.secret_hash import secret_hash
from store.tables.people import (
    identities,
    logout_tokens,
    memberships,
    passkeys,
    passwords,
    people,
    sessions,
    tokens,
)
from store.tables.scim import scim_users


class Identity(BaseModel):
    """One account of an identity provider, and the person to whom it belongs."""

    model_config = ConfigDict(from_attributes=True)

    issuer: str
    subject: str
    person: str
    connected_by: str
    connected_at: datetime
    signed_in_at: datetime | None = None
    groups_read_at: datetime | None = None
    """When the provider last said the groups of the person; None if it never did."""
    encrypted_tokens: str | None = Field(None, repr=False, exclude=True)

    @property
    def identity_id(self) -> str:
        """Return the id of the account in routes and in the audit log. It does not disclose the subject."""
        return secret_hash(f"{self.issuer}\n{self.subject}")[:16]


class UnknownIdentity(LookupError):
    """Raised if the person has no account with this id."""


class AlreadyConnected(ValueError):
    """Raised if the account belongs to another person."""


async def find(conn: AsyncConnection, issuer: str, subject: str) -> Identity | None:
    """Return the account with this subject; None if it belongs to nobody."""
    row = (await conn.execute(select(identities).where(*_key(issuer, subject)))).one_or_none()
    return None if row is None else Identity.model_validate(row)


async def of(conn: AsyncConnection, person: str, issuer: str | None = None) -> list[Identity]:
    """Return the accounts of a person, with `issuer` only those of this provider. The last one used comes first."""
    query = select(identities).where(identities.c.person == person)
    if issuer is not None:
        query = query.where(identities.c.issuer == issuer)
    query = query.order_by(identities.c.signed_in_at.desc().nulls_last(), identities.c.connected_at.desc())
    return [Identity.model_validate(row) for row in await conn.execute(query)]


async def connect(conn: AsyncConnection, person: str, issuer: str, subject: str, by: str, now: datetime) -> Identity:
    """Connect an account to a person, and tell the person. An account that the person has already stays unchanged.

    Raises UnknownPerson for a person who is unknown or has left, AlreadyConnected, and ValueError for an empty or long
    issuer or subject.
    """
    for name, text, most in (("issuer", issuer, 500), ("subject", subject, 255)):
        if not 1 <= len(text) <= most or not text.isprintable():
            raise ValueError(f"the {name} of an account has 1 to {most} characters that can be read")
    if await locked(conn, person) is None:
        raise UnknownPerson(f"there is no active person with the id '{person}'")
    new = Identity(issuer=issuer, subject=subject, person=person, connected_by=by, connected_at=now)
    if not await insert_once(conn, identities, new.model_dump()):
        known = await find(conn, issuer, subject)
        if known is None or known.person != person:
            other = "another person" if known is None else known.person
            raise AlreadyConnected(f"this account of {issuer} belongs to {other}: disconnect it there first")
        return known
    await account_news.tell(conn, person, AccountNewsKind.IDENTITY_CONNECTED, by, about=issuer)
    summary = f"An account of {issuer} was connected to {person}"
    await audit_log.note(conn, "identity_connected", by=by, summary=summary, data=_data(new))
    return new


async def disconnect(conn: AsyncConnection, person: str, identity_id: str, by: str) -> None:
    """Disconnect an account from a person: its sessions end, and the groups that its provider gave are taken away.

    Raises UnknownIdentity, and LastAdmin if no administrator would be left.
    """
    await locked(conn, person)
    own = await of(conn, person)
    gone = next((each for each in own if each.identity_id == identity_id), None)
    if gone is None:
        raise UnknownIdentity(f"{person} has no account {identity_id} of an identity provider")
    await conn.execute(delete(identities).where(*_key(gone.issuer, gone.subject)))
    await conn.execute(delete(sessions).where(sessions.c.issuer == gone.issuer, sessions.c.subject == gone.subject))
    if len(own) == 1:
        await provided_groups.assign(conn, person, [], "oidc", by)
    await account_news.tell(conn, person, AccountNewsKind.IDENTITY_DISCONNECTED, by, about=gone.issuer)
    summary = f"An account of {gone.issuer} was disconnected from {person}"
    await audit_log.note(conn, "identity_disconnected", by=by, summary=summary, data=_data(gone))


async def note_sign_in(conn: AsyncConnection, identity: Identity, now: datetime, encrypted_tokens: str | None) -> None:
    """Store when the account last signed in, and the tokens of this sign-in."""
    await _put(conn, identity, signed_in_at=now, encrypted_tokens=encrypted_tokens)


async def note_reading(
    conn: AsyncConnection, identity: Identity, read_at: datetime | None, encrypted_tokens: str | None
) -> None:
    """Store when the provider last said the groups of the person, and the present tokens; others may read again."""
    await _put(conn, identity, groups_read_at=read_at, encrypted_tokens=encrypted_tokens, reading_until=None)


async def note_groups(conn: AsyncConnection, identity: Identity, read_at: datetime) -> None:
    """Store when the provider last said the groups of the person."""
    await _put(conn, identity, groups_read_at=read_at)


async def keep_tokens(conn: AsyncConnection, identity: Identity, encrypted_tokens: str) -> None:
    """Store the present tokens of an account."""
    await _put(conn, identity, encrypted_tokens=encrypted_tokens)


async def take_turn(conn: AsyncConnection, identity: Identity, now: datetime, lasts: timedelta) -> bool:
    """Return True if the caller may ask the provider for the groups now; False if somebody else is asking.

    A refresh token often works only once. So only one request of all gateways uses it at a time.
    """
    free = or_(identities.c.reading_until.is_(None), identities.c.reading_until <= now)
    taking = update(identities).where(*_key(identity.issuer, identity.subject), free)
    taken = await conn.execute(taking.values(reading_until=now + lasts).returning(identities.c.person))
    return taken.first() is not None


async def forget_tokens(conn: AsyncConnection, person: str) -> None:
    """Delete the tokens of a person who leaves."""
    await conn.execute(update(identities).where(identities.c.person == person).values(encrypted_tokens=None))


async def owner_of_address(conn: AsyncConnection, email: str, now: datetime) -> tuple[str, bool] | None:
    """Return the active person with this e-mail address, and whether the address is settled.

    An address that an administrator has just set proves nothing: the administrator could have written their own. After
    `SETTLES_IN`, the former address had time to object. Return None if nobody, or several people, have the address.
    """
    query = select(people.c.id, people.c.email_set_by, people.c.email_set_at)
    found = (await conn.execute(query.where(func.lower(people.c.email) == email.lower(), people.c.active))).all()
    if len(found) != 1:
        return None
    [row] = found
    fresh = row.email_set_at is not None and row.email_set_at > now - SETTLES_IN
    return row.id, not (fresh and row.email_set_by and audit_log.is_person(row.email_set_by))


async def provisioned(conn: AsyncConnection, user_names: Collection[str], external_ids: Collection[str]) -> list[str]:
    """Return the active people whom the provider has sent by SCIM with one of these names or ids.

    `user_names` are in the form for comparisons, see `fold`.
    """
    same = or_(scim_users.c.user_key.in_(sorted(user_names)), scim_users.c.external_id.in_(sorted(external_ids)))
    query = select(scim_users.c.person).join(people, people.c.id == scim_users.c.person).where(same, people.c.active)
    return list((await conn.execute(query.order_by(scim_users.c.person))).scalars())


async def had_another_way(conn: AsyncConnection, person: str) -> bool:
    """Return True if the person ever had a way to sign in: a password, passkey, token or account of a provider."""
    tables = (passwords, passkeys, tokens, identities)
    return any([await conn.scalar(select(exists().where(table.c.person == person))) for table in tables])


async def describes_itself(conn: AsyncConnection, person: str, subject: str | None) -> bool:
    """Return True if single sign-on connected an account to the person by itself, and not the one with this subject.

    The owner of the account may have chosen the user name and the address at the provider, so neither says who it is.
    """
    query = select(identities.c.subject).where(identities.c.person == person, identities.c.connected_by.like("oidc:%"))
    found = set((await conn.execute(query)).scalars())
    return bool(found) and subject not in found


async def admin_has_signed_in(conn: AsyncConnection, issuer: str) -> bool:
    """Return True if an active administrator has signed in with this provider."""
    query = (
        select(identities.c.person)
        .join(people, people.c.id == identities.c.person)
        .join(memberships, memberships.c.person == people.c.id)
        .where(identities.c.issuer == issuer, identities.c.signed_in_at.is_not(None))
        .where(people.c.active, memberships.c.group_name == ADMINS)
    )
    return bool(await conn.scalar(select(exists(query))))


async def use_logout_token(conn: AsyncConnection, issuer: str, jti: str, now: datetime, lasts: timedelta) -> bool:
    """Remember a logout token for a time. Return False if it was used before."""
    await conn.execute(delete(logout_tokens).where(logout_tokens.c.expires_at <= now))
    row = {"hash": secret_hash(f"{issuer}\n{jti}"), "expires_at": now + lasts}
    return await insert_once(conn, logout_tokens, row)


async def _put(conn: AsyncConnection, identity: Identity, **values: Any) -> None:
    await conn.execute(update(identities).where(*_key(identity.issuer, identity.subject)).values(**values))


def _key(issuer: str, subject: str) -> tuple[Any, Any]:
    return identities.c.issuer == issuer, identities.c.subject == subject


def _data(identity: Identity) -> dict[str, Any]:
    return {"person": identity.person, "issuer": identity.issuer, "identity_id": identity.identity_id}
