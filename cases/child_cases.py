"""Start a case that another case requests, or withdraw this case, at most once for each idempotency key."""

from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cases.start_permission import NotARequester
from cases.submit import CaseRequest, DuplicateCase, InvalidCase, NoPolicy, Starter
from cases.workflow_starter import settle
from domain.case import CaseResult
from domain.errors import Refused, Trouble
from domain.messages import Actor, Cancellation
from domain.status import Status
from domain.step import ChildRequest, StepCall
from store.cases import cases
from store.cases.cases import CaseRow
from store.db.client_keys import scoped_key
from store.db.database import Database
from store.receivers import idempotency
from workflows.registry import UnknownProcess

PATIENCE = timedelta(seconds=5)


class SqlChildren:
    """Starts and withdraws child cases: cases that another case requests."""

    def __init__(self, db: Database, client: Client, starter: Starter) -> None:
        self._db, self._client, self._starter = db, client, starter

    async def ask(self, call: StepCall[ChildRequest]) -> str:
        """Return the id of the child case for the key of this call.

        Start the child case if this call has not started it before. The key is stored before the child case, so that an
        undo between the two finds the key. Raises Refused if the child case cannot be started.
        """
        wanted = call.input
        async with self._db.write() as conn:
            if await idempotency.done(conn, call.key) is None:
                await idempotency.do(conn, call.key, "ask_for_case", call.case_id, {})
            parent = await cases.get(conn, call.case_id)
        request = CaseRequest(
            process=wanted.process,
            reference=wanted.reference,
            input=wanted.input,
            parent=call.case_id,
            on_behalf_of=parent.on_behalf_of if parent else None,
            asked_for=parent.asked_for if parent else [],
            idempotency_key=call.key,
        )
        try:
            row = (await self._starter.start_case(request, call.requester)).row
        except (UnknownProcess, NoPolicy, NotARequester, InvalidCase, DuplicateCase) as wrong:
            raise Refused(f"The {wanted.kind} could not be started: {wrong}") from wrong
        try:
            async with self._db.read() as conn:
                await idempotency.done(conn, call.key)
        except Refused:
            # The undo came while the case was being started, so it can have missed the case.
            await self._cancel(row, call)
            raise
        return row.case_id

    async def withdraw(self, call: StepCall[ChildRequest]) -> bool:
        """Cancel the child case that the call with the key `call.undoes` started.

        Return True if the child case was cancelled or was just told to cancel, False if it ended otherwise or never
        started.
        """
        async with self._db.write() as conn:
            undo = await idempotency.undo(conn, call.key, call.undone, "withdraw_case", call.case_id)
            rows = await cases.children_of(conn, call.case_id)
        if not undo.anything:
            return False
        row = next((row for row in rows if row.idempotency_key == scoped_key(call.requester, call.undone)), None)
        return row is not None and await self._cancel(row, call)

    async def end(self, case_id: str) -> CaseResult | None:
        """Return the result of a closed case from SQL; None if the case is open or unknown."""
        async with self._db.read() as conn:
            row = await cases.get(conn, case_id)
        return row.result if row and row.status.closed else None

    async def _cancel(self, row: CaseRow, call: StepCall[ChildRequest]) -> bool:
        if row.status.closed:
            return row.status is Status.CANCELLED
        if row.status is Status.STARTING:
            launch = await self._starter.launcher.launch([row])
            async with self._db.write() as conn:
                await settle(conn, launch)
        asked = Cancellation(
            id=f"{call.key}/cancel",
            by=Actor(id=call.requester, kind="service" if row.asked_for else "person"),
            reason=f"{call.case_id}, which requested this case, no longer needs this case",
            via="holdgate",
            at=datetime.now(UTC),
        )
        try:
            await self._client.get_workflow_handle(row.conductor).signal("cancel_case", asked, rpc_timeout=PATIENCE)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:  # the case has just ended
                return False
            raise Trouble(
                "Temporal does not answer, so the requested case is not cancelled yet. The step tries again.",
                about="temporal",
            ) from error
        return True
