"""The event loop of the worker and the gateway: uvloop, or the loop of asyncio on a platform without uvloop."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from importlib import import_module
from typing import Any


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a program until its end in uvloop, or in the loop of asyncio if uvloop is not installed.

    In all other respects this function works as `asyncio.run` does. uvicorn also runs the gateway in uvloop if uvloop
    is installed.
    """
    with asyncio.Runner(loop_factory=_factory()) as runner:
        runner.run(main)


def _factory() -> Any:
    """Return the function that makes an event loop; None for the loop of asyncio."""
    with suppress(ImportError):  # There is no uvloop for Windows.
        return import_module("uvloop").new_event_loop
    return None
