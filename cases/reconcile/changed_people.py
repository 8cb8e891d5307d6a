"""Ask open cases to check who can decide their tasks after people change, so that no task waits without deciders."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from core.errors import PayloadsUnreadable
from domain.messages import Act, Action, Actor
from store.cases import recounts
from store.cases.recounts import Wanted
from store.db.database import Database

log = logging.getLogger(__name__)

AT_ONCE = 8
"""The most cases that check their tasks at the same time: half of a worker's slots.

So decisions do not wait when a manager joins or leaves and hundreds of cases check their tasks.
"""
CHUNK = 100
"""The most tasks that one transaction takes. Further tasks stay in SQL for the next transaction."""
PATIENCE = timedelta(seconds=5)
LOOKS_S = 5.0
"""The most seconds to wait until a case has checked its tasks, before the next case gets the message."""


class Recounter:
    """Sends each Workflow whose deciders may have changed the message to check its tasks.

    The tasks still to be checked are stored in SQL, so a crash of the worker loses none of them.
    """

    def __init__(self, database: Database, client: Client) -> None:
        self._database, self._client = database, client

    async def look(self) -> int:
        """Find open tasks whose deciders may have changed, and send their Workflows the message to check the tasks.

        Return the number of tasks whose Workflow has received the message or has ended.
        """
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
                log.warning("%d open tasks could not be told that people changed; the worker tries again", len(failed))

    async def _tell(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return the tasks whose Workflow has received the message, or has ended."""
        slots, answering = asyncio.Semaphore(AT_ONCE), True

        async def looked(handle: WorkflowHandle[Any, Any]) -> None:
            """Wait at most `LOOKS_S` seconds until the case has checked its tasks.

            The case answers a query only after the check. If one query gets no answer in time, all later calls return
            at once.
            """
            nonlocal answering
            if not answering:
                return
            try:
                async with asyncio.timeout(LOOKS_S):
                    await handle.query("status")
            except TimeoutError:
                answering = False
            except (RPCError, RuntimeError, WorkflowQueryFailedError, PayloadsUnreadable):
                return  # the Workflow has ended or cannot answer, but has received the message

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
                    return error.status is RPCStatusCode.NOT_FOUND  # the Workflow has ended, and its tasks with it
                except (RuntimeError, TimeoutError, PayloadsUnreadable):  # no connection, or a missing key
                    return False
                await looked(handle)
                return True

        heard = await asyncio.gather(*(one(each) for each in wanted))
        return [each for each, had in zip(wanted, heard, strict=True) if had]
