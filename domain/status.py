"""States of a case, and verdicts and outcomes of a task."""

from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """The state of a case."""

    SCHEDULED = "scheduled"
    STARTING = "starting"
    """The case is stored, but its Workflow is not yet known to run. Only SQL has this state."""
    RUNNING = "running"
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_CHANGES = "awaiting_changes"
    NEEDS_INTERVENTION = "needs_intervention"
    ROLLING_BACK = "rolling_back"
    COMPLETED = "completed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"

    @property
    def closed(self) -> bool:
        """Return True if the case has ended. A case that is rolling back has not ended."""
        return self in _CLOSED


_CLOSED = frozenset(
    {Status.COMPLETED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED, Status.ROLLED_BACK}
)
ENDED_UNDONE = frozenset({Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED})
"""Ends of a case after which a request with the same reference can be submitted again, as the next round."""


class Verdict(StrEnum):
    """A person's answer to a task.

    RESUBMIT is the answer to a task of the kind `changes`. The verdicts after RESUBMIT are answers to a task of the
    kind `intervention`.
    """

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    """Return the request to the requester, who resubmits it."""
    ABSTAIN = "abstain"
    """Neither approve nor reject. The person cannot decide the task again, unless the person takes this answer back."""
    RESUBMIT = "resubmit"
    RETRY = "retry"
    """Retry what failed, such as a step, an undo or the opening of a gate.

    With `edits`, the input changes and the case starts its procedure again.
    """
    SKIP = "skip"
    DONE_BY_HAND = "done_by_hand"
    """Mark a failed step or undo as done, because a person did it outside Holdgate.

    If the case is rolled back, operators are asked to undo this step by hand, unless its undo had an effect.
    """
    ROLL_BACK = "roll_back"


class Outcome(StrEnum):
    """How a task ended."""

    APPROVED = "approved"
    APPROVED_BY_RULE = "approved_by_rule"
    REJECTED = "rejected"
    REJECTED_BY_RULE = "rejected_by_rule"
    CHANGES_REQUESTED = "changes_requested"
    RESUBMITTED = "resubmitted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RETRY = "retry"
    SKIP = "skip"
    DONE_BY_HAND = "done_by_hand"
    ROLL_BACK = "roll_back"


Substitutes = Literal["same-group", "anyone"]
"""Who can be a substitute of a candidate.

`same-group`: another candidate, such as a member of a group that can decide, or, for a candidate named personally, a
person who shares a group with the candidate. `anyone`: any substitute.
"""
OnExpiry = Literal["reject", "approve", "escalate"]
TaskKind = Literal["gate", "changes", "intervention"]
"""The kind of a task. A task of the kind `changes` asks the requester to change the input and to submit it again."""
Then = Literal["intervene", "roll_back", "resubmit"]
"""What happens when all attempts of a step have failed.

`intervene`: operators decide, or the people whom the policy names. `roll_back`: the case is undone and ends `failed`.
`resubmit`: as `roll_back`, and then the next round of the case starts automatically.
"""
