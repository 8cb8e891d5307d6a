"""Failures of calls to Temporal: none becomes a 500, and none is taken for an answer."""

import builtins
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import ApplicationError, CancelledError, TimeoutError, TimeoutType
from temporalio.service import RPCError, RPCStatusCode

from api.gateway.temporal import Gone, NoAnswer, meaning, send, within
from api.http.exception_handlers import problem_of_error
from api.http.problems import Problem
from core.errors import PayloadErased, PayloadKeyMissing
from domain.refusals import Refusal, RefusalCode, not_allowed
from workflows.engine.refusal_failures import failure_of_refusal


@pytest.mark.parametrize("status", list(RPCStatusCode))
async def test_every_status_of_the_server_is_one_of_three_things(status: RPCStatusCode) -> None:
    expected = {RPCStatusCode.NOT_FOUND: Gone, RPCStatusCode.INVALID_ARGUMENT: Problem}.get(status, NoAnswer)
    with pytest.raises(expected) as raised:
        async with within(1):
            raise RPCError("as the server says", status, b"")
    if isinstance(raised.value, Problem):
        assert raised.value.status == 422


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (builtins.TimeoutError(), NoAnswer),
        (WorkflowUpdateRPCTimeoutOrCancelledError(), NoAnswer),
        (RuntimeError("Failed client connect: no server"), NoAnswer),
        (WorkflowUpdateFailedError(failure_of_refusal(not_allowed("No.", rule="one"))), Refusal),
    ],
)
async def test_a_conversation_that_fails_is_one_of_three_things(failure: Exception, expected: type[Exception]) -> None:
    with pytest.raises(expected):
        async with within(1):
            raise failure


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (failure_of_refusal(Refusal(RefusalCode.NOT_READY, "Not yet.")), NoAnswer),
        (failure_of_refusal(Refusal(RefusalCode.STALE, "It has changed.", revision=2, changed=[])), Refusal),
        (ApplicationError("No.", {}, type="ACodeOfTomorrow"), Refusal),
        (ApplicationError("not processed by the worker", type="UnprocessedUpdate"), NoAnswer),
        (ApplicationError("the Workflow completed before", type="AcceptedUpdateCompletedWorkflow"), Gone),
        (ApplicationError("Update handler for 'act' expected but not found", type="RuntimeError"), NoAnswer),
        (ApplicationError("Failed decoding arguments", type="RuntimeError"), NoAnswer),
        (CancelledError("cancelled"), NoAnswer),
        (TimeoutError("too late", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]), NoAnswer),
        (None, NoAnswer),
    ],
)
def test_only_what_the_workflow_refuses_is_a_refusal(cause: BaseException | None, expected: type[Exception]) -> None:
    assert type(meaning(cause)) is expected


async def test_an_update_that_a_worker_did_not_process_is_sent_again() -> None:
    class Handle:
        """A handle to a server whose worker ends its task without the Update, as under load."""

        calls = 0

        async def execute_update(self, *_: Any, **__: Any) -> str:
            self.calls += 1
            if self.calls < 3:
                raise WorkflowUpdateFailedError(ApplicationError("not processed", type="UnprocessedUpdate"))
            return "done"

    class Message:
        id = "m"

    handle: Any = Handle()
    message: Any = Message()
    async with within(3):
        assert await send(handle, "decide", message, str) == "done"
    assert handle.calls == 3


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [(PayloadErased("payment:a"), 409, "were erased"), (PayloadKeyMissing("k1", "payment:a"), 503, "key")],
)
async def test_the_state_of_payload_keys_is_a_problem_and_no_answer_of_a_case(
    error: Exception, status: int, said: str
) -> None:
    with pytest.raises(type(error)):
        async with within(1):
            raise error
    problem = problem_of_error(error)
    assert problem.status == status and said in problem.body["detail"]
    assert "k1" not in problem.body["detail"] and "payment:a" not in problem.body["detail"]
