"""Check the password of a signed-in person again, because somebody else may use the person's open browser or token."""

from dataclasses import dataclass
from datetime import UTC, datetime

from api.http.problems import FieldError, Problem, forbidden, invalid
from api.services.password_hashing import off_the_loop, turn
from domain.moments import moment_text
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import failed_sign_ins, passwords
from store.people.passwords import TooManyAttempts
from store.people.people import Person
from store.people.person_lock import locked

NO_PASSWORD = "You have no password yet. Ask an administrator for a one-time link, and set a password with the link."


@dataclass(frozen=True)
class Proof:
    """Proof that a signed-in person entered the right password in this request."""

    person: str
    stored: str

    async def still_holds(self, conn: AsyncConnection) -> None:
        """Raise Problem 409 if the password has changed since the check, or the person was deactivated.

        Call this method in the transaction of the change that the password protects.
        """
        if await locked(conn, self.person) is None or await passwords.stored(conn, self.person) != self.stored:
            raise Problem(
                409,
                "During this request your password was changed, or your account was deactivated. Try again with your "
                "new password, or ask an administrator.",
                kind="changed-meanwhile",
            )


async def check_password(db: Database, person: Person, password: str, field: str = "password") -> Proof:
    """Check the password of a signed-in person, and return the proof. `field` names the field of the form in errors.

    Raises Problem 403 for a person without a password or with too many tries, 422 for a wrong password, 503 if too many
    passwords are being checked.
    """
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
        again = moment_text(soon.until, seconds=True)
        raise Problem(
            403, f"Too many attempts with a wrong password. Try again after {again}.", kind="too-soon"
        ) from soon
    with turn():
        known = await off_the_loop(passwords.matches, password, stored)
    if not known:
        async with db.write() as conn:
            await failed_sign_ins.note(conn, "step-up", "password", person.id, now)
        raise invalid(
            "The password is wrong. Enter your current password.",
            [FieldError(field=field, message="The password is wrong. Enter your current password.")],
        )
    async with db.write() as conn:
        await passwords.forget_tries(conn, key)
    return Proof(person.id, stored)
