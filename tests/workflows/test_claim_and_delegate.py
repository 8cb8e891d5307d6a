"""Claims, delegation, substitution, leavers; and gates that are open at the same time."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from cases.reconcile.changed_people import Recounter
from domain.messages import Absent, Act, Action, Actor, Decision, Receipt
from domain.status import Status, Verdict
from domain.task import TaskView
from store.cases import tasks
from store.people import absences, people
from tests.support.engine_fixture import Handle, House
from tests.support.errands import ErrandRequest

TWO = """
[errand.gates.approval]
groups = ["managers"]
quorum = 2
[errand.gates.second]
groups = ["directors", "managers"]
"""
PAIR = """
[pair.gates.approval]
groups = ["managers"]
[pair.gates.second]
groups = ["directors", "managers"]
"""
MANAGERS = ("managers",)


def person(id: str, *groups: str, instead_of: tuple[Absent, ...] = ()) -> Actor:
    return Actor(id=id, groups=list(groups), stands_in_for=list(instead_of))


async def act(case: Handle, task: TaskView, act: Act, by: Actor, **more: Any) -> TaskView:
    action = Action(id=f"a{uuid4().hex}", task_id=task.task_id, act=act, by=by, at=datetime.now(UTC), **more)
    receipt: Receipt = await case.execute_update("act", action, id=action.id, result_type=Receipt)
    return receipt.task


async def now(house: House, case: Handle, task: TaskView) -> TaskView:
    """The task as it is shown now."""
    return next(each for each in (await house.state(case)).tasks if each.task_id == task.task_id)


async def decide(house: House, case: Handle, task: TaskView, by: Actor, **more: Any) -> TaskView:
    made = house.decision(await now(house, case, task), by.id, **more)
    return (await house.send(case, made.model_copy(update={"by": by}))).task


async def no(attempt: Any) -> str:
    """The code of the refusal."""
    with pytest.raises(WorkflowUpdateFailedError) as failed:
        await attempt
    assert isinstance(failed.value.cause, ApplicationError)
    return failed.value.cause.type or ""


MIA, MAX, MOE = (person(name, "managers") for name in ("mia", "max", "moe"))
RITA, ADA = person("rita", "requesters"), person("ada", "admins")


async def test_a_claimed_task_is_decided_by_its_assignee_and_one_vote_ends_the_claim(house: House) -> None:
    case = await house.start(policy=TWO)
    task = await house.open_task(case)
    assert (await act(case, task, Act.CLAIM, MIA)).assignee == "mia"
    assert (await act(case, task, Act.CLAIM, MIA)).assignee == "mia", "again changes nothing"
    assert await no(act(case, task, Act.CLAIM, MAX)) == "AlreadyClaimed"
    assert await no(decide(house, case, task, MAX)) == "NotAllowed"
    assert await no(act(case, task, Act.RELEASE, MAX)) == "NotAllowed"
    assert (await act(case, task, Act.RELEASE, MIA)).assignee is None
    await act(case, task, Act.CLAIM, MAX)
    assert (await act(case, task, Act.RELEASE, ADA)).assignee is None, "an admin may"
    await act(case, task, Act.CLAIM, MIA)
    assert (await decide(house, case, task, MIA)).assignee is None, "the second vote is for others"
    await decide(house, case, task, MAX)
    second = await house.open_task(case, "second")
    await decide(house, case, second, person("dan", "directors"))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_delegate_decides_in_the_givers_place_and_both_names_are_recorded(house: House) -> None:
    case = await house.start(policy=TWO)
    task = await house.open_task(case)
    dora = person("dora", instead_of=(Absent(id="mia", groups=["managers"]),))
    handed = await act(case, task, Act.DELEGATE, MIA, to=Actor(id="dora"))
    assert (handed.assignee, handed.owner) == ("dora", "mia")
    assert await no(decide(house, case, task, MIA)) == "NotAllowed"
    assert await no(act(case, task, Act.DELEGATE, dora, to=Actor(id="mara"))) == "NotAllowed", "one step only"
    back = await act(case, task, Act.RELEASE, dora)
    assert (back.assignee, back.owner) == ("mia", None)
    await act(case, task, Act.DELEGATE, MIA, to=Actor(id="dora"))
    decided = await decide(house, case, task, dora)
    assert (decided.decisions[0].by, decided.decisions[0].on_behalf_of) == ("dora", "mia")
    assert await no(decide(house, case, task, MIA)) == "NotAllowed", "they count as one person"
    await decide(house, case, task, MAX)
    second = await house.open_task(case, "second")
    assert set(second.excluded_users) == {"mia", "dora", "max"}
    await house.cancel(case)
    await house.end(case)
    async with house.database.read() as conn:
        stored = await tasks.get(conn, task.task_id)
    assert stored and [(view.by, view.on_behalf_of) for view in stored.decisions] == [("dora", "mia"), ("max", None)]


async def test_a_substitute_decides_while_somebody_is_away(house: House) -> None:
    policy = TWO.replace("quorum = 2", 'quorum = 2\nsubstitutes = "anyone"')
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    sue = person("sue", instead_of=(Absent(id="mia", groups=["managers"]),))
    decided = await decide(house, case, task, sue)
    assert decided.decisions[0].on_behalf_of == "mia"
    assert await no(decide(house, case, task, sue)) == "NotAllowed"
    assert await no(decide(house, case, task, MIA)) == "NotAllowed"
    await decide(house, case, task, MAX)
    await house.cancel(case)
    await house.end(case)


async def test_the_successor_of_a_leaver_takes_their_tasks(house: House) -> None:
    policy = TWO.replace('groups = ["managers"]\nquorum = 2', 'users = ["mia"]')
    case = await house.start(policy=policy)
    task = await house.open_task(case)
    await act(case, task, Act.CLAIM, MIA)
    now = await act(case, task, Act.REPLACE, ADA, replaces="mia", to=Actor(id="max", groups=["managers"]))
    assert (now.candidate_users, now.assignee, now.revision) == (["max"], "max", task.revision + 1)
    await decide(house, case, task, MAX)
    await house.cancel(case)
    await house.end(case)


async def test_two_gates_at_once_are_decided_in_any_order_by_different_people(house: House) -> None:
    case = await house.start(process="pair", policy=PAIR)
    first, second = await house.open_task(case, "approval"), await house.open_task(case, "second")
    await decide(house, case, second, MIA)
    assert await no(decide(house, case, first, MIA)) == "NotAllowed", "two gates, one person"
    assert (await house.state(case)).status is Status.AWAITING_APPROVAL
    await decide(house, case, first, MAX)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "send"]


@pytest.mark.parametrize("wait_for_all", [False, True])
async def test_the_first_rejection_of_several_gates_ends_all_or_after_all_are_decided(
    house: House, wait_for_all: bool
) -> None:
    request = ErrandRequest(parcel="wait for all" if wait_for_all else "a parcel")
    case = await house.start(request, process="pair", policy=PAIR)
    first, second = await house.open_task(case, "approval"), await house.open_task(case, "second")
    await decide(house, case, first, MIA, verdict=Verdict.REJECT)
    if wait_for_all:
        assert (await house.state(case)).status is not Status.ROLLING_BACK
        await decide(house, case, second, MAX)
    result = await house.end(case)
    assert result.status is Status.REJECTED and result.reason == "Rejected by mia at approval."
    outcomes = {task.gate: task.outcome for task in (await house.state(case)).tasks}
    assert outcomes["second"] == ("approved" if wait_for_all else "cancelled")
    assert house.effects(case) == ["fetch", "bring_back"]


async def test_changes_requested_at_one_of_two_gates_ask_both_again(house: House) -> None:
    case = await house.start(process="pair", policy=PAIR)
    first = await house.open_task(case, "approval")
    await decide(house, case, first, MIA, verdict=Verdict.REQUEST_CHANGES, comment="Smaller")
    changes = await house.open_task(case, "changes")
    await decide(house, case, changes, RITA, verdict=Verdict.RESUBMIT, edits={"value": 7})
    first, second = await house.open_task(case, "approval"), await house.open_task(case, "second")
    assert (first.round, second.round) == (2, 2)
    await decide(house, case, first, MIA)
    await decide(house, case, second, MAX)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.receiver.sent[case.id] == [7]


# ------------------------------------------------------------------------------------------------------ fifteen tricks

MIA_AWAY = Absent(id="mia", groups=["managers"])
RITA_AWAY = Absent(id="rita", groups=["managers"])

TRICKS: dict[str, Actor] = {
    "the requester decides their own case": person("rita", "managers"),
    "the requester decides by an id in other letters": person("RITA", "managers"),
    "the requester stands in for a manager who is away": person("rita", instead_of=(MIA_AWAY,)),
    "somebody stands in for the requester, who is a manager": person("sue", instead_of=(RITA_AWAY,)),
    "an outsider": person("eve", "visitors"),
    "a manager who has left the group": person("mia"),
    "an admin by being one": person("ada", "admins"),
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("door", ["update", "signal"])
async def test_excluded_people_cannot_decide(house: House, trick: str, door: str) -> None:
    case = await house.start(policy=TWO)
    task = await house.open_task(case)
    made: Decision = house.decision(task).model_copy(update={"by": TRICKS[trick]})
    if door == "update":
        assert await no(house.send(case, made)) == "NotAllowed"
    else:
        await case.signal("submit_decision", made)
        await house.until(case, lambda state: any(event.kind == "decision_refused" for event in state.timeline))
    assert (await house.state(case)).tasks[0].quorum.given == 0
    await house.cancel(case)
    await house.end(case)


async def test_passing_a_task_around_gives_nobody_a_decision_they_must_not_make(house: House) -> None:
    case = await house.start(policy=TWO)
    task = await house.open_task(case)
    # Delegated, reassigned or handed by a substitute: never to the requester, in any letter case.
    for to in ("rita", "Rita"):
        assert await no(act(case, task, Act.DELEGATE, MIA, to=Actor(id=to))) == "NotAllowed"
        assert await no(act(case, task, Act.REASSIGN, ADA, to=Actor(id=to))) == "NotAllowed"
    assert await no(act(case, task, Act.REASSIGN, MIA, to=Actor(id="max"))) == "NotAllowed"
    # A leaver's successor who is the requester gets nothing.
    replaced = await act(case, task, Act.REPLACE, ADA, replaces="mia", to=Actor(id="rita"))
    assert "rita" not in replaced.candidate_users
    # Claim, then leave the group: the claim gives no right.
    await act(case, task, Act.CLAIM, MIA)
    assert await no(decide(house, case, task, person("mia"))) == "NotAllowed"
    await act(case, task, Act.RELEASE, MIA)
    # Delegate, then leave the group: the delegate's right ends with the giver's.
    await act(case, task, Act.DELEGATE, MIA, to=Actor(id="sue"))
    gone = person("sue", instead_of=(Absent(id="mia", groups=[]),))
    assert await no(decide(house, case, task, gone)) == "NotAllowed"
    assert await no(decide(house, case, task, person("sue"))) == "NotAllowed"
    # A loop: back to where it came from only by giving it back.
    assert await no(act(case, task, Act.DELEGATE, person("sue"), to=Actor(id="mia"))) == "NotAllowed"
    await act(case, task, Act.RELEASE, MIA)
    # One person, two votes: for oneself and for somebody away; or by another's delegation after one's own vote.
    await act(case, task, Act.RELEASE, MIA)
    await decide(house, case, task, MIA)
    assert (
        await no(
            decide(house, case, task, person("mia", "managers", instead_of=(Absent(id="max", groups=["managers"]),)))
        )
        == "NotAllowed"
    )
    assert await no(act(case, task, Act.DELEGATE, MAX, to=Actor(id="mia"))) == "NotAllowed"
    await decide(house, case, task, MAX)
    # Two gates, one person: also by delegation, and in other letters.
    second = await house.open_task(case, "second")
    for by in (MIA, person("MIA", "directors"), person("sue", instead_of=(MIA_AWAY,))):
        assert await no(decide(house, case, second, by)) == "NotAllowed"
    dan = person("dan", "directors")
    assert await no(act(case, second, Act.DELEGATE, dan, to=Actor(id="mia"))) == "NotAllowed"
    await decide(house, case, second, dan)
    assert (await house.end(case)).status is Status.COMPLETED


async def test_members_of_the_opening_count_where_the_policy_says_so(house: House) -> None:
    case = await house.start(policy=TWO.replace("quorum = 2", 'membership = "snapshot"'))
    task = await house.open_task(case)
    assert set(task.members["managers"]) == {"mia", "max", "moe", "mara"}
    assert await no(decide(house, case, task, person("new", "managers"))) == "NotAllowed", "joined later"
    await decide(house, case, task, person("mia"))
    await house.cancel(case)
    await house.end(case)


async def test_the_manager_of_the_requester_is_asked(house: House) -> None:
    policy = TWO.replace('groups = ["managers"]\nquorum = 2', 'users = ["manager_of(requester)"]')
    nobody = await house.start(policy=policy)
    helped = await house.open_task(nobody, "intervention")
    assert "Too few people can decide approval: 1 must approve, and 0 of nobody can" in helped.summary
    async with house.database.write() as conn:
        await people.set_manager(conn, "rita", "mara", by="ada")
    try:
        await house.send(nobody, house.decision(helped, "olga", Verdict.RETRY, groups=("operators",)))
        task = await house.open_task(nobody, "approval")
        assert (task.candidate_users, task.candidate_groups) == (["mara"], [])
        await decide(house, nobody, task, person("mara"))
    finally:
        async with house.database.write() as conn:
            await people.set_manager(conn, "rita", None, by="ada")
    await house.cancel(nobody)
    await house.end(nobody)


async def test_operators_are_asked_when_the_last_candidate_leaves(house: House) -> None:
    async with house.database.write() as conn:
        await people.add(conn, "solo", "Solo", ["soloists"], by="ada")
    case = await house.start(policy=TWO.replace('groups = ["managers"]\nquorum = 2', 'groups = ["soloists"]'))
    task = await house.open_task(case, "approval")
    recounter = Recounter(house.database, house.env.client)
    await recounter.look()
    async with house.database.write() as conn:
        absence = absences.Absence(
            person="solo",
            starts_at=datetime.now(UTC) - timedelta(hours=1),
            ends_at=datetime.now(UTC) + timedelta(days=9),
        )
        await absences.set_away(conn, absence, datetime.now(UTC), by="solo")
    assert await recounter.look() == 1
    helped = await house.open_task(case, "intervention")
    assert "1 approvals are needed; 0 given, 0 of the candidates can still decide" in helped.summary
    # Back earlier than planned: who is a candidate decides, and the operators' task goes away by itself.
    await decide(house, case, task, person("solo", "soloists"))
    state = await house.until(
        case, lambda state: next(t for t in state.tasks if t.kind == "intervention").outcome is not None
    )
    assert next(each for each in state.tasks if each.kind == "intervention").outcome == "cancelled"
    await house.cancel(case)
    await house.end(case)


async def test_who_makes_the_changes_in_a_leavers_place_does_not_approve_them(house: House) -> None:
    case = await house.start(policy=TWO.replace("quorum = 2", "quorum = 1"))
    first = await house.open_task(case)
    await decide(house, case, first, MAX, verdict=Verdict.REQUEST_CHANGES, comment="Smaller")
    changes = await house.open_task(case, "changes")
    await act(case, changes, Act.REPLACE, ADA, replaces="rita", to=Actor(id="mia", groups=["managers"]))
    await decide(house, case, changes, MIA, verdict=Verdict.RESUBMIT, edits={"value": 7})
    again = await house.open_task(case, "approval")
    assert again.excluded_users == ["mia"]
    assert await no(decide(house, case, again, MIA)) == "NotAllowed"
    await decide(house, case, again, MAX)
    await house.cancel(case)
    await house.end(case)


async def test_people_excluded_by_the_policy_never_decide(house: House) -> None:
    case = await house.start(policy=TWO.replace("quorum = 2", 'exclude = ["mia"]\nseparation_of_duties = false'))
    task = await house.open_task(case)
    assert task.excluded_users == ["mia"]
    assert await no(decide(house, case, task, MIA)) == "NotAllowed"
    assert await no(act(case, task, Act.DELEGATE, MAX, to=Actor(id="mia"))) == "NotAllowed"
    await decide(house, case, task, MAX)
    await house.cancel(case)
    await house.end(case)
