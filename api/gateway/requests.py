"""Define the arguments and the results of the gateway's methods."""

from typing import Any

from pydantic import BaseModel

from domain.messages import Act
from domain.moments import Moment
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import TaskView


class DecisionRequest(BaseModel):
    """A decision on a task as a person sends it. The gateway adds the person and the time."""

    verdict: str
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    via: str = "api"
    """The kind of client that sent the decision, such as `api` or `page`, for the audit log."""


class ActionRequest(BaseModel):
    """An action on a task other than a decision, as a person sends it. The gateway adds the person and the time."""

    act: Act
    to: str | None = None
    """The other person of the action, such as a delegate: an id, a name or an email address. None if the action has no
    other person."""
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
    """The outcome of a decision.

    If `task` and `case_status` are set, the case has accepted the decision. If not, the decision is stored until a
    worker applies or refuses it.
    """

    decision_id: str
    task: TaskView | None = None
    case_status: Status | None = None

    @property
    def accepted(self) -> bool:
        """Return True if the case has counted the decision."""
        return self.task is not None


class ActionOutcome(BaseModel):
    """The outcome of an action on a task.

    If `task` is set, the action was done. If not, the action is stored until a worker does or refuses it.
    """

    action_id: str
    task: TaskView | None = None
