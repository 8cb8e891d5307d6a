"""Asking for erasures over HTTP, and what an erased case, upload and person answers everywhere."""

import asyncio
import io
import zipfile
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from store.people import leavers, people
from tests.api.conftest import API, Gate, eventually

REASON = {"reason": "Request 2026-114 of the data subject"}
AGAIN = {"reason": "Somebody asks a second time"}


def path(case_id: str, what: str = "") -> str:
    return f"/cases/{quote(case_id, safe='')}{what}"


async def completed(gate: Gate, **input: Any) -> str:
    case_id = await gate.start(amount="20.00", **input)
    await gate.until(case_id, lambda case: case["status"] == "completed")
    return case_id


async def approve(gate: Gate, request_id: str) -> dict[str, Any]:
    """Let privacy approve a request for an erasure; answers the request as it ends."""
    task = await gate.open_task(request_id)
    assert (await gate.decide("privacy-1", task)).status_code == 200
    return await gate.until(request_id, lambda case: case["closed_at"] is not None)


async def erased(gate: Gate) -> tuple[str, str]:
    """A case that was erased, and the request by which it was."""
    case_id = await completed(gate)
    asked = (await gate.post("operator-1", path(case_id, "/erase"), REASON)).json()
    assert (await approve(gate, asked["request_id"]))["status"] == "completed"
    return case_id, asked["request_id"]


async def test_a_second_request_for_the_same_case_answers_the_open_one(gate: Gate) -> None:
    case_id = await completed(gate)
    asking = [("operator-1", REASON), ("admin-1", AGAIN), ("operator-1", AGAIN)]
    answers = await asyncio.gather(*(gate.post(by, path(case_id, "/erase"), body) for by, body in asking))
    assert [each.status_code for each in answers] == [202] * 3, [each.text for each in answers]
    found = [each.json() for each in answers]
    assert len({each["request_id"] for each in found}) == 1 and sum(each["created"] for each in found) == 1
    request = await gate.case(found[0]["request_id"])
    assert request["title"] == f"Erase case {case_id}" and request["input"]["id"] == case_id
    task = await gate.open_task(request["case_id"])
    assert (await gate.decide("privacy-1", task, "reject", comment="Not now")).status_code == 200
    await gate.until(request["case_id"], lambda case: case["closed_at"] is not None)
    later = (await gate.post("operator-1", path(case_id, "/erase"), REASON)).json()
    assert later["created"] and later["request_id"] != request["case_id"]


async def test_the_requester_of_an_erasure_does_not_approve_it(gate: Gate) -> None:
    case_id = await completed(gate)
    asked = (await gate.post("admin-1", path(case_id, "/erase"), REASON)).json()
    task = await gate.open_task(asked["request_id"])
    async with gate.database.write() as conn:
        await people.join(conn, "admin-1", "privacy", by="holdgate")
    try:
        assert (await gate.decide("admin-1", task)).status_code == 403
    finally:
        async with gate.database.write() as conn:
            await people.leave(conn, "admin-1", "privacy", by="holdgate")


async def test_what_cannot_be_erased_is_refused_at_once_with_a_sentence(gate: Gate) -> None:
    waiting = await gate.start()
    await gate.open_task(waiting)
    no = await gate.post("operator-1", path(waiting, "/erase"), REASON)
    assert (no.status_code, no.json()["type"]) == (409, "urn:holdgate:not-erasable")
    assert "has not ended" in no.json()["detail"]
    held = await completed(gate)
    new = {"kind": "case", "subject": held, "reason": "Matter 7"}
    hold = (await gate.post("auditor-1", "/legal-holds", new)).json()
    no = await gate.post("operator-1", path(held, "/erase"), REASON)
    assert no.status_code == 409 and hold["hold_id"] in no.json()["detail"]
    lifting = gate.as_("admin-1").request("DELETE", f"{API}/legal-holds/{hold['hold_id']}", json={"reason": "Closed"})
    assert (await lifting).status_code == 204
    assert (await gate.post("operator-1", path(held, "/erase"), REASON)).status_code == 202
    story = [(each["kind"], each["actor"]) for each in (await gate.case(held))["timeline"]]
    assert ("hold_placed", "auditor-1") in story and ("hold_lifted", "admin-1") in story


@pytest.mark.parametrize("reason", ["", "no", "x" * 501, "     ", "a\u202eb", "bell\a"])
async def test_a_reason_that_cannot_be_stored_is_named(gate: Gate, reason: str) -> None:
    case_id = await completed(gate)
    no = await gate.post("operator-1", path(case_id, "/erase"), {"reason": reason})
    assert no.status_code == 422 and no.json()["errors"][0]["field"] == "reason"


