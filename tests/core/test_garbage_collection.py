"""Gateway and worker import without garbage collection, and run with it."""

import gc
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from temporalio.runtime import Runtime

import worker
from api import __main__ as gateway
from core import event_loop
from core.settings import load


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.disable()  # as when the program starts
    yield
    gc.enable()


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load(var=tmp_path, database_url=f"sqlite:///{tmp_path}/holdgate.db")
    for program in (gateway, worker):
        monkeypatch.setattr(program, "load", lambda: found)
        monkeypatch.setattr(program.logs, "configure", lambda *_, **__: None)
        monkeypatch.setattr(program.logs, "take_uncaught", lambda: None)
    monkeypatch.setattr(Runtime, "set_default", lambda _: None)


def test_the_gateway_serves_with_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(gateway, "create_app", lambda _: None)
    monkeypatch.setattr(gateway, "start_template", lambda: None)
    monkeypatch.setattr(gateway, "own_key", lambda *_: None)
    monkeypatch.setattr("core.loopback.bound", lambda _: [])
    monkeypatch.setattr(uvicorn.Server, "run", lambda *_: seen.append(gc.isenabled()))
    monkeypatch.setattr(gateway.Server, "__init__", lambda server, *_, **__: setattr(server, "started", True))
    monkeypatch.setattr(gateway.Server, "must_stop", None)
    assert gateway.main() == 0
    assert seen == [True]


def test_the_worker_works_with_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []

    def run(main: Coroutine[Any, Any, None]) -> None:
        main.close()
        seen.append(gc.isenabled())

    monkeypatch.setattr(event_loop, "run", run)
    assert worker.run() == 0
    assert seen == [True]
