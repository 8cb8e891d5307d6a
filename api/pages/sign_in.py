"""Pages and forms to sign in, and to stay signed in.

Each way to sign in has a function that finds the person; then `welcome` begins a session, the same for all ways. The
module `single_sign_on.py` beside this one has the routes for an identity provider.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.container import Services
from api.deps import TheServices
from api.http.callers import COOKIE, SECURE_COOKIE, Visitor, cookie_of, holder_of, without_demo
from api.http.problems import Problem
from api.http.rate_limits import forgive
from api.http.step_up import check_password
from api.http.ways_to_sign_in import check_passwords_on, passwords_off
from api.pages.parts.page import (
    LONGEST_ADDRESS,
    Context,
    SignedIn,
    SignInPage,
    check_same_site,
    local_address,
    pages,
    render,
    sign_in_form,
)
from api.pages.parts.translation import _
from api.routes import one_time_links
from api.services import passkeys
from api.services.passkeys import Verified
from api.services.password_hashing import off_the_loop, turn
from api.services.relying_party import relying_party
from api.services.revoked_tokens import MAX_TOKEN
from store.people import failed_sign_ins, passwords, people, sessions, tokens
from store.people.failed_sign_ins import Way
from store.people.passwords import TooManyAttempts
from store.people.people import Person
from store.people.sessions import ProviderSession
from store.people.tokens import TokenRefused

router = pages()


@dataclass(frozen=True)
class PasswordPage(Context):
    """The variables of `password.html`: the form for a new password, and the address to open after the change."""

    following: str
    has_one: bool
    """True if the person has a password. A first password is set with a one-time link or the command line."""
    mail_reaches_them: bool = False
    """True if mail reaches the person, so that Holdgate can send them a one-time link."""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """The errors of the form, by field."""


class NotKnown(Exception):
    """Raised if a sign-in fails.

    The text does not say whether name or password was wrong. The fields are for the audit log.
    """

    def __init__(self, said: str, why: str, person: str | None = None, locked_until: datetime | None = None) -> None:
        super().__init__(said)
        self.why = why
        self.person = person
        self.locked_until = locked_until


async def by_password(request: Request, services: Services, name: str, password: str) -> tuple[Person, str]:
    """Return the person with this id or email address and this password, and the credential for the session.

    Raises NotKnown if there is no such person or the password is wrong, after too many attempts, and for a demo person
    while the demo is off.
    """
    now, key = datetime.now(UTC), f"name:{name.strip()}"
    try:
        async with services.db.write() as conn:
            await passwords.take_try(conn, key, now)
            person = await people.named(conn, name.strip())
            stored = await passwords.stored(conn, person.id) if person else None
    except TooManyAttempts as soon:
        async with services.db.read() as conn:
            meant = await people.named(conn, name.strip())
        raise NotKnown(_too_many(soon, now), "locked", meant.id if meant else None, soon.until) from soon
    if why := await without_demo(request, person, name.strip()):
        raise NotKnown(why, "demo")
    if not await off_the_loop(passwords.matches, password, stored) or person is None or stored is None:
        said = _("The name or the password is wrong. Try again.")
        raise NotKnown(said, "password" if person else "unknown", person.id if person else None)
    async with services.db.write() as conn:
        await passwords.forget_tries(conn, key)
        await passwords.sweep(conn, now)
        await failed_sign_ins.settle(conn, now)
    return person, passwords.credential_of(stored)


async def by_passkey(services: Services, answer: str) -> tuple[Person, str]:
    """Return the person whose passkey signed the challenge of this sign-in, and the credential for the session.

    `answer` is the JSON text that the browser sent. Failed attempts with a password do not matter, so that nobody can
    keep the person out. Raises NotKnown if the answer is not accepted; Problem 404 if there can be no passkeys.
    """
    now, party, credential = datetime.now(UTC), relying_party(services.settings), None
    with suppress(ValueError, RecursionError):
        credential = json.loads(answer)
    async with services.db.write() as conn:
        found = await passkeys.verify_sign_in(conn, party, credential if isinstance(credential, dict) else {}, now)
        if isinstance(found, Verified):
            return await people.get(conn, found.person), found.passkey_id
    raise NotKnown(
        _("The passkey was not accepted. Try again, or sign in with your password."), found.why, found.person
    )


async def by_token(request: Request, services: Services, token: str) -> tuple[Person, str]:
    """Return the person with this access token, and the credential for the session.

    Raises NotKnown if the token is unknown, revoked or over, if it has scopes, and for a demo person while the demo is
    off.
    """
    token = token.strip()
    try:
        holder = await holder_of(services.db, token)
    except TokenRefused as no:
        raise NotKnown(str(no), no.why, no.person) from no
    person = holder.person if holder else None
    if why := await without_demo(request, person, token):
        raise NotKnown(why, "demo")
    if person is None:
        async with services.db.read() as conn:
            owner = await tokens.former_owner(conn, token[:MAX_TOKEN])
        raise NotKnown(
            _("This token is unknown or was revoked. Check the token, or create a new token in your settings."),
            "revoked" if owner else "unknown",
            owner,
        )
    if holder is None or holder.scopes is not None:
        raise NotKnown(_("This token has scopes, so it cannot begin a session."), "scopes", person.id)
    return person, tokens.credential_of(token)


async def by_click(request: Request, services: Services, id: str) -> tuple[Person, str | None]:
    """Return the demo person with this id, if the browser opened the demo's link, and the credential for the session.

    Raises NotKnown if the browser may not sign in as this person.
    """
    if id in services.demo.people(request):
        async with services.db.read() as conn:
            if (person := await people.active(conn, id)) is not None and person.demo:
                return person, services.demo.credential()
    elif services.demo.is_here(request):
        raise NotKnown(_where_the_link_is(), "demo")
    raise NotKnown(_("This demo person does not exist. Choose a demo person from the list."), "demo")


def _too_many(soon: TooManyAttempts, now: datetime) -> str:
    wait = max(1, round((soon.until - now).total_seconds()))
    return _("Too many failed sign-ins. Try again in %(num)s s.", num=wait)


def _where_the_link_is() -> str:
    return _(
        "To sign in as a demo person, open the link that 'make up' printed in its terminal. The link is also in the "
        "file up.json of the state folder, as demo_sign_in_url."
    )


async def welcome(
    request: Request,
    services: Services,
    person: Person,
    way: str,
    following: str,
    zone: str,
    credential: str | None = None,
    provider: ProviderSession | None = None,
) -> Response:
    """Begin a session in this browser, and redirect to the page `following`. An earlier session of this browser ends.

    `credential` is the token, the password, the passkey or the secret of the demo with which the person signed in. If
    this credential is revoked, changed or removed, the session ends. `provider` is what an identity provider says about
    the sign-in.
    """
    forgive(request, 2 if way == "passkey" else 1)  # a passkey also needs its options
    now, lasts = datetime.now(UTC), timedelta(minutes=services.settings.session_minutes)
    agent = request.headers.get("user-agent", "")
    async with services.db.write() as conn:
        if (old := cookie_of(request)) and (before := await sessions.by_token(conn, old, now)):
            await sessions.end(conn, before.session)
        token = await sessions.begin(
            conn, person, way, now, lasts, agent=agent, zone=zone or None, credential=credential, provider=provider
        )
        first = way == "password" and await passwords.must_change(conn, person.id)
    # A first password is changed before anything else. Then the person returns to the requested page.
    goes_to = f"/password?following={quote(local_address(following), safe='')}" if first else local_address(following)
    answer = RedirectResponse(goes_to, status_code=303)
    answer.set_cookie(
        SECURE_COOKIE if services.settings.https else COOKIE,
        token,
        max_age=int(sessions.LONGEST.total_seconds()),  # the server knows how long the session lasts
        httponly=True,
        # Lax, not strict: a link in a mail comes from another site, and its reader should be signed in. Forms of other
        # sites are refused, and GET changes nothing.
        samesite="lax",
        secure=services.settings.https,
    )
    return answer


@router.post("/sign-in", dependencies=[Depends(check_same_site)])
async def sign_in(
    request: Request,
    services: TheServices,
    name: Annotated[str, Form(max_length=254)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=1000)] = "",
    passkey: Annotated[str, Form(max_length=10_000)] = "",
    demo: Annotated[str, Form(max_length=200)] = "",
    zone: Annotated[str, Form(max_length=60)] = "",
    following: Annotated[str, Form(max_length=LONGEST_ADDRESS)] = "/",
) -> Response:
    """Sign in by name and password, by a passkey, by an access token, or as a demo person by one click."""
    way: Way = "demo" if demo else "token" if token else "passkey" if passkey else "password"
    credential = None
    if (why := passwords_off(services.settings)) is not None:
        return sign_in_form(request, SignInPage(None, local_address(following), why, name), 403)
    try:
        if way == "demo":
            person, credential = await by_click(request, services, demo)
        elif way == "token":
            person, credential = await by_token(request, services, token)
        elif way == "passkey":
            person, credential = await by_passkey(services, passkey)
        else:
            with turn():
                person, credential = await by_password(request, services, name, password)
    except NotKnown as no:
        async with services.db.write() as conn:
            now = datetime.now(UTC)
            await failed_sign_ins.note(conn, way, no.why, no.person, now, locked_until=no.locked_until)
        return sign_in_form(request, SignInPage(None, local_address(following), str(no), name), 401)
    return await welcome(request, services, person, way, following, zone, credential)


@router.post("/sign-in/passkey", dependencies=[Depends(check_same_site)])
async def passkey_options(services: TheServices) -> JSONResponse:
    """Return the options with which a script of the sign-in page asks the browser for a passkey.

    Each call counts as a failed attempt until the person signs in. Raises Problem 404 if there can be no passkeys, 403
    if people sign in only with the identity provider.
    """
    check_passwords_on(services.settings)
    party = relying_party(services.settings)
    async with services.db.write() as conn:
        return JSONResponse(await passkeys.sign_in_options(conn, party, datetime.now(UTC)))


@router.api_route("/sign-in", methods=["GET", "HEAD"])
async def form(
    request: Request, services: TheServices, _person: Visitor, following: str = "/", demo: str | None = None
) -> Response:
    """Show the sign-in form. A person who is signed in sees the form too, and can sign in as another person.

    `demo` is the secret in the link of the demo, if the browser opened that link.
    """
    if demo is None:
        return sign_in_form(request, SignInPage(None, local_address(following)))
    if not (services.demo.is_here(request) and services.demo.is_secret(demo)):
        wrong = (
            _where_the_link_is()
            if services.demo.is_here(request)
            else _("This address has no demo. Sign in with your name and password.")
        )
        return sign_in_form(request, SignInPage(None, local_address(following), wrong), 401)
    # Redirect to an address without the secret, so that no history and no Referer has it.
    answer = RedirectResponse("/sign-in", status_code=303)
    https = services.settings.https
    answer.set_cookie(services.demo.cookie, demo, httponly=True, samesite="strict", secure=https)
    return answer


@router.post("/session", dependencies=[Depends(check_same_site)])
async def stay(request: Request, _person: SignedIn, services: TheServices) -> Response:
    """Extend the session of this browser, and return its new end. A caller with a token has no session to extend."""
    if (signed_in := request.state.signed_in) is None:
        return Response(status_code=204)
    lasts = timedelta(minutes=services.settings.session_minutes)
    async with services.db.write() as conn:
        ends_at = await sessions.extend(conn, signed_in.session, datetime.now(UTC), lasts)
    return JSONResponse({"ends_at": ends_at.isoformat()})


@router.api_route("/password", methods=["GET", "HEAD"])
async def password_form(request: Request, person: SignedIn, services: TheServices, following: str = "/") -> Response:
    """Show the form for a new password."""
    check_passwords_on(services.settings)
    async with services.db.read() as conn:
        has_one = await passwords.stored(conn, person.id) is not None
    page = PasswordPage(
        person, local_address(following), has_one, one_time_links.sends_mail_to(services.settings, person)
    )
    return render(request, "password.html", page)


@router.post("/password", dependencies=[Depends(check_same_site)])
async def change_password(
    request: Request,
    person: SignedIn,
    services: TheServices,
    new: Annotated[str, Form(max_length=1000)],
    again: Annotated[str, Form(max_length=1000)],
    old: Annotated[str, Form(max_length=1000)] = "",
    following: Annotated[str, Form(max_length=LONGEST_ADDRESS)] = "/",
) -> Response:
    """Change the person's password if the old password is right. All other sessions of the person end.

    A person without a password sets the first one with a one-time link, because an open browser must not be enough.
    """
    check_passwords_on(services.settings)

    def again_with(field: str, message: str) -> Response:
        page = PasswordPage(person, local_address(following), True, wrong={field: message})
        return render(request, "password.html", page, 422)

    try:
        proof = await check_password(services.db, person, old, field="old")
    except Problem as no:
        if no.status != 422:
            raise
        return again_with("old", _("The current password is wrong. Enter your current password."))
    if new != again:
        return again_with("again", _("The two new passwords differ. Enter the new password twice."))
    try:
        hashed = await off_the_loop(passwords.hash_of, new)
    except ValueError as weak:
        return again_with("new", _sentence(str(weak)))
    async with services.db.write() as conn:
        await proof.still_holds(conn)
        await passwords.put(conn, person.id, hashed, datetime.now(UTC), by=person.id)
        await sessions.end_all(conn, person.id, by=person.id)
    credential = passwords.credential_of(hashed)
    return await welcome(request, services, person, "password", following, "", credential)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
