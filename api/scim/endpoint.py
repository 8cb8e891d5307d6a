"""Let an identity provider in to SCIM by its token, and load the SCIM server when the first request needs it."""

import asyncio
import hmac
import importlib
import sys
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.container import Services
from api.http.problems import Problem
from api.http.rate_limits import LimitReached, count_provider, count_stranger
from store.people.scim_groups import BY

MOUNT = "/scim"
_ROOT = "/scim/v2"


class ScimEndpoint:
    """The application below `/scim`. The token is checked before anything is parsed or loaded."""

    def __init__(self) -> None:
        self._server: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 404 while SCIM is off, 401 without the token, 429 after too many requests, and otherwise what the SCIM
        server answers.
        """
        services: Services = scope["app"].state.services
        refused = _refusal(services.settings.scim_token, Headers(scope=scope))
        try:
            await (count_provider if refused is None else count_stranger)(Request(scope))
        except LimitReached as no:
            refused = _error(429, str(no), no.headers)
        if refused is not None:
            return await refused(scope, receive, send)
        scope.setdefault("state", {})["person"] = BY  # for the log, and for the limits of bodies
        if self._server is None:
            self._server = await _load(services)
        await self._server(scope, receive, send)


def _refusal(token: SecretStr | None, headers: Headers) -> Response | None:
    """Return the answer for a caller without the token; None if the caller has shown the token."""
    if token is None:
        return Problem(404, "SCIM is off. To turn SCIM on, set HOLDGATE_SCIM_TOKEN.", kind="not-configured").response()
    shown = headers.getlist("authorization")
    scheme, _, given = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    # Digests: the comparison takes the same time for texts of every length.
    same = hmac.compare_digest(_digest(given.strip()), _digest(token.get_secret_value()))
    if same and scheme.lower() == "bearer":
        return None
    detail = "Send the token of the setting HOLDGATE_SCIM_TOKEN: 'Authorization: Bearer TOKEN'."
    return _error(401, detail, {"WWW-Authenticate": 'Bearer realm="SCIM"'})


def _error(status: int, detail: str, headers: Mapping[str, str] | None) -> Response:
    error = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": str(status), "detail": detail}
    return JSONResponse(error, status, headers, media_type="application/scim+json")


def _digest(text: str) -> bytes:
    return sha256(text.encode()).digest()


async def _load(services: Services) -> ASGIApp:
    """Return the SCIM server. Its library takes half a second to import, in which other requests go on."""
    module: Any = await asyncio.to_thread(importlib.import_module, "api.scim.application")
    server = module.ScimApplication(services.db, services.settings.public_url + _ROOT)
    # The server limits bodies itself, so that its answer is a SCIM error. This lifts the limit of all other addresses.
    return RequestBodyLimitMiddleware(server, max_body_size=sys.maxsize)
