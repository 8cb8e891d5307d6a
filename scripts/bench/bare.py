"""The bare engine: a workflow of ten lines with as many activities as a payment, straight from the SDK.

A payment with one gate takes three steps, ordinary activities, and writes four records, local ones; so does this. Its
activities do nothing: what a payment does for its figures (SQL, ledger, record, policy) is what the ratio shows.
`python -m scripts.bench.bare ADDRESS` runs its worker.
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
    """As little as an activity can do."""
    return number


@workflow.defn(name="bare")
class Bare:
    """Two steps, a decision, a third."""

    def __init__(self) -> None:
        self.decided = self.waits = False

    @workflow.run
    async def run(self) -> None:
        """The ten lines."""
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
        """The decision."""
        self.decided = True
        return True

    @workflow.query
    def at_gate(self) -> bool:
        """Whether it waits."""
        return self.waits


async def main(address: str) -> None:
    """Work until killed."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    await Worker(client, task_queue=QUEUE, workflows=[Bare], activities=[nothing]).run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
