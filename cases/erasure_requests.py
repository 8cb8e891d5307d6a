"""Ask for the erasure of a case, an upload or a person: a case of the process `erasure`, one at a time for each."""

import hashlib
from dataclasses import dataclass

from activities.erasure.request import ErasureRequest
from cases.erasure import why_not
from cases.submit import CaseRequest, DuplicateCase, Starter
from domain.erasure import NotErasable, SubjectKind
from domain.names import ERASURE
from store.cases.cases import CaseRow
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.erasure import requests


@dataclass(frozen=True)
class Asked:
    """A request for an erasure. `created` is False if the same subject had an open request before."""

    row: CaseRow
    created: bool


class ErasureRequests:
    """Submits requests for erasures."""

    def __init__(self, db: Database, starter: Starter) -> None:
        self._db, self._starter = db, starter

    async def ask(self, wanted: ErasureRequest, by: str) -> Asked:
        """Submit a request and return it; if the subject has an open request, return that one.

        The number of earlier requests is part of the reference, so that two people who ask at the same time get the
        same request. Raises NotErasable if nobody can erase the subject now, and the errors of `Starter.start_case`.
        """
        stem = _stem(wanted.kind, wanted.id)
        async with self._db.read() as conn:
            if (waiting := await requests.open_about(conn, stem, wanted.id)) is not None:
                return Asked(waiting, created=False)
            if why := await why_not(conn, wanted):
                raise NotErasable(why)
            number = await requests.count_about(conn, stem) + 1
        request = CaseRequest(process=ERASURE, reference=f"{stem}-{number}", input=wanted.model_dump(mode="json"))
        try:
            return Asked((await self._starter.start_case(request, by)).row, created=True)
        except DuplicateCase:
            async with self._db.read() as conn:
                if (waiting := await requests.open_about(conn, stem, wanted.id)) is not None:
                    return Asked(waiting, created=False)
            raise

    async def waiting(self, conn: AsyncConnection, kind: SubjectKind, subject: str) -> CaseRow | None:
        """Return the open request for the erasure of a subject; None without one."""
        return await requests.open_about(conn, _stem(kind, subject), subject)


def _stem(kind: SubjectKind, subject: str) -> str:
    """Return the first part of the references of all requests about a subject. It does not disclose the id."""
    return f"{kind}-{hashlib.sha256(f'{kind}:{subject}'.encode()).hexdigest()[:20]}"
