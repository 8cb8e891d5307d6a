"""The page My requests: each request of the reader with its status in a sentence.

Questions to the reader come first.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse
from markupsafe import Markup

from api.container import Services
from api.deps import Cursor, Plain, TheServices, visible_case, visible_task
from api.http.problems import Problem
from api.http.schemas import checked_cursor
from api.http.security import viewer
from api.pages.parts.formatting import TONES, time_text
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.request_status import standing, why
from api.pages.parts.translation import _
from api.routes.cases import CaseReason, cancel_case
from api.routes.task_actions import NewAnswer, TaskActor, answer as answer_question, nudge as nudge_those
from domain.status import ENDED_UNDONE
from domain.task import Question, TaskView
from store.cases import cases, open_tasks, tasks
from store.cases.cases import CaseRow
from store.notifications import reminders
from store.notifications.reminders import Nudge
from store.people.people import Person

router = pages()

SHOWN = 25
"""The most requests on one page."""
QUESTIONS = 20
"""The most questions on one page."""

Said = Literal["nudged", "withdrawn", "answered"]


@dataclass(frozen=True)
class WaitingTask:
    """An open task of a request that other people must decide."""

    task: TaskView
    nudged: Nudge | None
    """The last reminder, if the requester cannot send another one yet; else None."""


@dataclass(frozen=True)
class RequestRow:
    """One request of the reader."""

    case: CaseRow
    standing: Markup
    tone: str
    """The name of the colour of the status: see `TONES` in `api/pages/parts/formatting.py`."""
    why: str
    waiting: list[WaitingTask]
    mend: str
    """The id of the task in which the reader changes the request; empty if nobody requested changes."""
    may_withdraw: bool
    may_ask_again: bool


@dataclass(frozen=True)
class OpenQuestion:
    """An open question to the reader."""

    task: TaskView
    question: Question


@dataclass(frozen=True)
class RequestsPage(Context):
    """The variables of `requests/mine.html`: the reader's requests and open questions."""

    questions: list[OpenQuestion]
    mine: list[RequestRow]
    ended: bool
    next_cursor: str | None
    first: bool
    key: str
    """An id that is made with the page, so that a form which is sent twice counts once."""
    said: str = ""
    wrong: str = ""


@router.api_route("/requests", methods=["GET", "HEAD"])
async def requests(
    request: Request,
    person: SignedIn,
    services: TheServices,
    ended: bool = False,
    cursor: Cursor = None,
    said: Annotated[Said | None, Query()] = None,
) -> Response:
    """Show the requests of the person, newest first: open ones, or with `ended` those that have ended."""
    return await _page(request, person, services, ended=ended, cursor=cursor, said=_said(said))


@router.post("/requests/nudge", dependencies=[Depends(check_same_site)])
async def nudge(
    request: Request,
    person: SignedIn,
    services: TheServices,
    task_id: Annotated[Plain, Form(max_length=100)],
    key: Annotated[Plain, Form(min_length=1, max_length=200)],
) -> Response:
    """Send a reminder to the people who can decide a task, as the JSON route does."""
    try:
        await nudge_those(await visible_task(task_id, person, services.db), person, services.db, key)
    except Problem as no:
        return await _page(request, person, services, wrong=_too_soon(no) or no.body["detail"], status=no.status)
    return RedirectResponse("/requests?said=nudged", status_code=303)


@router.post("/requests/withdraw", dependencies=[Depends(check_same_site)])
async def withdraw(
    request: Request,
    person: SignedIn,
    services: TheServices,
    case_id: Annotated[Plain, Form(max_length=1500)],
    reason: Annotated[Plain, Form(min_length=1, max_length=4000)],
    key: Annotated[Plain, Form(min_length=1, max_length=200)],
) -> Response:
    """Withdraw a request: cancel its case, as the JSON route does."""
    try:
        found = await visible_case(case_id, person, services.db)
        await cancel_case(found, CaseReason(reason=reason), person, services.gateway, key)
    except Problem as no:
        return await _page(request, person, services, wrong=no.body["detail"], status=no.status)
    return RedirectResponse("/requests?said=withdrawn", status_code=303)


@router.post("/requests/answer", dependencies=[Depends(check_same_site)])
async def answer(
    request: Request,
    person: SignedIn,
    services: TheServices,
    task_id: Annotated[Plain, Form(max_length=100)],
    question: Annotated[Plain, Form(max_length=100)],
    text: Annotated[Plain, Form(min_length=1, max_length=4000)],
    key: Annotated[Plain, Form(min_length=1, max_length=200)],
) -> Response:
    """Answer a question about a task, as the JSON route does."""
    try:
        task = await visible_task(task_id, person, services.db)
        await answer_question(TaskActor(task, person, services.gateway, key), question, NewAnswer(text=text))
    except Problem as no:
        return await _page(request, person, services, wrong=no.body["detail"], status=no.status)
    return RedirectResponse("/requests?said=answered", status_code=303)


async def _page(
    request: Request,
    person: Person,
    services: Services,
    *,
    ended: bool = False,
    cursor: str | None = None,
    said: str = "",
    wrong: str = "",
    status: int = 200,
) -> Response:
    with checked_cursor():
        async with services.db.read() as conn:
            rows, following = await cases.page(
                conn, viewer(person), requesters=person.asks_as, ended=ended, cursor=cursor, limit=SHOWN
            )
            waiting = await tasks.open_of(conn, [row.case_id for row in rows])
            nudged = await reminders.latest(conn, [task.task_id for of_case in waiting.values() for task in of_case])
            again = await cases.with_next_round(conn, rows)
            whose = viewer(person).answers_for
            asked = await open_tasks.with_questions_for(conn, whose, limit=QUESTIONS) if cursor is None else []
    page = RequestsPage(
        person=person,
        questions=[
            OpenQuestion(task, each) for task in asked for each in task.questions if each.to in whose and each.open
        ],
        mine=[_mine(row, waiting.get(row.case_id, []), nudged, row.case_id in again, person) for row in rows],
        ended=ended,
        next_cursor=following,
        first=cursor is None,
        key=uuid.uuid4().hex,
        said=said,
        wrong=wrong,
    )
    return render(request, "requests/mine.html", page, status)


def _mine(case: CaseRow, waiting: list[TaskView], nudged: dict[str, Nudge], again: bool, person: Person) -> RequestRow:
    taken_back = case.rollback is not None and case.rollback.ended is not None
    return RequestRow(
        case=case,
        standing=standing(case, waiting, person.id),
        tone=TONES.get(case.status, "quiet"),
        why=why(case),
        waiting=[
            WaitingTask(task, reminders.resting(nudged.get(task.task_id))) for task in waiting if task.kind != "changes"
        ],
        mend=next((task.task_id for task in waiting if task.kind == "changes"), ""),
        may_withdraw=not case.status.closed and not taken_back,
        may_ask_again=case.status in ENDED_UNDONE and not again,
    )


def _too_soon(no: Problem) -> str:
    """Return when the last reminder was sent and the next one can be sent, in a sentence; empty for another problem."""
    if "again_at" not in no.body:
        return ""
    last, again = (time_text(datetime.fromisoformat(no.body[name])) for name in ("nudged_at", "again_at"))
    return _(
        "The last reminder was sent on %(last)s. You can send the next reminder from %(again)s.", last=last, again=again
    )


def _said(what: Said | None) -> str:
    return {
        "nudged": _("A reminder was sent to the people who can decide."),
        "withdrawn": _("Your request is being withdrawn. Completed steps are rolled back first."),
        "answered": _("Your answer was sent."),
        None: "",
    }[what]
