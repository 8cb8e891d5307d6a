"""Check for whom a service account asks, before a case or an upload is stored."""

from api.http.problems import FieldError, forbidden, invalid
from domain.names import SEVERAL
from policy.model import Policy
from policy.scope import scope_of
from store.db.database import Database
from store.people import people
from store.people.people import Person

FIELD = "on_behalf_of"


async def person_meant(db: Database, caller: Person, named: str | None, policy: Policy, process: str) -> str | None:
    """Return the id of the person whom `on_behalf_of` names by id or e-mail address; None if it names nobody.

    Raises Problem 403 if the caller is not a service account; 422 if the text names no active person, or if this person
    may not start cases of the process (for SEVERAL, of any process).
    """
    if named is None:
        return None
    if caller.kind != "service":
        raise forbidden(
            f"Only a service account asks on behalf of a person. Leave out '{FIELD}': you are the requester.",
            "service accounts: they ask on behalf of people",
        )
    async with db.read() as conn:
        person = await people.named(conn, named)
    if person is None or person.kind != "person":
        raise _wrong("is not the id or the e-mail address of an active person")
    starts = scope_of(policy, person.id, person.groups).starts
    if process not in starts and not (process == SEVERAL and starts):
        raise _wrong(f"names {person.id}, who may not start cases: name a person who may, or leave the field out")
    return person.id


def _wrong(message: str) -> Exception:
    return invalid(f"'{FIELD}' {message}.", [FieldError(field=FIELD, message=message)])
