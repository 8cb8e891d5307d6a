"""Decisions by Update and by Signal: repeated, late, unauthorised, stale, malformed, early, and concurrent."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from domain.ids import task_id_for
from domain.messages import Actor, Decision
from domain.status import Outcome, Status, Verdict
from tests.support.engine_fixture import ONE_GATE, Handle, House


async def the_refusal(house: House, case: Handle, decision: Decision) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await house.send(case, decision)
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def test_the_same_decision_twice_is_one_decision_with_one_receipt(house: House) -> None:
    case = await house.start()
    decision = house.decision(await house.open_task(case))
    first, second = await asyncio.gather(house.send(case, decision), house.send(case, decision))
    assert first == second
    await house.end(case)
    assert await house.send(case, decision) == first, "also after the case has ended"
    assert (await house.recorded(case)).count("decided") == 1


async def test_a_decision_by_update_and_by_signal_counts_once(house: House) -> None:
    policy = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nquorum = 2', 1)
    case = await house.start(policy=policy)
    decision = house.decision(await house.open_task(case))
    await case.signal("submit_decision", decision)
    await house.until(case, lambda s: s.tasks[0].quorum.given == 1)
    await house.send(case, decision)
    await case.signal("submit_decision", decision)
    assert (await house.open_task(case)).quorum.given == 1
    await house.decide(case, "max")
    await house.end(case)
    assert (await house.recorded(case)).count("decided") == 2
    assert "decision_refused" not in await house.recorded(case)


async def test_a_signal_is_refused_like_an_update_and_the_refusal_is_recorded(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    await case.signal("submit_decision", house.decision(task, "rita"))
    await house.until(case, lambda s: s.timeline[-1].kind == "decision_refused")
    assert (await house.state(case)).tasks[0].status == "open"
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert "decision_refused" in await house.recorded(case)


async def test_a_signal_that_comes_before_its_task_waits_for_it(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.slow.add((case_id, "fetch")))
    early = Decision(
        id="early",
        task_id=task_id_for(case.id, "approval", 1),
        verdict=Verdict.APPROVE,
        by=Actor(id="mia", groups=["managers"]),
        revision=1,
        at=datetime.now(UTC),
    )
    await case.signal("submit_decision", early)
    house.receiver.released.set()
    try:
        assert (await house.end(case)).status is Status.COMPLETED
    finally:
        house.receiver.released.clear()


async def test_an_update_that_comes_before_its_task_is_told_to_try_again(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    unknown = house.decision(task).model_copy(update={"task_id": "t-unknown"})
    assert (await the_refusal(house, case, unknown)).type == "NotReady"
    await house.decide(case)
    await house.end(case)


async def test_an_id_reused_with_another_answer_is_refused(house: House) -> None:
    policy = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nquorum = 2', 1)
    case = await house.start(policy=policy)
    decision = house.decision(await house.open_task(case))
    await case.signal("submit_decision", decision)
    await house.until(case, lambda s: s.tasks[0].quorum.given == 1)
    other = decision.model_copy(update={"verdict": Verdict.REJECT})
    assert (await the_refusal(house, case, other)).type == "Reused"
    await house.decide(case, "max", Verdict.REJECT)
    assert (await house.end(case)).status is Status.REJECTED


async def test_a_refused_update_leaves_no_trace_in_history(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    before = (await case.describe()).history_length
    assert (await the_refusal(house, case, house.decision(task, "rita"))).type == "NotAllowed"
    assert (await case.describe()).history_length == before
    await house.decide(case)
    await house.end(case)


async def test_a_malformed_update_is_refused_and_the_case_goes_on(house: House) -> None:
    case = await house.start()
    await house.open_task(case)
    with pytest.raises(WorkflowUpdateFailedError):
        await case.execute_update("decide", {"task_id": 7})
    malformed: Any = {"nonsense": True}
    await case.signal("submit_decision", malformed)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.parametrize("round_", [0, *(pytest.param(n, marks=pytest.mark.soak) for n in range(1, 10))])
async def test_fifty_people_at_once_end_one_task_one_way_and_all_are_told_which(house: House, round_: int) -> None:
    case = await house.start()
    task = await house.open_task(case)
    decisions = [house.decision(task, f"person-{n}", (Verdict.APPROVE, Verdict.REJECT)[n % 2]) for n in range(50)]

    async def outcome(decision: Decision) -> tuple[bool, str]:
        while True:
            try:
                receipt = await house.send(case, decision)
            except WorkflowUpdateFailedError as error:
                assert isinstance(error.cause, ApplicationError) and error.cause.type == "AlreadyClosed"
                return False, error.cause.details[0]["outcome"]
            except RPCError as busy:  # the server takes ten at a time; the gateway asks again, too
                if busy.status is RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.1)
                continue
            assert receipt.task.outcome
            return True, receipt.task.outcome.value

    # A time limit of our own: that of pytest may interrupt one of the fifty, whose end is then only one of the answers.
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*map(outcome, decisions), return_exceptions=True)
    late = [answer for answer in answers if isinstance(answer, BaseException)]
    # The case may close before the last callers are heard; the gateway answers those from the database.
    assert all(isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND for error in late), late
    told = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert sum(accepted for accepted, _ in told) == 1
    assert len({name for _, name in told}) == 1
    result = await house.end(case)
    expected = Outcome.APPROVED if result.status is Status.COMPLETED else Outcome.REJECTED
    assert told[0][1] == expected.value


async def test_a_decision_without_a_revision_counts_only_if_the_policy_allows_it(house: House) -> None:
    case = await house.start()
    blind = house.decision(await house.open_task(case), revision=None)
    refused = await the_refusal(house, case, blind)
    assert (refused.type, refused.details[0]["revision"]) == ("RevisionNeeded", 1)
    await case.signal("submit_decision", blind)
    state = await house.until(case, lambda s: any(event.kind == "decision_refused" for event in s.timeline))
    assert [event.data["code"] for event in state.timeline if event.kind == "decision_refused"] == ["RevisionNeeded"]
    assert state.tasks[0].decisions == []
    await house.cancel(case)
    lenient = ONE_GATE.replace('groups = ["managers"]', 'groups = ["managers"]\nrevision = "optional"', 1)
    case = await house.start(policy=lenient)
    await house.send(case, house.decision(await house.open_task(case), revision=None))
    assert (await house.end(case)).status is Status.COMPLETED
