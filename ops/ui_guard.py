"""A proxy for Temporal's Web UI.

The Web UI does not check `Host`, so without the proxy a page of another site could read and end cases.

The proxy listens on `HOLDGATE_UI_PORT`. The proxy accepts only requests for a name of this machine, and changes only
from pages of the UI. The proxy passes accepted requests on to the hidden address of the UI, see `ops.hidden_addresses`.
Bodies are streamed.

With encryption, the UI asks the codec server for the payloads of a case at its own origin, and the proxy passes these
requests on to the gateway, with the cookie of the person who is signed in to the pages in the same browser. Browsers
keep the cookies of each host apart, but not those of each port. So the proxy moves a browser that opens the UI by
another name of this machine to the name that the pages have.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import httpx2
import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from core.settings import is_loopback
from ops.hidden_addresses import LOOPBACK, HiddenAddresses

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
MOST_BYTES = 4 * 1024 * 1024
"""The maximum size of the body of a request, in bytes. The UI sends a few kilobytes."""
MOST_AT_ONCE = 200
SILENT_FOR = 90.0
"""An answer of the UI ends after this number of seconds without a byte.

The UI waits up to 20 s for changes of a case.
"""
_OF_CONNECTION = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
_BODIED = frozenset({"content-length", "transfer-encoding"})
_FOR_OTHERS = re.compile("access-control-")
"""Headers of answers with which pages of other sites could read these answers. The proxy removes the headers."""


CODEC = "/codec"
"""The path of the codec server, at the origin of the UI and at the gateway."""
_OF_CODEC = (b"content-type", b"content-length", b"x-namespace", b"origin", b"authorization")
"""The headers of a request to the codec server that the gateway gets, besides the cookie of its pages."""


@dataclass(frozen=True)
class Codec:
    """Where payloads are decoded."""

    gateway_url: str
    """The URL of the gateway on this machine."""
    host: str
    """The host name of the gateway's pages, for which browsers keep the cookie of a session."""


class UiGuard:
    """The proxy for the Web UI at the address in `hidden`. The proxy listens from `start` to `stop`."""

    def __init__(self, port: int, hidden: HiddenAddresses, codec: Codec | None = None) -> None:
        """`codec` is None if payloads are not encrypted."""
        self._port = port
        self._hidden = hidden
        self._codec = codec
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start to listen. Raises OSError if the port is in use."""
        listener = socket.create_server((LOOPBACK, self._port), backlog=128)
        config = uvicorn.Config(
            self._answer,
            ws="none",  # the UI has no WebSockets
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,  # the header of the UI is passed on
            proxy_headers=False,
            lifespan="off",
            interface="asgi3",
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=1,
        )
        timeout = httpx2.Timeout(SILENT_FOR, connect=5.0)
        limits = httpx2.Limits(max_connections=MOST_AT_ONCE, keepalive_expiry=30)
        self._client = httpx2.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="web ui")

    async def stop(self) -> None:
        """Stop to listen, and end all running answers."""
        if self._server and self._serving:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
            await self._client.aclose()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if no := self._refusal(request):
            await no(scope, receive, send)
            return
        try:
            await self._pass_on(request, send)
        except ClientDisconnect:
            return
        except httpx2.InvalidURL:  # `*`, a whole address, the authority of CONNECT, a fragment, or a very long one
            await PlainTextResponse("This request names no path of the Web UI.\n", 400)(scope, receive, send)
        except httpx2.TransportError:
            said = "Temporal's Web UI does not answer now. Try again in a moment.\n"
            with contextlib.suppress(RuntimeError):  # the answer has begun and ends early
                await PlainTextResponse(said, 502)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused; None for one that is passed on."""
        host = request.headers.get("host", "")
        name, _, port = host.rpartition(":")
        if not (is_loopback(name) and port == str(self._port)):
            said = f"This is Temporal's Web UI of this machine. Open it at http://127.0.0.1:{self._port}\n"
            return PlainTextResponse(said, 403)
        if request.method not in SAFE:
            origin = request.headers.get("origin")
            foreign = origin is not None and origin != f"http://{host}"
            if foreign or request.headers.get("sec-fetch-site") not in {None, "same-origin", "none"}:
                return PlainTextResponse("This request was sent by a page of another site.\n", 403)
        if int(request.headers.get("content-length", "0")) > MOST_BYTES:
            return PlainTextResponse("This request is too large.\n", 413)
        if self._codec and name != self._codec.host and request.headers.get("sec-fetch-mode") == "navigate":
            return RedirectResponse(str(request.url.replace(hostname=self._codec.host)), 307)
        return None

    async def _pass_on(self, request: Request, send: Send) -> None:
        target = request.scope["raw_path"]
        if query := request.scope["query_string"]:
            target += b"?" + query
        if self._codec and request.url.path.startswith(f"{CODEC}/"):
            base, headers = self._codec.gateway_url, _for_codec(request)
        else:
            base, headers = f"http://{self._hidden.ui_host}:{self._hidden.ui_port}", _asked(request)
        url = httpx2.URL(base).copy_with(raw_path=target)
        body = _body(request) if _BODIED.intersection(request.headers) else None
        # Not the client's `build_request`: it adds headers that the browser did not send, such as for compression.
        asked = httpx2.Request(request.method, url, headers=headers, content=body)
        answer = await self._client.send(asked, stream=True)
        try:
            headers = [(name, value) for name, value in answer.headers.raw if _passes(name)]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.aiter_raw():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await answer.aclose()


class _Server(uvicorn.Server):
    """A server that does not handle signals, because `make up` handles them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _passes(name: bytes) -> bool:
    low = name.decode("latin-1").lower()
    return low not in _OF_CONNECTION and not _FOR_OTHERS.match(low)


def _asked(request: Request) -> list[tuple[bytes, bytes]]:
    headers = []
    for name, value in request.headers.raw:
        if name == b"cookie":  # browsers send a machine's cookies to all of its ports
            value = _cookies(value, ours=False)
        if _passes(name) and value:
            headers.append((name, value))
    return headers


def _for_codec(request: Request) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in request.headers.raw if name in _OF_CODEC]
    cookies = [_cookies(value, ours=True) for name, value in request.headers.raw if name == b"cookie"]
    return headers + [(b"cookie", value) for value in cookies if value]


def _cookies(cookies: bytes, *, ours: bool) -> bytes:
    """Return the cookies of the gateway, or those of all other programs."""
    kept = [each for each in cookies.split(b";") if (b"holdgate" in each.partition(b"=")[0]) is ours]
    return b";".join(kept).strip()


async def _body(request: Request) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > MOST_BYTES:
            raise ClientDisconnect
        yield chunk
