"""Rollback of completed cases, and of cases that somebody ended or reset in Temporal."""

import asyncio
from datetime import timedelta

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from cases.reconcile.closed_in_temporal import Watcher
from cases.rollback import NotRollable, Rollbacks
from domain.case import CaseResult
from domain.status import Outcome, Status, Verdict
from domain.task import TaskView
from store.audit import audit_log
from store.cases import cases, tasks
from tests.support.engine_fixture import ONE_GATE, Handle, House

GUARDED = ONE_GATE + '[errand.gates.rollback]\ngroups = ["directors"]\nexpires = "3d"\n'
DONE = ["fetch", "pack", "send"]
UNDONE = ["recall", "unpack", "bring_back"]


async def completed(house: House) -> Handle:
    case = await house.start()
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    return case


async def told(house: House, case: Handle) -> list[str]:
    async with house.database.read() as connection:
        return [event.summary for event in await audit_log.page(connection, case.id, limit=200)]


async def test_a_completed_case_is_undone_from_the_recorded_plan_newest_first(house: House) -> None:
    case = await completed(house)
    assert [undo.undo for undo in (await house.row(case)).plan] == ["bring_back", "unpack", "recall"]
    rollback = await house.roll_back(case)
    assert rollback.id == f"{case.id}~rollback"
    result = await house.end(rollback)
    assert (result.status, result.reason) == (Status.ROLLED_BACK, "Rolled back by olga: paid twice")
    assert result.output == {"grams": 1000}, "what it had come to stays known"
    assert house.effects(case) == [*DONE, *UNDONE]
    row = await house.row(case)
    assert row.status == "rolled_back" and row.closed_at and row.plan == []
    assert row.result and row.result.undone == ["Recall a parcel", "Unpack a parcel", "Bring back a parcel"]
    assert (await told(house, case))[-1] == "Ended rolled back; 3 of its steps undone"
    assert await house.audit_problems() == []


