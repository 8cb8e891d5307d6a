"""Who is calling, what they may see, what they may do.

Roles are groups. Somebody who may not see a thing gets 404, somebody who sees it and may not act 403.
"""

import hashlib
import hmac
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from api.http.problems import forbidden, not_found, unauthenticated
from api.services.revoked_tokens import MAX_TOKEN
from domain.gate import Gate
from domain.messages import Absent, Actor, Decision
from domain.names import ADMINS, AUDITORS, DATA_STEWARDS, OPERATORS, REQUESTERS, SECURITY
from domain.refusals import Refusal
from domain.ruling import GateRuling
from domain.task import TaskView
from store.db.database import Database
from store.people import demo_people, people, sessions
from store.people.people import Person, viewer as viewer

COOKIE, SECURE_COOKIE = "holdgate", "__Host-holdgate"
"""Keeps the session for the pages; the second name where the gateway is reached by https, for browsers take it from
nobody but this host then. No route under /api reads it, so no other site can forge a call."""

DEMO_IS_OFF = "{id} is a demo person, and the demo is off (HOLDGATE_DEMO). Ask an administrator for an account."

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A person's token, from their page Settings; `make up` says where those of the demo people are.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class CanDecide(BaseModel):
    """Whether the caller may decide a task now, and the rule or the reason."""

    allowed: bool
    why: str


async def person_of(db: Database, token: str | None) -> Person | None:
    """The person a token belongs to; None when there is no token or nobody has it."""
    if not token or len(token) > MAX_TOKEN:
        return None
    async with db.read() as conn:
        return await people.by_token(conn, token)


async def without_demo(request: Request, person: Person | None, shown: str) -> str | None:
    """Why somebody is nobody here: the demo made them, and the demo is off. None for everybody else.

    `person` is who was found by the token, the session or the name that was `shown`.
    """
    services = request.app.state.services
    if services.settings.demo or (person is not None and not person.demo):
        return None
    id = person.id if person else None
    if id is None and shown:
        async with services.db.read() as conn:
            id = await demo_people.demo_person_of(conn, shown)
    return id and DEMO_IS_OFF.format(id=id)


async def by_header(request: Request) -> Person:
    """The person whose token came in the Authorization header; 401 when there is none."""
    credentials = await bearer(request)
    token = credentials.credentials if credentials else ""
    person = await person_of(request.app.state.services.db, token)
    if (why := await without_demo(request, person, token)) is not None:
        raise unauthenticated(why)
    if person is None:
        if token:
            await request.app.state.services.turned_away.note(token)
        raise unauthenticated()
    return person


async def caller(request: Request, _credentials: Bearer) -> Person:
    """The person whose token came in the Authorization header, as `Authentication` has found them; else 401."""
    person: Person | None = getattr(request.state, "caller", None)
    if person is None:
        raise unauthenticated()
    return person


def cookie_of(request: Request) -> str | None:
    """The session's token that the browser keeps."""
    token = request.cookies.get(SECURE_COOKIE if request.app.state.services.settings.https else COOKIE)
    return token if token and len(token) <= MAX_TOKEN else None


async def visitor(request: Request, credentials: Bearer) -> Person | None:
    """Who looks at a page, perhaps nobody; looked up once a request."""
    if not hasattr(request.state, "visitor"):
        request.state.visitor = await looked_up(request, credentials)
    found: Person | None = request.state.visitor
    return found


async def looked_up(request: Request, credentials: Bearer) -> Person | None:
    """Who looks at a page now: by header or by cookie, perhaps nobody. A session is kept in `request.state.signed_in`.

    `request.state.refused` says why somebody is nobody, where there is more to say than that.
    """
    services = request.app.state.services
    db: Database = services.db
    request.state.signed_in = None
    signed_in: sessions.SignedIn | None = None
    if credentials:
        token = credentials.credentials
        person = await person_of(db, token)
        if person is None:
            await request.app.state.services.turned_away.note(token)
    else:
        token = cookie_of(request) or ""
        if token:
            async with db.read() as conn:
                signed_in = await sessions.by_token(conn, token, datetime.now(UTC))
        if signed_in and signed_in.session.way == "demo" and signed_in.session.credential != services.demo.credential():
            signed_in = None  # the secret of the demo's link was replaced
        person = signed_in.person if signed_in else None
    request.state.refused = await without_demo(request, person, token)
    if request.state.refused is not None:
        return None
    request.state.signed_in = signed_in
    return person


def csrf_of(request: Request) -> str:
    """What a form of this session has to bring along: nobody can guess it who does not have the cookie."""
    token = cookie_of(request)
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest() if token else ""


Caller = Annotated[Person, Depends(caller)]
Visitor = Annotated[Person | None, Depends(visitor)]


def actor(person: Person) -> Actor:
    """The person as the Workflow's rules want them: with the groups they have now."""
    absent = [Absent(id=each.id, groups=each.groups) for each in person.stands_in_for]
    return Actor(id=person.id, groups=person.groups, stands_in_for=absent)


