"""Write messages that Workflows refused into the audit log, because Temporal does not store a refused Update.

The validator of an Update must not write, so an interceptor of the worker puts each refusal into a queue in memory, and
a job writes the refusals of the queue. A killed worker loses its queue: the refusals of the last second, or of the last
five seconds for messages of the gateway, which the gateway may have recorded itself.
"""

import time
from collections import Counter, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from pydantic_core import from_json
from temporalio import activity, workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    ExecuteWorkflowInput,
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

from activities.engine.foreign_activities import ForeignActivity
from domain.case import CaseEvent
from domain.erasure import ContentErased
from domain.refusals import Refusal, RefusalCode
from store.audit import audit_log, refusal_counts as counted
from store.cases import cases
from store.db.database import Database
from workflows.engine.refusal_failures import refusal_of_failure

WAITING = 10_000
"""The most refusals in the queue. If more refusals arrive before the next round, the oldest are lost."""
LISTED = 100
"""The most refused messages of one case that get an event each in the audit log.

Further refused messages are counted, and one event has their number.
"""
GATEWAY_HAS = 5.0
"""Seconds to wait before a refused message of the gateway is written, because the gateway usually records it first."""
QUIET = 60.0
"""Seconds without a further refused message after which the number of unlisted messages of a case is written."""
LOOK_BACK = timedelta(minutes=1)
"""How much older than the refusal the gateway's own event about it can be."""
LARGEST = 256 * 1024
"""The most bytes of a message whose sender is read. The sender of a longer message stays empty."""
CLAIM = 120


@dataclass(frozen=True)
class RefusedMessage:
    """One message that a Workflow refused, with the reason and the sender that the message names."""

    workflow_id: str
    """Empty for an activity without a Workflow."""
    message: str
    """The name of the message or of the activity."""
    via: str
    """How the message was sent: `update` or `signal`; `temporal` for a message without a valid signature."""
    code: RefusalCode
    told: str
    at: datetime
    claimed: str
    """The id of the sender that the message names. Nobody has verified this id."""
    message_id: str
    from_gateway: bool
    """True if the message has an id in the gateway's form, so that the gateway probably records the refusal."""
    since: float
    task_id: str = ""


class Refusals(Interceptor):
    """The interceptor of a worker that collects refused messages and activities, and the job that writes them into the
    audit log.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: deque[RefusedMessage] = deque(maxlen=WAITING)
        self._uncounted: dict[str, tuple[Counter[str], datetime, float]] = {}
        """By case: the refused messages that got no event of their own.

        Each value holds the number of messages by their name, then the time of the last message in UTC and in monotonic
        seconds.
        """

    def workflow_interceptor_class(self, _input: WorkflowInterceptorClassInput) -> type[WorkflowInboundInterceptor]:
        """Return the interceptor class. The SDK calls this method once for each worker."""
        queue = self._queue

        class Gathering(WorkflowInboundInterceptor):
            def handle_update_validator(self, input: HandleUpdateInput) -> None:
                try:
                    super().handle_update_validator(input)
                except Exception as no:
                    queue.append(_of_update(input, no))
                    raise

            async def handle_signal(self, input: HandleSignalInput) -> None:
                await super().handle_signal(input)
                self._gather(input.args)

            async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:
                result = await super().execute_workflow(input)
                self._gather([])  # orders in the start input
                return result

            def _gather(self, args: Sequence[Any]) -> None:
                # Workflows without their own audit log leave their refusals to the worker.
                left = getattr(workflow.instance(), "refused", None)
                while left:
                    name, refusal = left.pop(0)
                    if not workflow.unsafe.is_replaying():
                        queue.append(_of_signal(name, args, refusal))

        return Gathering

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return an interceptor that collects refused activities. The SDK calls this method once for each worker."""
        queue = self._queue

        class Gathering(ActivityInboundInterceptor):
            async def execute_activity(self, input: ExecuteActivityInput) -> Any:
                try:
                    return await super().execute_activity(input)
                except ForeignActivity as no:
                    queue.append(_of_activity(no.message))
                    raise

        return Gathering(next)

    async def look(self) -> int:
        """Write the collected refusals that the gateway does not record itself. Return the number of written events."""
        return await self._write(time.monotonic() - GATEWAY_HAS, time.monotonic() - QUIET)

    async def finish(self) -> int:
        """Write all collected refusals, when the worker stops. Return the number of written events."""
        return await self._write(float("inf"), float("inf"))

    async def _write(self, gateway_has: float, quiet: float) -> int:
        held: list[RefusedMessage] = []
        ready: list[RefusedMessage] = []
        while self._queue:
            each = self._queue.popleft()
            (held if each.from_gateway and each.since > gateway_has else ready).append(each)
        try:
            count = 0
            for workflow_id in dict.fromkeys(each.workflow_id for each in ready):
                count += await self._of(workflow_id, [each for each in ready if each.workflow_id == workflow_id])
                ready = [each for each in ready if each.workflow_id != workflow_id]
            return count + await self._counted(quiet)
        finally:  # refusals that could not be written are tried again
            self._queue.extendleft(reversed(held + ready))

    async def _of(self, workflow_id: str, refused: Sequence[RefusedMessage]) -> int:
        """Write the refusals of one Workflow. Return the number of written events."""
        async with self._database.write() as conn:
            case = await cases.of_workflow(conn, workflow_id)
            case_id = case.case_id if case and case.erased_at is None else ""  # an erased case takes no more events
            since = min(each.at for each in refused) - LOOK_BACK
            known = (
                await audit_log.recent(conn, case_id, ("decision_refused", "action_refused"), since) if case_id else []
            )
            # The gateway uses `decision_id` for both; a case that gets an action by Signal also uses `action_id`.
            has = {event.data.get(name) for event in known for name in ("decision_id", "action_id")}
            new = [each for each in refused if not (each.from_gateway and each.message_id in has)]
            # The gateway sends these messages again, in the second case after the person has confirmed the decision.
            again = (RefusalCode.NOT_READY, RefusalCode.CONFIRM_NEEDED)
            new = [each for each in new if not (each.from_gateway and each.code in again)]
            # The gateway only counts these, so it writes no event for each.
            new = [
                each
                for each in new
                if not (each.from_gateway and await counted.counted_only(conn, each.claimed, each.task_id))
            ]
            left = LISTED - await audit_log.count(conn, case_id, "message_refused") if new else 0
            listed = new[: max(left, 0)]
            if listed:
                await audit_log.append(conn, [_event(case_id, each) for each in listed])
        for each in new[len(listed) :]:
            counter, _, _ = self._uncounted.get(case_id, (Counter(), each.at, 0.0))
            counter[each.message] += 1
            self._uncounted[case_id] = (counter, each.at, time.monotonic())
        return len(listed)

    async def _counted(self, quiet: float) -> int:
        """For each case without a refusal since the monotonic time `quiet`, write the number of unlisted refusals.

        Return the number of written events.
        """
        over = [case_id for case_id, (_, _, last) in self._uncounted.items() if last <= quiet]
        for case_id in over:
            counter, at, _ = self._uncounted[case_id]
            event = CaseEvent(
                event_id=f"refusal/{uuid4()}",
                case_id=case_id,
                at=at,
                kind="messages_counted",
                actor="temporal",
                summary=f"{counter.total()} more messages were refused",
                data={"count": counter.total(), "messages": dict(counter.most_common(20))},
            )
            with suppress(ContentErased):  # an erased case takes no more events
                async with self._database.write() as conn:
                    await audit_log.append(conn, [event])
            del self._uncounted[case_id]
        return len(over)


