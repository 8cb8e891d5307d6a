"""Write the case record that comes with a local step before the step runs: one local activity instead of two."""

import asyncio
from typing import Any

from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.engine.records import NotRecorded, RecordStore
from domain.records import CaseRecord
from domain.step import StepCall


class RecordFirst(Interceptor):
    """Writes the case record in `StepCall.record_first`, and then runs the step without it."""

    def __init__(self, store: RecordStore) -> None:
        self._store = store

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """Return an interceptor around each activity."""
        return _Recording(next, self._store)


class _Recording(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, store: RecordStore) -> None:
        super().__init__(next)
        self._store = store

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        """Run the step if its record is written. Raises NotRecorded if it is not; the step has then not run."""
        call = input.args[0] if input.args else None
        if isinstance(call, StepCall) and call.record_first:
            await self._write(call.record_first)
            input.args = [call.model_copy(update={"record_first": ""}), *input.args[1:]]
        return await super().execute_activity(input)

    async def _write(self, record: str) -> None:
        try:
            written = await self._store.record(CaseRecord.model_validate_json(record))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            raise NotRecorded(f"The case record before the step was not written: {error}", permanent=True) from error
        if written.ended is not None:
            raise NotRecorded("The database has an end of this case, so the step did not run.", permanent=True)
