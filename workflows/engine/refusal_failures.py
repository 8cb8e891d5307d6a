"""Convert refusals to Temporal failures and back, because Temporal carries only its own failures."""

from temporalio.exceptions import ApplicationError

from domain.refusals import Refusal, RefusalCode


def failure_of_refusal(refusal: Refusal) -> ApplicationError:
    """Return the failure that carries a refusal to the sender of an Update."""
    return ApplicationError(refusal.message, refusal.details, type=refusal.code.value, non_retryable=True)


def refusal_of_failure(failure: ApplicationError) -> Refusal | None:
    """Return the refusal that a failure carries; None for a failure that is no refusal."""
    details = failure.details[0] if failure.details else None
    if not isinstance(details, dict):
        return None
    refusal = Refusal(RefusalCode.of(failure.type), failure.message)
    refusal.details = details
    return refusal
