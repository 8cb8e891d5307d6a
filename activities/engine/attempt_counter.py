"""Add the number of the attempt to failures of activities, because Temporal does not pass this number to a Workflow."""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import ATTEMPT


class CountAttempts(Interceptor):
    """Adds the number of the attempt to the details of each failure."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return an interceptor around each activity."""
        return _Counting(next)


class _Counting(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        try:
            return await super().execute_activity(input)
        except asyncio.CancelledError:
            raise
        except ApplicationError as error:
            raise ApplicationError(
                error.message,
                *error.details,
                {ATTEMPT: activity.info().attempt},
                type=error.type or type(error).__name__,
                non_retryable=error.non_retryable,
                next_retry_delay=error.next_retry_delay,
                category=error.category,
            ) from error
        except Exception as error:
            raise ApplicationError(str(error), {ATTEMPT: activity.info().attempt}, type=type(error).__name__) from error
