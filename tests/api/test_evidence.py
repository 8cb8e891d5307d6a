"""Comments and attachments: their limits, their readers, and that nobody can change them later."""

import asyncio
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from api.pages.parts.page import templates
from tests.api.conftest import API, Gate

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40
FROM_HERE = {"Sec-Fetch-Site": "same-origin"}


async def attach(gate: Gate, person: str, case_id: str, name: str, data: bytes, kind: str = "") -> httpx2.Response:
    files = {"file": (name, data, kind or "application/octet-stream")}
    return await gate.as_(person).post(f"{API}/cases/{quote(case_id, safe='')}/attachments", files=files)


async def download(gate: Gate, person: str, case_id: str, attachment_id: str) -> httpx2.Response:
    return await gate.get(person, f"/cases/{quote(case_id, safe='')}/attachments/{attachment_id}")


async def test_a_comment_is_in_the_timeline_and_is_said_once(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.open_task(case_id)
    where = f"/cases/{quote(case_id, safe='')}/comments"
    first = await gate.post("manager-1", where, {"text": " Is this <b>right</b>? "}, Idempotency_Key="c-1")
    again = await gate.post("manager-1", where, {"text": "other"}, Idempotency_Key="c-1")
    assert (first.status_code, again.json()) == (201, first.json())
    await gate.post("requester-1", where, {"text": "It is"})
    said = (await gate.get("auditor-1", where)).json()["items"]
    assert [(each["by"], each["text"]) for each in said] == [
        ("manager-1", "Is this <b>right</b>?"),
        ("requester-1", "It is"),
    ]
    told = [event["summary"] for event in (await gate.case(case_id))["timeline"] if event["kind"] == "comment_added"]
    assert told == ["manager-1: Is this <b>right</b>?", "requester-1: It is"]
    for wrong in ("", "   ", "x" * 4001, "a\0b"):
        assert (await gate.post("manager-1", where, {"text": wrong})).status_code == 422
    page = await gate.as_("manager-1").get(f"/cases/{quote(case_id, safe='')}")
    assert "Is this &lt;b&gt;right" in page.text


async def test_an_attachment_comes_back_byte_for_byte_and_is_never_shown_by_the_browser(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.open_task(case_id)
    made = await attach(gate, "requester-1", case_id, "Bestellung Nr. 7 ü.png", PNG, "text/html")
    assert made.status_code == 201, made.text
    found = made.json()
    assert (found["filename"], found["size"], found["content_type"]) == ("Bestellung Nr. 7 ü.png", 48, "image/png")
    got = await download(gate, "manager-1", case_id, found["attachment_id"])
    assert got.content == PNG and got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-disposition"].startswith("attachment; filename*=UTF-8''Bestellung%20Nr.")
    assert (await download(gate, "steward-1", case_id, found["attachment_id"])).status_code == 404
    other = await gate.start()
    assert (await download(gate, "manager-1", other, found["attachment_id"])).status_code == 404
    event = next(e for e in (await gate.case(case_id))["timeline"] if e["kind"] == "attachment_added")
    assert event["data"]["sha256"] == found["sha256"]


async def test_the_same_file_at_once_is_one_attachment(gate: Gate) -> None:
    case_id = await gate.start()
    made = await asyncio.gather(*(attach(gate, "requester-1", case_id, "a.txt", b"the same") for _ in range(5)))
    assert {answer.status_code for answer in made} == {201}
    assert len({answer.json()["attachment_id"] for answer in made}) == 1
    events = [event for event in (await gate.case(case_id))["timeline"] if event["kind"] == "attachment_added"]
    assert len(events) == 1


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("page.html", b"<html><script>alert(1)</script>", 415),
        ("picture.svg", b"<svg onload=alert(1)>", 415),
        ("picture.png", b"<html>", 415),
        ("run.exe", b"MZ\x90\x00", 415),
        ("notes.txt", b"\xff\xfe\x00", 415),
        ("bundle.zip", b"PK\x03\x04rest", 415),
        ("empty.txt", b"", 422),
    ],
)
async def test_what_a_browser_might_run_is_not_taken_whatever_it_is_called(
    gate: Gate, name: str, data: bytes, status: int
) -> None:
    case_id = await gate.start()
    answer = await attach(gate, "requester-1", case_id, name, data, "image/png")
    assert answer.status_code == status
    assert status != 415 or "Allowed types: PDF" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("../../etc/passwd.txt", "passwd.txt"), ("C:\\fakepath\\x.txt", "x.txt"), ("a" * 400 + ".txt", None)],
)
async def test_a_name_leads_nowhere(gate: Gate, sent: str, kept: str | None) -> None:
    case_id = await gate.start()
    answer = await attach(gate, "requester-1", case_id, sent, b"text")
    if kept is None:  # its end, and with it its kind, is cut off
        assert answer.status_code == 415
        return
    assert answer.json()["filename"] == kept
    stored = gate.settings.attachments / answer.json()["sha256"]
    assert stored.read_bytes() == b"text" and stored.parent == gate.settings.attachments


async def test_a_file_that_was_altered_in_the_store_is_not_given_out(gate: Gate) -> None:
    case_id = await gate.start()
    found = (await attach(gate, "requester-1", case_id, "a.txt", b"as it was, and only here")).json()
    stored = gate.settings.attachments / found["sha256"]
    stored.write_bytes(b"altered")
    assert (await download(gate, "requester-1", case_id, found["attachment_id"])).status_code == 503
    stored.unlink()
    assert (await download(gate, "requester-1", case_id, found["attachment_id"])).status_code == 503
    stored.write_bytes(b"as it was, and only here")  # other tests check the whole of this installation


async def test_a_case_takes_fifty_attachments_and_none_that_is_too_large(gate: Gate) -> None:
    case_id = await gate.start()
    large = await attach(gate, "requester-1", case_id, "a.txt", b"x" * (gate.settings.max_attachment_bytes + 1))
    assert large.status_code == 413
    for number in range(50):
        assert (await attach(gate, "requester-1", case_id, "a.txt", b"%d" % number)).status_code == 201
    many: Any = await attach(gate, "requester-1", case_id, "a.txt", b"one more")
    assert many.status_code == 409
    listed = (await gate.get("requester-1", f"/cases/{quote(case_id, safe='')}/attachments")).json()["items"]
    assert len(listed) == 50


async def test_the_page_of_a_case_takes_comments_and_files(gate: Gate) -> None:
    case_id = await gate.start()
    client, where = gate.as_("requester-1"), f"/cases/{quote(case_id, safe='')}"
    said = await client.post(f"{where}/comment", data={"text": "From the page"}, headers=FROM_HERE)
    assert said.status_code == 303
    sent = await client.post(
        f"{where}/attach", files={"file": ("order.txt", b"An order", "text/plain")}, headers=FROM_HERE
    )
    assert sent.status_code == 303
    page = (await client.get(where)).text
    assert "From the page" in page and "order.txt" in page


def test_a_list_of_facts_is_a_table() -> None:
    table = templates.get_template("_macros.html").module.fields  # type: ignore[attr-defined]
    rows = [{"payee": "A <b>", "amount": f"{number}.00"} for number in range(60)]
    html = str(table({"earlier_payments": rows, "reasons": ["one", "two"], "score": 55, "by": {"rule": "x"}}))
    assert html.count("<tr>") == 51 and '<th scope="col">Payee</th>' in html and "10 more" in html
    assert "<td><bdi>A &lt;b&gt;</bdi></td>" in html
    assert "<li><bdi>one</bdi></li>" in html and "<dd><bdi>55</bdi></dd>" in html
