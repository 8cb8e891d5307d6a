"""A step or an undo that fails for technical reasons waits for operators."""

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from tests.house import Handle, House
from workflows.models import Status, TaskView, Verdict

RETRIES_END = timedelta(minutes=5)


async def broken_at(house: House, errand: str) -> tuple[Handle, TaskView]:
    """A case whose errand has failed until its retries ended."""
    case = await house.start(before=lambda case_id: house.receiver.broken.add((case_id, errand)))
    await house.forward(case, RETRIES_END)
    return case, await house.open_task(case, "intervention")


def mend(house: House, case: Handle, errand: str) -> None:
    house.receiver.broken.discard((case.id, errand))


async def test_a_step_whose_retries_end_waits_for_operators_and_says_why(house: House) -> None:
    case, task = await broken_at(house, "pack")
    assert task.kind == "intervention" and task.candidate_groups == ["operators"]
    assert "does not answer" in task.summary
    assert task.verdicts == [Verdict.RETRY, Verdict.SKIP, Verdict.ROLL_BACK]
    assert (await house.state(case)).status is Status.NEEDS_INTERVENTION
    assert (await house.row(case)).status == "needs_intervention"
    await house.cancel(case)
    await house.end(case)


async def test_an_operator_retries_a_mended_step_and_the_case_goes_on(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    mend(house, case, "pack")
    await house.decide(case, "olga", Verdict.RETRY)
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "send"]


async def test_a_retry_that_fails_again_opens_the_next_task(house: House) -> None:
    case, first = await broken_at(house, "pack")
    await house.decide(case, "olga", Verdict.RETRY)
    await house.forward(case, RETRIES_END)
    second = await house.open_task(case, "intervention")
    assert second.task_id != first.task_id
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    assert (await house.end(case)).status is Status.FAILED


async def test_an_operator_skips_a_step_with_a_reason(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    with pytest.raises(Exception, match="Workflow update failed"):
        await house.decide(case, "olga", Verdict.SKIP)
    await house.decide(case, "olga", Verdict.SKIP, comment="packed by hand")
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "send"]


async def test_an_operator_rolls_a_case_back_and_it_ends_failed(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    result = await house.end(case)
    assert result.status is Status.FAILED and "does not answer" in result.reason
    assert house.effects(case) == ["fetch", "bring_back"]


async def test_a_manager_cannot_answer_an_operators_task(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    with pytest.raises(Exception, match="Workflow update failed"):
        await house.decide(case, "mia", Verdict.RETRY, groups=("managers",))
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "bring_back"]


@pytest.mark.parametrize("answer", [Verdict.RETRY, Verdict.SKIP])
async def test_a_failed_undo_waits_for_operators_and_the_rest_is_undone_after(house: House, answer: Verdict) -> None:
    case = await house.start(before=lambda case_id: house.receiver.broken.add((case_id, "unpack")))
    await house.decide(case, verdict=Verdict.REJECT)
    await house.forward(case, RETRIES_END)
    task = await house.open_task(case, "intervention")
    assert task.verdicts == [Verdict.RETRY, Verdict.SKIP]
    assert (await house.state(case)).rollback_plan[0].undo == "unpack"
    mend(house, case, "unpack")
    await house.decide(case, "olga", answer, comment="unpacked by hand")
    result = await house.end(case)
    assert result.status is Status.REJECTED
    undone = [] if answer is Verdict.SKIP else ["unpack"]
    assert house.effects(case) == ["fetch", "pack", *undone, "bring_back"]


async def test_a_cancel_while_an_undo_fails_changes_nothing_and_is_recorded(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.broken.add((case_id, "unpack")))
    await house.decide(case, verdict=Verdict.REJECT)
    await house.forward(case, RETRIES_END)
    await house.open_task(case, "intervention")
    await house.cancel(case)
    await case.cancel()
    state = await house.until(case, lambda s: [e.kind for e in s.timeline].count("cancel_too_late") == 2)
    assert state.status is Status.NEEDS_INTERVENTION
    mend(house, case, "unpack")
    await house.decide(case, "olga", Verdict.RETRY)
    result = await house.end(case)
    assert result.status is Status.REJECTED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]
    assert (await case.describe()).status is WorkflowExecutionStatus.COMPLETED


async def test_a_raw_cancel_out_of_needs_intervention_ends_cancelled(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    await case.cancel()
    result = await house.end(case)
    assert result.status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "bring_back"]
