"""Messages that people send to a case."""

import hashlib
import json
from enum import StrEnum
from typing import Any, Literal

from domain.base import Message
from domain.confirmation import Confirm, Confirmation
from domain.moments import ZonedMoment
from domain.ruling import GateRuling
from domain.status import Status, Verdict
from domain.task import TaskView


class Absent(Message):
    """A person who is out of office. The gateway names this person in a message that the substitute sends."""

    id: str
    groups: list[str] = []


class Actor(Message):
    """The person who sent a message, with the groups of the person when the message was sent.

    The gateway fills in all fields of this class.
    """

    id: str
    kind: Literal["person", "service"] = "person"
    """`service` for the account of a program. A Workflow refuses its decisions and actions, whatever its groups are."""
    groups: list[str] = []
    stands_in_for: list[Absent] = []
    """People who are away when the message is sent and have named this person as their substitute."""


class Signed(Message):
    """A message that changes a case or a batch. A Workflow refuses such a message without a valid signature.

    `domain/proof/envelope.py` lists the fields that the signature covers.
    """

    id: str
    at: ZonedMoment
    proof: str | None = None
    """The signature of the gateway, or of a worker: `v1.<key id>.<signature>`. See `domain/proof/keys.py`."""


class Decision(Signed):
    """The decision of a person on a task.

    The gateway fills in the person and their groups; the Workflow checks the rules about people.
    """

    task_id: str
    verdict: Verdict
    by: Actor
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    """Fields of the input with their new values.

    An approval may change the fields that the policy names, and a resubmission any field. A retry may change any field,
    or only the fields that the policy names.
    """
    shown: str = ""
    """The digest of what the gateway has shown to the person (`TaskView.digest`)."""
    confirmation: Confirmation | None = None
    """How the person confirmed the decision; None for a decision without a confirmation."""
    via: str = "api"

    @property
    def confirmed(self) -> Confirm:
        """Return the way in which the person confirmed the decision."""
        return self.confirmation.method if self.confirmation else Confirm.NONE

    @property
    def recorded_confirmation(self) -> dict[str, Any]:
        """Return the confirmation as the audit log tells it: name, time and method; empty without a confirmation."""
        if (given := self.confirmation) is None:
            return {}
        return {"confirmed": {"method": given.method.value, "name": given.name, "at": self.at.isoformat()}}

    @property
    def content(self) -> str:
        """Return a digest of the content of the decision.

        If two decisions with the same id have different digests, the second is not a repetition of the first.
        """
        text = f"{self.task_id}\n{self.verdict}\n{self.comment}\n{self.revision}"
        if self.edits:
            text += "\n" + json.dumps(self.edits, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Cancellation(Signed):
    """A request to stop a case, undo what the case did, and end it as `cancelled`."""

    by: Actor
    reason: str
    via: str = "api"


class StartNow(Signed):
    """A request to start a scheduled case now."""

    by: Actor
    via: str = "api"


class Resynchronise(Signed):
    """The news that the Workflow was reset in Temporal, so that it must write its tasks to the database again.

    A worker sends this message, or the gateway after operators have decided about a blocked case.
    """

    run_id: str
    """The run that the reset created. Another run of the case ignores the message."""


class Receipt(Message):
    """The answer to an accepted message.

    `content` is a digest of the accepted message. With this digest the gateway finds out whether a second message with
    the same id repeats the first or is another message.
    """

    decision_id: str
    content: str
    task: TaskView
    """The task after the message, without its facts, because facts never change and the history stores each receipt."""
    case_status: Status


class Act(StrEnum):
    """The kinds of actions on a task. A decision is not an action."""

    CLAIM = "claim"
    RELEASE = "release"
    """End the claim of a person on the task.

    A delegated task goes back to the person who delegated it, unless an admin who is neither of the two releases it.
    """
    REASSIGN = "reassign"
    """Give the task to another person permanently."""
    DELEGATE = "delegate"
    """Let another person, the delegate, decide the task on behalf of the person who delegates it."""
    WITHDRAW = "withdraw"
    """Take back your own decision while the task is open."""
    ASK = "ask"
    ANSWER = "answer"
    WITHDRAW_QUESTION = "withdraw_question"
    """Withdraw a question that has no answer."""
    SET_CLOCK = "set_clock"
    REPLACE = "replace"
    """Replace a person who has left: the successor takes the place of `replaces` on the task."""
    NEW_RULES = "new_rules"
    """Make the gate follow the rules in `ruling`."""
    RECOUNT = "recount"
    """Check whether enough people can still decide the task, because people or groups have changed."""


class Action(Signed):
    """An action of a person on a task, other than a decision.

    The gateway fills in the person and their groups. The Workflow checks whether the rules allow the action.
    """

    task_id: str
    act: Act
    by: Actor
    to: Actor | None = None
    """The person who gets the task or the question."""
    text: str = ""
    """A text that the person wrote: the question, the answer, or the reason for the action."""
    question: str | None = None
    """The id of the question that this action answers or withdraws."""
    replaces: str | None = None
    due_at: ZonedMoment | None = None
    expires_at: ZonedMoment | None = None
    ruling: GateRuling | None = None
    policy_hash: str | None = None
    """The hash of the policy from which `ruling` comes."""
    times: bool = False
    """True if the times of `ruling` also replace times of the task that an admin set by hand."""
    revision: int | None = None
    via: str = "api"

    @property
    def content(self) -> str:
        """Return a digest of the content of the action.

        If two actions with the same id have different digests, the second is not a repetition of the first.
        """
        return hashlib.sha256(self.model_dump_json(exclude={"id", "by", "at", "via", "proof"}).encode()).hexdigest()

    @property
    def recorded(self) -> dict[str, Any]:
        """Return the data of the action for the audit log: its id, how it was sent (`via`), its text and times."""
        given = self.model_dump(mode="json", include={"text", "due_at", "expires_at"})
        return {"action_id": self.id, "via": self.via} | {name: value for name, value in given.items() if value}
