"""What the rollback of an ended case starts with."""

from typing import Any

from domain.base import Message
from domain.case import CaseInput, CaseResult
from domain.moments import BoundedMoment
from domain.task import DecisionView
from domain.undo import PlannedUndo


class RollbackAsked(Message):
    """Why a case is rolled back after its own Workflow has ended."""

    number: int = 1
    """The how-manieth such Workflow of the case."""
    by: str
    reason: str
    policy_hash: str
    at: BoundedMoment
    lost: bool = False
    """The Workflow of the case ended without its doing, in Temporal: operators decide what becomes of it."""
    ended: CaseResult | None = None
    """How a completed case had ended. That stands if nothing is undone."""
    planned: int = 0
    """How many undos there were."""
    begun: bool = False
    """A rollback before this one was ended in Temporal when some of it was done: it was approved, and must go on."""
    decided: DecisionView | None = None
    """Of a case that is lost: what an operator has said already that becomes of it."""


class RollbackInput(CaseInput[dict[str, Any]]):
    """What the Workflow starts with that rolls a case back: the case, and what the record says it did."""

    workflow_id: str
    title: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    shown: dict[str, Any] = {}
    """The input as it may be shown."""
    plan: list[PlannedUndo]
    """Oldest first."""
    asked: RollbackAsked
