"""Turn refusals of a Workflow into HTTP problems: each refusal code has an HTTP status and a kind of problem."""

from typing import Any, assert_never

from api.http.problems import FieldError, Problem, forbidden, invalid, not_found, unavailable
from domain.refusals import Refusal, RefusalCode

REFUSAL_CODES = "Why it was refused:\n" + "\n".join(f"- `{code.value}`: {code.meaning}" for code in RefusalCode)
"""The description of the field `code` of a problem, in the OpenAPI document."""


def problem_of_refusal(id: str, refusal: Refusal) -> Problem:
    """Return the problem that answers a refused message. `id` is the id of the message."""
    message, details = refusal.message, refusal.details

    def conflict(kind: str, **members: Any) -> Problem:
        return Problem(409, message, kind=kind, decision_id=id, **members)

    match refusal.code:
        case RefusalCode.UNSIGNED:
            return unavailable(message, decision_id=id)
        case RefusalCode.NOT_ALLOWED:
            return forbidden(message, details.get("rule", message))
        case RefusalCode.REVISION_NEEDED:
            return Problem(428, message, kind="revision-needed", revision=details.get("revision"))
        case RefusalCode.CONFIRM_NEEDED:
            return confirm_needed(message)
        case RefusalCode.WRONG_VERDICT:
            return invalid(message, [FieldError(field="verdict", message=message)], **details)
        case RefusalCode.INVALID_EDITS:
            return invalid(message, _edits(refusal))
        case RefusalCode.MISSING:
            return invalid(message, [FieldError(field=details.get("field", "text"), message=message)])
        case RefusalCode.COMMENT_NEEDED:
            return invalid(message, [FieldError(field="comment", message=message)])
        case RefusalCode.UNREADABLE | RefusalCode.UNFORESEEN | RefusalCode.UNKNOWN_MESSAGE:
            # The message is larger than a case takes, or comes from another release.
            return invalid(message, [])
        case RefusalCode.NOT_READY:
            return not_found("task")
        case RefusalCode.ALREADY_CLOSED:
            return conflict("already-closed", outcome=details.get("outcome"))
        case RefusalCode.STALE:
            return conflict("stale", changed=details.get("changed", []), revision=details.get("revision"))
        case RefusalCode.REUSED:
            return conflict("reused-id", changed=details.get("changed", ["verdict, comment, edits or revision"]))
        case RefusalCode.ALREADY_CLAIMED:
            return conflict("already-claimed", assignee=details.get("assignee"))
        case RefusalCode.ALREADY_ANSWERED | RefusalCode.NOTHING_TO_DO:
            return conflict("nothing-to-do")
        case RefusalCode.TOO_MANY:
            return conflict("too-many-messages")
        case RefusalCode.NOT_SCHEDULED:
            return conflict("not-scheduled")
        case RefusalCode.OTHER:
            return conflict("refused")
    assert_never(refusal.code)


def confirm_needed(message: str, **members: Any) -> Problem:
    """Return problem 403: the person must confirm the decision. `members` say how."""
    return Problem(403, message, kind="confirm-needed", code=RefusalCode.CONFIRM_NEEDED.value, **members)


def _edits(refusal: Refusal) -> list[FieldError]:
    message, details = refusal.message, refusal.details
    errors = details.get("errors") or [{"field": name, "message": message} for name in details.get("fields", [])]
    named = [FieldError(field=f"edits.{each['field'] or ''}".rstrip("."), message=each["message"]) for each in errors]
    return named or [FieldError(field="edits", message=message)]
