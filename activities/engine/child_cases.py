"""Cases that a case asks for, such as the security review of what is to be deployed."""

from typing import Protocol

from temporalio import activity

from domain.base import Message
from domain.case import CaseResult
from domain.step import ChildRequest, StepCall


class Child(Message):
    """The case that was started."""

    case_id: str


class Children(Protocol):
    """What starts cases for cases. A key starts one case for ever; an undo that came first voids it."""

    async def ask(self, call: StepCall[ChildRequest]) -> str: ...

    async def withdraw(self, call: StepCall[ChildRequest]) -> bool: ...

    async def end(self, case_id: str) -> CaseResult | None: ...


class ChildCases:
    """The steps by which a case asks for another."""

    def __init__(self, children: Children) -> None:
        self._children = children

    @activity.defn
    async def ask_for_case(self, call: StepCall[ChildRequest]) -> Child:
        """Start the other case, requested by whoever requested this one."""
        return Child(case_id=await self._children.ask(call))

    @activity.defn
    async def withdraw_case(self, call: StepCall[ChildRequest]) -> bool:
        """Undo `ask_for_case`: cancel the other case, if it has not ended. Answers whether it had to be cancelled."""
        return await self._children.withdraw(call)

    @activity.defn
    async def end_of_case(self, case_id: str) -> CaseResult | None:
        """How the other case ended; None while it has not."""
        return await self._children.end(case_id)
