"""Uploading a file: the result of the dry run, and that the start does the same."""

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from temporalio.testing import WorkflowEnvironment

from activities.payment.request import PaymentRequest
from cases.submit import SWEEP_AFTER, NoPolicy, TemporalUnavailable
from domain.batch import BatchCounts
from domain.ids import case_id_for
from domain.names import ERASURE
from domain.status import ENDED_UNDONE, Status
from intake.classify_rows import RowClassifier
from intake.parse_rows import UnreadableFile, read
from intake.upload import Uploads
from policy.file import PolicyFile
from store.cases import batches
from store.cases.batches import Existing
from tests.intake.conftest import HEAD, ROOT, Office, ended, payment
from workflows.registry import INPUTS, PROCESSES, UnknownProcess

SAMPLES = ROOT / "docs" / "samples"


def row(reference: str, amount: str = "12.50", payee: str = "Acme Paper Ltd") -> str:
    return f"{reference},{payee},{amount},GBP,operating\n"


async def dry_run(office: Office, data: str) -> BatchCounts:
    return (await office.uploads.dry_run("payment", "payments.csv", data.encode(), "rita")).rows


async def test_a_dry_run_of_the_shipped_sample_finds_nothing_wrong_and_starts_nothing(office: Office) -> None:
    data = (SAMPLES / "payments.csv").read_bytes()
    report = await office.uploads.dry_run("payment", "payments.csv", data, "rita")
    assert report.rows == BatchCounts(total=12, valid=12)
    assert (report.batch_id, report.status, report.ignored_columns) == (None, None, [])
    assert report.sha256 == hashlib.sha256(data).hexdigest()
    assert not office.folder.exists()
    assert await office.workflow_ids("") == []


async def test_a_dry_run_of_the_messy_sample_says_what_to_correct_in_each_row(office: Office) -> None:
    data = (SAMPLES / "payments-messy.csv").read_bytes()
    report = await office.uploads.dry_run("payment", "payments-messy.csv", data, "rita")
    assert report.rows == BatchCounts(total=9, valid=2, invalid=6, duplicate=1)
    assert {found.reference: [str(error) for error in found.errors] for found in report.errors} == {
        "INV-1102": [
            "amount: '£1.234,50': write the amount as a plain number such as 2640.00, "
            "without thousands marks or a currency sign"
        ],
        "INV-1103": ["due_date: '31/02/2026': write a day as year-month-day, such as 2027-03-31"],
        "INV-1104": ["currency: 'POUNDS' is not an ISO 4217 currency code such as GBP, EUR or USD"],
        "INV-1105": ["amount: '-450.00': an amount is more than 0"],
        "TOTAL": ["payee: enter a value", "currency: enter a value", "account: enter a value"],
        "INV-1106": ["payee: enter a value"],
    }
    (twice,) = report.duplicates
    assert (twice.line, twice.case_id, twice.differs) == (3, "payment:inv-1101", ["amount", "memo"])


async def test_a_row_whose_case_exists_is_a_duplicate_with_its_status_and_what_differs(office: Office) -> None:
    await office.starter.start_case(payment("INV-1", amount="12.50"), "rita")
    data = HEAD + row("inv-1") + row("INV-1", "99.00") + row("INV-2")
    report = await office.uploads.dry_run("payment", "x.csv", data.encode(), "rita")
    assert report.rows == BatchCounts(total=3, valid=1, duplicate=2)
    assert [(found.case_status, found.differs) for found in report.duplicates] == [
        ("running", ["amount"]),  # what differs is looked at first
        ("running", []),
    ]
    of_others = await office.uploads.dry_run("payment", "x.csv", data.encode(), "raul")
    assert {(found.case_status, *found.differs, found.says) for found in of_others.duplicates} == {
        (None, "the reference belongs to a case of another person")
    }
    taken = await office.uploads.start("payment", "x.csv", data.encode(), "raul")
    async with office.worker():
        done = await office.finished(taken.batch_id or "")
    assert done.duplicates == taken.duplicates == of_others.duplicates


async def test_a_wrong_row_does_not_make_the_right_one_below_it_a_duplicate(office: Office) -> None:
    assert await dry_run(office, HEAD + row("INV-1", "abc") + row("INV-1")) == BatchCounts(total=2, valid=1, invalid=1)


async def test_a_refused_file_starts_and_stores_nothing(office: Office) -> None:
    for take in (office.uploads.dry_run, office.uploads.start):
        with pytest.raises(UnreadableFile):
            await take("payment", "x.csv", b"reference;payee\n", "rita")
        with pytest.raises(UnknownProcess):
            await take("paymant", "x.csv", b"", "rita")
    assert not office.folder.exists()


