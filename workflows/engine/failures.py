"""Failures of steps and undos: a sentence for people, the technical message for engineers, and retries."""

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

from core.payload_failures import UNREADABLE_FAILURE
from domain.case import ABOUT, CaseInput
from domain.durations import in_words
from domain.errors import ATTEMPT, SPOKEN
from domain.step import StepOptions

STEP_TIMEOUT = timedelta(seconds=10)
"""The timeout of one attempt.

With the ten attempts of StepOptions, a step whose attempts fail at once is tried for about a minute: longer than a
restart of a database, shorter than a reviewer's patience.
"""
MAX_KIND, MAX_MESSAGE = 200, 4000
"""The most characters of the kind and of the message of a failure that an event keeps."""
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
    "PermissionError": "The other system does not allow Holdgate to do this.",
    "FileNotFoundError": "A file that the step needs does not exist.",
    "UnreadableResult": "The result of this step cannot be read. Somebody may have completed the step by hand in "
    "Temporal. The step may have taken effect or not. You can retry the step: its effect happens once only.",
    UNREADABLE_FAILURE: "The reason of this failure cannot be read. Somebody may have ended the step by hand in "
    "Temporal. The step may have taken effect or not. You can retry the step: its effect happens once only.",
}
"""The sentence for failures of these kinds, whose own message is not written for people."""


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed, or all attempts of a step."""

    said: str
    """The reason of the failure, in one sentence for people."""
    technical: str
    """Kind and message of the exception, for engineers."""
    kind: str
    about: str = ""
    """The subject of the failure, such as the locked account; empty if there is none."""
    refused: bool = False
    """True if the receiver refused for a business reason."""
    permanent: bool = False
    """True if another attempt would fail in the same way."""
    attempts: int | None = None
    """How many attempts there were; None if the number is not known."""

    @property
    def tried(self) -> str:
        """Return a sentence with the number of attempts, with a space before it; empty if the number is not known.

        People read this sentence after the sentence `said`.
        """
        if self.attempts is None:
            return ""
        return " It was tried once." if self.attempts == 1 else f" It was tried {self.attempts} times."

    @property
    def code(self) -> str:
        """Return the kind and the subject of the failure: `AccountLocked/operating`, or `timeout` without a subject."""
        return f"{self.kind}/{self.about}" if self.about else self.kind

    def facts(self, step: str) -> dict[str, Any]:
        """Return the facts of the failure for operators. Incidents are grouped by `step` and `failure`."""
        return {
            "step": step,
            "failure": self.code,
            "cause": self.said,
            "attempts": self.attempts,
            "error": self.technical,
        }


def failure_of_local_step(error: FailureError, options: StepOptions) -> Failure:
    """Return why a local step failed, as `failure_of` does. The SDK raises the failure of a local step in another form.

    An exception of the activity has no ActivityError around it. After a timeout, nothing tells the number of attempts;
    but a step that timed out at last has had all its attempts.
    """
    if isinstance(error, ApplicationError):
        return _of_application(error, None, permanent=options.permanent)
    return replace(failure_of(error, options), attempts=options.attempts)


def failure_of(error: FailureError, options: StepOptions) -> Failure:
    """Return why an activity failed, as a Failure. `error` is the exception that the SDK raises in a Workflow."""
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
            return replace(
                found, attempts=None
            )  # A local activity that writes to the database. The number of its attempts tells people nothing.
        if error.retry_state is RetryState.TIMEOUT and options.retry_for:
            said = f"No attempt succeeded within {in_words(options.retry_for)}. The last time: {found.said}"
            return replace(found, said=said)
        return found
    return Failure(
        UNFORESEEN, _text(str(cause or error), MAX_MESSAGE), type(cause or error).__name__, attempts=attempts
    )


def options_of(case: CaseInput[Any], name: str, default: StepOptions | None = None) -> StepOptions:
    """Return the options for the attempts of a step or an undo: those in the policy, or those of the process.

    Options in the policy replace all options of the process. Options without a time limit get `STEP_TIMEOUT`.
    """
    found = case.steps.get(name) or default or StepOptions()
    return found if found.time_limit else found.model_copy(update={"time_limit": STEP_TIMEOUT})


def retry_policy(options: StepOptions) -> RetryPolicy:
    """Return the options as a Temporal retry policy, with which the Temporal server repeats a step."""
    return RetryPolicy(
        initial_interval=options.first_pause,
        backoff_coefficient=options.factor,
        maximum_interval=options.longest_pause,
        maximum_attempts=options.attempts,
        non_retryable_error_types=options.permanent,
    )


def pause_after(options: StepOptions, failure: Failure, attempt: int, spent: timedelta) -> timedelta | None:
    """Return the pause before the next attempt, computed as the server does; None if no attempt follows.

    `attempt` is the number of the attempt that has failed, from 1; `spent` is the time since the first attempt began.
    """
    if failure.permanent or (options.attempts and attempt >= options.attempts):
        return None
    try:
        pause = min(options.first_pause * options.factor ** (attempt - 1), options.longest_pause)
    except OverflowError:  # After some sixty attempts.
        pause = options.longest_pause
    return None if options.retry_for is not None and spent + pause >= options.retry_for else pause


def _of_application(error: ApplicationError, attempts: int | None, permanent: list[str] | None = None) -> Failure:
    # Somebody may have let the activity fail by hand, with any texts and details.
    kind, message = _text(error.type or type(error).__name__, MAX_KIND), _text(error.message, MAX_MESSAGE)
    refused = kind == "Refused"
    spoken = refused or SPOKEN in error.details
    counted, about = _detail(error, ATTEMPT), _detail(error, ABOUT)
    counted = counted if type(counted) is int else None
    return Failure(
        said=message if spoken else IN_WORDS.get(kind, UNFORESEEN),
        technical=f"{kind}: {message}",
        kind=kind,
        about=_text(about, MAX_KIND) if isinstance(about, str) else "",
        refused=refused,
        permanent=error.non_retryable or kind in (permanent or ()),
        attempts=attempts or counted,
    )


def _detail(error: ApplicationError, name: str) -> Any:
    """Return a value that the activity has added to its failure; None if there is none."""
    return next((each[name] for each in error.details if isinstance(each, dict) and name in each), None)


def _text(said: str, most: int) -> str:
    """Return the text, cut to `most` characters, without NUL characters, which PostgreSQL cannot store."""
    return said[:most].replace("\0", "")


def _timeout(error: TimeoutError, options: StepOptions) -> str:
    if error.type is TimeoutType.SCHEDULE_TO_CLOSE and options.retry_for is not None:
        return f"No attempt succeeded within {in_words(options.retry_for)}."
    if error.type is TimeoutType.HEARTBEAT:
        return "The worker that ran this step has stopped or does not answer."
    limit = f" within {in_words(options.time_limit)}" if options.time_limit else " in time"
    return f"No answer came{limit}."
