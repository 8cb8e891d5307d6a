"""The directory of the organisation: the accounts and entitlements of its employees.

These accounts are not the people who use Holdgate.

An account is reserved first and cannot be used until access is granted, so that two cases cannot take the same name.
Nothing is deleted: an undo disables an account or revokes an entitlement, and stores the time. The name of an account
that was ever in use is never given to another person.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel
from sqlalchemy import ColumnElement, and_, func, insert, literal, or_, select, update

from domain.errors import Refused
from store.db.connection import AsyncConnection
from store.db.database import Database, insert_once
from store.receivers import idempotency
from store.tables.base import Instant
from store.tables.receivers import directory_accounts, entitlements


class UnknownAccount(LookupError):
    """Raised if the directory has no account with this name."""


class Entitlement(BaseModel):
    """An access right of an account, which is current or was revoked."""

    entitlement: str
    granted_at: datetime
    revoked_at: datetime | None


class Account(BaseModel):
    """One account. An account that is neither active nor disabled is only reserved."""

    username: str
    full_name: str
    email: str
    role: str
    manager: str | None
    case_id: str
    active: bool
    created_at: datetime
    activated_at: datetime | None
    """When the account could be used for the first time."""
    disabled_at: datetime | None
    entitlements: list[Entitlement]


class AccountDirectory:
    """Changes and reads accounts.

    Every method that writes is one transaction and may be called again with the same key.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def reserve(
        self, key: str, case_id: str, *, username: str, full_name: str, email: str, role: str, manager: str | None
    ) -> None:
        """Reserve the username: create an account that cannot be used yet.

        The name of an account that was disabled before it was ever in use is free again, and a case that starts again
        may reserve its own name again. Raises Refused for any other existing name, and for a key that was undone.
        """
        row = {
            "username": username,
            "full_name": full_name,
            "email": email,
            "role": role,
            "manager": manager,
            "case_id": case_id,
            "active": False,
            "created_at": datetime.now(UTC),
            "disabled_at": None,
        }

        async def hold(conn: AsyncConnection) -> None:
            if await idempotency.done(conn, key) is not None:
                return
            # The key first: the second of two concurrent attempts waits here and then finds the result of the first.
            await idempotency.do(conn, key, "reserve_account", case_id, {"username": username})
            if await insert_once(conn, directory_accounts, row):
                return
            free = (
                directory_accounts.c.username == username,
                directory_accounts.c.disabled_at.is_not(None),
                or_(directory_accounts.c.activated_at.is_(None), directory_accounts.c.case_id == case_id),
            )
            if not (await conn.execute(update(directory_accounts).where(*free).values(row))).rowcount:
                raise Refused(
                    f"The username '{username}' is already in use, or was in use before. Choose another username."
                )

        await idempotency.once(self._db, hold)

    async def disable(self, key: str, undoes: str, case_id: str) -> bool:
        """Undo the reservation that was made with the key `undoes`. If that key was never used, make that key void.

        Return True if that key made a reservation, also if it was undone before; False if the key is now void.
        """

        async def take_back(conn: AsyncConnection) -> bool:
            anything, now = await idempotency.undo(conn, key, undoes, "disable_account", case_id)
            if now is not None:
                await conn.execute(
                    update(directory_accounts)
                    .where(_is_account(now["username"], case_id))
                    .values(active=False, disabled_at=datetime.now(UTC))
                )
            return anything

        return await idempotency.once(self._db, take_back)

    async def grant(self, key: str, case_id: str, username: str, entitled: Sequence[str]) -> datetime:
        """Activate the account that this case reserved, grant the entitlements and return the time.

        Raises Refused when the case has no account with this name, and for a key that was undone.
        """
        at = datetime.now(UTC)
        result = {"username": username, "entitlements": list(entitled), "at": at.isoformat()}

        async def activate(conn: AsyncConnection) -> datetime:
            if (first := await idempotency.done(conn, key)) is not None:
                return datetime.fromisoformat(first["at"])
            await idempotency.do(conn, key, "grant_access", case_id, result)
            activated_at = func.coalesce(directory_accounts.c.activated_at, literal(at, Instant()))
            held = (_is_account(username, case_id), directory_accounts.c.disabled_at.is_(None))
            using = update(directory_accounts).where(*held).values(active=True, activated_at=activated_at)
            if not (await conn.execute(using)).rowcount:
                raise Refused(
                    f"No account '{username}' is reserved for this case, so no access can be granted. Submit again."
                )
            rows = [
                {"grant_key": f"{key}/{name}", "username": username, "entitlement": name, "granted_at": at}
                for name in entitled
            ]
            if rows:
                await conn.execute(insert(entitlements), rows)
            return at

        return await idempotency.once(self._db, activate)

    async def revoke(self, key: str, undoes: str, case_id: str) -> bool:
        """Undo the grant that was made with the key `undoes`: revoke its entitlements.

        The account is then only reserved. If that key was never used, make that key void.

        Return True if that key made a grant, also if it was undone before; False if the key is now void.
        """

        async def take_back(conn: AsyncConnection) -> bool:
            anything, now = await idempotency.undo(conn, key, undoes, "revoke_access", case_id)
            if now is not None:
                granted = [f"{undoes}/{name}" for name in now["entitlements"]]
                await conn.execute(
                    update(entitlements)
                    .where(entitlements.c.grant_key.in_(granted))
                    .values(revoked_at=datetime.now(UTC))
                )
                await conn.execute(
                    update(directory_accounts).where(_is_account(now["username"], case_id)).values(active=False)
                )
            return anything

        return await idempotency.once(self._db, take_back)

    async def welcomed(self, key: str) -> bool:
        """Return True if it is stored that the welcome mail with this key was sent."""
        async with self._db.read() as conn:
            return await idempotency.done(conn, key) is not None

    async def note_welcome(self, key: str, case_id: str) -> None:
        """Store that the welcome mail with this key was sent."""

        async def note(conn: AsyncConnection) -> None:
            if await idempotency.done(conn, key) is None:
                await idempotency.do(conn, key, "send_welcome", case_id)

        await idempotency.once(self._db, note)

    async def account(self, username: str) -> Account:
        """Return one account with all entitlements that it has or had, the oldest first. Raises UnknownAccount."""
        name = username.casefold()
        granted = (
            select(entitlements)
            .where(entitlements.c.username == name)
            .order_by(entitlements.c.granted_at, entitlements.c.entitlement)
        )
        async with self._db.read() as conn:
            found = select(directory_accounts).where(directory_accounts.c.username == name)
            row = (await conn.execute(found)).one_or_none()
            if row is None:
                raise UnknownAccount(f"there is no account '{username}'")
            given = [Entitlement(**each._mapping) for each in await conn.execute(granted)]
        return Account(**row._mapping, entitlements=given)


def _is_account(username: str, case_id: str) -> ColumnElement[bool]:
    """Return the SQL condition for the account that has this name and belongs to this case."""
    return and_(directory_accounts.c.username == username, directory_accounts.c.case_id == case_id)
