"""Rollback and incidents in the store, on both databases: conductor and plan of a case, and groups of incidents."""

from datetime import timedelta
from typing import Any

import pytest

from domain.case import CaseResult
from domain.records import CaseRecord
from domain.rollback import RollbackAsked
from domain.scope import EVERYWHERE
from domain.status import Status, Verdict
from domain.step import StepCall
from domain.undo import PlannedUndo
from store.cases import cases, incidents, recounts, tasks
from store.cases.hand_over import hand_over
from store.db.database import Database
from store.people import people
from tests.store.sample_cases import MORNING, decision, ending, event, opening, recorded, submitted, task


def undo(step: str) -> PlannedUndo:
    call = StepCall[Any](
        case_id="payment:inv-1",
        reference="INV-1",
        requester="requester-1",
        policy_hash="f" * 64,
        key=f"payment:inv-1/{step}/undo",
        undoes=f"payment:inv-1/{step}",
        at=MORNING,
        input={"amount": "10.00"},
    )
    return PlannedUndo(step=step, undo=f"undo_{step}", summary=f"Undo {step}", call=call)


def asked(case: cases.CaseRow) -> RollbackAsked:
    at = MORNING + timedelta(days=1)
    return RollbackAsked(by="operator-1", reason="Paid twice", policy_hash="f" * 64, at=at, ended=case.result)


async def completed(db: Database) -> cases.CaseRow:
    case = await submitted(db)
    view = task(case.case_id)
    await recorded(db, opening(view).model_copy(update={"plan": [undo("hold"), undo("pay")]}))
    await recorded(db, ending(view))
    async with db.read() as conn:
        found = await cases.get(conn, case.case_id)
    assert found
    return found


async def handed_over(db: Database, case: cases.CaseRow) -> cases.CaseRow | None:
    async with db.write() as conn:
        return await hand_over(conn, case, asked(case), event(case.case_id, 9, "rollback_requested"))


@pytest.mark.both_databases
async def test_a_completed_case_is_handed_over_once_with_its_plan(db: Database) -> None:
    case = await completed(db)
    assert [each.step for each in case.plan] == ["hold", "pay"]
    given = await handed_over(db, case)
    assert given and given.conductor == "payment:inv-1~rollback" and given.closed_at is None
    assert await handed_over(db, case) is None, "it has moved on since it was read"
    async with db.read() as conn:
        assert await cases.conducted_by(conn, given.conductor) is None, "not known to run yet"
    async with db.write() as conn:
        await cases.mark_running(conn, [case.case_id], Status.ROLLING_BACK)
        found = await cases.conducted_by(conn, given.conductor)
        assert found and found.case_id == case.case_id
        assert await cases.conducted_by(conn, case.case_id) is None


async def test_a_workflow_that_has_lost_its_case_writes_events_and_no_more(db: Database) -> None:
    case = await completed(db)
    await handed_over(db, case)
    late = CaseRecord(case_id=case.case_id, status=Status.COMPLETED, events=[event(case.case_id, 10, "late")])
    async with db.write() as conn:
        written = await cases.record(conn, late)
        assert written.ended and written.ended.status is Status.COMPLETED
        now = await cases.get(conn, case.case_id)
        assert now and now.status is Status.STARTING and now.closed_at is None
        end = CaseResult(case_id=case.case_id, status=Status.ROLLED_BACK, reason="Paid twice")
        own = CaseRecord(
            case_id=case.case_id,
            status=Status.ROLLED_BACK,
            events=[event(case.case_id, 11, "case_closed")],
            workflow_id=f"{case.case_id}~rollback",
            plan=[],
            gone=[undo(step).call.key for step in ("hold", "pay")],
            result=end,
        )
        assert (await cases.record(conn, own)).ended is None
        now = await cases.get(conn, case.case_id)
    assert now and now.status is Status.ROLLED_BACK and now.closed_at and now.plan == []


