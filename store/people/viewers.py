"""Turn people into viewers, the form that the rules of visibility use."""

from datetime import UTC, datetime

from domain.scope import Scope
from store.cases.visibility import Viewer
from store.db.connection import AsyncConnection
from store.people import people
from store.people.people import Person


def viewer(person: Person) -> Viewer:
    """Return the person as a Viewer, the form that the rules of visibility use."""
    absent = [Viewer(id=each.id, groups=each.groups) for each in person.stands_in_for]
    known = {"id": person.id, "groups": person.groups, "comes_after": person.comes_after, "scope": person.scope}
    return Viewer(**known, stands_in_for=absent, decides=person.kind == "person")


async def viewer_of(conn: AsyncConnection, id: str, scope: Scope) -> Viewer:
    """Return the person with this id and scope as a Viewer.

    An inactive person may see only cases and tasks that name this person.
    """
    person = await people.acting(conn, id, datetime.now(UTC))
    return Viewer(id=id) if person is None else viewer(person.model_copy(update={"scope": scope}))
