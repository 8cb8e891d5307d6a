"""What people send to a case."""

import hashlib
import json
from enum import StrEnum
from typing import Any

from domain.base import Message
from domain.moments import ZonedMoment
from domain.ruling import GateRuling
from domain.status import Status, Verdict
from domain.task import TaskView


class Absent(Message):
    """Somebody who is away, as the gateway asserts it of the substitute's message."""

    id: str
    groups: list[str] = []


class Actor(Message):
    """A person as the gateway asserts it at the time of the message."""

    id: str
    groups: list[str] = []
    stands_in_for: list[Absent] = []
    """Those who are away now and named this person as their substitute."""


class Decision(Message):
    """The decision envelope. The gateway asserts who and which groups; the Workflow checks the people rules."""

    id: str
    task_id: str
    verdict: Verdict
    by: Actor
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    """Fields of the input with their new values: with an approval those that the policy lets reviewers change, with
    resubmit any."""
    via: str = "api"
    at: ZonedMoment
    proof: str | None = None
    """Reserved for the gateway's signature. Until then write access to the namespace is authority to decide."""

    @property
    def content(self) -> str:
        """Digest of what was decided, to tell a repeat from the same id reused with other content."""
        said = f"{self.task_id}\n{self.verdict}\n{self.comment}\n{self.revision}"
        if self.edits:
            said += "\n" + json.dumps(self.edits, sort_keys=True)
        return hashlib.sha256(said.encode()).hexdigest()


class Cancellation(Message):
    """Ask a case to stop, undo what it did and end `cancelled`."""

    id: str
    by: Actor
    reason: str
    via: str = "api"
    at: ZonedMoment


class StartNow(Message):
    """Do not wait any longer for the moment that a case is scheduled for."""

    id: str
    by: Actor
    via: str = "api"
    at: ZonedMoment


class Receipt(Message):
    """The answer to an accepted decision. `content` lets the gateway tell a repeat from a reused id."""

    decision_id: str
    content: str
    task: TaskView
    case_status: Status


class Act(StrEnum):
    """What people do with a task other than decide it."""

    CLAIM = "claim"
    RELEASE = "release"
    """Give a claim back; a delegate gives the task back to whom it came from."""
    REASSIGN = "reassign"
    """Hand over for good."""
    DELEGATE = "delegate"
    """Hand over, and get it back by release."""
    WITHDRAW = "withdraw"
    """Take back one's own decision while the gate is open."""
    ASK = "ask"
    ANSWER = "answer"
    WITHDRAW_QUESTION = "withdraw_question"
    """Take back a question that has no answer: nobody waits for it any more."""
    SET_CLOCK = "set_clock"
    REPLACE = "replace"
    """Somebody has left: whoever comes after takes the place of `replaces` on the task."""
    NEW_RULES = "new_rules"
    """The gate follows other rules from now on: those of `ruling`."""
    RECOUNT = "recount"
    """People or groups have changed: look whether enough are left who can decide."""


class Action(Message):
    """The envelope of everything but a decision. Like it: the gateway asserts who, the Workflow checks the rules."""

    id: str
    task_id: str
    act: Act
    by: Actor
    to: Actor | None = None
    """Whom a task is handed or a question is put to."""
    text: str = ""
    """Question, answer, or the reason."""
    question: str | None = None
    """The id of the question that is answered or taken back."""
    replaces: str | None = None
    due_at: ZonedMoment | None = None
    expires_at: ZonedMoment | None = None
    ruling: GateRuling | None = None
    policy_hash: str | None = None
    """Of `ruling`."""
    times: bool = False
    """The ruling's times count also where an admin has set others by hand."""
    revision: int | None = None
    via: str = "api"
    at: ZonedMoment

    @property
    def content(self) -> str:
        """Digest of what was wanted, to tell a repeat from the same id reused with other content."""
        return hashlib.sha256(self.model_dump_json(exclude={"id", "by", "at", "via"}).encode()).hexdigest()

    @property
    def recorded(self) -> dict[str, Any]:
        """Return what the audit log keeps of the action: its id, and the text and the times that it gives."""
        given = self.model_dump(mode="json", include={"text", "due_at", "expires_at"})
        return {"action_id": self.id, "via": self.via} | {name: value for name, value in given.items() if value}
