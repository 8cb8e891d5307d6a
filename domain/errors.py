"""Errors that steps and undos raise."""

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.case import ABOUT

SPOKEN = "spoken"
"""A mark in the details of a failure. With this mark, the message of the failure is a sentence for people."""
ATTEMPT = "attempt"
"""Key in the details of a failure. The value of this key is the number of the attempt."""


def _subject(about: str) -> list[dict[str, str]]:
    """Return the details of a failure that name its subject; empty without a subject."""
    return [{ABOUT: about}] if about else []


class Trouble(ApplicationError):
    """A technical failure with a message for people.

    Holdgate retries the step, unless the failure is permanent. When the step has no attempts left, operators decide
    what to do, unless `then` in the policy says otherwise.

    If a step raises an exception that is neither Trouble nor Refused, only engineers see its message; people read a
    general sentence. `permanent` in the policy lists names of exception classes after which Holdgate does not retry the
    step. Incidents with the same class and the same `about` are grouped.
    """

    def __init__(self, message: str, *, about: str = "", permanent: bool = False) -> None:
        super().__init__(message, SPOKEN, *_subject(about), type=type(self).__name__, non_retryable=permanent)


class Refused(ApplicationError):
    """A refusal for a business reason, such as not enough money.

    Holdgate never retries a refused step, and rolls the case back.

    If an undo raises Refused, operators get an incident; but if this is the first undo of a completed case, the
    rollback ends. Incidents with the same `about` are grouped.
    """

    def __init__(self, message: str, *, about: str = "") -> None:
        # A refusal is an expected answer, so workers do not log it as a failure.
        benign = ApplicationErrorCategory.BENIGN
        super().__init__(message, *_subject(about), type="Refused", non_retryable=True, category=benign)


UNDONE_FIRST = "This step was undone before it was done."
"""The error that a receiver raises if the attempt of a step arrives after the undo of this step."""
