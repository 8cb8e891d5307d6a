"""Define the arguments and the results of the gateway's methods."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from domain.confirmation import Confirmation
from domain.messages import Act
from domain.moments import Moment
from domain.ruling import GateRuling
from domain.status import Status
from domain.task import TaskView


class PasskeyAnswer(BaseModel):
    """The answer of a browser that was asked to confirm a decision with a passkey."""

    model_config = ConfigDict(extra="forbid")

    nonce: str = Field(max_length=64, description="The `nonce` of the problem `ConfirmNeeded`")
    credential: dict[str, Any] = Field(description="The credential of `navigator.credentials.get()`, as its `toJSON()`")


class DecisionRequest(BaseModel):
    """A decision on a task as a person sends it. The gateway adds the person and the time."""

    verdict: str
    comment: str = ""
    revision: int | None = None
    edits: dict[str, Any] = {}
    confirmation: Confirmation | None = None
    """The confirmation by the password of the person, which the caller has checked."""
    passkey: PasskeyAnswer | None = None
    """What the person's passkey signed, which the gateway checks."""
    of_many: bool = False
    """True if one request has many decisions, which passkeys cannot confirm."""
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
