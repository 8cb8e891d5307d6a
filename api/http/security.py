"""Find out who the caller is, and check what the caller may see and do.

Roles, such as operator or admin, are groups of people. A caller gets 404 for an item that they may not see, and 403 for
an action that they may not do.
"""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from api.http import ways_to_sign_in
from api.http.credentials import Credential
from api.http.problems import Problem, forbidden, not_found, unauthenticated
from api.services.revoked_tokens import MAX_TOKEN
from domain.confirmation import Confirmation
from domain.gate import Gate
from domain.messages import Absent, Actor, Decision
from domain.names import ADMINS, DATA_STEWARDS, SECURITY
from domain.permissions import Requested, requesters
from domain.refusals import Refusal
from domain.ruling import GateRuling
from domain.scope import DATASETS_OF, DIRECTORY_OF, LEDGER_OF, NOWHERE, RISKS_OF
from domain.task import TaskView
from policy.scope import scope_of
from store.cases import batches
from store.cases.batches import Batch
from store.cases.cases import CaseRow
from store.db.database import Database
from store.people import demo_people, service_accounts, sessions, tokens
from store.people.people import Person
from store.people.secret_hash import secret_hash
from store.people.tokens import TOKEN_PREFIX, Holder, TokenRefused
from store.people.viewers import viewer as viewer

COOKIE, SECURE_COOKIE = "holdgate", "__Host-holdgate"
"""Names of the session cookie for pages.

With https the second name is used, because browsers accept a cookie of this name only from this host itself. No route
below /api reads the cookie, so a page of another site cannot call these routes in a person's name.
"""

NO_PAGES = "This token has scopes, so it cannot open pages. Sign in, or use a token without scopes."
DEMO_IS_OFF = "{id} is a demo person, and the demo is off (HOLDGATE_DEMO). Ask an administrator for an account."

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A person's token, from their page Settings; `make up` prints where the tokens of the demo people are.",
)
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


class CanDecide(BaseModel):
    """Whether the caller may decide a task now.

    `why` is the rule that allows the decision, or the reason against the decision.
    """

    allowed: bool
    why: str


async def holder_of(db: Database, token: str | None) -> Holder | None:
    """Return the owner of an access token and what the token may be used for; None for a missing or unknown token.

    Raises TokenRefused for a token that has ended, or whose service account is suspended.
    """
    if not token or len(token) > MAX_TOKEN:
        return None
    async with db.read() as conn:
        return await tokens.holder(conn, token, datetime.now(UTC))


async def person_of(db: Database, token: str | None) -> Person | None:
    """Return the person to whom an access token belongs; None for a token that is not accepted now."""
    try:
        found = await holder_of(db, token)
    except TokenRefused:
        return None
    return found.person if found else None


def _credential(request: Request, token: str, holder: Holder) -> Credential:
    """Note that the token is used, and return it as the credential of the request."""
    hash = secret_hash(token)
    request.app.state.services.token_uses.note(hash)
    return Credential("token", hash, holder.scopes)


async def without_demo(request: Request, person: Person | None, shown: str) -> str | None:
    """Return why a demo person is refused while the demo is off; None if the person is not refused.

    `person` is the person to whom `shown` (a token, a session or a name) belongs.
    """
    services = request.app.state.services
    if services.settings.demo or (person is not None and not person.demo):
        return None
    id = person.id if person else None
    if id is None and shown:
        async with services.db.read() as conn:
            id = await demo_people.demo_person_of(conn, shown)
    return id and DEMO_IS_OFF.format(id=id)


def is_jwt(token: str) -> bool:
    """Return True if a token of the Authorization header can only be a JWT of an identity provider."""
    return token.count(".") == 2 and not token.startswith(TOKEN_PREFIX)


