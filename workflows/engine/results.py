"""Read the results of activities in the engine, so that an unreadable result is a failed attempt, and nothing worse.

Somebody with access to Temporal can complete an activity by hand, with any result or none. If the SDK converts such a
result, the Workflow task fails, for ever. A result that nobody with the key of the case wrote is never believed: the
codec has replaced it with a text that fits no model.
"""

from collections.abc import Callable
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ActivityError, ApplicationError

from core.payload_codec import UNREADABLE
from core.payload_failures import UNREADABLE_FAILURE

_JSON = b"json/plain"


class UnreadableResult(ApplicationError):
    """Raised in place of a result that does not fit the activity, or that nobody with the key of the case wrote.

    The text has no value of the result.
    """

    def __init__(self, activity: str, why: str) -> None:
        super().__init__(f"the result of {activity} {why}", type=type(self).__name__)


def ended_by_hand(error: BaseException | None) -> bool:
    """Return True if nothing is known of what an activity did, because no worker wrote its result or its failure."""
    cause = error.cause if isinstance(error, ActivityError) else error
    return isinstance(cause, ApplicationError) and cause.type in {UnreadableResult.__name__, UNREADABLE_FAILURE}


def result_type(activity: Callable[..., Any]) -> Any:
    """Return the type of the result of an activity; `Any` if its function names none."""
    return get_type_hints(activity).get("return", Any)


def read_result(activity: str, sent: RawValue | None, kind: Any = Any) -> Any:
    """Return the result of an activity, which was requested as a RawValue. Raises UnreadableResult.

    `sent` is None if the activity was completed without a result, as no worker does.
    """
    if sent is None:
        raise UnreadableResult(activity, "is missing")
    if sent.payload.data == UNREADABLE.data:
        raise UnreadableResult(activity, "was not written by a worker of Holdgate")
    try:
        found = workflow.payload_converter().from_payload(sent.payload, *([] if kind is Any else [kind]))
        if kind is Any or sent.payload.metadata.get("encoding") == _JSON or _is_a(found, kind):
            return found
        return TypeAdapter(kind).validate_python(found)  # Other encodings ignore the type.
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        why = f"does not fit: {where}: {first['type']}" if where else f"does not fit: {first['type']}"
        raise UnreadableResult(activity, why) from None
    except Exception as error:
        raise UnreadableResult(activity, f"has an unknown encoding ({type(error).__name__})") from None


def _is_a(found: Any, kind: Any) -> bool:
    return isinstance(kind, type) and isinstance(found, kind)
