"""The start input of the rollback of an ended case."""

from typing import Any

from domain.base import Message
from domain.case import CaseInput, CaseResult
from domain.moments import BoundedMoment
from domain.task import DecisionView
from domain.undo import PlannedUndo


class RollbackAsked(Message):
    """The order to roll back an ended case: who asked for the rollback, when and why."""

    number: int = 1
    """The number of this rollback among the rollbacks of the case, from 1."""
    by: str
    reason: str
    policy_hash: str
    at: BoundedMoment
    lost: bool = False
    """True if the case's own Workflow was ended in Temporal, so that operators decide what happens to the case."""
    ended: CaseResult | None = None
    """The end of a completed case. That end stays if nothing is undone."""
    planned: int = 0
    """The number of undos in the plan."""
    begun: bool = False
    """True if an earlier rollback was ended in Temporal after its first undo. It was approved, so it must continue."""
    decided: DecisionView | None = None
    """For a case ended in Temporal: the decision that an operator has already made about it."""


class RollbackInput(CaseInput[dict[str, Any]]):
    """The start input of a rollback Workflow: the case, and what the case did according to the database."""

    workflow_id: str
    title: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    shown: dict[str, Any] = {}
    """The input as it may be shown."""
    plan: list[PlannedUndo]
    """The undos, oldest first."""
    asked: RollbackAsked
