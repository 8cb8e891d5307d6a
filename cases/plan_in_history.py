"""Find the undos of a case in the history of its Workflow alone, without running the Workflow's code."""

from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from domain.step import StepCall
from domain.undo import PlannedUndo


async def plan_in_history(client: Client, workflow_id: str) -> list[PlannedUndo]:
    """Return the undos of the steps, other than local steps, that began and were not undone, in the order of the steps.

    A step that began but had no effect is included: its undo finds nothing, and stores the step's key so that the step
    can no longer take effect. The list is empty if Temporal does not know the Workflow. Raises PayloadErased and
    PayloadKeyMissing.
    """
    converter = client.data_converter.with_context(WorkflowSerializationContext(client.namespace, workflow_id))
    planned: dict[str, PlannedUndo] = {}
    doing: dict[int, str] = {}
    undoing: dict[int, str] = {}
    try:
        async for event in client.get_workflow_handle(workflow_id).fetch_history_events():
            if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
                scheduled = event.activity_task_scheduled_event_attributes
                call = await _call(converter, scheduled.input.payloads)
                if call is None:
                    continue
                if call.undoes is not None:
                    undoing[event.event_id] = call.undoes
                elif call.undo is not None:
                    doing[event.event_id] = call.key
                    planned[call.key] = _planned(scheduled.activity_type.name, call.undo, call)
            elif event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
                scheduled_at = event.activity_task_completed_event_attributes.scheduled_event_id
                planned.pop(undoing.get(scheduled_at, ""), None)
                if (key := doing.get(scheduled_at, "")) in planned:
                    planned[key] = planned[key].model_copy(update={"done": True})
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
    return list(planned.values())


async def _call(converter: DataConverter, payloads: Any) -> StepCall[Any] | None:
    with suppress(ValidationError, RuntimeError, ValueError):
        (call,) = await converter.decode(payloads, [StepCall[Any]])
        return call if isinstance(call, StepCall) else None
    return None


def _planned(step: str, undo: str, call: StepCall[Any]) -> PlannedUndo:
    undo_call = call.model_copy(update={"key": f"{call.key}/undo", "undoes": call.key, "undo": None, "uses": None})
    return PlannedUndo(
        step=step, undo=undo, summary=undo.replace("_", " ").capitalize(), call=undo_call, uses=call.uses
    )
