"""No task waits for people who cannot decide it: on the real server, with real people and timers."""

from datetime import timedelta
from uuid import uuid4

from api.pages.parts.task_wording import if_nobody_decides
from domain.case import CaseState
from domain.messages import Absent, Act, Actor
from domain.status import Outcome, Status, Verdict
from domain.task import TaskView
from store.cases import tasks
from store.people import people
from tests.support.engine_fixture import Handle, House
from tests.support.errands import ErrandRequest
from tests.workflows.test_claim_and_delegate import act, decide, no, person
from tests.workflows.test_leavers import added, away, told

SECOND = """
[errand.gates.second]
when = "false"
groups = ["directors"]
"""


def policy(group: str, more: str = "") -> str:
    return f'[errand.gates.approval]\ngroups = ["{group}"]\n{more}{SECOND}'


def a_group() -> str:
    return f"g{uuid4().hex[:10]}"


async def over(house: House, case: Handle) -> None:
    await house.cancel(case)
    await house.end(case)


async def left_group(house: House, who: str, group: str) -> None:
    async with house.database.write() as conn:
        await people.leave(conn, who, group, by="ada")
    await told(house)


def kinds(state: CaseState) -> list[str]:
    return [event.kind for event in state.timeline]


async def test_one_person_cannot_fill_two_places_so_operators_are_asked_at_once(house: House) -> None:
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    await away(house, p1, substitute=p2)
    case = await house.start(policy=policy(group, "quorum = 2\n"))
    helped = await house.open_task(case, "intervention")
    assert f"2 must approve, and 1 of {group} can" in helped.summary
    await over(house, case)


async def test_when_somebody_goes_away_too_few_are_left_and_when_more_come_operators_need_not_act(house: House) -> None:
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    case = await house.start(policy=policy(group, "quorum = 2\n"))
    task = await house.open_task(case)
    await away(house, p1, substitute=p2)
    await told(house)
    helped = await house.open_task(case, "intervention")
    assert "2 approvals are needed; 0 given, 1 of the candidates can still decide" in helped.summary
    assert (await house.state(case)).status is Status.NEEDS_INTERVENTION
    p3 = await added(house)
    async with house.database.write() as conn:
        await people.join(conn, p3, group, by="ada")
    await told(house)
    state = await house.until(case, lambda state: state.status is Status.AWAITING_APPROVAL)
    assert next(each for each in state.tasks if each.task_id == helped.task_id).outcome is Outcome.CANCELLED
    await decide(house, case, task, person(p2, group))
    await decide(house, case, task, person(p3, group))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_an_escalation_by_the_clock_to_nobody_asks_operators(house: House) -> None:
    ghosts = a_group()
    levels = f'escalate = [{{ after = "4h", to = ["{ghosts}"], replace = true }}]\n'
    case = await house.start(policy=policy("managers", levels))
    await house.open_task(case)
    await house.forward(case, timedelta(hours=5))
    helped = await house.open_task(case, "intervention")
    assert "0 of the candidates can still decide" in helped.summary
    # Somebody is added, and the operators have it looked at again.
    boo = await added(house, ghosts)
    await house.send(case, house.decision(helped, "olga", Verdict.RETRY, groups=("operators",)))
    state = await house.until(case, lambda state: state.status is Status.AWAITING_APPROVAL)
    task = next(each for each in state.tasks if each.gate == "approval")
    await decide(house, case, task, person(boo, ghosts))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_claim_ends_when_its_holder_leaves_the_group(house: House) -> None:
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    case = await house.start(policy=policy(group))
    task = await house.open_task(case)
    assert (await act(case, task, Act.CLAIM, person(p1, group))).assignee == p1
    assert await no(decide(house, case, task, person(p2, group))) == "NotAllowed"
    await left_group(house, p1, group)
    state = await house.until(case, lambda state: state.tasks[0].assignee is None)
    assert "task_released" in kinds(state)
    await decide(house, case, task, person(p2, group))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_claim_ends_at_an_escalation_and_when_its_holder_goes_away(house: House) -> None:
    levels = 'escalate = [{ after = "4h", to = ["directors"] }]\n'
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    case = await house.start(policy=policy(group, levels))
    task = await house.open_task(case)
    await act(case, task, Act.CLAIM, person(p1, group))
    await house.forward(case, timedelta(hours=5))
    await house.until(case, lambda state: "gate_escalated" in kinds(state))
    state = await house.state(case)
    assert (state.tasks[0].assignee, state.tasks[0].candidate_groups) == (None, [group, "directors"])
    await act(case, state.tasks[0], Act.CLAIM, person(p1, group))
    await away(house, p1)
    await told(house)
    state = await house.until(case, lambda state: state.tasks[0].assignee is None)
    await decide(house, case, state.tasks[0], person(p2, group))
    assert (await house.end(case)).status is Status.COMPLETED


async def test_a_delegates_answer_uses_up_two_people(house: House) -> None:
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    case = await house.start(policy=policy(group, "quorum = 2\n"))
    task = await house.open_task(case)
    await act(case, task, Act.DELEGATE, person(p1, group), to=Actor(id=p2, groups=[group]))
    await decide(house, case, task, person(p2, group, instead_of=(Absent(id=p1, groups=[group]),)))
    helped = await house.open_task(case, "intervention")
    assert "2 approvals are needed; 1 given, 0 of the candidates can still decide" in helped.summary
    await over(house, case)


