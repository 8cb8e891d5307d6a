"""Cases that began on older code must go on with this one: recorded histories replay."""

import json
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from domain.case import CaseInput, CaseResult
from workflows.payment import PaymentProcess

with workflow.unsafe.imports_passed_through():
    from activities.payment.request import PaymentRequest
    from activities.payment.steps import PaymentReceipt, Payments
    from tests.support.engine_fixture import PROCESSES

HISTORIES = sorted(Path(__file__).parent.glob("*.json"))


def history(path: Path) -> WorkflowHistory:
    events = json.loads(path.read_text())
    started = events["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], events)


def test_there_are_histories_of_at_least_six_stories() -> None:
    assert len(HISTORIES) >= 6


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: path.stem)
async def test_a_recorded_case_replays(path: Path) -> None:
    replayer = Replayer(workflows=list(PROCESSES.values()), data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history(path))


@workflow.defn(name="payment")
class Reordered(PaymentProcess):
    """The payment process with two steps in another order: what a careless change would do."""

    @workflow.run
    async def run(self, case: CaseInput[PaymentRequest]) -> CaseResult:
        return await self.conduct(case, self.pay)

    async def pay(self, request: PaymentRequest) -> PaymentReceipt | None:
        screening = await self.step(Payments.screen_payment, request, local=True)
        await self.step(Payments.reserve_funds, request, undo=Payments.release_funds, local=True)
        await self.gate("fraud-review", facts=screening)
        await self.gate("manager-approval", facts=screening)
        await self.gate("director-approval", facts=screening)
        return await self.step(Payments.capture_payment, request, undo=Payments.refund_payment, local=True)


@pytest.mark.parametrize(
    "path", [path for path in HISTORIES if path.stem.startswith("payment-")], ids=lambda path: path.stem
)
async def test_a_change_of_order_is_caught(path: Path) -> None:
    replayer = Replayer(workflows=[Reordered], data_converter=pydantic_data_converter)
    # A result that does not fit is found before the order: a local step has its result in the same event.
    with pytest.raises((NondeterminismError, RuntimeError)):
        await replayer.replay_workflow(history(path))