async def test_a_rollback_is_refused_twice_and_where_there_is_nothing_to_take_back(house: House) -> None:
    case = await completed(house)
    asked = await asyncio.gather(*(house.roll_back(case) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(each, NotRollable) for each in asked) == 4, asked
    rollback = next(each for each in asked if isinstance(each, WorkflowHandle))
    assert (await house.end(rollback)).status is Status.ROLLED_BACK
    with pytest.raises(NotRollable, match="was already rolled back"):
        await house.roll_back(case)
    assert house.effects(case) == [*DONE, *UNDONE]
    rejected = await house.start()
    with pytest.raises(NotRollable, match="has not ended"):
        await house.roll_back(rejected)
    await house.decide(rejected, verdict=Verdict.REJECT)
    await house.end(rejected)
    with pytest.raises(NotRollable, match=r"ended as rejected\. Its steps are already rolled back"):
        await house.roll_back(rejected)


async def test_a_rollback_that_the_receiver_refuses_changes_nothing_and_may_be_asked_for_later(house: House) -> None:
    case = await completed(house)
    house.receiver.refusing.add((case.id, "recall"))
    rollback = await house.roll_back(case)
    assert await rollback.execute_update("begun", id="begun", result_type=str) == "The recall desk is closed for good."
    assert (await house.end(rollback)).status is Status.COMPLETED
    row = await house.row(case)
    assert row.status == "completed" and row.closed_at
    assert "Nothing was undone: The recall desk is closed for good." in await told(house, case)
    assert house.effects(case) == DONE
    house.receiver.refusing.clear()
    again = await house.roll_back(case)
    assert again.id == f"{case.id}~rollback~2"
    assert (await house.end(again)).status is Status.ROLLED_BACK
    assert house.effects(case) == [*DONE, *UNDONE]


async def test_once_something_is_undone_a_refusal_is_a_matter_for_operators(house: House) -> None:
    case = await completed(house)
    house.receiver.refusing.add((case.id, "unpack"))
    rollback = await house.roll_back(case)
    task = await house.open_task(rollback, "intervention")
    assert task.workflow_id == rollback.id and "closed for good" in task.summary
    house.receiver.refusing.clear()
    await house.decide(rollback, "olga", Verdict.RETRY)
    assert (await house.end(rollback)).status is Status.ROLLED_BACK
    assert house.effects(case) == [*DONE, *UNDONE]


@pytest.mark.parametrize("answer", [Verdict.APPROVE, Verdict.REJECT, None])
async def test_where_the_policy_has_a_gate_for_it_a_rollback_waits_for_its_approval(
    house: House, answer: Verdict | None
) -> None:
    case = await completed(house)
    rollback = await house.roll_back(case, by="dan", policy=GUARDED)
    task = await house.open_task(rollback, "rollback")
    assert "dan asks for it: paid twice" in task.summary and task.excluded_users == ["dan"]
    assert task.facts["would_be_undone"][0] == "Recall a parcel"
    assert (await house.row(case)).status == "awaiting_approval"
    if answer is None:
        await house.forward(rollback, timedelta(days=4))
    else:
        await house.decide(rollback, "dora", answer)
    ended = await house.end(rollback)
    assert ended.status is (Status.ROLLED_BACK if answer is Verdict.APPROVE else Status.COMPLETED)
    assert (await house.row(case)).status == ended.status
    assert house.effects(case) == ([*DONE, *UNDONE] if answer is Verdict.APPROVE else DONE)


async def test_a_rollback_that_is_cancelled_in_temporal_before_its_approval_is_called_off(house: House) -> None:
    case = await completed(house)
    rollback = await house.roll_back(case, policy=GUARDED)
    await house.open_task(rollback, "rollback")
    await rollback.cancel()
    assert (await house.end(rollback)).status is Status.COMPLETED
    assert house.effects(case) == DONE


# ---------------------------------------------------------------------------------------------------- ended in Temporal


def watcher(house: House) -> Watcher:
    rollbacks = Rollbacks(house.database, house.env.client, house.starter(ONE_GATE))
    return Watcher(house.database, house.env.client, rollbacks, processes=["errand"])


async def looked(house: House, watching: Watcher, until: int = 1) -> None:
    """Look until so many are found: Temporal's lists lag a little."""
    async with asyncio.timeout(60):
        with house.env.with_time_skipping_disabled():
            found = 0
            while (found := found + await watching.look()) < until:
                await asyncio.sleep(0.1)


async def lost(house: House, case: Handle) -> tuple[Handle, TaskView]:
    """Return a terminated case, and the task in which operators decide about it."""
    await case.terminate(reason="tidying up")
    await looked(house, watcher(house))
    row = await house.row(case)
    rollback: Handle = house.env.client.get_workflow_handle(row.conductor, result_type=CaseResult)
    return rollback, await house.open_task(rollback, "intervention")


async def test_a_terminated_case_is_an_incident_and_is_undone_when_an_operator_says_so(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    rollback, incident = await lost(house, case)
    assert "was terminated in Temporal" in incident.summary and "tidying up" in incident.summary
    assert incident.verdicts == [Verdict.ROLL_BACK, Verdict.DONE_BY_HAND]
    row = await house.row(case)
    assert row.status == "needs_intervention"
    async with house.database.read() as connection:
        stored = await tasks.get(connection, task.task_id)
    assert stored and stored.outcome is Outcome.CANCELLED, "nobody is asked any more what nobody hears"
    await house.decide(rollback, "olga", Verdict.ROLL_BACK)
    result = await house.end(rollback)
    assert result.status is Status.FAILED and "tidying up" in result.reason
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]
    assert await house.audit_problems() == []


async def test_a_case_terminated_in_the_middle_of_a_step_is_undone_with_that_step(house: House) -> None:
    """The step is not recorded yet, and the Workflow still returns the plan."""
    case = await house.start(before=lambda case_id: house.receiver.slow.add((case_id, "pack")))
    async with asyncio.timeout(60):
        while "pack" not in house.receiver.tried[case.id]:
            await asyncio.sleep(0.05)
    assert [undo.step for undo in (await house.row(case)).plan] == ["fetch"]
    async with house.database.write() as connection:
        await cases.mark_running(connection, [case.id], Status.RUNNING)  # as the program that starts a case does
    rollback, incident = await lost(house, case)
    assert incident.facts["would_be_undone"] == ["Unpack a parcel", "Bring back a parcel"]
    house.receiver.slow.clear()
    await house.decide(rollback, "olga", Verdict.ROLL_BACK)
    assert (await house.end(rollback)).status is Status.FAILED
    assert house.effects(case)[-1] == "bring_back"
    house.receiver.released.set()
    await asyncio.sleep(0.3)
    house.receiver.released.clear()
    assert house.effects(case).count("pack") == house.effects(case).count("unpack"), "a late attempt finds its key void"


async def test_a_terminated_case_that_was_settled_by_hand_undoes_nothing(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    rollback, _ = await lost(house, case)
    await house.decide(rollback, "olga", Verdict.DONE_BY_HAND, comment="settled with the courier")
    result = await house.end(rollback)
    assert result.status is Status.FAILED and "settled with the courier" in result.reason
    assert house.effects(case) == ["fetch", "pack"]


async def test_a_rollback_that_is_terminated_too_is_found_and_goes_on_where_it_was(house: House) -> None:
    case = await completed(house)
    house.receiver.broken.add((case.id, "unpack"))
    rollback = await house.roll_back(case)
    await house.until(rollback, lambda state: any(e.kind == "undo_attempt_failed" for e in state.timeline))
    await rollback.terminate(reason="by mistake")
    house.receiver.broken.clear()
    await looked(house, watcher(house))
    row = await house.row(case)
    assert row.conductor == f"{case.id}~rollback~2"
    second: Handle = house.env.client.get_workflow_handle(row.conductor, result_type=CaseResult)
    result = await house.end(second)
    assert result.status is Status.ROLLED_BACK
    assert house.effects(case) == [*DONE, *UNDONE], "what was undone before is not undone again"


async def test_a_rollback_that_was_approved_and_begun_goes_on_after_a_termination_whatever_the_receiver_says(
    house: House,
) -> None:
    case = await completed(house)
    house.receiver.broken.add((case.id, "unpack"))
    rollback = await house.roll_back(case, by="dan", policy=GUARDED)
    await house.decide(rollback, "dora")
    await house.until(rollback, lambda state: any(e.kind == "undo_attempt_failed" for e in state.timeline))
    await rollback.terminate(reason="by mistake")
    house.receiver.broken.clear()
    house.receiver.refusing.add((case.id, "unpack"))
    await looked(house, watcher(house))
    second: Handle = house.env.client.get_workflow_handle(f"{case.id}~rollback~2", result_type=CaseResult)
    task = await house.open_task(second)
    assert task.kind == "intervention", "it is neither asked for again, nor called off: half of it is undone"
    house.receiver.refusing.clear()
    await house.decide(second, "olga", Verdict.RETRY)
    assert (await house.end(second)).status is Status.ROLLED_BACK
    assert house.effects(case) == [*DONE, *UNDONE]


async def test_a_cancel_of_a_lost_case_undoes_it_and_ends_it_cancelled(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    rollback, _ = await lost(house, case)
    await house.cancel(rollback)
    assert (await house.end(rollback)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


# ------------------------------------------------------------------------------------------------------------- resets


async def reset(house: House, case: Handle, before: str, *, reapply: bool = True) -> None:
    """What *Reset* in the Temporal Web UI does: back to the last workflow task before an event of this kind."""
    number, point = EventType.Value(before), 0
    async for event in case.fetch_history_events():
        if event.event_type == number:
            break
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            point = event.event_id
    exclude = (
        []
        if reapply
        else [
            ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
            ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
        ]
    )
    await house.env.client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=house.env.client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=case.id),
            workflow_task_finish_event_id=point,
            request_id=f"reset-{case.id}",
            reason="try again",
            reset_reapply_exclude_types=exclude,
        )
    )


async def test_a_case_reset_to_its_beginning_does_nothing_twice_and_goes_on(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    await reset(house, case, "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED")
    latest = house.env.client.get_workflow_handle(case.id, result_type=CaseResult)
    await looked(house, watcher(house))
    await house.decide(latest)
    assert (await house.end(latest)).status is Status.COMPLETED
    assert house.effects(case) == DONE
    assert (await house.recorded(case)).count("case_reset") == 1
    assert await house.audit_problems() == []


async def test_a_case_reset_to_before_its_decision_asks_again_and_the_inbox_knows(house: House) -> None:
    case = await house.start(
        policy=ONE_GATE.replace('when = "false"\n', ""),  # two gates, so that the case is still open behind the first
    )
    first = await house.open_task(case, "approval")
    await house.decide(case, "mia")
    await house.open_task(case, "second")
    await reset(house, case, "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED", reapply=False)
    latest = house.env.client.get_workflow_handle(case.id, result_type=CaseResult)
    await looked(house, watcher(house))
    task = await house.open_task(latest)
    assert task.task_id == first.task_id
    async with asyncio.timeout(10):
        while True:
            async with house.database.read() as connection:
                stored = await tasks.get(connection, task.task_id)
            if stored and stored.status == "open" and not stored.decisions:
                break
            await asyncio.sleep(0.05)
    await house.decide(latest, "max")
    await house.decide(latest, "dan", groups=("directors",))
    assert (await house.end(latest)).status is Status.COMPLETED
    assert house.effects(case) == DONE


async def test_the_recorded_end_stays_when_an_ended_case_is_reset(house: House) -> None:
    case = await house.start()
    await house.decide(case, verdict=Verdict.REJECT)
    assert (await house.end(case)).status is Status.REJECTED
    await reset(house, case, "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED")
    latest = house.env.client.get_workflow_handle(case.id, result_type=CaseResult)
    assert (await house.end(latest)).status is Status.REJECTED
    assert (await latest.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]
    assert (await house.row(case)).status == "rejected"
    assert await house.audit_problems() == []
