"""Each end of a case on the real server: its effects, its undos, and its audit events."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from domain.status import Outcome, Status, Verdict
from tests.support.engine_fixture import ONE_GATE, House
from tests.support.errands import ErrandRequest

NO_GATE = """
[errand.gates.approval]
when = "value >= 1000"
groups = ["managers"]
[errand.gates.second]
when = "false"
groups = ["directors"]
"""
EXPIRING = """
[errand.gates.approval]
groups = ["managers"]
due = "1d"
remind = ["4h"]
escalate = [{ after = "1d", to = ["directors"] }]
expires = "3d"
on_expiry = "ON_EXPIRY"
[errand.gates.second]
when = "false"
groups = ["directors"]
"""

DONE = ["fetch", "pack", "send"]
UNDONE = ["fetch", "pack", "unpack", "bring_back"]


async def test_an_approved_case_does_everything_once_and_completes(house: House) -> None:
    case = await house.start()
    receipt = await house.decide(case)
    assert receipt.task.outcome is Outcome.APPROVED and receipt.case_status is Status.RUNNING
    result = await house.end(case)
    assert (result.status, result.output) == (Status.COMPLETED, {"grams": 1000})
    assert house.effects(case) == DONE
    row = await house.row(case)
    assert row.status == "completed" and row.closed_at is not None
    assert result.audit.count == len(await house.recorded(case))
    assert (await house.recorded(case))[-1] == "case_closed"


async def test_a_case_below_the_limit_is_approved_by_a_rule_that_is_recorded(house: House) -> None:
    case = await house.start(ErrandRequest(value=7), policy=NO_GATE)
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.recorded(case)).count("gate_skipped") == 2
    assert house.effects(case) == DONE


async def test_a_rejected_case_undoes_everything_newest_first(house: House) -> None:
    case = await house.start()
    plan = (await house.until(case, lambda s: bool(s.tasks))).rollback_plan
    assert [line.undo for line in plan] == ["unpack", "bring_back"]
    receipt = await house.decide(case, verdict=Verdict.REJECT, comment="too dear")
    assert receipt.case_status is Status.ROLLING_BACK
    result = await house.end(case)
    assert result.status is Status.REJECTED and "too dear" in result.reason and "mia" in result.reason
    assert house.effects(case) == UNDONE
    assert result.undone == ["Unpack a parcel", "Bring back a parcel"]


async def test_a_case_without_a_decision_is_reminded_escalated_and_expires(house: House) -> None:
    case = await house.start(policy=EXPIRING.replace("ON_EXPIRY", "reject"))
    await house.open_task(case)
    await house.forward(case, timedelta(hours=5))
    assert (await house.state(case)).timeline[-1].kind == "gate_reminded"
    await house.forward(case, timedelta(hours=20))
    assert (await house.open_task(case)).candidate_groups == ["managers", "directors"]
    await house.forward(case, timedelta(days=3))
    result = await house.end(case)
    assert result.status is Status.EXPIRED
    assert house.effects(case) == UNDONE
    kinds = await house.recorded(case)
    assert [k for k in kinds if k in ("gate_reminded", "gate_escalated", "gate_expired")] == [
        "gate_reminded",
        "gate_escalated",
        "gate_expired",
    ]


async def test_a_director_may_decide_once_the_task_was_escalated_and_not_before(house: House) -> None:
    case = await house.start(policy=EXPIRING.replace("ON_EXPIRY", "reject"))
    with pytest.raises(Exception, match="Workflow update failed"):
        await house.decide(case, "dora", groups=("directors",))
    await house.forward(case, timedelta(hours=25))
    await house.decide(case, "dora", groups=("directors",))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_an_expiry_may_approve_where_the_policy_says_so(house: House) -> None:
    case = await house.start(policy=EXPIRING.replace("ON_EXPIRY", "approve"))
    await house.open_task(case)
    await house.forward(case, timedelta(days=4))
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.row(case)).status == "completed"


async def test_an_expiry_may_escalate_and_then_ends_at_the_second_one(house: House) -> None:
    case = await house.start(policy=EXPIRING.replace("ON_EXPIRY", "escalate"))
    await house.open_task(case)
    await house.forward(case, timedelta(days=4))
    assert (await house.open_task(case)).candidate_groups == ["managers", "directors"]
    await house.forward(case, timedelta(days=3))
    assert (await house.end(case)).status is Status.EXPIRED


async def test_a_refused_step_ends_the_case_failed_without_asking_anybody(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.refusing.add((case_id, "pack")))
    result = await house.end(case)
    assert result.status is Status.FAILED and "closed for good" in result.reason
    assert house.effects(case) == ["fetch", "bring_back"]
    assert "step_refused" in await house.recorded(case)


async def test_a_case_cancelled_at_a_gate_undoes_everything(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    await house.cancel(case, reason="ordered twice")
    result = await house.end(case)
    assert result.status is Status.CANCELLED and "ordered twice" in result.reason
    assert house.effects(case) == UNDONE
    assert (await case.describe()).status is WorkflowExecutionStatus.COMPLETED
    late = house.decision(task)
    with pytest.raises(Exception, match="already completed"):
        await house.send(case, late)


async def test_a_case_cancelled_during_a_step_ends_the_step_first_and_undoes_it_too(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.slow.add((case_id, "pack")))
    async with asyncio.timeout(10):
        while "pack" not in house.receiver.tried[case.id]:
            await asyncio.sleep(0.02)
    await house.cancel(case)
    house.receiver.released.set()
    try:
        result = await house.end(case)
    finally:
        house.receiver.released.clear()
    assert result.status is Status.CANCELLED
    effects = house.effects(case)
    assert effects[-1] == "bring_back" and effects.count("pack") == effects.count("unpack")


async def test_a_raw_temporal_cancel_undoes_everything_and_completes_the_workflow(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    await case.cancel()
    result = await house.end(case)
    assert result.status is Status.CANCELLED and "temporal" in result.reason
    assert house.effects(case) == UNDONE
    assert (await case.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_a_case_that_starts_tomorrow_waits_and_then_runs(house: House) -> None:
    case = await house.start(start_at=datetime.now(UTC) + timedelta(days=1))
    await house.until(case, lambda s: s.status is Status.SCHEDULED)
    assert house.effects(case) == []
    await house.forward(case, timedelta(days=1, minutes=1))
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_scheduled_case_can_be_cancelled_before_it_starts(house: House) -> None:
    case = await house.start(start_at=datetime.now(UTC) + timedelta(days=1))
    await house.until(case, lambda s: s.status is Status.SCHEDULED)
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == []


async def test_a_second_gate_takes_another_person_than_the_first(house: House) -> None:
    policy = ONE_GATE.replace('when = "false"\ngroups = ["directors"]', 'groups = ["managers"]')
    case = await house.start(policy=policy)
    await house.decide(case, "mia")
    await house.open_task(case, "second")
    with pytest.raises(Exception, match="Workflow update failed") as refused:
        await house.decide(case, "mia")
    assert "another step of this request" in str(refused.value.__cause__)
    await house.decide(case, "max")
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_rule_that_cannot_be_evaluated_opens_the_gate_and_shows_why(house: House) -> None:
    policy = ONE_GATE.replace("[errand.gates.approval]", '[errand.gates.approval]\nwhen = "facts.nonsense > 3"')
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    assert "nonsense" in task.rule
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
