"""Messages that Workflows refuse, seen through the gateway: recorded once, and no obstacle for an import."""

from uuid import uuid4

from cases.reconcile.lost_batches import WHY, LostImports
from store.audit import audit_log
from store.cases import batches
from tests.api.conftest import Gate
from tests.api.test_batch_orders import order, take, until
from tests.workflows.test_messages import PAYLOADS, signal, update


async def told(gate: Gate, case_id: str) -> list[audit_log.StoredEvent]:
    async with gate.database.read() as conn:
        found = await audit_log.page(conn, case_id=case_id, limit=10_000)
    return [event for event in found if event.kind in ("message_refused", "decision_refused", "action_refused")]


async def test_what_the_gateway_has_recorded_is_not_recorded_again(gate: Gate) -> None:
    case_id = await gate.start(amount="700.00")
    task = await gate.open_task(case_id)
    assert (await gate.decide("manager-1", task, revision=7)).status_code == 409
    body = {"reason": "handed over", "to": "manager-2"}
    assert (await gate.post("manager-1", f"/tasks/{task['task_id']}/reassign", body)).status_code == 403
    await gate.refusals.finish()
    refused = await told(gate, case_id)
    assert [(event.kind, event.actor) for event in refused] == [
        ("decision_refused", "manager-1"),
        ("action_refused", "manager-1"),
    ]


async def test_what_was_sent_past_the_gateway_is_recorded_and_shown_as_of_nobody_in_particular(gate: Gate) -> None:
    case_id = await gate.start(amount="700.00")
    task = await gate.open_task(case_id)
    case = gate.client.get_workflow_handle(case_id)
    for payloads in PAYLOADS.values():
        assert not await update(case, "decide", payloads)
        await signal(case, "cancel_case", payloads)
    assert (await gate.decide("manager-1", task)).status_code == 200
    await gate.until(case_id, lambda case: case["status"] == "completed")
    await gate.refusals.finish()
    refused = await told(gate, case_id)
    assert {event.actor for event in refused} == {"temporal"}
    assert len(refused) >= 2 * (len(PAYLOADS) - 1)


async def test_an_import_that_was_sent_everything_goes_on_and_the_audit_log_tells_of_it(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 202
    await until(gate, batch_id, status="paused")
    batch = gate.client.get_workflow_handle(f"batch:{batch_id}")
    for payloads in PAYLOADS.values():
        for name in ("order", "odrer"):
            await signal(batch, name, payloads)
        assert not await update(batch, "order", payloads)
    assert (await order(gate, "operator-1", batch_id, "resume")).status_code == 202
    assert (await until(gate, batch_id, status="completed"))["rows"]["started"] == 30
    await gate.refusals.finish()
    refused = [event for event in await told(gate, "") if event.data.get("workflow_id") == batch.id]
    assert {(event.data["message"], event.data["via"]) for event in refused} >= {
        ("order", "signal"),
        ("odrer", "signal"),
        ("order", "update"),
    }


async def test_an_import_that_was_ended_in_temporal_ends_and_says_what_to_do(gate: Gate) -> None:
    batch_id = await take(gate, uuid4().hex[:8], 30)
    await until(gate, batch_id, started=1)
    assert (await order(gate, "requester-1", batch_id, "pause")).status_code == 202
    await until(gate, batch_id, status="paused")
    await gate.client.get_workflow_handle(f"batch:{batch_id}").terminate(reason="tidying up")
    looks = LostImports(gate.database, gate.client)
    assert [await looks.look() for _ in range(3)] == [0, 1, 0]
    ended = await until(gate, batch_id, status="failed")
    assert ended["rows"]["failed"] > 0 and ended["rows"]["started"] + ended["rows"]["failed"] == 30
    async with gate.database.read() as conn:
        rows = await batches.rows(conn, batch_id, limit=100)
    assert {row.errors[0].message for row in rows if row.outcome == "failed"} == {WHY}
