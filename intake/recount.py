"""People change: open gates look again whether enough of them can decide. No gate waits in silence."""

import logging
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from temporalio.client import Client
from temporalio.service import RPCError

from store import absences, tasks
from store import people as persons
from store.database import Database
from workflows.models import Act, Action, Actor

log = logging.getLogger(__name__)

BACK = timedelta(hours=1)
"""How far a worker looks back for absences that began while none ran."""
MOST = 1_000
"""Gates that look again at once."""


class Recounter:
    """Tells gates whose candidates have changed."""

    def __init__(self, database: Database, client: Client) -> None:
        self._database, self._client = database, client
        self._looked = datetime.now(UTC) - BACK

    async def look(self) -> int:
        """Read what has changed of people since the last time, and tell the open gates it may concern: how many."""
        now = datetime.now(UTC)
        async with self._database.read() as conn:
            position, names = await persons.changed(conn)
            gone = await absences.begun(conn, self._looked, now)
            names |= await persons.names_of(conn, gone)
            found = await tasks.asked_of(conn, names, limit=MOST)
        for task_id, workflow_id in found:
            action = Action(
                id=f"recount-{uuid4().hex}",
                task_id=task_id,
                act=Act.RECOUNT,
                by=Actor(id="holdgate"),
                via="worker",
                at=now,
            )
            try:
                await self._client.get_workflow_handle(workflow_id).signal("submit_action", action)
            except RPCError as error:  # the case has ended, or the server is away: the gate counts at its next event
                log.info("gate %s could not be told that people changed: %s", task_id, error.message)
        async with self._database.write() as conn:
            await persons.seen(conn, position)
        self._looked = now
        return len(found)
