"""What every answer gets: security headers, a line in the log, and a problem document for a body that is too large."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import MEDIA_TYPE, Problem

MAX_JSON_BYTES = 1024 * 1024
"""Largest body of a request that is not an upload: bulk decisions with a hundred long comments fit."""
UPLOAD_MARGIN_BYTES = 64 * 1024
"""What a multipart form adds to the file it carries."""

_log = logging.getLogger("holdgate.api")

_HEADERS = {
    # Swagger UI sets style attributes; scripts come from our own files only, and nothing from anywhere else.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Headers:
    """Security headers on every answer. Nothing but static files may be kept by a browser or a proxy."""

    def __init__(self, app: ASGIApp, https: bool) -> None:
        self.app = app
        self.headers = _HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self.headers)
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RequestLog:
    """One line a request: who, what, how it went, how long. Never a query string, a header or a body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            person = scope.get("state", {}).get("person", "-")
            took = (time.perf_counter() - began) * 1000
            # repr: a path may hold line breaks, and nobody else writes our log.
            _log.info("%s %r %d %s %.0f ms", scope["method"], scope["path"], status, person, took)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's limit, its plain-text answer turned into a problem document."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                replaced = MutableHeaders(scope=message)["content-type"] != MEDIA_TYPE
                if replaced:
                    return await Problem(413, "The body is too large.").response()(scope, receive, send)
            if not replaced:
                await send(message)

        await super().__call__(scope, receive, send_problem)
