"""Find the person whom a caller names in a text. All fields for a person use this module."""

from collections.abc import Collection

from api.http.problems import FieldError, invalid
from api.http.security import is_in
from domain.names import ADMINS, AUDITORS, REQUESTERS
from domain.permissions import requesters
from domain.task import TaskView
from store.db.connection import AsyncConnection
from store.people.name_resolver import UnknownName, exact_id, id_meant, members_of
from store.people.people import Person


async def find_person(
    conn: AsyncConnection, text: str, by: Person, *, field: str, asking: str = "Who?", task: TaskView | None = None
) -> str:
    """Return the id of the active person whom a text names by id, name or email address.

    Raises Problem 422 if no person or several people match. The `suggestions` of the problem are all people with that
    name if there are several, else people with a similar name whom the caller may see. `asking` is the question that
    the field answers, such as `Who is the substitute?`.
    """
    if (exact := await exact_id(conn, text)) is not None:
        return exact
    try:
        return await id_meant(conn, text, await _seen(conn, by, task))
    except UnknownName as no:
        message = str(no)
        said = f"{message[:1].upper()}{message[1:]}"
        detail = f"{asking} {said}" if said.endswith("?") else f"{asking} {said}."
        raise invalid(detail, [FieldError(field=field, message=message)], suggestions=no.suggestions) from no


async def _seen(conn: AsyncConnection, by: Person, task: TaskView | None) -> Collection[str] | None:
    """Return the ids of the people whom the caller may always see.

    The result is None, for all people, if the caller may read the list of people. Any other caller sees the people who
    decide in the same groups, and the people on the page of the task.
    """
    if is_in(by, ADMINS, AUDITORS):
        return None
    seen = {by.id, *await members_of(conn, set(by.groups) - {REQUESTERS})}  # requesters are shown to nobody
    if task is None:
        return seen
    people = (
        *task.candidate_users,
        *requesters(task),
        task.assignee,
        task.owner,
        *(each.by for each in task.decisions),
    )
    members = (person for some in task.members.values() for person in some)
    return seen | await members_of(conn, task.candidate_groups) | {each for each in (*people, *members) if each}
