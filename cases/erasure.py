"""Carry out erasures that people have approved: the steps of the process `erasure`, on the database."""

from collections.abc import Awaitable, Callable, Sequence

from activities.erasure.request import ErasureRequest
from activities.erasure.steps import Erased
from cases.pinned_policies import PinnedPolicies
from domain.erasure import ErasureSurvey, NotErasable
from domain.errors import Refused, Trouble
from domain.names import ADMINS
from domain.step import StepCall
from policy.model import Policy
from policy.scope import scope_of
from store.cases import batches, cases
from store.db.connection import AsyncConnection
from store.db.database import Database
from store.erasure import survey
from store.erasure.checks import (
    UNKNOWN_CASE,
    UNKNOWN_PERSON,
    UNKNOWN_UPLOAD,
    ended_cases_of,
    unerased_cases_of_upload,
    why_not_case,
    why_not_person,
    why_not_upload,
)
from store.erasure.content import erase_case, erase_upload
from store.erasure.events import NoRight
from store.erasure.person import erase_person
from store.erasure.result import Erased as ErasedContent
from store.people import people
from store.receivers import idempotency

CleanUp = Callable[[], Awaitable[int]]
"""Deletes the files that erasures have listed, and returns their number."""


def owner_of(db: Database, owner_url: str | None) -> Database:
    """Return the database with the role that owns its tables: the same database if there is only one role.

    Only this role may erase audit events. Connections open when they are used first.
    """
    return Database(owner_url) if owner_url else db


async def why_not(conn: AsyncConnection, request: ErasureRequest) -> str:
    """Return why the subject of a request cannot be erased now, as a sentence; empty if it can be erased."""
    match request.kind:
        case "case":
            return await why_not_case(conn, request.id)
        case "upload":
            return await why_not_upload(conn, request.id)
        case "person":
            return await why_not_person(conn, request.id, with_cases=request.cases)


class SqlEraser:
    """Counts and erases in the database. Each case is erased in a transaction of its own, so that others can write."""

    def __init__(self, db: Database, owner: Database, policies: PinnedPolicies, clean_up: CleanUp) -> None:
        """`owner` is the database with the role that owns its tables, which alone may erase audit events.

        `clean_up` deletes the files of what was erased, after each transaction.
        """
        self._db, self._owner, self._policies, self._clean_up = db, owner, policies, clean_up

    async def survey(self, call: StepCall[ErasureRequest]) -> ErasureSurvey:
        """Return what the erasure erases. Raises Refused if the requester may not erase the subject, or nobody may."""
        request = call.input
        policy = await self._policies.get(call.policy_hash)
        async with self._db.read() as conn:
            await self._check_may_erase(conn, call, policy)
            if why := await why_not(conn, request):
                raise Refused(why)
            return await survey.of(conn, request.kind, request.id, with_cases=request.cases)

    async def erase(self, call: StepCall[ErasureRequest]) -> Erased:
        """Erase the subject and return what was erased. A repeat returns the same. Raises Refused."""
        request = call.input
        async with self._owner.read() as conn:
            if (before := await idempotency.done(conn, call.key)) is not None:
                return Erased.model_validate(before)
            if why := await why_not(conn, request):
                raise Refused(why)
            ids = await self._cases_first(conn, request)
        told = {"by": call.requester, "reason": request.reason, "request": call.case_id}
        total = Erased()
        try:
            for case_id in ids:
                async with self._owner.write() as conn:
                    total = _plus(total, await erase_case(conn, case_id, **told))
                await self._clean_up()
            async with self._owner.write() as conn:
                total = await self._erase_subject(conn, request, told, total)
                await idempotency.do(conn, call.key, "erase", call.case_id, total.model_dump())
        except NotErasable as no:
            raise Refused(str(no)) from no
        except NoRight as no:
            raise Trouble(f"Holdgate cannot erase: {no}.", about="HOLDGATE_DATABASE_OWNER_URL") from no
        await self._clean_up()
        return total

    async def _cases_first(self, conn: AsyncConnection, request: ErasureRequest) -> Sequence[str]:
        """Return the cases that are erased before the subject itself, each in a transaction of its own."""
        if request.kind == "person":
            return await ended_cases_of(conn, request.id) if request.cases else []
        return await unerased_cases_of_upload(conn, request.id) if request.kind == "upload" else []

    async def _erase_subject(
        self, conn: AsyncConnection, request: ErasureRequest, told: dict[str, str], total: Erased
    ) -> Erased:
        """Erase the subject itself. Return what was erased in all."""
        match request.kind:
            case "case":
                return _plus(total, await erase_case(conn, request.id, **told))
            case "upload":
                return _plus(total, await erase_upload(conn, request.id, **told))
            case "person":
                person = await erase_person(conn, request.id, **told)
                return total.model_copy(update={"events": total.events + person.events})

    async def _check_may_erase(self, conn: AsyncConnection, call: StepCall[ErasureRequest], policy: Policy) -> None:
        """Raise Refused unless the requester operates the process of the case or upload; of a person, is an admin.

        Requests that come by the routes of the subject were checked before. This check is for requests by file or
        `POST /cases`. What the requester may not see is refused as what does not exist.
        """
        asker, request = await people.active(conn, call.requester), call.input
        if asker is not None and ADMINS in asker.groups:
            return
        scope = scope_of(policy, asker.id, asker.groups) if asker else None
        match request.kind:
            case "case":
                case = await cases.get(conn, request.id)
                if scope is None or case is None or case.process not in scope.operates:
                    raise Refused(UNKNOWN_CASE)
            case "upload":
                if scope is None or not await batches.is_within(conn, request.id, scope.operates):
                    raise Refused(UNKNOWN_UPLOAD)
            case "person":
                raise Refused(UNKNOWN_PERSON)


def _plus(total: Erased, one: ErasedContent) -> Erased:
    """Return the sum of what was erased before, and by one call."""
    return Erased(
        cases=total.cases + len(one.cases), events=total.events + one.events, files=total.files + len(one.files)
    )
