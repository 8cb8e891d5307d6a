"""A case in SQL: stored before its Workflow exists, changed by records that may repeat, visible to the right people."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from domain.case import CaseResult, ChainHead
from domain.records import CaseRecord, DecisionRecord, Written
from domain.scope import OVERSEER
from domain.status import Status, Verdict
from store.audit import audit_log
from store.audit.audit_log import UnknownCase
from store.cases import batch_cases, case_fields, cases, tasks
from store.cases.case_fields import Fields
from store.cases.cases import CaseExists, Viewer
from store.db.database import Database
from tests.store.sample_cases import (
    MORNING,
    decision,
    ending,
    event,
    new_case,
    opening,
    patch,
    recorded,
    submitted,
    task,
)

CASE = "payment:inv-1"


async def stored(db: Database, case_id: str = CASE) -> cases.CaseRow:
    async with db.read() as conn:
        row = await cases.get(conn, case_id)
    assert row is not None
    return row


# ------------------------------------------------------------------------------------------------------------ insertion


async def test_a_case_is_there_before_its_workflow(db: Database) -> None:
    row = await submitted(db)
    assert row == await stored(db)
    assert (row.status, row.head_count, row.result, row.closed_at) == (Status.STARTING, 1, None, None)
    async with db.read() as conn:
        assert await cases.get(conn, "payment:other") is None
        assert [event.kind for event in await audit_log.page(conn, CASE)] == ["submitted"]


async def test_the_same_reference_is_a_duplicate_and_leaves_no_event(db: Database) -> None:
    first = await submitted(db)
    with pytest.raises(CaseExists) as refused:
        await submitted(db, title="Another title")
    assert refused.value.existing == first
    async with db.read() as conn:
        assert len(await audit_log.page(conn)) == 1


async def test_an_idempotency_key_makes_one_case(db: Database) -> None:
    first = await submitted(db, idempotency_key="k" * 64)
    with pytest.raises(CaseExists) as refused:
        await submitted(db, "INV-2", idempotency_key="k" * 64)
    assert refused.value.existing == first
    async with db.read() as conn:
        assert await cases.by_idempotency_key(conn, "k" * 64) == first
        assert await cases.by_idempotency_key(conn, "x" * 64) is None


async def test_a_next_round_is_another_case(db: Database) -> None:
    await submitted(db)
    second = await submitted(db, round=2, resubmits=CASE)
    assert second.case_id == "payment:inv-1~2"
    async with db.read() as conn:
        assert await cases.latest_round(conn, "payment", "inv-1") == second
        assert await cases.latest_round(conn, "payment", "inv-2") is None


@pytest.mark.both_databases
async def test_of_many_at_once_one_makes_the_case(db: Database, another_db: Callable[[], Database]) -> None:
    doors = [db, another_db()]
    made = await asyncio.gather(*(submitted(doors[n % 2]) for n in range(20)), return_exceptions=True)
    assert sum(isinstance(result, cases.CaseRow) for result in made) == 1
    assert sum(isinstance(result, CaseExists) for result in made) == 19


async def test_an_import_tells_new_cases_from_old_ones(db: Database) -> None:
    old = await submitted(db, "INV-3")
    new = [new_case(f"INV-{number}", batch_id="b1") for number in (5, 3, 1, 4, 2)]
    async with db.write() as conn:
        found = await cases.insert_many(conn, [(case, event(case.case_id, 0, "submitted")) for case in new])
        assert await cases.insert_many(conn, []) == {}
    assert found == {f"payment:inv-{number}": old if number == 3 else None for number in range(1, 6)}
    async with db.write() as conn:
        again = await cases.insert_many(conn, [(case, event(case.case_id, 0, "submitted")) for case in new])
        assert all(row is not None and row.head_count == 1 for row in again.values())
        assert await batch_cases.counts_by_status(conn, "b1") == {"starting": 4}
    assert (await audit_log.verify(db)).model_dump(include={"problems", "events", "cases"}) == {
        "problems": [],
        "events": 5,
        "cases": 5,
    }


@pytest.mark.both_databases
async def test_two_imports_of_the_same_rows_make_each_case_once(
    db: Database, another_db: Callable[[], Database]
) -> None:
    async def upload(door: Database, references: list[int]) -> int:
        new = [new_case(f"INV-{number}") for number in references]
        async with door.write() as conn:
            found = await cases.insert_many(conn, [(case, event(case.case_id, 0)) for case in new])
        return sum(row is None for row in found.values())

    numbers = list(range(400))
    assert sum(await asyncio.gather(upload(db, numbers), upload(another_db(), numbers[::-1]))) == 400
    assert (await audit_log.verify(db)).problems == []


async def test_only_a_starting_case_is_started(db: Database) -> None:
    await submitted(db)
    await submitted(db, "INV-2")
    await recorded(db, opening(task("payment:inv-2")))
    async with db.write() as conn:
        late = MORNING + timedelta(seconds=10)
        assert [row.case_id for row in await cases.unstarted(conn, late, 10)] == [CASE]
        assert await cases.unstarted(conn, MORNING, 10) == []
        await cases.mark_running(conn, [CASE, "payment:inv-2"], Status.RUNNING)
        assert await cases.unstarted(conn, late, 10) == []
    assert (await stored(db)).status == Status.RUNNING
    assert (await stored(db, "payment:inv-2")).status == Status.AWAITING_APPROVAL


# -------------------------------------------------------------------------------------------------------------- records


async def test_a_record_written_twice_is_written_once(db: Database) -> None:
    await submitted(db)
    view = task(CASE)
    heads = []
    for record in (opening(view), opening(view), ending(view), ending(view)):
        async with db.write() as conn:
            heads.append(await cases.record(conn, record))
    assert [head.count for head in heads] == [2, 2, 4, 4]
    assert heads[0].hash == heads[1].hash != heads[2].hash == heads[3].hash
    row = await stored(db)
    assert row.status == Status.COMPLETED
    assert row.closed_at == row.updated_at == MORNING + timedelta(minutes=3)
    assert row.result is not None and row.result.audit == ChainHead(count=heads[3].count, hash=heads[3].hash)
    assert heads[2].ended is None and heads[3].ended == row.result, "who writes after the end is told the end"
    assert (await audit_log.verify(db)).problems == []


async def test_an_older_record_that_comes_late_changes_nothing(db: Database) -> None:
    await submitted(db)
    view = task(CASE)
    await recorded(db, opening(view))
    await recorded(db, ending(view))
    before = await stored(db)
    async with db.write() as conn:
        late = await cases.record(conn, opening(view))
        assert late == Written(count=before.head_count, hash=before.head_hash, ended=before.result)
        found = await tasks.get(conn, view.task_id)
    assert await stored(db) == before
    assert found is not None and found.status == "closed"


async def test_a_record_of_which_a_part_is_stored_adds_the_rest(db: Database) -> None:
    """The first attempt was written and its answer lost; the Workflow went on and sends all again, with more."""
    await submitted(db)
    view = task(CASE)
    await recorded(db, opening(view))
    last = ending(view)
    whole = last.model_copy(update={"events": [event(CASE, 1, "gate_opened"), *last.events], "opened": [view]})
    await recorded(db, whole)
    row = await stored(db)
    assert (row.status, row.head_count) == (Status.COMPLETED, 4)
    async with db.read() as conn:
        assert [event.seq for event in await audit_log.page(conn, CASE)] == [1, 2, 3, 4]
        found = await tasks.get(conn, view.task_id)
    assert found is not None and (found.status, found.quorum.given) == ("closed", 2)


async def test_a_closed_case_never_goes_back(db: Database) -> None:
    await submitted(db)
    await recorded(db, ending(task(CASE)).model_copy(update={"patched": []}))
    before = await stored(db)
    late = DecisionRecord(decision=decision(task(CASE), "manager-2"), refusal="It has ended.", code="AlreadyClosed")
    await recorded(
        db,
        CaseRecord(case_id=CASE, status=Status.RUNNING, events=[event(CASE, 9, "decision_refused")], decisions=[late]),
    )
    after = await stored(db)
    assert after.model_copy(update={"head_count": 3, "head_hash": before.head_hash}) == before
    assert after.head_count == 4, "a late event is still in the audit log"
    assert (await audit_log.verify(db)).problems == []


async def test_a_record_without_events_moves_the_case_too(db: Database) -> None:
    row = await submitted(db)
    async with db.write() as conn:
        head = await cases.record(conn, CaseRecord(case_id=CASE, status=Status.RUNNING))
    assert head == Written(count=1, hash=row.head_hash)
    assert (await stored(db)).status == Status.RUNNING


async def test_nothing_is_recorded_about_a_case_without_a_row(db: Database) -> None:
    for record in (
        CaseRecord(case_id=CASE, status=Status.RUNNING),
        CaseRecord(case_id=CASE, status=Status.RUNNING, events=[event(CASE, 1)]),
    ):
        with pytest.raises(UnknownCase, match=CASE):
            await recorded(db, record)


@pytest.mark.both_databases
async def test_a_decision_that_was_pending_becomes_what_the_case_made_of_it(db: Database) -> None:
    await submitted(db)
    view = task(CASE)
    await recorded(db, opening(view))
    yes, no = decision(view), decision(view, "manager-2", Verdict.REJECT)
    async with db.write() as conn:
        for answer in (yes, yes, no):
            await tasks.add_pending(conn, answer, CASE)
        row = await tasks.decision(conn, yes.id)
        assert row is not None and (row.status, row.content) == ("pending", yes.content)
    judged = [DecisionRecord(decision=yes), DecisionRecord(decision=no, refusal="Not you.", code="NotAllowed")]
    record = CaseRecord(case_id=CASE, status=Status.RUNNING, events=[event(CASE, 2)], decisions=judged)
    await recorded(db, record)
    async with db.write() as conn:
        await tasks.add_pending(conn, yes, CASE)
        accepted, refused = [await tasks.decision(conn, answer.id) for answer in (yes, no)]
    assert accepted is not None and accepted.status == "accepted"
    assert refused is not None and (refused.status, refused.code, refused.refusal) == (
        "refused",
        "NotAllowed",
        "Not you.",
    )


async def test_what_was_accepted_stays_accepted_when_its_id_comes_again(db: Database) -> None:
    await submitted(db)
    view = task(CASE)
    yes = decision(view)
    again = yes.model_copy(update={"verdict": Verdict.REJECT})
    judged = [DecisionRecord(decision=yes), DecisionRecord(decision=again, refusal="Used already.", code="Reused")]
    await recorded(
        db, CaseRecord(case_id=CASE, status=Status.RUNNING, events=[event(CASE, 1)], opened=[view], decisions=judged)
    )
    async with db.read() as conn:
        row = await tasks.decision(conn, yes.id)
    assert row is not None and (row.status, row.verdict, row.refusal) == ("accepted", Verdict.APPROVE, "")


@pytest.mark.both_databases
async def test_any_text_that_a_raw_signal_carries_can_be_recorded(db: Database) -> None:
    """A record that fails for ever would hold its case."""
    await submitted(db)
    odd = decision(task(CASE), by="x" * 500, id="d" * 500, task_id="t\0" * 500, comment="a\0b" * 1000, via="v" * 500)
    judged = DecisionRecord(decision=odd, refusal="No\0", code="UnknownTask" * 20)
    what = event(CASE, 1, "decision_refused", comment="a\0b", score=float("nan")).model_copy(
        update={"actor": "x\0" * 500}
    )
    await recorded(db, CaseRecord(case_id=CASE, status=Status.RUNNING, events=[what], decisions=[judged]))
    assert (await audit_log.verify(db)).problems == []


async def test_an_escalation_adds_candidates(db: Database) -> None:
    await submitted(db)
    view = task(CASE, candidate_users=["manager-9"])
    await recorded(db, opening(view))
    wider = patch(view, candidate_groups=["managers", "directors"], candidate_users=[], revision=2)
    record = CaseRecord(
        case_id=CASE, status=Status.AWAITING_APPROVAL, events=[event(CASE, 2, "escalated")], patched=[wider]
    )
    await recorded(db, record)
    async with db.read() as conn:
        found = await tasks.get(conn, view.task_id)
    assert found is not None
    assert (found.candidate_groups, found.candidate_users) == (["managers", "directors"], [])
    assert (found.excluded_users, found.revision) == (["requester-1"], 2)


async def test_a_result_survives_whole(db: Database) -> None:
    await submitted(db)
    result = CaseResult(
        case_id=CASE,
        status=Status.REJECTED,
        reason="Too dear",
        output={"a": [1, "é"]},
        undone=["Release the held money"],
    )
    record = CaseRecord(case_id=CASE, status=Status.REJECTED, events=[event(CASE, 1, "ended")], result=result)
    await recorded(db, record)
    row = await stored(db)
    assert row.result == result.model_copy(update={"audit": ChainHead(count=row.head_count, hash=row.head_hash)})


# ---------------------------------------------------------------------------------------------------------------- lists


REQUESTER, OTHER, MANAGER = Viewer(id="requester-1"), Viewer(id="requester-2"), Viewer(id="m", groups=["managers"])
AUDITOR = Viewer(id="auditor-1", groups=["auditors"], scope=OVERSEER)


async def references(db: Database, viewer: Viewer, **filters: object) -> list[str]:
    """All pages of two."""
    found: list[str] = []
    cursor = None
    while True:
        async with db.read() as conn:
            rows, cursor = await cases.page(conn, viewer, cursor=cursor, limit=2, **filters)  # type: ignore[arg-type]
        found += [row.reference for row in rows]
        if cursor is None:
            return found
        assert len(rows) == 2


async def test_a_list_shows_the_newest_first_page_by_page(db: Database) -> None:
    for number in range(7):
        await submitted(db, f"INV-{number}", submitted_at=MORNING + timedelta(seconds=number // 2))
    assert await references(db, AUDITOR) == [f"INV-{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert await references(db, AUDITOR, status="completed") == []
    with pytest.raises(ValueError, match="cursor"):
        await references_from(db, "nonsense")


@pytest.mark.both_databases
async def test_the_fields_of_inputs_and_results_are_those_of_the_cases_that_are_sought(db: Database) -> None:
    await submitted(db, "INV-1", batch_id="b1", input={"payee": "A", "amount": "1.00"})
    await submitted(db, "INV-2", requester="requester-2", input={"payee": "B", "lines": [{"inner": 1}]})
    for case_id, output in (("payment:inv-1", {"reference": "R", "parts": {"inner": 1}}), ("payment:inv-2", None)):
        result = CaseResult(case_id=case_id, status=Status.REJECTED, reason="-", output=output)
        ended = CaseRecord(case_id=case_id, status=Status.REJECTED, events=[event(case_id, 1, "ended")], result=result)
        await recorded(db, ended)
    async with db.read() as conn:
        everything = await case_fields.fields(conn, AUDITOR)
        mine = await case_fields.fields(conn, OTHER)
        of_batch = await case_fields.fields(conn, AUDITOR, batch_id="b1")
        nothing = await case_fields.fields(conn, AUDITOR, process="deployment")
    assert everything == Fields(
        input={"payee", "amount", "lines"}, output={"reference", "parts"}, processes={"payment"}
    )
    assert mine == Fields(input={"payee", "lines"}, output=set(), processes={"payment"})
    assert of_batch == Fields(input={"payee", "amount"}, output={"reference", "parts"}, processes={"payment"})
    assert nothing == Fields(input=set(), output=set(), processes=set())


async def references_from(db: Database, cursor: str) -> None:
    async with db.read() as conn:
        await cases.page(conn, AUDITOR, cursor=cursor)


@pytest.mark.both_databases
async def test_a_list_is_filtered(db: Database) -> None:
    await submitted(db, "INV-1", batch_id="b1", title="Pay Zürich Müller 10% off")
    await submitted(db, "ÄPFEL_2", requester="requester-2", submitted_at=MORNING + timedelta(seconds=1))
    await submitted(db, "x", process="deployment", case_id="deployment:x", submitted_at=MORNING + timedelta(seconds=2))
    for filters, expected in (
        ({"batch_id": "b1"}, ["INV-1"]),
        ({"process": "deployment"}, ["x"]),
        ({"requester": "requester-2"}, ["ÄPFEL_2"]),
        ({"status": "starting", "process": "payment"}, ["ÄPFEL_2", "INV-1"]),
        ({"q": "MÜLLER"}, ["INV-1"]),
        ({"q": "äpfel"}, ["ÄPFEL_2"]),
        ({"q": "Payment:INV"}, ["INV-1"]),
        ({"q": "0%"}, ["INV-1"]),
        ({"q": "l_2"}, ["ÄPFEL_2"]),
        ({"q": "n_1"}, []),
    ):
        assert await references(db, AUDITOR, **filters) == expected, filters


async def test_a_case_is_seen_by_whom_it_concerns(db: Database) -> None:
    await submitted(db)
    await submitted(db, "INV-2", requester="requester-2", submitted_at=MORNING + timedelta(seconds=1))
    view = task(CASE, candidate_users=["deputy"])
    await recorded(db, opening(view))
    await recorded(db, ending(view))
    for viewer, expected in (
        (REQUESTER, ["INV-1"]),
        (OTHER, ["INV-2"]),
        (MANAGER, ["INV-1"]),
        (Viewer(id="deputy"), ["INV-1"]),
        (Viewer(id="managers"), []),
        (Viewer(id="d", groups=["directors", "deputy"]), []),
        (AUDITOR, ["INV-2", "INV-1"]),
        (Viewer(id="o", groups=["operators"], scope=OVERSEER), ["INV-2", "INV-1"]),
        (Viewer(id="a", groups=["admins"], scope=OVERSEER), ["INV-2", "INV-1"]),
    ):
        assert await references(db, viewer) == expected, viewer
        async with db.read() as conn:
            assert await cases.may_see(conn, viewer, CASE) == ("INV-1" in expected), viewer
            assert not await cases.may_see(conn, viewer, "payment:none")
        assert viewer.is_named_on(view) == ("INV-1" in expected), "no SQL is needed for whom the task names"