async def test_every_change_of_an_erased_case_is_refused_with_one_code(gate: Gate) -> None:
    case_id = await gate.start()
    task = await gate.open_task(case_id)
    assert (await gate.decide("manager-1", task, "reject", comment="No")).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "rejected")
    asked = (await gate.post("operator-1", path(case_id, "/erase"), REASON)).json()
    await approve(gate, asked["request_id"])
    case = await gate.case(case_id, "requester-1")
    again = {
        "process": "payment",
        "reference": case["reference"],
        "input": {"payee": "Somebody", "amount": "1.00", "currency": "GBP", "account": "operating"},
        "resubmits": case_id,
    }
    of_task = f"/tasks/{task['task_id']}"
    changes: list[tuple[str, str, Any]] = [
        ("operator-1", path(case_id, "/rollback"), REASON),
        ("operator-1", path(case_id, "/erase"), REASON),
        ("requester-1", path(case_id, "/cancel"), REASON),
        ("requester-1", path(case_id, "/start"), None),
        ("requester-1", path(case_id, "/comments"), {"text": "Why?"}),
        ("requester-1", "/cases", again),
        ("manager-1", f"{of_task}/decision", {"verdict": "approve", "revision": 1}),
        ("manager-1", f"{of_task}/claim", {}),
        ("manager-1", f"{of_task}/questions", {"to": "requester-1", "text": "Which order?"}),
        ("requester-1", f"{of_task}/nudge", None),
    ]
    for person, where, body in changes:
        no = await gate.post(person, where, body)
        assert (no.status_code, no.json().get("code")) == (409, "Erased"), (where, no.text)
    for where in (API + of_task, f"{API}/tasks?status=closed", of_task, path(case_id), "/", "/requests"):
        read = await gate.as_("manager-1").get(where)
        assert read.status_code == 200, (where, read.text)
    receipt = await gate.get("manager-1", f"{of_task}/receipt")
    assert (receipt.status_code, receipt.json()["code"]) == (409, "Erased")
    file = {"file": ("order.txt", b"An order", "text/plain")}
    no = await gate.as_("requester-1").post(API + path(case_id, "/attachments"), files=file)
    assert (no.status_code, no.json()["code"]) == (409, "Erased")
    until = {"until": "2033-01-01T00:00:00Z"}
    no = await gate.as_("manager-1").put(f"{API}{of_task}/follow-up", json=until)
    assert (no.status_code, no.json()["code"]) == (409, "Erased")
    many = {"items": [{"task_id": task["task_id"], "verdict": "approve", "revision": 1}]}
    (one,) = (await gate.post("manager-1", "/tasks/decisions", many)).json()["items"]
    assert one["problem"]["code"] == "Erased"
    incident = {"verdict": "retry", "task_ids": [task["task_id"]]}
    (one,) = (await gate.post("operator-1", "/incidents/decisions", incident)).json()["items"]
    assert one["problem"]["code"] == "Erased"


async def test_an_erased_case_is_read_everywhere_and_says_that_it_was_erased(gate: Gate) -> None:
    case_id, request = await erased(gate)
    case = await gate.case(case_id)
    assert case["erased_at"] and case["erased_by"] == request and case["status"] == "completed"
    assert case["input"] == {} and case["title"] == "Erased"
    listed = (await gate.get("admin-1", "/cases", status="completed")).json()["items"]
    assert next(each for each in listed if each["case_id"] == case_id)["erased_at"] == case["erased_at"]
    for where in (
        path(case_id, "/timeline"),
        path(case_id, "/comments"),
        path(case_id, "/attachments"),
        f"/ledger/entries?reference={case['reference']}",
        f"/audit?case_id={quote(case_id, safe='')}",
        "/dashboard",
        "/tasks?status=closed",
        f"/audit/pack?case_id={quote(case_id, safe='')}",
    ):
        answer = await gate.as_("admin-1").get(API + where)
        assert answer.status_code == 200, (where, answer.text)
    pack = zipfile.ZipFile(io.BytesIO(answer.content))
    assert case["erased_at"][:19] in pack.read("cases.csv").decode().replace("Z", "")
    assert "erased at" in pack.read("report.html").decode()
    export = await gate.as_("admin-1").get(f"{API}/cases", headers={"Accept": "text/csv"})
    assert export.status_code == 200 and case_id in export.text
    for page in (path(case_id), path(case_id, "/history"), "/cases", f"/cases?q={case['reference']}", "/dashboard"):
        answer = await gate.as_("admin-1").get(page)
        assert answer.status_code == 200, (page, answer.text)
    shown = (await gate.as_("admin-1").get(path(case_id))).text
    assert "Erased on" in shown and request in shown
    for gone in ("Add comment", "Attach file", "Roll back everything", "Ask for erasure"):
        assert gone not in shown


