"""Activities for child cases, such as the security review of an artefact to deploy."""

from typing import Protocol

from temporalio import activity

from domain.base import Message
from domain.case import CaseResult
from domain.step import ChildRequest, StepCall


class Child(Message):
    """The output of `ask_for_case`: the child case that was started."""

    case_id: str


class Children(Protocol):
    """The interface that starts child cases. A key starts one case only.

    An undo that arrives before the start makes the key void, so that the case is not started later.
    """

    async def ask(self, call: StepCall[ChildRequest]) -> str: ...

    async def withdraw(self, call: StepCall[ChildRequest]) -> bool: ...

    async def end(self, case_id: str) -> CaseResult | None: ...


class ChildCases:
    """The activities by which a case requests a child case."""

    def __init__(self, children: Children) -> None:
        self._children = children

    @activity.defn
    async def ask_for_case(self, call: StepCall[ChildRequest]) -> Child:
        """Start a child case. The requester of the child case is the requester of this case."""
        return Child(case_id=await self._children.ask(call))

    @activity.defn
    async def withdraw_case(self, call: StepCall[ChildRequest]) -> bool:
        """Undo `ask_for_case`: cancel the child case if it has not ended.

        Return True if the child case was cancelled.
        """
        return await self._children.withdraw(call)

    @activity.defn
    async def end_of_case(self, case_id: str) -> CaseResult | None:
        """Return how the child case ended; None while it is running."""
        return await self._children.end(case_id)
