"""The page of one task, also as a part of the inbox: the question, the facts, and forms for its actions.

If a request has the header `HX-Request`, the answer is only the template `task/_task.html`, which the inbox shows
beside its list. Without scripts, each form leads back to the page of the task. A refused form is shown again as the
person entered it.
"""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Form, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import TaskId, TheServices, visible_case, visible_task
from api.gateway.requests import ActionRequest, DecisionRequest, PasskeyAnswer
from api.http.problems import Problem
from api.http.schemas import TaskDetail
from api.http.security import actor, is_in
from api.pages import reveal
from api.pages.parts.case_context import CaseContext, case_context
from api.pages.parts.fields import ChangedField, CheckResults, LabelledField, changed, checked, labelled
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.pages.parts.reasons import reason
from api.pages.parts.schema_form import FormField, Read, read_form, schema_form
from api.pages.parts.task_wording import (
    Deciders,
    TimerEvent,
    approvals,
    asked,
    decided_by,
    if_nobody_decides,
    mine,
    needs_comment,
    stale_words,
    why,
)
from api.pages.parts.translation import _, reader
from api.pages.reveal import RevealForm
from api.routes.task_actions import Snooze, follow_up, no_follow_up
from api.routes.tasks import one_task, receipt
from domain import strict_json
from domain.confirmation import Confirm
from domain.messages import Act
from domain.moments import Within, local_moment
from domain.names import ADMINS
from domain.permissions import operates
from domain.state_words import BUTTONS
from domain.status import Verdict
from policy.wording import confirmation
from store.cases import tasks
from store.cases.cases import CaseRow
from store.people.people import Person
from workflows.registry import PROCESSES

router = pages()

Deed = Literal[
    "claim",
    "release",
    "withdraw",
    "delegate",
    "reassign",
    "ask",
    "answer",
    "withdraw_question",
    "set_clock",
    "follow_up",
    "no_follow_up",
]
"""The names of the actions on a task other than a decision."""
LATER = {"4h": timedelta(hours=4), "1d": timedelta(days=1), "3d": timedelta(days=3), "7d": timedelta(days=7)}
"""The times for which a person can snooze a task on the page. The API accepts any future time."""
_ALWAYS = ("always", "true")
"""The conditions (`when` in the policy) of approval steps that always need a decision."""
_EDITING = (Verdict.APPROVE, Verdict.RESUBMIT, Verdict.RETRY)
_MAIN = (
    *(Verdict.APPROVE, Verdict.REJECT, Verdict.REQUEST_CHANGES, Verdict.RESUBMIT),
    *(Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND, Verdict.ROLL_BACK),
)
"""The verdicts that have a button, in this order. All other verdicts are under More."""


@dataclass(frozen=True)
class SentForm:
    """A refused form, as the person entered it."""

    alert: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    """The errors of the form, by field."""
    act: str = ""
    """The name of the form: `decide`, `ask`, ..."""
    typed: Mapping[str, str] = field(default_factory=dict)
    read: Read | None = None
    """The fields of the input that the person entered, if the form has such fields."""


@dataclass(frozen=True)
class TaskPage(Context):
    """The variables of `task/page.html` and `task/_task.html`: one task."""

    level: int
    """The level of the task's heading: 1 on its page, 2 within the inbox."""
    part: bool
    """True if the task is shown within another page, so that the answer to its forms is only the part of the task."""
    task: TaskDetail
    about: CaseContext
    fields: Sequence[LabelledField]
    checked: CheckResults
    reveals: Mapping[str, Sequence[RevealForm]]
    """The forms that reveal masked fields, by the field of the input."""
    changes: Sequence[ChangedField]
    because: str
    """Why people must decide this task, in a sentence."""
    why: str
    """Why the reader can or cannot decide."""
    approvals: str
    confirmation: str
    """How people confirm their decisions, in words; empty if they need not."""
    asked: Sequence[Deciders]
    coming: Sequence[TimerEvent]
    confirm: Confirm
    """How the reader confirms a decision; NONE if the task needs no confirmation."""
    cannot_confirm: str
    """Why the reader has nothing to confirm a decision with; empty if the reader has."""
    buttons: Mapping[Verdict, str]
    more: Mapping[Verdict, str]
    """The verdicts under More, each with the text of its button."""
    comments: Sequence[str]
    """The texts of the buttons that need a comment."""
    edits: Sequence[FormField]
    acts: frozenset[str]
    """The names of the actions, other than a decision, that the person may take."""
    followed: datetime | None
    """Until when the person has snoozed the task; None if the person has not."""
    decision_id: str
    """An id that is made with the page, so that a form which is sent twice counts as one decision."""
    stored: bool
    """True if the decision that the person has just sent is stored until a worker runs."""
    sent: SentForm
    unsent: Sequence[tuple[str, str]]
    """The texts that the person entered into a form that is no longer on the page, each with its label."""
    zone: str


