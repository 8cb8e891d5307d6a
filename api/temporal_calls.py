"""Conversations with Temporal: each has a deadline, and a failure is one of a few things that a caller can handle.

`Refusal`: the Workflow refused. `Gone`: no Workflow takes messages there. `NoAnswer`: the result is not known.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.http.problems import Problem
from domain.messages import Action, Decision, StartNow
from domain.refusals import Refusal, RefusalCode
from workflows.refusal_failures import refusal_of_failure

PAUSE_S = 0.1
"""Between two tries within a deadline: the id makes a second one harmless."""
COMPLETED = frozenset({"AcceptedUpdateCompletedWorkflow"})
"""Failures by which the server says that the Workflow ended before it answered an Update."""
AGAIN = frozenset({RefusalCode.NOT_READY.value, "UnprocessedUpdate"})
"""Failures that pass: the Workflow has not reached the task yet, or a worker ended its task without the Update."""

_log = logging.getLogger("holdgate.api")

AnswerT = TypeVar("AnswerT")


class NoAnswer(Exception):
    """Neither yes nor no within the time: no worker, or no Temporal server. What was sent may still be applied."""


class Gone(Exception):
    """Temporal knows no Workflow of this case that takes messages: it has ended, or has not begun."""


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """A deadline for one conversation. Raises NoAnswer, Gone and Refusal, and Problem for what Temporal never takes.

    The SDK's own `rpc_timeout` is not used: measured, 3 s of it took 6 s.
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
        _log.warning("Temporal: %s", error.message)
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            raise Problem(422, "Temporal does not take this message: it is too large.", kind="too-large") from error
        raise NoAnswer from error
    except RuntimeError as error:
        # What the SDK raises when a client that has never been connected cannot connect.
        if "connect" in str(error):
            raise NoAnswer from error
        raise


def meaning(cause: BaseException | None) -> Refusal | Gone | NoAnswer:
    """Return what the failure of an Update means. An unforeseen failure is no refusal: the Signal may still succeed."""
    if isinstance(cause, ApplicationError):
        if cause.type in COMPLETED:
            return Gone()
        if cause.type in AGAIN:
            return NoAnswer()
        if refusal := refusal_of_failure(cause):
            return refusal
    _log.error("Temporal: an Update failed in a way nobody foresaw: %r", cause)
    return NoAnswer()


async def send(
    handle: WorkflowHandle[Any, Any], update: str, message: Decision | Action | StartNow, answer: type[AnswerT]
) -> AnswerT:
    """An Update; again while it is refused for a reason that passes, or the server is not ready. Use it `within`."""
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
