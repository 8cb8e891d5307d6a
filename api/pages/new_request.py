"""The page New request: a form for each process, made from its JSON Schema, and a preview of who would decide."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.container import Services
from api.deps import Plain, TheServices, visible_case
from api.http.problems import not_found
from api.http.security import requester
from api.pages.parts.formatting import capital, in_path, readable
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render, unfinished
from api.pages.parts.schema_form import FormField, Read, read_form, schema_form
from api.pages.parts.translation import _, reader
from api.routes.cases import CaseSubmission, start_case
from cases.forecast import ForecastReport, GateForecast
from cases.submit import DEFAULT_PRIORITY, CaseRequest, DuplicateCase, InvalidCase, NotResubmittable
from domain.moments import local_moment
from domain.status import ENDED_UNDONE
from store.cases.cases import CaseRow
from store.people.people import Person
from workflows.registry import PROCESSES, Process

router = pages()

OWN = ("reference", "priority", "start_at")
"""The fields of the form that every request has, whatever its process."""


@dataclass(frozen=True)
class RequestTypesPage(Context):
    """`new_request/request_types.html`: the request types."""

    kinds: list[Process]


@dataclass(frozen=True)
class DuplicateRequest:
    """The earlier request that already has the reference of the new request."""

    reference: str
    case: CaseRow | None
    """The case of the earlier request; None if the reader may not see this case, and learns only that the reference
    is taken."""
    differs: list[str]


@dataclass(frozen=True)
class NewRequestPage(Context):
    """`new_request/form.html`: the form of one request type."""

    process: Process
    again: CaseRow | None
    """The earlier case that this form submits again; None for a new request."""
    fields: list[FormField]
    typed: Mapping[str, str]
    """The values of the fields in `OWN`, as the person entered them."""
    errors: Mapping[str, str]
    """The errors in the fields of `OWN`, by field. The key "" has errors that belong to no single field."""
    key: str
    """An idempotency key that is made with the page, so that a form which is sent twice starts one request."""
    zone: str
    duplicate: DuplicateRequest | None = None
    foretold: list[str] | None = None
    """Sentences that say who would decide; None if the person did not ask for the preview, or if the form has
    errors."""
    looked: bool = False
    """True if the person asked for the preview."""


@router.api_route("/new", methods=["GET", "HEAD"])
async def kinds(request: Request, person: SignedIn, services: TheServices) -> Response:
    """Show the request types, from which the person chooses one."""
    await requester(person)
    return render(request, "new_request/request_types.html", RequestTypesPage(person, startable(services, person)))


@router.api_route("/new/{process}", methods=["GET", "HEAD"])
async def form(
    request: Request,
    process: str,
    person: SignedIn,
    services: TheServices,
    resubmits: Annotated[Plain | None, Query(max_length=1500)] = None,
) -> Response:
    """Show the form of a request type: empty, or with the values of the case `resubmits`, to submit that case again."""
    await requester(person)
    kind = _known(process, services, person)
    again = await _again(resubmits, kind, person, services)
    typed = {"reference": again.reference if again else "", "priority": str(_priority(again)), "start_at": ""}
    return _form(request, person, kind, again, Read({}, {}, {}), typed, {}, uuid.uuid4().hex)


@router.post("/new/{process}", dependencies=[Depends(check_same_site)])
async def ask(
    request: Request,
    process: str,
    person: SignedIn,
    services: TheServices,
    resubmits: Annotated[Plain | None, Query(max_length=1500)] = None,
) -> Response:
    """Start the case as the JSON route does, or preview who would decide. A form with errors is shown again."""
    await requester(person)
    kind = _known(process, services, person)
    again = await _again(resubmits, kind, person, services)
    sent = await request.form(max_files=0, max_fields=200)
    typed = {name: str(sent.get(name, "")).replace("\0", "").strip() for name in OWN}
    key = str(sent.get("key", ""))[:200].replace("\0", "") or uuid.uuid4().hex
    if again:
        typed["reference"] = again.reference
    read = read_form(kind.input, sent, words=kind.words, base=again.input if again else None)
    priority, start_at, errors = _own(typed)
    new = CaseSubmission(
        process=kind.name,
        reference=typed["reference"][:1000],
        input={**(again.input if again else {}), **read.values},
        priority=priority,
        start_at=start_at,
        resubmits=again.case_id if again else None,
    )

    looked = sent.get("do") == "look"
    if looked:
        unfinished(request)

    def once_more(status: int, **more: Any) -> Response:
        return _form(request, person, kind, again, read, typed, errors, key, status, looked=looked, **more)

    try:
        foreseen = await services.starter.foresee(CaseRequest(**new.model_dump()), person.id)
    except InvalidCase as wrong:
        read = _with_problems(read, wrong)
        errors = {**_of_own(wrong, read), **errors}
        return once_more(200 if looked else 422)
    if errors:
        return once_more(200 if looked else 422)
    if looked:
        return once_more(200, foretold=foretold(foreseen))
    try:
        started = await start_case(new, person, services, Response(), key)
    except DuplicateCase as found:
        return once_more(409, duplicate=_duplicate(found, new.reference))
    except NotResubmittable as no:
        errors = {"": str(no)}
        return once_more(409)
    return RedirectResponse(f"/cases/{in_path(started.case_id)}", status_code=303)


def startable(services: Services, person: Person) -> list[Process]:
    """Return the processes that the person can start: the policy has a section, of which they are a requester."""
    policy = services.policy.current
    return [each for name, each in PROCESSES.items() if policy.has(name) and name in person.scope.starts]


def foretold(report: ForecastReport) -> list[str]:
    """Return sentences that say who would decide a case, from the forecast of the case."""
    rejected = [gate for gate in report.gates if gate.rejected_by_rule]
    if rejected:
        return [
            _("The policy would reject this request at once: %(why)s.", why=", ".join(rejected[0].rejected_because))
        ]
    certain = [_certain(gate) for gate in report.gates if gate.tasks]
    if not certain:
        because = next((gate.by_rule_because[0] for gate in report.gates if gate.by_rule_because), "")
        certain = [_("No approval needed (%(why)s).", why=because) if because else _("No approval needed.")]
    perhaps = [gate for gate in report.gates if gate.maybe_asked]
    return certain + [
        _(
            "%(who)s may need to approve, too. This is known after %(what)s.",
            who=_names(gate.maybe_asked),
            what=gate.known_after or "",
        )
        for gate in perhaps
    ]


def _certain(gate: GateForecast) -> str:
    said = _("%(who)s must approve.", who=_names(gate.tasks))
    if gate.approvals < 2:
        return said
    return f"{said} {_('%(num)s approvals are needed.', num=gate.approvals)}"


def _names(names: Iterable[str]) -> str:
    return capital(_(" or ").join(readable(name) for name in names))


def _form(
    request: Request,
    person: Person,
    kind: Process,
    again: CaseRow | None,
    read: Read,
    typed: Mapping[str, str],
    errors: Mapping[str, str],
    key: str,
    status: int = 200,
    *,
    duplicate: DuplicateRequest | None = None,
    foretold: list[str] | None = None,
    looked: bool = False,
) -> Response:
    page = NewRequestPage(
        person=person,
        process=kind,
        again=again,
        fields=schema_form(kind.input, again.input if again else {}, words=kind.words, read=read),
        typed=typed,
        errors={**errors, **({"": read.errors[""]} if "" in read.errors else {})},
        key=key,
        zone=str(datetime.now(reader.get().zone).strftime("%Z")),
        duplicate=duplicate,
        foretold=foretold,
        looked=looked,
    )
    return render(request, "new_request/form.html", page, status)


def _known(name: str, services: Services, person: Person) -> Process:
    found = next((process for process in startable(services, person) if process.name == name), None)
    if found is None:
        raise not_found("kind of request")
    return found


async def _again(case_id: str | None, kind: Process, person: Person, services: Services) -> CaseRow | None:
    """Return the case that the form submits again; None without `case_id`.

    Raises Problem 404 unless this is the reader's own case of this request type, and it was rejected, expired or
    cancelled, or failed.
    """
    if case_id is None:
        return None
    case = await visible_case(case_id, person, services.db)
    if case.requester != person.id or case.process != kind.name or case.status not in ENDED_UNDONE:
        raise not_found("request that can be made again")
    return case


def _priority(again: CaseRow | None) -> int:
    return again.priority if again else DEFAULT_PRIORITY


def _own(typed: Mapping[str, str]) -> tuple[int, datetime | None, dict[str, str]]:
    """Return the entered priority and start time, and the errors of both by field.

    A time without a zone is in the reader's time zone.
    """
    errors: dict[str, str] = {}
    priority, start_at = DEFAULT_PRIORITY, None
    if typed["priority"]:
        if typed["priority"] in {"1", "2", "3", "4", "5"}:
            priority = int(typed["priority"])
        else:
            errors["priority"] = _("choose 1, 2, 3, 4 or 5")
    if typed["start_at"]:
        try:
            start_at = local_moment(typed["start_at"], reader.get().zone)
        except ValueError as wrong:
            errors["start_at"] = str(wrong)
    return priority, start_at, errors


def _with_problems(read: Read, wrong: InvalidCase) -> Read:
    """Return the form that was read, with the errors of `wrong` added to its fields.

    Such an error is, for example, the name of an unknown person.
    """
    named = {(each.column or "").split(".")[0]: each.message for each in wrong.problems}
    return Read(read.typed, read.values, {**{name: named[name] for name in named if name in read.typed}, **read.errors})


def _of_own(wrong: InvalidCase, read: Read) -> dict[str, str]:
    """Return the errors in the fields of `OWN`, by field.

    If no field of the form shows the error, the key "" has the error.
    """
    said = {each.column or "": each.message for each in wrong.problems}
    own = {name: said[name] for name in OWN if name in said}
    return own if own or read.errors else {"": str(wrong)}


def _duplicate(found: DuplicateCase, reference: str) -> DuplicateRequest:
    process = PROCESSES.get(found.existing.process) if found.existing else None
    labels = process.words.labels if process else {}
    return DuplicateRequest(reference, found.existing, [labels.get(name, readable(name)) for name in found.differs])
