"""Service accounts: accounts of programs, which ask and read, and never decide.

A service account is a row of `people` with the kind `service`, so it can be a requester, an actor in the audit log and
a member of groups. Its owners answer for it: they count as requester of everything that it asks for. An account without
an active owner is suspended: `tokens.holder` refuses its tokens until an administrator names an owner.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import BaseModel
from sqlalchemy import Select, bindparam, delete, insert, select, update

from domain.input_errors import WrongField
from domain.names import ADMINS, AUDITORS, REQUESTERS
from domain.notification import AccountNewsKind
from domain.token_scopes import TokenScope, scopes_named
from store.audit import audit_log
from store.db.connection import AsyncConnection
from store.db.prepared import prepared
from store.notifications import account_news
from store.people import people, tokens
from store.people.members import active_members
from store.people.people import UnknownPerson
from store.people.person_lock import locked
from store.tables.people import (
    memberships,
    people as people_table,
    service_account_owners as owners_table,
    service_accounts,
)

GROUPS = {TokenScope.CASES_ASK: REQUESTERS, TokenScope.BATCHES_UPLOAD: REQUESTERS, TokenScope.AUDIT_READ: AUDITORS}
"""By scope: the group without which a token of this scope could do nothing. A new account joins these groups."""
FIRST_TOKEN = "first token"
MOST_OWNERS = 20

Status = Literal["active", "suspended", "deactivated"]


class ServiceAccount(BaseModel):
    """One service account, without its tokens."""

    id: str
    name: str
    status: Status
    """`suspended`: the account has no active owner, so its tokens are refused."""
    owners: list[str]
    groups: list[str]
    scopes: list[TokenScope]
    """The most that a token of the account may be used for."""
    expires_at: datetime | None
    """The latest end of a token of the account; None for no end."""
    created_by: str
    created_at: datetime
    last_used_at: datetime | None = None
    """When one of its tokens was last used, at most a minute old."""
    tokens: int = 0
    """The number of tokens that are neither revoked nor over."""


async def create(
    conn: AsyncConnection,
    id: str,
    name: str,
    *,
    owners: Sequence[str],
    scopes: Collection[str],
    expires_at: datetime | None,
    by: str,
    groups: Sequence[str] | None = None,
) -> str:
    """Add a service account, and return its first token, which cannot be read again.

    Without `groups`, the account joins the groups that its scopes need (`GROUPS`). Raises WrongField for unknown
    scopes, for owners who are not active people, and for an end that is past; ValueError for an id that is in use.
    """
    wanted = _scopes(scopes)
    tokens.check_end(expires_at, datetime.now(UTC))
    await _check_owners(conn, owners)
    needed = sorted({GROUPS[scope] for scope in wanted if scope in GROUPS})
    added = await people.add(conn, id, name, needed if groups is None else groups, by, kind="service")
    now = datetime.now(UTC)
    row = {"account": id, "scopes": [*wanted], "expires_at": expires_at, "created_by": by, "created_at": now}
    await conn.execute(insert(service_accounts).values(row))
    await conn.execute(insert(owners_table), [{"account": id, "owner": owner} for owner in _once(owners)])
    data = {"person": id, "owners": _once(owners), "scopes": [*wanted]}
    data |= {"expires_at": expires_at.isoformat()} if expires_at else {}
    summary = f"{added.name} is a service account of {', '.join(_once(owners))}, for {', '.join(wanted)}"
    await audit_log.note(conn, "service_account_added", by=by, summary=summary, data=data)
    for owner in _once(owners):
        await account_news.tell(conn, owner, AccountNewsKind.OWNER_NAMED, by, about=id)
    return await tokens.make(conn, id, FIRST_TOKEN, by, scopes=wanted, expires_at=expires_at)


async def new_token(
    conn: AsyncConnection,
    id: str,
    label: str,
    by: str,
    *,
    scopes: Collection[str] | None = None,
    expires_at: datetime | None = None,
) -> str:
    """Create a token for a service account and return it, which cannot be read again.

    Without `scopes` and `expires_at`, the token has those of the account. Raises UnknownPerson, ValueError for an
    account that is deactivated, and WrongField for a scope or an end beyond those of the account.
    """
    await locked(conn, id)
    account = await get(conn, id)
    if account.status == "deactivated":
        raise ValueError(f"{id} is deactivated: reactivate the account first")
    wanted = account.scopes if scopes is None else _scopes(scopes)
    if beyond := [scope for scope in wanted if scope not in account.scopes]:
        raise WrongField("scopes", f"the account does not have the scope {beyond[0]}: {', '.join(account.scopes)}")
    last = expires_at or account.expires_at
    if last is not None and account.expires_at is not None and last > account.expires_at:
        raise WrongField("expires_at", "the account ends earlier: choose an end before the end of the account")
    return await tokens.make(conn, id, label, by, scopes=wanted, expires_at=last)


async def set_owners(conn: AsyncConnection, id: str, owners: Sequence[str], by: str) -> ServiceAccount:
    """Make these people the owners of a service account, which ends a suspension. Return the account.

    People who become owners count as requester of the open cases of the account from then on. People who do not own
    the account any more still count as requester of its earlier cases. Raises UnknownPerson, and WrongField for owners
    who are not active people.
    """
    await locked(conn, id)
    await _check_owners(conn, owners)
    return await _put_owners(conn, id, owners, by)


async def _put_owners(conn: AsyncConnection, id: str, owners: Sequence[str], by: str) -> ServiceAccount:
    before, named = await get(conn, id), _once(owners)
    if sorted(named) == before.owners:
        return before
    await conn.execute(delete(owners_table).where(owners_table.c.account == id))
    await conn.execute(insert(owners_table), [{"account": id, "owner": owner} for owner in named])
    summary = f"The owners of {before.name} are {', '.join(named)}"
    data = {"person": id, "owners": named, "before": before.owners}
    await audit_log.note(conn, "service_account_owners_set", by=by, summary=summary, data=data)
    for owner in sorted({*named} - {*before.owners}):
        await account_news.tell(conn, owner, AccountNewsKind.OWNER_NAMED, by, about=id)
    return await get(conn, id)


async def deactivate(conn: AsyncConnection, id: str, by: str) -> None:
    """Deactivate a service account and revoke all its tokens. Its cases continue. Raises UnknownPerson."""
    await locked(conn, id)
    account = await get(conn, id)
    if account.status == "deactivated":
        return
    await conn.execute(update(people_table).where(people_table.c.id == id).values(active=False))
    revoked = await tokens.end(conn, id, by)
    summary = f"The service account {account.name} was deactivated, and {len(revoked)} tokens were revoked"
    data = {"person": id, "token_ids": revoked}
    await audit_log.note(conn, "service_account_deactivated", by=by, summary=summary, data=data)


async def reactivate(conn: AsyncConnection, id: str, by: str) -> None:
    """Reactivate a service account, which then needs a new token.

    Raises UnknownPerson, and ValueError for an account that is not deactivated.
    """
    await locked(conn, id)
    account = await get(conn, id)
    if account.status != "deactivated":
        raise ValueError(f"{id} is not deactivated")
    await conn.execute(update(people_table).where(people_table.c.id == id).values(active=True))
    summary = f"The service account {account.name} was reactivated"
    await audit_log.note(conn, "service_account_reactivated", by=by, summary=summary, data={"person": id})


async def owner_left(conn: AsyncConnection, person: str, successor: str | None, by: str) -> None:
    """Hand the service accounts of a person who has left to the successor, and tell administrators what is suspended.

    Call this in the transaction in which the person left, after the row of the person was changed. Without a
    successor, the person stays the owner, so that the accounts work again if the person returns.
    """
    owned = [row.account for row in await conn.execute(_owned_by(person))]
    for id in owned:
        if successor is not None:
            # Also those who left before and stay owners: they must not keep this person from leaving.
            others = (owner for owner in (await get(conn, id)).owners if owner != person)
            await _put_owners(conn, id, [successor, *others], by)
        elif (await get(conn, id)).status == "suspended":
            summary = f"The service account {id} is suspended, because its last owner {person} has left"
            data = {"person": id, "owner": person}
            await audit_log.note(conn, "service_account_suspended", by=by, summary=summary, data=data)
            for admin in await active_members(conn, ADMINS):
                await account_news.tell(conn, admin, AccountNewsKind.ACCOUNT_SUSPENDED, by, about=id)


# ------------------------------------------------------------------------------------------------------------- reading


async def get(conn: AsyncConnection, id: str) -> ServiceAccount:
    """Return the service account with this id. Raises UnknownPerson."""
    found = await listed(conn, only=id)
    if not found:
        raise UnknownPerson(f"there is no service account with the id '{id}'")
    return found[0]


async def scopes_now(conn: AsyncConnection, id: str, wanted: frozenset[str] | None, now: datetime) -> frozenset[str]:
    """Return what a JWT of an identity provider may be used for as this account: never more than the scopes here.

    `wanted` are the scopes of the JWT; None if it has none. Raises TokenRefused for an account that has ended or
    has no active owner, and UnknownPerson.
    """
    account = (await conn.execute(_LIMITS, {"of_account": id})).one_or_none()
    if account is None:
        raise UnknownPerson(f"there is no service account with the id '{id}'")
    if not account.owned:
        raise tokens.suspended(id)
    if account.expires_at is not None and account.expires_at <= now:
        raise tokens.ended(account.expires_at, id)
    own = frozenset(account.scopes)
    return own if wanted is None else own & wanted


_LIMITS = prepared(
    select(
        service_accounts.c.scopes,
        service_accounts.c.expires_at,
        tokens.has_active_owner(service_accounts.c.account).label("owned"),
    ).where(service_accounts.c.account == bindparam("of_account"))
)


async def listed(
    conn: AsyncConnection, *, owner: str | None = None, only: str | None = None, after: str = "", limit: int = 1000
) -> list[ServiceAccount]:
    """Return service accounts after the id `after`, in the order of ids.

    With `owner`, return only the accounts of this owner; with `only`, only the account with this id.
    """
    query = select(service_accounts, people_table.c.name, people_table.c.active).join(
        people_table, people_table.c.id == service_accounts.c.account
    )
    query = query.where(service_accounts.c.account > after).order_by(service_accounts.c.account).limit(limit)
    if owner is not None:
        query = query.where(service_accounts.c.account.in_(_owned_by(owner)))
    if only is not None:
        query = query.where(service_accounts.c.account == only)
    rows = {row.account: row for row in await conn.execute(query)}
    owners: dict[str, list[str]] = {id: [] for id in rows}
    owned: set[str] = set()
    of_owners = select(owners_table, people_table.c.active).join(
        people_table, people_table.c.id == owners_table.c.owner
    )
    of_owners = of_owners.where(owners_table.c.account.in_(rows)).order_by(owners_table.c.owner)
    for row in await conn.execute(of_owners):
        owners[row.account].append(row.owner)
        owned |= {row.account} if row.active else set()
    groups: dict[str, list[str]] = {id: [] for id in rows}
    of_groups = select(memberships).where(memberships.c.person.in_(rows)).order_by(memberships.c.group_name)
    for row in await conn.execute(of_groups):
        groups[row.person].append(row.group_name)
    used, valid = await tokens.used_by(conn, list(rows), datetime.now(UTC))
    return [
        ServiceAccount(
            id=id,
            name=row.name,
            status="deactivated" if not row.active else "active" if id in owned else "suspended",
            owners=owners[id],
            groups=groups[id],
            last_used_at=used.get(id),
            tokens=valid.get(id, 0),
            **{name: getattr(row, name) for name in ("scopes", "expires_at", "created_by", "created_at")},
        )
        for id, row in rows.items()
    ]


async def asked_for(conn: AsyncConnection, requester: str, on_behalf_of: str | None) -> list[str]:
    """Return the people who count as requester, beside `requester`, of what `requester` asks for now.

    For a service account, these are the person in `on_behalf_of` and the owners of the account; none for a person.
    """
    rows = (await conn.execute(_ASKING, {"of_requester": requester})).all()
    if not rows or rows[0].kind != "service":
        return []
    return _once([name for name in (on_behalf_of, *(row.owner for row in rows)) if name])


_ASKING = prepared(
    select(people_table.c.kind, owners_table.c.owner)
    .outerjoin(owners_table, owners_table.c.account == people_table.c.id)
    .where(people_table.c.id == bindparam("of_requester"))
    .order_by(owners_table.c.owner)
)


def _owned_by(person: str) -> Select[tuple[str]]:
    return select(owners_table.c.account).where(owners_table.c.owner == person).order_by(owners_table.c.account)


async def _check_owners(conn: AsyncConnection, owners: Sequence[str]) -> None:
    """Raise WrongField unless there are 1 to 20 owners, all of them active people."""
    if not 1 <= len(_once(owners)) <= MOST_OWNERS:
        raise WrongField("owners", f"name 1 to {MOST_OWNERS} owners: people who answer for the account")
    query = select(people_table.c.id).where(
        people_table.c.id.in_(owners), people_table.c.active, people_table.c.kind == "person"
    )
    known = set((await conn.execute(query)).scalars())
    if unknown := [owner for owner in owners if owner not in known]:
        raise WrongField("owners", f"'{unknown[0]}' is not an active person: an owner is a person, by id")


def _scopes(names: Collection[str]) -> list[TokenScope]:
    try:
        return scopes_named(names)
    except ValueError as wrong:
        raise WrongField("scopes", str(wrong)) from wrong


def _once(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