def buttons() -> dict[Verdict, str]:
    """Return the text of each button, in the reader's language."""
    return {verdict: _(text) for verdict, text in BUTTONS.items()}


@router.api_route("/tasks/{task_id}", methods=["GET", "HEAD"])
async def task(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    services: TheServices,
    sent: Annotated[Literal["stored"] | None, Query()] = None,
) -> Response:
    """Show the task. Opening the page decides nothing, so a program that opens all links of a mail does no harm."""
    return await shown(request, task_id, person, services, stored=sent == "stored")


@router.get("/tasks/{task_id}/receipt")
async def decision_receipt(
    task_id: TaskId,
    person: SignedIn,
    services: TheServices,
    decision_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
) -> Response:
    """Download the receipt of a decision, as the JSON route does."""
    return await receipt(await visible_task(task_id, person, services.db), services, decision_id)


@router.post("/tasks/{task_id}/decide", dependencies=[Depends(check_same_site)])
async def decide(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    services: TheServices,
    verdict: Annotated[str, Form(max_length=60)],
    decision_id: Annotated[str, Form(min_length=1, max_length=200)],
    revision: Annotated[int, Form()],
    comment: Annotated[str, Form(max_length=4000)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    nonce: Annotated[str, Form(max_length=64)] = "",
    credential: Annotated[str, Form(max_length=10_000)] = "",
) -> Response:
    """Decide the task as the JSON route does, and show the task after the decision.

    Errors are shown beside their fields. `nonce` and `credential` come from `confirm.js`, which first sends the form
    without these fields, and then gets the problem of the JSON route.
    """
    found = await visible_task(task_id, person, services.db)
    case = await visible_case(found.case_id, person, services.db)
    comment = comment.replace("\0", "")
    read = _read(await request.form(), case, found.editable) if verdict in _EDITING and found.editable else None
    sent = SentForm(act="decide", typed={"comment": comment}, read=read)
    if verdict in needs_comment(found) and not comment.strip():
        told = _("Enter a comment. The requester sees your comment, and the audit log keeps your comment.")
        return await shown(request, task_id, person, services, _with(sent, errors={"comment": told}), 422)
    if read and read.errors:
        alert = read.errors.get("") or _(
            "Some fields have errors. Correct the marked fields. Your decision was not sent."
        )
        return await shown(request, task_id, person, services, _with(sent, alert=alert), 422)
    edits = dict(read.values) if read else {}
    answer = DecisionRequest(verdict=verdict, comment=comment, revision=revision, edits=edits, via="page")
    if nonce:
        answer.passkey = PasskeyAnswer(nonce=nonce, credential=_json(credential))
    try:
        answer.confirmation = await services.confirmations.by_password(person, password) if password else None
        decided = await services.gateway.decide(person, found, answer, decision_id)
    except Problem as no:
        if request.headers.get("accept") == "application/json":
            return no.response()
        return await shown(request, task_id, person, services, _refused(sent, no), no.status)
    return await _done(request, task_id, person, services, stored=not decided.accepted, happened="decided")


@router.post("/tasks/{task_id}/act", dependencies=[Depends(check_same_site)])
async def act(
    request: Request,
    task_id: TaskId,
    person: SignedIn,
    services: TheServices,
    wanted: Annotated[Deed, Form(alias="act")],
    to: Annotated[str, Form(max_length=200)] = "",
    text: Annotated[str, Form(max_length=4000)] = "",
    question: Annotated[str, Form(max_length=100)] = "",
    due: Annotated[str, Form(max_length=40)] = "",
    ends: Annotated[str, Form(max_length=40)] = "",
    later: Annotated[str, Form(max_length=10)] = "1d",
) -> Response:
    """Carry out an action on a task other than a decision, such as claim, ask or snooze, as the JSON routes do."""
    found = await visible_task(task_id, person, services.db)
    to, text = to.replace("\0", "").strip(), text.replace("\0", "")
    sent = SentForm(act=wanted, typed={"to": to, "text": text, "due": due, "ends": ends})
    stored = False
    try:
        match wanted:
            case "follow_up":
                until = datetime.now(UTC) + LATER.get(later, LATER["1d"])
                await follow_up(found, Snooze(until=until), person, services.db)
            case "no_follow_up":
                await no_follow_up(found, person, services.db)
            case _:
                wish = ActionRequest(
                    act=Act(wanted),
                    to=to or None,
                    text=text,
                    question=question or None,
                    due_at=_moment(due, "due"),
                    expires_at=_moment(ends, "ends"),
                    via="page",
                )
                acted = await services.gateway.act(person, found, wish)
                stored = acted.task is None
    except Problem as no:
        return await shown(request, task_id, person, services, _refused(sent, no), no.status)
    return await _done(request, task_id, person, services, stored=stored, happened="acted")


# ------------------------------------------------------------------------------------------------------------ the page


async def shown(
    request: Request,
    task_id: str,
    person: Person,
    services: Services,
    sent: SentForm | None = None,
    status: int = 200,
    *,
    stored: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the page of a task for this person; only the part of the task if `HX-Request` is in the headers."""
    found = await visible_task(task_id, person, services.db)
    case = await visible_case(found.case_id, person, services.db)
    seen, whole = await asyncio.gather(one_task(found, person, services), case_context(case, person, services))
    async with services.db.read() as conn:
        who = await asked(conn, seen, datetime.now(UTC))
        followed = await tasks.snoozed_until(conn, person.id, task_id)
    part, sent = request.headers.get("hx-request") == "true", sent or SentForm()
    may = seen.can_decide.allowed
    acts = _acts(seen, person, followed)
    confirm = await services.confirmations.way(person.id, seen.confirm) if may else Confirm.NONE
    confirms = confirm is not Confirm.NONE or seen.confirm is Confirm.NONE
    answers = {verdict: words for verdict, words in buttons().items() if may and verdict in seen.verdicts}
    page = TaskPage(
        person=person,
        level=2 if part else 1,
        part=part,
        task=seen,
        about=whole,
        fields=labelled(seen.process, seen.input),
        reveals=reveal.forms(seen.process, seen.revealable, seen.input),
        checked=checked(seen.facts),
        changes=changed(seen.process, seen.changes),
        because=_because(seen, whole),
        why=why(seen, seen.can_decide),
        approvals=approvals(seen),
        confirmation=confirmation(seen.confirm, reader.get().texts),
        asked=who,
        coming=if_nobody_decides(seen) if seen.status == "open" else [],
        confirm=confirm,
        cannot_confirm="" if confirms or not may else services.confirmations.why_not(seen.confirm),
        buttons={verdict: answers[verdict] for verdict in _MAIN if verdict in answers},
        more={verdict: words for verdict, words in answers.items() if verdict not in _MAIN},
        comments=[answers[verdict] for verdict in needs_comment(seen) if verdict in answers],
        edits=_edits(seen, case, sent) if may else [],
        acts=acts,
        followed=followed if followed and followed > datetime.now(UTC) else None,
        decision_id=uuid.uuid4().hex,
        stored=stored and seen.status == "open" and not decided_by(seen, person.id),
        sent=sent,
        unsent=_unsent(sent, seen, case, may, acts),
        zone=str(reader.get().zone),
    )
    return render(request, "task/_task.html" if part else "task/page.html", page, status, headers)


async def _done(
    request: Request, task_id: str, person: Person, services: Services, *, stored: bool, happened: str
) -> Response:
    """Return the answer to a form that was accepted: a redirect to the page of the task.

    If the task is shown within another page, return the part of the task as it is now, and an event for scripts of that
    page.
    """
    if request.headers.get("hx-request") == "true":
        return await shown(request, task_id, person, services, stored=stored, headers={"HX-Trigger": happened})
    return RedirectResponse(f"/tasks/{quote(task_id, safe='')}{'?sent=stored' * stored}", status_code=303)


def _unsent(
    sent: SentForm, task: TaskDetail, case: CaseRow, may: bool, acts: frozenset[str]
) -> Sequence[tuple[str, str]]:
    """Return the texts that the reader entered into a form that the page no longer has, each with its label.

    A form is gone, for example, after another person's decision.
    """
    open_question = any(each.pending for each in task.questions)
    there = {"decide": may and task.status == "open", "answer": open_question and task.status == "open"}
    if not sent.act or there.get(sent.act, sent.act in acts):
        return []
    labels = {"comment": _("Comment"), "text": _("Text"), "to": _("New person"), "due": _("Due"), "ends": _("Expires")}
    typed = [(labels[name], text) for name, text in sent.typed.items() if text.strip()]
    process = PROCESSES.get(case.process)
    if sent.read and process:
        typed += [
            (process.words.labels.get(name, name), text) for name, text in sent.read.typed.items() if text.strip()
        ]
    return typed


def _acts(task: TaskDetail, person: Person, followed: datetime | None) -> frozenset[str]:
    """Return the names of the actions, other than a decision, that this person may take on an open task."""
    if task.status != "open":
        return frozenset()
    by, admin, may = actor(person), is_in(person, ADMINS), task.can_decide.allowed and task.kind != "changes"
    handed = task.owner is not None and mine(task, person.id)
    hidden = followed is not None and followed > datetime.now(UTC)
    found = {
        "claim": may and task.assignee is None,
        "release": task.assignee is not None and (mine(task, person.id) or admin),
        "withdraw": decided_by(task, person.id),
        "delegate": may and not handed,
        "reassign": operates(task, by) and task.kind != "changes",
        "ask": may,
        "withdraw_question": operates(task, by),
        "set_clock": admin,
        "follow_up": task.can_decide.allowed and not hidden,
        "no_follow_up": hidden,
    }
    return frozenset(act for act, allowed in found.items() if allowed)


def _because(task: TaskDetail, whole: CaseContext) -> str:
    """Return why people must decide a task: the condition of the policy and its result, or another reason."""
    if task.kind == "intervention" and task.facts.get("stopped"):
        return _("The request is blocked and needs an operator.")
    if task.kind == "intervention":
        return _("A step failed, and Holdgate no longer retries the step.")
    if task.kind == "changes":
        return _("A reviewer requested changes.")
    if task.rule in _ALWAYS:
        return _("The policy always requires this approval.")
    # The newest ruling: an edit or another policy may have changed it since the gate opened.
    ruled = [each.technical for each in whole.story if each.technical.get("task_id") == task.task_id]
    told: Mapping[str, Any] = next((each for each in reversed(ruled) if "names" in each), {})
    if told.get("problem"):
        return _("The policy asks for approval because one of its rules could not be evaluated.")
    if told.get("needed") is False:
        return _("The policy no longer requires this approval. The approval step opened before the policy changed.")
    process = PROCESSES.get(task.process)
    words = process.words if process else None
    if found := reason(task.rule, told.get("names") or {}, True, words, task.input):
        return _("The policy requires this approval: %(why)s.", why=found)
    return _("The policy requires this approval.")


# ------------------------------------------------------------------------------------------------------- what was sent


def _edits(task: TaskDetail, case: CaseRow, sent: SentForm) -> list[FormField]:
    process = PROCESSES.get(task.process)
    if process is None or not task.editable:
        return []
    return schema_form(process.input, case.input, words=process.words, only=task.editable, read=sent.read)


def _read(form: Mapping[str, Any], case: CaseRow, editable: Sequence[str]) -> Read | None:
    process = PROCESSES.get(case.process)
    if process is None:
        return None
    return read_form(process.input, form, words=process.words, only=editable, base=case.input)


def _with(sent: SentForm, *, alert: str = "", errors: Mapping[str, str] | None = None) -> SentForm:
    return SentForm(alert or sent.alert, errors or sent.errors, sent.act, sent.typed, sent.read)


_FIELDS = {"due_at": "due", "expires_at": "ends", "reason": "text"}
"""The field of the form for each JSON field in which the API reports an error."""


def _refused(sent: SentForm, no: Problem) -> SentForm:
    """Return the sent form with the text of a refusal, beside the field that the refusal names."""
    told = str(no.body["detail"])
    if "options" in no.body:
        told = _(
            "This decision needs your passkey, which works only with JavaScript. Allow JavaScript for this page, then "
            "decide again."
        )
    if no.body["type"].endswith(":stale"):
        words = stale_words(no.body.get("changed") or [])
        told = _(
            "The task has changed since you opened this page: %(what)s. Check the task, then decide.",
            what=words or _("its status"),
        )
    errors = {str(each.get("field", "")): str(each["message"]) for each in no.body.get("errors") or []}
    edits = {name.removeprefix("edits."): text for name, text in errors.items() if name.startswith("edits.")}
    own = {_FIELDS.get(name, name): text for name, text in errors.items() if not name.startswith("edits.")}
    read = sent.read
    if read is not None and edits:
        read = Read(read.typed, read.values, {**read.errors, **edits})
    # A mistake beside a field is not repeated above the form.
    beside = set(own) & {"comment", "to", "text", "due", "ends", "password"}
    return SentForm("" if beside else told, own, sent.act, sent.typed, read)


def _json(text: str) -> dict[str, Any]:
    """Return the JSON object in a text; empty for another text."""
    try:
        found = strict_json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _moment(text: str, name: str) -> datetime | None:
    """Return a time that the reader entered, in the reader's time zone; None for an empty text.

    Raises Problem 422 for the field `name` if the text is not a time.
    """
    if not text.strip():
        return None
    try:
        moment = local_moment(text, reader.get().zone)
        Within().check(moment, datetime.now(UTC))
    except ValueError as wrong:
        raise Problem(422, str(wrong), kind="invalid", errors=[{"field": name, "message": str(wrong)}]) from wrong
    return moment
