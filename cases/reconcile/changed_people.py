"""People change: open tasks look again whether enough of them can decide. No task waits in silence."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from domain.messages import Act, Action, Actor
from store.cases import recounts
from store.cases.recounts import Wanted
from store.db.database import Database

log = logging.getLogger(__name__)

AT_ONCE = 8
"""Cases that are told, and look again, at one time: half of what a worker does at once, so that people's decisions do
not wait behind hundreds of cases that look again when a manager comes or leaves."""
CHUNK = 100
"""Tasks taken in one transaction. Those behind them stay in SQL, and are taken next."""
PATIENCE = timedelta(seconds=5)
LOOKS_S = 5.0
"""How long a case is given to look again before the next is told."""


class Recounter:
    """Tells tasks whose people have changed. What is still to be told is in SQL, so nothing is lost with a worker."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database, self._client = database, client

    async def look(self) -> int:
        """Find all open tasks that changes of people may concern, and tell their Workflows: how many were told."""
        async with self._database.read() as conn:
            if not await recounts.is_news(conn, datetime.now(UTC)):
                return 0
        async with self._database.write() as conn:
            await recounts.gather(conn, datetime.now(UTC))
        count = 0
        while True:
            async with self._database.write() as conn:
                wanted = await recounts.take(conn, datetime.now(UTC), CHUNK)
            if not wanted:
                return count
            told = await self._tell(wanted)
            failed = [each for each in wanted if each not in told]
            async with self._database.write() as conn:
                await recounts.settle(conn, told, failed, datetime.now(UTC))
            count += len(told)
            if failed:
                log.warning("%d open tasks could not be told that people changed; they are told later", len(failed))

    async def _tell(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Those whose Workflow has the message now, or is there no more to need it."""
        slots, answering = asyncio.Semaphore(AT_ONCE), True

        async def looked(handle: WorkflowHandle[Any, Any]) -> None:
            """Wait until the case has looked: it answers nothing before. Not where no worker answers."""
            nonlocal answering
            if not answering:
                return
            try:
                async with asyncio.timeout(LOOKS_S):
                    await handle.query("status")
            except TimeoutError:
                answering = False
            except (RPCError, RuntimeError, WorkflowQueryFailedError):
                return  # it has ended, or cannot answer: it was told all the same

        async def one(each: Wanted) -> bool:
            async with slots:
                action = Action(
                    id=f"recount-{uuid4().hex}",
                    task_id=each.task_id,
                    act=Act.RECOUNT,
                    by=Actor(id="holdgate"),
                    via="worker",
                    at=datetime.now(UTC),
                )
                try:
                    handle = self._client.get_workflow_handle(each.workflow_id)
                    await handle.signal("submit_action", action, rpc_timeout=PATIENCE)
                except RPCError as error:
                    return error.status is RPCStatusCode.NOT_FOUND  # it has ended, and its tasks with it
                except (RuntimeError, TimeoutError):  # no connection
                    return False
                await looked(handle)
                return True

        heard = await asyncio.gather(*(one(each) for each in wanted))
        return [each for each, had in zip(wanted, heard, strict=True) if had]
