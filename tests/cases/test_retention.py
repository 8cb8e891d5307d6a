"""The job that erases what is older than its retention period."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from cases.reconcile import retention
from cases.reconcile.retention import LEASE, LEASE_FOR, Retention
from core.settings import WrongSettings
from domain.names import SEVERAL
from plugins import loader
from store.audit import audit_log
from store.cases import legal_holds
from store.db import leases
from store.db.database import Database
from store.people import people
from store.tables.audit import events
from store.tables.cases import batch_rows, batches, cases
from tests.store.cases.test_legal_holds import UPLOAD
from tests.store.sample_cases import submitted

NOW = datetime.now(UTC)
PERIODS = {"payment": timedelta(days=30), "approval": timedelta(days=5)}
OLD, YOUNG = NOW - timedelta(days=31), NOW - timedelta(days=29)


async def _nothing() -> int:
    return 0


def job(db: Database, periods: Mapping[str, timedelta] = PERIODS) -> Retention:
    return Retention(db, db, periods, _nothing)


async def ended(db: Database, reference: str, at: datetime | None, **values: Any) -> str:
    """A case that ended at a time; None for a case that is open."""
    known: dict[str, Any] = {
        name: values.pop(name) for name in ("requester", "batch_id", "parent", "process") if name in values
    }
    if "process" in known:
        known["case_id"] = f"{known['process']}:{reference}"
    row = await submitted(db, reference, **known)
    status = "completed" if at else "awaiting_approval"
    async with db.write() as conn:
        changed = update(cases).where(cases.c.case_id == row.case_id)
        await conn.execute(changed.values(closed_at=at, status=status, **values))
    return row.case_id


async def upload(db: Database, batch_id: str, at: datetime | None, *processes: str, process: str = "payment") -> None:
    row: dict[str, Any] = {name: [] for name in ("differs", "changes", "errors")}
    async with db.write() as conn:
        new = {**UPLOAD, "batch_id": batch_id, "requester": "p-1", "process": process, "closed_at": at}
        await conn.execute(insert(batches), [new])
        for line, each in enumerate(processes):
            about = {"batch_id": batch_id, "line": line, "reference": "r", "outcome": "invalid", "process": each}
            await conn.execute(insert(batch_rows), [{**about, **row}])


async def erased(db: Database) -> set[str]:
    async with db.read() as conn:
        gone = select(cases.c.case_id).where(cases.c.erased_at.is_not(None))
        files = select(batches.c.batch_id).where(batches.c.erased_at.is_not(None))
        return {*(await conn.execute(gone)).scalars(), *(await conn.execute(files)).scalars()}


@pytest.mark.both_databases
async def test_ended_cases_go_when_the_period_of_their_process_is_over(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)  # so that it takes several looks at the database
    due = {await ended(db, f"old-{number}", OLD) for number in range(5)}
    due.add(await ended(db, "short", NOW - timedelta(days=6), process="approval"))
    await ended(db, "young", YOUNG)
    await ended(db, "open", None)
    await ended(db, "kept", OLD, process="deployment")
    await ended(db, "again", OLD, resubmit_at=NOW)
    await ended(db, "child", OLD, parent="payment:open")
    assert await job(db).look() == len(due) and await erased(db) == due
    assert await job(db).look() == 0, "a second look finds nothing"
    async with db.read() as conn:
        told = select(events.c.actor).where(events.c.kind == "erased")
        assert [*(await conn.execute(told)).scalars()] == ["holdgate"] * len(due)
    assert (await audit_log.verify(db)).problems == []


async def test_what_a_legal_hold_protects_stays_and_the_others_go(db: Database) -> None:
    async with db.write() as conn:
        await people.add(conn, "p-1", "One", [], by="t")
    held = await ended(db, "held", OLD)
    await ended(db, "of-held-person", OLD, requester="p-1")
    free = await ended(db, "zz-free", OLD)
    async with db.write() as conn:
        await legal_holds.place(conn, "case", held, "Matter 7", "t")
        hold = await legal_holds.place(conn, "person", "p-1", "Matter 8", "t")
    assert await job(db).look() == 1 and await erased(db) == {free}
    async with db.write() as conn:
        await legal_holds.lift(conn, hold.hold_id, "Closed", "t")
    assert await job(db).look() == 1 and await erased(db) == {free, "payment:of-held-person"}


async def test_an_upload_goes_when_all_its_cases_are_gone(db: Database) -> None:
    await upload(db, "b-1", OLD, "payment", "payment")
    first = await ended(db, "one", OLD, batch_id="b-1")
    second = await ended(db, "two", YOUNG, batch_id="b-1")
    assert await job(db).look() == 1 and await erased(db) == {first}
    async with db.write() as conn:
        await conn.execute(update(cases).where(cases.c.case_id == second).values(closed_at=OLD))
    assert await job(db).look() == 1 and await erased(db) == {first, second, "b-1"}


@pytest.mark.parametrize(
    ("process", "rows", "at", "goes"),
    [
        ("payment", ["payment"], OLD, True),
        ("payment", ["payment"], YOUNG, False),
        ("payment", ["payment"], None, False),
        ("deployment", ["deployment"], OLD, False),
        (SEVERAL, ["payment", "approval", SEVERAL, ""], OLD, True),
        (SEVERAL, ["approval"], YOUNG, False),
        (SEVERAL, ["payment", "deployment"], OLD, False),
    ],
)
async def test_an_upload_that_started_no_case_goes_by_its_own_age(
    db: Database, process: str, rows: list[str], at: datetime | None, goes: bool
) -> None:
    await upload(db, "b-1", at, *rows, process=process)
    assert await job(db).look() == goes and await erased(db) == ({"b-1"} if goes else set())


async def test_one_worker_at_a_time_erases(db: Database) -> None:
    case_id = await ended(db, "old", OLD)
    async with db.write() as conn:
        assert await leases.take(conn, LEASE, "another", datetime.now(UTC), LEASE_FOR)
    assert await job(db).look() == 0 and await erased(db) == set()
    async with db.write() as conn:
        await leases.release(conn, LEASE, "another")
    assert await job(db).look() == 1 and await erased(db) == {case_id}
    assert await job(db).look() == 0, "the lease is free again"


async def test_without_periods_nothing_is_looked_for(db: Database) -> None:
    await ended(db, "old", OLD)
    assert await job(db, {}).look() == 0 and await erased(db) == set()


def test_a_period_of_an_unknown_process_ends_the_start() -> None:
    assert loader.retention("payment=90d") == {"payment": timedelta(days=90)}
    with pytest.raises(WrongSettings, match="HOLDGATE_RETENTION=paymnt=90d: there is no process 'paymnt'"):
        loader.retention("paymnt=90d")
