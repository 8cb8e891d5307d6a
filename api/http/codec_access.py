"""Find out who asks the codec server, and let Temporal's Web UI ask from its own origin.

The command line sends a token. Temporal's Web UI sends the cookie of the pages, which a browser adds to the requests of
any page. So a request with a page's origin is refused unless this is an origin of the Web UI, and the cookie counts
only with such an origin.
"""

from collections.abc import AsyncIterator
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.callers import Bearer, by_header, looked_up
from api.http.problems import Problem, forbidden, unauthenticated
from api.http.rate_limits import admitted, count_stranger
from api.http.token_scopes import check_scope
from api.services.payload_decoding import refuse
from core.payload_keys import SETTING
from core.settings import is_loopback
from core.temporal import namespace
from store.cases.case_keys import CaseKeys
from store.people.people import Person

CODEC = "/codec"
_HEADERS = ("authorization", "content-type", "x-namespace")


def origins_of_web_ui(temporal_ui_url: str) -> list[str]:
    """Return the origins from which Temporal's Web UI may ask: for an address of this machine, both of its names."""
    url = urlsplit(temporal_ui_url)
    if not is_loopback(url.hostname or ""):
        return [f"{url.scheme}://{url.netloc}".lower()]
    port = f":{url.port}" if url.port else ""
    return [f"{url.scheme}://{name}{port}" for name in ("127.0.0.1", "localhost")]


class WebUiOrigins:
    """Middleware that lets pages of Temporal's Web UI, and no others, read the answers of the codec server."""

    def __init__(self, app: ASGIApp, temporal_ui_url: str) -> None:
        self.app = app
        self._shared = CORSMiddleware(
            app,
            allow_origins=origins_of_web_ui(temporal_ui_url),
            allow_methods=["POST"],
            allow_headers=_HEADERS,
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        below = scope["type"] == "http" and scope["path"].startswith(f"{CODEC}/")
        await (self._shared if below else self.app)(scope, receive, send)


async def keys(request: Request) -> CaseKeys:
    """Return the data keys of this installation. Raises Problem 404 if payloads are not encrypted."""
    found: CaseKeys | None = request.app.state.services.encryption.keys
    if found is None:
        said = f"Payloads in Temporal are not encrypted ({SETTING} is not set), so there is nothing to decode."
        raise Problem(404, said, kind="not-configured", setting=SETTING)
    return found


async def decoder(request: Request, credentials: Bearer, _keys: "Keys") -> AsyncIterator[Person]:
    """Yield the caller, who may decode payloads of at least one process, while the request is answered.

    Raises Problem 401, 403 and 429. A refused person is recorded.
    """
    services, origin = request.app.state.services, request.headers.get("origin")
    if origin is not None and origin not in origins_of_web_ui(services.settings.temporal_ui_url):
        raise forbidden(
            "This request was sent by a page that is not Temporal's Web UI. Set HOLDGATE_TEMPORAL_UI_URL to the "
            "address of the Web UI.",
            "pages of Temporal's Web UI",
        )
    person = await _caller(request, credentials, by_page=origin is not None)
    request.state.caller, request.state.person = person, person.id
    async with admitted(request):
        via = request.state.credential.kind
        if not person.scope.operates:
            raise await refuse(services.db, person, via)
        try:
            await check_scope(request)
        except Problem:
            await refuse(services.db, person, via)
            raise
        _check_namespace(request)
        yield person


async def _caller(request: Request, credentials: Bearer, *, by_page: bool) -> Person:
    if credentials is not None or not by_page:
        try:
            return await by_header(request)
        except Problem:
            await count_stranger(request)
            raise
    person = await looked_up(request, None)
    if person is None:
        await count_stranger(request)
        raise unauthenticated(
            request.state.refused or "Sign in to Holdgate in this browser, and load this page of Temporal again."
        )
    return person


def _check_namespace(request: Request) -> None:
    asked = request.headers.get("x-namespace")
    if asked is not None and asked != namespace():
        said = f"x-namespace: this gateway decodes only payloads of the Temporal namespace {namespace()}."
        raise Problem(422, said, kind="namespace")


Keys = Annotated[CaseKeys, Depends(keys)]
Decoder = Annotated[Person, Depends(decoder)]
