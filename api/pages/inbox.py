"""The page Inbox: the tasks of a person, which the person can decide one by one or many at once.

The address holds the filters and the order, so that a link to the page can be shared. Without JavaScript the page is a
list, a form with filters, and a form with selected tasks, which asks for confirmation before it decides.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Form, Path, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import StringConstraints

from api.deps import Cursor, Plain, TheServices
from api.http.problems import Problem, not_found
from api.http.schemas import checked_cursor
from api.http.security import actor, can_decide, viewer
from api.pages.parts.fields import checked, task_and_revision
from api.pages.parts.formatting import capital, request_type, state_words, step_words
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render, scripted, unfinished
from api.pages.parts.task_wording import why_alone
from api.pages.parts.timeline import step_named
from api.pages.parts.translation import _, ngettext, reader
from api.routes.tasks import Bulk, BulkItem, BulkResult, decide_many
from domain.confirmation import Confirm
from domain.money import decimals_of
from domain.status import Verdict
from domain.task import TaskView
from store.audit import audit_log
from store.cases import bulk_results, task_groups, task_lists
from store.cases.task_groups import GroupTotals
from store.cases.task_lists import TaskFilter
from store.people.people import Person
from workflows.registry import PROCESSES

router = pages()

SHOWN = 100
"""The most tasks on a page, and the most tasks that one form decides."""
GROUPS = 200
"""The most groups of tasks on a page, the largest first. To see more groups, a reader sets filters."""
Whose = Literal["mine", "claimed", "all"]
By = Literal["batch", "payee", "step", "requester"]
NEEDS_COMMENT = (Verdict.REJECT, Verdict.REQUEST_CHANGES)
"""Verdicts that need a comment: without a comment, the requesters do not know the reason, or what to change."""


@dataclass(frozen=True)
class InboxRow:
    """One task in the list of the inbox."""

    task: TaskView
    step: str
    keys: list[tuple[str, str]]
    """The label and value of each key field of the case that the title does not contain."""
    flags: list[str]
    """Notable facts about the case, as sentences that the reader should read."""
    approvals: str
    noun: str
    minor: int | None
    """The amount in the smallest unit of its currency, such as pence, so that scripts can add amounts.

    None without an amount.
    """
    currency: str
    decimals: int
    why_not: str
    """Why the person cannot decide the task together with others; empty if the person can."""


@dataclass(frozen=True)
class GroupRow:
    """One group of tasks in the inbox, such as the tasks of one approval step."""

    name: str
    address: str
    count: int
    overdue: int
    first_due: datetime | None
    sums: dict[str, str]


@dataclass(frozen=True)
class InboxPage(Context):
    """The variables of `inbox/inbox.html`: the list of tasks or of groups."""

    whose: Whose
    tabs: dict[str, str]
    asked: Any
    by: str | None
    counted: str
    narrowed_to: list[tuple[str, str]]
    """The active filters that have no field of their own in the form, as name and value."""
    tasks: list[InboxRow]
    grouped: list[GroupRow]
    left_out: int
    """The number of groups that the page does not show. The smallest groups are left out."""
    next_cursor: str | None
    since: int
    """The position of the audit log when the page was made. Scripts load later changes from `/events`."""
    address: Callable[..., str]
    """Returns the address of this page with other values for some filters: see `InboxQuery.address`."""
    decision_id: str
    processes: list[tuple[str, str]]
    steps: list[tuple[str, str]]
    team: list[tuple[str, str]]
    dues: list[tuple[str, str]]
    priorities: list[tuple[str, str]]
    sorts: list[tuple[str, str]]
    bys: list[tuple[str, str]]
    spoken: dict[str, Any]
    """The texts that scripts of the page show, in the reader's language."""


