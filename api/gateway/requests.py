"""What routes and pages ask the gateway for, and what they get back."""

from typing import Any

from pydantic import BaseModel

from domain.messages import Act
from domain.moments import Moment
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import TaskView


class DecisionRequest(BaseModel):
    """A decision on a task as a person sends it; the gateway adds who and when."""

    verdict: str
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    via: str = "api"
    """The way the request came, for the audit log."""


class ActionRequest(BaseModel):
    """Any other action on a task as a person sends it; the gateway adds who and when."""

    act: Act
    to: str | None = None
    """A person, by id, name or e-mail address."""
    text: str = ""
    question: str | None = None
    replaces: str | None = None
    due_at: Moment | None = None
    expires_at: Moment | None = None
    ruling: GateRuling | None = None
    policy_hash: str | None = None
    times: bool = False
    revision: int | None = None
    via: str = "api"


class DecisionOutcome(BaseModel):
    """The outcome of a decision: with `task` and `case_status` it was accepted, without them a worker must apply it."""

    decision_id: str
    task: TaskView | None = None
    case_status: Status | None = None

    @property
    def accepted(self) -> bool:
        """Whether the case has counted the decision."""
        return self.task is not None


class ActionOutcome(BaseModel):
    """The outcome of an action: with `task` it was done, without it a worker must still do it."""

    action_id: str
    task: TaskView | None = None
