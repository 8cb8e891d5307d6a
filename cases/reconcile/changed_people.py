"""Check open tasks again after people change, so that no task waits without enough deciders."""

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
"""Cases that check their tasks at the same time. It is half of a worker's slots, so that decisions do not wait when
a manager joins or leaves and hundreds of cases are checked."""
CHUNK = 100
"""Tasks in one transaction. The others stay in SQL and come next."""
PATIENCE = timedelta(seconds=5)
LOOKS_S = 5.0
"""Seconds that a case gets for its check before the next case is told."""


class Recounter:
    """Tells Workflows whose candidates have changed. Open work is in SQL, so a crash of the worker loses nothing."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database, self._client = database, client

    async def look(self) -> int:
        """Find open tasks whose candidates may have changed, and tell their Workflows. Return the number of tasks."""
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
                log.warning(
                    "%d open tasks could not be told that people changed; the worker will try again", len(failed)
                )

    async def _tell(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Return the tasks whose Workflow has received the message, or has ended."""
        slots, answering = asyncio.Semaphore(AT_ONCE), True

        async def looked(handle: WorkflowHandle[Any, Any]) -> None:
            """Wait until the case has checked its tasks: it answers queries only afterwards.

            Returns at once where no worker answers.
            """
            nonlocal answering
            if not answering:
                return
            try:
                async with asyncio.timeout(LOOKS_S):
                    await handle.query("status")
            except TimeoutError:
                answering = False
            except (RPCError, RuntimeError, WorkflowQueryFailedError):
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
                except (RuntimeError, TimeoutError):  # no connection
                    return False
                await looked(handle)
                return True

        heard = await asyncio.gather(*(one(each) for each in wanted))
        return [each for each, had in zip(wanted, heard, strict=True) if had]
