"""The client of the bare programs."""

import asyncio
import os

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter


async def connect() -> Client:
    """Return a client of the server. Wait about 30 s for a server that is starting. Raises SystemExit after that."""
    for _ in range(300):
        try:
            return await Client.connect(os.environ["BARE_TEMPORAL"], data_converter=pydantic_data_converter)
        except RuntimeError:
            await asyncio.sleep(0.1)
    raise SystemExit(f"no Temporal server answers at {os.environ['BARE_TEMPORAL']} (BARE_TEMPORAL)")