def _event(case_id: str, refused: RefusedMessage) -> CaseEvent:
    where = "" if case_id or not refused.workflow_id else f" to {refused.workflow_id}"
    return CaseEvent(
        event_id=f"refusal/{uuid4()}",
        case_id=case_id,
        at=refused.at,
        kind="message_refused",
        actor="temporal",
        summary=f"A message{where} was refused: {refused.told}",
        data={
            "message": refused.message,
            "via": refused.via,
            "code": refused.code.value,
            "reason": refused.told,
            "claimed": refused.claimed,
            "message_id": refused.message_id,
            **({} if case_id else {"workflow_id": refused.workflow_id}),
        },
    )


def _of_update(input: HandleUpdateInput, no: Exception) -> RefusedMessage:
    said = _said(input.args)
    named = str(said.get("id") or "")
    refusal = refusal_of_failure(no) if isinstance(no, ApplicationError) else None
    # Of an unexpected exception only the type is kept, as its text can be about people.
    refusal = refusal or Refusal(
        RefusalCode.UNFORESEEN,
        f"This message cannot be carried out, for an unexpected reason ({type(no).__name__}). Tell an operator.",
    )
    # A gateway signs its messages, so a message without a valid signature only pretends to come from a gateway.
    from_gateway = bool(named) and named == input.id and refusal.code is not RefusalCode.UNSIGNED
    return _refused(input.update, "update", refusal, said, input.id, from_gateway=from_gateway)


def _of_signal(name: str, args: Sequence[Any], refusal: Refusal) -> RefusedMessage:
    said = _said(args)
    return _refused(name, "signal", refusal, said, str(said.get("id") or ""), from_gateway=False)


def _of_activity(told: str) -> RefusedMessage:
    """Return the refusal of an activity that no Workflow of Holdgate has started."""
    info = activity.info()
    return RefusedMessage(
        workflow_id=info.workflow_id or "",
        message=info.activity_type[:CLAIM],
        via="temporal",
        code=RefusalCode.UNSIGNED,
        told=told,
        at=datetime.now(UTC),
        claimed="",
        message_id=info.activity_id[:CLAIM],
        from_gateway=False,
        since=time.monotonic(),
    )


def _refused(
    name: str, via: str, refusal: Refusal, said: dict[str, Any], message_id: str, *, from_gateway: bool
) -> RefusedMessage:
    by = said.get("by")
    claimed = by.get("id") if isinstance(by, dict) else by
    return RefusedMessage(
        workflow_id=workflow.info().workflow_id,
        message=name[:CLAIM],
        via="temporal" if refusal.code is RefusalCode.UNSIGNED else via,
        code=refusal.code,
        told=refusal.message[:1000],
        at=workflow.now(),
        claimed=claimed[:CLAIM] if isinstance(claimed, str) else "",
        message_id=message_id[:CLAIM],
        from_gateway=from_gateway,
        since=time.monotonic(),
        task_id=task_id[:CLAIM] if isinstance(task_id := said.get("task_id"), str) else "",
    )


def _said(args: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a message as a dictionary; empty if the message is not JSON or too large."""
    for each in args:
        if isinstance(each, RawValue) and len(each.payload.data) <= LARGEST:
            try:
                said = from_json(each.payload.data)
            except ValueError:
                continue
            if isinstance(said, dict):
                return said
    return {}
