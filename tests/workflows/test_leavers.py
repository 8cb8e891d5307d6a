"""People leave, come back and are absent while tasks are open: the tasks follow, and none waits in vain."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from cases.reconcile.changed_people import Recounter
from domain.ids import task_id_for
from domain.messages import Absent, Act, Action, Actor
from domain.names import MAX_IDLE_MESSAGES
from domain.status import Status, Verdict
from domain.task import TaskView
from store.cases import recounts, tasks
from store.people import absences, leavers, people
from store.tables.cases import candidates, tasks as tasks_table
from tests.support.engine_fixture import Handle, House
from tests.workflows.test_claim_and_delegate import act, decide, no, person

PAUSING = """
[errand.gates.approval]
groups = ["managers"]
expires = "9d"
pause_for_questions = true
[errand.gates.second]
when = "false"
groups = ["directors"]
"""
TWO_OF_THEM = """
[errand.gates.second]
when = "false"
groups = ["directors"]
[errand.gates.approval]
groups = ["managers"]
quorum = 2
"""
MIA = person("mia", "managers")


async def added(house: House, *groups: str) -> str:
    """A person of one test's own."""
    name = f"p{uuid4().hex[:10]}"
    async with house.database.write() as conn:
        await people.add(conn, name, name, groups, by="ada")
    return name


async def left(house: House, leaver: str, successor: str | None = None) -> None:
    """Somebody leaves, and the worker's job tells open tasks."""
    async with house.database.write() as conn:
        if successor is None:
            await leavers.deactivate(conn, leaver, "left", by="ada")
        else:
            await leavers.replace(conn, leaver, successor, "left", by="ada")
    await told(house)


async def told(house: House) -> None:
    await Recounter(house.database, house.env.client).look()


async def away(house: House, who: str, substitute: str | None = None) -> None:
    now = datetime.now(UTC)
    gone = absences.Absence(
        person=who, starts_at=now - timedelta(hours=1), ends_at=now + timedelta(days=9), substitute=substitute
    )
    async with house.database.write() as conn:
        await absences.set_away(conn, gone, now, by=who)


async def once(house: House, case: Handle, holds: Any, kind: str = "gate") -> TaskView:
    """The open task of this kind, as soon as something holds of it."""

    def fits(state: Any) -> bool:
        return any(task.kind == kind and task.status == "open" and holds(task) for task in state.tasks)

    state = await house.until(case, fits)
    return next(task for task in state.tasks if task.kind == kind and task.status == "open" and holds(task))


async def local_activities(case: Handle) -> bytes:
    """What the history says of them."""
    events = (await case.fetch_history()).events
    markers = [
        each.marker_recorded_event_attributes for each in events if each.HasField("marker_recorded_event_attributes")
    ]
    return b" ".join(part.data for each in markers for given in each.details.values() for part in given.payloads)


async def over(house: House, case: Handle) -> None:
    await house.cancel(case)
    await house.end(case)


# ------------------------------------------------------------------------------------------------------------ questions


async def test_a_question_to_a_leaver_goes_to_who_comes_after_and_the_clock_goes_on_with_the_answer(
    house: House,
) -> None:
    old, new = await added(house), await added(house)
    case = await house.start(policy=PAUSING)
    task = await house.open_task(case)
    asked = await act(case, task, Act.ASK, MIA, to=Actor(id=old), text="Which order?")
    assert asked.paused_at is not None
    await left(house, old, new)
    moved = await once(house, case, lambda task: task.questions[0].to == new)
    assert moved.paused_at is not None, "it still waits, for somebody who can answer"
    await house.until(case, lambda state: any(event.kind == "candidate_replaced" for event in state.timeline))
    event = next(each for each in (await house.state(case)).timeline if each.kind == "candidate_replaced")
    assert (event.data["from"], event.data["asked"]) == (old, new)
    question = moved.questions[0].id
    assert await no(act(case, task, Act.ANSWER, person(old), question=question, text="mine")) == "NotAllowed"
    answered = await act(case, task, Act.ANSWER, person(new), question=question, text="PO 4711")
    assert answered.paused_at is None and answered.questions[0].answer == "PO 4711"
    may_see = select(candidates.c.name).where(candidates.c.task_id == task.task_id, candidates.c.kind == "asked")
    async with house.database.read() as conn:
        assert (await conn.execute(may_see)).scalars().all() == [new], "the task is theirs to see, and no longer his"
    await over(house, case)


