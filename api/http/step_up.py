"""Check again that a signed-in person is present, because somebody else may use the person's open browser or token."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from api.http.problems import FieldError, Problem, forbidden, invalid
from api.services.password_hashing import off_the_loop, turn
from domain.moments import moment_text
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.people import failed_sign_ins, passwords
from store.people.passwords import TooManyAttempts
from store.people.people import Person
from store.people.person_lock import locked
from store.people.sessions import Session

NO_PASSWORD = "You have no password yet. Ask an administrator for a one-time link, and set a password with the link."


FRESH_FOR = timedelta(minutes=10)
"""How long a sign-in proves that the person is present. To stay signed in proves nothing."""


@dataclass(frozen=True)
class Proof:
    """Proof that a signed-in person entered the right password in this request, or has just signed in."""

    person: str
    stored: str | None
    """The hash of the password; None if the person has just signed in."""

    async def still_holds(self, conn: AsyncConnection) -> None:
        """Raise Problem 409 if the password has changed since the check, or the person was deactivated.

        Call this method in the transaction of the change that the password protects.
        """
        active = await locked(conn, self.person) is not None
        if not active or self.stored not in (None, await passwords.stored(conn, self.person)):
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


def is_fresh(person: Person, session: Session | None) -> bool:
    """Return True if the person has just proven who they are, so that no password needs to be asked for.

    A token proves nothing, because a program or a thief can have it. A demo person has no password to ask for.
    """
    if person.demo:
        return True
    if session is None or session.way not in ("password", "passkey", "link"):
        return is_fresh_at_provider(session)
    return session.begun_at > datetime.now(UTC) - FRESH_FOR


def is_fresh_at_provider(session: Session | None) -> bool:
    """Return True if the person has just proven to an identity provider who they are."""
    if session is None or session.way != "oidc" or session.proved_at is None:
        return False
    # A provider may sign in a person again without asking anything, so only what the person did there counts.
    return session.proved_at > datetime.now(UTC) - FRESH_FOR


async def check_presence(db: Database, person: Person, session: Session | None, password: str) -> Proof:
    """Check that the person has just signed in, or else check their password, and return the proof.

    Raises Problem 403 if neither is given, and the problems of `check_password`.
    """
    if is_fresh(person, session):
        return Proof(person.id, None)
    if not password:
        raise forbidden(
            "Enter your password, or sign in again by password or passkey. A sign-in counts for 10 minutes. "
            "With single sign-on, open /sign-in/oidc?again=true, where the identity provider asks you who you are.",
            "the password, or a sign-in by password, passkey or identity provider in the last 10 minutes",
        )
    return await check_password(db, person, password)
