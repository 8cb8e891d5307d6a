"""The Workflow of the bare engine and its steps. With `BARE_LOCAL=1`, the steps, too, are local activities."""

import os
from datetime import timedelta

from temporalio import activity, workflow

with workflow.unsafe.imports_passed_through():
    from scripts.bench.bare.counters import AT_GATE, ENDED, Counters
    from scripts.bench.bare.transactions import Transactions

QUEUE = "bare"
SOON = timedelta(seconds=10)
LOCAL = os.environ.get("BARE_LOCAL") == "1"


class Steps:
    """The activities: seven of one kind, as many as a payment has."""

    def __init__(self, counters: Counters, sql: Transactions | None) -> None:
        self._counters, self._sql = counters, sql

    @activity.defn
    async def step(self, number: int) -> int:
        """Do nothing but the SQL of this step, and count gates and ends."""
        if self._sql:
            self._sql.run(activity.info().workflow_id or "", str(number))
        if number == 4:
            self._counters.add(AT_GATE)
        if number == 7:
            self._counters.add(ENDED)
        return number


@workflow.defn(name="bare")
class Bare:
    """Two steps, two records, a decision, a record, a step and a record: as a payment with one gate."""

    def __init__(self) -> None:
        self.decided = False

    @workflow.run
    async def run(self) -> None:
        """Run the case."""
        for number in (1, 2):
            await self._step(number)
        for number in (3, 4):
            await self._record(number)
        await workflow.wait_condition(lambda: self.decided)
        await self._record(5)
        await self._step(6)
        await self._record(7)

    @workflow.update
    def decide(self) -> bool:
        """Accept the decision."""
        self.decided = True
        return True

    async def _step(self, number: int) -> None:
        if LOCAL:
            await self._record(number)
        else:
            await workflow.execute_activity_method(Steps.step, number, start_to_close_timeout=SOON)

    async def _record(self, number: int) -> None:
        await workflow.execute_local_activity_method(Steps.step, number, start_to_close_timeout=SOON)
