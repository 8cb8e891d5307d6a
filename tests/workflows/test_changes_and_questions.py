"""Answers other than approve and reject: changes, edits, abstaining, taking back, questions, and their effects."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.messages import Act, Action, Actor, Receipt
from domain.status import Outcome, Status, Verdict
from domain.task import TaskView
from tests.support.engine_fixture import Handle, House
from tests.support.errands import ErrandRequest

EDITABLE = """
[errand.gates.approval]
groups = ["managers"]
edit = ["value"]
quorum = "value >= 1000 ? 2 : 1"
[errand.gates.second]
when = "false"
groups = ["directors"]
"""
VOTE = """
[errand.gates.approval]
groups = ["managers"]
quorum = {quorum}
veto = false
expires = "9d"
{more}
[errand.gates.second]
when = "false"
groups = ["directors"]
"""


async def act(house: House, case: Handle, task: TaskView, act: Act, person: str = "mia", **more: Any) -> TaskView:
    groups = more.pop("groups", ["managers"])
    action = Action(
        id=f"a{uuid4().hex}",
        task_id=task.task_id,
        act=act,
        by=Actor(id=person, groups=groups),
        at=datetime.now(UTC),
        **more,
    )
    receipt: Receipt = await case.execute_update("act", action, id=action.id, result_type=Receipt)
    return receipt.task


async def refused(attempt: Any) -> ApplicationError:
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await attempt
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause


async def send_back(house: House, case: Handle, person: str = "mia") -> TaskView:
    await house.decide(case, person, Verdict.REQUEST_CHANGES, comment="Too dear")
    return await house.open_task(case, "changes")


async def test_a_changed_resubmission_undoes_all_and_runs_the_procedure_again(house: House) -> None:
    case = await house.start(ErrandRequest(value=500))
    task = await send_back(house, case)
    assert (task.kind, task.candidate_users, task.verdicts) == ("changes", ["rita"], [Verdict.RESUBMIT])
    assert (await house.state(case)).status is Status.AWAITING_CHANGES
    assert house.effects(case) == ["fetch", "pack"], "nothing is undone while the requester thinks"
    await house.send(case, house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"value": 300}))
    again = await house.open_task(case, "approval")
    assert (again.round, [change.model_dump() for change in again.changes]) == (
        2,
        [{"field": "value", "before": 500, "after": 300}],
    )
    await house.send(case, house.decision(again, "mia"))
    result = await house.end(case)
    assert (result.status, result.undone) == (Status.COMPLETED, [])
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back", "fetch", "pack", "send"]
    assert not await house.audit_problems()


async def test_an_unchanged_resubmission_only_asks_again(house: House) -> None:
    case = await house.start()
    task = await send_back(house, case)
    await house.send(case, house.decision(task, "rita", Verdict.RESUBMIT, groups=(), comment="It is right"))
    again = await house.open_task(case, "approval")
    assert (again.round, again.changes) == (2, [])
    await house.send(case, house.decision(again, "mia"))
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "send"]


async def test_only_the_requester_resubmits_and_only_what_is_valid(house: House) -> None:
    case = await house.start()
    task = await send_back(house, case)
    by_mia = await refused(house.send(case, house.decision(task, "mia", Verdict.RESUBMIT, groups=("managers",))))
    assert by_mia.type == "NotAllowed"
    wrong = house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"value": "much", "weight": 3})
    assert (await refused(house.send(case, wrong))).details[0]["fields"] == ["weight"]
    wrong = house.decision(task, "rita", Verdict.RESUBMIT, groups=(), edits={"value": "much"})
    assert (await refused(house.send(case, wrong))).details[0]["errors"][0]["field"] == "value"
    await house.cancel(case)
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


@pytest.mark.parametrize("raw", [False, True])
async def test_a_case_that_waits_for_changes_can_be_cancelled_by_message_and_in_temporal(
    house: House, raw: bool
) -> None:
    case = await house.start()
    await house.decide(case, "mia", Verdict.REQUEST_CHANGES, comment="Smaller")
    await house.open_task(case, "changes")
    await (case.cancel() if raw else house.cancel(case))
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


async def test_a_requester_who_does_nothing_for_a_week_is_reminded_and_then_the_case_expires(house: House) -> None:
    case = await house.start()
    await send_back(house, case)
    await house.forward(case, timedelta(days=3, hours=13))
    await house.until(case, lambda state: any(event.kind == "gate_reminded" for event in state.timeline))
    await house.forward(case, timedelta(days=4))
    result = await house.end(case)
    assert result.status is Status.EXPIRED and "rita did not make the changes in time" in result.reason
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]


async def test_in_the_last_round_no_changes_can_be_requested(house: House) -> None:
    policy = EDITABLE.replace("edit =", "rounds = 2\nedit =")
    case = await house.start(policy=policy)
    task = await send_back(house, case)
    await house.send(case, house.decision(task, "rita", Verdict.RESUBMIT, groups=()))
    again = await house.open_task(case, "approval")
    assert Verdict.REQUEST_CHANGES not in again.verdicts
    no = await refused(house.send(case, house.decision(again, "mia", Verdict.REQUEST_CHANGES, comment="more")))
    assert no.type == "WrongVerdict"
    await house.send(case, house.decision(again, "mia", Verdict.REJECT))
    assert (await house.end(case)).status is Status.REJECTED


async def test_changes_need_a_comment(house: House) -> None:
    case = await house.start()
    task = await house.open_task(case)
    assert (await refused(house.send(case, house.decision(task, "mia", Verdict.REQUEST_CHANGES)))).type == (
        "CommentNeeded"
    )
    await house.send(case, house.decision(task, "mia", Verdict.REJECT))
    await house.end(case)


async def test_an_approval_with_edits_follows_the_rules_for_the_edited_input(house: House) -> None:
    case = await house.start(ErrandRequest(value=900), policy=EDITABLE)
    task = await house.open_task(case)
    receipt = await house.send(case, house.decision(task, "mia", edits={"value": 2000}))
    # Edited up to where two must approve: one click is not enough any more.
    assert (receipt.task.outcome, receipt.task.quorum.needed, receipt.task.quorum.given) == (None, 2, 1)
    assert receipt.task.revision == task.revision + 1 and receipt.task.input["value"] == 2000
    stale = await refused(house.send(case, house.decision(task, "max", revision=task.revision)))
    assert (stale.type, stale.details[0]["changed"]) == ("Stale", ["input"])
    await house.send(case, house.decision(task, "max", revision=receipt.task.revision))
    result = await house.end(case)
    assert result.status is Status.COMPLETED
    assert house.receiver.sent[case.id] == [2000], "the step after the gate runs on what was approved"


async def test_approvals_of_the_input_before_an_edit_no_longer_count(house: House) -> None:
    case = await house.start(ErrandRequest(value=1500), policy=EDITABLE)
    task = await house.open_task(case)
    await house.send(case, house.decision(task, "mia"))
    receipt = await house.send(case, house.decision(task, "max", edits={"value": 1200}))
    assert (receipt.task.outcome, receipt.task.quorum.given) == (None, 1)
    assert [view.by for view in receipt.task.decisions] == ["max"]
    again = await house.until(case, lambda state: state.tasks[0].quorum.needed == 2)
    await house.send(case, house.decision(again.tasks[0], "mia"))
    assert (await house.end(case)).status is Status.COMPLETED


@pytest.mark.parametrize(
    ("edits", "field"), [({"parcel": "gold"}, "parcel"), ({"value": -5.5}, None), ({"value": None}, None)]
)
async def test_edits_are_only_of_what_the_policy_names_and_must_be_valid(
    house: House, edits: dict[str, Any], field: str | None
) -> None:
    case = await house.start(policy=EDITABLE)
    task = await house.open_task(case)
    no = await refused(house.send(case, house.decision(task, "mia", edits=edits)))
    assert no.type == "InvalidEdits" and (field is None or no.details[0]["fields"] == [field])
    assert (await house.state(case)).tasks[0].revision == task.revision
    await house.cancel(case)
    await house.end(case)


async def test_a_rejection_without_veto_ends_the_gate_only_when_approval_is_out_of_reach(house: House) -> None:
    case = await house.start(policy=VOTE.format(quorum=3, more=""))
    task = await house.open_task(case)
    await house.send(case, house.decision(task, "mia", Verdict.REJECT))
    await house.send(case, house.decision(task, "max"))
    assert (await house.state(case)).status is Status.AWAITING_APPROVAL, "max, moe and mara could still be three"
    await house.send(case, house.decision(task, "moe", Verdict.REJECT, comment="No"))
    result = await house.end(case)
    assert result.status is Status.REJECTED and result.reason == "Rejected by moe at approval: No"


async def test_everyone_must_approve_means_everyone_who_can_decide(house: House) -> None:
    case = await house.start(policy=VOTE.format(quorum='"everyone"', more=""))
    task = await house.open_task(case)
    assert task.quorum.needed == 4
    for person in ("mia", "max", "moe"):
        await house.send(case, house.decision(task, person))
    assert (await house.state(case)).status is Status.AWAITING_APPROVAL
    await house.send(case, house.decision(task, "mara"))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_abstentions_that_put_the_quorum_out_of_reach_escalate_at_once_and_then_ask_operators(
    house: House,
) -> None:
    policy = VOTE.format(quorum=3, more='escalate = [{ after = "5d", to = ["directors"], priority = 1 }]')
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    await house.send(case, house.decision(task, "mia", Verdict.ABSTAIN))
    await house.send(case, house.decision(task, "max", Verdict.ABSTAIN))
    state = await house.until(case, lambda state: "directors" in state.tasks[0].candidate_groups)
    assert state.tasks[0].priority == 1 and state.tasks[0].revision == task.revision + 1
    task = state.tasks[0]
    await house.send(case, house.decision(task, "dan", Verdict.ABSTAIN, groups=("directors",)))
    await house.send(case, house.decision(task, "dora", Verdict.ABSTAIN, groups=("directors",)))
    helped = await house.open_task(case, "intervention")
    assert (await house.state(case)).status is Status.NEEDS_INTERVENTION
    assert helped.verdicts == [Verdict.RETRY, Verdict.ROLL_BACK]
    # Somebody who abstained takes it back: then there are enough again, and operators need not do anything.
    await act(house, case, task, Act.WITHDRAW, "mia")
    state = await house.until(case, lambda state: state.status is Status.AWAITING_APPROVAL)
    assert next(each for each in state.tasks if each.task_id == helped.task_id).outcome is Outcome.CANCELLED
    for person in ("mia", "moe", "mara"):
        await house.send(case, house.decision(task, person, groups=("managers",)))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_person_who_takes_back_a_decision_may_decide_again_and_counts_once(house: House) -> None:
    case = await house.start(policy=VOTE.format(quorum=2, more=""))
    task = await house.open_task(case)
    first = house.decision(task, "mia")
    await house.send(case, first)
    assert (await act(house, case, task, Act.WITHDRAW)).quorum.given == 0
    assert (await house.send(case, first)).task.quorum.given == 1, "a repeat gets the first answer, and changes nothing"
    assert (await house.state(case)).tasks[0].quorum.given == 0
    await house.send(case, house.decision(task, "mia"))
    assert (await refused(house.send(case, house.decision(task, "mia")))).type == "NotAllowed"
    await house.send(case, house.decision(task, "max"))
    assert (await house.end(case)).status is Status.COMPLETED
    late = await refused_or_gone(act(house, case, task, Act.WITHDRAW))
    assert late


async def refused_or_gone(attempt: Any) -> bool:
    try:
        await attempt
    except Exception:
        return True
    return False


async def test_a_question_pauses_the_clock_where_the_policy_says_so_and_its_answer_moves_the_revision(
    house: House,
) -> None:
    case = await house.start(policy=VOTE.format(quorum=1, more="pause_for_questions = true"))
    task = await house.open_task(case)
    asked = await act(house, case, task, Act.ASK, to=Actor(id="rita"), text="Which shelf?")
    await house.forward(case, timedelta(days=12))
    state = await house.state(case)
    assert state.tasks[0].outcome is None and state.tasks[0].paused_at is not None
    by_mia = act(house, case, task, Act.ANSWER, "mia", question=asked.questions[0].id, text="I guess")
    assert (await refused(by_mia)).type == "NotAllowed"
    told = await act(house, case, task, Act.ANSWER, "rita", groups=[], question=asked.questions[0].id, text="The top")
    assert told.revision == task.revision + 1 and told.paused_at is None and told.expires_at and task.expires_at
    assert told.expires_at - task.expires_at >= timedelta(days=11, hours=23)
    stale = await refused(house.send(case, house.decision(task, "mia", revision=task.revision)))
    assert stale.details[0]["changed"] == ["questions"]
    await house.forward(case, timedelta(days=10))
    assert (await house.end(case)).status is Status.EXPIRED


async def test_rules_can_decide_instead_of_people(house: House) -> None:
    policy = EDITABLE.replace("edit =", 'auto_reject = "value > 5000"\nauto_approve = "value < 50"\nedit =')
    small = await house.start(ErrandRequest(value=10), policy=policy)
    assert (await house.end(small)).status is Status.COMPLETED
    events = (await house.state(small)).timeline
    told = next(event for event in events if event.kind == "gate_decided_by_rule")
    assert told.summary == "Approval: approved by rule, value < 50 holds (value = 10)" and told.data["policy"]
    large = await house.start(ErrandRequest(value=9000), policy=policy)
    result = await house.end(large)
    assert (result.status, result.reason) == (Status.REJECTED, "Rejected by rule at approval: value > 5000")
    assert house.effects(large) == ["fetch", "pack", "unpack", "bring_back"]


async def test_a_gate_that_nobody_can_decide_says_so_at_once(house: House) -> None:
    case = await house.start(policy=EDITABLE.replace('groups = ["managers"]', 'groups = ["wizards"]'))
    helped = await house.open_task(case, "intervention")
    assert "Too few people can decide approval" in helped.summary and "wizards" in helped.summary
    await house.send(case, house.decision(helped, "olga", Verdict.ROLL_BACK, groups=("operators",)))
    assert (await house.end(case)).status is Status.FAILED
    more = 'escalate = [{ after = "5d", to = ["directors"] }]\nedit ='
    case = await house.start(policy=EDITABLE.replace('["managers"]', '["wizards"]').replace("edit =", more))
    task = await house.open_task(case, "approval")
    assert task.candidate_groups == ["wizards", "directors"]
    opened = next(event for event in (await house.state(case)).timeline if event.kind == "gate_opened")
    assert "1 must approve, and 0 of wizards can, so it went to directors at once" in opened.summary
    await house.send(case, house.decision(task, "dan", groups=("directors",)))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_an_admin_changes_the_deadlines_with_a_reason(house: House) -> None:
    case = await house.start(policy=VOTE.format(quorum=1, more=""))
    task = await house.open_task(case)
    assert task.expires_at is not None
    later = task.expires_at + timedelta(days=20)
    for person, text, code in (("mia", "please", "NotAllowed"), ("ada", " ", "Missing")):
        groups = ["admins"] if person == "ada" else ["managers"]
        no = act(house, case, task, Act.SET_CLOCK, person, groups=groups, expires_at=later, text=text)
        assert (await refused(no)).type == code
    await act(house, case, task, Act.SET_CLOCK, "ada", groups=["admins"], expires_at=later, text="holidays")
    await house.forward(case, timedelta(days=15))
    assert (await house.state(case)).tasks[0].outcome is None
    await house.forward(case, timedelta(days=15))
    assert (await house.end(case)).status is Status.EXPIRED
    assert (await house.state(case)).tasks[0].outcome is Outcome.EXPIRED
