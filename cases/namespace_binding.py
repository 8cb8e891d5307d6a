"""Keep the Temporal namespace for one installation: programs of another installation do not start.

Two installations with one namespace would share its task queue: workers of the second one would run steps of cases of
the first one, and write their effects into their own database.

The open Workflow `holdgate:installation` marks the namespace. A program that starts or runs makes a missing mark.
Everybody who can write to the namespace can terminate the Workflow or start another one: docs/operate/namespace.md says
what follows.
"""

import asyncio
import logging
from contextlib import suppress

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from core.repeat import repeat
from core.settings import WrongSettings
from domain.installation import MARKER, MARKER_TASK_QUEUE, Installation, Mark, Standing, owner, standing
from domain.names import TASK_QUEUE
from store.audit import audit_log
from store.cases import batches, cases
from store.db import installation
from store.db.database import Database, DatabaseUnavailable

LOOK_EVERY = 10.0
"""Seconds between two checks while a program runs."""
RETRY_AFTER = 1.0
"""Seconds until the next check while Temporal or the database does not answer."""
FIRST_LOOK_S = 2.0
"""The most seconds that the start of a gateway waits for the first check."""
COMPARED = 50
"""How many running cases of a namespace without a mark are looked for in the database."""
CORRECT = (
    "Correct TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE or HOLDGATE_DATABASE_URL. To give the namespace to this "
    "installation: ./holdgate namespace bind"
)

log = logging.getLogger("holdgate.namespace")


class ForeignNamespace(WrongSettings):
    """Raised if the namespace belongs to another installation. The text names the two, and what to correct."""

    def __init__(self, facts: str) -> None:
        super().__init__(f"{facts}. {CORRECT}")
        self.facts = facts
        """The text without what to correct."""


class NamespaceBinding:
    """The namespace of a client, as it belongs to the installation of a database."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database
        self._own: Installation | None = None
        self._moved = ""
        self._held = False
        """True after the first check that found the namespace in order."""
        self.foreign: ForeignNamespace | None = None
        """Why the program must stop: the namespace belongs to another installation now. None if it does not."""
        self._lost = asyncio.Event()

    async def hold(self) -> None:
        """Check that the namespace belongs to this installation, and mark it if it has no mark.

        A program that has held the namespace before makes a missing mark again, whatever runs in the namespace.

        Raises ForeignNamespace; DatabaseUnavailable; RPCError or RuntimeError if Temporal does not answer.
        """
        own = await self._identity()
        while True:
            mark = await mark_of(self._client)
            strangers = await self._strangers() if mark is None and not self._held else []
            match standing(own, mark, strangers=bool(strangers)):
                case Standing.OURS:
                    self._held = True
                    return self._say_if_moved(own, mark)
                case Standing.FOREIGN:
                    raise ForeignNamespace(self._refusal(own, mark, strangers))
                case Standing.FREE:
                    with suppress(WorkflowAlreadyStartedError):  # another program was faster: look who it was
                        await self._mark(own, mark, by=audit_log.ENGINE)

    async def hold_when_reachable(self) -> None:
        """Do what `hold` does, as soon as Temporal and the database answer. Raises ForeignNamespace."""
        while True:
            try:
                return await self.hold()
            except (DatabaseUnavailable, RPCError, RuntimeError) as error:
                log.warning("waiting until the namespace can be checked: %s", error)
                await asyncio.sleep(RETRY_AFTER)

    async def hold_soon(self) -> None:
        """Do what `hold` does, unless Temporal or the database does not answer: `watch` tries again.

        If the namespace is foreign, `foreign` says why.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._look()

    async def watch(self) -> None:
        """Check again and again, and return when the namespace belongs to another installation."""

        async def step() -> bool:
            await self._look()
            return False

        await repeat(
            step,
            lambda _: LOOK_EVERY if self._held else RETRY_AFTER,
            "the namespace could not be checked",
            log=log,
            over=self._lost,
        )

    async def bind(self, by: str) -> None:
        """Give the namespace to this installation, also if another one has it.

        Programs of the other installation stop at their next check. Raises as `hold` does, but never ForeignNamespace.
        """
        await self._mark(await self._identity(), await mark_of(self._client), by=by, take=True)

    async def _look(self) -> None:
        try:
            await self.hold()
        except ForeignNamespace as foreign:
            self.foreign = foreign
            self._lost.set()
        except (DatabaseUnavailable, RPCError, RuntimeError) as error:
            log.debug("the namespace cannot be checked now: %s", error)

    async def _identity(self) -> Installation:
        if self._own is None:
            self._own = await installation.read(self._database)
        return self._own

    async def _strangers(self) -> list[str]:
        """Return running cases and imports of the namespace that the database does not have."""
        query = f'ExecutionStatus = "Running" AND TaskQueue = "{TASK_QUEUE}"'
        running = [each.id async for each in self._client.list_workflows(query, limit=COMPARED)]
        async with self._database.read() as conn:
            return [
                workflow_id
                for workflow_id in running
                if await cases.of_workflow(conn, workflow_id) is None
                and await batches.get(conn, workflow_id.removeprefix("batch:").partition("~")[0]) is None
            ]

    async def _mark(self, own: Installation, before: Mark | None, *, by: str, take: bool = False) -> None:
        """Start the Workflow that marks the namespace. Raises WorkflowAlreadyStartedError, unless `take` is set."""
        conflict = WorkflowIDConflictPolicy.TERMINATE_EXISTING if take else WorkflowIDConflictPolicy.FAIL
        await self._client.start_workflow(
            "installation",
            id=MARKER,
            task_queue=MARKER_TASK_QUEUE,
            id_conflict_policy=conflict,
            memo=own.model_dump(),
            static_summary=f"This namespace belongs to the Holdgate installation {own.id}. Do not terminate.",
        )
        had = owner(before)
        level = logging.WARNING if before or self._held else logging.INFO
        log.log(level, "the namespace %s belongs to %s now; before: %s", self._client.namespace, own, had)
        summary = f"The Temporal namespace {self._client.namespace} belongs to this installation now"
        data = {"namespace": self._client.namespace, "installation": own.id, "database": own.database, "before": had}
        with suppress(DatabaseUnavailable):  # the log has the line above
            async with self._database.write() as conn:
                await audit_log.note(conn, "namespace_bound", by=by, summary=summary, data=data)

    def _say_if_moved(self, own: Installation, mark: Mark | None) -> None:
        """Warn, once, if the mark names another place of the database: a copy of a database has the same id."""
        place = mark.installation.database if mark and mark.installation else ""
        if place not in (own.database, self._moved):
            log.warning(
                "the database %s has the id of the database %s, to which the namespace belongs. If both are in use, "
                "stop one of them",
                own.database,
                place,
            )
            self._moved = place

    def _refusal(self, own: Installation, mark: Mark | None, strangers: list[str]) -> str:
        config = self._client.service_client.config
        where = f"the Temporal namespace {self._client.namespace} at {config.target_host}"
        if mark is None:
            some = ", ".join(strangers[:3])
            return f"{where} has running cases that are not in the database of this {own}: {some}"
        return f"{where} belongs to {owner(mark)}, and not to this {own}"


async def mark_of(client: Client) -> Mark | None:
    """Return the mark of the namespace; None if it has none. Raises RPCError."""
    try:
        found = await client.get_workflow_handle(MARKER).describe()
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    return Mark(installation=await _named(found), open=found.status is WorkflowExecutionStatus.RUNNING)


async def _named(found: WorkflowExecutionDescription) -> Installation | None:
    try:
        return Installation.model_validate(await found.memo())
    except Exception:  # a memo can hold anything, in any encoding
        return None
