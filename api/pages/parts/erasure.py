"""What the pages of a case, an upload and a person say about erasure: who may ask, open requests, and legal holds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from api.container import Services
from api.http.exception_handlers import ANSWERED_ERRORS, problem_of_error
from api.http.problems import Problem
from api.pages.parts.translation import _
from domain.erasure import SubjectKind
from store.cases import legal_holds
from store.cases.legal_holds import LegalHold
from store.erasure import requests
from store.people.people import Person

REFUSALS = (Problem, ValidationError, *ANSWERED_ERRORS)
"""What the form of an erasure or of a legal hold can be refused with."""


def refusal(no: Exception) -> Problem:
    """Return one of `REFUSALS` as a problem, for the page of the form."""
    if isinstance(no, ValidationError):
        return Problem(422, _("The reason is too short or too long, or has characters that cannot be stored."))
    return no if isinstance(no, Problem) else problem_of_error(no)


@dataclass(frozen=True)
class ErasureContext:
    """The part of a page about the erasure of its subject, for `_erasure.html`."""

    kind: SubjectKind
    subject: str
    address: str
    """The address of the page, to which the forms return."""
    erased_at: datetime | None
    erased_by: str | None
    """The request by which the subject was erased; None if the retention period was over."""
    request: str | None
    """The id of the open request for an erasure, if the reader may ask for erasures."""
    may_erase: bool
    may_hold: bool
    holds: Sequence[LegalHold]
    """The holds that refuse the erasure, also those on what belongs to the subject, for readers who may ask or hold."""

    @property
    def own_holds(self) -> Sequence[LegalHold]:
        """Return the holds on the subject itself, which the reader can lift here."""
        return [hold for hold in self.holds if (hold.kind, hold.subject) == (self.kind, self.subject)]


async def erasure_context(
    services: Services,
    person: Person,
    kind: SubjectKind,
    subject: str,
    address: str,
    *,
    erased_at: datetime | None,
    may_ask: bool,
    ended: bool,
) -> ErasureContext:
    """Return what a page says about the erasure of its subject.

    `may_ask`: the reader operates the subject. `ended`: the subject has ended; of a person, the person has left.
    """
    may_hold = person.scope.audits_installation
    asks = may_ask and person.scope.erases
    holds: Sequence[LegalHold] = []
    request = erased_by = None
    async with services.db.read() as conn:
        if erased_at is not None:
            erased_by = await requests.erased_by(conn, kind, subject)
        elif asks or may_hold:
            holds = await legal_holds.protecting(conn, kind, subject)
            waiting = await services.erasures.waiting(conn, kind, subject) if asks else None
            request = waiting.case_id if waiting else None
    may_erase = asks and ended and erased_at is None and request is None and not holds
    return ErasureContext(kind, subject, address, erased_at, erased_by, request, may_erase, may_hold, holds)
