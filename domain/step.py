"""What a step is called with, and how often it is tried."""

from datetime import timedelta
from typing import Any, Generic

from domain.base import InputT, Message
from domain.moments import Length
from domain.status import Then


class StepOptions(Message):
    """How often and how long a step or an undo is tried, and what follows when that has ended."""

    attempts: int = 10
    """0: as many as `retry_for` allows."""
    first_pause: Length = timedelta(milliseconds=500)
    factor: float = 2.0
    """By which each pause is longer than the one before."""
    longest_pause: Length = timedelta(seconds=10)
    retry_for: Length | None = None
    """No attempt begins after so long."""
    time_limit: Length | None = None
    """Of one attempt; None: that of the process."""
    permanent: list[str] = []
    """Names of failures that no further attempt would mend."""
    then: Then = "intervene"
    resubmit_after: Length = timedelta(minutes=10)


class StepNames(Message):
    """The activities of one process."""

    steps: list[str]
    undos: list[str]


class StepCall(Message, Generic[InputT]):
    """What a step and its undo receive. `key` is the idempotency key which the receiver of the effect must honour.

    The undo gets the key of the step it undoes in `undoes` and one of its own (`<key>/undo`) in `key`.
    """

    case_id: str
    reference: str
    requester: str
    policy_hash: str
    key: str
    undoes: str | None = None
    undo: str | None = None
    """Of a step: the name of its undo. So Temporal's history alone tells how to undo what a case did."""
    uses: str | None = None
    """Key of the undo that this step makes needless, once it is done."""
    input: InputT

    @property
    def undone(self) -> str:
        """The key of what an undo undoes. Raises ValueError for the call of a step."""
        if self.undoes is None:
            raise ValueError(f"an undo needs the key of what it undoes; '{self.key}' came without")
        return self.undoes


class ChildRequest(Message):
    """Another case, as the case that needs it asks for it."""

    kind: str
    """What it is, as people say it: `security review`."""
    process: str
    reference: str
    input: dict[str, Any]
