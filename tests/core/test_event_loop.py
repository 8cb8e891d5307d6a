"""The event loop of the worker and the gateway."""

import asyncio
import sys

import pytest
import uvicorn

from core import event_loop


async def name(found: list[str]) -> None:
    found.append(type(asyncio.get_running_loop()).__module__.split(".")[0])


def test_the_worker_and_the_gateway_run_on_uvloop() -> None:
    pytest.importorskip("uvloop")
    found: list[str] = []
    event_loop.run(name(found))
    factory = uvicorn.Config("api.app:app").get_loop_factory()
    assert factory is not None
    loop = factory()
    assert found == ["uvloop"] and type(loop).__module__ == "uvloop"
    loop.close()


def test_on_a_platform_without_uvloop_the_loop_is_that_of_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    found: list[str] = []
    event_loop.run(name(found))
    assert found == ["asyncio"]