async def test_a_process_without_a_policy_takes_no_file(office: Office, tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text("")
    uploads = Uploads(office.db, office.client, PolicyFile(tmp_path / "other.toml", INPUTS), office.folder)
    with pytest.raises(NoPolicy):
        await uploads.start("payment", "x.csv", (HEAD + row("INV-1")).encode(), "rita")


async def test_a_taken_file_is_kept_byte_by_byte_under_its_hash(office: Office) -> None:
    data = "\ufeff" + HEAD + row("INV-1")
    report = await office.take(data, "C:\\Users\\rita\\Payments\t July.csv")
    assert (report.status, report.filename, report.requester) == ("running", "Payments July.csv", "rita")
    assert [path.name for path in office.folder.iterdir()] == [f"{report.sha256}.csv"]
    assert (office.folder / f"{report.sha256}.csv").read_bytes() == data.encode()


async def test_the_same_file_again_names_the_batch_it_came_with(office: Office) -> None:
    data = HEAD + row("INV-1")
    first = await office.take(data)
    assert first.same_file_as is None
    assert (await office.uploads.dry_run("payment", "x.csv", data.encode(), "rita")).same_file_as == first.batch_id
    assert (await office.take(data, "other name.csv")).same_file_as == first.batch_id
    # Nobody learns that somebody else has the very file.
    assert (await office.uploads.dry_run("payment", "x.csv", data.encode(), "raul")).same_file_as is None
    assert (await office.uploads.start("payment", "x.csv", data.encode(), "raul")).same_file_as is None


async def test_without_temporal_no_file_is_taken(office: Office, temporal: WorkflowEnvironment) -> None:
    await temporal.shutdown()
    with pytest.raises(TemporalUnavailable):
        await office.take(HEAD + row("INV-1"))
    assert not office.folder.exists()


async def test_a_batch_that_was_stored_and_not_started_is_started_by_the_sweep(office: Office) -> None:
    report = await office.take(HEAD + row("INV-1"))
    async with office.db.read() as conn:
        stored = await batches.get(conn, report.batch_id or "")
    assert stored is not None
    lost = stored.model_copy(
        update={"batch_id": "blost", "status": "starting", "created_at": datetime.now(UTC) - SWEEP_AFTER * 2}
    )
    async with office.db.write() as conn:
        await batches.receive(conn, lost)
    assert await office.starter.sweep() == 1
    assert (await office.report("blost")).status == "running"
    assert await office.starter.sweep() == 0


references = st.sampled_from(["INV-1", "inv-1", " INV-2", "INV-3", "Ä/1", "", "x" * 121, "TOTAL"])
amounts = st.sampled_from(["1", "12.50", "0", "-3", "1.234,50", "", "12.505"])
payees = st.sampled_from(["Acme", "Bee, Ltd", ""])
lines = st.builds(lambda r, a, p: f'{r},"{p}",{a},GBP,operating\n', references, amounts, payees)
files = st.lists(lines | st.sampled_from(["\n", ",,,,\n", "INV-9,too few\n"]), min_size=1, max_size=12).map("".join)


statuses = st.sampled_from(["running", "completed", "rejected", "failed"])
there = st.dictionaries(
    st.sampled_from(["inv-1", "inv-2", "inv-3", "ä/1", "total"]),
    st.tuples(statuses, st.sampled_from(["rita", "raul"]), st.integers(1, 3), st.booleans()),
)


@given(files, there, st.booleans())
def test_every_row_is_valid_invalid_or_duplicate_and_only_one_of_a_reference_is_valid(
    body: str, there: dict[str, tuple[str, str, int, bool]], resubmit: bool
) -> None:
    try:
        sheet = read((HEAD + body).encode(), PaymentRequest)
    except UnreadableFile:
        return
    paid = PaymentRequest.model_validate(payment().input).model_dump(mode="json")
    known = {
        key: Existing(
            case_id=case_id_for("payment", key, round_),
            status=status,
            requester=requester,
            round=round_,
            input=paid,
            unstarted=unstarted and status == "failed",
        )
        for key, (status, requester, round_, unstarted) in there.items()
    }
    rows = list(sheet.rows)
    judged = RowClassifier("payment", PROCESSES, "rita", {"payment": 3}, resubmit=resubmit).classify(
        rows, {"payment": known}
    )
    counts = batches.counted({o: [j.outcome for j in judged].count(o) for o in ("valid", "invalid", "duplicate")})
    assert counts.total == counts.valid + counts.invalid + counts.duplicate == len(rows)
    valid = [found.case_id for found in judged if found.outcome == "valid"]
    assert len(valid) == len(set(valid))
    assert not set(valid) & {case.case_id for case in known.values()}
    for row, found in zip(rows, judged, strict=True):
        assert (found.line, found.reference, found.errors) == (row.line, row.reference, row.errors)
        assert bool(found.errors) == (found.outcome == "invalid") == (row.input is None)
        assert bool(found.says) == (found.outcome == "duplicate" or found.resubmits is not None)
        before = known.get(row.key) if row.input else None
        may = before is not None and before.requester == "rita" and before.round < 3
        if before and found.outcome == "valid":
            assert may and (resubmit or before.unstarted) and before.status in ENDED_UNDONE
            assert (found.resubmits, found.case_id) == (
                before.case_id, case_id_for("payment", row.reference, before.round + 1)
            )  # fmt: skip
        elif before and found.above is None:
            hidden = case_id_for("payment", row.reference)
            assert found.case_id == (before.case_id if before.requester == "rita" else hidden)
            assert found.taken == (before.requester != "rita")
            assert (found.resubmits is not None) == (may and before.status in ENDED_UNDONE)
        elif found.outcome == "duplicate":
            (first,) = (each for each in judged if each.line == found.above)
            assert (first.outcome, first.case_id) == ("valid", found.case_id) and first.line < found.line


good = st.builds(row, st.sampled_from(["INV-1", "inv-2", "INV-3"]), st.sampled_from(["12.50", "99.00"]))
again = st.lists(good | lines, min_size=1, max_size=6).map("".join)
ends = st.lists(st.sampled_from([Status.COMPLETED, Status.REJECTED, Status.EXPIRED, None]), min_size=3, max_size=3)
uploads = st.lists(st.tuples(again, st.sampled_from(["rita", "raul"]), st.booleans(), ends), min_size=1, max_size=2)
FIRST = row("INV-1") + row("INV-2") + row("INV-3")


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(  # the next rounds of what ended undone, at once and after an offer, and not for somebody else
    ends=[Status.REJECTED] * 3,
    uploads=[
        (row("INV-1", "99.00") + row("inv-1"), "raul", True, [None] * 3),
        (row("INV-1", "99.00") + row("inv-1"), "rita", True, [Status.EXPIRED] * 3),
        (row("INV-1") + row("INV-2") + row("INV-3"), "rita", False, [None] * 3),
        (row("INV-1") + row("INV-2") + row("INV-3"), "rita", True, [None] * 3),
    ],
    mark=UUID(int=0),
)
@given(ends, uploads, st.uuids(version=4))
async def test_the_real_start_does_with_each_row_what_the_dry_run_said(
    office: Office,
    ends: list[Status | None],
    uploads: list[tuple[str, str, bool, list[Status | None]]],
    mark: UUID,
) -> None:
    """Files after each other, of two people, with and without asking for next rounds; in between cases end."""
    async with office.worker():
        for body, by, resubmit, become in [(FIRST, "rita", False, ends), *uploads]:
            # Another example meets no case of this one.
            data = (HEAD + body.replace("INV-", f"{mark.hex[:6]}-").replace("inv-", f"{mark.hex[:6]}-")).encode()
            try:
                said = await office.uploads.dry_run("payment", "x.csv", data, by, resubmit=resubmit)
            except UnreadableFile:
                continue
            rows = said.rows
            assert rows.total == rows.valid + rows.invalid + rows.duplicate
            # None of the generated cells holds a line end.
            below = len(data.decode().splitlines()) - 1
            assert rows.total + said.skipped + said.blank == said.lines_read == below
            report = await office.uploads.start("payment", "x.csv", data, by, resubmit=resubmit)
            done = await office.finished(report.batch_id or "")
            assert done.rows == rows.model_copy(update={"started": rows.valid})
            assert (done.resubmittable, done.lines_read) == (said.resubmittable, below)
            # A file of this size has all its bad rows in its report; the others are the valid ones.
            expected = {each.line: each for each in [*said.errors, *said.duplicates]}
            for found in await office.rows(report.batch_id or ""):
                if found.line in expected:
                    assert found.model_copy(update={"case_status": None}) == expected.pop(found.line).model_copy(
                        update={"case_status": None}
                    )
                    continue
                assert (found.outcome, found.errors, found.differs) == ("started", [], [])
                case = await office.case(found.case_id or "")
                assert (case.reference, case.requester, case.resubmits) == (found.reference, by, found.resubmits)
                assert case.batch_id == report.batch_id
                if status := become[found.line % 3]:
                    await ended(office, case.case_id, status)
            assert not expected


async def test_the_example_of_every_process_imports_as_it_is(office: Office) -> None:
    for name, process in PROCESSES.items():
        if name == ERASURE:  # nobody starts an erasure from a file
            continue
        template = ",".join(process.example) + "\n" + ",".join(process.example.values()) + "\n"
        report = await office.uploads.dry_run(name, "template.csv", template.encode(), "rita")
        assert report.rows == BatchCounts(total=1, valid=1)


async def test_requests_are_answered_while_a_large_file_is_read(office: Office) -> None:
    large = (HEAD + "".join(row(f"INV-{number}") for number in range(20_000))).encode()
    reading = asyncio.create_task(office.uploads.dry_run("payment", "large.csv", large, "rita"))
    answered = 0
    while not reading.done():
        await asyncio.sleep(0.005)
        answered += 1
    assert (await reading).rows.valid == 20_000
    assert answered > 10
