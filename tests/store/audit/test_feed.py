"""The feed of changes and the people who get each change, on each database."""

from datetime import timedelta
from itertools import product

import pytest

from domain.records import CaseRecord
from domain.scope import OVERSEER, Reach, Scope
from domain.status import Status
from store.audit import audit_log, feed
from store.audit.feed import News
from store.cases import cases
from store.cases.cases import Viewer
from store.db.database import Database
from tests.store.sample_cases import MORNING, event, opening, patch, recorded, submitted, task


async def read(db: Database, since: int = 0) -> tuple[list[News], int]:
    """What is new after a position, and the newest position."""
    async with db.read() as conn:
        newest = await audit_log.position(conn)
        return await feed.news(conn, since, newest), newest


@pytest.mark.both_databases
async def test_exactly_those_hear_of_a_case_who_may_see_it(db: Database) -> None:
    of_group, by_name = await submitted(db, "INV-1"), await submitted(db, "INV-2", requester="requester-2")
    held, asked = await submitted(db, "INV-3"), await submitted(db, "INV-4")
    await recorded(db, opening(task(of_group.case_id)))
    await recorded(db, opening(task(by_name.case_id, candidate_groups=[], candidate_users=["ann"])))
    for case, state in ((held, {"assignee": "bob"}), (asked, {"questions": [{"to": "cyd"}]})):
        view = task(case.case_id, candidate_groups=["directors"], excluded_users=["eve"])
        await recorded(db, opening(view))
        changed = CaseRecord(
            case_id=case.case_id,
            status=Status.AWAITING_APPROVAL,
            events=[event(case.case_id, 2, "task_changed", task_id=view.task_id)],
            patched=[patch(view, state=state)],
        )
        await recorded(db, changed)
    found, _ = await read(db)
    people = ["requester-1", "requester-2", "ann", "bob", "cyd", "eve", "managers"]
    groups: list[list[str]] = [[], ["managers"], ["directors"]]
    scopes = (Scope(), OVERSEER, Scope(sees=Reach(processes={"payment"})), Scope(sees=Reach(processes={"deployment"})))
    viewers = [Viewer(id=id, groups=each, scope=scope) for id, each, scope in product(people, groups, scopes)]
    viewers += [Viewer(id="eve", stands_in_for=[absent]) for absent in viewers]
    heard = 0
    async with db.read() as conn:
        for viewer, news in product(viewers, [each for each in found if each.name == "case"]):
            case_id = feed.CaseNews.model_validate_json(news.data).case_id
            hears = news.told_to(viewer) is not None
            assert hears is await cases.may_see(conn, viewer, case_id), (viewer, case_id)
            heard += hears
    assert 100 < heard < 500


async def test_who_can_no_longer_see_a_task_hears_that_it_is_gone_and_nothing_else(db: Database) -> None:
    case = await submitted(db)
    view = task(case.case_id)
    await recorded(db, opening(view))
    _, since = await read(db)
    changed = CaseRecord(
        case_id=case.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(case.case_id, 2, "task_reassigned", task_id=view.task_id, **{"from": "mia", "to": "dan"})],
        patched=[patch(view, candidate_groups=["directors"], state={"assignee": "dan"})],
    )
    await recorded(db, changed)
    found, _ = await read(db, since)
    for_task = next(each for each in found if each.name == "task")
    for_case = next(each for each in found if each.name == "case")
    for viewer in (Viewer(id="max", groups=["managers"]), Viewer(id="mia")):
        assert for_task.told_to(viewer) == f'{{"task_id":"{view.task_id}","kind":"gone"}}'
        assert for_case.told_to(viewer) is None
    assert for_task.told_to(Viewer(id="max", groups=["security"])) is None
    now = feed.TaskNews.model_validate_json(for_task.told_to(Viewer(id="dan")) or "")
    assert (now.kind, now.assignee) == ("changed", "dan")


@pytest.mark.both_databases
async def test_tasks_that_end_with_their_case_are_told_as_closed_and_each_change_once(db: Database) -> None:
    case = await submitted(db)
    earlier, view = task(case.case_id, number=1), task(case.case_id, number=2)
    closing = CaseRecord(
        case_id=case.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(case.case_id, 2, "gate_closed", task_id=earlier.task_id)],
        patched=[patch(earlier, status="closed", outcome="approved", closed_at=MORNING + timedelta(minutes=2))],
    )
    for record in (opening(earlier), closing, opening(view, 3)):
        await recorded(db, record)
    found, since = await read(db)
    kinds = {told.task_id: told.kind for told in map(task_news, found) if told}
    assert kinds == {earlier.task_id: "closed", view.task_id: "opened"}
    ended = CaseRecord(
        case_id=case.case_id, status=Status.CANCELLED, events=[event(case.case_id, n, "x") for n in (4, 5)]
    )
    await recorded(db, ended)
    found, newest = await read(db, since)
    told = [each for each in map(task_news, found) if each]
    assert [(each.task_id, each.kind, each.outcome) for each in told] == [(view.task_id, "closed", "cancelled")]
    assert feed.CaseNews.model_validate_json(found[-1].data).status is Status.CANCELLED
    assert {each.position for each in found} == {newest} == {since + 2}


def task_news(news: News) -> feed.TaskNews | None:
    return feed.TaskNews.model_validate_json(news.data) if news.name == "task" else None
