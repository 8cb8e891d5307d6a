"""Signing in to the pages by password: identity, lockout, first password, cookie, and errors as pages."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx2

from api.http.callers import COOKIE
from store.people import passwords, people
from tests.api.conftest import Gate

PASSWORD = "correct horse battery"


@asynccontextmanager
async def browser(gate: Gate) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(gate.app), base_url="http://gateway") as client:
        yield client


async def somebody(gate: Gate, id: str, by: str) -> None:
    """A manager with a password that `by` has set."""
    async with gate.database.write() as conn:
        await people.add(conn, id, id.capitalize(), ["managers"], by="test", email=f"{id}@example.org")
        await passwords.put(conn, id, passwords.hash_of(PASSWORD), datetime.now(UTC), by=by)


async def tried(client: httpx2.AsyncClient, name: str, password: str = PASSWORD) -> httpx2.Response:
    return await client.post("/sign-in", data={"name": name, "password": password, "following": "/cases?q=x"})


def csrf(page: str) -> dict[str, str]:
    found = re.search(r'data-csrf="(\w+)"', page)
    assert found is not None
    return {"csrf": found[1]}


async def test_id_or_mail_address_and_password_open_the_page_that_was_asked_for(gate: Gate) -> None:
    await somebody(gate, "petra", by="petra")
    for name in ("petra", " Petra@Example.org "):
        async with browser(gate) as client:
            answer = await tried(client, name)
            assert (answer.status_code, answer.headers["location"]) == (303, "/cases?q=x")
            assert COOKIE in client.cookies
            assert "Petra" in (await client.get("/")).text


async def test_a_wrong_name_and_a_wrong_password_get_the_same_answer_and_many_tries_must_wait(gate: Gate) -> None:
    await somebody(gate, "quentin", by="quentin")
    async with browser(gate) as client:
        nobody = await tried(client, "nobody-of-this-name", "wrong password")
        wrong = await tried(client, "quentin", "wrong password")
        assert nobody.status_code == wrong.status_code == 401
        assert nobody.text.replace("nobody-of-this-name", "quentin") == wrong.text
        for _ in range(passwords.FREE):
            await tried(client, "quentin", "wrong password")
        waiting = await tried(client, "quentin")
        assert waiting.status_code == 401 and "Try again in" in waiting.text
        assert COOKIE not in client.cookies


async def test_a_first_password_must_be_changed_before_anything_else(gate: Gate) -> None:
    await somebody(gate, "rosa", by="admin-1")
    async with browser(gate) as client:
        await tried(client, "rosa")
        assert (await client.get("/")).headers["location"] == "/password"
        page = (await client.get("/password")).text
        new = {"new": "a much better one", "again": "a much better one", **csrf(page)}
        assert (await client.post("/password", data={**new, "old": "not this"})).status_code == 422
        assert (await client.post("/password", data={**new, "old": PASSWORD, "again": "other"})).status_code == 422
        before = client.cookies[COOKIE]
        assert (await client.post("/password", data={**new, "old": PASSWORD})).status_code == 303
        assert client.cookies[COOKIE] != before
        assert (await client.get("/")).status_code == 200


async def test_signing_out_everywhere_ends_other_browsers_too(gate: Gate) -> None:
    await somebody(gate, "sven", by="sven")
    async with browser(gate) as here, browser(gate) as there:
        for client in (here, there):
            await tried(client, "sven")
        page = (await here.get("/")).text
        assert (await here.post("/sign-out-everywhere", data=csrf(page))).status_code == 303
        assert "Sign in" in (await there.get("/")).text
        assert COOKIE in there.cookies
        assert (await tried(there, "sven")).status_code == 303, "the cookie of the ended session is no hindrance"


async def test_staying_signed_in_moves_the_end(gate: Gate) -> None:
    async with browser(gate) as client:
        await client.post("/sign-in", data={"token": gate.tokens["manager-1"]})
        page = (await client.get("/")).text
        said = re.search(r'data-session-ends="([^"]+)"', page)
        answer = await client.post("/session", data=csrf(page))
        assert said and answer.json()["ends_at"] > said[1]


async def test_nobody_is_signed_in_by_one_click_where_there_is_no_demo(gate: Gate) -> None:
    async with browser(gate) as client:
        assert (await client.post("/sign-in", data={"demo": "admin-1"})).status_code == 401
        assert COOKIE not in client.cookies


async def test_an_address_that_is_none_is_a_page_for_browsers_and_a_problem_for_programs(gate: Gate) -> None:
    async with browser(gate) as client:
        page = await client.get("/no/such/page", headers={"Accept": "text/html,*/*"})
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "This address does not exist" in page.text
        answer = await client.get("/no/such/page")
        assert answer.headers["content-type"] == "application/problem+json"
