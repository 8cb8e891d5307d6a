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
    """True if the case's own Workflow was ended in Temporal, by a person, a timeout or a defect.

    Operators decide what happens to the case, unless `decided` already has their decision.
    """
    ended: CaseResult | None = None
    """The end of the case before this rollback, if the case was completed.

    The case keeps this end if the rollback undoes nothing.
    """
    planned: int = 0
    """The number of undos in the plan."""
    begun: bool = False
    """True if somebody ended an earlier rollback in Temporal itself after its first undo.

    The earlier rollback was approved, so this rollback continues without a new approval.
    """
    decided: DecisionView | None = None
    """For a case that was ended in Temporal: the decision that an operator has already made about the case."""


class RollbackInput(CaseInput[dict[str, Any]]):
    """The start input of a rollback Workflow: the data of the case, and its undos as the database has them."""

    workflow_id: str
    title: str
    key_fields: dict[str, str] = {}
    money: dict[str, str] = {}
    shown: dict[str, Any] = {}
    """The input of the case with masked fields, as people may see it."""
    plan: list[PlannedUndo]
    """The undos, oldest first."""
    asked: RollbackAsked
