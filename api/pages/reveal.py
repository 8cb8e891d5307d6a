"""Reveal a masked field on the page of a task: a form with a reason, and an answer that holds the value.

With scripts the answer takes the place of the form. Without scripts it is a page of its own. The value is in no address
and in no cookie, and a second answer to the same form leads back to the task without the value: so loading the page
again reveals nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

from fastapi import Depends, Form, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import TaskId, TheServices, visible_task
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import Problem
from api.pages.parts.formatting import as_shown
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.routes.reveal import LEAST_REASON, MOST_REASON
from api.services.reveal import AlreadyRevealed, reveal
from domain.task import TaskView
from store.people.people import Person
from workflows.registry import PROCESSES

router = pages()


@dataclass(frozen=True)
class RevealForm:
    """The form that reveals one masked field."""

    field: str
    label: str
    key: str
    """An id that is made with the form, so that the form is answered only once."""
    reason: str = ""
    error: str = ""


@dataclass(frozen=True)
class RevealPage(Context):
    """`task/reveal.html` and `task/_reveal.html`: the form again with its error, or the value of the field."""

    task: TaskView
    form: RevealForm
    revealed: bool
    value: Any
    alert: str
    """Why the field was not revealed; empty if it was, or if the error stands beside the reason."""


def forms(process: str, fields: Sequence[str], shown: Mapping[str, Any]) -> dict[str, list[RevealForm]]:
    """Return the forms for masked fields, by the field of the input of which they are a part.

    An empty field has no form. `shown` is the input with masked fields masked.
    """
    found: dict[str, list[RevealForm]] = {}
    for field in fields:
        root = field.partition(".")[0]
        if shown.get(root) not in (None, "", [], {}):
            found.setdefault(root, []).append(_form(process, field))
    return found


@router.post("/tasks/{task_id}/reveal", dependencies=[Depends(check_same_site)])
async def reveal_field(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    services: TheServices,
    field: Annotated[str, Form(min_length=1, max_length=200)],
    reason: Annotated[str, Form(max_length=4000)] = "",
    key: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """Reveal a masked field as the JSON route does, and show its value once."""
    task = await visible_task(task_id, person, services.db)
    reason = reason.strip()
    if not LEAST_REASON <= len(reason) <= MOST_REASON:
        told = _(
            "Enter a reason with %(least)s to %(most)s characters. The audit log keeps the reason.",
            least=LEAST_REASON,
            most=MOST_REASON,
        )
        return _shown(request, person, task, _form(task.process, field, reason, told), status=422)
    try:
        found = await reveal(services, person, task, field, reason, via="page", key=key or None)
    except AlreadyRevealed:
        return RedirectResponse(f"/tasks/{quote(task_id, safe='')}", status_code=303)
    except (Problem, *ANSWERED_ERRORS) as no:
        problem = no if isinstance(no, Problem) else problem_of_error(no)
        form = _form(task.process, field, reason)
        return _shown(request, person, task, form, alert=str(problem.body["detail"]), status=problem.status)
    return _shown(request, person, task, _form(task.process, field), revealed=True, value=as_shown(found.value))


def _shown(
    request: Request,
    person: Person,
    task: TaskView,
    form: RevealForm,
    *,
    revealed: bool = False,
    value: Any = None,
    alert: str = "",
    status: int = 200,
) -> Response:
    part = request.headers.get("hx-request") == "true"
    page = RevealPage(person, task, form, revealed, value, alert)
    template = "task/_reveal.html" if part else "task/reveal.html"
    return render(request, template, page, status, {"Cache-Control": "no-store"})


def _form(process: str, field: str, reason: str = "", error: str = "") -> RevealForm:
    known = PROCESSES.get(process)
    return RevealForm(field, known.words.label_of(field) if known else field, uuid4().hex, reason, error)
