"""Errors that steps and undos raise."""

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.case import ABOUT

SPOKEN = "spoken"
"""Key in the details of a failure: its message is a sentence for people."""
ATTEMPT = "attempt"
"""Key in the details of a failure: the number of the attempt, as the worker counts attempts."""


def _subject(about: str) -> list[dict[str, str]]:
    """Return the details of a failure that name its subject; empty without a subject."""
    return [{ABOUT: about}] if about else []


class Trouble(ApplicationError):
    """A technical failure with a message for people. The step is retried, and when its attempts end operators decide.

    If a step raises any other exception, only engineers see its message, and people read a general sentence.
    `permanent` in the policy lists names of subclasses. Incidents with the same class and the same `about` are grouped.
    """

    def __init__(self, message: str, *, about: str = "", permanent: bool = False) -> None:
        super().__init__(message, SPOKEN, *_subject(about), type=type(self).__name__, non_retryable=permanent)


class Refused(ApplicationError):
    """A refusal for a business reason, such as not enough money. It is never retried: the case is rolled back.

    If an undo raises Refused, operators get an incident. Incidents with the same `about` are grouped.
    """

    def __init__(self, message: str, *, about: str = "") -> None:
        # A refusal is an expected answer, so workers do not log it as a failure.
        benign = ApplicationErrorCategory.BENIGN
        super().__init__(message, *_subject(about), type="Refused", non_retryable=True, category=benign)


UNDONE_FIRST = "This step was undone before it was done."
"""The refusal of a receiver for an attempt that arrives after its undo."""
