"""Entered text and the open page survive signing in, errors and restarts; scripts get plain errors."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from jinja2 import UndefinedError

from api.pages import routers
from api.pages.parts.formatting import isolated, titled
from api.pages.parts.page import WENT_THROUGH, local_address, templates
from store.people import passwords
from tests.api.conftest import Gate
from tests.api.pages.test_task_page import form, opened, seen
from tests.api.pages.visits import browser, hidden, parsed, secret, signed_in

SCRIPTS = [{"Accept": "application/json"}, {"HX-Request": "true"}, {"Sec-Fetch-Mode": "cors"}]


@pytest.mark.parametrize("headers", SCRIPTS)
async def test_a_script_without_a_session_gets_401_and_no_page(stopped: Gate, headers: dict[str, str]) -> None:
    async with browser(stopped) as client:
        for method, path in (("GET", "/?q=x"), ("POST", "/bulk"), ("POST", "/session"), ("POST", "/tasks/t/decide")):
            answer = await client.request(method, path, headers=headers)
            assert answer.status_code == 401 and "<html" not in answer.text, path


async def test_a_page_without_a_session_is_the_way_in_and_leads_back_with_its_filters(stopped: Gate) -> None:
    async with browser(stopped) as client:
        for address in (
            "/?whose=all&q=a%2Fb&sort=priority",
            "/cases?q=x&status=completed",
            "/audit/check?case_id=payment%3Ax",
            "/new/payment?resubmits=payment%3Ax",
            "/groups",
        ):
            page = await client.get(address)
            assert page.status_code == 200
            assert parsed(page.text).all("input", name="following")[0].attrs["value"] == address
            sent = {"token": stopped.tokens["admin-1"], "following": address}
            assert (await client.post("/sign-in", data=sent)).headers["location"] == address
            client.cookies.clear()
        for foreign in ("//evil.example", "https://evil.example/", "/\\evil.example", "/api/v1/cases", "/sign-out"):
            sent = {"token": stopped.tokens["admin-1"], "following": foreign}
            assert (await client.post("/sign-in", data=sent)).headers["location"] == "/"
            client.cookies.clear()


NO_PAGES = {
    *(
        "/docs",
        "/events",
        "/password",
        "/sign-in",
        "/sign-in/oidc",
        "/sign-in/oidc/callback",
        "/link",
        "/batches/{batch_id}/bad-rows.csv",
        "/batches/{batch_id}/events",
    ),
    *("/cases/{case_id}/attachments/{attachment_id}", "/upload/example/{process}", "/tasks/{task_id}/receipt"),
}
"""What is read without a session, by scripts, or as a file; a password is never typed ahead."""


def addresses(router: Any) -> Iterator[str]:
    for route in router.routes:
        if hasattr(route, "original_router"):
            yield from addresses(route.original_router)
        elif "GET" in route.methods:
            yield route.path


def test_signing_in_leads_back_to_every_page() -> None:
    found = {path for router in (routers.router, routers.uploads) for path in addresses(router)} - NO_PAGES
    assert len(found) > 25
    strayed = [path for path in found if local_address(path.replace("{", "").replace("}", "")) == "/" != path]
    assert strayed == []


@pytest.mark.parametrize(
    ("sent_to", "stood_on", "leads_to"),
    [
        ("/new/payment", "/new/payment?resubmits=payment%3Ax", "/new/payment?resubmits=payment%3Ax"),
        ("/tasks/t1/decide", "/tasks/t1", "/tasks/t1"),
        ("/tasks/t1/decide", "", "/tasks/t1"),
        ("/tasks/t1/decide", "/tasks/t1/decide", "/tasks/t1"),
        ("/cases/c1/comment", "/tasks/t1", "/tasks/t1"),
        ("/bulk", "/?q=x&sort=priority", "/?q=x&sort=priority"),
        ("/requests/withdraw", "/requests?cursor=abc", "/requests?cursor=abc"),
        ("/people", "/people?q=x", "/people?q=x"),
        ("/settings/away", "/settings", "/settings"),
        ("/policy/explain", "", "/policy/explain"),
        ("/ledger/open", "/ledger", "/ledger"),
        ("/ledger/changes/l1/confirm", "", "/ledger"),
    ],
)
async def test_a_form_without_a_session_leads_back_to_where_it_stood(
    stopped: Gate, sent_to: str, stood_on: str, leads_to: str
) -> None:
    async with browser(stopped) as client:
        headers = {"Referer": f"http://gateway{stood_on}"} if stood_on else {}
        page = await client.post(sent_to, data={"text": "typed"}, headers=headers)
        assert page.status_code == 401 and WENT_THROUGH not in page.headers.get("set-cookie", "")
        assert parsed(page.text).all("input", name="following")[0].attrs["value"] == leads_to


async def test_only_the_answer_to_a_form_that_went_through_says_so(gate: Gate) -> None:
    case_id, address = await opened(gate)
    case = f"/cases/{quote(case_id, safe='')}"
    async with signed_in(gate, "manager-1") as client:

        async def said(path: str, **data: str) -> tuple[int, bool]:
            draft = str(uuid4())
            answer = await client.post(path, data={**data, "draft": draft})
            return answer.status_code, WENT_THROUGH + draft in answer.headers.get("set-cookie", "")

        decision = form(await seen(client, address))
        assert await said(f"{address}/decide", **decision, verdict="reject") == (422, False)
        assert await said(f"{address}/decide", verdict="reject") == (422, False)
        assert await said(f"{case}/cancel", reason="Mine?") == (403, False)
        assert await said("/cases/payment%3Anone/comment", text="There?") == (404, False)
        assert await said("/new/payment", reference="X") == (403, False)
        rows = {"task": f"{address.removeprefix('/tasks/')}.1", "decision_id": "d", "comment": "Why not"}
        assert await said("/bulk", **rows, verdict="reject") == (200, False), "it asks once more"
        assert await said(f"{case}/comment", text="Seen") == (303, True)
        assert await said("/settings/away", **{"from": "never", "to": "2031-01-01"}) == (422, False)
        assert await said(f"{address}/decide", **decision | {"comment": "Fine"}, verdict="approve") == (303, True)
        client.headers["X-CSRF"] = "of another session"
        assert await said(f"{case}/comment", text="Seen?") == (403, False)
    async with signed_in(gate, "requester-1") as client:
        assert await said("/new/payment", reference="X", do="look") == (200, False), "it only asked who would be asked"


async def test_after_changing_the_first_password_the_wanted_page_opens(stopped: Gate) -> None:
    name = f"new-{uuid4().hex[:6]}"
    body = {"id": name, "name": "New", "groups": ["managers"]}
    assert (await stopped.post("admin-1", "/people", body)).status_code == 201
    given = passwords.temporary()
    async with stopped.database.write() as conn:
        await passwords.put(conn, name, passwords.hash_of(given), datetime.now(UTC), by="cli:root")
    async with browser(stopped) as client:
        sent = {"name": name, "password": given, "following": "/cases?q=x"}
        answer = await client.post("/sign-in", data=sent)
        page = await client.get(answer.headers["location"])
        client.headers["X-CSRF"] = secret(page.text)
        ids = [each.attrs["id"] for each in parsed(page.text).walk() if "id" in each.attrs]
        assert len(ids) == len(set(ids))
        new = {**hidden(page.text), "old": given, "new": "a much better one", "again": "another"}
        wrong = await client.post("/password", data=new)
        assert (
            wrong.status_code == 422
            and "The two new passwords differ. Enter the new password twice."
            in parsed(wrong.text).one("form", class_="card").text
        )
        changed = await client.post("/password", data=new | {"again": new["new"]})
        assert changed.headers["location"] == "/cases?q=x"


async def test_what_was_typed_is_shown_when_somebody_else_has_decided(gate: Gate) -> None:
    _, address = await opened(gate)
    async with signed_in(gate, "manager-1") as client:
        sent = form(await seen(client, address)) | {"verdict": "reject", "comment": "Whose is it?"}
        other = {"verdict": "approve", "revision": int(sent["revision"])}
        assert (await gate.post("manager-2", f"{address}/decision", other)).status_code == 200
        page = await client.post(f"{address}/decide", data=sent)
        assert page.status_code == 409
        assert "Whose is it?" in parsed(page.text).one("section", class_="left-over").text
        assert parsed(page.text).one(id="remark").raw.strip() == "Whose is it?"


async def test_a_comment_says_who_wrote_it_on_the_task_and_on_the_case(gate: Gate) -> None:
    case_id, address = await opened(gate)
    case = f"/cases/{quote(case_id, safe='')}"
    async with signed_in(gate, "manager-2") as client:
        assert (await client.post(f"{case}/comment", data={"text": "Checked twice"})).status_code == 303
        for page in (address, case):
            assert "manager-2" in (await seen(client, page)).section("Comments").one(class_="remark").text


def test_a_name_that_a_model_does_not_have_is_an_error_and_no_empty_text() -> None:
    with pytest.raises(UndefinedError):
        templates.env.from_string("{{ each.person }}").render(each=object())


@pytest.mark.parametrize(
    ("title", "process", "html"),
    [
        ("Pay شركة 24 1,250.00 GBP", "payment", "Pay <bdi>شركة 24</bdi> <bdi>1,250.00</bdi> <bdi>GBP</bdi>"),
        ("Pay A <b> & B 7.00 GBP", "payment", "Pay <bdi>A &lt;b&gt; &amp; B</bdi> <bdi>7.00</bdi> <bdi>GBP</bdi>"),
        ("Undo שלום 7", "payment", "Undo <bdi>שלום</bdi> 7"),
        ("Of <old>", "no-process", "Of &lt;old&gt;"),
    ],
)
def test_each_value_of_a_title_is_isolated(title: str, process: str, html: str) -> None:
    assert titled(title, process) == html


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("May 7.00 GBP be paid to شركة النور?", "May 7.00 GBP be paid to <bdi>شركة النور</bdi>?"),
        ("שלום 12 עולם and شركة", "<bdi>שלום 12 עולם</bdi> and <bdi>شركة</bdi>"),
        ("plain <b>", "plain &lt;b&gt;"),
        ("", ""),
    ],
)
def test_what_is_written_from_right_to_left_is_isolated_in_a_sentence(text: str, html: str) -> None:
    assert isolated(text) == html


async def test_lists_and_headings_isolate_the_payee_from_the_amount(gate: Gate) -> None:
    payee = f"شركة {uuid4().hex[:4]} النور"
    case_id, address = await opened(gate, payee=payee)
    case = f"/cases/{quote(case_id, safe='')}"
    seen_by: dict[str, list[str]] = {"manager-1": [address, "/"], "requester-1": ["/requests", "/cases", case]}
    for person, pages in seen_by.items():
        async with signed_in(gate, person) as client:
            for page in pages:
                found = [each.text for each in (await seen(client, page)).all("bdi")]
                assert payee in found, page
