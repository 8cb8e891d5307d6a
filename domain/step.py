"""Models of a step: its names, its input, and the options for its attempts."""

import operator
from datetime import timedelta
from typing import Any, Generic

from pydantic import Field

from domain.base import InputT, Message
from domain.moments import BoundedMoment, Length
from domain.status import Then

LOCAL_TIME_LIMIT = timedelta(seconds=10)
"""The longest time limit of an attempt of a local step. While a local step runs, the case answers no message."""
LOCAL_ATTEMPTS = 10
"""The most attempts of a local step. Each attempt after the first adds six events to the history of the case."""


class StepOptions(Message):
    """How often and how long a step or undo is tried, and what follows when all attempts have failed."""

    attempts: int = 10
    """Maximum number of attempts; 0 for no limit other than `retry_for`."""
    first_pause: Length = timedelta(milliseconds=500)
    factor: float = 2.0
    """The factor by which each pause between attempts grows."""
    longest_pause: Length = timedelta(seconds=10)
    retry_for: Length | None = None
    """The time after the beginning of the first attempt, after which no further attempt begins; None for no limit."""
    time_limit: Length | None = None
    """The timeout of one attempt; None for 10 seconds."""
    permanent: list[str] = []
    """Names of exception classes. After an exception of one of these classes, the step is not retried."""
    then: Then = "intervene"
    resubmit_after: Length = timedelta(minutes=10)

    @property
    def fits_local(self) -> bool:
        """Return True if the attempts are short and few enough for a local step."""
        return (
            (self.time_limit or LOCAL_TIME_LIMIT) <= LOCAL_TIME_LIMIT
            and self.retry_for is None
            and 0 < self.attempts <= LOCAL_ATTEMPTS
        )


class StepNames(Message):
    """The names of the activities of one process: its steps and its undos."""

    steps: list[str]
    undos: list[str]


class StepCall(Message, Generic[InputT]):
    """The input of a step or undo.

    `key` is the idempotency key. The receiver of the effect must carry out each key only once.

    For an undo, `undoes` is the key of the step, and `key` is the key of the undo (`<key of the step>/undo`).
    """

    case_id: str
    reference: str
    requester: str
    policy_hash: str
    key: str
    at: BoundedMoment
    """When the step began, by the clock of the Workflow: the same for each attempt and for the undo."""
    undoes: str | None = None
    undo: str | None = None
    """For a step: the name of its undo, so that Temporal's history alone shows how to undo a case."""
    uses: str | None = None
    """The key of an earlier undo that is no longer needed when this step is done; None without one.

    The earlier undo is not needed because this step uses up the effect that the undo would undo.
    """
    record_first: str = Field(default="", exclude_if=operator.not_)
    """For a local step: a CaseRecord as JSON that is written before the step runs; empty without one.

    The activity itself never sees it.
    """
    input: InputT

    @property
    def undone(self) -> str:
        """Return the key of the step that this undo undoes. Raises ValueError for the call of a step."""
        if self.undoes is None:
            raise ValueError(f"an undo needs the key of its step in 'undoes'; the call '{self.key}' came without one")
        return self.undoes


class ChildRequest(Message):
    """The request of a case to start another case, a child case."""

    kind: str
    """The kind of the case as people call it: `security review`."""
    process: str
    reference: str
    input: dict[str, Any]
