"""Cases over HTTP: started once, visible to the people who may see them, cancelled."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote
from uuid import uuid4

import pytest

from tests.api.conftest import Gate, payment


async def test_a_case_is_created_with_its_address_and_found_there(gate: Gate) -> None:
    answer = await gate.post("requester-1", "/cases", payment())
    assert answer.status_code == 201
    body = answer.json()
    assert answer.headers["location"] == f"/api/v1/cases/{quote(body['case_id'], safe='')}"
    found = (await gate.as_("requester-1").get(answer.headers["location"])).json()
    assert found["case_id"] == body["case_id"]
    assert found["requester"] == body["requester"] == "requester-1"
    assert found["input"]["payee_account"] == "…5432", "a bank account is shown by its last four"
    assert body["temporal_url"].endswith(f"/namespaces/default/workflows/{quote(body['case_id'], safe='')}")


@pytest.mark.parametrize("reference", ["Inv 7/2027 #3", "Ünïcode 発注", "100% ~2:x", "a?b&c=d", "..", "%2F"])
async def test_any_reference_round_trips_through_every_address(gate: Gate, reference: str) -> None:
    reference = f"{reference} {uuid4().hex[:6]}"
    answer = await gate.post("requester-1", "/cases", payment(reference))
    assert answer.status_code == 201, answer.text
    found = (await gate.as_("requester-1").get(answer.headers["location"])).json()
    assert (found["reference"], found["case_id"]) == (reference, answer.json()["case_id"])
    assert unquote(found["temporal_url"].rsplit("/", 1)[1]) == found["case_id"]
    listed = (await gate.get("requester-1", "/cases", q=reference)).json()["items"]
    assert [case["reference"] for case in listed] == [reference]


async def test_the_same_reference_is_a_duplicate_and_says_in_what_it_differs(gate: Gate) -> None:
    first = payment(f"Dup {uuid4()}")
    case_id = (await gate.post("requester-1", "/cases", first)).json()["case_id"]
    second = {**first, "reference": first["reference"].upper(), "input": {**first["input"], "amount": "7.00"}}
    answer = await gate.post("requester-1", "/cases", second)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    body = answer.json()
    assert (body["case_id"], body["differs"], body["status"]) == (case_id, ["amount"], 409)
    assert body["case_status"]
    assert (await gate.post("admin-1", "/cases", second)).json()["differs"] == ["amount"]  # an admin sees every case


async def test_a_duplicate_of_somebody_elses_case_tells_only_that_the_reference_is_taken(gate: Gate) -> None:
    first = payment(f"Taken {uuid4()}")
    case_id = (await gate.post("requester-1", "/cases", first)).json()["case_id"]
    same = await gate.post("requester-2", "/cases", first)
    other = await gate.post("requester-2", "/cases", {**first, "input": {**first["input"], "amount": "7.00"}})
    assert (same.status_code, same.json()) == (other.status_code, other.json())
    assert same.json() == {
        "type": "urn:holdgate:duplicate-case",
        "title": "Conflict",
        "status": 409,
        "detail": "The reference belongs to a case of another person. Choose another reference",
        "case_id": case_id,
    }
    again = await gate.post("requester-2", "/cases", {**first, "resubmits": case_id})
    free = payment(f"Free {uuid4()}")
    nothing = await gate.post("requester-2", "/cases", {**free, "resubmits": "payment:nothing"})
    assert (again.status_code, nothing.status_code) == (409, 409)
    assert again.json()["detail"].replace(case_id, "") == nothing.json()["detail"].replace("payment:nothing", "")


async def test_a_repeat_with_the_same_idempotency_key_gets_the_first_answer(gate: Gate) -> None:
    body = payment()
    first = await gate.post("requester-1", "/cases", body, Idempotency_Key="k1")
    again = await gate.post("requester-1", "/cases", body, Idempotency_Key="k1")
    assert (again.status_code, again.json()["case_id"]) == (201, first.json()["case_id"])
    other = await gate.post("requester-1", "/cases", payment(), Idempotency_Key="k1")
    assert other.status_code == 409
    assert (await gate.post("requester-2", "/cases", payment(), Idempotency_Key="k1")).status_code == 201


async def test_every_mistake_is_named_by_its_field_at_once(gate: Gate) -> None:
    wrong = payment(amount="-1", currency="XXX", payee_account="GB00") | {"reference": " "}
    errors = (await gate.post("requester-1", "/cases", wrong)).json()["errors"]
    assert {"reference", "amount", "currency", "payee_account"} <= {error["field"] for error in errors}
    for change, field in (
        ({"priority": 6}, "priority"),
        ({"start_at": "2027-01-01T00:00:00"}, "start_at"),
        ({"start_at": "2207-01-01T00:00:00Z"}, "start_at"),
        ({"process": "alchemy"}, "process"),
        ({"surprise": 1}, "surprise"),
    ):
        answer = await gate.post("requester-1", "/cases", {**payment(), **change})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert "payment" in (await gate.post("requester-1", "/cases", {**payment(), "process": "alchemy"})).json()["known"]


async def test_a_start_in_the_future_waits_and_can_be_cancelled(gate: Gate) -> None:
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    answer = await gate.post("requester-1", "/cases", {**payment(), "start_at": later})
    assert (answer.status_code, answer.json()["status"]) == (201, "scheduled")
    case_id = answer.json()["case_id"]
    case = await gate.until(case_id, lambda case: not case["stale"])
    assert case["status"] == "scheduled"
    cancelled = await gate.post("requester-1", f"/cases/{quote(case_id, safe='')}/cancel", {"reason": "not needed"})
    assert cancelled.status_code == 202
    await gate.until(case_id, lambda case: case["status"] == "cancelled")


async def test_a_scheduled_case_is_listed_and_started_early_by_those_who_may(gate: Gate) -> None:
    later = datetime.now(UTC) + timedelta(days=3)
    body = {**payment(), "start_at": later.isoformat()}
    case_id = (await gate.post("requester-1", "/cases", body)).json()["case_id"]
    listed = (await gate.get("requester-1", "/cases", status="scheduled", q=body["reference"])).json()["items"]
    assert [(each["case_id"], datetime.fromisoformat(each["start_at"])) for each in listed] == [(case_id, later)]
    where = f"/cases/{quote(case_id, safe='')}/start"
    assert (await gate.post("requester-2", where)).status_code == 404
    assert (await gate.post("auditor-1", where)).status_code == 403
    first = await gate.post("operator-1", where, Idempotency_Key="early")
    assert (first.status_code, first.json()) == (200, {"case_id": case_id, "status": "running"})
    assert (await gate.post("operator-1", where, Idempotency_Key="early")).json() == first.json()
    late = await gate.post("requester-1", where)
    assert (late.status_code, late.json()["type"].rpartition(":")[2]) == (409, "not-scheduled")
    task = await gate.open_task(case_id)
    assert (await gate.decide("manager-1", task)).status_code == 200
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert [(each["actor"]) for each in case["timeline"] if each["kind"] == "case_started"] == ["operator-1"]
    assert (await gate.post("operator-1", where, Idempotency_Key="early")).json() == first.json()
    assert (await gate.post("operator-1", where)).status_code == 409


async def test_a_cancelled_case_undoes_its_steps_and_may_be_submitted_again(gate: Gate) -> None:
    body = payment()
    case_id = (await gate.post("requester-1", "/cases", body)).json()["case_id"]
    await gate.open_task(case_id)
    plan = (await gate.case(case_id))["rollback_plan"]
    assert [line["undo"] for line in plan] == ["release_funds"]
    where = f"/cases/{quote(case_id, safe='')}/cancel"
    assert (await gate.post("requester-1", where, {"reason": ""})).status_code == 422
    assert (await gate.post("requester-1", where, {"reason": "withdrawn"})).status_code == 202
    case = await gate.until(case_id, lambda case: case["status"] == "cancelled")
    assert case["rollback_plan"] == []
    assert case["result"]["undone"]
    again = await gate.post("operator-1", where, {"reason": "withdrawn"})
    assert (again.status_code, again.json()["outcome"]) == (409, "cancelled")
    assert (await gate.post("requester-1", "/cases", body)).status_code == 409
    second = await gate.post("requester-1", "/cases", {**body, "resubmits": case_id})
    assert (second.status_code, second.json()["case_id"]) == (201, f"{case_id}~2")
    third = await gate.post("requester-1", "/cases", {**body, "resubmits": case_id})
    assert third.status_code == 409


async def test_the_timeline_is_in_order_and_without_doubles(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.decide("manager-1", await gate.open_task(case_id))
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert [item["seq"] for item in case["timeline"]] == list(range(1, len(case["timeline"]) + 1))
    assert case["timeline"][0]["kind"] == "case_submitted"
    assert case["timeline"][-1]["kind"] == "case_closed"


async def test_lists_come_in_pages_newest_first(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    made = [await gate.start(reference=f"page {mark} {number}") for number in range(5)]
    seen: list[str] = []
    cursor = None
    while True:
        params = {"q": mark, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await gate.get("requester-1", "/cases", **params)).json()
        seen += [case["case_id"] for case in page["items"]]
        cursor = page["next_cursor"]
        if not cursor:
            break
    assert seen == made[::-1]
    for wrong in ({"limit": 201}, {"limit": 0}, {"cursor": "forged"}, {"status": "sleeping"}):
        assert (await gate.get("requester-1", "/cases", **wrong)).status_code == 422, wrong
    assert (await gate.get("requester-1", "/tasks", cursor="forged")).status_code == 422
