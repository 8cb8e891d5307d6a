"""Make the actor of a message about a task: the person, their groups, and the person who delegated the task to them."""

from temporalio.client import Client

from api.gateway.temporal import state_of
from api.http.security import actor
from domain.messages import Absent, Actor
from domain.permissions import candidacy, same
from domain.task import TaskView
from store.db.database import Database
from store.people import people
from store.people.people import Person


async def actor_on(client: Client, db: Database, person: Person, task: TaskView) -> Actor:
    """Return the person as the actor of a message about this task.

    If an active person delegated the task to this person, the actor also acts for the delegating person, with that
    person's present groups.
    """
    by = actor(person)
    if not same(task.assignee, person.id) and candidacy(task, person.id, person.groups):
        return by
    state = await state_of(client, task.workflow_id or task.case_id) if task.status == "open" else None
    now = next((each for each in state.tasks if each.task_id == task.task_id), task) if state else task
    if now.owner is None or not same(now.assignee, person.id):
        return by
    async with db.read() as conn:
        owner = await people.active(conn, now.owner)
    if owner is None:
        return by
    giver = Absent(id=owner.id, groups=owner.groups)
    return by.model_copy(update={"stands_in_for": [*by.stands_in_for, giver]})
