"""Activities that somebody ends by hand in Temporal: no result jams a case, and with encryption none is believed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskFailedByIdRequest,
)
from temporalio.client import WorkflowQueryFailedError
from temporalio.common import RawValue
from temporalio.worker import Worker

from activities.engine.batch_rows import Imports
from core.payload_codec import ENCODING
from core.payloads import data_converter
from domain.batch import BatchAct, BatchCounts, BatchInput, BatchNote, BatchOrder, BatchResult
from domain.messages import Actor
from domain.names import BULK_TASK_QUEUE, TASK_QUEUE
from domain.status import Status, Verdict
from domain.task import TaskView
from store.cases import case_keys
from tests.support.engine_fixture import Handle, House, open_house
from tests.support.errands import ErrandRequest, Weighed
from tests.workflows.test_payload_encryption import plain, replays


def of(encoding: bytes, data: bytes, **metadata: bytes) -> Payload:
    return Payload(metadata={"encoding": encoding, **metadata}, data=data)


MISFITS: Mapping[str, Payload | None] = {
    "nothing at all": None,
    "null": of(b"binary/null", b""),
    "JSON null": of(b"json/plain", b"null"),
    "another type": of(b"json/plain", b'{"grams": "heavy"}'),
    "no JSON": of(b"json/plain", b"{"),
    "bytes": of(b"binary/plain", b"\x00\xff"),
    "unknown encoding": of(b"by/hand", b"1"),
    "no encoding": Payload(data=b"{}"),
    "unknown message": of(b"json/protobuf", b"{}", messageType=b"holdgate.Nothing"),
    "known message": of(b"json/protobuf", b"{}", messageType=b"temporal.api.common.v1.WorkflowExecution"),
    "encrypted by somebody else": of(ENCODING, b"0" * 60, subject=b"payment:nobody"),
    "a reference": of(b"json/protobuf", b"", messageType=b"temporal.api.common.v1.ExternalStorageReference"),
}
"""Results that do not fit a step which returns a model."""
FITTING = {"fetch": of(b"json/plain", b'{"grams": 1}'), "pack": of(b"binary/null", b"")}
"""Results that fit, by step."""


@pytest_asyncio.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
async def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("by-hand")
    async with open_house(folder, encrypted=request.param, defects_fail=False) as house:
        yield house


def encrypts(house: House) -> bool:
    return case_keys.CaseKeys.of(house.env.client) is not None


class ByHand:
    """Somebody with access to Temporal, and no key."""

    def __init__(self, house: House, case: Handle) -> None:
        self._service = house.env.client.workflow_service
        self._case = case
        self._names: dict[str, Any] = {"namespace": house.env.client.namespace, "workflow_id": case.id}

    async def pending(self, activity: str, after: str = "") -> str:
        """The id of the running activity of this type; it is another one than `after`."""
        async with asyncio.timeout(30):
            while (found := await self.running(activity)) in ("", after):
                await asyncio.sleep(0.05)
        return found

    async def running(self, activity: str | None = None) -> str:
        """The id of the running activity, of this type if one is given; empty if none runs."""
        execution = WorkflowExecution(workflow_id=self._case.id)
        request = DescribeWorkflowExecutionRequest(namespace=self._names["namespace"], execution=execution)
        for each in (await self._service.describe_workflow_execution(request)).pending_activities:
            if activity in (None, each.activity_type.name) and each.HasField("last_started_time"):
                return each.activity_id
        return ""

    async def complete(self, activity_id: str, result: Payload | None) -> None:
        payloads = None if result is None else Payloads(payloads=[result])
        await self._service.respond_activity_task_completed_by_id(
            RespondActivityTaskCompletedByIdRequest(**self._names, activity_id=activity_id, result=payloads)
        )

    async def fail(self, activity_id: str, failure: Failure) -> None:
        await self._service.respond_activity_task_failed_by_id(
            RespondActivityTaskFailedByIdRequest(**self._names, activity_id=activity_id, failure=failure)
        )


async def started(house: House, step: str) -> tuple[Handle, ByHand]:
    """A case whose step goes on until a test removes it from the slow ones."""
    case = await house.start(before=lambda case_id: house.receiver.slow.add((case_id, step)))
    return case, ByHand(house, case)


async def incident(house: House, case: Handle, before: TaskView | None = None) -> TaskView:
    """The open incident of a case; another one than `before`."""
    old = before.task_id if before else ""
    state = await house.until(
        case, lambda s: any(t.gate == "intervention" and t.status == "open" and t.task_id != old for t in s.tasks)
    )
    return next(t for t in state.tasks if t.gate == "intervention" and t.status == "open")


async def finishes(house: House, case: Handle, step: str) -> None:
    """The case goes on as if nothing had happened, and its history replays."""
    house.receiver.slow.discard((case.id, step))
    await house.decide(case, "olga", Verdict.RETRY)
    await house.open_task(case, "approval")
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    assert house.effects(case) == ["fetch", "pack", "send"]
    await replays(house, case)
    assert await house.audit_problems() == []


@pytest.mark.parametrize("step", ["fetch", "pack"])
async def test_no_unreadable_result_is_believed_or_jams_a_case(house: House, step: str) -> None:
    case, hand = await started(house, step)
    results = dict(MISFITS) if step == "fetch" else {k: v for k, v in MISFITS.items() if k not in {"null", "JSON null"}}
    if encrypts(house):
        results["a result that fits"] = FITTING[step]
    task, last = None, ""
    for name, result in results.items():
        last = await hand.pending(step, after=last)
        await hand.complete(last, result)
        task = await incident(house, case, before=task)
        assert task.facts["failure"] == "UnreadableResult", name
        assert "by hand" in task.facts["cause"] and "retry the step" in task.facts["cause"]
        if name != [*results][-1]:
            await house.decide(case, "olga", Verdict.RETRY)
    await finishes(house, case, step)


def failure(message: str = "by hand", type: str = "Refused", **more: Any) -> Failure:
    info = ApplicationFailureInfo(type=type, non_retryable=True, **more)
    return Failure(message=message, application_failure_info=info)


FAILURES = {
    "details of an unknown encoding": failure(type="X", details=Payloads(payloads=[of(b"by/hand", b"1")])),
    "an unknown category": failure(type="X", category=99),
    "no message": Failure(application_failure_info=ApplicationFailureInfo(non_retryable=True)),
    "attempts that are no number": failure(
        type="X", details=Payloads(payloads=[of(b"json/plain", b'{"attempt": "many", "about": {"a": []}}')])
    ),
    "a text that PostgreSQL cannot store": failure("a\0b" * 100_000, type="X\0"),
    "encoded attributes by hand": Failure(
        message="by hand",
        encoded_attributes=of(b"json/plain", b'{"message": "a\\u0000"}'),
        application_failure_info=ApplicationFailureInfo(type="X", non_retryable=True),
    ),
}


async def test_no_failure_by_hand_jams_a_case(house: House) -> None:
    case, hand = await started(house, "pack")
    failures = dict(FAILURES)
    if encrypts(house):
        failures["a refusal of the receiver"] = failure()
    task, last = None, ""
    for name, each in failures.items():
        last = await hand.pending("pack", after=last)
        await hand.fail(last, each)
        task = await incident(house, case, before=task)
        said = f"{task.facts} {task.summary}"
        assert "\0" not in said and len(said) < 20_000, name
        if encrypts(house):
            assert task.facts["failure"] == "UnreadableFailure", name
        if name != [*failures][-1]:
            await house.decide(case, "olga", Verdict.RETRY)
    await finishes(house, case, "pack")


async def test_no_unreadable_result_of_an_undo_counts_as_undone(house: House) -> None:
    case = await house.start()
    await house.open_task(case, "approval")
    house.receiver.slow.add((case.id, "unpack"))
    await house.cancel(case)
    results = [MISFITS["nothing at all"], MISFITS["unknown encoding"], MISFITS["encrypted by somebody else"]]
    if encrypts(house):
        results.append(of(b"json/plain", b"true"))
    hand, last = ByHand(house, case), ""
    for result in results:
        last = await hand.pending("unpack", after=last)
        await hand.complete(last, result)
    await hand.pending("unpack", after=last)
    house.receiver.slow.clear()
    assert (await house.end(case)).status is Status.CANCELLED
    assert house.effects(case) == ["fetch", "pack", "unpack", "bring_back"]
    await replays(house, case)


async def test_messages_and_queries_by_hand_jam_no_case(house: House) -> None:
    case = await house.start(ErrandRequest())
    task = await house.open_task(case)
    forger = plain(house).get_workflow_handle(case.id)
    for payload in filter(None, MISFITS.values()):
        for signal in ("submit_decision", "submit_action", "cancel_case", "resynchronise", "case_ended", "nothing"):
            await forger.signal(signal, RawValue(payload))
        for query in ("status", "plan"):
            with suppress(WorkflowQueryFailedError):
                await forger.query(query, RawValue(payload), result_type=RawValue)
    now = await house.open_task(case)
    assert (now.task_id, now.decisions) == (task.task_id, [])
    await house.decide(case)
    assert (await house.end(case)).status is Status.COMPLETED
    await replays(house, case)


class SlowImporter:
    """An importer of no rows, whose activities go on until a test lets them end."""

    def __init__(self) -> None:
        self.may_end: set[str] = set()

    async def _end(self, name: str, batch_id: str) -> BatchResult:
        while name not in self.may_end:
            await asyncio.sleep(0.05)
        return BatchResult(batch_id=batch_id, rows=BatchCounts())

    async def run(self, batch: BatchInput, progress: Callable[[int], None]) -> BatchResult:  # noqa: ARG002
        return await self._end("import_rows", batch.batch_id)

    async def note(self, note: BatchNote) -> BatchResult:
        return await self._end("note_order", note.batch_id)

    async def roll_back(self, note: BatchNote, progress: Callable[[int], None]) -> int:  # noqa: ARG002
        await self._end("roll_back_cases", note.batch_id)
        return 0


async def test_an_import_goes_on_after_results_by_hand(house: House) -> None:
    importer, client, batch_id = SlowImporter(), house.env.client, f"b{uuid4().hex}"
    imports = Imports(importer)
    if keys := case_keys.CaseKeys.of(client):
        async with house.database.write() as conn:
            await keys.begin(conn, [f"batch:{batch_id}"])
    start = BatchInput(
        batch_id=batch_id, process="errand", path="x", sha256="x", filename="x", requester="rita", policy_hash="x"
    )
    order = BatchOrder(
        id="o",
        act=BatchAct.CANCEL,
        by=Actor(id="olga", groups=["operators"]),
        reason="why",
        rollback_started=True,
        at=datetime.now(UTC),
    )
    activities: list[Callable[..., Any]] = [imports.import_rows, imports.note_order, imports.roll_back_cases]
    async with Worker(client, task_queue=BULK_TASK_QUEUE, activities=activities):
        batch: Any = await client.start_workflow(
            "batch", start, id=f"batch:{batch_id}", task_queue=TASK_QUEUE, result_type=BatchResult
        )
        hand, last = ByHand(house, batch), ""
        results = [MISFITS["null"], MISFITS["unknown encoding"], MISFITS["encrypted by somebody else"]]
        if encrypts(house):
            results.append(of(b"json/plain", b'{"batch_id": "x", "rows": {}}'))
        for name in ("import_rows", "note_order", "roll_back_cases", "note_order"):
            for result in results:
                last = await hand.pending(name, after=last)
                await hand.complete(last, result)
            last = await hand.pending(name, after=last)
            if name == "import_rows":
                await batch.signal("order", order)  # which cancels the activity
            else:
                importer.may_end = {name}
            async with asyncio.timeout(30):
                while (await hand.running()) == last:
                    await asyncio.sleep(0.05)
            importer.may_end = set()
        assert (await batch.result()).batch_id == batch_id
        await replays(house, batch)


def test_the_forged_result_fits() -> None:
    assert data_converter.payload_converter.from_payload(FITTING["fetch"], Weighed) == Weighed(grams=1)
