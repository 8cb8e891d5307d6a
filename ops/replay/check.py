"""Replay the histories of open cases with the code of this checkout, by the SDK's Replayer. No step is executed."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager

from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.converter import WorkflowSerializationContext
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer

from cases.payload_encryption import PayloadEncryption
from core.errors import Mistake, PayloadsUnreadable
from core.settings import Settings
from core.temporal import TemporalUnreachable, address, connect
from domain.ids import payload_subject
from domain.names import TASK_QUEUE
from ops.replay.explain import Report, difference_of, dropped_signal, unknown_process, unreadable
from store.cases.case_keys import CaseKeys
from store.db.database import Database, DatabaseUnavailable
from workflows.registry import workflows
from workflows.sandbox import workflow_runner

FETCHED_AHEAD = 4
"""How many histories are fetched while one is replayed. This number limits the memory, however many cases there are."""
DROPPED = "Failed deserializing signal input for "
"""How the log lines of `read_messages.py` and the SDK begin that report a signal which does not fit its model.

In a worker, these lines are written only outside a replay.
"""
ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
}


async def check(
    settings: Settings,
    process: str | None,
    cases: Sequence[str],
    limit: int | None,
    progress: Callable[[int, int], None],
) -> Report:
    """Replay open cases, or the cases with the ids in `cases`, with the Workflows of this checkout.

    Raises TemporalUnreachable, Mistake.
    """
    database = Database(settings.database_url)
    encryption = PayloadEncryption(database, settings.payload_keys)
    try:
        await _check_keys(encryption)
        # The SDK's core prints each failure with all its parts to the terminal, unless it logs nothing at all.
        client = await connect(settings, keys=encryption.keys, runtime=Runtime(telemetry=TelemetryConfig(logging=None)))
        return await replayed(client, workflows(), process=process, cases=cases, limit=limit, progress=progress)
    except RPCError as error:
        raise TemporalUnreachable(
            f"Temporal at {address(settings)} did not return the cases: {error.message}. "
            "Check the namespace and your access, then run the command again"
        ) from error
    finally:
        await database.close()


async def _check_keys(encryption: PayloadEncryption) -> None:
    """Raise WrongEncryption, or DatabaseUnavailable if payloads are encrypted. Plain payloads need no database."""
    try:
        await encryption.check(begin=False)
    except DatabaseUnavailable:
        if encryption.keys is not None:
            raise


async def replayed(
    client: Client,
    known: Mapping[str, type],
    *,
    process: str | None = None,
    cases: Sequence[str] = (),
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Replay cases with the Workflow classes in `known`, by name. Cases that close in the meantime are left out.

    Raises RPCError, and Mistake for an unknown process or case id.
    """
    if process is not None and process not in known:
        raise Mistake(f"this code has no process '{process}'; it has {', '.join(sorted(known))}")
    # By queue and not by type: cases of a process that this code no longer has would reach its worker all the same.
    query = f'ExecutionStatus = "Running" AND TaskQueue = "{TASK_QUEUE}"'
    query += f' AND WorkflowType = "{process}"' if process else ""
    total = len(cases) or (await client.count_workflows(query)).count
    executions = _named(client, cases) if cases else client.list_workflows(query, limit=limit)
    report = Report()

    async def to_replay() -> AsyncIterator[WorkflowHistory]:
        async for execution, history in _fetched(client, executions):
            if history is None or (not cases and history.events[-1].event_type in ENDS):
                report.closed_meanwhile += 1
                continue
            report.checked += 1
            progress(report.checked, min(total, limit or total))
            if why := await _unreadable(client, execution.id):
                report.differences.append(unreadable(execution.id, execution.workflow_type, why))
            elif execution.workflow_type not in known:
                report.differences.append(unknown_process(execution.id, execution.workflow_type))
            elif any(each.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for each in history.events):
                yield history  # other Workflows have not begun, and the Replayer waits for their first task for ever

    replayer = Replayer(
        workflows=list(known.values()),
        namespace=client.namespace,
        data_converter=client.data_converter,
        workflow_runner=workflow_runner(),
        runtime=client.service_client.config.runtime,
    )
    async with AsyncExitStack() as stack:
        dropped = stack.enter_context(_dropped_signals())
        try:
            results = await stack.enter_async_context(replayer.workflow_replay_iterator(to_replay()))
        except RuntimeError as error:
            raise Mistake(f"the Workflows of this code cannot be loaded: {error.__cause__ or error}") from error
        async for result in results:  # one after the other, so that what was logged is about this history
            if result.replay_failure:
                context = WorkflowSerializationContext(client.namespace, result.history.workflow_id)
                converter = client.data_converter.with_context(context)
                report.differences.append(await difference_of(result.history, result.replay_failure, converter))
            elif dropped:
                report.differences.append(dropped_signal(result.history, *dropped[0]))
            dropped.clear()
    return report


async def _unreadable(client: Client, workflow_id: str) -> str:
    """Return why the history of a Workflow cannot be decrypted; empty if it can, or if it is plain."""
    keys, subject = CaseKeys.of(client), payload_subject(workflow_id)
    if keys is not None and subject is not None:
        try:
            await keys.key_of(subject, create=False)
        except PayloadsUnreadable as error:
            return str(error)
    return ""


@contextmanager
def _dropped_signals() -> Iterator[list[tuple[str, str]]]:
    """Yield a list to which dropped signals are added, each with the reason. Do not show the SDK's log in the terminal.

    A Workflow goes on without a signal that it cannot read, so the Replayer does not report the signal.
    """
    dropped: list[tuple[str, str]] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text.startswith(DROPPED) and record.exc_info and (error := record.exc_info[1]):
                dropped.append((text.removeprefix(DROPPED).split()[0], str(error.__cause__ or error)))

    logger, listener = logging.getLogger("temporalio"), Listener()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(listener)
    try:
        yield dropped
    finally:
        logger.removeHandler(listener)
        logger.propagate = propagate


async def _named(client: Client, cases: Sequence[str]) -> AsyncIterator[WorkflowExecution]:
    for case_id in cases:
        try:
            yield await client.get_workflow_handle(case_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise Mistake(f"Temporal knows no case '{case_id}'; ids of cases look like payment:inv-1042") from error


async def _fetched(
    client: Client, executions: AsyncIterator[WorkflowExecution]
) -> AsyncIterator[tuple[WorkflowExecution, WorkflowHistory | None]]:
    """Yield the history of each execution in order; None for an execution that Temporal no longer has."""

    async def fetch(execution: WorkflowExecution) -> tuple[WorkflowExecution, WorkflowHistory | None]:
        try:
            handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
            return execution, await handle.fetch_history()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            return execution, None

    ahead: deque[asyncio.Task[tuple[WorkflowExecution, WorkflowHistory | None]]] = deque()
    try:
        async for execution in executions:
            ahead.append(asyncio.create_task(fetch(execution)))
            if len(ahead) > FETCHED_AHEAD:
                yield await ahead.popleft()
        while ahead:
            yield await ahead.popleft()
    finally:
        for task in ahead:
            task.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)