async def test_a_member_of_the_opening_who_left_the_group_still_counts(house: House) -> None:
    group = a_group()
    p1, p2 = await added(house, group), await added(house, group)
    case = await house.start(policy=policy(group, 'quorum = 2\nmembership = "snapshot"\n'))
    task = await house.open_task(case)
    await left_group(house, p1, group)
    await decide(house, case, task, person(p1))
    assert (await house.state(case)).status is Status.AWAITING_APPROVAL
    await decide(house, case, task, person(p2, group))
    assert (await house.end(case)).status is Status.COMPLETED


async def sent_back(house: House, requester: str, group: str) -> tuple[Handle, TaskView]:
    by = await added(house, group)
    case = await house.start(ErrandRequest(value=500), policy=policy(group), requester=requester)
    task = await house.open_task(case)
    await decide(house, case, task, person(by, group), verdict=Verdict.REQUEST_CHANGES, comment="Too dear")
    return case, await house.open_task(case, "changes")


async def test_while_a_requester_is_away_their_substitute_makes_the_changes(house: House) -> None:
    group = a_group()
    asks, instead = await added(house), await added(house, group)
    case, task = await sent_back(house, asks, group)
    await away(house, asks, substitute=instead)
    await told(house)
    by = person(instead, group, instead_of=(Absent(id=asks),))
    decided = await decide(house, case, task, by, verdict=Verdict.RESUBMIT, edits={"value": 300})
    assert (decided.decisions[0].by, decided.decisions[0].on_behalf_of) == (instead, asks)
    again = await house.open_task(case, "approval")
    assert await no(decide(house, case, again, person(instead, group))) == "NotAllowed", "nor do they approve them"
    await over(house, case)


async def test_changes_that_nobody_can_make_are_the_business_of_operators(house: House) -> None:
    asks = await added(house)
    await away(house, asks)
    case, _ = await sent_back(house, asks, a_group())
    helped = await house.open_task(case, "intervention")
    assert "1 answers are needed; 0 given, 0 of the candidates can still decide" in helped.summary
    await house.send(case, house.decision(helped, "olga", Verdict.ROLL_BACK, groups=("operators",)))
    assert (await house.end(case)).status is Status.FAILED


PAUSING = 'expires = "9d"\npause_for_questions = true\n'


async def test_timers_do_not_wait_for_people_out_of_office(house: House) -> None:
    asked = await added(house)
    case = await house.start(policy=policy("managers", PAUSING))
    task = await house.open_task(case)
    paused = await act(case, task, Act.ASK, person("mia", "managers"), to=Actor(id=asked), text="Which shelf?")
    assert paused.paused_at is not None
    await away(house, asked)
    await told(house)
    state = await house.until(case, lambda state: state.tasks[0].paused_at is None)
    assert "question_lapsed" in kinds(state) and state.tasks[0].questions[0].lapsed
    await house.forward(case, timedelta(days=10))
    assert (await house.end(case)).status is Status.EXPIRED


async def test_an_end_that_an_admin_sets_in_a_pause_stays_where_it_was_set(house: House) -> None:
    case = await house.start(policy=policy("managers", 'due = "5d"\n' + PAUSING))
    task = await house.open_task(case)
    assert task.expires_at is not None and task.due_at is not None
    asked = await act(case, task, Act.ASK, person("mia", "managers"), to=Actor(id="rita"), text="Which shelf?")
    await house.forward(case, timedelta(days=3))
    end = task.expires_at + timedelta(days=20)
    paused = await act(case, task, Act.SET_CLOCK, person("ada", "admins"), expires_at=end, text="It takes longer")
    assert [(each.at, each.fixed) for each in if_nobody_decides(paused)] == [(end, True)], "as the page says, too"
    await house.forward(case, timedelta(days=2))
    told = await act(case, task, Act.ANSWER, person("rita"), question=asked.questions[0].id, text="The top one")
    assert (told.expires_at, told.paused_at) == (end, None)
    assert [(each.at, each.fixed) for each in if_nobody_decides(told)] == [(end, False)]
    assert told.due_at is not None and told.due_at - task.due_at >= timedelta(days=4, hours=23), "the clock was paused"
    await over(house, case)


async def test_an_end_that_an_admin_sets_in_a_pause_comes_though_nobody_answers(house: House) -> None:
    case = await house.start(policy=policy("managers", PAUSING))
    task = await house.open_task(case)
    assert task.expires_at is not None
    await act(case, task, Act.ASK, person("mia", "managers"), to=Actor(id="rita"), text="Which shelf?")
    end = task.expires_at + timedelta(days=1)
    await act(case, task, Act.SET_CLOCK, person("ada", "admins"), expires_at=end, text="No longer than that")
    await house.forward(case, timedelta(days=11))
    assert (await house.end(case)).status is Status.EXPIRED
    async with house.database.read() as conn:
        stored = await tasks.get(conn, task.task_id)
    assert stored is not None and stored.outcome is Outcome.EXPIRED