async def by_jwt(request: Request, token: str) -> Person:
    """Return the person of an access token of the identity provider. Raises Problem 401 or 503."""
    sign_on = request.app.state.services.single_sign_on
    if sign_on is None:
        raise unauthenticated(
            "This gateway knows no identity provider whose access tokens it could accept (HOLDGATE_OIDC_ISSUER is not "
            "set). Create a token on the page Settings."
        )
    person: Person
    credential: Credential
    person, credential = await sign_on.caller(token)
    if (why := await without_demo(request, person, "")) is not None:
        raise unauthenticated(why)
    if person.kind == "service":
        try:
            async with request.app.state.services.db.read() as conn:
                scopes = await service_accounts.scopes_now(conn, person.id, credential.scopes, datetime.now(UTC))
        except TokenRefused as no:
            raise unauthenticated(str(no)) from no
        credential = replace(credential, scopes=scopes)
    request.state.credential = credential
    return in_scope(request.app.state.services, person)


async def by_header(request: Request) -> Person:
    """Return the person whose token is in the Authorization header. Raises Problem 401, or 503 for a JWT."""
    credentials = await bearer(request)
    token = credentials.credentials if credentials else ""
    if is_jwt(token):
        return await by_jwt(request, token)
    services = request.app.state.services
    try:
        holder = await holder_of(services.db, token)
    except TokenRefused as no:
        await services.revoked_token_log.note(token, no.why)
        raise unauthenticated(str(no)) from no
    if (why := await without_demo(request, holder.person if holder else None, token)) is not None:
        raise unauthenticated(why)
    if holder is None:
        if token:
            await services.revoked_token_log.note(token)
        raise unauthenticated()
    request.state.credential = _credential(request, token, holder)
    return in_scope(services, holder.person)


def in_scope(services: Any, person: Person) -> Person:
    """Return the person with their scope by the policy in force. A service account never operates."""
    scope = scope_of(services.policy.current, person.id, person.groups)
    if person.kind == "service":
        scope = scope.model_copy(update={"operates": NOWHERE})
    return person.model_copy(update={"scope": scope})


async def caller_now(request: Request) -> Person | None:
    """Return the caller of a stream as they are now; None if the token is not accepted any more."""
    credentials = await bearer(request)
    token, services = credentials.credentials if credentials else "", request.app.state.services
    if is_jwt(token):
        try:
            return await by_jwt(request, token)
        except Problem:
            return None
    person = await person_of(services.db, token)
    return person and in_scope(services, person)


async def caller(request: Request, _credentials: Bearer) -> Person:
    """Return the person whom `Authentication` found by the token in the header. Raises Problem 401."""
    person: Person | None = getattr(request.state, "caller", None)
    if person is None:
        raise unauthenticated()
    return person


def cookie_of(request: Request) -> str | None:
    """Return the session token in the cookie, or None."""
    token = request.cookies.get(SECURE_COOKIE if request.app.state.services.settings.https else COOKIE)
    return token if token and len(token) <= MAX_TOKEN else None


async def visitor(request: Request, credentials: Bearer) -> Person | None:
    """Return the signed-in person who opens a page; None if nobody is signed in.

    The person is looked up only once for each request.
    """
    if not hasattr(request.state, "visitor"):
        request.state.visitor = await looked_up(request, credentials)
    found: Person | None = request.state.visitor
    return found


async def looked_up(request: Request, credentials: Bearer) -> Person | None:
    """Find the person by the token in the header or the session in the cookie; None if there is none.

    Set `request.state.signed_in` to the session, and `request.state.refused` to the reason if a person was found but is
    refused.
    """
    services = request.app.state.services
    db: Database = services.db
    request.state.signed_in = request.state.refused = None
    signed_in: sessions.SignedIn | None = None
    if credentials:
        token = credentials.credentials
        if is_jwt(token):
            return await _page_reader_by_jwt(request, token)
        try:
            holder = await holder_of(db, token)
        except TokenRefused as no:
            await services.revoked_token_log.note(token, no.why)
            request.state.refused = str(no)
            return None
        person = holder.person if holder else None
        if holder is None:
            await services.revoked_token_log.note(token)
        elif holder.scopes is not None:
            request.state.refused = NO_PAGES
            return None
        else:
            request.state.credential = _credential(request, token, holder)
    else:
        token = cookie_of(request) or ""
        if token:
            async with db.read() as conn:
                signed_in = await sessions.by_token(conn, token, datetime.now(UTC))
        if signed_in and not ways_to_sign_in.counts(services.settings, signed_in.session, services.demo.credential):
            signed_in = None
        person = signed_in.person if signed_in else None
    request.state.refused = await without_demo(request, person, token)
    if request.state.refused is not None:
        return None
    request.state.signed_in = signed_in
    if signed_in is not None:
        request.state.credential = Credential("session", signed_in.session.hash)
    return person and in_scope(services, person)


