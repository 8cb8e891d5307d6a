"""Signing in and out, and staying signed in.

A way to sign in finds out who somebody is; then a session begins, whatever the way. Single sign-on is one way more: a
route that sends the browser away, and one to which it comes back with a proof, which calls `welcome`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Form, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from api.deps import House, InHouse
from api.hashing import off_the_loop, turn
from api.pages.page import (
    LONGEST_ADDRESS,
    Context,
    SignedIn,
    SignIn,
    demo_people,
    from_here,
    local,
    pages,
    render,
    sign_in_form,
)
from api.pages.texts import _
from api.problems import Problem
from api.security import COOKIE, SECURE_COOKIE, Visitor, cookie_of, person_of
from store import passwords, people, sessions
from store.passwords import TooSoon
from store.people import Person

router = pages()

FREE_BY_ADDRESS = 30
"""Tries from one address that may fail: a whole office may sit behind it."""


@dataclass(frozen=True)
class NewPassword(Context):
    """`password.html`: the form, and where it leads."""

    following: str
    wrong: Mapping[str, str] = field(default_factory=dict)
    """By field of the form."""


class NotKnown(Exception):
    """Nobody is who they say they are; `str()` says so in words that do not tell what was wrong."""


async def by_password(request: Request, parts: House, name: str, password: str) -> Person:
    """The person of this id or mail address whose password it is. Raises NotKnown."""
    now, address = datetime.now(UTC), request.client.host if request.client else ""
    keys = f"name:{name.strip()}", f"from:{address}"
    try:
        async with parts.db.write() as conn:
            await passwords.take_try(conn, keys[0], now)
            await passwords.take_try(conn, keys[1], now, FREE_BY_ADDRESS)
            person = await people.named(conn, name.strip())
            stored = await passwords.stored(conn, person.id) if person else None
    except TooSoon as soon:
        wait = max(1, round((soon.until - now).total_seconds()))
        raise NotKnown(_("Too many tries have failed. Try again in %(num)s s.", num=wait)) from soon
    if not await off_the_loop(passwords.matches, password, stored) or person is None:
        raise NotKnown(_("This name and this password do not belong together."))
    async with parts.db.write() as conn:
        await passwords.forget_tries(conn, *keys)
        await passwords.sweep(conn, now)
    return person


async def by_token(parts: House, token: str) -> Person:
    """The person whose access token it is. Raises NotKnown."""
    person = await person_of(parts.db, token.strip())
    if person is None:
        raise NotKnown(_("Nobody has this token, or it was revoked."))
    return person


async def by_click(request: Request, parts: House, id: str) -> Person:
    """A demo person, where there are demo people and only this machine reaches the gateway. Raises NotKnown."""
    if id in demo_people(request):
        async with parts.db.read() as conn:
            if (person := await people.active(conn, id)) is not None:
                return person
    raise NotKnown(_("There is no such demo person here."))


async def welcome(request: Request, parts: House, person: Person, way: str, following: str, zone: str) -> Response:
    """Begin a session in this browser and go on to the page that was asked for; a session before it ends."""
    now, lasts = datetime.now(UTC), timedelta(minutes=parts.settings.session_minutes)
    agent = request.headers.get("user-agent", "")
    async with parts.db.write() as conn:
        if (old := cookie_of(request)) and (before := await sessions.by_token(conn, old, now)):
            await sessions.end(conn, before.session)
        token = await sessions.begin(conn, person, way, now, lasts, agent=agent, zone=zone or None)
        first = way == "password" and await passwords.must_change(conn, person.id)
    # A first password is changed before anything else, and then one is where one wanted to be.
    goes_to = f"/password?following={quote(local(following), safe='')}" if first else local(following)
    answer = RedirectResponse(goes_to, status_code=303)
    answer.set_cookie(
        SECURE_COOKIE if parts.settings.https else COOKIE,
        token,
        max_age=int(sessions.LONGEST.total_seconds()),  # how long it opens anything is known here
        httponly=True,
        # Lax, not strict: who follows a link of a mail comes from another site, and should be known. Forms of other
        # sites are refused, and GET changes nothing.
        samesite="lax",
        secure=parts.settings.https,
    )
    return answer


@router.post("/sign-in", dependencies=[Depends(from_here)])
async def sign_in(
    request: Request,
    parts: InHouse,
    name: Annotated[str, Form(max_length=254)] = "",
    password: Annotated[str, Form(max_length=1000)] = "",
    token: Annotated[str, Form(max_length=1000)] = "",
    demo: Annotated[str, Form(max_length=200)] = "",
    zone: Annotated[str, Form(max_length=60)] = "",
    following: Annotated[str, Form(max_length=LONGEST_ADDRESS)] = "/",
) -> Response:
    """Sign in by name and password, by an access token, or as a demo person by one click."""
    try:
        if demo:
            way, person = "demo", await by_click(request, parts, demo)
        elif token:
            way, person = "token", await by_token(parts, token)
        else:
            with turn():
                way, person = "password", await by_password(request, parts, name, password)
    except NotKnown as no:
        return sign_in_form(request, SignIn(None, local(following), str(no), name), 401)
    return await welcome(request, parts, person, way, following, zone)


@router.api_route("/sign-in", methods=["GET", "HEAD"])
async def form(request: Request, _person: Visitor, following: str = "/") -> Response:
    """The form, also for somebody who has signed in and wants to be another."""
    return sign_in_form(request, SignIn(None, local(following)))


@router.post("/sign-out", dependencies=[Depends(from_here)])
async def sign_out(request: Request, parts: InHouse, _person: Visitor) -> Response:
    """End the session of this browser."""
    if signed_in := request.state.signed_in:
        async with parts.db.write() as conn:
            await sessions.end(conn, signed_in.session)
    return _forgotten(parts)


@router.post("/sign-out-everywhere", dependencies=[Depends(from_here)])
async def sign_out_everywhere(person: SignedIn, parts: InHouse) -> Response:
    """End all sessions of the person."""
    async with parts.db.write() as conn:
        await sessions.end_all(conn, person.id, by=person.id)
    return _forgotten(parts)


@router.post("/session", dependencies=[Depends(from_here)])
async def stay(request: Request, _person: SignedIn, parts: InHouse) -> Response:
    """Stay signed in; answers until when. For who came with a token instead of a session there is nothing to do."""
    if (signed_in := request.state.signed_in) is None:
        return Response(status_code=204)
    lasts = timedelta(minutes=parts.settings.session_minutes)
    async with parts.db.write() as conn:
        ends_at = await sessions.extend(conn, signed_in.session, datetime.now(UTC), lasts)
    return JSONResponse({"ends_at": ends_at.isoformat()})


@router.api_route("/password", methods=["GET", "HEAD"])
async def password_form(request: Request, person: SignedIn, following: str = "/") -> Response:
    """The form for a new password."""
    return render(request, "password.html", NewPassword(person, local(following)))


@router.post("/password", dependencies=[Depends(from_here)])
async def change_password(
    request: Request,
    person: SignedIn,
    parts: InHouse,
    new: Annotated[str, Form(max_length=1000)],
    again: Annotated[str, Form(max_length=1000)],
    old: Annotated[str, Form(max_length=1000)] = "",
    following: Annotated[str, Form(max_length=LONGEST_ADDRESS)] = "/",
) -> Response:
    """Change one's password; asks for the old one where there is one. All other sessions end."""
    now = datetime.now(UTC)

    def again_with(field: str, message: str) -> Response:
        page = NewPassword(person, local(following), {field: message})
        return render(request, "password.html", page, 422)

    async with parts.db.write() as conn:
        try:
            await passwords.take_try(conn, f"change:{person.id}", now)
        except TooSoon as soon:
            raise Problem(403, _("Too many tries have failed. Wait a little.")) from soon
        stored = await passwords.stored(conn, person.id)
    if stored is not None and not await off_the_loop(passwords.matches, old, stored):
        return again_with("old", _("This is not your password."))
    if new != again:
        return again_with("again", _("The two new passwords differ."))
    try:
        hashed = await off_the_loop(passwords.hash_of, new)
    except ValueError as weak:
        return again_with("new", _sentence(str(weak)))
    async with parts.db.write() as conn:
        await passwords.put(conn, person.id, hashed, now, by=person.id)
        await passwords.forget_tries(conn, f"change:{person.id}")
        await sessions.end_all(conn, person.id, by=person.id)
    return await welcome(request, parts, person, "password", following, "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _forgotten(parts: House) -> Response:
    answer = RedirectResponse("/", status_code=303)
    https = parts.settings.https
    answer.delete_cookie(SECURE_COOKIE if https else COOKIE, httponly=True, samesite="lax", secure=https)
    return answer
