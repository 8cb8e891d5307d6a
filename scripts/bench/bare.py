"""The bare engine, for comparison: a Workflow of ten lines with as many activities as a payment, without Holdgate.

A payment with one gate runs three ordinary activities (its steps) and four local activities (which write records). The
Workflow here runs as many activities, but they do nothing. So the ratio of both times shows the cost of a payment's
SQL, ledger, records and policy. `python -m scripts.bench.bare ADDRESS` runs the worker of this Workflow.
"""

import asyncio
import sys
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

QUEUE = "bare"
SOON = timedelta(seconds=10)


@activity.defn
async def nothing(number: int) -> int:
    """Do nothing: the smallest possible activity."""
    return number


@workflow.defn(name="bare")
class Bare:
    """The Workflow: two steps, a decision, and a third step."""

    def __init__(self) -> None:
        self.decided = self.waits = False

    @workflow.run
    async def run(self) -> None:
        """Run two steps, wait for the decision, run the third step."""
        for number in (1, 2):
            await workflow.execute_activity(nothing, number, start_to_close_timeout=SOON)
        for number in (3, 4):
            await workflow.execute_local_activity(nothing, number, start_to_close_timeout=SOON)
        self.waits = True
        await workflow.wait_condition(lambda: self.decided)
        await workflow.execute_local_activity(nothing, 5, start_to_close_timeout=SOON)
        await workflow.execute_activity(nothing, 6, start_to_close_timeout=SOON)
        await workflow.execute_local_activity(nothing, 7, start_to_close_timeout=SOON)

    @workflow.update
    def decide(self) -> bool:
        """Accept the decision, so that the Workflow continues."""
        self.decided = True
        return True

    @workflow.query
    def at_gate(self) -> bool:
        """Return True while the Workflow waits for the decision."""
        return self.waits


async def main(address: str) -> None:
    """Run the worker of the bare engine, with the Temporal server at this address, until the process is killed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Worker(client, task_queue=QUEUE, workflows=[Bare], activities=[nothing]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
