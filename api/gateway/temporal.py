"""Call Temporal with a deadline. Turn failures of Temporal into three exceptions that a caller can handle.

`Refusal`: the Workflow refused the message. `Gone`: the case has no Workflow that accepts messages. `NoAnswer`: nobody
answered in time, so the outcome is unknown.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from pydantic import ValidationError
from temporalio.client import (
    Client,
    RPCTimeoutOrCancelledError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.http.problems import Problem, unavailable
from core.errors import PayloadsUnreadable
from domain.case import CaseState
from domain.messages import Signed
from domain.refusals import Refusal, RefusalCode
from workflows.engine.refusal_failures import refusal_of_failure

UPDATE_PATIENCE_S = 2.5
"""Seconds to wait for the answer to an Update. After that, the message is sent as a Signal."""
SIGNAL_PATIENCE_S = 1.0
"""Seconds to wait until Temporal accepts a Signal.

Together with the Update, a caller has an answer within 4 s, even if Temporal and all workers are down.
"""
QUERY_PATIENCE_S = 1.0
MAY_COME = (
    "Temporal does not answer. Your message may still take effect. You can send it again: it takes effect only once."
)
NOT_TRUSTED = (
    "The workers do not accept the signature of this gateway yet, so nothing was changed. Try again in a moment. "
    "If the error stays, tell an operator."
)
PAUSE_S = 0.1
"""Seconds between two attempts within a deadline.

All attempts have the same id, so the message takes effect only once.
"""
COMPLETED = frozenset({"AcceptedUpdateCompletedWorkflow"})
"""The types of failure by which Temporal says that the Workflow ended before it answered an Update."""
AGAIN = frozenset({RefusalCode.NOT_READY.value, "UnprocessedUpdate"})
"""The types of failure after which a new attempt can succeed: the Workflow has not reached the task yet, or a worker
stopped before it handled the Update."""

_log = logging.getLogger("holdgate.api")

AnswerT = TypeVar("AnswerT")


class NoAnswer(Exception):
    """Raised if no worker or no Temporal server answers in time. The message may still take effect later."""


class Gone(Exception):
    """Raised if the case has no Workflow that accepts messages: the Workflow has ended, or has not begun."""


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Run the block with a deadline in seconds, and turn errors of Temporal into exceptions of this module.

    Raises NoAnswer, Gone, Refusal, or Problem 422 for a message that is too large for Temporal. The deadline is not the
    SDK's own `rpc_timeout`, because a value of 3 s took 6 s when measured.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except (TimeoutError, RPCTimeoutOrCancelledError) as error:
        raise NoAnswer from error
    except WorkflowUpdateFailedError as failed:
        raise meaning(failed.cause) from failed
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise Gone from error
        _log.warning("Temporal: %s", error)
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise Problem(
                422, "Temporal refused the message, probably because of its size. Send a shorter one.", kind="too-large"
            ) from error
        raise NoAnswer from error
    except RuntimeError as error:
        # The SDK raises this when a client that was never connected cannot connect.
        if "connect" in str(error):
            raise NoAnswer from error
        raise


def meaning(cause: BaseException | None) -> Refusal | Gone | NoAnswer | Problem:
    """Return the exception for the failure of an Update.

    An unknown failure becomes NoAnswer, not a refusal, because the message may still succeed as a Signal. A refused
    signature becomes Problem 503, not a refusal: it says something about the keys of this gateway and of the workers,
    and nothing about the message.
    """
    if isinstance(cause, ApplicationError):
        if cause.type in COMPLETED:
            return Gone()
        if cause.type in AGAIN:
            return NoAnswer()
        refusal = refusal_of_failure(cause)
        if refusal and refusal.code is RefusalCode.UNSIGNED:
            _log.error("the workers do not accept the signatures of this gateway: %s", refusal.message)
            return unavailable(NOT_TRUSTED)
        if refusal:
            return refusal
    _log.error("Temporal: an Update failed with an unknown error: %s", cause)
    return NoAnswer()


async def send(handle: WorkflowHandle[Any, Any], update: str, message: Signed, answer: type[AnswerT]) -> AnswerT:
    """Send an Update again and again until it is answered, and return the answer.

    Failures in `AGAIN`, and errors of a server that is starting, lead to a new attempt after `PAUSE_S`.

    Call this function in a block of `within`, which sets the deadline.
    """
    while True:
        try:
            given: AnswerT = await handle.execute_update(update, message, id=message.id, result_type=answer)
            return given
        except WorkflowUpdateFailedError as failed:
            if not (isinstance(failed.cause, ApplicationError) and failed.cause.type in AGAIN):
                raise
        except RPCError as error:
            if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
                raise
        await asyncio.sleep(PAUSE_S)


async def state_of(client: Client, workflow_id: str) -> CaseState | None:
    """Return the state of a case from its Workflow; None if the Workflow does not answer within a second."""
    try:
        async with within(QUERY_PATIENCE_S):
            handle = client.get_workflow_handle(workflow_id)
            state: CaseState = await handle.query("status", result_type=CaseState)
            return state
    except (NoAnswer, Gone, WorkflowQueryFailedError, PayloadsUnreadable):
        return None
    except ValidationError:  # from newer or older code
        return None


async def outcome_of(handle: WorkflowHandle[Any, Any], update_id: str, answer: type[AnswerT]) -> AnswerT:
    """Return the answer to an Update that was sent earlier.

    Temporal keeps the answer even after the Workflow has ended.
    """
    async with within(QUERY_PATIENCE_S):
        given: AnswerT = await handle.get_update_handle(update_id, result_type=answer).result()
        return given
