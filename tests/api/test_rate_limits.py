"""A gateway with limits: what it counts for whom, what it answers, and how many streams it keeps open."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import func, select
from starlette.requests import Request

from api.app import create_app
from api.http.connections import Connection
from api.http.problems import ANY_ROUTE
from api.http.rate_limits import address_of, is_stream, kind_of
from api.pages import routers
from api.services import open_streams, turns
from api.services.open_streams import OpenStreams, TooManyStreams
from api.services.turns import NoTurn, Turns
from core.settings import Settings
from core.signing_keys import make_missing_keys
from domain.rate_limits import RequestKind
from store.db.database import Database
from store.people import passwords, people, tokens
from store.tables.rate_limits import rate_limits
from tests.api.conftest import API
from tests.support.installed_app import free_port
from tests.support.migrated_database import migrated_copy

PASSWORD = "correct horse battery"
HASHED = passwords.hash_of(PASSWORD)
HOME = "http://gateway"
CASES = f"{API}/cases"


class Office:
    """A gateway with its limits, without Temporal, and people with tokens and passwords."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.db: Database = app.state.services.db

    async def somebody(self, id: str, *, token: str = "laptop") -> str:
        async with self.db.write() as conn:
            if await people.active(conn, id) is None:
                await people.add(conn, id, id.title(), ["auditors"], by="test")
                await passwords.put(conn, id, HASHED, datetime.now(UTC), by=id)
            return await tokens.make(conn, id, token, by="holdgate")

    def client(self, token: str | None = None, address: str = "192.0.2.1", **headers: str) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.app, client=(address, 1234))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            named["Authorization"] = f"Bearer {token}"
        return httpx2.AsyncClient(transport=transport, base_url=HOME, headers=named)


@asynccontextmanager
async def office(folder: Path, limits: str | None, **more: Any) -> AsyncIterator[Office]:
    settings = Settings(var=folder, public_url=HOME, demo=False, temporal_port=free_port(), rate_limits=limits, **more)
    if "database_url" not in more:
        migrated_copy(folder / "holdgate.db")
    make_missing_keys(settings)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield Office(app)


LIMITS = "searches=5/m, other=8/m, decisions=2/m"


@pytest_asyncio.fixture
async def small(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path, LIMITS) as found:
        yield found


async def statuses(client: httpx2.AsyncClient, path: str, times: int) -> list[int]:
    return [(await client.get(path)).status_code for _ in range(times)]


# ---------------------------------------------------------------------------------------------------- what is answered


async def test_the_answer_is_a_problem_with_whole_seconds_until_the_next_try(small: Office) -> None:
    async with small.client(await small.somebody("ada")) as client:
        assert await statuses(client, CASES, 5) == [200] * 5
        refused = await client.get(CASES)
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        seconds = refused.headers["Retry-After"]
        assert seconds.isdecimal() and 1 <= int(seconds) <= 12
        assert refused.json() == {
            "type": "urn:holdgate:too-many-requests",
            "title": "Too Many Requests",
            "status": 429,
            "detail": f"There were too many lists and searches with this token in a short time. "
            f"Try again in {seconds} s.",
            "limit": "searches",
        }
        assert (await client.get(f"{API}/me")).status_code == 200, "the other kinds are counted apart"
        assert 429 in ANY_ROUTE


async def test_pages_show_a_sentence_and_forms_a_message(small: Office) -> None:
    token = await small.somebody("bea")
    async with small.client(Accept="text/html") as browser:
        await browser.post("/sign-in", data={"token": token})
        for _ in range(6):
            page = await browser.get("/cases")
        assert page.status_code == 429 and page.headers["Retry-After"].isdecimal()
        assert "There were too many requests in a short time. Try again in" in page.text
        part = await browser.get("/cases", headers={"HX-Request": "true"})
        assert part.status_code == 429 and "too many requests" in part.headers["HX-Trigger"]
        assert (await browser.get("/settings")).status_code == 200


