"""What an erased case refuses."""

from datetime import datetime
from typing import Protocol

from domain.moments import moment_text

CODE = "Erased"
"""The code of the problem with which every action that needs the content of an erased case is refused."""


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
