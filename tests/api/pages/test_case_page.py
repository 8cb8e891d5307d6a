"""The page of a case: status, history, undone steps, files, and available actions."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx2
from sqlalchemy import text

from tests.api.conftest import Gate, payment
from tests.api.pages.visits import Element, parsed, signed_in


def at(case_id: str, more: str = "") -> str:
    return f"/cases/{quote(case_id, safe='')}{more}"


async def seen(client: httpx2.AsyncClient, case_id: str) -> Element:
    answer = await client.get(at(case_id))
    assert answer.status_code == 200, answer.text
    return parsed(answer.text)


def stops(page: Element) -> list[str]:
    return [each.text for each in page.one("ol", class_="stops").all("li")]


async def test_a_rejected_case_shows_what_happened_and_what_was_undone(gate: Gate) -> None:
    case_id = await gate.start(payee="Undone Ltd")
    await gate.decide("manager-1", await gate.open_task(case_id), "reject", comment="Not <b>ours</b>")
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    async with signed_in(gate, "requester-1") as client:
        page = await seen(client, case_id)
    assert "Release the held 1,250.00 GBP" in page.section("Rolled back, newest step first").text
    told = page.one("ol", class_="timeline").all("li")
    kinds = [each.attrs["class"] for each in told]
    assert kinds[-1] == "case_closed"
    assert kinds.index("decided") < kinds.index("rollback_started") < kinds.index("undo_done")
    assert "manager-1 rejected: “Not <b>ours</b>” by a program" in told[kinds.index("decided")].text
    assert not page.all("b") and "GB82" not in page.text, "bank accounts are shown by their last four"
    assert stops(page)[0] == "Hold 1,250.00 GBP on operating: rolled back"
    assert stops(page)[3:5] == ["Manager approval: rejected", "Director approval: not reached"]
    assert not page.all("details", class_="technical"), "technical details are for operators"
    assert page.one("code", class_="id").text == case_id == page.one("button", data_copy=case_id).attrs["data-copy"]
    (again,) = [each for each in page.all("a") if each.text == "Submit again"]
    assert again.attrs["href"] == f"/new/payment?resubmits={quote(case_id, safe='')}"
    (temporal,) = [each for each in page.all("a") if each.text == "Open in Temporal Web UI"]
    assert temporal.attrs["href"].endswith(f"/workflows/{quote(case_id, safe='')}")


async def test_the_case_page_checks_its_audit_events_and_reports_a_change(gate: Gate) -> None:
    case_id = await gate.start(amount="120.00")
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    change = "UPDATE event_payloads SET payload = :new WHERE payload = :old"
    where = "number = (SELECT number FROM events WHERE case_id = :case AND kind = 'gate_skipped' LIMIT 1)"
    async with signed_in(gate, "auditor-1") as client:
        page = await seen(client, case_id)
        assert f"Audit log checked: {len(case['timeline'])} entries, unchanged." in page.text
        assert "Manager approval: no approval needed (amount under 500.00 GBP)" in stops(page)
        assert page.all("details", class_="technical")
        async with gate.database.write() as conn:
            old = (
                await conn.execute(text(f"SELECT payload FROM event_payloads WHERE {where}"), {"case": case_id})
            ).scalar()
            await conn.execute(text(change), {"old": old, "new": f"{old} "})
        try:
            assert "The audit log of this request was changed. Tell an auditor" in (await seen(client, case_id)).text
        finally:
            async with gate.database.write() as conn:
                await conn.execute(text(change), {"old": f"{old} ", "new": old})
        assert "unchanged" in (await seen(client, case_id)).text


async def test_an_operator_undoes_a_completed_case_and_the_page_says_what_that_takes_back(gate: Gate) -> None:
    case_id = await gate.start(amount="130.00", payee="Twice Ltd")
    await gate.until(case_id, lambda case: case["status"] == "completed")
    async with signed_in(gate, "requester-1") as client:
        assert not (await seen(client, case_id)).all("form", action=at(case_id, "/rollback"))
    async with signed_in(gate, "operator-1") as client:
        page = await seen(client, case_id)
        assert "Refund 130.00 GBP from Twice Ltd" in page.one("section", class_="undo").text
        assert (await client.post(at(case_id, "/rollback"), data={"reason": ""})).status_code == 422
        answer = await client.post(at(case_id, "/rollback"), data={"reason": "Paid twice"})
        assert (answer.status_code, answer.headers["location"]) == (303, at(case_id))
        await gate.until(case_id, lambda case: case["status"] == "rolled_back")
        page = await seen(client, case_id)
        assert stops(page)[-1] == "Pay 130.00 GBP to Twice Ltd: rolled back"
        assert "Rolled back" in page.text
        again = await client.post(at(case_id, "/rollback"), data={"reason": "Again"})
        assert again.status_code == 409 and parsed(again.text).one(role="alert").text


async def test_a_scheduled_case_is_started_early_and_one_under_way_is_withdrawn_by_its_requester(gate: Gate) -> None:
    start_at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    answer = await gate.post("requester-1", "/cases", payment() | {"start_at": start_at})
    case_id: str = answer.json()["case_id"]
    await gate.until(case_id, lambda case: case["status"] == "scheduled")
    async with signed_in(gate, "manager-2") as client:
        assert (await client.post(at(case_id, "/start"))).status_code == 404
    async with signed_in(gate, "requester-1") as client:
        page = await seen(client, case_id)
        assert "Start request now" in page.section("Actions").text and "upcoming" in stops(page)[0]
        assert (await client.post(at(case_id, "/start"))).status_code == 303
        await gate.open_task(case_id)
        answer = await client.post(at(case_id, "/cancel"), data={"reason": "Ordered twice"})
        assert (answer.status_code, answer.headers["location"]) == (303, at(case_id))
        await gate.until(case_id, lambda case: case["status"] == "cancelled")
        page = await seen(client, case_id)
        assert "Ordered twice" in page.text and not page.all("form", action=at(case_id, "/cancel"))


async def test_files_and_comments_are_added_on_the_page_and_lead_back_to_where_they_were_added(gate: Gate) -> None:
    case_id = await gate.start()
    task = f"/tasks/{(await gate.open_task(case_id))['task_id']}"
    async with signed_in(gate, "requester-1") as client:
        order = b"Paper, 20 boxes".ljust(2_000_000)  # more than a form may hold
        file = {"file": ("order 4711.txt", order, "text/plain")}
        answer = await client.post(at(case_id, "/attach"), files=file, data={"back": task})
        assert (answer.status_code, answer.headers["location"]) == (303, task)
        bad = await client.post(at(case_id, "/attach"), files={"file": ("x.exe", b"MZ\0\0", "text/plain")})
        assert bad.status_code == 415 and parsed(bad.text).one(role="alert").text
        said = {"text": "See the order", "back": "https://evil.example/"}
        assert (await client.post(at(case_id, "/comment"), data=said)).headers["location"] == at(case_id)
        page = parsed((await client.get(task)).text)
        (link,) = page.section("Files").all("a")
        assert (link.text, (await client.get(link.attrs["href"])).content) == ("order 4711.txt", order)
        assert "See the order" in page.section("Comments").text


async def test_what_is_not_for_somebodys_eyes_is_not_there(gate: Gate) -> None:
    case_id = await gate.start("requester-1")
    task = f"/tasks/{(await gate.open_task(case_id))['task_id']}"
    async with signed_in(gate, "steward-1") as client:
        for path in (task, at(case_id), "/tasks/none", "/cases/payment%3Anone"):
            answer = await client.get(path)
            assert (answer.status_code, "There is no such" in answer.text) == (404, True)
            assert answer.headers["content-type"].startswith("text/html")
        for path in (at(case_id, "/cancel"), at(case_id, "/rollback")):
            assert (await client.post(path, data={"reason": "x"})).status_code == 404
