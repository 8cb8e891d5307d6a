"""Send actions on a task other than a decision, such as claim, hand over, ask, or change the deadline."""

import uuid
from datetime import UTC, datetime
from typing import Any

from temporalio.client import Client, WorkflowHandle

from api.gateway.actors import actor_on
from api.gateway.canonical import check_canonical
from api.gateway.erased import check_not_erased
from api.gateway.refusal_problems import problem_of_refusal
from api.gateway.refusals import CERTAIN_REFUSALS, RefusalLog, ended, recorded
from api.gateway.requests import ActionOutcome, ActionRequest
from api.gateway.temporal import (
    MAY_COME,
    SIGNAL_PATIENCE_S,
    UPDATE_PATIENCE_S,
    Gone,
    NoAnswer,
    send,
    within,
)
from api.http.problems import Problem, unavailable
from api.services.person_lookup import find_person
from domain.gate import Gate
from domain.ids import decision_id_for
from domain.messages import Action, Actor, Receipt
from domain.records import ActionRecord
from domain.refusals import Refusal, RefusalCode, action_id_reused
from domain.ruling import GateRuling
from domain.task import TaskView
from store.cases import actions, cases
from store.cases.actions import ActionRow
from store.db.database import Database
from store.people import people
from store.people.people import Person


class TaskActions:
    """Sends actions on tasks, other than decisions, to the cases of the tasks."""

    def __init__(self, client: Client, db: Database) -> None:
        self._client = client
        self._db = db
        self._refusals = RefusalLog(db)

    async def act(
        self, person: Person, task: TaskView, request: ActionRequest, client_id: str | None = None
    ) -> ActionOutcome:
        """Carry out an action on a task once, and return the task after the action.

        If no worker answers, the action is stored, and a worker does or refuses it later. Until a worker has done or
        refused the action, a repeat with the same content counts as the same action. A repeat with the same `client_id`
        always counts as the same action, and is refused if its content differs. Raises Problem: 403, 404, 409, 422 or
        428 if the action is refused, 422 for an unknown person, 503 if Temporal does not answer.
        """
        await check_not_erased(self._db, task)
        to = await self._named(request.to, person, task) if request.to is not None else None
        action = Action(
            id=decision_id_for(person.id, f"{task.task_id}/{request.act}", client_id or uuid.uuid4().hex),
            task_id=task.task_id,
            by=await actor_on(self._client, self._db, person, task),
            to=to,
            at=datetime.now(UTC),
            **request.model_dump(exclude={"to", "ruling"}),
            ruling=request.ruling,
        )
        check_canonical(action)
        known = await self._sent_before(action, client_id)
        if known:
            action = action.model_copy(update={"id": known.action_id})
            if known.content != action.content:
                raise await self._refusals.refuse(task, action, action_id_reused())
            if known.status == "refused":
                raise problem_of_refusal(action.id, recorded(known, task))
        handle = self._client.get_workflow_handle(task.workflow_id or task.case_id)
        try:
            async with within(UPDATE_PATIENCE_S):
                receipt = await send(handle, "act", action, Receipt)
        except Refusal as no:
            await self._answered_now(known, no)
            raise await self._refusals.refuse(task, action, no) from no
        except NoAnswer:
            return await self._act_later(handle, task, action)
        except Gone as error:
            raise await self._not_there(task) from error
        if receipt.content != action.content:
            raise await self._refusals.refuse(task, action, action_id_reused())
        await self._answered_now(known)
        return ActionOutcome(action_id=action.id, task=receipt.task.model_copy(update={"facts": task.facts}))

    async def _sent_before(self, action: Action, client_id: str | None) -> ActionRow | None:
        """Return the stored action of which this one is a repeat; None if there is none.

        With a `client_id`, the stored action is the one with the same id; otherwise it is a pending action with the
        same content.
        """
        async with self._db.read() as conn:
            if client_id:
                return await actions.get(conn, action.id)
            return await actions.find_pending(conn, action.by.id, action.task_id, action.content)

    async def _answered_now(self, known: ActionRow | None, no: Refusal | None = None) -> None:
        """Mark the stored action as done, or as refused for the reason `no`, if it was pending."""
        if known and known.status == "pending":
            async with self._db.write() as conn:
                await actions.settle(conn, known.action_id, no.message if no else "", no.code.value if no else "")

    async def _act_later(self, handle: WorkflowHandle[Any, Any], task: TaskView, action: Action) -> ActionOutcome:
        """Store the action, then send it as a Signal. Storing comes first, so that a repeat finds the action."""
        try:
            Gate(task, GateRuling(needed=True, rule=task.rule)).check_action(action)
        except Refusal as no:
            if no.code in CERTAIN_REFUSALS:
                raise await self._refusals.refuse(task, action, no) from no
        async with self._db.write() as conn:
            await actions.add_pending(conn, ActionRecord.of(action), task.case_id)
        try:
            async with within(SIGNAL_PATIENCE_S):
                await handle.signal("submit_action", action)
        except NoAnswer as error:
            raise unavailable(MAY_COME, action_id=action.id) from error
        except Gone as error:
            problem = await self._not_there(task)
            async with self._db.write() as conn:
                await actions.settle(conn, action.id, str(problem), RefusalCode.ALREADY_CLOSED.value)
            raise problem from error
        return ActionOutcome(action_id=action.id)

    async def _not_there(self, task: TaskView) -> Problem:
        """Return the problem that says why no Workflow accepts a message about a task."""
        async with self._db.read() as conn:
            case = await cases.get(conn, task.case_id)
        if case is not None and case.status.closed:
            return ended(case)
        return unavailable("The case is stored but has not reached Temporal yet. Try again in a moment.")

    async def _named(self, text: str, by: Person, task: TaskView) -> Actor:
        """Return the person whom `text` names by id, name or email address.

        Raises Problem 422 if no person or several match.
        """
        async with self._db.read() as conn:
            id = await find_person(conn, text, by, field="to", asking="To whom?", task=task)
            found = await people.get(conn, id)
        return Actor(id=found.id, kind=found.kind, groups=found.groups)