async def _page_reader_by_jwt(request: Request, token: str) -> Person | None:
    """Return the person of a JWT who opens a page; None for a JWT with scopes. Raises Problem 401 or 503."""
    person = await by_jwt(request, token)
    if request.state.credential.scopes is not None:
        request.state.refused = NO_PAGES
        return None
    return person


def csrf_of(request: Request) -> str:
    """Return the secret that each form of this session must contain; empty if there is no session.

    Only the browser with the session's cookie gets pages with this secret.
    """
    token = cookie_of(request)
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest() if token else ""


Caller = Annotated[Person, Depends(caller)]
Visitor = Annotated[Person | None, Depends(visitor)]


def actor(person: Person) -> Actor:
    """Return the person as the actor of a message to a Workflow, with the person's present groups."""
    absent = [Absent(id=each.id, groups=each.groups) for each in person.stands_in_for]
    return Actor(id=person.id, kind=person.kind, groups=person.groups, stands_in_for=absent)


def is_in(person: Person, *groups: str) -> bool:
    """Return True if the person is a member of one of the groups."""
    return not set(groups).isdisjoint(person.groups)


async def requester(person: Caller) -> Person:
    """Return the caller if they may start cases of any process. Raises Problem 403 otherwise."""
    if not person.scope.starts:
        raise forbidden("You may not start cases: only requesters of a process and admins do.", "requesters or admins")
    return person


async def overseer(person: Caller) -> Person:
    """Return the caller if they may read audit events: of processes, or of the installation.

    Which events the caller reads depends on `Person.scope`. Raises Problem 404 otherwise.
    """
    if not (person.scope.audits or person.scope.oversees_installation):
        raise not_found("page")
    return person


async def policy_reader(person: Caller) -> Person:
    """Return the caller if they may read policy texts. Raises Problem 404 otherwise."""
    if not person.scope.audits_installation:
        raise not_found("policy")
    return person


async def people_reader(person: Caller) -> Person:
    """Return the caller if they may see the list of people. Raises Problem 404 otherwise."""
    if not person.scope.audits_installation:
        raise not_found("page")
    return person


async def admin(person: Caller) -> Person:
    """Return the caller if they may change the list of people.

    Raises Problem 403 if the caller may only read the list, 404 otherwise.
    """
    await people_reader(person)
    check_admin(person, f"Only members of {ADMINS} change people, groups and tokens.")
    return person


async def operator(person: Caller) -> Person:
    """Return the caller if they may handle incidents of any process. Raises Problem 404 otherwise."""
    if not person.scope.operates:
        raise not_found("page")
    return person


async def ledger_reader(person: Caller) -> Person:
    """Return the caller if they may read the ledger, in which payments are entered. Raises Problem 404 otherwise."""
    if LEDGER_OF not in person.scope.audits:
        raise not_found("page")
    return person


async def directory_reader(person: Caller) -> Person:
    """Return the caller if they may read the directory of accounts. Raises Problem 404 otherwise."""
    if DIRECTORY_OF not in person.scope.audits:
        raise not_found("page")
    return person


async def data_reader(person: Caller) -> Person:
    """Return the caller if they may read published datasets. Raises Problem 404 otherwise."""
    scope = person.scope
    if not (DATASETS_OF in scope.starts or DATASETS_OF in scope.sees or is_in(person, DATA_STEWARDS)):
        raise not_found("dataset")
    return person


async def risk_reader(person: Caller) -> Person:
    """Return the caller if they may read accepted risks. Raises Problem 404 otherwise."""
    if not (RISKS_OF in person.scope.sees or is_in(person, SECURITY)):
        raise not_found("risk")
    return person


