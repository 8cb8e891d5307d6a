"""The steps of an erasure: count what will be erased, and erase it.

An erasure has no undo: what was erased cannot come back, also not by a rollback.
"""

from datetime import datetime
from typing import Protocol

from temporalio import activity

from activities.erasure.request import ErasureRequest, SubjectKind
from activities.shared.heartbeat import beating
from domain.base import Message
from domain.step import StepCall

__all__ = ["Erased", "ErasureSurvey", "Erasures", "SubjectKind"]


class ErasureSurvey(Message):
    """What an erasure erases, and what stays, in numbers: the facts on which people decide.

    The numbers count all cases that the erasure reaches. A value that the subject does not have is None.
    """

    process: str | None = None
    """The process of the case or of the upload."""
    status: str | None = None
    ended_at: datetime | None = None
    cases: int = 0
    """Cases whose content is erased."""
    events: int = 0
    """Audit events that lose their content. Their place in the audit log, kind, time and actor stay."""
    tasks: int = 0
    comments: int = 0
    attachments: int = 0
    uploaded_files: int = 0
    upload_rows: int = 0
    other_rounds_that_stay: int = 0
    """Other rounds of the same references that this erasure does not erase."""
    cases_that_stay: int | None = None
    """For a person: ended cases that the person asked for, and that this erasure does not erase."""
    decisions_that_keep_the_id: int | None = None
    """For a person: decisions about cases of others. They keep the id of the person, and lose the name."""
    ledger_entries_that_stay: int = 0
    """Entries of the ledger. Their amounts stay, because books must be kept; they lose the payee."""


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
