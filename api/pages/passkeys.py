"""The forms of the passkeys on the page Settings.

The script `passkeys.js` asks `/settings/passkeys/options` for options, lets the browser make a passkey, and puts the
result into the form that adds the passkey.
"""

import json
from contextlib import suppress
from typing import Annotated, Literal

from fastapi import Depends, Form, Request, Response
from fastapi.responses import JSONResponse

from api.deps import Plain, TheServices
from api.http.problems import Problem
from api.pages.parts.page import SignedIn, check_same_site, pages, render
from api.pages.parts.translation import _
from api.pages.people import by_field
from api.pages.settings import settings_page
from api.routes import passkeys
from store.people.sessions import Session

router = pages()

Password = Annotated[str, Form(max_length=1000)]


@router.post("/settings/passkeys/options", dependencies=[Depends(check_same_site)])
async def options(request: Request, person: SignedIn, services: TheServices, password: Password = "") -> JSONResponse:
    """Return the options with which the browser makes a passkey. The script shows the `detail` of a problem."""
    return JSONResponse(await passkeys.begin(services, person, _session_of(request), password))


@router.post("/settings/passkeys/{act}", dependencies=[Depends(check_same_site)])
async def change(
    request: Request,
    act: Literal["add", "rename", "remove"],
    person: SignedIn,
    services: TheServices,
    passkey_id: Annotated[Plain, Form(max_length=64)] = "",
    name: Annotated[Plain, Form(max_length=1000)] = "",
    credential: Annotated[str, Form(max_length=20_000)] = "",
    password: Password = "",
) -> Response:
    """Add, rename or remove a passkey of the person, as the JSON routes do, and show the outcome."""
    try:
        match act:
            case "add":
                await passkeys.finish(services, person, _parsed(credential), name)
                done = _("Your passkey is added. You can sign in with the passkey.")
            case "rename":
                await passkeys.rename(services, person, passkey_id, name)
                done = _("The passkey is renamed.")
            case "remove":
                await passkeys.remove(services, person, _session_of(request), passkey_id, password)
                done = _("The passkey is removed. Also delete the passkey on your device.")
    except Problem as no:
        if no.status not in (403, 404, 409, 422):
            raise
        page = await settings_page(request, person, services, act="passkeys", wrong=" ".join(by_field(no).values()))
        return render(request, "settings/settings.html", page, no.status)
    page = await settings_page(request, person, services, act="passkeys", done=done)
    return render(request, "settings/settings.html", page)


def _session_of(request: Request) -> Session | None:
    """Return the session of the browser; None for a caller with a token."""
    return request.state.signed_in.session if request.state.signed_in else None


def _parsed(credential: str) -> dict[str, object]:
    with suppress(ValueError, RecursionError):
        parsed = json.loads(credential)
        if isinstance(parsed, dict):
            return parsed
    return {}
