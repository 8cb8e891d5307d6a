"""Refusals of one person are listed a few times and then counted, on SQLite and PostgreSQL."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.case import CaseEvent
from store.audit import audit_log, refusal_counts, timeline
from store.audit.refusal_counts import LISTED, LISTED_A_DAY, CountedRefusals
from store.cases import cases
from store.cases.cases import NewCaseRow
from store.db.database import Database

NOW = datetime(2026, 7, 1, 9, tzinfo=UTC)
AT_ONCE = timedelta(0)


async def stored(db: Database, *references: str) -> None:
    async with db.write() as conn:
        for reference in references:
            case_id = f"payment:{reference}"
            new = NewCaseRow(
                case_id=case_id,
                process="payment",
                reference=reference,
                reference_key=reference,
                round=1,
                title="Pay",
                requester="rita",
                policy_hash="p",
                input={},
                submitted_at=NOW,
            )
            await cases.insert(conn, new, event(case_id, "case_submitted"))


def event(case_id: str, kind: str, **data: Any) -> CaseEvent:
    return CaseEvent(
        event_id=str(uuid4()), case_id=case_id, at=NOW, kind=kind, actor="mallory", summary=kind, data=data
    )


async def refuse(db: Database, case_id: str, times: int, person: str = "mallory") -> list[bool]:
    async with db.write() as conn:
        refused = [event(case_id, "decision_refused", task_id=f"t-{case_id}") for _ in range(times)]
        return [await refusal_counts.record(conn, each, person) for each in refused]


async def events_of(db: Database, case_id: str) -> list[audit_log.StoredEvent]:
    async with db.read() as conn:
        return await audit_log.page(conn, case_id, limit=100_000)


@pytest.mark.both_databases
async def test_twenty_refusals_of_a_person_on_a_task_are_listed_and_the_rest_is_one_event(db: Database) -> None:
    await stored(db, "a")
    assert sum(await refuse(db, "payment:a", 100)) == LISTED == 20
    assert await refuse(db, "payment:a", 1, "another") == [True], "of somebody else they are counted apart"
    job = CountedRefusals(db, AT_ONCE, AT_ONCE)
    assert [await job.look(), await job.look()] == [1, 0]
    (counted,) = [each for each in await events_of(db, "payment:a") if each.kind == "refusals_counted"]
    assert (counted.data["count"], counted.data["person"]) == (80, "mallory")
    assert counted.data["first_at"] <= counted.data["last_at"]
    # Later refusals get a new count, and the counts add up to all refusals.
    await refuse(db, "payment:a", 7)
    assert await job.look() == 1
    whole = await events_of(db, "payment:a")
    of_mallory = [each for each in whole if each.kind == "decision_refused"]
    assert len(of_mallory) + sum(each.data.get("count", 0) for each in whole) == 100 + 1 + 7
    assert (await audit_log.verify(db)).problems == []


async def test_a_count_is_written_once_its_flood_is_over(db: Database) -> None:
    await stored(db, "a")
    await refuse(db, "payment:a", 30)
    assert await CountedRefusals(db).look() == 0
    assert await CountedRefusals(db, quiet=timedelta(hours=1), longest=AT_ONCE).look() == 1


async def test_refusals_of_one_person_on_many_tasks_have_a_bound_for_the_day(db: Database) -> None:
    names = [f"c{number}" for number in range(LISTED_A_DAY // LISTED + 2)]
    await stored(db, *names)
    job = CountedRefusals(db, AT_ONCE, AT_ONCE)
    before = len(await events_of(db, ""))
    for _ in range(3):
        for name in names:
            await refuse(db, f"payment:{name}", LISTED + 2)
        await job.look()
    written = [each for name in names for each in await events_of(db, f"payment:{name}")]
    written = [each for each in written if each.kind != "case_submitted"]
    assert len(written) <= LISTED_A_DAY
    counts = [each for each in await events_of(db, "") if each.kind == "refusals_counted"]
    assert len(await events_of(db, "")) - before == len(counts) <= 3
    listed = sum(each.kind == "decision_refused" for each in written)
    assert listed + sum(each.data.get("count", 0) for each in [*written, *counts]) == 3 * len(names) * (LISTED + 2)
    # Somebody else is not affected.
    assert await refuse(db, f"payment:{names[-1]}", 1, "another") == [True]


async def test_noise_hides_nothing_that_decided_or_changed_a_case(db: Database) -> None:
    await stored(db, "a")
    case_id = "payment:a"
    kept = ("gate_opened", "decided", "step_done", "task_delegated", "question_asked", "case_closed")
    async with db.write() as conn:
        for kind in kept:
            noise = [event(case_id, name) for name in timeline.NOISE for _ in range(40)]
            await audit_log.append(conn, [*noise, event(case_id, kind), *noise])
    async with db.read() as conn:
        case = await cases.get(conn, case_id)
        assert case is not None
        shown = await timeline.of_case(conn, case)
        whole, after = [], 0
        while page := await timeline.page(conn, case_id, after, 1_000):
            whole += page
            after = page[-1].seq
    assert [each.kind for each in shown.events if each.kind not in timeline.NOISE] == ["case_submitted", *kept]
    assert [each.seq for each in shown.events] == sorted(each.seq for each in shown.events)
    assert len(shown.events) == timeline.NEWEST + len(kept) + 1
    assert shown.events[-timeline.NEWEST :][0].seq > 1 and shown.events[-1].seq == case.head_count
    assert shown.left_out + len(shown.events) == case.head_count == len(whole)
