"""Pages of incidents: groups of similar incidents. One decision can answer up to a hundred incidents of a group."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import Plain, TheServices
from api.http.problems import not_found
from api.http.security import operator
from api.pages.parts.fields import task_and_revision
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.routes.incidents import AnswerToMany, BulkRetry, answer_incidents
from api.routes.tasks import BulkResult
from domain.gate import REASONS
from domain.state_words import BUTTONS
from domain.status import Verdict
from store.cases import bulk_results, incidents
from store.cases.incidents import AT_ONCE, Incidents, InterventionState, OpenIncident
from store.db.database import Database
from store.people.people import Person

router = pages()


@dataclass(frozen=True)
class IncidentsPage(Context):
    """The variables of `incidents/queue.html`: the open incidents, and the outcomes of the last decision."""

    groups: list[Incidents]
    decision_id: str
    """An id that is made with the page, so that a form which is sent twice counts as one decision."""
    answered: list[BulkResult]
    """The outcomes of the last decision, one for each incident."""
    tasks: Mapping[str, InterventionState]
    """The present state of each task that was decided, by the id of the task."""
    at_once: int = AT_ONCE


@dataclass(frozen=True)
class IncidentGroupPage(IncidentsPage):
    """The variables of `incidents/group.html`: one group of incidents, its tasks, and the form if it was refused."""

    waiting: tuple[OpenIncident, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    ticked: frozenset[str] = frozenset()
    comment: str = ""
    wrong: str = ""
    at_fault: str = ""
    """The name of the field to correct: `tasks` or `comment`; empty if the form was not refused."""


@router.api_route("/incidents", methods=["GET", "HEAD"])
async def queue(
    request: Request,
    person: SignedIn,
    services: TheServices,
    answered: Annotated[Plain | None, Query(max_length=40)] = None,
) -> Response:
    """Show the open incidents.

    `answered` is the id of the last decision, whose outcomes are also shown.
    """
    await operator(person)
    page = await _queue(services.db, person)
    if answered:
        async with services.db.read() as conn:
            kept = await bulk_results.kept(conn, answered, person.id, datetime.now(UTC)) or []
            now = await incidents.answered(conn, person.scope.operates, [str(each["task_id"]) for each in kept])
        page = replace(page, answered=[BulkResult.model_validate(each) for each in kept], tasks=now)
    return render(request, "incidents/queue.html", page)


@router.post("/incidents", dependencies=[Depends(check_same_site)])
async def answer(
    person: SignedIn,
    services: TheServices,
    group: Annotated[Plain, Form(max_length=20)],
    verdict: Annotated[Literal["retry", "roll_back"], Form()],
    decision_id: Annotated[Plain, Form(min_length=1, max_length=200)],
    comment: Annotated[Plain, Form(max_length=4000)] = "",
) -> Response:
    """Decide the oldest hundred incidents of a group, as the JSON route does, and redirect to their outcomes."""
    await operator(person)
    id = bulk_results.id_of(person.id, decision_id, verdict, group, comment)
    async with services.db.read() as conn:
        again = await bulk_results.kept(conn, id, person.id, datetime.now(UTC))
    if again is None:  # else the form was sent twice, and its group may be gone
        found = await _group(services.db, person, group)
        shown = dict.fromkeys(found.task_ids)  # the page shows the cause of these, and they name the group
        await _answered(services, person, id, verdict, shown, comment, decision_id)
    return RedirectResponse(f"/incidents?answered={id}", status_code=303)


@router.api_route("/incidents/{group}", methods=["GET", "HEAD"])
async def one_group(request: Request, group: str, person: SignedIn, services: TheServices) -> Response:
    """Show the oldest hundred incidents of a group, so that the person can select some of them."""
    await operator(person)
    return render(
        request,
        "incidents/group.html",
        await _chosen_from(services.db, person, await _group(services.db, person, group)),
    )


@router.post("/incidents/{group}", dependencies=[Depends(check_same_site)])
async def answer_some(
    request: Request,
    group: str,
    person: SignedIn,
    services: TheServices,
    verdict: Annotated[AnswerToMany, Form()],
    decision_id: Annotated[Plain, Form(min_length=1, max_length=200)],
    task: Annotated[list[Plain] | None, Form(max_length=AT_ONCE)] = None,
    comment: Annotated[Plain, Form(max_length=4000)] = "",
) -> Response:
    """Decide the selected incidents, as the JSON route does, and redirect to their outcomes."""
    await operator(person)
    ticked = task or []
    wrong, at_fault = _("Select at least one incident."), "tasks"
    if ticked and (verdict not in REASONS or comment.strip()):
        chosen = dict(task_and_revision(each) for each in ticked)
        id = bulk_results.id_of(person.id, decision_id, verdict, ticked, comment)
        await _answered(services, person, id, verdict, chosen, comment, decision_id)
        return RedirectResponse(f"/incidents?answered={id}", status_code=303)
    if ticked:
        wrong, at_fault = _(REASONS[Verdict(verdict)]), "comment"
    form = await _chosen_from(services.db, person, await _group(services.db, person, group))
    form = replace(form, ticked=frozenset(ticked), comment=comment, wrong=wrong, at_fault=at_fault)
    return render(request, "incidents/group.html", form, 422)


async def _queue(db: Database, person: Person) -> IncidentsPage:
    async with db.read() as conn:
        return IncidentsPage(person, await incidents.groups(conn, person.scope.operates), uuid.uuid4().hex, [], {})


async def _group(db: Database, person: Person, group: str) -> Incidents:
    async with db.read() as conn:
        groups = await incidents.groups(conn, person.scope.operates, limit=1000)
        found = next((each for each in groups if each.group == group), None)
    if found is None:
        raise not_found("group of incidents")
    return found


async def _chosen_from(db: Database, person: Person, group: Incidents) -> IncidentGroupPage:
    async with db.read() as conn:
        waiting = await incidents.waiting(conn, group.task_ids)
    choices = tuple((verdict.value, _(BUTTONS[verdict])) for verdict in group.verdicts)
    return IncidentGroupPage(person, [group], uuid.uuid4().hex, [], {}, waiting=tuple(waiting), choices=choices)


async def _answered(
    services: TheServices,
    person: Person,
    id: str,
    verdict: AnswerToMany,
    chosen: Mapping[str, int | None],
    comment: str,
    decision_id: str,
) -> None:
    """Decide the chosen tasks, and store the outcome of each under the id of the decision.

    `chosen` has the revision that the page showed, by id of the task; None for the present revision.
    """
    bulk = BulkRetry(
        verdict=verdict,
        task_ids=list(chosen),
        revisions={task_id: revision for task_id, revision in chosen.items() if revision is not None},
        comment=comment,
        decision_id=decision_id,
    )
    results = [each.model_dump(mode="json") for each in (await answer_incidents(bulk, person, services)).items]
    async with services.db.write() as conn:
        await bulk_results.keep(conn, id, person.id, results, datetime.now(UTC))