def is_in(person: Person, *groups: str) -> bool:
    """Whether the person is a member of one of the groups."""
    return not set(groups).isdisjoint(person.groups)


async def requester(person: Caller) -> Person:
    """Somebody who may start cases; 403 for anybody else."""
    if not is_in(person, REQUESTERS, ADMINS):
        raise forbidden(
            f"Only members of {REQUESTERS} and {ADMINS} start cases.", f"members of {REQUESTERS} or {ADMINS}"
        )
    return person


async def overseer(person: Caller) -> Person:
    """Somebody who reads the whole record: audit log and ledger. For anybody else these do not exist."""
    if not is_in(person, OPERATORS, AUDITORS, ADMINS):
        raise not_found("page")
    return person


async def policy_reader(person: Caller) -> Person:
    """Somebody who reads policy texts. For anybody else they do not exist."""
    if not is_in(person, AUDITORS, ADMINS):
        raise not_found("policy")
    return person


async def people_reader(person: Caller) -> Person:
    """Somebody who sees the list of people. For anybody else there is none."""
    if not is_in(person, AUDITORS, ADMINS):
        raise not_found("page")
    return person


async def admin(person: Caller) -> Person:
    """Somebody who keeps the list of people; 403 for who only reads it, and for anybody else there is none."""
    await people_reader(person)
    check_admin(person, f"Only members of {ADMINS} change people, groups and tokens.")
    return person


async def operator(person: Caller) -> Person:
    """Somebody who deals with incidents. For anybody else there are none."""
    if not is_in(person, OPERATORS, ADMINS):
        raise not_found("page")
    return person


async def data_reader(person: Caller) -> Person:
    """Somebody who reads published data. For anybody else it does not exist."""
    if not is_in(person, REQUESTERS, DATA_STEWARDS, OPERATORS, AUDITORS, ADMINS):
        raise not_found("dataset")
    return person


async def risk_reader(person: Caller) -> Person:
    """Somebody who reads accepted risks. For anybody else there are none."""
    if not is_in(person, SECURITY, OPERATORS, AUDITORS, ADMINS):
        raise not_found("risk")
    return person


RiskReader = Annotated[Person, Depends(risk_reader)]
DataReader = Annotated[Person, Depends(data_reader)]
PeopleReader = Annotated[Person, Depends(people_reader)]
Admin = Annotated[Person, Depends(admin)]
Operator = Annotated[Person, Depends(operator)]
Requester = Annotated[Person, Depends(requester)]
Overseer = Annotated[Person, Depends(overseer)]
PolicyReader = Annotated[Person, Depends(policy_reader)]


def check_for_another(person: Person, id: str | None, what: str) -> None:
    """403 for an administrator who would give something to themselves: nobody gets more by their own hand."""
    if id is not None and id.casefold() == person.id.casefold():
        raise forbidden(
            f"Nobody {what} for themselves: another administrator does. With only one, use the command line.",
            "two administrators: nobody gives themselves groups, reports, substitutions or an address",
        )


def check_admin(person: Person, message: str) -> None:
    """403 with the message for who is no admin."""
    if not is_in(person, ADMINS):
        raise forbidden(message, f"members of {ADMINS}")


def may_see_batch(person: Person, uploader: str) -> bool:
    """Whether the person may see a batch: the one who uploaded it, and those who see everything."""
    return uploader in person.asks_as or is_in(person, OPERATORS, AUDITORS, ADMINS)


def check_own(person: Person, case_requester: str, what: str) -> None:
    """403 unless the person asked for the case or batch, operates or administers. `what` they would do, in words."""
    if case_requester not in person.asks_as and not may_operate(person):
        raise forbidden(
            f"Only the requester, operators and admins {what}.", f"the requester, members of {OPERATORS} or {ADMINS}"
        )


def may_operate(person: Person) -> bool:
    """Whether the person operates or administers."""
    return is_in(person, OPERATORS, ADMINS)


def check_may_nudge(person: Person, case_requester: str) -> None:
    """403 unless the person asked for the case."""
    if case_requester not in person.asks_as:
        raise forbidden("Only the requester of a case can send a reminder.", "the requester")


def check_may_operate(person: Person, what: str) -> None:
    """403 unless the person operates or administers."""
    if not may_operate(person):
        raise forbidden(f"Only operators and admins {what}.", f"members of {OPERATORS} or {ADMINS}")


def can_decide(task: TaskView, by: Actor) -> CanDecide:
    """Whether the person may decide the task now, by the very rules that its Workflow applies."""
    probe = Decision(
        id="probe",
        task_id=task.task_id,
        verdict=task.verdicts[0],
        by=by,
        comment="-",
        revision=task.revision,
        at=task.opened_at,
    )
    try:
        rule = Gate(task, GateRuling(needed=True, rule=task.rule)).check(probe)
    except Refusal as no:
        return CanDecide(allowed=False, why=no.message)
    return CanDecide(allowed=True, why=rule)
