"""Exceptions by which the engine leaves the procedure of a case before its last line."""

from datetime import timedelta

from domain.case import CaseResult
from domain.status import Status


class CaseEnds(Exception):
    """End the case with a status other than completed.

    Before the engine closes the case, it undoes everything that was done.
    """

    def __init__(
        self, status: Status, reason: str, resubmit_after: timedelta | None = None, *, rule_at: str = ""
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.resubmit_after = resubmit_after
        """How long after its end a failed case is submitted again automatically; None if the case is not submitted
        again.
        """
        self.rule_at = rule_at
        """The gate at which a rule of the policy rejected the case; empty if none did."""


class AlreadyEnded(Exception):
    """Keep the end that the database holds already and that Temporal's history does not show.

    The cause is that a worker stopped after the write to the database, or that somebody reset the Workflow. People can
    have read the stored end, so this end is final.
    """

    def __init__(self, ended: CaseResult) -> None:
        super().__init__(ended.reason)
        self.ended = ended


class NextRound(Exception):
    """Undo everything and run the procedure again, because the input of the case has changed."""


class BranchStops(Exception):
    """Stop one branch of the procedure because another branch, running beside it, has ended the procedure."""
