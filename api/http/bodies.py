"""Limit the encoding, size and time of request bodies. The limits are checked before anything parses the body."""

import asyncio
import time
from collections.abc import Callable

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.middleware import API
from api.http.problems import Problem

STRANGER_BYTES = 16 * 1024
"""The most bytes in the body of a request by a visitor who is not signed in.

The sign-in form, with the address to return to after the sign-in, must fit into this size.
"""
TOO_LARGE = f"Sign in, or send a smaller body: without a sign-in it can have at most {STRANGER_BYTES:,} bytes."
STRANGER_SECONDS = 10.0
"""The most seconds until the body of a request by a visitor who is not signed in has arrived."""
GRACE_SECONDS = 30.0
"""Seconds that every body of a signed-in person may take until it has arrived, even if the body is small."""
LEAST_RATE = 256
"""The bytes for which a body gets one more second, in addition to `GRACE_SECONDS`.

A slow client is served; a client that only holds the connection open is not.
"""

OF_PROGRAMS = (f"{API}/", "/codec/")
"""Addresses that programs use, and not people in a browser: errors there are problem documents."""
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")

AsPage = Callable[[Request, Problem], Response | None]


class Bodies:
    """Middleware that refuses bodies with another encoding than UTF-8, and bodies that are too large or too slow.

    The limits are higher if `request.state.person` is set, that is, if a person is signed in when the body is read.
    """

    def __init__(self, app: ASGIApp, as_page: AsPage) -> None:
        self.app = app
        self._as_page = as_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        problem = _in_another_encoding(headers)
        if scope["method"] in WITHOUT_BODY and _announced(headers) > STRANGER_BYTES:
            # Starlette's limit would notice this in the middle of a stream, and fail.
            problem = Problem(413, "The request body is too large. Send a smaller one.")
        if problem:
            answer = self._as_page(Request(scope), problem) or problem.response()
            return await answer(scope, receive, send)
        body = _RequestBody(scope, receive, send)
        await self.app(scope, body.receive, body.send)


class _RequestBody:
    """The body of one request while it arrives."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.monotonic()
        self._size = 0
        self._whole = self._answered = False
        self._announced = _announced(Headers(scope=scope))

    async def receive(self) -> Message:
        """Return the next part of the body.

        Raises HTTPException: 408 if the body is too slow, 413 if it is too large for a visitor who is not signed in,
        400 if the client stopped before the end of the body.
        """
        if self._whole:
            return await self._receive()
        stranger = "person" not in self._scope.get("state", {})
        if stranger and max(self._size, self._announced) > STRANGER_BYTES:
            raise HTTPException(413, TOO_LARGE)
        lasts = STRANGER_SECONDS if stranger else GRACE_SECONDS + self._size / LEAST_RATE
        try:
            async with asyncio.timeout(self._began + lasts - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            if self._answered:
                return {"type": "http.disconnect"}
            raise HTTPException(
                408, "The request body took too long to arrive. Send the request again.", {"Connection": "close"}
            ) from None
        if message["type"] == "http.disconnect":
            if self._answered or self._scope["method"] in WITHOUT_BODY:
                return message
            raise HTTPException(400, "The request body is not complete. Send the request again.")
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if stranger and self._size > STRANGER_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer. After the first part, the request body can no longer be refused."""
        self._answered = True
        await self._send(message)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's limit for the size of bodies, which here answers with a problem document or a page."""

    def __init__(self, app: ASGIApp, max_body_size: int, of_page: Callable[[Request], Response]) -> None:
        super().__init__(app, max_body_size)
        self._of_page = of_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                # Replace only Starlette's own answer: a page or a problem document says more.
                replaced = MutableHeaders(scope=message)["content-type"].startswith("text/plain")
                if replaced:
                    problem = Problem(413, "The request body is too large. Send a smaller one.")
                    answer = (
                        problem.response() if scope["path"].startswith(OF_PROGRAMS) else self._of_page(Request(scope))
                    )
                    return await answer(scope, receive, send)
            if not replaced:
                await send(message)

        await super().__call__(scope, receive, send_problem)


def _in_another_encoding(headers: Headers) -> Problem | None:
    """Return the problem of a Content-Type or Content-Encoding that Holdgate does not accept, or None.

    Form parsers decode a body with the charset that the header names, and some charsets would take minutes. This
    function reads the header with the same code as the form parsers, so that both see the same charset.
    """
    kinds = headers.getlist("content-type")
    if len(kinds) > 1:
        return Problem(415, "The request has several Content-Type headers. Send one of them.", kind="content-type")
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        detail = "The body has a Content-Encoding. Send the body as it is, without the header."
        return Problem(415, detail, kind="encoding")
    _, options = parse_options_header(kinds[0] if kinds else None)
    if (name := options.get(b"charset")) is None or _is_utf8(name.decode("latin-1")):
        return None
    shown = name[:40].decode("latin-1")
    detail = f"The Content-Type names the encoding {shown!a}. Send UTF-8, and leave out 'charset' or name utf-8."
    return Problem(415, detail, kind="encoding")


def _announced(headers: Headers) -> int:
    """Return the length of the body in the Content-Length header; 0 if the header is missing or not a number."""
    length = headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdecimal() else 0


def _is_utf8(name: str) -> bool:
    # `codecs.lookup` would import a module by this name.
    return name.strip().lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii", "ascii")
