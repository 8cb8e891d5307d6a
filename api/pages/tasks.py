"""One task as a page, which a notice links to: what is asked, on what facts, and a form for who may decide."""

import json
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from api.deps import InHouse, TaskId, visible_task
from api.gateway import Answer, Wish
from api.pages.page import Context, SignedIn, from_here, labelled, pages, render
from api.routes.tasks import one_task
from api.security import CanDecide
from workflows.models import Act, TaskView, UndoView, Verdict
from workflows.registry import PROCESSES

router = pages()

BUTTONS = {
    Verdict.APPROVE: "Approve",
    Verdict.REJECT: "Reject",
    Verdict.REQUEST_CHANGES: "Request changes",
    Verdict.ABSTAIN: "Abstain",
    Verdict.RESUBMIT: "Resubmit",
    Verdict.RETRY: "Try again",
    Verdict.SKIP: "Skip this step",
    Verdict.DONE_BY_HAND: "Done by hand",
    Verdict.ROLL_BACK: "Roll back",
}


@dataclass(frozen=True)
class Editable:
    """A field of the input in a form. A masked one comes empty: left so, it stays as it is."""

    name: str
    label: str
    value: str
    masked: bool

    @property
    def long(self) -> bool:
        """Whether it wants more than one line."""
        return "\n" in self.value or len(self.value) > 80


@dataclass(frozen=True)
class Task(Context):
    """`task.html`: the task, and whether the person may decide it."""

    task: TaskView
    fields: dict[str, Any]
    """The input by its labels."""
    can_decide: CanDecide
    can_act: bool
    """Whether the person may claim, hand over or ask: as a candidate, even if somebody else has claimed the task."""
    edits: list[Editable]
    buttons: dict[str, str]
    decision_id: str
    """Made with the page, so that a form which is sent twice is one decision."""
    stored: bool
    """The decision just sent waits for a worker."""
    plan: list[UndoView]
    """What would be undone if the answer is no."""


@router.api_route("/tasks/{task_id}", methods=["GET", "HEAD"])
async def task(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    parts: InHouse,
    sent: Annotated[Literal["stored"] | None, Query()] = None,
) -> Response:
    """The task. Opening it decides nothing, whoever or whatever does."""
    seen = await one_task(await visible_task(task_id, person, parts.db), person, parts.db, parts.gateway)
    process = PROCESSES.get(seen.process)
    labels = process.words.labels if process else {}
    masked = process.words.masked if process else frozenset()
    edits = [
        Editable(name, labels.get(name, name), "" if name in masked else _text(seen.input.get(name)), name in masked)
        for name in seen.editable
    ]
    page = Task(
        person=person,
        task=seen,
        fields=labelled(seen.process, seen.input),
        can_decide=seen.can_decide,
        can_act=seen.status == "open" and seen.kind != "changes" and seen.can_decide.allowed,
        edits=edits,
        buttons={verdict.value: BUTTONS[verdict] for verdict in seen.verdicts},
        decision_id=uuid.uuid4().hex,
        stored=sent == "stored",
        plan=seen.rollback_plan if seen.kind != "changes" else [],
    )
    return render(request, "task.html", page)


@router.post("/tasks/{task_id}/decide", dependencies=[Depends(from_here)])
async def decide(
    request: Request,
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
    takes_edits = verdict in (Verdict.APPROVE, Verdict.RESUBMIT, Verdict.RETRY)
    edits = _edits(await request.form(), found) if takes_edits else {}
    answer = Answer(verdict=verdict, comment=comment.replace("\0", ""), revision=revision, edits=edits, via="page")
    decided = await parts.gateway.decide(person, found, answer, decision_id)
    return _back(task_id, "" if decided.accepted else "?sent=stored")


@router.post("/tasks/{task_id}/act", dependencies=[Depends(from_here)])
async def act(
    task_id: TaskId,
    person: SignedIn,
    parts: InHouse,
    wanted: Annotated[Literal["claim", "release", "withdraw", "delegate", "ask", "answer"], Form(alias="act")],
    to: Annotated[str, Form(max_length=200)] = "",
    text: Annotated[str, Form(max_length=4000)] = "",
    question: Annotated[str, Form(max_length=100)] = "",
) -> Response:
    """Claim, hand over, take back, ask or answer as the JSON routes do, and show the task as it is then."""
    found = await visible_task(task_id, person, parts.db)
    wish = Wish(
        act=Act(wanted),
        to=to.replace("\0", "").strip() or None,
        text=text.replace("\0", ""),
        question=question or None,
        via="page",
    )
    await parts.gateway.act(person, found, wish)
    return _back(task_id)


def _edits(form: FormData, task: TaskView) -> dict[str, Any]:
    """The fields of a form that are other than the task shows them. An empty one stands for none."""
    given = {name: form.get(f"edit:{name}") for name in task.editable}
    texts = {name: value.replace("\0", "").strip() for name, value in given.items() if isinstance(value, str)}
    process = PROCESSES.get(task.process)
    masked = process.words.masked if process else frozenset()
    return {
        name: value or None
        for name, value in texts.items()
        # A form sends line ends as CR LF, whatever they were.
        if (value if name in masked else value.splitlines() != _text(task.input.get(name)).strip().splitlines())
    }


def _text(value: Any) -> str:
    """A value as it stands in a form, and as the input model reads it again."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    return json.dumps(value) if isinstance(value, list | dict) else "" if value is None else str(value)


def _back(task_id: str, query: str = "") -> Response:
    return RedirectResponse(f"/tasks/{quote(task_id, safe='')}{query}", status_code=303)