async def test_a_question_to_a_leaver_without_successor_can_be_withdrawn(house: House) -> None:
    gone = await added(house)
    case = await house.start(policy=PAUSING)
    task = await house.open_task(case)
    await act(case, task, Act.ASK, MIA, to=Actor(id=gone), text="Which order?")
    await left(house, gone)
    lapsed = await once(house, case, lambda task: task.questions[0].lapsed)
    assert lapsed.paused_at is None and lapsed.expires_at is not None and task.expires_at is not None
    assert lapsed.expires_at >= task.expires_at, "the length of the pause is added"
    event = next(each for each in (await house.state(case)).timeline if each.kind == "candidate_replaced")
    assert event.data["askers"] == ["mia"] and "nobody can answer: Which order?" in event.summary
    question = lapsed.questions[0].id
    taken = await act(case, task, Act.WITHDRAW_QUESTION, MIA, question=question)
    assert taken.questions[0].withdrawn_at is not None
    assert await no(act(case, task, Act.WITHDRAW_QUESTION, MIA, question=question)) == "Nothing"
    await over(house, case)


@pytest.mark.parametrize("by", [MIA, person("olga", "operators"), person("ada", "admins")])
async def test_the_asker_or_operators_withdraw_a_question_and_the_timers_continue(house: House, by: Actor) -> None:
    case = await house.start(policy=PAUSING)
    task = await house.open_task(case)
    asked = await act(case, task, Act.ASK, MIA, to=Actor(id="max"), text="Which order?")
    question = asked.questions[0].id
    for other in (person("max", "managers"), person("moe", "managers"), person("rita", "requesters")):
        assert await no(act(case, task, Act.WITHDRAW_QUESTION, other, question=question)) == "NotAllowed"
    taken = await act(case, task, Act.WITHDRAW_QUESTION, by, question=question)
    assert taken.paused_at is None and not taken.questions[0].open
    assert await no(act(case, task, Act.ANSWER, person("max", "managers"), question=question, text="late")) == "Nothing"
    await over(house, case)


async def test_a_substitute_answers_for_somebody_who_is_away(house: House) -> None:
    case = await house.start(policy=PAUSING)
    task = await house.open_task(case)
    asked = await act(case, task, Act.ASK, MIA, to=Actor(id="max"), text="Which order?")
    sue = person("sue", instead_of=(Absent(id="max", groups=["managers"]),))
    answered = await act(case, task, Act.ANSWER, sue, question=asked.questions[0].id, text="PO 4711")
    assert answered.paused_at is None
    await over(house, case)


# ---------------------------------------------------------------------------------------------------------- the changes


@pytest.mark.parametrize("when", ["before the changes are requested", "while they wait"])
@pytest.mark.parametrize("after", ["a successor", "nobody"])
async def test_changes_of_a_requester_who_has_left_wait_for_somebody_who_is_there(
    house: House, when: str, after: str
) -> None:
    requester, new = await added(house, "requesters"), await added(house)
    successor = new if after == "a successor" else None
    case = await house.start(requester=requester)
    task = await house.open_task(case)
    if when == "before the changes are requested":
        await left(house, requester, successor)
    await decide(house, case, task, MIA, verdict=Verdict.REQUEST_CHANGES, comment="Smaller")
    changes = await house.open_task(case, "changes")
    if when == "while they wait":
        assert changes.candidate_users == [requester]
        await left(house, requester, successor)
        changes = await once(house, case, lambda task: requester not in task.candidate_users, "changes")
    by = person(new, "requesters") if successor else person("olga", "operators")
    assert (changes.candidate_users, changes.candidate_groups) == (([new], []) if successor else ([], ["operators"]))
    await decide(house, case, changes, by, verdict=Verdict.RESUBMIT, edits={"value": 7})
    again = await house.open_task(case, "approval")
    assert again.excluded_users == [by.id], "the person who made the changes does not approve them"
    await over(house, case)


@pytest.mark.parametrize("when", ["before the gate opens", "while it is open", "after an approval"])
async def test_who_has_a_leavers_requests_does_not_approve_them(house: House, when: str) -> None:
    group = f"g{uuid4().hex[:8]}"
    requester = await added(house)
    after, later, one, two = [await added(house, group) for _ in range(4)]
    if when == "before the gate opens":
        await left(house, requester, after)
    policy = TWO_OF_THEM.replace("managers", group) + (
        "separation_of_duties = false\n" if when == "before the gate opens" else ""
    )
    case = await house.start(requester=requester, policy=policy)
    task = await house.open_task(case)
    if when == "after an approval":
        await decide(house, case, task, person(after, group))
    if when != "before the gate opens":
        await left(house, requester, after)
        task = await once(house, case, lambda task: after in task.excluded_users)
    assert len(task.decisions) == (when == "after an approval"), "what was decided stays"
    assert await no(decide(house, case, task, person(after, group))) == "NotAllowed"
    # The successor leaves, too: so does who comes after them.
    await left(house, after, later)
    task = await once(house, case, lambda task: later in task.excluded_users)
    assert await no(decide(house, case, task, person(later, group))) == "NotAllowed"
    await decide(house, case, task, person(one, group))
    if when != "after an approval":
        await decide(house, case, task, person(two, group))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_when_the_only_approver_gets_the_request_operators_are_asked(house: House) -> None:
    requester, only = await added(house), await added(house)
    case = await house.start(requester=requester, policy=USERS.replace("escalate", "# escalate") % (only, only))
    await house.open_task(case)
    await left(house, requester, only)
    helped = await once(house, case, lambda task: bool(task.verdicts), "intervention")
    assert "0 of the candidates can still decide" in helped.summary
    await over(house, case)