async def test_a_refused_body_is_not_read(small: Office) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(100):
            read += 1
            yield b"x" * 1000

    async with small.client(await small.somebody("cleo")) as client:
        for _ in range(2):
            assert (await client.post(f"{API}/tasks/t/claim", json={})).status_code not in (429, 500)
        assert (await client.post(f"{API}/tasks/t/claim", content=body())).status_code == 429
    assert read == 0


# ------------------------------------------------------------------------------------------------------ who is counted


async def test_each_person_has_limits_of_their_own_and_a_token_does_not_use_up_its_owner_s(small: Office) -> None:
    first, second = await small.somebody("dora"), await small.somebody("dora", token="script")
    third = await small.somebody("dora", token="phone")
    async with AsyncExitStack() as stack:
        program, laptop, phone, other = [
            await stack.enter_async_context(small.client(each))
            for each in (first, second, third, await small.somebody("emil"))
        ]
        assert await statuses(program, CASES, 7) == [200] * 5 + [429] * 2
        assert await statuses(laptop, CASES, 7) == [200] * 5 + [429] * 2
        assert await statuses(phone, CASES, 1) == [429], "a person has twice the limit of a token"
        assert (await phone.get(CASES)).json()["detail"].startswith("There were too many lists and searches of you")
        assert await statuses(other, CASES, 5) == [200] * 5


async def test_two_gateways_let_in_no_more_than_one(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "b").mkdir()
    more = {"database_url": database_url}
    async with office(tmp_path, LIMITS, **more) as one, office(tmp_path / "b", LIMITS, **more) as two:
        token = await one.somebody("fay")
        found = []
        async with one.client(token) as here, two.client(token) as there:
            for _ in range(5):
                found += [*await statuses(here, CASES, 1), *await statuses(there, CASES, 1)]
        assert sorted(found) == [200] * 5 + [429] * 5


async def test_strangers_of_an_address_are_refused_and_known_people_of_it_are_not(small: Office) -> None:
    async with small.client(await small.somebody("gus")) as known, small.client("hg_wrong") as stranger:
        assert await statuses(stranger, CASES, 12) == [401] * 8 + [429] * 4
        refused = await stranger.get(CASES)
        assert "from this network address" in refused.json()["detail"]
        assert await statuses(known, CASES, 5) == [200] * 5
    async with small.client("hg_wrong", address="192.0.2.2") as elsewhere:
        assert await statuses(elsewhere, CASES, 1) == [401]


async def test_the_identity_provider_has_a_limit_of_its_own(tmp_path: Path) -> None:
    secret = "s" * 43
    async with office(tmp_path, "scim=3/m,other=3/m", scim_token=secret) as small:
        users = "/scim/v2/Users"
        async with small.client(secret) as provider, small.client("wrong") as stranger:
            assert await statuses(stranger, users, 5) == [401] * 3 + [429] * 2
            assert await statuses(provider, users, 4) == [200] * 3 + [429]
            refused = await provider.get(users)
            assert refused.headers["content-type"] == "application/scim+json"
            assert refused.headers["Retry-After"].isdecimal() and refused.json()["status"] == "429"


async def test_off_limits_nothing(tmp_path: Path) -> None:
    async with office(tmp_path, "off") as free, free.client(await free.somebody("hal")) as client:
        assert set(await statuses(client, CASES, 60)) == {200}
        async with free.db.read() as conn:
            assert await conn.scalar(select(func.count()).select_from(rate_limits)) == 0


async def test_health_checks_and_metrics_are_never_refused(small: Office) -> None:
    async with small.client() as monitor:
        for path in ("/health/live", "/metrics", "/static/css/app.css"):
            assert 429 not in await statuses(monitor, path, 20)


# ------------------------------------------------------------------------------------------------------------- sign-in


async def failed(client: httpx2.AsyncClient, name: str) -> int:
    return (await client.post("/sign-in", data={"name": name, "password": "wrong password"})).status_code


async def test_31_wrong_sign_ins_of_an_address_lock_nobody_else_out(small: Office) -> None:
    await small.somebody("ines")
    async with small.client() as attacker, small.client() as office_mate:
        assert {await failed(attacker, f"name-{number}") for number in range(31)} == {401}
        answer = await office_mate.post("/sign-in", data={"name": "ines", "password": PASSWORD})
        assert answer.status_code == 303


