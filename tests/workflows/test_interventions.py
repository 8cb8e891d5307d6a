"""A step or an undo that fails for technical reasons waits for operators."""

import json
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.status import Outcome, Status, Verdict
from domain.task import TaskView
from store.audit import audit_log
from tests.support.engine_fixture import ONE_GATE, Handle, House

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
    assert task.verdicts == [Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND, Verdict.ROLL_BACK]
    assert (await house.state(case)).status is Status.NEEDS_INTERVENTION
    assert (await house.row(case)).status == "needs_intervention"
    await house.cancel(case)
    await house.end(case)


async def test_an_operator_retries_a_corrected_step_and_the_case_continues(house: House) -> None:
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
    assert task.verdicts == [Verdict.RETRY, Verdict.SKIP, Verdict.DONE_BY_HAND]
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


async def test_fixed_input_starts_the_procedure_again_and_asks_people_again(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.broken.add((case_id, "send")))
    await house.decide(case, "mia")
    await house.forward(case, RETRIES_END)
    task = await house.open_task(case, "intervention")
    assert task.editable == ["parcel", "value"]
    mend(house, case, "send")
    receipt = await house.decide(case, "olga", Verdict.RETRY, edits={"value": 70})
    assert receipt.task.outcome is Outcome.RETRY
    again = await house.open_task(case, "approval")
    assert again.round == 2 and [(c.field, c.before, c.after) for c in again.changes] == [("value", 100, 70)]
    assert "olga" in again.excluded_users, "the operator who fixed the input does not approve it"
    await house.decide(case, "max")
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back", "fetch", "pack", "send"]
    assert house.receiver.sent[case.id] == [70]
    assert (await house.row(case)).input["value"] == 70


