"""Search in the audit log, and the check of one case: exactly the changed events are named."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, select, update

from store.audit import audit_log, search
from store.audit.verification import verify, verify_case
from store.db.database import Database
from store.tables.audit import event_payloads, event_positions, events
from tests.store.sample_cases import MORNING, event, submitted

pytestmark = pytest.mark.both_databases


async def told(db: Database) -> None:
    """Two cases with an event each at 09:00 and later, and a change of people."""
    for reference in ("A", "B"):
        await submitted(db, reference)
    async with db.write() as conn:
        for number, case_id in enumerate(("payment:a", "payment:b"), 1):
            later = MORNING + timedelta(days=number)
            told = event(case_id, number, score=number).model_copy(
                update={"at": later, "actor": "manager-1", "summary": f'Said "100%" of {case_id}'}
            )
            await audit_log.append(conn, [told])
        await audit_log.note(conn, "token_made", by="admin-1", summary="A token was made", data={"person": "manager-1"})


async def test_events_are_found_by_case_person_kind_time_and_words(db: Database) -> None:
    await told(db)
    async with db.read() as conn:
        said = [(each.case_id, each.actor) for each in await search.newest(conn, actor="manager-1")]
        assert said == [("payment:b", "manager-1"), ("payment:a", "manager-1")], "the newest first"
        assert [each.kind for each in await search.oldest(conn, case_id="")] == ["token_made"]
        assert [each.case_id for each in await search.newest(conn, text='SAID "100%" of payment:a')] == ["payment:a"]
        assert await search.newest(conn, text='"100_"') == [], "no sign stands for another"
        (kept,) = await search.oldest(conn, kind="token_made")
        assert await search.newest(conn, before=kept.position, limit=1) == [(await search.oldest(conn))[-2]]
        second = {"since": MORNING + timedelta(days=2), "until": MORNING + timedelta(days=2, seconds=1)}
        assert await search.count(conn, since=second["since"], until=second["until"]) == 1
        assert await search.case_ids(conn, since=second["since"], until=second["until"]) == ["payment:b"]
        assert [case.title for case in await search.cases_of(conn, ["payment:b", "payment:none"])] != []
        assert "token_made" in await search.kinds(conn)
        assert await search.count(conn) == len(await audit_log.page(conn))


async def test_an_intact_case_is_proven_up_to_its_head(db: Database) -> None:
    await told(db)
    async with db.read() as conn:
        found = await verify_case(conn, "payment:a")
        newest = (await audit_log.page(conn, "payment:a"))[-1]
        assert (found.problems, found.events, found.cases) == ([], 2, 1)
        assert found.head is not None and (found.head.count, found.head.hash) == (newest.seq, newest.hash)
        (nothing,) = (await verify_case(conn, "payment:none")).problems
        assert "it was never there, or all of it was removed" in nothing
    everything = await verify(db)
    assert everything.head is not None and everything.head.count == 5


@pytest.mark.parametrize("how", ["edited", "cut off", "said otherwise"])
async def test_the_check_of_a_case_names_what_was_done_to_it_and_leaves_others_alone(db: Database, how: str) -> None:
    await told(db)
    async with db.read() as conn:
        victim = (await audit_log.page(conn, "payment:a"))[-1]
    async with db.write() as conn:
        its = events.c.event_id == victim.event_id
        number = await conn.scalar(select(events.c.number).where(its))
        if how == "edited":
            await conn.execute(update(events).where(its).values(actor="somebody"))
        elif how == "said otherwise":
            mine = event_payloads.c.number == number
            await conn.execute(update(event_payloads).where(mine).values(payload='{"summary":"","data":{}}'))
        else:
            for table in (event_payloads, event_positions, events):
                await conn.execute(delete(table).where(table.c.number == number))
    async with db.read() as conn:
        problems = (await verify_case(conn, "payment:a")).problems
        assert (await verify_case(conn, "payment:b")).problems == []
    assert problems
    assert all("payment:a" in problem for problem in problems)
    assert any(("its row counts 2 events" if how == "cut off" else victim.event_id) in problem for problem in problems)
