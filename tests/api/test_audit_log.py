"""The audit log and the ledger over HTTP, policies, processes, and the caller's own data."""

import hashlib
import json
from typing import Any

from tests.api.conftest import Gate


async def audit(gate: Gate, person: str = "auditor-1", **params: Any) -> list[dict[str, Any]]:
    answer = await gate.get(person, "/audit", **params)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_the_audit_events_of_a_case_are_a_chain_and_can_be_read_from_a_cursor(gate: Gate) -> None:
    case_id = await gate.start()
    await gate.decide("manager-1", await gate.open_task(case_id))
    await gate.until(case_id, lambda case: case["status"] == "completed")
    events = await audit(gate, case_id=case_id)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["prev_hash"] for event in events[1:]] == [event["hash"] for event in events[:-1]]
    assert await audit(gate, case_id=case_id, since=events[2]["cursor"]) == events[3:]
    everything = await audit(gate)
    assert len({event["event_id"] for event in everything}) == len(everything)
    assert any(event["case_id"] is None and event["kind"] == "token_made" for event in everything)
    assert (await gate.get("auditor-1", "/audit", since="forged")).status_code == 422


async def test_a_long_record_comes_whole(gate: Gate, monkeypatch: Any) -> None:
    monkeypatch.setattr("api.routes.audit.PAGE", 3)
    positions = [int(event["cursor"]) for event in await audit(gate, "admin-1")]
    assert positions == list(range(1, len(positions) + 1))
    assert len(positions) > 6


async def test_a_hold_lowers_what_is_available_and_a_payment_the_balance(gate: Gate) -> None:
    async def account() -> dict[str, Any]:
        found: dict[str, Any] = (await gate.get("auditor-1", "/ledger/accounts/operating", currency="GBP")).json()
        return found

    before = await account()
    case_id = await gate.start(amount="1000.00")
    task = await gate.open_task(case_id)
    held = await account()
    assert held["balance"] == before["balance"]
    assert float(before["available"]) - float(held["available"]) == 1000
    await gate.decide("manager-1", task)
    case = await gate.until(case_id, lambda case: case["status"] == "completed")
    assert float(before["balance"]) - float((await account())["balance"]) == 1000
    entries = (await gate.get("auditor-1", "/ledger/entries", reference=case["reference"])).json()["items"]
    assert [entry["kind"] for entry in entries] == ["hold", "capture"]
    assert all(line["debit"] or line["credit"] for entry in entries for line in entry["lines"])
    assert (await gate.get("auditor-1", "/ledger/accounts/none", currency="GBP")).status_code == 404
    assert (await gate.get("auditor-1", "/ledger/accounts/operating")).status_code == 422


async def test_a_pinned_policy_can_be_read_by_its_hash(gate: Gate) -> None:
    policy_hash = (await gate.case(await gate.start()))["policy_hash"]
    body = (await gate.get("auditor-1", f"/policies/{policy_hash}")).json()
    assert hashlib.sha256(body["text"].encode()).hexdigest() == body["hash"] == policy_hash
    assert (await gate.get("auditor-1", f"/policies/{'0' * 64}")).status_code == 404


async def test_a_process_tells_what_it_takes_and_who_decides(gate: Gate) -> None:
    one = (await gate.get("requester-1", "/processes/payment")).json()
    assert one in (await gate.get("requester-1", "/processes")).json()["items"]
    assert "amount" in one["input"]["properties"]
    assert one["words"]["steps"]["release_funds"]
    assert {"fraud-review", "manager-approval"} <= {gate_["gate"] for gate_ in one["gates"]}
    assert (await gate.get("requester-1", "/processes/alchemy")).status_code == 404


async def test_a_person_learns_who_they_are(gate: Gate) -> None:
    assert (await gate.get("manager-1", "/me")).json() == {
        "id": "manager-1",
        "name": "Manager-1",
        "groups": ["managers"],
    }
