"""Proof that the person is there, and not only their token or an open browser of theirs: their password once more."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from api.http.problems import FieldError, Problem, forbidden, invalid
from api.services.password_hashing import off_the_loop, turn
from store.db.database import Database
from store.people import failed_sign_ins, passwords
from store.people.passwords import TooManyAttempts
from store.people.people import Person
from store.people.person_lock import locked

NO_PASSWORD = "You have no password yet. A one-time link sets one: ask an administrator for it."


@dataclass(frozen=True)
class Proof:
    """That a person knew their password."""

    person: str
    stored: str

    async def still_holds(self, conn: AsyncConnection) -> None:
        """Refuse it, in the transaction that relies on it, if the password was changed or the person left meanwhile."""
        if await locked(conn, self.person) is None or await passwords.stored(conn, self.person) != self.stored:
            raise Problem(409, "Your password was changed at this moment. Try again.", kind="changed-meanwhile")


async def check_password(db: Database, person: Person, password: str, field: str = "password") -> Proof:
    """The proof. 403 for who has no password of their own, or has tried too often; 422 for a wrong one."""
    now, key = datetime.now(UTC), f"change:{person.id}"
    try:
        async with db.write() as conn:
            stored = await passwords.stored(conn, person.id)
            if stored is None:
                raise forbidden(NO_PASSWORD, "a first password is set by a one-time link")
            await passwords.take_try(conn, key, now)
    except TooManyAttempts as soon:
        async with db.write() as conn:
            await failed_sign_ins.note(conn, "step-up", "locked", person.id, now, locked_until=soon.until)
        raise Problem(403, "Too many tries have failed. Wait a little.", kind="too-soon") from soon
    with turn():
        known = await off_the_loop(passwords.matches, password, stored)
    if not known:
        async with db.write() as conn:
            await failed_sign_ins.note(conn, "step-up", "password", person.id, now)
        raise invalid("This is not your password.", [FieldError(field=field, message="This is not your password.")])
    async with db.write() as conn:
        await passwords.forget_tries(conn, key)
    return Proof(person.id, stored)