@dataclass(frozen=True)
class BulkConfirmPage(Context):
    """The variables of `inbox/confirm.html`: the selected tasks, to confirm the decision."""

    heading: str
    tasks: list[InboxRow]
    sums: dict[str, str]
    number: int
    verdict: str
    button: str
    comment: str
    comment_needed: bool
    decision_id: str
    wrong: str
    asks_password: bool
    """True if the policy asks for the person's password, which confirms all decisions of the form."""


@dataclass(frozen=True)
class BulkOutcome:
    """The outcome of one of many decisions that a form made."""

    task_id: str
    status: str
    message: str


@dataclass(frozen=True)
class BulkDonePage(Context):
    """The variables of `inbox/done.html`: the outcome of each decision."""

    heading: str
    results: list[BulkOutcome]
    titles: Mapping[str, tuple[str, str]]
    """The title and the process of each task that the reader may see, by the id of the task."""


@dataclass(frozen=True)
class InboxQuery:
    """The filters and the order of the inbox, as the address of the page holds them."""

    whose: Annotated[Whose, Query()] = "mine"
    process: Annotated[Plain, Query(max_length=60)] = ""
    step: Annotated[Plain, Query(max_length=60)] = ""
    group: Annotated[Plain, Query(max_length=60)] = ""
    due: Annotated[Literal["", "overdue", "today", "week", "none"], Query()] = ""
    priority: Annotated[Literal["", "1", "2", "3", "4", "5"], Query()] = ""
    requester: Annotated[Plain, Query(max_length=200)] = ""
    payee: Annotated[Plain, Query(max_length=400)] = ""
    batch: Annotated[Plain, Query(max_length=60)] = ""
    q: Annotated[Plain, Query(max_length=200)] = ""
    sort: Annotated[Literal["due_at", "-opened_at", "priority"], Query()] = "due_at"
    cursor: Cursor = None

    @property
    def narrowed(self) -> bool:
        """Return True if any filter other than `whose` is set."""
        names = ("process", "step", "group", "due", "priority", "requester", "payee", "batch", "q")
        return any(getattr(self, name) for name in names)

    def address(self, **changes: str | None) -> str:
        """Return the address of the inbox with other values for these query parameters; None removes a parameter.

        Parameters with their default value are left out.
        """
        parts = {**self.__dict__, **changes}
        usual = {"whose": "mine", "sort": "due_at"}
        return "/?" + urlencode({name: value for name, value in parts.items() if value and usual.get(name) != value})

    def sought(self) -> TaskFilter:
        """Return the filter for the query of tasks in the database."""
        return TaskFilter(
            whose=self.whose,
            status="open",
            process=self.process or None,
            gate=self.step or None,
            group=self.group or None,
            due=self.due or None,
            priority=int(self.priority) if self.priority else None,
            requester=self.requester or None,
            payee=self.payee or None,
            batch_id=self.batch or None,
            q=self.q or None,
        )


