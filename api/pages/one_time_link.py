"""The page of a one-time link: a person sets a password, or gets a token, for themselves.

An emergency link, which the command line makes, signs in an administrator instead, also while passwords are off.

The code of a link follows a `#` in its address, so that no server, proxy or log sees it. A script of the page puts the
code into the form. Opening the page changes nothing: a link works once, and only sending the form uses the link.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Form, Request, Response

from api.container import Services
from api.deps import Plain, TheServices
from api.http.callers import Visitor
from api.http.ways_to_sign_in import check_passwords_on
from api.pages.parts.formatting import capital
from api.pages.parts.page import Context, check_same_site, pages, render
from api.pages.parts.translation import _
from api.pages.sign_in import welcome
from api.services.password_hashing import off_the_loop, turn
from store.people import failed_sign_ins, one_time_links, passwords, people, sessions, tokens
from store.people.one_time_links import NotUsable

router = pages()

Code = Annotated[Plain, Form(max_length=200)]
Secret = Annotated[str, Form(max_length=1000)]


@dataclass(frozen=True)
class OneTimeLinkPage(Context):
    """`one_time_link.html`: the form, or its outcome."""

    label: str = ""
    wrong: Mapping[str, str] = field(default_factory=dict)
    """The errors of the form, by field."""
    done: Literal["", "password", "token"] = ""
    token: str = ""
    """The new token, which is shown only on this page."""
    provider: str = ""
    """The name of the identity provider if people sign in only there; else empty."""


@router.api_route("/link", methods=["GET", "HEAD"])
async def form(request: Request, services: TheServices, _person: Visitor) -> Response:
    """Show the form, in which a script puts the code of the link."""
    return render(request, "one_time_link.html", OneTimeLinkPage(None, provider=_only_provider(services)))


@router.post("/link", dependencies=[Depends(check_same_site)])
async def use(
    request: Request,
    services: TheServices,
    _person: Visitor,
    act: Annotated[Literal["password", "token", "sign-in"], Form()],
    code: Code = "",
    second: Code = "",
    new: Secret = "",
    again: Secret = "",
    label: Annotated[Plain, Form(max_length=1000)] = "",
) -> Response:
    """Set a password, create a token, or sign in with the link, which then no longer works.

    If another field of the form has an error, the link can still be used.
    """
    now, label = datetime.now(UTC), label.strip()

    def again_with(field: str, message: str) -> Response:
        page = OneTimeLinkPage(None, label, {field: message}, provider=_only_provider(services))
        return render(request, "one_time_link.html", page, 422)

    if act == "sign-in":
        try:
            async with services.db.write() as conn:
                admin = await people.get(conn, await one_time_links.redeem(conn, code, second, now, emergency=True))
        except NotUsable as no:
            return again_with("code", await _noted(services, no))
        return await welcome(request, services, admin, "link", "/", "")
    check_passwords_on(services.settings)

    async with services.db.read() as conn:
        known = await one_time_links.is_known(conn, code, second)
    hashed = token = ""
    if known and act == "password":  # an unknown client must not make the gateway hash
        if new != again:
            return again_with("again", _("The two passwords differ. Enter the new password twice."))
        try:
            with turn():
                hashed = await off_the_loop(passwords.hash_of, new)
        except ValueError as weak:
            return again_with("new", capital(f"{weak}."))
    if known and act == "token" and not 1 <= len(label) <= 60:
        return again_with("label", _("Enter where the token is used, in 1 to 60 characters."))
    try:
        async with services.db.write() as conn:
            person = await one_time_links.redeem(conn, code, second, now)
            if act == "password":
                await sessions.replace_password(conn, person, hashed, now, by=person)
            else:
                token = await tokens.make(conn, person, label, by=person)
    except NotUsable as no:
        return again_with("code", await _noted(services, no))
    return render(request, "one_time_link.html", OneTimeLinkPage(None, done=act, token=token))


async def _noted(services: Services, no: NotUsable) -> str:
    """Store that a link was refused, and return the reason for the page."""
    async with services.db.write() as conn:
        await failed_sign_ins.note(conn, "link", no.why, no.person, datetime.now(UTC))
    return str(no)


def _only_provider(services: Services) -> str:
    settings = services.settings
    return settings.oidc_label if settings.passwords == "off" else ""
