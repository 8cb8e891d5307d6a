"""Batches: what their Workflow starts with, orders to it, and its counts."""

from enum import StrEnum
from typing import Literal

from domain.base import Message
from domain.messages import Actor
from domain.moments import ZonedMoment


class BatchAct(StrEnum):
    """What people ask of a batch."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class BatchOrder(Message):
    """Somebody asks a batch to stop, or to go on. The gateway asserts who, and that they may."""

    id: str
    act: BatchAct
    by: Actor
    reason: str
    at: ZonedMoment
    rollback_started: bool = False
    """Of a cancel: whether its cases are asked to undo what they did."""
    completed_too: bool = False
    """Whether those that were completed are rolled back as well, which takes an operator."""


class BatchNote(Message):
    """What became of an order, for the record."""

    batch_id: str
    status: Literal["running", "paused", "cancelling", "cancelled"]
    order: BatchOrder


class BatchInput(Message):
    """One uploaded file to import. Its rows lie in SQL; 100,000 rows never travel in a payload."""

    batch_id: str
    process: str
    path: str
    """The file, relative to `HOLDGATE_VAR/uploads`."""
    sha256: str
    filename: str
    requester: str
    policy_hash: str
    total: int = 0
    orders: list[BatchOrder] = []
    """What was asked of it before this run of its Workflow, oldest first."""


class BatchCounts(Message):
    """`total` = `valid` + `invalid` + `duplicate`; `valid` ends as `started` or `failed`."""

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
    """Whether rows may be left to be started."""