# ----------------------------------------------------------------------------------------------- everything that names

USERS = """
[errand.gates.approval]
users = ["%s"]
escalate = [{ after = "1d", users = ["%s"], to = [] }]
[errand.gates.second]
when = "false"
groups = ["directors"]
"""


async def test_candidates_by_name_and_pinned_people_of_later_levels_follow(house: House) -> None:
    now, later, after_now, after_later = [await added(house) for _ in range(4)]
    case = await house.start(policy=USERS % (now, later))
    task = await house.open_task(case)
    assert task.candidate_users == [now]
    await left(house, later, after_later)
    await left(house, now, after_now)
    await once(house, case, lambda task: task.candidate_users == [after_now])
    await house.forward(case, timedelta(days=1, minutes=1))
    escalated = await once(house, case, lambda task: after_later in task.candidate_users)
    assert escalated.candidate_users == [after_now, after_later]
    await decide(house, case, escalated, person(after_later))
    await house.end(case)


async def test_holder_and_giver_follow(house: House) -> None:
    giver, holder, after_giver, after_holder = [await added(house, "managers") for _ in range(4)]
    case = await house.start()
    task = await house.open_task(case)
    await act(case, task, Act.DELEGATE, person(giver, "managers"), to=Actor(id=holder))
    await left(house, giver, after_giver)
    now = await once(house, case, lambda task: task.owner == after_giver)
    assert now.assignee == holder
    await left(house, holder, after_holder)
    now = await once(house, case, lambda task: task.assignee == after_holder)
    assert now.owner == after_giver
    await left(house, after_holder)
    now = await once(house, case, lambda task: task.assignee != after_holder)
    assert (now.assignee, now.owner) == (after_giver, None), "back to the person who gave it"
    await left(house, after_giver)
    await once(house, case, lambda task: task.assignee is None)
    await decide(house, case, now, MIA)
    await house.end(case)


async def test_nobody_is_left_by_a_leaver_without_successor_and_operators_are_asked(house: House) -> None:
    only, later = await added(house), await added(house)
    case = await house.start(policy=USERS.replace("escalate", "# escalate") % (only, later))
    await house.open_task(case)
    await left(house, only)
    helped = await once(house, case, lambda task: bool(task.verdicts), "intervention")
    assert "0 of the candidates can still decide" in helped.summary
    await over(house, case)


async def test_when_the_outside_substitute_of_the_only_approver_goes_away_too_operators_are_asked(house: House) -> None:
    group = f"g{uuid4().hex[:8]}"
    only, outside = await added(house, group), await added(house)
    await away(house, only, outside)
    policy = PAUSING.replace('["managers"]', f'["{group}"]\nsubstitutes = "anyone"')
    case = await house.start(policy=policy)
    await house.open_task(case, "approval")
    await told(house)
    await away(house, outside)
    await told(house)
    await once(house, case, lambda task: bool(task.verdicts), "intervention")
    await over(house, case)


async def test_a_snapshot_member_who_left_the_group_still_counts_and_is_listed(house: House) -> None:
    group = f"g{uuid4().hex[:8]}"
    only = await added(house, group)
    policy = PAUSING.replace('["managers"]', f'["{group}"]\nmembership = "snapshot"')
    case = await house.start(policy=policy)
    task = await house.open_task(case, "approval")
    async with house.database.write() as conn:
        await people.leave(conn, only, group, by="ada")
    await told(house)
    recounted = (await house.state(case)).tasks
    assert [each.task_id for each in recounted if each.kind == "gate"] == [task.task_id]
    await away(house, only)
    async with house.database.read() as conn:
        named = [each.task_id for each in await tasks.of_case(conn, case.id)]
    assert task.task_id in named
    assert await Recounter(house.database, house.env.client).look() >= 1
    await over(house, case)


