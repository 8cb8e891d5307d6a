"""The refusal of a message to a case: a code for programs and a sentence for people.

Rules raise `Refusal`. A Workflow sends a refusal as a Temporal failure (`workflows/engine/refusal_failures.py`). The
gateway answers a refusal as an HTTP problem (`api/gateway/refusal_problems.py`).
"""

from typing import Any

from domain.codes import CodeWithMeaning

DECISION_ID_REUSED = "You already used this id for another decision. Send a new id with each decision."
"""The message if a second, different decision has the id of an earlier one.

The case sends this message if the case holds the earlier decision; the gateway sends this message if only SQL holds the
earlier decision.
"""
ACTION_ID_REUSED = "You already used this id for another action. Send a new id with each action."
"""The message if a second, different action has the id of an earlier one. The case and the gateway send it."""
ACTION_CONTENT = ["action, task, person, text or time"]
"""The fields of an action that must be the same when the action is sent again with the same id."""


class RefusalCode(CodeWithMeaning):
    """The reason why a message to a case is refused: the stored value, and its meaning as one sentence, for the API
    reference.
    """

    UNSIGNED = "Unsigned", "No gateway of this installation has signed the message."
    NOT_ALLOWED = "NotAllowed", "A rule forbids this person to do this."
    ALREADY_CLOSED = "AlreadyClosed", "The task or its case has ended."
    REVISION_NEEDED = "RevisionNeeded", "The decision does not name the revision of the task that the person saw."
    STALE = "Stale", "The task has changed since the person saw it."
    NOT_READY = (
        "NotReady",
        "The case has not reached this task yet, or waits for the rules of an edited input.",
    )
    WRONG_VERDICT = "WrongVerdict", "The task does not take this verdict."
    COMMENT_NEEDED = "CommentNeeded", "This verdict needs a comment."
    CONFIRM_NEEDED = "ConfirmNeeded", "The policy asks the person to confirm each decision on this task."
    INVALID_EDITS = "InvalidEdits", "The edits change a field that must not change, or make the input invalid."
    ALREADY_CLAIMED = "AlreadyClaimed", "Somebody else has claimed the task."
    ALREADY_ANSWERED = "AlreadyAnswered", "The question has an answer."
    NOTHING_TO_DO = "Nothing", "The message would change nothing."
    MISSING = "Missing", "A field of the message is missing, or its value does not fit."
    TOO_MANY = "TooMany", "The case takes no more messages of this kind."
    REUSED = "Reused", "The id of the message was used for another message."
    NOT_SCHEDULED = "NotScheduled", "The case cannot be started early, because it does not wait for a start time."
    UNKNOWN_MESSAGE = "Unknown", "The Workflow has no message of this name."
    UNREADABLE = "Unreadable", "The message cannot be read."
    UNFORESEEN = (
        "Unforeseen",
        "The message cannot be carried out for a reason without a code of its own: read the sentence of the error.",
    )
    OTHER = "Refused", "Another release of Holdgate gave a code that this release does not know."

    @classmethod
    def of(cls, text: str | None) -> "RefusalCode":
        """Return the code with this value.

        Return OTHER if the value is unknown, because another release of Holdgate sent it.
        """
        return next((code for code in cls if code.value == text), cls.OTHER)


class Refusal(Exception):
    """The exception that refuses a message to a case. A refused message changes nothing.

    `message` is a sentence for people. `details` are additional fields of the error response of the API.
    """

    def __init__(self, code: RefusalCode, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


def not_allowed(message: str, rule: str) -> Refusal:
    """Return the refusal NOT_ALLOWED with this message.

    `rule` is the name of the rule about people that forbids the action.
    """
    return Refusal(RefusalCode.NOT_ALLOWED, message, rule=rule)


def action_id_reused() -> Refusal:
    """Return the refusal of an action that has the id of an earlier, different action."""
    return Refusal(RefusalCode.REUSED, ACTION_ID_REUSED, changed=ACTION_CONTENT)
