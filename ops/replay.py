"""Would the open cases go on with the code of this checkout? Their histories are replayed; nothing is executed.

The SDK's Replayer says whether a case goes on. Its message names half of a difference, and a gate never: to it all
gates are one local activity. So what the code asks for is watched and laid beside what the history holds. The first
pair that does not match is what people are told.
"""

import asyncio
import json
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, Literal, TypeAlias

from temporalio.api.common.v1 import Payload
from temporalio.api.enums.v1 import EventType
from temporalio.api.failure.v1 import Failure
from temporalio.api.history.v1 import HistoryEvent
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowExecution, WorkflowHistory
from temporalio.converter import DataConverter
from temporalio.runtime import Runtime, TelemetryConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import Replayer, WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner

from activities.engine.records import Records
from core.settings import Settings
from core.temporal import TemporalUnreachable, address, connect
from domain.moments import moment_text
from domain.names import TASK_QUEUE
from ops.remote import Unusable
from worker import workflows

FETCHED_AHEAD = 4
"""Histories that are fetched while one is replayed. No more are held, however many cases there are."""

Kind: TypeAlias = EventType.ValueType
COMMANDS: Mapping[str, Kind] = {
    "schedule_activity": EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
    "schedule_local_activity": EventType.EVENT_TYPE_MARKER_RECORDED,
    "start_timer": EventType.EVENT_TYPE_TIMER_STARTED,
    "upsert_workflow_search_attributes": EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    "modify_workflow_properties": EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
    "start_child_workflow_execution": EventType.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
    "signal_external_workflow_execution": EventType.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED,
    "complete_workflow_execution": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    "fail_workflow_execution": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    "cancel_workflow_execution": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    "continue_as_new_workflow_execution": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
}
"""What code asks for, and the event it becomes."""
CANCELS: Mapping[str, Kind] = {
    "cancel_timer": EventType.EVENT_TYPE_TIMER_CANCELED,
    "request_cancel_activity": EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED,
}
ANSWERS: Mapping[str, Kind] = {
    "accepted": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
    "completed": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED,
    "rejected": EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_REJECTED,
}
ASKED_FOR = {*COMMANDS.values(), *CANCELS.values(), *ANSWERS.values()}
ENDS = {
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED,
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT,
}
WORDS: Mapping[Kind, str] = {
    EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED: "step {}",
    EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED: "the cancellation of step {}",
    EventType.EVENT_TYPE_MARKER_RECORDED: "{}",
    EventType.EVENT_TYPE_TIMER_STARTED: "a timer",
    EventType.EVENT_TYPE_TIMER_CANCELED: "the end of a timer",
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES: "search attributes",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED: "update {}",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED: "the answer to an update",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_REJECTED: "a refusal of update {}",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED: "the end of the case",
    EventType.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: "a failure of the Workflow",
}

BOOKKEEPING = {
    EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
    EventType.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED,
}
"""What tells people little: the step, record or timer after it is named instead, if that differs too."""
GATE = Records.open_gate.__name__
RECORD = Records.record.__name__
UNDECODED = "Failed decoding arguments"
"""What the SDK says of a payload that does not fit; the cause says more."""
DROPPED = "Failed deserializing signal input"
"""What the SDK logs, and nothing else happens, when a signal's payload does not fit."""


@dataclass(frozen=True)
class Difference:
    """Why one case would not go on."""

    case_id: str
    process: str
    kind: Literal["order", "does_not_fit", "fails", "unknown_process"]
    words: str
    alike: str
    """The same without what only this case has: cases that differ in the same way have it in common."""
    event: int | None = None
    at: datetime | None = None
    message: str | None = None
    """What the SDK said."""


@dataclass
class Report:
    """What a look at many cases found."""

    checked: int = 0
    closed_meanwhile: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def alike(self) -> list[tuple[str, int]]:
        """Each way to differ that more than one case has, the commonest first."""
        ways = Counter(f"{each.process}: {each.alike}" for each in self.differences)
        return [(way, count) for way, count in ways.most_common() if count > 1]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "alike": [{"cases": count, "differ": way} for way, count in self.alike]}


