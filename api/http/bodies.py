"""What a body may be: its encoding, its size and the time it takes, before anything parses it."""

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
"""Largest body of somebody who is not signed in: the form to sign in, with the address to come back to."""
STRANGER_SECONDS = 10.0
"""How long such a body may take."""
GRACE_SECONDS = 30.0
"""How long the body of somebody who is signed in may take, however small it is."""
LEAST_RATE = 256
"""Bytes a second that a longer one brings on average: a slow line is served, a connection held open is not."""

WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")

AsPage = Callable[[Request, Problem], Response | None]


class Bodies:
    """Refuse bodies in another encoding than UTF-8, large ones of strangers, and those that take too long.

    Who is signed in is known by `request.state.person` when the body is read.
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
            # Starlette's limit would find out in the middle of a stream, and fail.
            problem = Problem(413, "The body is too large.")
        if problem:
            answer = self._as_page(Request(scope), problem) or problem.response()
            return await answer(scope, receive, send)
        body = _Body(scope, receive, send)
        await self.app(scope, body.receive, body.send)


class _Body:
    """One body as it comes in."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.monotonic()
        self._size = 0
        self._whole = self._answered = False
        self._announced = _announced(Headers(scope=scope))

    async def receive(self) -> Message:
        """The next part. Raises HTTPException 408 or 413, or 400 for a body that ends before it is whole."""
        if self._whole:
            return await self._receive()
        stranger = "person" not in self._scope.get("state", {})
        if stranger and max(self._size, self._announced) > STRANGER_BYTES:
            raise HTTPException(413, "The body is too large.")
        lasts = STRANGER_SECONDS if stranger else GRACE_SECONDS + self._size / LEAST_RATE
        try:
            async with asyncio.timeout(self._began + lasts - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            if self._answered:
                return {"type": "http.disconnect"}
            raise HTTPException(408, "The body took too long to arrive.", {"Connection": "close"}) from None
        if message["type"] == "http.disconnect":
            if self._answered or self._scope["method"] in WITHOUT_BODY:
                return message
            raise HTTPException(400, "The body ended before it was whole.")
        self._size += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if stranger and self._size > STRANGER_BYTES:
            raise HTTPException(413, "The body is too large.")
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on; from now on nothing can be refused any more."""
        self._answered = True
        await self._send(message)


class BodyLimit(RequestBodyLimitMiddleware):
    """Starlette's limit, its plain-text answer turned into a problem document, or into a page for people."""

    def __init__(self, app: ASGIApp, max_body_size: int, of_page: Callable[[Request], Response]) -> None:
        super().__init__(app, max_body_size)
        self._of_page = of_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == 413:
                # Only Starlette's own: a page or a problem document says more.
                replaced = MutableHeaders(scope=message)["content-type"].startswith("text/plain")
                if replaced:
                    problem = Problem(413, "The body is too large.")
                    answer = problem.response() if scope["path"].startswith(API) else self._of_page(Request(scope))
                    return await answer(scope, receive, send)
            if not replaced:
                await send(message)

        await super().__call__(scope, receive, send_problem)


def _in_another_encoding(headers: Headers) -> Problem | None:
    """Why a Content-Type is not taken. Parsers of forms decode by the name that it gives, and some codecs take minutes.

    Read with the function that they use, so that both see the same name.
    """
    kinds = headers.getlist("content-type")
    if len(kinds) > 1:
        return Problem(415, "The request has several Content-Type headers. Send one.", kind="content-type")
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
    """The length that the client says; 0 for what is not a number, which the server in front refuses."""
    length = headers.get("content-length", "")
    return int(length[:18]) if length.isascii() and length.isdecimal() else 0


def _is_utf8(name: str) -> bool:
    # Not `codecs.lookup`, which imports a module by the name.
    return name.strip().lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii", "ascii")
