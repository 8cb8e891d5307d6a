"""Batches and their rows, on each database."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.base import FieldProblem
from domain.batch import BatchCounts
from domain.case import CaseEvent
from domain.scope import OVERSEER
from store.cases import batches, cases
from store.cases.batches import Batch, BatchRow, Change, Existing, PlannedRow
from store.cases.cases import NewCaseRow
from store.cases.visibility import Viewer
from store.db.connection import AsyncConnection
from store.db.database import Database

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WRONG = FieldProblem(column="amount", message="'abc' is not a number")


def batch(batch_id: str = "b1", at: datetime = NOW, **more: object) -> Batch:
    given: dict[str, object] = {
        "batch_id": batch_id,
        "process": "payment",
        "filename": "payments.csv",
        "sha256": "f" * 64,
        "path": "f.csv",
        "same_file_as": None,
        "requester": "rita",
        "policy_hash": "p" * 64,
        "status": "starting",
        "total": 4,
        "ignored_columns": ["Supplier ID", "Größe"],
        "created_at": at,
    }
    return Batch.model_validate(given | more)


ROWS: list[PlannedRow] = [
    PlannedRow(line=2, reference="INV-1", outcome="valid", case_id="payment:inv-1"),
    PlannedRow(line=3, reference="INV-2", outcome="invalid", errors=[WRONG, FieldProblem(column=None, message="torn")]),
    PlannedRow(line=7, reference="inv-1", outcome="duplicate", case_id="payment:inv-1", differs=["amount"]),
    PlannedRow(line=8, reference="Ä 3", outcome="valid", case_id="payment:%C3%A4%203"),
]


def shown(*rows: BatchRow) -> list[BatchRow]:
    """Without what only an import needs."""
    return [BatchRow.model_validate(row.model_dump(include=set(BatchRow.model_fields))) for row in rows]


async def take(conn: AsyncConnection, batch: Batch, rows: Sequence[PlannedRow] = ()) -> None:
    """Store a batch with its rows, as a reception does."""
    await batches.receive(conn, batch)
    await batches.add_rows(conn, batch.batch_id, rows)


async def a_case(conn: AsyncConnection, case_id: str, reference: str, **more: object) -> None:
    about: dict[str, object] = {"process": "payment", "title": "Pay", "requester": "rita", "policy_hash": "p"}
    about |= {"reference": reference, "reference_key": reference.lower(), "round": 1, "input": {}, "submitted_at": NOW}
    event = CaseEvent(
        event_id=f"{case_id}/0", case_id=case_id, at=NOW, kind="case_submitted", actor="rita", summary="x"
    )
    await cases.insert(conn, NewCaseRow.model_validate({"case_id": case_id, **about, **more}), event)


@pytest.mark.both_databases
async def test_a_batch_and_its_rows_are_read_back_as_they_were_written(db: Database) -> None:
    async with db.write() as conn:
        await take(conn, batch(), ROWS)
    async with db.read() as conn:
        assert await batches.get(conn, "b1") == batch()
        assert await batches.get(conn, "b2") is None
        assert await batches.rows(conn, "b1") == shown(*ROWS)
        assert await batches.rows(conn, "b1", "invalid") == shown(ROWS[1])
        assert await batches.rows(conn, "b1", after=3, limit=1) == shown(ROWS[2])
        assert await batches.next_rows(conn, "b1", 5) == [ROWS[0], ROWS[3]]
        assert await batches.next_rows(conn, "b1", 1) == [ROWS[0]]
        assert await batches.counts(conn, "b1") == BatchCounts(total=4, valid=2, invalid=1, duplicate=1)


@pytest.mark.both_databases
async def test_duplicates_that_differ_come_first_and_are_found_by_themselves(db: Database) -> None:
    change = Change(field="amount", before="1.00", after="2.00")
    rows = [
        PlannedRow(line=2, reference="A", outcome="valid", case_id="payment:a"),
        PlannedRow(line=3, reference="a", outcome="duplicate", case_id="payment:a", above=2),
        PlannedRow(line=4, reference="B", outcome="duplicate", case_id="payment:b", not_again="it was round 3"),
        PlannedRow(
            line=5,
            reference="A",
            outcome="duplicate",
            case_id="payment:a",
            above=2,
            differs=["amount"],
            changes=[change],
        ),
        PlannedRow(line=6, reference="C", outcome="duplicate", case_id="payment:c", resubmits="payment:c"),
        PlannedRow(line=7, reference="D", outcome="valid", case_id="payment:d~2", resubmits="payment:d"),
        PlannedRow(line=8, reference="E", outcome="valid", case_id="payment:e"),
    ]
    async with db.write() as conn:
        for case_id in ("payment:b", "payment:c", "payment:d~2"):
            await a_case(conn, case_id, case_id[8].upper(), round=2 if "~" in case_id else 1)
        await a_case(conn, "payment:e", "E", requester="raul")
        await take(conn, batch(), rows)
        await take(conn, batch("b2"), rows[4:5])
        await batches.settle(conn, "b1", [row.model_copy(update={"outcome": "duplicate"}) for row in rows[5:]])
    async with db.read() as conn:
        assert [row.line for row in await batches.duplicates(conn, "b1", 20)] == [5, 3, 4, 6, 7, 8]
        assert [row.line for row in await batches.duplicates(conn, "b1", 2)] == [5, 3]
        assert [row.line for row in await batches.rows(conn, "b1", differs=True)] == [5]
        assert [row.line for row in await batches.rows(conn, "b1", "duplicate", differs=False)] == [3, 4, 6, 7, 8]
        assert await batches.rows(conn, "b1", "valid", differs=True) == []
        said = {row.line: row.says for row in await batches.rows(conn, "b1")}
        # That of line 7 was submitted again by somebody quicker.
        assert await batches.resubmittable(conn, "b1") == 1
    assert said == {
        2: "",
        3: "same; same reference as line 2 of this file",
        4: "same; the case is starting; cannot be submitted again: it was round 3",
        5: "differs: amount 1.00 → 2.00; same reference as line 2 of this file",
        6: "same; the case is starting; can be submitted again as the next round",
        7: "same; the case is starting",
        8: "the reference belongs to a case of another person",
    }


async def test_a_row_ends_once_and_what_it_became_stays(db: Database) -> None:
    started = ROWS[0].model_copy(update={"outcome": "started"})
    failed = ROWS[3].model_copy(update={"outcome": "failed", "errors": [WRONG]})
    async with db.write() as conn:
        await take(conn, batch(), ROWS)
        await batches.settle(conn, "b1", [])
        await batches.settle(conn, "b1", [started, failed])
        await batches.settle(conn, "b1", [started.model_copy(update={"outcome": "duplicate"})])
        await batches.fail_unstarted(conn, "b1", "too late to matter")
    async with db.read() as conn:
        assert await batches.rows(conn, "b1") == shown(started, ROWS[1], ROWS[2], failed)
        assert await batches.counts(conn, "b1") == BatchCounts(
            total=4, valid=2, invalid=1, duplicate=1, started=1, failed=1
        )


async def test_rows_that_wait_fail_together_when_their_file_is_lost(db: Database) -> None:
    async with db.write() as conn:
        await take(conn, batch(), ROWS)
        await batches.fail_unstarted(conn, "b1", "the file is gone")
        await batches.close(conn, "b1", "failed", NOW)
        await batches.close(conn, "b1", "completed", NOW + timedelta(1))
    async with db.read() as conn:
        assert (await batches.counts(conn, "b1")).failed == 2
        assert [row.errors for row in await batches.rows(conn, "b1", "failed")] == [
            [FieldProblem(column=None, message="the file is gone")]
        ] * 2
        closed = await batches.get(conn, "b1")
    assert closed is not None
    assert (closed.status, closed.closed_at) == ("failed", NOW)


async def test_a_batch_is_unstarted_until_it_runs_and_the_newest_of_the_same_bytes_is_found(db: Database) -> None:
    async with db.write() as conn:
        for number in range(3):
            await take(conn, batch(f"b{number}", NOW + timedelta(minutes=number)))
        await take(conn, batch("other", NOW + timedelta(minutes=9), process="deployment"))
        await batches.mark_running(conn, ["b0"])
        await batches.mark_running(conn, [])
    async with db.read() as conn:
        waiting = await batches.unstarted(conn, NOW + timedelta(minutes=2))
        assert [found.batch_id for found in waiting] == ["b1"]
        assert await batches.same_file(conn, "payment", "f" * 64, "rita") == "b2"
        assert await batches.same_file(conn, "payment", "f" * 64, "raul") is None
        assert await batches.same_file(conn, "payment", "e" * 64, "rita") is None


async def test_of_a_reference_the_newest_round_is_the_case_that_exists(db: Database) -> None:
    async with db.write() as conn:
        for round_ in (1, 2):
            case_id = "payment:inv-1" if round_ == 1 else "payment:inv-1~2"
            await a_case(conn, case_id, "INV-1", round=round_, input={"amount": f"{round_}.00"})
        await take(conn, batch(), ROWS)
    async with db.read() as conn:
        keys = [f"inv-{number}" for number in range(1_200)]  # more than one IN list
        assert await batches.existing_cases(conn, "payment", keys) == {
            "inv-1": Existing(
                case_id="payment:inv-1~2",
                status="starting",
                requester="rita",
                round=2,
                input={"amount": "2.00"},
                unstarted=False,
            )
        }
        assert await batches.existing_cases(conn, "deployment", keys) == {}
        assert await batches.existing_cases(conn, "payment", []) == {}
        assert (await batches.rows(conn, "b1"))[0].case_status == "starting"


@pytest.mark.both_databases
async def test_batches_are_listed_newest_first_to_their_uploader_and_to_who_sees_all(db: Database) -> None:
    async with db.write() as conn:
        for number in range(5):
            at = NOW + timedelta(seconds=number // 2)
            await take(conn, batch(f"b{number}", at, status="paused" if number == 1 else "running"))
        await take(conn, batch("b-other", NOW - timedelta(days=1), requester="rob", process="deployment"))
        await take(conn, batch("b-received", NOW, status="receiving"))  # nobody was told that it is taken
    mine = ["b4", "b3", "b2", "b1", "b0"]
    assert await listed(db, Viewer(id="rita")) == mine
    assert await listed(db, Viewer(id="rob", groups=["managers"])) == ["b-other"]
    assert await listed(db, Viewer(id="ada", groups=["auditors"], scope=OVERSEER)) == [*mine, "b-other"]
    assert await listed(db, Viewer(id="rita"), process="deployment") == []
    assert await listed(db, Viewer(id="rita"), status="paused") == ["b1"]
    with pytest.raises(ValueError, match="cursor"):
        await listed(db, Viewer(id="rita"), cursor="nonsense")


async def listed(db: Database, viewer: Viewer, cursor: str | None = None, **filters: Any) -> list[str]:
    """All pages of two."""
    async with db.read() as conn:
        found, cursor = await batches.page(conn, viewer, cursor=cursor, limit=2, **filters)
    ids = [each.batch_id for each in found]
    return ids + await listed(db, viewer, cursor, **filters) if cursor else ids
