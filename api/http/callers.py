"""Find out who the caller is: by an access token, a JWT of an identity provider, or a session of the pages.

`security.py` checks what the caller may see and do.
"""

import hashlib
import hmac
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.http import ways_to_sign_in
from api.http.credentials import Credential
from api.http.problems import Problem, unauthenticated
from api.services.revoked_tokens import MAX_TOKEN
from domain.scope import NOWHERE
from policy.scope import scope_of
from store.db.database import Database
from store.people import demo_people, service_accounts, sessions, tokens
from store.people.people import Person
from store.people.secret_hash import secret_hash
from store.people.tokens import TOKEN_PREFIX, Holder, TokenRefused

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


async def holder_of(db: Database, token: str | None) -> Holder | None:
    """Return the owner of an access token and what the token may be used for; None for a missing or unknown token.

    Raises TokenRefused for a token that has ended, or whose service account is suspended.
    """
    if not token or len(token) > MAX_TOKEN:
        return None
    async with db.read() as conn:
        return await tokens.holder(conn, token, datetime.now(UTC))


async def _noted_holder(services: Any, token: str) -> Holder | None:
    """Return what `holder_of` returns for the token of a request, and record the use of a token that was once valid."""
    try:
        holder = await holder_of(services.db, token)
    except TokenRefused as no:
        await services.revoked_token_log.note(token, no.why)
        raise
    if holder is None and token:
        await services.revoked_token_log.note(token)
    return holder


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
    return with_scope(request.app.state.services, person)


async def by_header(request: Request) -> Person:
    """Return the person whose token is in the Authorization header. Raises Problem 401, or 503 for a JWT."""
    credentials = await bearer(request)
    token = credentials.credentials if credentials else ""
    if is_jwt(token):
        return await by_jwt(request, token)
    services = request.app.state.services
    try:
        holder = await _noted_holder(services, token)
    except TokenRefused as no:
        raise unauthenticated(str(no)) from no
    if (why := await without_demo(request, holder.person if holder else None, token)) is not None:
        raise unauthenticated(why)
    if holder is None:
        raise unauthenticated()
    request.state.credential = _credential(request, token, holder)
    return with_scope(services, holder.person)


def with_scope(services: Any, person: Person) -> Person:
    """Return the person with their scope by the policy in force. A service account never operates."""
    scope = scope_of(services.policy.current, person.id, person.groups)
    if person.kind == "service":
        scope = scope.model_copy(update={"operates": NOWHERE})
    return person.model_copy(update={"scope": scope})


async def caller_now(request: Request) -> Person | None:
    """Return the caller of a stream as they are now; None if the token is not accepted any more."""
    credentials = await bearer(request)
    token, services = credentials.credentials if credentials else "", request.app.state.services
    try:
        if is_jwt(token):
            return await by_jwt(request, token)
        holder = await holder_of(services.db, token)
    except (Problem, TokenRefused):
        return None
    return with_scope(services, holder.person) if holder else None


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
            holder = await _noted_holder(services, token)
        except TokenRefused as no:
            request.state.refused = str(no)
            return None
        if holder is not None and holder.scopes is not None:
            request.state.refused = NO_PAGES
            return None
        person = holder.person if holder else None
        if holder is not None:
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
    return person and with_scope(services, person)


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
