"""Incidents as a page: like with like, and one answer for up to a hundred of them."""

import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Form, Request, Response

from api.deps import InHouse
from api.pages.page import Context, SignedIn, from_here, pages, render
from api.problems import not_found
from api.routes.incidents import BulkRetry, answer_incidents
from api.routes.tasks import BulkResult
from api.security import operator
from store import incidents
from store.incidents import Incidents

router = pages()


@dataclass(frozen=True)
class Queue(Context):
    """`incidents.html`: what waits, and what became of what was just answered."""

    groups: list[Incidents]
    decision_id: str
    """Made with the page, so that a form which is sent twice is one answer."""
    answered: list[BulkResult]


@router.api_route("/incidents", methods=["GET", "HEAD"])
async def queue(request: Request, person: SignedIn, parts: InHouse) -> Response:
    """What has failed and waits for operators."""
    await operator(person)
    async with parts.db.read() as conn:
        found = await incidents.groups(conn)
    return render(request, "incidents.html", Queue(person, found, uuid.uuid4().hex, []))


@router.post("/incidents", dependencies=[Depends(from_here)])
async def answer(
    request: Request,
    person: SignedIn,
    parts: InHouse,
    group: Annotated[str, Form(max_length=20)],
    verdict: Annotated[Literal["retry", "roll_back"], Form()],
    decision_id: Annotated[str, Form(min_length=1, max_length=200)],
    comment: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Answer the oldest hundred of a group, as the JSON route does, and show one result each."""
    await operator(person)
    async with parts.db.read() as conn:
        found = next((each for each in await incidents.groups(conn) if each.group == group), None)
    if found is None:
        raise not_found("group of incidents")
    bulk = BulkRetry(
        verdict=verdict, task_ids=found.task_ids, comment=comment.replace("\0", ""), decision_id=decision_id
    )
    answered = (await answer_incidents(bulk, person, parts)).items
    async with parts.db.read() as conn:
        left = await incidents.groups(conn)
    return render(request, "incidents.html", Queue(person, left, uuid.uuid4().hex, answered))