async def test_fixed_input_must_be_valid_and_comes_only_with_a_retry(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    for verdict, edits in ((Verdict.RETRY, {"value": "many"}), (Verdict.ROLL_BACK, {"value": 3})):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await house.decide(case, "olga", verdict, edits=edits)
        assert isinstance(refused.value.cause, ApplicationError) and refused.value.cause.type == "InvalidEdits"
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    assert (await house.end(case)).status is Status.FAILED


async def test_what_was_done_by_hand_is_undone_by_hand(house: House) -> None:
    case, _ = await broken_at(house, "pack")
    with pytest.raises(WorkflowUpdateFailedError):
        await house.decide(case, "olga", Verdict.DONE_BY_HAND)  # without a reason
    await house.decide(case, "olga", Verdict.DONE_BY_HAND, comment="packed in the yard, slip 12")
    approval = await house.open_task(case, "approval")
    plan = [line.summary for line in (await house.state(case)).rollback_plan]
    assert plan == ["Unpack a parcel (by hand: olga: packed in the yard, slip 12)", "Bring back a parcel"]
    mend(house, case, "pack")
    await house.send(case, house.decision(approval, verdict=Verdict.REJECT))
    task = await house.open_task(case, "intervention")
    assert "slip 12" in task.summary and task.verdicts[0] is Verdict.DONE_BY_HAND
    await house.decide(case, "otto", Verdict.DONE_BY_HAND, comment="unpacked, slip 13")
    result = await house.end(case)
    assert result.status is Status.REJECTED
    assert result.undone == ["Unpack a parcel (by hand)", "Bring back a parcel"]
    assert house.effects(case) == ["fetch", "bring_back"]


async def test_an_effect_that_was_there_although_somebody_said_by_hand_is_undone_by_the_receiver(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.deaf.add((case_id, "pack")))
    await house.forward(case, RETRIES_END)
    await house.decide(case, "olga", Verdict.DONE_BY_HAND, comment="it is packed, I see it")
    await house.decide(case, verdict=Verdict.REJECT)
    assert (await house.end(case)).status is Status.REJECTED, "nobody needs to be asked"
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


async def test_each_attempt_of_an_undo_is_told_in_the_timeline_with_its_result(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.broken.add((case_id, "unpack")))
    await house.decide(case, verdict=Verdict.REJECT)
    await house.forward(case, timedelta(seconds=2))
    mend(house, case, "unpack")
    await house.forward(case, timedelta(seconds=30))
    assert (await house.end(case)).status is Status.REJECTED
    async with house.database.read() as connection:
        told = [event.summary for event in await audit_log.page(connection, case.id, limit=100)]
    first = told.index("Unpack a parcel: attempt 1 failed. The unpack desk does not answer.")
    assert told[first + 1] == "Unpack a parcel: attempt 2 failed. The unpack desk does not answer."
    assert told[-3:] == ["Unpack a parcel: done", "Bring back a parcel: done", "Ended rejected; 2 of its steps undone"]


TWO_OPERATORS = (
    ONE_GATE
    + """
[errand.gates.intervention]
groups = ["directors"]
quorum = 2
expires = "2d"
"""
)


async def test_the_policy_says_who_deals_with_failures_how_many_and_until_when(house: House) -> None:
    case = await house.start(policy=TWO_OPERATORS, before=lambda case_id: house.receiver.broken.add((case_id, "pack")))
    await house.forward(case, RETRIES_END)
    task = await house.open_task(case, "intervention")
    assert task.candidate_groups == ["directors"] and task.quorum.needed == 2 and task.expires_at
    assert (await house.row(case)).status == "needs_intervention"
    mend(house, case, "pack")
    await house.decide(case, "dan", Verdict.RETRY)
    still = await house.open_task(case, "intervention")
    assert still.quorum.given == 1
    await house.send(case, house.decision(still, "dora", Verdict.RETRY))
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert (await house.recorded(case)).count("intervention_opened") == 1


async def test_operators_who_do_not_agree_decide_nothing_until_one_takes_back(house: House) -> None:
    case = await house.start(policy=TWO_OPERATORS, before=lambda case_id: house.receiver.broken.add((case_id, "pack")))
    await house.forward(case, RETRIES_END)
    await house.decide(case, "dan", Verdict.RETRY)
    await house.decide(case, "dora", Verdict.ROLL_BACK)
    task = await house.open_task(case, "intervention")
    assert task.quorum.given == 1
    await house.forward(case, timedelta(days=3))
    result = await house.end(case)
    assert result.status is Status.FAILED and result.reason.endswith("Nobody answered in time.")
    assert house.effects(case) == ["fetch", "bring_back"]


async def test_a_failed_undo_never_expires(house: House) -> None:
    case = await house.start(
        policy=TWO_OPERATORS, before=lambda case_id: house.receiver.broken.add((case_id, "unpack"))
    )
    await house.decide(case, verdict=Verdict.REJECT)
    await house.forward(case, RETRIES_END)
    assert (await house.open_task(case, "intervention")).expires_at is None
    await house.forward(case, timedelta(days=5))
    assert (await house.state(case)).status is Status.NEEDS_INTERVENTION
    mend(house, case, "unpack")
    for person in ("dan", "dora"):
        await house.decide(case, person, Verdict.RETRY)
    assert (await house.end(case)).status is Status.REJECTED


def with_step(**keys: Any) -> str:
    said = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
    return f"{ONE_GATE}\n[errand.steps.pack]\n{said}\n"


async def test_a_step_is_tried_as_long_as_the_policy_says_and_attempts_are_recorded(house: House) -> None:
    case = await house.start(
        policy=with_step(retry_for="2h", longest="10m", first="1m"),
        before=lambda case_id: house.receiver.broken.add((case_id, "pack")),
    )
    await house.forward(case, timedelta(hours=1))
    assert (await house.state(case)).status is Status.RUNNING
    await house.forward(case, timedelta(hours=2))
    task = await house.open_task(case, "intervention")
    tried = house.receiver.tried[case.id].count("pack")
    assert 12 <= tried <= 20
    assert (
        f"No attempt succeeded within 2 h. The last time: The pack desk does not answer. It was tried {tried} times."
        in (task.summary)
    )
    assert task.facts["attempts"] == tried
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    assert (await house.end(case)).status is Status.FAILED


async def test_what_the_policy_calls_permanent_is_not_tried_again(house: House) -> None:
    case = await house.start(
        policy=f'[retries.once]\npermanent = ["DeskClosed"]\n{with_step(retries="once")}',
        before=lambda case_id: house.receiver.broken.add((case_id, "pack")),
    )
    task = await house.open_task(case, "intervention")
    assert house.receiver.tried[case.id] == ["fetch", "pack"] and task.facts["attempts"] == 1
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    await house.end(case)


@pytest.mark.parametrize(("then", "again"), [("roll_back", None), ("resubmit", timedelta(minutes=3))])
async def test_where_the_policy_says_so_nobody_is_asked_and_the_case_is_undone(
    house: House, then: str, again: timedelta | None
) -> None:
    more = {"resubmit_after": "3m"} if again else {}
    case = await house.start(
        policy=with_step(attempts=2, then=then, **more),
        before=lambda case_id: house.receiver.broken.add((case_id, "pack")),
    )
    await house.forward(case, timedelta(minutes=1))
    result = await house.end(case)
    assert result.status is Status.FAILED and "It was tried 2 times." in result.reason
    assert result.resubmit_after == again
    row = await house.row(case)
    assert (row.resubmit_at is None) == (again is None)
    assert house.effects(case) == ["fetch", "bring_back"]


async def test_a_failure_that_nobody_foresaw_is_told_in_words_and_kept_for_engineers(house: House) -> None:
    case = await house.start(before=lambda case_id: house.receiver.buggy.add((case_id, "pack")))
    await house.forward(case, RETRIES_END)
    task = await house.open_task(case, "intervention")
    assert "KeyError" not in task.summary and "that nobody foresaw" in task.summary
    assert task.facts["error"] == "KeyError: 'shelf'"
    await house.decide(case, "olga", Verdict.ROLL_BACK)
    await house.end(case)
