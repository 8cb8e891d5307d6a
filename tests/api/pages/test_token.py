"""Signing in by an access token, for people and for monitoring."""

import pytest

from api.http.callers import COOKIE
from tests.api.conftest import Gate
from tests.api.pages.visits import browser, hidden


async def test_a_stranger_sees_the_way_in_and_nothing_else(gate: Gate) -> None:
    page = await gate.as_(None).get("/")
    assert page.status_code == 200
    assert 'action="/sign-in"' in page.text
    assert 'href="/docs"' in page.text
    assert "Newest cases" not in page.text


async def test_a_token_becomes_a_cookie_that_scripts_and_other_sites_cannot_use(gate: Gate) -> None:
    await gate.open_task(await gate.start(payee="<script>alert(1)</script>"))
    async with browser(gate) as client:
        answer = await client.post("/sign-in", data={"token": gate.tokens["manager-1"]})
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        page = (await client.get("/")).text
        waiting = await gate.get("manager-1", "/tasks", mine=True, limit=1)
        assert waiting.json()["items"][0]["task_id"] in page
        assert "<script>alert" not in page
        assert (await client.get("/api/v1/me")).status_code == 401, "the API takes no cookie"
        assert (await client.post("/sign-out")).status_code == 403, "a form needs the secret of its session"
        assert (await client.post("/sign-out", data={"csrf": "guessed"})).status_code == 403
        assert (await client.post("/sign-out", data=hidden(page))).status_code == 303
        assert 'action="/sign-in"' in (await client.get("/")).text


async def test_a_wrong_token_is_told_so(gate: Gate) -> None:
    async with browser(gate) as client:
        answer = await client.post("/sign-in", data={"token": "hg_wrong"})
        assert answer.status_code == 401
        assert "This token is unknown" in answer.text
        assert COOKIE not in client.cookies


async def test_a_form_from_another_site_is_refused(gate: Gate) -> None:
    async with browser(gate) as client:
        token = {"token": gate.tokens["manager-1"]}
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere"}, {"Origin": "null"}):
            assert (await client.post("/sign-in", data=token, headers=headers)).status_code == 403
        assert (await client.post("/sign-in", data=token, headers={"Origin": "http://gateway"})).status_code == 303


async def test_the_page_takes_a_bearer_token_too(gate: Gate) -> None:
    page = (await gate.as_("auditor-1").get("/")).text
    assert "No open tasks" in page


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/tasks//evil", "/%2F/evil", "/docs", ""],
)
async def test_signing_in_leads_to_no_other_site(gate: Gate, following: str) -> None:
    async with browser(gate) as client:
        form = {"token": gate.tokens["manager-1"], "following": following}
        assert (await client.post("/sign-in", data=form)).headers["location"] == "/"


async def test_a_load_balancer_may_ask_by_head(gate: Gate) -> None:
    for path in ("/health/live", "/health/ready", "/"):
        assert (await gate.as_(None).head(path)).status_code == 200
