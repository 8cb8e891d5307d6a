"""What an erasure answers, and why it is refused."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel


class Why(StrEnum):
    """Why something cannot be erased, for code."""

    UNKNOWN = "unknown"
    OPEN = "open"
    HELD = "held"
    NO_RIGHT = "no-right"
    """The role of the database must not change the audit log: the erasure needs HOLDGATE_DATABASE_OWNER_URL."""


class NotErasable(Exception):
    """Raised if something cannot be erased now. The message is the reason, a sentence for people."""

    def __init__(self, message: str, why: Why) -> None:
        super().__init__(message)
        self.why = why


class Erased(BaseModel):
    """What one erasure removed. The transaction of the erasure stores the same numbers in its `erased` event."""

    kind: Literal["case", "person", "upload"]
    subject: str
    """The id of the case, the person or the batch."""
    at: datetime
    already: bool = False
    """True if the subject was erased before, so that this call changed nothing."""
    cases: list[str] = []
    """The ids of the cases whose content was erased."""
    events: int = 0
    """Events whose content was erased."""
    seals: int = 0
    rows: int = 0
    """Rows that were emptied or deleted."""
    proofs: int = 0
    """Signed messages whose text and signature were erased."""
    files: int = 0
    """Files to delete after the commit: see `store.erasure.files`."""
    still: list[str] = []
    """The ids of other cases that may hold the same person's data: other rounds, the parent, child cases."""
    kept: list[str] = []
    """Sentences about data that stays, such as the amounts of the ledger."""
