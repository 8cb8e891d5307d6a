"""The guard of Temporal's Web UI: who can pass, what the guard changes, and that the guard stores nothing."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx2
import psutil
import pytest
import pytest_asyncio
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from ops.hidden_addresses import LOOPBACK, PORTS, HiddenAddresses
from ops.ui_guard import MOST_BYTES, Codec, UiGuard
from tests.support.installed_app import free_port

PIECE = b"x" * 65536
PIECES = 1600
"""A hundred megabytes together."""


@dataclass
class Upstream:
    """A server that checks nothing, as the Web UI does."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.url.path == "/long":
            answer: PlainTextResponse | StreamingResponse = StreamingResponse(self._pieces())
        else:
            body = await request.body()
            target = scope["raw_path"].decode() + "?" + scope["query_string"].decode()
            self.seen.append((request.method, target, dict(request.headers), body))
            headers = {"Access-Control-Allow-Origin": "*", "X-Custom": "kept", "Set-Cookie": "_csrf=1; Path=/"}
            answer = PlainTextResponse("answered", 201, headers)
        await answer(scope, receive, send)

    async def _pieces(self) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            self.sent += 1
            yield PIECE


@dataclass
class Guarded:
    port: int
    upstream: Upstream
    hidden: HiddenAddresses
    server: uvicorn.Server

    def client(self, name: str = "127.0.0.1") -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", headers={"Host": f"{name}:{self.port}"})


