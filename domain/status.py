"""States of a case, and the verdicts and outcomes of a task."""

from enum import StrEnum
from typing import Literal


class Status(StrEnum):
    """Where a case is."""

    SCHEDULED = "scheduled"
    STARTING = "starting"
    """Stored, and its Workflow not yet known to run; only SQL knows this state."""
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
        """Whether the case has ended: nothing it did is still to be undone."""
        return self in _CLOSED


_CLOSED = frozenset(
    {Status.COMPLETED, Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED, Status.ROLLED_BACK}
)
ENDED_UNDONE = frozenset({Status.REJECTED, Status.EXPIRED, Status.CANCELLED, Status.FAILED})
"""Ends after which the same reference may be submitted again, explicitly, as the next round."""


class Verdict(StrEnum):
    """A person's answer to a task. RESUBMIT answers a changes task, those after it an intervention task."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    """Back to the requester, who resubmits."""
    ABSTAIN = "abstain"
    """Counts as neither; whoever abstained is no longer waited for."""
    RESUBMIT = "resubmit"
    RETRY = "retry"
    """Try again: the same, or with `edits` a mended input, with which the case begins anew."""
    SKIP = "skip"
    DONE_BY_HAND = "done_by_hand"
    """Somebody has done it outside; should it be undone later, people must do that, too."""
    ROLL_BACK = "roll_back"


class Outcome(StrEnum):
    """How a gate ended."""

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
"""Who may stand in for who decides a task: somebody of the group by which they decide it, or anybody they named."""
OnExpiry = Literal["reject", "approve", "escalate"]
TaskKind = Literal["gate", "changes", "intervention"]
"""`changes`: the requester is asked to change the input and resubmit."""
Then = Literal["intervene", "roll_back", "resubmit"]
"""What follows when the attempts of a step have ended: operators are asked; the case is undone and ends `failed`; the
same, and its next round starts by itself."""
