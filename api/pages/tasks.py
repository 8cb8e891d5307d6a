"""One task as a page, which a notice links to: what is asked, on what facts, and a form for who may decide."""

import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import InHouse, TaskId, visible_task
from api.gateway import Answer
from api.pages.page import Context, SignedIn, from_here, pages, render
from api.routes.tasks import one_task
from api.security import CanDecide
from workflows.models import TaskView, Verdict
from workflows.registry import PROCESSES

router = pages()

BUTTONS = {
    Verdict.APPROVE: "Approve",
    Verdict.REJECT: "Reject",
    Verdict.RETRY: "Try again",
    Verdict.SKIP: "Skip this step",
    Verdict.ROLL_BACK: "Roll back",
}


@dataclass(frozen=True)
class Task(Context):
    """`task.html`: the task, and whether the person may decide it."""

    task: TaskView
    fields: dict[str, Any]
    """The input by its labels."""
    can_decide: CanDecide
    buttons: dict[str, str]
    decision_id: str
    """Made with the page, so that a form which is sent twice is one decision."""
    stored: bool
    """The decision just sent waits for a worker."""


@router.api_route("/tasks/{task_id}", methods=["GET", "HEAD"])
async def task(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    parts: InHouse,
    sent: Annotated[Literal["stored"] | None, Query()] = None,
) -> Response:
    """The task. Opening it decides nothing, whoever or whatever does."""
    seen = await one_task(await visible_task(task_id, person, parts.db), person, parts.gateway)
    process = PROCESSES.get(seen.process)
    labels = process.words.labels if process else {}
    page = Task(
        person=person,
        task=seen,
        fields={labels.get(name, name): value for name, value in seen.input.items() if value is not None},
        can_decide=seen.can_decide,
        buttons={verdict.value: BUTTONS[verdict] for verdict in seen.verdicts},
        decision_id=uuid.uuid4().hex,
        stored=sent == "stored",
    )
    return render(request, "task.html", page)


@router.post("/tasks/{task_id}/decide", dependencies=[Depends(from_here)])
async def decide(
    task_id: TaskId,
    person: SignedIn,
    parts: InHouse,
    verdict: Annotated[str, Form(max_length=60)],
    decision_id: Annotated[str, Form(min_length=1, max_length=200)],
    revision: Annotated[int, Form()],
    comment: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Decide as the JSON route does, and show the task as it is then."""
    found = await visible_task(task_id, person, parts.db)
    answer = Answer(verdict=verdict, comment=comment.replace("\0", ""), revision=revision, via="page")
    decided = await parts.gateway.decide(person, found, answer, decision_id)
    stored = "" if decided.accepted else "?sent=stored"
    return RedirectResponse(f"/tasks/{quote(task_id, safe='')}{stored}", status_code=303)
