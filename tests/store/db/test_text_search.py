"""Search on both databases: without accents, composed or not, and numbers by their value."""

import pytest

from domain.scope import OVERSEER
from store.audit import search
from store.cases import cases, task_lists
from store.cases.cases import Viewer
from store.cases.task_lists import TaskFilter
from store.db.database import Database
from store.people import people, people_list
from tests.store.sample_cases import MORNING, event, opening, recorded, submitted, task

pytestmark = pytest.mark.both_databases

EVERYTHING = Viewer(id="auditor-1", groups=["auditors"], scope=OVERSEER)
QUERIES = [
    *("muller", "M\u00dcLLER", "mu\u0308ller", "1250", "1,250.00", "1250.00", "1.250,00", "GMBH 1250", "strasse"),
    *("INV\u20111250", "payment:inv-1250", "payment%3Ainv-1250", "soren"),
]
MISSES = ["moller", "1251", "12,50", "1250.01", "%", "_", "\\"]


async def told(db: Database) -> str:
    title = "Pay M\u00fcller GmbH, Hauptstra\u00dfe, S\u00f8ren 1,250.00 EUR"
    row = await submitted(db, "INV-1250", title=title)
    await submitted(db, "OTHER-7", title="Pay Moritz 7.00 EUR")
    await recorded(db, opening(task(row.case_id, title=title)))
    return row.case_id


@pytest.mark.parametrize("query", QUERIES)
async def test_cases_tasks_and_events_are_found_without_accents_and_by_value(db: Database, query: str) -> None:
    case_id = await told(db)
    noted = event(case_id, 9, note=f"M\u00fcller wants 1,250.00 in the Stra\u00dfe of S\u00f8ren GmbH; {case_id}")
    async with db.write() as conn:
        from store.audit import audit_log

        await audit_log.append(conn, [noted])
    async with db.read() as conn:
        found, _ = await cases.page(conn, EVERYTHING, q=query)
        assert [row.case_id for row in found] == [case_id]
        tasks, _ = await task_lists.page(conn, EVERYTHING, TaskFilter(q=query), MORNING)
        assert [view.case_id for view in tasks] == [case_id]
        if "%" not in query:
            assert noted.event_id in [each.event_id for each in await search.newest(conn, text=query)]


@pytest.mark.parametrize("query", MISSES)
async def test_nothing_else_is_found(db: Database, query: str) -> None:
    await told(db)
    async with db.read() as conn:
        assert (await cases.page(conn, EVERYTHING, q=query))[0] == []
        assert (await task_lists.page(conn, EVERYTHING, TaskFilter(q=query), MORNING))[0] == []


async def test_people_are_found_without_accents_and_a_group_has_one_name(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "jm", "J\u00f6rg Mu\u0308ller", ["Managers", "managers"], by="admin-1")
        with pytest.raises(ValueError, match=r"U\+200B, zero width space\) at position 9"):
            await people.join(conn, "jm", "managers\u200b", by="admin-1")
        with pytest.raises(ValueError, match=r"U\+202E"):
            await people.add(conn, "x", "Ann\u202ea", [], by="admin-1")
    async with db.read() as conn:
        for query in ("jorg", "J\u00d6RG muller", "m\u00fcll"):
            assert [each.id for each in await people_list.page(conn, MORNING, q=query)] == ["jm"]
        assert (await people.get(conn, "jm")).groups == ["managers"]
