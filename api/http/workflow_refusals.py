"""What a Workflow refuses, in HTTP's terms."""

from typing import Any

from api.http.problems import FieldError, Problem, forbidden, invalid, not_found

_CONFLICTS = {
    "AlreadyClosed": "already-closed",
    "Stale": "stale",
    "Reused": "reused-id",
    "AlreadyClaimed": "already-claimed",
    "AlreadyAnswered": "nothing-to-do",
    "Nothing": "nothing-to-do",
    "TooMany": "too-many-messages",
    "NotScheduled": "not-scheduled",
}


def problem_of_refusal(id: str, code: str, message: str, details: dict[str, Any]) -> Problem:
    """A refusal as a problem. `id` is the message's. A code that is not known here is a conflict."""
    match code:
        case "NotAllowed":
            return forbidden(message, details.get("rule", message))
        case "RevisionNeeded":
            return Problem(428, message, kind="revision-needed", revision=details.get("revision"))
        case "WrongVerdict":
            return invalid(message, [FieldError(field="verdict", message=message)], **details)
        case "InvalidEdits":
            return invalid(message, _edits(message, details))
        case "Missing":
            return invalid(message, [FieldError(field=details.get("field", "text"), message=message)])
        case "CommentNeeded":
            return invalid(message, [FieldError(field="comment", message=message)])
        case "Unreadable" | "Unforeseen" | "Unknown":  # larger than a case takes, or of another release
            return invalid(message, [])
        case "UnknownTask" | "NotReady":
            return not_found("task")
    members: dict[str, Any] = {}
    if code == "AlreadyClosed":
        members = {"outcome": details.get("outcome")}
    elif code == "Stale":
        members = {"changed": details.get("changed", []), "revision": details.get("revision")}
    elif code == "Reused":
        members = {"changed": ["verdict, comment, edits or revision"]}
    elif code == "AlreadyClaimed":
        members = {"assignee": details.get("assignee")}
    return Problem(409, message, kind=_CONFLICTS.get(code, "refused"), decision_id=id, **members)


def _edits(message: str, details: dict[str, Any]) -> list[FieldError]:
    errors = details.get("errors") or [{"field": name, "message": message} for name in details.get("fields", [])]
    named = [FieldError(field=f"edits.{each['field'] or ''}".rstrip("."), message=each["message"]) for each in errors]
    return named or [FieldError(field="edits", message=message)]