async def test_an_upload_is_erased_with_its_cases_and_its_file(gate: Gate) -> None:
    rows = b"reference,payee,amount,currency,account\n" + b"".join(
        f"ER-{n}-%s,Payee {n},1.00,GBP,operating\n".encode() % str(id(gate)).encode() for n in range(3)
    )
    rows += b"ER-bad,Payee,nothing,GBP,operating\n"
    sent = await gate.as_("requester-1").post(
        f"{API}/batches?process=payment", files={"file": ("pay.csv", rows, "text/csv")}
    )
    batch_id = sent.json()["batch_id"]

    async def look() -> Any:
        return (await gate.get("admin-1", f"/batches/{batch_id}")).json()

    await eventually(look, lambda batch: batch["closed_at"] and batch["cases"] == {"completed": 3})
    asked = await gate.post("operator-1", f"/batches/{batch_id}/erase", REASON)
    assert asked.status_code == 202, asked.text
    task = await gate.open_task(asked.json()["request_id"])
    assert (task["facts"]["cases"], task["facts"]["upload_rows"], task["facts"]["uploaded_files"]) == (3, 4, 1)
    assert (await approve(gate, asked.json()["request_id"]))["status"] == "completed"
    assert (await look())["erased_at"]
    of_batch = (await gate.get("admin-1", "/cases", batch_id=batch_id)).json()["items"]
    assert len(of_batch) == 3 and all(each["erased_at"] for each in of_batch)
    csv = await gate.as_("requester-1").get(f"{API}/batches/{batch_id}/rows", headers={"Accept": "text/csv"})
    assert (csv.status_code, csv.json()["code"]) == (409, "Erased")
    order = await gate.post("requester-1", f"/batches/{batch_id}/cancel", {"reason": "x", "rollback_started": True})
    assert (order.status_code, order.json()["code"]) == (409, "Erased")
    page = await gate.as_("requester-1").get(f"/batches/{batch_id}")
    assert page.status_code == 200 and "Erased on" in page.text and "Download invalid rows" not in page.text


async def test_a_person_who_has_left_is_erased_and_the_id_stays(gate: Gate) -> None:
    async with gate.database.write() as conn:
        await people.add(conn, "gone-1", "Gertrud Gone", ["requesters"], by="holdgate", email="gertrud@example.org")
    active = await gate.post("admin-1", "/people/gone-1/erase", REASON)
    assert active.status_code == 409 and "is active" in active.json()["detail"]
    async with gate.database.write() as conn:
        await leavers.deactivate(conn, "gone-1", "Another job", by="admin-1")
    asked = await gate.post("admin-1", "/people/gone-1/erase", {**REASON, "cases": True})
    assert asked.status_code == 202, asked.text
    assert (await gate.case(asked.json()["request_id"]))["title"] == "Erase person gone-1"
    assert (await approve(gate, asked.json()["request_id"]))["status"] == "completed"
    found = (await gate.get("admin-1", "/people/gone-1")).json()
    assert (found["id"], found["name"], found["email"]) == ("gone-1", "Erased person", False) and found["erased_at"]
    back = await gate.post("admin-1", "/people/gone-1/reactivate", {"groups": []})
    assert back.status_code in (409, 422) and "was erased" in back.json()["detail"]
    again = await gate.post("admin-1", "/people/gone-1/erase", REASON)
    assert (again.status_code, again.json()["code"]) == (409, "Erased")
    page = await gate.as_("admin-1").get("/people/gone-1")
    assert page.status_code == 200 and "Erased on" in page.text and "Reactivate person" not in page.text
    log = await gate.as_("admin-1").get("/audit?actor=gone-1")
    assert log.status_code == 200 and "Gertrud" not in (page.text + log.text)


async def test_holds_are_for_auditors_and_admins_and_on_what_exists(gate: Gate) -> None:
    case_id = await completed(gate)
    new = {"kind": "case", "subject": case_id, "reason": "Matter 8"}
    assert (await gate.post("operator-1", "/legal-holds", new)).status_code == 404
    first = await gate.post("auditor-1", "/legal-holds", new)
    assert first.status_code == 201
    assert (await gate.post("auditor-1", "/legal-holds", new)).json() == first.json()
    unknown = await gate.post("auditor-1", "/legal-holds", {**new, "subject": "payment:nobody"})
    assert unknown.status_code == 404
    assert (await gate.post("auditor-1", "/legal-holds", {**new, "kind": "thing"})).status_code == 422
    listed: httpx2.Response = await gate.get("admin-1", "/legal-holds", kind="case", subject=case_id)
    assert [each["hold_id"] for each in listed.json()["items"]] == [first.json()["hold_id"]]
    where = f"{API}/legal-holds/{first.json()['hold_id']}"
    statuses = [
        (await gate.as_("auditor-1").request("DELETE", where, json={"reason": "Closed"})).status_code for _ in range(2)
    ]
    assert statuses == [204, 409]
    assert (await gate.get("admin-1", "/legal-holds", subject=case_id)).json()["items"] == []
    assert len((await gate.get("admin-1", "/legal-holds", subject=case_id, lifted="true")).json()["items"]) == 1
