"""Who may decide a task is one question: lists, 404s, mails and notifications answer it as the rules do.

Random tasks over people of all kinds, in real SQL, against `domain.permissions.places`, which validation goes by.
"""

import os
import random
import time
from datetime import UTC, datetime, time as time_of_day, timedelta
from typing import Any

import pytest
from sqlalchemy import literal, select

from domain.messages import Absent, Actor
from domain.notification import NoticeKind
from domain.permissions import places, voters
from domain.records import CaseRecord, DecisionRecord
from domain.scope import OVERSEER
from domain.status import Status
from domain.task import Quorum, TaskView
from store.cases import task_lists, tasks
from store.cases.task_lists import TaskFilter
from store.cases.visibility import Viewer
from store.db.database import Database
from store.notifications.fan_out import Plan, fan_out
from store.notifications.message_content import waits_for
from store.people import absences, people
from store.people.people import Person
from store.tables.notifications import notices
from tests.store.sample_cases import decision, event, patch, recorded, submitted, task

WORLD: dict[str, list[str]] = {
    "rob": ["requesters", "clerks"],
    "cleo": ["requesters", "clerks"],
    "ron": ["requesters"],
    "requester-1": ["managers"],
    "mia": ["managers"],
    "max": ["managers"],
    "moe": ["managers", "directors"],
    "dan": ["directors"],
    "out": [],
}
AWAY = {"max": "out", "dan": "mia", "rob": "cleo", "ron": "cleo"}
TASKS = [20, pytest.param(60, marks=pytest.mark.soak)]
"""Random ones: another seed in each run."""


async def furnish(db: Database) -> None:
    now = datetime.now(UTC)
    async with db.write() as conn:
        for person, groups in WORLD.items():
            await people.add(conn, person, person.title(), groups, by="ada")
        for person, substitute in AWAY.items():
            gone = absences.Absence(
                person=person,
                starts_at=now - timedelta(hours=1),
                ends_at=now + timedelta(days=1),
                substitute=substitute,
            )
            await absences.set_away(conn, gone, now, by=person)


def actor(person: Person, view: TaskView) -> Actor:
    """The person as the gateway asserts them."""
    absent = [Absent(id=each.id, groups=each.groups) for each in person.stands_in_for]
    if view.owner and view.assignee == person.id:
        absent.append(Absent(id=view.owner, groups=WORLD[view.owner]))
    return Actor(id=person.id, groups=person.groups, stands_in_for=absent)


def a_task(chance: random.Random, case_id: str, persons: list[Person]) -> TaskView:
    """A task that somebody can decide, its claim included: the engine keeps no other open in silence."""

    def some(names: list[str], share: float) -> list[str]:
        return [name for name in names if chance.random() < share]

    while True:
        names = list(WORLD)
        groups = some(["managers", "directors"], 0.6)
        kind = "changes" if chance.random() < 0.15 else "gate"
        view = task(
            case_id,
            kind=kind,
            requester=chance.choice(["requester-1", "max"]),
            candidate_groups=[] if kind == "changes" else groups,
            candidate_users=some(names, 0.2),
            members={group: some(names, 0.4) for group in groups if chance.random() < 0.4},
            excluded_users=some(names, 0.1),
            quorum=Quorum(needed=3),
            substitutes=chance.choice(["same-group", "anyone"]),
        )
        holder = chance.choice([*names, None, None, None, None, None])
        owner = chance.choice([*names, None]) if holder else None
        held = view.model_copy(update={"assignee": holder, "owner": owner if owner != holder else None})
        can = {each.id for each in persons if places(held, actor(each, held))}
        if holder is None or holder in can or (can and held.owner is None):
            return held