@router.api_route("/", methods=["GET", "HEAD"])
async def inbox(
    request: Request,
    person: SignedIn,
    services: TheServices,
    asked: Annotated[InboxQuery, Depends()],
    by: Annotated[Literal["batch", "payee", "step", "requester", ""], Query()] = "",
) -> Response:
    """Show the inbox of the person, as a list of tasks or of groups."""
    now = datetime.now(UTC)
    sought, who = asked.sought(), viewer(person)
    found: Sequence[TaskView] = []
    grouped: Sequence[GroupTotals] = []
    following = None
    with checked_cursor():
        async with services.db.read() as conn:
            since = await audit_log.position(conn)
            count = await task_lists.count(conn, who, sought, now, reader.get().zone)
            if by:
                grouped = await task_groups.groups(conn, who, sought, by, now, reader.get().zone)
            else:
                found, following = await task_lists.page(
                    conn, who, sought, now, reader.get().zone, sort=asked.sort, cursor=asked.cursor, limit=SHOWN
                )
    page = InboxPage(
        person=person,
        whose=asked.whose,
        tabs={"mine": _("For me"), "claimed": _("Claimed by me"), "all": _("All open tasks")},
        asked=asked,
        by=by,
        counted=_counted(count),
        narrowed_to=[
            (words, value)
            for words, value in (
                (_("Requester"), asked.requester),
                (_("Payee"), asked.payee),
                (_("Upload"), asked.batch),
            )
            if value
        ],
        tasks=[row_of(task, person) for task in found],
        grouped=[_group_row(each, by, asked) for each in grouped[:GROUPS]],
        left_out=max(0, len(grouped) - GROUPS),
        next_cursor=following,
        since=since,
        address=asked.address,
        decision_id=uuid.uuid4().hex,
        processes=[(name, capital(request_type(name))) for name in PROCESSES if name in person.scope.knows],
        steps=_steps(asked.process, person),
        team=[(name, name) for name in sorted(person.groups)],
        dues=[("overdue", _("late")), ("today", _("today")), ("week", _("within a week")), ("none", _("no due time"))],
        priorities=[("1", _("1, highest")), ("2", "2"), ("3", _("3, normal")), ("4", "4"), ("5", "5")],
        sorts=[("due_at", _("due first")), ("-opened_at", _("newest first")), ("priority", _("priority"))],
        bys=[
            ("step", _("approval step")),
            ("payee", _("payee")),
            ("requester", _("requester")),
            ("batch", _("upload")),
        ],
        spoken=_spoken(),
    )
    return render(request, "inbox/inbox.html", page)


@router.post("/bulk", dependencies=[Depends(check_same_site)])
async def bulk(
    request: Request,
    person: SignedIn,
    services: TheServices,
    verdict: Annotated[Literal["approve", "reject", "request_changes"], Form()],
    decision_id: Annotated[str, Form(min_length=1, max_length=200)],
    task: Annotated[list[Annotated[Plain, StringConstraints(max_length=100)]] | None, Form(max_length=SHOWN)] = None,
    comment: Annotated[str, Form(max_length=4000)] = "",
    sure: Annotated[Literal["", "yes"], Form()] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
) -> Response:
    """Decide the selected tasks, as the JSON route does.

    Without `sure`, the answer is a page that asks for confirmation. Scripts ask for confirmation themselves, and get
    JSON with one result for each task.
    """
    chosen = dict(task_and_revision(each) for each in task or [])
    if not chosen:
        raise Problem(422, _("Select at least one task, then decide."))
    wanted, said = Verdict(verdict), comment.replace("\0", "").strip()
    async with services.db.read() as conn:
        found = await task_lists.some(conn, viewer(person), list(chosen))
    rows = [row_of(each, person) for each in found]
    if len({(each.process, each.gate) for each in found}) > 1:
        raise Problem(422, _("Select only tasks of one request type and one approval step."))
    missing = wanted in NEEDS_COMMENT and not said
    if missing and scripted(request):
        raise Problem(422, _("Enter a comment. The requesters see your comment."))
    if sure != "yes" or missing:
        wrong = _("Enter a comment. The requesters see your comment.") if missing and sure == "yes" else ""
        page = _confirm(person, rows, wanted, said, decision_id, wrong)
        unfinished(request)
        return render(request, "inbox/confirm.html", page, 422 if wrong else 200)
    items = [
        BulkItem(task_id=id, verdict=wanted, comment=said or None, revision=revision, decision_id=decision_id)
        for id, revision in chosen.items()
    ]
    try:
        answered = (await decide_many(Bulk(items=items, password=password or None), person, services)).items
    except Problem as no:  # the password is wrong, or too many were tried
        unfinished(request)
        page = _confirm(person, rows, wanted, said, decision_id, str(no.body["detail"]))
        return render(request, "inbox/confirm.html", page, no.status)
    results = [_answered(each, wanted) for each in answered]
    if scripted(request):
        return JSONResponse({"items": [each.__dict__ for each in results], "decision_id": uuid.uuid4().hex})
    kept = [{**each.__dict__, "verdict": wanted.value} for each in results]
    id = bulk_results.id_of(person.id, decision_id, wanted.value, task or [], said)
    async with services.db.write() as conn:
        await bulk_results.keep(conn, id, person.id, kept, datetime.now(UTC))
    return RedirectResponse(f"/bulk/{id}", status_code=303)


