"""Pages of the audit log: search events, check that nobody has changed the log, download evidence."""

from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from api.deps import Cursor, Db, Plain, TheServices
from api.http.problems import Problem, not_found
from api.http.schemas import number_of
from api.http.security import overseer
from api.pages.event_words import of_stored
from api.pages.parts.page import Context, SignedIn, check_same_site, pages, render
from api.routes.audit import evidence_pack, period
from api.services.audit_check import AuditCheck, shown_to
from store.audit import scoped, search as audit_search
from store.audit.audit_log import StoredEvent
from store.audit.search import EventFilter
from store.audit.verification import Folders, Verification, verify_case
from store.db.cursor import MOST_POSITION

router = pages()

SHOWN = 50
PROBLEMS = 200
"""The most problems of a check that the page shows. `./holdgate audit verify` prints all problems."""
REFRESH_S = "2"

Words = Annotated[Plain, Query(max_length=1500)]


@dataclass(frozen=True)
class AuditSearchPage(Context):
    """`audit/log.html`: the events that match the search, the newest first."""

    events: list[StoredEvent]
    sentences: dict[int, str]
    """The sentence of each event for people, by the event's position in the audit log."""
    sought: dict[str, str]
    kinds: list[str]
    address: str
    next_cursor: str | None
    first: bool
    wrong: dict[str, str]
    """Why the value of a search field is wrong, by field."""


@dataclass(frozen=True)
class AuditCheckPage(Context):
    """The variables of `audit/check.html`: the check of one case, or the progress of the check of all cases."""

    case_id: str
    found: Verification | None
    whole: AuditCheck | None
    most: int = PROBLEMS


@dataclass(frozen=True)
class EvidencePage(Context):
    """The variables of `audit/pack.html`: the case or period of the evidence pack, and why the last attempt failed."""

    sought: dict[str, str]
    wrong: str


@router.api_route("/audit", methods=["GET", "HEAD"])
async def search(
    request: Request,
    person: SignedIn,
    db: Db,
    case_id: Words = "",
    actor: Words = "",
    kind: Words = "",
    starts: Annotated[Plain, Query(alias="from", max_length=40)] = "",
    ends: Annotated[Plain, Query(alias="to", max_length=40)] = "",
    q: Words = "",
    cursor: Cursor = None,
) -> Response:
    """Show the events of the audit log that match the search fields in the address."""
    await overseer(person)
    typed = {"case_id": case_id, "actor": actor, "kind": kind, "from": starts, "to": ends, "q": q}
    typed = {name: text.strip() for name, text in typed.items()}
    sought = EventFilter(
        case_id=typed["case_id"] or None, actor=typed["actor"] or None, kind=typed["kind"] or None, text=typed["q"]
    )
    wrong = {}
    try:
        if typed["from"] or typed["to"]:
            sought["since"], sought["until"] = period(person, typed["from"] or None, typed["to"] or None)
    except Problem as no:
        wrong = {error["field"]: error["message"] for error in no.body["errors"]}
    before = number_of(cursor, most=MOST_POSITION) or None
    async with db.read() as conn:
        sought["readable"] = await scoped.readable(conn, person.scope)
        found = [] if wrong else await audit_search.newest(conn, before=before, limit=SHOWN + 1, **sought)
        kinds = await audit_search.kinds(conn)
    following = str(found[SHOWN - 1].position) if len(found) > SHOWN else None
    query = urlencode({name: text for name, text in typed.items() if text})
    shown = found[:SHOWN]
    page = AuditSearchPage(
        person=person,
        events=shown,
        sentences={each.position: of_stored(each) for each in shown},
        sought=typed,
        kinds=kinds,
        address=f"/audit?{query}" if query else "/audit",
        next_cursor=following,
        first=before is None,
        wrong=wrong,
    )
    return render(request, "audit/log.html", page, 422 if wrong else 200)


@router.api_route("/audit/check", methods=["GET", "HEAD"])
async def check(request: Request, person: SignedIn, services: TheServices, case_id: Words = "") -> Response:
    """Show the result of checking one case, or the progress of the check of the whole audit log."""
    await overseer(person)
    found, whole = None, services.checks.latest
    if case_id := case_id.strip():
        async with services.db.read() as conn:
            if not await scoped.may_read_case(conn, person.scope, case_id):
                raise not_found("case")
            folders = Folders(services.settings.attachments, services.settings.uploads)
            found = await verify_case(conn, case_id, folders, services.keys.current())
    if whole and whole.found:
        whole = replace(whole, found=shown_to(whole.found, person.scope.audits))
    headers = {"Refresh": REFRESH_S} if whole and whole.ended_at is None and not case_id else None
    return render(request, "audit/check.html", AuditCheckPage(person, case_id, found, whole), headers=headers)


@router.post("/audit/check", dependencies=[Depends(check_same_site)])
async def check_all(person: SignedIn, services: TheServices) -> Response:
    """Start a check of the whole audit log, and redirect to the page that shows its progress."""
    await overseer(person)
    services.checks.start(person.id)
    return RedirectResponse("/audit/check", status_code=303)


@router.api_route("/audit/pack", methods=["GET", "HEAD"])
async def pack(
    request: Request,
    person: SignedIn,
    db: Db,
    services: TheServices,
    case_id: Words = "",
    starts: Annotated[Plain, Query(alias="from", max_length=40)] = "",
    ends: Annotated[Plain, Query(alias="to", max_length=40)] = "",
) -> Response:
    """Show the form for an evidence pack, or download the pack if the form is filled in, as the JSON route does."""
    await overseer(person)
    typed = {"case_id": case_id.strip(), "from": starts.strip(), "to": ends.strip()}
    if not any(typed.values()) or request.method == "HEAD":
        return render(request, "audit/pack.html", EvidencePage(person, typed, ""))
    try:
        return await evidence_pack(person, db, services, *(text or None for text in typed.values()))
    except Problem as no:
        told = "; ".join(error["message"] for error in no.body.get("errors") or ()) or no.body["detail"]
        return render(request, "audit/pack.html", EvidencePage(person, typed, told), no.status)
