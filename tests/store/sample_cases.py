"""Short functions that make the events of cases for the tests of the store."""

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.case import CaseEvent, CaseResult
from domain.ids import case_id_for, reference_key, task_id_for
from domain.messages import Actor, Decision
from domain.records import CaseRecord, DecisionRecord, TaskPatch
from domain.status import Outcome, Status, Verdict
from domain.task import Quorum, TaskView
from store.cases import cases
from store.cases.cases import CaseRow, NewCaseRow
from store.db.database import Database

MORNING = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def new_case(reference: str = "INV-1", **changes: Any) -> NewCaseRow:
    """A payment by requester-1."""
    values = {
        "case_id": case_id_for("payment", reference, changes.get("round", 1)),
        "process": "payment",
        "reference": reference,
        "reference_key": reference_key(reference),
        "title": f"Pay Acme for {reference}",
        "requester": "requester-1",
        "policy_hash": "f" * 64,
        "input": {"amount": "10.00"},
        "submitted_at": MORNING,
    }
    return NewCaseRow.model_validate(values | changes)


def event(case_id: str, number: int, kind: str = "step_done", **data: Any) -> CaseEvent:
    """The `number`-th event of a case, one minute after the one before."""
    return CaseEvent(
        event_id=f"{case_id}/{number}",
        case_id=case_id,
        at=MORNING + timedelta(minutes=number),
        kind=kind,
        actor="holdgate",
        summary=f"Number {number} happened: {kind}",
        data=data,
    )


async def submitted(db: Database, reference: str = "INV-1", **changes: Any) -> CaseRow:
    """Store a case."""
    new = new_case(reference, **changes)
    async with db.write() as conn:
        return await cases.insert(conn, new, event(new.case_id, 0, "submitted"))


async def recorded(db: Database, record: CaseRecord) -> None:
    """Write a record."""
    async with db.write() as conn:
        await cases.record(conn, record)


def task(case_id: str, gate: str = "manager-approval", **changes: Any) -> TaskView:
    """A task that asks two managers, not the requester."""
    values = {
        "task_id": task_id_for(case_id, gate, changes.pop("number", 1)),
        "case_id": case_id,
        "process": "payment",
        "gate": gate,
        "title": f"Pay for {case_id}",
        "summary": "Approve the payment",
        "requester": "requester-1",
        "candidate_groups": ["managers"],
        "excluded_users": ["requester-1"],
        "quorum": Quorum(needed=2),
        "opened_at": MORNING,
        "due_at": MORNING + timedelta(days=1),
    }
    return TaskView.model_validate(values | changes)


def opening(view: TaskView, number: int = 1) -> CaseRecord:
    """Return a record that opens a task."""
    return CaseRecord(
        case_id=view.case_id,
        status=Status.AWAITING_APPROVAL,
        events=[event(view.case_id, number, "gate_opened")],
        opened=[view],
    )


def patch(view: TaskView, **changes: Any) -> TaskPatch:
    """What changed on a task; what is not named stays."""
    values: dict[str, Any] = {
        "task_id": view.task_id,
        "status": "open",
        "outcome": None,
        "given": 0,
        "priority": view.priority,
        "candidate_groups": view.candidate_groups,
        "candidate_users": view.candidate_users,
        "due_at": view.due_at,
        "expires_at": view.expires_at,
        "revision": view.revision,
        "closed_at": None,
    }
    return TaskPatch.model_validate(values | changes)


def decision(view: TaskView, by: str = "manager-1", verdict: Verdict = Verdict.APPROVE, **changes: Any) -> Decision:
    """A person's answer."""
    values = {
        "id": f"d-{view.task_id}-{by}",
        "task_id": view.task_id,
        "verdict": verdict,
        "by": Actor(id=by, groups=["managers"]),
        "at": MORNING + timedelta(hours=1),
    }
    return Decision.model_validate(values | changes)


def ending(view: TaskView, number: int = 2, status: Status = Status.COMPLETED) -> CaseRecord:
    """Return the case record of the decision that closed the task and its case."""
    at = MORNING + timedelta(minutes=number)
    return CaseRecord(
        case_id=view.case_id,
        status=status,
        events=[event(view.case_id, number, "decided"), event(view.case_id, number + 1, "ended")],
        patched=[patch(view, status="closed", outcome=Outcome.APPROVED, given=2, closed_at=at)],
        decisions=[DecisionRecord(decision=decision(view))],
        result=CaseResult(case_id=view.case_id, status=status, reason="approved"),
    )