@pytest.mark.both_databases
async def test_a_stored_undo_stays_until_its_workflow_says_that_it_is_gone(db: Database) -> None:
    """Reports may arrive in another order, and a Workflow may have forgotten a step."""
    case = await submitted(db)

    async def reported(*plan: PlannedUndo, gone: tuple[str, ...] = ()) -> list[PlannedUndo]:
        keys = [undo(step).call.key for step in gone]
        await recorded(db, CaseRecord(case_id=case.case_id, status=Status.RUNNING, plan=list(plan), gone=keys))
        async with db.read() as conn:
            found = await cases.get(conn, case.case_id)
        assert found and found.status is Status.AWAITING_APPROVAL, "a plan without events is no news of the status"
        return found.plan

    await recorded(db, opening(task(case.case_id)))
    done = undo("hold").model_copy(update={"done": True})
    assert await reported(undo("hold"), undo("pay")) == [undo("hold"), undo("pay")]
    assert await reported(done) == [done, undo("pay")]
    assert await reported(done, undo("mail")) == [done, undo("pay"), undo("mail")]
    assert await reported(done, gone=("mail",)) == [done, undo("pay")]
    assert await reported(gone=("hold", "pay")) == []


@pytest.mark.both_databases
async def test_incidents_are_grouped_by_step_and_failure_whatever_their_sentences(db: Database) -> None:
    locked, silent = "AccountLocked/operating", "DatabaseUnavailable"
    causes = [(locked, "The account is locked."), (locked, "Das Konto ist gesperrt."), (locked, "")]
    for number, (failure, cause) in enumerate([*causes, (silent, "The account is locked.")]):
        case = await submitted(db, f"INV-{number}")
        view = task(
            case.case_id,
            "intervention",
            kind="intervention",
            facts={"step": "reserve_funds", "failure": failure, "cause": cause},
            verdicts=[Verdict.RETRY, Verdict.ROLL_BACK],
            opened_at=MORNING + timedelta(minutes=number),
        )
        await recorded(db, opening(view))
    gate = await submitted(db, "INV-9")
    await recorded(db, opening(task(gate.case_id)))
    async with db.read() as conn:
        found = await incidents.groups(conn, EVERYWHERE)
        assert await incidents.groups(conn, EVERYWHERE, process="deployment") == []
    assert [(each.step, each.failure, each.cause, each.count) for each in found] == [
        ("reserve_funds", locked, "The account is locked.", 3),
        ("reserve_funds", silent, "The account is locked.", 1),
    ]
    assert found[0].example.case_id == "payment:inv-0" and found[0].oldest_at == MORNING
    assert len(found[0].task_ids) == 3 and found[0].verdicts == [Verdict.RETRY, Verdict.ROLL_BACK]
    assert len({each.group for each in found}) == 2


async def test_a_change_of_people_is_told_to_the_workflow_that_asks(db: Database) -> None:
    case = await completed(db)
    view = task(case.case_id, "rollback", number=2, workflow_id=f"{case.case_id}~rollback")
    async with db.write() as conn:
        await tasks.open_all(conn, [view])
        await people.add(conn, "mia", "Mia", ["managers"], by="ada")
    async with db.write() as conn:
        await recounts.gather(conn, MORNING)
        (wanted,) = await recounts.take(conn, MORNING, 9)
    assert (wanted.task_id, wanted.workflow_id) == (view.task_id, f"{case.case_id}~rollback")


@pytest.mark.both_databases
async def test_decisions_of_a_run_that_was_reset_away_no_longer_count(db: Database) -> None:
    case = await submitted(db)
    view = task(case.case_id)
    await recorded(db, opening(view))
    await recorded(db, ending(view, status=Status.RUNNING))
    async with db.write() as conn:
        assert [each.by for each in (await tasks.of_case(conn, case.case_id))[0].decisions] == ["manager-1"]
        again = (
            ending(view)
            .patched[0]
            .model_copy(update={"status": "open", "outcome": None, "given": 0, "closed_at": None, "counting": []})
        )
        await tasks.patch_all(conn, [again], case.case_id)
        (found,) = await tasks.of_case(conn, case.case_id)
        assert found.status == "open" and found.decisions == []
        row = await tasks.decision(conn, decision(view).id)
    assert row and row.status == "withdrawn"
