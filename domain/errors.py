"""Errors that steps raise."""

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from domain.case import _about

SPOKEN = "spoken"
"""Among the details of a failure: its message is a sentence for people."""
ATTEMPT = "attempt"
"""Key in the details of a failure: the attempt that it was, as the worker counts them."""


class Trouble(ApplicationError):
    """A technical failure said in words: tried again, and in the end a matter for operators.

    The message is a sentence for people. An exception of any other kind is told in general words, and its own message
    is kept for engineers. The names of subclasses are what `permanent` in the policy means. Incidents whose failures
    have the same class and the same `about` have one cause.
    """

    def __init__(self, message: str, *, about: str = "", permanent: bool = False) -> None:
        super().__init__(message, SPOKEN, *_about(about), type=type(self).__name__, non_retryable=permanent)


class Refused(ApplicationError):
    """A business no from a step: not enough money, a closed account. Never retried; the case is rolled back.

    An undo that is refused is an incident; `about` tells its causes apart.
    """

    def __init__(self, message: str, *, about: str = "") -> None:
        # Benign: a no is an answer, and workers need not log it as a failure.
        benign = ApplicationErrorCategory.BENIGN
        super().__init__(message, *_about(about), type="Refused", non_retryable=True, category=benign)


UNDONE_FIRST = "This step was undone before it was done."
"""How receivers refuse a late attempt, which comes behind its undo."""
