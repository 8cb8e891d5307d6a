"""Somebody starts Workflows in Temporal: only the start input that Holdgate stored has an effect."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.common import RawValue, SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ApplicationError

from activities.engine.records import NoCase
from cases import sql_records
from core.payloads import data_converter
from domain.case import CaseInput, CaseResult
from domain.names import PROCESS_ATTRIBUTE, TASK_QUEUE
from domain.records import CaseRecord, CaseStart
from domain.start_digest import CASE_FACTS, ROLLBACK_FACTS, start_digest
from domain.status import Status
from store.audit import audit_log
from tests.support.engine_fixture import Handle, House
from workflows.engine.journal import Journal
from workflows.engine.saga import Saga

CHANGES: dict[str, Any] = {
    "reference": "another",
    "round": 2,
    "resubmits": "errand:other",
    "parent": "errand:parent",
    "requester": "rita-2",
    "priority": 1,
    "batch_id": "b-1",
    "policy_hash": "0" * 64,
    "input": {"parcel": "a parcel", "value": 900_000},
    "steps": {"fetch": {"attempts": 1}},
    "own_gates": ["intervention"],
    "operators": ["managers"],
}


async def sent(house: House, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]]:
    """Store a case, and return its id and the start input that Holdgate would have sent."""
    starts: list[tuple[str, Any]] = []

    async def keep(self: Any, workflow: str, argument: Any, **options: Any) -> None:
        starts.append((options["id"], argument))

    with monkeypatch.context() as patched:
        patched.setattr(type(house.env.client), "start_workflow", keep)
        await house.start()
    ((case_id, argument),) = starts
    return case_id, json.loads(data_converter.payload_converter.to_payload(argument).data)


async def begun(house: House, case_id: str, start: dict[str, Any]) -> Handle:
    """Start a Workflow in Temporal with this input, as anybody with access to the namespace can."""
    (payload,) = data_converter.payload_converter.to_payloads([start])
    with house.env.with_time_skipping_disabled():
        return await house.env.client.start_workflow(
            "errand",
            RawValue(payload),
            id=case_id,
            task_queue=TASK_QUEUE,
            result_type=CaseResult,
            search_attributes=TypedSearchAttributes([SearchAttributePair(PROCESS_ATTRIBUTE, "errand")]),
        )


async def test_the_start_input_that_was_stored_runs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id, start = await sent(house, monkeypatch)
    case = await begun(house, case_id, start)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.parametrize("field", CHANGES)
async def test_another_start_input_has_no_effect_and_is_recorded(
    house: House, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    case_id, start = await sent(house, monkeypatch)
    case = await begun(house, case_id, start | {field: CHANGES[field]})
    with pytest.raises(WorkflowFailureError) as failed:
        await house.end(case)
    assert "did not start" in str(failed.value.cause)
    assert house.effects(case) == []
    row = await house.row(case)
    assert row.plan == [] and row.status is Status.STARTING
    async with house.database.read() as connection:
        events = await audit_log.page(connection, case_id=case_id, limit=10)
    (event,) = [event for event in events if event.kind == "message_refused"]
    assert (event.actor, event.data["message"]) == ("temporal", "start")
    assert await house.audit_problems() == []


async def test_many_refused_starts_do_not_fill_the_audit_log(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_records, "LISTED", 2)
    case_id, start = await sent(house, monkeypatch)
    store = sql_records.SqlRecords(house.database, house.policies)
    terms = {
        name: start[name] for name in ("policy_hash", "process", "steps", "own_gates", "operators") if name in start
    }
    for number in range(4):
        forged = CaseStart(digest=f"{number}" * 64, **terms)
        with pytest.raises(NoCase):
            await store.record(CaseRecord(case_id=case_id, status=Status.RUNNING, start=forged))
    async with house.database.read() as connection:
        assert await audit_log.count(connection, case_id, "message_refused") == 2


@pytest.mark.plain_payloads
@pytest.mark.parametrize("as_rollback", [False, True], ids=["another input", "the input of the rollback"])
async def test_a_start_of_a_case_that_was_rolled_back_adds_nothing_to_its_audit_log(
    house: House, as_rollback: bool
) -> None:
    case = await house.start()
    await house.decide(case)
    await house.end(case)
    rollback = await house.roll_back(case)
    await house.end(rollback)
    async with house.database.read() as connection:
        before = await audit_log.page(connection, case_id=case.id, limit=100)
    start = await start_of(rollback if as_rollback else case)
    if not as_rollback:
        start["input"] |= {"value": 900_000}
    with pytest.raises(WorkflowFailureError) as failed:
        await house.end(await begun(house, case.id, start))
    assert "did not start" in str(failed.value.cause)
    async with house.database.read() as connection:
        *same, event = await audit_log.page(connection, case_id=case.id, limit=100)
    assert same == before and (event.kind, event.data["message"]) == ("message_refused", "start")


async def test_after_a_refused_start_each_write_raises_so_that_no_step_or_undo_can_follow() -> None:
    journal = Journal("errand:x", Saga())
    journal.unknown_case = ApplicationError("Holdgate did not start errand:x with this input.", type="NoCase")
    for _ in range(2):
        with pytest.raises(ApplicationError, match="did not start"):
            await journal.write(Status.RUNNING)


async def start_of(case: Handle) -> dict[str, Any]:
    """Return the start input in the history of a Workflow."""
    async for each in case.fetch_history_events():
        (payload,) = each.workflow_execution_started_event_attributes.input.payloads
        start: dict[str, Any] = json.loads(payload.data)
        return start
    raise AssertionError("the history is empty")


def test_the_digest_covers_each_field_of_a_start_input() -> None:
    """A new field of CaseInput needs a decision: covered by the digest, or by the policy with `policy_hash`."""
    by_policy = {"steps", "own_gates", "operators"}
    assert {*CaseInput.model_fields} == {*CASE_FACTS} | by_policy | {"submitted_at", "salt"}
    start = dict.fromkeys(CASE_FACTS, "x") | {"start_at": None}
    for name in CASE_FACTS:
        changed = datetime.now(UTC) if name == "start_at" else "y"
        assert start_digest(start) != start_digest(start | {name: changed}), name
    rollback = dict.fromkeys(ROLLBACK_FACTS, "x")
    for name in ROLLBACK_FACTS:
        assert start_digest(rollback) != start_digest(rollback | {name: "y"}), name
    for each in (start, rollback):
        salted = [start_digest(each | {"salt": salt}) for salt in (None, "5a", "a5")]
        assert len({start_digest(each), *salted}) == 3, "a case of an earlier version has no salt"
