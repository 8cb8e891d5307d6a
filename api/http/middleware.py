"""Middleware that adds security headers to every answer, and logs and counts every request."""

import logging
import re
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.services.metrics import Metrics
from core import logs

API = "/api/v1"
MAX_JSON_BYTES = 1024 * 1024
"""The most bytes in the body of a request that is not an upload. A hundred decisions with long comments fit."""
UPLOAD_MARGIN_BYTES = 64 * 1024
"""The most bytes that a multipart form may have in addition to its file."""

MOUNTED = ("/static", "/scim/v2/Users", "/scim/v2/Groups", "/scim/v2")
"""Paths below which another application answers, so that there is no route with a path."""
IDS = frozenset({"case_id", "batch_id", "task_id", "decision_id", "action_id", "attachment_id", "question_id"})
"""The parameters of paths whose values can be in logs."""
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})
_log = logging.getLogger("holdgate.api")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of pages: browsers load scripts, styles and all other resources only from the gateway."""
_HEADERS = {
    "Content-Security-Policy": _POLICY.format(styles=""),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class SecurityHeaders:
    """Middleware that adds security headers to every answer.

    The headers allow browsers and proxies to cache only static files.
    """

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
                if scope["path"] == "/docs":  # Swagger UI sets style attributes
                    headers["Content-Security-Policy"] = _POLICY.format(styles=" 'unsafe-inline'")
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_with_headers)


class RequestLog:
    """Middleware that logs each request (person, route, status, duration) and counts it in the metrics.

    The log never contains a query string, a header, a body, or a path that is no route.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.perf_counter(), 500
        logs.begin()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            took = time.perf_counter() - began
            self._metrics.answered(_method(scope), _route(scope), status, took)
            person = scope.get("state", {}).get("person", "-")
            said = {"method": _method(scope), "path": _path(scope), "status": status, "person": person}
            _log.info("answered", extra={**said, "ms": round(took * 1000)})


def _path(scope: Scope) -> str:
    """Return the path of a request for the log, with the ids of cases, tasks and uploads.

    Other parts of a path can be names of people, and the path of an unknown route can be any text.
    """
    for mounted in MOUNTED:
        if f"{scope['path']}/".startswith(f"{mounted}/"):
            return mounted
    known = {name: str(value) for name, value in scope.get("path_params", {}).items() if name in IDS}
    return _PARAMETER.sub(lambda found: known.get(found[1], found[0]), _route(scope))


def _method(scope: Scope) -> str:
    """Return the HTTP method for the log, and as a label of metrics.

    All unknown methods share one label, because clients can invent methods.
    """
    return scope["method"] if scope["method"] in _METHODS else "other"


def _route(scope: Scope) -> str:
    """Return the path template of the route as a label of metrics, such as `/api/v1/cases/{case_id}`.

    The path itself would make a new label for each case.
    """
    template: str | None = getattr(scope.get("route"), "path", None)
    if template is None:
        return "none"
    # An included router does not know its own prefix.
    return API + template if scope["path"].startswith(API) else template
