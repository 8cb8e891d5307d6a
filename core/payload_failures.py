"""Read failures that come from Temporal, so that a failure which somebody sent by hand never fails a Workflow task.

Somebody with access to Temporal can let an activity fail by hand, with any details. If the SDK cannot convert these,
the Workflow task fails, for ever.
"""

from collections.abc import Iterator
from typing import Any

from temporalio.api.failure.v1 import Failure
from temporalio.converter import DefaultFailureConverter, PayloadConverter
from temporalio.exceptions import ApplicationError

from core.payload_codec import UNREADABLE, PayloadCodec

UNREADABLE_FAILURE = "UnreadableFailure"
"""The type of a failure that cannot be read, or that nobody with the key of the case wrote."""
_SAID = "a failure that no worker of Holdgate wrote"


class SafeFailures(DefaultFailureConverter):
    """Converts failures as the SDK does, and a failure that cannot be converted to `UNREADABLE_FAILURE`."""

    def from_failure(self, failure: Failure, payload_converter: PayloadConverter) -> BaseException:
        try:
            return super().from_failure(failure, payload_converter)
        except Exception as error:
            return ApplicationError(f"{_SAID} ({type(error).__name__})", type=UNREADABLE_FAILURE)


class SafeEncodedFailures(SafeFailures):
    """Converts failures whose message and stack trace are encrypted."""

    def __init__(self) -> None:
        super().__init__(encode_common_attributes=True)


async def replace_forged(task: Any, codec: PayloadCodec) -> None:
    """Replace the failures of activities in a decoded Workflow task that nobody with the key of the case wrote.

    Workers always encrypt the message of a failure. So without this check, a failure in plain could tell a case that
    the receiver refused a step. A case that began in plain can have failures in plain.
    """
    failures = [failure for job in task.jobs for failure in _of_activity(job)]
    forged = [failure for failure in failures if _in_plain(failure)]
    if forged and codec.subject is not None and await codec.is_strict():
        codec.keys.foreign(codec.subject)
        for failure in forged:
            failure.CopyFrom(Failure(message=_SAID))
            failure.application_failure_info.type = UNREADABLE_FAILURE


def _of_activity(job: Any) -> Iterator[Failure]:
    """Yield the failure in a job, and its causes, if the job says how an activity has ended."""
    if job.HasField("resolve_activity"):
        result = job.resolve_activity.result
        failure = getattr(result, result.WhichOneof("status") or "", None)
        failure = getattr(failure, "failure", None)
        while failure is not None:
            yield failure
            failure = failure.cause if failure.HasField("cause") else None


def _in_plain(failure: Failure) -> bool:
    """Return True for the failure of a worker that has no message in an encrypted payload."""
    if not failure.HasField("application_failure_info"):
        return False
    return not failure.HasField("encoded_attributes") or failure.encoded_attributes == UNREADABLE