async def check(
    settings: Settings,
    process: str | None,
    cases: Sequence[str],
    limit: int | None,
    progress: Callable[[int, int], None],
) -> Report:
    """Replay open cases, or those that are named, as the worker of this checkout would.

    Raises TemporalUnreachable, Unusable.
    """
    # The SDK's core prints each failure with all its parts to the terminal, unless it logs nothing at all.
    client = await connect(settings, runtime=Runtime(telemetry=TelemetryConfig(logging=None)))
    try:
        return await replayed(client, workflows(), process=process, cases=cases, limit=limit, progress=progress)
    except RPCError as error:
        raise TemporalUnreachable(f"Temporal at {address(settings)} does not answer this: {error.message}") from error


async def replayed(
    client: Client,
    known: Mapping[str, type],
    *,
    process: str | None = None,
    cases: Sequence[str] = (),
    limit: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """Replay cases with these Workflow classes, by name. Cases that close meanwhile are left out.

    Raises RPCError, and Unusable for a name that is not known.
    """
    if process is not None and process not in known:
        raise Unusable(f"this code has no process '{process}'; it has {', '.join(sorted(known))}")
    # By queue and not by type: what this code no longer knows would land at its worker all the same.
    query = f'ExecutionStatus = "Running" AND TaskQueue = "{TASK_QUEUE}"'
    query += f' AND WorkflowType = "{process}"' if process else ""
    total = len(cases) or (await client.count_workflows(query)).count
    executions = _named(client, cases) if cases else client.list_workflows(query, limit=limit)
    report, watch = Report(), _Watch()

    async def to_replay() -> AsyncIterator[WorkflowHistory]:
        async for execution, history in _fetched(client, executions):
            if history is None or (not cases and history.events[-1].event_type in ENDS):
                report.closed_meanwhile += 1
                continue
            report.checked += 1
            progress(report.checked, min(total, limit or total))
            if execution.workflow_type not in known:
                report.differences.append(_unknown(execution))
            elif any(each.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED for each in history.events):
                yield history  # others have not begun, and the Replayer would wait for ever

    replayer = Replayer(
        workflows=list(known.values()),
        data_converter=client.data_converter,
        workflow_runner=watch,
        runtime=client.service_client.config.runtime,
    )
    async with AsyncExitStack() as stack:
        stack.enter_context(watch.listening())
        try:
            results = await stack.enter_async_context(replayer.workflow_replay_iterator(to_replay()))
        except RuntimeError as error:
            raise Unusable(f"the Workflows of this code cannot be loaded: {error.__cause__ or error}") from error
        async for result in results:
            turns = watch.turns.pop(result.history.workflow_id, [])
            story = _Story(result.history, client.data_converter, turns, result.replay_failure)
            if difference := await story.difference():
                report.differences.append(difference)
    return report


async def _named(client: Client, cases: Sequence[str]) -> AsyncIterator[WorkflowExecution]:
    for case_id in cases:
        try:
            yield await client.get_workflow_handle(case_id).describe()
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise Unusable(f"Temporal knows no case '{case_id}'; its ids look like payment:inv-1042") from error


async def _fetched(
    client: Client, executions: AsyncIterator[WorkflowExecution]
) -> AsyncIterator[tuple[WorkflowExecution, WorkflowHistory | None]]:
    """The history of each, in order; None where it is gone."""

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


def _unknown(execution: WorkflowExecution) -> Difference:
    name = execution.workflow_type
    words = f"its process '{name}' does not exist in this code"
    return Difference(execution.id, name, "unknown_process", words, "does not exist in this code")


# --------------------------------------------------------------------------------------------- what the code asks for


@dataclass
class _Turn:
    """What the code was told, and what it asked for then."""

    told: WorkflowActivation
    asked: WorkflowActivationCompletion
    dropped: list[tuple[str, str]]
    """Signals whose payload does not fit, and why."""


@dataclass(frozen=True)
class _Watch(SandboxedWorkflowRunner):
    """Runs Workflows as a worker does, and remembers the turns of each."""

    turns: dict[str, list[_Turn]] = field(default_factory=dict)
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        instance = super().create_instance(det)
        activate, turns = instance.activate, self.turns.setdefault(det.info.workflow_id, [])

        def watched(act: WorkflowActivation) -> WorkflowActivationCompletion:
            self.dropped.clear()
            asked = activate(act)
            if not any(job.HasField("remove_from_cache") for job in act.jobs):
                turns.append(_Turn(act, asked, list(self.dropped)))
            return asked

        instance.activate = watched  # type: ignore[method-assign]
        return instance

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep the SDK's log from the terminal. Only there it says that it drops a signal."""
        dropped = self.dropped

        class Ear(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                said = record.getMessage()
                if said.startswith(DROPPED) and record.exc_info and (error := record.exc_info[1]):
                    dropped.append((said.removeprefix(f"{DROPPED} for ").split()[0], str(error.__cause__ or error)))

        logger, ear = logging.getLogger("temporalio"), Ear()
        propagate, logger.propagate = logger.propagate, False
        logger.addHandler(ear)
        try:
            yield
        finally:
            logger.removeHandler(ear)
            logger.propagate = propagate


# ------------------------------------------------------------------------------------------------------- differences


@dataclass(eq=False)
class _Move:
    """One thing that a Workflow does, as its history holds it or as the code asks for it."""

    kind: Kind
    name: str = ""
    gate: str | None = None
    summary: Payload | None = None
    event: HistoryEvent | None = None
    failure: Failure | None = None

    def like(self, other: "_Move", *, with_gate: bool = True) -> bool:
        same_gate = not with_gate or None in (self.gate, other.gate) or self.gate == other.gate
        return self.kind == other.kind and self.name == other.name and same_gate

    def __str__(self) -> str:
        if self.gate:
            return f"gate {self.gate}"
        if self.name == RECORD:
            return "a record"
        unnamed = EventType.Name(self.kind).removeprefix("EVENT_TYPE_").replace("_", " ").lower()
        return WORDS.get(self.kind, unnamed).format(self.name)


class _Story:
    """One case: what its history holds, what the code asked for, and what the Replayer said of it."""

    def __init__(
        self,
        history: WorkflowHistory,
        converter: DataConverter,
        turns: Sequence[_Turn],
        failure: Exception | None,
    ) -> None:
        self._history = history
        self._events = history.events
        self._converter = converter
        self._turns = turns
        self._message = _message(failure) if failure else None
        self._parts: tuple[_Move, _Move] | None = None
        """What both sides do where they part, bookkeeping left out."""
        self._begun: dict[int, _Move] = {}
        """Activities of the code by their number."""

    async def difference(self) -> Difference | None:
        """The first one; None for a case that goes on."""
        pair = await self._first_pair()
        if pair is not None:
            held, asked = pair
            if asked is not None and (self._agreed(held) or held.like(asked, with_gate=False)):
                if asked.failure is not None and (what := _misfit(asked.failure)):
                    return self._told("does_not_fit", f"{held} {what}", f"{held} {what}", held.event)
                held, asked = self._parts or (held, asked)
                return await self._another_order(
                    held, str(asked), f"would go on with {await self._in_words(asked)} instead"
                )
        return self._failing() or self._dropping() or await self._unexplained(pair)

    def _failing(self) -> Difference | None:
        """The code fails, so that its worker would try again for ever, or fails the Workflow."""
        for turn in self._turns:
            failures = [turn.asked.failed.failure] if turn.asked.HasField("failed") else []
            if self._events[-1].event_type not in ENDS:
                failures += [
                    command.fail_workflow_execution.failure
                    for command in turn.asked.successful.commands
                    if command.HasField("fail_workflow_execution")
                ]
            for failure in failures:
                what = _misfit(failure)
                said = f"what its history holds {what}" if what else f"this code fails: {_said(failure)}"
                said = f"{self._after(turn)}, {said}"
                return self._told("does_not_fit" if what else "fails", said, said, self._event_of(turn))
        return None

    def _dropping(self) -> Difference | None:
        """A signal is dropped for its payload. Where nothing follows from it, it always was."""
        if not self._turns or not (self._message or not self._turns[-1].told.is_replaying):
            return None
        for turn in self._turns:
            if turn.dropped and turn.told.history_length == self._turns[-1].told.history_length:
                name, text = turn.dropped[0]
                said = f"signal {name} {_misfit_of(text)}"
                return self._told("does_not_fit", said, said, self._event_of(turn))
        return None

    async def _unexplained(self, pair: "tuple[_Move, _Move | None] | None") -> Difference | None:
        """The Replayer is not content, and the two sides do not show why."""
        if self._message is None:
            return None
        if pair is not None and pair[1] is None and self._agreed(pair[0]):
            return await self._another_order(pair[0], "nothing", "would do nothing more")
        event = next((each for each in self._events if each.event_id == _event_id(self._message)), None)
        if event is not None and event.event_type in ASKED_FOR:
            return await self._another_order(await self._held(event), "something else", "would do something else")
        return self._told("fails", f"this code cannot replay it: {self._message}", self._message, event)

    def _agreed(self, held: _Move) -> bool:
        """Whether the Replayer stumbled, at this event if it says at which."""
        assert held.event is not None
        return self._message is not None and _event_id(self._message) in (None, held.event.event_id)

    async def _another_order(self, held: _Move, instead: str, code: str) -> Difference:
        said = f"its history goes on with {await self._in_words(held)}, and this code {code}"
        return self._told("order", said, f"{held} in the history, {instead} in this code", held.event)

    def _told(
        self,
        kind: Literal["order", "does_not_fit", "fails"],
        words: str,
        alike: str,
        event: HistoryEvent | None,
    ) -> Difference:
        at = event.event_time.ToDatetime(UTC) if event else None
        place = f"at event {event.event_id} ({moment_text(at)}) " if event and at else ""
        process = self._events[0].workflow_execution_started_event_attributes.workflow_type.name
        return Difference(
            case_id=self._history.workflow_id,
            process=process,
            kind=kind,
            words=place + words,
            alike=alike,
            event=event.event_id if event else None,
            at=at,
            message=self._message,
        )

    # ------------------------------------------------------------------------------------------ both sides, laid out

    async def _first_pair(self) -> tuple[_Move, _Move | None] | None:
        """The first event that the code did not ask for, and what it asked for instead."""
        held = [move for event in self._events if (move := await self._held(event)).kind in ASKED_FOR]
        held = [move for move in held if not _of_a_patch(move)]
        asked = await self._asked()
        for number, (one, other) in enumerate(zip_longest(held, asked)):
            if one is None:
                return None  # the code goes on from here
            if other is None or not one.like(other):
                first, instead = _telling(held[number:]), _telling(asked[number:])
                self._parts = (first, instead) if first and instead and not first.like(instead) else None
                return one, other
        return None

    async def _held(self, event: HistoryEvent) -> _Move:
        move = _Move(event.event_type, event=event)
        if event.user_metadata.HasField("summary"):
            move.summary = event.user_metadata.summary
        match event.event_type:
            case EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                move.name = event.activity_task_scheduled_event_attributes.activity_type.name
            case EventType.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
                scheduled = event.activity_task_cancel_requested_event_attributes.scheduled_event_id
                step = next(each for each in self._events if each.event_id == scheduled)
                move.name = step.activity_task_scheduled_event_attributes.activity_type.name
            case EventType.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
                move.name = event.workflow_execution_update_accepted_event_attributes.accepted_request.input.name
            case EventType.EVENT_TYPE_MARKER_RECORDED:
                marker = event.marker_recorded_event_attributes
                move.name = marker.marker_name
                if marker.marker_name == "core_local_activity":
                    move.name = json.loads(marker.details["data"].payloads[0].data)["activity_type"]
                if move.name == GATE:
                    move.gate = await self._gate(marker.details["result"].payloads, "event", "data", "gate")
        return move

    async def _asked(self) -> list[_Move]:
        """What the code asked for, in the order in which it becomes events."""
        moves: list[_Move] = []
        local: dict[int, _Move] = {}
        sent: dict[tuple[str, int], tuple[_Move, int]] = {}
        updates: dict[str, str] = {}
        for turn in self._turns:
            task = turn.told.history_length  # the turns of one workflow task have it in common
            for job in turn.told.jobs:
                if job.HasField("resolve_activity") and job.resolve_activity.seq in local:
                    moves.append(local.pop(job.resolve_activity.seq))  # its event is written when it has its result
                if job.HasField("do_update"):
                    updates[job.do_update.protocol_instance_id] = job.do_update.name
            for command in turn.asked.successful.commands:
                variant = command.WhichOneof("variant") or ""
                what = getattr(command, variant)
                move = _Move(COMMANDS.get(variant, EventType.EVENT_TYPE_UNSPECIFIED))
                if command.user_metadata.HasField("summary"):
                    move.summary = command.user_metadata.summary
                if variant == "schedule_local_activity":
                    move.name = what.activity_type
                    if move.name == GATE:
                        move.gate = await self._gate(what.arguments, "task", "gate")
                    local[what.seq] = self._begun[what.seq] = move
                elif variant == "schedule_activity":
                    move.name = what.activity_type
                    moves.append(move)
                    sent["activity", what.seq] = move, task
                    self._begun[what.seq] = move
                elif variant == "start_timer":
                    moves.append(move)
                    sent["timer", what.seq] = move, task
                elif variant in CANCELS:
                    begun, when = sent[variant.rpartition("_")[2], what.seq]
                    if when == task:
                        moves.remove(begun)  # neither has left the worker
                    else:
                        moves.append(_Move(CANCELS[variant], begun.name))
                elif variant == "update_response":
                    answer = what.WhichOneof("response")
                    named = answer != "completed"  # that event does not say of which
                    move = _Move(ANSWERS[answer], updates.get(what.protocol_instance_id, "") if named else "")
                    move.failure = what.rejected if answer == "rejected" else None
                    moves.append(move)
                elif variant in COMMANDS:
                    moves.append(move)
        return [*moves, *local.values()]

    async def _gate(self, payloads: Sequence[Payload], *path: str) -> str | None:
        """The name of a gate in what its activity got or answered; None, and it is not compared, in another shape."""
        try:
            found: Any = (await self._converter.decode(payloads))[0]
            for key in path:
                found = found[key]
        except (RuntimeError, ValueError, LookupError, TypeError):
            return None
        return found if isinstance(found, str) else None

    async def _in_words(self, move: _Move) -> str:
        """With its summary, which people know from the Web UI."""
        if move.summary is None or move.gate:
            return str(move)
        try:
            (summary,) = await self._converter.decode([move.summary])
        except (RuntimeError, ValueError):
            return str(move)
        return str(move) if summary == move.name else f'{move} ("{summary}")'

    def _after(self, turn: _Turn) -> str:
        """After what the code took this turn."""
        told = []
        for job in turn.told.jobs:
            match job.WhichOneof("variant"):
                case "initialize_workflow":
                    told.append("its start")
                case "resolve_activity":
                    told.append(str(self._begun.get(job.resolve_activity.seq, "a step")))
                case "do_update":
                    told.append(f"update {job.do_update.name}")
                case "signal_workflow":
                    told.append(f"signal {job.signal_workflow.signal_name}")
                case "fire_timer":
                    told.append("a timer")
                case "cancel_workflow":
                    told.append("its cancellation")
        return "after " + (", ".join(dict.fromkeys(told)) or "that")

    def _event_of(self, turn: _Turn) -> HistoryEvent:
        """Where the history was when the code took this turn."""
        return self._events[min(turn.told.history_length, len(self._events)) - 1]


def _telling(moves: Sequence[_Move]) -> _Move | None:
    return next((move for move in moves if move.kind not in BOOKKEEPING), None)


def _of_a_patch(move: _Move) -> bool:
    """What `workflow.patched` leaves in a history: the Replayer judges that, with rules of its own."""
    assert move.event is not None
    attributes = move.event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
    return move.name == "core_patch" or "TemporalChangeVersion" in attributes


def _event_id(message: str) -> int | None:
    found = re.search(r"\bHistoryEvent\b.*?\b(?:event_)?id: (\d+)", message)
    return int(found[1]) if found else None


def _message(failure: Exception) -> str:
    """What the SDK says of a failure, out of the structures that it prints around."""
    found = re.search(r'message: "((?:[^"\\]|\\.)*)"', str(failure))
    return re.sub(r"\\(.)", r"\1", found[1]) if found else str(failure)


def _said(failure: Failure) -> str:
    name = failure.application_failure_info.type
    return " ".join(f"{name}: {failure.message}".split()) if name else failure.message


def _misfit(failure: Failure) -> str | None:
    """Of a failure that is a payload which does not fit: what does not."""
    fits = failure.message != UNDECODED or not failure.HasField("cause")
    return None if fits else _misfit_of(failure.cause.message)


def _misfit_of(text: str) -> str:
    """Pydantic's words, without the values: they are people's."""
    model = re.search(r"validation errors? for (.+)", text)
    wrong = re.findall(r"^(\S.*)\n  (.+?) \[type=", text, re.MULTILINE)
    if not model or not wrong:
        return f"does not fit: {text.splitlines()[0] if text else 'no reason was given'}"
    return f"does not fit {model[1]}: " + "; ".join(f"{place}: {what}" for place, what in wrong)