@pytest.mark.parametrize("number_of_tasks", TASKS)
async def test_all_who_ask_who_may_decide_a_task_get_one_answer(db: Database, number_of_tasks: int) -> None:
    seed = int(os.environ.get("HOLDGATE_TEST_SEED", time.time_ns() % 1_000_000))
    chance = random.Random(seed)
    await furnish(db)
    async with db.read() as conn:
        found = [await people.acting(conn, person, datetime.now(UTC)) for person in WORLD]
    persons = [each for each in found if each]
    viewers = {
        each.id: Viewer(
            id=each.id,
            groups=each.groups,
            stands_in_for=[Viewer(id=absent.id, groups=absent.groups) for absent in each.stands_in_for],
        )
        for each in persons
    }
    wanted: dict[str, TaskView] = {}
    for number in range(number_of_tasks):
        row = await submitted(db, f"A{number}", requester="somebody")
        view = a_task(chance, row.case_id, persons)
        opened = view.model_copy(update={"assignee": None, "owner": None})
        open_to = [each for each in persons if places(opened, actor(each, opened))]
        by = chance.choice(open_to) if open_to and chance.random() < 0.4 and view.assignee is None else None
        place = places(opened, actor(by, opened))[0] if by else None
        given = DecisionRecord(decision=decision(view, by.id), on_behalf_of=place.behalf) if by and place else None
        state: dict[str, Any] = {"assignee": view.assignee, "owner": view.owner, "excluded_users": view.excluded_users}
        await recorded(
            db,
            CaseRecord(
                case_id=row.case_id,
                status=Status.AWAITING_APPROVAL,
                events=[event(row.case_id, 1, "gate_reminded", task_id=view.task_id)],
                opened=[opened],
                patched=[patch(view, members=view.members, state=state)],
                decisions=[given] if given else [],
            ),
        )
        wanted[view.task_id] = view
    plan = Plan(channels={"console": False}, window=timedelta(minutes=5), digest_at=time_of_day(8))
    async with db.write() as conn:
        while await fan_out(conn, plan, datetime.now(UTC)):
            pass
    async with db.read() as conn:
        told = select(notices.c.task_id, notices.c.person).where(notices.c.kind == NoticeKind.TASK_REMINDED)
        reminded = {(row.task_id, row.person) for row in await conn.execute(told)}
        lists, seen = {}, {}
        for viewer in viewers.values():
            mine, _ = await task_lists.page(conn, viewer, TaskFilter(whose="mine"), datetime.now(UTC), limit=200)
            lists[viewer.id] = {view.task_id for view in mine}
            seen[viewer.id] = {view.task_id for view in await task_lists.some(conn, viewer, list(wanted))}
        for task_id, view in wanted.items():
            stored = await tasks.get(conn, task_id)
            assert stored is not None and (stored.candidate_groups, sorted(stored.candidate_users)) == (
                view.candidate_groups,
                sorted(view.candidate_users),
            )
            for person in persons:
                may = bool(places(stored, actor(person, stored), voters(stored)))
                said = f"HOLDGATE_TEST_SEED={seed}: {person.id} and {stored!r}"
                assert (task_id in lists[person.id]) is may, f"the list. {said}"
                assert ((task_id, person.id) in reminded) is may, f"notifications. {said}"
                mailed = waits_for(literal(task_id), literal(person.id)).label("mailed")
                mail = await conn.scalar(select(mailed))
                assert bool(mail) is may, f"the mail. {said}"
                assert task_id in seen[person.id] or not may, f"404. {said}"


async def test_a_task_of_the_members_of_its_opening_is_nothing_to_who_joins_later(db: Database) -> None:
    await furnish(db)
    row = await submitted(db, requester="somebody")
    view = task(row.case_id, requester="somebody", members={"managers": ["mia", "out"]})
    await recorded(
        db,
        CaseRecord(case_id=row.case_id, status=Status.AWAITING_APPROVAL, events=[event(row.case_id, 1)], opened=[view]),
    )
    async with db.read() as conn:
        for person, sees in (("mia", True), ("out", True), ("moe", False)):
            viewer = Viewer(id=person, groups=WORLD[person])
            assert bool(await task_lists.some(conn, viewer, [view.task_id])) is sees
            page, _ = await task_lists.page(conn, viewer, TaskFilter(whose="mine", status="open"), datetime.now(UTC))
            assert bool(page) is sees
        every = Viewer(id="ada", groups=["admins"], scope=OVERSEER)
        found, _ = await task_lists.page(conn, every, TaskFilter(group="managers"), datetime.now(UTC))
        assert [each.task_id for each in found] == [view.task_id], "it is still a task of this group"