async def test_31_wrong_sign_ins_as_one_person_stop_only_this_person_s_password(small: Office) -> None:
    token = await small.somebody("jana")
    await small.somebody("karl")
    async with small.client() as browser:
        assert {await failed(browser, "jana") for _ in range(31)} == {401}
        by_password = await browser.post("/sign-in", data={"name": "jana", "password": PASSWORD})
        assert by_password.status_code == 401 and "Too many failed sign-ins" in by_password.text
        assert (await browser.post("/sign-in", data={"token": token})).status_code == 303
        browser.cookies.clear()
        assert (await browser.post("/sign-in", data={"name": "karl", "password": PASSWORD})).status_code == 303


async def test_only_failed_sign_ins_count(tmp_path: Path) -> None:
    async with office(tmp_path, "sign-in=5/m") as small, small.client() as browser:
        await small.somebody("lena")
        for _ in range(8):
            answer = await browser.post("/sign-in", data={"name": "lena", "password": PASSWORD})
            assert answer.status_code == 303
            browser.cookies.clear()
        assert [await failed(browser, f"nobody-{number}") for number in range(6)].index(429) in (4, 5)
        assert (await browser.post("/sign-in", data={"name": "lena", "password": PASSWORD})).status_code == 429


@pytest.mark.parametrize(
    "client, counted",
    [
        (("192.0.2.7", 1), "192.0.2.7"),
        (("2001:db8:1:2:3:4:5:6", 1), "2001:db8:1:2::/64"),
        (("::ffff:192.0.2.7", 1), "::ffff:192.0.2.7"),
        (None, ""),
        (("a socket", 1), "a socket"),
    ],
)
def test_an_address_of_ipv6_counts_by_its_network(client: Any, counted: str) -> None:
    assert address_of(Request({"type": "http", "client": client, "headers": []})) == counted


# --------------------------------------------------------------------------------------------------- kinds of requests

KINDS = {
    RequestKind.DECISIONS: "POST /api/v1/tasks/t1/decision, POST /api/v1/tasks/decisions, "
    "PUT /api/v1/tasks/t/follow-up, POST /tasks/t1/decide, "
    "POST /tasks/t1/act, POST /bulk, POST /api/v1/incidents/decisions, POST /incidents/g",
    RequestKind.STARTS: "POST /api/v1/cases, POST /new/payment, POST /api/v1/cases/p:1/start, POST /cases/c/start",
    RequestKind.UPLOADS: "POST /api/v1/batches, POST /upload, POST /upload/abc, POST /api/v1/cases/c/attachments, "
    "POST /cases/c/attach",
    RequestKind.SEARCHES: "GET /, HEAD /, GET /cases, GET /api/v1/cases, GET /api/v1/tasks, GET /api/v1/audit, "
    "GET /api/v1/audit/pack, GET /audit/pack, GET /api/v1/dashboard, GET /dashboard, GET /api/v1/batches/b/rows, "
    "GET /people, GET /api/v1/people, GET /requests, GET /api/v1/ledger/entries, GET /upload/abc",
    RequestKind.SIGN_IN: "POST /sign-in, POST /sign-in/passkey, GET /sign-in/oidc/callback, POST /link, "
    "POST /sign-in/oidc/connect",
    RequestKind.SCIM: "GET /scim/v2/Users, PATCH /scim/v2/Users/1",
    RequestKind.CODEC: "POST /codec/decode, POST /codec/encode",
    RequestKind.OTHER: "GET /sign-in, GET /sign-in/oidc, "
    "GET /link, GET /api/v1/cases/c, GET /api/v1/me, POST /settings/x, GET /tasks/t, "
    "POST /api/v1/people, POST /api/v1/cases/c/comments, GET /nothing, POST /apix/v1/cases, "
    "GET /events, GET /api/v1/events, GET /batches/b/events, GET /api/v1/batches/b/events",
}


