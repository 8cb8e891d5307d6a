"""Signing in to the demo works only by the link of `make up` on this machine, and ends with the demo."""

import itertools
import json
import logging
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from api.app import create_app
from api.http.callers import COOKIE
from api.services.demo_people import COOKIE as SECRET_COOKIE, SHORTEST
from core import demo_people as demo_people_people_and_money, logs
from core.settings import Settings
from core.signing_keys import make_missing_keys
from ops.demo import people_and_money
from store.audit import audit_log
from store.db.database import Database
from store.people import demo_people, leavers, passwords, people, tokens as access_tokens

HOME = "http://127.0.0.1:8000"
PASSWORD = "correct horse battery"


@dataclass
class Running:
    """A state folder in which the demo ran, and gateways on it."""

    folder: Path
    database: Database
    tokens: dict[str, str]

    @property
    def secret(self) -> str:
        return (self.folder / "demo-secret").read_text().strip()

    @asynccontextmanager
    async def gateway(self, **settings: Any) -> AsyncIterator[Any]:
        made = Settings(var=self.folder, **settings)
        make_missing_keys(made)
        app = create_app(made)
        async with app.router.lifespan_context(app):
            yield app

    @asynccontextmanager
    async def browser(self, home: str = HOME, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
        async with (
            self.gateway(**settings) as app,
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=home) as client,
        ):
            yield client


