"""Models of a batch (an uploaded file and its rows): start input, orders to pause, resume or cancel, counts of rows."""

from enum import StrEnum
from typing import Literal

from domain.base import Message
from domain.messages import Actor, Signed


class BatchAct(StrEnum):
    """The actions that a person can order for a batch."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class BatchOrder(Signed):
    """An order for a batch: pause, resume or cancel.

    The gateway names the person in the order and has checked their permission. Only a batch that was cancelled in
    Temporal itself gets its order from the batch Workflow.
    """

    act: BatchAct
    by: Actor
    reason: str
    rollback_started: bool = False
    """For an order to cancel: True if the cases that the batch has started are rolled back."""
    completed_too: bool = False
    """For an order to cancel: True if completed cases are rolled back, too. Only operators and admins can set this."""


class BatchNote(Message):
    """The data that the audit log stores about an order: the order and the status of the batch after it."""

    batch_id: str
    workflow_id: str
    """The Workflow that got the order: the import of the batch, or the Workflow that cancels a completed batch."""
    status: Literal["running", "paused", "cancelling", "cancelled"]
    order: BatchOrder


class BatchInput(Message):
    """The start input of the Workflow that imports one uploaded file.

    The rows are in SQL, because 100,000 rows do not fit in a Temporal payload.
    """

    batch_id: str
    process: str
    path: str
    """The path of the uploaded file, relative to `HOLDGATE_VAR/uploads`."""
    sha256: str
    filename: str
    requester: str
    on_behalf_of: str | None = None
    """The person for whom a service account asks; None if the requester is a person, or no person was named."""
    asked_for: list[str] = []
    """The people who count as requester in every rule, beside `requester`: the person in `on_behalf_of`, and the owners
    of the service account. Empty if and only if the requester is a person.
    """
    policy_hash: str
    total: int = 0
    orders: list[BatchOrder] = []
    """Signed orders that this run begins with, oldest first: of an earlier run, or to cancel a completed batch."""
    asked: list[str] = []
    """The ids of the orders that earlier runs accepted. An order with one of these ids is not accepted again."""


class BatchCounts(Message):
    """Numbers of rows of a batch. `total` = `valid` + `invalid` + `duplicate`.

    For each valid row, the import later starts a case (`started`) or fails to do so (`failed`). `valid` counts all
    valid rows, also those that were started or failed later.
    """

    total: int = 0
    valid: int = 0
    invalid: int = 0
    started: int = 0
    duplicate: int = 0
    failed: int = 0


class BatchResult(Message):
    batch_id: str
    rows: BatchCounts
    left: bool = False
    """True if the batch may still have valid rows for which no case was started."""
