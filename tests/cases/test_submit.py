"""The one way in which a case starts: stored first, started once, never lost."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowInput,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from activities.payment.request import PaymentRequest
from cases import submit
from cases.reconcile import next_rounds
from cases.reconcile.next_rounds import Resubmitter
from cases.submit import (
    SWEEP_AFTER,
    DuplicateCase,
    InvalidCase,
    NoPolicy,
    NotResubmittable,
    Starter,
    TemporalUnavailable,
)
from domain.case import CaseInput
from domain.names import BATCH_ATTRIBUTE, PROCESS_ATTRIBUTE, REQUESTER_ATTRIBUTE, STATUS_ATTRIBUTE
from domain.status import Status
from policy.file import PolicyFile
from store.audit import audit_log
from store.cases import cases, policies
from store.tables import cases as cases_tables
from tests.intake.conftest import Office, ended, payment, server
from tests.support.errands import ErrandRequest
from tests.support.sample_processes import ErrandProcess
from tests.support.temporal import TEMPORAL
from workflows.registry import INPUTS, Process, UnknownProcess


class NotNow(Interceptor):
    """Temporal answers the start of one Workflow with an error that may pass."""

    def __init__(self, workflow_id: str) -> None:
        self._workflow_id = workflow_id

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        unwilling = self._workflow_id

        class Starts(OutboundInterceptor):
            async def start_workflow(self, input: StartWorkflowInput) -> WorkflowHandle[Any, Any]:
                if input.id == unwilling:
                    raise RPCError("not now", RPCStatusCode.INTERNAL, b"")
                return await super().start_workflow(input)

        return Starts(next)


async def stored_but_not_started(office: Office, reference: str, age: timedelta) -> str:
    """A case whose gateway died right after its row was committed."""
    process = office.starter.process("payment")
    policy = office.starter.policy("payment")
    await office.starter.keep(policy)
    parsed = process.input.model_validate(payment().input)
    new, event = office.starter.prepare(process, reference, parsed, by="rita", policy_hash=policy.hash, priority=3)
    async with office.db.write() as conn:
        await cases.insert(conn, new.model_copy(update={"submitted_at": new.submitted_at - age}), event)
    return new.case_id


async def test_a_case_is_stored_and_runs_and_temporal_shows_what_it_is(office: Office) -> None:
    started = await office.starter.start_case(payment("Inv  1001"), "rita")
    row = started.row
    assert started.created
    assert (row.case_id, row.reference, row.status) == ("payment:inv%201001", "Inv 1001", Status.RUNNING)
    assert (row.requester, row.priority, row.title) == ("rita", 3, "Pay Acme Paper Ltd 12.50 GBP")

    seen = await office.client.get_workflow_handle(row.case_id).describe()
    assert seen.workflow_type == "payment"
    assert seen.typed_search_attributes[PROCESS_ATTRIBUTE] == "payment"
    assert seen.typed_search_attributes[STATUS_ATTRIBUTE] == "running"
    assert seen.typed_search_attributes[REQUESTER_ATTRIBUTE] == "rita"
    assert seen.typed_search_attributes.get(BATCH_ATTRIBUTE) is None
    assert seen.raw_description.workflow_execution_info.priority.priority_key == 3
    assert await seen.static_summary() == row.title
    details = await seen.static_details()
    assert details is not None and "**Payee**: Acme Paper Ltd" in details

    async with office.db.read() as conn:
        (event,) = await audit_log.page(conn, case_id=row.case_id)
        text = await policies.text(conn, row.policy_hash)
    assert (event.event_id, event.kind, event.actor) == (f"{row.case_id}/0", "case_submitted", "rita")
    assert event.data["input"]["amount"] == "12.50"
    assert text == office.policy.current.text


async def test_the_workflow_receives_what_was_stored(office: Office) -> None:
    async with office.worker():
        row = (await office.starter.start_case(payment(priority=1), "rita")).row
        handle = office.client.get_workflow_handle(row.case_id, result_type=CaseInput[PaymentRequest])
        case = await handle.result()
    assert case.input == PaymentRequest.model_validate(row.input)
    assert (case.reference, case.requester, case.priority, case.policy_hash) == (
        row.reference,
        "rita",
        1,
        row.policy_hash,
    )
    assert case.submitted_at == row.submitted_at


async def test_the_same_reference_again_is_a_duplicate_that_names_what_differs(office: Office) -> None:
    first = (await office.starter.start_case(payment("INV-1"), "rita")).row
    with pytest.raises(DuplicateCase) as refused:
        await office.starter.start_case(payment(" inv-1 ", amount="12.5"), "rita")
    assert refused.value.existing is not None
    assert refused.value.existing.case_id == first.case_id
    assert refused.value.differs == []
    with pytest.raises(DuplicateCase, match=r"is in progress; it differs in: amount"):
        await office.starter.start_case(payment("INV-1", amount="99.00"), "rita")


async def test_twenty_at_once_make_one_case(office: Office) -> None:
    answers = await asyncio.gather(
        *(office.starter.start_case(payment("INV-1"), "rita") for _ in range(20)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert sum(isinstance(answer, DuplicateCase) for answer in answers) == 19


async def test_a_repeat_with_the_same_idempotency_key_gets_the_first_answer(office: Office) -> None:
    first = await office.starter.start_case(payment("INV-1", idempotency_key="k"), "rita")
    again = await office.starter.start_case(payment("INV-1", idempotency_key="k"), "rita")
    assert (again.created, again.row.case_id) == (False, first.row.case_id)


@pytest.mark.parametrize("other", [payment("INV-2", idempotency_key="k"), payment(amount="1", idempotency_key="k")])
async def test_an_idempotency_key_is_not_reused_for_another_case(office: Office, other: object) -> None:
    await office.starter.start_case(payment("INV-1", idempotency_key="k"), "rita")
    with pytest.raises(DuplicateCase, match="Idempotency-Key"):
        await office.starter.start_case(other, "rita")  # type: ignore[arg-type]


async def test_the_idempotency_keys_of_two_people_are_two_keys(office: Office) -> None:
    await office.starter.start_case(payment("INV-1", idempotency_key="k"), "rita")
    assert (await office.starter.start_case(payment("INV-2", idempotency_key="k"), "raul")).created


async def test_only_a_case_that_ended_undone_is_submitted_again_as_its_next_round(office: Office) -> None:
    first = (await office.starter.start_case(payment("INV-1"), "rita")).row
    with pytest.raises(NotResubmittable, match="is in progress"):
        await office.starter.start_case(payment("INV-1", resubmits=first.case_id), "rita")
    await ended(office, first.case_id, Status.REJECTED)
    with pytest.raises(DuplicateCase, match="is rejected"):
        await office.starter.start_case(payment("INV-1"), "rita")
    with pytest.raises(NotResubmittable, match="no case with this reference"):
        await office.starter.start_case(payment("INV-2", resubmits=first.case_id), "rita")
    second = (await office.starter.start_case(payment("INV-1", resubmits=first.case_id), "rita")).row
    assert (second.case_id, second.round, second.resubmits) == ("payment:inv-1~2", 2, first.case_id)
    with pytest.raises(NotResubmittable, match="its last round is payment:inv-1~2"):
        await office.starter.start_case(payment("INV-1", resubmits=first.case_id), "rita")


async def test_a_case_that_was_paid_is_never_submitted_again(office: Office) -> None:
    row = (await office.starter.start_case(payment("INV-1"), "rita")).row
    await ended(office, row.case_id, Status.COMPLETED)
    with pytest.raises(NotResubmittable, match="is completed"):
        await office.starter.start_case(payment("INV-1", resubmits=row.case_id), "rita")


async def test_a_start_in_the_future_is_scheduled(office: Office) -> None:
    at = datetime.now(UTC) + timedelta(days=3)
    row = (await office.starter.start_case(payment(start_at=at), "rita")).row
    assert (row.status, row.start_at) == (Status.SCHEDULED, at)
    seen = await office.client.get_workflow_handle(row.case_id).describe()
    assert seen.typed_search_attributes[STATUS_ATTRIBUTE] == "scheduled"
    assert seen.execution_time == seen.start_time  # a timer in the Workflow, no start delay


@pytest.mark.parametrize(("days", "fits"), [(-400, False), (-360, True), (1825, True), (1830, False), (70_000, False)])
async def test_a_start_more_than_five_years_ahead_is_refused_by_its_field(
    office: Office, days: int, fits: bool
) -> None:
    request = payment(start_at=datetime.now(UTC) + timedelta(days=days))
    if fits:
        status = (await office.starter.start_case(request, "rita")).row.status
        assert status is (Status.SCHEDULED if days > 0 else Status.RUNNING)
        return
    with pytest.raises(InvalidCase, match=r"more than 5 years ahead|more than 1 year ago") as refused:
        await office.starter.start_case(request, "rita")
    assert [problem.column for problem in refused.value.problems] == ["start_at"]


@pytest.mark.parametrize(
    "at",
    [
        datetime(2030, 1, 1),
        datetime.min,
        datetime.max,
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
    ],
)
async def test_a_start_that_nobody_can_mean_is_refused_by_its_field_alone(office: Office, at: datetime) -> None:
    ahead = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    wanted = {"title": "A licence", "deadline": ahead}
    request = payment(process="approval", input=wanted, start_at=at)
    with pytest.raises(InvalidCase) as refused:
        await office.starter.start_case(request, "rita")
    assert [problem.column for problem in refused.value.problems] == ["start_at"]


async def test_everything_wrong_with_a_request_is_said_at_once(office: Office) -> None:
    wrong = payment("  ", amount="-3", priority=7, start_at=datetime(2030, 1, 1))
    wrong.input["shoe_size"] = 43
    with pytest.raises(InvalidCase) as refused:
        await office.starter.start_case(wrong, "rita")
    assert [problem.column for problem in refused.value.problems] == [
        "reference",
        "priority",
        "start_at",
        "amount",
        "shoe_size",
    ]


async def test_a_process_that_does_not_exist_or_has_no_policy_starts_nothing(office: Office, tmp_path: Path) -> None:
    with pytest.raises(UnknownProcess, match=r"there are: .*payment"):
        await office.starter.start_case(payment(process="paymant"), "rita")
    (tmp_path / "other.toml").write_text("")
    starter = Starter(office.db, office.client, PolicyFile(tmp_path / "other.toml", INPUTS))
    with pytest.raises(NoPolicy, match="no section for 'payment'"):
        await starter.start_case(payment(), "rita")


async def test_a_very_long_title_does_not_keep_a_case_from_starting(office: Office) -> None:
    request = payment()
    request.input["payee"] = "紙" * 200
    row = (await office.starter.start_case(request, "rita")).row
    assert row.status == Status.RUNNING
    seen = await office.client.get_workflow_handle(row.case_id).describe()
    summary = await seen.static_summary()
    assert summary is not None and summary.endswith("…")


async def test_without_temporal_nothing_is_stored(office: Office, temporal: WorkflowEnvironment) -> None:
    await temporal.shutdown()
    with pytest.raises(TemporalUnavailable):
        await office.starter.start_case(payment("INV-1"), "rita")
    async with office.db.read() as conn:
        assert await cases.get(conn, "payment:inv-1") is None


async def test_a_case_whose_temporal_dies_in_between_is_stored_and_started_later(
    office: Office, temporal: WorkflowEnvironment
) -> None:
    await office.starter.start_case(payment("INV-1"), "rita")  # Temporal was there a moment ago
    await temporal.shutdown()
    row = (await office.starter.start_case(payment("INV-2"), "rita")).row
    assert row.status == Status.STARTING
    async with office.db.read() as conn:
        assert await cases.unstarted(conn, datetime.now(UTC), 10) == [row]
    async with await server() as again:
        launch = await Starter(office.db, again.client, office.policy).launcher.launch([row])
        assert launch.started == [row]


async def test_the_sweep_starts_what_was_stored_for_long_enough_and_nothing_twice(office: Office) -> None:
    old = await stored_but_not_started(office, "INV-1", SWEEP_AFTER * 2)
    young = await stored_but_not_started(office, "INV-2", timedelta(0))
    assert await office.starter.sweep() == 1
    assert (await office.case(old)).status == Status.RUNNING
    assert (await office.case(young)).status == Status.STARTING
    assert await office.starter.sweep() == 0


async def test_the_sweep_starts_all_that_were_stored_however_many(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "SWEEP_LIMIT", 3)
    stored = [await stored_but_not_started(office, f"INV-{number}", SWEEP_AFTER * 2) for number in range(8)]
    assert await office.starter.sweep() == 8
    assert {(await office.case(case_id)).status for case_id in stored} == {Status.RUNNING}


async def test_a_case_that_temporal_does_not_take_now_keeps_none_behind_it_waiting(office: Office) -> None:
    stuck = await stored_but_not_started(office, "INV-1", SWEEP_AFTER * 3)
    behind = [await stored_but_not_started(office, f"INV-{number}", SWEEP_AFTER * 2) for number in range(2, 5)]
    known = office.client
    client = Client(
        known.service_client,
        namespace=known.namespace,
        data_converter=known.data_converter,
        interceptors=[NotNow(stuck)],
    )
    assert await Starter(office.db, client, office.policy, office.processes).sweep() == 3
    assert (await office.case(stuck)).status == Status.STARTING
    assert {(await office.case(case_id)).status for case_id in behind} == {Status.RUNNING}


async def test_all_failed_cases_that_are_due_are_submitted_again_though_one_cannot_be(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_rounds, "AT_ONCE", 2)
    failed = [(await office.starter.start_case(payment(f"INV-{number}"), "rita")).row for number in range(5)]
    async with office.db.write() as conn:
        for row in failed:
            due = {"status": Status.FAILED, "closed_at": datetime.now(UTC), "resubmit_at": datetime.now(UTC)}
            await conn.execute(
                update(cases_tables.cases).where(cases_tables.cases.c.case_id == row.case_id).values(due)
            )
        # A defect: nobody expected such an input in SQL.
        defect = update(cases_tables.cases).where(cases_tables.cases.c.case_id == failed[0].case_id)
        await conn.execute(defect.values(reference=""))
    assert await Resubmitter(office.db, office.starter).look() == 4


async def test_a_workflow_that_runs_already_is_success_for_its_own_row(office: Office) -> None:
    case_id = await stored_but_not_started(office, "INV-1", SWEEP_AFTER * 2)
    await office.starter.launcher.launch([await office.case(case_id)])  # the answer was lost with the gateway
    assert (await office.case(case_id)).status == Status.STARTING
    assert await office.starter.sweep() == 1
    assert (await office.case(case_id)).status == Status.RUNNING


@pytest.mark.parametrize("size", [3_000_000, 5_000_000])  # beyond Temporal's limit for a payload; for a gRPC message
async def test_a_case_that_temporal_never_takes_ends_failed_with_the_reason(
    office: Office, tmp_path: Path, size: int
) -> None:
    errand = Process(name="errand", workflow=ErrandProcess, input=ErrandRequest, example={})
    (tmp_path / "errand.toml").write_text('[errand.gates.approval]\ngroups = ["managers"]\n')
    policy = PolicyFile(tmp_path / "errand.toml", {"errand": ErrandRequest})
    starter = Starter(office.db, office.client, policy, {"errand": errand})
    request = payment(process="errand", input={"parcel": "x" * size})
    row = (await starter.start_case(request, "rita")).row
    assert row.status == Status.FAILED
    assert row.result is not None and "Temporal refuses to start the case" in row.result.reason
    async with office.db.read() as conn:
        events = [event.kind for event in await audit_log.page(conn, case_id=row.case_id)]
    assert events == ["case_submitted", "case_not_started"]
    assert await starter.sweep() == 0
    assert (await starter.start_case(payment(process="errand", input={}, resubmits=row.case_id), "rita")).created


async def test_a_namespace_without_our_search_attributes_loses_no_case(office: Office) -> None:
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=TEMPORAL,
        data_converter=office.client.data_converter,
    ) as bare:
        starter = Starter(office.db, bare.client, office.policy)
        row = (await starter.start_case(payment(), "rita")).row
        assert row.status == Status.STARTING
    (again,) = (await office.starter.launcher.launch([row])).started
    described = await office.client.get_workflow_handle(again.case_id).describe()
    assert described.status == WorkflowExecutionStatus.RUNNING
