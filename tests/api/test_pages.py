"""The pages for people: signing in with a token, what waits, one task, one case, what one wants to be told."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import httpx2
import pytest

from api.security import COOKIE
from tests.api.conftest import Gate


def browser(gate: Gate) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(gate.app), base_url="http://gateway")


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
        assert "Nobody has this token" in answer.text
        assert COOKIE not in client.cookies


async def test_a_form_from_another_site_is_refused(gate: Gate) -> None:
    async with browser(gate) as client:
        token = {"token": gate.tokens["manager-1"]}
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere"}, {"Origin": "null"}):
            assert (await client.post("/sign-in", data=token, headers=headers)).status_code == 403
        assert (await client.post("/sign-in", data=token, headers={"Origin": "http://gateway"})).status_code == 303


async def test_the_page_takes_a_bearer_token_too(gate: Gate) -> None:
    page = (await gate.as_("requester-1").get("/")).text
    assert "Nothing waits here" in page


@asynccontextmanager
async def signed_in(gate: Gate, person: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser in which the person has signed in."""
    async with browser(gate) as client:
        assert (await client.post("/sign-in", data={"token": gate.tokens[person]})).status_code == 303
        client.headers["X-CSRF"] = secret((await client.get("/")).text)
        yield client


def secret(page: str) -> str:
    """What scripts send along, as the page says it."""
    found = re.search(r'data-csrf="(\w+)"', page)
    assert found is not None
    return found[1]


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of the forms of a page."""
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page))


async def test_a_link_to_a_task_leads_through_signing_in_to_the_task(gate: Gate) -> None:
    task = await gate.open_task(await gate.start(payee="Linked Ltd"))
    address = f"/tasks/{task['task_id']}"
    async with browser(gate) as client:
        form = await client.get(address)
        assert form.status_code == 200 and "Linked Ltd" not in form.text
        following = hidden(form.text)["following"]
        answer = await client.post("/sign-in", data={"token": gate.tokens["manager-1"], "following": following})
        assert (answer.status_code, answer.headers["location"]) == (303, address)
        page = (await client.get(address)).text
        assert "Pay Linked Ltd 1,250.00 GBP" in page and "May 1,250.00 GBP be paid to Linked Ltd?" in page
        assert "This is the first payment to this payee." in page


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "/tasks//evil", "/%2F/evil", "/docs", ""],
)
async def test_signing_in_leads_to_no_other_site(gate: Gate, following: str) -> None:
    async with browser(gate) as client:
        form = {"token": gate.tokens["manager-1"], "following": following}
        assert (await client.post("/sign-in", data=form)).headers["location"] == "/"


async def test_opening_a_task_decides_nothing_whoever_does_it(gate: Gate) -> None:
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    async with signed_in(gate, "manager-1") as client:
        for path in ("", "/decide", "?verdict=approve", "/decide?verdict=approve&decision_id=x&revision=1"):
            for method in ("GET", "HEAD", "OPTIONS"):
                answer = await client.request(method, f"/tasks/{task['task_id']}{path}")
                assert answer.status_code < 500
        assert (await client.head(f"/tasks/{task['task_id']}")).status_code == 200
    assert (await gate.case(case_id))["status"] == "awaiting_approval"


async def test_a_manager_decides_on_the_page_and_a_form_sent_twice_is_one_decision(gate: Gate) -> None:
    case_id = await gate.start()
    address = f"/tasks/{(await gate.open_task(case_id))['task_id']}"
    async with signed_in(gate, "manager-1") as client:
        form = {**hidden((await client.get(address)).text), "verdict": "approve", "comment": "Checked"}
        for _ in range(2):
            answer = await client.post(f"{address}/decide", data=form)
            assert (answer.status_code, answer.headers["location"]) == (303, address)
        page = (await client.get(address)).text
        assert "This is decided: <strong>approved</strong>" in page and "Checked" in page
        assert "<button name=" not in page
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert [(each["by"], each["comment"]) for each in case["tasks"][0]["decisions"]] == [("manager-1", "Checked")]
    (decided,) = [event for event in case["timeline"] if event["kind"] == "decided"]
    assert decided["data"]["via"] == "page"


async def test_a_rejected_case_shows_what_happened_and_what_was_undone(gate: Gate) -> None:
    case_id = await gate.start(payee="Undone Ltd")
    await gate.decide("manager-1", await gate.open_task(case_id), "reject", comment="Not <b>ours</b>")
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    async with signed_in(gate, "requester-1") as client:
        page = (await client.get(f"/cases/{quote(case_id, safe='')}")).text
    undone = page.split("What was undone")[1].split("</section>")[0]
    assert "Release the held 1,250.00 GBP" in undone
    kinds = re.findall(r'<li class="(\w+)"', page)
    assert kinds[-1] == "case_closed"
    assert kinds.index("decided") < kinds.index("rollback_started") < kinds.index("undo_done")
    assert "Not &lt;b&gt;ours&lt;/b&gt;" in page and "<b>ours" not in page
    assert "GB82" not in page, "bank accounts are shown by their last four"


async def test_errors_are_pages_in_plain_words(gate: Gate) -> None:
    case_id = await gate.start("requester-1")
    task = await gate.open_task(case_id)
    address = f"/tasks/{task['task_id']}"
    async with signed_in(gate, "steward-1") as client:
        for path in (address, f"/cases/{quote(case_id, safe='')}", "/tasks/none", "/cases/payment%3Anone"):
            answer = await client.get(path)
            assert (answer.status_code, "There is no such" in answer.text) == (404, True)
            assert answer.headers["content-type"].startswith("text/html")
    async with signed_in(gate, "requester-1") as client:
        page = (await client.get(address)).text
        assert "You asked for this case, so somebody else must decide it." in page and "<button name=" not in page
        form = {"decision_id": "x", "revision": "1", "verdict": "approve"}
        answer = await client.post(f"{address}/decide", data=form)
        assert answer.status_code == 403 and "You asked for this case" in answer.text
        assert f'href="{address}"' in answer.text
    async with signed_in(gate, "manager-1") as client:
        assert (await client.post(f"{address}/decide", data={"verdict": "approve"})).status_code == 422
        assert (await client.post(f"{address}/decide", data=form | {"revision": "7"})).status_code == 409
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        assert (await client.post(f"{address}/decide", data=form, headers=elsewhere)).status_code == 403
    assert (await gate.case(case_id))["status"] == "awaiting_approval"


async def test_people_choose_what_they_are_told(gate: Gate) -> None:
    async with signed_in(gate, "director-2") as client:
        assert (await client.get("/notices")).headers["location"] == "/settings#notices", "where mails lead"
        assert (await client.get("/settings")).text.count("<select") == 11
        form = {"task_opened": "digest", "case_ended": "off"}
        assert (await client.post("/settings/notices", data=form)).status_code == 200
        assert (await client.post("/settings/notices", data={"task_opened": "sometimes"})).status_code == 422
        assert (
            await client.post("/settings/notices", data=form, headers={"Origin": "http://elsewhere"})
        ).status_code == 403
    chosen = (await gate.get("director-2", "/me/notices")).json()["choices"]
    assert (chosen["task_opened"], chosen["case_ended"], chosen["task_reminded"]) == ("digest", "off", "at_once")
    put = gate.as_("director-2").put
    answer = await put("/api/v1/me/notices", json={"choices": {"task_opened": "at_once"}})
    assert answer.json()["choices"] == chosen | {"task_opened": "at_once"}
    for wrong in ({"task_opened": "sometimes"}, {"task_oponed": "off"}):
        answer = await put("/api/v1/me/notices", json={"choices": wrong})
        assert answer.status_code == 422 and "task_o" in str(answer.json()["errors"])


async def test_a_load_balancer_may_ask_by_head(gate: Gate) -> None:
    for path in ("/health/live", "/health/ready", "/"):
        assert (await gate.as_(None).head(path)).status_code == 200