@router.api_route("/bulk/{id}", methods=["GET", "HEAD"])
async def decided(
    request: Request, id: Annotated[Plain, Path(max_length=40)], person: SignedIn, services: TheServices
) -> Response:
    """Show the outcome of each decision that one form made. The page can be opened again for a day."""
    async with services.db.read() as conn:
        kept = await bulk_results.kept(conn, id, person.id, datetime.now(UTC))
        if not kept:
            raise not_found("result")
        found = await task_lists.some(conn, viewer(person), [str(each["task_id"]) for each in kept])
    wanted = Verdict(kept[0]["verdict"])
    # A decision that was stored for a worker counts by now, if the task is decided.
    over = {each.task_id for each in found if each.outcome}
    results = [
        BulkOutcome(each["task_id"], each["status"], _decided(wanted, 1, 1))
        if each["status"] == "pending" and each["task_id"] in over
        else BulkOutcome(each["task_id"], each["status"], each["message"])
        for each in kept
    ]
    done = sum(each.status != "refused" for each in results)
    titles = {each.task_id: (each.title, each.process) for each in found}
    return render(
        request, "inbox/done.html", BulkDonePage(person, _decided(wanted, done, len(results)), results, titles)
    )


# -------------------------------------------------------------------------------------------------------------- rows


def row_of(task: TaskView, person: Person) -> InboxRow:
    """Return the task as a row of the inbox of this person."""
    process = PROCESSES.get(task.process)
    minor, currency, decimals = _money(task)
    can = can_decide(task, actor(person))
    return InboxRow(
        task=task,
        step=step_named(task),
        keys=[(name, value) for name, value in task.key_fields.items() if value not in task.title],
        flags=flags_of(task),
        approvals=approvals_of(task),
        noun="|".join(process.words.nouns) if process else "|",
        minor=minor,
        currency=currency,
        decimals=decimals,
        why_not=why_alone(task) if can.allowed else can.why,
    )


def flags_of(task: TaskView) -> list[str]:
    """Return the notable facts about the case of a task, as sentences like those on the page of the task."""
    return list(checked(task.facts).flags)


def approvals_of(task: TaskView) -> str:
    """Return the number of given and needed approvals of a task, such as `1 of 2`."""
    return _("%(given)s of %(needed)s", given=task.quorum.given, needed=task.quorum.needed)


def _money(task: TaskView) -> tuple[int | None, str, int]:
    process = PROCESSES.get(task.process)
    if process is None or process.words.money is None:
        return None, "", 0
    amount, currency = (task.input.get(name) for name in process.words.money)
    try:
        decimals = decimals_of(str(currency))
        return int(Decimal(str(amount)).scaleb(decimals)), str(currency), decimals
    except (ValueError, InvalidOperation, OverflowError):
        return None, "", 0


# ------------------------------------------------------------------------------------------------------------- groups


def _group_row(group: GroupTotals, by: str, asked: InboxQuery) -> GroupRow:
    name, changes = group.key, {by: group.key}
    if by == "step":
        process, _slash, gate = group.key.partition("/")
        name = f"{capital(request_type(process))}: {step_words(gate)}"
        changes = {"process": process, "step": gate}
    address = asked.address(cursor=None, **changes) if group.key else asked.address(cursor=None)
    return GroupRow(name or _("none"), address, group.number, group.overdue, group.first_due, group.sums)


# -------------------------------------------------------------------------------------------------------------- words


def _counted(count: int) -> str:
    if count > 1000:
        return _("more than 1,000 tasks")
    return ngettext("%(num)s task", "%(num)s tasks", count)


