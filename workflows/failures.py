"""Attempts, and why they came to nothing: one sentence for people, the technical message for engineers."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    RetryState,
    TimeoutError,
    TimeoutType,
)

from domain.errors import ATTEMPT, SPOKEN
from domain.step import StepOptions
from workflows.durations import in_words

_NAMES_AND_NUMBERS = re.compile(r"'[^']*'|\d[\d.,:/-]*\d|\d")
UNFORESEEN = "Something went wrong that nobody foresaw. An engineer finds the technical message with the task."
IN_WORDS = {
    "DatabaseUnavailable": "The database did not answer.",
    "ConnectionError": "The other system could not be reached.",
    "ConnectionRefusedError": "The other system could not be reached.",
    "ConnectionResetError": "The connection to the other system broke off.",
    "ConnectError": "The other system could not be reached.",
    "TimeoutError": "The other system did not answer in time.",
    "ReadTimeout": "The other system did not answer in time.",
    "ConnectTimeout": "The other system did not answer in time.",
    "PermissionError": "The other system does not let Holdgate do this.",
    "FileNotFoundError": "A file that is needed is not there.",
}
"""The sentence for failures of these kinds whose own message is not meant for people."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt, or all of them, came to nothing."""

    said: str
    """A sentence for people."""
    technical: str
    """Kind and message as they were raised, for engineers."""
    kind: str
    refused: bool = False
    """A business no of the receiver."""
    permanent: bool = False
    """No further attempt would mend it."""
    attempts: int | None = None
    """How many there were; None where nobody counted."""

    @property
    def tried(self) -> str:
        """How often it was tried, in words to be put behind the sentence."""
        if self.attempts is None:
            return ""
        return " It was tried once." if self.attempts == 1 else f" It was tried {self.attempts} times."

    def facts(self, step: str) -> dict[str, Any]:
        """For the people who decide what happens now; incidents are grouped by `step` and `cause`."""
        # Incidents that differ in a sum or a time only have one cause; what stands in quotes is a name.
        alike = _NAMES_AND_NUMBERS.sub(lambda found: found[0] if found[0].startswith("'") else "…", self.said)
        return {"step": step, "cause": alike, "attempts": self.attempts, "error": self.technical}


def failure_of(error: FailureError, options: StepOptions) -> Failure:
    """What the failure of an activity means. `error` is what the SDK raises in a Workflow."""
    cause: BaseException | None = error.cause if isinstance(error, ActivityError) else error
    attempts = None
    if isinstance(error, ActivityError) and error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED:
        attempts = options.attempts or None
    if isinstance(cause, TimeoutError):
        said = _timeout(cause, options)
        if isinstance(cause.cause, ApplicationError):
            found = _of_application(cause.cause, attempts)
            return replace(found, said=f"{said} The last time: {found.said}")
        return Failure(said, f"timeout: {cause.message}", "timeout", attempts=attempts)
    if isinstance(cause, ApplicationError):
        found = _of_application(cause, attempts, permanent=options.permanent)
        if not isinstance(error, ActivityError):
            return replace(found, attempts=None)  # bookkeeping, which people need not count
        if error.retry_state is RetryState.TIMEOUT and options.retry_for:
            said = f"It was not done within {in_words(options.retry_for)}. The last time: {found.said}"
            return replace(found, said=said)
        return found
    return Failure(UNFORESEEN, str(cause or error), type(cause or error).__name__, attempts=attempts)


def retry_policy(options: StepOptions) -> RetryPolicy:
    """The options as the server follows them, which repeats steps."""
    return RetryPolicy(
        initial_interval=options.first_pause,
        backoff_coefficient=options.factor,
        maximum_interval=options.longest_pause,
        maximum_attempts=options.attempts,
        non_retryable_error_types=options.permanent,
    )


def pause_after(options: StepOptions, failure: Failure, attempt: int, spent: timedelta) -> timedelta | None:
    """How long to wait before the next attempt, as the server would; None when there is none."""
    if failure.permanent or (options.attempts and attempt >= options.attempts):
        return None
    try:
        pause = min(options.first_pause * options.factor ** (attempt - 1), options.longest_pause)
    except OverflowError:  # after some sixty attempts
        pause = options.longest_pause
    return None if options.retry_for is not None and spent + pause >= options.retry_for else pause


def _of_application(error: ApplicationError, attempts: int | None, permanent: list[str] | None = None) -> Failure:
    kind = error.type or type(error).__name__
    refused = kind == "Refused"
    spoken = refused or SPOKEN in error.details
    counted = next((each[ATTEMPT] for each in error.details if isinstance(each, dict) and ATTEMPT in each), None)
    return Failure(
        said=error.message if spoken else IN_WORDS.get(kind, UNFORESEEN),
        technical=f"{kind}: {error.message}",
        kind=kind,
        refused=refused,
        permanent=error.non_retryable or kind in (permanent or ()),
        attempts=attempts or counted,
    )


def _timeout(error: TimeoutError, options: StepOptions) -> str:
    if error.type is TimeoutType.SCHEDULE_TO_CLOSE and options.retry_for is not None:
        return f"It was not done within {in_words(options.retry_for)}."
    if error.type is TimeoutType.HEARTBEAT:
        return "The machine that did it has stopped."
    limit = f" within {in_words(options.time_limit)}" if options.time_limit else " in time"
    return f"No answer came{limit}."
