"""Refuse activities that no Workflow of Holdgate has started.

Anybody with write access to the Temporal namespace can start an activity without a Workflow (a standalone activity), or
from a Workflow of their own. Such an activity could carry out a step, or write any event, without a case.
"""

from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import Trouble
from domain.step import StepCall

LOCAL_ONLY = frozenset({"record", "open_gate", "rule_again", "count", "stored_plan", "verify_signature", "end_of_case"})
"""Activities that the engine runs only as local activities: inside the worker, which Temporal cannot ask for."""


class ForeignActivity(Trouble):
    """Raised if no Workflow of Holdgate has started an activity. The activity has not run."""


class RefuseForeign(Interceptor):
    """Refuses standalone activities, and the activities of the engine if another program asks for them."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return an interceptor around each activity."""
        return _Refusing(next)


class _Refusing(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the activity. Raises ForeignActivity."""
        info = activity.info()
        call = input.args[0] if input.args else None
        local = info.activity_type in LOCAL_ONLY or (isinstance(call, StepCall) and call.record_first)
        if info.workflow_id is None or (local and not info.is_local):
            said = f"No Workflow of Holdgate has started this activity ({info.activity_type}), so it does nothing."
            raise ForeignActivity(said, permanent=True)
        return await super().execute_activity(input)