@pytest_asyncio.fixture(scope="module")
async def furnished(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A state folder to copy: making all these people takes longer than most tests here."""
    settings = Settings(var=tmp_path_factory.mktemp("furnished"))
    shutil.copy(sqlite_template, settings.var / "holdgate.db")
    database = Database(settings.database_url)
    await people_and_money.create_demo(database, settings.demo_tokens)
    people_and_money.secret(settings.demo_secret)
    await database.close()
    return settings.var


@pytest_asyncio.fixture
async def running(furnished: Path, tmp_path: Path) -> AsyncIterator[Running]:
    folder = shutil.copytree(furnished, tmp_path / "var")
    settings = Settings(var=folder)
    database = Database(settings.database_url)
    yield Running(folder, database, json.loads(settings.demo_tokens.read_text()))
    await database.close()


async def clicked(client: httpx2.AsyncClient, **headers: str) -> httpx2.Response:
    return await client.post("/sign-in", data={"demo": "admin-1"}, headers=headers)


async def test_the_link_opens_the_list_of_demo_people_and_each_is_one_click_away(running: Running) -> None:
    async with running.browser() as client:
        opened = await client.get("/sign-in", params={"demo": running.secret})
        assert (opened.status_code, opened.headers["location"]) == (303, "/sign-in")
        cookie = opened.headers["set-cookie"].lower()
        assert cookie.startswith(f"{SECRET_COOKIE}=") and "httponly" in cookie and "samesite=strict" in cookie
        page = await client.get("/sign-in")
        assert re.findall(r'name="demo" value="([\w-]+)"', page.text) == list(demo_people_people_and_money.PEOPLE)
        assert running.secret not in page.text
        assert (await clicked(client)).status_code == 303
        assert 'data-person="admin-1"' in (await client.get("/")).text


async def test_a_session_ends_with_the_secret_of_the_link_that_began_it(running: Running) -> None:
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        await clicked(client)
        assert (await client.get("/")).status_code == 200
        file = running.folder / "demo-secret"
        for secret in ("x" * SHORTEST, ""):
            file.write_text(secret)
            gone = await client.get("/")
            assert gone.status_code != 200 or 'data-person="admin-1"' not in gone.text


async def test_without_the_secret_nobody_is_signed_in_and_the_page_says_where_the_link_is(running: Running) -> None:
    async with running.browser() as client:
        for cookie in ("", "x", "hg_guess", "\u00fc", "a" * 4000, None):
            headers = {} if cookie is None else {b"Cookie": f"{SECRET_COOKIE}={cookie}".encode()}
            refused = await client.post("/sign-in", data={"demo": "admin-1"}, headers=headers)
            assert refused.status_code == 401
        assert "open the link that &#39;make up&#39; printed" in refused.text and "up.json" in refused.text
        assert COOKIE not in client.cookies
        page = await client.get("/")
        assert "make up" in page.text and 'value="admin-1"' not in page.text


async def test_a_wrong_link_is_refused_and_locks_nothing(running: Running) -> None:
    async with running.browser() as client:
        for wrong in (
            "",
            "x",
            running.secret[:-1],
            running.secret + "x",
            running.secret.swapcase(),
            "\ud800",
            "[" * 99,
        ):
            params = {"demo": wrong.encode(errors="surrogatepass")}
            refused = await client.get("/sign-in", params=params)
            assert refused.status_code == 401 and "set-cookie" not in refused.headers
        client.cookies.set(SECRET_COOKIE, "wrong", domain="127.0.0.1")
        assert (await clicked(client)).status_code == 401
        assert (await client.post("/sign-in", data={"token": running.tokens["manager-1"]})).status_code == 303
        client.cookies.clear()
        assert (await client.get("/sign-in", params={"demo": running.secret})).status_code == 303
        assert (await clicked(client)).status_code == 303


FORWARDING = ["X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Server"]


async def test_with_the_secret_and_through_a_proxy_nobody_is_signed_in(running: Running) -> None:
    async with running.browser() as client:
        for header in FORWARDING:
            secret = {"Cookie": f"{SECRET_COOKIE}={running.secret}", header: "1"}
            assert (await clicked(client, **secret)).status_code == 401
            assert (await client.get("/sign-in", params={"demo": running.secret}, headers=secret)).status_code == 401
            assert 'value="admin-1"' not in (await client.get("/", headers=secret)).text


async def test_while_the_demo_is_on_the_gateway_answers_to_names_of_this_machine_only(running: Running) -> None:
    async with running.browser() as client:
        for host in ("evil.example:8000", "gateway", "10.0.0.5", "localhost.evil.example", "[", ""):
            headers = {"Cookie": f"{SECRET_COOKIE}={running.secret}", "Host": host, "Accept": "text/html"}
            answers = [await clicked(client, **headers)]
            for path in ("/", "/metrics", "/api/v1/me", "/openapi.json"):
                answers.append(await client.get(path, headers=headers))
            assert [answer.status_code for answer in answers] == [421] * 5, host
            assert "HOLDGATE_DEMO=0" in answers[0].text


async def test_every_name_of_this_machine_will_do(running: Running) -> None:
    async with running.gateway() as app:
        for home in (HOME, "http://localhost:8000", "http://[::1]:8000", "http://localhost:9000"):
            async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=home) as client:
                await client.get("/sign-in", params={"demo": running.secret})
                assert (await clicked(client, Origin=home)).status_code == 303


async def test_the_secret_is_read_from_its_file_by_each_gateway_and_a_lost_one_opens_nothing(running: Running) -> None:
    async with running.browser() as one, running.browser() as other:
        file, old = running.folder / "demo-secret", running.secret
        file.unlink()
        for client in (one, other):
            assert (await client.get("/sign-in", params={"demo": old})).status_code == 401
        for short in ("", "\n", old[: SHORTEST - 1]):
            file.write_text(short)
            for given in (short, short.strip()):
                assert (await one.get("/sign-in", params={"demo": given})).status_code == 401
                assert (await clicked(one, Cookie=f"{SECRET_COOKIE}={given}")).status_code == 401
        file.unlink()
        new = people_and_money.secret(file)
        assert new != old
        for client in (one, other):
            assert (await client.get("/sign-in", params={"demo": old})).status_code == 401
            assert (await client.get("/sign-in", params={"demo": new})).status_code == 303


def test_the_secret_stays_the_same_unless_others_could_read_it(tmp_path: Path) -> None:
    file = tmp_path / "demo-secret"
    first = people_and_money.secret(file)
    assert file.stat().st_mode & 0o777 == 0o600 and len(first) >= SHORTEST
    assert people_and_money.secret(file) == first
    file.chmod(0o644)
    second = people_and_money.secret(file)
    assert second != first and file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"\xff\xfe")
    assert people_and_money.secret(file) not in (first, second)


async def test_the_secret_stands_in_no_log_and_on_no_page(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        pages = [await client.get("/sign-in", params={"demo": running.secret + "x"}), await client.get("/")]
        await clicked(client, Referer=f"{HOME}/sign-in?demo={running.secret}")
        pages += [await client.get("/", headers={"Referer": f"{HOME}/sign-in?demo={running.secret}"})]
        pages += [await client.get("/no/such", headers={"Accept": "text/html"})]
    logs.configure("console")
    assert any("answered" in record.getMessage() for record in caplog.records)
    told = [str(record.__dict__) for record in caplog.records if record.name.startswith(("holdgate", "uvicorn"))]
    assert not [line for line in told + [page.text for page in pages] if running.secret in line]


# -------------------------------------------------------------------------------------------------- the demo is off


@pytest.mark.parametrize("dismissed", [True, False], ids=["let go", "still there"])
async def test_whatever_opened_as_a_demo_person_is_refused_with_the_reason(running: Running, dismissed: bool) -> None:
    async with running.database.write() as conn:
        await passwords.put(conn, "manager-1", passwords.hash_of(PASSWORD), datetime.now(UTC), by="admin-1")
        await people.add(conn, "real", "Real", ["managers"], by="admin-1")
        real = await access_tokens.make(conn, "real", "mine", by="admin-1")
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        assert (await clicked(client)).status_code == 303
        cookies = dict(client.cookies)
    off: dict[str, Any] = {"demo": False}
    async with running.browser(**off) as client:
        if not dismissed:  # a database that could not be written when the gateway started
            await people_and_money.create_demo(running.database, running.folder / "demo-tokens.json")
            tokens: dict[str, str] = json.loads((running.folder / "demo-tokens.json").read_text())
        else:
            tokens = running.tokens
        for token in tokens.values():
            answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401 and "the demo is off" in answer.json()["detail"]
            page = await client.get("/", headers={"Authorization": f"Bearer {token}"})
            assert "the demo is off" in page.text
            assert "the demo is off" in (await client.post("/sign-in", data={"token": token})).text
        if dismissed:
            page = await client.get("/", headers={"Cookie": f"{COOKIE}={cookies[COOKIE]}"})
            assert "Sign in" in page.text and "the demo is off" in page.text
        for name in ("manager-1", "manager-1@example.org"):
            refused = await client.post("/sign-in", data={"name": name, "password": PASSWORD})
            assert refused.status_code == 401 and "the demo is off" in refused.text
        cookie = {"Cookie": f"{SECRET_COOKIE}={running.secret}"}
        assert (await clicked(client, **cookie)).status_code == 401
        assert (await client.get("/sign-in", params={"demo": running.secret})).status_code == 401
        assert 'value="admin-1"' not in (await client.get("/", headers=cookie)).text
        answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {real}"})
        assert answer.json()["id"] == "real", "who was not made by the demo stays"


async def test_a_deactivated_person_decides_nothing_and_the_audit_log_says_so(running: Running) -> None:
    directory = people.PeopleDirectory(running.database)
    assert {each.id for each in await directory.candidates(["managers"], ["director-1"])} > {"manager-1", "director-1"}
    assert await demo_people.dismiss_all(running.database, by="holdgate") == len(demo_people_people_and_money.PEOPLE)
    assert await directory.candidates(["managers", "admins"], list(demo_people_people_and_money.PEOPLE)) == []
    assert await demo_people.dismiss_all(running.database, by="holdgate") == 0
    async with running.database.read() as conn:
        events = [event for event in await audit_log.page(conn, "") if event.kind == "person_deactivated"]
    assert {event.data["person"] for event in events} == set(demo_people_people_and_money.PEOPLE)


async def test_the_demo_turned_on_again_has_its_people_again_and_old_sessions_stay_closed(running: Running) -> None:
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        await clicked(client)
        session = client.cookies[COOKIE]
    await demo_people.dismiss_all(running.database, by="holdgate")
    present = await people_and_money.create_demo(running.database, running.folder / "demo-tokens.json")
    assert {person.id: person.groups for person in present} == {
        id: [group] for id, group in demo_people_people_and_money.PEOPLE.items()
    }
    async with running.browser() as client:
        assert 'data-person=""' in (await client.get("/", headers={"Cookie": f"{COOKIE}={session}"})).text
        for person in present:
            answer = await client.get("/api/v1/me", headers={"Authorization": f"Bearer {person.token}"})
            assert answer.json()["id"] == person.id


async def test_an_admin_takes_a_demo_person_over_by_bringing_them_back(running: Running) -> None:
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        await client.post("/sign-in", data={"demo": "manager-1"})
        session = client.cookies[COOKIE]
    await demo_people.dismiss_all(running.database, by="holdgate")
    async with running.database.write() as conn:
        await leavers.reactivate(conn, "manager-1", ["managers"], by="cli:root")
        token = await access_tokens.make(conn, "manager-1", "mine", by="cli:root")
    async with running.browser(demo=False) as client:
        told = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/api/v1/me", headers=told)).json()["groups"] == ["managers"]
        old = {"Authorization": f"Bearer {running.tokens['manager-1']}"}
        assert (await client.get("/api/v1/me", headers=old)).status_code == 401
        assert "Sign in" in (await client.get("/", headers={"Cookie": f"{COOKIE}={session}"})).text
    present = await people_and_money.create_demo(running.database, running.folder / "demo-tokens.json")
    assert "manager-1" not in {person.id for person in present}, "with the demo on again they are nobody of it"
    async with running.browser() as client:
        await client.get("/sign-in", params={"demo": running.secret})
        assert (await client.post("/sign-in", data={"demo": "manager-1"})).status_code == 401


async def test_an_id_of_the_demo_that_is_somebodys_already_is_left_to_them(
    tmp_path: Path, sqlite_template: Path
) -> None:
    settings = Settings(var=tmp_path)
    shutil.copy(sqlite_template, tmp_path / "holdgate.db")
    database = Database(settings.database_url)
    async with database.write() as conn:
        await people.add(conn, "admin-1", "Anna", ["admins"], by="cli:root")
    present = await people_and_money.create_demo(database, settings.demo_tokens)
    assert "admin-1" not in {person.id for person in present}
    await demo_people.dismiss_all(database, by="holdgate")
    async with database.read() as conn:
        assert (await people.active(conn, "admin-1")) is not None
    await database.close()


# ------------------------------------------------------------------------------------------------------- odd headers

ODD = [
    "http://[",
    "[",
    "http://[::1",
    "//",
    "http://a:99999",
    "http://\u00ff[",
    ":",
    "null",
    "http://]",
    "\\\\[",
    "%5B",
]


HEADERS = ["Origin", "Host", "Referer", "X-Forwarded-Host", "Forwarded", "Sec-Fetch-Site"]


@pytest.mark.parametrize("home", ["http://127.0.0.1:8000", "https://holdgate.example.org"])
async def test_no_odd_header_is_an_error_of_ours(running: Running, home: str) -> None:
    async with running.gateway(public_url=home, demo=home.startswith("http:")) as app:
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url=home) as client:
            for name, value in itertools.product(HEADERS, ODD):
                headers = [(name.encode(), value.encode("latin-1")), (b"Accept", b"text/html")]
                for answer in (
                    await client.post("/sign-in", data={"token": "hg_x"}, headers=headers),
                    await client.post("/cases/x/cancel", data={"reason": "x"}, headers=headers),
                    await client.get("/", headers=headers),
                    await client.get("/no/such", headers=headers),
                ):
                    assert answer.status_code < 500, f"{name}: {value} {answer.request.url}"
