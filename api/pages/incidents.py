"""Incidents as pages: like with like, one answer for up to a hundred of them, and all that one group can be told."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Depends, Form, Request, Response

from api.deps import InHouse, Plain
from api.pages.fields import task_and_revision
from api.pages.page import Context, SignedIn, from_here, pages, render
from api.pages.texts import _
from api.problems import not_found
from api.routes.incidents import AnswerToMany, BulkRetry, answer_incidents
from api.routes.tasks import BulkResult
from api.security import operator
from store import incidents
from store.database import Database
from store.incidents import AT_ONCE, Incidents, Waiting
from store.people import Person
from workflows.gate import REASONS
from workflows.models import Verdict

router = pages()


@dataclass(frozen=True)
class Queue(Context):
    """`incidents/queue.html`: what waits, and what became of what was just answered."""

    groups: list[Incidents]
    decision_id: str
    """Made with the page, so that a form which is sent twice is one answer."""
    answered: list[BulkResult]
    titles: dict[str, str]
    """Of the tasks that were answered, by id."""
    at_once: int = AT_ONCE


@dataclass(frozen=True)
class Group(Queue):
    """`incidents/group.html`: one group, its tasks to choose from, and what was chosen when that was refused."""

    waiting: tuple[Waiting, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    ticked: frozenset[str] = frozenset()
    comment: str = ""
    wrong: str = ""
    """What to mend: `tasks` or `comment` is at fault."""
    at_fault: str = ""


@router.api_route("/incidents", methods=["GET", "HEAD"])
async def queue(request: Request, person: SignedIn, parts: InHouse) -> Response:
    """What has failed and waits for operators."""
    await operator(person)
    return render(request, "incidents/queue.html", await _queue(parts.db, person))


@router.post("/incidents", dependencies=[Depends(from_here)])
async def answer(
    request: Request,
    person: SignedIn,
    parts: InHouse,
    group: Annotated[str, Form(max_length=20)],
    verdict: Annotated[Literal["retry", "roll_back"], Form()],
    decision_id: Annotated[Plain, Form(min_length=1, max_length=200)],
    comment: Annotated[Plain, Form(max_length=4000)] = "",
) -> Response:
    """Answer the oldest hundred of a group, as the JSON route does, and show one result each."""
    await operator(person)
    found = await _group(parts.db, group)
    shown = dict.fromkeys(found.task_ids)  # of which the page shows the cause, and the group is named by it
    answered, titles = await _answered(parts, person, verdict, shown, comment, decision_id)
    page = replace(await _queue(parts.db, person), answered=answered, titles=titles)
    return render(request, "incidents/queue.html", page)


@router.api_route("/incidents/{group}", methods=["GET", "HEAD"])
async def one_group(request: Request, group: str, person: SignedIn, parts: InHouse) -> Response:
    """The oldest hundred of a group, to choose from."""
    await operator(person)
    return render(request, "incidents/group.html", await _chosen_from(parts.db, person, await _group(parts.db, group)))


@router.post("/incidents/{group}", dependencies=[Depends(from_here)])
async def answer_some(
    request: Request,
    group: str,
    person: SignedIn,
    parts: InHouse,
    verdict: Annotated[AnswerToMany, Form()],
    decision_id: Annotated[Plain, Form(min_length=1, max_length=200)],
    task: Annotated[list[Plain] | None, Form(max_length=AT_ONCE)] = None,
    comment: Annotated[Plain, Form(max_length=4000)] = "",
) -> Response:
    """Answer those that were ticked, as the JSON route does, and show one result each."""
    await operator(person)
    ticked = task or []
    wrong, at_fault = _("Tick at least one."), "tasks"
    if ticked and (verdict not in REASONS or comment.strip()):
        chosen = dict(task_and_revision(each) for each in ticked)
        answered, titles = await _answered(parts, person, verdict, chosen, comment, decision_id)
        page = replace(await _queue(parts.db, person), answered=answered, titles=titles)
        return render(request, "incidents/queue.html", page)
    if ticked:
        wrong, at_fault = _(REASONS[Verdict(verdict)]), "comment"
    form = await _chosen_from(parts.db, person, await _group(parts.db, group))
    form = replace(form, ticked=frozenset(ticked), comment=comment, wrong=wrong, at_fault=at_fault)
    return render(request, "incidents/group.html", form, 422)


async def _queue(db: Database, person: Person) -> Queue:
    async with db.read() as conn:
        return Queue(person, await incidents.groups(conn), uuid.uuid4().hex, [], {})


async def _group(db: Database, group: str) -> Incidents:
    async with db.read() as conn:
        found = next((each for each in await incidents.groups(conn, limit=1000) if each.group == group), None)
    if found is None:
        raise not_found("group of incidents")
    return found


async def _chosen_from(db: Database, person: Person, group: Incidents) -> Group:
    async with db.read() as conn:
        waiting = await incidents.waiting(conn, group.task_ids)
    words = {
        Verdict.RETRY: _("Try again"),
        Verdict.SKIP: _("Go on without this step"),
        Verdict.DONE_BY_HAND: _("It was done by hand"),
        Verdict.ROLL_BACK: _("Roll back"),
    }
    choices = tuple((verdict.value, words[verdict]) for verdict in group.verdicts if verdict in words)
    return Group(person, [group], uuid.uuid4().hex, [], {}, waiting=tuple(waiting), choices=choices)


async def _answered(
    parts: InHouse,
    person: Person,
    verdict: AnswerToMany,
    chosen: Mapping[str, int | None],
    comment: str,
    decision_id: str,
) -> tuple[list[BulkResult], dict[str, str]]:
    """One result for each task, and what the tasks were. `chosen`: tasks, with the revision that the page showed."""
    async with parts.db.read() as conn:
        titles = {each.task_id: each.title for each in await incidents.waiting(conn, list(chosen))}
    bulk = BulkRetry(
        verdict=verdict,
        task_ids=list(chosen),
        revisions={task_id: revision for task_id, revision in chosen.items() if revision is not None},
        comment=comment,
        decision_id=decision_id,
    )
    return (await answer_incidents(bulk, person, parts)).items, titles
