"""The client of the bare programs."""

import asyncio
import os

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter


async def connect() -> Client:
    """Return a client of the server, which may still be starting."""
    for _ in range(300):
        try:
            return await Client.connect(os.environ["BARE_TEMPORAL"], data_converter=pydantic_data_converter)
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise SystemExit("no Temporal server answers")
