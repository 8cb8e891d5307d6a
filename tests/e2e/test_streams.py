"""Many listeners of one gateway, a real process: the delay of events, and the cost of a power cut."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.settings import Settings
from core.signing_keys import make_missing_keys
from store.db.database import Database
from store.people import people, tokens as access_tokens
from tests.store.sample_cases import opening, recorded, submitted, task
from tests.support.installed_app import ROOT, free_port

STRANGERS = 10


class Gateway:
    """A gateway on a database without a Temporal server: listening does not ask it."""

    def __init__(self, url: str, folder: Path) -> None:
        self.port = free_port()
        self._log = folder / "gateway.log"
        make_missing_keys(Settings(var=folder))
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("HOLDGATE_", "TEMPORAL_"))},
            "HOLDGATE_DATABASE_URL": url,
            "HOLDGATE_VAR": str(folder),
            "HOLDGATE_PORT": str(self.port),
            "HOLDGATE_TEMPORAL_PORT": str(free_port()),
        }
        make_missing_keys(Settings(var=folder))
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "cli", "api"]
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


@pytest.fixture
def gateway(sqlite_url: str, tmp_path: Path) -> Iterator[Gateway]:
    gateway = Gateway(sqlite_url, tmp_path)
    yield gateway
    gateway.kill()


class Listener:
    """Listens as a browser does: comes again when it is cut off, and says which event was the last."""

    def __init__(self, port: int, token: str) -> None:
        self._port, self._token = port, token
        self.place = ""
        self.connections = 0
        self.heard: list[tuple[str, float]] = []
        """Tasks, and when."""

    async def listen(self) -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                async for name, data in self._events():
                    assert name in ("task", "case"), name
                    if name == "task":
                        self.heard.append((data["task_id"], time.monotonic()))
            await asyncio.sleep(0.5)

    async def _events(self) -> AsyncIterator[tuple[str, dict[str, str]]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        headers = f"Host: 127.0.0.1:{self._port}\r\nAuthorization: Bearer {self._token}\r\n"
        headers += f"Last-Event-ID: {self.place}\r\n" if self.place else ""
        writer.write(f"GET /api/v1/events HTTP/1.1\r\n{headers}\r\n".encode())
        try:
            assert b" 200 " in await reader.readuntil(b"\r\n")
            await reader.readuntil(b"\r\n\r\n")
            self.connections += 1
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)  # of a piece: some events, or a comment
                piece = (await reader.readexactly(size + 2)).decode()
                for event in piece.split("\n\n"):
                    parts = dict(line.split(": ", 1) for line in event.strip().splitlines() if line[0] != ":")
                    if "data" in parts:
                        yield parts["event"], json.loads(parts["data"])
                    self.place = parts.get("id", self.place)
        finally:
            writer.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", [15, *(pytest.param(many, marks=pytest.mark.soak) for many in (50, 200))])
async def test_listeners_hear_within_two_seconds_and_miss_nothing_when_the_gateway_is_killed(
    gateway: Gateway, sqlite_url: str, count: int
) -> None:
    db = Database(sqlite_url)
    tokens = {}
    async with db.write() as conn:
        for name, groups in {"mia": ["managers"], "max": ["managers"], "ann": ["auditors"], "sam": []}.items():
            await people.add(conn, name, name, groups, by="admin-1")
            tokens[name] = await access_tokens.make(conn, name, "test", by="admin-1")
    named = ["sam" if n < STRANGERS else ("mia", "max", "ann")[n % 3] for n in range(count)]
    listeners = [Listener(gateway.port, tokens[name]) for name in named]
    listening = [asyncio.create_task(each.listen()) for each in listeners]

    async def all_of(times: int) -> None:
        async with asyncio.timeout(90):  # a gateway has to start first
            while any(each.connections < times or not each.place for each in listeners):
                assert not any(each.done() for each in listening), [each for each in listening if each.done()]
                await asyncio.sleep(0.02)

    async def opened(reference: str) -> str:
        view = task((await submitted(db, reference)).case_id)
        await recorded(db, opening(view))
        return view.task_id

    async def seen(*tasks: str) -> float:
        """When the last of them has heard of the last of these tasks; each of each once."""
        async with asyncio.timeout(30):
            while any(len(each.heard) < len(tasks) for each in listeners[STRANGERS:]):
                await asyncio.sleep(0.02)
        assert {tuple(name for name, _ in each.heard) for each in listeners[STRANGERS:]} == {tasks}
        assert not any(each.heard for each in listeners[:STRANGERS])
        return max(each.heard[-1][1] for each in listeners[STRANGERS:])

    try:
        await all_of(1)
        began = time.monotonic()
        first = await opened("INV-1")
        assert await seen(first) - began < 2
        gateway.kill()
        second = await opened("INV-2")
        gateway.start()
        await all_of(2)
        await seen(first, second)
        third = await opened("INV-3")
        began = time.monotonic()
        assert await seen(first, second, third) - began < 2
    finally:
        for each in listening:
            each.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
        await db.close()