def _steps(process: str, person: Person) -> list[tuple[str, str]]:
    """Return the approval steps that the filter offers to a person, as value and name: of one process, or of all."""
    known = [name for name in ([process] if process in PROCESSES else PROCESSES) if name in person.scope.knows]
    names = dict.fromkeys(gate for name in known for gate in PROCESSES[name].words.gates)
    return [(name, step_words(name)) for name in names]


def _decided(verdict: Verdict, done: int, all: int) -> str:
    said = {
        Verdict.APPROVE: ngettext("%(num)s approved", "%(num)s approved", done),
        Verdict.REJECT: ngettext("%(num)s rejected", "%(num)s rejected", done),
    }.get(verdict, ngettext("Changes requested for %(num)s", "Changes requested for %(num)s", done))
    return said if done == all else _("%(said)s, %(num)s not decided", said=said, num=all - done)


def _answered(result: BulkResult, verdict: Verdict) -> BulkOutcome:
    message = {
        "accepted": _decided(verdict, 1, 1),
        "pending": _("Decision stored. Holdgate applies the decision when a worker runs again."),
    }.get(result.status, result.problem.detail if result.problem else "")
    return BulkOutcome(result.task_id, result.status, message)


def _confirm(
    person: Person, rows: list[InboxRow], verdict: Verdict, comment: str, decision_id: str, wrong: str
) -> BulkConfirmPage:
    able = [row for row in rows if not row.why_not]
    heading = {
        Verdict.APPROVE: ngettext("Approve %(num)s task?", "Approve %(num)s tasks?", len(able)),
        Verdict.REJECT: ngettext("Reject %(num)s task?", "Reject %(num)s tasks?", len(able)),
    }.get(verdict, ngettext("Request changes for %(num)s task?", "Request changes for %(num)s tasks?", len(able)))
    button = {Verdict.APPROVE: _("Approve"), Verdict.REJECT: _("Reject")}.get(verdict, _("Request changes"))
    sums: dict[str, Decimal] = {}
    for row in able:
        if row.minor is not None:
            sums[row.currency] = sums.get(row.currency, Decimal()) + Decimal(row.minor).scaleb(-row.decimals)
    return BulkConfirmPage(
        person=person,
        heading=heading,
        tasks=rows,
        sums={currency: str(sum) for currency, sum in sums.items()},
        number=len(able),
        verdict=verdict.value,
        button=button,
        comment=comment,
        comment_needed=verdict in NEEDS_COMMENT,
        decision_id=decision_id,
        wrong=wrong,
        asks_password=any(row.task.confirm is Confirm.PASSWORD for row in able),
    )


def _spoken() -> dict[str, Any]:
    return {
        "none": _("Select tasks of one request type and approval step to decide them together."),
        "tasks": _("tasks"),
        "flagged": _("{number} flagged"),
        "cannot": _("{number} left out: you cannot decide ({why})"),
        "mixed": _("choose tasks of one request type and approval step"),
        "most": _("at most 100 tasks at once"),
        "ask": {
            "approve": _("Approve {number} {noun}?"),
            "reject": _("Reject {number} {noun}?"),
            "request_changes": _("Request changes for {number} {noun}?"),
        },
        "optional": _("optional"),
        "needed": _("Enter a comment. The requesters see your comment."),
        "failed": _("Your decision was not sent. Check your connection, then try again."),
        "kept": _("Your input is kept."),
        "signed_out": _("You have been signed out. Your input is kept."),
        "sign_in": _("Sign in again"),
        "done": _("{number} decided."),
        "some": _("{number} decided, {refused} not decided: each row shows the reason."),
        "one_new": _("1 new task"),
        "many_new": _("{number} new tasks"),
        "closed": _("Somebody else decided this task. {outcome}"),
        "own": _("You decided this task. {outcome}"),
        "claimed": _("Claimed by {by}"),
        "moved": _("No longer needs your decision"),
        "outcomes": {
            outcome: state_words(outcome)
            for outcome in ("approved", "rejected", "changes_requested", "expired", "cancelled")
        },
    }
