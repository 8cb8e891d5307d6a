"""The page of a one-time link: a person sets a password, or gets a token, for themselves.

The code of a link follows a `#` in its address, so that no server, proxy or log sees it. A script of the page puts the
code into the form. Opening the page changes nothing: a link works once, and only sending the form uses the link.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Form, Request, Response

from api.deps import Plain, TheServices
from api.http.security import Visitor
from api.pages.parts.formatting import capital
from api.pages.parts.page import Context, check_same_site, pages, render
from api.pages.parts.translation import _
from api.services.password_hashing import off_the_loop, turn
from store.people import failed_sign_ins, one_time_links, passwords, sessions, tokens
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


@router.api_route("/link", methods=["GET", "HEAD"])
async def form(request: Request, _person: Visitor) -> Response:
    """Show the form, in which a script puts the code of the link."""
    return render(request, "one_time_link.html", OneTimeLinkPage(None))


@router.post("/link", dependencies=[Depends(check_same_site)])
async def use(
    request: Request,
    services: TheServices,
    _person: Visitor,
    act: Annotated[Literal["password", "token"], Form()],
    code: Code = "",
    second: Code = "",
    new: Secret = "",
    again: Secret = "",
    label: Annotated[Plain, Form(max_length=1000)] = "",
) -> Response:
    """Set a password or create a token with the link, which then no longer works.

    If another field of the form has an error, the link can still be used.
    """
    now, label = datetime.now(UTC), label.strip()

    def again_with(field: str, message: str) -> Response:
        return render(request, "one_time_link.html", OneTimeLinkPage(None, label, {field: message}), 422)

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
        async with services.db.write() as conn:
            await failed_sign_ins.note(conn, "link", no.why, no.person, now)
        return again_with("code", str(no))
    return render(request, "one_time_link.html", OneTimeLinkPage(None, done=act, token=token))
