"""Erasures: what can be erased, on which numbers people decide, and what an erased case refuses."""

from datetime import datetime
from typing import Literal, Protocol

from domain.base import Message
from domain.moments import moment_text

CODE = "Erased"
"""The code of the problem with which every action that needs the content of an erased case is refused."""


SubjectKind = Literal["case", "person", "upload"]
"""What can be erased, and what a legal hold can protect."""


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


class NotErasable(Exception):
    """Raised if a case, a person or an upload cannot be erased now. The text is a sentence for people."""


class Erasable(Protocol):
    """A case or an upload: it has an id, and a time at which its content was erased."""

    @property
    def erased_at(self) -> datetime | None: ...


class ContentErased(Exception):
    """Raised if an action needs the content of a case or an upload that was erased."""

    def __init__(self, what: str, erased_at: datetime) -> None:
        super().__init__(f"The content of this {what} was erased at {moment_text(erased_at)}, so nobody can do this")
        self.erased_at = erased_at


def check_content(of: Erasable, what: str = "case") -> None:
    """Raise ContentErased if the content of the case or upload was erased. `what` is the word for it."""
    if of.erased_at is not None:
        raise ContentErased(what, of.erased_at)
