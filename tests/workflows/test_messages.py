"""A Workflow survives every message: it answers, and its case can still be decided and cancelled."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from domain.case import CaseEvent, CaseResult
from domain.messages import Action, Decision
from domain.names import MAX_IDLE_MESSAGES
from domain.refusals import RefusalCode
from domain.status import Status, Verdict
from store.audit import audit_log
from tests.support.engine_fixture import Handle, House
from tests.support.signatures import signed_json
from workflows.batch import BatchWorkflow

JSON = {"encoding": b"json/plain"}
PAYLOADS: dict[str, list[Payload]] = {
    "nothing": [],
    "null": [Payload(metadata={"encoding": b"binary/null"})],
    "json null": [Payload(metadata=JSON, data=b"null")],
    "a number": [Payload(metadata=JSON, data=b"7")],
    "a text": [Payload(metadata=JSON, data=b'"now"')],
    "a list": [Payload(metadata=JSON, data=b"[]")],
    "an empty object": [Payload(metadata=JSON, data=b"{}")],
    "other fields": [Payload(metadata=JSON, data=b'{"by": {"id": "mia"}, "id": 3, "at": "yesterday"}')],
    "broken JSON": [Payload(metadata=JSON, data=b'{"by": ')],
    "bytes": [Payload(metadata={"encoding": b"binary/plain"}, data=b"\xff\x00")],
    "another encoding": [Payload(metadata={"encoding": b"rot13"}, data=b"uryyb")],
    "no encoding": [Payload(data=b"hello")],
    "two parts": [Payload(metadata=JSON, data=b"{}"), Payload(metadata=JSON, data=b"null")],
    "a megabyte": [Payload(metadata=JSON, data=b'{"reason": "' + b"x" * 1_000_000 + b'"}')],
}
SIGNALS = ("cancel_case", "submit_decision", "submit_action", "resynchronise", "case_ended", "cancel_cse")
UPDATES = ("decide", "act", "start_now", "begun", "deside")
QUERIES = ("status", "plan", "nonsense")


async def signal(case: Handle, name: str, payloads: list[Payload]) -> None:
    """As the command line does, whatever the SDK thinks of it."""
    client = case._client
    await client.workflow_service.signal_workflow_execution(
        SignalWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case.id),
            signal_name=name,
            input=Payloads(payloads=payloads),
            request_id=uuid.uuid4().hex,
        )
    )


async def update(case: Handle, name: str, payloads: list[Payload]) -> bool:
    """Whether an Update was accepted; fails where nobody answers."""
    with_raw = [RawValue(each) for each in payloads]
    try:
        async with asyncio.timeout(60):
            await case.execute_update(name, args=with_raw, id=uuid.uuid4().hex)
    except WorkflowUpdateFailedError:
        return False
    return True


async def bombard(case: Handle) -> None:
    """Send everything to every handler, and wait until the case has taken it."""
    for payloads in PAYLOADS.values():
        for name in SIGNALS:
            await signal(case, name, payloads)
    for payloads in PAYLOADS.values():
        for name in UPDATES:
            await update(case, name, payloads)
        for name in QUERIES:
            try:
                async with asyncio.timeout(60):
                    await case.query(name, args=[RawValue(each) for each in payloads])
            except (WorkflowQueryFailedError, RPCError):
                pass


async def refused(house: House, case_id: str) -> list[audit_log.StoredEvent]:
    async with house.database.read() as conn:
        found = await audit_log.page(conn, case_id=case_id, limit=1000)
    return [event for event in found if event.kind == "message_refused"]


@pytest.mark.plain_payloads
async def test_a_case_that_was_sent_everything_is_decided(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    await bombard(case)
    assert (await house.state(case)).status is Status.AWAITING_APPROVAL
    assert (await house.open_task(case)).task_id == task.task_id
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    await house.refusals.finish()
    events = await refused(house, case.id)
    assert {event.actor for event in events} == {"temporal"}, "nothing proves who sent them"
    assert {event.data["message"] for event in events if event.data["via"] == "signal"} == set(SIGNALS)
    assert {event.data["message"] for event in events if event.data["via"] == "update"} >= {"decide", "act", "deside"}
    assert {event.data["code"] for event in events if event.data["message"] == "deside"} == {"Unknown"}
    assert "mia" in {event.data["claimed"] for event in events}
    assert all(len(event.summary) < 2_000 for event in events)
    assert await house.audit_problems() == []


async def test_a_case_that_was_sent_everything_is_cancelled(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    await bombard(case)
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


async def test_a_rollback_that_was_sent_everything_goes_on(house: House) -> None:
    policy = '[errand.gates.approval]\ngroups = ["managers"]\n[errand.gates.second]\nwhen = "false"\n'
    policy += 'groups = ["directors"]\n[errand.gates.rollback]\ngroups = ["directors"]\n'
    case = await house.start(policy=policy)
    await house.decide(case)
    await house.end(case)
    rollback = await house.roll_back(case, policy=policy)
    await house.open_task(rollback, "rollback")
    await bombard(rollback)
    await house.decide(rollback, "dora")
    assert (await house.end(rollback)).status is Status.ROLLED_BACK
    assert len(await refused(house, case.id)) > 0, "of the case, though another Workflow was told"


async def test_what_a_flood_of_messages_held_is_counted_in_one_event(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    for _ in range(MAX_IDLE_MESSAGES + 30):
        await signal(case, "cancel_case", [])
    await house.decide(case)
    await house.end(case)
    async with house.database.read() as conn:
        events = await audit_log.page(conn, case_id=case.id, limit=1000)
    kinds = [event.kind for event in events]
    assert kinds.count("message_refused") == MAX_IDLE_MESSAGES
    (counted,) = [event for event in events if event.kind == "messages_counted"]
    assert counted.data["count"] == 30


async def test_refused_updates_are_listed_up_to_a_hundred_and_then_counted(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    for _ in range(13):
        await asyncio.gather(*(update(case, "decide", []) for _ in range(10)))
    await house.refusals.finish()
    events = await refused(house, case.id)
    assert len(events) == 100
    async with house.database.read() as conn:
        found = await audit_log.page(conn, case_id=case.id, limit=1000)
    (counted,) = [event for event in found if event.kind == "messages_counted"]
    assert counted.data == {"count": 30, "messages": {"decide": 30}}


async def test_a_refusal_that_the_gateway_has_recorded_is_not_recorded_again(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    decision = house.decision(task, "rita")
    with pytest.raises(WorkflowUpdateFailedError):
        await house.send(case, decision)
    assert await house.refusals.look() == 0, "it waits for the gateway, whose id this may be"
    event = CaseEvent(
        event_id=f"refusal/{uuid.uuid4()}",
        case_id=case.id,
        at=decision.at,
        kind="decision_refused",
        actor="rita",
        summary="rita was refused to approve",
        data={"decision_id": decision.id},
    )
    async with house.database.write() as conn:
        await audit_log.append(conn, [event])
    await house.refusals.finish()
    assert await refused(house, case.id) == []

    other = house.decision(task, "rita")
    with pytest.raises(WorkflowUpdateFailedError):
        await house.send(case, other)
    await house.refusals.finish()
    (found,) = await refused(house, case.id)
    assert (found.actor, found.data["claimed"], found.data["code"]) == ("temporal", "rita", "NotAllowed")


def test_a_batch_that_refuses_an_unknown_message_does_not_call_itself_a_case() -> None:
    batch = BatchWorkflow()
    batch.unknown_signal("stop", [])
    with pytest.raises(ApplicationError) as update_refused:
        batch._refuse_unknown_update("stop", [])
    ((name, refusal),) = batch.refused
    assert name == "stop" and refusal.code == RefusalCode.UNKNOWN_MESSAGE
    assert "of this name here" in str(refusal) and "of this name here" in str(update_refused.value)


FAR = ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59+00:00")


@pytest.mark.plain_payloads
@pytest.mark.parametrize("at", FAR)
async def test_moments_at_the_end_of_time_stop_no_case(house: House, at: str) -> None:
    case = await house.start()
    task = await house.open_task(case)
    by = {"id": "ada", "groups": ["admins", "managers"]}
    move = {"id": f"m{at}", "task_id": task.task_id, "act": "set_clock", "by": by, "text": "far", "at": at}
    for clock in ({"due_at": at}, {"expires_at": at}):
        sent = signed_json(case.id, Action, move | clock)
        await case.signal("submit_action", sent)
        await update(case, "act", [await payload(case, sent)])
    early = {"id": "x", "task_id": "no", "verdict": "approve", "by": by, "at": at}
    await case.signal("submit_decision", signed_json(case.id, Decision, early))
    said = {"id": f"d{at}", "task_id": task.task_id, "verdict": "approve", "revision": 1, "by": by, "at": at}
    await case.signal("submit_decision", signed_json(case.id, Decision, said))
    assert (await house.end(case)).status is Status.COMPLETED
    assert await house.audit_problems() == []


async def payload(case: Handle, value: Any) -> Payload:
    (made,) = await case._client.data_converter.encode([value])
    return made


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.REJECT])
async def test_rules_with_moments_at_the_end_of_time_stop_no_case(house: House, verdict: Verdict) -> None:
    case = await house.start()
    task = await house.open_task(case)
    ruling = {
        "needed": True,
        "rule": "far",
        "groups": ["managers"],
        "due_at": FAR[0],
        "reminders": [FAR[1], FAR[0]],
        "escalations": [{"at": FAR[0], "groups": ["directors"]}],
        "expires_at": FAR[0],
        "on_expiry": "escalate",
        "changes_for": "P900000000D",
        "pause_for_questions": True,
    }
    by = {"id": "ada", "groups": ["admins"]}
    new = {"id": "n", "task_id": task.task_id, "act": "new_rules", "by": by, "ruling": ruling, "at": FAR[2]}
    await case.signal("submit_action", signed_json(case.id, Action, new))
    state = await house.until(case, lambda s: s.tasks[0].rule == "far")
    assert state.tasks[0].clock
    await house.decide(case, verdict=verdict)
    assert (await house.end(case)).status.closed


async def test_a_start_at_the_end_of_time_waits_and_can_be_cancelled(house: House) -> None:
    case = await house.start(start_at=datetime(9999, 12, 31, 23, 59, tzinfo=UTC) - timedelta(days=1))
    await house.until(case, lambda s: s.status is Status.SCHEDULED)
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED


async def test_a_field_that_gives_an_impossible_end_is_named_and_the_case_is_decided(house: House) -> None:
    policy = """
