"""The worker of the bare engine: `python -m scripts.bench.bare.worker`, in the environment of `systems.Bare`."""

import asyncio
import os
from pathlib import Path

from temporalio.worker import Worker

from scripts.bench.bare.case import QUEUE, Bare, Steps
from scripts.bench.bare.connection import connect
from scripts.bench.bare.counters import Counters
from scripts.bench.bare.transactions import opened

CACHED_CASES = 400
"""Cases that the worker keeps in memory, as many as the worker of Holdgate."""


async def main() -> None:
    """Run the worker until it is stopped."""
    folder = Path(os.environ["BARE_FOLDER"])
    steps = Steps(Counters(folder / "counters"), opened(folder))
    client = await connect()
    worker = Worker(
        client, task_queue=QUEUE, workflows=[Bare], activities=[steps.step], max_cached_workflows=CACHED_CASES
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main())
