"""Starting the rows of a file: each row ends exactly once, also when processes are killed."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator
from sqlalchemy import update
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner

from activities.payment.request import PaymentRequest
from cases.submit import RECEIVED_WITHIN
from cases.workflow_starter import BATCH_PRIORITY, TemporalUnavailable
from core.signed_client import signed
from domain.batch import BatchAct, BatchCounts, BatchInput, BatchNote, BatchOrder
from domain.messages import Actor
from domain.status import Status
from domain.step import StepCall
from domain.undo import PlannedUndo
from intake import start_rows
from intake.start_rows import BatchPace, Importer, OtherStart
from plugins.testing.signatures import TEST_KEY
from store.audit import audit_log
from store.cases import batch_cases, batches, cases
from store.cases.batches import PlannedRow
from store.tables.cases import cases as case_table
from tests.intake.conftest import HEAD, POLICY, ROOT, Office, payment
from workflows import batch as batch_workflow
from workflows.payment import PaymentProcess
from workflows.registry import PROCESSES, Process

RITA = Actor(id="rita")
FEW = BatchPace(in_flight=10, patience=0.1)
"""Chunks of five rows: a file of some rows has several chunks."""


def rows(count: int, start: int = 1) -> str:
    return "".join(f"INV-{number},Acme Paper Ltd,{number}.50,GBP,operating\n" for number in range(start, start + count))


def work(office: Office, log: Path) -> subprocess.Popen[bytes]:
    """A worker in a process of its own."""
    client = office.client
    arguments = [
        client.service_client.config.target_host,
        client.namespace,
        office.url,
        str(POLICY),
        str(FEW.in_flight),
    ]
    command = [sys.executable, "-m", "tests.intake.bulk_worker", *arguments]
    with log.open("ab") as written:
        return subprocess.Popen(command, cwd=ROOT, stderr=written)


async def input_of(office: Office, batch_id: str | None) -> BatchInput:
    async with office.db.read() as conn:
        batch = await batches.get(conn, batch_id or "")
    assert batch is not None
    return BatchInput.model_validate(batch.model_dump(include=set(BatchInput.model_fields)))


async def test_each_valid_row_becomes_one_case_behind_single_ones_and_in_file_order(office: Office) -> None:
    data = "priority,reference,payee,amount,currency,account\n"
    data += "".join(f",INV-{n},Acme,{n},GBP,operating\n" for n in range(1, 8)) + "1,INV-8,Acme,8,GBP,operating\n"
    async with office.worker():
        taken = await office.take(data)
        report = await office.finished(taken.batch_id or "")
    assert report.status == "completed"
    assert report.rows == BatchCounts(total=8, valid=8, started=8)
    assert report.cases == {"running": 8}
    stored = [await office.case(f"payment:inv-{number}") for number in range(1, 9)]
    assert stored == sorted(stored, key=lambda case: case.submitted_at)
    assert {case.requester for case in stored} == {"rita"}
    assert {case.batch_id for case in stored} == {taken.batch_id}
    assert [case.priority for case in stored] == [BATCH_PRIORITY] * 7 + [1]
    await office.counted_workflows(taken.batch_id or "", 8)
    assert sorted(await office.workflow_ids(taken.batch_id or "")) == sorted(case.case_id for case in stored)


async def test_bad_rows_keep_their_errors_and_good_ones_start(office: Office) -> None:
    async with office.worker():
        taken = await office.take((ROOT / "docs" / "samples" / "payments-messy.csv").read_bytes())
        report = await office.finished(taken.batch_id or "")
    assert report.rows == BatchCounts(total=9, valid=2, invalid=6, duplicate=1, started=2)
    assert [found.outcome for found in await office.rows(taken.batch_id or "")] == [
        "started", "duplicate", "invalid", "invalid", "invalid", "invalid", "invalid", "invalid", "started",
    ]  # fmt: skip
    assert (await office.report(taken.batch_id)).errors == taken.errors


async def test_scheduled_rows_are_seen_as_such_and_never_stop_an_import(office: Office) -> None:
    at, count = (datetime.now(UTC) + timedelta(days=3)).isoformat(), 2 * FEW.in_flight
    data = "task_id,task_type,name,amount,currency,scheduled_time\n"
    data += "".join(f"T-{number},payment,Acme Paper Ltd,{number},GBP,{at}\n" for number in range(1, count + 1))
    taken = await office.uploads.start("several", "later.csv", data.encode(), "rita")
    batch = await input_of(office, taken.batch_id)
    began = time.monotonic()
    # With this patience, and scheduled cases in its way, the import would take minutes.
    pace = FEW._replace(patience=60)
    result = await Importer(office.db, office.client, office.starter, pace).run(batch, lambda _: None)
    assert result.rows.started == count
    assert time.monotonic() - began < 30
    report = await office.report(taken.batch_id)
    assert report.cases == {"scheduled": count}
    async with office.db.read() as conn:
        assert await batch_cases.count_running(conn, batch.batch_id) == 0


async def test_a_file_without_a_valid_row_is_completed_too(office: Office) -> None:
    async with office.worker():
        report = await office.finished((await office.take(HEAD + "INV-1,,,,\n")).batch_id or "")
    assert (report.status, report.rows) == ("completed", BatchCounts(total=1, invalid=1))


async def test_the_same_file_twice_starts_nothing_twice(office: Office) -> None:
    async with office.worker():
        first = await office.finished((await office.take(HEAD + rows(10))).batch_id or "")
        second = await office.finished((await office.take(HEAD + rows(10))).batch_id or "")
    assert second.same_file_as == first.batch_id
    assert second.rows == BatchCounts(total=10, duplicate=10)
    assert {(found.case_status, *found.differs) for found in second.duplicates} == {("running",)}


async def test_the_same_file_twice_at_once_starts_every_row_once(office: Office) -> None:
    count = 23
    async with office.worker(FEW):
        taken = await asyncio.gather(*(office.take(HEAD + rows(count)) for _ in range(2)))
        both = [await office.finished(report.batch_id or "") for report in taken]
    assert sum(report.rows.started for report in both) == count
    assert all(report.rows.started + report.rows.duplicate == count == report.rows.total for report in both)
    for report in both:
        assert await office.counted_workflows(report.batch_id or "", report.rows.started) == report.rows.started


async def test_a_row_that_somebody_else_started_in_between_is_a_duplicate(office: Office) -> None:
    taken = await office.take(HEAD + rows(3))
    await office.starter.start_case(payment("INV-2", amount="99.00"), "raul")
    assert taken.rows == BatchCounts(total=3, valid=3)
    async with office.worker():
        report = await office.finished(taken.batch_id or "")
    assert report.rows == BatchCounts(total=3, valid=2, started=2, duplicate=1)
    (late,) = report.duplicates
    assert (late.line, late.case_id, late.differs, late.case_status) == (3, "payment:inv-2", [], None)
    assert late.says == "the reference belongs to a case of another person"
    assert (await office.case("payment:inv-2")).requester == "raul"


async def test_a_row_whose_case_was_stored_by_an_attempt_that_died_is_started_and_no_duplicate(office: Office) -> None:
    taken = await office.take(HEAD + rows(4))
    batch = await input_of(office, taken.batch_id)
    imports = Importer(office.db, office.client, office.starter, BatchPace(patience=0.1))
    # The attempt died behind the rows of two cases, and behind the Workflow of one of them.
    process = office.starter.process("payment")
    prepared = [
        office.starter.prepare(
            process,
            f"INV-{number}",
            PaymentRequest.model_validate(payment(amount=f"{number}.50").input),
            by="rita",
            policy_hash=batch.policy_hash,
            priority=BATCH_PRIORITY,
            batch_id=batch.batch_id,
        )
        for number in (1, 2)
    ]
    async with office.db.write() as conn:
        await cases.insert_many(conn, prepared)
    await office.starter.launcher.launch([await office.case("payment:inv-1")])

    done: list[int] = []
    result = await imports.run(batch, done.append)
    assert result.rows == BatchCounts(total=4, valid=4, started=4)
    assert done == [4]
    assert await office.counted_workflows(batch.batch_id, 4) == 4
    assert (await imports.run(batch, done.append)) == result


def a_plan() -> PlannedUndo:
    call = StepCall[Any](
        case_id="payment:inv-2",
        reference="INV-2",
        requester="rita",
        policy_hash="f" * 64,
        key="payment:inv-2/pay/undo",
        undoes="payment:inv-2/pay",
        at=datetime.now(UTC),
        input={},
    )
    return PlannedUndo(step="pay", undo="undo_pay", summary="Undo pay", call=call)


async def test_a_completed_case_that_a_cancelled_batch_cannot_roll_back_says_so_in_its_audit_log(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cases.rollback.QUERY_PATIENCE_S", 0.1)
    taken = await office.take(HEAD + rows(2))
    batch = await input_of(office, taken.batch_id)
    imports = Importer(office.db, office.client, office.starter, BatchPace(patience=0.1))
    await imports.run(batch, lambda _: None)
    async with office.db.write() as conn:
        await conn.execute(update(case_table).values(status=Status.COMPLETED))
        # A case of a plugin that is not installed any more.
        gone = {"process": "gone", "plan": [a_plan().model_dump(mode="json")]}
        await conn.execute(update(case_table).where(case_table.c.case_id == "payment:inv-2").values(gone))
    boss = Actor(id="olga", groups=["operators"])
    order = BatchOrder(
        id="o1", act=BatchAct.CANCEL, by=boss, reason="wrong file", at=datetime.now(UTC), completed_too=True
    )
    note = BatchNote(batch_id=batch.batch_id, workflow_id="batch:1", status="cancelling", order=order)
    for _ in range(2):  # the second call of the activity writes nothing more
        assert await imports.roll_back(note, lambda _: None) == 0
    async with office.db.read() as conn:
        events = await audit_log.page(conn, limit=100)
    left = [each for each in events if each.kind == "rollback_called_off"]
    assert {(each.case_id, each.actor, each.data["batch_id"]) for each in left} == {
        (case_id, "olga", batch.batch_id) for case_id in ("payment:inv-1", "payment:inv-2")
    }
    assert len(left) == 2 and {"no step" in each.data["reason"] for each in left} == {True, False}


async def test_while_temporal_is_away_rows_wait_and_then_go_on(office: Office, temporal: WorkflowEnvironment) -> None:
    taken = await office.take(HEAD + rows(5))
    batch = await input_of(office, taken.batch_id)
    await temporal.shutdown()
    imports = Importer(office.db, office.client, office.starter, BatchPace(patience=0.1))
    with pytest.raises(TemporalUnavailable, match="5 cases wait"):
        await imports.run(batch, lambda _: None)
    assert (await office.report(batch.batch_id)).rows == BatchCounts(total=5, valid=5)
    assert (await office.case("payment:inv-1")).status == Status.STARTING


class Inflated(PaymentRequest):
    """An input that grows: what fits a cell does not fit a Temporal payload."""

    account: str

    @field_validator("account")
    @classmethod
    def _grow(cls, account: str) -> str:
        return "x" * 3_000_000 if account.startswith(("huge", "xxx")) else account


async def test_a_row_that_temporal_never_takes_fails_and_the_others_start(office: Office) -> None:
    inflated = Process(name="payment", workflow=PaymentProcess, input=Inflated, example={})
    office.processes = {"payment": inflated}
    office.__post_init__()
    async with office.worker():
        taken = await office.take(HEAD + rows(2) + "INV-3,Acme,1,GBP,huge\n")
        report = await office.finished(taken.batch_id or "")
    assert report.rows == BatchCounts(total=3, valid=3, started=2, failed=1)
    assert report.cases == {"running": 2, "failed": 1}
    failed = (await office.rows(taken.batch_id or ""))[-1]
    assert failed.outcome == "failed" and "Temporal refuses to start the case" in failed.errors[0].message


async def test_a_row_whose_case_could_not_be_started_is_tried_again_with_the_same_file(office: Office) -> None:
    inflated = Process(name="payment", workflow=PaymentProcess, input=Inflated, example={})
    office.processes = {"payment": inflated}
    office.__post_init__()
    data = HEAD + rows(1) + "INV-3,Acme,1,GBP,huge\n"
    async with office.worker():
        await office.finished((await office.take(data)).batch_id or "")
    assert (await office.case("payment:inv-3")).status == Status.FAILED
    office.processes = PROCESSES
    office.__post_init__()
    async with office.worker():
        report = await office.finished((await office.take(data)).batch_id or "")
    assert report.rows == BatchCounts(total=2, valid=1, started=1, duplicate=1)
    again = await office.case("payment:inv-3~2")
    assert (again.resubmits, again.round, again.status) == ("payment:inv-3", 2, Status.RUNNING)


@pytest.mark.parametrize("field", sorted({*BatchInput.model_fields} - {"orders", "asked", "batch_id"}))
async def test_a_batch_that_was_started_in_temporal_with_another_input_starts_no_row(
    office: Office, field: str
) -> None:
    batch = await input_of(office, (await office.take(HEAD + rows(1))).batch_id)
    other: dict[str, Any] = {"total": 7, "asked_for": ["another"]}
    changed = batch.model_copy(update={field: other.get(field, "another")})
    with pytest.raises(OtherStart, match="did not start"):
        await Importer(office.db, office.client, office.starter).run(changed, lambda _: None)


async def test_a_long_import_goes_on_as_a_new_run_and_starts_every_row_once(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_rows, "ROWS_PER_CALL", 1)
    monkeypatch.setattr(batch_workflow, "CHUNKS_PER_RUN", 3)
    count = 3 + 2
    # The sandbox would import the Workflow again, without the patch.
    async with office.worker(BatchPace(in_flight=1, patience=0.01), UnsandboxedWorkflowRunner()):
        taken = await office.take(HEAD + rows(count))
        handle = office.client.get_workflow_handle(f"batch:{taken.batch_id}")
        first = (await handle.describe()).run_id
        report = await office.finished(taken.batch_id or "")
        assert (await handle.describe()).run_id != first
    assert report.rows == BatchCounts(total=count, valid=count, started=count)
    assert await office.counted_workflows(taken.batch_id or "", count) == count


async def test_an_order_that_an_earlier_run_accepted_is_not_accepted_again(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start_rows, "ROWS_PER_CALL", 1)
    monkeypatch.setattr(batch_workflow, "CHUNKS_PER_RUN", 1)
    async with office.worker(BatchPace(in_flight=1, patience=0.01), UnsandboxedWorkflowRunner()):
        taken = await office.take(HEAD + rows(12))
        handle = office.client.get_workflow_handle(f"batch:{taken.batch_id}")

        async def send(act: BatchAct) -> BatchOrder:
            given = BatchOrder(id=f"{act}-{time.monotonic()}", act=act, by=RITA, reason="x", at=datetime.now(UTC))
            sent = signed(given, TEST_KEY, office.client.namespace, handle.id)
            await handle.signal("order", sent)
            return given.model_copy(update={"proof": sent.proof})

        async def until(status: str) -> None:
            async with asyncio.timeout(20):
                while (await office.report(taken.batch_id)).status != status:
                    await asyncio.sleep(0.02)

        await send(BatchAct.PAUSE)
        await until("paused")
        seen = await send(BatchAct.RESUME)
        run = (await handle.describe()).run_id
        async with asyncio.timeout(20):
            while (await handle.describe()).run_id == run:
                await asyncio.sleep(0.02)
        await send(BatchAct.PAUSE)
        await until("paused")
        await handle.signal("order", seen)
        await asyncio.sleep(0.5)
        assert (await office.report(taken.batch_id)).status == "paused"
        await send(BatchAct.RESUME)
        assert (await office.finished(taken.batch_id or "")).rows.started == 12


async def test_an_import_is_no_faster_than_it_may_be(office: Office) -> None:
    async with office.worker(BatchPace(per_second=10, patience=0.01)):
        taken = await office.take(HEAD + rows(30))
        began = time.monotonic()
        await office.finished(taken.batch_id or "")
    assert time.monotonic() - began >= 2


async def test_a_file_whose_gateway_died_while_it_was_received_is_never_seen_and_forgotten(office: Office) -> None:
    taken = await office.take(HEAD + rows(1))
    async with office.db.write() as conn:
        stored = await batches.get(conn, taken.batch_id or "")
        assert stored is not None
        for name, age in (("bold", RECEIVED_WITHIN * 2), ("byoung", timedelta(0))):
            begun = {"batch_id": name, "status": "receiving", "created_at": datetime.now(UTC) - age}
            await batches.receive(conn, stored.model_copy(update=begun))
            line = PlannedRow(line=2, reference="INV-9", outcome="valid", input={})
            await batches.add_rows(conn, name, [line])
    assert await office.uploads.report("byoung") is None
    await office.starter.sweep()
    async with office.db.read() as conn:
        assert [len(await batches.next_rows(conn, name, 9)) for name in ("bold", "byoung")] == [0, 1]


@pytest.mark.plain_payloads
async def test_a_202_survives_kill_9_of_the_worker_and_each_row_ends_exactly_once(
    office: Office, tmp_path: Path
) -> None:
    count = 4 * FEW.chunk + 2
    taken = await office.take(HEAD + rows(count))
    batch_id = taken.batch_id or ""

    async def started(at_least: int) -> None:
        async with asyncio.timeout(60):
            while (await office.report(batch_id)).rows.started < at_least:
                await asyncio.sleep(0.1)

    worker = work(office, tmp_path / "worker.log")
    await started(1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    assert (await office.report(batch_id)).rows.started < count, "killed too late to prove anything"
    worker = work(office, tmp_path / "worker.log")
    try:
        report = await office.finished(batch_id)
    finally:
        worker.terminate()
        worker.wait()
    assert report.rows == BatchCounts(total=count, valid=count, started=count)
    assert await office.counted_workflows(batch_id, count) == count
    async with office.db.read() as conn:
        submitted = [event for event in await audit_log.page(conn, limit=10_000) if event.kind == "case_submitted"]
        assert await cases.unstarted(conn, report.closed_at or taken.created_at, 1) == []  # type: ignore[arg-type]
    assert len(submitted) == count
