"""A batch is paused, resumed and cancelled, and rolls back its started cases on request."""

from typing import Any
from uuid import uuid4

import httpx2

from store.audit import audit_log
from tests.api.conftest import Gate, eventually
from tests.api.test_batches import sheet, upload

WAITING, BY_RULE = "1250.00", "12.50"


async def take(gate: Gate, mark: str, count: int, amount: str = WAITING) -> str:
    """Upload so many payments; answers the id of the batch."""
    rows = [f"{mark}-{number},Payee {mark} {number},{amount},GBP,operating," for number in range(count)]
    answer = await upload(gate, sheet(*rows))
    assert answer.status_code == 202, answer.text
    batch_id: str = answer.json()["batch_id"]
    return batch_id


async def until(gate: Gate, batch_id: str, **wanted: Any) -> dict[str, Any]:
    """The batch as soon as it looks so; `started` is the least number of started rows."""
    least = wanted.pop("started", 0)

    async def look() -> dict[str, Any]:
        found: dict[str, Any] = (await gate.get("requester-1", f"/batches/{batch_id}")).json()
        return found

    def holds(batch: dict[str, Any]) -> bool:
        return batch["rows"]["started"] >= least and all(batch[name] == value for name, value in wanted.items())

    found: dict[str, Any] = await eventually(look, holds)
    return found


async def order(gate: Gate, person: str, batch_id: str, act: str, **more: Any) -> httpx2.Response:
    return await gate.post(person, f"/batches/{batch_id}/{act}", {"reason": "the wrong file", **more})


async def events(gate: Gate, batch_id: str) -> list[tuple[str, str]]:
    """Return kind and actor of the audit events of a batch."""
    async with gate.database.read() as conn:
        found = await audit_log.page(conn, limit=100_000)
    return [(each.kind, each.actor) for each in found if each.data.get("batch_id") == batch_id and not each.case_id]


async def test_a_paused_batch_starts_no_row_until_it_is_resumed_and_then_every_row_once(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 202
    paused = await until(gate, batch_id, status="paused")
    assert 0 < paused["rows"]["started"] < 30
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 202  # again: nothing changes
    handle = gate.client.get_workflow_handle(f"batch:{batch_id}")
    running = (await handle.describe()).status
    assert running is not None and running.name == "RUNNING"
    still = (await gate.get("requester-1", f"/batches/{batch_id}")).json()
    assert (still["status"], still["rows"]) == ("paused", paused["rows"])
    assert (await order(gate, "operator-1", batch_id, "resume")).status_code == 202
    done = await until(gate, batch_id, status="completed")
    assert done["rows"]["started"] == 30
    assert sum(done["cases"].values()) == 30
    assert await events(gate, batch_id) == [("batch_paused", "requester-1"), ("batch_running", "operator-1")]


async def test_a_cancelled_batch_gives_up_the_rows_that_are_left_and_its_cases_go_on(gate: Gate) -> None:
    mark = uuid4().hex[:8]
    batch_id = await take(gate, mark, 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "cancel")).status_code == 202
    ended = await until(gate, batch_id, status="cancelled")
    rows = ended["rows"]
    assert rows["started"] + rows["failed"] == rows["valid"] == 30 and rows["failed"] > 0
    failed = (await gate.get("requester-1", f"/batches/{batch_id}/rows", outcome="failed")).json()["items"][0]
    assert failed["errors"][0]["message"] == "cancelled by requester-1 before it was started"
    waiting = await until(gate, batch_id, cases={"awaiting_approval": rows["started"]})
    assert waiting["closed_at"]
    assert (await order(gate, "requester-1", batch_id, "resume")).status_code == 409
    # The rows that were given up are tried again with the same file; those that were started are duplicates.
    again = await take(gate, mark, 30)
    repeated = await until(gate, again, status="completed")
    assert repeated["same_file_as"] == batch_id
    assert (repeated["rows"]["started"], repeated["rows"]["duplicate"]) == (rows["failed"], rows["started"])


async def test_a_batch_is_cancelled_with_what_it_started_while_it_is_imported(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "cancel", rollback_started=True)).status_code == 202
    ended = await until(gate, batch_id, status="cancelled")
    assert ended["cases"] == {"cancelled": ended["rows"]["started"]}


async def test_the_requester_takes_back_what_waits_and_an_operator_what_was_completed_too(gate: Gate) -> None:
    before = (await gate.get("auditor-1", "/ledger/accounts/operating", currency="GBP")).json()
    mark = uuid4().hex[:8]
    rows = [f"{mark}-{n},Payee {mark} {n},{BY_RULE if n % 2 else WAITING},GBP,operating," for n in range(10)]
    batch_id = (await upload(gate, sheet(*rows))).json()["batch_id"]
    await until(gate, batch_id, status="completed", cases={"awaiting_approval": 5, "completed": 5})
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 409
    plain = await order(gate, "requester-1", batch_id, "cancel")
    assert plain.status_code == 409 and "rollback_started" in plain.json()["detail"]
    assert (await order(gate, "requester-1", batch_id, "cancel", rollback_started=True)).status_code == 202
    ended = await until(gate, batch_id, status="cancelled")
    assert ended["cases"] == {"cancelled": 5, "completed": 5}

    batch_id = await take(gate, uuid4().hex[:8], 4, BY_RULE)
    await until(gate, batch_id, status="completed", cases={"completed": 4})
    assert (await order(gate, "operator-1", batch_id, "cancel", rollback_started=True)).status_code == 202
    await until(gate, batch_id, status="cancelled")
    asked = (await gate.get("operator-1", "/cases", batch_id=batch_id)).json()["items"]
    assert {case["status"] for case in asked} <= {"rolling_back", "awaiting_approval", "rolled_back"}
    after = (await gate.get("auditor-1", "/ledger/accounts/operating", currency="GBP")).json()
    assert float(before["held"]) == float(after["held"])
    assert [kind for kind, _ in await events(gate, batch_id)] == ["batch_cancelling", "batch_cancelled"]


async def test_a_batch_workflow_that_is_cancelled_in_temporal_gives_its_rows_up(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    await gate.client.get_workflow_handle(f"batch:{batch_id}").cancel()
    ended = await until(gate, batch_id, status="cancelled")
    assert ended["rows"]["started"] + ended["rows"]["failed"] == 30
    assert ("batch_cancelled", "temporal") in await events(gate, batch_id)


async def test_only_who_uploaded_it_operators_and_admins_order_a_batch(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 1)
    for act in ("pause", "resume", "cancel"):
        assert (await order(gate, "requester-2", batch_id, act)).status_code == 404
        assert (await order(gate, "auditor-1", batch_id, act)).status_code == 403
        without = await gate.post("requester-1", f"/batches/{batch_id}/{act}", {})
        assert without.status_code == 422 and without.json()["errors"][0]["field"] == "reason"