@pytest.mark.parametrize("kind, request_", [(kind, each) for kind, text in KINDS.items() for each in text.split(", ")])
def test_each_request_has_its_kind(kind: RequestKind, request_: str) -> None:
    assert kind_of(*request_.split(" ")) == kind


def test_only_streams_take_no_turn() -> None:
    """A new route takes a turn without anybody thinking of it."""
    routes = [each for router in (routers.router, routers.uploads, routers.attachments) for each in all_routes(router)]
    assert len(routes) > 60
    free = [route.path for route in routes for method in route.methods or () if is_stream(method, filled(route.path))]
    assert sorted(free) == ["/batches/{batch_id}/events", "/events"]


def all_routes(router: Any) -> list[APIRoute]:
    found = []
    for route in router.routes:
        found += [route] if isinstance(route, APIRoute) else all_routes(route.original_router)
    return found


def filled(path: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


# --------------------------------------------------------------------------------------------------- turns and streams


async def test_a_person_has_few_requests_at_work_and_the_others_wait_in_order() -> None:
    line, done, at_work = Turns(), [], 0
    most = 0

    async def work(number: int, person: str) -> None:
        nonlocal at_work, most
        async with line.turn(person):
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.001)
            at_work -= 1
            done.append(number)

    await asyncio.gather(*(work(number, "ada") for number in range(40)))
    assert most == turns.AT_ONCE and done == sorted(done)
    assert not line._lines


async def test_too_many_requests_at_the_same_time_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.05)
    line, release = Turns(), asyncio.Event()

    async def work() -> None:
        async with line.turn("ada"):
            await release.wait()

    working = [asyncio.create_task(work()) for _ in range(turns.AT_ONCE + turns.MOST_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(NoTurn):
        async with line.turn("ada"):
            pass
    async with line.turn("bea"):
        pass
    await asyncio.sleep(0.1)
    release.set()
    ended = await asyncio.gather(*working, return_exceptions=True)
    assert [type(each) for each in ended] == [type(None)] * turns.AT_ONCE + [NoTurn] * turns.MOST_WAITING
    assert not line._lines


def test_streams_are_bounded_for_a_person_an_address_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_streams, "FOR_AN_ADDRESS", 30)
    streams = OpenStreams()
    with ExitStack() as opened:
        for _ in range(open_streams.FOR_A_PERSON):
            opened.enter_context(streams.one("ada", "192.0.2.1"))
        with pytest.raises(TooManyStreams, match="You have 20 open streams"), streams.one("ada", "192.0.2.9"):
            pass
        for number in range(10):
            opened.enter_context(streams.one(f"p{number}", "192.0.2.1"))
        with pytest.raises(TooManyStreams, match="This network address has 30"), streams.one("bea", "192.0.2.1"):
            pass
        monkeypatch.setattr(Connection, "most", 40)
        opened.enter_context(streams.one("bea", "192.0.2.2"))
        opened.enter_context(streams.one("bea", "192.0.2.2"))
        with pytest.raises(TooManyStreams, match="This gateway has 32"), streams.one("cleo", "192.0.2.3"):
            pass
    assert not len(streams) and not streams._open


async def test_a_stream_too_many_is_a_problem_and_opening_one_counts_as_a_request(
    small: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_streams, "FOR_A_PERSON", 2)
    small.app.state.services.live.close()  # so that a stream ends at once: the transport of tests waits for its end
    token = await small.somebody("mia")
    async with small.client(token) as client:
        assert await statuses(client, f"{API}/events", 5) == [200] * 5
        assert not len(small.app.state.services.live.streams)
        with (
            small.app.state.services.live.streams.one("mia", "192.0.2.1"),
            small.app.state.services.live.streams.one("mia", "192.0.2.1"),
        ):
            refused = await client.get(f"{API}/events")
        assert refused.status_code == 429 and refused.json()["limit"] == "streams"
        assert refused.headers["Retry-After"] == "30"
        assert 429 in await statuses(client, f"{API}/batches/none/events", 4), "8 others in a minute"
        assert (await client.get(CASES)).status_code == 200