async def test_however_often_people_change_an_open_gate_hears_of_it(house: House) -> None:
    only = await added(house)
    case = await house.start(policy=USERS.replace("escalate", "# escalate") % (only, only))
    task = await house.open_task(case)

    async def recount(number: int) -> None:
        action = Action(
            id=f"recount-{number}",
            task_id=task.task_id,
            act=Act.RECOUNT,
            by=Actor(id="holdgate"),
            at=datetime.now(UTC),
        )
        await case.signal("submit_action", action)

    for start in range(0, MAX_IDLE_MESSAGES + 20, 40):
        await asyncio.gather(*(recount(start + number) for number in range(40)))
    await left(house, only)
    await once(house, case, lambda task: bool(task.verdicts), "intervention")
    await over(house, case)


async def test_a_task_that_the_case_does_not_know_yet_looks_again_when_it_does(house: House) -> None:
    only, new = await added(house), await added(house)
    await house.stop_worker()
    try:
        case = await house.start(policy=USERS.replace("escalate", "# escalate") % (only, only))
        action = Action(
            id=f"recount-{uuid4().hex}",
            task_id=task_id_for(case.id, "approval", 1),
            act=Act.RECOUNT,
            by=Actor(id="holdgate"),
            at=datetime.now(UTC),
        )
        await case.signal("submit_action", action)
    finally:
        await house.start_worker()
    task = await house.open_task(case, "approval")
    assert task.candidate_users == [only]
    # What it heard early makes it look once, as the local activity of the count shows.
    async with asyncio.timeout(10):
        while b'"count"' not in await local_activities(case):
            await asyncio.sleep(0.1)
    await left(house, only, new)
    await once(house, case, lambda task: task.candidate_users == [new])
    await over(house, case)


async def test_an_interventions_people_follow_too(house: House) -> None:
    fixer, after = await added(house), await added(house)
    policy = PAUSING + f'[errand.gates.intervention]\nusers = ["{fixer}"]\n[errand.steps.pack]\nattempts = 1\n'
    case = await house.start(policy=policy, before=lambda case_id: house.receiver.buggy.add((case_id, "pack")))
    helped = await once(house, case, lambda task: bool(task.verdicts), "intervention")
    assert helped.candidate_users == [fixer]
    await left(house, fixer, after)
    await once(house, case, lambda task: task.candidate_users == [after], "intervention")
    await left(house, after)
    orphan = await once(house, case, lambda task: not task.candidate_users, "intervention")
    assert orphan.candidate_groups == ["operators"], "somebody is always asked"
    await house.send(case, house.decision(orphan, "olga", Verdict.ROLL_BACK, groups=("operators",)))
    assert (await house.end(case)).status is Status.FAILED


async def test_all_of_more_than_a_thousand_are_told_and_while_temporal_is_away_none_is_forgotten(house: House) -> None:
    group = f"g{uuid4().hex[:8]}"
    mine = await added(house, group)
    case = await house.start(policy=PAUSING.replace('["managers"]', f'["{group}"]'))
    real = await house.open_task(case, "approval")
    await told(house)
    # Tasks of Workflows that are no more: Temporal answers that at once, and nobody else needs to hear.
    gone = [
        real.model_copy(update={"task_id": f"{real.task_id}-{number}", "workflow_id": f"gone-{number}"})
        for number in range(1_100)
    ]
    async with house.database.write() as conn:
        await tasks.open_all(conn, gone)
        await people.leave(conn, mine, group, by="ada")
    nowhere = await Client.connect("127.0.0.1:1", lazy=True, data_converter=pydantic_data_converter)
    unheard = Recounter(house.database, nowhere)
    async with house.database.write() as conn:
        await recounts.gather(conn, datetime.now(UTC))
        some = await recounts.take(conn, datetime.now(UTC), 20)
    heard = await unheard._tell(some)
    assert heard == [], "no server, no message"
    async with house.database.write() as conn:
        await recounts.settle(conn, heard, some, datetime.now(UTC) - timedelta(minutes=1))
    assert await Recounter(house.database, house.env.client).look() == 1_101
    await once(house, case, lambda task: bool(task.verdicts), "intervention")
    async with house.database.write() as conn:
        at = tasks_table.c.task_id.in_([each.task_id for each in gone])
        await conn.execute(update(tasks_table).where(at).values(status="closed"))
    await over(house, case)


async def test_a_task_that_only_its_reassigner_could_decide_asks_operators_at_once(house: House) -> None:
    group = f"g{uuid4().hex[:8]}"
    admin, other = await added(house, group, "admins"), await added(house)
    case = await house.start(policy=PAUSING.replace('["managers"]', f'["{group}"]'))
    task = await house.open_task(case, "approval")
    arranger, given = person(admin, group, "admins"), person(other)
    await act(case, task, Act.REASSIGN, arranger, to=given)
    assert await no(decide(house, case, task, arranger)) == "NotAllowed"
    await left(house, other)
    asked = await once(house, case, lambda task: bool(task.verdicts), "intervention")
    assert "Too few people are left to decide" in asked.summary
    await over(house, case)