LedgerReader = Annotated[Person, Depends(ledger_reader)]
DirectoryReader = Annotated[Person, Depends(directory_reader)]
RiskReader = Annotated[Person, Depends(risk_reader)]
DataReader = Annotated[Person, Depends(data_reader)]
PeopleReader = Annotated[Person, Depends(people_reader)]
Admin = Annotated[Person, Depends(admin)]
Operator = Annotated[Person, Depends(operator)]
Requester = Annotated[Person, Depends(requester)]
Overseer = Annotated[Person, Depends(overseer)]
PolicyReader = Annotated[Person, Depends(policy_reader)]


def check_for_another(person: Person, id: str | None, what: str) -> None:
    """Raise Problem 403 if the administrator `person` is the person with this id.

    `what` is the action in words, as they follow "You cannot".
    """
    if id is not None and id.casefold() == person.id.casefold():
        raise forbidden(
            f"You cannot {what} by yourself. Ask another administrator. If there is no other, use the command line.",
            "two administrators: nobody gives themselves groups, reports, substitutions or an address, or leaves",
        )


def check_admin(person: Person, message: str) -> None:
    """Raise Problem 403 with the message if the person is no admin."""
    if not is_in(person, ADMINS):
        raise forbidden(message, f"members of {ADMINS}")


def asks(person: Person, requested: Requested) -> bool:
    """Return True if the person, or a person whose successor they are, counts as requester of a case or upload."""
    return not set(requesters(requested)).isdisjoint(person.asks_as)


async def may_see_batch(db: Database, person: Person, batch: Batch) -> bool:
    """Return True if the person may see a batch.

    These people may see a batch: everybody who counts as requester, and people who oversee the processes of all its
    rows.
    """
    if asks(person, batch) or person.scope.sees.everywhere:
        return True
    async with db.read() as conn:
        return await batches.is_within(conn, batch.batch_id, person.scope.sees)


async def operates_batch(db: Database, person: Person, batch: Batch) -> bool:
    """Return True if the person operates the processes of all rows of a batch, or is an admin."""
    if person.scope.operates.everywhere:
        return True
    async with db.read() as conn:
        return await batches.is_within(conn, batch.batch_id, person.scope.operates)


async def check_own_batch(db: Database, person: Person, batch: Batch, what: str) -> None:
    """Raise Problem 403 unless the person is the uploader of the batch or their successor, operates it, or is an admin.

    `what` is the action in words, as in `check_own`.
    """
    if not asks(person, batch) and not await operates_batch(db, person, batch):
        raise _not_own(what)


def check_own(person: Person, case: CaseRow, what: str) -> None:
    """Raise Problem 403 unless the person counts as requester of the case, operates its process, or is an admin.

    `what` is the action in words, as they follow "operators of the process and admins".
    """
    if not asks(person, case) and case.process not in person.scope.operates:
        raise _not_own(what)


def _not_own(what: str) -> Problem:
    return forbidden(
        f"Only the requester (or the successor of the requester), operators of the process and admins {what}.",
        "the requester or the successor of the requester, operators of the process, or admins",
    )


def check_may_nudge(person: Person, task: TaskView) -> None:
    """Raise Problem 403 unless the person counts as requester of the case."""
    if not asks(person, task):
        raise forbidden(
            "Only the requester of a case, or the successor of the requester, can send a reminder.",
            "the requester or the successor of the requester",
        )


def check_may_operate(person: Person, process: str, what: str) -> None:
    """Raise Problem 403 unless the person is an operator of the process or an admin.

    `what` is the action in words, as they follow "operators of the process and admins".
    """
    if process not in person.scope.operates:
        raise forbidden(f"Only operators of the process and admins {what}.", "operators of the process, or admins")


def can_decide(task: TaskView, by: Actor) -> CanDecide:
    """Return whether the person may decide the task now, by the rules that the Workflow of the task applies.

    The person need not have confirmed anything yet.
    """
    probe = Decision(
        id="probe",
        task_id=task.task_id,
        verdict=task.verdicts[0],
        by=by,
        comment="-",
        revision=task.revision,
        confirmation=Confirmation(method=task.confirm),
        at=task.opened_at,
    )
    try:
        rule = Gate(task, GateRuling(needed=True, rule=task.rule)).check(probe)
    except Refusal as no:
        return CanDecide(allowed=False, why=no.message)
    return CanDecide(allowed=True, why=rule)