@pytest_asyncio.fixture
async def guarded() -> AsyncIterator[Guarded]:
    upstream, hidden, port = Upstream(), HiddenAddresses(), free_port()
    hidden.choose()
    config = uvicorn.Config(upstream, host=hidden.ui_host, port=hidden.ui_port, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    guard = UiGuard(port, hidden)
    await guard.start()
    while not server.started:
        await asyncio.sleep(0.01)
    yield Guarded(port, upstream, hidden, server)
    server.should_exit = True
    await guard.stop()
    await serving


async def test_only_names_of_this_machine_with_this_port_get_through(guarded: Guarded) -> None:
    port = guarded.port
    async with guarded.client() as client:
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}", f"127.1:{port}"):
            assert (await client.get("/", headers={"Host": host})).status_code == 201, host
        wrong = ["evil.example", "127.0.0.1", "localhost", "127.0.0.1:1", f"10.0.0.5:{port}", "", "[", f":{port}"]
        wrong += [
            f"{name}:{port}" for name in ("evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "a@[::1]")
        ]
        for host in wrong:
            refused = await client.get("/api/v1/namespaces", headers={"Host": host})
            assert refused.status_code == 403 and f"http://127.0.0.1:{port}" in refused.text, host
    assert len(guarded.upstream.seen) == 4


async def test_what_is_no_path_is_refused(guarded: Guarded) -> None:
    for method, target in (
        ("OPTIONS", "*"),
        ("CONNECT", "127.0.0.1:80"),
        ("GET", "http://evil.example/"),
        ("GET", "/a#b"),
        ("GET", "@evil.example"),
        ("GET", "\\"),
        ("GET", "/" + "a" * 70_000),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", guarded.port)
        head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{guarded.port}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode())
        assert (await reader.readline()).startswith(b"HTTP/1.1 400"), (method, target[:20])
        writer.close()
    assert guarded.upstream.seen == []


async def test_changes_are_taken_from_pages_of_the_ui_only(guarded: Guarded) -> None:
    home = f"http://127.0.0.1:{guarded.port}"
    async with guarded.client() as client:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            for headers in (
                {"Origin": "http://evil.example"},
                {"Origin": "null"},
                {"Origin": "http://["},
                {"Origin": "http://127.0.0.1:1"},
                {"Origin": f"http://localhost:{guarded.port}"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Sec-Fetch-Site": "same-site", "Origin": home},
            ):
                assert (await client.request(method, "/api/v1/x", headers=headers)).status_code == 403, headers
        assert guarded.upstream.seen == []
        for headers in ({"Origin": home, "Sec-Fetch-Site": "same-origin"}, {"Origin": home}, {}):
            assert (await client.post("/api/v1/x", headers=headers, content=b"body")).status_code == 201
    assert [body for _, _, _, body in guarded.upstream.seen] == [b"body"] * 3


async def test_paths_headers_and_answers_go_through_as_they_are(guarded: Guarded) -> None:
    async with guarded.client() as client:
        path = "/namespaces/default/workflows/payment%3Ainv-1%2F2?query=a%20b%2Bc&x="
        cookies = "holdgate=session; _csrf=1; __Host-holdgate-demo=secret; theme=dark"
        answer = await client.get(path, headers={"Cookie": cookies, "Accept-Encoding": "identity"})
    method, target, headers, _ = guarded.upstream.seen[0]
    assert (method, target) == ("GET", path)
    assert headers["cookie"] == "_csrf=1; theme=dark", "cookies of the pages are not for the Web UI"
    assert headers["accept-encoding"] == "identity"
    assert headers["host"] == f"127.0.0.1:{guarded.port}"
    assert (answer.status_code, answer.text, answer.headers["x-custom"]) == (201, "answered", "kept")
    assert answer.headers["set-cookie"] == "_csrf=1; Path=/"
    assert "access-control-allow-origin" not in answer.headers


async def test_a_long_answer_is_read_no_faster_than_it_is_taken(guarded: Guarded) -> None:
    before = psutil.Process().memory_info().rss
    async with guarded.client() as client, client.stream("GET", "/long") as answer:
        pieces = answer.aiter_raw()
        await anext(pieces)
        await asyncio.sleep(0.5)
        assert guarded.upstream.sent < PIECES / 2, "all of it was read ahead"
        assert psutil.Process().memory_info().rss - before < 50 * 1024 * 1024
        rest = [len(piece) async for piece in pieces]
    assert sum(rest) > (PIECES - 32) * len(PIECE)


async def test_too_large_a_request_is_refused_also_when_it_does_not_say_how_large(guarded: Guarded) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    async with guarded.client() as client:
        refused = await client.post("/x", content=b"x" * (MOST_BYTES + 1))
        assert refused.status_code == 413 and "too large" in refused.text
        with pytest.raises(httpx2.TransportError):
            await client.post("/x", content=endless())
    assert guarded.upstream.seen == []


async def test_while_the_ui_is_away_the_guard_says_so(guarded: Guarded) -> None:
    guarded.hidden.ui_port = free_port()
    async with guarded.client() as client:
        answer = await client.get("/")
    assert answer.status_code == 502 and "does not answer now" in answer.text


def test_hidden_ports_are_free_and_differ_from_each_other() -> None:
    hidden = HiddenAddresses()
    for _ in range(20):
        hidden.choose()
        assert hidden.ui_port in PORTS and hidden.metrics_port in PORTS
        with (
            socket.create_server((hidden.ui_host, hidden.ui_port)),
            socket.create_server((LOOPBACK, hidden.metrics_port)),
        ):
            pass


@pytest_asyncio.fixture
async def decoding(guarded: Guarded) -> AsyncIterator[Guarded]:
    """A guard whose pages get payloads decoded by another server, as with encryption."""
    gateway, listener = Upstream(), socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(gateway, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    port = free_port()
    guard = UiGuard(port, guarded.hidden, Codec(f"http://127.0.0.1:{listener.getsockname()[1]}", "localhost"))
    await guard.start()
    while not server.started:
        await asyncio.sleep(0.01)
    yield Guarded(port, gateway, guarded.hidden, server)
    server.should_exit = True
    await guard.stop()
    await serving


async def test_only_the_codec_goes_to_the_gateway_with_the_session_alone(decoding: Guarded, guarded: Guarded) -> None:
    origin = f"http://localhost:{decoding.port}"
    headers = {"Cookie": "other=1; holdgate=secret; __Host-holdgate=s", "Origin": origin, "X-Namespace": "default"}
    async with decoding.client("localhost") as client:
        answer = await client.post("/codec/decode?preserveStorageRefs=true", content=b"{}", headers=headers)
        await client.post("/api/v1/codec/decode", content=b"{}", headers=headers)
    assert answer.status_code == 201 and "access-control-allow-origin" not in answer.headers
    ((method, target, seen, body),) = decoding.upstream.seen
    assert (method, target, body) == ("POST", "/codec/decode?preserveStorageRefs=true", b"{}")
    assert seen["cookie"] == "holdgate=secret; __Host-holdgate=s"
    assert (seen["origin"], seen["x-namespace"]) == (origin, "default")
    assert {*seen} <= {"cookie", "origin", "x-namespace", "host", "content-length", "content-type"}
    ((_, target, seen, _),) = guarded.upstream.seen
    assert target.startswith("/api/v1/codec/decode") and seen["cookie"] == "other=1"


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "same-site"}])
async def test_the_codec_gets_no_request_of_another_site(decoding: Guarded, headers: dict[str, str]) -> None:
    async with decoding.client("localhost") as client:
        assert (await client.post("/codec/decode", content=b"{}", headers=headers)).status_code == 403
    assert decoding.upstream.seen == []


@pytest.mark.parametrize("path", ["/namespaces/default/workflows/x?a=1", "//evil.example/", "/"])
async def test_a_browser_is_moved_to_the_name_of_the_pages(decoding: Guarded, path: str) -> None:
    navigates = {"Sec-Fetch-Mode": "navigate"}
    async with decoding.client("127.0.0.1") as client:
        answer = await client.get(f"http://127.0.0.1:{decoding.port}{path}", headers=navigates)
        assert answer.status_code == 307
        assert answer.headers["location"] == f"http://localhost:{decoding.port}{path}"
        assert (await client.get("/", headers={"Sec-Fetch-Mode": "cors"})).status_code == 201
    async with decoding.client("localhost") as client:
        assert (await client.get("/", headers=navigates)).status_code == 201


async def test_a_guard_without_encryption_moves_nobody(guarded: Guarded) -> None:
    async with guarded.client() as client:
        assert (await client.get("/", headers={"Sec-Fetch-Mode": "navigate"})).status_code == 201
        await client.post("/codec/decode", content=b"{}")
    assert len(guarded.upstream.seen) == 2