[errand.gates.approval]
groups = ["managers"]
due = "value * 10000000"
expires = "value > 50 ? timestamp('9999-12-31T23:59:59-12:00') : timestamp('2027-01-01T00:00:00Z')"
on_expiry = "escalate"
escalate = [{ after = "1d", to = ["directors"] }]
[errand.gates.second]
when = "false"
groups = ["directors"]
"""
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    assert "within ten years" in task.rule and task.expires_at is None
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.parametrize("process", ["errand", "approval", "payment", "rollback", "batch"])
@pytest.mark.parametrize("input", [None, {}, "text", "fits"])
async def test_what_was_started_by_hand_fails_clearly(house: House, process: str, input: Any) -> None:
    now = datetime.now(UTC).isoformat()
    if input == "fits":
        of_case: dict[str, Any] = {
            "case_id": "x:1",
            "process": process,
            "reference": "1",
            "requester": "rita",
            "policy_hash": "0",
        }
        of_case |= {"submitted_at": now, "title": "t", "key_fields": {}, "money": None, "shown": {}, "plan": []}
        errand = {"parcel": "p"}
        approval = {"title": "May I?", "candidates": ["managers"]}
        payment = {"payee": "Acme", "amount": "1", "currency": "GBP", "iban": "GB33BUKB20201555555555"}
        of_case["input"] = {"errand": errand, "approval": approval, "payment": payment}.get(process, {})
        input = of_case | {"batch_id": "b1", "filename": "f", "total": 1}
    with house.env.with_time_skipping_disabled():
        case = await house.env.client.start_workflow(
            process,
            args=[] if input is None else [input],
            id=f"by-hand-{uuid.uuid4()}",
            task_queue="holdgate",
            result_type=CaseResult,
        )
    with pytest.raises(Exception) as failed:
        await house.end(case)
    assert "Holdgate did not start this Workflow" in str(failed.value.__cause__)


async def test_a_case_without_a_row_does_nothing_and_fails_clearly(house: House) -> None:
    now = datetime.now(UTC).isoformat()
    case_id = f"errand:{uuid.uuid4()}"
    input: dict[str, Any] = {
        "case_id": case_id,
        "process": "errand",
        "reference": "1",
        "requester": "rita",
        "policy_hash": "0",
    }
    input |= {"submitted_at": now, "input": {"parcel": "p"}}
    with house.env.with_time_skipping_disabled():
        case: Handle = await house.env.client.start_workflow(
            "errand", input, id=case_id, task_queue="holdgate", result_type=CaseResult
        )
    with pytest.raises(Exception) as failed:
        await house.end(case)
    assert "no case" in str(failed.value.__cause__)
    assert house.effects(case) == []
