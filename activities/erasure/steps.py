"""The steps of an erasure: count what will be erased, and erase it.

An erasure has no undo: what was erased cannot come back, also not by a rollback.
"""

from typing import Protocol

from temporalio import activity

from activities.erasure.request import ErasureRequest
from activities.shared.heartbeat import beating
from domain.base import Message
from domain.erasure import ErasureSurvey
from domain.step import StepCall


class Erased(Message):
    """The output of an erasure: what was erased, in numbers."""

    cases: int = 0
    events: int = 0
    files: int = 0


class Eraser(Protocol):
    """The interface that counts and erases. Erasing the same subject again for the same case changes nothing.

    Both methods raise Refused with a sentence if the subject cannot be erased now, such as for a legal hold.
    """

    async def survey(self, call: StepCall[ErasureRequest]) -> ErasureSurvey: ...

    async def erase(self, call: StepCall[ErasureRequest]) -> Erased: ...


class Erasures:
    """The steps of an erasure."""

    def __init__(self, eraser: Eraser) -> None:
        self._eraser = eraser

    @activity.defn
    async def survey_erasure(self, call: StepCall[ErasureRequest]) -> ErasureSurvey:
        """Check that the subject can be erased, and count what will be erased. The step changes nothing."""
        return await self._eraser.survey(call)

    @activity.defn
    async def erase(self, call: StepCall[ErasureRequest]) -> Erased:
        """Check again that the subject can be erased, and erase it."""
        async with beating():
            return await self._eraser.erase(call)
