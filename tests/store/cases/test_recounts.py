"""Changes of people reach every task that they may concern, also with other writes in between."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from domain.scope import OVERSEER
from domain.task import Question, TaskView
from store.cases import open_tasks, recounts, tasks
from store.cases.recounts import AGAIN, CLOCKS, LEASE
from store.cases.visibility import Viewer
from store.db.database import Database
from store.people import absences, leavers, people, successors
from store.people.absences import Absence
from store.people.last_admin import LastAdmin
from store.tables.cases import tasks as tasks_table
from tests.store.sample_cases import MORNING, submitted, task

NOW = datetime.now(UTC)
PEOPLE = {"mia": ["managers"], "sue": ["visitors"], "new": [], "old": [], "ada": ["admins"], "zoe": ["others"]}


async def furnished(db: Database) -> None:
    async with db.write() as conn:
        for name, groups in PEOPLE.items():
            await people.add(conn, name, name.title(), groups, by="ada")
    async with db.write() as conn:  # what a transaction appends has positions when it is committed
        await recounts.gather(conn, datetime.now(UTC) + AGAIN + AGAIN)


async def opened(db: Database, *views: TaskView) -> None:
    async with db.write() as conn:
        await tasks.open_all(conn, views)


async def wanted(db: Database, at: datetime | None = None, limit: int = 10_000) -> set[str]:
    """Who is told now; they are noted as told."""
    at = at or datetime.now(UTC)
    async with db.write() as conn:
        await recounts.gather(conn, at)
        found = await recounts.take(conn, at, limit)
        await recounts.settle(conn, found, [], at)
    return {each.task_id for each in found}


def away(person: str, substitute: str | None = None, *, starts: timedelta = -timedelta(hours=1)) -> Absence:
    now = datetime.now(UTC)
    return Absence(person=person, starts_at=now + starts, ends_at=now + timedelta(days=9), substitute=substitute)


# ------------------------------------------------------------------------------------------------- every kind of change

Change = Callable[[Any], Awaitable[Any]]
CHANGES: dict[str, Change] = {
    "joins the group": lambda conn: people.join(conn, "new", "managers", by="ada"),
    "is added to the group": lambda conn: people.add(conn, "more", "More", ["managers"], by="ada"),
    "leaves the group": lambda conn: people.leave(conn, "mia", "managers", by="ada"),
    "leaves with a successor": lambda conn: leavers.replace(conn, "mia", "new", "left", by="ada"),
    "leaves without one": lambda conn: leavers.deactivate(conn, "mia", "left", by="ada"),
    "goes away": lambda conn: absences.set_away(conn, away("mia"), datetime.now(UTC), by="ada"),
}


@pytest.mark.both_databases
@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_of_a_group_reaches_its_open_tasks_of_every_kind(db: Database, change: str) -> None:
    await furnished(db)
    case = await submitted(db)
    kinds = [
        task(case.case_id, f"k-{kind}", kind=kind, candidate_groups=["managers"], candidate_users=[])
        for kind in ("gate", "intervention", "changes")
    ]
    other = task(case.case_id, "other", candidate_groups=["others"], candidate_users=[])
    closed = task(case.case_id, "closed", candidate_groups=["managers"], candidate_users=[])
    await opened(db, *kinds, other, closed)
    async with db.write() as conn:
        await conn.execute(update(tasks_table).where(tasks_table.c.task_id == closed.task_id).values(status="closed"))
        await CHANGES[change](conn)
    assert await wanted(db) == {each.task_id for each in kinds}
    assert await wanted(db) == set(), "told once"


def _named(how: str, case_id: str) -> TaskView:
    """A task that names `old` in one way, and nobody else."""
    nobody: dict[str, Any] = {"candidate_groups": ["others"], "candidate_users": [], "requester": "zoe"}
    asked = Question(id="q", by="zoe", to="old", text="Why?", at=MORNING)
    more: dict[str, dict[str, Any]] = {
        "candidate": {"candidate_users": ["old"]},
        "asked": {"questions": [asked]},
        "holder": {"assignee": "old"},
        "giver": {"assignee": "zoe", "owner": "old"},
        "requester of a changes task": {"kind": "changes", "requester": "old"},
        "member of the opening": {"members": {"others": ["old"]}},
        "absent person of whom they are the substitute": {"candidate_users": ["mia"]},
    }
    return task(case_id, **{**nobody, **more[how]})


WAYS = (
    "candidate",
    "asked",
    "holder",
    "giver",
    "requester of a changes task",
    "member of the opening",
    "absent person of whom they are the substitute",
)


@pytest.mark.parametrize("how", WAYS)
async def test_a_task_concerns_each_person_that_it_names(db: Database, how: str) -> None:
    await furnished(db)
    case = await submitted(db)
    view = _named(how, case.case_id)
    await opened(db, view)
    state = view.model_dump(mode="json", include={"assignee", "owner", "questions", "members"})
    async with db.write() as conn:
        its = tasks_table.c.task_id == view.task_id
        await conn.execute(update(tasks_table).where(its).values(assignee=view.assignee, state=state))
        if how == "asked":
            await tasks._name(conn, {(view.task_id, "asked", "old")})
        await absences.set_away(conn, away("mia", "old"), datetime.now(UTC), by="ada")
    await wanted(db)
    async with db.write() as conn:
        await absences.set_away(conn, away("old"), datetime.now(UTC), by="ada")
    assert await wanted(db) == {view.task_id}


async def test_open_gates_of_a_leavers_requests_hear_who_has_them_now(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    view = task(case.case_id, candidate_groups=["others"], candidate_users=[], requester="old")
    await opened(db, view)
    for leaver, successor in (("old", "new"), ("new", "sue")):
        await wanted(db)
        async with db.write() as conn:
            await leavers.replace(conn, leaver, successor, "left", by="ada")
        assert await wanted(db) == {view.task_id}


# ------------------------------------------------------------------------------------------------------ nothing is lost


async def test_of_more_than_a_thousand_tasks_all_are_told_in_parts(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    views = [task(case.case_id, number=number, candidate_groups=["managers"]) for number in range(1, 1302)]
    await opened(db, *views)
    async with db.write() as conn:
        await people.leave(conn, "mia", "managers", by="ada")
    found: set[str] = set()
    for _ in range(3):
        part = await wanted(db, limit=500)
        assert len(part) <= 500 and not part & found
        found |= part
    assert found == {view.task_id for view in views}
    async with db.read() as conn:
        assert await recounts.waiting(conn) == 0


@pytest.mark.both_databases
async def test_who_could_not_be_told_is_told_later_also_by_another_worker(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    views = [task(case.case_id, number=number, candidate_groups=["managers"]) for number in (1, 2, 3)]
    await opened(db, *views)
    now = datetime.now(UTC)
    async with db.write() as conn:
        await people.leave(conn, "mia", "managers", by="ada")
    async with db.write() as conn:
        await recounts.gather(conn, now)
        first = await recounts.take(conn, now, 1)
        assert await recounts.take(conn, now, 10) != first, "another worker takes others"
    assert await wanted(db, now) == set(), "all are taken"
    # A worker that dies with them gives them free; one that says that it failed is given a pause.
    after = now + LEASE + timedelta(seconds=1)
    async with db.write() as conn:
        again = await recounts.take(conn, after, 10)
        assert len(again) == 3
        await recounts.settle(conn, again[:1], again[1:], after)
        assert await recounts.take(conn, after, 10) == []
        later = await recounts.take(conn, after + timedelta(seconds=6), 10)
    assert {each.task_id for each in later} == {each.task_id for each in again[1:]}
    assert all(each.attempts == 1 for each in later)


async def test_a_change_that_comes_while_a_task_is_being_told_is_told_too(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    await opened(db, task(case.case_id, candidate_groups=["managers"]))
    now = datetime.now(UTC)
    async with db.write() as conn:
        await people.leave(conn, "mia", "managers", by="ada")
    async with db.write() as conn:
        await recounts.gather(conn, now)
        (taken,) = await recounts.take(conn, now, 10)
        await people.join(conn, "new", "managers", by="ada")
    async with db.write() as conn:
        await recounts.gather(conn, now)
        await recounts.settle(conn, [taken], [], now)
        assert [each.task_id for each in await recounts.take(conn, now, 10)] == [taken.task_id]


@pytest.mark.both_databases
async def test_a_task_that_is_stored_just_after_a_change_it_may_not_have_seen_is_told(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    before, beside = (task(case.case_id, number=number, candidate_groups=["managers"]) for number in (1, 2))
    await opened(db, before)
    async with db.write() as conn:
        await people.leave(conn, "mia", "managers", by="ada")
    assert await wanted(db) == {before.task_id}
    await opened(db, beside)  # it had looked for its people before
    assert await wanted(db) == set()
    assert await wanted(db, datetime.now(UTC) + AGAIN) == {beside.task_id}, (
        "and a task that knows is not notified again"
    )
    assert await wanted(db, datetime.now(UTC) + AGAIN + AGAIN) == set()


async def test_a_task_that_opened_after_a_change_is_not_told_of_it(db: Database) -> None:
    """It has read the people after the change. An import would else have each of its cases replayed a minute later."""
    await furnished(db)
    case = await submitted(db)
    async with db.write() as conn:
        await people.join(conn, "new", "managers", by="ada")
    assert await wanted(db) == set()
    opened_at = datetime.now(UTC) + CLOCKS + timedelta(seconds=1)
    await opened(db, task(case.case_id, candidate_groups=["managers"], opened_at=opened_at))
    assert await wanted(db, datetime.now(UTC) + AGAIN) == set()


async def test_absences_that_begin_and_end_are_told_however_long_no_worker_ran(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    view = task(case.case_id, candidate_groups=["managers"])
    await opened(db, view)
    async with db.write() as conn:
        await absences.set_away(conn, away("mia", starts=timedelta(hours=2)), datetime.now(UTC), by="mia")
    assert await wanted(db) == {view.task_id}, "it was set"
    assert await wanted(db, datetime.now(UTC) + timedelta(hours=1)) == set()
    assert await wanted(db, datetime.now(UTC) + timedelta(days=5)) == {view.task_id}, "it has begun, days ago"
    # A minute later those are told that opened at that very moment; this one is told no second time.
    assert await wanted(db, datetime.now(UTC) + timedelta(days=5) + AGAIN) == set()
    assert await wanted(db, datetime.now(UTC) + timedelta(days=30)) == {view.task_id}, "it has ended, weeks ago"


async def test_nothing_is_written_while_nothing_has_happened(db: Database) -> None:
    await furnished(db)
    async with db.read() as conn:
        assert not await recounts.is_news(conn, datetime.now(UTC))
    async with db.write() as conn:
        await people.join(conn, "new", "managers", by="ada")
    async with db.read() as conn:
        assert await recounts.is_news(conn, datetime.now(UTC))


# ---------------------------------------------------------------------------------------------------- leavers, and back


async def test_somebody_who_has_left_comes_back_under_the_same_id(db: Database) -> None:
    await furnished(db)
    async with db.write() as conn:
        await people.set_manager(conn, "zoe", "mia", by="ada")
        await leavers.replace(conn, "mia", "new", "left", by="ada")
        assert await people.active(conn, "mia") is None
        with pytest.raises(ValueError, match=r"who has left.*holdgate people reactivate mia"):
            await people.add(conn, "mia", "Mia", [], by="ada")
        with pytest.raises(ValueError, match="has not left"):
            await leavers.reactivate(conn, "new", [], by="ada")
        with pytest.raises(ValueError, match="is not valid as a group"):
            await leavers.reactivate(conn, "mia", ["The Managers"], by="ada")
        await leavers.reactivate(conn, "mia", ["managers", "managers"], by="ada")
        back = await people.active(conn, "mia")
        zoe = await people.get(conn, "zoe")
        assert back is not None and back.groups == ["managers"]
        assert zoe.manager == "new", "what went to the successor stays there"
        await leavers.deactivate(conn, "mia", "again", by="ada")
        with pytest.raises(ValueError, match="has left already"):
            await leavers.deactivate(conn, "mia", "again", by="ada")


async def test_who_is_back_does_not_bring_an_address_that_somebody_else_has_by_now(db: Database) -> None:
    await furnished(db)
    async with db.write() as conn:
        await people.set_email(conn, "mia", "mia@example.org", by="ada")
        await leavers.deactivate(conn, "mia", "left", by="ada")
        await people.set_email(conn, "new", "mia@example.org", by="ada")
        with pytest.raises(ValueError, match="already has this e-mail address"):
            await leavers.reactivate(conn, "mia", [], by="ada")


async def test_the_last_admin_cannot_be_deactivated(db: Database) -> None:
    await furnished(db)
    with pytest.raises(LastAdmin):
        async with db.write() as conn:
            await leavers.deactivate(conn, "ada", "left", by="ada")
    async with db.read() as conn:
        assert await people.active(conn, "ada") is not None


async def test_in_the_place_of_leavers_is_always_somebody_who_is_there(db: Database) -> None:
    await furnished(db)
    async with db.write() as conn:
        await leavers.replace(conn, "old", "sue", "left", by="ada")
        await leavers.replace(conn, "sue", "new", "left", by="ada")
        assert await successors.successors_of(conn, ["OLD", "sue", "zoe"]) == {"OLD": "new", "sue": "new"}
        await leavers.reactivate(conn, "sue", [], by="ada")
        assert await successors.successors_of(conn, ["old", "sue"]) == {"old": "new"}
        await leavers.deactivate(conn, "new", "left", by="ada")
        assert await successors.in_place_of(conn, "old") is None
        assert await successors.in_place_of(conn, "zoe") == "zoe"


# ------------------------------------------------------------------------------------------ lists that are walked along


async def test_tasks_that_fit_are_walked_along_to_the_last_though_nothing_of_them_changes(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)
    views = [task(case.case_id, number=number, opened_at=MORNING) for number in range(1, 8)]
    await opened(db, *views)
    admin = Viewer(id="ada", groups=["admins"], scope=OVERSEER)
    found: list[str] = []
    cursor: str | None = None
    async with db.read() as conn:
        while True:
            part, cursor = await open_tasks.fitting(conn, admin, process="payment", after=cursor, limit=3)
            found += [each.task_id for each in part]
            if cursor is None:
                break
        with pytest.raises(ValueError, match="cursor"):
            await open_tasks.fitting(conn, admin, after="mine", limit=3)
    assert sorted(found) == sorted(view.task_id for view in views) and len(set(found)) == 7


async def test_an_unanswered_question_is_found_behind_any_number_of_answered_ones(db: Database) -> None:
    await furnished(db)
    case = await submitted(db)

    def asked(number: int, answer: str | None) -> TaskView:
        question = Question(id=f"q{number}", by="mia", to="sue", text="Why?", at=MORNING, answer=answer)
        return task(case.case_id, number=number, questions=[question], opened_at=MORNING + timedelta(minutes=number))

    views = [*(asked(number, "So") for number in range(1, 8)), asked(8, None)]
    await opened(db, *views)
    async with db.write() as conn:
        await tasks._name(conn, {(view.task_id, "asked", "sue") for view in views})
        found = await open_tasks.with_questions_for(conn, ["sue"], limit=3)
    assert [each.task_id for each in found] == [views[-1].task_id]
